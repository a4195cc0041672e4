"""What goes wrong in sensors: ruined bands and pixels."""

from numbers import Real

import numpy as np
from sklearn.utils import check_array, check_random_state

from factorkit.utils._sklearn import Interval, StrOptions, validate_params


def _noise(rng, Y, full, grid):
    return Y + full.std() * rng.standard_normal(Y.shape)


def _impulse(rng, Y, full, grid):
    hit = rng.random_sample(Y.shape) < 0.3
    return np.where(hit, rng.uniform(0, full.max(), Y.shape), Y)


def _dead(rng, Y, full, grid):
    return np.zeros_like(Y)


def _ramp(rng, Y, full, grid):
    rows, columns = grid
    angle = rng.uniform(0, 2 * np.pi, Y.shape[1])
    across = rows[:, None] * np.cos(angle) + columns[:, None] * np.sin(angle)
    return Y + 3 * full.std() * across


def _stripes(rng, Y, full, grid):
    _, columns = grid
    _, which = np.unique(columns, return_inverse=True)
    offsets = full.std() * rng.standard_normal((which.max() + 1, Y.shape[1]))
    return Y + offsets[which]


def _saturation(rng, Y, full, grid):
    level = np.quantile(Y, 0.2, axis=0)
    return np.minimum(Y * full.max() / np.where(level > 0, level, 1), full.max())


RUINS = {
    "noise": _noise,
    "impulse": _impulse,
    "dead": _dead,
    "ramp": _ramp,
    "stripes": _stripes,
    "saturation": _saturation,
}


@validate_params(
    {
        "X": ["array-like"],
        "fraction": [Interval(Real, 0, 1, closed="both")],
        "kind": [StrOptions(set(RUINS))],
        "image_shape": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def ruin_bands(X, fraction=0.2, *, kind="noise", image_shape=None, random_state=None):
    """Ruin some bands of a scene, as sensors and the atmosphere do.

    Parameters
    ----------
    X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
        The scene; it is not modified.

    fraction : float, default=0.2
        Part of the bands that is ruined, to the nearest band.

    kind : {"noise", "impulse", "dead", "ramp", "stripes", "saturation"}, default="noise"
        "noise" adds white noise with the standard deviation of the whole scene; "impulse"
        replaces three in ten entries by uniform noise up to the largest value; "dead" sets the
        band to zero; "ramp" adds a slope across the image; "stripes" an offset of its own to
        each column of the image; "saturation" amplifies the band until four in five of its
        pixels are at the largest value. Negative values are then set to zero where X had none.

    image_shape : tuple of int or None, default=None
        Rows and columns, for "ramp" and "stripes", where X has two dimensions; None takes the
        pixels for one row.

    random_state : int, RandomState instance or None, default=None
        For the choice of the bands and the noise.

    Returns
    -------
    X_ruined : ndarray of the shape of X
        float32 if X was that, else float64.

    bands : ndarray of bool of shape (n_bands,)
        Which bands were ruined.

    Raises
    ------
    ValueError
        For an `image_shape` that does not fit, for more than three dimensions, and for missing or
        infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.datasets import ruin_bands
    >>> X_ruined, bands = ruin_bands(np.ones((6, 10)), kind="dead", random_state=0)
    >>> X_ruined[0, bands].tolist(), int(bands.sum())
    ([0.0, 0.0], 2)
    """
    rng = check_random_state(random_state)
    X = check_array(X, dtype=[np.float64, np.float32], allow_nd=True, copy=True)
    if X.ndim > 3:
        raise ValueError(
            f"X must be n_pixels × n_bands or n_rows × n_columns × n_bands. Got shape {X.shape}."
        )
    if X.ndim == 3:
        image_shape = X.shape[:2]
    flat = X.reshape(-1, X.shape[-1])
    shape = (1, len(flat)) if image_shape is None else check_image_shape(image_shape)
    if shape[0] * shape[1] != len(flat):
        raise ValueError(f"image_shape={image_shape!r} does not fit the {len(flat)} pixels of X.")
    grid = [np.broadcast_to(np.linspace(-0.5, 0.5, n) if n > 1 else 0.0, n) for n in shape]
    grid = [side.ravel() for side in np.meshgrid(*grid, indexing="ij")]
    n_bands = flat.shape[1]
    chosen = np.sort(rng.choice(n_bands, round(fraction * n_bands), replace=False))
    bands = np.zeros(n_bands, dtype=bool)
    bands[chosen] = True
    if len(chosen):
        nonnegative = flat.min() >= 0
        ruined = RUINS[kind](rng, flat[:, chosen].astype(np.float64), flat, grid)
        flat[:, chosen] = np.maximum(ruined, 0) if nonnegative else ruined
    return X, bands


def check_image_shape(image_shape):
    """Return (n_rows, n_columns) as a tuple of two ints, or raise ValueError."""
    shape = np.asarray(image_shape)
    if shape.shape != (2,) or not np.issubdtype(shape.dtype, np.integer) or shape.min() < 1:
        raise ValueError(f"image_shape must be (n_rows, n_columns). Got {image_shape!r}.")
    return int(shape[0]), int(shape[1])


def ruin_pixels(Y, fraction, foreign, rng):
    """Replace pixels by spectra of other things, noise, and dead or saturated detectors."""
    Y = Y.copy()
    n = round(fraction * len(Y))
    chosen = rng.permutation(len(Y))[:n]
    top = Y.max()
    kind = rng.permutation(n) * 5 // max(n, 1)
    for i, what in zip(chosen, kind, strict=True):
        if what < 3:
            Y[i] = foreign[rng.randint(len(foreign))] * rng.uniform(0.3, 2.0)
        elif what == 3:
            Y[i] = rng.uniform(0, top, Y.shape[1])
        else:
            Y[i] = 0 if rng.random_sample() < 0.5 else top
    pixels = np.zeros(len(Y), dtype=bool)
    pixels[chosen] = True
    return Y, pixels
