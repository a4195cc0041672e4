"""Correntropy as a loss: what residuals count for, and the scene as its weights complete it.

    φ(r²) = v σ² (1 − exp(−r² / (2 v σ²)))

for a band, a pixel or an entry with residual norm r, where v is the spread that r is measured in
and σ the kernel width. φ is concave in r², of slope w / 2 with w = exp(−r² / (2 v σ²)), so
½ w r² plus a constant lies above it and touches it where w was taken: minimizing that never raises
φ. For σ → ∞ it is ½ r².
"""

from dataclasses import dataclass

import numpy as np

from ..utils._threads import blocks_of
from ._holes import fill_holes

# What is taken for a width where the residuals are rounding errors.
_NARROWEST = 1e-3
# Residuals of entries that a median is taken of.
_N_SAMPLED = 1_000_000
# Standard deviations per median absolute deviation, of normal residuals.
_MAD = 1.4826


@dataclass
class Loss:
    """Correntropy of residuals in units of their spread.

    Attributes
    ----------
    by : {"band", "pixel", "entry"}
        What has a weight.
    spread : ndarray of shape (n_bands,) or float
        v. A band without any has no weight.
    width : float
        σ.
    """

    by: str
    spread: np.ndarray
    width: float = np.inf

    def weights(self, squares):
        """exp(−r² / (2 v σ²)) of squared residuals."""
        return np.where(self.spread > 0, np.exp(-self._exponents(squares)), 0.0)

    def values(self, squares):
        """φ of squared residuals."""
        if self.width == np.inf:
            return np.where(self.spread > 0, 0.5 * squares, 0.0)
        return -self.spread * self.width**2 * np.expm1(-self._exponents(squares))

    def fitted_width(self, sizes):
        """The width that residuals suggest: their median, in units of the spread.

        Of entries it is the standard deviation of normal residuals with that median.
        """
        alive = np.broadcast_to(self.spread > 0, np.shape(sizes))
        relative = sizes[alive] / np.sqrt(np.broadcast_to(self.spread, np.shape(sizes))[alive])
        if not relative.size:
            return 1.0
        if self.by == "band":
            # The band's mean alone would leave 1.
            relative = np.minimum(relative, 1.0)
        factor = _MAD if self.by == "entry" else 1.0
        return max(factor * float(np.median(relative)), _NARROWEST)

    def _exponents(self, squares):
        alive = self.spread > 0
        unit = np.where(alive, self.spread, 1.0)
        if self.width == np.inf:
            return np.zeros_like(squares)
        return 0.5 / self.width**2 * (squares / unit)


class Scene:
    """A scene in float64, a block at a time, with its holes filled by a model.

    Where entries have weights, they are filled in part: x̂ = y + w (x − y) for the model's y.
    Complete and of equal weights, x̂ has the gradient of the weighted loss at the model and lies
    above it elsewhere, since no weight exceeds 1.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        May hold NaN.
    workers : Workers
    order : ndarray of intp of shape (n_bands,) or None, default=None
        The bands by wavelength: as long as there is no model, holes are filled along them.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, Y, workers, order=None):
        self.Y, self.shape, self.workers = Y, Y.shape, workers
        # Small blocks: they are held several times over.
        self.blocks = blocks_of(len(Y), 20.0 * Y.shape[1], target=3e6)
        self.scale = self.loss = self.A = self.E = None
        self.has_holes = any(workers.map(lambda i, j: bool(np.isnan(Y[i:j]).any()), self.blocks))
        self.measure()
        self.order = np.arange(Y.shape[1]) if order is None else order
        self._filled, self.silent = None, None

    def __len__(self):
        return len(self.Y)

    def __getitem__(self, chosen):
        x = self.observed(chosen)
        if not self.has_holes and self.loss is None:
            return x
        if self.A is None:
            x = self.complete()[chosen].astype(np.float64)
            return x if self.scale is None else x * self.scale[chosen, None]
        y = self.A[chosen] @ self.E
        missing = np.isnan(x)
        x -= y
        x[missing] = 0
        if self.loss is not None:
            x *= self.loss.weights(np.square(x))
        x += y
        return x

    def observed(self, chosen):
        """A block as it is, NaN where nothing is known; a copy."""
        x = self.Y[chosen].astype(np.float64)
        return x if self.scale is None else x * self.scale[chosen, None]

    def complete(self):
        """The scene as it came, holes filled along the wavelengths."""
        if not self.has_holes:
            return self.Y
        if self._filled is None:
            self._filled = fill_holes(self.Y, self.counts > 0, self.order, self.workers)
        return self._filled

    def forget_model(self):
        self.A = self.E = self.loss = None

    def measure(self):
        """Mean and sum of squares about it of each band, and how much of it is known."""

        def first(i, j):
            x = self.observed(slice(i, j))
            known = ~np.isnan(x)
            return known.sum(axis=0), np.where(known, x, 0).sum(axis=0)

        self.counts, total = (sum(parts) for parts in zip(*self._map(first), strict=True))
        self.mean = total / np.maximum(self.counts, 1)

        def second(i, j):
            x = self.observed(slice(i, j)) - self.mean
            return np.square(np.where(np.isnan(x), 0, x)).sum(axis=0)

        squares = sum(self._map(second))
        rounding = 1e-26 * self.counts * np.square(self.mean)
        alive = squares > np.maximum(rounding, 1e-20 * squares.max(initial=0.0))
        self.squares = np.where(alive, squares, 0.0)

    def spread(self, by):
        """v, in which residuals of bands, pixels or entries are measured."""
        if by == "band":
            return self.squares if self.silent is None else np.where(self.silent, 0, self.squares)
        n = len(self) if by == "pixel" else max(int(self.counts.sum()), 1)
        return np.float64(self.squares.sum() / n)

    def residuals(self, loss, A, E):
        """Residuals of the model A E on what is known.

        Returns
        -------
        sizes : ndarray
            Norms of bands or pixels, or sizes of a sample of the entries.
        value : float
            Σ φ.
        weights : pair of ndarray of shape (n_bands,) and (n_pixels,)
            Mean weights.
        """
        every = max(1, self.Y.size // _N_SAMPLED)

        def block(i, j):
            r = self.observed(slice(i, j))
            r -= A[i:j] @ E
            missing = np.isnan(r) if self.has_holes else None
            if missing is not None:
                r[missing] = 0
            np.square(r, out=r)
            if loss.by == "band":
                return (r.sum(axis=0),)
            if loss.by == "pixel":
                return (r.sum(axis=1),)
            sample, w, known = r.ravel()[::every], loss.weights(r), r.shape[1]
            if missing is not None:
                sample, w[missing] = sample[~missing.ravel()[::every]], 0
                known = np.maximum(known - missing.sum(axis=1), 1)
            return sample, loss.values(r).sum(), w.sum(axis=0), w.sum(axis=1) / known

        parts = list(zip(*self._map(block), strict=True))
        observed = (self.counts > 0).astype(np.float64)
        if loss.by == "band":
            squares = sum(parts[0])
            weights = loss.weights(squares) * observed, np.ones(len(self))
        elif loss.by == "pixel":
            squares = np.concatenate(parts[0])
            weights = observed, loss.weights(squares)
        else:
            squares, value = np.concatenate(parts[0]), float(sum(parts[1]))
            weights = sum(parts[2]) / np.maximum(self.counts, 1), np.concatenate(parts[3])
            return np.sqrt(squares), value, weights
        return np.sqrt(squares), float(loss.values(squares).sum()), weights

    def _map(self, function):
        return self.workers.map(function, self.blocks)
