"""Where the answer is known: one component, planted factors, data of full rank."""

from contextlib import nullcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from factorkit import NMF
from factorkit.datasets import make_low_rank_nonnegative

from ._reference import LOSSES, low_rank, objective


def normalized(H):
    return H / H.sum(axis=1, keepdims=True)


def matched(H, truth):
    """The rows of H in the order of the truth."""
    _, order = linear_sum_assignment(np.abs(truth[:, None] - H[None]).sum(axis=2))
    return H[order]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("init", ["nndsvd", "random"])
def test_one_frobenius_component_is_the_leading_singular_pair(rng, container, solver, init):
    X = low_rank(rng, 30, 12)
    U, S, Vt = np.linalg.svd(X)
    if solver == "mu" and init == "nndsvd":
        init = "nndsvda"
    nmf = NMF(1, init=init, solver=solver, tol=1e-12, max_iter=5000, random_state=0)
    W = nmf.fit_transform(container(X))
    assert_allclose(W @ nmf.components_, S[0] * np.outer(U[:, 0], Vt[0]), atol=1e-9 * S[0])
    assert nmf.objective_[-1] == pytest.approx(0.5 * np.sum(S[1:] ** 2), rel=1e-9)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_one_kullback_leibler_component_is_row_sum_times_column_sum(rng, container, solver):
    X = rng.poisson(1.0, size=(30, 12)).astype(float)
    nmf = NMF(1, beta_loss="kullback-leibler", solver=solver, init="random", random_state=0)
    W = nmf.fit_transform(container(X))
    expected = np.outer(X.sum(axis=1), X.sum(axis=0)) / X.sum()
    assert_allclose(W @ nmf.components_, expected, rtol=1e-12, atol=1e-12)


def test_one_itakura_saito_component_is_where_the_mean_ratio_is_one(rng):
    X = rng.gamma(2.0, size=(20, 8))
    nmf = NMF(1, beta_loss=0, tol=1e-10, max_iter=20_000, random_state=0)
    ratio = X / (nmf.fit_transform(X) @ nmf.components_)
    assert_allclose(ratio.mean(axis=0), 1, rtol=1e-7)
    assert_allclose(ratio.mean(axis=1), 1, rtol=1e-7)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_one_penalized_component_shrinks_the_singular_value(rng, alpha):
    # min over w, h of ½‖X − w h‖² + ½ m α‖w‖² + ½ n α‖h‖² thresholds σ at α √(n m), and the
    # penalties of the two factors are equal.
    X = low_rank(rng, 30, 12)
    n, m = X.shape
    S = np.linalg.svd(X, compute_uv=False)
    nmf = NMF(1, alpha_W=alpha, tol=1e-12, max_iter=5000)
    W, H = nmf.fit_transform(X), nmf.components_
    assert np.linalg.norm(W @ H) == pytest.approx(S[0] - alpha * np.sqrt(n * m), rel=1e-8)
    assert m * np.sum(W**2) == pytest.approx(n * np.sum(H**2), rel=1e-6)


@pytest.mark.parametrize("alpha, solver", [(1.05, "cd"), (2.0, "cd"), (1.05, "mu")])
def test_a_penalty_above_the_singular_value_leaves_nothing(rng, alpha, solver):
    X = low_rank(rng, 30, 12)
    alpha *= np.linalg.svd(X, compute_uv=False)[0] / np.sqrt(X.size)
    nmf = NMF(2, alpha_W=alpha, solver=solver, init="random", random_state=0, max_iter=2000)
    # Updates never reach zero: they say that they got no further.
    with pytest.warns(ConvergenceWarning) if solver == "mu" else nullcontext():
        W = nmf.fit_transform(X)
    assert np.isfinite(nmf.components_).all()
    assert np.abs(W @ nmf.components_).max() < 1e-2 * X.max()
    assert nmf.objective_[-1] == pytest.approx(0.5 * np.sum(X**2), rel=1e-3)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_separable_factors_are_recovered(seed, beta_loss):
    planted = make_low_rank_nonnegative(60, 40, 4, separable=True, random_state=seed)
    options = {"beta_loss": beta_loss, "tol": 1e-7, "max_iter": 5000}
    best = None
    for start in range(4):
        init = {"init": "nndsvd"} if start == 0 else {"init": "random", "random_state": start}
        nmf = NMF(4, **init, **options).fit(planted.data)
        if best is None or nmf.objective_[-1] < best.objective_[-1]:
            best = nmf
        if best.reconstruction_err_ < 1e-3 * np.linalg.norm(planted.data):
            break
    truth = normalized(planted.H)
    assert_allclose(matched(normalized(best.components_), truth), truth, atol=1e-3)


@pytest.mark.parametrize("missing_fraction", [0.2, 0.5])
@pytest.mark.parametrize("container", ["dense", "unstored"])
def test_a_planted_matrix_is_completed(missing_fraction, container):
    planted = make_low_rank_nonnegative(
        60, 40, 2, missing_fraction=missing_fraction, random_state=1
    )
    X, options = planted.data, {}
    if container == "unstored":
        hole = np.isnan(X)
        i, j = np.nonzero(~hole)
        X = sparse.coo_array((X[i, j], (i, j)), shape=X.shape)
        options = {"missing": "unstored"}
    nmf = NMF(2, tol=1e-7, max_iter=5000, init="random", random_state=0, **options)
    fitted = nmf.fit_transform(X) @ nmf.components_
    truth = planted.W @ planted.H
    assert_allclose(fitted, truth, atol=1e-3 * truth.max())


def test_as_many_components_as_features_reproduce_the_data(rng):
    X = rng.random((12, 5))
    nmf = NMF(tol=1e-8, max_iter=5000)
    assert_allclose(nmf.fit_transform(X) @ nmf.components_, X, atol=1e-4)
    assert nmf.n_components_ == 5


def test_more_components_than_either_side_reproduce_the_data(rng):
    X = rng.random((6, 5))
    nmf = NMF(9, tol=1e-8, max_iter=5000, random_state=0)
    assert_allclose(nmf.fit_transform(X) @ nmf.components_, X, atol=1e-4)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_the_planted_factors_are_a_fixed_point(beta_loss):
    planted = make_low_rank_nonnegative(30, 20, 3, random_state=0)
    nmf = NMF(3, init="custom", beta_loss=beta_loss)
    W = nmf.fit_transform(planted.data, W=planted.W, H=planted.H)
    assert nmf.n_iter_ == 1
    assert_allclose(W @ nmf.components_, planted.data, rtol=1e-7)


def test_disjoint_blocks_are_the_components():
    X = np.zeros((9, 6))
    for t in range(3):
        X[3 * t : 3 * t + 3, 2 * t : 2 * t + 2] = t + 1
    nmf = NMF(3, tol=1e-10, max_iter=1000)
    W = nmf.fit_transform(X)
    assert_array_equal(np.sort((W > 1e-8).sum(axis=0)), 3)
    assert objective(X, W, nmf.components_) < 1e-12
