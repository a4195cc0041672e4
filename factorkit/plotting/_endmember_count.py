"""Which components of a scene stand out of its noise."""

import numpy as np
from sklearn.utils import check_array

from ._panels import make_panels

# Components from which on marks shrink, so that they touch no more than those of so many, and the
# size below which they are no marks.
_ROOMY, _SMALLEST = 40, 1.5


class EndmemberCountDisplay:
    """What the number of endmembers was read off: a criterion against a threshold, by component.

    Eigenvalues are on a logarithmic axis; what isn't positive has no place on it.

    Parameters
    ----------
    criterion : array-like of shape (n_components,)
        Of each component, an eigenvalue for instance.

    threshold : array-like of shape (n_components,)
        What the criterion of an endmember exceeds.

    n_endmembers : int or None, default=None
        How many components, from the first on, are taken for endmembers. None takes all above
        the threshold, wherever they are.

    criterion_name : str, default="Criterion"
        Label of the axis.

    Attributes
    ----------
    ax_ : Axes
        Holds the curves.

    figure_ : Figure
        Holds the axes.

    criterion_line_, threshold_line_ : Line2D
        The curves.

    endmembers_ : Line2D
        Marks of the components that are taken for endmembers.

    See Also
    --------
    factorkit.unmixing.estimate_n_endmembers : Compares what is shown.

    Examples
    --------
    >>> from factorkit.plotting import EndmemberCountDisplay
    >>> display = EndmemberCountDisplay([90.0, 20.0, 7.0, 1.1, 1.0], [1.2, 1.2, 1.2, 1.2, 1.2])
    >>> display.n_endmembers
    3
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(self, criterion, threshold, n_endmembers=None, *, criterion_name="Criterion"):
        self.criterion = _check_curve(criterion, "criterion")
        self.threshold = _check_curve(threshold, "threshold")
        if len(self.threshold) != len(self.criterion):
            raise ValueError(
                f"threshold has {len(self.threshold)} numbers; criterion has {len(self.criterion)}."
            )
        if n_endmembers is None:
            self.taken = self.criterion > self.threshold
        elif not 0 <= n_endmembers <= len(self.criterion):
            raise ValueError(
                f"n_endmembers={n_endmembers} is not between 0 and the {len(self.criterion)} "
                "components."
            )
        else:
            self.taken = np.arange(len(self.criterion)) < n_endmembers
        self.n_endmembers = int(self.taken.sum())
        self.criterion_name = criterion_name

    @classmethod
    def from_count(cls, count, *, ax=None, **plot_kw):
        """Show what :func:`factorkit.unmixing.estimate_n_endmembers` compared.

        Parameters
        ----------
        count : Bunch
            What it returned.

        ax : Axes or None, default=None
            Where to draw; None makes a figure.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : EndmemberCountDisplay
        """
        display = cls(count.criterion, count.threshold, criterion_name=count.criterion_name)
        # Correlations are between -1 and 1.
        scale = "linear" if count.method == "spatial" else "log"
        return display.plot(ax, **({"scale": scale} | plot_kw))

    def plot(self, ax=None, *, max_components=None, scale="log", line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : Axes or None, default=None
            Where to draw; None makes a figure.

        max_components : int or None, default=None
            Show no more than the first ones; None shows three times as many as there are
            endmembers, and at least 20.

        scale : {"log", "linear"}, default="log"
            Of the axis of the criterion. :meth:`from_count` takes a linear one for correlations.

        line_kw : dict or None, default=None
            Arguments for the criterion's :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : EndmemberCountDisplay
            Itself.
        """
        (self.ax_,) = make_panels(self, ax, 1)
        self.figure_ = self.ax_.figure
        if max_components is None:
            max_components = max(3 * self.n_endmembers, 20)
        shown = slice(max_components)
        lowest = 0 if scale == "log" else -np.inf
        criterion, threshold = (
            np.where(np.isfinite(values) & (values > lowest), values, np.nan)[shown]
            for values in (self.criterion, self.threshold)
        )
        component = np.arange(1, len(criterion) + 1)
        shrink = min(1.0, _ROOMY / max(len(component), 1))
        style = {
            "marker": "o",
            "markersize": max(5 * shrink, _SMALLEST),
            "markerfacecolor": "white",
            "linewidth": 1.2,
        }
        (self.criterion_line_,) = self.ax_.plot(component, criterion, **(style | (line_kw or {})))
        (self.threshold_line_,) = self.ax_.plot(
            component,
            threshold,
            color="0.4",
            linestyle="--",
            linewidth=1.2,
            label="Threshold",
            zorder=3,  # above the marks
        )
        taken = self.taken[shown]
        (self.endmembers_,) = self.ax_.plot(
            component[taken],
            criterion[taken],
            linestyle="none",
            marker="o",
            markersize=max(7 * shrink, _SMALLEST),
            color="C3",
            label=f"Endmembers: {self.n_endmembers}",
        )
        self.ax_.set_yscale(scale)
        self.ax_.set_xlabel("Component")
        self.ax_.set_ylabel(self.criterion_name)
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.grid(alpha=0.25)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False)
        return self


def _check_curve(values, name):
    """Numbers in one dimension, which may be infinite: what no component can exceed."""
    values = check_array(
        values,
        dtype=np.float64,
        ensure_2d=False,
        ensure_all_finite=False,
        ensure_min_samples=0,
        input_name=name,
    )
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension. Got shape {values.shape}.")
    return values
