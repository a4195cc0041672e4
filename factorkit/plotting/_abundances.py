"""Abundances as maps."""

import numpy as np
from sklearn.utils import check_array

from ._panels import add_colour_bar, check_names, count_columns, image_panel, make_panels


class AbundanceDisplay:
    """Maps of the abundances, one for each endmember, on one scale.

    Parameters
    ----------
    maps : array-like of shape (n_rows, n_columns, n_endmembers)
        What ``abundance_maps`` of an estimator returns. NaN is a pixel without a value.

    names : list of str or None, default=None
        Titles of the panels; None counts them.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_endmembers,)
        The panels.

    colorbar_ : Colorbar
        The scale of all panels.

    figure_ : Figure
        Holds the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.plotting import AbundanceDisplay
    >>> maps = np.random.default_rng(0).dirichlet(np.ones(3), size=(20, 30))
    >>> display = AbundanceDisplay(maps, names=["water", "soil", "tree"])
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(self, maps, *, names=None):
        self.maps = check_array(
            maps,
            dtype=[np.float64, np.float32],
            allow_nd=True,
            ensure_all_finite="allow-nan",
            input_name="maps",
        )
        if self.maps.ndim != 3:
            raise ValueError(
                f"maps must be of shape (n_rows, n_columns, n_endmembers). Got {self.maps.shape}."
            )
        self.names = check_names(names, self.maps.shape[2], things="endmembers")

    @classmethod
    def from_estimator(cls, estimator, X=None, *, names=None, ax=None, **plot_kw):
        """Show the abundances that a fitted estimator finds.

        Parameters
        ----------
        estimator : estimator
            Has ``abundance_maps``.

        X : array-like or None, default=None
            A scene as ``abundance_maps`` takes it, of shape (n_rows, n_columns, n_bands) for
            example. None takes that of `fit`.

        names : list of str or None, default=None
            See :class:`AbundanceDisplay`.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : AbundanceDisplay
        """
        return cls(estimator.abundance_maps(X), names=names).plot(ax, **plot_kw)

    def plot(self, ax=None, *, n_columns=None, vmax=1.0, panel_kw=None):
        """Draw the panels.

        Parameters
        ----------
        ax : Axes, array-like of n_endmembers Axes, or None, default=None
            One for each endmember; or one made by ``plt.subplots`` whose place they share. None
            makes a figure.

        n_columns : int or None, default=None
            Panels in a row, where they are made here.

        vmax : float or None, default=1.0
            The abundance at the upper end of the scale, which begins at 0. None takes the
            largest.

        panel_kw : dict or None, default=None
            Arguments for ``imshow``.

        Returns
        -------
        display : AbundanceDisplay
            Itself.
        """
        n_rows, n_pixel_columns, n_endmembers = self.maps.shape
        panel_size, most = image_panel(n_rows, n_pixel_columns)
        if n_columns is None:
            n_columns = count_columns(ax, n_endmembers, most, panel_size)
        self.axes_ = make_panels(self, ax, n_endmembers, n_columns=n_columns, panel_size=panel_size)
        self.figure_ = self.axes_[0].figure
        largest = np.nanmax(self.maps, initial=0.0)
        style = {"cmap": "viridis", "vmin": 0, "vmax": vmax or largest or 1.0} | (panel_kw or {})
        names = self.names or [str(i) for i in range(n_endmembers)]
        for i, (panel, name) in enumerate(zip(self.axes_, names, strict=True)):
            image = panel.imshow(self.maps[:, :, i], **style)
            panel.set_title(name, fontsize="medium")
            # The frame keeps pixels without a value apart from the page.
            panel.set(xticks=[], yticks=[])
        self.colorbar_ = add_colour_bar(image, self.maps, self.axes_, "Abundance")
        return self
