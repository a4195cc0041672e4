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

# Pairs of pixels at each distance that the variance of what is independent is read off.
_N_PAIRS = 20_000
# Weights follow what they average, so that it takes about half of what is independent from pixel
# to pixel; of fields blurred by .7 to 1 pixels, nine tenths to four times of what seems so.
_INDEPENDENT = 1.5


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


def averages_take_noise(Z, smooth, W, good, image_shape, noise):
    """Whether what averaging takes from pixels is noise, or else variants, rather than the scene.

    Parameters
    ----------
    Z, smooth : ndarray of shape (n_pixels, d)
        Coordinates, and their averages by :func:`smooth_over`.
    W : csr_array of shape (n_pixels, n_pixels)
        Without edges to pixels that are not good.
    good : ndarray of intp
        The pixels taken.
    image_shape : (n_rows, n_columns)
    noise : float
        Variance of the noise, summed over the coordinates.

    Returns
    -------
    bool

    Notes
    -----
    Noise of variance v leaves f v in the differences z_i − z̄_i. Their mean square may be 2 log n
    times that, as corners are read off the outermost of n pixels, which noise takes so far beyond,
    while averages take no more than usual from them. On fields of 1 to 4 pixels' blur the corners
    were better with averages up to about there, and worse beyond.

    Where materials vary from pixel to pixel, averaging takes more than noise away and still pays:
    :func:`independent_variance` tells that from fine grain.
    """
    shares = _shares_left(W)[good]
    degrees = degrees_of(W)[good]
    usual = np.mean(shares + (degrees**2 - 1) / (1 + degrees) ** 2)
    taken = np.square(Z[good] - smooth[good]).sum(axis=1, dtype=np.float64).mean()
    if taken <= 2 * np.log(len(good)) * usual * noise:
        return True
    return bool(_INDEPENDENT * taken < usual * independent_variance(Z, good, image_shape))


def independent_variance(Z, good, image_shape):
    """Variance of what is independent from pixel to pixel, summed over the coordinates.

    Half the median squared distance of pixels that are 1, 2 and 3 apart, in a row or a column, as
    an even polynomial of the distance, has this at 0: (15 γ₁ − 6 γ₂ + γ₃) / 10, the nugget of the
    variogram. Medians, as few pairs lie across edges. 0 for images of less than 4 pixels' side.

    Parameters
    ----------
    Z : ndarray of shape (n_pixels, d)
    good : ndarray of intp
        The pixels taken.
    image_shape : (n_rows, n_columns)

    Returns
    -------
    float
    """
    taken = np.zeros(len(Z), dtype=bool)
    taken[good] = True
    index = np.arange(len(Z), dtype=np.intp).reshape(image_shape)
    lines = [i for i, n in ((index, image_shape[1]), (index.T, image_shape[0])) if n > 3]
    gamma = []
    for lag in (1, 2, 3):
        first = _joined([i[:, :-lag].ravel() for i in lines])
        second = _joined([i[:, lag:].ravel() for i in lines])
        pairs = np.flatnonzero(taken[first] & taken[second])
        if not len(pairs):
            return 0.0
        if len(pairs) > _N_PAIRS:
            pairs = np.random.default_rng(0).choice(pairs, _N_PAIRS, replace=False)
        squares = np.empty(len(pairs))
        edge_distances(np.ascontiguousarray(Z), first[pairs], second[pairs], squares)
        gamma.append(np.median(squares) / 2)
    return max(float((15 * gamma[0] - 6 * gamma[1] + gamma[2]) / 10), 0.0)


def noise_left(W):
    """Part of the standard deviation of independent noise that averages of each pixel keep."""
    return np.sqrt(_shares_left(W))


def _shares_left(W):
    # The weights are 1 for the pixel itself and those of the edges.
    squares = np.add.reduceat(np.append(np.square(W.data), 0), W.indptr[:-1])
    squares[np.diff(W.indptr) == 0] = 0
    return (1 + squares) / (1 + degrees_of(W)) ** 2


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
