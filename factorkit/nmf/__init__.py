"""Nonnegative matrix factorization."""

from ._estimators import NMF
from ._functions import non_negative_factorization
from ._graph import GraphNMF
from ._minibatch import MiniBatchNMF
from ._rank import RankSelection

__all__ = ["NMF", "GraphNMF", "MiniBatchNMF", "RankSelection", "non_negative_factorization"]
