"""BayesianMatrixFactorization: predictions, error bars, and scikit-learn's rules."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import EntryRegressor, to_entries
from factorkit.callbacks import EarlyStopping
from factorkit.completion._bayes import BayesianMatrixFactorization
from factorkit.utils._sklearn import HAS_CALLBACKS

from ._planted import planted

SHORT = {"n_draws": 6, "burn_in": 6, "thin": 1, "random_state": 0}
NORMAL_90 = 1.6449


@parametrize_with_checks(
    [
        BayesianMatrixFactorization(2, **SHORT),
        BayesianMatrixFactorization(1, noise=0.5, pattern=False, bounds="data", **SHORT),
        BayesianMatrixFactorization(2, noise="equal", n_chains=2, **SHORT),
    ]
)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
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
def test_scikit_learns_further_checks_pass(check):
    check("BayesianMatrixFactorization", BayesianMatrixFactorization(2, **SHORT))


def hidden_entries(X):
    return np.argwhere(X.toarray() == 0)


def interval_coverage(model, M, X, rng, noise_std):
    coords = hidden_entries(X)
    new = M[tuple(coords.T)] + noise_std * rng.standard_normal(len(coords))
    mean, std = model.predict_entries(coords, return_std=True, noise=noise_std > 0)
    return np.mean(np.abs(new - mean) < NORMAL_90 * std)


@pytest.mark.parametrize(("n_components", "kind"), [(3, "equal"), (3, "varying"), (8, "varying")])
def test_intervals_cover_what_they_promise(seed, n_components, kind):
    """Six planted matrices together: 90 % intervals of new measurements and of the mean."""
    measured, means, noise_stds = [], [], []
    for repeat in range(6):
        rng = np.random.default_rng((seed, repeat))
        M, X = planted(rng, 120, 80, 3, density=0.3, noise=0.5)
        model = BayesianMatrixFactorization(n_components, noise=kind, random_state=repeat).fit(X)
        measured.append(interval_coverage(model, M, X, rng, 0.5))
        means.append(interval_coverage(model, M, X, rng, 0.0))
        noise_stds.append(model.noise_std_)
    assert 0.88 < np.mean(measured) < 0.92
    if n_components == 3:
        assert 0.88 < np.mean(means) < 0.92
        assert_allclose(np.mean(noise_stds), 0.5, rtol=0.03)
    else:  # surplus components take some of the noise for signal that is not sure
        assert 0.9 < np.mean(means) < 0.99
        assert_allclose(np.mean(noise_stds), 0.5, rtol=0.12)


def test_the_error_is_near_that_of_known_factors(rng):
    """Too many components do little harm: least squares with the true columns is the measure."""
    noise = 0.3
    M, X = planted(rng, 150, 100, 3, density=0.3, noise=noise)
    model = BayesianMatrixFactorization(10, random_state=0).fit(X)
    coords = hidden_entries(X)
    error = np.sqrt(np.mean((model.predict_entries(coords) - M[tuple(coords.T)]) ** 2))
    V = np.linalg.svd(M)[2][:3].T
    dense, oracle = X.toarray(), np.zeros_like(M)
    for i, row in enumerate(dense):
        seen = row != 0
        oracle[i] = V @ np.linalg.lstsq(V[seen], row[seen], rcond=None)[0]
    best = np.sqrt(np.mean((oracle - M)[tuple(coords.T)] ** 2))
    assert error < 1.6 * best


def test_noise_of_rows_and_columns_is_told_apart(rng):
    M, X = planted(rng, 100, 80, 2, density=0.5)
    row_noise = np.where(np.arange(100) % 2, 0.2, 1.0)
    i = X.nonzero()[0]
    X.data += row_noise[i] * rng.standard_normal(X.nnz)
    model = BayesianMatrixFactorization(4, n_draws=30, random_state=0).fit(X)
    coords = hidden_entries(X)
    _, std = model.predict_entries(coords, return_std=True)
    _, without = model.predict_entries(coords, return_std=True, noise=False)
    noise_std = np.sqrt(std**2 - without**2)
    quiet = coords[:, 0] % 2 == 1
    assert_allclose(np.median(noise_std[quiet]), 0.2, rtol=0.2)
    assert_allclose(np.median(noise_std[~quiet]), 1.0, rtol=0.2)
    equal = BayesianMatrixFactorization(4, n_draws=30, noise="equal", random_state=0).fit(X)

    def error(model):
        return np.mean((model.predict_entries(coords) - M[tuple(coords.T)])[quiet] ** 2)

    assert error(model) < 0.8 * error(equal)


def test_a_telling_pattern_is_made_use_of_and_a_random_one_does_no_harm(rng):
    factor, taste = rng.standard_normal((2, 150, 1))
    columns = rng.standard_normal((2, 60))
    M = np.hstack((factor, taste)) @ columns
    telling = rng.random(M.shape) < 0.04 + 0.3 * (M > 0.8)
    errors = {}
    for name, observed in {"telling": telling, "random": rng.random(M.shape) < 0.12}.items():
        i, j = np.nonzero(observed)
        values = M[i, j] + 0.5 * rng.standard_normal(len(i))
        X = sparse.csr_array((values, (i, j)), shape=M.shape)
        for pattern in (True, False):
            model = BayesianMatrixFactorization(4, pattern=pattern, random_state=0).fit(X)
            difference = (model.inverse_transform(model.embedding_) - M)[~observed]
            errors[name, pattern] = np.sqrt(np.mean(difference**2))
    assert errors["telling", True] < 0.93 * errors["telling", False]
    assert errors["random", True] < 1.05 * errors["random", False]


def test_the_order_of_the_entries_asked_for_does_not_matter(rng):
    _, X = planted(rng, 40, 25, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, **SHORT).fit(X)
    coords = hidden_entries(X)
    order = rng.permutation(len(coords))
    for a, b in zip(
        model.predict_entries(coords[order], return_std=True),
        model.predict_entries(coords, return_std=True),
        strict=True,
    ):
        assert_array_equal(a, b[order])
    assert len(model.predict_entries(np.empty((0, 2)))) == 0


def by_hand(model, X, row):
    """Means and covariances of a row's factors for each draw, by dense algebra."""
    seen = X[[row]].indices
    y = (X[[row]].data - model._center) / model._unit
    for draw in model._draws:
        k = len(draw.prior.mean)
        f, L = draw.V[seen, :k].astype(np.float64), draw.prior.precision
        mean = draw.prior.mean.copy()
        if len(draw.prior.B):
            mean += draw.prior.B[seen].sum(axis=0) / np.sqrt(len(seen))
        A = L + draw.alpha * f.T @ f
        yield np.linalg.solve(A, L @ mean + draw.alpha * f.T @ y), np.linalg.inv(A), draw


@pytest.mark.parametrize("pattern", [True, False])
def test_means_and_deviations_are_those_of_the_mixture_of_draws(rng, pattern):
    _, X = planted(rng, 30, 20, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, noise="equal", pattern=pattern, **SHORT).fit(X)
    for row, column in [(0, 3), (7, 11), (29, 0)]:
        parts = [
            (u @ draw.V[column, :3], draw.V[column, :3] @ C @ draw.V[column, :3], 1 / draw.alpha)
            for u, C, draw in by_hand(model, X, row)
        ]
        means, within, noise = np.array(parts).T
        mean, std = model.predict_entries([[row, column]], return_std=True)
        _, without = model.predict_entries([[row, column]], return_std=True, noise=False)
        unit = model._unit
        assert_allclose(mean, model._center + unit * means.mean(), rtol=1e-9)
        variance = within.mean() + means.var()
        assert_allclose(without, unit * np.sqrt(variance), rtol=1e-9)
        assert_allclose(std, unit * np.sqrt(variance + noise.mean()), rtol=1e-9)


def test_the_embedding_times_the_components_is_the_prediction(rng):
    _, X = planted(rng, 30, 20, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, n_chains=2, **SHORT)
    W = model.fit_transform(X)
    assert W.shape == (30, 2 * 6 * 3) and model.components_.shape == (36, 20)
    whole = W @ model.components_ + model.intercept_
    coords = np.argwhere(np.ones(X.shape))
    assert_allclose(model.predict_entries(coords), whole.ravel(), rtol=1e-9, atol=1e-12)
    assert_allclose(model.inverse_transform(W), whole, rtol=1e-9)
    assert_allclose(model.inverse_transform_entries(W, coords), whole.ravel(), atol=1e-9)


@pytest.mark.parametrize("noise", ["varying", "equal", 0.5])
def test_transform_agrees_with_fit_transform_for_any_rows(rng, noise):
    _, X = planted(rng, 40, 25, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, noise=noise, **SHORT)
    W = model.fit_transform(X)
    assert_array_equal(model.transform(X), W)
    assert_array_equal(model.transform(X[[7, 3, 20]]), W[[7, 3, 20]])
    dense = np.where(X.toarray() == 0, np.nan, X.toarray())
    assert_array_equal(model.transform(dense), W)
    assert_array_equal(clone(model).fit_transform(dense), W)
    mean, std = model.predict_entries([[1, 2]], return_std=True, X=X[[9, 20]])
    expected = model.predict_entries([[20, 2]], return_std=True)
    assert_array_equal([mean, std], expected)


def test_the_number_of_threads_changes_nothing(rng):
    _, X = planted(rng, 300, 200, 2, density=0.5, noise=0.5)
    one, two = (BayesianMatrixFactorization(9, n_jobs=n_jobs, **SHORT).fit(X) for n_jobs in (1, 2))
    assert_array_equal(one.embedding_, two.embedding_)
    coords = hidden_entries(X)[::20]
    for a, b in zip(*(m.predict_entries(coords, return_std=True) for m in (one, two)), strict=True):
        assert_array_equal(a, b)


def test_shift_and_scale_of_the_data_carry_over(rng):
    _, X = planted(rng, 40, 25, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, **SHORT).fit(X)
    other = sparse.csr_array((1e4 * X.data - 3e4, X.indices, X.indptr), shape=X.shape)
    scaled = clone(model).fit(other)
    coords = hidden_entries(X)
    mean, std = model.predict_entries(coords, return_std=True)
    scaled_mean, scaled_std = scaled.predict_entries(coords, return_std=True)
    assert_allclose(scaled_mean, 1e4 * mean - 3e4, rtol=1e-5, atol=1)
    assert_allclose(scaled_std, 1e4 * std, rtol=1e-5)
    assert_allclose(scaled.noise_std_, 1e4 * model.noise_std_, rtol=1e-6)


def test_single_precision_data_give_single_precision_results(rng):
    M, X = planted(rng, 100, 60, 2, density=0.4, noise=0.3)
    single = BayesianMatrixFactorization(4, random_state=0).fit(X.astype(np.float32))
    double = BayesianMatrixFactorization(4, random_state=0).fit(X)
    coords = hidden_entries(X)
    mean, std = single.predict_entries(coords, return_std=True)
    assert mean.dtype == std.dtype == single.embedding_.dtype == np.float32
    truth = M[tuple(coords.T)]
    error = np.sqrt(np.mean((mean - truth) ** 2))
    expected = np.sqrt(np.mean((double.predict_entries(coords) - truth) ** 2))
    assert_allclose(error, expected, rtol=0.05)


def test_empty_rows_and_columns_are_predicted_with_wide_error_bars(rng):
    _, X = planted(rng, 60, 40, 2, density=0.5, noise=0.2)
    dense = X.toarray()
    dense[3] = 0
    dense[:, 5] = 0
    X = sparse.csr_array(dense)
    model = BayesianMatrixFactorization(3, n_draws=30, random_state=0).fit(X)
    coords = np.argwhere(np.ones(X.shape))
    std = model.predict_entries(coords, return_std=True, noise=False)[1].reshape(X.shape)
    assert np.isfinite(std).all()
    assert np.median(std[3]) > 4 * np.median(std) and np.median(std[:, 5]) > 4 * np.median(std)
    assert std[3, 5] > np.median(std[3])
    assert np.isfinite(model.transform(sparse.csr_array((1, 40)))).all()


@pytest.mark.parametrize(
    "X",
    [
        np.full((5, 4), 3.0),
        np.array([[1.0], [2.0], [np.nan], [4.0]]),
        np.array([[1.0, np.nan, 2.0]]),
        np.array([[2.0, np.nan], [np.nan, np.nan]]),
    ],
)
def test_tiny_and_constant_data_are_fitted(X):
    model = BayesianMatrixFactorization(3, **SHORT).fit(X)
    mean, std = model.predict_entries(np.argwhere(np.ones(X.shape)), return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()
    if np.nanstd(X) == 0 and X.size > 4:
        assert_allclose(mean, 3, atol=0.1)


def test_weights_are_relative_precisions(rng):
    M, X = planted(rng, 80, 60, 2, density=0.5)
    bad = rng.random(X.nnz) < 0.5
    X.data += np.where(bad, 2.0, 0.2) * rng.standard_normal(X.nnz)
    weight = sparse.csr_array((np.where(bad, 0.01, 1.0), X.indices, X.indptr), shape=X.shape)
    options = {"noise": "equal", "n_draws": 30, "random_state": 0}
    weighted = BayesianMatrixFactorization(3, **options).fit(X, entry_weight=weight)
    assert_allclose(weighted.noise_std_, 0.2, rtol=0.1)
    plain = BayesianMatrixFactorization(3, **options).fit(X)
    coords = hidden_entries(X)
    truth = M[tuple(coords.T)]

    def error(model):
        return np.mean((model.predict_entries(coords) - truth) ** 2)

    assert error(weighted) < 0.3 * error(plain)
    assert_array_equal(weighted.transform(X, entry_weight=weight), weighted.embedding_)
    weight.data[bad] = 0
    without = X.copy()
    without.data[bad] = 0
    without.eliminate_zeros()
    left_out = clone(plain).fit(X, entry_weight=weight)
    assert_array_equal(left_out.embedding_, clone(plain).fit(without).embedding_)


def test_bounds_clip_the_mean_and_only_that(rng):
    _, X = planted(rng, 40, 25, 2, density=0.4, noise=0.5)
    coords = hidden_entries(X)
    free = BayesianMatrixFactorization(3, **SHORT).fit(X)
    bounded = clone(free).set_params(bounds=(-0.5, 0.5)).fit(X)
    mean, std = bounded.predict_entries(coords, return_std=True)
    expected, expected_std = free.predict_entries(coords, return_std=True)
    assert_allclose(mean, np.clip(expected, -0.5, 0.5))
    assert_allclose(std, expected_std)
    assert clone(free).set_params(bounds="data").fit(X).bounds_ == (X.data.min(), X.data.max())


def test_known_noise_is_taken_as_it_is(rng):
    _, X = planted(rng, 40, 25, 2, density=0.4, noise=0.5)
    model = BayesianMatrixFactorization(3, noise=0.7, **SHORT).fit(X)
    assert_allclose(model.noise_std_, 0.7, rtol=1e-12)
    _, std = model.predict_entries([[0, 0]], return_std=True)
    _, without = model.predict_entries([[0, 0]], return_std=True, noise=False)
    assert_allclose(std**2 - without**2, 0.49, rtol=1e-9)


def test_chains_are_compared(rng):
    _, X = planted(rng, 60, 40, 2, density=0.5, noise=0.5)
    model = BayesianMatrixFactorization(
        2, n_chains=3, n_draws=40, thin=5, noise="equal", pattern=False, random_state=0
    ).fit(X)
    assert set(model.rhat_) == {"noise_precision", "log_density", "predictions"}
    assert 0.98 < model.rhat_["noise_precision"] < 1.15
    assert np.median(model.rhat_["predictions"]) < 1.1
    assert model.objective_.shape == (3, model.n_iter_) == (3, 100 + 200)
    assert len(np.unique(model.objective_[:, -1])) == 3
    with_burn_in = clone(model).set_params(burn_in=0, thin=1, n_draws=20).fit(X)
    assert with_burn_in.rhat_["log_density"] > 1.3


def test_a_warm_start_goes_on_where_the_chains_were(rng):
    _, X = planted(rng, 60, 40, 2, density=0.5, noise=0.3)
    model = BayesianMatrixFactorization(3, n_draws=10, burn_in=60, n_chains=2, random_state=0)
    cold = model.fit(X).objective_
    warm = model.set_params(warm_start=True, burn_in=0).fit(X).objective_
    assert np.all(warm[:, 0] < 1.1 * cold[:, -1]) and np.all(cold[:, 0] > 2 * cold[:, -1])
    assert np.all(model.set_params(n_components=2).fit(X).objective_[:, 0] > 1.5 * cold[:, -1])
    before = model.transform(X)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full((60, 40), np.inf))
    assert_array_equal(model.transform(X), before)


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")
def test_a_callback_ends_the_fit(rng):
    _, X = planted(rng, 60, 40, 2, density=0.5, noise=0.3)
    model = BayesianMatrixFactorization(3, n_draws=300, burn_in=5, n_chains=2, random_state=0)
    model.set_callbacks(EarlyStopping(patience=2, scoring=lambda fitted: fitted.score(X)))
    W = model.fit_transform(X)
    assert model.stopped_by_callback_ and model.n_iter_ < 1205
    assert W.shape[1] == len(model.components_)
    assert_array_equal(model.transform(X), W)


def test_entries_are_predicted_as_the_mean_of_products(rng):
    M, X = planted(rng, 60, 40, 2, density=0.5, noise=0.2)
    coords, values = to_entries(X, missing="unstored")
    regressor = EntryRegressor(BayesianMatrixFactorization(4, random_state=0))
    folds = KFold(3, shuffle=True, random_state=0)
    predicted = cross_val_predict(regressor, coords, values, cv=folds)
    assert np.sqrt(np.mean((predicted - M[tuple(coords.T)]) ** 2)) < 0.15
    regressor.fit(coords, values)
    assert_allclose(
        regressor.predict(coords[:50]), regressor.estimator_.predict_entries(coords[:50])
    )


def test_recommendations_and_similar_columns(rng):
    M, X = planted(rng, 60, 40, 2, density=0.4, noise=0.05)
    model = BayesianMatrixFactorization(3, n_draws=20, random_state=0).fit(X)
    columns, scores = model.recommend([4], n=5)
    hidden = np.flatnonzero(X.toarray()[4] == 0)
    best = np.sort(M[4, hidden])[-5:]
    assert set(columns[0]) <= set(hidden)
    assert_allclose(M[4, columns[0]].sum(), best.sum(), atol=0.2)
    assert_allclose(scores[0], M[4, columns[0]], atol=0.3)
    twin = sparse.csr_array(np.hstack((X.toarray(), X.toarray()[:, :1])))
    assert model.fit(twin).similar_items([0], n=1)[0][0, 0] == 40


def test_copies_agree_and_carry_no_data_twice(rng):
    _, X = planted(rng, 60, 40, 2, density=0.4, noise=0.1)
    model = BayesianMatrixFactorization(3, **SHORT).fit(X)
    stored = pickle.dumps(model)
    again = pickle.loads(stored)
    assert_array_equal(again.transform(X), model.embedding_)
    a, b = (m.predict_entries([[0, 1]], return_std=True) for m in (again, model))
    assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": "much"}, "noise"),
        ({"noise": 0.0}, "noise"),
        ({"n_draws": 0}, "n_draws"),
        ({"thin": 0}, "thin"),
        ({"bounds": (2, 1)}, "bounds"),
        ({"missing": "nan"}, "nothing to complete"),
    ],
)
def test_bad_parameters_are_refused_in_words(options, words):
    with pytest.raises(ValueError, match=words):
        BayesianMatrixFactorization(**options).fit(sparse.csr_array(np.eye(3)))


@pytest.mark.parametrize("coords", [[[0, 40]], [[-1, 0]], [[0.5, 0]], [[0, 0, 0]]])
def test_bad_coordinates_are_refused(rng, coords):
    _, X = planted(rng, 60, 40, 2, density=0.4)
    model = BayesianMatrixFactorization(2, **SHORT).fit(X)
    with pytest.raises(ValueError, match="coords"):
        model.predict_entries(coords, return_std=True)


def test_verbose_prints_every_sweep(rng, capsys):
    _, X = planted(rng, 20, 10, 2)
    BayesianMatrixFactorization(2, **SHORT).fit(X)
    assert capsys.readouterr().out == ""
    BayesianMatrixFactorization(2, verbose=1, **SHORT).fit(X)
    assert capsys.readouterr().out.count("sweep") == 12
