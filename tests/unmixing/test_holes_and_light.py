"""Missing entries are filled from beside them; the normalization by light keeps mixtures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.interpolate import PchipInterpolator

from factorkit.unmixing._holes import fill_holes
from factorkit.unmixing._interpolation import _CHUNK, _likeliest, interpolate_bands
from factorkit.unmixing._light import Light
from factorkit.unmixing._subspace import scene_moments
from factorkit.utils._threads import Workers


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def filled_one_by_one(Y, bands, order):
    """What `fill_holes` returns, by numpy.interp on each pixel."""
    filled = np.nan_to_num(Y)
    line = [b for b in order if bands[b]]
    for spectrum, out in zip(Y, filled, strict=True):
        known = [i for i, b in enumerate(line) if not np.isnan(spectrum[b])]
        if known:
            values = [spectrum[line[i]] for i in known]
            out[line] = np.interp(np.arange(len(line)), known, values)
    return filled


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.9, 1.0])
def test_holes_lie_on_the_line_between_the_nearest_good_bands(rng, workers, missing):
    Y = rng.random((60, 25))
    Y[rng.random(Y.shape) < missing] = np.nan
    Y[5:8] = np.nan
    bands = np.arange(25) % 7 > 0
    order = rng.permutation(25)
    before = Y.copy()
    filled = fill_holes(Y, bands, order, workers)
    assert_allclose(filled, filled_one_by_one(Y, bands, order), atol=1e-14)
    assert_array_equal(Y, before)
    seen = ~np.isnan(Y)
    assert_array_equal(filled[seen], Y[seen])
    assert not filled[5:8].any()


def test_bad_bands_lend_no_value_and_get_zero(workers):
    nan = np.nan
    Y = np.array([[1.0, nan, 9.0, nan, 3.0], [nan, 50.0, nan, 2.0, nan]])
    bands = np.array([True, True, False, True, True])
    filled = fill_holes(Y, bands, np.arange(5), workers)
    assert_allclose(filled, [[1, 5 / 3, 9, 7 / 3, 3], [50, 50, 0, 2, 2]])


def test_without_good_bands_holes_are_zero(rng, workers):
    Y = rng.random((4, 3))
    Y[0, 0] = np.nan
    filled = fill_holes(Y, np.zeros(3, bool), np.arange(3), workers)
    assert filled[0, 0] == 0 and filled is not Y
    assert_array_equal(filled[1:], Y[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_blocks_of_pixels_are_filled_as_one(rng, dtype):
    Y = rng.random((20_000, 20)).astype(dtype)
    Y[rng.random(Y.shape) < 0.05] = np.nan
    bands, order = np.ones(20, bool), np.arange(20)
    results = []
    for n_jobs in (1, 3):
        with Workers(n_jobs) as workers:
            results.append(fill_holes(Y, bands, order, workers))
            some = fill_holes(Y[-50:], bands, order, workers)
    assert_array_equal(*results)
    assert results[0].dtype == dtype
    assert_array_equal(results[0][-50:], some)
    assert np.isfinite(results[0]).all()


def test_bad_bands_of_spectra_are_drawn_through_the_good_ones():
    where = np.array([1.0, 2.0, 4.0, 7.0, 8.0])
    bands = np.array([True, False, True, True, False])
    E = np.array([[2.0, np.nan, 8.0, 14.0, 99.0], [3.0, 0.0, 3.0, 3.0, 0.0]])
    filled = interpolate_bands(E.copy(), bands, where)
    # A line between them, the outermost value beyond them, and the good ones as they are.
    assert_allclose(filled, [[2, 4, 8, 14, 14], [3, 3, 3, 3, 3]])
    # In any order of the bands.
    order = np.array([3, 0, 4, 2, 1])
    mixed = interpolate_bands(E[:, order].copy(), bands[order], where[order])
    assert_allclose(mixed, filled[:, order])


def test_a_smooth_spectrum_is_followed_and_an_edge_is_not_overshot(rng):
    x = np.linspace(0, 1, 80)
    bands = rng.random(80) > 0.3
    bands[[0, -1]] = True
    smooth = np.sin(3 * x)[None]
    spoilt = np.where(bands, smooth, 1e3)
    assert np.abs(interpolate_bands(spoilt, bands, x) - smooth).max() < 1e-2
    edge = np.where(bands, (x > 0.5).astype(float), 7)[None]
    filled = interpolate_bands(edge, bands, x)
    assert filled.min() >= 0 and filled.max() <= 1


def runs_missing(rng, n, *runs):
    bands = np.ones(n, dtype=bool)
    for run in runs:
        start = rng.integers(5, n - 5 - run)
        bands[start : start + run] = False
    return bands


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e5])
def test_features_are_followed_across_gaps(rng, unit):
    x = np.linspace(400, 2500, 120)
    shape = 0.5 + 0.2 * np.sin(x / 150) + 0.1 * np.cos(x / 90)
    E = unit * np.array([shape, 1.3 - shape])
    bands = runs_missing(rng, 120, 8, 1, 1, 3)
    filled = interpolate_bands(np.where(bands, E, 0), bands, x)
    monotone = PchipInterpolator(x[bands], E[:, bands], axis=1)(x)
    missed, at_most = np.abs(filled - E).max(), np.abs(monotone - E).max()
    assert missed < 0.2 * at_most
    assert_array_equal(filled[:, bands], E[:, bands])


def test_noise_is_not_drawn_into_gaps(rng):
    x = np.arange(200.0)
    smooth = np.vstack([np.sin(x / 30), np.cos(x / 40)])
    bands = rng.random(200) > 0.3
    noisy = smooth + 0.05 * rng.standard_normal(smooth.shape)
    filled = interpolate_bands(noisy.copy(), bands, x)
    error = np.sqrt(np.mean(np.square(filled - smooth)[:, ~bands]))
    assert error < 0.03  # a line between two noisy bands has some .04


def test_what_is_never_negative_stays_so_in_gaps():
    x = np.arange(60.0)
    dip = np.maximum(1 - np.exp(-(((x - 30) / 8) ** 2)) * 1.1, 0.0)[None]
    bands = np.abs(x - 30) > 4
    assert interpolate_bands(np.where(bands, dip, 9.0), bands, x).min() >= 0
    below = dip - 0.5
    assert interpolate_bands(np.where(bands, below, 9.0), bands, x).min() < -0.5


def test_spectra_of_more_bands_than_a_chunk_and_constant_ones(rng):
    x = np.arange(600.0)
    E = np.vstack([np.sin(x / 25), np.full(600, 3.0)])
    bands = rng.random(600) > 0.2
    filled = interpolate_bands(np.where(bands, E, 7.0), bands, x)
    assert_allclose(filled, E, atol=1e-4)


@pytest.mark.parametrize("noise", [1e-3, 0.1])
def test_the_likeliest_process_is_that_of_all_chunks(rng, noise):
    # Most chunks are rough, the last one is not: none of them alone has the answer.
    n, n_chunks = 3 * _CHUNK, 3
    x = np.arange(float(n))
    E = np.vstack([np.sin(x / 9), np.cos(x / 7)]) + noise * rng.standard_normal((2, n))
    E[:, -_CHUNK:] = np.sin(x[-_CHUNK:] / 60)
    centred = E - E.mean(axis=1, keepdims=True)

    def cost(length, part):
        squares, logs = np.zeros(2), 0.0
        for chunk in np.array_split(np.arange(n), n_chunks):
            d = np.sqrt(5) / length * np.abs(np.subtract.outer(x[chunk], x[chunk]))
            C = (1 + d + d**2 / 3) * np.exp(-d) + part * np.eye(len(chunk))
            y = centred[:, chunk]
            squares += np.einsum("ij,ji->i", y, np.linalg.solve(C, y.T))
            logs += np.linalg.slogdet(C)[1]
        return n * np.log(squares).sum() + 2 * logs

    found = _likeliest(x, E)
    length, part = found
    others = [(2 * length, part), (length / 2, part), (length, 10 * part), (length, part / 10)]
    assert cost(*found) < min(cost(*other) for other in others)


def test_few_good_bands_are_enough(rng):
    E, x = rng.random((2, 4)), np.array([1.0, 2.0, 2.0, 3.0])
    assert_array_equal(interpolate_bands(E.copy(), np.ones(4, bool), x), E)
    assert_array_equal(interpolate_bands(E.copy(), np.zeros(4, bool), x), E)
    one = interpolate_bands(E.copy(), np.arange(4) == 1, x)
    assert_array_equal(one, np.repeat(E[:, 1:2], 4, axis=1))
    # Two bands at one wavelength, of spectrometers that overlap.
    twins = interpolate_bands(E.copy(), np.array([True, True, True, False]), x)
    assert np.isfinite(twins).all()
    assert_array_equal(twins[:, :3], E[:, :3])


def light_of(Y, workers):
    _, mean, C = scene_moments(Y, workers)
    return Light.of(mean, np.trace(C) + mean @ mean)


def normalized(Y, light, workers):
    return Y * light.scale(light.brightness(Y, workers))[:, None]


@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-8])
def test_light_is_the_product_with_the_mean_and_half_the_size_of_the_scene(rng, workers, unit):
    Y = unit * rng.random((40, 9))
    light = light_of(Y, workers)
    mean = Y.mean(axis=0)
    assert_allclose(light.direction, mean / np.linalg.norm(mean))
    assert light.offset == pytest.approx(0.5 * np.sqrt(np.square(Y).sum(axis=1).mean()))
    assert_allclose(light.brightness(Y, workers), Y @ light.direction)
    x = normalized(Y, light, workers)
    assert_allclose(x, Y / (Y @ light.direction + light.offset)[:, None])
    assert_allclose(light.undo(x), Y, rtol=1e-12)


def test_mixtures_stay_mixtures_of_the_same_endmembers(rng, workers):
    E, A = rng.random((3, 20)), rng.dirichlet(np.ones(3), 100)
    Y = A @ E
    light = light_of(Y, workers)
    x, corners = normalized(Y, light, workers), normalized(E, light, workers)
    # With what each endmember's brightness makes of the shares.
    share = A * (E @ light.direction + light.offset)
    assert_allclose(share / share.sum(axis=1, keepdims=True) @ corners, x, atol=1e-12)


def test_little_light_is_normalized_little(rng, workers):
    Y = rng.random((50, 9))
    light = light_of(Y, workers)
    bright = np.linalg.norm(normalized(1e6 * Y, light, workers), axis=1)
    assert_allclose(bright, np.linalg.norm(Y, axis=1) / (Y @ light.direction), rtol=1e-5)
    dark = normalized(1e-6 * Y, light, workers)
    assert_allclose(dark, 1e-6 * Y / light.offset, rtol=1e-5)
    # What points away from the mean has no brightness, and never divides by zero or less.
    away = light.brightness(-Y, workers)
    assert_array_equal(away, 0)
    assert_allclose(light.scale(away), 1 / light.offset)


def test_brightness_is_that_of_the_pixels_and_bands_asked_for(rng, workers):
    Y = rng.random((30, 9))
    light = light_of(Y, workers)
    bands = np.arange(9) != 4
    light.direction[4] = 0
    spoilt = Y.copy()
    spoilt[:, 4] = np.nan
    some = np.array([3, 17, 5])
    expected = Y @ light.direction
    assert_allclose(light.brightness(spoilt, workers, bands=bands), expected)
    assert_allclose(light.brightness(spoilt, workers, pixels=some, bands=bands), expected[some])


def test_a_dark_scene_stays_as_it_is(workers):
    Y = np.zeros((5, 4))
    light = light_of(Y, workers)
    assert light.offset == 0 and not light.direction.any()
    assert_array_equal(normalized(Y, light, workers), Y)
    assert_array_equal(light.undo(Y), Y)


def test_what_no_pixel_can_be_is_undone_to_something_finite(rng, workers):
    Y = rng.random((30, 9))
    light = light_of(Y, workers)
    beyond = light.direction[None] * np.array([[0.9], [1.0], [1.5]])
    assert np.isfinite(light.undo(beyond)).all()
