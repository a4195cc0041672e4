"""Starts from a quadratic near the Kullback-Leibler divergence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF
from factorkit.nmf._data import as_data
from factorkit.nmf._penalty import Penalty
from factorkit.nmf._quadratic import _ScaledData, _scales, quadratic_factors
from factorkit.nmf._solvers import make_problem
from factorkit.utils._threads import Workers

from ._reference import objective


@pytest.fixture
def counts(rng):
    W, H = rng.gamma(0.3, size=(60, 4)), rng.gamma(0.3, size=(4, 50))
    return rng.poisson(20 * W @ H).astype(float)


def problem_of(X, workers, penalty=None, weight=None):
    options = {"beta": 1, "multiplicative": False, "missing": "nan"}
    return make_problem(X, weight, penalty or Penalty(), workers, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_array])
def test_scaled_data_is_what_it_says(rng, counts, form, n_jobs):
    row, column = rng.random(60), rng.random(50)
    Y = row[:, None] * counts * column
    W, H = rng.random((3, 60)), rng.random((3, 50))
    data = _ScaledData(as_data(form(counts)), row, column)
    with Workers(n_jobs) as workers:
        assert_allclose(data.times_samples(W, workers), W @ Y, rtol=1e-12)
        assert_allclose(data.times_features(H, workers), H @ Y.T, rtol=1e-12)
        assert data.squared_norm() == pytest.approx(np.sum(Y**2), rel=1e-12)
        if not data.is_sparse:
            error = data.squared_error(W, H, workers)
            assert error == pytest.approx(np.sum((Y - W.T @ H) ** 2), rel=1e-12)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_scales_divide_squares_by_the_root_of_the_sums(counts, form):
    counts[3], counts[:, 7] = 0, 0
    row, column = _scales(form(counts), np.float64)
    sums = counts.sum(axis=1), counts.sum(axis=0)
    expected = np.sqrt(np.outer(*sums) / (sums[0].mean() * sums[1].mean()))
    seen = expected > 0
    assert_allclose(np.outer(row, column)[seen] ** -2, expected[seen], rtol=1e-12)
    assert row[3] == column[7] == 0


def quadratic(X, W, H):
    scale = np.sqrt(np.outer(X.sum(axis=1), X.sum(axis=0)))
    return np.sum((X - W.T @ H)[scale > 0] ** 2 / scale[scale > 0])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_quadratic_is_lowered(rng, counts, form):
    counts[3], counts[:, 7] = 0, 0
    W, H = rng.random((4, 60)), rng.random((4, 50))
    with Workers(1) as workers:
        near = quadratic_factors(form(counts), W, H, workers)
    # The least of all is that of four components of the scaled counts.
    row, column = (np.where(s > 0, s, 1) ** -0.25 for s in (counts.sum(axis=1), counts.sum(axis=0)))
    values = np.linalg.svd(row[:, None] * counts * column, compute_uv=False)
    assert quadratic(counts, *near) < 1.5 * np.sum(values[4:] ** 2) < 0.3 * quadratic(counts, W, H)
    assert_array_equal(near[0][:, 3], 0)
    assert_array_equal(near[1][:, 7], 0)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_an_exact_start_stays(rng, form):
    W, H = rng.gamma(0.5, size=(4, 60)), rng.gamma(0.5, size=(4, 50))
    with Workers(1) as workers:
        kept = quadratic_factors(form(W.T @ H), W, H, workers)
    assert_allclose(kept[0].T @ kept[1], W.T @ H, rtol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_poor_start_is_left_and_a_good_one_kept(rng, counts, form):
    W, H = 0.1 + rng.random((4, 60)), 0.1 + rng.random((4, 50))
    with Workers(1) as workers:
        problem = problem_of(form(counts), workers)
        near = problem.approach(W, H)
        assert near[0].dtype == near[1].dtype == np.float64
        assert problem.objective(*near) < 0.5 * problem.objective(W, H)
        good = problem.alternate(list(near), tol=1e-6, max_iter=2000)[:2]
        for kept, given in zip(problem.approach(*good), good, strict=True):
            assert_array_equal(kept, given)


@pytest.mark.parametrize("case", ["penalty on W", "penalty on H", "weights", "all zero"])
def test_what_the_quadratic_does_not_know_of_keeps_the_start(rng, counts, case):
    W, H = rng.random((4, 60)), rng.random((4, 50))
    penalties = {"penalty on W": Penalty(l1_W=3.0), "penalty on H": Penalty(l2_H=3.0)}
    weight = 0.5 + rng.random(counts.shape) if case == "weights" else None
    with Workers(1) as workers:
        X = 0 * counts if case == "all zero" else counts
        problem = problem_of(X, workers, penalties.get(case), weight)
        assert problem.approach(W, H)[0] is W
        # A part of the samples then has more to do.
        plain = problem_of(counts, workers)
        assert problem.coarse_options["max_iter"] > plain.coarse_options["max_iter"]


def test_sparse_counts_take_fewer_iterations(rng):
    W, H = rng.gamma(0.1, size=(400, 8)), rng.gamma(0.1, size=(8, 300))
    X = sparse.csr_array(rng.poisson(W @ H).astype(float))
    X = X[np.flatnonzero(X.sum(axis=1))]
    start = {"W": 0.1 + rng.random((X.shape[0], 8)), "H": 0.1 + rng.random((8, 300))}
    values = {}
    for solver in ("auto", "cd"):
        options = {"init": "custom", "beta_loss": "kullback-leibler", "tol": 0, "max_iter": 3}
        model = NMF(8, solver=solver, **options)
        fitted = model.fit_transform(X, **start)
        values[solver] = objective(X.toarray(), fitted, model.components_, "kullback-leibler")
    assert values["auto"] < 0.9 * values["cd"]
