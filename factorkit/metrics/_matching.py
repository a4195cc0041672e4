"""Components paired with their like, whatever their order."""

import numpy as np
from sklearn.utils import check_array

from factorkit.utils._sklearn import StrOptions, validate_params

from ._spectra import _angle, _check_nonnegative, _divergence, _unit


@validate_params(
    {
        "A": ["array-like"],
        "B": ["array-like"],
        "metric": [StrOptions({"cosine", "spectral_angle", "sid"})],
    },
    prefer_skip_nested_validation=True,
)
def matched_components(A, B, metric="cosine"):
    """Pair the components of A with those of B so that the pairs are most alike.

    Of all ways to give each component of the smaller set one of its own in the other, it is the
    one with the greatest sum of cosines, or the smallest sum of angles or divergences. Scales
    play no part.

    Parameters
    ----------
    A : array-like of shape (n_components_a, n_features)
        Components, one a row.

    B : array-like of shape (n_components_b, n_features)
        Components to pair with those of A; there may be more or fewer.

    metric : {"cosine", "spectral_angle", "sid"}, default="cosine"
        What is summed over the pairs, and returned for each: the cosine of their angle, 1 at
        best; the angle in radians, 0 at best; or the spectral information divergence of
        nonnegative components, 0 at best. The cosine of a negative multiple is -1.

    Returns
    -------
    permutation : ndarray of intp of shape (n_components_a,)
        The row of B that goes with each row of A; -1 where B has too few. With
        ``n_components_a <= n_components_b`` the rows of ``B[permutation]`` are those of A,
        paired.

    scores : ndarray of float64 of shape (n_components_a,)
        The cosine, angle or divergence of each pair; NaN where `permutation` is -1.

    Raises
    ------
    ValueError
        For different numbers of features, for NaN or infinite values, and for negative ones
        with ``metric="sid"``.

    See Also
    --------
    cosine_similarity, spectral_angle, spectral_information_divergence : Of two components, or
        of the rows of two matrices.
    abundance_rmse : Takes the permutation.

    Notes
    -----
    The Hungarian algorithm [1]_ finds the pairs. A component of zeros has no direction: its
    cosine is 0, its angle π/2 and its divergence infinite with every other, another one of zeros
    included. Of divergences as few as can be are infinite.

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
    likeness = _LIKENESS[metric](A, B)
    # The assignment takes no infinite cost: more than all finite ones together will do.
    finite = np.isfinite(likeness)
    cost = np.where(finite, likeness, 1 + likeness[finite].sum())
    rows, columns = linear_sum_assignment(cost, maximize=metric == "cosine")
    permutation = np.full(len(A), -1, dtype=np.intp)
    scores = np.full(len(A), np.nan)
    permutation[rows] = columns
    scores[rows] = likeness[rows, columns]
    return permutation, scores


def _cosines(A, B):
    return (_unit(A) @ _unit(B).T).clip(-1, 1)


def _angles(A, B):
    return _angle(A[:, None], B)


def _divergences(A, B):
    for name, components in [("A", A), ("B", B)]:
        _check_nonnegative(components, name)
    return _divergence(A[:, None], B)


# Every component of A with every one of B.
_LIKENESS = {"cosine": _cosines, "spectral_angle": _angles, "sid": _divergences}
