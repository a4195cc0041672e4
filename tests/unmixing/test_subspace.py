"""Moments, principal directions and coordinates, a block at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.unmixing import _subspace
from factorkit.unmixing._subspace import coordinates, principal_subspace, scene_moments
from factorkit.utils._threads import Workers


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


@pytest.fixture
def Y(rng):
    return 5 + rng.standard_normal((700, 6)) @ rng.standard_normal((6, 12))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_are_those_of_the_whole_scene_whatever_the_blocks(Y, workers, monkeypatch, dtype):
    Y = Y.astype(dtype)
    monkeypatch.setattr(_subspace, "_BLOCK_SIZE", 1)
    n, mean, covariance = scene_moments(Y, workers)
    exact = Y.astype(np.float64)
    assert n == 700
    assert_allclose(mean, exact.mean(axis=0), rtol=1e-13)
    assert_allclose(covariance, np.cov(exact.T, bias=True), rtol=1e-12, atol=1e-12)
    with Workers(1) as one:
        assert_array_equal(scene_moments(Y, one)[2], covariance)


def test_a_small_variance_on_a_large_mean_is_not_lost(rng, workers):
    Y = 1e6 + 1e-3 * rng.standard_normal((5000, 4))
    assert_allclose(scene_moments(Y, workers)[2], np.cov(Y.T, bias=True), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("centred", [True, False])
def test_the_subspace_is_that_of_the_singular_vectors(Y, workers, centred):
    mean, vectors, values = principal_subspace(Y, 4, workers, centred=centred)
    rest = Y - Y.mean(axis=0) if centred else Y
    _, s, Vt = np.linalg.svd(rest, full_matrices=False)
    assert_allclose(values, s[:4])
    assert_allclose(np.abs(np.sum(vectors * Vt[:4], axis=1)), 1)
    assert_allclose(mean, Y.mean(axis=0) if centred else 0, rtol=1e-13)
    assert_allclose(coordinates(Y, mean, vectors, workers), rest @ vectors.T, atol=1e-11)


def test_pixels_and_bands_left_out_may_hold_anything(Y, workers, rng):
    pixels, bands = rng.random(700) < 0.7, np.arange(12) != 3
    ruined = Y.copy()
    ruined[~pixels] = 1e9
    ruined[:, 3] = np.nan
    mean, vectors, values = principal_subspace(ruined, 3, workers, pixels=pixels, bands=bands)
    expected = principal_subspace(Y[pixels][:, bands], 3, workers)
    assert_allclose(mean[bands], expected[0])
    assert_allclose(vectors[:, bands], expected[1], atol=1e-10)
    assert_allclose(values, expected[2])
    assert mean[3] == 0 and not vectors[:, 3].any()
    Z = coordinates(ruined, mean, vectors, workers, pixels=np.flatnonzero(pixels), bands=bands)
    assert_allclose(Z, (Y[pixels] - mean)[:, bands] @ vectors[:, bands].T, atol=1e-10)


def test_the_sign_of_directions_does_not_depend_on_the_order_of_bands_or_pixels(Y, workers, rng):
    order, rows = rng.permutation(12), rng.permutation(700)
    vectors = principal_subspace(Y, 5, workers)[1]
    permuted = principal_subspace(Y[rows][:, order], 5, workers)[1]
    assert_allclose(permuted, vectors[:, order], atol=1e-8)


def test_directions_without_variance_are_zero(rng, workers):
    Y = rng.random((50, 2)) @ rng.random((2, 8))
    _, vectors, values = principal_subspace(Y, 4, workers)
    assert_array_equal(vectors[2:], 0)
    assert_array_equal(values[2:], 0)
    assert_allclose(np.linalg.norm(vectors[:2], axis=1), 1)
    assert not principal_subspace(np.ones((9, 3)), 2, workers)[1].any()
