"""The spectral axis: bands in the order of their wavelengths, with gaps, the ruined ones shaded."""

import numpy as np
from sklearn.utils import check_array

# A distance between neighbouring bands is a gap if it is that many times the distances beside it,
# and the usual one. The bands of a multispectral camera, which lie anyhow, have none.
_GAP_BESIDE = 3.0
_GAP_USUAL = 2.0


class BandAxis:
    """Draws curves over the bands of a scene.

    Parameters
    ----------
    n_bands : int

    wavelengths : array-like of shape (n_bands,) or None
        In nanometres, in any order. None counts the bands.

    band_weights : array-like of shape (n_bands,) or None
        Those below one half are of ruined bands. None is a scene without any.

    Attributes
    ----------
    wavelengths, band_weights : ndarray of float64 of shape (n_bands,), or None
        As given.

    kept : ndarray of bool of shape (n_bands,)
        The bands that aren't ruined, in the order given.
    """

    def __init__(self, n_bands, wavelengths=None, band_weights=None):
        self.wavelengths = _check_bands(wavelengths, n_bands, "wavelengths")
        self.band_weights = _check_bands(band_weights, n_bands, "band_weights")
        self.kept = np.ones(n_bands, dtype=bool)
        if band_weights is not None:
            self.kept = self.band_weights >= 0.5
        x = np.arange(n_bands, dtype=np.float64) if wavelengths is None else self.wavelengths
        self._order = np.argsort(x, kind="stable")
        self._x = x[self._order]
        self._gaps = _find_gaps(np.diff(self._x))

    def plot(self, panel, values, **line_kw):
        """Draw a curve that breaks at the gaps, and return its line."""
        breaks = np.flatnonzero(self._gaps) + 1
        x, y = (np.insert(v, breaks, np.nan) for v in (self._x, values[self._order]))
        (line,) = panel.plot(x, y, **line_kw)
        return line

    def plot_kept(self, panel, values, **line_kw):
        """The same, with the ruined bands on a faint line only: they may lie anywhere."""
        if not self.kept.all():
            faint = line_kw | {"linewidth": 0.6, "alpha": 0.4, "label": None}
            # In the colour of the curve, which the panel may choose.
            line_kw = {"color": self.plot(panel, values, **faint).get_color()} | line_kw
        return self.plot(panel, np.where(self.kept, values, np.nan), **line_kw)

    def shade(self, panel, label=None):
        """Shade the ruined bands; `label` goes to one of the shades, for a legend."""
        for low, high in self.ruined_spans():
            panel.axvspan(low, high, color="0.85", linewidth=0, zorder=0, label=label)
            label = None

    def ruined_spans(self):
        """Return (low, high) of each run of ruined bands; a band reaches halfway to the next."""
        half = np.where(self._gaps, np.nan, np.diff(self._x) / 2)
        left, right = np.append(np.nan, half), np.append(half, np.nan)
        # At a gap, or at an end, as far as on the other side.
        left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
        low, high = self._x - np.nan_to_num(left, nan=0.5), self._x + np.nan_to_num(right, nan=0.5)
        ruined = np.flatnonzero(~self.kept[self._order])
        if not ruined.size:
            return []
        apart = (np.diff(ruined) > 1) | self._gaps[ruined[:-1]]
        runs = np.split(ruined, np.flatnonzero(apart) + 1)
        return [(low[run[0]], high[run[-1]]) for run in runs]

    def finish(self, panel, *curves):
        """Fit the axes to the bands that are kept."""
        values = np.concatenate([curve[self.kept] for curve in curves])
        values = values[np.isfinite(values)]
        panel.margins(x=0)
        if values.size and values.any():
            low, high = values.min(), max(values.max(), 0)
            margin = 0.06 * (high - min(low, 0))
            panel.set_ylim(0 if low >= 0 else low - margin, high + margin)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.locator_params(axis="y", nbins=4)

    @property
    def label(self):
        """What the axis shows."""
        return "Band" if self.wavelengths is None else "Wavelength (nm)"


def _check_bands(values, n_bands, name):
    if values is None:
        return None
    values = check_array(values, dtype=np.float64, ensure_2d=False, input_name=name)
    if values.shape != (n_bands,):
        raise ValueError(f"{name} has shape {values.shape}; there are {n_bands} bands.")
    return values


def _find_gaps(spacing):
    """Return which distances between neighbouring bands are gaps.

    The first and the last are none: a curve must not begin or end with a band by itself, of which
    nothing would be seen.
    """
    if len(spacing) < 3:
        return np.zeros(len(spacing), dtype=bool)
    padded = np.pad(spacing, 1, mode="edge")
    beside = np.maximum(padded[:-2], padded[2:])
    return (spacing > _GAP_BESIDE * beside) & (spacing > _GAP_USUAL * np.median(spacing))
