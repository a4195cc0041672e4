"""Spectra in ruined bands, from the good bands beside them.

Spectra are taken for Gaussian processes: a mean, a covariance of Matérn's with ν = 5/2,

    c(d) = (1 + √5 d/ℓ + 5 d²/3ℓ²) exp(−√5 d/ℓ),

over the distance d of two wavelengths, and white noise. What is expected of a ruined band, given
the good ones (kriging), follows features across gaps and smooths the noise. Length and noise are
those of the largest likelihood. Where spectra have edges, no such process is a model of them, and
monotone cubics, which never overshoot, miss good bands by less; so both are tried on some first.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.linalg import cho_factor, cho_solve

# Lengths, in typical distances of bands, and variances of the noise, in those of the spectra.
_LENGTHS = 2.0 ** np.arange(1, 8)
_NOISES = 10.0 ** np.arange(-8, 0)
# Bands whose likelihood is taken together.
_CHUNK = 250
# Good bands without which there is nothing to learn from.
_FEWEST = 8
# Good bands are tried that lie so many beside a ruined one.
_SHIFTS = (-4, -3, -2, -1, 1, 2, 3, 4)


def interpolate_bands(E, bands, positions):
    """Spectra with the values of bad bands interpolated between good ones, in place.

    Parameters
    ----------
    E : ndarray of shape (n_spectra, n_bands)
    bands : ndarray of bool of shape (n_bands,)
        The good bands.
    positions : ndarray of shape (n_bands,)
        Wavelengths, or the numbers of the bands.
    """
    if bands.all() or not bands.any():
        return E
    good, bad = np.flatnonzero(bands), np.flatnonzero(~bands)
    # Bands of spectrometers that overlap may share a wavelength.
    where, first = np.unique(positions[good], return_index=True)
    known = E[:, good[first]].astype(np.float64)
    at = positions[bad].astype(np.float64)
    if len(where) >= _FEWEST:
        process = _likeliest(where, known)
        missed = {_monotone: 0.0, _kriged: 0.0}
        for held in _beside(where, at):
            for fill in missed:
                values = fill(where[~held], known[:, ~held], where[held], process)
                missed[fill] += np.square(values - known[:, held]).sum()
        if missed[_kriged] < missed[_monotone]:
            E[:, bad] = _kriged(where, known, at, process)
            return E
    E[:, bad] = _monotone(where, known, at, None)
    return E


def _monotone(where, known, at, process):
    """Monotone cubics; beyond the last good band its value."""
    if len(where) == 1:
        return np.repeat(known, len(at), axis=1)
    return PchipInterpolator(where, known, axis=1)(np.clip(at, where[0], where[-1]))


def _kriged(where, known, at, process):
    """What is expected of a process; no less than zero where nothing is."""
    length, noise = process
    mean = known.mean(axis=1, keepdims=True)
    C = _covariance(where, where, length)
    C[np.diag_indices(len(C))] += noise
    values = mean + (_covariance(at, where, length) @ cho_solve(cho_factor(C), (known - mean).T)).T
    return np.where(known.min(axis=1, keepdims=True) >= 0, np.maximum(values, 0), values)


def _covariance(x, y, length):
    d = np.sqrt(5) / length * np.abs(x[:, None] - y)
    return (1 + d + d**2 / 3) * np.exp(-d)


def _likeliest(where, known):
    """Length and noise of the largest likelihood, each spectrum with a variance of its own."""
    centred = known - known.mean(axis=1, keepdims=True)
    power = np.square(centred).sum(axis=1)
    centred = centred[power > 0] / np.sqrt(power[power > 0, None])
    step = np.median(np.diff(where))
    n = len(where)
    n_chunks = -(-n // _CHUNK)
    costs = np.zeros((len(_LENGTHS), len(_NOISES)))
    for i, length in enumerate(step * _LENGTHS):
        # The variances are shared by the chunks, which else are independent.
        variances, logs = np.zeros((len(_NOISES), len(centred))), np.zeros(len(_NOISES))
        for chunk in np.array_split(np.arange(n), n_chunks):
            values, vectors = np.linalg.eigh(_covariance(where[chunk], where[chunk], length))
            total = np.maximum(values, 0) + _NOISES[:, None]
            variances += (1 / total) @ np.square(centred[:, chunk] @ vectors).T / n
            logs += np.log(total).sum(axis=1)
        costs[i] = n * np.log(variances).sum(axis=1) + len(centred) * logs
    i, j = np.unravel_index(costs.argmin(), costs.shape)
    return step * _LENGTHS[i], _NOISES[j]


def _beside(where, at):
    """Good bands to try: gaps of the pattern of the bad ones, moved a few bands aside."""
    nearest = np.searchsorted(where, at)
    for shift in _SHIFTS:
        moved = nearest + shift - (shift > 0)
        held = np.zeros(len(where), dtype=bool)
        held[moved[(moved >= 0) & (moved < len(where))]] = True
        if held.any() and np.count_nonzero(~held) >= _FEWEST // 2:
            yield held
