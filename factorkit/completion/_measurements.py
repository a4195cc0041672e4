"""Linear measurements of a matrix, y = A(M), and their adjoint: from arrays, sparse or operators.

Everything is handed on in float64. Neither direction makes a copy of the sensing matrices; what it
needs beyond its result is a block of them.
"""

import math
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator
from sklearn.utils import gen_batches

# Numbers in a block that is brought to float64: 2 MB, about a core's cache.
_BLOCK_SIZE = 2**18


class Measurements:
    """The map M → (⟨A_1, M⟩, …, ⟨A_m, M⟩) and its adjoint r → Σ r_i A_i.

    Parameters
    ----------
    A : ndarray, sparse array or LinearOperator of shape (n_measurements, n_rows * n_columns)
        A row is a sensing matrix, row by row.

    shape : tuple of 2 ints
        (n_rows, n_columns).
    """

    def __init__(self, A, shape):
        self.shape = shape
        self.n_measurements = A.shape[0]
        self._A = A
        if isinstance(A, np.ndarray):
            self._matvec, self._rmatvec = self._dense_matvec, self._dense_rmatvec
        elif sparse.issparse(A):
            # SciPy would bring a float32 array to float64 in every product.
            A = A.astype(np.float64, copy=False)
            self._matvec, self._rmatvec = A.__matmul__, A.T.__matmul__
        else:
            self._matvec, self._rmatvec = A.matvec, A.rmatvec

    def forward(self, M):
        """A(M), of shape (n_measurements,)."""
        return self._checked(self._matvec(M.reshape(-1)), self.n_measurements, "matvec")

    def adjoint(self, r):
        """A*(r), of shape (n_rows, n_columns)."""
        size = self.shape[0] * self.shape[1]
        return self._checked(self._rmatvec(r), size, "rmatvec").reshape(self.shape)

    def mean_square(self, rng, *, symmetric, n_probes=4):
        """Estimate |A(M)|² / |M|² for a typical M: what a measurement operator that nearly keeps
        distances multiplies their squares by, estimated on random (symmetric) matrices.
        """
        ratios = []
        for _ in range(n_probes):
            M = rng.standard_normal(self.shape)
            M = (M + M.T) / 2 if symmetric else M
            z = self.forward(M)
            ratios.append((z @ z) / np.vdot(M, M))
        return float(np.mean(ratios))

    def _checked(self, values, size, name):
        values = np.asarray(values)
        if np.iscomplexobj(values):
            raise ValueError(f"{name} of the measurement operator returned complex values.")
        values = values.astype(np.float64, copy=False).reshape(-1)
        if values.size != size:
            raise ValueError(
                f"{name} of the measurement operator returned {values.size} values instead of "
                f"{size}."
            )
        # A sum is not finite where an entry isn't, and costs no array of booleans.
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():
            raise ValueError(f"{name} of the measurement operator returned NaN or infinity.")
        return values

    def _dense_matvec(self, x):
        if self._A.dtype == np.float64:
            return self._A @ x
        y = np.empty(self.n_measurements)
        for block in gen_batches(self.n_measurements, max(1, _BLOCK_SIZE // x.size)):
            y[block] = self._A[block].astype(np.float64) @ x
        return y

    def _dense_rmatvec(self, r):
        if self._A.dtype == np.float64:
            return r @ self._A
        total = np.zeros(self._A.shape[1])
        for block in gen_batches(self.n_measurements, max(1, _BLOCK_SIZE // total.size)):
            total += r[block] @ self._A[block].astype(np.float64)
        return total


def flattened(X):
    """X with a sensing matrix a row; a contiguous array of matrices is reshaped without a copy."""
    if hasattr(X, "matvec") and hasattr(X, "rmatvec"):
        return aslinearoperator(X)
    if isinstance(X, list | tuple):
        X = np.asarray(X)
    if not sparse.issparse(X) and getattr(X, "ndim", 2) == 3 and 0 not in X.shape:
        X = np.asarray(X)
        return X.reshape(len(X), -1)
    return X


def matrix_shape(X):
    """Shape of the matrices of an X with three dimensions, else None."""
    if isinstance(X, list | tuple):
        X = np.asarray(X)
    return tuple(X.shape[1:]) if getattr(X, "ndim", 2) == 3 else None


def resolve_shape(shape, n_features, of_X, symmetric):
    """(n_rows, n_columns) by the parameter `shape` and by X, which must agree.

    Parameters
    ----------
    shape : tuple of 2 or None
        Whole numbers; one may be -1.
    n_features : int
        Entries of a sensing matrix.
    of_X : tuple of 2 ints or None
        What `matrix_shape` says.
    symmetric : bool
        Whether M must be square.
    """
    if shape is None and of_X is None:
        raise ValueError(
            f"X has {n_features} columns, which may be a matrix of several shapes: set "
            "shape=(n_rows, n_columns), or pass X with three dimensions."
        )
    resolved = of_X if shape is None else _completed(shape, n_features)
    if math.prod(resolved) != n_features or (of_X is not None and of_X != resolved):
        has = f"{n_features} columns" if of_X is None else f"matrices of shape {of_X}"
        raise ValueError(f"shape={shape!r} does not fit X, which has {has}.")
    if symmetric and resolved[0] != resolved[1]:
        raise ValueError(f"symmetric=True needs a square matrix; its shape is {resolved}.")
    return resolved


def _completed(shape, n_features):
    """The shape with what -1 stands for, as far as it divides."""
    shape = tuple(shape)
    whole = all(isinstance(n, Integral) and (n > 0 or n == -1) for n in shape)
    if len(shape) != 2 or not whole or shape == (-1, -1):
        raise ValueError(
            f"shape must be (n_rows, n_columns), of which one may be -1. Got {shape!r}."
        )
    return tuple(n_features // max(shape) if n == -1 else int(n) for n in shape)
