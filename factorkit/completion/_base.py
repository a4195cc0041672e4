"""What estimators of completion share: their input, and predictions with offsets and bounds."""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from ..base import MatrixFactorization
from ..utils._errors import explained
from ..utils._sklearn import StrOptions
from ..utils._validation import check_coordinates


class CompletionBase(MatrixFactorization):
    """X ≈ W components_ + intercept_, at entries that nobody has observed too.

    A subclass sets ``components_``, ``intercept_`` of shape (n_features,), ``embedding_`` (the
    coefficients of the rows of ``fit``) and ``bounds_`` (None or a pair), and has the parameters
    `missing` and `bounds`.
    """

    _parameter_constraints = {
        "missing": [StrOptions({"nan", "unstored"})],
        "bounds": [StrOptions({"data"}), tuple, list, None],
    }

    def predict_entries(self, coords):
        """Predict entries of the rows of ``fit``.

        Parameters
        ----------
        coords : array-like of shape (n_entries, 2)
            Row and column of each.

        Returns
        -------
        values : ndarray of shape (n_entries,)

        Raises
        ------
        ValueError
            For coordinates that are negative, not whole or out of range.
        """
        check_is_fitted(self)
        shape = (len(self.embedding_), len(self.intercept_))
        coords = check_coordinates(coords, 2, shape=shape)
        return self._reconstruct_entries(self.embedding_, coords)

    def inverse_transform(self, W):
        """Reconstruct whole rows: W @ components_ + intercept_, within the bounds.

        Parameters
        ----------
        W : array-like of shape (n_samples, n_components_out)
            Coefficients, as ``transform`` returns them.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        X = super().inverse_transform(W)
        X += self.intercept_
        return self._clip(X)

    def score(self, X, y=None):
        """Return the explained variance on the observed entries of X; greater is better.

        It is 1 - Σ (x - x̂)² / Σ x², both sums over the observed entries, where x̂ is
        reconstructed from ``transform(X)``. :class:`factorkit.EntryRegressor` holds entries out,
        which this doesn't.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            NaN is missing, and so is what `missing` says of a sparse X.

        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        W = np.asarray(self.transform(X))
        X = self._validate_X(X, reset=False)
        residual_sum = total_sum = 0.0
        for start in range(0, X.shape[0], 256):  # few rows at a time: no list of all coordinates
            block = X[start : start + 256]
            i, j, x = _entries_of(block)
            fitted = self._reconstruct_entries(W[start : start + 256], np.column_stack((i, j)))
            residual_sum += np.sum(np.square(x - fitted, dtype=np.float64))
            total_sum += np.sum(np.square(x, dtype=np.float64))
        return explained(residual_sum, total_sum)

    def _reconstruct_entries(self, W, coords):
        values = super()._reconstruct_entries(W, coords)
        values += self.intercept_[coords[:, 1]].astype(values.dtype, copy=False)
        return self._clip(values)

    def _clip(self, values):
        return values if self.bounds_ is None else np.clip(values, *self.bounds_, out=values)

    def _validate_X(self, X, *, reset):
        X = super()._validate_X(X, reset=reset)
        if sparse.issparse(X) and self.missing == "nan":
            raise ValueError(
                f'X is sparse and missing="nan" says that its unstored entries are zeros, so '
                f"{type(self).__name__} would have nothing to complete. Pass "
                'missing="unstored" if only stored entries are observed, or X as a dense array '
                "with NaN."
            )
        return X

    def _check_bounds(self, values):
        """(low, high) of predictions, or None."""
        if self.bounds is None:
            return None
        if self.bounds == "data":
            return float(values.min()), float(values.max())
        try:
            bounds = np.asarray(self.bounds, dtype=np.float64)
        except (TypeError, ValueError):
            bounds = np.empty(0)
        if bounds.shape != (2,) or not bounds[0] < bounds[1]:
            raise ValueError(
                f"bounds={self.bounds!r}: it takes None, 'data', or a lower and a greater upper "
                "bound."
            )
        return tuple(bounds.tolist())


def _entries_of(block):
    if sparse.issparse(block):  # stored zeros are observed
        block = block.tocoo()
        return *block.coords, block.data
    i, j = np.nonzero(block == block)
    return i, j, block[i, j]
