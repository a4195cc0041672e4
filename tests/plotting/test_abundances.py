"""Abundances are maps of one scale, whatever the scene's shape."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.plotting import AbundanceDisplay
from tests.plotting._stand_in import StandIn


@pytest.fixture
def maps():
    return np.random.default_rng(0).dirichlet(np.ones(4), size=(5, 7))


def test_each_endmember_has_its_map_and_all_have_one_scale(maps):
    display = AbundanceDisplay(maps).plot()
    assert len(display.axes_) == 4
    assert set(display.figure_.axes) == {*display.axes_, display.colorbar_.ax}
    for i, panel in enumerate(display.axes_):
        (image,) = panel.images
        assert_array_equal(image.get_array(), maps[:, :, i])
        assert image.get_clim() == (0, 1)
    assert display.colorbar_.extend == "neither"


def test_the_scale_ends_where_asked_for_or_at_the_largest_abundance(maps):
    clims = [
        AbundanceDisplay(2 * maps).plot(vmax=vmax).axes_[1].images[0].get_clim()
        for vmax in (0.25, None)
    ]
    assert_allclose(clims, [(0, 0.25), (0, 2 * maps.max())])
    assert AbundanceDisplay(0 * maps).plot(vmax=None).axes_[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    "largest, smallest, extend", [(1.5, 0, "max"), (1, -0.1, "min"), (2, -1, "both")]
)
def test_a_scale_that_abundances_leave_is_pointed_there(maps, largest, smallest, extend):
    maps[0, 0, 0], maps[0, 0, 1] = largest, smallest
    assert AbundanceDisplay(maps).plot().colorbar_.extend == extend


def test_rounding_does_not_point_the_scale(maps):
    maps[0, 0, :2] = 1 + 1e-9, -1e-9
    assert AbundanceDisplay(maps).plot().colorbar_.extend == "neither"


def test_pixels_without_a_value_stay_empty(maps):
    maps[1, 2] = np.nan
    display = AbundanceDisplay(maps).plot(vmax=None)
    image = display.axes_[0].images[0]
    assert_array_equal(np.argwhere(image.get_array().mask), [[1, 2]])
    assert image.get_clim()[1] == np.nanmax(maps)


def test_an_estimator_shows_the_scene_of_its_fit_or_another(maps):
    E = np.random.default_rng(1).random((4, 9))
    estimator = StandIn(E, maps)
    names = ["water", "soil", "tree", "road"]
    display = AbundanceDisplay.from_estimator(estimator, names=names, panel_kw={"cmap": "gray"})
    assert_array_equal(display.maps, maps)
    assert [panel.get_title() for panel in display.axes_] == names
    assert display.axes_[0].images[0].get_cmap().name == "gray"
    other = AbundanceDisplay.from_estimator(estimator, maps[::-1, :3] @ E, vmax=0.5)
    assert_allclose(other.maps, maps[::-1, :3], atol=1e-12)


@pytest.mark.parametrize("shape, n_columns", [((60, 60), 4), ((20, 400), 1), ((400, 20), 4)])
def test_panels_lie_as_the_scene_leaves_room(shape, n_columns):
    display = AbundanceDisplay(np.ones((*shape, 4))).plot()
    assert {panel.get_gridspec().ncols for panel in display.axes_} == {n_columns}
    assert display.figure_.get_figwidth() < 12 and display.figure_.get_figheight() < 8
    # What a title needs.
    assert display.axes_[0].get_window_extent().width > 0.2 * display.figure_.dpi


def test_maps_go_into_given_axes(maps, plt):
    figure, axes = plt.subplots(2, 2)
    display = AbundanceDisplay(maps).plot(axes)
    assert list(display.axes_) == list(axes.ravel()) and display.figure_ is figure
    figure, (left, right) = plt.subplots(1, 2)
    display = AbundanceDisplay(maps).plot(left, n_columns=2)
    assert display.colorbar_.ax.get_position().x1 < right.get_position().x0 + 0.05


def test_what_is_no_set_of_maps_is_refused(maps):
    with pytest.raises(ValueError, match=r"n_rows, n_columns, n_endmembers\). Got \(35, 4\)"):
        AbundanceDisplay(maps.reshape(35, 4))
    with pytest.raises(ValueError, match="1 names for 4 endmembers"):
        AbundanceDisplay(maps, names=["a"])
    with pytest.raises(ValueError, match="infinity"):
        AbundanceDisplay(np.full_like(maps, np.inf))
