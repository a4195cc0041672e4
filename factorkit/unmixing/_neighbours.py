"""Graphs of the pixels of a scene, and what is smooth over them.

A graph is a symmetric sparse matrix W of nonnegative affinities without a diagonal; its Laplacian
is Λ = D − W with the row sums D. Affinities are those of the heat kernel,

    w_ij = exp(−‖x_i − x_j‖² / s),    s the median of the squared distances along the edges,

so that they depend neither on the units of the data nor on the number of bands.
"""

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from ._neighbour_kernels import average_rows, edge_distances, edge_roughness


def window_graph(pixels, image_shape, radius=1):
    """Join each pixel with those in the window around it.

    Parameters
    ----------
    pixels : ndarray of shape (n_pixels, n_bands)
        Row by row of the image. Not copied where it is C-contiguous.
    image_shape : (n_rows, n_columns)
    radius : int, default=1
        Half the side of the window: 1 joins the 8 neighbours.

    Returns
    -------
    W : csr_array of shape (n_pixels, n_pixels)
    """
    index = np.arange(np.prod(image_shape), dtype=np.intp).reshape(image_shape)
    n_rows, n_columns = image_shape
    first, second = [], []
    for down in range(min(radius, n_rows - 1) + 1):
        for right in range(-min(radius, n_columns - 1), min(radius, n_columns - 1) + 1):
            if (down, right) <= (0, 0):  # each pair once
                continue
            here = slice(max(-right, 0), n_columns - max(right, 0))
            there = slice(max(right, 0), n_columns + min(right, 0))
            first.append(index[: n_rows - down, here].ravel())
            second.append(index[down:, there].ravel())
    return _heat_graph(pixels, _joined(first), _joined(second))


def knn_graph(pixels, n_neighbors=8, n_jobs=None):
    """Join each pixel with its nearest in the spectra; an edge of either is one of both.

    Parameters
    ----------
    pixels : ndarray of shape (n_pixels, n_bands)
    n_neighbors : int, default=8
    n_jobs : int or None, default=None
        Threads of the search.

    Returns
    -------
    W : csr_array of shape (n_pixels, n_pixels)

    Notes
    -----
    The search compares all pairs of pixels: 2 n_pixels² n_bands operations, seconds for 10⁴
    pixels and hours for 10⁶.
    """
    n = len(pixels)
    n_neighbors = min(n_neighbors, n - 1)
    if n_neighbors == 0:
        return sparse.csr_array((n, n))
    search = NearestNeighbors(n_neighbors=n_neighbors, n_jobs=n_jobs).fit(pixels)
    found = search.kneighbors(return_distance=False).astype(np.intp)
    here = np.repeat(np.arange(n, dtype=np.intp), n_neighbors)
    there = found.ravel()
    pairs = np.unique(np.minimum(here, there) * n + np.maximum(here, there))
    return _heat_graph(pixels, pairs // n, pairs % n)


def degrees_of(W):
    """Sums of the rows of a graph, in float64."""
    return np.asarray(W.sum(axis=1), dtype=np.float64).ravel()


def roughness(A, W):
    """AᵀΛA = ½ Σ_ij w_ij (a_i − a_j)(a_i − a_j)ᵀ; its trace is the usual penalty.

    Parameters
    ----------
    A : ndarray of shape (n_pixels, n_components)
    W : csr_array of shape (n_pixels, n_pixels)

    Returns
    -------
    ndarray of shape (n_components, n_components)
        In float64; zero exactly where no edge joins two different rows.
    """
    return edge_roughness(np.ascontiguousarray(A), W.indptr, W.indices, W.data)


def smooth_over(X, W):
    """Average each pixel with its neighbours, x̄_i = (x_i + Σ_j w_ij x_j) / (1 + d_i).

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_columns)
        Spectra, a block of their bands, or coordinates.
    W : csr_array of shape (n_pixels, n_pixels)

    Returns
    -------
    ndarray of shape (n_pixels, n_columns), of the dtype of `X`
        Summed in float64.
    """
    out = np.empty(X.shape, dtype=X.dtype)
    average_rows(np.ascontiguousarray(X), W.indptr, W.indices, W.data, out)
    return out


def _heat_graph(pixels, first, second):
    """The graph of pairs of pixels, each given once."""
    squares = np.empty(len(first))
    edge_distances(np.ascontiguousarray(pixels), first, second, squares)
    weights = np.exp(-squares / _width(squares))
    n = len(pixels)
    W = sparse.coo_array((weights, (first, second)), shape=(n, n))
    W = sparse.csr_array(W + W.T)
    # Kernels compile once for each type of index.
    W.indptr, W.indices = W.indptr.astype(np.intp), W.indices.astype(np.intp)
    W.eliminate_zeros()  # what is so far apart that the affinity vanishes
    return W


def _width(squares):
    """The median; where most pixels equal their neighbours, the mean, and 1 where all do."""
    if not len(squares):
        return 1.0
    return float(np.median(squares)) or float(np.mean(squares)) or 1.0


def _joined(parts):
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
