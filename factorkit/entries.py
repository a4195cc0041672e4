"""Matrices and tensors as lists of entries: the unit that cross-validation can hold out."""

from inspect import signature

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from factorkit.utils._entries import as_csr, as_tensor, from_entries, to_entries
from factorkit.utils._sklearn import (
    CallbackSupportMixin,
    HasMethods,
    fit_method,
    propagate_callbacks,
    validate_data,
)
from factorkit.utils._validation import check_coordinates, check_sample_weight

__all__ = ["EntryRegressor", "from_entries", "to_entries"]


class EntryRegressor(CallbackSupportMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """A factorization that copes with missing entries, as a regressor on their coordinates.

    X holds integer coordinates, one column a mode (row and column for a matrix), and y the
    values there. Everything that is not listed is missing. So scikit-learn's own ``KFold``,
    ``GridSearchCV`` and ``cross_val_predict`` hold out *entries*, which tells the right rank;
    holding out rows doesn't, since ``transform`` fits the held-out rows anew.

    Parameters
    ----------
    estimator : estimator
        A factorization that can leave entries out: one of matrices with a parameter
        ``missing``, which is set to "unstored" on a clone, or one of tensors. One of matrices
        sees entries of more than two modes as the unfolding along mode 0: the other columns
        together name a column, and only combinations that occur become one.

    shape : tuple of int or None, default=None
        The length of each mode. By default a coordinate that doesn't occur takes no room, and
        ``modes_`` lists those that do; with a shape, index and coordinate are the same.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.

    row_embedding_ : ndarray of shape (n_rows, n_components)
        What its ``fit_transform`` returned: the coefficients of each coordinate of mode 0.

    modes_ : list of ndarray
        For each column of X the coordinates that ``estimator_`` knows, ascending.

    mean_ : float
        The mean of the training values, weighted.

    n_features_in_ : int
        Number of modes.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, where they are all strings.

    Notes
    -----
    *Cold start.* A row without training entries gets the mean of the column, a column without
    them that of the row, and where both are new the mean of all. For tensors it is the mean over
    the first known of modes 1, 2, … and then 0.

    *Repeated coordinates* are averaged, and the average weighs as much as all of them, if the
    estimator's ``fit`` takes an ``entry_weight``; if it doesn't, it weighs as much as one.

    Predictions are float32 where y is, else float64.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import NMF, EntryRegressor, to_entries
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((30, 2)) @ rng.random((2, 20))
    >>> coords, values = to_entries(X)
    >>> regressor = EntryRegressor(NMF(n_components=2, max_iter=500, random_state=0))
    >>> folds = KFold(3, shuffle=True, random_state=0)
    >>> scores = cross_val_score(regressor, coords, values, cv=folds)
    >>> bool(scores.min() > 0.9)
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit_transform", "inverse_transform_entries"])],
        "shape": [tuple, list, None],
    }

    def __init__(self, estimator, shape=None):
        self.estimator = estimator
        self.shape = shape

    @fit_method(validate_inner=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the factorization to the entries.

        Parameters
        ----------
        X : array-like of shape (n_entries, n_modes)
            Whole numbers from zero. Floats that hold whole numbers are taken.

        y : array-like of shape (n_entries,)
            The values.

        sample_weight : array-like of shape (n_entries,), default=None
            Weights of the entries, for an estimator whose ``fit`` takes ``entry_weight``. An
            entry of weight zero is left out.

        Returns
        -------
        self : EntryRegressor

        Raises
        ------
        ValueError
            For coordinates that are negative, not whole or beyond ``shape``; for an estimator
            that can't leave entries out; for ``sample_weight`` that it can't use.
        """
        X_given, y_given = X, y
        X, y = validate_data(self, X, y, y_numeric=True)
        y = y if y.dtype == np.float32 else y.astype(np.float64, copy=False)
        coords = check_coordinates(X, None, shape=self._check_shape(X), name="X")
        takes_weight = has_fit_parameter(self.estimator, "entry_weight")
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, len(y), y.dtype)
            if not takes_weight:
                raise ValueError(
                    f"sample_weight can't be used: fit of {type(self.estimator).__name__} takes "
                    "no entry_weight."
                )
            kept = sample_weight > 0
            coords, y, sample_weight = coords[kept], y[kept], sample_weight[kept]
        estimator = self._clone_for_entries()

        if self.shape is None:
            self.modes_ = [_distinct(column) for column in coords.T]
        else:
            self.modes_ = [np.arange(length) for length in self.shape]
        positions = self._locate(coords, learn=True)
        weight = np.ones_like(y) if sample_weight is None else sample_weight
        self._learn_means(positions, y, weight)
        values, weight = self._as_array(positions, y, weight)
        fit_params = {}
        if takes_weight and not np.all(weight.data == 1):
            fit_params["entry_weight"] = weight
        with propagate_callbacks(self, estimator, X_given, y_given):
            self.row_embedding_ = np.asarray(estimator.fit_transform(values, **fit_params))
            self.estimator_ = estimator
        return self

    def predict(self, X, return_std=False):
        """Predict the values at coordinates.

        Parameters
        ----------
        X : array-like of shape (n_entries, n_modes)
            Whole numbers from zero; those that were not in training too.

        return_std : bool, default=False
            Whether to return standard deviations too, for an estimator that has them, as
            :class:`factorkit.BayesianMatrixFactorization`. Where a mean is predicted, since a
            coordinate is new, it is that of all training values.

        Returns
        -------
        y : ndarray of shape (n_entries,)

        y_std : ndarray of shape (n_entries,)
            Only with `return_std`.

        Raises
        ------
        ValueError
            For `return_std` with an estimator that has no standard deviations.
        """
        check_is_fitted(self)
        if return_std and not _has_std(self.estimator_):
            raise ValueError(
                f"return_std=True needs an estimator with standard deviations; "
                f"{type(self.estimator_).__name__} has none."
            )
        coords = check_coordinates(validate_data(self, X, reset=False), None, name="X")
        positions = self._locate(coords)
        # A mean is NaN where a position had no training entry; the last one stands for -1.
        means = [mean[column] for mean, column in zip(self._means, positions.T, strict=True)]
        y = np.full(len(coords), self.mean_, dtype=self._means[0].dtype)
        for mean in (means[0], *means[:0:-1]):
            np.copyto(y, mean, where=~np.isnan(mean))
        known = ~np.isnan(means).any(axis=0)
        if not return_std:
            if known.any():
                y[known] = self.estimator_.inverse_transform_entries(
                    self.row_embedding_, positions[known]
                )
            return y
        y_std = np.full_like(y, self._std)
        if known.any():
            y[known], y_std[known] = self.estimator_.predict_entries(
                positions[known], return_std=True
            )
        return y, y_std

    def _check_shape(self, X):
        if self.shape is None:
            return None
        if len(self.shape) != X.shape[1]:
            raise ValueError(
                f"shape={self.shape} has {len(self.shape)} lengths, and X has {X.shape[1]} "
                "columns; it takes one length for each."
            )
        return tuple(self.shape)

    def _clone_for_entries(self):
        estimator = clone(self.estimator)
        if "missing" in estimator.get_params(deep=False):
            return estimator.set_params(missing="unstored")
        if not _takes_tensors(estimator):
            raise ValueError(
                f"{type(estimator).__name__} can't leave entries out: it is no estimator of "
                "tensors and has no parameter `missing` to set to 'unstored'."
            )
        return estimator

    def _locate(self, coords, *, learn=False):
        """Return where in the estimator's array the entries are; -1 for what is new in a mode."""
        positions = [
            _find(values, column) for values, column in zip(self.modes_, coords.T, strict=True)
        ]
        if not _takes_tensors(self.estimator):
            # Combinations are numbered anew after each mode: no product of lengths overflows.
            column = np.zeros_like(positions[0]) if len(positions) == 1 else positions[1]
            if learn:
                self._combinations = []
            for stage, further in enumerate(positions[2:]):
                pair = column * len(self.modes_[stage + 2]) + further
                pair[(column < 0) | (further < 0)] = -1
                if learn:
                    self._combinations.append(np.unique(pair))
                column = _find(self._combinations[stage], pair)
            positions = [positions[0], column]
        return np.column_stack(positions)

    def _array_shape(self):
        """Shape of the array that the estimator is fitted to."""
        lengths = [len(values) for values in self.modes_]
        if _takes_tensors(self.estimator):
            return tuple(lengths)
        if self._combinations:
            return lengths[0], len(self._combinations[-1])
        return lengths[0], lengths[1] if len(lengths) == 2 else 1

    def _learn_means(self, positions, y, weight):
        """Keep the mean along each position of each mode; one without entries has NaN."""
        self.mean_ = float(np.average(y, weights=weight))
        self._std = float(np.sqrt(np.average(np.square(y - self.mean_), weights=weight)))
        self._means = []
        for column, length in zip(positions.T, self._array_shape(), strict=True):
            # One more, without entries, is what the position -1 of a new coordinate picks.
            total = np.bincount(column, weights=y * weight, minlength=length + 1)
            count = np.bincount(column, weights=weight, minlength=length + 1)
            with np.errstate(invalid="ignore"):
                self._means.append((total / count).astype(y.dtype))

    def _as_array(self, positions, y, weight):
        """Return the values and their weights as sparse arrays, repeated entries averaged."""
        convert = as_tensor if _takes_tensors(self.estimator) else as_csr
        shape, coords = self._array_shape(), tuple(positions.T)
        is_weighted = not np.all(weight == 1)
        values = convert(sparse.coo_array((y * weight if is_weighted else y, coords), shape=shape))
        if not is_weighted and values.nnz == len(y):
            # No entry is repeated: the weights, all one, need no arrangement of their own.
            weights = values.copy()
            weights.data = np.ones_like(values.data)
            return values, weights
        weights = convert(sparse.coo_array((weight, coords), shape=shape))
        values.data /= weights.data
        return values, weights

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        # Coordinates say nothing of a value whose row and column nobody has seen.
        tags.regressor_tags.poor_score = True
        if hasattr(self.estimator, "__sklearn_tags__"):
            tags.target_tags.positive_only = get_tags(self.estimator).input_tags.positive_only
        return tags


def _has_std(estimator):
    predict = getattr(estimator, "predict_entries", None)
    return predict is not None and "return_std" in signature(predict).parameters


def _takes_tensors(estimator):
    return get_tags(estimator).input_tags.three_d_array


def _distinct(column):
    """Return the distinct coordinates, ascending; by counting, where that is less than sorting."""
    if column.max(initial=0) <= 4 * len(column):
        return np.flatnonzero(np.bincount(column))
    return np.unique(column)


def _find(values, wanted):
    """Return the positions of what is wanted in ascending values, -1 for what isn't there."""
    if values[-1] == len(values) - 1:  # every coordinate occurs, as is usual
        return np.where(wanted < len(values), wanted, -1)
    positions = np.searchsorted(values, wanted)
    positions[positions == len(values)] = 0
    positions[values[positions] != wanted] = -1
    return positions
