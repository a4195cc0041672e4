"""Compiled loops of `_neighbours`: over the edges of a graph of pixels."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def edge_distances(X, first, second, squares):
    """Squared distances of pairs of rows of X, without an array of the pairs' spectra."""
    n_bands = X.shape[1]
    for p in range(len(first)):
        i, j = first[p], second[p]
        s = 0.0
        for b in range(n_bands):
            d = np.float64(X[i, b]) - np.float64(X[j, b])
            s += d * d
        squares[p] = s


@kernel(reduces=True)
def edge_roughness(A, indptr, neighbours, weights):
    """½ Σ_ij w_ij (a_i − a_j)(a_i − a_j)ᵀ: what is constant gives exactly 0."""
    n, k = A.shape
    total, d = np.zeros((k, k)), np.empty(k)
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            j = neighbours[p]
            if j < i:  # the edge the other way adds the same
                continue
            for t in range(k):
                d[t] = np.float64(A[i, t]) - np.float64(A[j, t])
            for t in range(k):
                for r in range(k):
                    total[t, r] += weights[p] * d[t] * d[r]
    return total


@kernel
def average_rows(X, indptr, neighbours, weights, out):
    """Each row averaged with its neighbours: weight 1 for itself, the edges' for them."""
    n, n_bands = X.shape
    row = np.empty(n_bands)
    for i in range(n):
        total = 1.0
        for b in range(n_bands):
            row[b] = X[i, b]
        for p in range(indptr[i], indptr[i + 1]):
            w, j = weights[p], neighbours[p]
            total += w
            for b in range(n_bands):
                row[b] += w * X[j, b]
        for b in range(n_bands):
            out[i, b] = row[b] / total
