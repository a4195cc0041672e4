"""non_negative_factorization is NMF as a function."""

import inspect

import numpy as np
import pytest
import sklearn.decomposition
from numpy.testing import assert_array_equal

from factorkit import NMF, non_negative_factorization

from ._reference import LOSSES, low_rank, nnls_rows


@pytest.fixture
def X(rng):
    return low_rank(rng, 20, 8)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_it_gives_what_the_estimator_gives(X, beta_loss):
    options = {"beta_loss": beta_loss, "init": "random", "random_state": 0, "alpha_W": 0.01}
    W, H, n_iter = non_negative_factorization(X, n_components=3, max_iter=1000, **options)
    nmf = NMF(3, max_iter=1000, **options)
    assert_array_equal(W, nmf.fit_transform(X))
    assert_array_equal(H, nmf.components_)
    assert n_iter == nmf.n_iter_


def test_with_h_given_it_solves_for_w_alone(X, rng):
    H = rng.random((3, 8))
    W, H_out, n_iter = non_negative_factorization(X, H=H, n_components=3, update_H=False)
    assert H_out is H
    assert n_iter == 1
    expected = nnls_rows(X, H)
    np.testing.assert_allclose(W, expected, atol=1e-10 * expected.max())
    nothing, _, _ = non_negative_factorization(X, H=0 * H, n_components=3, update_H=False)
    assert_array_equal(nothing, 0)


def test_holes_are_holes_here_too(X, rng):
    H = rng.random((3, 8))
    X[2, 3] = np.nan
    W, _, _ = non_negative_factorization(X, H=H, update_H=False)
    expected = nnls_rows(X, H)
    np.testing.assert_allclose(W, expected, atol=1e-10 * expected.max())


def test_a_start_is_used_or_warned_of(X, rng):
    W, H = rng.random((20, 3)), rng.random((3, 8))
    options = {"tol": 0, "max_iter": 2}
    _, H_1, _ = non_negative_factorization(X, W=W, H=H, init="custom", **options)
    expected = NMF(3, init="custom", **options).fit(X, W=W, H=H).components_
    assert_array_equal(H_1, expected)
    with pytest.warns(RuntimeWarning, match="the provided initial W is not used"):
        non_negative_factorization(X, W=W, H=H, update_H=False)


@pytest.mark.parametrize(
    "H, error, message",
    [
        (np.ones((3, 7)), ValueError, "wrong second dimension"),
        (-np.ones((3, 8)), ValueError, "Negative values in data passed to NMF .input H"),
        (np.ones((3, 8), np.float32), TypeError, "H should have the same dtype as X"),
    ],
)
def test_an_h_that_does_not_fit_is_refused(X, H, error, message):
    with pytest.raises(error, match=message):
        non_negative_factorization(X, H=H, update_H=False)
    with pytest.raises(ValueError, match="tol"):
        non_negative_factorization(X, n_components=2, tol=-1)


def test_parameters_have_the_names_and_order_of_scikit_learn():
    ours = list(inspect.signature(non_negative_factorization).parameters)
    theirs = list(inspect.signature(sklearn.decomposition.non_negative_factorization).parameters)
    assert ours[: len(theirs)] == theirs
