"""How far two sets of abundances are apart."""

import numpy as np
from sklearn.utils import check_array

from factorkit.utils._sklearn import validate_params


@validate_params(
    {
        "A": ["array-like"],
        "B": ["array-like"],
        "permutation": ["array-like", None],
        "per_component": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def abundance_rmse(A, B, *, permutation=None, per_component=False):
    """Root mean square error between two sets of abundances; smaller is better.

    .. math::

        \\sqrt{\\frac{1}{n \\, |P|} \\sum_{j \\in P} \\sum_{i=1}^{n} (a_{ij} - b_{i \\pi(j)})^2}

    where π is `permutation` and P holds the components that it pairs.

    Parameters
    ----------
    A : array-like of shape (n_pixels, n_components_a) or (n_rows, n_columns, n_components_a)
        Abundances, the true ones for example.

    B : array-like of shape (n_pixels, n_components_b) or (n_rows, n_columns, n_components_b)
        Abundances in the same pixels.

    permutation : array-like of int of shape (n_components_a,) or None, default=None
        The component of B that goes with each one of A, -1 for none, as
        :func:`matched_components` returns it for the endmembers. What has no partner is left
        out. None pairs them in their order.

    per_component : bool, default=False
        Whether to return the error of each component by itself.

    Returns
    -------
    error : float or ndarray of float64 of shape (n_components_a,)
        With `per_component`, NaN where `permutation` is -1.

    Raises
    ------
    ValueError
        For NaN or infinite values, for other pixels in A than in B, for other numbers of
        components without `permutation`, and for a `permutation` that is not one.

    See Also
    --------
    matched_components : Finds the permutation.

    Examples
    --------
    >>> from factorkit.metrics import abundance_rmse, matched_components
    >>> E_true, E_found = [[1.0, 0.0], [0.0, 1.0]], [[0.1, 0.9], [0.8, 0.0]]
    >>> A_true, A_found = [[1.0, 0.0], [0.5, 0.5]], [[0.1, 0.9], [0.5, 0.5]]
    >>> permutation, _ = matched_components(E_true, E_found)
    >>> round(abundance_rmse(A_true, A_found, permutation=permutation), 6)
    0.070711
    """
    A, B = (
        check_array(M, dtype=[np.float64, np.float32], allow_nd=True, input_name=name)
        for M, name in [(A, "A"), (B, "B")]
    )
    if A.shape[:-1] != B.shape[:-1]:
        raise ValueError(
            f"A is of shape {A.shape} and B of shape {B.shape}: all but the last axis, which is "
            "that of the components, must agree."
        )
    permutation = _check_permutation(permutation, A.shape[-1], B.shape[-1])
    mean_squares = np.full(len(permutation), np.nan)
    for j, partner in enumerate(permutation):
        if partner >= 0:
            difference = np.subtract(A[..., j], B[..., partner], dtype=np.float64).ravel()
            mean_squares[j] = difference @ difference / difference.size
    if per_component:
        return np.sqrt(mean_squares)
    return float(np.sqrt(np.nanmean(mean_squares)))


def _check_permutation(permutation, n_a, n_b):
    if permutation is None:
        if n_a != n_b:
            raise ValueError(
                f"A has {n_a} components and B has {n_b}: give the permutation that pairs them, "
                "which matched_components finds."
            )
        return np.arange(n_a)
    permutation = np.asarray(permutation)
    if permutation.shape != (n_a,) or not np.issubdtype(permutation.dtype, np.integer):
        raise ValueError(
            f"permutation must be {n_a} integers, one for each component of A. Got an array of "
            f"shape {permutation.shape} and type {permutation.dtype}."
        )
    paired = permutation[permutation != -1]
    if not paired.size:
        raise ValueError("permutation pairs no component of A with one of B: all of it is -1.")
    if paired.min() < 0 or paired.max() >= n_b or len(np.unique(paired)) < len(paired):
        raise ValueError(
            f"permutation must hold different components of B, 0 to {n_b - 1}, or -1 for none. "
            f"Got {permutation.tolist()}."
        )
    return permutation
