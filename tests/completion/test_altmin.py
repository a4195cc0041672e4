"""AltMinCompletion: optima, recovery, limits and invariances."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from factorkit import AltMinCompletion

from ._planted import dense_objective, planted, rating_like, relative_error

PLAIN = {"row_bias": False, "column_bias": False, "center": False}


def fitted(X, k=3, **options):
    options = {"tol": 1e-8, "max_iter": 1000, "random_state": 0} | options
    weight = options.pop("entry_weight", None)
    return AltMinCompletion(k, **options).fit(X, entry_weight=weight)


def gradient(model, X):
    """Gradient of L by the columns' coefficients, relative to the penalty's part of it."""
    X = X.toarray()
    observed = X != 0
    r = np.where(observed, X - model.embedding_ @ model.components_ - model.intercept_, 0)
    k = model.n_components
    V = np.column_stack((model.components_[:k].T, model.intercept_ - model.mean_))
    F = np.column_stack((model.embedding_[:, :k], np.ones(len(X))))
    of_penalty = model.alpha * observed.sum(axis=0)[:, None] * V
    return np.linalg.norm(r.T @ F - of_penalty) / np.linalg.norm(of_penalty)


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
@pytest.mark.parametrize("scaling", ["counts", None])
def test_the_objective_is_that_of_the_formula_and_its_gradient_vanishes(rng, solver, scaling):
    X = rating_like(rng)
    model = fitted(X, 2, alpha=0.2, solver=solver, alpha_scaling=scaling)
    assert_allclose(model.objective_[-1], dense_objective(model, X), rtol=1e-10)
    if scaling == "counts":
        assert gradient(model, X) < 1e-5


def test_both_solvers_reach_one_optimum(rng):
    X = rating_like(rng)
    # As many factors as columns: the penalized problem is a convex one in disguise.
    values = [
        fitted(X, 30, alpha=0.3, solver=solver, random_state=seed).objective_[-1]
        for solver in ("cg", "cholesky")
        for seed in (0, 1)
    ]
    assert_allclose(values, values[0], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("init", ["random", "svd"])
def test_a_planted_matrix_is_recovered(seed, init):
    rng = np.random.default_rng(seed)
    M, X = planted(rng, 80, 60, 3, density=0.5)
    model = fitted(X, alpha=1e-8, init=init, random_state=seed, **PLAIN)
    assert relative_error(model.inverse_transform(model.embedding_), M) < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_a_large_condition_number_needs_few_iterations(seed):
    rng = np.random.default_rng(seed)
    M, X = planted(rng, 150, 100, 4, density=0.4, noise=1e-3, condition=100)
    model = fitted(X, 4, alpha=1e-6, tol=1e-4, max_iter=30, **PLAIN)
    assert model.n_iter_ < 30
    assert relative_error(model.inverse_transform(model.embedding_), M) < 2e-3


def test_too_few_entries_do_not_identify_a_matrix(rng):
    # Fewer entries than parameters: whoever recovers it has seen the hidden ones.
    M, X = planted(rng, 60, 60, 5, density=0.12)
    model = fitted(X, 5, alpha=1e-6, max_iter=100, tol=1e-3, **PLAIN)
    assert relative_error(model.inverse_transform(model.embedding_), M) > 0.3


def test_a_full_matrix_without_penalty_is_the_truncated_svd(rng):
    X = rng.standard_normal((20, 12))
    model = fitted(X, 3, alpha=1e-10, max_iter=3000, **PLAIN)
    U, s, Vt = np.linalg.svd(X)
    assert_allclose(
        model.inverse_transform(model.embedding_), (U[:, :3] * s[:3]) @ Vt[:3], atol=1e-5
    )


def test_a_full_matrix_with_penalty_is_its_singular_values_shrunk(rng):
    X = rng.standard_normal((20, 12))
    model = fitted(X, 12, alpha=1.0, alpha_scaling=None, **PLAIN)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    # Σ r² + |U|² + |V|² is Σ r² + 2 times the nuclear norm of the product.
    assert_allclose(
        model.inverse_transform(model.embedding_), (U * np.maximum(s - 1, 0)) @ Vt, atol=1e-5
    )


def test_both_scalings_agree_where_all_counts_are_equal(rng):
    X = rng.standard_normal((12, 12))
    counts = fitted(X, 2, alpha=0.1)
    plain = fitted(X, 2, alpha=1.2, alpha_scaling=None)
    assert_allclose(counts.objective_[-1], plain.objective_[-1], rtol=1e-8)


def test_a_weight_of_two_is_an_entry_seen_twice_and_zero_is_missing(rng):
    X = rating_like(rng)
    weight = X.copy()
    weight.data = rng.integers(0, 3, X.nnz).astype(float)
    model = fitted(X, 2, alpha=0.3, entry_weight=weight)
    assert_allclose(model.objective_[-1], dense_objective(model, X, weight.toarray()), rtol=1e-10)
    kept = weight.data > 0
    i = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[kept]
    fewer = sparse.csr_array((X.data[kept], (i, X.indices[kept])), shape=X.shape)
    weight = sparse.csr_array((weight.data[kept], (i, X.indices[kept])), shape=X.shape)
    same = fitted(fewer, 2, alpha=0.3, entry_weight=weight)
    assert_allclose(same.objective_, model.objective_, rtol=1e-10)
    half = fitted(fewer, 2, alpha=0.3, entry_weight=weight * 0.5)
    assert_allclose(half.components_, same.components_, atol=1e-5)


def test_dense_with_nan_sparse_and_stored_zeros_agree(rng):
    X = rating_like(rng)
    X.data[:20] = 0  # ratings of zero
    dense = np.full(X.shape, np.nan)
    i = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    dense[i, X.indices] = X.data
    a, b = fitted(X, 2), fitted(dense, 2)
    assert_allclose(a.components_, b.components_)
    assert_allclose(a.transform(X), b.transform(dense))
    assert_allclose(a.transform(X.tocoo()), a.embedding_)


def test_the_transpose_exchanges_rows_and_columns(rng):
    X = rating_like(rng)
    a, b = (fitted(A, k, alpha=0.3, tol=1e-5) for A, k in ((X, 30), (X.T.tocsr(), 50)))
    fits = a.inverse_transform(a.embedding_), b.inverse_transform(b.embedding_).T
    assert_allclose(*fits, atol=1e-3)


@pytest.mark.parametrize("loss", ["squared", "huber", "tukey"])
@pytest.mark.parametrize("positive", [False, True])
def test_transform_is_the_end_of_fit_for_any_rows_in_any_order(rng, loss, positive):
    X = rating_like(rng)
    options = {"tol": 1e-3, "max_iter": 300, "loss": loss, "positive": positive}
    model = fitted(X, 3, **options)
    assert_allclose(model.transform(X), model.embedding_, atol=1e-7)
    some = rng.permutation(X.shape[0])[:17]
    assert_allclose(model.transform(X[some]), model.embedding_[some], atol=1e-7)
    again = AltMinCompletion(3, random_state=0, **options)
    assert_allclose(again.fit_transform(X), model.embedding_)


def test_threads_do_not_change_a_bit(rng):
    X = rating_like(rng, 400, 300)
    one, two = (fitted(X, 5, n_jobs=n_jobs, max_iter=20, tol=0) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.embedding_, two.embedding_)


def test_single_precision_fits_as_well(rng):
    X = rating_like(rng)
    double = fitted(X, 3, alpha=0.2, tol=1e-4)
    single = fitted(X.astype(np.float32), 3, alpha=0.2, tol=1e-4)
    assert single.components_.dtype == single.embedding_.dtype == np.float32
    assert_allclose(single.objective_[-1], double.objective_[-1], rtol=1e-3)


def test_values_times_a_constant_scale_a_fit_without_penalty(rng):
    _, X = planted(rng, 40, 30, 2, density=0.6, noise=0.1)
    a, b = fitted(X, 2, alpha=1e-9), fitted(X * 1000, 2, alpha=1e-9)
    fits = [model.inverse_transform(model.embedding_) for model in (a, b)]
    assert_allclose(fits[0] * 1000, fits[1], rtol=1e-2, atol=10)


def test_nonnegative_factors_with_free_biases(rng):
    X = rating_like(rng)
    model = fitted(X, 3, alpha=0.1, positive=True, tol=1e-6)
    assert model.components_[:3].min() == 0 and model.embedding_[:, :3].min() == 0
    assert model.embedding_[:, 3].min() < 0
    assert_allclose(model.objective_[-1], dense_objective(model, X), rtol=1e-10)
    # No projected gradient is left by any column's factors.
    r = np.where(X.toarray() != 0, X.toarray() - model.inverse_transform(model.embedding_), 0)
    V = model.components_[:3]
    slope = model.embedding_[:, :3].T @ r - 0.1 * (X.toarray() != 0).sum(axis=0) * V
    assert np.abs(slope[V > 0]).max() < 1e-2
    assert slope[V == 0].max() < 1e-2


def test_biases_alone_are_means(rng):
    # Rank one beside biases on additive data: the factors have nothing to do.
    a, b = rng.standard_normal(30), rng.standard_normal(20)
    X = 2 + a[:, None] + b
    X[rng.random(X.shape) < 0.3] = np.nan
    model = fitted(X, 1, alpha=1e-6, tol=1e-6)
    full = 2 + a[:, None] + b
    assert_allclose(model.inverse_transform(model.embedding_), full, atol=1e-3)


def test_lines_without_entries_fall_back_on_biases(rng):
    X = rating_like(rng).tolil()
    X[4] = 0
    X[:, 7] = 0
    X = X.tocsr()
    X.eliminate_zeros()
    model = fitted(X, 2)
    fit = model.inverse_transform(model.embedding_)
    assert not model.embedding_[4].any()
    assert_allclose(fit[4], model.intercept_)
    assert not model.components_[:2, 7].any()
    assert_allclose(model.intercept_[7], model.mean_)
    assert_allclose(fit[:, 7], model.mean_ + model.embedding_[:, 2])
    assert_allclose(model.predict_entries([[4, 7]]), model.mean_)


def test_a_warm_start_goes_on(rng):
    X = rating_like(rng)
    model = AltMinCompletion(3, max_iter=200, tol=1e-3, random_state=0, warm_start=True)
    model.fit(X)
    first = model.n_iter_
    model.fit(X)
    assert model.n_iter_ < first / 3
    model.set_params(n_components=2).fit(X)  # other shapes: from the beginning
    assert model.components_.shape[0] == 3


def test_bounds_clip_predictions(rng):
    X = rating_like(rng)
    free = fitted(X, 5, alpha=0.01)
    assert free.inverse_transform(free.embedding_).max() > 5.01
    for bounds in ("data", (1, 5)):
        model = fitted(X, 5, alpha=0.01, bounds=bounds)
        fit = model.inverse_transform(model.embedding_)
        assert (fit.min(), fit.max()) == (1, 5) == model.bounds_
        assert model.predict_entries([[0, 0], [3, 4]]) == pytest.approx(fit[[0, 3], [0, 4]])
        assert model.score(X) >= free.score(X)


@pytest.mark.parametrize("loss", ["squared", "huber", "tukey"])
@pytest.mark.parametrize("options", [{"alpha": 1e4}, {"alpha": 1.0, "unit": 1e-9}, PLAIN])
def test_a_penalty_that_leaves_nothing_leaves_zeros(rng, loss, options):
    X = rating_like(rng) * options.get("unit", 1e-8 if options is PLAIN else 1.0)
    options = {key: value for key, value in options.items() if key != "unit"}
    model = AltMinCompletion(3, loss=loss, random_state=0, max_iter=60, **options).fit(X)
    assert np.isfinite(model.objective_).all()
    assert np.abs(model.embedding_[:, :3]).max() < 1e-3 * X.data.max()  # biases may stay


def test_a_warm_start_of_other_shapes_or_biases_is_none(rng):
    X = rating_like(rng)
    for changes, A in (
        ({}, X[:, :20]),
        ({}, X[:30]),
        ({"row_bias": False}, X),
        ({"column_bias": False}, X),
        ({"row_bias": False, "column_bias": False}, X),
        ({"n_components": 4, "row_bias": False}, X),
    ):
        model = AltMinCompletion(3, random_state=0, warm_start=True).fit(X)
        cold = AltMinCompletion(3, random_state=0).set_params(**changes).fit(A)
        model.set_params(**changes).fit(A)
        assert_allclose(model.objective_, cold.objective_)
        assert_allclose(model.transform(A), model.embedding_, atol=1e-8)


def test_stored_zeros_count_in_the_score(rng):
    X = np.round(rng.standard_normal((30, 20)))
    i, j = np.indices(X.shape).reshape(2, -1)
    stored = sparse.csr_array((X.ravel(), (i, j)), shape=X.shape)
    model = AltMinCompletion(3, random_state=0).fit(stored)
    assert_allclose(model.score(stored), model.score(X))


def test_weights_where_nothing_is_observed_are_refused(rng):
    X = rating_like(rng).toarray()
    X[X == 0] = np.nan
    with pytest.raises(ValueError, match="only zero weights where X has a value"):
        AltMinCompletion(2).fit(X, entry_weight=np.isnan(X).astype(float))


@pytest.mark.parametrize(
    "k, options, expected",
    [
        (15, {}, "cholesky"),
        (16, {}, "cg"),
        (16, {"row_bias": False, "column_bias": False}, "cholesky"),
        (5, {"loss": "huber"}, "cg"),
    ],
)
def test_few_coefficients_are_solved_exactly_by_default(rng, k, options, expected):
    X = rating_like(rng)
    fits = [
        AltMinCompletion(k, solver=solver, max_iter=3, tol=0, random_state=0, **options).fit(X)
        for solver in ("auto", "cg", "cholesky")
    ]
    auto, *others = (fit.components_ for fit in fits)
    same = dict(zip(("cg", "cholesky"), (np.array_equal(auto, c) for c in others), strict=True))
    assert same == {expected: True, ({"cg", "cholesky"} - {expected}).pop(): False}
