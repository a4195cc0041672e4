"""Products of CSR matrices with padded factors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit.utils._sparse_kernels import (
    csr_products,
    csr_transposed_products,
    padded_rows,
    padded_width,
)
from factorkit.utils._vector_ir import VECTOR_BYTES


def product(X, F, kernel=csr_products, rows=None):
    out = np.full((len(F), X.shape[0]), -1, dtype=F.dtype)
    start, stop = rows or (0, X.shape[0])
    kernel(X.indptr, X.indices, X.data, padded_rows(F), out, start, stop)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
# Every way to sum up vectors of 1, 2, 4 and 8 registers, full and padded.
@pytest.mark.parametrize("k", [1, 4, 8, 9, 17, 33, 64, 65, 130, 250])
def test_products_are_those_of_scipy(rng, dtype, index, k):
    X = sparse.random_array((23, 40), density=0.2, rng=rng, dtype=dtype).tocsr()
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    F = rng.standard_normal((k, 40)).astype(dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-12
    assert_allclose(product(X, F), (X @ F.T).T, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("k", [3, 20])
def test_compiled_products_are_those_of_plain_python(rng, k):
    X = sparse.random_array((9, 12), density=0.3, rng=rng).tocsr()
    F = rng.standard_normal((k, 12))
    assert_allclose(product(X, F), product(X, F, csr_products.py_func), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("own, other", [(np.float32, np.float64), (np.float64, np.float32)])
def test_products_have_the_precision_of_the_factor(rng, own, other):
    X = sparse.random_array((23, 40), density=0.2, rng=rng, dtype=own).tocsr()
    F, Wt = rng.standard_normal((5, 40)).astype(other), rng.standard_normal((5, 23)).astype(other)
    rtol = 1e-5 if other == np.float32 else 1e-13
    assert_allclose(product(X, F), (X.astype(other) @ F.T).T, rtol=rtol, atol=rtol)
    expected = 1 + X.astype(other).T @ Wt.T
    assert_allclose(transposed_product(X, Wt)[:, :5], expected, rtol=rtol, atol=rtol)


def transposed_product(X, Wt, kernel=csr_transposed_products, rows=None):
    out = np.ones((X.shape[1], padded_width(len(Wt), Wt.dtype)), dtype=Wt.dtype)
    kernel(X.indptr, X.indices, X.data, Wt, out, *(rows or (0, X.shape[0])))
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("k", [1, 4, 8, 9, 17, 33, 64, 65, 130, 250])
def test_transposed_products_add_those_of_scipy(rng, dtype, index, k):
    X = sparse.random_array((23, 40), density=0.2, rng=rng, dtype=dtype).tocsr()
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    Wt = rng.standard_normal((k, 23)).astype(dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-12
    out = transposed_product(X, Wt, rows=(2, 20))
    assert_allclose(out[:, :k], 1 + X[2:20].T @ Wt[:, 2:20].T, rtol=rtol, atol=rtol)
    assert_array_equal(out[:, k:], 1)


@pytest.mark.parametrize("k", [3, 20])
def test_compiled_transposed_products_are_those_of_plain_python(rng, k):
    X = sparse.random_array((9, 12), density=0.3, rng=rng).tocsr()
    Wt = rng.standard_normal((k, 9))
    plain = transposed_product(X, Wt, csr_transposed_products.py_func)
    assert_allclose(transposed_product(X, Wt), plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_rows", [15, 16, 17, 48, 50])
def test_rows_leave_in_groups_and_none_is_left_behind(rng, n_rows):
    X = sparse.random_array((n_rows, 12), density=0.3, rng=rng).tocsr()
    F = rng.standard_normal((11, 12))
    assert_allclose(product(X, F), (X @ F.T).T, rtol=1e-12, atol=1e-14)
    out = product(X, F, rows=(3, n_rows - 2))
    assert_array_equal(out[:, :3], -1)
    assert_array_equal(out[:, -2:], -1)
    assert_allclose(out[:, 3:-2], (X @ F.T).T[:, 3:-2], rtol=1e-12, atol=1e-14)


def test_only_the_rows_asked_for_are_written_and_empty_rows_are_zero(rng):
    X = np.eye(6, 5)
    F = rng.random((3, 5))
    out = product(sparse.csr_array(X), F, rows=(2, 6))
    assert_array_equal(out[:, :2], -1)
    assert_array_equal(out[:, 2:], (X @ F.T).T[:, 2:])
    assert_array_equal(out[:, 5], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 8, 9])
def test_factors_are_padded_with_zeros_to_whole_vectors(rng, dtype, k):
    F = rng.random((k, 7)).astype(dtype)
    padded = padded_rows(F)
    assert padded.dtype == dtype and padded.flags.c_contiguous
    assert padded.shape[1] * padded.itemsize % VECTOR_BYTES == 0
    assert_array_equal(padded[:, :k], F.T)
    assert_array_equal(padded[:, k:], 0)
