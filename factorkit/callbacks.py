"""Callbacks for iterative estimators, beside those of :mod:`sklearn.callback`."""

import functools
from numbers import Integral, Real

from factorkit.utils._sklearn import (
    Interval,
    ProgressBar,
    get_context_path,
    run_monitors,
    send,
    validate_params,
)

__all__ = ["EarlyStopping", "ObjectiveProgressBar"]


class EarlyStopping:
    """Stop a fit when its objective, or a score, no longer improves.

    Set it on the estimator that iterates, which may be a step of a pipeline or be cloned by a
    search: ``estimator.set_callbacks(EarlyStopping())``. The fit that it stops is complete: the
    estimator can transform, and its ``stopped_by_callback_`` is True.

    Parameters
    ----------
    patience : int, default=5
        How many iterations in a row may pass without an improvement.

    min_delta : float, default=1e-3
        What counts as an improvement: a fraction of the best value so far.

    scoring : callable or None, default=None
        ``scoring(estimator) -> float``, greater is better, gets a fitted estimator as if fit
        had stopped at this iteration: to watch an error on entries held out, for example. By
        default the objective is watched, which the estimator minimizes.

    Notes
    -----
    Needs scikit-learn 1.9 or newer. What it watches is kept with each fit, so one instance
    serves all clones of an estimator, in threads too.

    Examples
    --------
    >>> from factorkit import NMF
    >>> from factorkit.callbacks import EarlyStopping
    >>> from sklearn.datasets import load_digits
    >>> X, _ = load_digits(return_X_y=True)
    >>> nmf = NMF(n_components=10, tol=0, random_state=0)
    >>> stopping = EarlyStopping(patience=3, min_delta=1e-2)
    >>> nmf.set_callbacks(stopping).fit(X).stopped_by_callback_
    True
    """

    @validate_params(
        {
            "patience": [Interval(Integral, 1, None, closed="left")],
            "min_delta": [Interval(Real, 0, None, closed="left")],
            "scoring": [callable, None],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(self, *, patience=5, min_delta=1e-3, scoring=None):
        self.patience = patience
        self.min_delta = min_delta
        self.scoring = scoring

    def setup(self, estimator, context):
        """Do nothing: what a fit needs is kept with its tasks."""

    def teardown(self, estimator, context):
        """Do nothing: what a fit needed went with its tasks."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: an iteration is judged at its end."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Return whether the fit is to stop."""
        if not hasattr(context, "objective"):  # not an iteration, or not one of ours
            return False
        value = context.objective if self.scoring is None else -self.scoring(fitted_estimator)
        # The parent lives as long as the fit, and belongs to this fit alone.
        watched = vars(context.parent).setdefault("_early_stopping", {})
        best, n_without = watched.get(id(self), (None, 0))
        if best is None or best - value > self.min_delta * abs(best):
            best, n_without = value, 0
        else:
            n_without += 1
        watched[id(self)] = best, n_without
        return n_without >= self.patience


class ObjectiveProgressBar(ProgressBar):
    """scikit-learn's progress bar, with the objective beside each fit.

    Parameters
    ----------
    max_propagation_depth : int or None, default=1
        The maximum depth of nested levels of estimators to display progress bars for. 0 shows
        the outermost estimator alone, None shows all levels.

    Notes
    -----
    Needs scikit-learn 1.9 or newer, and rich.

    Examples
    --------
    >>> from factorkit import NMF
    >>> from factorkit.callbacks import ObjectiveProgressBar
    >>> NMF(n_components=10).set_callbacks(ObjectiveProgressBar())  # doctest: +SKIP
    """

    def setup(self, estimator, context):
        """Open the display."""
        super().setup(estimator, context)
        if run_monitors is not None:
            monitor = run_monitors[context.root_uuid]
            monitor._on_task_end = functools.partial(_show_objective, monitor)

    def on_fit_task_end(self, estimator, context):
        """Advance the bar, and show the objective of an iteration."""
        objective = getattr(context, "objective", None)
        if objective is None or run_monitors is None:
            return super().on_fit_task_end(estimator, context)
        path = [ctx.task_id for ctx in get_context_path(context)]
        message = {"event": "end", "path": path, "objective": objective}
        send(self._listener_handles[context.root_uuid], message)


def _show_objective(monitor, task_info):
    """Handle the end of a task in the thread that draws the bars of a fit."""
    objective = task_info.pop("objective", None)
    path = list(task_info["path"])
    type(monitor)._on_task_end(monitor, task_info)
    if objective is None:
        return
    bar = monitor.root_rich_task.get_descendants(path[:-1])[-1]
    shown = monitor.progress_ctx.tasks[bar.id].description.partition(" | objective")[0]
    monitor.progress_ctx.update(bar.id, description=f"{shown} | objective {objective:.6g}")
