"""transform is exact: it equals independent solvers, and depends on nothing but the row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF

from ._reference import LOSSES, kkt_violation_in_W, low_rank, nnls_rows, with_holes

PENALTIES = {
    "none": {},
    "l2": {"alpha_W": 0.004},
    "l1": {"alpha_W": 0.004, "l1_ratio": 1.0},
    "mixed": {"alpha_W": 0.004, "alpha_H": 0.002, "l1_ratio": 0.4},
}
METHODS = [("cd", b) for b in LOSSES] + [("mu", b) for b in (2, 1, 0, 0.5, 1.5, 2.5)]


@pytest.fixture
def X(rng):
    return low_rank(rng)


def fitted(X, k=4, **options):
    return NMF(k, tol=0, max_iter=25, init="random", random_state=0, **options).fit(X)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("case", ["dense", "sparse", "holes", "many holes", "weights", "unstored"])
def test_frobenius_rows_are_those_of_scipy_nnls(X, rng, penalty, case):
    nmf = fitted(X, **PENALTIES[penalty])
    given, V, weights = X, None, {}
    if case == "sparse":
        given = sparse.csr_array(X)
    elif case == "unstored":
        nmf.missing = "unstored"
        given, X = sparse.csr_array(X), np.where(X > 0, X, np.nan)
    elif "holes" in case:
        given = X = with_holes(rng, X, 0.5 if "many" in case else 0.2)
    elif case == "weights":
        V = rng.random(X.shape) + 0.1
        weights = {"entry_weight": V}
    options = {"alpha_W": 0.0, "l1_ratio": 0.0, **PENALTIES[penalty]}
    options.pop("alpha_H", None)
    expected = nnls_rows(X, nmf.components_, V=V, **options)
    W, scale = nmf.transform(given, **weights), expected.max()
    # Fewer observed entries than components leave a row many solutions.
    unique = [np.linalg.matrix_rank(nmf.components_[:, ~np.isnan(x)]) == 4 for x in X]
    assert np.mean(unique) > 0.8
    assert_allclose(W[unique] / scale, expected[unique] / scale, atol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 8, 20])
def test_frobenius_rows_are_exact_for_any_number_of_components(X, k):
    nmf = fitted(X, k)
    expected = nnls_rows(X, nmf.components_)
    assert_allclose(nmf.transform(X), expected, atol=1e-9 * expected.max())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("case", ["dense", "sparse", "holes", "weights", "unstored"])
def test_kullback_leibler_rows_satisfy_the_optimality_conditions(X, rng, penalty, case):
    nmf = fitted(X, beta_loss="kullback-leibler", **PENALTIES[penalty])
    given, V, weights = X, None, {}
    if case == "sparse":
        given = sparse.csr_array(X)
    elif case == "unstored":
        nmf.missing = "unstored"
        given, X = sparse.csr_array(X), np.where(X > 0, X, np.nan)
    elif case == "holes":
        given = X = with_holes(rng, X)
    elif case == "weights":
        V = rng.random(X.shape) + 0.1
        weights = {"entry_weight": V}
    W = nmf.transform(given, **weights)
    alpha, ratio = nmf.alpha_W, nmf.l1_ratio
    violation = kkt_violation_in_W(X, W, nmf.components_, "kullback-leibler", alpha, ratio, V)
    assert violation < 1e-8


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_kullback_leibler_keeps_row_and_column_sums(X, container):
    # Below 1e-8 rounding decides, differently on different processors.
    nmf = NMF(4, beta_loss="kullback-leibler", tol=1e-7, max_iter=20_000)
    fit = nmf.fit_transform(container(X)) @ nmf.components_
    assert_allclose(fit.sum(axis=1), X.sum(axis=1), rtol=1e-9)
    assert_allclose(fit.sum(axis=0), X.sum(axis=0), rtol=1e-5)
    new = 3 * X[::-1] + 1
    fit = nmf.transform(container(new)) @ nmf.components_
    assert_allclose(fit.sum(axis=1), new.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_fit_transform_is_transform(X, solver, beta_loss, penalty):
    options = {"beta_loss": beta_loss, "solver": solver, **PENALTIES[penalty]}
    nmf = NMF(4, init="random", tol=0, max_iter=10, random_state=0, **options)
    X = X + 0.1 * (solver == "mu")
    W = nmf.fit_transform(X)
    assert_array_equal(nmf.transform(X), W)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("penalty", ["none", "mixed"])
@pytest.mark.parametrize("case", ["sparse", "holes", "entry weights", "unstored", "float32"])
def test_fit_transform_is_transform_whatever_the_data(X, rng, beta_loss, penalty, case):
    options = {"beta_loss": beta_loss, **PENALTIES[penalty]}
    weights = {}
    if case in ("sparse", "unstored"):
        X = sparse.csr_array(X)
        options["missing"] = "unstored" if case == "unstored" else "nan"
    elif case == "holes":
        X = with_holes(rng, X)
    elif case == "float32":
        X = X.astype(np.float32)
    else:
        weights = {"entry_weight": rng.random(X.shape)}
    nmf = NMF(4, tol=0, max_iter=10, random_state=0, **options)
    W = nmf.fit_transform(X, **weights)
    assert_array_equal(nmf.transform(X, **weights), W)
    assert nmf.fit(X, **weights) is nmf
    assert_array_equal(nmf.transform(X, **weights), W)


def test_weights_of_samples_change_the_components_and_not_a_row_of_transform(X, rng):
    nmf = NMF(3, tol=0, max_iter=10, random_state=0)
    W = nmf.fit_transform(X, sample_weight=rng.random(40) + 0.1)
    assert_array_equal(nmf.transform(X), W)
    assert not np.allclose(nmf.components_, NMF(3, tol=0, max_iter=10).fit(X).components_)


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("duplicated", [False, True])
def test_neither_order_nor_choice_of_the_rows_matters(
    X, rng, solver, beta_loss, container, holes, duplicated
):
    if holes and container is not np.asarray:
        pytest.skip("no sparse array has holes with missing='nan'")
    X = X + 0.1 * (beta_loss == 0)
    nmf = fitted(X, solver=solver, beta_loss=beta_loss)
    if duplicated:
        nmf.components_[3] = nmf.components_[0]
    X = container(with_holes(rng, X) if holes else X)
    W = nmf.transform(X)
    order = rng.permutation(40)
    scale = W.max()
    # Equal components share what is explained as they like, but in the same way everywhere.
    assert_allclose(nmf.transform(X[order]), W[order], atol=1e-6 * scale)
    assert_allclose(nmf.transform(X[7:13]), W[7:13], atol=1e-6 * scale)
    for i in (0, 39):
        assert_allclose(nmf.transform(X[[i]])[0], W[i], atol=1e-6 * scale)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_float32_rows_are_those_of_float64(X, beta_loss):
    nmf = fitted(X.astype(np.float32), beta_loss=beta_loss)
    W32 = nmf.transform(X.astype(np.float32))
    assert W32.dtype == np.float32
    nmf.components_ = nmf.components_.astype(np.float64)
    W64 = nmf.transform(X.astype(np.float32).astype(np.float64))
    assert W64.dtype == np.float64
    assert_allclose(W32, W64, atol=1e-5 * W64.max())


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_more_components_than_features_are_solved(X, beta_loss):
    # The rows have many solutions; the one found must reconstruct what any does.
    nmf = fitted(X[:, :5], 9, beta_loss=beta_loss)
    W = nmf.transform(X[:, :5])
    assert kkt_violation_in_W(X[:, :5], W, nmf.components_, beta_loss) < 1e-5


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_row_of_zeros_has_no_coefficients(X, beta_loss):
    nmf = fitted(X, beta_loss=beta_loss)
    X = X.copy()
    X[5] = 0
    assert_array_equal(nmf.transform(X)[5], 0)
    assert_array_equal(nmf.transform(sparse.csr_array(X))[5], 0)
    assert_array_equal(nmf.transform(np.zeros((3, 25))), 0)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_the_components_reproduce_themselves(X, beta_loss):
    nmf = fitted(X, beta_loss=beta_loss)
    W = nmf.transform(nmf.components_)
    assert_allclose(W @ nmf.components_, nmf.components_, atol=1e-6)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_penalties_do_not_depend_on_the_number_of_rows(X, beta_loss):
    nmf = fitted(X, beta_loss=beta_loss, alpha_W=0.01, alpha_H=0.01, l1_ratio=0.3)
    W = nmf.transform(X)
    assert_allclose(nmf.transform(np.vstack([X, X]))[:40], W, rtol=1e-7, atol=1e-12)


def test_transform_before_fit_and_with_other_features_is_refused(X):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        NMF().transform(X)
    with pytest.raises(ValueError, match="X has 24 features, but NMF is expecting 25"):
        fitted(X).transform(X[:, 1:])
    with pytest.raises(ValueError, match="Negative values in data passed to NMF"):
        fitted(X).transform(-X)
