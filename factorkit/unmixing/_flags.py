"""Ruined bands and pixels, told from the scene alone.

A good band is nearly a combination of the bands beside it, whatever the materials are; a good
pixel has others like it. Neither needs a model of the scene, so both are known before one is
fitted.
"""

import numpy as np
from scipy.ndimage import median_filter
from sklearn.neighbors import NearestNeighbors

from ..utils._threads import blocks_of
from ._noise import FLOOR, live_bands

# A band with so much noise relative to its variations is of no use: 4 % of the variance.
_WORST_NOISE = 0.2
# A band is also ruined where its noise stands out from that of the bands around it; below the
# last figure it does no harm.
_WINDOW = 15
_TIMES_RELATIVE, _TIMES_ABSOLUTE, _HARMLESS = 1.4, 1.7, 0.04
# Without signal, most of a band's variations are unexplained.
_EMPTY = 0.8
# Pixels of a good band that may share its largest value, and its least: dark pixels are at zero.
_MOST_TIES, _MOST_AT_FLOOR = 0.1, 0.5
# A pixel is alone where the sixth of those most like it, itself included, is so many times farther
# away than for nine in ten pixels; so it is with the distance from the subspace.
_ALONE = 2.5
_N_NEIGHBOURS = 6
# Pixels that all are compared with, where there are more than twice as many.
_N_REFERENCES = 2500


def ruined_bands(C, *, clipped=None, order=None, max_rounds=8):
    """Which bands are noise, offsets, stripes or nothing, by what their neighbours predict.

    Parameters
    ----------
    C : ndarray of shape (n_bands, n_bands)
        Covariance of the bands; anything in bands that are clipped.
    clipped : ndarray of bool of shape (n_bands,) or None, default=None
        Bands that are known to be ruined.
    order : ndarray of intp of shape (n_bands,) or None, default=None
        The bands by wavelength.
    max_rounds : int, default=8

    Returns
    -------
    ruined : ndarray of bool of shape (n_bands,)
    noise : ndarray of shape (n_bands,)
        Standard deviation of what the neighbours do not predict.

    Notes
    -----
    Each band is regressed on the two good bands on either side, and on the two beyond those; the
    worse of the two counts. A few neighbours are enough for spectra, which are smooth, and too few
    to predict a ruin that many bands share, such as a ramp across the image. First every band is
    on trial with its nearest neighbours alone; what is flagged then predicts no more, and may be
    acquitted, at last by the two nearest good bands on either side alone.

    A band is ruined where its noise stands out from that of the 15 bands around it (1.7 times their
    median, and 1.4 times relative to its own variations), or where it exceeds a fifth of its
    variations (or twice the median of all bands, in a noisy scene) and twice the median noise: a
    dim band with little noise is left alone.
    """
    n_bands = len(C)
    order = np.arange(n_bands) if order is None else order
    given = np.zeros(n_bands, dtype=bool) if clipped is None else clipped
    ruined = np.ones(n_bands, dtype=bool)
    noise = np.zeros(n_bands)
    trial = order[(live_bands(C) & ~given)[order]]
    if len(trial) < 4:
        ruined[trial] = False
        return ruined, noise
    C = C[np.ix_(trial, trial)]
    variance = np.diag(C)
    good = np.ones(len(trial), dtype=bool)
    for round_ in range(max_rounds):
        reaches = [(0, 1), (1, 2)] if round_ == 0 else [(0, 2), (2, 4)]
        r = np.max([_unexplained(C, good, near, far) for near, far in reaches], axis=0)
        bad = _stands_out(r, r * np.sqrt(variance))
        if np.count_nonzero(~bad) < 4:
            bad = r > np.sort(r)[3]
        if (bad == ~good).all():
            break
        good = ~bad
    # With nothing but good bands beside it the nearest are enough, and fairer: those beyond
    # predict a sharp feature less well. Each acquittal may bring another.
    for _ in range(max_rounds):
        r = _unexplained(C, good, 0, 2)
        acquitted = ~good & ~_stands_out(r, r * np.sqrt(variance))
        if not acquitted.any():
            break
        good = good | acquitted
    ruined[trial[good]] = False
    noise[trial] = r * np.sqrt(variance)
    return ruined, noise


def _unexplained(C, good, near, far):
    """Share of each band's standard deviation that good bands on both sides do not predict."""
    n = len(C)
    usable = np.flatnonzero(good)
    below = np.searchsorted(usable, np.arange(n))
    above = np.searchsorted(usable, np.arange(n), side="right")
    r = np.ones(n)
    for band in range(n):
        left = usable[: below[band]][::-1][near:far]
        right = usable[above[band] :][near:far]
        window = np.concatenate([left, right])
        if len(window) < 2 * (far - near):
            # Near the ends all of them are on one side.
            others = usable[usable != band]
            nearest = np.argsort(np.abs(others - band), kind="stable")
            window = others[nearest[2 * near : 2 * far]]
        if not len(window):
            continue
        inner = C[np.ix_(window, window)]
        ridge = FLOOR * np.trace(inner) / len(window)
        c = C[window, band]
        gain = c @ np.linalg.solve(inner + ridge * np.eye(len(window)), c)
        r[band] = np.sqrt(max(1 - gain / C[band, band], 0.0))
    return r


def _stands_out(r, sigma):
    width = min(_WINDOW, len(r))
    around = [median_filter(values, size=width, mode="nearest") for values in (r, sigma)]
    local = (r > _TIMES_RELATIVE * around[0]) & (sigma > _TIMES_ABSOLUTE * around[1])
    odds = r**2 / np.maximum(1 - r**2, 1e-12)
    worst = _WORST_NOISE**2 / (1 - _WORST_NOISE**2)
    noisy = (odds > max(worst, 4 * np.median(odds))) & (sigma > 2 * np.median(sigma))
    # A dim band with little noise is left alone, but not one that holds nothing else.
    empty = (r > _EMPTY) & (r > _TIMES_RELATIVE * np.median(r))
    return (local & (r > _HARMLESS)) | noisy | empty


def clipped_bands(Y, workers, pixels=None):
    """Bands in which too many pixels share the largest or the least value, or that lack more than
    half of them.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        May hold NaN.
    workers : Workers
    pixels : ndarray of bool of shape (n_pixels,) or None, default=None
        The pixels to count; None takes all.

    Returns
    -------
    clipped : ndarray of bool of shape (n_bands,)
    has_holes : bool
        Whether anything is NaN.
    """
    blocks = blocks_of(len(Y), 4.0 * Y.shape[1], target=4e6)

    def rows(start, stop):
        return Y[start:stop] if pixels is None else Y[start:stop][pixels[start:stop]]

    def extremes(start, stop):
        block = rows(start, stop)
        return np.fmax.reduce(block, axis=0, initial=-np.inf), np.fmin.reduce(
            block, axis=0, initial=np.inf
        )

    parts = workers.map(extremes, blocks)
    largest = np.max([high for high, _ in parts], axis=0)
    least = np.min([low for _, low in parts], axis=0)

    def count(start, stop):
        block = rows(start, stop)
        return [
            np.count_nonzero(what, axis=0)
            for what in (block == largest, block == least, np.isnan(block))
        ]

    counts = workers.map(count, blocks)
    ties, at_floor, missing = (sum(part[i] for part in counts) for i in range(3))
    n = len(Y) if pixels is None else np.count_nonzero(pixels)
    # In a handful of pixels a tie is no evidence; and where many are equal throughout, as pure ones
    # are without noise, they tie in all bands.
    usual, usual_floor = 2 * np.median(ties), 2 * np.median(at_floor)
    clipped = (ties > max(_MOST_TIES * n + usual, 5)) | (missing > n / 2)
    clipped |= at_floor > max(_MOST_AT_FLOOR * n + usual_floor, 5)
    return clipped, bool(missing.any())


def constant_pixels(Y, bands, workers):
    """Pixels without a spectrum: dead ones, saturated ones, and those that lack most bands."""
    constant = np.zeros(len(Y), dtype=bool)

    def look(start, stop):
        block = Y[start:stop, bands]
        high, low = np.fmax.reduce(block, axis=1), np.fmin.reduce(block, axis=1)
        size = np.fmax(np.abs(high), np.abs(low))
        lacking = np.count_nonzero(np.isnan(block), axis=1) > block.shape[1] / 2
        constant[start:stop] = lacking | ~(high - low > 1e-6 * size)

    workers.map(look, blocks_of(len(Y), 4.0 * len(bands), target=4e6))
    return constant


def lonely_pixels(Z, off, tested, usable, rng):
    """Pixels that resemble no others: spectra of nothing that the scene is made of.

    Parameters
    ----------
    Z : ndarray of shape (n_pixels, d)
        Coordinates.
    off : ndarray of shape (n_pixels,)
        Distances from the subspace of the coordinates.
    tested, usable : ndarray of bool of shape (n_pixels,)
        The pixels to judge, and those among them that may be taken for ordinary.
    rng : numpy.random.Generator
        Chooses the pixels that all are compared with, where there are many.

    Returns
    -------
    lonely : ndarray of bool of shape (n_pixels,)
    """
    candidates, ordinary = np.flatnonzero(tested), np.flatnonzero(usable)
    lonely = np.zeros(len(Z), dtype=bool)
    if len(ordinary) <= 2 * _N_NEIGHBOURS:
        return lonely
    references = ordinary
    if len(ordinary) > 2 * _N_REFERENCES:
        references = np.sort(rng.choice(ordinary, _N_REFERENCES, replace=False))
    distances = _distances(Z, candidates, references)
    limit = _ALONE * np.quantile(distances[usable[candidates]], 0.9)
    far = candidates[distances > limit]
    if len(far) and len(references) < len(ordinary):
        # A rare material may be missing from the sample; its pixels are like each other.
        both = np.union1d(far, references)
        far = far[_distances(Z, far, both) > limit]
    lonely[far] = True
    return lonely | (tested & (off > _ALONE * np.quantile(off[usable], 0.9)))


def _distances(Z, pixels, references):
    """Distance of each pixel from the sixth nearest reference.

    A pixel that is a reference counts itself: then pixels of a rare material are judged alike,
    whether they are references or not.
    """
    # In single precision, of numbers about 1, the search takes half the time.
    size = np.abs(Z).max(initial=0.0) or 1.0
    single = (Z / size).astype(np.float32)
    search = NearestNeighbors(n_neighbors=_N_NEIGHBOURS, algorithm="brute", n_jobs=1)
    return search.fit(single[references]).kneighbors(single[pixels])[0][:, -1]
