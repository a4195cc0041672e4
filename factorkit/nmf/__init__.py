"""Nonnegative matrix factorization."""

from ._estimators import NMF
from ._functions import non_negative_factorization

__all__ = ["NMF", "non_negative_factorization"]
