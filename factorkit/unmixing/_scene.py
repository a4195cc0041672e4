"""A scene as pixels × bands, whether it came so or as an image."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array

from ..utils._validation import validate_matrix

# Moments of bands are products of two values, and what is compared is products of moments: beyond
# this, or below its inverse, they are not numbers any more.
_LARGEST = 1e70


def pixels_of(X):
    """Return X as pixels × bands, and the (rows, columns) of an image, or None.

    An image is an array of three dimensions, rows × columns × bands; it is not copied where
    its memory allows it. What a masked array masks is missing, NaN.
    """
    if isinstance(X, np.ma.MaskedArray):
        X = X.astype(np.result_type(X.dtype, np.float32)).filled(np.nan)
    if getattr(X, "ndim", None) is None and not hasattr(X, "shape"):
        try:
            X = np.asarray(X)
        except ValueError:  # rows of unequal lengths: scikit-learn says so
            return X, None
    ndim = getattr(X, "ndim", 2)
    if ndim > 3:
        raise ValueError(
            f"X has {ndim} dimensions, of shape {tuple(X.shape)}. A scene has dim <= 3: n_pixels × "
            "n_bands, or n_rows × n_columns × n_bands."
        )
    if ndim != 3:
        return X, None
    return X.reshape(-1, X.shape[2]), tuple(int(n) for n in X.shape[:2])


def validate_scene(estimator, X, *, reset, allow_nan=False):
    """Check a scene.

    Parameters
    ----------
    estimator : estimator
        Its parameter ``image_shape`` says how the pixels of a two-dimensional X lie.

    X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)

    reset : bool
        True in ``fit``.

    allow_nan : bool, default=False
        Whether the estimator copes with missing entries.

    Returns
    -------
    X : ndarray of shape (n_pixels, n_bands), float32 or float64

    image_shape : tuple of int or None
        Rows and columns, where they are known.
    """
    X, image_shape = pixels_of(X)
    X = validate_matrix(
        estimator, X, reset=reset, allow_nan=True, nonnegative=False, accept_sparse=False
    )
    # Infinite values are refused already, so only NaN makes the sum one.
    if not allow_nan and np.isnan(X.sum(dtype=np.float64)):
        raise ValueError(
            f"Input X contains NaN, which {type(estimator).__name__} does not take. Leave out the "
            "bands or pixels that lack values (of a library too); Unmixer, CorrentropyUnmixing and "
            "estimate_abundances take missing entries."
        )
    check_magnitude(X)
    # The parameter is about the scene of fit; another one may have another shape.
    if reset:
        image_shape = agreed_shape(estimator.image_shape, image_shape, len(X))
    return X, image_shape


def check_magnitude(X):
    """Refuse values whose squares are too large, or all too small, to be computed with."""
    ends = (np.fmin.reduce(X, axis=None, initial=0), np.fmax.reduce(X, axis=None, initial=0))
    largest = max(-float(ends[0]), float(ends[1]))
    if largest > _LARGEST or 0 < largest < 1 / _LARGEST:
        raise ValueError(
            f"The largest value of X is {largest:.3g}; computing with squares takes one between "
            f"{1 / _LARGEST:.0e} and {_LARGEST:.0e}. Divide X by a constant."
        )


def agreed_shape(given, found, n_pixels):
    """Rows and columns by the parameter `image_shape` and by an image, or None without either."""
    if given is None:
        return found
    shape = check_image_shape(given, n_pixels)
    if found not in (None, shape):
        raise ValueError(f"image_shape={given!r} and X is an image of {found}.")
    return shape


def check_image_shape(image_shape, n_pixels):
    """Return (rows, columns) as a tuple of two ints, or raise ValueError."""
    shape = np.atleast_1d(np.asarray(image_shape))
    # NumPy makes integers of (True, 5).
    sizes = np.ravel(np.asarray(image_shape, dtype=object))
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in sizes)
    if shape.shape != (2,) or not whole or shape.min() < 1:
        raise ValueError(f"image_shape must be (n_rows, n_columns). Got {image_shape!r}.")
    if int(shape[0]) * int(shape[1]) != n_pixels:
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[0] * shape[1]} pixels; X has {n_pixels}."
        )
    return int(shape[0]), int(shape[1])


def check_wavelengths(wavelengths, n_bands):
    """Return the wavelengths as an array of floats of shape (n_bands,), or None."""
    if wavelengths is None:
        return None
    wavelengths = check_array(
        wavelengths, dtype=np.float64, ensure_2d=False, input_name="wavelengths"
    )
    if wavelengths.shape != (n_bands,):
        raise ValueError(
            f"wavelengths has shape {wavelengths.shape}; X has {n_bands} bands, so it must have "
            f"shape ({n_bands},)."
        )
    if n_bands > 1 and np.ptp(wavelengths) == 0:
        raise ValueError(
            f"wavelengths are all {wavelengths[0]:g}, which says nothing about which bands are "
            "neighbours. Give None where they are not known."
        )
    return wavelengths.copy()


def check_n_endmembers(n_components, n_pixels, n_bands):
    """Refuse more endmembers than bands or pixels, and what is no number of them."""
    if isinstance(n_components, bool):  # an integer to Python
        raise ValueError(f"n_components must be an integer. Got {n_components}.")
    if n_components > n_bands:
        raise ValueError(
            f"n_components={n_components} is more than the {n_bands} bands of X: no more "
            "endmembers than bands can be told apart."
        )
    if n_components > n_pixels:
        raise ValueError(f"n_components={n_components} is more than the {n_pixels} pixels of X.")
