"""Half steps against closed forms: ridge regression, normal equations, losses entry by entry."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

from factorkit.completion import _batches
from factorkit.completion._entries import Side, column_side, observed_csr, row_side
from factorkit.completion._half_steps import Loss, balance, cg, descend, solve_normal
from factorkit.completion._model import Model
from factorkit.utils._jit import kernel
from factorkit.utils._sparse_kernels import padded_width
from factorkit.utils._threads import Workers

from ._planted import rating_like


@kernel
def dots(F, rows, x, out):
    _batches.dots(F, rows, x, out)


@kernel
def add_rows(F, rows, coefficients, out):
    _batches.add_rows(F, rows, coefficients, out)


@kernel
def add_products(F, indices, at, w, first, p, q):
    _batches.add_products(F, indices, at, w, first, p, q)


@kernel
def add_residuals(F, indices, at, r, w, extra, first, x, g):
    _batches.add_residuals(F, indices, at, r, w, extra, first, x, g)


def padded(A, dtype=np.float64):
    out = np.zeros((len(A), padded_width(A.shape[1], dtype)), dtype)
    out[:, : A.shape[1]] = A
    return out


@pytest.fixture
def problem(rng):
    """(Side, F, ridge, number of coefficients, weights): rows of every length, an empty one too."""
    X = rating_like(rng)
    X.data[X.indptr[3] : X.indptr[4]] = 0
    X.eliminate_zeros()
    weight = X.copy()
    weight.data = rng.uniform(0.2, 2, X.nnz)
    side = row_side(X, weight)
    k = 5
    return side, padded(rng.standard_normal((X.shape[1], k))), rng.uniform(0.1, 1, len(side)), k


def rows_of(side, F, k):
    for i in range(len(side)):
        part = slice(side.indptr[i], side.indptr[i + 1])
        yield i, F[side.indices[part], :k], side.values[part], side.weights[part]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("k", [1, 7, 8, 40])
def test_batches_of_rows_multiply_as_numpy_does(rng, dtype, index, k):
    F = padded(rng.standard_normal((30, k)), dtype)
    rows = rng.integers(30, size=8).astype(index)
    x, out = rng.standard_normal(F.shape[1]).astype(dtype), np.zeros(8, dtype)
    expected = np.zeros(8, dtype)
    dots(F, rows, x, out)
    dots.py_func(F, rows, x, expected)
    tol = 50 * np.finfo(dtype).eps
    assert_allclose(out, expected, rtol=tol, atol=tol)
    assert_allclose(out, F[rows] @ x, rtol=tol, atol=tol)
    total, coefficients = np.ones(F.shape[1], dtype), rng.standard_normal(8).astype(dtype)
    add_rows(F, rows, coefficients, total)
    assert_allclose(total, 1 + coefficients @ F[rows], rtol=tol, atol=tol)
    weights = rng.standard_normal(11).astype(dtype)
    for run in (add_products, add_products.py_func):
        total = np.ones(F.shape[1], dtype)
        run(F, np.append([0, 0], rows), 2, weights, 3, x, total)
        expected = 1 + (weights[3:] * (F[rows] @ x)) @ F[rows]
        assert_allclose(total, expected, rtol=10 * tol, atol=10 * tol)
    values, extra = rng.standard_normal((2, 11)).astype(dtype)
    for run in (add_residuals, add_residuals.py_func):
        total, r = np.ones(F.shape[1], dtype), values.copy()
        run(F, np.append([0, 0], rows), 2, r, weights, extra, 3, x, total)
        assert_allclose(r, np.append(values[:3], values[3:] - F[rows] @ x), rtol=tol, atol=tol)
        expected = 1 + (weights[3:] * r[3:] + extra[3:]) @ F[rows]
        assert_allclose(total, expected, rtol=10 * tol, atol=10 * tol)


@pytest.mark.parametrize("n", [1, 7, 8, 255, 256, 257, 600])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_step_sees_every_entry_of_a_line_of_any_length(rng, n, weighted, implicit):
    # One coefficient, so that a step of conjugate gradients solves; two lines, of which one
    # begins within a batch of the arrays.
    F = padded(rng.standard_normal((20, 1)))
    offsets, ridge = rng.standard_normal(20), np.array([0.3, 0.4])
    x = padded(rng.standard_normal((2, 1)))
    counts = [3, n]
    indices = rng.integers(20, size=sum(counts)).astype(np.int32)
    y, w = rng.uniform(0.5, 2, (2, sum(counts)))
    indptr = np.cumsum([0, *counts], dtype=np.int32)
    side = Side(indptr, indices, y, w if weighted else np.empty(0), 20)
    w = w if weighted else np.ones(len(w))
    options = {"values": np.empty(0)} if implicit else {"offsets": offsets}
    before = x.copy()
    with Workers(1) as workers:
        seen = cg(side, x, F, ridge, 1, workers, **options)
    loss = 0.0
    for i in range(2):
        part = slice(indptr[i], indptr[i + 1])
        f = F[indices[part], 0]
        p = f * before[i, 0]
        t = y[part] - offsets[indices[part]]
        if implicit:
            loss += np.sum((1 + w[part]) * (1 - p) ** 2 - p**2)
            linear = (1 + w[part]) @ f
        else:
            loss += w[part] @ (t - p) ** 2
            linear = w[part] @ (t * f)
        assert_allclose(x[i, 0], linear / (w[part] @ f**2 + ridge[i]), rtol=1e-9)
    assert_allclose(seen.loss, loss, rtol=1e-9)


def test_cg_steps_converge_to_ridge_regression(problem):
    side, F, ridge, k = problem
    X = padded(np.zeros((len(side), k)))
    with Workers(1) as workers:
        for _ in range(20):  # a call ends where the gradient is down to a tenth
            cg(side, X, F, ridge, k, workers)
    for i, f, y, w in rows_of(side, F, k):
        expected = np.zeros(k)
        if len(y):
            regression = Ridge(alpha=ridge[i], fit_intercept=False).fit(f, y, sample_weight=w)
            expected = regression.coef_
        assert_allclose(X[i, :k], expected, rtol=1e-6, atol=1e-8)
        assert not X[i, k:].any()


def test_the_normal_equations_and_offsets_give_the_same(problem, rng):
    side, F, ridge, k = problem
    offsets = rng.standard_normal(len(F))
    X, Y = padded(np.zeros((len(side), k))), padded(np.zeros((len(side), k)))
    with Workers(1) as workers:
        for _ in range(20):
            cg(side, X, F, ridge, k, workers, offsets=offsets)
        solve_normal(side, Y, F, ridge, k, workers, offsets=offsets)
    assert_allclose(X, Y, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", [Loss(), Loss(0.7), Loss(1.5, True)])
def test_losses_penalties_and_gradients_are_those_of_the_formulas(problem, rng, loss):
    side, F, ridge, k = problem
    X = padded(rng.standard_normal((len(side), k)))
    rho = {
        (False, False): np.square,
        (True, False): lambda r: np.where(abs(r) < 0.7, r**2, 1.4 * abs(r) - 0.49),
        (True, True): lambda r: 2.25 / 3 * (1 - np.maximum(1 - (r / 1.5) ** 2, 0) ** 3),
    }[loss.is_robust, loss.redescends]
    r = np.empty_like(side.values)
    with Workers(1) as workers:
        seen = cg(side, X, F, ridge, 0, workers, loss=loss, residuals=r)
        assert_allclose(cg(side, X, F, ridge, 0, workers, loss=loss), seen)
    total = penalty = size = 0.0
    for i, f, y, w in rows_of(side, F, k):
        if not len(y):
            continue  # such a row is set to zero before anything is summed
        part = slice(side.indptr[i], side.indptr[i + 1])
        assert_allclose(r[part], y - f @ X[i, :k])
        total += w @ rho(r[part])
        # Weights are what makes the derivative of w ρ that of a weighted square.
        h = 1e-6
        slope = (rho(r[part] + h) - rho(r[part] - h)) / (2 * h)
        assert_allclose(2 * loss.weights(r[part]) * r[part], slope, atol=1e-6)
        penalty += ridge[i] * X[i] @ X[i]
        size += X[i] @ X[i]
    assert_allclose([seen.loss, seen.penalty, seen.size], [total, penalty, size])
    assert seen.step > 0


@pytest.mark.parametrize("loss", [Loss(0.7), Loss(1.5, True)])
def test_reweighted_steps_end_where_the_robust_gradient_vanishes(problem, loss):
    side, F, ridge, k = problem
    X = padded(np.zeros((len(side), k)))
    with Workers(1) as workers:
        for _ in range(300):
            cg(side, X, F, ridge, 2, workers, loss=loss)
    for i, f, y, w in rows_of(side, F, k):
        r = y - f @ X[i, :k]
        assert_allclose((w * loss.weights(r) * r) @ f, ridge[i] * X[i, :k], atol=1e-6)


def test_a_step_never_raises_the_objective_of_a_row(problem, rng):
    side, F, ridge, k = problem
    X = padded(rng.standard_normal((len(side), k)))
    with Workers(1) as workers:
        values = []
        for _ in range(6):
            seen = cg(side, X, F, ridge, 1, workers)
            values.append(seen.loss + seen.penalty)
    assert np.all(np.diff(values) <= 1e-9 * values[0])
    assert values[-1] < values[0]


def test_nonnegative_coefficients_are_those_of_nnls(problem):
    side, F, ridge, k = problem
    X = padded(np.zeros((len(side), k)))
    offsets = np.zeros(len(F))
    with Workers(1) as workers:
        descend(side, X, F, ridge, k - 1, k, 10_000, 1e-12, workers, offsets=offsets)
    for i, f, y, w in rows_of(side, F, k):
        if not len(y):
            continue
        # The last coefficient is free: twice, once with either sign.
        A = np.vstack((f * np.sqrt(w)[:, None], np.sqrt(ridge[i]) * np.eye(k)))
        A = np.column_stack((A, -A[:, -1]))
        expected, _ = nnls(A, np.concatenate((y * np.sqrt(w), np.zeros(k))))
        expected[k - 1] -= expected[k]
        assert_allclose(X[i, :k], expected[:k], atol=1e-7)


@pytest.mark.parametrize("positive", [False, True])
def test_balancing_keeps_products_and_makes_the_penalty_least(rng, positive):
    k = 4
    U, V = rng.random((20, k)), rng.random((15, k)) * 2.0 ** np.arange(k)
    on_U, on_V = rng.random(20), rng.random(15)

    def penalty(U, V):
        return on_U @ (U**2).sum(axis=1) + on_V @ (V**2).sum(axis=1)

    new_U, new_V, other = U.copy(), V.copy(), 2 * V
    balance(on_U, on_V, k, positive, new_U, new_V, other)
    assert_allclose(new_U @ new_V.T, U @ V.T, rtol=1e-6)
    assert_allclose(other, 2 * new_V)
    if positive:
        assert new_U.min() >= 0 and new_V.min() >= 0
        least = sum(2 * np.sqrt(on_U @ U[:, a] ** 2 * (on_V @ V[:, a] ** 2)) for a in range(k))
    else:
        weighted = np.sqrt(on_U)[:, None] * (U @ V.T) * np.sqrt(on_V)
        least = 2 * np.linalg.svd(weighted, compute_uv=False).sum()  # the nuclear norm
        gram = (new_V * on_V[:, None]).T @ new_V
        assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-4 * gram.max())
    assert_allclose(penalty(new_U, new_V), least, rtol=1e-5)
    assert penalty(U, V) > 1.1 * least


def test_columns_hold_the_same_entries_as_rows(rng):
    X = rating_like(rng)
    weight = X.copy()
    weight.data = rng.random(X.nnz)
    side = column_side(X, weight)
    assert_allclose(np.asarray(side.totals), weight.toarray().sum(axis=0))
    assert_allclose(side.shares, weight.toarray().sum(axis=1) / weight.sum())
    i = np.repeat(np.arange(X.shape[1]), side.counts)
    assert_allclose(X.toarray()[side.indices, i], side.values)
    assert isinstance(side, Side)


def test_wide_indices_become_short_ones_and_values_stay_shared(rng):
    X = rating_like(rng)
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    short, _ = observed_csr(wide)
    assert short.indices.dtype == short.indptr.dtype == np.int32
    assert np.shares_memory(short.data, wide.data)
    assert_allclose(short.toarray(), X.toarray())
    assert wide.indices.dtype == np.int64


@pytest.mark.parametrize("alpha", [3.0, 0.5, 1e-4])
def test_exact_rows_by_steps_are_those_by_factorization(rng, monkeypatch, alpha):
    X = rating_like(rng)
    model = Model(100, 0.3, True, True, alpha, True)
    calls = []
    by_steps = Model._solve_by_steps
    monkeypatch.setattr(Model, "_solve_by_steps", lambda *args: calls.append(1) or by_steps(*args))
    results = []
    for dtype in (np.float32, np.float64):
        side = row_side(*observed_csr(X.astype(dtype), None))
        V = model.zeros(X.shape[1], dtype)
        V[:, :101] = 0.3 * np.random.default_rng(0).standard_normal((X.shape[1], 101))
        with Workers(1) as workers:
            results.append(model.solve(side, V, True, workers)[:, :101])
    # Single precision alone, and only where the penalty bounds the condition number.
    assert len(calls) == (alpha > 0.1)
    tol = 1e-5 if alpha > 0.1 else 1e-3
    assert_allclose(*results, atol=tol * np.abs(results[1]).max())


@pytest.mark.parametrize("n_steps", [1, 4])
def test_rows_whose_steps_do_not_suffice_are_factored(rng, monkeypatch, n_steps):
    monkeypatch.setattr("factorkit.completion._model._MOST_STEPS", n_steps)
    X = rating_like(rng)
    model = Model(100, 0.3, True, True, 0.5, True)
    side = row_side(*observed_csr(X.astype(np.float32), None))
    V = model.zeros(X.shape[1], np.float32)
    V[:, :101] = 0.3 * rng.standard_normal((X.shape[1], 101))
    with Workers(1) as workers:
        few = model.solve(side, V, True, workers)
        factored = replace(model, solver="cholesky").solve(side, V, True, workers)
    assert_allclose(few, factored, atol=1e-5 * np.abs(factored).max())


def test_steps_say_which_rows_have_ended(problem):
    side, F, ridge, k = problem
    X, ended = padded(np.zeros((len(side), k))), np.zeros(len(side), bool)
    with Workers(1) as workers:
        cg(side, X, F, ridge, 1, workers, enough=1e-20, ended=ended)
        assert ended.any() and not ended.all()  # an empty row has; others take more than one step
        cg(side, X, F, ridge, 10 * k, workers, enough=1e-20, ended=ended)
    assert ended.all()
