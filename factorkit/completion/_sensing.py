"""ScaledGDSensing: a low-rank matrix from linear measurements of it."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_method,
    iterate_with_callbacks,
    validate_data,
)
from ._measurements import Measurements, flattened, matrix_shape, resolve_shape
from ._scaled_gd import degrees_of_freedom, random_subspace, scaled_gd, spectral_norm


class ScaledGDSensing(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Low-rank matrix sensing by scaled gradient descent, the rank unknown.

    Measurement i is yᵢ = ⟨Aᵢ, M⟩ plus noise, with a known sensing matrix Aᵢ and a matrix M of low
    rank. The estimator minimizes

    .. math::

        f(L, R) = \\tfrac12 \\sum_i \\big(\\langle A_i, L R^T \\rangle - y_i\\big)^2

    over L (n_rows × n_components) and R (n_columns × n_components), or over L = R for a symmetric,
    positive semidefinite M. It starts near zero and preconditions the gradient, so that neither
    more components than M has, nor singular values of very different sizes, slow it down.

    Read more in the :ref:`User Guide <completion_sensing>`.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Upper bound of the rank, at most the smaller side of M. "auto" takes the largest rank for
        which there are two measurements for each parameter: k (n_rows + n_columns − k) of them, or
        k n_rows − k (k − 1) / 2 where symmetric.

    symmetric : bool, default=False
        Look for a symmetric, positive semidefinite M = L Lᵀ.

    shape : tuple of 2 ints or None, default=None
        (n_rows, n_columns) of M. Needed unless X is an array of matrices; one of the two may be -1,
        to follow from the number of columns of X.

    damping : float or "auto", default="auto"
        λ, as a fraction of the largest singular value of M as the measurements suggest it. "auto"
        follows the spectral norm of the gradient down, but stays while f falls. A number stays all
        the time, as in [1]_; it should be below the smallest singular value of M by a factor.

    step : float or "auto", default="auto"
        η, in units in which the measurements keep distances on average, so that the scale of X
        doesn't matter. "auto" takes the step of Barzilai and Borwein [2]_. Both are halved where f
        would rise too far.

    init_scale : float, default=1e-12
        Size of the random start: the standard deviation of its entries is this times the root of
        the largest singular value, over the root of n_rows.

    tol : float, default=1e-6
        The fit ends when the residuals are at most `tol` times y, or when they are noise, and the
        scaled gradient is at most `tol` times y. 0 always takes `max_iter` iterations.

    max_iter : int, default=500
        Most iterations. Each takes one product with X and one with its transpose.

    warm_start : bool, default=False
        Start at the factors of the last fit, where they have the shape of M.

    random_state : int, RandomState instance or None, default=None
        For the start, the scale of the measurements and the test for noise.

    Attributes
    ----------
    left_ : ndarray of shape (n_rows, rank_)
        L: orthogonal columns, by falling norm. Left singular vectors of M times the roots of its
        singular values.

    right_ : ndarray of shape (n_columns, rank_)
        R, likewise; equal to ``left_`` where symmetric.

    matrix_ : ndarray of shape (n_rows, n_columns)
        ``left_ @ right_.T``.

    rank_ : int
        Number of components found. Those that are smaller than the error are dropped.

    n_iter_ : int
        Number of iterations.

    objective_ : ndarray of shape (n_iter_,)
        f after each iteration; it may rise for a few.

    stopped_by_callback_ : bool
        Whether a callback ended the fit before it converged.

    n_features_in_ : int
        n_rows × n_columns.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X is a data frame and all are strings.

    See Also
    --------
    AltMinCompletion : Where the measurements are entries of M.

    Notes
    -----
    With G = Σ rᵢ Aᵢ for the residuals r, an iteration is L ← L − η G R (RᵀR + λI)⁻¹, and the mirror
    image for R. λ keeps the inverse bounded in the directions that M lacks, and the start near zero
    keeps these small. Guarantees in [1]_ are for Gaussian sensing matrices, fixed λ and η, and
    symmetric M; the annealed λ, the step and the test for noise are heuristics on top.

    The test: random signs as long as r have a spectral norm of Σ ±Aᵢ that is known after a few
    draws. If that of G is no more than 1.2 times it once f has stopped falling, nothing is left to
    find; components below that norm are dropped and the others fitted to the end.

    Memory: G is a dense n_rows × n_columns array; X is never copied, save a sparse float32 one.

    References
    ----------
    .. [1] X. Xu, Y. Shen, Y. Chi and C. Ma, "The Power of Preconditioning in Overparameterized
       Low-Rank Matrix Sensing", ICML 2023.
    .. [2] J. Barzilai and J. M. Borwein, "Two-Point Step Size Gradient Methods", IMA Journal of
       Numerical Analysis 8, 1988.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import ScaledGDSensing
    >>> rng = np.random.default_rng(0)
    >>> M = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 15))
    >>> X = rng.standard_normal((300, 20, 15))
    >>> y = np.einsum("mij,ij->m", X, M)
    >>> model = ScaledGDSensing(n_components=5, random_state=0).fit(X, y)
    >>> model.rank_
    2
    >>> bool(np.linalg.norm(model.matrix_ - M) < 1e-5 * np.linalg.norm(M))
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "symmetric": ["boolean"],
        "shape": [tuple, list, None],
        "damping": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "step": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "init_scale": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        symmetric=False,
        shape=None,
        damping="auto",
        step="auto",
        init_scale=1e-12,
        tol=1e-6,
        max_iter=500,
        warm_start=False,
        random_state=None,
    ):
        self.n_components = n_components
        self.symmetric = symmetric
        self.shape = shape
        self.damping = damping
        self.step = step
        self.init_scale = init_scale
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state

    @fit_method
    def fit(self, X, y):
        """Find the matrix.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_measurements, n_rows * n_columns), array-like \
of shape (n_measurements, n_rows, n_columns) or LinearOperator
            The sensing matrices, in two dimensions each row by row; or whatever has a ``shape``,
            ``matvec`` and ``rmatvec`` and does the same.
        y : array-like of shape (n_measurements,)
            The measurements.

        Returns
        -------
        self : ScaledGDSensing

        Raises
        ------
        ValueError
            For NaN, infinite or complex values, a `shape` that doesn't fit X, a `symmetric` M that
            isn't square, more components than M has rows or columns.
        """
        X_given, y_given = X, y
        X, y = self._validate_fit(X, y)
        dtype = X.dtype if isinstance(X, np.ndarray) or sparse.issparse(X) else np.dtype(float)
        shape = resolve_shape(self.shape, X.shape[1], matrix_shape(X_given), self.symmetric)
        A = Measurements(X, shape)
        k = self._resolve_components(A)
        random_state = check_random_state(self.random_state)
        rng = np.random.default_rng(random_state.randint(2**31))
        scale = A.mean_square(rng, symmetric=self.symmetric)
        largest = 0.0
        if scale > 0:
            largest = spectral_norm(A.adjoint(y), random_subspace(A.shape, rng))[0] / scale
        small = self.init_scale * math.sqrt(largest / A.shape[0])
        L, R = self._start(A, k, small, rng)
        with iterate_with_callbacks(
            self, self.max_iter, X_given, y_given, attributes=self._as_fitted
        ) as report:
            L, R, trace = scaled_gd(
                A,
                y,
                L,
                R,
                scale=scale,
                tol=self.tol,
                max_iter=self.max_iter,
                rng=rng,
                small=small,
                damping=None if self.damping == "auto" else self.damping * largest,
                step=None if self.step == "auto" else self.step,
                report=report if report.active else None,
            )
            self._set_fitted(L.astype(dtype, copy=False), R.astype(dtype, copy=False), trace)
        self._warn(trace)
        return self

    def predict(self, X):
        """Measure the matrix.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator}
            Sensing matrices, in any of the forms that `fit` takes.

        Returns
        -------
        y : ndarray of shape (n_measurements,)
        """
        check_is_fitted(self)
        of_X, X = matrix_shape(X), self._validate_new(X)
        shape = len(self.left_), len(self.right_)
        if of_X is not None and of_X != shape:
            raise ValueError(f"X has matrices of shape {of_X}; the fitted one has {shape}.")
        M = self.left_.astype(np.float64) @ self.right_.T.astype(np.float64)
        return Measurements(X, shape).forward(M).astype(self.left_.dtype, copy=False)

    @property
    def matrix_(self):
        """The matrix that was found."""
        check_is_fitted(self)
        return self.left_ @ self.right_.T

    def _validate_fit(self, X, y):
        """X as 2-D array, CSR array or LinearOperator, and y in float64."""
        X = flattened(X)
        if not isinstance(X, LinearOperator):
            X, y = validate_data(self, X, y, y_numeric=True, **_ACCEPTED)
            return X, y.astype(np.float64, copy=False)
        vars(self).pop("feature_names_in_", None)
        self.n_features_in_ = X.shape[1]
        y = column_or_1d(
            check_array(y, ensure_2d=False, dtype=np.float64, input_name="y"), warn=True
        )
        check_consistent_length(np.broadcast_to(0, X.shape[0]), y)
        return X, y

    def _validate_new(self, X):
        X = flattened(X)
        if not isinstance(X, LinearOperator):
            return validate_data(self, X, reset=False, **_ACCEPTED)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return X

    def _resolve_components(self, A):
        most = min(A.shape)
        if self.n_components == "auto":
            fitting = [
                k
                for k in range(1, most + 1)
                if 2 * degrees_of_freedom(*A.shape, k, self.symmetric) <= A.n_measurements
            ]
            return max(fitting, default=1)
        if self.n_components > most:
            raise ValueError(
                f"n_components={self.n_components} is more than the smaller side of the matrix, "
                f"which has shape {A.shape}."
            )
        return self.n_components

    def _start(self, A, k, small, rng):
        """Small random factors, after those of the last fit where that is wanted."""
        n_rows, n_columns = A.shape
        L = small * rng.standard_normal((n_rows, k))
        R = None if self.symmetric else small * rng.standard_normal((n_columns, k))
        if not self.warm_start or not hasattr(self, "left_"):
            return L, R
        if (len(self.left_), len(self.right_)) != A.shape:
            return L, R
        last = slice(min(k, self.rank_))
        L[:, last] = self.left_[:, last]
        if R is not None:
            R[:, last] = self.right_[:, last]
        return L, R

    def _as_fitted(self, L, R):
        return {"left_": L.copy(), "right_": (L if R is None else R).copy(), "rank_": L.shape[1]}

    def _set_fitted(self, L, R, trace):
        self.left_, self.right_ = L, R
        self.rank_ = L.shape[1]
        self.n_iter_ = trace.n_iter
        self.objective_ = np.array(trace.objective)
        self.stopped_by_callback_ = trace.stop == "callback"

    def _warn(self, trace):
        if trace.stop == "callback" or trace.n_iter == 0:
            return
        if self.rank_ == 0 and trace.stop == "converged":
            warnings.warn(
                "No component stands out of the noise, so the matrix is zero. More measurements, "
                "or fewer n_components, may show one.",
                ConvergenceWarning,
                stacklevel=3,
            )
        warn_if_not_converged(trace, self.max_iter, self.tol)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags


_ACCEPTED = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
