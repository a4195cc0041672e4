"""Spectra of endmembers over the wavelength, with what they should be."""

import numpy as np
from sklearn.utils import check_array

from factorkit.metrics import matched_components

from ._bands import BandAxis
from ._panels import check_names, count_columns, lowest_panels, make_panels

_PANEL_SIZE = (3.6, 2.2)


class EndmemberDisplay:
    """Spectra of the endmembers in small panels, with ruined bands shaded and references matched.

    Each endmember gets a reference of its own, as far as there are enough, so that the sum of the
    spectral angles is least. A reference is drawn at the scale at which it is nearest to its
    endmember in the sense of least squares, as the angle is blind to scales; the angle stands in
    the title of the panel. Ruined bands play no part in any of this, nor in the limits of the
    axes.

    Parameters
    ----------
    endmembers : array-like of shape (n_endmembers, n_bands)
        One spectrum a row.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Centres of the bands in nanometres, in any order. The curves break where bands are left
        out. None counts the bands.

    band_weights : array-like of shape (n_bands,) or None, default=None
        Bands that weigh less than one half are ruined. None has none of them.

    references : array-like of shape (n_references, n_bands) or None, default=None
        Spectra to compare the endmembers with, in the same bands.

    names : list of str or None, default=None
        Names of the endmembers; None counts them.

    reference_names : list of str or None, default=None
        Names of the references, for the titles of the panels.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_endmembers,)
        The panels.

    figure_ : Figure
        Holds the axes.

    lines_ : list of Line2D
        The spectra of the endmembers.

    permutation_ : ndarray of intp of shape (n_endmembers,), or None
        The reference of each endmember, -1 for none; None without references.

    angles_ : ndarray of float64 of shape (n_endmembers,), or None
        The spectral angle between the two in radians, NaN without a reference.

    See Also
    --------
    factorkit.metrics.matched_components : Matches the references.

    Examples
    --------
    >>> from factorkit.plotting import EndmemberDisplay
    >>> endmembers = [[0.1, 0.2, 0.4, 0.5], [0.3, 0.3, 0.2, 0.1]]
    >>> references = [[3.0, 3.0, 2.0, 1.0], [1.0, 2.0, 4.0, 5.0]]
    >>> display = EndmemberDisplay(
    ...     endmembers, wavelengths=[450, 550, 650, 860], references=references
    ... )
    >>> display.permutation_.tolist()
    [1, 0]
    >>> display.plot()  # doctest: +SKIP
    """

    def __init__(
        self,
        endmembers,
        *,
        wavelengths=None,
        band_weights=None,
        references=None,
        names=None,
        reference_names=None,
    ):
        self.endmembers = check_array(endmembers, dtype=np.float64, input_name="endmembers")
        n_endmembers, n_bands = self.endmembers.shape
        self._bands = BandAxis(n_bands, wavelengths, band_weights)
        self.wavelengths, self.band_weights = self._bands.wavelengths, self._bands.band_weights
        self.names = check_names(names, n_endmembers, things="endmembers")
        self.references = self.reference_names = self.permutation_ = self.angles_ = None
        if references is not None:
            self._match(references, reference_names)
        elif reference_names is not None:
            raise ValueError("reference_names are given without references.")

    def _match(self, references, reference_names):
        self.references = check_array(references, dtype=np.float64, input_name="references")
        n_references, n_bands = self.references.shape
        if n_bands != self.endmembers.shape[1]:
            raise ValueError(
                f"references has {n_bands} bands; endmembers has {self.endmembers.shape[1]}."
            )
        self.reference_names = check_names(
            reference_names, n_references, "reference_names", "references"
        )
        kept = self._bands.kept
        if not kept.any():
            raise ValueError("All bands are ruined by band_weights: nothing is left to match by.")
        self.permutation_, self.angles_ = matched_components(
            self.endmembers[:, kept], self.references[:, kept], metric="spectral_angle"
        )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        wavelengths=None,
        references=None,
        names=None,
        reference_names=None,
        ax=None,
        **plot_kw,
    ):
        """Show the ``components_`` of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Has ``components_``, and may have ``wavelengths_`` and ``band_weights_``.

        wavelengths : array-like of shape (n_bands,) or None, default=None
            None takes those of the estimator, if it has any.

        references, names, reference_names
            See :class:`EndmemberDisplay`.

        ax : Axes, array-like of Axes or None, default=None
            See :meth:`plot`.

        **plot_kw
            Further arguments of :meth:`plot`.

        Returns
        -------
        display : EndmemberDisplay
        """
        if wavelengths is None:
            wavelengths = getattr(estimator, "wavelengths_", None)
        display = cls(
            estimator.components_,
            wavelengths=wavelengths,
            band_weights=getattr(estimator, "band_weights_", None),
            references=references,
            names=names,
            reference_names=reference_names,
        )
        return display.plot(ax, **plot_kw)

    def plot(self, ax=None, *, n_columns=None, line_kw=None, reference_kw=None):
        """Draw the panels.

        Parameters
        ----------
        ax : Axes, array-like of n_endmembers Axes, or None, default=None
            One for each endmember; or one made by ``plt.subplots`` whose place they share. None
            makes a figure.

        n_columns : int or None, default=None
            Panels in a row, where they are made here.

        line_kw : dict or None, default=None
            Arguments for the endmembers' :meth:`matplotlib.axes.Axes.plot`.

        reference_kw : dict or None, default=None
            The same for the references.

        Returns
        -------
        display : EndmemberDisplay
            Itself.
        """
        n_endmembers = len(self.endmembers)
        if n_columns is None:
            n_columns = count_columns(ax, n_endmembers, 3, _PANEL_SIZE)
        self.axes_ = make_panels(
            self, ax, n_endmembers, n_columns=n_columns, panel_size=_PANEL_SIZE, sharex=True
        )
        self.figure_ = self.axes_[0].figure
        self.lines_ = []
        for i, panel in enumerate(self.axes_):
            self._plot_spectrum(panel, i, line_kw or {}, reference_kw or {})
        for panel in lowest_panels(self.axes_):
            panel.set_xlabel(self._bands.label)
        self._add_legend()
        return self

    def _plot_spectrum(self, panel, i, line_kw, reference_kw):
        spectrum = self.endmembers[i]
        title = f"Endmember {i}" if self.names is None else self.names[i]
        curves = [spectrum]
        self._bands.shade(panel, "ruined bands")
        if self.references is not None and self.permutation_[i] >= 0:
            j = self.permutation_[i]
            curves.append(self._scaled_reference(i))
            style = {"color": "0.25", "linestyle": "--", "linewidth": 1.2, "label": "reference"}
            self._bands.plot(panel, curves[1], **(style | reference_kw))
            other = "" if self.reference_names is None else f" – {self.reference_names[j]}"
            title += f"{other} ({self.angles_[i]:.3f} rad)"
        style = {"color": f"C{i % 10}", "linewidth": 1.6, "label": "endmember"}
        self.lines_.append(self._bands.plot_kept(panel, spectrum, **(style | line_kw)))
        self._bands.finish(panel, *curves)
        panel.set_title(title, fontsize="medium")

    def _scaled_reference(self, i):
        kept = self._bands.kept
        spectrum, reference = self.endmembers[i], self.references[self.permutation_[i]]
        square = reference[kept] @ reference[kept]
        return reference * (spectrum[kept] @ reference[kept] / square if square else 1.0)

    def _add_legend(self):
        """Say what dashes and shades are, in the first panel that has all of them."""
        most = {}
        for panel in self.axes_:
            handles, labels = panel.get_legend_handles_labels()
            entries = dict(zip(labels, handles, strict=True))
            entries.pop("endmember", None)
            if len(entries) > len(most):
                most, place = entries, panel
        if most:
            place.legend(most.values(), most.keys(), fontsize="small", framealpha=0.7)
