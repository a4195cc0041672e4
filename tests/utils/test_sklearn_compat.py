"""Callbacks of scikit-learn on iterative estimators, and fits that don't end well."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from factorkit.callbacks import EarlyStopping, ObjectiveProgressBar
from factorkit.utils import _sklearn
from tests._toy import ToyALS

needs_callbacks = pytest.mark.skipif(
    not _sklearn.HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks"
)


class Recorder:
    """Keeps what the hooks are called with."""

    def __init__(self):
        self.calls = []
        self.objectives = []
        self.scores = []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        self.objectives.append(getattr(context, "objective", None))
        self.scores.append(fitted_estimator.score(X))


class StopAfter(Recorder):
    """Asks to stop after some iterations, or raises instead."""

    def __init__(self, n_iter, exception=None):
        super().__init__()
        self.n_iter = n_iter
        self.exception = exception

    def on_fit_task_end(self, estimator, context):
        if context.task_name != "iteration":
            return False
        if context.task_id + 1 >= self.n_iter and self.exception is not None:
            raise self.exception
        return context.task_id + 1 >= self.n_iter


def score_of(estimator, X, y):
    return estimator.score(X)


@pytest.fixture
def X():
    return np.random.default_rng(0).random((30, 12))


@needs_callbacks
def test_each_iteration_is_a_task_with_its_objective_between_begin_and_end_of_the_fit(X):
    recorder = Recorder()
    toy = ToyALS(max_iter=4, random_state=0).set_callbacks(recorder).fit(X)
    iteration = ["begin iteration", "end iteration"]
    assert recorder.calls == ["setup", "begin fit", *(4 * iteration), "end fit", "teardown"]
    np.testing.assert_allclose(recorder.objectives[:-1], toy.objective_)
    assert recorder.objectives[-1] is None


@needs_callbacks
def test_callbacks_see_an_estimator_as_if_the_fit_had_stopped_at_their_iteration(X):
    recorder = Recorder()
    toy = ToyALS(max_iter=5, random_state=0).set_callbacks(recorder).fit(X)
    assert recorder.scores[-1] == pytest.approx(toy.score(X))
    stopped = ToyALS(max_iter=2, random_state=0).fit(X)
    assert recorder.scores[1] == pytest.approx(stopped.score(X))
    assert recorder.scores[1] < recorder.scores[-1]


@needs_callbacks
def test_callbacks_change_nothing_but_what_they_are_told(X):
    plain = ToyALS(max_iter=5, random_state=0).fit(X)
    watched = ToyALS(max_iter=5, random_state=0).set_callbacks(Recorder()).fit(X)
    np.testing.assert_array_equal(plain.components_, watched.components_)
    assert not plain.stopped_by_callback_
    assert not watched.stopped_by_callback_


def test_a_fit_without_callbacks_makes_no_task(X):
    task = _sklearn.iterate_with_callbacks(ToyALS(), 10, X)
    assert not task.active
    with task as report:
        assert report(1.0) is False
        assert report(1.0, lambda: pytest.fail("nobody asked for attributes")) is False
    assert task is _sklearn.iterate_with_callbacks(ToyALS(), 10, X)


@needs_callbacks
def test_a_report_may_carry_a_callable_that_makes_the_fitted_attributes(X):
    class Fitted(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.scores.append(getattr(fitted_estimator, "components_", None))

    recorder = Fitted()
    toy = ToyALS().set_callbacks(recorder)
    with _sklearn.iterate_with_callbacks(toy, 3, X) as report:
        report(1.0, lambda: {"components_": "as reported"})
        report(1.0)
    assert recorder.scores == ["as reported", None, None]
    assert not hasattr(toy, "components_")


@needs_callbacks
def test_a_callback_stops_the_fit_and_the_estimator_says_so(X):
    toy = ToyALS(max_iter=50, random_state=0).set_callbacks(StopAfter(3)).fit(X)
    assert toy.n_iter_ == 3
    assert toy.stopped_by_callback_
    np.testing.assert_array_equal(
        toy.transform(X), ToyALS(max_iter=3, random_state=0).fit(X).transform(X)
    )


@needs_callbacks
@pytest.mark.parametrize("exception", [KeyboardInterrupt(), RuntimeError("full disk")])
def test_an_interrupted_first_fit_leaves_the_estimator_unfitted(X, exception):
    recorder = StopAfter(3, exception)
    toy = ToyALS(random_state=0).set_callbacks(recorder)
    before = set(vars(toy))
    with pytest.raises(type(exception)):
        toy.fit(X)
    assert set(vars(toy)) == before
    assert recorder.calls[-1] == "teardown"


@needs_callbacks
def test_an_interrupted_second_fit_leaves_what_the_first_one_learnt(X):
    toy = ToyALS(random_state=0).fit(X)
    before, score = dict(vars(toy)), toy.score(X)
    toy.set_callbacks(StopAfter(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        toy.fit(X[:, :5])
    toy.set_callbacks()
    assert vars(toy) == before
    assert toy.score(X) == score


def test_a_refused_input_leaves_what_the_last_fit_learnt(X):
    toy = ToyALS(random_state=0).fit(X)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        toy.fit(X[:, :5], sample_weight=[1.0])
    assert toy.n_features_in_ == 12


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_score_monitor_and_early_stopping_work_in_pipelines_and_searches(X, n_jobs):
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring={"score": score_of})
    stopping = EarlyStopping(patience=2, min_delta=1e-2)
    toy = ToyALS(max_iter=80, random_state=0).set_callbacks(monitor, stopping)
    pipeline = make_pipeline(FunctionTransformer(), toy)
    search = GridSearchCV(pipeline, {"toyals__n_components": [1, 3]}, cv=2, n_jobs=n_jobs).fit(X)
    best = search.best_estimator_[-1]
    assert best.stopped_by_callback_
    assert best.n_iter_ < 80
    (run,) = monitor.get_logs(select="all")
    rows = [row for row in run.data if row["task_name"] == "iteration"]
    fits = {row["parent_task_id_path"] for row in rows}
    assert len(fits) == 5  # two ranks on two folds, and the refit, which is the least nested
    refit = min(fits, key=len)
    scores = [row["score"] for row in rows if row["parent_task_id_path"] == refit]
    assert len(scores) == best.n_iter_
    assert scores[-1] == pytest.approx(best.score(X))


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_progress_bars_show_the_objective_of_each_fit(X, n_jobs, capsys):
    pytest.importorskip("rich")
    bars = ObjectiveProgressBar(max_propagation_depth=None)
    search = GridSearchCV(ToyALS(max_iter=3, random_state=0), {"n_components": [1, 3]}, cv=2)
    search.set_params(n_jobs=n_jobs).set_callbacks(bars).fit(X)
    shown = capsys.readouterr().out
    assert shown.count("objective") >= 5
    assert f"{search.best_estimator_.objective_[-1]:.6g}" in shown


@needs_callbacks
def test_the_plain_progress_bar_runs_too(X, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    ToyALS(max_iter=3, random_state=0).set_callbacks(ProgressBar()).fit(X)
    assert "100%" in capsys.readouterr().out


@needs_callbacks
def test_early_stopping_waits_for_patience_iterations_without_improvement(X):
    long = ToyALS(max_iter=60, random_state=0).fit(X)
    relative = -np.diff(long.objective_) / long.objective_[:-1]
    assert (np.diff(relative[2:12]) < 0).all()  # so the rule below is the rule
    delta = (relative[5] + relative[6]) / 2  # iterations 1 to 7 improve, the 8th is too small
    stopping = EarlyStopping(patience=1, min_delta=delta)
    toy = clone(long).set_callbacks(stopping).fit(X)
    assert toy.n_iter_ == 8
    assert toy.fit(X).n_iter_ == 8  # a second fit starts anew
    patient = clone(long).set_callbacks(EarlyStopping(patience=4, min_delta=0.5)).fit(X)
    assert patient.n_iter_ > EarlyStopping(patience=4).patience


@needs_callbacks
def test_early_stopping_watches_a_score_where_greater_is_better(X):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.6, 0.7])
    stopping = EarlyStopping(patience=2, scoring=lambda fitted: next(scores))
    toy = ToyALS(max_iter=20, random_state=0).set_callbacks(stopping).fit(X)
    assert toy.n_iter_ == 4


def test_early_stopping_refuses_a_patience_of_zero():
    with pytest.raises(ValueError, match="'patience' parameter of EarlyStopping"):
        EarlyStopping(patience=0)


def test_an_older_scikit_learn_says_which_version_has_callbacks():
    code = """
import sys
sys.modules["sklearn.callback"] = None  # its import fails, as before 1.9
from factorkit.callbacks import ObjectiveProgressBar
from factorkit.utils import _sklearn
from tests._toy import ToyALS
assert not _sklearn.HAS_CALLBACKS
toy = ToyALS(max_iter=2, random_state=0).set_callbacks()
for refused in (lambda: toy.set_callbacks(object()), ObjectiveProgressBar):
    try:
        refused()
    except NotImplementedError as error:
        assert "1.9 or newer" in str(error)
    else:
        raise AssertionError(refused)
with _sklearn.propagate_callbacks(toy, toy, None, None):
    print(_sklearn.iterate_with_callbacks(toy, 2, None).active)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
