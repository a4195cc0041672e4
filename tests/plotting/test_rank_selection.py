"""The error over the ranks is a mean with its standard error, and the chosen rank is marked."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.model_selection import GridSearchCV, KFold

from factorkit.entries import EntryRegressor
from factorkit.plotting import RankSelectionDisplay
from factorkit.utils._entries import to_entries
from tests._toy import ToyALS

RANKS = [1, 2, 4, 7]


@pytest.fixture
def errors():
    return np.random.default_rng(0).random((4, 5))


def drawn(display):
    """Means and standard errors, as they are in the picture."""
    line, _, (bars,) = display.errorbar_
    half = np.array([segment[:, 1] for segment in bars.get_segments()])
    return line.get_xdata(), line.get_ydata(), np.diff(half, axis=1)[:, 0] / 2


def test_errors_are_means_with_standard_errors(errors):
    display = RankSelectionDisplay(RANKS, errors).plot()
    ranks, mean, standard_error = drawn(display)
    assert_array_equal(ranks, RANKS)
    assert_allclose(mean, errors.mean(axis=1))
    assert_allclose(standard_error, stats.sem(errors, axis=1))
    assert len(display.axes_) == 1 and display.figure_ is display.axes_[0].figure


def test_failed_folds_do_not_count(errors):
    errors[1, 2] = errors[2, 1:] = np.nan
    _, mean, standard_error = drawn(RankSelectionDisplay(RANKS, errors).plot())
    assert_allclose(mean, np.nanmean(errors, axis=1))
    assert_allclose(standard_error[:2], stats.sem(errors[:2], axis=1, nan_policy="omit"))
    assert standard_error[2] == 0  # one fold has no spread
    errors[3] = np.nan
    _, mean = RankSelectionDisplay(RANKS, errors).plot().errorbar_[0].get_data()
    assert_array_equal(np.isnan(mean), [False, False, False, True])


def test_stability_has_a_panel_of_its_own(errors):
    stability = [1.0, 0.9, np.nan, 0.4]
    display = RankSelectionDisplay(RANKS, errors, stability).plot()
    assert len(display.axes_) == 2
    assert_array_equal(display.axes_[1].lines[0].get_ydata(), stability)
    assert display.axes_[1].get_ylim()[0] < 0.4 and display.axes_[1].get_ylim()[1] > 1
    assert display.axes_[0].get_xlim() == display.axes_[1].get_xlim()


def test_the_chosen_rank_is_marked_on_every_panel(errors):
    display = RankSelectionDisplay(RANKS, errors, [1.0, 1.0, 0.5, 0.2], n_components=4).plot()
    for panel in display.axes_:
        assert any(list(line.get_xdata()) == [4, 4] for line in panel.lines)
    (text,) = display.axes_[0].get_legend().get_texts()
    assert text.get_text() == "Chosen: 4"
    ring = display.axes_[0].lines[-1]
    assert_allclose(ring.get_xydata(), [[4, errors[2].mean()]])


def test_an_estimator_gives_what_it_measured(errors):
    selection = SimpleNamespace(
        ranks_=RANKS, errors_=errors, stability_=[1.0, 0.9, 0.8, 0.7], n_components_=2
    )
    display = RankSelectionDisplay.from_estimator(selection, error_name="Loss")
    assert_array_equal(display.errors, errors)
    assert_array_equal(display.stability, selection.stability_)
    assert display.n_components == 2
    assert display.axes_[0].get_ylabel() == "Loss"


def search(grid, **options):
    rng = np.random.default_rng(0)
    coords, values = to_entries(rng.random((15, 2)) @ rng.random((2, 12)))
    folds = KFold(3, shuffle=True, random_state=0)
    options = {"scoring": "neg_root_mean_squared_error"} | options
    return GridSearchCV(EntryRegressor(ToyALS()), grid, cv=folds, **options).fit(coords, values)


def test_a_search_gives_its_scores_with_the_sign_changed():
    found = search({"estimator__n_components": [3, 1, 2]})
    display = RankSelectionDisplay.from_search(found)
    assert_array_equal(display.ranks, [1, 2, 3])
    assert_allclose(display.errors.mean(axis=1), -found.cv_results_["mean_test_score"][[1, 2, 0]])
    assert display.errors.shape == (3, 3)
    assert display.n_components == found.best_params_["estimator__n_components"]


def test_each_rank_of_a_wider_search_shows_its_best_candidate():
    found = search({"estimator__n_components": [1, 2], "estimator__ridge": [1e-4, 10.0]})
    display = RankSelectionDisplay.from_search(found)
    means = found.cv_results_["mean_test_score"].reshape(2, 2)
    assert_allclose(display.errors.mean(axis=1), -means.max(axis=1))


def test_a_search_with_several_scores_shows_the_one_that_decides():
    grid = {"estimator__n_components": [1, 2]}
    scoring = ["r2", "neg_mean_absolute_error"]
    found = search(grid, scoring=scoring, refit="neg_mean_absolute_error")
    errors = RankSelectionDisplay.from_search(found).errors
    assert_allclose(errors.mean(axis=1), -found.cv_results_["mean_test_neg_mean_absolute_error"])


def test_a_search_without_ranks_is_refused():
    with pytest.raises(ValueError, match=r"parameter has to name .* estimator__ridge"):
        RankSelectionDisplay.from_search(search({"estimator__ridge": [0.1, 1.0]}))


def test_lengths_that_differ_are_refused(errors):
    with pytest.raises(ValueError, match="errors has 4 rows; ranks has 3"):
        RankSelectionDisplay(RANKS[:3], errors)
    with pytest.raises(ValueError, match="stability has 2 rows; ranks has 4"):
        RankSelectionDisplay(RANKS, errors, [1.0, 0.5])
    with pytest.raises(ValueError, match="n_components=3 is not among the ranks"):
        RankSelectionDisplay(RANKS, errors, n_components=3)
