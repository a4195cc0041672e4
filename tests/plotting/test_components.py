"""Components are drawn as what they are: images, spectra, or lists of features."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.plotting import (
    AbundanceDisplay,
    ComponentsDisplay,
    ConvergenceDisplay,
    EndmemberDisplay,
    RankSelectionDisplay,
    ResidualDisplay,
)
from tests._toy import ToyALS


@pytest.fixture
def components():
    return np.random.default_rng(0).random((5, 12))


def test_images_show_the_components_in_their_shape(components):
    display = ComponentsDisplay(components, image_shape=(3, 4)).plot()
    assert len(display.axes_) == len(display.figure_.axes) == 5
    for panel, component in zip(display.axes_, components, strict=True):
        (image,) = panel.images
        assert_array_equal(image.get_array(), component.reshape(3, 4))
        assert image.get_clim()[0] == 0


def test_signed_images_have_zero_in_the_middle_of_their_colours(components):
    display = ComponentsDisplay(components - 0.3, image_shape=(3, 4)).plot()
    for panel in display.axes_:
        low, high = panel.images[0].get_clim()
        assert low == -high < 0


def test_a_single_bright_pixel_does_not_darken_the_rest():
    component = np.ones((1, 400))
    component[0, 7] = 1000
    display = ComponentsDisplay(component, image_shape=(20, 20)).plot()
    assert display.axes_[0].images[0].get_clim()[1] < 10
    component[0] *= np.arange(400) == 7
    display = ComponentsDisplay(component, image_shape=(20, 20)).plot()
    assert display.axes_[0].images[0].get_clim() == (0, 1000)


def test_colour_images_are_within_the_range_of_colours(components):
    display = ComponentsDisplay(100 * components, image_shape=(2, 2, 3)).plot()
    image = display.axes_[0].images[0].get_array()
    assert image.shape == (2, 2, 3) and image.min() >= 0 and image.max() == 1


def test_spectra_run_over_x_in_its_order(components):
    x = np.random.default_rng(0).permutation(12)
    display = ComponentsDisplay(components, x=x).plot(x_name="Wavelength", n_columns=3)
    for panel, component in zip(display.axes_, components, strict=True):
        (line,) = panel.lines
        assert_array_equal(line.get_xdata(), np.arange(12))
        assert_array_equal(line.get_ydata()[x], component)
    # Of 3 + 2 panels the last of each column has the label and the numbers.
    labels = [panel.get_xlabel() for panel in display.axes_]
    assert labels == ["", ""] + 3 * ["Wavelength"]
    display.figure_.draw_without_rendering()
    numbered = [panel.xaxis.get_tick_params()["labelbottom"] for panel in display.axes_]
    assert numbered == [False, False, True, True, True]


def test_bars_are_the_features_that_weigh_most_heaviest_on_top(components):
    components[0, 3], components[0, 8] = 5.0, -4.0
    components[1, :2] = 6.0
    words = np.array(["same" if i < 2 else f"word{i}" for i in range(12)])
    display = ComponentsDisplay(components, feature_names=words).plot(n_top=6)
    for panel, component in zip(display.axes_, components, strict=True):
        top = np.argsort(-np.abs(component))[:6]
        assert [label.get_text() for label in panel.get_yticklabels()] == list(words[top])
        assert_allclose([bar.get_width() for bar in panel.patches], component[top])
        assert panel.yaxis_inverted()
        assert len({bar.get_y() for bar in panel.patches}) == 6
    assert [bar.get_width() for bar in display.axes_[0].patches[:2]] == [5.0, -4.0]
    few = ComponentsDisplay(components, feature_names=words).plot(n_top=100)
    assert len(few.axes_[0].patches) == 12


def test_an_estimator_gives_its_components_and_options_reach_the_panels(components):
    toy = ToyALS(3).fit(np.random.default_rng(0).random((20, 12)))
    display = ComponentsDisplay.from_estimator(
        toy, image_shape=(3, 4), names=["a", "b", "c"], panel_kw={"cmap": "magma"}
    )
    assert_array_equal(display.components, toy.components_)
    assert [panel.get_title() for panel in display.axes_] == ["a", "b", "c"]
    assert display.axes_[0].images[0].get_cmap().name == "magma"


def test_panels_go_into_given_axes_or_into_the_place_of_one(components, plt):
    figure, axes = plt.subplots(2, 3)
    display = ComponentsDisplay(components).plot(axes.ravel()[:5])
    assert list(display.axes_) == list(axes.ravel()[:5]) and display.figure_ is figure
    figure, (left, right) = plt.subplots(1, 2)
    display = ComponentsDisplay(components).plot(right)
    assert display.figure_ is figure and not right.axison
    left_edge = right.get_position().x0
    assert all(panel.get_position().x0 >= left_edge - 1e-9 for panel in display.axes_)
    with pytest.raises(ValueError, match="ax has 2 axes; the display has 5 panels"):
        ComponentsDisplay(components).plot([left, right])
    with pytest.raises(ValueError, match=r"pass as many axes, or one made by plt\.subplots"):
        ComponentsDisplay(components).plot(figure.add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_shape": (3, 5)}, "15 pixels; there are 12 features"),
        ({"x": np.arange(3)}, "x has length 3; there are 12"),
        ({"feature_names": ["a"]}, "feature_names has length 1; there are 12"),
        ({"names": ["a"]}, "1 names for 5 components"),
        ({"x": np.arange(12), "image_shape": (3, 4)}, "Give one of"),
    ],
)
def test_what_does_not_fit_the_components_is_refused(components, options, message):
    with pytest.raises(ValueError, match=message):
        ComponentsDisplay(components, **options)


@pytest.mark.parametrize(
    "display",
    [
        ComponentsDisplay(np.eye(2)),
        ConvergenceDisplay([[2.0, 1.0]]),
        RankSelectionDisplay([1], [[1.0]]),
        AbundanceDisplay(np.ones((2, 2, 1))),
        EndmemberDisplay(np.eye(2)),
        ResidualDisplay([1.0], [1.0], image_shape=(1, 1)),
    ],
)
def test_without_matplotlib_plot_says_what_to_install(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=type(display).__name__ + r"\.plot .*factorkit\[plot\]"):
        display.plot()
