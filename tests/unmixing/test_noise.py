"""Noise of each band from the moments alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.unmixing._noise import band_noise, noise_maps, relative_noise
from tests.unmixing._planted import mixed_scene


def covariance(Y):
    return np.cov(Y.T, bias=True)


@pytest.mark.parametrize("varying", [False, True])
def test_planted_white_noise_is_found_within_a_few_percent(rng, varying):
    levels = np.exp(rng.uniform(-1, 1, 60)) if varying else None
    Y, _, sigma = mixed_scene(3, rng, n_pixels=8000, snr=30, band_levels=levels)
    found = band_noise(covariance(Y), len(Y))
    # A band that carries much of the signal can be predicted less well.
    assert_allclose(found, sigma, rtol=0.3 if varying else 0.12)
    assert abs(np.median(found / sigma) - 1) < 0.04


def test_noise_is_that_of_the_residuals_of_least_squares(rng):
    Y = mixed_scene(4, rng, n_pixels=200, n_bands=20, snr=20)[0]
    for centred in (True, False):
        M = covariance(Y) if centred else Y.T @ Y / len(Y)
        sigma, B = band_noise(M, len(Y), centred=centred), noise_maps(M, len(Y))
        rest = Y - Y.mean(axis=0) if centred else Y
        for band in (0, 7, 19):
            others = np.delete(rest, band, axis=1)
            fit = others @ np.linalg.lstsq(others, rest[:, band], rcond=None)[0]
            residual = rest[:, band] - fit
            n_free = 200 - 19 - centred
            assert_allclose(sigma[band] ** 2, residual @ residual / n_free, rtol=1e-6)
            assert_allclose(rest @ B[:, band], residual, atol=1e-6)


def test_bands_without_variance_have_no_noise_and_count_as_ruined(rng):
    Y = mixed_scene(3, rng, snr=30)[0]
    alone = band_noise(covariance(np.delete(Y, [5, 9], axis=1)), len(Y))
    Y[:, 5], Y[:, 9] = 0.0, 0.7
    C = covariance(Y)
    sigma, B = band_noise(C, len(Y)), noise_maps(C, len(Y))
    assert_allclose(np.delete(sigma, [5, 9]), alone, rtol=1e-6)
    assert_array_equal(sigma[[5, 9]] < 1e-12, True)
    assert_array_equal(relative_noise(sigma, C)[[5, 9]], 1.0)
    assert np.isfinite(B).all() and not B[[5, 9]].any() and not B[:, [5, 9]].any()


def test_a_scene_without_noise_has_next_to_none(rng):
    Y = mixed_scene(3, rng)[0]
    C = covariance(Y)
    assert relative_noise(band_noise(C, len(Y)), C).max() < 1e-4
    nothing = np.zeros((4, 4))
    assert_array_equal(band_noise(nothing, 10), 0)
    assert_array_equal(relative_noise(np.zeros(4), nothing), 1)
    assert_array_equal(noise_maps(nothing, 10), 0)


def test_noise_scales_with_its_band(rng):
    Y = mixed_scene(3, rng, snr=25)[0]
    scale = 10.0 ** rng.uniform(-4, 4, 60)
    sigma = band_noise(covariance(Y), len(Y))
    assert_allclose(band_noise(covariance(Y * scale), len(Y)), sigma * scale, rtol=1e-5)


@pytest.mark.parametrize("n_pixels", [3, 30, 61, 110])
def test_with_few_pixels_neighbouring_bands_say_what_is_noise(rng, n_pixels):
    Y, _, sigma = mixed_scene(3, rng, n_pixels=n_pixels, snr=30)
    found = band_noise(covariance(Y), n_pixels)
    assert np.isfinite(found).all() and (found <= Y.std(axis=0) * 1.001).all()
    if n_pixels > 50:
        assert 0.8 < np.median(found / sigma) < 1.5
    assert np.isfinite(noise_maps(covariance(Y), n_pixels)).all()
