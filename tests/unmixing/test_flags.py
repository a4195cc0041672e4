"""Ruined bands and outlying pixels are found, and nothing else is."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.datasets import make_scene
from factorkit.unmixing._flags import (
    clipped_bands,
    constant_pixels,
    lonely_pixels,
    ruined_bands,
)
from factorkit.unmixing._subspace import scene_moments
from factorkit.utils._threads import Workers

KINDS = ["noise", "impulse", "dead", "ramp", "stripes", "saturation"]


def flags_of(X, order=None):
    with Workers(1) as workers:
        clipped, _ = clipped_bands(X, workers)
        C = scene_moments(X, workers)[2]
    return ruined_bands(C, clipped=clipped, order=order)


@pytest.mark.parametrize("snr", [20, 30, 40])
@pytest.mark.parametrize("abundances", ["smooth", "dirichlet"])
@pytest.mark.parametrize("ruin", KINDS)
def test_every_ruined_band_is_flagged_and_hardly_another(ruin, abundances, snr, seed):
    scene = make_scene(
        4, snr=snr, abundances=abundances, ruined_bands=0.2, ruin=ruin, random_state=seed
    )
    ruined, _ = flags_of(scene.data)
    assert ruined[scene.ruined_bands].all()
    assert np.count_nonzero(ruined & ~scene.ruined_bands) <= 6


@pytest.mark.parametrize("snr", [10, 20, 30, 40, None])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_clean_scene_has_no_flags(k, snr, seed):
    if k == 1 and snr is None:
        pytest.skip("Nothing varies.")
    scene = make_scene(k, snr=snr, image_shape=(40, 40), random_state=seed)
    ruined = flags_of(scene.data)[0]
    if snr is not None:
        # But for bands in which all materials are as bright as each other: they hold noise alone.
        sigma = np.sqrt(np.mean(scene.data**2) / (1 + 10 ** (snr / 10)))
        ruined &= (scene.abundances @ scene.endmembers).std(axis=0) > sigma
    assert not ruined.any()


def test_weak_noise_in_some_bands_is_flagged(rng):
    # A tenth of the scene's spread, which a fixed limit on the noise misses in most bands.
    scene = make_scene(4, snr=40, random_state=0)
    X = scene.data.copy()
    bands = rng.choice(150, 15, replace=False)
    X[:, bands] += 0.1 * X.std() * rng.standard_normal((len(X), 15))
    ruined, noise = flags_of(X)
    assert not ruined[np.setdiff1d(np.arange(150), bands)].any()
    assert np.count_nonzero(ruined[bands]) >= 13
    assert_allclose(noise[bands], 0.1 * scene.data.std(), rtol=0.2)


def test_the_noise_is_that_of_the_scene(rng):
    scene = make_scene(4, snr=None, random_state=0)
    sigma = np.linspace(0.005, 0.02, 150)
    noise = flags_of(scene.data + sigma * rng.standard_normal(scene.data.shape))[1]
    # The neighbours that predict a band have noise too; at the ends they lie on one side.
    inner = slice(4, -4)
    assert (noise[inner] > sigma[inner]).all() and (noise[inner] < 1.4 * sigma[inner]).all()


def test_a_contiguous_gap_is_flagged(rng):
    scene = make_scene(4, snr=35, random_state=1)
    X = scene.data.copy()
    X[:, 60:85] = 0.3 * X.std() * rng.standard_normal((len(X), 25))
    assert_array_equal(np.flatnonzero(flags_of(X)[0]), np.arange(60, 85))


def test_the_order_of_the_bands_is_that_of_the_wavelengths(rng):
    scene = make_scene(4, ruined_bands=0.2, random_state=0)
    shuffled = rng.permutation(150)
    straight, noise = flags_of(scene.data)
    ruined, noise_shuffled = flags_of(scene.data[:, shuffled], order=np.argsort(shuffled))
    assert_array_equal(ruined, straight[shuffled])
    assert_allclose(noise_shuffled, noise[shuffled], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1e4])
def test_flags_do_not_depend_on_the_unit(unit):
    scene = make_scene(4, ruined_bands=0.2, ruin="stripes", random_state=0)
    ruined, noise = flags_of(scene.data)
    scaled, noise_scaled = flags_of(unit * scene.data)
    assert_array_equal(ruined, scaled)
    assert_allclose(noise_scaled, unit * noise, rtol=1e-6)


def test_few_bands_and_constant_scenes_are_left_alone():
    assert flags_of(np.ones((10, 5)))[0].all()  # nothing varies: nothing is of use
    X = np.random.default_rng(0).random((30, 3))
    assert not flags_of(X)[0].any()


def test_a_band_at_its_largest_value_is_clipped(rng):
    X = rng.random((400, 6))
    X[:, 2] = np.minimum(X[:, 2], 0.8)
    X[rng.random(400) < 0.7, 4] = np.nan
    with Workers(1) as workers:
        clipped, has_holes = clipped_bands(X, workers)
        assert_array_equal(np.flatnonzero(clipped), [2, 4])
        assert has_holes
        floor = np.maximum(rng.random((400, 6)), [0.6, 0.3, 0, 0, 0, 0])
        assert_array_equal(clipped_bands(floor, workers)[0], [True] + 5 * [False])
        some = X[:, 2] < 0.8
        assert not clipped_bands(X[:, :3], workers, pixels=some)[0].any()
        # Zeros of dark pixels are no clipping, and few pixels no evidence.
        assert not clipped_bands(np.maximum(X[:, :2] - 0.3, 0), workers)[0].any()
        assert not clipped_bands(np.ones((4, 3)), workers)[0].any()


def test_dead_saturated_and_missing_pixels_are_constant(rng):
    X = rng.random((50, 8))
    X[3], X[7], X[9, :5], X[11, :3] = 0, 2, np.nan, np.nan
    X[13, :4] = 0
    with Workers(1) as workers:
        assert_array_equal(np.flatnonzero(constant_pixels(X, np.arange(8), workers)), [3, 7, 9])
        assert_array_equal(
            np.flatnonzero(constant_pixels(X, np.arange(4), workers)), [3, 7, 9, 11, 13]
        )


def cloud(rng, n=600):
    """Pixels of a triangle in ten dimensions, with noise."""
    A = rng.dirichlet(np.ones(3), n)
    return A @ rng.standard_normal((3, 10)) + 0.02 * rng.standard_normal((n, 10))


def test_pixels_unlike_all_others_are_lonely(rng):
    Z = cloud(rng)
    strange = rng.choice(600, 30, replace=False)
    Z[strange] = 3 * rng.standard_normal((30, 10))
    off = np.abs(rng.standard_normal(600))
    off[strange[:3]] = 40
    usable = np.ones(600, dtype=bool)
    lonely = lonely_pixels(Z, off, usable, usable, rng)
    assert lonely[strange].all()
    assert np.count_nonzero(lonely) <= 32


def test_a_pixel_off_the_subspace_is_lonely(rng):
    off = np.ones(600)
    off[5] = 10
    usable = np.ones(600, dtype=bool)
    lonely = lonely_pixels(cloud(rng), off, usable, usable, rng)
    assert lonely[5]


def test_a_rare_material_is_not_lonely_in_a_large_scene(rng):
    Z = cloud(rng, 20_000)
    rare = rng.choice(20_000, 12, replace=False)
    Z[rare] = 4 + 0.02 * rng.standard_normal((12, 10))
    alone = np.setdiff1d(rng.choice(20_000, 8, replace=False), rare)
    Z[alone] = 5 * rng.standard_normal((len(alone), 10))
    usable = np.ones(20_000, dtype=bool)
    lonely = lonely_pixels(Z, np.ones(20_000), usable, usable, rng)
    assert lonely[alone].all() and not lonely[rare].any()


def test_pixels_that_are_not_tested_are_not_lonely(rng):
    Z = cloud(rng)
    Z[:5] = 100 * rng.standard_normal((5, 10))
    tested = np.arange(600) >= 3
    lonely = lonely_pixels(Z, np.ones(600), tested, tested & (np.arange(600) >= 5), rng)
    assert_array_equal(lonely[:5], [False, False, False, True, True])
