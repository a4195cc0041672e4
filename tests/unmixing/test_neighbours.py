"""Graphs of pixels, and what is smooth over them."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from factorkit.unmixing import _neighbours
from factorkit.unmixing._neighbours import (
    averages_take_noise,
    degrees_of,
    independent_variance,
    knn_graph,
    noise_left,
    roughness,
    smooth_over,
    window_graph,
)

SHAPE = (5, 8)


def heat(X, pairs):
    """The reference: a dense affinity of given pairs."""
    W = np.zeros((len(X), len(X)))
    squares = {p: np.sum((X[p[0]] - X[p[1]]) ** 2) for p in pairs}
    s = np.median(list(squares.values())) if pairs else 1.0
    for (i, j), square in squares.items():
        W[i, j] = W[j, i] = np.exp(-square / s)
    return W


@pytest.mark.parametrize("radius", [1, 2, 9])
@pytest.mark.parametrize("shape", [SHAPE, (8, 5), (1, 7), (7, 1), (1, 1)])
def test_a_window_joins_the_pixels_within_the_radius(rng, shape, radius):
    X = rng.random((np.prod(shape), 6))
    place = np.array(list(np.ndindex(shape)))
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(X)), 2)
        if np.abs(place[i] - place[j]).max() <= radius
    ]
    W = window_graph(X, shape, radius)
    assert_allclose(W.toarray(), heat(X, pairs), rtol=1e-12)


def test_an_inner_pixel_has_eight_neighbours_in_a_window(rng):
    W = window_graph(rng.random((40, 6)), SHAPE)
    counts = np.diff(W.indptr).reshape(SHAPE)
    assert (counts[1:-1, 1:-1] == 8).all()
    assert (counts[0, 1:-1] == 5).all() and counts[0, 0] == 3


def test_nearest_pixels_are_joined_from_both_sides(rng):
    X = rng.random((30, 6))
    X[5] = X[17]  # at no distance
    order = np.argsort(np.sum((X[:, None] - X) ** 2, axis=2) + 1e9 * np.eye(30), axis=1)[:, :4]
    pairs = {(min(i, j), max(i, j)) for i in range(30) for j in order[i]}
    W = knn_graph(X, 4)
    assert_allclose(W.toarray(), heat(X, pairs), rtol=1e-12)
    assert W[5, 17] == 1


@pytest.mark.parametrize("make", [lambda X: window_graph(X, SHAPE), lambda X: knn_graph(X, 4)])
def test_a_graph_is_symmetric_without_a_diagonal_and_free_of_units(rng, make):
    X = rng.random((40, 6))
    W = make(X).toarray()
    assert_array_equal(W, W.T)
    assert_array_equal(np.diag(W), 0)
    assert W.min() >= 0 and W.max() <= 1
    assert_allclose(make(1000 * X).toarray(), W, rtol=1e-9)
    assert_allclose(make(X.astype(np.float32)).toarray(), W, rtol=1e-4)
    assert_allclose(make(np.asfortranarray(X)).toarray(), W, rtol=1e-12)
    assert_allclose(make(X[:, ::-1]).toarray(), W, rtol=1e-9)


def test_the_order_of_pixels_does_not_matter_to_nearest_neighbours(rng):
    X, order = rng.random((40, 6)), rng.permutation(40)
    assert_allclose(knn_graph(X[order]).toarray(), knn_graph(X).toarray()[np.ix_(order, order)])


def test_turning_the_image_turns_the_graph(rng):
    X = rng.random((*SHAPE, 6))
    turned = np.arange(40).reshape(SHAPE).T.ravel()
    W = window_graph(X.reshape(40, 6), SHAPE)
    W_turned = window_graph(X.transpose(1, 0, 2).reshape(40, 6), SHAPE[::-1])
    assert_allclose(W_turned.toarray(), W.toarray()[np.ix_(turned, turned)])


def test_constant_scenes_have_affinities_of_one():
    W = window_graph(np.ones((40, 6)), SHAPE)
    assert_array_equal(W.data, 1)
    few = np.ones((40, 6))
    few[3] = 2.0  # the median distance is zero
    W = window_graph(few, SHAPE)
    assert np.isfinite(W.data).all()
    assert W[3, 4] < W[8, 9] == 1


def test_fewer_pixels_than_neighbours_are_all_joined(rng):
    assert knn_graph(rng.random((3, 6)), 8).nnz == 6
    assert knn_graph(rng.random((1, 6)), 8).nnz == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_roughness_is_the_quadratic_form_of_the_laplacian(rng, dtype):
    W = window_graph(rng.random((40, 6)), SHAPE)
    A = rng.random((40, 3)).astype(dtype)
    wide = A.astype(np.float64)
    laplacian = np.diag(degrees_of(W)) - W.toarray()
    assert_allclose(roughness(A, W), wide.T @ laplacian @ wide, rtol=1e-10, atol=1e-12)
    assert_array_equal(roughness(np.full((40, 3), 0.3, dtype), W), 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_smoothing_averages_a_pixel_with_its_neighbours(rng, dtype):
    X = rng.random((40, 6)).astype(dtype)
    W = window_graph(X, SHAPE)
    expected = (X + W.toarray() @ X) / (1 + degrees_of(W))[:, None]
    smooth = smooth_over(X, W)
    assert smooth.dtype == dtype
    assert_allclose(smooth, expected, rtol=1e-6 if dtype == np.float32 else 1e-12)
    assert_allclose(smooth_over(X[:, 2:4], W), smooth[:, 2:4], rtol=1e-6)  # a block of bands
    assert_allclose(smooth_over(np.full((40, 2), 0.7, dtype), W), 0.7, rtol=1e-6)
    assert np.trace(roughness(smooth, W)) < np.trace(roughness(X, W))


def blurred(rng, sigma, shape=(64, 64), d=3):
    """Fields of unit variance."""
    fields = gaussian_filter(rng.standard_normal((d, *shape)), (0, sigma, sigma), mode="wrap")
    return (fields / fields.std()).reshape(d, -1).T


def test_averages_keep_the_part_of_the_noise_that_is_said(rng):
    W = window_graph(rng.random((40, 6)), SHAPE)
    averages = smooth_over(np.eye(40), W)
    assert_allclose(noise_left(W), np.linalg.norm(averages, axis=1), rtol=1e-12)
    alone = window_graph(rng.random((1, 6)), (1, 1))
    assert_array_equal(noise_left(alone), 1)


@pytest.mark.parametrize("shape", [(64, 64), (2, 2000), (2000, 1)])
@pytest.mark.parametrize("deviation", [0.1, 1.0])
def test_what_is_independent_is_told_from_what_is_smooth(rng, shape, deviation):
    n = np.prod(shape)
    Z = blurred(rng, 3, shape) + deviation * rng.standard_normal((n, 3))
    everything = np.arange(n)
    variance = 3 * deviation**2
    # Half the median of χ² with 3 degrees of freedom, times 2, is .79 of its mean.
    assert_allclose(
        independent_variance(Z, everything, shape), 0.79 * variance, rtol=0.15, atol=0.02
    )
    Z[::7] = 1e6
    good = np.delete(everything, np.s_[::7])
    assert independent_variance(Z, good, shape) < variance


def test_a_sample_of_the_pairs_says_the_same(rng, monkeypatch):
    Z = blurred(rng, 3) + rng.standard_normal((4096, 3))
    whole = independent_variance(Z, np.arange(4096), (64, 64))
    monkeypatch.setattr(_neighbours, "_N_PAIRS", 2000)
    assert_allclose(independent_variance(Z, np.arange(4096), (64, 64)), whole, rtol=0.2)


def test_nothing_is_said_of_independence_without_three_steps(rng):
    assert independent_variance(rng.standard_normal((9, 2)), np.arange(9), (3, 3)) == 0
    assert independent_variance(rng.standard_normal((64, 2)), np.arange(3), (8, 8)) == 0


@pytest.mark.parametrize("unit", [1.0, 1e-6])
@pytest.mark.parametrize(
    "sigma, noise, variants, pays",
    [
        (3, 0.1, 0.0, True),  # noise
        (3, 0.002, 0.0, False),  # nothing to take away
        (1, 0.03, 0.0, False),  # fine grain
        (1, 0.3, 0.0, True),  # fine grain under much noise
        (3, 0.01, 0.3, True),  # variants of the materials
        (0.8, 0.01, 0.0, False),  # grain as fine as can be called alike
    ],
)
def test_averages_pay_where_they_take_noise_or_variants(rng, unit, sigma, noise, variants, pays):
    Z = blurred(rng, sigma) + variants * rng.standard_normal((4096, 3))
    Z = unit * np.hstack([Z, np.zeros((4096, 9))]) + unit * noise * rng.standard_normal((4096, 12))
    W = window_graph(Z, (64, 64))
    variance = 12 * (unit * noise) ** 2
    found = averages_take_noise(Z, smooth_over(Z, W), W, np.arange(4096), (64, 64), variance)
    assert found == pays
