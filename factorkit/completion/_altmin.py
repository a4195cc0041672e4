"""AltMinCompletion: matrix completion by alternating minimization."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import Interval, StrOptions, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ..utils._validation import check_weights
from ._als import alternate, graded_start, reporter
from ._base import CompletionBase
from ._entries import column_side, mean_of, observed_csr, row_side, spread_of
from ._explain import explain
from ._half_steps import Loss
from ._model import Model
from ._recommend import RecommenderMixin
from ._robust import loss_of, robust_start, sigmas
from ._start import random_columns, svd_columns

# Coefficients up to which a line's Cholesky factorization costs less than three steps.
_FACTORED = 16


class AltMinCompletion(RecommenderMixin, CompletionBase):
    """Matrix completion by alternating minimization, with biases.

    It minimizes

    .. math::

        L = \\sum_{(i, j) \\in \\Omega} w_{ij}\\,
            \\rho(x_{ij} - \\mu - b_i - c_j - u_i \\cdot v_j)
            + \\sum_i \\lambda_i (\\|u_i\\|^2 + b_i^2) + \\sum_j \\lambda_j (\\|v_j\\|^2 + c_j^2)

    over the factors u, v and the biases b, c of rows and columns, where Ω holds the observed
    entries and ρ(r) = r², or Huber's or Tukey's loss. Each half step solves a small least-squares
    problem for each row (or column), approximately where there are many components, which
    alternating minimization survives [1]_: a few conjugate gradient steps from the last solution,
    at a cost of O(n_entries n_components) an iteration instead of O(n_entries n_components²).

    Read more in the :ref:`User Guide <completion>`.

    Parameters
    ----------
    n_components : int, default=10
        Number of factors, biases not counted.

    alpha : float, default=0.1
        Weight of the penalty, in the units of the values: for values 10 times as large, 10 times
        as large an alpha fits the same factors.

    alpha_scaling : {"counts", None}, default="counts"
        "counts" multiplies the penalty of a row or column by the number (the sum of the weights)
        of its entries, λ_i = alpha n_i [2]_: one alpha then suits lines with few and with many
        entries. None takes λ_i = alpha.

    center : bool, default=True
        Whether μ is the mean of the observed values; else it is 0.

    row_bias, column_bias : bool, default=True
        Whether rows and columns have a bias.

    solver : {"auto", "cg", "cholesky"}, default="auto"
        "cg" takes `cg_steps` preconditioned conjugate gradient steps a line, "cholesky" solves
        exactly. "auto" takes "cholesky" for at most 16 coefficients a line and the squared loss,
        for which it costs no more, else "cg". With ``positive=True`` coordinate descent is used
        instead.

    cg_steps : int, default=3
        Most steps a half step; a line whose gradient is down to a tenth takes no more.

    loss : {"squared", "huber", "tukey"}, default="squared"
        "huber" counts residuals beyond 1.345 σ by their absolute value, so that wrong entries
        lose weight; "tukey" (the biweight) goes on from there and takes all weight from
        residuals beyond 6 σ, which gross errors need. σ is estimated from the median of the
        residuals in every iteration.

    positive : bool, default=False
        Whether all factors are to be nonnegative (the biases stay free).

    init : {"random", "svd"}, default="random"
        The start of the columns' factors: small random numbers, or the singular vectors of the
        entries, with zeros where none are [1]_.

    bounds : (float, float), "data" or None, default=None
        Range to clip predictions to; "data" takes the smallest and greatest observed value.

    max_iter : int, default=100
        Most iterations, each a half step for the rows and one for the columns. Those of the
        start come on top: at most 7, with Huber's loss 15 and with Tukey's 30.

    tol : float, default=5e-3
        The fit ends when the preconditioned gradient of the columns, the rows having been solved
        for, is at most `tol` times the norm of their coefficients.

    warm_start : bool, default=False
        Start from the factors of the last fit, if those fit the shape of X.

    missing : {"unstored", "nan"}, default="unstored"
        Which entries of a sparse X are missing: those that it doesn't store, as is usual in
        completion. "nan" would leave a sparse X nothing to complete, and is refused. In a dense X
        NaN is missing.

    random_state : int, RandomState instance or None, default=None
        For the start.

    verbose : int, default=0
        Print the objective and the residual of every iteration.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components [+ 1], n_features)
        The columns' factors v_j; with `row_bias` a row of ones follows, which row biases multiply.

    intercept_ : ndarray of shape (n_features,)
        μ + c_j.

    embedding_ : ndarray of shape (n_samples, n_components [+ 1])
        What ``transform`` returns for the X of ``fit``: u_i, and b_i with `row_bias`.

    mean_ : float
        μ.

    scale_ : float
        σ of a robust loss; infinite for the squared loss.

    weights_ : ndarray of shape (n_entries,)
        What a robust loss leaves of the weight of each observed entry (of positive weight), in
        row order, from 0 to 1. Only with a robust loss.

    bounds_ : tuple or None
        The bounds in use.

    objective_ : ndarray of shape (n_iter_,)
        L in each iteration, after its half step for the rows; the last is that of the model
        returned. Extrapolation, a changing σ and approximate solves may raise it now and then.

    n_iter_ : int
        Number of iterations; those of the start, with a larger penalty, don't count.

    stopped_by_callback_ : bool
        Whether a callback ended the fit.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    See Also
    --------
    ImplicitALS : For counts of interactions instead of ratings.
    BayesianMatrixFactorization : With standard deviations of the predictions.
    LowRankImputer : Fills the gaps of a table, in a pipeline.
    EntryRegressor : Cross-validation over entries.

    Notes
    -----
    A sparse X is kept by the fitted model, for `recommend` and `explain`, and not copied where it
    is in canonical CSR format: change it, and they see the change.

    ``fit`` ends with the exact solve for the rows that ``transform`` runs. A row without entries
    has zero coefficients, so that it predicts ``intercept_``; a column without entries predicts
    μ + b_i. With ``alpha=0`` a line with fewer entries than coefficients has no unique solution,
    and gets one with little norm.

    References
    ----------
    .. [1] Y. Gu, Z. Song, J. Yin and L. Zhang, "Low Rank Matrix Completion via Robust Alternating
       Minimization in Nearly Linear Time", ICLR 2024.
    .. [2] Y. Zhou, D. Wilkinson, R. Schreiber and R. Pan, "Large-Scale Parallel Collaborative
       Filtering for the Netflix Prize", AAIM 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import AltMinCompletion
    >>> X = np.array([[5, 4, np.nan, 1], [4, np.nan, 1, 1], [1, 1, 5, np.nan], [np.nan, 1, 4, 5]])
    >>> model = AltMinCompletion(n_components=1, alpha=0.01, random_state=0).fit(X)
    >>> bool(model.predict_entries([[0, 2]]) < 3 < model.predict_entries([[2, 3]]))
    True
    >>> columns, scores = model.recommend(rows=[0, 3], n=1)
    >>> columns.ravel().tolist()
    [2, 0]
    """

    _parameter_constraints = {
        **CompletionBase._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "alpha_scaling": [StrOptions({"counts"}), None],
        "center": ["boolean"],
        "row_bias": ["boolean"],
        "column_bias": ["boolean"],
        "solver": [StrOptions({"auto", "cg", "cholesky"})],
        "cg_steps": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"squared", "huber", "tukey"})],
        "positive": ["boolean"],
        "init": [StrOptions({"random", "svd"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components=10,
        *,
        alpha=0.1,
        alpha_scaling="counts",
        center=True,
        row_bias=True,
        column_bias=True,
        solver="auto",
        cg_steps=3,
        loss="squared",
        positive=False,
        init="random",
        bounds=None,
        max_iter=100,
        tol=5e-3,
        warm_start=False,
        missing="unstored",
        random_state=None,
        verbose=0,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_scaling = alpha_scaling
        self.center = center
        self.row_bias = row_bias
        self.column_bias = column_bias
        self.solver = solver
        self.cg_steps = cg_steps
        self.loss = loss
        self.positive = positive
        self.init = init
        self.bounds = bounds
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.missing = missing
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    def fit(self, X, y=None, entry_weight=None):
        """Learn the factors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            NaN is missing, and so is what a sparse X doesn't store; stored zeros are observed.
        y : None
            Ignored.
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Nonnegative weights of the entries; a weight of zero makes an entry missing.

        Returns
        -------
        self : AltMinCompletion

        Raises
        ------
        ValueError
            For infinite values, an X without observed entry, weights that don't fit X.
        """
        self._fit(X, entry_weight)
        return self

    def fit_transform(self, X, y=None, entry_weight=None):
        """Learn the factors and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components [+ 1])
        """
        self._fit(X, entry_weight)
        return self.embedding_.copy()

    @fit_method
    def _fit(self, X, entry_weight):
        X_given = X
        X = self._validate_X(X, reset=True)
        X, weight = observed_csr(X, check_weights(None, entry_weight, X, missing=self.missing))
        if not X.nnz:
            raise ValueError(
                "entry_weight has only zero weights where X has a value: nothing is left to fit."
            )
        self.bounds_ = self._check_bounds(X.data)
        rng = check_random_state(self.random_state)
        rows, columns = row_side(X, weight), column_side(X, weight)
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(
                self, self.max_iter, X_given, attributes=self._as_fitted
            ) as report,
        ):
            model = self._make_model(mean_of(rows) if self.center else 0.0)
            U, V, is_warm = self._start(X, model, rng)
            if self.loss != "squared":
                model, U, V = robust_start(
                    rows, columns, U, V, model, self.loss, center=self.center, is_warm=is_warm,
                    workers=workers,
                )  # fmt: skip
            elif not is_warm:
                graded_start(rows, columns, U, V, model, workers)
            self._model = model
            monitor = reporter(report, self.verbose)
            U, V, trace, loss = alternate(
                rows, columns, U, V, model, tol=self.tol, max_iter=self.max_iter,
                workers=workers, monitor=monitor, loss_of=loss_of(rows, self.loss),
            )  # fmt: skip
            del U  # as large as what the last solve makes
            U = model.solve(rows, V, self.row_bias, workers, loss=loss)
            self._set_fitted(X, rows, columns, U, V, trace, loss, workers)
        if trace.stop != "callback":
            warn_if_not_converged(trace, self.max_iter, self.tol)

    def transform(self, X, entry_weight=None):
        """Coefficients of rows, for the fitted columns.

        Each row solves its own convex problem exactly, so neither the order nor the choice of the
        rows matters, and for the data of ``fit`` the result is that of ``fit_transform``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Nonnegative weights of the entries.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components [+ 1])
            u_i, and b_i with `row_bias`; zeros for a row without observed entries.
        """
        check_is_fitted(self)
        X = self._validate_X(X, reset=False)
        X, weight = observed_csr(X, check_weights(None, entry_weight, X, missing=self.missing))
        V = self._column_coefficients(X.dtype)
        with Workers(self.n_jobs) as workers:
            U = self._model.solve(
                row_side(X, weight), V, self._model.row_bias, workers,
                loss=self._loss,
            )  # fmt: skip
        return self._own(U)

    def explain(self, row, column, *, by="row", n=None):
        """Return the observed entries that carry a prediction.

        At the optimum for a row, λ_i u_i = Σ_j w_ij r_ij v_j over its entries, r being their
        residuals; so the prediction for column l is a sum of contributions
        w_ij r_ij (v_j·v_l + 1) / λ_i (the 1 is the bias's) beside the column's offset. They are
        exact for the rows of ``fit``, before any `bounds`. For a column, ``by="column"``, the same
        holds at a stationary point, so they add up to the prediction as far as the fit has
        converged.

        Parameters
        ----------
        row, column : int
            Of ``fit``.

        by : {"row", "column"}, default="row"
            Whose entries to list.

        n : int or None, default=None
            List the n greatest contributions, in absolute value; the others are added to the base.

        Returns
        -------
        explanation : Explanation
            Named tuple of indices, contributions and base.

        References
        ----------
        C.-P. Tsai et al., "Representer Point Selection for Explaining Regularized
        High-dimensional Models", ICML 2023.
        """
        check_is_fitted(self)
        return explain(self, row, column, by, n)

    def _make_model(self, mean):
        return Model(
            self.n_components, mean, self.row_bias, self.column_bias, self.alpha,
            self.alpha_scaling == "counts", self._solver(), self.cg_steps, self.positive,
        )  # fmt: skip

    def _solver(self):
        if self.solver != "auto":
            return self.solver
        few = self.n_components + (self.row_bias or self.column_bias) <= _FACTORED
        return "cholesky" if few and self.loss == "squared" else "cg"

    def _start(self, X, model, rng):
        if self.warm_start and hasattr(self, "embedding_"):
            before = (*self.embedding_.shape, len(self.intercept_), self._n_factors)
            width = self.n_components + self.row_bias
            same_biases = self._model.column_bias == self.column_bias
            if same_biases and before == (X.shape[0], width, X.shape[1], self.n_components):
                U = model.zeros(X.shape[0], X.dtype)
                U[:, : self.embedding_.shape[1]] = self.embedding_
                return U, self._column_coefficients(X.dtype, model), True
        U = model.zeros(X.shape[0], X.dtype)
        if self.init == "svd":
            return U, svd_columns(X, model, rng), False
        spread = spread_of(X.data) or 1.0
        return U, random_columns(X.shape[1], model, spread, rng, X.dtype), False

    def _as_fitted(self, U, V):
        k, model = self.n_components, self._model
        components = V[:, :k].T.copy()
        if model.row_bias:
            components = np.vstack((components, np.ones((1, len(V)), V.dtype)))
        offsets = np.full(len(V), model.mean, V.dtype)
        if model.column_bias:
            offsets += V[:, k]
        return {
            "components_": components,
            "intercept_": offsets,
            "embedding_": self._own(U),
            "mean_": model.mean,
            "_n_factors": k,
            "_loss": Loss(),
        }

    def _set_fitted(self, X, rows, columns, U, V, trace, loss, workers):
        vars(self).update(self._as_fitted(U[:0], V))
        self.embedding_ = U[:, : self._n_factors + self.row_bias]  # no second copy of them
        residuals = np.empty_like(X.data) if loss.is_robust else None
        last = self._model.look(rows, U, V, self.row_bias, workers, loss=loss, residuals=residuals)
        trace.objective[-1] = last.loss + last.penalty + self._model.penalty(columns, V)
        self._observed, self._weights = X, rows.weights if rows.weights.size else None
        self._loss = loss
        self.scale_ = loss.threshold / sigmas(self.loss)
        if loss.is_robust:
            self.weights_ = loss.weights(residuals)
        self.n_iter_ = trace.n_iter
        self.objective_ = np.array(trace.objective)
        self.stopped_by_callback_ = trace.stop == "callback"

    def _own(self, U):
        return U[:, : self._model.n_factors + self._model.row_bias].copy()

    def _column_coefficients(self, dtype, model=None):
        """Factors and biases of the columns as half steps take them."""
        model, k = model or self._model, self._n_factors
        V = model.zeros(len(self.intercept_), dtype)
        V[:, :k] = self.components_[:k].T
        if model.column_bias:
            V[:, k] = self.intercept_ - self.mean_
        return V

    def _observed_of(self, X):
        return observed_csr(self._validate_X(X, reset=False))[0]
