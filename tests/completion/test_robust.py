"""Robust losses: gross outliers among the entries."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from factorkit import AltMinCompletion
from factorkit.callbacks import EarlyStopping
from factorkit.completion import _robust
from factorkit.utils._sklearn import HAS_CALLBACKS

from ._planted import dense_objective, planted, rating_like, relative_error

PLAIN = {"row_bias": False, "column_bias": False, "center": False, "alpha": 1e-4}


def with_outliers(rng, share, **options):
    M, X = planted(rng, 150, 100, 4, density=0.4, noise=0.01, **options)
    clean = X.copy()
    wrong = rng.random(X.nnz) < share
    X.data[wrong] += 10 * rng.standard_normal(wrong.sum())
    return M, clean, X, wrong


def error_of(X, M, **options):
    model = AltMinCompletion(4, random_state=0, tol=1e-3, max_iter=200, **PLAIN, **options).fit(X)
    return relative_error(model.inverse_transform(model.embedding_), M), model


@pytest.mark.parametrize("seed", range(4))
def test_a_tenth_of_gross_outliers_hardly_matters(seed):
    rng = np.random.default_rng(seed)
    M, clean, X, wrong = with_outliers(rng, 0.1)
    without, _ = error_of(clean, M)
    tukey, model = error_of(X, M, loss="tukey")
    huber, _ = error_of(X, M, loss="huber")
    assert tukey < 1.15 * without
    assert huber < 1.6 * without
    # Which entries are wrong is told by their weights; a few errors are small by chance.
    assert np.mean(model.weights_[wrong] == 0) > 0.98
    assert np.mean(model.weights_[~wrong] == 0) < 0.01
    assert model.scale_ == pytest.approx(0.01, rel=0.1)


def test_squares_alone_are_ruined_by_them(rng):
    M, _, X, _ = with_outliers(rng, 0.1)
    ruined, _ = error_of(X, M)
    assert ruined > 0.5


def test_hubers_loss_is_that_of_the_formula(rng):
    X = rating_like(rng)
    model = AltMinCompletion(2, loss="huber", alpha=0.2, random_state=0, tol=1e-4).fit(X)
    t = 1.345 * model.scale_

    def rho(r):
        return np.where(np.abs(r) <= t, r**2, 2 * t * np.abs(r) - t**2)

    assert_allclose(model.objective_[-1], dense_objective(model, X, rho=rho), rtol=1e-8)
    r = X.data - model.predict_entries(np.column_stack(X.tocoo().coords))
    assert_allclose(model.weights_, np.minimum(1, t / np.abs(r)), rtol=1e-6)
    assert 1.4826 * np.median(np.abs(r)) == pytest.approx(model.scale_, rel=0.02)


def test_rows_of_new_data_are_robust_too(rng):
    M, clean, _, _ = with_outliers(rng, 0.0)
    _, model = error_of(clean, M, loss="huber")
    row = clean[[5]].copy()
    before = model.transform(row)
    row.data[:3] += 50
    moved = np.abs(model.transform(row) - before).max()
    assert moved < 0.05 * np.abs(before).max()


@pytest.mark.parametrize("loss", ["huber", "tukey"])
def test_exact_data_have_a_scale_above_zero(rng, loss):
    M, X = planted(rng, 40, 30, 4, density=0.9)
    error, model = error_of(X, M, loss=loss)
    assert error < 1e-3
    assert np.isfinite(model.objective_).all() and model.scale_ > 0


@pytest.mark.parametrize("loss", ["huber", "tukey"])
def test_constant_data_do_not_divide_by_zero(loss):
    X = np.full((6, 5), 3.0)
    X[0, 0] = np.nan
    model = AltMinCompletion(1, loss=loss, random_state=0).fit(X)
    assert_allclose(model.inverse_transform(model.embedding_), 3, atol=1e-3)


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")
def test_callbacks_see_the_fit_and_not_its_start(rng):
    M, _, X, _ = with_outliers(rng, 0.1)
    seen = []

    def watch(model):
        seen.append(relative_error(model.inverse_transform(model.embedding_), M))
        return 0.0

    plain, _ = error_of(X, M, loss="huber")
    model = AltMinCompletion(4, loss="huber", random_state=0, tol=1e-3, max_iter=200, **PLAIN)
    model.set_callbacks(EarlyStopping(patience=100, scoring=watch)).fit(X)
    assert len(seen) == model.n_iter_
    assert max(seen) < 0.3 and seen[-1] < 2 * plain


def test_a_warm_start_needs_no_robust_start(rng, monkeypatch):
    _, _, X, _ = with_outliers(rng, 0.1)
    options = {"random_state": 0, "warm_start": True, "max_iter": 200, "loss": "tukey"}
    model = AltMinCompletion(4, tol=1e-3, **PLAIN, **options).fit(X)
    first = model.inverse_transform(model.embedding_)
    monkeypatch.setattr(_robust, "alternate", None)  # what a robust start calls
    model.fit(X)
    assert model.n_iter_ <= 3
    assert relative_error(model.inverse_transform(model.embedding_), first) < 1e-3


@pytest.mark.parametrize("loss", ["huber", "tukey"])
def test_every_row_settles_by_itself(rng, loss):
    X = rating_like(rng).astype(np.float32)
    model = AltMinCompletion(3, random_state=0, loss=loss).fit(X)
    alone = np.vstack([model.transform(X[[i]]) for i in range(X.shape[0])])
    np.testing.assert_array_equal(alone, model.embedding_)
