"""The observed entries by rows and by columns, as kernels take them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ..utils._linalg import inner, squared_norm

# Entries that are counted at a time: NumPy counts a copy of the indices in 64 bits.
_CHUNK = 2**20


@dataclass(frozen=True)
class Side:
    """Entries in the order of one side, rows or columns.

    Attributes
    ----------
    indptr, indices : ndarray
        Those of a CSR matrix; `indices` name lines of the other side.
    values : ndarray of shape (n_entries,)
    weights : ndarray of shape (n_entries,), or empty where all are one
    n_others : int
        Number of lines of the other side.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    n_others: int

    def __len__(self):
        return len(self.indptr) - 1

    def lines(self, wanted):
        """The entries of some lines alone, as a side: a copy."""
        counts = self.counts[wanted]
        indptr = np.concatenate(([0], np.cumsum(counts)))
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[wanted] - indptr[:-1], counts)
        weights = self.weights[positions] if self.weights.size else self.weights
        return Side(
            indptr.astype(self.indptr.dtype), self.indices[positions], self.values[positions],
            weights, self.n_others,
        )  # fmt: skip

    @property
    def dtype(self):
        return self.values.dtype

    @cached_property
    def counts(self):
        """Number of entries of each line."""
        return np.diff(self.indptr)

    @cached_property
    def totals(self):
        """Sum of the weights of each line, in float64."""
        if not self.weights.size:
            return self.counts.astype(np.float64)
        lines = np.repeat(np.arange(len(self)), self.counts)
        return np.bincount(lines, weights=self.weights, minlength=len(self))

    @cached_property
    def shares(self):
        """Share of each line of the other side in the weights."""
        totals = np.zeros(self.n_others)
        for start in range(0, len(self.indices), _CHUNK):
            part = slice(start, start + _CHUNK)
            weights = self.weights[part] if self.weights.size else None
            totals += np.bincount(self.indices[part], weights=weights, minlength=self.n_others)
        return totals / max(totals.sum(), np.finfo(np.float64).tiny)


def row_side(X, weight=None):
    """Entries by rows, sharing memory with a canonical CSR array and its weights."""
    weights = np.empty(0, X.dtype) if weight is None else weight.data
    return Side(X.indptr, X.indices, X.data, weights, X.shape[1])


def column_side(X, weight=None):
    """Entries by columns: a copy."""
    by_column = X.tocsc()
    weights = np.empty(0, X.dtype) if weight is None else weight.tocsc().data
    return Side(by_column.indptr, by_column.indices, by_column.data, weights, X.shape[0])


def observed_csr(X, weight=None):
    """(X, weight) as CSR arrays of the observed entries alone, those of weight 0 left out.

    A dense X holds NaN where an entry is missing; `weight` is of the kind of X, or None.
    """
    if not sparse.issparse(X):
        X, weight = _dense_entries(X, weight)
    X, weight = with_short_indices(X), None if weight is None else with_short_indices(weight)
    if weight is None or weight.data.all():
        return X, weight
    kept = weight.data != 0
    indptr = np.concatenate(([0], np.cumsum(kept)))[X.indptr].astype(X.indptr.dtype)
    parts = [
        sparse.csr_array((values[kept], X.indices[kept], indptr), shape=X.shape)
        for values in (X.data, weight.data)
    ]
    return tuple(parts)


def with_short_indices(X):
    """A CSR array with 32-bit indices where they suffice; it shares what it can with X.

    Lists of coordinates make 64-bit ones, for which every kernel would be compiled anew.
    """
    if max(X.nnz, *X.shape) >= 2**31 or X.indices.dtype == X.indptr.dtype == np.int32:
        return X
    indices, indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return sparse.csr_array((X.data, indices, indptr), shape=X.shape)


def _dense_entries(X, weight):
    counts = np.empty(len(X), np.int64)
    columns, values, weights = [], [], []
    # A row at a time: no mask or list of coordinates of the size of X.
    for i, row in enumerate(X):
        observed = np.flatnonzero(row == row)
        counts[i] = len(observed)
        columns.append(observed.astype(np.int32))
        values.append(row[observed])
        if weight is not None:
            weights.append(weight[i, observed])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    indptr = indptr.astype(np.int32) if indptr[-1] < 2**31 else indptr
    columns = np.concatenate(columns)
    made = sparse.csr_array((np.concatenate(values), columns, indptr), shape=X.shape)
    if weight is None:
        return made, None
    return made, sparse.csr_array((np.concatenate(weights), columns, indptr), shape=X.shape)


def mean_of(side):
    """Weighted mean of the values, in float64."""
    if not side.weights.size:
        return float(side.values.mean(dtype=np.float64))
    return inner(side.values, side.weights) / float(side.weights.sum(dtype=np.float64))


def spread_of(values):
    """Standard deviation, in float64 and without a temporary array."""
    variance = squared_norm(values) / len(values) - float(values.mean(dtype=np.float64)) ** 2
    return float(np.sqrt(max(variance, 0.0)))
