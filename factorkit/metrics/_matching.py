"""Likeness of components, whatever their order and scale."""

import numpy as np
from sklearn.utils import check_array

from factorkit.utils._sklearn import StrOptions, validate_params


@validate_params(
    {
        "A": ["array-like"],
        "B": ["array-like"],
        "metric": [StrOptions({"cosine", "spectral_angle"})],
    },
    prefer_skip_nested_validation=True,
)
def matched_components(A, B, metric="cosine"):
    """Pair the components of A with those of B so that the pairs are most alike.

    Of all ways to give each component of the smaller set one of its own in the other, it is the
    one with the greatest sum of cosines, or the smallest sum of angles. Scales play no part.

    Parameters
    ----------
    A : array-like of shape (n_components_a, n_features)
        Components, one a row.

    B : array-like of shape (n_components_b, n_features)
        Components to pair with those of A; there may be more or fewer.

    metric : {"cosine", "spectral_angle"}, default="cosine"
        What is summed over the pairs, and returned for each: the cosine of their angle, 1 at
        best, or the angle in radians, 0 at best. The cosine of a negative multiple is -1.

    Returns
    -------
    permutation : ndarray of intp of shape (n_components_a,)
        The row of B that goes with each row of A; -1 where B has too few. With
        ``n_components_a <= n_components_b`` the rows of ``B[permutation]`` are those of A,
        paired.

    scores : ndarray of float64 of shape (n_components_a,)
        The cosine or the angle of each pair; NaN where `permutation` is -1.

    Raises
    ------
    ValueError
        For different numbers of features, and for NaN or infinite values.

    See Also
    --------
    cosine_similarity, spectral_angle : Of two components, or of the rows of two matrices.

    Notes
    -----
    The Hungarian algorithm [1]_ finds the pairs. A component of zeros has no direction: its
    cosine is 0 and its angle π/2 with every other, another one of zeros included.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Research
       Logistics Quarterly 2, 1955.

    Examples
    --------
    >>> from factorkit.metrics import matched_components
    >>> A = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    >>> B = [[0.0, 2.0, 2.0], [5.0, 0.0, 0.0]]
    >>> permutation, scores = matched_components(A, B)
    >>> permutation.tolist(), scores.round(6).tolist()
    ([1, 0], [1.0, 1.0])
    """
    # The compiled half of scipy.optimize takes a while to load.
    from scipy.optimize import linear_sum_assignment

    A, B = (check_array(M, dtype=np.float64, input_name=name) for M, name in [(A, "A"), (B, "B")])
    if A.shape[1] != B.shape[1]:
        raise ValueError(f"A has {A.shape[1]} features and B has {B.shape[1]}: they must agree.")
    if metric == "cosine":
        likeness = (_unit(A) @ _unit(B).T).clip(-1, 1)
    else:
        likeness = _angle(A[:, None], B)
    rows, columns = linear_sum_assignment(likeness, maximize=metric == "cosine")
    permutation = np.full(len(A), -1, dtype=np.intp)
    scores = np.full(len(A), np.nan)
    permutation[rows] = columns
    scores[rows] = likeness[rows, columns]
    return permutation, scores


def cosine_similarity(a, b):
    """Cosine of the angle between spectra, or components: how alike they are but for their scales.

    .. math:: \\cos \\theta(a, b) = \\frac{a^T b}{\\|a\\| \\, \\|b\\|}

    Parameters
    ----------
    a, b : array-like of shape (..., n_features)
        Spectra along the last axis; the other axes are broadcast, as by :func:`spectral_angle`:
        rows are paired with rows. scikit-learn's function of this name takes every row of one
        matrix with every row of the other.

    Returns
    -------
    cosine : float or ndarray of float64 of shape (...)
        Between -1 and 1. It is 0 where a spectrum is all zeros, as that has no direction.

    Raises
    ------
    ValueError
        For shapes that can't be broadcast, and for NaN or infinite values.

    See Also
    --------
    spectral_angle : The angle, which tells near spectra better apart.

    Examples
    --------
    >>> from factorkit.metrics import cosine_similarity
    >>> cosine_similarity([[3.0, 4.0], [1.0, 0.0]], [[6.0, 8.0], [0.0, 2.0]]).round(6).tolist()
    [1.0, 0.0]
    """
    a, b = _check_pair(a, b)
    cosine = np.vecdot(_unit(a), _unit(b)).clip(-1, 1)
    return cosine if cosine.ndim else float(cosine)


def spectral_angle(a, b):
    """Angle between spectra, in radians: how far apart they are but for their scales.

    .. math:: \\theta(a, b) = \\arccos \\frac{a^T b}{\\|a\\| \\, \\|b\\|}

    Parameters
    ----------
    a, b : array-like of shape (..., n_features)
        Spectra along the last axis; the other axes are broadcast, so rows are paired with rows,
        and ``spectral_angle(A[:, None], B)`` holds every row of A against every row of B.

    Returns
    -------
    angle : float or ndarray of float64 of shape (...)
        Between 0 and π. It is π/2 where a spectrum is all zeros, as that has no direction.

    Raises
    ------
    ValueError
        For shapes that can't be broadcast, and for NaN or infinite values.

    Notes
    -----
    The arc cosine can't tell angles below 1e-8 from 0. Half the angle is instead taken from the
    lengths of the sum and of the difference of the two unit vectors [1]_, which is accurate for
    all angles.

    References
    ----------
    .. [1] W. Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point
       Computation?", 2006, section 12.

    Examples
    --------
    >>> from factorkit.metrics import spectral_angle
    >>> round(spectral_angle([1.0, 1.0], [0.0, 3.0]), 6)
    0.785398
    """
    a, b = _check_pair(a, b)
    angle = _angle(a, b)
    return angle if angle.ndim else float(angle)


def _check_pair(a, b):
    a, b = (
        check_array(v, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)
        for v, name in [(a, "a"), (b, "b")]
    )
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has {a.shape[-1]} features and b has {b.shape[-1]}: they must agree.")
    return a, b


def _angle(a, b):
    a, b = _unit(a), _unit(b)
    apart = np.linalg.norm(a - b, axis=-1)
    together = np.linalg.norm(a + b, axis=-1)
    # One vector of zeros makes the two lengths equal and the angle π/2; two make both of them 0.
    return np.where(apart + together == 0, np.pi / 2, 2 * np.arctan2(apart, together))


def _unit(a):
    """Vectors along the last axis over their lengths; zeros stay zeros."""
    # Over the largest entry first: squares of very large or small numbers leave the range.
    largest = np.abs(a).max(axis=-1, keepdims=True)
    a = a / np.where(largest == 0, 1, largest)
    length = np.linalg.norm(a, axis=-1, keepdims=True)
    return a / np.where(length == 0, 1, length)
