"""Missing entries and weights: their limits, and what they must not depend on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF
from factorkit.datasets import make_low_rank_nonnegative

from ._reference import LOSSES, low_rank, objective, with_holes

SOLVERS = [("cd", "frobenius"), ("cd", "kullback-leibler"), ("mu", 1.5)]


@pytest.fixture
def X(rng):
    return low_rank(rng)


@pytest.fixture
def start(rng):
    return {"W": 0.5 + rng.random((40, 3)), "H": 0.5 + rng.random((3, 25))}


def fit(X, start, n_iter=25, **options):
    """H and the history after some iterations from a start."""
    weights = {name: options.pop(name) for name in list(options) if name.endswith("_weight")}
    nmf = NMF(3, init="custom", tol=0, max_iter=n_iter, **options)
    nmf.fit(X, **start, **weights)
    return nmf.components_, nmf.objective_


def reconstruct(X, k, weights=(), **options):
    """W H at the optimum of data for which it is unique."""
    nmf = NMF(k, tol=1e-8, max_iter=10_000, init="random", random_state=0, **options)
    return nmf.fit_transform(X, **dict(weights)) @ nmf.components_


@pytest.fixture(scope="module")
def planted():
    """Noisy data whose best factorization of rank 2 is unique."""
    return make_low_rank_nonnegative(25, 15, 2, noise=0.05, separable=True, random_state=0).data


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_weights_of_one_are_no_weights(planted, beta_loss):
    options = {"beta_loss": beta_loss}
    plain = reconstruct(planted, 2, **options)
    scale = planted.max()
    for weights in (
        {"sample_weight": np.ones(25)},
        {"entry_weight": np.ones(planted.shape)},
        {"entry_weight": np.ones(planted.shape), "sample_weight": np.ones(25)},
    ):
        assert_allclose(reconstruct(planted, 2, weights, **options), plain, atol=1e-5 * scale)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_storing_every_entry_is_missing_none(planted, beta_loss):
    positive = planted + 0.1
    full = reconstruct(sparse.csr_array(positive), 2, beta_loss=beta_loss, missing="unstored")
    assert_allclose(full, reconstruct(positive, 2, beta_loss=beta_loss), atol=1e-5 * full.max())


@pytest.mark.parametrize("solver, beta_loss", SOLVERS)
@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_a_weight_of_zero_is_a_hole(X, start, rng, solver, beta_loss, fraction):
    holes = with_holes(rng, X, fraction)
    weight = rng.random(X.shape) + 0.5
    weight[:, 0] = np.where(np.isnan(holes[:, 0]), 1, 2)  # the largest is not under a hole
    options = {"solver": solver, "beta_loss": beta_loss}
    H, values = fit(holes, start, entry_weight=weight, **options)
    H_0, values_0 = fit(X, start, entry_weight=np.where(np.isnan(holes), 0, weight), **options)
    assert_allclose(values_0, values, rtol=1e-9)
    assert_allclose(H_0, H, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("solver, beta_loss", SOLVERS)
@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_what_is_under_a_hole_is_irrelevant(X, start, rng, solver, beta_loss, fraction):
    weight = (rng.random(X.shape) > fraction) * (rng.random(X.shape) + 0.5)
    other = np.where(weight > 0, X, 1e3 * rng.random(X.shape))
    options = {"solver": solver, "beta_loss": beta_loss, "entry_weight": weight}
    for given, expected in zip(fit(other, start, **options), fit(X, start, **options), strict=True):
        assert_allclose(given, expected, rtol=1e-7, atol=1e-10)
    nmf = NMF(3, solver=solver, beta_loss=beta_loss, tol=0, max_iter=3, random_state=0).fit(X + 0.1)
    W, W_other = (nmf.transform(x, entry_weight=weight) for x in (X, other))
    assert_allclose(W_other, W, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("data", ["complete", "holes", "sparse", "weighted entries"])
@pytest.mark.parametrize("penalty", [{}, {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.5}])
def test_a_weight_of_two_is_a_repeated_row(planted, rng, beta_loss, data, penalty):
    X = with_holes(rng, planted, 0.15) if data == "holes" else planted
    X = sparse.csr_array(X) if data == "sparse" else X
    counts = rng.integers(0, 4, size=len(planted))
    counts[0] = 2
    order = np.repeat(np.arange(len(counts)), counts)
    entries = {"entry_weight": rng.random(X.shape) + 0.5} if data == "weighted entries" else {}
    options = {"beta_loss": beta_loss, "init": "random", **penalty}
    repeated = NMF(2, tol=1e-8, max_iter=10_000, random_state=0, **options)
    repeated.fit(X[order], **{name: weight[order] for name, weight in entries.items()})
    weighted = NMF(2, tol=1e-8, max_iter=10_000, random_state=0, **options)
    weighted.fit(X, sample_weight=counts, **entries)
    given = X[counts > 0]
    expected = repeated.transform(given) @ repeated.components_
    fitted = weighted.transform(given) @ weighted.components_
    assert_allclose(fitted, expected, atol=1e-4 * expected.max())
    assert weighted.objective_[-1] == pytest.approx(repeated.objective_[-1], rel=1e-6)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_weights_of_samples_are_weights_of_their_entries(planted, rng, beta_loss, container):
    weight = rng.random(25) + 0.2
    by_sample = reconstruct(container(planted), 2, {"sample_weight": weight}, beta_loss=beta_loss)
    entries = np.broadcast_to(weight[:, None], planted.shape)
    by_entry = reconstruct(planted, 2, {"entry_weight": entries}, beta_loss=beta_loss)
    assert_allclose(by_sample, by_entry, atol=1e-4 * planted.max())


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_sample_and_entry_weights_multiply(X, start, rng, beta_loss):
    row, entry = rng.random(40) + 0.2, rng.random(X.shape) + 0.2
    both = fit(X, start, sample_weight=row, entry_weight=entry, beta_loss=beta_loss)
    product = fit(X, start, entry_weight=row[:, None] * entry, beta_loss=beta_loss)
    assert_array_equal(both[0], product[0])


@pytest.mark.parametrize("solver, beta_loss", SOLVERS)
def test_a_common_factor_of_the_weights_scales_the_objective(X, start, rng, solver, beta_loss):
    weight = rng.random(X.shape) + 0.2
    options = {"solver": solver, "beta_loss": beta_loss}
    H, values = fit(X, start, entry_weight=weight, **options)
    H_8, values_8 = fit(X, start, entry_weight=8 * weight, **options)
    assert_allclose(values_8, 8 * values, rtol=1e-9)
    assert_allclose(H_8, H, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("solver, beta_loss", SOLVERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_unstored_entries_are_holes_where_missing_says_so(
    X, start, rng, solver, beta_loss, weighted
):
    # So many that both take a Gram matrix a row.
    stored = rng.random(X.shape) > 0.7
    stored[:, 0] = stored[0] = True
    i, j = np.nonzero(stored)
    S = sparse.csr_array(sparse.coo_array((X[i, j], (i, j)), shape=X.shape))
    assert (S.data == 0).any()  # stored zeros are observed
    holes = np.where(stored, X, np.nan)
    weights = {"entry_weight": rng.random(X.shape) + 0.5} if weighted else {}
    options = {"solver": solver, "beta_loss": beta_loss, **weights}
    if beta_loss == "kullback-leibler":
        # Its fits magnify rounding where the model of a count vanishes; its rows don't.
        nmf = NMF(3, beta_loss=beta_loss, tol=0, max_iter=3, random_state=0).fit(X)
        W = nmf.transform(holes, weights.get("entry_weight"))
        W_S = nmf.set_params(missing="unstored").transform(S, weights.get("entry_weight"))
        assert_allclose(W_S, W, atol=1e-6 * W.max())
        return
    H, values = fit(holes, start, **options)
    H_S, values_S = fit(S, start, missing="unstored", **options)
    assert values_S[-1] == pytest.approx(values[-1], rel=1e-9)
    assert_allclose(H_S, H, rtol=1e-6, atol=1e-10)
    if weighted:
        V = sparse.csr_array(sparse.coo_array((weights["entry_weight"][i, j], (i, j)), X.shape))
        options["entry_weight"] = V
        H_V, _ = fit(S, start, missing="unstored", **options)
        assert_array_equal(H_V, H_S)


@pytest.mark.parametrize("solver, beta_loss", SOLVERS)
@pytest.mark.parametrize("penalty", [{}, {"alpha_W": 0.01, "l1_ratio": 0.5}])
def test_rows_and_columns_without_entries_do_not_disturb(X, solver, beta_loss, penalty):
    X = X + 0.1
    X[3] = X[:, 7] = np.nan
    options = {"solver": solver, "beta_loss": beta_loss, **penalty}
    nmf = NMF(3, tol=0, max_iter=20, random_state=0, **options)
    W = nmf.fit_transform(X)
    assert_array_equal(W[3], 0)
    assert np.isfinite(W).all() and np.isfinite(nmf.components_).all()
    assert np.isfinite(nmf.objective_).all() and np.isfinite(nmf.kkt_residual_)
    rest = np.delete(np.delete(X, 3, axis=0), 7, axis=1)
    expected = objective(
        rest, np.delete(W, 3, axis=0), np.delete(nmf.components_, 7, axis=1), beta_loss
    )
    assert nmf.reconstruction_err_ == pytest.approx(np.sqrt(2 * expected), rel=1e-8)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_an_outlier_with_little_weight_is_ignored(planted, beta_loss):
    spoiled = planted.copy()
    spoiled[4, 5] = 100 * planted.max()
    weight = np.ones(planted.shape)
    weight[4, 5] = 1e-9
    fitted = reconstruct(spoiled, 2, {"entry_weight": weight}, beta_loss=beta_loss)
    hole = planted.copy()
    hole[4, 5] = np.nan
    assert_allclose(fitted, reconstruct(hole, 2, beta_loss=beta_loss), atol=1e-4 * planted.max())


def test_a_negative_binary_mask_and_other_bad_weights_are_named(X):
    nmf = NMF(3)
    stored = sparse.csr_array(X)
    for weights, message in [
        ({"sample_weight": -np.ones(40)}, "Negative values in sample_weight"),
        ({"sample_weight": np.ones(39)}, "sample_weight has shape"),
        ({"sample_weight": np.full(40, np.nan)}, "sample_weight"),
        ({"sample_weight": np.zeros(40)}, "sample_weight has only zero"),
        ({"entry_weight": -np.ones(X.shape)}, "Negative values in entry_weight"),
        ({"entry_weight": np.ones((25, 40))}, "entry_weight has shape"),
        ({"entry_weight": stored}, "entry_weight"),
    ]:
        with pytest.raises(ValueError, match=message):
            nmf.fit(X, **weights)
        assert not hasattr(nmf, "components_")
    with pytest.raises(ValueError, match="pass X as a dense array"):
        NMF(3).fit(stored, entry_weight=np.ones(X.shape))


def test_where_most_is_missing_no_part_of_the_samples_is_asked(rng):
    X = rng.poisson(rng.gamma(0.5, size=(900, 4)) @ rng.gamma(0.5, size=(4, 20))).astype(float)
    known = rng.random(X.shape) < 0.4
    rows, columns = np.nonzero(known)
    X = sparse.csr_array((X[known], (rows, columns)), shape=X.shape)
    fits = [
        NMF(3, solver=solver, missing="unstored", random_state=0, tol=0.05).fit(X)
        for solver in ("auto", "cd")
    ]
    assert_array_equal(fits[0].components_, fits[1].components_)
