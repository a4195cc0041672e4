"""The two products with X that a half step needs, dense and sparse, in fixed blocks."""

from itertools import pairwise

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
# Entries a feature that make a block of samples worth an array of its own, and products that make
# some of the components worth a thread.
_WORTH_ARRAY, _WORTH_THREAD = 100, 5e6
# Bytes of an entry's components up to which reading values in double takes a tenth of the time.
_NARROW = 256
# Vectors of components at a time: the sums and their transpose take less memory.
_VECTORS = 4


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

    def total(self):
        return float(self.X.sum(dtype=np.float64))

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
    """A CSR X whose unstored entries are zeros; never made dense.

    With `keeps_single`, where components in single precision are few enough for reading X in double
    to take time, its values are kept in single precision too: 4 bytes an entry of 12 or more.
    """

    is_sparse = True

    def __init__(self, X, *, keeps_single=False):
        self.X = X
        self.shape = X.shape
        self.dtype = X.dtype
        self._keeps_single, self._single = keeps_single, None

    def _parts(self, F):
        """X for a product with F: row starts, columns, values."""
        X = self.X
        narrow = self._keeps_single and len(F) * F.itemsize <= _NARROW
        if not narrow or F.dtype == np.float64 or X.dtype == np.float32:
            self._single = None
            return X.indptr, X.indices, X.data
        if self._single is None:
            self._single = X.data.astype(F.dtype)
        return X.indptr, X.indices, self._single

    @property
    def T(self):
        return SparseData(sparse.csr_array(self.X.T))

    def take(self, rows, dtype):
        return SparseData(self.X[rows].astype(dtype, copy=False))

    def squared_norm(self):
        return squared_norm(self.X.data)

    def total(self):
        return float(self.X.data.sum(dtype=np.float64))

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
        X = self.X
        n_samples, n_features = X.shape
        # Each block of samples adds up in an array of its own, so it must be worth one.
        per_sample = X.nnz / max(n_samples, 1)
        most = _WORTH_ARRAY * n_features
        blocks = blocks_of(n_samples, per_sample, target=most, smallest=n_samples // 4 + 1)
        # Threads that are left over share the components, which changes no bit.
        n_shares = -(-workers.n_jobs // len(blocks))
        panels = self._panels(Wt, n_shares)
        out = np.empty((len(Wt), n_features), Wt.dtype)
        for first in range(0, len(panels), n_shares):
            self._sum_panels(Wt, panels[first : first + n_shares], blocks, workers, out)
        return out

    def _sum_panels(self, Wt, panels, blocks, workers, out):
        X_parts = self._parts(Wt)
        tasks = [(slice(*panel), *block) for panel in panels for block in blocks]
        sums = workers.map(lambda panel, *block: self._sum(X_parts, Wt[panel], *block), tasks)
        for first, last in panels:
            total, *others = (sums.pop(0) for _ in blocks)
            for other in others:
                total += other
            out[first:last] = total[:, : last - first].T

    def _panels(self, Wt, n_panels):
        """Parts of the components that are whole vectors, so many where that is worth it."""
        lanes = padded_width(1, Wt.dtype)
        n_vectors = -(-len(Wt) // lanes)
        n_panels = min(n_panels, n_vectors, int(self.X.nnz * len(Wt) / _WORTH_THREAD))
        n_panels = max(n_panels, -(-n_vectors // _VECTORS))
        ends = [min(lanes * (n_vectors * i // n_panels), len(Wt)) for i in range(n_panels + 1)]
        return list(pairwise(ends))

    def _sum(self, X_parts, Wt, start, stop):
        """``X[start:stop].T @ Wt[:, start:stop].T``, padded."""
        shape = self.shape[1], padded_width(len(Wt), Wt.dtype)
        out = aligned_zeros(shape, Wt.dtype)
        if stop - start <= _SUMMED or Wt.dtype == np.float64:
            csr_transposed_products(*X_parts, Wt, out, start, stop)
            return out
        total = np.zeros(shape)
        for first in range(start, stop, _SUMMED):
            csr_transposed_products(*X_parts, Wt, out, first, min(first + _SUMMED, stop))
            total += out
            out[:] = 0
        return total

    def times_features(self, H, workers):
        X, n_components = self.X, H.shape[0]
        X_parts = self._parts(H)
        padded = padded_rows(H)
        out = np.empty((n_components, X.shape[0]), dtype=H.dtype)
        work = 2.0 * n_components * (X.nnz / max(X.shape[0], 1) + 1)
        workers.map(
            lambda start, stop: csr_products(*X_parts, padded, out, start, stop),
            blocks_of(X.shape[0], work),
        )
        return out


def as_data(X, *, keeps_single=False):
    """X as the products take it."""
    return SparseData(X, keeps_single=keeps_single) if sparse.issparse(X) else DenseData(X)


def balance(Wt, H, scale=1.0):
    """Multiply W H by `scale` and give the two factors of each component equal norms."""
    w, h = np.linalg.norm(Wt, axis=1), np.linalg.norm(H, axis=1)
    alive = (w > 0) & (h > 0)
    ratio = np.sqrt(np.divide(h, w, out=np.ones_like(w), where=alive))[:, None]
    root = Wt.dtype.type(np.sqrt(scale))
    return np.ascontiguousarray(Wt * ratio * root), np.ascontiguousarray(H / ratio * root)
