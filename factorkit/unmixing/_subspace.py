"""Moments of a scene, its principal directions and the coordinates of its pixels in them.

Everything goes over the pixels a block at a time: the scene is never centred, copied or cast as a
whole.
"""

import numpy as np
from scipy.linalg import eigh

from ..utils._threads import blocks_of
from ._abundances import row_products

# Sums of bands × bands that are held at once; and what a block cast to float64 may take, in
# numbers: 1 MB, a core's cache.
_N_SUMS = 16
_BLOCK_SIZE = 2**17


def scene_moments(Y, workers, *, pixels=None, bands=None, scale=None):
    """Mean and covariance of the spectra.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64.
    workers : Workers
    pixels : ndarray or None, default=None
        The pixels to take: a mask, or their indices.
    bands : ndarray of bool of shape (n_bands,) or None, default=None
        The bands to take. The others may hold NaN; mean and covariance are 0 there.
    scale : ndarray of shape (n_pixels,) or None, default=None
        What each spectrum is multiplied by first.

    Returns
    -------
    n_pixels : int
        How many were taken.
    mean : ndarray of shape (n_bands,)
    covariance : ndarray of shape (n_bands, n_bands)
        (1/n) Σ (y − mean)(y − mean)ᵀ, in float64; the second moments about zero are
        ``covariance + np.outer(mean, mean)``.
    """
    pixels = _indices(pixels)
    kept = _indices(bands)
    n = len(Y) if pixels is None else len(pixels)
    n_bands = Y.shape[1]
    if n == 0:
        return 0, np.zeros(n_bands), np.zeros((n_bands, n_bands))
    # Products of what is nearly centred: about zero, a small variance on a large mean is lost.
    step = max(64, _BLOCK_SIZE // max(n_bands, 1))
    shift = _rows(Y, pixels, kept, scale, 0, min(step, n)).mean(axis=0)

    def sums(start, stop):
        total, squares = np.zeros(len(shift)), np.zeros((len(shift), len(shift)))
        for first in range(start, stop, step):
            block = _rows(Y, pixels, kept, scale, first, min(first + step, stop))
            block -= shift
            total += block.sum(axis=0)
            squares += block.T @ block
        return total, squares

    long = -(-n // _N_SUMS)
    parts = workers.map(sums, [(i, min(i + long, n)) for i in range(0, n, long)])
    offset = sum(total for total, _ in parts) / n
    inner = sum(squares for _, squares in parts) / n - np.outer(offset, offset)
    # A band without variance has rounding errors of either sign.
    np.maximum(np.diag(inner), 0, out=inner.reshape(-1)[:: len(inner) + 1])
    if kept is None:
        return n, shift + offset, inner
    mean, covariance = np.zeros(n_bands), np.zeros((n_bands, n_bands))
    mean[kept] = shift + offset
    covariance[np.ix_(kept, kept)] = inner
    return n, mean, covariance


def principal_directions(M, d):
    """The d leading eigenvectors of a matrix of moments, as rows, and their eigenvalues.

    Eigenvalues that are rounding errors of the largest are 0, and so are their vectors.
    """
    n = len(M)
    values, vectors = (
        eigh(M, subset_by_index=[n - d, n - 1]) if d else (np.zeros(0), np.zeros((n, 0)))
    )
    values, vectors = values[::-1], vectors.T[::-1].copy()
    lost = values <= n * np.finfo(np.float64).eps * values.max(initial=0.0)
    values = np.where(lost, 0.0, values)
    vectors[lost] = 0
    # The sign is LAPACK's; a rule makes it nobody's.
    largest = np.abs(vectors).argmax(axis=1)
    vectors *= np.where(vectors[np.arange(d), largest] < 0, -1.0, 1.0)[:, None]
    return vectors, values


def principal_subspace(Y, d, workers, *, centred=True, pixels=None, bands=None):
    """The principal subspace of a scene.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64.
    d : int
        Its dimension, at most the number of bands.
    workers : Workers
    centred : bool, default=True
        About the mean; False takes the singular vectors of Y itself.
    pixels : ndarray or None, default=None
        The pixels to take: a mask, or their indices.
    bands : ndarray of bool of shape (n_bands,) or None, default=None
        The bands to take. The others may hold NaN.

    Returns
    -------
    mean : ndarray of shape (n_bands,)
        0 where not centred.
    vectors : ndarray of shape (d, n_bands)
        Orthonormal rows, 0 in bands that are left out. Directions without variance beyond
        rounding errors are zero rows.
    singular_values : ndarray of shape (d,)
        Of the (centred) pixels × bands, falling.

    Notes
    -----
    O(n_pixels n_bands²) operations and O(n_bands²) memory. ``coordinates(Y, mean, vectors)`` are
    what is kept of Y, and ``mean + Z @ vectors`` is its approximation.
    """
    n, mean, M = scene_moments(Y, workers, pixels=pixels, bands=bands)
    if not centred:
        M += np.outer(mean, mean)
        mean = np.zeros_like(mean)
    vectors, values = principal_directions(M, d)
    if bands is not None:
        left_out = np.ones(len(M), dtype=bool)
        left_out[_indices(bands)] = False
        vectors[:, left_out] = 0
    return mean, vectors, np.sqrt(n * values)


def coordinates(Y, mean, vectors, workers, *, pixels=None, bands=None, scale=None):
    """(scale * Y − mean) vectorsᵀ in float64, of the pixels taken; bands left out may hold NaN."""
    pixels, kept = _indices(pixels), _indices(bands)
    n = len(Y) if pixels is None else len(pixels)
    used = slice(None) if kept is None else kept
    V = np.ascontiguousarray(vectors[:, used], dtype=np.float64)
    origin = V @ mean[used]
    Z = np.empty((n, len(V)))

    def project(start, stop):
        rows = Y[start:stop] if pixels is None else Y[pixels[start:stop]]
        F = row_products(rows[:, used], V)
        if scale is not None:
            F *= (scale[start:stop] if pixels is None else scale[pixels[start:stop]])[:, None]
        Z[start:stop] = F - origin

    workers.map(project, blocks_of(n, 2.0 * V.size))
    return Z


def _indices(mask):
    """Indices of a mask or of what are indices already; None stays None."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    return np.flatnonzero(mask) if mask.dtype == bool else mask


def _rows(Y, pixels, kept, scale, start, stop):
    """A block of the scene, a copy in float64."""
    taken = slice(start, stop) if pixels is None else pixels[start:stop]
    rows = Y[taken]
    if kept is not None:
        rows = rows[:, kept]
    rows = np.array(rows, dtype=np.float64, order="C")
    if scale is not None:
        rows *= scale[taken, None]
    return rows
