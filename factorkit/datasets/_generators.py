"""Dense matrices with planted factors."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from factorkit.utils._sklearn import Interval, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "missing_fraction": [Interval(Real, 0, 1, closed="left")],
        "separable": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_low_rank_nonnegative(
    n_samples,
    n_features,
    n_components,
    *,
    noise=0.0,
    missing_fraction=0.0,
    separable=False,
    random_state=None,
):
    """Make a nonnegative matrix of low rank with known factors.

    .. math:: X = \\max(0, W H + \\sigma E), \\qquad W, H \\sim \\mathrm{Exponential}(1)

    where E is standard normal and σ is `noise` times the root mean square of W H. Some entries
    may then be missing.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    n_features : int
        Number of columns.

    n_components : int
        Number of components.

    noise : float, default=0.0
        Size of the noise, relative to W H.

    missing_fraction : float, default=0.0
        Fraction of the entries that are missing, to the nearest entry; at random, in no regard
        of whether a row or a column is left empty.

    separable : bool, default=False
        Give each component one pure row, a sample that is made of it alone, and one pure
        column, a feature that it alone has. Then, without noise, W and H are the only
        nonnegative factors, up to their order and scale.

    random_state : int, RandomState instance or None, default=None
        For everything drawn.

    Returns
    -------
    planted : Bunch
        data : ndarray of float64 of shape (n_samples, n_features)
            X; NaN is missing.
        W : ndarray of float64 of shape (n_samples, n_components)
            Coefficients.
        H : ndarray of float64 of shape (n_components, n_features)
            Components.
        pure_samples : ndarray of intp of shape (n_components,), or None
            For each component its pure row; None unless `separable`.
        pure_features : ndarray of intp of shape (n_components,), or None
            For each component its pure column; None unless `separable`.

    Raises
    ------
    ValueError
        For parameters out of range, and for `separable` with more components than samples or
        features.

    Examples
    --------
    >>> from factorkit.datasets import make_low_rank_nonnegative
    >>> planted = make_low_rank_nonnegative(30, 20, 3, missing_fraction=0.1, random_state=0)
    >>> planted.data.shape, planted.W.shape, planted.H.shape
    ((30, 20), (30, 3), (3, 20))
    """
    if separable and n_components > min(n_samples, n_features):
        raise ValueError(
            f"separable needs a row and a column for each of {n_components} components; there "
            f"are {n_samples} rows and {n_features} columns."
        )
    rng = check_random_state(random_state)
    W = rng.exponential(size=(n_samples, n_components))
    H = rng.exponential(size=(n_components, n_features))
    pure_samples = pure_features = None
    if separable:
        pure_samples = _make_pure(rng, W)
        pure_features = _make_pure(rng, H.T)
    X = W @ H
    if noise > 0:
        X += noise * np.sqrt(np.mean(X**2)) * rng.standard_normal(X.shape)
        X.clip(0, out=X)
    n_missing = round(missing_fraction * X.size)
    X.flat[rng.permutation(X.size)[:n_missing]] = np.nan
    return Bunch(data=X, W=W, H=H, pure_samples=pure_samples, pure_features=pure_features)


def _make_pure(rng, factor):
    """Leave one component in as many random rows as there are components, in place."""
    n_rows, n_components = factor.shape
    rows = rng.permutation(n_rows)[:n_components]
    components = np.arange(n_components)
    # At least 1, so that a pure row isn't lost in noise.
    kept = 1 + factor[rows, components]
    factor[rows] = 0
    factor[rows, components] = kept
    return rows
