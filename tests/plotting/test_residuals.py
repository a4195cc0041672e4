"""Residuals are shown where they are: in which pixels, and in which bands."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.plotting import ResidualDisplay, _residuals
from tests.plotting._stand_in import StandIn


@pytest.fixture
def scene():
    """A scene of 6 × 9 pixels and 12 bands that three endmembers explain, but for noise."""
    rng = np.random.default_rng(0)
    E = rng.uniform(0.1, 1, size=(3, 12))
    A = rng.dirichlet(np.ones(3), size=54)
    return E, (A @ E + 0.1 * rng.normal(size=(54, 12))).reshape(6, 9, 12)


def residuals(estimator, X):
    return X.reshape(-1, 12) - estimator.transform(X) @ estimator.components_


def rms(values, axis):
    return np.sqrt(np.nanmean(values**2, axis=axis))


@pytest.mark.parametrize("block", [1, 100, 10**6])
@pytest.mark.parametrize("as_image", [True, False])
def test_an_estimator_has_the_root_mean_squares_of_its_residuals(
    scene, as_image, block, monkeypatch
):
    monkeypatch.setattr(_residuals, "_BLOCK_ENTRIES", block)
    E, X = scene
    estimator = StandIn(E, image_shape=(6, 9))
    R = residuals(estimator, X)
    display = ResidualDisplay.from_estimator(estimator, X if as_image else X.reshape(54, 12))
    assert_allclose(display.pixel_error, rms(R, 1), rtol=1e-12)
    assert_allclose(display.band_error, rms(R, 0), rtol=1e-12)
    assert_allclose(display.axes_[0].images[0].get_array(), rms(R, 1).reshape(6, 9))
    assert_allclose(display.axes_[1].lines[0].get_ydata(), rms(R, 0))


def test_ruined_bands_are_left_out_of_the_pixels_but_not_of_the_bands(scene):
    E, X = scene
    weights = np.ones(12)
    weights[[3, 8]] = 0.2, 0
    X[..., [3, 8]] += 100
    estimator = StandIn(E, band_weights=weights)
    R = residuals(estimator, X)
    display = ResidualDisplay.from_estimator(estimator, X)
    assert_allclose(display.pixel_error, rms(R[:, weights == 1], 1), rtol=1e-12)
    assert_allclose(display.band_error, rms(R, 0), rtol=1e-12)
    assert len(display.axes_[1].patches) == 2
    # The axes fit the bands that are kept.
    kept = display.band_error[weights == 1]
    assert kept.max() < display.axes_[1].get_ylim()[1] < 1.2 * kept.max()


def test_missing_entries_are_left_out(scene):
    E, X = scene
    X[0, 0, :5], X[2, 3], X[:, :, 7] = np.nan, np.nan, np.nan
    estimator = StandIn(E)
    display = ResidualDisplay.from_estimator(estimator, X)
    R = residuals(estimator, X)
    missing = np.isnan(display.pixel_error)
    assert_array_equal(np.flatnonzero(missing), [2 * 9 + 3])
    assert_array_equal(np.flatnonzero(np.isnan(display.band_error)), [7])
    assert_allclose(display.pixel_error[~missing], rms(R[~missing], 1), rtol=1e-12)
    assert_allclose(np.delete(display.band_error, 7), rms(np.delete(R, 7, 1), 0), rtol=1e-12)


def test_relative_errors_do_not_depend_on_the_unit(scene):
    E, X = scene
    errors = [
        ResidualDisplay.from_estimator(StandIn(scale * E), scale * X, relative=True)
        for scale in (1.0, 1000.0)
    ]
    pixels = X.reshape(54, 12)
    R = residuals(StandIn(E), X)
    for display in errors:
        assert_allclose(display.pixel_error, rms(R, 1) / rms(pixels, 1), rtol=1e-9)
        assert_allclose(display.band_error, rms(R, 0) / rms(pixels, 0), rtol=1e-9)
        assert "relative" in display.axes_[1].get_ylabel()


def test_narrow_and_whole_numbers_are_compared_in_wide_ones(scene):
    E, X = scene
    for dtype in ("float32", "int16"):
        Y = (1000 * X).astype(dtype)
        display = ResidualDisplay.from_estimator(StandIn(1000 * E), Y)
        expected = residuals(StandIn(1000 * E), Y.astype(float))
        assert_allclose(display.band_error, rms(expected, 0), rtol=1e-4)
        assert display.band_error.dtype == np.float64


def test_a_single_bad_pixel_does_not_darken_the_rest():
    errors = np.ones(400)
    errors[7] = 1000
    display = ResidualDisplay(errors, [1.0, 2.0], image_shape=(20, 20)).plot()
    assert display.axes_[0].images[0].get_clim()[1] < 20
    assert display.colorbar_.extend == "max"


@pytest.mark.parametrize("errors", [np.zeros(4), np.full(4, np.nan)])
def test_a_perfect_fit_and_one_of_nothing_are_drawn(errors):
    display = ResidualDisplay(errors, errors, image_shape=(2, 2)).plot()
    assert display.axes_[0].images[0].get_clim() == (0, 1)
    display.figure_.draw_without_rendering()


def test_bands_run_along_the_wavelength(scene):
    E, X = scene
    wavelengths = np.random.default_rng(0).permutation(np.arange(400.0, 520, 10))
    display = ResidualDisplay.from_estimator(StandIn(E, wavelengths=wavelengths), X)
    x, y = display.axes_[1].lines[0].get_data()
    assert_array_equal(x, np.sort(wavelengths))
    assert_array_equal(y, display.band_error[np.argsort(wavelengths)])
    assert display.axes_[1].get_xlabel() == "Wavelength (nm)"


@pytest.mark.parametrize("shape, n_rows", [((20, 20), 1), ((90, 9), 1), ((9, 90), 2)])
def test_the_map_is_beside_the_curve_or_on_top_of_it_where_it_is_wide(shape, n_rows):
    display = ResidualDisplay(np.ones(shape).ravel(), np.ones(5), image_shape=shape).plot()
    assert display.axes_[0].get_gridspec().nrows == n_rows


def test_options_reach_the_panels_of_given_axes(plt):
    figure, axes = plt.subplots(1, 2)
    display = ResidualDisplay(np.ones(6), np.ones(5), image_shape=(2, 3)).plot(
        axes, error_name="Error", image_kw={"cmap": "gray"}, line_kw={"color": "k"}
    )
    assert list(display.axes_) == list(axes) and display.figure_ is figure
    assert axes[0].images[0].get_cmap().name == "gray" and axes[1].lines[0].get_color() == "k"
    assert axes[1].get_ylabel() == "Error"


def test_without_a_shape_there_is_no_map(scene):
    E, X = scene
    with pytest.raises(ValueError, match="not known how the pixels of X lie"):
        ResidualDisplay.from_estimator(StandIn(E, image_shape=None), X.reshape(54, 12))
    with pytest.raises(ValueError, match=r"\(n_rows, n_columns\) of 54 pixels. Got \(6, 8\)"):
        ResidualDisplay.from_estimator(StandIn(E), X.reshape(54, 12), image_shape=(6, 8))
    display = ResidualDisplay.from_estimator(StandIn(E), X.reshape(54, 12), image_shape=(9, 6))
    assert display.image_shape == (9, 6)
