"""Data and arguments that broke a fit, or that it did not name."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning

from factorkit import NMF

from ._reference import LOSSES, low_rank, objective


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("k", [13, 20, 40])
def test_more_components_than_features_end_soon_and_as_well_as_the_loop(beta_loss, k):
    X = load_wine().data
    nmf = NMF(k, beta_loss=beta_loss, random_state=0)
    W = nmf.fit_transform(X)
    assert objective(X, W, np.maximum(nmf.components_, 1e-300), beta_loss) <= nmf.objective_[-1]


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("noise", [1e-2, 1e-4])
def test_float32_fits_as_well_as_float64(beta_loss, noise):
    rng = np.random.default_rng(0)
    X = rng.random((200, 3)) @ rng.random((3, 30)) + noise * rng.random((200, 30))
    values = []
    for dtype in (np.float64, np.float32):
        nmf = NMF(3, beta_loss=beta_loss, tol=1e-6, max_iter=5000, random_state=0)
        W = nmf.fit_transform(X.astype(dtype))
        values.append(objective(X.astype(dtype), W, nmf.components_, beta_loss))
        assert nmf.objective_[-1] == pytest.approx(values[-1], rel=0.02)
    # Rounding X to float32 alone changes the data by as much as the least noise does.
    assert values[1] == pytest.approx(values[0], rel=1e-3 if noise > 1e-3 else 0.1)


def test_the_penalty_of_components_that_died_is_gone():
    rng = np.random.default_rng(1)
    X = rng.random((60, 4)) @ rng.random((4, 20)) + 0.1 * rng.random((60, 20))
    options = {"alpha_W": 0.01, "alpha_H": 0.02, "l1_ratio": 1.0}
    values = []
    for seed in range(3):
        nmf = NMF(4, init="random", random_state=seed, tol=1e-7, max_iter=5000, **options)
        W = nmf.fit_transform(X)
        assert nmf.objective_[-1] == pytest.approx(objective(X, W, nmf.components_, **options))
        assert (nmf.components_ == 0).all(axis=1).any()
        values.append(nmf.objective_[-1])
    assert_allclose(values, values[0], rtol=1e-9)


@pytest.mark.parametrize("beta_loss", [2.0, 1.0, 0.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_whose_powers_are_no_numbers_are_refused(beta_loss, dtype):
    X = np.random.default_rng(0).random((6, 5)) + 0.1
    factors = (1e20, 1e-20) if dtype == np.float32 else (1e150, 1e-150)
    for factor in factors:
        with pytest.raises(ValueError, match=r"X has a largest value of .* Divide X by a constant"):
            NMF(2, beta_loss=beta_loss, solver="mu").fit((X * factor).astype(dtype))


def test_what_a_masked_array_masks_is_missing(rng):
    X = low_rank(rng)
    mask = rng.random(X.shape) < 0.2
    masked = NMF(3, random_state=0, max_iter=20, tol=0).fit(np.ma.array(X, mask=mask))
    holes = NMF(3, random_state=0, max_iter=20, tol=0).fit(np.where(mask, np.nan, X))
    assert_array_equal(masked.components_, holes.components_)


def test_starts_may_be_lists():
    X = np.random.default_rng(0).random((8, 5))
    W, H = np.ones((8, 2)), np.eye(2, 5) + 0.5
    given = NMF(2, init="custom", max_iter=5, tol=0).fit(X, W=W.tolist(), H=H.tolist())
    expected = NMF(2, init="custom", max_iter=5, tol=0).fit(X, W=W, H=H)
    assert_array_equal(given.components_, expected.components_)


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"sample_weight": 2}, "sample_weight must have shape .* Got 2"),
        ({"sample_weight": "balanced"}, "sample_weight must have shape"),
        ({"entry_weight": np.ones(5)}, "entry_weight must have the shape of X"),
    ],
)
def test_weights_of_another_kind_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        NMF(2).fit(np.ones((8, 5)), **weights)


@pytest.mark.parametrize("beta_loss", [np.nan, np.inf])
def test_a_beta_that_is_no_number_is_refused(beta_loss):
    with pytest.raises(ValueError, match="beta_loss"):
        NMF(2, beta_loss=beta_loss).fit(np.ones((8, 5)))


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_a_scale_that_nothing_holds_stays_in_range(beta_loss, holes):
    # Long after the minimum is reached extrapolation goes on, in the scale of the two factors.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.random((30, 20))
        X[rng.random(X.shape) < holes] = np.nan
        options = {"beta_loss": beta_loss, "init": "random", "random_state": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            long = NMF(1, tol=0, max_iter=1500, **options).fit(X)
        short = NMF(1, tol=1e-6, max_iter=1500, **options).fit(X)
        assert 1e-15 < long.components_.max() < 1e15
        assert_allclose(long.objective_[-1], short.objective_[-1], rtol=1e-9)
