"""MiniBatchNMF as an estimator: what it finds, streams, and conventions."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import MiniBatchNMF as TheirMiniBatchNMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import NMF, MiniBatchNMF
from factorkit.callbacks import EarlyStopping
from factorkit.datasets import make_low_rank_nonnegative
from factorkit.metrics import matched_components
from factorkit.utils._sklearn import HAS_CALLBACKS

EPOCH = {"max_iter": 1, "tol": 0}
RANDOM = {"random_state": 0, "n_components": 4}


@pytest.fixture
def planted(rng):
    return rng.random((500, 4)) @ rng.random((4, 15))


@parametrize_with_checks(
    [
        MiniBatchNMF(n_components=2, max_iter=500, max_no_improvement=None),
        MiniBatchNMF(n_components=2, beta_loss="kullback-leibler", tol=0),
        MiniBatchNMF(n_components=2, missing="unstored", batch_size=8, tol=0),
    ]
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
@pytest.mark.parametrize("draw", range(5))
def test_separable_components_are_recovered(beta_loss, draw):
    planted = make_low_rank_nonnegative(2000, 30, 4, separable=True, random_state=draw)
    best = 0.0
    for seed in range(3):
        model = MiniBatchNMF(
            4, init=None if seed == 0 else "random", random_state=seed, batch_size=200,
            max_iter=100, tol=0, beta_loss=beta_loss,
        ).fit(planted.data)  # fmt: skip
        best = max(best, matched_components(planted.H, model.components_)[1].min())
    assert best > 0.98


def test_one_pass_comes_near_to_the_full_factorization(seed):
    X, _ = load_digits(return_X_y=True)
    full = NMF(16, max_iter=100, tol=0).fit(X)
    options = {"n_components": 16, "batch_size": 256, "random_state": seed, **EPOCH}
    ours = MiniBatchNMF(**options).fit(X)
    theirs = TheirMiniBatchNMF(**options).fit(X)

    def error(components):
        full.components_ = components
        return np.square(X - full.transform(X) @ components).sum()

    reached = error(full.components_)
    assert error(ours.components_) < 1.25 * reached
    assert error(ours.components_) < error(theirs.components_)


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler", 0.5])
@pytest.mark.parametrize("forget_factor", [1.0, 0.5])
def test_partial_fit_over_the_batches_is_a_pass_of_fit(beta_loss, forget_factor, planted, rng):
    X, H = planted + 0.1, rng.random((4, 15))
    options = {"init": "custom", "n_components": 4, "beta_loss": beta_loss}
    model = MiniBatchNMF(batch_size=100, forget_factor=forget_factor, **EPOCH, **options)
    model.fit(X, H=H)
    # `partial_fit` forgets in a call what `fit` forgets in a pass.
    stream = MiniBatchNMF(forget_factor=forget_factor ** (1 / 5), **options)
    for block in np.array_split(X, 5):
        stream.partial_fit(block, H=H)
    np.testing.assert_allclose(stream.components_, model.components_, rtol=1e-12)
    assert stream.n_steps_ == model.n_steps_ == 5


def test_fit_can_be_continued_with_partial_fit(planted, rng):
    H = rng.random((4, 15))
    options = {"init": "custom", "n_components": 4, "batch_size": 100, "forget_factor": 1.0}
    model = MiniBatchNMF(**options, **EPOCH).fit(planted[:400], H=H)
    model = pickle.loads(pickle.dumps(model)).partial_fit(planted[400:])
    whole = MiniBatchNMF(**options, **EPOCH).fit(planted, H=H)
    np.testing.assert_allclose(model.components_, whole.components_, rtol=1e-12)


def test_a_forget_factor_of_zero_knows_the_last_block_alone(planted, rng):
    model = MiniBatchNMF(4, forget_factor=0.0)
    model.partial_fit(100 * rng.random((50, 15)))
    for _ in range(50):
        model.partial_fit(planted)
    assert model.score(planted) > 0.999


def test_the_components_follow_a_stream_that_changes(rng):
    before, after = (rng.random((400, 3)) @ rng.random((3, 12)) for _ in range(2))
    scores = {}
    for forget_factor in (0.5, 1.0):
        model = MiniBatchNMF(3, forget_factor=forget_factor)
        for block in [*np.array_split(before, 8), *np.array_split(after, 8)]:
            model.partial_fit(block)
        scores[forget_factor] = model.score(after)
    assert 1 - scores[0.5] < 0.5 * (1 - scores[1.0])


@pytest.mark.parametrize("n_rows", [1, 2])
def test_single_rows_can_make_a_stream(n_rows, planted):
    model = MiniBatchNMF(4, forget_factor=1.0, random_state=0)
    for start in range(0, 500, n_rows):
        model.partial_fit(planted[start : start + n_rows])
    assert model.score(planted) > 0.98


def test_stacking_the_data_twice_changes_nothing_under_penalties(planted, rng):
    H = rng.random((4, 15))
    options = {"alpha_W": 1e-3, "alpha_H": 1e-2, "l1_ratio": 0.5, "init": "custom"}
    options |= {"n_components": 4, "max_iter": 20, "tol": 0, "forget_factor": 0.0}
    once = MiniBatchNMF(**options, batch_size=500).fit(planted, H=H)
    twice = MiniBatchNMF(**options, batch_size=1000).fit(np.vstack([planted] * 2), H=H)
    np.testing.assert_allclose(twice.components_, once.components_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(twice.objective_, 2 * once.objective_, rtol=1e-10)


def test_l1_makes_exact_zeros(planted):
    options = {"alpha_W": 0.05, "alpha_H": 0.05, "l1_ratio": 1.0, "batch_size": 100}
    model = MiniBatchNMF(4, **options, max_iter=20, tol=0).fit(planted)
    plain = MiniBatchNMF(4, batch_size=100, max_iter=20, tol=0).fit(planted)
    assert np.sum(model.components_ == 0) > np.sum(plain.components_ == 0)


def test_a_first_block_of_zeros_does_not_spoil_a_stream(planted):
    stream = MiniBatchNMF(3, random_state=0).partial_fit(np.zeros((10, planted.shape[1])))
    for _ in range(30):
        stream.partial_fit(planted)
    assert stream.score(planted) > 0.9


def test_a_batch_of_zeros_does_not_end_the_fit(rng):
    # It leaves a single component where it is: a step without a change.
    X = rng.random((500, 15))
    X[100:200] = 0
    model = MiniBatchNMF(1, batch_size=100, max_iter=4, max_no_improvement=None)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    assert model.n_iter_ == 4
    assert np.all(model.transform(X)[100:200] == 0)


def test_a_fit_ends_where_no_step_of_a_pass_moves_the_components(rng):
    X = np.outer(rng.random(90), rng.random(8))
    model = MiniBatchNMF(1, batch_size=10, tol=1e-8).fit(X)
    assert model.n_iter_ < 10
    assert model.score(X) > 1 - 1e-12
    np.testing.assert_allclose(model.reconstruction_err_, 0, atol=1e-6)


def test_the_objective_is_that_of_the_last_pass(planted, rng):
    # With components that hardly move any more it is the one at the end, whatever the start was.
    X, H = planted + 0.3 * rng.random(planted.shape), rng.random((4, 15))
    model = MiniBatchNMF(4, init="custom", batch_size=120, max_iter=100, tol=0).fit(X, H=H)
    exact = np.linalg.norm(X - model.transform(X) @ model.components_)
    assert model.objective_[0] > 1.05 * model.objective_[-1]
    np.testing.assert_allclose(model.reconstruction_err_, exact, rtol=1e-3)
    np.testing.assert_allclose(model.objective_[-1], 0.5 * exact**2, rtol=2e-3)


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler", 1.5])
def test_float32_stays_float32_and_ends_at_the_same_objective(beta_loss, planted, rng):
    X = planted + 0.3 * rng.random(planted.shape)
    options = {"beta_loss": beta_loss, "batch_size": 100, "max_iter": 5, "tol": 0, **RANDOM}
    single = MiniBatchNMF(**options).fit(X.astype(np.float32))
    double = MiniBatchNMF(**options).fit(X)
    assert single.components_.dtype == single.transform(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.objective_, double.objective_, rtol=1e-3)


def test_threads_and_repetitions_change_nothing(planted):
    fits = [
        MiniBatchNMF(**RANDOM, init="random", n_jobs=n_jobs, batch_size=100, **EPOCH).fit(planted)
        for n_jobs in (1, 2, 2)
    ]
    for model in fits[1:]:
        np.testing.assert_array_equal(model.components_, fits[0].components_)


def test_transform_is_what_fit_transform_returns_and_knows_no_other_rows(planted):
    model = MiniBatchNMF(4, batch_size=100, **EPOCH)
    W = model.fit_transform(planted)
    np.testing.assert_array_equal(model.transform(planted), W)
    order = np.random.default_rng(0).permutation(500)[:123]
    np.testing.assert_allclose(model.transform(planted[order]), W[order], atol=1e-9)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_start_that_does_not_fit_is_refused(method, planted):
    model = MiniBatchNMF(3, init="custom")
    call = getattr(model, method)
    with pytest.raises(ValueError, match="needs H"):
        call(planted)
    with pytest.raises(ValueError, match="wrong second dimension"):
        call(planted, H=np.ones((3, 7)))
    with pytest.raises(TypeError, match="same dtype"):
        call(planted, H=np.ones((3, 15), np.float32))
    with pytest.warns(RuntimeWarning, match="ignored"):
        getattr(MiniBatchNMF(3, tol=0, max_iter=1), method)(planted, H=np.ones((3, 15)))
    assert not hasattr(model, "components_")


def test_a_given_start_is_not_written_to(planted, rng):
    H = rng.random((4, 15))
    before = H.copy()
    MiniBatchNMF(4, init="custom", **EPOCH).fit(planted, H=H)
    np.testing.assert_array_equal(H, before)


def test_a_refused_block_leaves_the_stream_as_it_was(planted):
    model = MiniBatchNMF(4).partial_fit(planted[:100])
    before = model.components_.copy()
    with pytest.raises(ValueError, match="Negative"):
        model.partial_fit(-planted[100:])
    np.testing.assert_array_equal(model.components_, before)
    assert model.n_steps_ == 1


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
def test_callbacks_see_each_pass_and_can_end_the_fit(planted):
    model = MiniBatchNMF(4, batch_size=100, max_iter=50, tol=0, max_no_improvement=None)
    model.set_callbacks(EarlyStopping(patience=2, min_delta=0.5)).fit(planted)
    assert model.stopped_by_callback_
    assert model.n_iter_ == len(model.objective_) < 50
    assert model.n_steps_ == 5 * model.n_iter_
    scores = []
    stopping = EarlyStopping(scoring=lambda m: scores.append(m.score(planted)) or -len(scores))
    model = MiniBatchNMF(4, batch_size=100, max_iter=3, tol=0).set_callbacks(stopping)
    model.fit(planted).partial_fit(planted[:100])
    assert len(scores) == 3


def test_verbose_tells_of_every_step(planted, capsys):
    MiniBatchNMF(4, batch_size=100, verbose=1, **EPOCH).fit(planted)
    assert len(capsys.readouterr().out.splitlines()) == 5
