"""Solvers that find pixels at the corners of a scene, and the coordinates they search in."""

import itertools
from math import factorial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.unmixing._extraction import log_volumes, nfindr, spa, vca
from factorkit.unmixing._extraction_kernels import farthest
from factorkit.unmixing._simplex_points import affine_points, projective_points, signal_to_noise
from factorkit.unmixing._subspace import scene_moments
from factorkit.utils._threads import Workers
from tests.unmixing._planted import mixed_scene


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def points_of(Y, k, workers, make=affine_points):
    _, mean, C = scene_moments(Y, workers)
    return make(Y, mean, C, k, workers)


def test_the_signal_to_noise_ratio_is_found(rng, workers):
    for snr in (10, 30):
        Y = mixed_scene(4, rng, n_pixels=8000, snr=snr)[0]
        _, mean, C = scene_moments(Y, workers)
        assert abs(signal_to_noise(mean, C, 4) - snr) < 0.15
    assert signal_to_noise(np.ones(3), np.zeros((3, 3)), 2) == np.inf


@pytest.mark.parametrize("k", [3, 5])
def test_the_volume_never_falls_and_no_single_swap_enlarges_it(rng, workers, k):
    Y = mixed_scene(k, rng, n_pixels=300, snr=20)[0]
    points = points_of(Y, k, workers)
    starts = np.array([rng.choice(300, k, replace=False) for _ in range(4)])
    pixels, trace = nfindr(points, starts, workers)
    assert trace.stop == "converged" and trace.n_iter > 1
    assert (np.diff(trace.objective) <= 0).all()
    assert trace.objective[0] <= -log_volumes(points, starts).max()
    volume = log_volumes(points, pixels[None])[0]
    assert_allclose(trace.objective[-1], -volume)
    for j, pixel in itertools.product(range(k), range(300)):
        swapped = pixels.copy()
        swapped[j] = pixel
        assert log_volumes(points, swapped[None])[0] <= volume + 1e-8


def test_volumes_are_those_of_the_simplex(rng, workers):
    corners = np.vstack([np.zeros(3), np.diag([2.0, 3.0, 5.0])])
    Y = np.vstack([corners, rng.dirichlet(np.ones(4), 50) @ corners])
    points = points_of(Y, 4, workers)
    assert_allclose(np.exp(log_volumes(points, np.arange(4)[None])), 30 / factorial(3))
    assert log_volumes(points, np.array([[0, 1, 2, 2]]))[0] < -30


def test_spa_takes_the_largest_residual_of_a_projection(rng, workers):
    Y = rng.random((80, 12))
    pixels = spa(Y, 5, workers)
    for j in range(5):
        S = Y[pixels[:j]].T
        residual = Y.T - S @ np.linalg.lstsq(S, Y.T, rcond=None)[0] if j else Y.T
        assert np.linalg.norm(residual, axis=0).argmax() == pixels[j]


def test_a_start_of_vca_takes_farthest_pixels_off_the_span_of_those_before(rng, workers):
    Y = mixed_scene(4, rng, n_pixels=300, snr=20)[0]
    points = points_of(Y, 4, workers)
    for pixels in vca(points, 5, rng, workers):
        for j in range(1, 4):
            before = np.linalg.qr(points[pixels[:j]].T)[0]
            left = points - points @ before @ before.T
            # It is the farthest in some direction: at least in that of itself, a corner.
            others = np.delete(left, pixels[j], axis=0)
            if j == 3:  # a single direction is left
                assert np.linalg.norm(others, axis=1).max() <= np.linalg.norm(left[pixels[j]])


def test_projected_pixels_lie_on_a_plane_and_dark_ones_at_zero(rng, workers):
    Y = mixed_scene(3, rng, n_pixels=100, snr=30)[0]
    Y[4] = 0
    _, mean, C = scene_moments(Y, workers)
    points = points_of(Y, 3, workers, projective_points)
    moments = C + np.outer(mean, mean)
    top = np.linalg.eigh(moments)[1][:, -3:]
    brightness = Y @ top @ top.T @ mean
    expected = np.linalg.norm(Y @ top, axis=1)[brightness > 1e-9] / brightness[brightness > 1e-9]
    assert_array_equal(points[4], 0)
    assert_allclose(np.linalg.norm(np.delete(points, 4, axis=0), axis=1), expected)


@pytest.mark.parametrize("n_directions", [1, 5])
def test_the_kernel_equals_its_python_and_numpy(rng, n_directions):
    points, directions = rng.standard_normal((50, 3)), rng.standard_normal((3, n_directions))
    points[7] = -points[30]
    products = np.abs(points @ directions)
    for function in (farthest, farthest.py_func):
        best, at = np.full(n_directions, -1.0), np.zeros(n_directions, np.intp)
        function(points[:20], directions, 0, best, at)
        function(points[20:], directions, 20, best, at)
        assert_allclose(best, products.max(axis=0))
        assert_array_equal(at, products.argmax(axis=0))
