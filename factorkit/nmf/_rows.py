"""Rows of X with their weights, a block at a time, for solvers that treat each row by itself.

A missing entry is an entry of weight zero. Nothing of X's size is ever copied: NaN and weights
are resolved in blocks, and the rows of the transpose are made in blocks too.
"""

import numpy as np
from scipy import sparse

from ..utils._jit import plain
from ..utils._threads import blocks_of, blocks_of_entries
from ..utils._transpose_kernels import transpose_columns


class DenseRows:
    """A dense X; missing entries are NaN.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    entry_weight : ndarray of shape (n_samples, n_features), default=None
    sample_weight : ndarray of shape (n_samples,), default=None
    has_nan : bool, default=None
    """

    is_sparse = False

    def __init__(self, X, entry_weight=None, sample_weight=None, *, has_nan=None, on_columns=False):
        self.X, self.entry_weight, self.row_weight = X, entry_weight, sample_weight
        self.shape, self.dtype = X.shape, X.dtype
        self._on_columns = on_columns
        if has_nan is None:
            has_nan = bool(np.isnan(X.max(initial=0)))  # no temporary of the size of X
        self.has_nan = has_nan

    @property
    def is_complete(self):
        return not self.has_nan and self.entry_weight is None and self.row_weight is None

    @property
    def T(self):
        return DenseRows(
            self.X.T,
            None if self.entry_weight is None else self.entry_weight.T,
            self.row_weight,
            has_nan=self.has_nan,
            on_columns=not self._on_columns,
        )

    def take(self, rows, dtype):
        weight = self.row_weight
        return DenseRows(
            np.ascontiguousarray(self.X[rows], dtype=dtype),
            None if self.entry_weight is None else self.entry_weight[rows].astype(dtype),
            weight if weight is None or self._on_columns else weight[rows],
            has_nan=self.has_nan,
            on_columns=self._on_columns,
        )

    @property
    def largest_weight(self):
        """An upper bound of the weights."""
        bound = 1.0 if self.entry_weight is None else float(self.entry_weight.max())
        return bound * (1.0 if self.row_weight is None else float(self.row_weight.max()))

    def mean_weight(self):
        """Mean over all entries, a missing one counting zero."""
        total = sum(
            float(self.block(*ends, always_weights=True)[1].sum(dtype=np.float64))
            for ends in self.blocks(0)
        )
        return total / max(self.shape[0] * self.shape[1], 1)

    def raw_block(self, start, stop):
        """Rows of X for kernels, NaN kept, and their weights ((0, 0) where all are the same)."""
        X = _for_kernels(self.X, start, stop)
        if self.entry_weight is None and self.row_weight is None:
            return X, np.empty((0, 0), dtype=X.dtype)
        return X, self._weights(start, stop)

    def _weights(self, start, stop):
        V = np.ones((stop - start, self.shape[1]), dtype=self.dtype)
        if self.entry_weight is not None:
            V *= self.entry_weight[start:stop]
        if self.row_weight is not None:
            V *= self.row_weight if self._on_columns else self.row_weight[start:stop, None]
        return V

    def block(self, start, stop, always_weights=False):
        """Rows as (V ∘ X, V): contiguous, without NaN; V is None where all weights are 1."""
        X = _for_kernels(self.X, start, stop)
        if self.is_complete and not always_weights:
            return X, None
        V = self._weights(start, stop)
        if self.has_nan:
            hole = np.isnan(X)
            V[hole] = 0
            X = np.where(hole, 0, X)
        return X * V, V

    def dense_blocks(self):
        return self.blocks(0)

    def blocks(self, work_per_row):
        # A block is at most four megabytes of X, so that its temporaries stay in the cache.
        most = max(4_000_000 // (8 * max(self.shape[1], 1)), 16)
        return blocks_of(
            self.shape[0],
            max(work_per_row, 2e7 / most),
            target=2e7,
            multiple=8,
            smallest=8,
        )

    def values(self):
        """All entries and their weights or None, in flat blocks; a missing one weighs nothing."""
        for start, stop in self.blocks(0):
            xv, v = self.block(start, stop)
            if v is None:
                yield xv.ravel(), None
            else:
                x = np.divide(xv, v, out=np.zeros_like(xv), where=v > 0)
                yield x.ravel(), v.ravel()


def _for_kernels(X, start, stop):
    if X.flags.f_contiguous and X.flags.writeable and not X.flags.c_contiguous:
        block = np.empty((stop - start, X.shape[1]), X.dtype)
        transpose_columns(X.T, start, stop, block)
        return block
    return plain(X[start:stop])


class CsrRows:
    """A CSR X. With `only_stored`, unstored entries are missing; else they are zeros.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
    weight : ndarray of shape (nnz,), default=None
        Weights of the stored entries.
    only_stored : bool, default=False
    """

    is_sparse = True

    def __init__(self, X, weight=None, *, only_stored=False, transpose=None):
        if weight is not None and not only_stored:
            raise ValueError("weights need only_stored=True")
        self.X, self.weight, self.only_stored = X, weight, only_stored
        self.shape, self.dtype = X.shape, X.dtype
        self._transpose = transpose

    @property
    def is_complete(self):
        return not self.only_stored

    @property
    def T(self):
        if self._transpose is None:
            if self.weight is None:
                Xt, weight = sparse.csr_array(self.X.T), None
            else:
                # Transposing the positions says where each weight goes.
                places = np.arange(self.X.nnz)
                order = sparse.csr_array(
                    sparse.csr_array((places, self.X.indices, self.X.indptr), self.shape).T
                )
                Xt = sparse.csr_array(
                    (self.X.data[order.data], order.indices, order.indptr), self.shape[::-1]
                )
                weight = self.weight[order.data]
            self._transpose = CsrRows(Xt, weight, only_stored=self.only_stored, transpose=self)
        return self._transpose

    def take(self, rows, dtype):
        weight = None
        if self.weight is not None:
            lengths = np.diff(self.X.indptr)
            chosen = np.zeros(self.shape[0], dtype=bool)
            chosen[rows] = True
            weight = self.weight[np.repeat(chosen, lengths)]
        X = self.X[rows].astype(dtype, copy=False)
        return CsrRows(X, weight, only_stored=self.only_stored)

    def dense_blocks(self):
        """Blocks that may be made dense."""
        most = max(4_000_000 // (8 * max(self.shape[1], 1)), 16)
        return blocks_of(self.shape[0], 1, target=most, multiple=8, smallest=8)

    def blocks(self, work_per_entry):
        return blocks_of_entries(self.X.indptr, work_per_entry)

    def values(self):
        """The stored entries and their weights, or None."""
        yield self.X.data, self.weight
