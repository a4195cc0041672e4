"""What a scene says of endmembers: whether its light is even, and which flagged bands were good."""

import numpy as np

from ._abundances import abundances_of
from ._interpolation import interpolate_bands
from ._pipeline import N_JUDGES

# Share of the variance of a flagged band that the endmembers may leave to acquit it.
_EXPLAINED = 0.002
# What they may leave of it at most, over what they leave of good bands.
_TIMES_LEFT = 2.0
# Noise of a flagged band over the median of its nearest good ones, and what its mean may differ by
# from what these lead to expect, to acquit it. Noise of the good ones themselves is within 1.1.
_AS_QUIET, _OFF_LEVEL, _N_NEAREST = 1.2, 0.2, 8
# Where shares that sum to one explain a scene as well as free ones (to this factor), and these
# nearly sum to one, the light is even.
_EVEN_RATIO, _EVEN_SPREAD = 1.05, 0.05


def light_evidence(Y, E, flags, workers, rng):
    """How uneven the light is: what sum-to-one costs, and how free sums spread.

    Returns
    -------
    ratio : float
        Residual norm of abundances that sum to one over that of free ones.
    spread : float
        Half the range between the 16 and 84 % quantiles of the sums of free abundances, over their
        median, less what the noise of the bands brings.
    """
    pixels = np.flatnonzero(flags.pixels)
    if len(pixels) > N_JUDGES:
        pixels = np.sort(rng.choice(pixels, N_JUDGES, replace=False))
    kept = np.flatnonzero(flags.bands)
    given = {"band_weights": flags.bands.astype(float), "pixels": pixels}
    free = abundances_of(Y, E, "nnls", workers, **given).astype(np.float64)
    bound = abundances_of(Y, E, "fcls", workers, **given).astype(np.float64)
    squares, power = np.zeros(2), 0.0
    step = max(1, 2**17 // max(len(kept), 1))
    for i in range(0, len(pixels), step):
        y = Y[pixels[i : i + step]][:, kept]
        power += np.square(y, dtype=np.float64).sum()
        for t, A in enumerate((bound, free)):
            squares[t] += np.square(y - A[i : i + step] @ E[:, kept]).sum()
    sums = free.sum(axis=1)
    # Residuals of a thousandth are of no account, even where the scene has no noise.
    squares += 1e-6 * power
    ratio = np.sqrt(squares[0] / squares[1]) if power > 0 else 1.0
    middle = np.median(sums)
    if not middle > 0:
        return float(ratio), 0.0
    spread = 0.5 * np.subtract(*np.quantile(sums, [0.84, 0.16]))
    # The sum of least-squares abundances is a product of the pixel with one spectrum.
    given_by = np.linalg.pinv(E[:, kept] @ E[:, kept].T).sum(axis=0) @ E[:, kept]
    noise = given_by**2 @ np.square(flags.noise[kept])
    return float(ratio), float(np.sqrt(max(spread**2 - noise, 0.0)) / middle)


def explained_bands(Y, E, flags, positions, workers):
    """Bad bands that were none after all, and their values.

    A band of which the free abundances of the good bands explain as much as of these was no ruined
    one. Nor was one in which little varies but noise, as where materials look alike, if there is
    no more noise in it than in the bands beside it and it is as bright as these lead to expect.
    Clipped ones stay bad: what is left of them may be explained very well. The values come from
    least squares.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
    E : ndarray of shape (k, n_bands)
        Endmembers; anything in bad bands.
    flags : Flags
    positions : ndarray of shape (n_bands,)
        Wavelengths, or the numbers of the bands.
    workers : Workers

    Returns
    -------
    bands : ndarray of intp
    values : ndarray of shape (k, len(bands))
    """
    bad, pixels = np.flatnonzero(~(flags.bands | flags.clipped)), np.flatnonzero(flags.pixels)
    k = len(E)
    if not len(bad) or len(pixels) <= 2 * k:
        return bad[:0], np.zeros((k, 0))
    if len(pixels) > N_JUDGES:
        pixels = pixels[:: -(-len(pixels) // N_JUDGES)]
    good = np.flatnonzero(flags.bands)
    A = abundances_of(
        Y, E, "nnls", workers, band_weights=flags.bands.astype(float), pixels=pixels
    ).astype(np.float64)
    y = Y[np.ix_(pixels, bad)].astype(np.float64)
    values, *_ = np.linalg.lstsq(A, y, rcond=None)
    some = good[:: max(1, len(good) // 50)]
    y_good = Y[np.ix_(pixels, some)].astype(np.float64)
    of_good, residuals = y_good - A @ E[:, some], y - A @ values
    left = _left_over(residuals, y)
    explained = left <= 2 * np.median(_left_over(of_good, y_good))
    # Where little varies but noise, as much is left of good bands as of much noisier ones.
    explained &= residuals.std(axis=0) <= _TIMES_LEFT * np.median(of_good.std(axis=0))
    explained |= left <= _EXPLAINED
    quiet = _as_quiet_as_others(flags, positions)[bad]
    mean = interpolate_bands((A.mean(axis=0) @ E)[None], flags.bands, positions)[0, bad]
    explained |= quiet & (np.abs(y.mean(axis=0) - mean) <= _OFF_LEVEL * np.abs(mean))
    return bad[explained], values[:, explained]


def _as_quiet_as_others(flags, positions):
    """Which bands have noise, but not more of it than the nearest good ones."""
    good = np.flatnonzero(flags.bands)
    apart = np.abs(positions[:, None] - positions[good])
    nearest = good[np.argsort(apart, axis=1, kind="stable")[:, :_N_NEAREST]]
    usual = np.median(flags.noise[nearest], axis=1)
    return (flags.noise > 0) & (flags.noise <= _AS_QUIET * usual)


def _left_over(residuals, y):
    """Share of the variance of each band that is left; infinite for bands that hardly vary."""
    variances = y.var(axis=0, dtype=np.float64)
    left = residuals.var(axis=0, dtype=np.float64)
    lives = variances > 1e-20 * variances.max(initial=0.0)
    lives &= variances > 1e-12 * np.square(y.mean(axis=0, dtype=np.float64))
    return np.divide(left, variances, out=np.full_like(left, np.inf), where=lives)


def light_is_even(ratio, spread):
    """Whether areas can be read off without allowing for the light."""
    return ratio < _EVEN_RATIO and spread < _EVEN_SPREAD
