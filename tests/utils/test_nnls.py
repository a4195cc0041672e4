"""The nonnegative least-squares solvers, against SciPy and against their plain Python."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls

from factorkit.utils._exchange_kernels import exchange_rows
from factorkit.utils._nnls import (
    clipped_solution,
    coordinate_sweeps,
    solve_nnls,
    solve_nnls_rows,
)
from factorkit.utils._nnls_kernels import sweep_columns
from factorkit.utils._pivot_kernels import _exchange, pivot_few_zeros, pivot_rows
from factorkit.utils._threads import Workers

WORKERS = Workers(1)


def problem(rng, k, n=50, m=30, duplicated=False):
    """(X, H, A, G) of min ½ ‖x − w H‖² for each row x of X."""
    H = rng.random((k, m)) * (rng.random((k, m)) > 0.3)
    if duplicated:
        H[-1] = H[0]
    X = rng.random((n, k)) @ H + rng.standard_normal((n, m))
    return X, H, H @ X.T, H @ H.T


def value(W, A, G):
    """½ w G w − a·w of each row."""
    return 0.5 * np.einsum("it,tu,iu->i", W, G, W) - np.einsum("it,ti->i", W, A)


def violation(W, A, G):
    """How far a row of W is from optimal, in units of the model and of a component's length."""
    G = G.astype(np.longdouble)  # the sums of the certificate must not round like those it judges
    lengths = np.sqrt(np.diag(G))
    gradient = W @ G - A.T
    slope = np.divide(gradient, lengths, out=np.zeros_like(gradient), where=lengths > 0)
    step = np.minimum(W * lengths, slope)  # zero where w = 0 <= slope, and where slope = 0 <= w
    unit = np.sqrt(np.einsum("it,tu,iu->i", W, G, W))
    missed = np.abs(step).max(axis=1)
    return np.max(np.divide(missed, unit, out=np.where(missed > 0, np.inf, 0.0), where=unit > 0))


DEPENDENT = ["collinear", "duplicates", "triples", "rank", "wide", "zeros"]


def dependent(rng, kind, k, n=20):
    """(X, H) with noise, so that a row's linear term without a penalty is no vertex."""
    m = max(k // 2, 1) if kind == "wide" else 2 * k + 5
    H = rng.random((k, m)) * (rng.random((k, m)) > 0.3)
    for _ in range(k // 2):
        i, j, t = rng.choice(k, 3, replace=k < 3)
        if kind == "collinear":
            H[i] = H[j] * rng.choice([0.1, 0.5, 0.7, 3.3])
        elif kind == "duplicates":
            H[i] = H[j]
        elif kind == "triples":
            H[i] = rng.random() * H[j] + rng.random() * H[t]
        elif kind == "zeros":
            H[i] = 0
    if kind == "rank":
        r = max(k // 2, 1)
        H = rng.random((k, r)) @ rng.random((r, m))
    X = (rng.random((n, k)) * (rng.random((n, k)) > 0.4)) @ H
    return X + 0.3 * rng.standard_normal((n, m)) * np.sqrt(np.mean(X**2)), H


def penalties(rng, X, H):
    """No penalty, one for all components, one for each."""
    unit = 0.2 * np.mean(np.linalg.norm(X, axis=1)) * np.linalg.norm(H, axis=1).max()
    return [np.zeros((len(H), 1)), np.full((len(H), 1), unit), unit * rng.random((len(H), 1))]


@pytest.mark.parametrize("k", [1, 2, 7, 25, 40])
def test_rows_are_those_of_scipy(rng, k):
    X, H, A, G = problem(rng, k)
    expected = np.array([nnls(H.T, x)[0] for x in X])
    W = solve_nnls(A, G, WORKERS)
    assert W.shape == (50, k) and W.min() >= 0
    assert_allclose(W, expected, atol=1e-10 * max(expected.max(), 1))
    guess = (rng.random((k, 50)) > 0.5).astype(float)  # any support to start from
    every = np.repeat(G[None], 50, axis=0)
    assert_allclose(solve_nnls_rows(guess, A, G[None]), expected, atol=1e-10)
    assert_allclose(solve_nnls_rows(guess, A, every), expected, atol=1e-10)


def test_each_row_may_have_a_gram_matrix_of_its_own(rng):
    k, n = 5, 20
    F = rng.random((n, k, 9))
    x = rng.random((n, 9))
    A, Q = np.einsum("itj,ij->ti", F, x), np.einsum("itj,iuj->itu", F, F)
    W = solve_nnls_rows(np.zeros((k, n)), A, Q)
    assert_allclose(W, [nnls(f.T, y)[0] for f, y in zip(F, x, strict=True)], atol=1e-10)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_the_unit_of_the_data_does_not_matter(rng, scale):
    _, _, A, G = problem(rng, 6)
    W = solve_nnls(A, G, WORKERS)
    assert_allclose(solve_nnls(scale * A, G, WORKERS), scale * W, rtol=1e-9, atol=1e-12 * scale)


def test_equal_components_share_what_is_explained(rng):
    _, _, A, G = problem(rng, 6, duplicated=True)
    W = solve_nnls(A, G, WORKERS)
    unique = solve_nnls(A[:-1], G[:-1, :-1], WORKERS)
    assert_allclose(value(W, A, G), value(unique, A[:-1], G[:-1, :-1]), rtol=1e-9)
    assert_allclose(W[:, 0] + W[:, -1], unique[:, 0], atol=1e-7)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_collinear_components_the_one_that_is_cheaper_explains_all(rng, order):
    h, x, l1 = rng.random(9), rng.random((20, 9)), 0.5
    H = np.array([h, 0.5 * h])[order]  # the longer one needs a smaller coefficient
    A, G = H @ x.T - l1, H @ H.T
    expected = np.zeros((20, 2))
    expected[:, order.index(0)] = np.maximum(x @ h - l1, 0) / (h @ h)
    assert_allclose(solve_nnls(A, G, WORKERS), expected, rtol=1e-12)
    for guess in np.array([[1, 0], [0, 1], [1, 1], [0, 0]]):
        rows = solve_nnls_rows(np.repeat(guess[:, None], 20, axis=1), A, G[None])
        assert_allclose(rows, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", DEPENDENT)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_no_support_has_a_lower_objective(rng, kind, k):
    X, H = dependent(rng, kind, k)
    for l1 in penalties(rng, X, H):
        A, G = H @ X.T - l1, H @ H.T
        best = np.zeros(len(X))
        for support in (list(c) for r in range(1, k + 1) for c in combinations(range(k), r)):
            if np.linalg.matrix_rank(H[support]) < len(support):
                continue  # an optimum with independent components there always is
            W = np.zeros((len(X), k))
            W[:, support] = np.linalg.solve(G[np.ix_(support, support)], A[support]).T
            best = np.where(W.min(axis=1) >= 0, np.minimum(best, value(W, A, G)), best)
        W = solve_nnls(A, G, WORKERS)
        assert_allclose(value(W, A, G), best, rtol=1e-10, atol=1e-12 * np.abs(best).max())


@pytest.mark.parametrize("kind", DEPENDENT)
@pytest.mark.parametrize("k", [2, 3, 6, 12, 40])
@pytest.mark.parametrize("spread, unit", [(0, 1), (0, 1e-8), (0, 1e8), (6, 1)])
def test_dependent_components_satisfy_the_optimality_conditions(rng, kind, k, spread, unit):
    X, H = dependent(rng, kind, k)
    H = unit * H * 10 ** rng.uniform(-spread, spread, (k, 1))
    G, every = H @ H.T, np.repeat((H @ H.T)[None], len(X), axis=0)
    for l1 in penalties(rng, X, H):
        A = H @ X.T - l1
        W = solve_nnls(A, G, WORKERS)
        assert W.min() >= 0 and violation(W, A, G) < 1e-12
        guess = (rng.random(A.shape) > 0.5).astype(float)  # any support to start from
        assert violation(solve_nnls_rows(guess, A, G[None]), A, G) < 1e-12
        assert violation(solve_nnls_rows(guess, A, every), A, G) < 1e-12


def test_the_lengths_of_the_components_do_not_matter(rng):
    _, _, A, G = problem(rng, 9)
    W = solve_nnls(A, G, WORKERS)
    lengths = 10.0 ** rng.permutation(np.arange(-8, 9, 2))
    scaled = solve_nnls(A * lengths[:, None], G * np.outer(lengths, lengths), WORKERS)
    assert_allclose(scaled * lengths, W, atol=1e-10 * W.max())


def test_components_of_zeros_get_nothing(rng):
    _, _, A, G = problem(rng, 6)
    A[2] = G[2] = G[:, 2] = 0
    W = solve_nnls(A, G, WORKERS)
    assert_array_equal(W[:, 2], 0)
    rest = [0, 1, 3, 4, 5]
    assert_allclose(W[:, rest], solve_nnls(A[rest], G[np.ix_(rest, rest)], WORKERS), atol=1e-10)
    assert_array_equal(solve_nnls(A, np.zeros_like(G), WORKERS), 0)


@pytest.mark.parametrize("kind", [None, *DEPENDENT])
def test_a_row_depends_on_itself_alone(rng, kind):
    _, _, A, G = problem(rng, 8, n=300)
    if kind is not None:
        X, H = dependent(rng, kind, 8, n=300)
        A, G = H @ X.T - penalties(rng, X, H)[2], H @ H.T
    W = solve_nnls(A, G, WORKERS)
    order = rng.permutation(300)
    assert_array_equal(solve_nnls(A[:, order], G, WORKERS), W[order])
    assert_array_equal(solve_nnls(A[:, 17:18], G, WORKERS)[0], W[17])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 64, 131])
def test_sweeps_descend_to_the_exact_solution(rng, dtype, n):
    _, _, A, G = problem(rng, 6, n=n)
    exact = solve_nnls(A, G, WORKERS)
    W, A = np.ones((6, n), dtype), A.astype(dtype)
    last = value(W.T.astype(float), A.astype(float), G).sum()
    for _ in range(5):
        step, linear = coordinate_sweeps(W, A, G, WORKERS, max_sweeps=1)
        rtol = 1e-6 if dtype == np.float32 else 1e-12
        assert linear == pytest.approx(np.sum(A.astype(float) * W), rel=rtol)
        new = value(W.T.astype(float), A.astype(float), G).sum()
        assert W.min() >= 0 and step > 0 and new <= last + 1e-5 * abs(last)
        last = new
    coordinate_sweeps(W, A, G, WORKERS, max_sweeps=5000, inner_tol=0)
    assert_allclose(W.T, exact, atol=(1e-3 if dtype == np.float32 else 1e-8) * exact.max())


@pytest.mark.parametrize("n", [50, 64, 1000])
def test_the_step_is_that_of_the_first_sweep_in_the_unit_of_the_data(rng, n):
    _, _, A, G = problem(rng, 6, n=n)
    start, W = rng.random((6, n)), np.empty((6, n))
    expected = np.linalg.norm((one_sweep(start, A, G) - start) * np.sqrt(np.diag(G))[:, None])
    for max_sweeps in (1, 3):
        swept = coordinate_sweeps(start, A, G, WORKERS, max_sweeps=max_sweeps, inner_tol=0, out=W)
        assert swept.step == pytest.approx(expected, rel=1e-12)
    # Neither the unit nor the length of a component matters.
    lengths = 10.0 ** np.arange(-3, 3)[:, None]
    G_scaled = G * lengths * lengths.T
    scaled = coordinate_sweeps(start / lengths, A * lengths, G_scaled, WORKERS, out=W)
    assert scaled.step == pytest.approx(expected, rel=1e-9)
    solution = np.ascontiguousarray(solve_nnls(A, G, WORKERS).T)
    assert coordinate_sweeps(solution, A, G, WORKERS).step < 1e-10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_clipped_solution_is_exact_where_no_coefficient_is_zero(rng, dtype):
    H = rng.random((5, 30))
    W = 0.1 + rng.random((40, 5))
    A, G = (H @ (W @ H).T).astype(dtype), H @ H.T
    clipped = clipped_solution(A, G)
    assert clipped.dtype == dtype
    assert_allclose(clipped.T, W, rtol=1e-4 if dtype == np.float32 else 1e-7)
    A[2] = -1
    assert clipped_solution(A, G).min() == 0
    # Equal components, and components of zeros, are no obstacle to a start.
    assert np.isfinite(clipped_solution(A, np.ones((5, 5)))).all()
    assert np.isfinite(clipped_solution(A, np.zeros((5, 5)))).all()


@pytest.mark.parametrize("k", [3, 20, 30])
def test_rows_that_share_factorizations_get_what_they_get_alone(rng, k):
    # More rows than are sorted at a time, with many equal supports.
    _, _, A, G = problem(rng, k, n=9000)
    W = solve_nnls(A, G, WORKERS)
    assert violation(W, A, G) < 1e-12
    for rows in (slice(100), slice(4090, 4200), slice(8999, None)):
        assert_array_equal(solve_nnls(A[:, rows], G, WORKERS), W[rows])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_result_goes_where_it_is_wanted(rng, n_jobs):
    _, _, A, G = problem(rng, 6, n=3000)
    start, linear = rng.random(A.shape), A.copy()
    results = []
    for out in (start.copy(), A.copy(), np.empty_like(A)):
        W, B = start.copy(), A.copy()
        out = B if np.array_equal(out, A) else out
        with Workers(n_jobs) as workers:
            swept = coordinate_sweeps(W, B, G, workers, max_sweeps=3, out=out)
        assert_array_equal(W, start)
        assert swept.linear == pytest.approx(np.sum(linear * out), rel=1e-12)
        results.append(out)
    coordinate_sweeps(start, A, G, WORKERS, max_sweeps=3)
    for result in results:
        assert_array_equal(result, start)


def test_a_read_only_start_compiles_nothing_anew(rng):
    _, _, A, G = problem(rng, 6)
    W = np.ones((6, 50))
    coordinate_sweeps(W, A.copy(), G, WORKERS, out=np.empty_like(W))
    compiled = len(sweep_columns.signatures)
    W.flags.writeable = False
    coordinate_sweeps(W, A.copy(), G, WORKERS, out=np.empty_like(W))
    assert len(sweep_columns.signatures) == compiled
    assert_array_equal(W, 1)


def one_sweep(W, A, G):
    """Cyclic coordinate descent as it is written in books."""
    W = W.copy()
    for t in range(len(W)):
        W[t] = np.maximum(0, W[t] + (A[t] - G[t] @ W) / G[t, t])
    return W


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 64, 150])
def test_vector_instructions_do_what_plain_python_does(rng, dtype, n):
    _, _, A, G = problem(rng, 5, n=n)
    A, G, start = A.astype(dtype), G.astype(dtype), np.ones((5, n), dtype)
    compiled, plain = start.copy(), start.copy()
    changes = [
        sweep(W, A, G, 0, n, 1, 0.0, W)
        for sweep, W in ((sweep_columns, compiled), (sweep_columns.py_func, plain))
    ]
    rtol = 1e-4 if dtype == np.float32 else 1e-12
    assert_allclose(compiled, plain, rtol=rtol, atol=rtol)
    assert_allclose(compiled, one_sweep(start, A, G), rtol=rtol, atol=rtol)
    assert changes[0] == pytest.approx(changes[1], rel=rtol)


def test_sweeps_leave_other_columns_alone(rng):
    _, _, A, G = problem(rng, 5)
    W = np.ones((5, 50))
    sweep_columns(W, A, G, 10, 30, 2, 0.0, W)
    assert_array_equal(W[:, :10], 1)
    assert_array_equal(W[:, 30:], 1)
    assert not (W[:, 10:30] == 1).any(axis=0).all()


@pytest.mark.parametrize("duplicated", [False, True])
def test_compiled_pivoting_does_what_plain_python_does(rng, duplicated):
    _, _, A, G = problem(rng, 5, n=12, duplicated=duplicated)
    compiled, plain = np.ones((12, 5)), np.ones((12, 5))
    rows = np.ascontiguousarray(A.T)
    solved = pivot_rows(compiled, rows, G[None], 35)
    assert_array_equal(solved, pivot_rows.py_func(plain, rows, G[None], 35))
    assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12)
    assert solved.all()


def nearly_collinear(rng, k, ratio, n=200, m=60):
    """(A, G) whose matrix of cosines has about this ratio of eigenvalues, and W mostly positive."""
    H = 1 + np.sqrt(ratio * k) * rng.random((k, m))
    H *= 10 ** rng.uniform(-3, 3, (k, 1))
    W = rng.random((n, k)) / np.linalg.norm(H, axis=1)
    X = W @ H
    X += 0.02 * np.sqrt(ratio) * rng.standard_normal(X.shape) * np.linalg.norm(X, axis=1)[:, None]
    return H @ X.T, H @ H.T


def from_the_zeros(pivot, A, G, guess, most, max_rounds=20):
    lengths = np.sqrt(np.diag(G))
    inverse = np.linalg.inv(G / np.outer(lengths, lengths)) / np.outer(lengths, lengths)
    rows = np.array(guess.T, dtype=float, order="C")
    return rows, pivot(rows, np.ascontiguousarray(A.T), G, inverse, most, max_rounds)


@pytest.mark.parametrize("ratio", [1, 1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("k", [24, 40])
def test_rows_with_few_zeros_satisfy_the_optimality_conditions(rng, k, ratio):
    A, G = nearly_collinear(rng, k, ratio)
    W = solve_nnls(A, G, WORKERS)
    assert violation(W, A, G) < 1e-12
    zeros = np.count_nonzero(W == 0, axis=1)
    assert zeros.max() > 0 and np.median(zeros) <= k // 2
    # From any support, and without the rows' own factorizations.
    for guess in (np.ones_like(A), W.T, rng.random(A.shape) > 0.2):
        rows, solved = from_the_zeros(pivot_few_zeros, A, G, guess, k)
        assert solved.mean() > 0.95
        assert_allclose((rows - W)[solved] * np.sqrt(np.diag(G)), 0, atol=1e-6 * np.max(rows @ G))
        assert violation(rows[solved], A[:, solved], G) < 1e-12


def test_coefficients_of_rounding_are_zero_wherever_pivoting_starts(rng):
    H = rng.random((5, 30))
    A, G = H @ (np.outer(rng.random(20), H[0])).T, H @ H.T  # all others are zero, and may be
    expected = np.zeros((20, 5))
    expected[:, 0] = A[0] / G[0, 0]
    for guess in (np.ones((5, 20)), np.eye(5)[:, :1] * np.ones(20), rng.random((5, 20)) > 0.5):
        rows = np.array(guess.T, dtype=float, order="C")
        assert pivot_rows(rows, np.ascontiguousarray(A.T), G[None], 35).all()
        assert_array_equal(rows[:, 1:], 0)
        assert_allclose(rows, expected, rtol=1e-12)
        rows, solved = from_the_zeros(pivot_few_zeros, A, G, guess, 5)
        assert solved.all()
        assert_array_equal(rows[:, 1:], 0)
        assert_allclose(rows, expected, rtol=1e-12)


def test_violators_move_together_until_they_become_no_fewer():
    violates = np.array([True, False, True, False])
    for exchange in (_exchange, _exchange.py_func):
        members, state = np.zeros(4, bool), (4, 0)
        states = []
        for n_violators in (2, 2, 3, 2, 2, 1):  # fewer, three rounds without, the last one alone
            before = members.copy()
            state = exchange(members, violates, n_violators, 2, *state)
            states.append((*state, (members != before).tolist()))
        both, last = violates.tolist(), [False, False, True, False]
        assert states == [(2, left, both) for left in (3, 2, 1, 0)] + [(2, 0, last), (1, 3, both)]


def test_rows_with_many_zeros_are_left_as_they_are(rng):
    _, _, A, G = problem(rng, 20)
    A -= 3 * A.mean()
    exact = solve_nnls(A, G, WORKERS)
    n_zeros = np.count_nonzero(exact == 0, axis=1)
    assert n_zeros.max() > 10
    guess = np.where(rng.random(A.shape) < 0.9, 1.0, 0.0)
    for pivot in (pivot_few_zeros, pivot_few_zeros.py_func):
        rows, solved = from_the_zeros(pivot, A, G, guess, 5)
        assert not solved[n_zeros > 5].any()
        assert_array_equal(rows[~solved], guess.T[~solved])
        assert_allclose(rows[solved], exact[solved], atol=1e-12)
        # Nor is a row that takes more rounds than it gets.
        rows, solved = from_the_zeros(pivot, A, G, exact.T, 20, max_rounds=1)
        assert solved.all()
        assert_allclose(rows, exact, atol=1e-12)
        rows, solved = from_the_zeros(pivot, A, G, guess, 20, max_rounds=1)
        assert np.count_nonzero(~solved) > 0
        assert_array_equal(rows[~solved], guess.T[~solved])


@pytest.mark.parametrize("k, m", [(20, 8), (40, 13)])
def test_rows_of_more_components_than_features_are_solved(rng, k, m):
    # Singular, and degenerate: SciPy solves it without squaring the condition number.
    H = rng.random((k, m)) * 10 ** rng.uniform(-1, 1, m)
    X = rng.random((60, m)) * 10 ** rng.uniform(-1, 1, m)
    with Workers(1) as workers:
        W = solve_nnls(H @ X.T, H @ H.T, workers)
    errors = np.linalg.norm(X - W @ H, axis=1)
    expected = np.array([nnls(H.T, x)[1] for x in X])
    assert_allclose(errors, expected, rtol=1e-6, atol=1e-5 * np.linalg.norm(X, axis=1).max())


def test_pivoting_that_runs_out_of_rounds_says_so(rng):
    _, _, A, G = problem(rng, 8)
    rows = np.zeros((50, 8))
    assert not pivot_rows(rows, np.ascontiguousarray(A.T), G[None], 1).all()


def test_exchanging_one_component_at_a_time_solves_any_row(rng):
    X, H, A, G = problem(rng, 12)
    rows, linear = np.arange(50)[::2], np.ascontiguousarray(A.T)
    W = (rng.random((50, 12)) > 0.5).astype(float)  # any nonnegative start
    start = W.copy()
    assert exchange_rows(W, linear, G[None], rows, 200).all()
    expected = np.array([nnls(H.T, x)[0] for x in X])
    assert_allclose(W[::2], expected[::2], atol=1e-10 * expected.max())
    assert_array_equal(W[1::2], start[1::2])
    assert not exchange_rows(0 * W, linear, G[None], rows, 1).all()


@pytest.mark.parametrize("kind", ["collinear", "duplicates", "triples", "wide"])
def test_exchanges_never_raise_the_objective(rng, kind):
    X, H = dependent(rng, kind, 12, n=100)
    A, G = H @ X.T - 0.3 * penalties(rng, X, H)[2], H @ H.T
    linear, last = np.ascontiguousarray(A.T), np.zeros(100)
    for n_rounds in range(1, 60):
        W = np.zeros((100, 12))
        solved = exchange_rows(W, linear, G[None], np.arange(100), n_rounds)
        new = value(W, A, G)
        assert W.min() >= 0 and np.all(new <= last + 1e-12 * np.abs(last))
        last = new
    assert solved.all() and violation(W, A, G) < 1e-12


@pytest.mark.parametrize("kind", ["collinear", "triples", "wide"])
def test_compiled_exchanges_do_what_plain_python_does(rng, kind):
    X, H = dependent(rng, kind, 6, n=8)
    A, G = np.ascontiguousarray((H @ X.T - penalties(rng, X, H)[2]).T), H @ H.T
    compiled, plain, rows = np.zeros((8, 6)), np.zeros((8, 6)), np.arange(8)
    assert exchange_rows(compiled, A, G[None], rows, 100).all()
    assert exchange_rows.py_func(plain, A, G[None], rows, 100).all()
    assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12 * plain.max())


def test_a_linear_term_without_a_minimum_does_not_run_for_ever():
    # No data and penalty give it: along (1, 1) the model stays and the objective falls.
    G, A = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones((2, 3))
    W = solve_nnls(A, G, WORKERS)
    assert W.min() >= 0 and np.isfinite(W).all()
    assert exchange_rows(W, np.ascontiguousarray(A.T), G[None], np.arange(3), 5).all()


@pytest.mark.parametrize("kind", [None, *DEPENDENT])
def test_coefficients_near_the_solution_change_nothing_of_it(rng, kind):
    _, _, A, G = problem(rng, 8, n=300)
    if kind is not None:
        X, H = dependent(rng, kind, 8, n=300)
        A, G = H @ X.T, H @ H.T
    W = solve_nnls(A, G, WORKERS)
    wrong = rng.random(W.T.shape) * (rng.random(W.T.shape) > 0.5)
    for near in (W.T, W.T.astype(np.float32), wrong, np.zeros_like(wrong)):
        assert_array_equal(solve_nnls(A, G, WORKERS, near=near), W)
