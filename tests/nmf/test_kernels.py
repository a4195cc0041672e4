"""Compiled loops do what their plain Python does, and the plain Python what the formulas say."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import xlogy

from factorkit.nmf import _kl_kernels, _kl_newton, _weighted_kernels
from factorkit.nmf._graph import sweep_graph
from factorkit.nmf._kl import _value_sums
from factorkit.nmf._rows import DenseRows
from factorkit.utils._sparse_kernels import padded_rows

from ._reference import divergence


@pytest.fixture
def data(rng):
    X = rng.poisson(1.5, size=(6, 9)).astype(float)
    X[1, :7] = 0  # a row that is compressed, and one that is not
    X[2] += 1
    return X, 0.5 + rng.random((3, 6)), 0.5 + rng.random((3, 9))


def both(kernel, *arguments, out=(), rtol=1e-11):
    """What a kernel and its plain function return and write."""
    results = []
    for function in (kernel, kernel.py_func):
        own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        returned = function(*own)
        returned = returned if isinstance(returned, tuple) else (returned,)
        results.append([r for r in (*returned, *(own[i] for i in out)) if r is not None])
    for compiled, plain in zip(*results, strict=True):
        assert_allclose(compiled, plain, rtol=rtol, atol=1e-13)
    return results[0]


def padded(H):
    """H and its transpose as the sweeps take them."""
    return H, padded_rows(H, zero_rows=1)


@pytest.mark.parametrize("l1, l2", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.2, 0.3)])
@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_kullback_leibler_sweeps(data, l1, l2, safe, form):
    X, W, H = data
    base = H.sum(axis=1, keepdims=True)
    options = (l1, l2, 1e-30, 1.0, safe, 2, True)
    if form == "dense":
        arguments = (X, W.T @ H, W, *padded(H), base, 0, *options)
        moved, value, apart, W_new = both(_kl_kernels.sweep_dense_rows, *arguments, out=[2])
    else:
        S = sparse.csr_array(X)
        arguments = (S.indptr, S.indices, S.data, W, padded(H)[1], base, 0, 6, *options)
        moved, value, apart, W_new = both(_kl_kernels.sweep_csr_rows, *arguments, out=[3])
    assert value == pytest.approx(divergence(X, W_new.T @ H, 1).sum(), rel=1e-10)
    # A difference where the zeros' part of the model is what the nonzeros leave of the sum.
    compressed = np.arange(6) == 1 if form == "dense" else np.ones(6, bool)
    assert apart == pytest.approx((W_new.T @ base)[compressed].sum(), rel=1e-10)

    def total(W):
        penalty = l1 * W.sum() + 0.5 * l2 * np.sum(W**2)
        return divergence(X, W.T @ H, 1).sum() + penalty

    assert moved > 0 and W_new.min() >= 0 and total(W_new) < total(W)


@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_one_kullback_leibler_component_is_solved_in_one_step(data, l2):
    # Where only one component is there, 1/r is affine and the step solves r(w) = a + l2 w.
    X, W, H = data
    W, H = 100 * W[:1].copy(), H[:1].copy()
    base = H.sum(axis=1, keepdims=True)
    options = (0.0, l2, 1e-30, 1.0, False, 1, False)
    _kl_kernels.sweep_dense_rows(X, W.T @ H, W, *padded(H), base, 0, *options)
    assert_allclose(W[0] * (base[0] + l2 * W[0]), X.sum(axis=1), rtol=1e-10)


def exact_divergence(x, y):
    """x log(x / y) − x + y to 40 digits."""
    with localcontext(prec=40):
        x, y = Decimal(float(x)), Decimal(float(y))
        return float(x * (x / y).ln() - x + y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divergence_keeps_its_digits_at_any_ratio(rng, dtype):
    x = 10 ** rng.uniform(-12, 12, 600)
    ratio = 10 ** rng.uniform(-9, 9, 600)
    ratio[:200] = rng.uniform(0.4, 2.5, 200)
    ratio[200:400] = 1 + 10 ** rng.uniform(-6, -1, 200)
    x, y = x.astype(dtype), (x * ratio).astype(dtype)
    # Each by itself, or the large ones would hide the small ones.
    values = [_kl_kernels.divergence_sum(x[j : j + 1], y[j : j + 1]) for j in range(len(x))]
    expected = [exact_divergence(*pair) for pair in zip(x, y, strict=True)]
    assert_allclose(values, expected, rtol=10 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 2500])
def test_divergence_of_many_entries(rng, dtype, n):
    # No whole vectors; without x or y a term has no logarithm.
    x, y = rng.poisson(0.7, size=n).astype(dtype), (0.1 + rng.random(n)).astype(dtype)
    y[::7] = 0
    known = (x > 0) & (y > 0)
    expected = y - x.astype(float)
    expected[known] = divergence(x[known], y[known], 1)
    (value,) = both(_kl_kernels.divergence_sum, x, y, rtol=4 * np.finfo(dtype).eps)
    assert value == pytest.approx(expected.sum(), rel=10 * float(np.finfo(dtype).eps))
    assert both(_kl_kernels.divergence_sum, x, x) == [0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_entries_and_their_weights(rng, dtype):
    # More entries than are taken at a time.
    x = rng.poisson(0.7, size=70_000).astype(dtype)
    v = rng.random(70_000).astype(dtype)
    v[:100] = 0
    assert_allclose(both(_kl_kernels.positive_sums, x), [x.sum(), np.count_nonzero(x)], rtol=1e-12)
    assert _value_sums(x, None) == (0, x.sum(), np.count_nonzero(x))
    wide = v.astype(float)
    expected = xlogy(x * wide, wide).sum(), x @ wide, wide[x > 0].sum()
    assert_allclose(_value_sums(x, v), expected, rtol=1e-12)
    assert_array_equal(_value_sums(x, np.zeros_like(x)), 0)


def test_counts_in_double_are_swept_in_single_precision(data):
    X, W, H = data
    S = sparse.csr_array(X)
    base = H.sum(axis=1, keepdims=True)
    results = []
    for dtype in (np.float32, np.float64):
        w, b, tall = W.astype(dtype), base.astype(dtype), padded(H.astype(dtype))[1]
        options = (*(dtype(number) for number in (0, 0, 1e-12, 1)), False, 2, True)
        parts = (S.indptr, S.indices, S.data)
        results.append((*_kl_kernels.sweep_csr_rows(*parts, w, tall, b, 0, 6, *options), w))
    for single, double in zip(*results, strict=True):
        assert_allclose(single, double, rtol=2e-5)


def test_kullback_leibler_derivatives(data):
    X, W, H = data
    S = sparse.csr_array(X)
    rows = np.arange(6)
    parts = (rows, S.indptr, S.indices, S.data, W.T.copy(), H.T.copy(), 1e-30)
    R, Q = both(_kl_newton._csr_derivatives, *parts)
    Y = W.T @ H
    assert_allclose(R, (X / Y) @ H.T, rtol=1e-12)
    assert_allclose(Q, np.einsum("ij,tj,uj->itu", X / Y**2, H, H), rtol=1e-12)


def test_the_best_part_of_a_step_is_a_minimum_on_its_line(data):
    X, W, H = data
    Y, U = W.T @ H, np.random.default_rng(1).standard_normal((3, 6)).T @ H
    slope, curve = U.sum(axis=1), np.zeros(6)
    (parts,) = both(_kl_newton._dense_parts, X, Y, U, slope, curve)
    for x, y, u, s in zip(X, Y, U, parts, strict=True):
        assert 0 < s <= 1

        def value(s, x=x, y=y, u=u):
            new = np.where(x > 0, y + s * u, 1)
            inside = np.all(new > 0)
            return np.sum(s * u) - np.sum(x * np.log(new)) if inside else np.inf

        downhill = value(1e-6) < value(0)
        if downhill:
            grid = min(value(t) for t in np.linspace(0, 1, 200))
            assert value(s) <= grid + 1e-3 * abs(value(0) - grid)


def test_weighted_sweeps_descend_and_tell_the_value(data, rng):
    X, W, H = data
    V = rng.random(X.shape)
    Q = np.einsum("ij,tj,uj->itu", V, H, H)
    A = H @ (V * X).T
    arguments = (Q, A, W, 0, 0.2, 0.3, 3, 0.0)
    moved, value, W_new, Q_after = both(_weighted_kernels.sweep_rows, *arguments, out=[2, 0])

    def total(W):
        return 0.5 * np.einsum("ti,itu,ui->", W, Q, W) - np.sum(A * W)

    assert value == pytest.approx(total(W_new), rel=1e-12)
    assert_allclose(Q_after, Q, rtol=1e-12)
    penalized = [total(w) + 0.2 * w.sum() + 0.15 * np.sum(w**2) for w in (W, W_new)]
    assert penalized[1] < penalized[0] and moved > 0


@pytest.mark.parametrize("weighted", [False, True])
def test_gram_matrices_of_stored_entries(data, rng, weighted):
    X, _, H = data
    S = sparse.csr_array(X)
    v = rng.random(S.nnz) if weighted else np.ones(1)
    arguments = (S.indptr, S.indices, S.data, v, H.T.copy(), 1, 5)
    Q, A = both(_weighted_kernels.csr_grams, *arguments)
    V = sparse.csr_array((np.broadcast_to(v, S.nnz), S.indices, S.indptr), S.shape).toarray()
    assert_allclose(Q, np.einsum("ij,tj,uj->itu", V[1:5], H, H), rtol=1e-12)
    assert_allclose(A, H @ (V * X)[1:5].T, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_holes_are_filled_with_the_model_and_do_not_count(data, rng, weighted):
    X, W, H = data
    X[0, 3] = X[4, 4] = np.nan
    Y = W.T @ H
    V = rng.random(X.shape) if weighted else np.empty((0, 0))
    v = V / 2 if weighted else np.ones(X.shape)
    (filled,) = both(_weighted_kernels.fill_block, X, Y, V, 2.0, out=[1])
    known = ~np.isnan(X)
    assert_allclose(filled, np.where(known, Y + v * (np.nan_to_num(X) - Y), Y), rtol=1e-12)
    (error,) = both(_weighted_kernels.weighted_error, X, Y, V)
    v = V if weighted else np.ones(X.shape)
    assert error == pytest.approx(np.sum((v * (X - Y) ** 2)[known]), rel=1e-12)


def test_graph_sweeps_descend(data):
    X, W, H = data
    S = sparse.csr_array(np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1))
    degrees, smoothing = np.asarray(S.sum(axis=1)).ravel(), np.array([0.5, 1.0, 2.0])
    L = np.diag(degrees) - S.toarray()
    A, G = X @ H.T, H @ H.T
    arguments = (W.T.copy(), A, G, 0.1, S.indptr, S.indices, S.data, degrees, smoothing)
    moved, new = both(sweep_graph, *arguments, out=[0])

    def value(W):
        smooth = sum(s * w @ L @ w for s, w in zip(smoothing, W.T, strict=True))
        return 0.5 * np.sum((W @ G) * W) - np.sum(A * W) + 0.1 * W.sum() + 0.5 * smooth

    assert moved > 0 and value(new) < value(W.T)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("writeable", [True, False])
def test_blocks_of_rows_and_of_columns_are_what_they_were(rng, order, writeable):
    X = np.asarray(rng.random((37, 21)), order=order)
    expected = X.copy()
    X.flags.writeable = writeable
    rows = DenseRows(X)
    for start, stop in ((0, 37), (5, 22)):
        block, _ = rows.block(start, stop)
        assert block.flags.c_contiguous and block.flags.writeable
        assert_array_equal(block, expected[start:stop])
    for start, stop in ((0, 21), (3, 19)):
        block, _ = rows.T.raw_block(start, stop)
        assert block.flags.c_contiguous and block.flags.writeable
        assert_array_equal(block, expected.T[start:stop])
