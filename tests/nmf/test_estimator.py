"""NMF as a scikit-learn estimator: its checks, errors, warnings, names, copies and callbacks."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
import sklearn.decomposition
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import NMF
from factorkit.utils._sklearn import HAS_CALLBACKS

from ._reference import LOSSES, low_rank


def expected_failures(estimator):
    """scikit-learn's own NMF takes no weights, so it is spared these two checks."""
    if estimator.n_components == "auto":
        reason = "as many components as features have no unique optimum to compare"
    elif estimator.alpha_W:
        reason = "asks for 1e-7, and these fits stop at 1e-3; test_weights.py compares optima"
    else:
        return {}
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in kinds}


@pytest.fixture
def X(rng):
    return low_rank(rng, 20, 8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        NMF(),
        NMF(beta_loss="kullback-leibler"),
        NMF(2, solver="mu", beta_loss=1.5, max_iter=30),
        NMF(2, missing="unstored", alpha_W=0.01, l1_ratio=0.5),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")  # they mix
@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_global_output_transform_pandas,
        checks.check_set_output_transform_polars,
        checks.check_global_set_output_transform_polars,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_transformer_preserve_dtypes,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_further_checks_pass(check):
    check("NMF", NMF(2, max_iter=30, random_state=0))


def test_parameters_have_the_names_and_defaults_of_scikit_learn():
    ours = inspect.signature(NMF).parameters
    theirs = inspect.signature(sklearn.decomposition.NMF).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    differing = {name for name in theirs if ours[name].default != theirs[name].default}
    assert differing == {"solver", "tol"}  # "auto", and a tol on another scale
    assert set(ours) - set(theirs) == {"missing", "n_jobs"}


def test_attributes_are_those_of_scikit_learn_and_more(X):
    ours = {name for name in vars(NMF(2).fit(X)) if name.endswith("_")}
    theirs = {
        name
        for name in vars(sklearn.decomposition.NMF(2, max_iter=5000).fit(X))
        if name.endswith("_")
    }
    assert theirs <= ours
    assert ours - theirs == {"objective_", "kkt_residual_", "stopped_by_callback_"}


BAD = [
    ({"n_components": 0}, "n_components"),
    ({"n_components": 2.5}, "n_components"),
    ({"init": "svd"}, "init"),
    ({"solver": "als"}, "solver"),
    ({"beta_loss": "euclidean"}, "beta_loss"),
    ({"solver": "cd", "beta_loss": 0.5}, "solver 'cd' does not handle beta_loss = 0.5"),
    ({"tol": -1.0}, "tol"),
    ({"max_iter": 0}, "max_iter"),
    ({"alpha_W": -0.1}, "alpha_W"),
    ({"alpha_H": "equal"}, "alpha_H"),
    ({"l1_ratio": 1.5}, "l1_ratio"),
    ({"missing": "zero"}, "missing"),
    ({"n_jobs": 0}, "n_jobs"),
    ({"n_components": 9, "init": "nndsvd"}, "init = 'nndsvd' can only be used when"),
    ({"init": "custom"}, "init='custom' needs W and H"),
]


@pytest.mark.parametrize("parameters, message", BAD, ids=str)
def test_a_bad_parameter_is_named_and_leaves_the_estimator_as_it_was(X, parameters, message):
    nmf = NMF(2, random_state=0).fit(X)
    nmf.set_params(**parameters)
    before = dict(vars(nmf))
    with pytest.raises((ValueError, TypeError), match=message):
        nmf.fit(2 * X)
    assert vars(nmf) == before
    fresh = NMF(2).set_params(**parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        fresh.fit(X)
    assert not [name for name in vars(fresh) if name.endswith("_")]


def spoiled(X, value):
    X = X.copy()
    X[3, 4] = value
    return X


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda X: -X, "Negative values in data passed to NMF"),
        (lambda X: spoiled(X, -1e-9), "Negative values in data passed to NMF"),
        (lambda X: spoiled(X, np.inf), "infinity"),
        (lambda X: sparse.csr_array(spoiled(X, np.nan)), 'pass missing="unstored"'),
        (lambda X: sparse.csr_array(spoiled(X, np.inf)), "infinity"),
        (lambda X: sparse.csr_array(spoiled(X, -1.0)), "Negative values"),
        (lambda X: np.full_like(X, np.nan), "no observed entry"),
        (lambda X: X[0], "Expected 2D array"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:, :0], "0 feature"),
        (lambda X: X + 1j, "Complex data"),
        (lambda X: X.astype(str).tolist() and [["a", "b"]], "could not convert|dtype"),
    ],
)
def test_bad_data_are_named_and_leave_the_estimator_as_it_was(X, spoil, message):
    nmf = NMF(2, random_state=0).fit(X)
    before = dict(vars(nmf))
    with pytest.raises(ValueError, match=message):
        nmf.fit(spoil(X))
    assert vars(nmf) == before


@pytest.mark.parametrize("beta_loss", [0, -0.5, "itakura-saito"])
def test_zeros_are_refused_where_the_loss_is_infinite(X, beta_loss):
    message = "When beta_loss <= 0 and X contains zeros"
    for bad in (spoiled(X + 1, 0.0), sparse.csr_array(spoiled(X, 0.0))):
        with pytest.raises(ValueError, match=message):
            NMF(2, beta_loss=beta_loss).fit(bad)
    stored = sparse.csr_array(spoiled(X + 1, 0.0))
    NMF(2, beta_loss=beta_loss, missing="unstored", max_iter=5, tol=0).fit(stored)
    NMF(2, beta_loss=beta_loss, max_iter=5, tol=0).fit(spoiled(X + 1, np.nan))


@pytest.mark.parametrize(
    "W, H, error, message",
    [
        ((19, 2), (2, 8), ValueError, "wrong first dimension passed to NMF .input W"),
        ((20, 3), (2, 8), ValueError, "wrong second dimension passed to NMF .input W"),
        ((20, 2), (2, 7), ValueError, "wrong second dimension passed to NMF .input H"),
        ((20, 2), (3, 8), ValueError, "wrong first dimension passed to NMF .input H"),
        (np.float32, (2, 8), TypeError, "should have the same dtype as X"),
        (-1, (2, 8), ValueError, "Negative values in data passed to NMF .input W"),
        (0, (2, 8), ValueError, "NMF .input W. is full of zeros"),
        (np.nan, (2, 8), ValueError, "NMF .input W. holds NaN"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(X, W, H, error, message):
    if isinstance(W, tuple):
        W = np.ones(W)
    else:
        W = np.ones((20, 2), dtype=W) if isinstance(W, type) else np.full((20, 2), float(W))
    with pytest.raises(error, match=message):
        NMF(2, init="custom").fit(X, W=W, H=np.ones(H))


def test_a_start_that_is_not_used_is_warned_of(X):
    with pytest.warns(RuntimeWarning, match="provided W or H are ignored"):
        NMF(2).fit(X, W=np.ones((20, 2)), H=np.ones((2, 8)))


def test_the_number_of_components_may_come_from_the_start(X):
    nmf = NMF(init="custom", tol=0, max_iter=3).fit(X, W=np.ones((20, 2)), H=X[:2] + 0.1)
    assert nmf.n_components_ == 2


@pytest.mark.parametrize("n_components", [None, "auto"])
def test_by_default_there_are_as_many_components_as_features(X, n_components):
    assert NMF(n_components, tol=0, max_iter=3).fit(X).components_.shape == (8, 8)


@pytest.mark.parametrize("one_sided", [{"alpha_W": 0.1, "alpha_H": 0.0}, {"alpha_H": 0.1}])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_penalizing_one_factor_alone_is_warned_of(X, one_sided, solver):
    with pytest.warns(UserWarning, match="Only one factor is penalized .*Penalize both"):
        NMF(2, solver=solver, tol=0, max_iter=3, random_state=0, **one_sided).fit(X)


def test_multiplicative_updates_from_zeros_are_warned_of(X):
    with pytest.warns(UserWarning, match="cannot update zeros"):
        NMF(2, solver="mu", init="nndsvd", tol=0, max_iter=3).fit(X)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_iterations_that_run_out_are_warned_of_unless_asked_for(X, beta_loss):
    options = {"beta_loss": beta_loss, "init": "random", "random_state": 0, "max_iter": 3}
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 3 reached"):
        nmf = NMF(3, tol=1e-12, **options).fit(X)
    assert nmf.n_iter_ == len(nmf.objective_) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nmf = NMF(3, tol=0, **options).fit(X)
    assert nmf.n_iter_ == 3


def test_verbose_prints_each_iteration(X, capsys):
    nmf = NMF(2, verbose=1, tol=0, max_iter=4).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith(f"iteration 4: objective {nmf.objective_[-1]:.6g}, residual ")


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_a_fitted_estimator_survives_pickling_and_cloning(X, beta_loss):
    nmf = NMF(2, beta_loss=beta_loss, random_state=0, n_jobs=2).fit(X)
    again = pickle.loads(pickle.dumps(nmf))
    assert_array_equal(again.transform(X), nmf.transform(X))
    assert_array_equal(again.objective_, nmf.objective_)
    copy = clone(nmf)
    assert copy.get_params() == nmf.get_params()
    assert not hasattr(copy, "components_")
    assert_array_equal(copy.fit(X).components_, nmf.components_)


def test_fitting_again_starts_afresh(X):
    nmf = NMF(2, random_state=0).fit(X[:, :5])
    assert_array_equal(nmf.fit(X).components_, NMF(2, random_state=0).fit(X).components_)
    assert nmf.n_features_in_ == 8


def test_the_data_are_not_changed(X, rng):
    before = X.copy()
    for beta_loss in LOSSES:
        nmf = NMF(2, beta_loss=beta_loss, alpha_W=0.01).fit(X)
        components = nmf.components_.copy()
        nmf.transform(X)
        nmf.score(X)
        assert_array_equal(X, before)
        assert_array_equal(nmf.components_, components)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_gives_frames_with_names(X, library):
    pytest.importorskip(library)
    nmf = NMF(3, random_state=0).set_output(transform=library)
    for W in (nmf.fit_transform(X), nmf.transform(X)):
        assert list(W.columns) == ["nmf0", "nmf1", "nmf2"]
        assert type(W).__module__.startswith(library)
    assert_array_equal(nmf.get_feature_names_out(), ["nmf0", "nmf1", "nmf2"])
    assert 0 < nmf.score(X) <= 1


def test_score_and_inverse_transform_belong_to_the_factors(X):
    holes = spoiled(X, np.nan)
    nmf = NMF(3, random_state=0, max_iter=1000)
    W = nmf.fit_transform(holes)
    fitted = nmf.inverse_transform(W)
    assert_array_equal(fitted, W @ nmf.components_)
    known = ~np.isnan(holes)
    expected = 1 - np.sum((X - fitted)[known] ** 2) / np.sum(X[known] ** 2)
    assert nmf.score(holes) == pytest.approx(expected, abs=1e-12)
    coords = [[3, 4], [0, 0], [19, 7]]
    assert_allclose(nmf.inverse_transform_entries(W, coords), fitted[[3, 0, 19], [4, 0, 7]])


def test_a_pipeline_in_a_search_works(X):
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(np.sqrt), NMF(max_iter=1000, random_state=0)),
        {"nmf__n_components": [1, 3], "nmf__beta_loss": LOSSES},
        cv=2,
        error_score="raise",
    )
    search.fit(X)
    assert search.best_params_["nmf__n_components"] == 3


class Spy:
    """A callback that keeps what it sees, and stops or raises after some iterations."""

    def __init__(self, stop_after=None, exception=None):
        self.stop_after, self.exception = stop_after, exception
        self.objectives, self.scores = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name != "iteration":
            return False
        self.objectives.append(context.objective)
        self.scores.append(fitted_estimator.score(X))
        if len(self.objectives) != self.stop_after:
            return False
        if self.exception is not None:
            raise self.exception
        return True


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
class TestCallbacks:
    @pytest.mark.parametrize("solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", 1.5)])
    def test_each_iteration_tells_its_objective_and_a_fitted_estimator(self, X, solver, beta_loss):
        spy, options = Spy(), {"solver": solver, "beta_loss": beta_loss, "random_state": 0}
        nmf = NMF(3, tol=0, max_iter=8, **options).set_callbacks(spy).fit(X)
        assert_array_equal(spy.objectives, nmf.objective_)
        assert len(spy.scores) == 8
        assert not nmf.stopped_by_callback_
        if beta_loss == "frobenius":
            assert np.all(np.diff(spy.scores) > -1e-3)
            assert spy.scores[-1] == pytest.approx(nmf.score(X), abs=1e-9)
        quiet = NMF(3, tol=0, max_iter=8, **options).fit(X)
        assert_array_equal(quiet.components_, nmf.components_)

    @pytest.mark.parametrize("solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", 1.5)])
    def test_a_callback_stops_a_fit_that_is_complete(self, X, solver, beta_loss):
        nmf = NMF(3, tol=1e-12, solver=solver, beta_loss=beta_loss, random_state=0)
        W = nmf.set_callbacks(Spy(stop_after=3)).fit_transform(X)
        assert nmf.stopped_by_callback_
        assert nmf.n_iter_ == 3
        assert_array_equal(nmf.transform(X), W)

    @pytest.mark.parametrize("exception", [KeyboardInterrupt(), RuntimeError("no")])
    def test_an_interrupted_fit_leaves_the_estimator_as_it_was(self, X, exception):
        nmf = NMF(3, tol=0, random_state=0).set_callbacks(Spy(2, exception))
        with pytest.raises(type(exception)):
            nmf.fit(X)
        assert not hasattr(nmf, "components_")
        nmf.set_callbacks().fit(X)
        before = nmf.components_
        nmf.set_callbacks(Spy(2, exception))
        with pytest.raises(type(exception)):
            nmf.fit(2 * X)
        assert nmf.components_ is before

    def test_early_stopping_and_progress_bars_serve_it(self, X, capsys):
        from sklearn.callback import ProgressBar

        from factorkit.callbacks import EarlyStopping

        stopping = EarlyStopping(patience=2, min_delta=0.05)
        nmf = NMF(3, tol=0, max_iter=500, random_state=0)
        assert nmf.set_callbacks(stopping).fit(X).stopped_by_callback_
        assert nmf.n_iter_ < 500
        pytest.importorskip("rich")
        NMF(3, tol=0, max_iter=5, random_state=0).set_callbacks(ProgressBar()).fit(X)
        assert "NMF" in capsys.readouterr().out


def test_a_fit_that_no_step_improves_says_so_unless_it_is_stationary(rng):
    from factorkit.nmf._alternate import alternate

    W, H = rng.random((2, 5)), rng.random((2, 4))
    objectives = iter([1.0, 2.0, 2.0, 2.0])

    def step_W(H, W, safe=False, valued=False):
        return W.copy(), residual, None

    def step_H(W, H, safe=False, valued=False):
        return H.copy(), residual, next(objectives)

    residual = 0.5
    assert alternate(step_W, step_H, [W, H], tol=1e-3, max_iter=10)[2].stop == "stalled"
    residual, objectives = 1e-9, iter([1.0, 2.0, 2.0, 2.0])
    # 1e-9 is more than tol, but less than what an objective in float64 can show.
    assert alternate(step_W, step_H, [W, H], tol=1e-12, max_iter=10)[2].stop == "converged"
