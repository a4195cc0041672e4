"""What the factorization must not depend on: order, units, orientation, container, precision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF
from factorkit.datasets import make_low_rank_nonnegative

from ._reference import LOSSES, low_rank, objective, with_holes

METHODS = [("cd", b) for b in LOSSES] + [("mu", b) for b in (2, 1, 1.5)]
PENALTIES = [{}, {"alpha_W": 0.003, "alpha_H": 0.005, "l1_ratio": 0.4}]


@pytest.fixture
def X(rng):
    return low_rank(rng)


@pytest.fixture
def start(rng):
    return 0.5 + rng.random((40, 3)), 0.5 + rng.random((3, 25))


def fit(X, W, H, n_iter=None, **options):
    if n_iter is None:
        # Later iterations of coordinate Newton steps magnify rounding where the model of a count
        # vanishes.
        newton = options["beta_loss"] == "kullback-leibler" and options.get("solver") == "cd"
        n_iter = 1 if newton else 15
    nmf = NMF(len(H), init="custom", tol=0, max_iter=n_iter, **options)
    W = nmf.fit_transform(X, W=W.astype(X.dtype), H=H.astype(X.dtype))
    return W, nmf.components_, nmf.objective_


@pytest.fixture(scope="module")
def planted():
    return make_low_rank_nonnegative(30, 15, 2, noise=0.05, separable=True, random_state=0).data


def optimum(X, k=2, **options):
    nmf = NMF(k, tol=1e-8, max_iter=20_000, init="random", random_state=0, **options)
    W = nmf.fit_transform(X)
    return W, nmf.components_, nmf.objective_[-1]


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_permuted_rows_and_columns_permute_the_factors(X, start, rng, solver, beta_loss, penalty):
    # Samples, or features, that are swept together stop together: few enough for one such block on
    # every processor.
    X, W, H = X[:14, :12], start[0][:14], start[1][:, :12]
    rows, columns = rng.permutation(14), rng.permutation(12)
    options = {"solver": solver, "beta_loss": beta_loss, **penalty}
    W_0, H_0, values_0 = fit(X, W, H, **options)
    permuted = np.ascontiguousarray(X[rows][:, columns])
    W_1, H_1, values_1 = fit(permuted, W[rows], H[:, columns], **options)
    assert values_1[-1] == pytest.approx(values_0[-1], rel=1e-6)
    assert_allclose(W_1, W_0[rows], atol=1e-4 * W_0.max())
    assert_allclose(H_1, H_0[:, columns], atol=1e-4 * H_0.max())


@pytest.mark.parametrize("solver, beta_loss", METHODS)
def test_permuted_components_permute_the_optimum(planted, solver, beta_loss):
    rng = np.random.default_rng(0)
    W, H = 0.5 + rng.random((30, 2)), 0.5 + rng.random((2, 15))
    options = {"solver": solver, "beta_loss": beta_loss, "n_iter": 3000}
    W_0, H_0, _ = fit(planted, W, H, **options)
    W_1, H_1, _ = fit(planted, W[:, ::-1], H[::-1], **options)
    assert_allclose(W_1 @ H_1, W_0 @ H_0, atol=1e-4 * planted.max())


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("init", ["random", None])  # nndsvda and nndsvdar fill with the mean of X
def test_the_unit_of_the_data_is_that_of_the_model(X, solver, beta_loss, unit, container, init):
    fits = []
    for c in (1.0, unit):
        nmf = NMF(
            3,
            init=init,
            solver=solver,
            beta_loss=beta_loss,
            tol=1e-3,
            max_iter=2000,
            random_state=0,
        )
        W = nmf.fit_transform(container(c * X))
        fits.append((W @ nmf.components_ / c, nmf.n_iter_, nmf.kkt_residual_))
    assert fits[0][1] == fits[1][1]
    assert_allclose(fits[1][0], fits[0][0], atol=1e-6 * X.max())
    assert fits[1][2] == pytest.approx(fits[0][2], rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_unit_of_float32_data_is_that_of_the_model(X, beta_loss, unit):
    X = X.astype(np.float32)
    plain, scaled = (
        NMF(3, init="random", beta_loss=beta_loss, random_state=0, max_iter=5000)
        .fit(np.float32(c) * X)
        .reconstruction_err_
        for c in (1, unit)
    )
    power = 1 if beta_loss == "frobenius" else 0.5
    assert scaled / unit**power == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_transpose_swaps_the_factors(planted, beta_loss, penalty, container):
    W, H, value = optimum(container(planted), beta_loss=beta_loss, **penalty)
    if penalty:
        penalty = penalty | {"alpha_W": penalty["alpha_H"], "alpha_H": penalty["alpha_W"]}
    W_t, H_t, value_t = optimum(container(planted.T.copy()), beta_loss=beta_loss, **penalty)
    assert value_t == pytest.approx(value, rel=1e-5)
    assert_allclose((W_t @ H_t).T, W @ H, atol=1e-3 * planted.max())


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("penalty", [{"alpha_W": 0.003}, {"alpha_W": 0.003, "l1_ratio": 0.7}])
def test_giving_every_sample_twice_leaves_the_components(planted, beta_loss, penalty):
    W, H, value = optimum(planted, beta_loss=beta_loss, **penalty)
    W_2, H_2, value_2 = optimum(np.vstack([planted, planted]), beta_loss=beta_loss, **penalty)
    order = [0, 1] if np.abs(H_2 - H).max() < np.abs(H_2[::-1] - H).max() else [1, 0]
    assert_allclose(H_2[order], H, atol=2e-3 * H.max())
    assert_allclose(W_2[:30, order], W, atol=2e-3 * W.max())
    assert value_2 == pytest.approx(2 * value, rel=1e-5)


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_sparse_and_dense_data_give_the_same_factors(X, start, solver, beta_loss, penalty):
    options = {"solver": solver, "beta_loss": beta_loss, **penalty}
    dense = fit(X, *start, **options)
    stored = fit(sparse.csr_array(X), *start, **options)
    assert stored[2][-1] == pytest.approx(dense[2][-1], rel=1e-9)
    for a, b in zip(stored[:2], dense[:2], strict=True):
        assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def containers(X):
    """The same sparse data in every form it may come in."""
    csr = sparse.csr_array(X)
    wide = csr.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    order = np.concatenate(
        [np.arange(s, e)[::-1] for s, e in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)]
    )
    unsorted = sparse.csr_array((csr.data[order], csr.indices[order], csr.indptr), csr.shape)
    halves = sparse.csr_array(
        (np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), 2 * csr.indptr), csr.shape
    )
    zeros = csr.copy()
    zeros.data = np.where(zeros.data == zeros.data.min(), 0.0, zeros.data)
    read_only = csr.copy()
    for part in (read_only.data, read_only.indices, read_only.indptr):
        part.flags.writeable = False
    return {
        "csr_matrix": sparse.csr_matrix(X),
        "csc_array": sparse.csc_array(X),
        "csc_matrix": sparse.csc_matrix(X),
        "coo_array": sparse.coo_array(X),
        "lil_array": sparse.lil_array(X),
        "int64 indices": wide,
        "unsorted": unsorted,
        "duplicated": halves,
        "read-only": read_only,
    }


@pytest.mark.parametrize("form", containers(np.eye(2)))
@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("missing", ["nan", "unstored"])
def test_every_form_of_sparse_data_gives_the_same_bits(X, start, form, beta_loss, missing):
    given = containers(X)[form]
    before = given.copy()
    options = {"beta_loss": beta_loss, "missing": missing, "n_iter": 5}
    expected = fit(sparse.csr_array(X), *start, **options)
    for a, b in zip(fit(given, *start, **options), expected, strict=True):
        assert_array_equal(a, b)
    assert (given != before).nnz == 0  # untouched
    if hasattr(given, "indices"):
        assert_array_equal(given.indices, before.indices)


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("case", ["dense", "sparse", "holes"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_float32_reaches_the_objective_of_float64(X, rng, solver, beta_loss, case, penalty):
    X = with_holes(rng, X) if case == "holes" else X
    dense = X
    X = sparse.csr_array(X) if case == "sparse" else X
    options = {"solver": solver, "beta_loss": beta_loss, "init": "random", **penalty}
    values = []
    for dtype in (np.float32, np.float64):
        nmf = NMF(3, tol=1e-4, max_iter=5000, random_state=0, **options)
        W = nmf.fit_transform(X.astype(dtype))
        assert W.dtype == nmf.components_.dtype == dtype
        values.append(objective(dense, W, nmf.components_, beta_loss, **penalty))
        assert nmf.reconstruction_err_ == pytest.approx(
            np.sqrt(2 * objective(dense, W, nmf.components_, beta_loss)), rel=1e-3
        )
    assert values[0] == pytest.approx(values[1], rel=1e-3)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_float32_keeps_the_digits_of_a_good_fit(beta_loss):
    X = make_low_rank_nonnegative(60, 30, 3, separable=True, random_state=0).data
    nmf = NMF(3, beta_loss=beta_loss, tol=1e-6, max_iter=3000).fit(X.astype(np.float32))
    assert nmf.reconstruction_err_ < 1e-3 * np.linalg.norm(X)


@pytest.mark.parametrize("solver, beta_loss", METHODS)
def test_a_penalty_of_zero_is_no_penalty(X, start, solver, beta_loss):
    options = {"solver": solver, "beta_loss": beta_loss}
    plain = fit(X, *start, **options)
    for zero in (
        {"alpha_W": 0.0, "l1_ratio": 1.0},
        {"alpha_W": 0.0, "alpha_H": 0.0, "l1_ratio": 0.3},
    ):
        for a, b in zip(fit(X, *start, **options, **zero), plain, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_tiny_penalty_changes_little(planted, beta_loss):
    _, _, plain = optimum(planted, beta_loss=beta_loss)
    _, _, value = optimum(planted, beta_loss=beta_loss, alpha_W=1e-9)
    assert value == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize("beta_loss", [1.999999, 2.000001])
def test_the_loss_is_continuous_in_beta(X, start, beta_loss):
    near = fit(X + 0.1, *start, solver="mu", beta_loss=beta_loss)
    at = fit(X + 0.1, *start, solver="mu", beta_loss=2)
    assert_allclose(near[1], at[1], rtol=1e-3, atol=1e-5)


def test_names_and_numbers_of_a_loss_are_the_same(X):
    for name, beta in [("frobenius", 2), ("kullback-leibler", 1), ("itakura-saito", 0)]:
        options = {"tol": 0, "max_iter": 5, "random_state": 0}
        a, b = (NMF(3, beta_loss=loss, **options).fit(X + 0.1) for loss in (name, float(beta)))
        assert_array_equal(a.components_, b.components_)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("init", [None, "random", "nndsvd", "nndsvda", "nndsvdar"])
def test_the_same_seed_gives_the_same_bits(X, beta_loss, init):
    fits = [
        NMF(4, init=init, beta_loss=beta_loss, tol=0, max_iter=5, random_state=3, shuffle=True).fit(
            X
        )
        for _ in range(2)
    ]
    assert_array_equal(fits[0].components_, fits[1].components_)
    assert_array_equal(fits[0].objective_, fits[1].objective_)


def test_another_seed_gives_another_random_start(X):
    a, b = (NMF(4, init="random", tol=0, max_iter=1, random_state=s).fit(X) for s in (0, 1))
    assert not np.allclose(a.components_, b.components_)


def test_shuffling_reaches_an_optimum_as_good(X):
    plain, shuffled = (
        NMF(3, shuffle=s, random_state=0, tol=1e-6, max_iter=5000).fit(X).objective_[-1]
        for s in (False, True)
    )
    assert shuffled == pytest.approx(plain, rel=0.05)
