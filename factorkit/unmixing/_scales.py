"""What abundances are shares of: conventions that differ where endmembers differ in brightness.

With nonnegative least squares y ≈ Σ n_j e_j and brightness b_j = uᵀe_j the shares are
proportional to n_j (b_j + t): t = ∞ for shares of area, t = 0 for shares of the light, and the
offset of the normalization in between. They are fitted under their own sum-to-one constraint,
that of pixels divided by b + t; but where the light varies a little, areas are free abundances
divided by their sum.
"""

import numpy as np

from ._abundances import abundances_of
from ._evidence import light_is_even

SCALES = ("area", "lit_area", "soft", "share")
# Sums of free abundances that spread less than this tell of light on areas, unless sum-to-one
# costs little, where they may spread more; beyond, areas can't be told from brightness.
_SPREAD, _SPREAD_CHEAP = 0.15, 0.25
_RATIO_CHEAP, _RATIO_SHARE = 1.2, 1.5


def choose_scale(ratio, spread):
    """The convention that the evidence of `light_evidence` speaks for."""
    if light_is_even(ratio, spread):
        return "area"
    cheap = ratio < _RATIO_CHEAP
    if spread < (_SPREAD_CHEAP if cheap else _SPREAD):
        return "lit_area"
    if cheap:
        return "area"
    return "share" if ratio > _RATIO_SHARE else "soft"


def scaled_abundances(Y, E, scale, light, bands, workers):
    """Abundances in a convention.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        NaN entries are left out.
    E : ndarray of shape (k, n_bands)
    scale : {"area", "lit_area", "soft", "share"}
    light : Light
    bands : ndarray of bool of shape (n_bands,)
        The good ones; the others are left out.
    workers : Workers

    Returns
    -------
    A : ndarray of shape (n_pixels, k), of the dtype of `Y`
        Rows sum to one.
    """
    weights = None if bands.all() else bands.astype(np.float64)
    if scale == "area":
        return abundances_of(Y, E, "fcls", workers, band_weights=weights)
    if scale == "lit_area":
        return _free_shares(abundances_of(Y, E, "nnls", workers, band_weights=weights))
    offset = light.offset if scale == "soft" else 0.0
    b = light.brightness(Y, workers, bands=bands)
    of_E = np.maximum(E @ light.direction, 0.0)
    holes = np.flatnonzero(np.isnan(b))
    if len(holes):
        # The brightness of what the endmembers make of them.
        free = abundances_of(Y, E, "nnls", workers, band_weights=weights, pixels=holes)
        b[holes] = free.astype(np.float64) @ of_E
    # A pixel or an endmember without light is left as it is.
    floor = 1e-6 * light.offset
    by = 1.0 / np.where(b + offset > floor, b + offset, light.offset or 1.0)
    by_E = 1.0 / np.where(of_E + offset > floor, of_E + offset, light.offset or 1.0)
    return abundances_of(
        Y, E * by_E[:, None], "fcls", workers, band_weights=weights, scale=by.astype(Y.dtype)
    )


def _free_shares(A):
    sums = A.sum(axis=1, keepdims=True)
    # In a pixel without any light nothing is known: equal shares.
    dark = sums <= 0
    return np.where(dark, 1.0 / A.shape[1], A / np.where(dark, 1, sums)).astype(A.dtype, copy=False)
