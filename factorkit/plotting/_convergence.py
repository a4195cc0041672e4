"""How fast fits come near the best objective."""

import numpy as np
from sklearn.utils import column_or_1d

from ._panels import make_panels


class ConvergenceDisplay:
    """Objectives over the iterations, as their distance from the best, on a logarithmic axis.

    A curve shows (f_t - f*) / \\|f*\\|, where f_t is the objective after iteration t and f* the
    lowest of all. What is at f* itself has no place on the axis: the best fit's curve ends
    before its last iteration.

    Parameters
    ----------
    histories : list of array-like of shape (n_iter,)
        The objective after each iteration, of each fit.

    names : list of str or None, default=None
        Names of the fits for the legend; None leaves that out.

    best : float or None, default=None
        f*, where a lower objective is known than these fits reached.

    times : list of array-like of shape (n_iter,) or None, default=None
        The time of each iteration of each fit, to be shown in the place of its number.

    Attributes
    ----------
    ax_ : Axes
        Holds the curves.

    figure_ : Figure
        Holds the axes.

    lines_ : list of Line2D
        The curves.

    Examples
    --------
    >>> from factorkit.plotting import ConvergenceDisplay
    >>> display = ConvergenceDisplay([[9.0, 4.0, 3.1], [9.0, 3.2, 3.0]], ["slow", "fast"])
    >>> display.gaps()[0].round(2).tolist()
    [2.0, 0.33, 0.03]
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(self, histories, names=None, *, best=None, times=None):
        self.histories = [column_or_1d(history, dtype=np.float64) for history in histories]
        if not any(history.size for history in self.histories):
            raise ValueError("histories holds no objective.")
        self.names = None if names is None else list(names)
        self.best = best
        self.times = None
        if times is not None:
            self.times = [column_or_1d(time, dtype=np.float64) for time in times]
        lengths = [len(history) for history in self.histories]
        if names is not None and len(self.names) != len(lengths):
            raise ValueError(f"names has {len(self.names)} names for {len(lengths)} histories.")
        if times is not None and [len(time) for time in self.times] != lengths:
            raise ValueError(
                f"times holds {[len(time) for time in self.times]} numbers; the histories hold "
                f"{lengths}."
            )
        lowest = min(np.min(history, initial=np.inf) for history in self.histories)
        if best is not None and best > lowest:
            raise ValueError(
                f"best={best:.9g} is above an objective of the histories, {lowest:.9g}."
            )

    @classmethod
    def from_estimator(cls, *estimators, names=None, best=None, ax=None, **plot_kw):
        """Show the histories of fitted estimators.

        Parameters
        ----------
        *estimators : estimators
            Each has ``objective_``, one number an iteration. They minimize the same objective.

        names : list of str or None, default=None
            Names for the legend; None takes those of the classes where there are several.

        best : float or None, default=None
            A lower objective than theirs, where one is known.

        ax : Axes or None, default=None
            Where to draw; None makes a figure.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : ConvergenceDisplay

        Raises
        ------
        ValueError
            For an estimator without a history.
        """
        for estimator in estimators:
            if not hasattr(estimator, "objective_"):
                raise ValueError(
                    f"This {type(estimator).__name__} has no objective_: it is not fitted, or "
                    "keeps no history."
                )
        if names is None and len(estimators) > 1:
            names = [type(estimator).__name__ for estimator in estimators]
        histories = [estimator.objective_ for estimator in estimators]
        return cls(histories, names, best=best).plot(ax, **plot_kw)

    def gaps(self):
        """Return the curves: the distance of each objective from the best, relative to it.

        Returns
        -------
        gaps : list of ndarray of shape (n_iter,)
            Where the best is 0 the distance itself.
        """
        best = self.best
        if best is None:
            best = min(np.min(history, initial=np.inf) for history in self.histories)
        return [(history - best) / (abs(best) or 1.0) for history in self.histories]

    def plot(self, ax=None, *, line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : Axes or None, default=None
            Where to draw; None makes a figure.

        line_kw : dict or None, default=None
            Arguments for :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ConvergenceDisplay
            Itself.
        """
        (self.ax_,) = make_panels(self, ax, 1)
        self.figure_ = self.ax_.figure
        self.lines_ = []
        for i, gap in enumerate(self.gaps()):
            x = np.arange(1, len(gap) + 1) if self.times is None else self.times[i]
            there = gap > 0
            style = {"linewidth": 1.8, "label": None if self.names is None else self.names[i]}
            if there.sum() == 1:
                style["marker"] = "o"
            self.lines_ += self.ax_.plot(x[there], gap[there], **(style | (line_kw or {})))
        self.ax_.set_yscale("log")
        self.ax_.set_xlabel("Iteration" if self.times is None else "Time (s)")
        self.ax_.set_ylabel("Objective above the best, relative")
        if self.times is None:
            self.ax_.locator_params(axis="x", integer=True)
        self.ax_.grid(alpha=0.25)
        self.ax_.spines[["top", "right"]].set_visible(False)
        if self.names is not None:
            self.ax_.legend(frameon=False)
        return self
