"""Whether, and how, endmembers move beyond the pixels."""

import numpy as np

from ._crowded_facets import crowded_facets
from ._facet_tests import (
    abundances_are_dirichlet,
    archetypes_fall_short,
    facets_stay_sharp,
    facets_tell_more,
    lacks_pure_pixels,
    varies_as_a_simplex,
)
from ._min_volume import min_volume
from ._noise import band_noise
from ._pipeline import average_neighbours
from ._subspace import coordinates, principal_directions, scene_moments

# Pixels for each endmember without which nothing can be told of facets.
_FEWEST = 30


def beyond_the_pixels(Y, E, d, flags, workers, rng, *, scale, graph_shape, force):
    """Corners of the simplex that the scene fills, where its pixels do not reach them.

    Bands are divided by their noise first, so that it is the same in all directions.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Without holes in the good bands.
    E : ndarray of shape (k, n_bands)
        Archetypes.
    d : int
        Dimensions of the subspace.
    flags : Flags
    workers : Workers
    rng : numpy.random.Generator
    scale : ndarray of shape (n_pixels,) or None
        What each spectrum is multiplied by first; E are archetypes of these.
    graph_shape : tuple of int or None
        Rows and columns, where the archetypes are of averaged neighbours.
    force : bool
        Whether to move them in any case.

    Returns
    -------
    corners : ndarray of shape (k, n_bands), or None
        None where pixels tell more of the endmembers than facets do, or where nothing can be told.
    """
    k = len(E)
    good, bands = np.flatnonzero(flags.pixels), flags.bands
    if len(good) < _FEWEST * k and not force:
        return None
    n, mean, C = scene_moments(Y, workers, pixels=good, bands=bands, scale=scale)
    kept = np.ix_(bands, bands)
    sigma = np.ones(len(mean))
    sigma[bands] = band_noise(C[kept], n)
    # Where there is no noise, what rounding leaves is none of it.
    floor = 1e-6 * np.sqrt(np.diag(C).max())
    sigma = np.maximum(sigma, floor if floor > 0 else 1.0)
    vectors, _ = principal_directions(C / np.outer(sigma, sigma), min(d, int(bands.sum())))
    to_scores = vectors / sigma
    every = coordinates(Y, mean, to_scores, workers, bands=bands, scale=scale)
    start = (E - mean) @ to_scores.T
    corners = _corners(every, good, start, int(bands.sum()), workers, rng, graph_shape, force)
    return None if corners is None else mean + (corners @ vectors) * sigma * bands


def _corners(every, good, start, n_bands, workers, rng, graph_shape, force):
    """Corners in coordinates of unit noise, or None."""
    Z, k = every[good], len(start)
    if not force and not varies_as_a_simplex(Z, k, 1.0, n_bands=n_bands):
        return None
    # On the pixels as they are: averaging takes the noise away that the test needs to know.
    corners, trace = min_volume(Z, start, workers, sigma=1.0)
    if trace.stop == "stalled":
        return None
    sharp = facets_tell_more(Z, start, corners, 1.0, n_bands=n_bands)
    if not sharp:
        crowded, c, _ = crowded_facets(Z, start, workers, sigma=1.0)
        if abundances_are_dirichlet(Z, start, crowded, c, 1.0, n_bands=n_bands):
            return crowded
    lacking = force or lacks_pure_pixels(Z, corners, 1.0, n_bands=n_bands)
    known = corners if sharp or lacking else None
    if graph_shape is None:
        return known
    smooth, gain = average_neighbours(every, good, graph_shape, True, rng)
    finer, trace = min_volume(smooth, corners, workers, sigma=gain)
    if trace.stop == "stalled":
        return known
    if lacking:
        return finer
    if sharp:
        return finer if facets_stay_sharp(smooth, finer, gain) else corners
    return finer if archetypes_fall_short(Z, start, finer, 1.0, gain) else None
