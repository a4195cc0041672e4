"""An l1 penalty makes a choice among dependent components, and the exact rows make the best one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF

from ._reference import LOSSES, kkt_violation_in_W, low_rank, with_holes

CASES = ["dense", "sparse", "holes", "few observed", "weights"]


@pytest.fixture
def X(rng):
    return low_rank(rng)


def as_case(rng, X, case):
    """What is given, the same as a dense array, its weights, and how they are passed."""
    if case == "sparse":
        return sparse.csr_array(X), X, None, {}
    if case in ("holes", "few observed"):  # fewer than there are components, in the last case
        X = with_holes(rng, X, 0.2 if case == "holes" else 0.8)
        return X, X, None, {}
    if case == "weights":
        V = rng.random(X.shape) + 0.1
        return X, X, V, {"entry_weight": V}
    return X, X, None, {}


def fitted(X, H, **options):
    """An NMF with these components."""
    nmf = NMF(len(H), tol=0, max_iter=2, init="random", random_state=0, **options).fit(X)
    nmf.components_ = H
    return nmf


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("alpha", [0.0, 0.004, 0.02])
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_rows_of_transform_satisfy_the_optimality_conditions(X, rng, case, alpha, beta_loss):
    H = rng.gamma(1.0, size=(4, 25))
    H = np.vstack([0.5 * H[1], H, 2 * H[0], H[1] + H[2], H[3]])
    options = {"beta_loss": beta_loss, "alpha_W": alpha, "l1_ratio": 1.0}
    given, X, V, weights = as_case(rng, X, case)
    W = fitted(given, H, **options).transform(given, **weights)
    assert kkt_violation_in_W(X, W, H, beta_loss, alpha, 1.0, V) < 1e-8


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_rows_of_a_fit_satisfy_them_too(X, rng, case, beta_loss):
    H = rng.gamma(1.0, size=(4, 25))
    H = np.vstack([0.5 * H[1], H, 2 * H[0], H[1] + H[2], H[3]])
    options = {"beta_loss": beta_loss, "alpha_W": 0.01, "l1_ratio": 1.0}
    given, X, V, weights = as_case(rng, X, case)
    # A single iteration does not pull dependent components apart.
    nmf = NMF(8, init="custom", tol=0, max_iter=1, **options)
    W = nmf.fit_transform(given, W=rng.random((40, 8)), H=H, **weights)
    violation = kkt_violation_in_W(X, W, nmf.components_, beta_loss, 0.01, 1.0, V)
    assert violation < 1e-8


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_longer_of_two_collinear_components_explains_all(X, rng, order, weighted):
    h, alpha = rng.gamma(1.0, size=25), 0.01
    V = rng.random(X.shape) + 0.1 if weighted else np.ones(X.shape)
    nmf = fitted(X, np.array([h, 0.5 * h])[order], alpha_W=alpha, l1_ratio=1.0)
    W = nmf.transform(X, **({"entry_weight": V} if weighted else {}))
    expected = np.maximum((V * X) @ h - 25 * alpha, 0) / (V @ h**2)
    assert_allclose(W[:, order.index(0)], expected, rtol=1e-10)
    assert_array_equal(W[:, order.index(1)], 0)
