"""From a scene to its endmembers: flags, normalization, smoothing, archetypes.

The steps of `Unmixer`, on plain arrays.
"""

from dataclasses import dataclass

import numpy as np

from ._archetypes import archetypes
from ._extraction import vca
from ._flags import clipped_bands, constant_pixels, lonely_pixels, ruined_bands
from ._holes import fill_holes
from ._light import OFFSET, Light
from ._neighbours import averages_take_noise, noise_left, smooth_over, window_graph
from ._simplex_points import lifted
from ._subspace import coordinates, principal_directions, scene_moments

# Pixels that starts and conventions are judged by, where there are more.
N_JUDGES = 20_000
# Neighbours are averaged where they are nearer to each other than random pixels by this factor,
# in squared distance.
_COHERENT = 0.5


@dataclass
class Flags:
    """What a scene is judged by.

    Attributes
    ----------
    bands : ndarray of bool of shape (n_bands,)
        The good ones.
    clipped : ndarray of bool of shape (n_bands,)
        Bad ones that are known to be so by their values alone, whatever other bands predict.
    pixels : ndarray of bool of shape (n_pixels,)
        The good ones.
    noise : ndarray of shape (n_bands,)
        Standard deviation of the noise of each band.
    light : Light
    """

    bands: np.ndarray
    clipped: np.ndarray
    pixels: np.ndarray
    noise: np.ndarray
    light: Light


@dataclass
class Extraction:
    """Archetypes, before and after the normalization is undone, and how they came about."""

    normalized_spectra: np.ndarray
    spectra: np.ndarray
    scale: np.ndarray | None
    smoothed: bool
    mixtures: object
    trace: object


def flag(
    Y, d, order, workers, rng, *, flag_bands=True, flag_pixels=True, offset=OFFSET, max_rounds=3
):
    """Tell good bands and good pixels, each with the help of the other.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        May hold NaN.
    d : int
        Dimensions in which pixels are compared.
    order : ndarray of intp of shape (n_bands,)
        The bands by wavelength.
    workers : Workers
    rng : numpy.random.Generator
    flag_bands, flag_pixels : bool, default=True
        Where False all are good, but for those without any signal.
    offset : float, default=0.5
        See `Light`.
    max_rounds : int, default=3

    Returns
    -------
    flags : Flags
    Y : ndarray
        The same, or a copy with its holes filled.
    """
    given = Y
    blank = _dead(Y, np.ones(Y.shape[1], dtype=bool), workers)
    clipped, has_holes = clipped_bands(Y, workers, pixels=~blank)
    has_holes = has_holes or bool(np.isnan(Y[blank]).any())
    if clipped.all() or not flag_bands:
        clipped = np.isnan(Y).all(axis=0) if has_holes else np.zeros(Y.shape[1], dtype=bool)
    bands = ~clipped
    if has_holes:
        Y = fill_holes(given, bands, order, workers)
    dead = _dead(given, bands, workers)
    pixels = ~dead
    for _ in range(max_rounds):
        before = bands, pixels
        _, mean, C = scene_moments(Y, workers, pixels=pixels, bands=~clipped)
        ruined, noise = ruined_bands(C, clipped=clipped, order=order)
        bands = ~ruined if flag_bands and not ruined.all() else ~clipped
        if has_holes and (bands != before[0]).any():
            Y = given  # the old copy goes before the new one comes
            Y = fill_holes(given, bands, order, workers)
        power = np.diag(C)[bands].sum() + mean**2 @ bands
        light = Light.of(mean * bands, power, offset)
        dead = _dead(given, bands, workers)
        pixels = pixels & ~dead if (pixels & ~dead).any() else ~dead
        if flag_pixels:
            Z, off = _compare(Y, d, light, bands, pixels, workers)
            pixels = ~dead & ~lonely_pixels(Z, off, ~dead, pixels, rng)
        if (bands == before[0]).all() and (pixels == before[1]).all():
            break
    return Flags(bands, clipped, pixels, noise, light), Y


def _dead(Y, bands, workers):
    """Pixels without a spectrum in the good bands; none where all are so."""
    dead = constant_pixels(Y, np.flatnonzero(bands), workers)
    return dead if not dead.all() else np.zeros_like(dead)


def _compare(Y, d, light, bands, pixels, workers):
    """Coordinates of all pixels, and their distances from the subspace."""
    scale = light.scale(light.brightness(Y, workers, bands=bands))
    _, mean, C = scene_moments(Y, workers, pixels=pixels, bands=bands, scale=scale)
    vectors, _ = principal_directions(C, min(d, len(C)))
    kept = np.flatnonzero(bands)
    Z = coordinates(Y, mean, vectors, workers, bands=bands, scale=scale)
    off = np.empty(len(Y))

    def measure(start, stop):
        x = Y[start:stop, kept] * scale[start:stop, None] - mean[kept]
        inside = np.einsum("ij,ij->i", Z[start:stop], Z[start:stop])
        off[start:stop] = np.sqrt(np.maximum(np.einsum("ij,ij->i", x, x) - inside, 0.0))

    step = max(1, 2**17 // max(len(kept), 1))
    workers.map(measure, [(i, min(i + step, len(Y))) for i in range(0, len(Y), step)])
    return Z, off


def extract(
    Y,
    k,
    d,
    flags,
    workers,
    rng,
    *,
    normalize,
    graph_shape,
    force_smooth,
    n_init,
    tol,
    max_iter,
    report,
):
    """Archetypes of the good pixels in a subspace of the good bands.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Without holes in the good bands.
    k, d : int
        Endmembers, and dimensions of the subspace.
    flags : Flags
    workers : Workers
    rng : numpy.random.Generator
    normalize : bool
        Whether to take the brightness away.
    graph_shape : tuple of int or None
        Rows and columns, to average neighbours first where they are alike; None averages none.
    force_smooth : bool
        Average them whether they are alike or not.
    n_init : int
        Starts, of which the one of the least residual is kept.
    tol, max_iter
        See :func:`archetypes`.
    report : callable or None
        ``report(objective, spectra)`` after each iteration, where ``spectra()`` returns the
        endmembers; true ends the run.

    Returns
    -------
    extraction : Extraction
        The spectra are in the units of Y, and zero in bands that are left out.
    """
    light, bands = flags.light, flags.bands
    good = np.flatnonzero(flags.pixels)
    scale = light.scale(light.brightness(Y, workers, bands=bands)) if normalize else None
    _, mean, C = scene_moments(Y, workers, pixels=good, bands=bands, scale=scale)
    vectors, _ = principal_directions(C, min(d, int(bands.sum())))
    smooth = None
    if graph_shape is None:
        Z = coordinates(Y, mean, vectors, workers, pixels=good, bands=bands, scale=scale)
    else:
        Z = coordinates(Y, mean, vectors, workers, bands=bands, scale=scale)
        noise = np.sum(np.square(vectors * np.where(bands, flags.noise, 0)))
        if normalize:
            noise *= np.mean(np.square(scale[good]))
        smooth, _ = average_neighbours(Z, good, graph_shape, force_smooth, rng, noise)
        Z = Z[good]

    def undone(spectra):
        return light.undo(spectra) if normalize else spectra

    def after(objective, Z):
        return report(objective, lambda: undone(Z @ vectors + mean))

    Z = Z if smooth is None else smooth
    start = best_start(Z, k, n_init, workers, rng)

    centres, _, mixtures, trace = archetypes(
        Z, start, workers, tol=tol, max_iter=max_iter, report=after if report else None
    )
    mixtures.members = [good[members] for members in mixtures.members]
    spectra = centres @ vectors + mean
    return Extraction(spectra, undone(spectra), scale, smooth is not None, mixtures, trace)


def average_neighbours(Z, good, shape, force, rng, noise=np.inf):
    """Coordinates of the good pixels, averaged with their neighbours where these are alike but for
    noise of that variance, and what that leaves of it; None and 1 where they are not."""
    W = window_graph(Z, shape)
    left_out = np.ones(len(Z), dtype=bool)
    left_out[good] = False
    rows = np.repeat(np.arange(len(Z)), np.diff(W.indptr))
    W.data[left_out[rows] | left_out[W.indices]] = 0
    some = rng.permutation(len(W.indices))[:N_JUDGES]
    some = some[W.data[some] > 0]
    near = np.square(Z[rows[some]] - Z[W.indices[some]]).sum(axis=1)
    pairs = rng.choice(good, (2, N_JUDGES))
    apart = np.square(Z[pairs[0]] - Z[pairs[1]]).sum(axis=1)
    alike = len(near) > 0 and np.median(near) < _COHERENT * np.median(apart)
    if not (alike or force):
        return None, 1.0
    smooth = smooth_over(Z, W)
    if not (force or averages_take_noise(Z, smooth, W, good, shape, noise)):
        return None, 1.0
    return smooth[good], float(np.median(noise_left(W)[good]))


def best_start(Z, k, n_init, workers, rng):
    """Pixels of the VCA start from which archetypes explain (a sample of) the scene best."""
    starts = np.unique(np.sort(vca(lifted(Z, k), n_init, rng, workers), axis=1), axis=0)
    if len(starts) == 1:
        return starts[0]
    sample = np.arange(len(Z))
    if len(Z) > N_JUDGES:
        sample = np.union1d(rng.choice(len(Z), N_JUDGES, replace=False), starts)
    residuals = []
    for start in starts:
        trace = archetypes(
            Z[sample], np.searchsorted(sample, start), workers, tol=1e-3, max_iter=30
        )[3]
        residuals.append(trace.objective[-1])
    return starts[int(np.argmin(residuals))]
