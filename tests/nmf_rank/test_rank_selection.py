"""RankSelection finds planted numbers of components, and is an estimator as others are."""

import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import NMF, GraphNMF, RankSelection
from factorkit.datasets import make_low_rank_nonnegative, make_sparse_counts
from factorkit.nmf._rank import _smallest_within_one_standard_error
from factorkit.plotting import RankSelectionDisplay

RANKS = range(1, 8)


def planted(seed, **options):
    options = {"noise": 0.15} | options
    return make_low_rank_nonnegative(100, 60, 4, random_state=seed, **options).data


def selection(estimator=None, **options):
    options = {"n_components": RANKS, "n_restarts": 0, "random_state": 0} | options
    return RankSelection(NMF(max_iter=5000) if estimator is None else estimator, **options)


@pytest.fixture(scope="module")
def fitted():
    return selection(n_restarts=4).fit(planted(0))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.* without observed entries")
@parametrize_with_checks([RankSelection(cv=2, n_restarts=2), RankSelection(hold_out="blocks")])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("hold_out", ["entries", "blocks"])
@pytest.mark.parametrize("seed", range(5))
def test_the_planted_number_is_found(seed, hold_out):
    found = selection(hold_out=hold_out, random_state=seed).fit(planted(seed))
    assert found.n_components_ == 4


@pytest.mark.parametrize("missing_fraction", [0.2, 0.5])
def test_the_planted_number_is_found_in_data_with_holes(missing_fraction):
    X = planted(1, missing_fraction=missing_fraction)
    assert selection().fit(X).n_components_ == 4


def test_only_stored_entries_count_where_the_others_are_missing():
    X = planted(2, missing_fraction=0.4)
    observed = ~np.isnan(X)
    listed = sparse.csr_array((X[observed], np.nonzero(observed)), shape=X.shape)
    found = selection(NMF(max_iter=5000, missing="unstored")).fit(listed)
    dense = selection().fit(X)
    assert found.n_components_ == 4
    assert_allclose(found.errors_[3], dense.errors_[3], rtol=0.02)


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_the_planted_number_of_topics_is_found_in_sparse_counts(loss):
    counts = make_sparse_counts(600, 200, 3, 0.15, random_state=1).data
    nmf = NMF(max_iter=5000, beta_loss=loss, tol=1e-2)
    assert selection(nmf, n_components=range(1, 6), cv=3).fit(counts).n_components_ == 3


def test_dense_and_sparse_blocks_have_the_same_error():
    counts = make_sparse_counts(80, 60, 3, 0.3, random_state=1).data
    # In "auto" single precision, for sparse data alone, decides where a fit ends within its tol.
    nmf = NMF(solver="cd", max_iter=5000)
    options = {"n_components": [2, 3], "hold_out": "blocks", "cv": 3}
    sparse_errors = selection(nmf, **options).fit(counts).errors_
    dense_errors = selection(nmf, **options).fit(counts.toarray()).errors_
    assert_allclose(dense_errors, sparse_errors, rtol=1e-6)


def test_what_is_held_out_is_not_seen():
    """In noise alone nothing can be predicted: more components never help."""
    X = np.random.default_rng(0).exponential(size=(60, 40))
    for hold_out in ("entries", "blocks"):
        found = selection(hold_out=hold_out).fit(X)
        assert found.n_components_ == 1
        assert np.all(found.errors_.mean(axis=1) > 0.97)  # of a standard deviation of 1


def test_the_error_at_the_planted_number_is_near_the_noise():
    truth = make_low_rank_nonnegative(200, 100, 3, random_state=0)
    noise = 0.05 * np.sqrt(np.mean(truth.data**2))
    X = truth.data + noise * np.random.default_rng(0).standard_normal(truth.data.shape)
    for hold_out in ("entries", "blocks"):
        found = selection(hold_out=hold_out, n_components=[3]).fit(X.clip(0))
        assert_allclose(found.errors_, noise, rtol=0.1)


def test_components_agree_at_the_planted_number_and_less_above_it(fitted):
    # Rows and columns with a single component in them make the factors unique.
    X = make_low_rank_nonnegative(100, 60, 4, noise=0.02, separable=True, random_state=0).data
    found = selection(NMF(max_iter=5000, tol=1e-5), n_components=[4, 7], n_restarts=5).fit(X)
    at_truth, above = found.stability_
    assert at_truth > 0.999 > above
    assert_array_equal(found.cv_results_["stability"], found.stability_)
    cophenetic = found.cv_results_["cophenetic"]
    assert 1 >= cophenetic[0] > 0.99 and cophenetic[0] > cophenetic[1]


def test_one_component_is_always_stable(fitted):
    assert fitted.stability_[0] == pytest.approx(1, abs=1e-4)
    assert fitted.cv_results_["cophenetic"][0] == 1


def test_the_smallest_number_within_one_standard_error_is_chosen():
    errors = np.array([[9.0, 9.0], [3.4, 4.4], [2.0, 4.0], [5.0, 5.0]])
    assert _smallest_within_one_standard_error(errors) == 1  # 3.9 <= 3 + 1
    errors[1] += 0.2
    assert _smallest_within_one_standard_error(errors) == 2  # 4.1 > 3 + 1


def test_the_table_holds_what_the_attributes_hold(fitted):
    table = fitted.cv_results_
    assert_array_equal(table["param_n_components"], fitted.ranks_)
    errors = np.column_stack([table[f"split{fold}_test_error"] for fold in range(5)])
    assert_array_equal(errors, fitted.errors_)
    assert_allclose(table["mean_test_error"], errors.mean(axis=1))
    assert_array_equal(table["rank_test_error"], stats.rankdata(errors.mean(axis=1)))
    assert {len(column) for column in table.values()} == {len(RANKS)}
    assert fitted.errors_.shape == (len(RANKS), 5)
    assert RankSelectionDisplay.from_estimator(fitted).n_components == 4


def test_ranks_are_sorted_and_tried_once():
    found = selection(n_components=[4, 2, 4], cv=2).fit(planted(0))
    assert_array_equal(found.ranks_, [2, 4])


def test_every_number_up_to_the_smaller_side_is_tried_by_default():
    X = planted(0)[:, :3]
    assert_array_equal(selection(n_components=None, cv=2).fit(X).ranks_, [1, 2, 3])


def test_the_chosen_estimator_does_the_rest(fitted):
    X = planted(0)
    best = fitted.best_estimator_
    assert best.n_components == fitted.n_components_ == 4
    W = fitted.transform(X)
    assert_array_equal(W, best.transform(X))
    assert_array_equal(fitted.components_, best.components_)
    assert_array_equal(fitted.inverse_transform(W), best.inverse_transform(W))
    coords = [[0, 1], [5, 7]]
    assert_array_equal(
        fitted.inverse_transform_entries(W, coords), best.inverse_transform_entries(W, coords)
    )
    assert fitted.score(X) == best.score(X)
    assert list(fitted.get_feature_names_out()) == [f"rankselection{i}" for i in range(4)]
    assert_allclose(clone(fitted).fit_transform(X), W, atol=1e-6)


def test_it_works_at_the_end_of_a_pipeline_with_pandas():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(planted(0)).add_prefix("x")
    pipeline = make_pipeline(MinMaxScaler(), selection(n_components=[2, 3], cv=2))
    W = pipeline.set_output(transform="pandas").fit_transform(X)
    assert list(W.columns) == [f"rankselection{i}" for i in range(W.shape[1])]
    assert_array_equal(pipeline[-1].feature_names_in_, X.columns)


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("hold_out", ["entries", "blocks"])
def test_parallel_fits_give_the_serial_result(backend, hold_out):
    X = planted(3)
    options = {"n_components": [3, 4], "cv": 3, "n_restarts": 3, "hold_out": hold_out}
    serial = selection(**options).fit(X)
    with joblib.parallel_config(backend=backend):
        parallel = selection(**options, n_jobs=2).fit(X)
    assert_array_equal(parallel.errors_, serial.errors_)
    assert_array_equal(parallel.stability_, serial.stability_)
    assert_array_equal(parallel.cv_results_["cophenetic"], serial.cv_results_["cophenetic"])
    assert_array_equal(parallel.components_, serial.components_)


def test_random_state_makes_all_of_it_repeatable():
    X = planted(3)
    first, again, other = (
        selection(n_components=[3, 4], n_restarts=2, random_state=seed).fit(X).errors_
        for seed in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert np.all(first != other)


def test_float32_stays_float32():
    X = planted(0).astype(np.float32)
    found = selection(n_components=[3, 4]).fit(X)
    assert found.transform(X).dtype == found.components_.dtype == np.float32
    assert_allclose(
        found.errors_, selection(n_components=[3, 4]).fit(planted(0)).errors_, rtol=0.05
    )


def test_an_estimator_of_complete_data_is_measured_in_blocks():
    graph = GraphNMF(max_iter=5000, alpha_graph=1e-3)
    found = selection(graph, n_components=[1, 4], cv=2).fit(planted(0))
    assert found.n_components_ == 4
    with pytest.raises(ValueError, match="which GraphNMF does not"):
        selection(graph, hold_out="entries").fit(planted(0))


def test_fits_that_do_not_converge_are_counted_in_one_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        selection(NMF(max_iter=2), n_components=[1, 4], cv=3, n_restarts=2).fit(planted(0))
    messages = [str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)]
    (of_the_trials,) = [message for message in messages if "fits in folds" in message]
    assert " of 10 fits" in of_the_trials
    assert len(messages) <= 2  # and the fit of the chosen number


def test_data_are_not_modified():
    X = planted(0, missing_fraction=0.1)
    given = X.copy()
    selection(n_components=[2], cv=2).fit(X)
    assert_array_equal(X, given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": [0, 1]}, "n_components takes integers from 1"),
        ({"n_components": [1.5]}, "n_components takes integers from 1"),
        ({"n_components": []}, "n_components"),
        ({"n_restarts": 1}, "0 or >= 2"),
        ({"cv": 101, "hold_out": "blocks"}, "cv=101 is more than n_samples=100"),
        ({"cv": 7000}, "cv=7000 is more than n_entries=6000"),
    ],
)
def test_what_can_not_be_done_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        selection(**options).fit(planted(0))


def test_a_way_to_hold_out_that_the_data_do_not_allow_is_refused():
    counts = make_sparse_counts(30, 20, 2, 0.3, random_state=0).data
    with pytest.raises(ValueError, match='"blocks", or X as a dense array'):
        selection(hold_out="entries").fit(counts)
    with pytest.raises(ValueError, match='pass "entries"'):
        selection(NMF(missing="unstored"), hold_out="blocks").fit(counts)
    with pytest.raises(ValueError, match="X has n_features=1"):
        selection(hold_out="blocks").fit(counts[:, [0]].toarray())
