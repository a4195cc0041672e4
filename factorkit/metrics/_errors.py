"""Errors on the observed entries."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from factorkit.utils._entries import as_csr
from factorkit.utils._errors import explained, sums_of_squares
from factorkit.utils._sklearn import StrOptions, validate_params
from factorkit.utils._validation import check_sample_weight


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "W": ["array-like"],
        "H": ["array-like"],
        "missing": [StrOptions({"nan", "unstored"})],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def explained_variance(X, W, H, *, missing="nan", sample_weight=None):
    """Part of the observed entries of X that W H explains; greater is better.

    .. math::

        1 - \\frac{\\sum_{ij} v_i \\, (x_{ij} - (WH)_{ij})^2}{\\sum_{ij} v_i \\, x_{ij}^2}

    Both sums run over the observed entries, and v_i are the weights of the samples: 1 for a
    perfect reconstruction, 0 for one by zeros, negative for a worse one. X is not centred. It is
    what the ``score`` of an estimator returns for its own W and H.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        NaN is missing.

    W : array-like of shape (n_samples, n_components)
        Coefficients.

    H : array-like of shape (n_components, n_features)
        Components.

    missing : {"nan", "unstored"}, default="nan"
        Which entries of a sparse X are missing: those that are NaN (unstored entries are zeros),
        or those as well that it doesn't store.

    sample_weight : array-like of shape (n_samples,) or None, default=None
        Nonnegative weights of the samples.

    Returns
    -------
    score : float
        For data that are all zeros, 1 for a perfect reconstruction and else 0.

    Raises
    ------
    ValueError
        For shapes that don't go together, infinite values, NaN in W or H, and weights that are
        negative, not finite or all zero.

    Notes
    -----
    Neither W H nor a dense copy of a sparse X is formed; the sums are in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.metrics import explained_variance
    >>> X = [[1.0, 2.0], [2.0, np.nan]]
    >>> round(explained_variance(X, [[1.0], [2.0]], [[1.0, 1.0]]), 6)
    0.888889
    """
    X = check_array(
        X,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan",
        input_name="X",
    )
    W, H = (
        check_array(M, dtype=[np.float64, np.float32], input_name=name)
        for M, name in [(W, "W"), (H, "H")]
    )
    if (W.shape[0], H.shape[1]) != X.shape or W.shape[1] != H.shape[0]:
        raise ValueError(
            f"W of shape {W.shape} times H of shape {H.shape} doesn't make X of shape {X.shape}."
        )
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, X.shape[0], np.float64)
    if sparse.issparse(X) and not X.has_canonical_format:
        X = as_csr(X.copy())
    sums = sums_of_squares(X, W, H, missing=missing, sample_weight=sample_weight)
    return explained(*sums)
