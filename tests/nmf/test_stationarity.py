"""What `kkt_residual_` and `tol` measure for the Frobenius loss: steps in the unit of the data."""

import numpy as np
import pytest
from scipy import sparse

from factorkit import NMF
from factorkit.nmf._data import DenseData
from factorkit.nmf._graph import GraphProblem
from factorkit.nmf._penalty import Penalty
from factorkit.nmf._solvers import make_problem
from factorkit.utils._threads import Workers
from factorkit.utils._validation import check_weights

from ._reference import low_rank, with_holes

WORKERS = Workers(1)


def data_of(kind, rng):
    X = low_rank(rng, 30, 20, 3) + 0.1 * rng.random((30, 20))
    if kind == "sparse":
        return sparse.csr_array(X * (np.median(X) < X)), None
    if kind in ("few holes", "many holes"):
        return with_holes(rng, X, 0.2 if kind == "few holes" else 0.7), None
    return X, 0.1 + rng.random(X.shape) ** 3 if kind == "weights" else None


def problem_on(X, V):
    weight = None if V is None else check_weights(None, V, X, missing="nan")
    options = {"beta": 2, "multiplicative": False, "missing": "nan"}
    return make_problem(X, weight, Penalty(), WORKERS, **options)


def reference(X, V, Wt, H):
    """‖projected Newton step of each coordinate, times √curvature‖ / size, over W and over H."""
    X = X.toarray() if sparse.issparse(X) else X
    V = np.where(np.isnan(X), 0, 1 if V is None else V)
    X = np.nan_to_num(X)
    residuals = []
    V = V * np.ones(X.shape)
    for x, v, w, h in ((X, V, Wt.T, H), (X.T, V.T, H.T, Wt)):
        gradient, curvature = (v * (w @ h - x)) @ h.T, v @ np.square(h).T
        step = np.minimum(w, gradient / curvature)
        size = np.sqrt(np.sqrt(np.sum(V * X**2)) * np.sum(V * X) / np.sqrt(np.sum(V)))
        residuals.append(np.sqrt(np.sum(curvature * step**2)) / size)
    return residuals


@pytest.mark.parametrize("kind", ["dense", "sparse", "few holes", "many holes", "weights"])
def test_the_residual_is_a_projected_newton_step_in_the_unit_of_the_data(rng, kind):
    X, V = data_of(kind, rng)
    Wt, H = rng.random((4, 30)), rng.random((4, 20))

    def residuals(problem, Wt, H):
        return problem.residual_W(Wt, H), problem.residual_H(Wt, H)

    problem, expected = problem_on(X, V), pytest.approx(reference(X, V, Wt, H), rel=1e-9)
    assert residuals(problem, Wt, H) == expected
    # The problem that starts on columns measures by the same size.
    assert residuals(problem.transposed(), H, Wt)[::-1] == expected
    # Neither the unit of the data nor how a component's size is shared between W and H matters.
    share = 10.0 ** np.arange(-2, 2)[:, None]
    assert residuals(problem_on(1e3 * X, V), 1e3 * Wt / share, H * share) == expected


@pytest.mark.parametrize("kind", ["dense", "sparse", "few holes", "many holes", "weights"])
def test_the_loop_ends_at_the_same_residual_however_a_start_is_scaled(rng, kind):
    X, V = data_of(kind, rng)
    W, H = rng.random((30, 4)), rng.random((4, 20))
    share = np.array([1e-2, 1, 10, 1e3])
    ends = [
        NMF(4, init="custom", solver="cd", tol=1e-4, max_iter=5000).fit(X, W=w, H=h, entry_weight=V)
        for w, h in ((W, H), (W * share, H / share[:, None]))
    ]
    assert all(nmf.kkt_residual_ < 1e-3 for nmf in ends)
    assert ends[0].n_iter_ == ends[1].n_iter_
    assert ends[0].objective_[-1] == pytest.approx(ends[1].objective_[-1], rel=1e-6)


def test_what_is_left_is_small_beside_the_data_where_components_are_nearly_collinear(rng):
    # Spectra: all components are much alike, so W alone says little about the model.
    H = 1 + 0.01 * rng.random((5, 50))
    X = rng.dirichlet(np.ones(5), 300) @ H + 1e-4 * rng.random((300, 50))
    for tol in (1e-3, 1e-5):
        nmf = NMF(5, tol=tol, max_iter=5000).fit(X)
        lowest = NMF(5, tol=1e-7, max_iter=20_000).fit(X).objective_[-1]
        gap = nmf.objective_[-1] - lowest
        assert 0 <= gap < (10 * tol) ** 2 * 0.5 * np.sum(X**2)


@pytest.mark.parametrize("kind", ["dense", "sparse", "few holes", "many holes", "weights"])
def test_the_loop_measures_what_the_first_sweep_moves(rng, kind):
    X, V = data_of(kind, rng)
    Wt, H = rng.random((4, 30)), rng.random((4, 20))
    problem = problem_on(X, V)
    moved = [problem.step_W(H, Wt, max_sweeps=n, inner_tol=0.0)[1] for n in (1, 2, 10)]
    assert moved[0] > 0 and moved == pytest.approx([moved[0]] * 3, rel=1e-9)


def test_the_residual_over_a_graph_does_not_hang_on_how_sizes_are_shared(rng):
    X = low_rank(rng, 30, 20, 3)
    S = sparse.csr_array(np.diag(np.ones(29), 1) + np.diag(np.ones(29), -1))
    problem = GraphProblem(DenseData(X), Penalty(), WORKERS, S, 0.1)
    Wt, H = rng.random((3, 30)), rng.random((3, 20))
    share = np.array([[1e-2], [1.0], [1e3]])
    residual = problem.kkt_residual(Wt, H)
    assert residual > 1e-3
    assert problem.kkt_residual(Wt * share, H / share) == pytest.approx(residual, rel=1e-9)


def test_a_few_large_entries_do_not_hide_the_others(rng):
    # Of two blocks one has all of the norm; the other's fit still counts.
    X = np.zeros((60, 40))
    X[:30, :20] = rng.gamma(0.5, size=(30, 2)) @ rng.gamma(0.5, size=(2, 20))
    X[30:, 20:] = 0.05 * rng.poisson(1, (30, 20))
    X[0, 0] = 1e3
    nmf = NMF(5, init="random", random_state=0, max_iter=2000).fit(X)
    tight = NMF(5, init="random", random_state=0, max_iter=9999, tol=1e-6).fit(X)
    assert nmf.objective_[-1] < 1.02 * tight.objective_[-1]


def test_a_fit_ends_in_single_precision_only_at_a_tol_that_it_tells(rng):
    X = low_rank(rng, 200, 30, 4) + 0.1 * rng.random((200, 30))
    for tol, single in ((1e-3, True), (1e-5, False)):
        nmf = NMF(4, solver="auto", init="random", random_state=0, tol=tol, max_iter=2000).fit(X)
        assert np.array_equal(nmf.components_, nmf.components_.astype(np.float32)) == single
        assert nmf.kkt_residual_ <= 2 * tol
        W = nmf.transform(X)
        assert nmf.objective_[-1] >= 0.5 * np.sum((X - W @ nmf.components_) ** 2) * (1 - 1e-9)


def test_a_start_for_weighted_samples_is_theirs(rng):
    X, v = low_rank(rng, 50, 12, 3) + 0.05 * rng.random((50, 12)), rng.random(50) ** 4
    first = NMF(3, tol=1e-6, max_iter=9999).fit(X, sample_weight=v)
    W, H = first.transform(X), first.components_
    again = NMF(3, init="custom", max_iter=1, tol=1e-3).fit(X, W=W, H=H, sample_weight=v)
    assert again.objective_[0] <= first.objective_[-1] * (1 + 1e-9)
