"""Abundances of spectra that are given."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array

from ..utils._sklearn import StrOptions, validate_params
from ..utils._threads import Workers
from ._abundances import METHODS, abundances_of
from ._scene import pixels_of


@validate_params(
    {
        "X": ["array-like"],
        "endmembers": ["array-like"],
        "method": [StrOptions(set(METHODS))],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def estimate_abundances(X, endmembers, *, method="fcls", n_jobs=None):
    """Abundances of given endmembers in the pixels of a scene, exactly.

    .. math:: \\min_{a_i} \\tfrac12 \\|y_i - E^T a_i\\|^2

    for each pixel y_i, under the constraints of the method [1]_.

    Parameters
    ----------
    X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
        The scene. Missing entries (NaN) are left out.

    endmembers : array-like of shape (n_endmembers, n_bands)
        E, a spectrum a row.

    method : {"fcls", "nnls", "scls", "ucls"}, default="fcls"
        "fcls": fully constrained, abundances are not negative and sum to one. "nnls": not
        negative. "scls": they sum to one. "ucls": without constraint.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Returns
    -------
    A : ndarray of shape (n_pixels, n_endmembers) or (n_rows, n_columns, n_endmembers)
        float32 if X is that, else float64. NaN for pixels without any value.

    Raises
    ------
    ValueError
        For endmembers with another number of bands than X, and for infinite values.

    See Also
    --------
    LibraryUnmixing : Sparse abundances, for libraries of hundreds of spectra.

    Notes
    -----
    A pixel costs the product with the endmembers and, for up to 12 of them, one to four supports
    from a table. More endmembers, and pixels with missing entries, take an active set with a
    Cholesky factorization for each support.

    References
    ----------
    .. [1] D. C. Heinz and C.-I Chang, "Fully Constrained Least Squares Linear Spectral Mixture
       Analysis Method for Material Quantification in Hyperspectral Imagery", IEEE Transactions on
       Geoscience and Remote Sensing 39, 2001.

    Examples
    --------
    >>> from factorkit import estimate_abundances
    >>> E = [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]
    >>> estimate_abundances([[0.25, 0.75, 1.25]], E).round(6).tolist()
    [[0.25, 0.75]]
    """
    given = {"dtype": [np.float64, np.float32], "ensure_all_finite": "allow-nan"}
    pixels, image_shape = pixels_of(X)
    pixels = check_array(pixels, input_name="X", **given)
    E = check_array(endmembers, dtype=np.float64, input_name="endmembers")
    if E.shape[1] != pixels.shape[1]:
        raise ValueError(
            f"endmembers has {E.shape[1]} bands and X has {pixels.shape[1]}: they must agree."
        )
    with Workers(n_jobs) as workers:
        A = abundances_of(pixels, E, method, workers)
    return A if image_shape is None else A.reshape(*image_shape, len(E))
