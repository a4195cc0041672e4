"""Singular triplets for starts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit.nmf._svd import leading_triplets
from factorkit.utils._threads import Workers


def low_rank(rng, shape, rank, noise=0.01):
    n, m = shape
    X = rng.gamma(0.5, size=(n, rank)) * np.logspace(0, -1, rank) @ rng.gamma(0.5, size=(rank, m))
    X = np.where(np.quantile(X, 0.5) > X, 0, X)
    return X + noise * rng.random(shape) * (X > 0)


@pytest.mark.parametrize("unit", [1e-100, 1.0, 1e150])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(340, 420), (420, 340), (50, 400), (400, 50)])
def test_triplets_are_those_of_a_full_decomposition(rng, shape, form, unit):
    X = low_rank(rng, shape, 6)
    with Workers(1) as workers:
        Ut, S, Vt = leading_triplets(form(X * unit), 5, np.random.RandomState(0), workers)
    U, exact, V = np.linalg.svd(X, full_matrices=False)
    assert_allclose(S / unit, exact[:5], rtol=2e-3)
    assert_allclose(Ut @ Ut.T, np.eye(5), atol=1e-5)
    assert_allclose(Vt @ Vt.T, np.eye(5), atol=1e-5)
    best = U[:, :5] * exact[:5] @ V[:5]
    assert np.linalg.norm(Ut.T * (S / unit) @ Vt - best) < 0.02 * np.linalg.norm(best)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_what_x_lacks_is_zero(rng, form):
    X = rng.random((350, 2)) @ rng.random((2, 360))
    for rank, data in ((2, X), (0, 0 * X)):
        with Workers(1) as workers:
            Ut, S, Vt = leading_triplets(form(data), 4, np.random.RandomState(0), workers)
        assert Ut.shape == (4, 350) and Vt.shape == (4, 360)
        assert_array_equal(S > 0, np.arange(4) < rank)
        assert_array_equal(Ut[rank:], 0)
        assert_array_equal(Vt[rank:], 0)
        assert_allclose(Ut.T * S @ Vt, data, atol=1e-4)


def test_threads_change_no_bit(rng):
    X = sparse.csr_array(low_rank(rng, (3000, 500), 8))
    results = []
    for n_jobs in (1, 2):
        with Workers(n_jobs) as workers:
            results.append(leading_triplets(X, 6, np.random.RandomState(0), workers))
    for one, two in zip(*results, strict=True):
        assert_array_equal(one, two)
