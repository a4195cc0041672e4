"""What every matrix estimator and every tensor estimator promises.

A factorization writes each sample (a row of a matrix, a slice along mode 0 of a tensor) as a
combination of components with its row of ``W`` as coefficients. The base classes turn that one
fact into reconstruction, reconstruction at chosen entries, and a score on the observed entries.
"""

from abc import ABC, abstractmethod

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array, get_tags
from sklearn.utils.validation import check_is_fitted

from factorkit.utils._errors import explained, sums_of_squares
from factorkit.utils._sklearn import CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin
from factorkit.utils._validation import check_coordinates, validate_matrix

# Numbers in a temporary array of a blocked loop: 2 MB of float64, about a core's cache.
_BLOCK_SIZE = 2**18


class _Factorization(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC
):
    """What matrix and tensor factorizations share."""

    @abstractmethod
    def fit(self, X, y=None):
        """Learn the components from X and return self."""

    @abstractmethod
    def fit_transform(self, X, y=None):
        """Learn the components from X and return what ``transform(X)`` returns."""

    @abstractmethod
    def transform(self, X):
        """Return the coefficients of the samples, of shape (n_samples, n_components)."""

    @property
    @abstractmethod
    def _sample_shape(self):
        """Shape of one sample: (n_features,), or the lengths of a tensor's later modes."""

    @abstractmethod
    def _components_at(self, coords):
        """Return the components at entries of a sample.

        Parameters
        ----------
        coords : ndarray of intp of shape (n_entries, len(_sample_shape))

        Returns
        -------
        components : ndarray of shape (n_entries, n_components)
            The reconstruction of sample i there is ``components @ W[i]``.
        """

    def inverse_transform_entries(self, W, coords):
        """Reconstruct chosen entries, without forming the rest.

        Parameters
        ----------
        W : array-like of shape (n_samples, n_components)
            Coefficients, as ``transform`` returns them.

        coords : array-like of shape (n_entries, n_modes)
            Integer coordinates: the sample, and a column for each further mode (one, the
            feature, for a matrix).

        Returns
        -------
        values : ndarray of shape (n_entries,)

        Raises
        ------
        ValueError
            For coordinates that are negative, not whole or out of range.
        """
        check_is_fitted(self)
        W = self._check_W(W)
        shape = (W.shape[0], *self._sample_shape)
        coords = check_coordinates(coords, len(shape), shape=shape)
        return self._reconstruct_entries(W, coords)

    def _reconstruct_entries(self, W, coords):
        values = np.empty(len(coords), dtype=W.dtype)
        step = max(1, _BLOCK_SIZE // max(1, W.shape[1]))
        for start in range(0, len(coords), step):
            block = coords[start : start + step]
            values[start : start + step] = np.einsum(
                "ij,ij->i", W[block[:, 0]], self._components_at(block[:, 1:])
            )
        return values

    def _check_W(self, W):
        W = check_array(W, dtype=[np.float64, np.float32], input_name="W")
        if W.shape[1] != self._n_features_out:
            raise ValueError(
                f"W has {W.shape[1]} columns; this {type(self).__name__} has "
                f"{self._n_features_out} components, and takes a column for each."
            )
        return W

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Whoever has the parameter copes with holes, wherever they are marked.
        tags.input_tags.allow_nan = hasattr(self, "missing")
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class MatrixFactorization(_Factorization):
    """Base of the estimators of X ≈ W @ components_.

    X is n_samples × n_features, W n_samples × n_components, ``components_`` n_components ×
    n_features. A subclass writes ``fit``, ``fit_transform`` and ``transform`` and sets
    ``components_``; one that copes with missing entries has a parameter ``missing``.
    """

    def inverse_transform(self, W):
        """Reconstruct the samples: W @ components_.

        Parameters
        ----------
        W : array-like of shape (n_samples, n_components)
            Coefficients, as ``transform`` returns them.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        return self._check_W(W) @ self.components_

    def score(self, X, y=None):
        """Return the explained variance on the observed entries of X; greater is better.

        It is 1 - Σ (x - x̂)² / Σ x², both sums over the observed entries, where x̂ is
        reconstructed from ``transform(X)``: 1 for a perfect reconstruction, 0 for that by
        zeros. More components always do better, so it is no way to choose their number:
        :class:`factorkit.EntryRegressor` holds entries out for that.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            NaN is missing; in a sparse X the estimator's ``missing`` says what else is.

        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        W = np.asarray(self.transform(X))
        X = self._validate_X(X, reset=False)
        missing = getattr(self, "missing", "nan")
        return explained(*sums_of_squares(X, W, self.components_, missing=missing))

    def _validate_X(self, X, *, reset):
        tags = get_tags(self).input_tags
        return validate_matrix(
            self,
            X,
            reset=reset,
            missing=getattr(self, "missing", "nan"),
            allow_nan=tags.allow_nan,
            nonnegative=tags.positive_only,
        )

    @property
    def _sample_shape(self):
        return (self.components_.shape[1],)

    def _components_at(self, coords):
        return self.components_.T[coords[:, 0]]

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class TensorFactorization(_Factorization):
    """Base of the estimators of tensors of any order, whose mode 0 is the samples.

    A subclass has a parameter ``rank`` and sets ``factors_``, a list with one array of shape
    (length, rank) a mode; ``factors_[0]`` belongs to the samples of ``fit``. Its model is that
    of CP, x̂[i, j, …] = Σ_r W[i, r] factors_[1][j, r] …; another model overrides
    ``_components_at`` and ``_n_features_out``.
    """

    def inverse_transform(self, W):
        """Reconstruct the samples.

        Parameters
        ----------
        W : array-like of shape (n_samples, n_components)
            Coefficients, as ``transform`` returns them.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
        """
        check_is_fitted(self)
        W = self._check_W(W)
        return (W @ self._unfolded_components().T).reshape(len(W), *self._sample_shape)

    def score(self, X, y=None):
        """Return the explained variance on the observed entries of X; greater is better.

        It is 1 - Σ (x - x̂)² / Σ x², both sums over the observed entries, where x̂ is
        reconstructed from ``transform(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...) or coo_array
            In an array NaN is missing, in a ``coo_array`` what it doesn't store is.

        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        W = np.asarray(self.transform(X))
        if not sparse.issparse(X):
            X = np.asarray(X).reshape(len(W), -1)
            return explained(*sums_of_squares(X, W, self._unfolded_components().T))
        fitted = self._reconstruct_entries(W, np.column_stack(X.coords))
        values = X.data.astype(np.float64, copy=False)
        residual = values - fitted
        return explained(residual @ residual, values @ values)

    def _unfolded_components(self):
        every = np.indices(self._sample_shape).reshape(len(self._sample_shape), -1).T
        return self._components_at(every)

    @property
    def _sample_shape(self):
        return tuple(len(factor) for factor in self.factors_[1:])

    def _components_at(self, coords):
        components = self.factors_[1][coords[:, 0]]
        for factor, indices in zip(self.factors_[2:], coords.T[1:], strict=True):
            components = components * factor[indices]
        return components

    @property
    def _n_features_out(self):
        return self.factors_[1].shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
