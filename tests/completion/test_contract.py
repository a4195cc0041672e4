"""AltMinCompletion and ImplicitALS as scikit-learn estimators."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import (
    AltMinCompletion,
    BayesianMatrixFactorization,
    EntryRegressor,
    ImplicitALS,
    to_entries,
)
from factorkit.callbacks import EarlyStopping
from factorkit.utils._sklearn import HAS_CALLBACKS

from ._planted import planted, rating_like

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@quiet
@parametrize_with_checks(
    [
        AltMinCompletion(2),
        AltMinCompletion(2, loss="huber", row_bias=False, init="svd"),
        AltMinCompletion(2, positive=True, column_bias=False),
        ImplicitALS(2),
    ]
)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@quiet
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("name", ["AltMinCompletion", "ImplicitALS"])
@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_transformer_preserve_dtypes,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_further_checks_pass(name, check):
    kind = {"AltMinCompletion": AltMinCompletion, "ImplicitALS": ImplicitALS}[name]
    check(name, kind(2, random_state=0))


def test_grid_search_over_entries_finds_the_rank(rng):
    _, X = planted(rng, 80, 60, 3, density=0.5, noise=0.1)
    coords, values = to_entries(X, missing="unstored")
    search = GridSearchCV(
        EntryRegressor(AltMinCompletion(alpha=1e-3, random_state=0, tol=1e-3)),
        {"estimator__n_components": [1, 2, 3, 4, 6]},
        cv=KFold(3, shuffle=True, random_state=0),
    ).fit(coords, values)
    assert search.best_params_ == {"estimator__n_components": 3}
    assert search.best_score_ > 0.97


def test_entry_weights_reach_the_estimator(rng):
    _, X = planted(rng, 50, 40, 2, density=0.6, noise=0.1)
    coords, values = to_entries(X, missing="unstored")
    values[:100] += 20
    weight = np.ones(len(values))
    weight[:100] = 1e-6
    regressor = EntryRegressor(AltMinCompletion(2, alpha=1e-3, random_state=0))
    good = regressor.fit(coords, values, sample_weight=weight).score(coords[100:], values[100:])
    assert good > 0.97


def test_error_bars_come_through_the_regressor(rng):
    _, X = planted(rng, 40, 30, 2, density=0.5, noise=0.2)
    coords, values = to_entries(X, missing="unstored")
    kept = (coords[:, 0] != 3) & (np.arange(len(values)) % 4 > 0)
    model = BayesianMatrixFactorization(3, n_draws=40, burn_in=40, random_state=0)
    regressor = EntryRegressor(model, shape=X.shape).fit(coords[kept], values[kept])
    mean, std = regressor.predict(coords[~kept], return_std=True)
    assert_allclose(mean, regressor.predict(coords[~kept]), rtol=1e-6, atol=1e-8)
    new = coords[~kept][:, 0] == 3
    assert_allclose(std[new], values[kept].std())
    z = (values[~kept] - mean)[~new] / std[~new]
    assert 0.8 < z.std() < 1.25 and std[~new].max() < values.std()
    with pytest.raises(ValueError, match="AltMinCompletion has none"):
        EntryRegressor(AltMinCompletion(2)).fit(coords, values).predict(coords, return_std=True)


def test_unseen_rows_and_columns_predict_means(rng):
    X = rating_like(rng)
    coords, values = to_entries(X, missing="unstored")
    kept = (coords[:, 0] != 3) & (coords[:, 1] != 4)
    regressor = EntryRegressor(AltMinCompletion(2, random_state=0)).fit(coords[kept], values[kept])
    of_column = values[kept & (coords[:, 1] == 9)].mean()
    assert_allclose(regressor.predict([[3, 9], [3, 4]]), [of_column, values[kept].mean()])
    scores = cross_val_score(regressor, coords, values, cv=KFold(5, shuffle=True, random_state=0))
    assert np.isfinite(scores).all()


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")
def test_early_stopping_on_held_out_entries(rng):
    # Far too many factors and no penalty to speak of: the error on new entries turns up.
    M, X = planted(rng, 60, 50, 2, density=0.3, noise=0.5)
    coords = np.argwhere(X.toarray() == 0)
    hidden = M[tuple(coords.T)]

    def error(model):
        return np.sqrt(np.mean((model.predict_entries(coords) - hidden) ** 2))

    options = {"alpha": 1e-3, "random_state": 0, "max_iter": 60, "tol": 1e-9}
    stopped = AltMinCompletion(6, **options)
    stopping = EarlyStopping(patience=2, scoring=lambda model: -error(model))
    stopped.set_callbacks(stopping).fit(X)
    assert stopped.stopped_by_callback_ and stopped.n_iter_ < 50
    assert len(stopped.objective_) == stopped.n_iter_
    assert_allclose(stopped.transform(X), stopped.embedding_, atol=1e-6)
    with pytest.warns(UserWarning):
        whole = AltMinCompletion(6, **options).fit(X)
    assert error(stopped) < 0.8 * error(whole)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was(rng):
    X = rating_like(rng)
    model = AltMinCompletion(2, random_state=0).fit(X)
    before = model.predict_entries([[0, 0]])
    bad = X.copy()
    bad.data[0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(bad)
    with pytest.raises(ValueError, match="bounds"):
        model.set_params(bounds=(5, 1)).fit(X)
    assert_allclose(model.predict_entries([[0, 0]]), before)


@pytest.mark.parametrize(
    ("X", "options", "words"),
    [
        (sparse.csr_array((4, 3)), {}, "no observed entry"),
        (np.full((4, 3), np.nan), {}, "no observed entry|NaN"),
        (sparse.csr_array(np.eye(3)), {"missing": "nan"}, "nothing to complete"),
        (np.eye(3), {"bounds": (1, 2, 3)}, "bounds"),
        (np.eye(3), {"n_components": 0}, "n_components"),
        (np.eye(3), {"alpha": -1}, "alpha"),
        (np.array([["a", "b"]]), {}, "could not convert|dtype"),
    ],
)
def test_bad_input_is_refused_in_words(X, options, words):
    with pytest.raises(ValueError, match=words):
        AltMinCompletion(**options).fit(X)


def test_weights_are_checked(rng):
    X = rating_like(rng)
    with pytest.raises(ValueError, match="entry_weight"):
        AltMinCompletion(2).fit(X, entry_weight=-X)
    with pytest.raises(ValueError, match="only zero"):
        AltMinCompletion(2).fit(X, entry_weight=X * 0)


def test_neither_input_nor_parameters_change_and_copies_agree(rng):
    X = rating_like(rng)
    before = X.copy()
    for model in (AltMinCompletion(2, random_state=0, loss="huber"), ImplicitALS(2)):
        model.fit(X)
        assert_allclose(X.data, before.data)
        assert clone(model).get_params() == model.get_params()
        again = pickle.loads(pickle.dumps(model))
        assert_allclose(again.transform(X), model.embedding_)
        assert_allclose(again.recommend([0])[1], model.recommend([0])[1])


def test_verbose_prints_and_silence_is_default(rng, capsys):
    X = rating_like(rng)
    AltMinCompletion(2, random_state=0).fit(X)
    assert capsys.readouterr().out == ""
    model = AltMinCompletion(2, random_state=0, verbose=1).fit(X)
    assert capsys.readouterr().out.count("objective") == model.n_iter_


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_layouts_and_integers(rng, order, kind):
    X = rating_like(rng).toarray().astype(kind)
    dense = np.asarray(X, order=order)
    model = AltMinCompletion(2, random_state=0, tol=0.02).fit(dense)
    expected = AltMinCompletion(2, random_state=0, tol=0.02).fit(X.astype(float))
    assert_allclose(model.components_, expected.components_, atol=1e-2)
    wide = sparse.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert np.isfinite(AltMinCompletion(2, random_state=0).fit(wide).components_).all()
