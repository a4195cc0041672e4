"""Archetypal analysis under correntropy.

    min Σ φ(r²)    r of bands, pixels or entries of X − A (m + B C M)    rows of A, B on the simplex

over A (n_pixels × k) and B (k × n_hull). m + C M are the pixels of the hull in a principal
subspace of the scene, so the endmembers are mixtures of pixels without most of their noise.
"""

from dataclasses import dataclass

import numpy as np

from ..utils._convergence import Trace
from ._archetypes import Mixing, descend
from ._extraction import log_volumes, nearest_to, vca
from ._light import Light
from ._simplex_points import lifted
from ._subspace import coordinates, principal_directions, scene_moments

# Below this weight a band or pixel is ruined.
RUINED = 0.1
# Rounds in which width and subspace follow the weights; they end where no weight moves more.
_MOST_ROUNDS, _MOVED = 6, 1e-2
# Rounds that start anew, since the first subspace may be that of the ruin.
_FRESH_STARTS = 2
# Dimensions of the subspace: from 10 to 40 it makes no difference, one less than the number of
# endmembers is worse.
_DIMENSIONS = 10
# Passes over the archetypes between two looks at the weights, once the subspace is fixed.
_PASSES = 10


@dataclass
class Subspace:
    """What the model is made of: the pixels of the hull in a few dimensions.

    Attributes
    ----------
    mean : ndarray of shape (n_bands,)
    basis : ndarray of shape (d, n_bands)
        M.
    scores : ndarray of shape (n_pixels, d)
        C, of all pixels.
    hull : ndarray of intp
        The pixels that may be mixed.
    """

    mean: np.ndarray
    basis: np.ndarray
    scores: np.ndarray
    hull: np.ndarray

    @classmethod
    def of(cls, scene, d, band_weights, hull):
        """The principal subspace of the hull, bands weighted."""
        _, mean, C = scene_moments(scene, scene.workers, pixels=hull)
        roots = np.sqrt(band_weights)
        vectors, values = principal_directions(roots[:, None] * C * roots, d)
        kept = values > 1e-14 * values.max(initial=0.0)
        if not kept.any():
            kept[:1] = True
        vectors, values = vectors[kept] * roots, np.where(values[kept] > 0, values[kept], 1.0)
        # The regression of all bands, those without weight too, on the scores.
        basis = vectors @ C / values[:, None]
        scores = coordinates(scene, mean, vectors, scene.workers)
        return cls(mean, basis, scores, hull)

    def spectra(self, Z):
        return self.mean + Z @ self.basis

    def seen_with(self, scene, band_weights):
        """All pixels, and those of the hull, where distance is the weighted one of the bands."""
        weighted = self.basis * band_weights
        values, vectors = np.linalg.eigh(weighted @ self.basis.T)
        values = np.maximum(values, 1e-14 * values[-1] + 1e-300)
        root = vectors * np.sqrt(values)
        projection = (vectors / np.sqrt(values)).T @ weighted
        data = coordinates(scene, self.mean, projection, scene.workers)
        return data, self.scores[self.hull] @ root


def robust_archetypes(
    scene, k, loss, weights, *, auto, normalize, n_init, seed, tol, max_iter, report=None
):
    """Archetypes of a scene some of whose bands, pixels or entries are ruined.

    Parameters
    ----------
    scene : Scene
        Its scale and its model are set here.
    k : int
        Number of archetypes.
    loss : Loss
        Its width is set here where `auto`.
    weights : pair of ndarray of shape (n_bands,) and (n_pixels,)
        At the start.
    auto : bool
        Whether the width follows the residuals, until the last phase.
    normalize : bool
        Whether to take the brightness of the pixels away first.
    n_init : int
        Starts of VCA, of which the one of the largest volume is kept.
    seed : int
        For VCA.
    tol : float
        The run ends where a round lowers the root of the objective by less than this part.
    max_iter : int
        Most rounds of the last phase.
    report : callable or None, default=None
        ``report(objective, E, weights) -> bool`` after each round of the last phase; true ends
        the run.

    Returns
    -------
    E : ndarray of shape (k, n_bands)
        In the units of the scene.
    weights : pair of ndarray of shape (n_bands,) and (n_pixels,)
    trace : Trace
        Of the last phase, in which width, subspace and hull are fixed: the objective never
        rises.

    Notes
    -----
    A round costs three products n_pixels * n_bands * 10, a first one n_pixels * n_bands² too.
    """
    search = _Search(scene, k, loss, normalize, n_init, seed)
    for round_ in range(_MOST_ROUNDS):
        search.look(weights, fresh=round_ < _FRESH_STARTS)
        search.mix(weights, tol=1e-5, max_iter=60)
        before = weights
        if auto:
            loss.width = loss.fitted_width(search.residuals()[0])
        weights = search.residuals()[2]
        if max(np.abs(b - w).max() for b, w in zip(before, weights, strict=True)) < _MOVED:
            break
    trace = Trace()
    for _ in range(max_iter):
        search.mix(weights, tol=0.1 * tol, max_iter=_PASSES)
        _, value, weights = search.residuals()
        last = trace.objective[-1] if trace.objective else np.inf
        trace.add(value, 1.0 - np.sqrt(value / last) if last > 0 else 0.0)
        if report is not None and report(value, search.endmembers(), weights):
            trace.stop = "callback"
            break
        if tol > 0 and trace.residual[-1] < tol:
            trace.stop = "converged"
            break
    return search.endmembers(), weights, trace


class _Search:
    """The state of a run."""

    def __init__(self, scene, k, loss, normalize, n_init, seed):
        self.scene, self.k, self.loss = scene, k, loss
        self.normalize, self.n_init, self.seed = normalize, n_init, seed
        self.light = self.lit = self.mixing = None

    def look(self, weights, *, fresh):
        """Set light, subspace and hull by the weights; mix anew where that is wanted."""
        scene, (bands, pixels) = self.scene, weights
        hull = np.flatnonzero(pixels >= RUINED)
        if len(hull) < self.k:
            hull = np.sort(np.argsort(-pixels, kind="stable")[: self.k])
        good = bands >= RUINED if (bands >= RUINED).any() else bands >= bands.max()
        if self.normalize and (self.lit is None or (good != self.lit).any()):
            self._set_light(good, hull)
        if self.loss.by != "entry":
            # Pixels filled by a model within the hull would shrink it.
            scene.forget_model()
        d = min(max(_DIMENSIONS, self.k + 1), len(bands))
        self.subspace = Subspace.of(scene, d, bands, hull)
        if fresh or not np.array_equal(hull, self.mixing.hull):
            start = self._start(hull)
            self.mixing = Mixing(hull, start, d)

    def _set_light(self, good, hull):
        scene = self.scene
        scene.scale = None
        scene.forget_model()  # it is in the units of the old scale
        _, mean, C = scene_moments(scene, scene.workers, pixels=hull)
        light = Light.of(mean * good, float(np.diag(C) @ good + mean**2 @ good))
        brightness = light.brightness(scene, scene.workers)
        scale = light.scale(brightness)
        scene.scale, self.light, self.lit = scale, light, good
        scene.measure()
        self.loss.spread = scene.spread(self.loss.by)

    def _start(self, hull):
        scores = self.subspace.scores[hull]
        if self.k == 1:
            return hull[nearest_to(scores, scores.mean(axis=0), self.scene.workers)]
        points = lifted(scores, self.k)
        starts = vca(points, self.n_init, np.random.default_rng(self.seed), self.scene.workers)
        return hull[starts[log_volumes(points, starts).argmax()]]

    def mix(self, weights, *, tol, max_iter):
        bands, pixels = weights
        scene, subspace = self.scene, self.subspace
        if self.loss.by == "entry":
            bands, pixels = (bands > 0).astype(np.float64), np.ones(len(scene))
        data, pool = subspace.seen_with(scene, bands)
        omega = None if self.loss.by != "pixel" else pixels
        _, self.A, _ = descend(
            data, pool, self.mixing, omega, scene.workers, tol=tol, max_iter=max_iter
        )
        Z = self.mixing.places(subspace.scores[subspace.hull])
        self.E = subspace.spectra(Z)
        if scene.has_holes or self.loss.by == "entry":
            scene.A, scene.E = self.A, self.E
            scene.loss = self.loss if self.loss.by == "entry" else None

    def residuals(self):
        return self.scene.residuals(self.loss, self.A, self.E)

    def endmembers(self):
        return self.E if self.light is None else self.light.undo(self.E)
