"""Sums in float64 whatever the dtype, and Gram matrices of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit.utils._gram_kernels import gram_single
from factorkit.utils._linalg import (
    _inner,
    gram,
    inner,
    products_at,
    row_grams,
    scale_rows,
    squared_distance,
    squared_norm,
)


def test_inner_products_of_float32_are_summed_in_float64():
    # Above 2^24 float32 can't count: a sum in float32 stays there.
    ones = np.ones((5, 4_000_000), dtype=np.float32)
    assert inner(ones, ones) == 20_000_000
    assert squared_norm(ones) == 20_000_000
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 300, 7)).astype(np.float32)
    exact = np.sum(A.astype(float) * B.astype(float))
    assert inner(A, B) == pytest.approx(exact, rel=1e-12)
    assert inner(A.astype(float), B) == pytest.approx(exact, rel=1e-12)
    assert inner(A.T, B.T) == pytest.approx(exact, rel=1e-12)
    assert _inner.py_func(A.ravel(), B.ravel()) == pytest.approx(exact, rel=1e-12)


def test_inner_products_of_transposed_arrays_pair_the_right_entries(rng):
    A, B = rng.random((4, 6)), rng.random((6, 4))
    assert inner(A, B.T) == pytest.approx(np.sum(A * B.T))


@pytest.mark.parametrize("dtypes", [("f4", "f4"), ("f8", "f4"), ("f8", "f8")])
def test_squared_distances_pair_the_right_entries_in_float64(rng, dtypes):
    A, B = (rng.random((6, 40)).astype(dtype) for dtype in dtypes)
    exact = np.sum((A.astype(float) - B) ** 2)
    read_only = np.asfortranarray(A)
    read_only.flags.writeable = False
    for first in (A, read_only, np.repeat(A, 2, axis=1)[:, ::2]):
        assert squared_distance(first, B) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (3, 40), (4, 256), (5, 300), (9, 1000), (17, 61)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_gram_matrix_of_float32_is_summed_in_float64(rng, shape, order):
    H = np.asarray(rng.standard_normal(shape), dtype=np.float32, order=order)
    G = gram(H)
    assert G.dtype == np.float64
    assert_array_equal(G, G.T)
    exact = H.astype(np.float64) @ H.T.astype(np.float64)
    assert_allclose(G, exact, atol=2e-7 * exact.max())
    plain = gram_single.py_func(np.ascontiguousarray(H))
    assert_allclose(plain, G, atol=1e-6 * exact.max())


def test_rounding_of_a_gram_matrix_does_not_add_up():
    # Ones by the million: a sum in single precision would stand still at 2^24.
    H = np.ones((2, 2**25), dtype=np.float32)
    assert_array_equal(gram(H), 2.0**25)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_gram_matrices_of_rows_are_weighted_sums_of_outer_products(rng, k):
    V, H = rng.random((9, 13)), rng.random((k, 13))
    expected = np.einsum("ij,tj,uj->itu", V, H, H)
    assert_allclose(row_grams(V, H), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_scaled_in_their_dtype(rng, dtype):
    X = (rng.random((6, 4)) * (rng.random((6, 4)) > 0.5)).astype(dtype)
    X[2] = 0
    scale = rng.random(6)
    expected = X * scale.astype(dtype)[:, None]
    for scaled in (scale_rows(X, scale), scale_rows(sparse.csr_array(X), scale).toarray()):
        assert scaled.dtype == dtype
        assert_allclose(scaled, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_at_entries_are_those_of_the_whole_product(rng, dtype):
    Wt, H = rng.random((3, 7)).astype(dtype), rng.random((3, 5)).astype(dtype)
    rows, columns = np.array([6, 0, 0, 3]), np.array([4, 1, 1, 2])
    given = products_at(Wt, H, rows, columns)
    assert given.dtype == dtype
    assert_allclose(given, (Wt.T @ H)[rows, columns], rtol=1e-5 if dtype == np.float32 else 1e-12)
