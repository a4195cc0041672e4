"""Iterations in single precision for data in double, and what is left of them."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF
from factorkit.nmf._alternate import alternate
from factorkit.nmf._coarse import coarse_start
from factorkit.nmf._data import DenseData, as_data
from factorkit.nmf._init import Start
from factorkit.nmf._penalty import Penalty
from factorkit.nmf._solvers import make_problem
from factorkit.utils._threads import Workers

from ._reference import objective


@pytest.fixture
def counts(rng):
    W, H = rng.gamma(0.3, size=(300, 5)), rng.gamma(0.3, size=(5, 80))
    X = rng.poisson(W @ H).astype(float)
    return X[X.sum(axis=1) > 0]


def dtypes_of_steps(monkeypatch, X, *, solver="auto", start=None, **options):
    """The dtypes of the factors that the half steps of a fit to X get, in their order."""
    seen = []

    def watched(step_W, *args, **kwargs):
        def step(H, Wt, safe=False, valued=False):
            if Wt.shape[1] == X.shape[0]:
                seen.append(Wt.dtype)
            return step_W(H, Wt, safe, valued)

        return alternate(step, *args, **kwargs)

    monkeypatch.setattr("factorkit.nmf._problem.alternate", watched)
    model = NMF(4, solver=solver, random_state=0, **options)
    model.fit_transform(X, **(start or {}))
    assert model.components_.dtype == X.dtype
    return seen


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_a_fit_ends_in_double_precision(monkeypatch, counts, beta_loss):
    X = sparse.csr_array(counts)
    seen = dtypes_of_steps(monkeypatch, X, beta_loss=beta_loss, tol=1e-6, max_iter=2000)
    assert seen[0] == np.float32 and seen[-1] == np.float64
    assert sum(a != b for a, b in pairwise(seen)) == 1


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_numbers_that_single_precision_cannot_square_stay_in_double(
    monkeypatch, counts, beta_loss, unit
):
    X = sparse.csr_array(counts * unit)
    assert set(dtypes_of_steps(monkeypatch, X, beta_loss=beta_loss)) == {np.dtype(np.float64)}


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_plain_coordinate_descent_keeps_the_precision_of_the_data(monkeypatch, counts, beta_loss):
    X = sparse.csr_array(counts)
    seen = dtypes_of_steps(monkeypatch, X, beta_loss=beta_loss, solver="cd")
    assert set(seen) == {np.dtype(np.float64)}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_the_optimum_has_all_digits_of_double_precision(rng, counts, beta_loss, form):
    # From near one optimum, so that both find that one.
    options = {"init": "custom", "beta_loss": beta_loss, "tol": 1e-7, "max_iter": 20_000}
    near = NMF(2, solver="cd", beta_loss=beta_loss, random_state=0)
    W = near.fit_transform(counts)
    start = {
        "W": W + 0.1 * W.mean() * rng.random(W.shape),
        "H": near.components_ * (0.9 + 0.2 * rng.random((2, 80))),
    }
    values, models = [], []
    for solver in ("cd", "auto"):
        model = NMF(2, solver=solver, **options)
        W = model.fit_transform(form(counts), **start)
        values.append(objective(counts, W, model.components_, beta_loss))
        models.append(W @ model.components_)
        assert np.all(np.diff(model.objective_) <= 0)
    assert values[1] == pytest.approx(values[0], rel=1e-11)
    assert_allclose(models[1], models[0], rtol=1e-4, atol=1e-6)


def test_a_draft_that_is_cut_short_is_given_back_in_double(counts):
    X = sparse.csr_array(counts)
    model = NMF(4, tol=0, max_iter=2, random_state=0)
    assert model.fit_transform(X).dtype == np.float64
    assert model.components_.dtype == np.float64


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(9000, 60), (60, 9000), (30, 30), (700, 700)])
def test_products_with_factors_in_single_precision_take_all_of_x(rng, shape, order):
    # More than one part of each side is cast.
    X = np.asarray(rng.random(shape), order=order)
    W, H = rng.random((3, shape[0])), rng.random((3, shape[1]))
    data, single = DenseData(X), np.float32
    for n_jobs in (1, 2):
        with Workers(n_jobs) as workers:
            of_samples = data.times_samples(W.astype(single), workers)
            of_features = data.times_features(H.astype(single), workers)
        assert of_samples.dtype == of_features.dtype == single
        assert_allclose(of_samples, W @ X, rtol=3e-5)
        assert_allclose(of_features, H @ X.T, rtol=3e-5)


@pytest.mark.parametrize("beta_loss", [2, 1])
def test_a_start_on_a_part_solves_for_the_coefficients_of_all(rng, beta_loss):
    X = rng.gamma(0.5, size=(600, 6)) @ rng.gamma(0.5, size=(6, 20)) + 0.1 * rng.random((600, 20))
    Wt, H = rng.random((6, 600)), rng.random((6, 20))
    with Workers(1) as workers:
        problem = make_problem(
            X, None, Penalty(), workers, beta=beta_loss, multiplicative=False, missing="nan"
        )
        new_Wt, new_H, solved = coarse_start(problem, Start.given(Wt, H))
        assert solved.is_W and solved.residual > 0
        assert solved.objective == pytest.approx(problem.objective(new_Wt, new_H), rel=1e-4)
        assert new_Wt.dtype == new_H.dtype == np.float64
        # So well that an iteration may begin with H.
        again, _, _ = problem.step_W(new_H, new_Wt)
        change = problem.objective(new_Wt, new_H) - problem.objective(again, new_H)
        assert 0 <= change < 0.02 * problem.objective(Wt, H)
        better = problem.alternate([new_Wt, new_H], tol=1e-6, max_iter=500)[:2]
        # A start that was better stays, with W still to be solved for.
        assert coarse_start(problem, Start.given(*better))[2] is None


def test_nearly_collinear_components_get_good_coefficients_after_a_part(rng):
    H = 1 + 0.1 * rng.random((6, 40))
    X = rng.dirichlet(np.ones(6), 2000) @ H + 1e-3 * rng.random((2000, 40))
    problem = make_problem(
        X, None, Penalty(), Workers(1), beta=2, multiplicative=False, missing="nan"
    )
    exact = problem.objective(np.ascontiguousarray(problem.solve_W(H).T), H)
    Wt, _, value = problem.fill_W(H, None)
    assert value == pytest.approx(problem.objective(Wt, H), rel=1e-4)
    assert exact <= value < 1.02 * exact


@pytest.mark.parametrize(
    "tol, ends_in", [(1e-3, np.float32), (1e-4, np.float32), (5e-5, np.float64)]
)
def test_a_draft_that_reaches_tol_goes_on_where_single_precision_does_not_tell_it(tol, ends_in):
    seen, value = [], [1.0]

    def step(first, second, safe, valued=False):
        F = second.copy()
        seen.append(F.dtype)
        value[0] *= 0.9
        return F, 0.1 if len(seen) < 5 else 1e-5, value[0]

    start = [np.ones((1, 3)), np.ones((1, 2))]
    Wt, H, trace = alternate(
        step,
        lambda Wt, H, safe, valued: step(Wt, H, safe),
        start,
        tol=tol,
        max_iter=50,
        draft=True,
        evaluate=lambda Wt, H: value[0],
        rounding=lambda value, dtype: 0.0,
    )
    assert trace.stop == "converged" and seen[0] == np.float32 and seen[-1] == ends_in
    assert Wt.dtype == H.dtype == np.float64


def test_the_start_of_a_small_part_is_made_from_it_alone(rng):
    # SVDs of all samples would take as long as the fit.
    X = rng.gamma(0.5, size=(9000, 3)) @ rng.gamma(0.5, size=(3, 12))
    X += 0.01 * rng.random(X.shape)
    for data in (X, X.T, sparse.csr_array(X)):
        shapes = []

        def make(part, shapes=shapes):
            shapes.append(part.shape)
            return rng.random((3, part.shape[0])), rng.random((3, part.shape[1]))

        with Workers(1) as workers:
            problem = make_problem(
                data, None, Penalty(), workers, beta=2, multiplicative=False, missing="nan"
            )
            Wt, H, solved = coarse_start(problem, Start(make, data, 3))
        assert (Wt.shape, H.shape) == ((3, data.shape[0]), (3, data.shape[1]))
        assert solved.objective == pytest.approx(problem.objective(Wt, H), rel=1e-3)
        assert len(shapes) == 1 and 12 in shapes[0] and max(shapes[0]) < 9000 / 12
        W, H = (F.astype(np.float64) for F in (Wt.T, H))
        assert objective(data, W, H) < 0.01 * 0.5 * np.sum(X**2)


def test_a_start_is_made_once_and_turns_with_the_problem(rng):
    X, calls = rng.random((7, 5)), []

    def make(X):
        calls.append(X.shape)
        return rng.random((2, X.shape[0])), rng.random((2, X.shape[1]))

    start = Start(make, X, 2)
    part = start.transposed().of(np.array([1, 3]))
    assert [F.shape for F in part] == [(2, 2), (2, 7)] and calls == [(7, 2)]
    Wt, H = start.whole()
    turned = start.transposed()
    assert turned.whole()[0] is H and turned.whole()[1] is Wt
    assert_array_equal(turned.of(np.array([1, 3]))[0], H[:, [1, 3]])
    assert_array_equal(start.of(np.array([0, 6]))[0], Wt[:, [0, 6]])
    assert calls == [(7, 2), (7, 5)]


def tall_counts(n, noise=0):
    """A few kinds of rows, each many times: sums over rows are of equal numbers."""
    rng = np.random.default_rng(0)
    kinds = rng.random((3, 20)).argsort(axis=1)[:, :6]
    columns = kinds[rng.integers(3, size=n)]
    if noise:
        columns = np.where(
            rng.random(columns.shape) < noise, rng.integers(20, size=(n, 6)), columns
        )
    ones = np.ones(columns.size)
    return sparse.csr_array((ones, columns.ravel(), np.arange(0, columns.size + 1, 6)), (n, 20))


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_array.toarray])
@pytest.mark.parametrize("noise", [0, 0.2])
def test_a_draft_of_many_equal_rows_converges_as_well(form, noise):
    X = form(tall_counts(20_000, noise))
    options = {"init": "random", "random_state": 0, "tol": 1e-5, "max_iter": 2000}
    auto, plain = (NMF(3, solver=solver, **options).fit(X) for solver in ("auto", "cd"))
    assert auto.kkt_residual_ < 1e-4  # and no warning
    assert auto.reconstruction_err_ <= 1.001 * plain.reconstruction_err_ + 1e-2


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("outlier", [1e2, 1e5, 1e8])
def test_the_objective_never_rises_where_single_precision_sees_nothing_of_it(
    rng, counts, beta_loss, outlier
):
    counts[0, 0] = outlier
    X = sparse.csr_array(counts)
    auto, plain = (
        NMF(4, solver=solver, beta_loss=beta_loss, random_state=0, tol=1e-4, max_iter=3000).fit(X)
        for solver in ("auto", "cd")
    )
    assert np.all(np.diff(auto.objective_) <= 0)
    assert auto.objective_[-1] <= 1.02 * plain.objective_[-1]


def test_sums_over_many_rows_keep_their_digits_in_single_precision():
    # 300,000 equal terms: added one after the other in single precision they are off by 0.2 %.
    X = sparse.csr_array(np.full((300_000, 1), 0.1, dtype=np.float32))
    with Workers(1) as workers:
        (total,) = as_data(X).times_samples(np.full((1, 300_000), 0.7, np.float32), workers)
    assert total == pytest.approx(300_000 * 0.1 * 0.7, rel=3e-4)


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_objective_does_not_rise_where_precision_changes(beta_loss, form):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = form(rng.poisson(rng.random((200, 4)) @ rng.random((4, 60))).astype(float))
        options = {"beta_loss": beta_loss, "init": "random", "random_state": seed}
        model = NMF(5, tol=1e-4, max_iter=2000, **options).fit(X)
        assert np.all(np.diff(model.objective_) <= 0)


@pytest.mark.parametrize("case", ["dense", "sparse", "holes", "unstored"])
def test_coefficients_are_found_whatever_the_lengths_of_components(rng, counts, case):
    X, H = counts + (case == "dense"), rng.random((4, 80))
    if case == "holes":
        X[rng.random(X.shape) < 0.2] = np.nan
    X = X if case in ("dense", "holes") else sparse.csr_array(X)
    missing = "unstored" if case == "unstored" else "nan"
    lengths = 2.0 ** np.array([[20], [0], [-20], [3]])
    with Workers(1) as workers:
        problem = make_problem(
            X, None, Penalty(), workers, beta=1, multiplicative=False, missing=missing
        )
        start = np.ones((4, len(counts)))
        values = [problem.fill_W(h, start)[2] for h in (H, H * lengths)]
    assert values[1] == pytest.approx(values[0], rel=1e-10)


@pytest.mark.parametrize("wide", [False, True])
def test_a_good_start_is_left_in_double_precision(monkeypatch, rng, wide):
    X = rng.gamma(0.5, size=(600, 4)) @ rng.gamma(0.5, size=(4, 20)) + 0.1 * rng.random((600, 20))
    if wide:  # the good start is that from a part of the features
        seen = dtypes_of_steps(monkeypatch, X.T, max_iter=20)
    else:
        good = NMF(4, solver="cd", tol=1e-5, max_iter=2000, random_state=0)
        start = {"W": good.fit_transform(X), "H": good.components_}
        seen = dtypes_of_steps(monkeypatch, X, init="custom", start=start)
    # Only the half step that tells that.
    assert seen[0] == np.float32 and set(seen[1:]) == {np.dtype(np.float64)}


def test_a_rejected_iteration_leaves_the_accepted_pair_as_it_was():
    # The second iteration is the first that extrapolates, from a pair that is its last move too.
    Ws, objectives = iter([1.0, 2.0, 4.0]), iter([10.0, 11.0])

    def step_W(H, Wt, safe=False, valued=False):
        return np.full((2, 3), next(Ws)), 1.0, None

    def step_H(Wt, H, safe=False, valued=False):
        return np.full((2, 4), Wt[0, 0]), 1.0, next(objectives)

    start = [np.zeros((2, 3)), np.zeros((2, 4))]
    W, H, trace = alternate(step_W, step_H, start, tol=0, max_iter=2)
    assert trace.objective == [10.0, 10.0]
    assert_array_equal(W, np.full((2, 3), 1.0))
    assert_array_equal(H, np.full((2, 4), 1.0))
