"""Components as images, as spectra, or as the features that weigh most."""

import numpy as np
from sklearn.utils import check_array, column_or_1d

from ._panels import check_names, count_columns, lowest_panels, make_panels


class ComponentsDisplay:
    """Components in small panels: as images, as spectra, or as bars of their top features.

    What is given says how: `image_shape` makes images, `feature_names` bars, and else they are
    curves over `x`.

    Parameters
    ----------
    components : array-like of shape (n_components, n_features)
        One component a row.

    image_shape : tuple of int or None, default=None
        Height and width of the images, whose product is n_features; a third number, 3 or 4, is
        for colours.

    x : array-like of shape (n_features,) or None, default=None
        Positions of the features on the axis of the curves, wavelengths for example, in any
        order. None counts them.

    feature_names : array-like of str of shape (n_features,) or None, default=None
        Names of the features, words for example.

    names : list of str or None, default=None
        Titles of the panels; None counts them.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_components,)
        The panels.

    figure_ : Figure
        Holds the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.plotting import ComponentsDisplay
    >>> display = ComponentsDisplay(np.eye(4), image_shape=(2, 2))
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(self, components, *, image_shape=None, x=None, feature_names=None, names=None):
        self.components = check_array(components, dtype=np.float64, input_name="components")
        self.image_shape = None if image_shape is None else tuple(image_shape)
        self.x = None if x is None else column_or_1d(x, dtype=np.float64)
        self.feature_names = None if feature_names is None else np.asarray(feature_names, dtype=str)
        n_components, n_features = self.components.shape
        self.names = check_names(names, n_components)
        if sum(given is not None for given in (image_shape, x, feature_names)) > 1:
            raise ValueError("Give one of image_shape, x and feature_names: each is a picture.")
        for name, values in [("x", self.x), ("feature_names", self.feature_names)]:
            if values is not None and len(values) != n_features:
                raise ValueError(
                    f"{name} has length {len(values)}; there are {n_features} features."
                )
        if image_shape is not None and np.prod(self.image_shape) != n_features:
            raise ValueError(
                f"image_shape={self.image_shape} has {np.prod(self.image_shape)} pixels; there are "
                f"{n_features} features."
            )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        image_shape=None,
        x=None,
        feature_names=None,
        names=None,
        ax=None,
        **plot_kw,
    ):
        """Show the ``components_`` of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Has ``components_``.

        image_shape, x, feature_names, names
            See :class:`ComponentsDisplay`.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : ComponentsDisplay
        """
        display = cls(
            estimator.components_,
            image_shape=image_shape,
            x=x,
            feature_names=feature_names,
            names=names,
        )
        return display.plot(ax, **plot_kw)

    def plot(self, ax=None, *, n_columns=None, n_top=10, x_name=None, panel_kw=None):
        """Draw the panels.

        Parameters
        ----------
        ax : Axes, array-like of n_components Axes, or None, default=None
            One for each component; or one made by ``plt.subplots`` whose place they share. None
            makes a figure.

        n_columns : int or None, default=None
            Panels in a row, where they are made here.

        n_top : int, default=10
            Features with a bar: those that weigh most.

        x_name : str or None, default=None
            What the curves run over.

        panel_kw : dict or None, default=None
            Arguments for what draws a panel: ``imshow``, ``plot`` or ``barh``.

        Returns
        -------
        display : ComponentsDisplay
            Itself.
        """
        if self.image_shape is not None:
            self._plot_images(ax, n_columns, panel_kw or {})
        elif self.feature_names is not None:
            self._plot_bars(ax, n_columns, n_top, panel_kw or {})
        else:
            self._plot_curves(ax, n_columns, x_name, panel_kw or {})
        self.figure_ = self.axes_[0].figure
        return self

    def _panels(self, ax, n_columns, most, panel_size, title="Component ", **grid):
        n_panels = len(self.components)
        if n_columns is None:
            n_columns = count_columns(ax, n_panels, most, panel_size)
        self.axes_ = make_panels(
            self, ax, n_panels, n_columns=n_columns, panel_size=panel_size, **grid
        )
        names = self.names or [f"{title}{i}" for i in range(n_panels)]
        for panel, name in zip(self.axes_, names, strict=True):
            panel.set_title(name, fontsize="medium")
        return zip(self.axes_, self.components, strict=True)

    def _plot_images(self, ax, n_columns, panel_kw):
        height, width = self.image_shape[:2]
        # Panels of about 2 square inches.
        size = 1.45 * np.sqrt(np.array([width / height, height / width]))
        panels = self._panels(ax, n_columns, 8, (size[0], size[1] + 0.25), title="")
        for panel, component in panels:
            # The brightest pixels saturate: a single one of them would leave the rest dark.
            largest = np.percentile(np.abs(component), 99) or np.abs(component).max()
            style = {"cmap": "gray", "vmin": 0, "vmax": largest} | panel_kw
            if component.min() < 0:
                style = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest} | panel_kw
            elif len(self.image_shape) == 3:
                component = (component / (largest or 1.0)).clip(0, 1)
            panel.imshow(component.reshape(self.image_shape), **style)
            panel.set(xticks=[], yticks=[])

    def _plot_curves(self, ax, n_columns, x_name, panel_kw):
        x = np.arange(self.components.shape[1]) if self.x is None else self.x
        order = np.argsort(x, kind="stable")
        panels = self._panels(ax, n_columns, 4, (3.0, 1.8), sharex=True)
        style = {"linewidth": 1.4} | panel_kw
        for i, (panel, component) in enumerate(panels):
            colour = {"color": f"C{i % 10}"} | style
            panel.plot(x[order], component[order], **colour)
            panel.margins(x=0)
            if component.min() >= 0:
                panel.set_ylim(bottom=0)
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
            panel.locator_params(axis="y", nbins=4)
        if x_name is not None:
            for panel in lowest_panels(self.axes_):
                panel.set_xlabel(x_name)

    def _plot_bars(self, ax, n_columns, n_top, panel_kw):
        n_top = min(n_top, self.components.shape[1])
        longest = max(len(name) for name in self.feature_names[self._top(n_top)].ravel())
        size = (1.5 + 0.085 * longest, 0.6 + 0.2 * n_top)
        panels = self._panels(ax, n_columns, 5, size)
        for (panel, component), top in zip(panels, self._top(n_top), strict=True):
            # By position: two features of one name would share a bar.
            panel.barh(range(n_top), component[top], **({"height": 0.7} | panel_kw))
            panel.set_yticks(range(n_top), self.feature_names[top])
            panel.invert_yaxis()
            panel.tick_params(axis="y", length=0)
            panel.locator_params(axis="x", nbins=3)
            panel.spines[["top", "right"]].set_visible(False)

    def _top(self, n_top):
        """Features that weigh most in each component, the heaviest first."""
        return np.argsort(-np.abs(self.components), axis=1, kind="stable")[:, :n_top]
