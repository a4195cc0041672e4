"""Pixels that stand for endmembers: the corners of the simplex that a scene fills.

Solvers take coordinates of the pixels in a few dimensions, from `_simplex_points`, and return the
numbers of pixels. What spans fewer dimensions than asked for is filled up with
distinct pixels, each as far as possible from those there are.
"""

from math import lgamma

import numpy as np

from ..utils._convergence import Trace
from ..utils._threads import blocks_of
from ._abundances import row_products
from ._extraction_kernels import farthest

# Sizes below this, relative to the largest, are rounding errors.
_NOTHING = 1e-10
# A swap of N-FINDR multiplies the volume by more than this.
SWAP = 1 + 1e-9


def vca(points, n_init, rng, workers):
    """Vertex component analysis, from several starts at once.

    Each endmember is the pixel that lies farthest in a random direction at right angles to the
    endmembers before it.

    Parameters
    ----------
    points : ndarray of shape (n_pixels, k)
        Coordinates of the pixels.
    n_init : int
        Number of starts.
    rng : numpy.random.Generator
    workers : Workers

    Returns
    -------
    pixels : ndarray of intp of shape (n_init, k)
        The pixels of each start: distinct ones.

    References
    ----------
    J. M. P. Nascimento and J. M. Bioucas-Dias, "Vertex Component Analysis: A Fast Algorithm to
    Unmix Hyperspectral Data", IEEE TGRS 43, 2005.
    """
    k = points.shape[1]
    largest = np.sqrt(np.einsum("ij,ij->i", points, points).max())
    pixels = np.zeros((n_init, k), dtype=np.intp)
    lost = np.zeros((n_init, k), dtype=bool)
    basis = np.zeros((n_init, k, k))
    for j in range(k):
        directions = rng.standard_normal((n_init, k))
        if j == 0:
            # The last coordinate is the constant, or nearly so: it favours no pixel.
            directions[:, -1] = 0
        directions = _unit(_orthogonal(directions, basis))
        sizes, pixels[:, j] = _farthest(points, directions, workers)
        lost[:, j] = sizes <= _NOTHING * largest
        vertices = _orthogonal(points[pixels[:, j]], basis)
        vertices[lost[:, j]] = 0
        basis[:, j] = _unit(vertices)
    for row, gone in zip(pixels, lost, strict=True):
        _fill(points, row, gone, workers)
    return pixels


def spa(Y, k, workers):
    """Successive projection: the pixel of the largest norm, off the span of those before it.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Pixels, or their coordinates about zero; float32 or float64.
    k : int
        Number of endmembers.
    workers : Workers

    Returns
    -------
    pixels : ndarray of intp of shape (k,)
        Distinct ones.

    Notes
    -----
    Norms are updated by Pythagoras, so an endmember costs one product of Y with a vector. Norms
    of what is left are known to 1e-8 of the largest norm; 1e-5 of it is taken for nothing.

    References
    ----------
    M. C. U. Araújo, T. C. B. Saldanha, R. K. H. Galvão, T. Yoneyama, H. C. Chame and V. Visani,
    "The Successive Projections Algorithm for Variable Selection in Spectroscopic Multicomponent
    Analysis", Chemometrics and Intelligent Laboratory Systems 57, 2001.
    """
    left = squared_distances(Y, np.zeros(Y.shape[1]), workers)
    nothing = _NOTHING * left.max()
    pixels, lost = np.zeros(k, dtype=np.intp), np.zeros(k, dtype=bool)
    basis = np.zeros((1, k, Y.shape[1]))
    for j in range(k):
        pixels[j] = left.argmax()
        lost[j] = left[pixels[j]] <= nothing
        if lost[j]:
            continue
        basis[0, j] = _unit(_orthogonal(Y[pixels[j]].astype(np.float64)[None], basis))[0]
        _deflate(Y, basis[0, j], left, workers)
        left[pixels[j]] = 0
    _fill(Y, pixels, lost, workers)
    return pixels


def nfindr(points, starts, workers, *, max_iter=100, report=None):
    """N-FINDR: swap pixels while that enlarges the simplex, from several starts.

    A sweep offers each endmember in turn the pixel that would enlarge the simplex the most.

    Parameters
    ----------
    points : ndarray of shape (n_pixels, k)
        From `affine_points`.
    starts : ndarray of intp of shape (n_starts, k)
        Pixels to start from.
    workers : Workers
    max_iter : int, default=100
        Most sweeps.
    report : callable or None, default=None
        ``report(objective, pixels) -> bool``, after each sweep; true ends the run.

    Returns
    -------
    pixels : ndarray of intp of shape (k,)
        Those of the largest simplex of all starts.
    trace : Trace
        The objective is minus the logarithm of its volume, after each sweep; it never rises. The
        residual is the logarithm of the growth of the simplex that grew most.

    Notes
    -----
    Where endmember j gives way to pixel y, the volume is multiplied by \\|y · V⁻¹ e_j\\|, with the
    points of the endmembers in the rows of V. So a sweep costs one product of the points with k
    vectors a start. V is inverted anew for each endmember: k³ is little beside n k, and nothing
    drifts.

    References
    ----------
    M. E. Winter, "N-FINDR: An Algorithm for Fast Autonomous Spectral End-Member Determination in
    Hyperspectral Data", Proc. SPIE 3753, 1999.
    """
    trace = Trace()
    k = points.shape[1]
    pixels = starts[np.unique(np.sort(starts, axis=1), axis=0, return_index=True)[1]]
    volumes = log_volumes(points, pixels)
    if not np.isfinite(volumes).any():
        # A scene of fewer dimensions: every simplex is flat.
        trace.stop = "converged"
        return starts[0].copy(), trace
    pixels, volumes = pixels[np.isfinite(volumes)], volumes[np.isfinite(volumes)]
    active = np.arange(len(pixels))
    while len(active) and trace.n_iter < max_iter:
        before = volumes[active].copy()
        for j in range(k):
            _swap(points, pixels, volumes, active, j, workers)
        grown = volumes[active] - before
        active = active[grown > 0]
        trace.add(-volumes.max(), grown.max())
        if report is not None and report(trace.objective[-1], pixels[volumes.argmax()]):
            trace.stop = "callback"
            break
    else:
        trace.stop = "max_iter" if len(active) else "converged"
    return pixels[volumes.argmax()], trace


def log_volumes(points, pixels):
    """Logarithms of the volumes of simplices of pixels, -inf for flat ones.

    Parameters
    ----------
    points : ndarray of shape (n_pixels, k)
        From `affine_points`.
    pixels : ndarray of intp of shape (n_simplices, k)

    Returns
    -------
    log_volumes : ndarray of shape (n_simplices,)
    """
    _, log_determinants = np.linalg.slogdet(points[pixels])
    # The constant coordinate is taken for 1; a simplex has 1 / (k - 1)! of the parallelepiped.
    return log_determinants - np.log(points[0, -1]) - lgamma(points.shape[1])


def nearest_to(Y, target, workers):
    """The pixel nearest a spectrum, as an array of one number."""
    return np.array([squared_distances(Y, target, workers).argmin()])


def squared_distances(Y, target, workers):
    """Squared distances of the pixels from a spectrum, in float64."""
    distances = np.empty(len(Y))
    target = target.astype(np.float64)

    def measure(start, stop):
        difference = Y[start:stop] - target
        np.einsum("ij,ij->i", difference, difference, out=distances[start:stop])

    workers.map(measure, blocks_of(len(Y), 4.0 * Y.shape[1], target=1e6))
    return distances


def _swap(points, pixels, volumes, active, j, workers):
    """Give endmember j of each active start the pixel that enlarges its simplex most."""
    directions = np.linalg.inv(points[pixels[active]])[:, :, j]
    factors, candidates = _farthest(points, directions, workers)
    offered = pixels[active]
    offered[:, j] = candidates
    # Of a nearly flat simplex the factor is inexact; the volume decides.
    offered_volumes = log_volumes(points, offered)
    better = (factors > SWAP) & (offered_volumes > volumes[active])
    pixels[active[better]] = offered[better]
    volumes[active[better]] = offered_volumes[better]


def _farthest(points, directions, workers):
    """The greatest size of a product with each direction, and its pixel."""
    n_directions = len(directions)
    columns = np.ascontiguousarray(directions.T)

    def search(start, stop):
        best = np.full(n_directions, -1.0)
        at = np.zeros(n_directions, dtype=np.intp)
        farthest(points[start:stop], columns, start, best, at)
        return best, at

    parts = workers.map(search, blocks_of(len(points), 2.0 * columns.size))
    best, at = parts[0]
    for sizes, pixels in parts[1:]:
        farther = sizes > best
        best[farther], at[farther] = sizes[farther], pixels[farther]
    return best, at


def _deflate(Y, direction, left, workers):
    def project(start, stop):
        along = row_products(Y[start:stop], direction[None])[:, 0]
        left[start:stop] -= along**2

    workers.map(project, blocks_of(len(Y), 4.0 * Y.shape[1]))


def _orthogonal(vectors, basis):
    """Each vector less its projection on its basis; twice, for the sake of rounding errors."""
    for _ in range(2):
        along = np.einsum("skd,sd->sk", basis, vectors)
        vectors = vectors - np.einsum("sk,skd->sd", along, basis)
    return vectors


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _fill(points, pixels, lost, workers):
    """Replace lost and repeated pixels by others, far from those that stay."""
    stays = np.zeros(len(pixels), dtype=bool)
    found = np.flatnonzero(~lost)
    stays[found[np.unique(pixels[found], return_index=True)[1]]] = True
    if stays.all():
        return
    distances = np.full(len(points), np.inf)
    for pixel in pixels[stays]:
        np.minimum(distances, squared_distances(points, points[pixel], workers), out=distances)
    distances[pixels[stays]] = -1
    for j in np.flatnonzero(~stays):
        pixels[j] = distances.argmax()
        np.minimum(distances, squared_distances(points, points[pixels[j]], workers), out=distances)
        distances[pixels[j]] = -1
