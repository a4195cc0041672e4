"""What the imputer knows of each column: how to standardize it, and the range of its values."""

from typing import NamedTuple

import numpy as np


class Columns(NamedTuple):
    """Statistics of the observed values of each of n_features columns, in float64.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
        Mean and standard deviation. The scale of a column that is constant or empty is 1, the
        mean of an empty one 0.
    low, high : ndarray of shape (n_features,)
        Range; 0 for an empty column.
    empty : ndarray of bool of shape (n_features,)
        Nothing is observed.
    varying : ndarray of intp
        Indices of the columns with a model: those that are neither constant nor empty.
    """

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    empty: np.ndarray
    varying: np.ndarray

    def standardize(self, X, observed, *, clip=False):
        """(Standardized varying columns, with zeros for what is missing; where they are observed).

        With `clip` values beyond the range count as its ends.
        """
        if len(self.varying) < len(self.empty):
            X, observed = X[:, self.varying], observed[:, self.varying]
        X = X.astype(np.float64)
        if clip:
            np.clip(X, self.low[self.varying], self.high[self.varying], out=X)
        # Zeros in the end; a mark may be too large to be divided.
        np.copyto(X, self.mean[self.varying], where=~observed)
        X -= self.mean[self.varying]
        X /= self.scale[self.varying]
        return X, observed

    def spread(self, values):
        """Values of the varying columns, and zeros for the others."""
        out = np.zeros((len(self.empty), *values.shape[1:]))
        out[self.varying] = values
        return out


def describe_columns(X, observed):
    """Statistics of the observed entries.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    observed : ndarray of bool of shape (n_samples, n_features)

    Returns
    -------
    columns : Columns
    """
    counts = observed.sum(axis=0)
    empty = counts == 0
    n = np.maximum(counts, 1)
    low = np.min(X, axis=0, where=observed, initial=np.inf).astype(np.float64)
    high = np.max(X, axis=0, where=observed, initial=-np.inf).astype(np.float64)
    low[empty] = high[empty] = 0.0
    # The mean of equal numbers is not always that number.
    constant = low == high
    mean = np.sum(X, axis=0, where=observed, dtype=np.float64) / n
    mean[constant] = low[constant]
    centred = np.where(observed, X - mean, 0.0)
    spread = np.abs(centred).max(axis=0, initial=0.0)
    spread[constant] = 1.0
    centred /= spread  # squares of the smallest numbers are zero
    scale = spread * np.sqrt(np.einsum("ij,ij->j", centred, centred) / n)
    scale[constant] = 1.0
    return Columns(mean, scale, low, high, empty, np.flatnonzero(~constant))
