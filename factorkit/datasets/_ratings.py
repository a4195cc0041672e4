"""Ratings with a planted model."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from factorkit.utils._sklearn import Interval, validate_params


@validate_params(
    {
        "n_rows": [Interval(Integral, 1, None, closed="left")],
        "n_columns": [Interval(Integral, 1, None, closed="left")],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "density": [Interval(Real, 0, 1, closed="right")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "whole": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_ratings(
    n_rows, n_columns, rank=5, *, density=0.1, noise=0.5, whole=True, random_state=None
):
    """Make ratings from 1 to 5 of rows (users) for columns (items) with known taste.

    .. math:: m_{ij} = 3.5 + b_i + c_j + \\tfrac{1}{\\sqrt{r}}\\, u_i \\cdot v_j

    with b ~ N(0, .4²), c ~ N(0, .5²), u ~ N(0, .7²), v ~ N(0, 1) and r the rank. What is observed
    is m with normal noise, clipped to 1 to 5 and, if `whole`, rounded. Some columns are popular
    and some rows busy, as in real ratings: the chance of an entry is a product of a row's and a
    column's share, which are log-normal.

    Parameters
    ----------
    n_rows, n_columns : int
        Numbers of users and of items.

    rank : int, default=5
        Number of factors beside the biases.

    density : float, default=0.1
        Part of the entries that is observed, about; near 1 some 2 % less.

    noise : float, default=0.5
        Standard deviation of the noise.

    whole : bool, default=True
        Whether ratings are whole numbers.

    random_state : int, RandomState instance or None, default=None
        For everything drawn.

    Returns
    -------
    ratings : Bunch
        data : csr_array of float64 of shape (n_rows, n_columns)
            The observed ratings; what it doesn't store is missing.
        truth : ndarray of float64 of shape (n_rows, n_columns)
            m: every entry without noise, unclipped.

    Examples
    --------
    >>> from factorkit.datasets import make_ratings
    >>> ratings = make_ratings(100, 60, density=0.2, random_state=0)
    >>> ratings.data.shape, ratings.truth.shape
    ((100, 60), (100, 60))
    """
    rng = check_random_state(random_state)
    b, c = 0.4 * rng.standard_normal((n_rows, 1)), 0.5 * rng.standard_normal(n_columns)
    U, V = 0.7 * rng.standard_normal((n_rows, rank)), rng.standard_normal((n_columns, rank))
    truth = 3.5 + b + c + U @ V.T / np.sqrt(rank)
    chance = rng.lognormal(sigma=0.7, size=(n_rows, 1)) * rng.lognormal(sigma=0.7, size=n_columns)
    # Scaling and cutting at one in turn comes near the density that was asked for.
    for _ in range(20):
        chance = np.minimum(chance * (density / chance.mean()), 1)
    i, j = np.nonzero(rng.random(truth.shape) < chance)
    values = np.clip(truth[i, j] + noise * rng.standard_normal(len(i)), 1, 5)
    values = np.round(values) if whole else values
    return Bunch(data=sparse.csr_array((values, (i, j)), shape=truth.shape), truth=truth)
