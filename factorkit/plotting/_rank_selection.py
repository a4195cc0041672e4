"""The error on held-out entries, and the stability, over the number of components."""

import numpy as np
from sklearn.utils import check_array, column_or_1d

from ._panels import make_panels


class RankSelectionDisplay:
    """Held-out error, and stability, over the number of components.

    It shows the mean error of the folds with its standard error, marks the number of components
    that was chosen, and shows the stability over restarts on a second panel.

    Parameters
    ----------
    ranks : array-like of int of shape (n_ranks,)
        Numbers of components that were tried, increasing.

    errors : array-like of shape (n_ranks, n_folds)
        Error on the held-out entries of each fold; smaller is better. NaN is a fold that failed.

    stability : array-like of shape (n_ranks,) or None, default=None
        How alike the components of restarts are, 1 at best; NaN where it wasn't measured.

    n_components : int or None, default=None
        The number of components to mark. None marks nothing.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (1,) or (2,)
        The panel of the errors, and that of the stability where there is one.

    figure_ : Figure
        Holds the axes.

    errorbar_ : ErrorbarContainer
        The errors.

    See Also
    --------
    factorkit.RankSelection : Measures what is shown.

    Examples
    --------
    >>> from factorkit.plotting import RankSelectionDisplay
    >>> errors = [[0.9, 1.1], [0.4, 0.5], [0.2, 0.3], [0.3, 0.3]]
    >>> display = RankSelectionDisplay([1, 2, 3, 4], errors, n_components=3)
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(self, ranks, errors, stability=None, n_components=None):
        self.ranks = column_or_1d(ranks, dtype=np.intp)
        self.errors = check_array(
            errors, dtype=np.float64, ensure_all_finite="allow-nan", input_name="errors"
        )
        self.stability = None if stability is None else column_or_1d(stability, dtype=np.float64)
        self.n_components = n_components
        n_ranks = len(self.ranks)
        for name, values in [("errors", self.errors), ("stability", self.stability)]:
            if values is not None and len(values) != n_ranks:
                raise ValueError(f"{name} has {len(values)} rows; ranks has {n_ranks}.")
        if n_components is not None and n_components not in self.ranks:
            raise ValueError(f"n_components={n_components} is not among the ranks.")

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **plot_kw):
        """Show what a fitted :class:`factorkit.RankSelection` measured.

        Parameters
        ----------
        estimator : estimator
            Has ``ranks_``, ``errors_``, ``stability_`` and ``n_components_``.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RankSelectionDisplay
        """
        display = cls(
            estimator.ranks_,
            estimator.errors_,
            getattr(estimator, "stability_", None),
            estimator.n_components_,
        )
        return display.plot(ax, **plot_kw)

    @classmethod
    def from_search(cls, search, *, parameter=None, ax=None, **plot_kw):
        """Show the scores of a search over the number of components.

        Parameters
        ----------
        search : GridSearchCV or RandomizedSearchCV
            Fitted, over the entries of :class:`factorkit.EntryRegressor` as a rule. The error of
            a candidate is its score, of which greater is better, with the sign changed. Where
            other parameters vary too, each number of components shows its best candidate.

        parameter : str or None, default=None
            The parameter that is the number of components. None takes the only one whose name
            ends in ``n_components`` or ``rank``.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : RankSelectionDisplay

        Raises
        ------
        ValueError
            Where `parameter` is None and the search has no such parameter, or several.
        """
        candidates = search.cv_results_["params"]
        if parameter is None:
            names = {name for candidate in candidates for name in candidate}
            fitting = sorted(
                name for name in names if name.rpartition("__")[2] in ("n_components", "rank")
            )
            if len(fitting) != 1:
                raise ValueError(
                    "parameter has to name the one that is the number of components; the search "
                    f"varies {', '.join(sorted(names))}."
                )
            (parameter,) = fitting
        score = search.refit if search.multimetric_ else "score"
        errors = -np.column_stack(
            [search.cv_results_[f"split{fold}_test_{score}"] for fold in range(search.n_splits_)]
        )
        means = np.nan_to_num(errors.mean(axis=1), nan=np.inf)
        best = {}
        for i in np.argsort(means, kind="stable"):
            best.setdefault(candidates[i][parameter], i)
        ranks = sorted(best)
        display = cls(
            ranks,
            errors[[best[rank] for rank in ranks]],
            n_components=search.best_params_[parameter],
        )
        return display.plot(ax, **plot_kw)

    def plot(self, ax=None, *, error_name="Held-out error", error_kw=None):
        """Draw the panels.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            One for each panel; or one made by ``plt.subplots`` whose place they share. None
            makes a figure.

        error_name : str, default="Held-out error"
            Label of the errors.

        error_kw : dict or None, default=None
            Arguments for the errors' :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : RankSelectionDisplay
            Itself.
        """
        has_stability = self.stability is not None
        self.axes_ = make_panels(
            self,
            ax,
            1 + has_stability,
            panel_size=(6.0, 2.7 if has_stability else 4.0),
            height_ratios=[2, 1] if has_stability else None,
            sharex=True,
        )
        self.figure_ = self.axes_[0].figure
        mean, standard_error = self._summary()
        style = {"fmt": "o-", "markersize": 5, "capsize": 3, "elinewidth": 1.2}
        self.errorbar_ = self.axes_[0].errorbar(
            self.ranks,
            mean,
            yerr=standard_error,
            **(style | (error_kw or {})),
        )
        self.axes_[0].set_ylabel(error_name)
        if has_stability:
            self.axes_[1].plot(self.ranks, self.stability, "o-", color="C2", markersize=5)
            self.axes_[1].set_ylabel("Stability")
            low = np.nanmin(self.stability, initial=1.0)
            self.axes_[1].set_ylim(low - 0.1 * (1.02 - low) - 0.01, 1.02)
        if self.n_components is not None:
            self._mark(mean)
        for panel in self.axes_:
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        self.axes_[-1].set_xlabel("Number of components")
        self.axes_[-1].locator_params(axis="x", integer=True)
        return self

    def _summary(self):
        """Mean over the folds and its standard error; NaN where there are too few folds."""
        there = ~np.isnan(self.errors)
        n = there.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(there, self.errors, 0).sum(axis=1) / n
            squares = np.where(there, self.errors - mean[:, None], 0) ** 2
            standard_error = np.sqrt(squares.sum(axis=1) / (n - 1) / n)
        return mean, np.where(n > 1, standard_error, 0.0)

    def _mark(self, mean):
        for panel in self.axes_:
            panel.axvline(self.n_components, color="C3", linewidth=1, linestyle="--", zorder=0)
        at = np.flatnonzero(self.ranks == self.n_components)[0]
        self.axes_[0].plot(
            self.n_components,
            mean[at],
            "o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor="C3",
            markeredgewidth=1.6,
            label=f"Chosen: {self.n_components}",
        )
        self.axes_[0].legend(frameon=False)
