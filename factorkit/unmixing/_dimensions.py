"""Dimensions of a scene that stand out of its noise, from the moments of its bands alone.

Each function takes the number of pixels, the mean and the covariance of live bands, and alpha; it
returns a criterion, the threshold that it exceeds where there is more than noise, and the standard
deviation of the noise of each band. What they are is in the docstring of `estimate_n_endmembers`.
"""

import numpy as np
from scipy.special import ndtri

from ._noise import FLOOR, band_noise, noise_maps
from ._tracy_widom import exceeded_with_probability

# Rounds in which noise and number of endmembers settle; two or three are usual.
_MAX_ROUNDS = 10


def rmt(n, mean, C, alpha):
    """Eigenvalues on noise of unit variance, against the edge of those of noise."""
    variances = band_noise(C, n) ** 2
    # What is below the floor is rounding: on a scene without noise it must not be divided by.
    floor = FLOOR * np.diag(C)
    M = C + np.outer(mean, mean) + np.diag(floor)
    found = None
    for _ in range(_MAX_ROUNDS):
        whitened = M / np.sqrt(np.outer(variances, variances))
        values, vectors = np.linalg.eigh(whitened)
        values = np.maximum(values[::-1], 0)
        thresholds = _noise_edges(values, n, alpha)
        last, found = found, int((values > thresholds).argmin())
        if found == last:
            break
        # The variance of each band off the components, over what of the band is off them.
        V = vectors[:, ::-1][:, :found]
        off = np.eye(len(M)) - V @ V.T
        left = np.einsum("ij,ij->i", off @ whitened, off) / np.maximum(np.diag(off), 0.1)
        variances = np.maximum(variances * left, floor)
    # The test ends at the first component that fails; what comes after it fails as well.
    thresholds[found:] = np.maximum(thresholds[found:], thresholds[found])
    return values, thresholds, np.sqrt(variances)


def _noise_edges(values, n, alpha):
    """What the (k+1)th eigenvalue has to exceed where k components are given, for all k.

    The last is never exceeded.
    """
    p = len(values)
    quantile = exceeded_with_probability(alpha)
    edges = np.full(p, np.inf)
    for k in range(min(p, n) - 1):
        a, b = np.sqrt(n - 0.5), np.sqrt(p - k - 0.5)
        spread = (a + b) * (1 / a + 1 / b) ** (1 / 3)
        edges[k] = _noise_variance(values, k, n) * ((a + b) ** 2 + quantile * spread) / n
    return edges


def _noise_variance(values, k, n):
    """Variance of the noise where k eigenvalues belong to components, which noise has raised."""
    p = len(values)
    rest, top = values[k:].sum(), values[:k]
    variance = rest / (p - k)
    for _ in range(50):
        b = top + variance * (1 - (p - k) / n)
        true = (b + np.sqrt(np.maximum(b**2 - 4 * top * variance, 0))) / 2
        last, variance = variance, max((rest + (top - true).sum()) / (p - k), 0.0)
        if abs(variance - last) <= 1e-10 * last:
            break
    return variance


def hysime(n, mean, C, alpha):
    M = C + np.outer(mean, mean)
    B = noise_maps(M, n)
    rest = np.eye(len(M)) - B
    noise = np.maximum(np.diag(B.T @ M @ B), 0)
    directions = np.linalg.eigh(rest.T @ M @ rest)[1]
    power = np.einsum("ij,ij->j", directions, M @ directions)
    # Both are rounding errors where there is no noise, hence the floor.
    threshold = 2 * (noise + FLOOR * np.diag(M).mean()) @ directions**2
    order = np.argsort(threshold - power)
    return power[order], threshold[order], np.sqrt(noise)


def hfc(n, mean, C, alpha):
    return *_eigenvalue_differences(n, mean, C, alpha), band_noise(C, n)


def nwhfc(n, mean, C, alpha):
    noise = band_noise(C, n)
    return *_eigenvalue_differences(n, mean / noise, C / np.outer(noise, noise), alpha), noise


def _eigenvalue_differences(n, mean, C, alpha):
    C = C + FLOOR * np.diag(np.diag(C))
    moments = np.linalg.eigvalsh(C + np.outer(mean, mean))[::-1]
    variances = np.linalg.eigvalsh(C)[::-1]
    error = np.sqrt(2 * (moments**2 + variances**2) / n)
    return moments - variances, -ndtri(alpha) * error
