"""Histories are drawn as their distance from the best."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.plotting import ConvergenceDisplay
from tests._toy import ToyALS


def test_gaps_are_relative_to_the_lowest_objective_of_all():
    display = ConvergenceDisplay([[8.0, 6.0, 5.0], [4.0, 2.0]])
    first, second = display.gaps()
    assert_allclose(first, [3.0, 2.0, 1.5])
    assert_allclose(second, [1.0, 0.0])
    known = ConvergenceDisplay([[8.0, 6.0]], best=4.0)
    assert_allclose(known.gaps()[0], [1.0, 0.5])


def test_a_negative_or_zero_best_keeps_gaps_positive():
    assert_allclose(ConvergenceDisplay([[2.0, -4.0]]).gaps()[0], [1.5, 0.0])
    assert_allclose(ConvergenceDisplay([[2.0, 0.0]]).gaps()[0], [2.0, 0.0])


def test_curves_leave_out_what_a_logarithm_cannot_show():
    display = ConvergenceDisplay([[8.0, 6.0, 5.0], [4.0, 2.0]], ["slow", "fast"]).plot()
    slow, fast = display.lines_
    assert_array_equal(slow.get_xdata(), [1, 2, 3])
    assert_array_equal(fast.get_xdata(), [1])
    assert fast.get_marker() == "o"  # a line of one point is not seen
    assert display.ax_.get_yscale() == "log" and display.ax_.figure is display.figure_
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["slow", "fast"]


def test_times_take_the_place_of_iterations():
    display = ConvergenceDisplay([[3.0, 2.0, 1.0]], times=[[0.1, 0.5, 0.7]]).plot()
    assert_array_equal(display.lines_[0].get_xdata(), [0.1, 0.5])
    assert display.ax_.get_xlabel() == "Time (s)" and display.ax_.get_legend() is None


def test_estimators_give_their_histories(plt):
    X = np.random.default_rng(0).random((20, 12))
    short, long = ToyALS(3, max_iter=5).fit(X), ToyALS(3, max_iter=20).fit(X)
    ax = plt.subplots()[1]
    display = ConvergenceDisplay.from_estimator(
        short, long, names=["5", "20"], ax=ax, line_kw={"linewidth": 3}
    )
    assert display.ax_ is ax
    assert_array_equal(display.histories[0], short.objective_)
    assert [len(history) for history in display.histories] == [5, 20]
    assert [line.get_linewidth() for line in display.lines_] == [3, 3]
    assert ConvergenceDisplay.from_estimator(short, long).names == ["ToyALS", "ToyALS"]
    with pytest.raises(ValueError, match="ToyALS has no objective_"):
        ConvergenceDisplay.from_estimator(ToyALS())


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (([],), {}, "no objective"),
        (([[]],), {}, "no objective"),
        (([[1.0]], ["a", "b"]), {}, "2 names for 1 histories"),
        (([[2.0, 1.0]],), {"best": 1.5}, "best=1.5 is above"),
        (([[2.0, 1.0]],), {"times": [[1.0]]}, "times holds"),
    ],
)
def test_histories_that_make_no_picture_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ConvergenceDisplay(*arguments, **options)
