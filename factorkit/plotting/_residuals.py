"""Where, and in which bands, an unmixing fails."""

import numpy as np
from sklearn.utils import check_array

from ._bands import BandAxis
from ._panels import add_colour_bar, image_panel, make_panels

# Entries of X that are compared with their reconstruction at a time.
_BLOCK_ENTRIES = 2**20


class ResidualDisplay:
    """A map of the error of each pixel, and the error of each band over the wavelength.

    Parameters
    ----------
    pixel_error : array-like of shape (n_pixels,)
        Error of each pixel; NaN where there is none.

    band_error : array-like of shape (n_bands,)
        Error of each band; NaN where there is none.

    image_shape : tuple of int
        Rows and columns of the map.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Centres of the bands in nanometres, in any order. None counts the bands.

    band_weights : array-like of shape (n_bands,) or None, default=None
        Bands that weigh less than one half are ruined: they are shaded, and may leave the axes,
        which fit the others.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (2,)
        The map and the curve.

    colorbar_ : Colorbar
        The scale of the map, which ends at the 99th percentile.

    figure_ : Figure
        Holds the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.plotting import ResidualDisplay
    >>> E = np.random.default_rng(0).random((20 * 30, 50))
    >>> display = ResidualDisplay(
    ...     np.sqrt(np.mean(E**2, axis=1)), np.sqrt(np.mean(E**2, axis=0)), image_shape=(20, 30)
    ... )
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(
        self, pixel_error, band_error, *, image_shape, wavelengths=None, band_weights=None
    ):
        self.pixel_error, self.band_error = (
            check_array(
                error,
                dtype=np.float64,
                ensure_2d=False,
                ensure_all_finite="allow-nan",
                input_name=name,
            ).ravel()
            for error, name in [(pixel_error, "pixel_error"), (band_error, "band_error")]
        )
        self.image_shape = tuple(image_shape)
        n_pixels = len(self.pixel_error)
        if len(self.image_shape) != 2 or np.prod(self.image_shape) != n_pixels:
            raise ValueError(
                f"image_shape must be (n_rows, n_columns) of {n_pixels} pixels. Got {image_shape}."
            )
        self._bands = BandAxis(len(self.band_error), wavelengths, band_weights)
        self.wavelengths, self.band_weights = self._bands.wavelengths, self._bands.band_weights

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        relative=False,
        image_shape=None,
        wavelengths=None,
        ax=None,
        **plot_kw,
    ):
        """Show how far a scene is from its reconstruction by a fitted estimator.

        .. math::

            p_i = \\sqrt{\\operatorname{mean}_{l \\in K} r_{il}^2}, \\qquad
            b_l = \\sqrt{\\operatorname{mean}_i r_{il}^2}, \\qquad R = X - AE

        with A from ``transform``, E the ``components_`` and K the bands that aren't ruined. The
        means run over the entries that aren't missing.

        Parameters
        ----------
        estimator : estimator
            Has ``transform`` and ``components_``, and may have ``image_shape_``,
            ``wavelengths_`` and ``band_weights_``.

        X : array-like of shape (n_rows, n_columns, n_bands) or (n_pixels, n_bands)
            The scene. NaN is missing, if the estimator takes that.

        relative : bool, default=False
            Whether to divide by the root mean squares of X in the same entries.

        image_shape : tuple of int or None, default=None
            Rows and columns of an X of two dimensions. None takes those of the estimator.

        wavelengths : array-like of shape (n_bands,) or None, default=None
            None takes those of the estimator, if it has any.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : ResidualDisplay

        Raises
        ------
        ValueError
            Where it is not known how the pixels lie.
        """
        abundances = np.asarray(estimator.transform(X))
        X = np.asarray(X)
        if X.ndim == 3:
            image_shape = X.shape[:2]
        elif image_shape is None:
            image_shape = getattr(estimator, "image_shape_", None)
        if image_shape is None:
            raise ValueError(
                "It is not known how the pixels of X lie: give image_shape=(n_rows, n_columns), "
                "or X as an array of n_rows × n_columns × n_bands."
            )
        band_weights = getattr(estimator, "band_weights_", None)
        n_bands = X.shape[-1]
        kept = BandAxis(n_bands, None, band_weights).kept
        errors = _errors(X.reshape(-1, n_bands), abundances, estimator.components_, kept, relative)
        if wavelengths is None:
            wavelengths = getattr(estimator, "wavelengths_", None)
        display = cls(
            *errors, image_shape=image_shape, wavelengths=wavelengths, band_weights=band_weights
        )
        name = "Error, relative" if relative else "Root mean square error"
        return display.plot(ax, **({"error_name": name} | plot_kw))

    def plot(self, ax=None, *, error_name="Root mean square error", image_kw=None, line_kw=None):
        """Draw the panels.

        Parameters
        ----------
        ax : Axes, array-like of 2 Axes, or None, default=None
            One for each panel; or one made by ``plt.subplots`` whose place they share. None
            makes a figure, with the map on top where the scene is wide.

        error_name : str, default="Root mean square error"
            Label of the errors.

        image_kw : dict or None, default=None
            Arguments for the map's ``imshow``.

        line_kw : dict or None, default=None
            Arguments for the curve's :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ResidualDisplay
            Itself.
        """
        self.axes_ = make_panels(self, ax, 2, **self._arrangement())
        self.figure_ = self.axes_[0].figure
        self._plot_map(self.axes_[0], image_kw or {})
        self._plot_bands(self.axes_[1], error_name, line_kw or {})
        return self

    def _arrangement(self):
        """The map on top of the curve where it is wide, else beside it: arguments of the grid."""
        height, width = self.image_shape
        size, _ = image_panel(height, width)
        if width > 2 * height:
            return {"panel_size": (6.5, (size[1] + 2.8) / 2), "height_ratios": [size[1], 2.8]}
        tall = min(max(size[1], 3.0), 5.0)
        # What the title and the colour bar leave.
        wide = (tall - 0.5) * width / height + 0.9
        return {
            "n_columns": 2,
            "panel_size": ((wide + 4.2) / 2, tall),
            "width_ratios": [wide, 4.2],
        }

    def _plot_map(self, panel, image_kw):
        found = self.pixel_error[np.isfinite(self.pixel_error)]
        # A single bright pixel would leave the rest dark.
        largest = np.percentile(found, 99) or found.max() if found.size else 0.0
        style = {"cmap": "magma", "vmin": 0, "vmax": largest or 1.0} | image_kw
        image = panel.imshow(self.pixel_error.reshape(self.image_shape), **style)
        panel.set(xticks=[], yticks=[])
        panel.set_title("By pixel", fontsize="medium")
        self.colorbar_ = add_colour_bar(image, self.pixel_error, [panel])

    def _plot_bands(self, panel, error_name, line_kw):
        self._bands.shade(panel, "ruined bands")
        self._bands.plot_kept(panel, self.band_error, **({"linewidth": 1.6} | line_kw))
        self._bands.finish(panel, self.band_error)
        panel.set_xlabel(self._bands.label)
        panel.set_ylabel(error_name)
        panel.set_title("By band", fontsize="medium")
        if not self._bands.kept.all():
            panel.legend(fontsize="small", framealpha=0.7)


def _errors(X, abundances, endmembers, kept, relative):
    """Errors of pixels, over the bands kept, and of bands, a block of pixels at a time.

    Returns
    -------
    pixel_error : ndarray of float64 of shape (n_pixels,)
        NaN where all is missing.

    band_error : ndarray of float64 of shape (n_bands,)
    """
    n_pixels, n_bands = X.shape
    pixel_error = np.empty(n_pixels)
    band_squares, band_sizes = np.zeros(n_bands), np.zeros(n_bands)
    step = max(1, _BLOCK_ENTRIES // n_bands)
    for start in range(0, n_pixels, step):
        rows = slice(start, start + step)
        block = np.asarray(X[rows], dtype=np.float64)
        observed = ~np.isnan(block)
        squares = np.where(observed, block - abundances[rows] @ endmembers, 0.0) ** 2
        # What the squares are measured by: those of X, or how many there are.
        sizes = np.where(observed, block, 0.0) ** 2 if relative else observed.astype(np.float64)
        pixel_error[rows] = _root(squares[:, kept].sum(axis=1), sizes[:, kept].sum(axis=1))
        band_squares += squares.sum(axis=0)
        band_sizes += sizes.sum(axis=0)
    return pixel_error, _root(band_squares, band_sizes)


def _root(squares, sizes):
    return np.sqrt(np.divide(squares, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))
