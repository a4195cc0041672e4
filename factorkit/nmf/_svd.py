"""Leading singular triplets for starts, by a sketch on the products that the solvers use."""

import numpy as np
from scipy import linalg, sparse

from ..utils._linalg import gram
from ._data import as_data

# An eigendecomposition of the smaller Gram matrix is exact, and quicker than the sketch up to
# about this many rows or columns.
_SMALL_SIDE = 300
# More columns than are wanted, and passes over X and back: a start needs no more accuracy.
_OVERSAMPLES, _PASSES = 10, 3
# Directions shorter than this part of the longest are rounding.
_RESOLUTION = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}
# Sizes of entries that leave single precision room for squares.
_SMALL, _LARGE = 1e-6, 1e6


def leading_triplets(X, k, rng, workers):
    """The k largest singular values of X and their vectors, to a few digits.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
        Nonnegative.
    k : int
    rng : RandomState
    workers : Workers

    Returns
    -------
    Ut : ndarray of shape (k, n_samples)
    S : ndarray of shape (k,)
        Of those that X does not have, 0.
    Vt : ndarray of shape (k, n_features)

    References
    ----------
    N. Halko, P. G. Martinsson and J. A. Tropp, "Finding Structure with Randomness: Probabilistic
    Algorithms for Constructing Approximate Matrix Decompositions", SIAM Review 53, 2011.
    """
    if min(X.shape) <= _SMALL_SIDE:
        return _exact_triplets(X, k)
    data, largest = as_data(X), float(X.max())
    if not largest:
        return np.zeros((k, X.shape[0])), np.zeros(k), np.zeros((k, X.shape[1]))
    dtype = np.float32 if _SMALL < largest < _LARGE else np.float64
    # Products of sparse data take up to whole vectors of components for nothing.
    n_directions = min(-(-(k + _OVERSAMPLES) // 16) * 16, *X.shape)
    V = rng.standard_normal((n_directions, X.shape[1])).astype(dtype)
    for _ in range(_PASSES):
        U = _orthonormal(data.times_features(V, workers))
        V = _orthonormal(data.times_samples(U, workers))
    # The second time removes what rounding has left of the first.
    U = _orthonormal(_orthonormal(data.times_features(V, workers)))
    B = data.times_samples(U, workers)
    rotation, S = _principal(B)
    rotation, S = rotation[:, :k].astype(dtype), S[:k]
    Ut, Vt = rotation.T @ U, (rotation / S.astype(dtype)).T @ B
    missing = ((0, k - len(S)), (0, 0))
    return np.pad(Ut, missing), np.pad(S, missing[0]), np.pad(Vt, missing)


def _exact_triplets(X, k):
    transposed = X.shape[0] < X.shape[1]
    A = X.T if transposed else X
    G = A.T @ A
    G = G.toarray() if sparse.issparse(G) else G
    values, vectors = linalg.eigh(G.astype(np.float64, copy=False))
    V = vectors[:, ::-1][:, :k].astype(X.dtype)
    S = np.sqrt(np.maximum(values[::-1][:k], 0))
    U = np.divide(A @ V, S, out=np.zeros((A.shape[0], k), X.dtype), where=S > 0)
    return (V.T, S, U.T) if transposed else (U.T, S, V.T)


def _principal(F):
    """(Principal directions among the rows of F, their lengths), the longest first."""
    values, vectors = linalg.eigh(gram(F))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > (_RESOLUTION[F.dtype] ** 2) * max(values[0], 0)
    return vectors[:, kept], np.sqrt(values[kept])


def _orthonormal(F):
    """Orthonormal rows that span those of F, but for directions that are rounding."""
    rotation, lengths = _principal(F)
    return (rotation / lengths).T.astype(F.dtype) @ F
