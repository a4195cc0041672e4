"""Entries as samples: EntryRegressor, to_entries, from_entries."""

import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_regressor
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.base import TensorFactorization
from factorkit.entries import EntryRegressor, from_entries, to_entries
from factorkit.utils import _sklearn
from tests._toy import ToyALS


class Spy(ToyALS):
    """Keeps what it is fitted to."""

    def fit_transform(self, X, y=None, sample_weight=None, entry_weight=None):
        W = super().fit_transform(X, y, sample_weight, entry_weight)
        self.X_, self.entry_weight_ = X, entry_weight
        return W


class Unweighted(ToyALS):
    """Takes no weights."""

    def fit(self, X, y=None):
        return super().fit(X)

    def fit_transform(self, X, y=None):
        self.X_ = X
        return super().fit_transform(X)


class NonnegativeSpy(Spy):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


class TensorSpy(TensorFactorization):
    """Keeps the tensor; each fit reconstructs ones."""

    def fit(self, X, y=None):
        self.X_ = X
        self.factors_ = [np.ones((length, 1)) for length in X.shape]
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)

    def transform(self, X):
        return np.ones((X.shape[0], 1))


class NoHoles(TransformerMixin, BaseEstimator):
    def fit_transform(self, X, y=None):
        return X

    def inverse_transform_entries(self, W, coords):
        return None


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def low_rank(rng):
    return rng.random((20, 2)) @ rng.random((2, 15))


@pytest.fixture
def entries(low_rank, rng):
    coords, values = to_entries(low_rank)
    order = rng.permutation(len(values))
    return coords[order], values[order]


_CHECKED = EntryRegressor(ToyALS(random_state=0, max_iter=300))


@parametrize_with_checks(
    [_CHECKED],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": (
            "sends fractions whatever the tags say; the test of repeated entries replaces it"
        )
    },
)
def test_scikit_learn_s_checks_of_a_regressor_pass(estimator, check):
    check(estimator)


def test_it_is_a_regressor_of_nonnegative_integers():
    assert is_regressor(_CHECKED)
    tags = get_tags(_CHECKED)
    assert tags.input_tags.categorical and tags.input_tags.positive_only
    assert not tags.target_tags.positive_only
    assert get_tags(EntryRegressor(NonnegativeSpy())).target_tags.positive_only


def test_held_out_entries_of_a_low_rank_matrix_are_predicted(entries):
    coords, values = entries
    regressor = EntryRegressor(ToyALS(2, ridge=1e-6, random_state=1))
    regressor.fit(coords[:200], values[:200])
    assert_allclose(regressor.predict(coords[200:]), values[200:], atol=1e-4)
    assert regressor.score(coords[200:], values[200:]) > 0.999


def test_predictions_are_those_of_the_estimator_on_the_matrix(entries, low_rank):
    coords, values = entries[0][:150], entries[1][:150]
    regressor = EntryRegressor(ToyALS(2, random_state=0), shape=low_rank.shape)
    X = from_entries(coords, values, low_rank.shape)
    toy = ToyALS(2, random_state=0, missing="unstored")
    W = toy.fit_transform(X)
    assert_array_equal(regressor.fit(coords, values).row_embedding_, W)
    assert_allclose(regressor.predict(coords), toy.inverse_transform_entries(W, coords))
    assert regressor.estimator.missing == "nan"  # the given one is untouched


def test_the_estimator_sees_exactly_the_entries_zeros_included():
    regressor = EntryRegressor(Spy(1)).fit([[0, 1], [2, 0], [2, 1]], [5.0, 0.0, 3.0])
    X = regressor.estimator_.X_
    assert isinstance(X, sparse.csr_array)
    assert_array_equal(X.indptr, [0, 1, 3])
    assert_array_equal(X.indices, [1, 0, 1])
    assert_array_equal(X.data, [5, 0, 3])
    assert regressor.estimator_.missing == "unstored"
    assert regressor.estimator_.entry_weight_ is None
    assert_array_equal(regressor.modes_[0], [0, 2])


def test_coordinates_that_do_not_occur_take_no_room_unless_a_shape_says_so():
    coords = np.array([[10**12, 3], [7, 10**15]])
    regressor = EntryRegressor(Spy(1)).fit(coords, [1.0, 2.0])
    assert regressor.estimator_.X_.shape == (2, 2)
    assert_array_equal(regressor.modes_[0], [7, 10**12])
    shaped = EntryRegressor(Spy(1), shape=(6, 4)).fit([[5, 3], [0, 0]], [1.0, 2.0])
    assert shaped.estimator_.X_.shape == (6, 4)
    assert shaped.row_embedding_.shape == (6, 1)


@pytest.mark.parametrize("shape", [None, (5, 5)])
def test_new_rows_get_the_column_s_mean_new_columns_the_row_s(shape):
    coords = [[0, 0], [0, 1], [1, 0], [2, 1]]
    values = [1.0, 2.0, 5.0, 10.0]
    regressor = EntryRegressor(ToyALS(1, random_state=0), shape=shape).fit(coords, values)
    new = [[4, 0], [4, 1], [0, 4], [2, 4], [4, 4], [999, 1], [0, 999], [999, 999]]
    assert_allclose(regressor.predict(new), [3, 6, 1.5, 10, 4.5, 6, 1.5, 4.5])


def test_new_combinations_of_an_unfolded_tensor_get_the_row_s_mean():
    coords = [[0, 0, 0], [0, 1, 1], [1, 1, 1]]
    regressor = EntryRegressor(ToyALS(1, random_state=0)).fit(coords, [1.0, 3.0, 8.0])
    assert_allclose(regressor.predict([[0, 0, 1], [5, 1, 1], [5, 0, 1]]), [2, 5.5, 4])
    # A new coordinate in one mode is a new combination, whatever the others are.
    regressor.fit([[0, 0, 1], [0, 1, 0], [1, 1, 1]], [1.0, 3.0, 8.0])
    assert_allclose(regressor.predict([[0, 1, 9], [0, 9, 0], [5, 1, 9]]), [2, 2, 4])


def test_a_matrix_estimator_sees_the_unfolding_of_a_tensor(rng):
    tensor = rng.random((4, 3, 2, 2))
    coords, values = to_entries(tensor)
    keep = rng.permutation(len(values))[:40]
    keep = keep[~((coords[keep, 1] == 2) & (coords[keep, 2] == 0) & (coords[keep, 3] == 1))]
    regressor = EntryRegressor(Spy(2, random_state=0)).fit(coords[keep], values[keep])
    n_combinations = len(np.unique(coords[keep, 1:], axis=0))
    assert n_combinations < 12
    assert regressor.estimator_.X_.shape == (4, n_combinations)
    unfolded = tensor.reshape(4, -1)
    joint = np.ravel_multi_index(coords[keep, 1:].T, (3, 2, 2))
    matrix = EntryRegressor(Spy(2, random_state=0))
    matrix.fit(np.column_stack((coords[keep, 0], joint)), values[keep])
    assert_array_equal(matrix.estimator_.X_.toarray(), regressor.estimator_.X_.toarray())
    expected = matrix.predict(np.column_stack((coords[:, 0], np.tile(range(12), 4))))
    assert_allclose(regressor.predict(coords), expected)
    assert unfolded.size == len(coords)


def test_many_long_modes_do_not_overflow(rng):
    coords = rng.integers(0, 2**62, (30, 9))
    regressor = EntryRegressor(Spy(1, ridge=1e-9, random_state=0)).fit(coords, np.arange(30.0))
    assert regressor.estimator_.X_.shape == (30, 30)
    assert_allclose(regressor.predict(coords), np.arange(30.0), atol=0.1)


def test_a_single_mode_is_a_matrix_of_one_column():
    regressor = EntryRegressor(Spy(1, ridge=1e-9)).fit([[0], [3], [3]], [1.0, 4.0, 6.0])
    assert_allclose(regressor.predict([[0], [3], [8]]), [1, 5, 11 / 3], rtol=1e-5)


def test_a_tensor_estimator_gets_a_coo_array():
    coords = [[3, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 2]]
    regressor = EntryRegressor(TensorSpy()).fit(coords, [1.0, 2.0, 4.0, 0.0])
    X = regressor.estimator_.X_
    assert isinstance(X, sparse.coo_array)
    assert X.shape == (3, 2, 2)
    assert X.nnz == 3
    assert_array_equal(X.toarray()[2, 0, 0], 1)
    assert_array_equal(X.toarray()[0, 1, 0], 3)
    # Known in each mode; new in mode 0; in mode 1; in both; in all.
    new = [[3, 1, 2], [9, 1, 0], [0, 9, 0], [9, 9, 2], [9, 9, 9]]
    assert_allclose(regressor.predict(new), [1, 3, 7 / 3, 0, 7 / 4])


def test_repeated_entries_weigh_as_often_as_they_are_there(entries, rng):
    coords, values = entries[0][:100], entries[1][:100] + rng.normal(size=100)
    weight = rng.integers(0, 4, 100)
    repeated = EntryRegressor(Spy(2, random_state=0))
    repeated.fit(np.repeat(coords, weight, axis=0), np.repeat(values, weight))
    weighted = EntryRegressor(Spy(2, random_state=0)).fit(coords, values, sample_weight=weight)
    assert_allclose(weighted.predict(entries[0]), repeated.predict(entries[0]))
    assert weighted.estimator_.X_.nnz == np.count_nonzero(weight)
    assert_allclose(weighted.estimator_.entry_weight_.data.sum(), weight.sum())
    plain = EntryRegressor(Spy(2, random_state=0)).fit(coords, values)
    assert np.abs(plain.predict(coords) - weighted.predict(coords)).max() > 0.01


def test_repeated_entries_with_other_values_are_averaged_by_weight():
    coords = [[0, 0], [0, 0], [1, 1]]
    regressor = EntryRegressor(Spy(1)).fit(coords, [1.0, 4.0, 3.0], sample_weight=[2, 1, 1])
    assert_allclose(regressor.estimator_.X_.data, [2, 3])
    assert_allclose(regressor.estimator_.entry_weight_.data, [3, 1])
    assert regressor.mean_ == pytest.approx(9 / 4)
    unweighted = EntryRegressor(Unweighted(1)).fit(coords, [1.0, 4.0, 3.0])
    assert_allclose(unweighted.estimator_.X_.data, [2.5, 3])


def test_the_order_of_the_entries_does_not_matter(entries, rng):
    coords, values = entries
    order = rng.permutation(len(values))
    a = EntryRegressor(ToyALS(2, random_state=0)).fit(coords, values)
    b = EntryRegressor(ToyALS(2, random_state=0)).fit(coords[order], values[order])
    assert_array_equal(a.predict(coords), b.predict(coords))


def test_float32_values_make_float32_predictions(entries):
    coords, values = entries
    regressor = EntryRegressor(Spy(2, random_state=0)).fit(coords, values.astype(np.float32))
    assert regressor.estimator_.X_.dtype == np.float32
    assert regressor.predict(coords).dtype == regressor.predict([[99, 99]]).dtype == np.float32
    assert EntryRegressor(Spy(1)).fit([[0, 0]], [1]).predict([[0, 0]]).dtype == np.float64


@pytest.mark.parametrize(
    "estimator, X, shape, sample_weight, message",
    [
        (ToyALS(1), [[0, -1]], None, None, "Negative values in data passed as X"),
        (ToyALS(1), [[0, 0.5]], None, None, "X has coordinates that are not whole"),
        (ToyALS(1), [[0, np.nan]], None, None, "X contains NaN"),
        (ToyALS(1), [[0, 5]], (3, 5), None, "X has coordinate 5 in column 1"),
        (ToyALS(1), [[0, 5]], (3,), None, r"shape=\(3,\) has 1 lengths, and X has 2 columns"),
        (ToyALS(1), [[0, 5]], None, [-1], "Negative values in sample_weight"),
        (Unweighted(1), [[0, 5]], None, [1], "sample_weight can't be used: fit of Unweighted"),
        (NoHoles(), [[0, 5]], None, None, "NoHoles can't leave entries out"),
        (object(), [[0, 5]], None, None, "inverse_transform_entries"),
        (ToyALS(0), [[0, 5]], None, None, "'n_components' parameter of ToyALS"),
    ],
)
def test_what_can_not_be_fitted_is_refused_before_anything_is(
    estimator, X, shape, sample_weight, message
):
    regressor = EntryRegressor(estimator, shape=shape)
    with pytest.raises((ValueError, TypeError), match=message):
        regressor.fit(X, [1.0], sample_weight=sample_weight)
    assert set(vars(regressor)) == {"estimator", "shape"}


def test_another_number_of_modes_is_refused_at_prediction(entries):
    with pytest.raises(ValueError, match="3 features, but EntryRegressor is expecting 2"):
        EntryRegressor(ToyALS(1)).fit(*entries).predict([[0, 0, 0]])


# Cross-validation over entries.


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search_over_entries_finds_the_rank(entries, rng, n_jobs):
    coords, values = entries
    values = values + 0.05 * rng.normal(size=len(values))
    search = GridSearchCV(
        EntryRegressor(ToyALS(random_state=0, ridge=1e-2)),
        {"estimator__n_components": [1, 2, 4, 6]},
        cv=KFold(5, shuffle=True, random_state=0),
        scoring="neg_root_mean_squared_error",
        n_jobs=n_jobs,
    ).fit(coords, values)
    assert search.best_params_ == {"estimator__n_components": 2}
    assert search.predict(coords).shape == values.shape


def test_random_search_curves_and_cross_val_predict_take_it(entries):
    plt = pytest.importorskip("matplotlib.pyplot")
    coords, values = entries
    regressor = EntryRegressor(ToyALS(2, random_state=0))
    search = RandomizedSearchCV(
        regressor, {"estimator__n_components": [1, 2, 3]}, n_iter=2, cv=3, random_state=0
    )
    assert search.fit(coords, values).best_score_ > 0.5
    assert np.corrcoef(cross_val_predict(regressor, coords, values), values)[0, 1] > 0.9
    display = ValidationCurveDisplay.from_estimator(
        regressor, coords, values, param_name="estimator__n_components", param_range=[1, 2], cv=3
    )
    assert display.test_scores.shape == (2, 3)
    plt.close("all")


def test_clones_pickles_and_joblib_files_predict_the_same(entries, tmp_path):
    coords, values = entries
    regressor = EntryRegressor(ToyALS(2, random_state=0), shape=(20, 15)).fit(coords, values)
    expected = regressor.predict(coords)
    assert_array_equal(pickle.loads(pickle.dumps(regressor)).predict(coords), expected)
    joblib.dump(regressor, tmp_path / "regressor")
    mapped = joblib.load(tmp_path / "regressor", mmap_mode="r")
    assert_array_equal(mapped.predict(coords), expected)
    copy = clone(regressor)
    assert not hasattr(copy, "estimator_")
    assert_array_equal(copy.fit(coords, values).predict(coords), expected)


def test_sample_weight_can_be_routed_to_it(entries):
    from sklearn import config_context

    coords, values = entries
    weight = np.arange(len(values), dtype=float)
    with config_context(enable_metadata_routing=True):
        regressor = EntryRegressor(Spy(2, random_state=0))
        regressor.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weighted = cross_val_score(regressor, coords, values, params={"sample_weight": weight})
    assert weighted.shape == (5,)


def test_names_of_the_modes_are_kept(entries):
    pd = pytest.importorskip("pandas")
    coords, values = entries
    frame = pd.DataFrame(coords, columns=["user", "film"])
    regressor = EntryRegressor(ToyALS(1, random_state=0)).fit(frame, values)
    assert list(regressor.feature_names_in_) == ["user", "film"]
    assert_array_equal(regressor.predict(frame), regressor.predict(frame.astype(float)))


# Callbacks.


@pytest.mark.skipif(not _sklearn.HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
class TestCallbacks:
    def test_those_of_the_regressor_reach_the_iterations(self, entries):
        class Propagated:
            max_propagation_depth = None

            def __init__(self):
                self.ended = []

            def setup(self, estimator, context):
                pass

            teardown = on_fit_task_begin = setup

            def on_fit_task_end(self, estimator, context):
                self.ended.append((type(estimator).__name__, context.task_name))

        callback = Propagated()
        regressor = EntryRegressor(ToyALS(2, max_iter=3, random_state=0))
        regressor.set_callbacks(callback).fit(*entries)
        expected = [*(3 * [("ToyALS", "iteration")]), ("ToyALS", "fit"), ("EntryRegressor", "fit")]
        assert callback.ended == expected
        assert not hasattr(regressor.estimator_, "_parent_callback_ctx")
        assert not hasattr(regressor.estimator_, "_skl_callbacks")

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_early_stopping_and_progress_work_in_a_search(self, entries, n_jobs, capsys):
        pytest.importorskip("rich")
        from factorkit.callbacks import EarlyStopping, ObjectiveProgressBar

        toy = ToyALS(random_state=0, max_iter=60).set_callbacks(EarlyStopping(min_delta=0.5))
        search = GridSearchCV(
            EntryRegressor(toy), {"estimator__n_components": [1, 2]}, cv=2, n_jobs=n_jobs
        )
        search.set_callbacks(ObjectiveProgressBar(max_propagation_depth=None)).fit(*entries)
        assert search.best_estimator_.estimator_.stopped_by_callback_
        assert "objective" in capsys.readouterr().out

    def test_an_interrupted_fit_leaves_the_last_one(self, entries):
        class Interrupt:
            def setup(self, estimator, context):
                raise KeyboardInterrupt

            def teardown(self, estimator, context):
                pass

            on_fit_task_begin = on_fit_task_end = teardown

        regressor = EntryRegressor(ToyALS(2, random_state=0)).fit(*entries)
        before, expected = dict(vars(regressor)), regressor.predict(entries[0])
        regressor.estimator.set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            regressor.fit(entries[0][:9], entries[1][:9])
        assert vars(regressor) == before
        assert_array_equal(regressor.predict(entries[0]), expected)


# Lists of entries and arrays.


def test_entries_of_a_dense_array_are_all_but_nan(rng):
    for shape in [(4,), (4, 3), (4, 3, 2)]:
        X = rng.random(shape)
        X.flat[1] = np.nan
        X.flat[2] = 0
        coords, values = to_entries(X)
        assert_array_equal(coords, np.argwhere(~np.isnan(X)))
        assert_array_equal(values, X[~np.isnan(X)])
        assert coords.dtype == np.intp
    coords, values = to_entries([[1, 0]])
    assert values.dtype.kind == "i" and len(coords) == 2


def test_missing_says_what_the_unstored_entries_of_a_sparse_matrix_are():
    parts = ([0.0, np.nan, 3.0, 2.0], [2, 1, 1, 0], [0, 2, 4])
    X = sparse.csr_array(parts, shape=(2, 3))
    coords, values = to_entries(X, missing="unstored")
    assert_array_equal(coords, [[0, 2], [1, 0], [1, 1]])
    assert_array_equal(values, [0, 2, 3])
    coords, values = to_entries(X)
    assert_array_equal(coords, [[0, 0], [0, 2], [1, 0], [1, 1], [1, 2]])
    assert_array_equal(values, [0, 0, 2, 3, 0])
    assert_array_equal(X.indices, parts[1])
    with pytest.raises(ValueError, match="missing='zeros': it takes 'nan' or 'unstored'"):
        to_entries(X, missing="zeros")


@pytest.mark.parametrize("container", [sparse.csc_array, sparse.coo_array])
def test_entries_of_sparse_arrays_come_in_c_order_and_repeated_ones_are_summed(container):
    X = sparse.coo_array(([1.0, 2, 4, 8], ([1, 0, 1, 0], [0, 2, 0, 1])), shape=(2, 3))
    given = container(X)
    before = given.data.copy()
    coords, values = to_entries(given, missing="unstored")
    assert_array_equal(coords, [[0, 1], [0, 2], [1, 0]])
    assert_array_equal(values, [8, 2, 5])
    assert_array_equal(given.data, before)
    tensor = sparse.coo_array(([1.0, 2, 3], ([1, 0, 0], [0, 2, 1], [1, 0, 1])))
    assert_array_equal(to_entries(tensor)[1], [3, 2, 1])


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (3,), (2, 3, 2, 3)])
def test_from_entries_undoes_to_entries(rng, shape):
    X = rng.integers(0, 3, shape).astype(float)
    X[rng.random(shape) < 0.5] = np.nan
    coords, values = to_entries(X)
    order = rng.permutation(len(values))
    S = from_entries(coords[order], values[order], shape)
    assert isinstance(S, sparse.csr_array if len(shape) == 2 else sparse.coo_array)
    assert S.shape == shape
    coords_again, values_again = to_entries(S, missing="unstored")
    assert_array_equal(coords_again, coords)
    assert_array_equal(values_again, values)


def test_from_entries_guesses_the_shape():
    assert from_entries([[0, 4], [2, 0]], [1, 2]).shape == (3, 5)
    assert from_entries(np.empty((0, 2)), [], (3, 2)).nnz == 0


@pytest.mark.parametrize(
    "coords, values, shape, message",
    [
        ([[0, 1], [0, 1]], [1, 2], None, "names 1 of 2 entries more than once"),
        ([[0, 1]], [1, 2], None, "inconsistent numbers of samples"),
        ([[0, 1]], [1], (1, 1), "coords has coordinate 1 in column 1"),
        ([[0, 1]], [1], (1, 1, 1), "coords has 2 columns"),
        (np.empty((0, 2)), [], None, "shape has to be given"),
    ],
)
def test_lists_that_make_no_array_are_refused(coords, values, shape, message):
    with pytest.raises(ValueError, match=message):
        from_entries(coords, values, shape)
