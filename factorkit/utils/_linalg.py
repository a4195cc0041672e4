"""Small pieces of linear algebra that several families share."""

import numpy as np
from scipy import sparse

from ._gram_kernels import gram_single
from ._jit import kernel, plain

# Products of pairs of components at a time.
_PAIRS = 2**16


@kernel(reduces=True)
def _inner(a, b):
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


def inner(A, B):
    """Inner product of two arrays, summed in float64 whatever their dtype."""
    if A.dtype == B.dtype == np.float64:
        return float(np.vdot(A, B))
    return float(_inner(np.ascontiguousarray(A).ravel(), np.ascontiguousarray(B).ravel()))


def squared_norm(A):
    """Sum of squares, in float64."""
    return inner(A, A)


@kernel(reduces=True)
def _squared_distance(a, b):
    total = 0.0
    for i in range(a.size):
        difference = np.float64(a[i]) - np.float64(b[i])
        total += difference * difference
    return total


def squared_distance(A, B):
    """Sum of (a − b)², in float64, of two arrays of any dtypes, without an array of differences."""
    A, B = (plain(F).ravel() for F in (A, B))
    return float(_squared_distance(A, B))


def gram(H):
    """``H @ H.T`` in float64.

    Summed in float32, it would lose the small differences that the fit of good factorizations
    lives on.
    """
    if H.dtype != np.float32:
        H = H.astype(np.float64, copy=False)
        return H @ H.T
    # A third of the time of a cast and BLAS.
    return gram_single(plain(H))


def drop_dead(F, G):
    """Set to zero the components of F whose partners have vanished: only their l1 penalty is left.

    G is the Gram matrix of the partners; coordinate sweeps leave such components as they are.
    """
    F[np.diag(G) <= 0] = 0


def row_grams(V, H):
    """Σ_j V_ij h_j h_j^T for each row i of V, of shape (n_rows, n_components, n_components).

    Products of V with products of pairs of components: at BLAS's speed, and a few pairs and
    features at a time, so that the pairs stay in the cache.
    """
    k, m = H.shape
    Q = np.empty((len(V), k, k), dtype=H.dtype)
    width = max(_PAIRS // (8 * max(k, 1)), 64)
    for t in range(0, k, 8):
        s = min(t + 8, k)
        sums = np.zeros((len(V), (s - t) * (k - t)), dtype=H.dtype)
        for j in range(0, m, width):
            h = H[:, j : j + width]
            sums += V[:, j : j + width] @ (h[t:s, None] * h[t:]).reshape(-1, h.shape[1]).T
        Q[:, t:s, t:] = sums.reshape(len(V), s - t, k - t)
        Q[:, s:, t:s] = Q[:, t:s, s:].transpose(0, 2, 1)
    return Q


def products_at(Wt, H, rows, columns):
    """(W H)_ij for lists of i and j, without an array of n_components times their length."""
    y = np.zeros(len(rows), dtype=H.dtype)
    for w, h in zip(Wt, H, strict=True):
        y += w[rows] * h[columns]
    return y


def scale_rows(X, scale):
    """Rows of a dense or CSR matrix times numbers, in the dtype of X."""
    scale = scale.astype(X.dtype, copy=False)
    if not sparse.issparse(X):
        return X * scale[:, None]
    data = X.data * np.repeat(scale, np.diff(X.indptr))
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
