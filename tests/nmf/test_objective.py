"""The objective is scikit-learn's, it never rises, and fits end at stationary points."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import NMF as SklearnNMF

from factorkit import NMF
from factorkit.nmf._penalty import Penalty
from factorkit.nmf._solvers import make_fit_problem, make_problem
from factorkit.utils._threads import Workers
from factorkit.utils._validation import check_weights

from ._reference import (
    LOSSES,
    beta_of,
    divergence,
    kkt_violation,
    kkt_violation_in_W,
    low_rank,
    objective,
    sklearn_objective,
    with_holes,
)

PENALTIES = {
    "none": {},
    "l2": {"alpha_W": 0.003},
    "l1": {"alpha_W": 0.003, "l1_ratio": 1.0},
    "mixed": {"alpha_W": 0.002, "alpha_H": 0.004, "l1_ratio": 0.4},
}
WORKERS = Workers(1)
BETAS = ["frobenius", "kullback-leibler", "itakura-saito", -0.5, 0.5, 1.5, 2.7]


@pytest.fixture
def X(rng):
    return low_rank(rng)


def problem_of(X, beta_loss, penalty, *, solver="cd", missing="nan", sample_weight=None, **weights):
    """The solver's problem, by the estimator's own way to it."""
    nmf = NMF(3, beta_loss=beta_loss, solver=solver, missing=missing, **penalty)
    X = nmf._validate_X(X, reset=True)
    v = check_weights(sample_weight, None, X)
    V = check_weights(None, weights.get("entry_weight"), X, missing=missing)
    penalty = nmf._penalty(X.shape[0] if v is None else v.sum(), X.shape[1])
    options = nmf._problem_options()
    if penalty.on_W:
        problem, scale = make_fit_problem(X, v, V, penalty, WORKERS, **options)
        assert scale is None
        return problem
    return make_problem(X, v if V is None else V, penalty, WORKERS, **options)


@pytest.mark.parametrize("beta_loss", BETAS)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_objective_is_that_of_scikit_learn(X, rng, beta_loss, penalty, container):
    X = X + 0.1 if beta_of(beta_loss) <= 0 else X
    solver = "cd" if beta_loss in LOSSES else "mu"
    Wt, H = rng.random((3, 40)), rng.random((3, 25))
    weights = {"alpha_W": 0.0, "alpha_H": "same", "l1_ratio": 0.0, **PENALTIES[penalty]}
    expected = sklearn_objective(X, Wt.T, H, beta_loss, **weights)
    assert expected == pytest.approx(objective(X, Wt.T, H, beta_loss, **weights), rel=1e-12)
    problem = problem_of(container(X), beta_loss, PENALTIES[penalty], solver=solver)
    assert problem.objective(Wt, H) == pytest.approx(expected, rel=1e-12)
    assert problem.loss(Wt, H) == pytest.approx(objective(X, Wt.T, H, beta_loss), rel=1e-12)


@pytest.mark.parametrize("beta_loss", [*LOSSES, "itakura-saito", 1.5])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_reconstruction_error_is_that_of_scikit_learn(X, beta_loss, container):
    X = X + 0.1
    nmf = NMF(3, beta_loss=beta_loss, alpha_W=0.002, tol=1e-2, max_iter=500, random_state=0)
    W = nmf.fit_transform(container(X))
    expected = np.sqrt(2 * objective(X, W, nmf.components_, beta_loss))
    assert nmf.reconstruction_err_ == pytest.approx(expected, rel=1e-8)


def variants(X, rng):
    holes = with_holes(rng, X)
    stored = sparse.csr_array(X)
    weight = rng.random(X.shape) + 0.1
    return {
        "dense": (X, {}, {}),
        "float32": (X.astype(np.float32), {}, {}),
        "sparse": (stored, {}, {}),
        "holes": (holes, {}, {}),
        "float32 holes": (holes.astype(np.float32), {}, {}),
        "many holes": (with_holes(rng, X, 0.7), {}, {}),
        "unstored": (stored, {"missing": "unstored"}, {}),
        "entry weights": (X, {}, {"entry_weight": weight}),
        "entry weights and holes": (holes, {}, {"entry_weight": weight}),
        "few large entry weights": (X, {}, {"entry_weight": weight**8}),
        "sample weights": (X, {}, {"sample_weight": weight[:, 0]}),
        "unstored, weighted": (stored, {"missing": "unstored"}, {"sample_weight": weight[:, 0]}),
    }


VARIANTS = list(variants(np.ones((2, 2)), np.random.default_rng(0)))


@pytest.mark.parametrize(
    "solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", b) for b in BETAS]
)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("init", ["random", None])
def test_the_objective_never_rises(X, solver, beta_loss, penalty, init):
    options = {"beta_loss": beta_loss, "solver": solver, "init": init, **PENALTIES[penalty]}
    nmf = NMF(4, tol=0, max_iter=40, random_state=0, **options).fit(X + 0.1 * (solver == "mu"))
    assert len(nmf.objective_) == nmf.n_iter_ > 1
    assert np.all(np.diff(nmf.objective_) <= 1e-12 * np.abs(nmf.objective_[:-1]))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("solver, beta_loss", [(s, b) for s in ("cd", "mu") for b in LOSSES])
@pytest.mark.parametrize("penalty", ["none", "mixed"])
def test_the_objective_never_rises_whatever_the_data(X, rng, variant, solver, beta_loss, penalty):
    data, parameters, weights = variants(X, rng)[variant]
    options = {"beta_loss": beta_loss, "solver": solver, **parameters, **PENALTIES[penalty]}
    nmf = NMF(4, init="random", tol=0, max_iter=30, random_state=0, **options)
    nmf.fit(data, **weights)
    # float32 factors can't say more of their objective than this.
    slack = 1e-6 if data.dtype == np.float32 else 1e-12
    assert np.isfinite(nmf.objective_).all()
    assert np.all(np.diff(nmf.objective_) <= slack * np.abs(nmf.objective_[:-1]))
    assert nmf.objective_[-1] < nmf.objective_[0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", 1.5)])
@pytest.mark.parametrize("penalty", ["none", "mixed"])
def test_half_steps_tell_the_objective_of_what_they_return(
    X, rng, variant, solver, beta_loss, penalty
):
    data, parameters, weights = variants(X, rng)[variant]
    problem = problem_of(
        data, beta_loss, PENALTIES[penalty], solver=solver, **parameters, **weights
    )
    V, v = weights.get("entry_weight"), weights.get("sample_weight")
    dense = data.toarray() if sparse.issparse(data) else data
    if parameters:  # missing="unstored"
        dense = np.where(dense > 0, dense, np.nan)
    rel = 2e-6 if data.dtype == np.float32 else 1e-11

    def check(value, Wt, H):
        expected = objective(dense, Wt.T, H, beta_loss, V=V, v=v, **PENALTIES[penalty])
        assert value == pytest.approx(expected, rel=rel)
        return expected

    Wt = (0.5 + rng.random((3, 40))).astype(data.dtype)
    H = (0.5 + rng.random((3, 25))).astype(data.dtype)
    before = check(problem.objective(Wt, H), Wt, H)
    Wt, residual, value = problem.step_W(H, Wt, safe=True, valued=True)
    assert check(value, Wt, H) < before and residual > 0
    before = value
    H, residual, value = problem.step_H(Wt, H, safe=True, valued=True)
    assert check(value, Wt, H) < before and residual > 0


@pytest.mark.parametrize(
    "beta, exponent",
    [(-1, 1 / 3), (0, 1 / 2), (0.5, 2 / 3), (1, 1), (1.5, 1), (2, 1), (3, 1 / 2), (4, 1 / 3)],
)
def test_multiplicative_steps_are_those_proven_monotone(X, rng, beta, exponent):
    # With other exponents the objective rises so rarely that no random test would see it.
    X, Wt, H = X + 0.1, rng.random((3, 40)), rng.random((3, 25))
    new, _, _ = problem_of(X, float(beta), {}, solver="mu").step_W(H, Wt)
    Y = Wt.T @ H
    ratio = (H @ (X * Y ** (beta - 2.0)).T) / (H @ (Y ** (beta - 1.0)).T)
    assert_allclose(new, Wt * ratio**exponent, rtol=1e-12)


@pytest.mark.parametrize(
    "solver, beta_loss", [("cd", b) for b in LOSSES] + [("auto", b) for b in BETAS]
)
def test_the_history_holds_the_objective_of_each_iteration(X, solver, beta_loss):
    seen = []
    nmf = NMF(3, solver=solver, beta_loss=beta_loss, tol=0, max_iter=8, random_state=0)
    nmf._validate_params()
    nmf._fit(X + 0.1, monitor=lambda trace, Wt, H: seen.append((Wt.T.copy(), H.copy())))
    values = [objective(X + 0.1, W, H, beta_loss) for W, H in seen]
    # "auto" has the first iterations in single precision, where there is coordinate descent.
    drafted = solver == "auto" and beta_loss in LOSSES
    assert_allclose(nmf.objective_, values, rtol=1e-5 if drafted else 1e-10)


@pytest.mark.parametrize("solver, beta_loss", [(s, b) for s in ("cd", "mu") for b in LOSSES])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_converged_fit_is_stationary(X, solver, beta_loss, penalty):
    # A start without zeros, since multiplicative updates can't leave them.
    nmf = NMF(
        3,
        beta_loss=beta_loss,
        solver=solver,
        init="random",
        random_state=0,
        tol=1e-8 if solver == "cd" else 1e-6,
        max_iter=30_000,
        **PENALTIES[penalty],
    )
    X = X + 0.1 if solver == "mu" else X
    W = nmf.fit_transform(X)
    weights = {"alpha_W": 0.0, "alpha_H": "same", **PENALTIES[penalty]}
    alphas = [weights["alpha_W"], weights["alpha_H"]]
    alphas[1] = alphas[0] if alphas[1] == "same" else alphas[1]
    ratio = weights.get("l1_ratio", 0.0)
    limit = 1e-5 if solver == "cd" else 1e-2
    in_W = kkt_violation_in_W(X, W, nmf.components_, beta_loss, alphas[0], ratio)
    in_H = kkt_violation_in_W(X.T, nmf.components_.T, W.T, beta_loss, alphas[1], ratio)
    assert max(in_W, in_H) < limit
    assert nmf.kkt_residual_ < limit


@pytest.mark.parametrize(
    "variant", ["holes", "many holes", "entry weights", "entry weights and holes"]
)
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_converged_fit_with_holes_or_weights_is_stationary(X, rng, variant, beta_loss):
    data, _, weights = variants(X, rng)[variant]
    nmf = NMF(3, beta_loss=beta_loss, random_state=0, init="random", tol=1e-5, max_iter=20_000)
    W = nmf.fit_transform(data, **weights)
    V = weights.get("entry_weight")
    assert kkt_violation(data, W, nmf.components_, beta_loss, V=V) < 1e-3
    assert nmf.kkt_residual_ < 1e-4


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_converged_fit_tells_a_residual_that_tol_bounds(X, beta_loss):
    for tol in (1e-2, 1e-3, 1e-5):
        nmf = NMF(4, beta_loss=beta_loss, tol=tol, max_iter=20_000).fit(X)
        assert nmf.kkt_residual_ <= 2 * tol


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_smaller_tol_means_a_lower_objective(X, beta_loss):
    ends = [
        NMF(4, beta_loss=beta_loss, init="random", random_state=0, tol=tol, max_iter=9999)
        .fit(X)
        .objective_[-1]
        for tol in (1e-1, 1e-3, 1e-6)
    ]
    assert ends[0] >= ends[1] >= ends[2]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # theirs
@pytest.mark.parametrize("beta_loss, theirs", [("frobenius", "cd"), ("kullback-leibler", "mu")])
@pytest.mark.parametrize("penalty", ["none", "mixed"])
def test_no_worse_optimum_than_scikit_learn_in_the_median(beta_loss, theirs, penalty):
    options = {"beta_loss": beta_loss, "init": "random", **PENALTIES[penalty]}
    ratios = []
    for seed in range(9):
        X = low_rank(np.random.default_rng(seed), 30, 20, 5)
        ours = NMF(5, random_state=seed, tol=1e-5, max_iter=3000, **options)
        sklearn = SklearnNMF(
            5, random_state=seed, solver=theirs, tol=1e-7, max_iter=3000, **options
        )
        weights = {"alpha_W": 0.0, "alpha_H": "same", "l1_ratio": 0.0, **PENALTIES[penalty]}
        values = [
            sklearn_objective(X, nmf.fit_transform(X), nmf.components_, beta_loss, **weights)
            for nmf in (ours, sklearn)
        ]
        ratios.append(values[0] / values[1])
    assert np.median(ratios) < 1.001


@pytest.mark.parametrize(
    "solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", b) for b in BETAS]
)
def test_an_l1_penalty_gives_exact_zeros_in_coordinate_descent(X, solver, beta_loss):
    options = {"beta_loss": beta_loss, "solver": solver, "init": "random", "random_state": 0}
    options |= {"tol": 1e-4, "max_iter": 5000}
    X = X + 0.1
    plain = NMF(4, **options)
    sparse_ = NMF(4, alpha_W=0.03, l1_ratio=1.0, **options)
    zeros = [
        np.mean(nmf.fit_transform(X) <= 1e-12 * X.max()) + np.mean(nmf.components_ <= 1e-12)
        for nmf in (plain, sparse_)
    ]
    if solver == "cd":
        assert np.mean(sparse_.components_ == 0) > np.mean(plain.components_ == 0)
        assert zeros[1] > zeros[0]
    else:
        assert sparse_.components_.sum() * sparse_.transform(X).sum() < (
            plain.components_.sum() * plain.transform(X).sum()
        )


def test_a_strong_l1_penalty_switches_a_component_off(X):
    nmf = NMF(4, alpha_W=0.1, l1_ratio=1.0, tol=1e-6, max_iter=3000)
    W = nmf.fit_transform(X)
    off = ~nmf.components_.any(axis=1)
    assert np.isfinite(nmf.objective_).all()
    assert_allclose(W[:, off], 0, atol=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("orientation", ["tall", "wide"])
@pytest.mark.parametrize("case", ["dense", "sparse", "holes", "weights"])
class TestStartsOnAPartOfTheSamples:
    """With many more samples than features the solver "auto" begins with some of them."""

    @staticmethod
    def data(rng, orientation, case):
        X = low_rank(rng, 240, 8, 3)
        X = np.ascontiguousarray(X.T) if orientation == "wide" else X
        weights = {"entry_weight": 0.5 + rng.random(X.shape)} if case == "weights" else {}
        X = with_holes(rng, X) if case == "holes" else X
        return sparse.csr_array(X) if case == "sparse" else X, weights

    def test_a_good_start_is_not_spoiled(self, rng, beta_loss, orientation, case):
        X, weights = self.data(rng, orientation, case)
        first = NMF(3, beta_loss=beta_loss, tol=1e-5, max_iter=5000, random_state=0)
        W = first.fit_transform(X, **weights)
        again = NMF(3, beta_loss=beta_loss, init="custom", tol=1e-3)
        again.fit(X, W=W, H=first.components_, **weights)
        assert again.objective_[0] <= first.objective_[-1] * (1 + 1e-9)
        assert again.n_iter_ <= 2

    def test_the_first_iteration_is_better_for_it(self, rng, beta_loss, orientation, case):
        X, weights = self.data(rng, orientation, case)
        options = {"beta_loss": beta_loss, "init": "random", "random_state": 0, "tol": 0}
        auto, plain = (NMF(3, solver=solver, max_iter=1, **options) for solver in ("auto", "cd"))
        auto.fit(X, **weights)
        assert auto.objective_[0] < 0.9 * plain.fit(X, **weights).objective_[0]


@pytest.mark.parametrize("dtype, noises", [(np.float32, [1e-5, 1e-2]), (np.float64, [1e-8, 1e-2])])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_reconstruction_error_of_a_good_fit_has_digits(rng, dtype, noises, container):
    for noise in noises:
        X = rng.random((120, 4)) @ rng.random((4, 40))
        X = (X * (1 + noise * rng.standard_normal(X.shape))).astype(dtype)
        if container is not np.asarray and noise < 1e-2:
            continue  # without residuals the error is a difference
        nmf = NMF(4, tol=0, max_iter=400, random_state=0)
        W = nmf.fit_transform(container(X))
        error = np.linalg.norm(X - W.astype(float) @ nmf.components_.astype(float))
        assert nmf.reconstruction_err_ == pytest.approx(error, rel=1e-2 if noise < 1e-2 else 1e-4)


@pytest.mark.parametrize("penalty", [{}, {"alpha_W": 0.01, "l1_ratio": 1.0}, {"alpha_W": 0.01}])
@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_residual_is_that_of_both_factors(X, penalty, beta_loss, container):
    nmf = NMF(3, beta_loss=beta_loss, init="random", random_state=0, tol=0, max_iter=3, **penalty)
    W, H = nmf.fit_transform(container(X)), nmf.components_
    with Workers(1) as workers:
        problem = nmf._own_problem(nmf._validate_X(container(X), reset=False), None, workers)
        residuals = problem.residual_W(W.T, H), problem.residual_H(np.ascontiguousarray(W.T), H)
    assert residuals[0] < 1e-6 < residuals[1]  # the exact W, and an H after three iterations
    assert nmf.kkt_residual_ == pytest.approx(residuals[1], rel=1e-6)
    error = np.sqrt(2 * divergence(X, W @ H, beta_of(beta_loss)).sum())
    assert nmf.reconstruction_err_ == pytest.approx(error, rel=1e-9)


def test_what_was_solved_for_serves_its_own_components_alone(X, rng):
    with Workers(1) as workers:
        problem = make_problem(
            X, None, Penalty(), workers, beta=2, multiplicative=False, missing="nan"
        )
        Wt, H, other = rng.random((3, len(X))), *rng.random((2, 3, X.shape[1]))
        expected = problem.certify(Wt, other)
        problem.solve_W_near(H, Wt)
        assert problem.certify(Wt, other) == expected
        assert problem.certify(Wt, H) != expected


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_model_of_zero_counts_as_next_to_nothing(form):
    X = np.array([[1.0, 2.0], [0.0, 3.0]])
    Wt, H = np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])
    with Workers(1) as workers:
        problem = make_problem(
            form(X), None, Penalty(), workers, beta=1, multiplicative=False, missing="nan"
        )
        floor = 1e-30 * 2.0
        expected = divergence(X, np.array([[floor, floor], [1.0, 1.0]]), 1).sum()
        assert problem.loss(Wt, H) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", ["nan", "unstored"])
def test_good_kullback_leibler_fits_of_sparse_data(rng, dtype, missing):
    X = (rng.random((60, 3)) @ rng.random((3, 40)) + 0.1).astype(dtype)
    for rows, k in ((60, 4), (1, 1)):
        nmf = NMF(k, beta_loss="kullback-leibler", missing=missing, tol=0, max_iter=60)
        W = nmf.fit_transform(sparse.csr_array(X[:rows]))
        expected = divergence(X[:rows], W.astype(float) @ nmf.components_.astype(float), 1).sum()
        assert nmf.objective_[-1] >= 0
        unit = float(np.finfo(dtype).eps * X[:rows].sum())
        assert nmf.reconstruction_err_**2 / 2 == pytest.approx(expected, rel=1e-2, abs=unit)
