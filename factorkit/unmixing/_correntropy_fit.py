"""A fit of CorrentropyUnmixing: the scene, the first weights, and what is read off at the end."""

import numpy as np

from ._correntropy_archetypes import RUINED, robust_archetypes
from ._correntropy_nmf import robust_nmf
from ._correntropy_rows import entry_abundances
from ._correntropy_weights import Loss, Scene
from ._flags import clipped_bands
from ._interpolation import interpolate_bands
from ._pipeline import flag


class Run:
    """What a fit works on: the scene without bands of which nothing is known."""

    def __init__(self, estimator, pixels, workers, seed):
        self.estimator, self.dtype, self.workers, self.seed = (
            estimator,
            pixels.dtype,
            workers,
            seed,
        )
        n_bands = pixels.shape[1]
        wavelengths = estimator.wavelengths_
        self.positions = np.arange(n_bands, dtype=float) if wavelengths is None else wavelengths
        self.scene = Scene(pixels, workers)
        self.known = self.scene.counts > 0
        if not self.known.all():
            self.scene = Scene(np.ascontiguousarray(pixels[:, self.known]), workers)
        self.scene.order = np.argsort(self.positions[self.known], kind="stable")
        self.loss = self.raw_loss()
        scene = self.scene
        total = scene.squares.sum() + scene.counts @ scene.mean**2
        self.power = float(total / len(pixels))

    @property
    def auto(self):
        return isinstance(self.estimator.kernel_width, str)

    def raw_loss(self):
        robust, width = self.estimator.robust, self.estimator.kernel_width
        width = np.inf if isinstance(width, str) else float(width)
        return Loss(robust, self.scene.spread(robust), width)

    def first_weights(self):
        """Weights that neighbours suggest, before there is a model."""
        scene, by = self.scene, self.loss.by
        bands, pixels = np.ones(scene.shape[1]), np.ones(len(scene))
        if by == "entry":
            return bands, pixels
        flags, _ = flag(
            scene.Y,
            min(10, scene.shape[1]),
            scene.order,
            self.workers,
            np.random.default_rng(self.seed),
            flag_bands=by == "band",
            flag_pixels=by == "pixel",
        )
        if by == "pixel":
            return bands, flags.pixels.astype(np.float64)
        clipped, _ = clipped_bands(scene.Y, self.workers)
        if not clipped.all():
            scene.silent = clipped
            self.loss.spread = scene.spread(by)
        return np.where(self.loss.spread > 0, flags.bands, 0.0), pixels

    def as_fitted(self, E, weights):
        """Fitted attributes."""
        components = np.zeros((len(E), len(self.known)))
        bands = np.zeros(len(self.known))
        components[:, self.known], bands[self.known] = E, weights[0]
        interpolate_bands(components, bands >= RUINED, self.positions)
        loss, pixels = self.loss, weights[1]
        if loss.by == "entry":
            loss = self.loss_of_entries(components[:, self.known])
        return {
            "components_": components.astype(self.dtype),
            "band_weights_": bands,
            "pixel_weights_": pixels,
            "kernel_width_": float(loss.width),
            "_loss": loss,
        }

    def loss_of_entries(self, E):
        """The loss in the units of the scene, for abundances of given endmembers."""
        if self.scene.scale is None:
            return self.loss
        scene = Scene(self.scene.Y, self.workers)
        loss = Loss("entry", scene.spread("entry"), self.loss.width)
        if not self.auto:
            return loss
        for _ in range(2):
            A = entry_abundances(scene.Y, E, loss, self.workers, to_one=self.estimator.sum_to_one)
            loss.width = loss.fitted_width(scene.residuals(loss, A, E)[0])
        return loss


def _fit_archetypes(estimator, run, report):
    return robust_archetypes(
        run.scene,
        estimator.n_components,
        run.loss,
        run.first_weights(),
        auto=run.auto,
        normalize=estimator.normalize,
        n_init=estimator.n_init,
        seed=run.seed,
        tol=estimator.tol,
        max_iter=estimator.max_iter,
        report=report,
    )


def _fit_nmf(estimator, run, report):
    return robust_nmf(
        run.scene,
        estimator._start(run),
        run.loss,
        auto=run.auto,
        to_one=estimator.sum_to_one,
        l1=estimator.lambda_,
        nonnegative=estimator.nonnegative,
        tol=estimator.tol,
        max_iter=estimator.max_iter,
        report=report,
    )


MODELS = {"archetypes": _fit_archetypes, "nmf": _fit_nmf}
