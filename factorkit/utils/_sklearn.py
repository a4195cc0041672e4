"""Every private or recent name of scikit-learn that the project uses, once.

scikit-learn >= 1.7 is supported; its callbacks exist since 1.9.
"""

import contextlib
import functools
import operator

import sklearn
from sklearn.base import ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import validate_data

try:
    from sklearn.callback import CallbackSupportMixin, ProgressBar, with_callbacks

    HAS_CALLBACKS = True
except ImportError:
    HAS_CALLBACKS = False

    def _refuse_callbacks():
        raise NotImplementedError(
            "Callbacks need scikit-learn 1.9 or newer, and this is scikit-learn "
            f"{sklearn.__version__}. Without callbacks everything else works."
        )

    class CallbackSupportMixin:
        """Stands in for scikit-learn's mixin where that has no callbacks."""

        def set_callbacks(self, *callbacks):
            """Refuse callbacks, in words; setting none is accepted."""
            if callbacks:
                _refuse_callbacks()
            return self

    class ProgressBar:
        """Stands in for scikit-learn's progress bar where that has none."""

        def __init__(self, max_propagation_depth=1):
            _refuse_callbacks()

    def with_callbacks(method):
        """Return the method as it is: there is no callback to tear down."""
        return method


try:  # what ObjectiveProgressBar adds to the display; without it that is a plain progress bar
    from sklearn.callback._callback_context import get_context_path
    from sklearn.callback._progressbar import _run_monitors as run_monitors
    from sklearn.callback._transport import send
except ImportError:
    get_context_path = run_monitors = send = None


__all__ = [
    "HAS_CALLBACKS",
    "CallbackSupportMixin",
    "ClassNamePrefixFeaturesOutMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "InvalidParameterError",
    "IterationTask",
    "Options",
    "ProgressBar",
    "StrOptions",
    "fit_method",
    "get_context_path",
    "iterate_with_callbacks",
    "propagate_callbacks",
    "run_monitors",
    "send",
    "validate_data",
    "validate_params",
    "with_callbacks",
]


def fit_method(method=None, *, validate_inner=False):
    """Decorate a method that fits: parameters are validated, callbacks are torn down, and an
    exception (an interruption by the user too) leaves the estimator as it was before the call.

    Parameters
    ----------
    method : callable
        ``fit``, ``fit_transform`` or ``partial_fit`` of an estimator.

    validate_inner : bool, default=False
        Validate the parameters of estimators that are fitted inside as well: for
        meta-estimators, which receive estimators that nobody has validated.
    """
    if method is None:
        return functools.partial(fit_method, validate_inner=validate_inner)
    managed = with_callbacks(_fit_context(prefer_skip_nested_validation=not validate_inner)(method))

    @functools.wraps(method)
    def fit_or_restore(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            return managed(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return fit_or_restore


class _SilentTask:
    """What a solver reports to when nobody listens."""

    active = False
    stopped = False

    def __call__(self, objective=None, *state):
        return False

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        return None


_SILENT = _SilentTask()


class IterationTask:
    """What a solver reports to when callbacks are set: each report is a task that has ended.

    Made by :func:`iterate_with_callbacks`, which documents it.
    """

    active = True

    def __init__(self, estimator, max_iter, X, y, attributes):
        self.stopped = False
        self._estimator = estimator
        self._attributes = attributes
        # scikit-learn's ScoringMonitor is silent where y is None. What a factorization is fitted
        # to is X itself.
        self._data = {"X": X, "y": X if y is None else y}
        self._root = estimator._init_callback_context(max_subtasks=max_iter)
        self._root.call_on_fit_task_begin(estimator=estimator, **self._data)

    def __call__(self, objective=None, *state):
        # scikit-learn holds every subcontext until the fit ends, so what is attached to one
        # must be small. The metadata of a task can't carry the objective: ScoringMonitor hands
        # them to its scorer.
        task = self._root.subcontext(task_name="iteration")
        task.objective = objective
        task.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        attributes = functools.partial(self._attributes, *state) if state else None
        self.stopped |= task.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=attributes, **self._data
        )
        return self.stopped

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, traceback):
        if exc_type is None:
            self._root.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes={}, **self._data
            )


def iterate_with_callbacks(estimator, max_iter, X, y=None, *, attributes=operator.call):
    """Open the root task of a fit and return what its solver reports each iteration to.

    Call it once in a method decorated with :func:`fit_method`::

        with iterate_with_callbacks(self, max_iter, X, attributes=as_fitted) as report:
            W, H, ... = solver(..., report=report)
            self.components_ = H
            self.stopped_by_callback_ = report.stopped

    and in the solver, at the end of an iteration: ``if report(objective, W, H): break``.
    Fitted attributes are set before the block is left: its end is the end of the fit.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.

    max_iter : int or None
        How many reports can come at most; None where that is unknown.

    X, y : array-like
        As the caller of ``fit`` gave them, so that callbacks see the feature names.

    attributes : callable, default=operator.call
        ``attributes(*state)`` turns what the solver reports besides the objective into a dict
        of fitted attributes, enough to transform. It is called only where a callback wants a
        fitted estimator, and must copy arrays that the solver goes on writing to. By default
        the solver reports one callable that returns the dict.

    Returns
    -------
    report : callable and context manager
        ``report(objective, *state) -> bool`` is true when a callback asks to stop; callbacks
        read the objective from ``context.objective``. ``report.stopped`` is the last answer.
        ``report.active`` is false when no callback is set: a report then costs a call to an
        empty function, and a solver can spare an objective that nobody sees.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        return _SILENT
    return IterationTask(estimator, max_iter, X, y, attributes)


@contextlib.contextmanager
def propagate_callbacks(estimator, sub_estimator, X, y):
    """Hand the callbacks of a meta-estimator to the one estimator that it fits in the block.

    For ``fit`` of a meta-estimator, decorated with :func:`fit_method`; X and y are what callbacks
    of the meta-estimator see. Where scikit-learn has no callbacks it does nothing.
    """
    if not HAS_CALLBACKS:
        yield
        return
    data = {"estimator": estimator, "X": X, "y": y}
    root = estimator._init_callback_context(max_subtasks=1)
    root.call_on_fit_task_begin(**data)
    task = root.subcontext(task_name="fit-estimator")
    with task.propagate_callback_context(sub_estimator):
        task.call_on_fit_task_begin(**data)
        yield
        task.call_on_fit_task_end(**data)
    root.call_on_fit_task_end(**data, reconstruction_attributes={})
