"""One step: what a block says of the components, and the components that follow."""

import numpy as np
import pytest
from scipy import optimize, sparse

from factorkit import NMF, MiniBatchNMF
from factorkit.nmf._online import block_statistics, exponent_of, update_components
from factorkit.nmf._penalty import Penalty
from factorkit.utils._threads import Workers

N_SAMPLES, N_FEATURES, N_COMPONENTS = 60, 12, 3


def _data(kind, rng):
    """Positive data, complete or with holes; and what `missing` is for it."""
    X = rng.random((N_SAMPLES, N_COMPONENTS)) @ rng.random((N_COMPONENTS, N_FEATURES)) + 0.1
    if kind == "dense":
        return X, "nan"
    if kind == "sparse":
        X[rng.random(X.shape) < 0.5] = 0
        return sparse.csr_array(X), "nan"
    if kind == "unstored":
        return sparse.csr_array(np.where(rng.random(X.shape) < 0.5, 0, X)), "unstored"
    X[rng.random(X.shape) < {"few holes": 0.2, "many holes": 0.8}[kind]] = np.nan
    return X, "nan"


def _observed(X, missing):
    """Dense values and mask."""
    if not sparse.issparse(X):
        return np.nan_to_num(X), ~np.isnan(X)
    mask = sparse.csr_array((np.ones(X.nnz), X.indices, X.indptr), X.shape).toarray() > 0
    return X.toarray(), mask if missing == "unstored" else np.ones(X.shape, bool)


KINDS = ["dense", "sparse", "few holes", "many holes", "unstored"]


def _statistics(X, H, beta, missing, penalty=None, **options):
    with Workers(1) as workers:
        return block_statistics(
            X,
            H,
            beta=beta,
            penalty=penalty or Penalty(),
            missing=missing,
            workers=workers,
            **options,
        )


def _updated(statistics, H, beta, penalty=None):
    with Workers(1) as workers:
        return update_components(
            statistics, H, beta=beta, penalty=penalty or Penalty(), workers=workers
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [2, 1, 1.5])
def test_what_two_blocks_say_adds_up_to_what_both_say_together(kind, beta, rng):
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    _, first = _statistics(X[:25], H, beta, missing)
    _, second = _statistics(X[25:], H, beta, missing)
    both = first + second
    _, whole = _statistics(X, H, beta, missing)
    np.testing.assert_allclose(both.numerator, whole.numerator, rtol=1e-10)
    np.testing.assert_allclose(both.denominator, whole.denominator, rtol=1e-10)
    np.testing.assert_allclose(both.loss, whole.loss, rtol=1e-8)
    assert both.n_samples == whole.n_samples == N_SAMPLES


@pytest.mark.parametrize("kind", KINDS)
def test_frobenius_coefficients_are_exact(kind, rng):
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    W, _ = _statistics(X, H, 2, missing)
    values, known = _observed(X, missing)
    for x, mask, w in zip(values, known, W, strict=True):
        if mask.sum() < N_COMPONENTS:  # many solutions
            continue
        np.testing.assert_allclose(w, optimize.nnls(H.T[mask], x[mask])[0], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_the_loss_is_that_of_the_observed_entries(kind, beta, rng):
    if kind == "sparse" and beta < 1:
        pytest.skip("zeros in X cost infinitely much")
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    W, statistics = _statistics(X, H, beta, missing)
    values, known = _observed(X, missing)
    x, y = values[known], (W @ H)[known]
    expected = {
        2: lambda: 0.5 * np.square(x - y),
        1: lambda: np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / y), 0) - x + y,
        0.5: lambda: (x**0.5 - 0.5 * y**0.5 - 0.5 * x * y**-0.5) / -0.25,
    }[beta]()
    np.testing.assert_allclose(statistics.loss, expected.sum(), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [2, 1, 0, 0.5, 1.5, 3])
def test_a_step_lowers_the_loss_of_its_block(kind, beta, rng):
    if kind == "sparse" and beta < 1:
        pytest.skip("zeros in X cost infinitely much")
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    losses = []
    for _ in range(5):
        _, statistics = _statistics(X, H, beta, missing, exact=True, max_iter=2000)
        losses.append(statistics.loss)
        H = _updated(statistics, H, beta)
    assert np.all(np.diff(losses) < 0)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1, 0, 1.5, 3])
def test_the_sums_make_up_the_gradient(kind, beta, rng, monkeypatch):
    if kind == "sparse" and beta < 1:
        pytest.skip("zeros in X cost infinitely much")
    monkeypatch.setattr("factorkit.nmf._online._LIFT", 0.0)
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    W, statistics = _statistics(X, H, beta, missing)
    values, known = _observed(X, missing)
    Y = W @ H
    Y[Y == 0] = 1  # rows without an observed entry
    gradient = W.T @ (known * (Y - values) * Y ** (beta - 2))
    power = 1 / exponent_of(beta)
    np.testing.assert_allclose(
        statistics.denominator - statistics.numerator / H**power, gradient, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("kind", ["dense", "sparse", "many holes", "unstored"])
def test_frobenius_components_go_to_the_exact_ones(kind, rng):
    X, missing = _data(kind, rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    W, statistics = _statistics(X, H, 2, missing)
    for _ in range(2000):
        H = _updated(statistics, H, 2)
    values, known = _observed(X, missing)
    for j in range(N_FEATURES):
        A, b = W[known[:, j]], values[known[:, j], j]
        assert np.linalg.norm(A @ H[:, j] - b) < optimize.nnls(A, b)[1] + 2e-3 * np.linalg.norm(b)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("beta", [2, 1])
def test_components_minimize_the_penalized_surrogate(beta, l1_ratio, rng):
    X, missing = _data("dense", rng)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    penalty = Penalty.scaled(0.01, 0.3, l1_ratio, 1, N_FEATURES)
    _, statistics = _statistics(X, H, beta, missing, penalty=penalty)
    for _ in range(300 if beta == 2 else 1):
        H = _updated(statistics, H, beta, penalty)
    T, S, n = statistics.numerator, statistics.denominator, statistics.n_samples
    gradient = S @ H - T if beta == 2 else S - np.divide(T, H, out=np.zeros_like(H), where=H > 0)
    gradient += n * penalty.l1_H + n * penalty.l2_H * H
    np.testing.assert_allclose(np.minimum(H, gradient), 0, atol=1e-6)


def test_what_holes_hide_is_irrelevant_to_few_and_to_many_of_them(rng):
    # The first rule fills, the second one sums a matrix a feature: the same fixed points.
    truth = rng.random((400, N_COMPONENTS)) @ rng.random((N_COMPONENTS, 40))
    for fraction in (0.2, 0.7):
        hole = rng.random(truth.shape) < fraction
        X = np.where(hole, np.nan, truth)
        model = MiniBatchNMF(
            N_COMPONENTS, batch_size=100, forget_factor=0.1, tol=0, max_iter=200, random_state=0
        ).fit(X)
        filled = model.inverse_transform(model.transform(X))
        known = (~hole).sum(axis=1) > N_COMPONENTS
        error = (filled - truth)[known][hole[known]]
        assert np.sqrt(np.mean(error**2)) < 0.05 * truth.std()


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_a_nan_is_the_same_as_an_unstored_entry(beta_loss, rng):
    X, _ = _data("many holes", rng)
    known = ~np.isnan(X)
    stored = sparse.csr_array((X[known], np.nonzero(known)), shape=X.shape)
    H = rng.random((N_COMPONENTS, N_FEATURES))
    options = {
        "init": "custom",
        "beta_loss": beta_loss,
        "batch_size": 20,
        "max_iter": 3,
        "tol": 0,
        "n_components": N_COMPONENTS,
    }
    dense = MiniBatchNMF(**options).fit(X, H=H)
    sparse_ = MiniBatchNMF(**options, missing="unstored").fit(stored, H=H)
    np.testing.assert_allclose(dense.components_, sparse_.components_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler", 1.5])
def test_dense_and_sparse_data_give_the_same_components(beta_loss, rng):
    X, _ = _data("sparse", rng)
    options = {"beta_loss": beta_loss, "batch_size": 20, "max_iter": 3, "tol": 0}
    options |= {"n_components": N_COMPONENTS, "init": "random", "random_state": 0}
    dense = MiniBatchNMF(**options).fit(X.toarray())
    np.testing.assert_allclose(
        MiniBatchNMF(**options).fit(X).components_, dense.components_, rtol=1e-6, atol=1e-9
    )


def test_a_word_that_comes_late_is_learned(rng):
    # Multiplicative updates alone leave what is zero at the start at zero.
    X = rng.random((200, N_COMPONENTS)) @ rng.random((N_COMPONENTS, N_FEATURES))
    early = X[:100].copy()
    early[:, 0] = 0
    model = MiniBatchNMF(N_COMPONENTS, beta_loss="kullback-leibler")
    model.partial_fit(early)
    for _ in range(30):
        model.partial_fit(X[100:])
    fitted = model.inverse_transform(model.transform(X[100:]))
    assert np.abs(fitted[:, 0] - X[100:, 0]).mean() < 0.3 * X[100:, 0].mean()


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_penalized_runs_end_near_the_objective_of_nmf(beta_loss, rng):
    X = rng.random((300, 4)) @ rng.random((4, 20)) + 0.05 * rng.random((300, 20))
    options = {"n_components": 4, "beta_loss": beta_loss, "alpha_W": 2e-3, "l1_ratio": 0.5}
    # Both from one start: the two may end in different minima otherwise.
    full = NMF(**options, max_iter=2000, tol=1e-5).fit(X)
    H = np.maximum(full.components_, 1e-2)
    online = MiniBatchNMF(
        **options, init="custom", batch_size=100, max_iter=100, tol=0, fresh_restarts=True
    ).fit(X, H=H)
    penalty = Penalty.scaled(2e-3, 2e-3, 0.5, *X.shape)
    W = online.transform(X)
    _, statistics = _statistics(X, online.components_, 2 if beta_loss[0] == "f" else 1, "nan")
    np.testing.assert_allclose(online.objective_[-1], full.objective_[-1], rtol=0.02)
    assert statistics.loss + penalty.value(W, online.components_) < 1.03 * full.objective_[-1]
