"""What the NMF estimators share: parameters, transform, and the checks of starts."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from ..base import MatrixFactorization
from ..utils._sklearn import Interval, StrOptions
from ..utils._threads import Workers
from ..utils._validation import check_weights
from ._penalty import Penalty
from ._solvers import BETA, beta_of, make_problem


class NMFBase(MatrixFactorization):
    """Parameters and `transform` of the NMF estimators."""

    _parameter_constraints = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            None,
            StrOptions({"auto"}),
        ],
        "init": [StrOptions({"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}), None],
        "beta_loss": [StrOptions(set(BETA)), Interval(Real, None, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "alpha_W": [Interval(Real, 0, None, closed="left")],
        "alpha_H": [Interval(Real, 0, None, closed="left"), StrOptions({"same"})],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "verbose": ["verbose"],
        "missing": [StrOptions({"nan", "unstored"})],
        "n_jobs": [Integral, None],
    }

    def transform(self, X, entry_weight=None):
        """Coefficients of the samples, for the fitted components.

        Each row solves its own convex problem (for ``1 <= beta_loss <= 2``) to high accuracy, so
        that neither the order nor the choice of the rows matters, and for the data of ``fit`` the
        result is that of ``fit_transform``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative; NaN is missing, and so is what `missing` says of a sparse X.
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Nonnegative weights of the entries.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            A row without observed entries is zero.
        """
        check_is_fitted(self)
        X = self._validate_X(X, reset=False)
        self._check_values(X)
        weight = check_weights(None, entry_weight, X, missing=self.missing)
        with Workers(self.n_jobs) as workers:
            W = self._solve_W(X, weight, self.components_, workers)
        return W.astype(X.dtype, copy=False)

    def _solve_W(self, X, weight, H, workers):
        return self._own_problem(X, weight, workers).solve_W(H)

    def _own_problem(self, X, weight, workers):
        """The problem in which a sample counts once, and may have weights of its entries."""
        penalty = self._penalty(X.shape[0], X.shape[1])
        return make_problem(X, weight, penalty, workers, **self._problem_options())

    def _problem_options(self):
        return {
            "beta": beta_of(self.beta_loss),
            "multiplicative": False,
            "missing": self.missing,
        }

    def _penalty(self, n_samples, n_features):
        return Penalty.scaled(self.alpha_W, self.alpha_H, self.l1_ratio, n_samples, n_features)

    def _warn_if_one_sided(self, penalty):
        if penalty.on_W != penalty.on_H:
            warnings.warn(
                f"Only one factor is penalized (alpha_W={self.alpha_W}, alpha_H={self.alpha_H}): "
                "the penalty goes to zero when that factor shrinks and the other one grows, so "
                "it has no effect at the optimum. Penalize both.",
                UserWarning,
                stacklevel=4,
            )

    def _check_values(self, X):
        """Refuse what the loss does not define."""
        largest = (X.data if sparse.issparse(X) else X).max(initial=0)  # NaN where X holds one
        if sparse.issparse(X) and self.missing == "nan" and np.isnan(largest):
            raise ValueError(
                'X is sparse and holds NaN. With missing="nan" its unstored entries are zeros, '
                'and a sparse X can\'t have missing entries besides: pass missing="unstored" if '
                "only stored entries are observed, or X as a dense array."
            )
        _check_range(X, largest, beta_of(self.beta_loss))
        if beta_of(self.beta_loss) > 0:
            return
        has_zeros = (
            X.nnz < np.prod(X.shape) and self.missing == "nan" if (sparse.issparse(X)) else False
        )
        if has_zeros or np.any((X.data if sparse.issparse(X) else X) == 0):
            raise ValueError(
                "When beta_loss <= 0 and X contains zeros, the solver may diverge. Please add "
                "small values to X, or use a positive beta_loss."
            )

    def _check_start(self, X, W, H):
        """The factors that `init="custom"` starts from, component-major."""
        name = type(self).__name__
        if W is None or H is None:
            raise ValueError(f"init='custom' needs W and H in {name}.fit; got None.")
        W, H = np.asarray(W), np.asarray(H)
        n_components = self._start_components(X, H)
        _check_factor(W, (X.shape[0], n_components), f"{name} (input W)")
        _check_factor(H, (n_components, X.shape[1]), f"{name} (input H)")
        if W.dtype != X.dtype or H.dtype != X.dtype:
            raise TypeError(
                "H and W should have the same dtype as X. Got "
                f"H.dtype = {H.dtype}, W.dtype = {W.dtype} and X.dtype = {X.dtype}."
            )
        return np.ascontiguousarray(W.T), np.ascontiguousarray(H)

    def _start_components(self, X, H=None):
        if self.n_components == "auto" and H is not None:
            return np.asarray(H).shape[0]
        return X.shape[1] if self.n_components in (None, "auto") else self.n_components

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


# Powers of the data may reach this, and its inverse, so that sums of them are numbers too.
_MOST = {np.dtype(np.float32): 1e30, np.dtype(np.float64): 1e200}


def _check_range(X, largest, beta):
    if np.isnan(largest):
        largest = np.fmax.reduce(X.data if sparse.issparse(X) else X, axis=None)
    high = _MOST[X.dtype] ** (1 / max(2, beta, 2 - beta))
    low = 1 / high
    if not (largest == 0 or low <= largest <= high or np.isnan(largest)):
        raise ValueError(
            f"X has a largest value of {largest:.3g}; as {X.dtype} it must lie between {low:.3g} "
            f"and {high:.3g}, or its powers leave the range of the numbers. Divide X by a constant."
        )


def _check_factor(A, shape, whom, *, may_vanish=False):
    A = np.asarray(A)
    if A.ndim != 2 or A.shape[0] != shape[0]:
        raise ValueError(
            f"Array with wrong first dimension passed to {whom}. Expected {shape}, but got "
            f"{A.shape}."
        )
    if A.shape[1] != shape[1]:
        raise ValueError(
            f"Array with wrong second dimension passed to {whom}. Expected {shape}, but got "
            f"{A.shape}."
        )
    smallest, largest = A.min(initial=0), A.max(initial=0)  # NaN where A holds one
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ValueError(f"Array passed to {whom} holds NaN or infinity.")
    if smallest < 0:
        raise ValueError(f"Negative values in data passed to {whom}.")
    if not may_vanish and largest == 0:
        raise ValueError(f"Array passed to {whom} is full of zeros.")
