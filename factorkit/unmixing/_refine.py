"""Whether, and how, the endmembers of an extraction move beyond the pixels."""

from ._min_volume import lacks_pure_pixels, min_volume, varies_as_a_simplex

# Pixels for each endmember without which nothing can be told of facets.
_FEWEST = 30


def beyond_the_pixels(frame, centres, sigma, n_bands, workers, *, force=False):
    """Corners of the simplex that the scene fills, where its pixels do not reach them.

    Parameters
    ----------
    frame : Frame
        Coordinates of the good pixels.
    centres : ndarray of shape (k, d)
        Archetypes, in the same coordinates.
    sigma : float
        Standard deviation of the noise of a coordinate.
    n_bands : int
        Bands that the coordinates were made from.
    workers : Workers
    force : bool, default=False
        Whether to move them in any case.

    Returns
    -------
    corners : ndarray of shape (k, d), or None
        None where pixels are pure, or where nothing can be told.
    """
    k = len(centres)
    Z = frame.coordinates
    if len(Z) < _FEWEST * k and not force:
        return None
    if not force and not varies_as_a_simplex(Z, k, sigma, n_bands=n_bands):
        return None
    # On the pixels as they are: averaging takes the noise away that the test needs to know.
    corners, trace = min_volume(Z, centres, workers, sigma=sigma)
    if trace.stop == "stalled":
        return None
    if not force and not lacks_pure_pixels(Z, corners, sigma, n_bands=n_bands):
        return None
    if frame.smooth is None:
        return corners
    finer, trace = min_volume(frame.smooth, corners, workers, sigma=sigma * frame.gain)
    return corners if trace.stop == "stalled" else finer
