"""Small scenes with a known truth."""

import numpy as np


def smooth_spectra(k, n_bands, rng):
    """Reflectances with a level and a few broad features, of shape (k, n_bands)."""
    x = np.linspace(0, 1, n_bands)
    E = rng.uniform(0.2, 0.6, (k, 1)) + np.zeros(n_bands)
    for _ in range(5):
        height, place = rng.uniform(-0.25, 0.25, (k, 1)), rng.uniform(0, 1, (k, 1))
        E += height * np.exp(-0.5 * ((x - place) / rng.uniform(0.03, 0.2, (k, 1))) ** 2)
    return E.clip(0.01)


def mixed_scene(k, rng, *, n_pixels=2000, n_bands=60, snr=None, band_levels=None):
    """(Y, E, sigma): uniform mixtures, and the standard deviation of the noise of each band."""
    E = smooth_spectra(k, n_bands, rng)
    Y = rng.dirichlet(np.ones(k), n_pixels) @ E
    sigma = np.zeros(n_bands)
    if snr is not None:
        levels = np.ones(n_bands) if band_levels is None else band_levels
        sigma = levels * np.sqrt(np.mean(Y**2) / 10 ** (snr / 10) / np.mean(levels**2))
        Y = Y + sigma * rng.standard_normal(Y.shape)
    return Y, E, sigma


def pure_pixel_scene(k, rng, *, n_pixels=300, n_bands=40):
    """(Y, E, pure): no noise; pixel pure[j] is endmember j, the others hold at most .9 of one."""
    E = smooth_spectra(k, n_bands, rng)
    A = 0.9 * rng.dirichlet(np.ones(k), n_pixels) + 0.1 / k
    pure = rng.choice(n_pixels, k, replace=False)
    A[pure] = np.eye(k)
    return A @ E, E, pure
