"""Nonnegative matrix factorization."""

from ._estimators import NMF
from ._functions import non_negative_factorization
from ._graph import GraphNMF

__all__ = ["GraphNMF", "NMF", "non_negative_factorization"]
