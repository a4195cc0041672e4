"""ImplicitALS: the objective over all entries, its optimum, and limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from factorkit import ImplicitALS

from ._planted import relative_error


@pytest.fixture
def counts(rng):
    X = rng.poisson(np.exp(rng.standard_normal((40, 2)) @ rng.standard_normal((2, 25)) - 1.5))
    X[3] = 0
    X[:, 5] = 0
    return sparse.csr_array(X.astype(np.float64))


def fitted(X, k=3, **options):
    options = {"tol": 1e-9, "max_iter": 2000, "random_state": 0, "cg_steps": 10} | options
    return ImplicitALS(k, **options).fit(X)


def objective(model, X, c):
    P = X.toarray() > 0
    fit = model.embedding_ @ model.components_
    return np.sum(c * (P - fit) ** 2) + model.alpha * (
        np.sum(model.embedding_**2) + np.sum(model.components_**2)
    )


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
@pytest.mark.parametrize("confidence", [0.5, 40.0])
@pytest.mark.parametrize("scaling", ["linear", "log"])
def test_the_gram_trick_is_the_sum_over_all_entries(counts, solver, confidence, scaling):
    options = {"confidence": confidence, "confidence_scaling": scaling, "solver": solver}
    model = fitted(counts, alpha=0.7, tol=1e-7, **options)
    x = counts.toarray()
    c = 1 + confidence * (np.log1p(x) if scaling == "log" else x)
    assert_allclose(model.objective_[-1], objective(model, counts, c), rtol=1e-9)
    # Stationary: neither side's gradient is left.
    r = c * ((x > 0) - model.embedding_ @ model.components_)
    slope = r.T @ model.embedding_ - 0.7 * model.components_.T
    assert np.abs(slope).max() < 1e-4 * np.abs(model.components_).max()
    slope = r @ model.components_.T - 0.7 * model.embedding_
    assert np.abs(slope).max() < 1e-8 * np.abs(r).max()
    explained = 1 - np.sum(r * ((x > 0) - model.embedding_ @ model.components_)) / np.sum(
        c * (x > 0)
    )
    assert_allclose(model.score(counts), explained)


def test_no_confidence_is_ridge_factorization_of_the_binary_matrix(counts):
    model = fitted(counts, 25, alpha=0.8, confidence=0.0, tol=1e-4)
    U, s, Vt = np.linalg.svd((counts.toarray() > 0).astype(float), full_matrices=False)
    expected = (U * np.maximum(s - 0.8, 0)) @ Vt
    assert_allclose(model.embedding_ @ model.components_, expected, atol=1e-3)


def test_few_steps_descend_like_exact_solves(rng):
    X = sparse.random_array((300, 200), density=0.1, rng=rng, format="csr")
    X.data = np.ceil(10 * X.data)
    options = {"confidence": 8, "tol": 0, "max_iter": 15, "random_state": 0}
    exact = ImplicitALS(20, solver="cholesky", **options).fit(X).objective_
    quick = ImplicitALS(20, **options).fit(X).objective_
    assert quick[-1] < 1.01 * exact[-1]
    assert exact[-1] < exact[2] / 1.1  # so there was something to lose


def test_lines_without_interactions_are_zero_and_stored_zeros_are_none(counts):
    model = fitted(counts, tol=1e-4)
    assert not model.embedding_[3].any()
    assert np.abs(model.components_[:, 5]).max() < 1e-10
    stored = counts.tocoo()
    coords = np.vstack((np.column_stack(stored.coords), [[3, 5]])).T
    with_zero = sparse.csr_array((np.append(stored.data, 0.0), tuple(coords)), shape=counts.shape)
    same = fitted(with_zero, tol=1e-4)
    assert_allclose(same.components_, model.components_)
    assert model.recommend([3], n=3)[0].tolist() == [[0, 1, 2]]  # nothing known: all equal


def test_transform_is_the_end_of_fit_for_any_rows(counts, rng):
    model = ImplicitALS(4, random_state=0)
    W = model.fit_transform(counts)
    some = rng.permutation(40)[:11]
    assert_allclose(model.transform(counts[some]), W[some], atol=1e-9)
    assert_allclose(model.transform(counts.toarray()), W, atol=1e-9)
    assert W.flags.owndata and np.shares_memory(W, model.embedding_) is False


def test_single_precision_and_threads(rng):
    X = sparse.random_array((500, 300), density=0.05, rng=rng, format="csr")
    double = fitted(X, 8, tol=1e-3, max_iter=100)
    single = fitted(X.astype(np.float32), 8, tol=1e-3, max_iter=100)
    assert single.components_.dtype == np.float32
    assert_allclose(single.objective_[-1], double.objective_[-1], rtol=1e-3)
    both = [fitted(X, 8, tol=0, max_iter=5, n_jobs=n_jobs).components_ for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*both)


def test_a_warm_start_goes_on(counts):
    model = ImplicitALS(3, random_state=0, warm_start=True, tol=1e-4, max_iter=500).fit(counts)
    first = model.n_iter_
    before = model.embedding_ @ model.components_
    model.fit(counts)
    assert model.n_iter_ < first / 2
    assert relative_error(model.embedding_ @ model.components_, before) < 0.05


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_values_that_count_nothing_are_refused(counts, bad):
    X = counts.copy()
    X.data[0] = bad
    with pytest.raises(ValueError, match=r"Negative|NaN|infinity"):
        ImplicitALS(2).fit(X)


@pytest.mark.parametrize("alpha", [300.0, 1e4])
def test_a_penalty_that_leaves_nothing_leaves_zeros(counts, alpha):
    model = ImplicitALS(8, alpha=alpha, random_state=0).fit(counts)
    assert np.abs(model.components_).max() < 1e-2
    c = 1 + counts.toarray()
    assert_allclose(model.objective_[-1], np.sum(c * (counts.toarray() > 0)), rtol=1e-3)


def test_later_parameters_do_not_change_a_fitted_model(counts):
    model = ImplicitALS(3, random_state=0).fit(counts)
    model.set_params(confidence=5.0, confidence_scaling="log", alpha=9.0)
    assert_allclose(model.transform(counts), model.embedding_, atol=1e-9)
