"""The two products with X that a half step needs, dense and sparse, in fixed blocks."""

import numpy as np
from scipy import sparse

from ..utils._linalg import gram, inner, squared_distance, squared_norm
from ..utils._sparse_kernels import (
    aligned_zeros,
    csr_products,
    csr_transposed_products,
    padded_rows,
    padded_width,
)
from ..utils._threads import blocks_of

# Columns a block from which BLAS runs at full speed.
_WIDE = 1024
# Entries that are cast at a time.
_CAST = 2**17
# Rows that are summed in single precision: of many equal ones rounding adds up.
_SUMMED = 2**15


class DenseData:
    """A dense X of shape (n_samples, n_features); factors are component-major."""

    is_sparse = False

    def __init__(self, X):
        self.X = X
        self.shape = X.shape
        self.dtype = X.dtype

    @property
    def T(self):
        return DenseData(self.X.T)

    def take(self, rows, dtype):
        return DenseData(np.ascontiguousarray(self.X[rows], dtype=dtype))

    def squared_norm(self):
        # By blocks of rows: a transposed or strided X must not be copied whole.
        blocks = blocks_of(*self.shape, target=5e5, multiple=1)
        return sum(squared_norm(self.X[start:stop]) for start, stop in blocks)

    @property
    def n_stored(self):
        return self.X.size

    @property
    def density(self):
        return 1.0

    def squared_error(self, Wt, H, workers):
        """‖X − W H‖², from the residuals of a block of rows at a time."""

        def block(start, stop):
            return squared_distance(self.X[start:stop], Wt[:, start:stop].T @ H)

        per_row = max(2.0 * H.size, 2e7 / max(200_000 // max(self.shape[1], 1), 1))
        return sum(workers.map(block, blocks_of(self.shape[0], per_row)))

    def times_samples(self, Wt, workers):
        """``Wt @ X``, of shape (n_components, n_features)."""
        return self._multiply(Wt, self.X, workers)

    def times_features(self, H, workers):
        """``H @ X.T``, of shape (n_components, n_samples)."""
        return self._multiply(H, self.X.T, workers)

    @staticmethod
    def _multiply(F, M, workers):
        length, width = M.shape
        if F.dtype != M.dtype:
            return _multiply_cast(F, M, workers)
        if width >= length or width >= _WIDE:
            out = np.empty((F.shape[0], width), dtype=F.dtype)

            def columns(start, stop):
                np.matmul(F, M[:, start:stop], out=out[:, start:stop])

            workers.map(columns, blocks_of(width, 2.0 * F.size, target=5e7, smallest=_WIDE))
            return out
        # BLAS is slow on narrow column blocks, so the sum over the long side is cut instead;
        # the partial sums are added in a fixed order.
        blocks = blocks_of(length, 2.0 * F.shape[0] * width, target=5e7, smallest=length // 8)
        parts = workers.map(lambda start, stop: F[:, start:stop] @ M[start:stop], blocks)
        return sum(parts[1:], start=parts[0])


def _multiply_cast(F, M, workers):
    """``F @ M`` in the precision of F: parts of M are cast that stay in the second cache."""
    length, width = M.shape
    if width > length:
        out = np.empty((len(F), width), dtype=F.dtype)

        def columns(start, stop):
            np.matmul(F, M[:, start:stop].astype(F.dtype), out=out[:, start:stop])

        size = max(_CAST // length, 64)
        workers.map(columns, blocks_of(width, 1, target=size, smallest=64))
        return out
    size = max(_CAST // width, 64)
    groups = blocks_of(length, 1, target=max(size, length // 8), smallest=64)

    def rows(start, stop):
        total = np.zeros((len(F), width))
        for first in range(start, stop, size):
            part = slice(first, min(first + size, stop))
            total += F[:, part] @ M[part].astype(F.dtype)
        return total

    first, *others = workers.map(rows, groups)
    return sum(others, start=first).astype(F.dtype)


class SparseData:
    """A CSR X whose unstored entries are zeros; never made dense, and not copied."""

    is_sparse = True

    def __init__(self, X):
        self.X = X
        self.shape = X.shape
        self.dtype = X.dtype

    @property
    def T(self):
        return SparseData(sparse.csr_array(self.X.T))

    def take(self, rows, dtype):
        return SparseData(self.X[rows].astype(dtype, copy=False))

    def squared_norm(self):
        return squared_norm(self.X.data)

    @property
    def n_stored(self):
        return self.X.nnz

    @property
    def density(self):
        return self.X.nnz / max(self.shape[0] * self.shape[1], 1)

    def squared_error(self, Wt, H, workers):
        """‖X − W H‖², expanded: W H is dense."""
        A = self.times_features(H.astype(np.float64), workers)
        return max(
            self.squared_norm() - 2 * inner(A, Wt.astype(np.float64)) + inner(gram(Wt), gram(H)),
            0.0,
        )

    def times_samples(self, Wt, workers):
        X, n_components = self.X, Wt.shape[0]
        shape = X.shape[1], padded_width(n_components, Wt.dtype)

        def block(start, stop):
            out = aligned_zeros(shape, Wt.dtype)
            if stop - start <= _SUMMED or Wt.dtype == np.float64:
                csr_transposed_products(X.indptr, X.indices, X.data, Wt, out, start, stop)
                return out
            total = np.zeros(shape)
            for first in range(start, stop, _SUMMED):
                last = min(first + _SUMMED, stop)
                csr_transposed_products(X.indptr, X.indices, X.data, Wt, out, first, last)
                total += out
                out[:] = 0
            return total

        # Each block adds up in an array of its own: at most four, however many the threads.
        work = 2.0 * n_components * (X.nnz / max(X.shape[0], 1) + 1)
        blocks = blocks_of(X.shape[0], work, target=2.5e7, smallest=X.shape[0] // 4 + 1)
        first, *others = workers.map(block, blocks)
        for other in others:
            first += other
        return np.ascontiguousarray(first[:, :n_components].T, dtype=Wt.dtype)

    def times_features(self, H, workers):
        X, n_components = self.X, H.shape[0]
        padded = padded_rows(H)
        out = np.empty((n_components, X.shape[0]), dtype=H.dtype)
        work = 2.0 * n_components * (X.nnz / max(X.shape[0], 1) + 1)
        workers.map(
            lambda start, stop: csr_products(X.indptr, X.indices, X.data, padded, out, start, stop),
            blocks_of(X.shape[0], work),
        )
        return out


def as_data(X):
    return SparseData(X) if sparse.issparse(X) else DenseData(X)


def balance(Wt, H, scale=1.0):
    """Multiply W H by `scale` and give the two factors of each component equal norms."""
    w, h = np.linalg.norm(Wt, axis=1), np.linalg.norm(H, axis=1)
    alive = (w > 0) & (h > 0)
    ratio = np.sqrt(np.divide(h, w, out=np.ones_like(w), where=alive))[:, None]
    root = Wt.dtype.type(np.sqrt(scale))
    return np.ascontiguousarray(Wt * ratio * root), np.ascontiguousarray(H / ratio * root)
