"""Hyperspectral scenes with a known truth."""

from numbers import Integral, Real

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils import Bunch, check_random_state

from factorkit.utils._sklearn import Interval, StrOptions, validate_params

from ._ruin import RUINS, check_image_shape, ruin_bands, ruin_pixels

_FRACTION = Interval(Real, 0, 1, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


@validate_params(
    {
        "n_endmembers": [Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like"],
        "n_bands": [Interval(Integral, 2, None, closed="left")],
        "endmembers": ["array-like", None],
        "abundances": [StrOptions({"smooth", "dirichlet"})],
        "max_abundance": [Interval(Real, 0, 1, closed="right")],
        "snr": [Real, None],
        "variability": [_NOT_NEGATIVE],
        "nonlinearity": [_NOT_NEGATIVE],
        "ruined_bands": [_FRACTION],
        "ruin": [StrOptions(set(RUINS))],
        "outlying_pixels": [_FRACTION],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_scene(
    n_endmembers=4,
    *,
    image_shape=(64, 64),
    n_bands=150,
    endmembers=None,
    abundances="smooth",
    max_abundance=1.0,
    snr=30.0,
    variability=0.0,
    nonlinearity=0.0,
    ruined_bands=0.0,
    ruin="noise",
    outlying_pixels=0.0,
    random_state=None,
):
    """Make a hyperspectral scene whose endmembers and abundances are known.

    .. math:: y_i = \\sum_j a_{ij}\\, e_{ij} + \\gamma \\sum_{j < l} a_{ij} a_{il}\\,
        e_j \\circ e_l + \\text{noise}

    where each pixel has its own variant :math:`e_{ij}` of each endmember. Then some bands and
    some pixels may be ruined.

    Parameters
    ----------
    n_endmembers : int, default=4
        Number of materials.

    image_shape : tuple of int, default=(64, 64)
        Rows and columns.

    n_bands : int, default=150
        Bands between 400 and 2500 nm.

    endmembers : array-like of shape (n_endmembers, n_bands) or None, default=None
        Spectra; their shape takes precedence. None draws reflectances between 0 and 1 with a
        few broad bands of absorption, at least .1 radians from each other.

    abundances : {"smooth", "dirichlet"}, default="smooth"
        "smooth": patches with mixed borders, from Gaussian fields projected on the simplex.
        "dirichlet": independent pixels, Dirichlet with concentration .3, in which one or two
        endmembers prevail.

    max_abundance : float, default=1.0
        No pixel holds more than this of an endmember: below 1 none is pure. At least
        1 / n_endmembers.

    snr : float or None, default=30.0
        Power of the scene over that of the white noise, in dB; None adds none.

    variability : float, default=0.0
        Size of what differs from pixel to pixel: the brightness of the pixel, and the
        brightness and the slope of each endmember in it, as relative standard deviations.

    nonlinearity : float, default=0.0
        γ, the strength of the light that was scattered by two materials in turn.

    ruined_bands : float, default=0.0
        Fraction of the bands that :func:`ruin_bands` ruins.

    ruin : {"noise", "impulse", "dead", "ramp", "stripes", "saturation"}, default="noise"
        How; see :func:`ruin_bands`.

    outlying_pixels : float, default=0.0
        Fraction of the pixels that hold something else: spectra of no endmember (three in
        five), full-scale noise, and dead or saturated pixels (one in five each).

    random_state : int, RandomState instance or None, default=None
        For everything drawn. The scene under the ruin does not depend on `ruined_bands`, `ruin`
        and `outlying_pixels`.

    Returns
    -------
    scene : Bunch
        data : ndarray of float64 of shape (n_pixels, n_bands)
            The pixels, row by row.
        image_shape : tuple of int
            ``data.reshape(*image_shape, -1)`` is the image.
        wavelengths : ndarray of float64 of shape (n_bands,)
            In nanometres.
        endmembers : ndarray of float64 of shape (n_endmembers, n_bands)
            Spectra.
        abundances : ndarray of float64 of shape (n_pixels, n_endmembers)
            They sum to one.
        ruined_bands : ndarray of bool of shape (n_bands,)
            Which bands were ruined.
        outlying_pixels : ndarray of bool of shape (n_pixels,)
            Which pixels hold something else.

    Raises
    ------
    ValueError
        For parameters out of range.

    Examples
    --------
    >>> from factorkit.datasets import make_scene
    >>> scene = make_scene(3, image_shape=(20, 30), ruined_bands=0.2, random_state=0)
    >>> scene.data.shape, int(scene.ruined_bands.sum())
    ((600, 150), 30)
    """
    rng = check_random_state(random_state)
    shape = check_image_shape(image_shape)
    if endmembers is not None:
        E = np.array(endmembers, dtype=np.float64, ndmin=2)
        n_endmembers, n_bands = E.shape
    if max_abundance * n_endmembers < 1 - 1e-12:  # 1 / 49 * 49 is below 1
        raise ValueError(
            f"max_abundance={max_abundance} is below 1 / {n_endmembers}: abundances of "
            f"{n_endmembers} endmembers could not sum to one."
        )
    wavelengths = np.linspace(400.0, 2500.0, n_bands)
    if endmembers is None:
        E = _draw_spectra(rng, n_endmembers, n_bands)
    draw = {"smooth": _smooth_abundances, "dirichlet": _dirichlet_abundances}[abundances]
    A = _capped(rng, draw(rng, shape, n_endmembers), max_abundance)
    Y = _mix(rng, A, E, shape, variability, nonlinearity)
    if snr is not None:
        sigma = np.sqrt(np.mean(np.square(Y)) / 10 ** (snr / 10))
        Y += sigma * rng.standard_normal(Y.shape)
    pixels = np.zeros(len(Y), dtype=bool)
    bands = np.zeros(n_bands, dtype=bool)
    if outlying_pixels:
        foreign = _draw_spectra(rng, 200, n_bands, apart=0.0)
        Y, pixels = ruin_pixels(Y, outlying_pixels, foreign, rng)
    if ruined_bands:
        Y, bands = ruin_bands(Y, ruined_bands, kind=ruin, image_shape=shape, random_state=rng)
    return Bunch(
        data=Y,
        image_shape=shape,
        wavelengths=wavelengths,
        endmembers=E,
        abundances=A,
        ruined_bands=bands,
        outlying_pixels=pixels,
    )


def _draw_spectra(rng, n_spectra, n_bands, apart=0.1):
    """Reflectances: a level, a slope, and broad features up and down."""
    t = np.linspace(0, 1, n_bands)
    spectra = []
    for attempt in range(1000 * n_spectra):
        y = rng.uniform(0.1, 0.6) + rng.uniform(-0.3, 0.3) * (t - 0.5)
        for _ in range(rng.randint(3, 7)):
            height = rng.uniform(-0.35, 0.35)
            y = y + height * np.exp(-0.5 * ((t - rng.uniform()) / rng.uniform(0.03, 0.2)) ** 2)
        # Into (0, 1), smoothly: reflectances below zero do not occur.
        y = 1 / (1 + np.exp(-5 * (y - 0.5)))
        cosines = [y @ e / np.linalg.norm(y) / np.linalg.norm(e) for e in spectra]
        # The demand is dropped at last: so many spectra may not be so far apart.
        if not cosines or max(cosines) < np.cos(apart) or attempt > 500 * n_spectra:
            spectra.append(y)
        if len(spectra) == n_spectra:
            break
    return np.array(spectra)


def _smooth_abundances(rng, shape, k):
    width = max(min(shape) / 10, 1.0)
    fields = np.array(
        [gaussian_filter(rng.standard_normal(shape), width, mode="wrap").ravel() for _ in range(k)]
    ).T
    fields -= fields.mean(axis=0)
    spread = fields.std(axis=0)
    return _on_simplex(1.2 * fields / np.where(spread > 0, spread, 1))


def _dirichlet_abundances(rng, shape, k):
    return rng.dirichlet(np.full(k, 0.3), size=shape[0] * shape[1])


def _on_simplex(V):
    """Nearest points of the simplex, row by row."""
    ordered = -np.sort(-V, axis=1)
    excess = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, V.shape[1] + 1)
    last = np.count_nonzero(ordered > excess, axis=1) - 1
    return np.maximum(V - excess[np.arange(len(V)), last][:, None], 0)


def _capped(rng, A, largest):
    """Hand what exceeds the largest abundance to the other endmembers, at random."""
    shares = rng.random(A.shape)
    if largest == 1:
        return A
    for _ in range(A.shape[1]):
        excess = np.maximum(A - largest, 0)
        over = excess.sum(axis=1)
        if over.max() < 1e-12:
            break
        A = A - excess
        room = shares * (largest - A)
        A = A + room * (over / np.maximum(room.sum(axis=1), 1e-300))[:, None]
    return np.minimum(A, largest) / np.minimum(A, largest).sum(axis=1)[:, None]


def _mix(rng, A, E, shape, variability, nonlinearity):
    Y = A @ E
    if variability > 0:
        slope = np.linspace(-1, 1, E.shape[1])
        light = gaussian_filter(rng.standard_normal(shape), max(min(shape) / 20, 0.5), mode="wrap")
        light = light.ravel() / max(light.std(), 1e-300)
        level, tilt = variability * rng.standard_normal((2, *A.shape))
        level += variability * light[:, None]
        # Darker than a fifth no material gets.
        Y = (A * np.maximum(1 + level, 0.2)) @ E + (A * tilt) @ (E * slope)
        Y.clip(0, out=Y)
    if nonlinearity > 0:
        for j in range(len(E)):
            for other in range(j):
                both = A[:, j] * A[:, other]
                Y += nonlinearity * both[:, None] * (E[j] * E[other])
    return Y
