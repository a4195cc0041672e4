"""What a number of endmembers was read off is drawn on a logarithmic axis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.plotting import EndmemberCountDisplay
from factorkit.unmixing import estimate_n_endmembers
from tests.unmixing._planted import mixed_scene

CRITERION, THRESHOLD = [9.0, 5.0, 1.0, 0.5, -0.1], [2.0, 2.0, 2.0, 2.0, np.inf]


def test_components_above_the_threshold_are_marked():
    display = EndmemberCountDisplay(CRITERION, THRESHOLD, criterion_name="Eigenvalue").plot()
    assert display.n_endmembers == 2
    assert_array_equal(display.endmembers_.get_xdata(), [1, 2])
    assert_array_equal(display.endmembers_.get_ydata(), [9.0, 5.0])
    assert display.ax_.get_yscale() == "log" and display.ax_.get_ylabel() == "Eigenvalue"
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["Threshold", "Endmembers: 2"]


def test_what_a_logarithm_cannot_show_is_left_out():
    display = EndmemberCountDisplay(CRITERION, THRESHOLD).plot()
    assert_array_equal(display.criterion_line_.get_ydata(), [9.0, 5.0, 1.0, 0.5, np.nan])
    assert_array_equal(display.threshold_line_.get_ydata(), [2.0, 2.0, 2.0, 2.0, np.nan])


def test_a_linear_axis_shows_what_is_not_positive():
    display = EndmemberCountDisplay(CRITERION, THRESHOLD).plot(scale="linear")
    assert display.ax_.get_yscale() == "linear"
    assert_array_equal(display.criterion_line_.get_ydata(), CRITERION)
    assert_array_equal(display.threshold_line_.get_ydata(), [2.0, 2.0, 2.0, 2.0, np.nan])


def test_components_above_the_threshold_need_not_be_the_first():
    display = EndmemberCountDisplay([1.0, 5.0, 9.0], [2.0, 2.0, 2.0]).plot()
    assert_array_equal(display.endmembers_.get_xdata(), [2, 3])
    given = EndmemberCountDisplay([1.0, 5.0, 9.0], [2.0, 2.0, 2.0], 1).plot()
    assert_array_equal(given.endmembers_.get_xdata(), [1])


def test_no_more_components_are_drawn_than_wanted(plt):
    ax = plt.subplots()[1]
    display = EndmemberCountDisplay(np.arange(100.0, 0, -1), np.full(100, 99.5))
    display.plot(ax, max_components=7, line_kw={"linewidth": 3})
    assert display.ax_ is ax and display.criterion_line_.get_linewidth() == 3
    assert_array_equal(display.criterion_line_.get_xdata(), np.arange(1, 8))
    assert len(display.plot().criterion_line_.get_xdata()) == 20


@pytest.mark.parametrize("method", ["rmt", "hysime", "hfc", "nwhfc"])
def test_an_estimate_is_drawn_as_it_was_made(rng, method):
    count = estimate_n_endmembers(mixed_scene(3, rng, snr=30)[0], method=method)
    display = EndmemberCountDisplay.from_count(count)
    assert display.n_endmembers == count.n_endmembers
    assert len(display.endmembers_.get_xdata()) == count.n_endmembers
    assert_allclose(display.criterion, count.criterion)
    assert display.ax_.get_ylabel() == count.criterion_name


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1.0, 2.0], [1.0]), "threshold has 1 numbers; criterion has 2"),
        (([[1.0]], [[1.0]]), "criterion must have one dimension"),
        (([1.0], [1.0], 2), "n_endmembers=2"),
    ],
)
def test_curves_that_make_no_picture_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EndmemberCountDisplay(*arguments)


@pytest.mark.parametrize("n, shrunk", [(5, False), (40, False), (120, True)])
def test_marks_of_many_components_leave_the_curves_to_be_seen(n, shrunk):
    values = np.linspace(9.0, 2.0, n)
    display = EndmemberCountDisplay(values, np.ones(n)).plot(max_components=n)
    sizes = display.endmembers_.get_markersize(), display.criterion_line_.get_markersize()
    assert sizes == (pytest.approx(7 / 3), pytest.approx(5 / 3)) if shrunk else sizes == (7, 5)
    assert display.threshold_line_.get_zorder() > display.endmembers_.get_zorder()
    assert EndmemberCountDisplay([], []).plot().criterion_line_.get_markersize() == 5
