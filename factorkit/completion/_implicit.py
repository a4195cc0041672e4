"""ImplicitALS: factors of interactions that tell preferences, not ratings."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..base import MatrixFactorization
from ..utils._convergence import warn_if_not_converged
from ..utils._linalg import gram
from ..utils._sklearn import Interval, StrOptions, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ._als import alternate, reporter
from ._entries import Side, column_side, row_side, with_short_indices
from ._implicit_model import ImplicitModel
from ._recommend import RecommenderMixin
from ._start import random_columns


class ImplicitALS(RecommenderMixin, MatrixFactorization):
    """Factorization of implicit feedback by alternating least squares.

    X counts interactions (plays, clicks, purchases): a positive x_ij says that row i likes column
    j, p_ij = 1, the surer the larger it is; a zero says p_ij = 0, not surely [1]_. It minimizes

    .. math::

        L = \\sum_{ij} c_{ij} (p_{ij} - u_i \\cdot v_j)^2
            + \\alpha \\big(\\|U\\|_F^2 + \\|V\\|_F^2\\big)

    over *all* entries, with confidences :math:`c_{ij} = 1 + \\gamma x_{ij}`, or
    :math:`1 + \\gamma \\log(1 + x_{ij})`, where γ is `confidence`. An iteration costs
    O(nnz(X) n_components + (n_samples + n_features) n_components²); no array of the size of X
    is formed.

    Read more in the :ref:`User Guide <completion>`.

    Parameters
    ----------
    n_components : int, default=64
        Number of factors.

    alpha : float, default=1.0
        Weight of the ridge penalty. What other packages call alpha is `confidence` here.

    confidence : float, default=1.0
        γ, what an interaction adds to the confidence of 1. The package implicit takes its alpha
        times the stored value itself as confidence.

    confidence_scaling : {"linear", "log"}, default="linear"
        Whether the confidence grows with the count or with its logarithm.

    solver : {"auto", "cg", "cholesky"}, default="auto"
        "cg" takes `cg_steps` conjugate gradient steps a line, from its last solution and in a
        basis in which what all lines share is diagonal; "cholesky" solves exactly. "auto" is "cg".

    cg_steps : int, default=3
        Steps a half step. Large confidences gain from more.

    max_iter : int, default=50
        Most iterations.

    tol : float, default=1e-2
        The fit ends when the preconditioned gradient of the columns, the rows having been solved
        for, is at most `tol` times the norm of their coefficients.

    warm_start : bool, default=False
        Start from the factors of the last fit, if those fit the shape of X.

    random_state : int, RandomState instance or None, default=None
        For the start.

    verbose : int, default=0
        Print the objective and the residual of every iteration.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Vᵀ.

    embedding_ : ndarray of shape (n_samples, n_components)
        U: what ``transform`` returns for the X of ``fit``.

    objective_ : ndarray of shape (n_iter_,)
        L in each iteration, after its half step for the rows; the last is that of the model
        returned.

    n_iter_ : int
        Number of iterations.

    stopped_by_callback_ : bool
        Whether a callback ended the fit.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    See Also
    --------
    AltMinCompletion : For ratings, where what is not observed is unknown.

    Notes
    -----
    Scores are preferences, not ratings: `recommend` ranks by them, and there is no prediction of a
    count. The fitted model keeps a sparse X for `recommend` and does not copy it where it is in
    canonical CSR format. Where confidences differ by orders of magnitude, ask for a smaller `tol`.

    References
    ----------
    .. [1] Y. Hu, Y. Koren and C. Volinsky, "Collaborative Filtering for Implicit Feedback
       Datasets", ICDM 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import ImplicitALS
    >>> plays = np.array([[9, 4, 0, 0], [3, 0, 0, 0], [0, 0, 5, 2], [0, 0, 8, 0]])
    >>> model = ImplicitALS(n_components=2, alpha=0.1, random_state=0).fit(plays)
    >>> columns, scores = model.recommend(rows=[1, 3], n=1)
    >>> columns.ravel().tolist()
    [1, 3]
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "confidence": [Interval(Real, 0, None, closed="left")],
        "confidence_scaling": [StrOptions({"linear", "log"})],
        "solver": [StrOptions({"auto", "cg", "cholesky"})],
        "cg_steps": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components=64,
        *,
        alpha=1.0,
        confidence=1.0,
        confidence_scaling="linear",
        solver="auto",
        cg_steps=3,
        max_iter=50,
        tol=1e-2,
        warm_start=False,
        random_state=None,
        verbose=0,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.confidence = confidence
        self.confidence_scaling = confidence_scaling
        self.solver = solver
        self.cg_steps = cg_steps
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Learn the factors.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative numbers of interactions. Zeros may be stored or not.
        y : None
            Ignored.

        Returns
        -------
        self : ImplicitALS

        Raises
        ------
        ValueError
            For negative, infinite or missing values.
        """
        self.fit_transform(X)
        return self

    @fit_method
    def fit_transform(self, X, y=None):
        """Learn the factors and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        X_given = X
        X = self._interactions(X, reset=True)
        rng = check_random_state(self.random_state)
        self._confidence = self.confidence, self.confidence_scaling
        solver = "cg" if self.solver == "auto" else self.solver
        model = self._model = ImplicitModel(self.n_components, self.alpha, solver, self.cg_steps)
        rows, columns = self._side(row_side(X)), self._side(column_side(X))
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(
                self, self.max_iter, X_given, attributes=self._as_fitted
            ) as report,
        ):
            U, V = self._start(X, model, rng)
            U, V, trace, _ = alternate(
                rows, columns, U, V, model, tol=self.tol, max_iter=self.max_iter,
                workers=workers, monitor=reporter(report, self.verbose),
            )  # fmt: skip
            model.before_rows(0, rows, columns, U, V, U)
            U = model.solve(rows, V, False, workers)
            vars(self).update(self._as_fitted(U, V))
            last = model.look(rows, U, V, False, workers)
            trace.objective[-1] = last.loss + last.penalty + model.penalty(columns, V)
            self._observed = X
            self.n_iter_ = trace.n_iter
            self.objective_ = np.array(trace.objective)
            self.stopped_by_callback_ = trace.stop == "callback"
        if trace.stop != "callback":
            warn_if_not_converged(trace, self.max_iter, self.tol)
        return self.embedding_.copy()

    def transform(self, X):
        """Coefficients of rows, for the fitted columns: each row's exact least-squares solution.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative numbers of interactions.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            Zeros for a row without interactions.
        """
        check_is_fitted(self)
        X = self._interactions(X, reset=False)
        V = self._column_coefficients(X.dtype)
        with Workers(self.n_jobs) as workers:
            U = self._model.solve(self._side(row_side(X)), V, False, workers)
        return U[:, : self._n_factors].copy()

    def score(self, X, y=None):
        """Return the share of the confidence-weighted preferences explained; greater is better.

        It is 1 - Σ c (p - u·v)² / Σ c p² over all entries, with U from ``transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        W = np.asarray(self.transform(X), dtype=np.float64)
        X = self._interactions(X, reset=False)
        side = self._side(row_side(X))
        H = self.components_.astype(np.float64)
        loss = float(np.vdot(gram(W.T), gram(H)))
        step = max(1, 2**18 // len(H))
        i = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        for start in range(0, X.nnz, step):
            part = slice(start, start + step)
            fitted = np.einsum("ij,ij->i", W[i[part]], H.T[X.indices[part]])
            c = 1.0 + side.weights[part]
            loss += float(np.sum(c * np.square(1 - fitted) - np.square(fitted)))
        total = X.nnz + float(side.weights.sum(dtype=np.float64))
        return 1 - loss / total if total else float(loss == 0)

    def _interactions(self, X, *, reset):
        """The positive entries of X as a canonical CSR array."""
        X = self._validate_X(X, reset=reset)
        X = sparse.csr_array(X)
        if not X.data.all():
            X = X.copy()
            X.eliminate_zeros()
        return with_short_indices(X)

    def _side(self, side):
        confidence, scaling = self._confidence
        x = np.log1p(side.values) if scaling == "log" else side.values
        weights = x * side.dtype.type(confidence)
        return Side(side.indptr, side.indices, side.values, weights, side.n_others)

    def _start(self, X, model, rng):
        n_rows, n_columns = X.shape
        U = model.zeros(n_rows, X.dtype)
        if self.warm_start and hasattr(self, "embedding_"):
            shapes = (self.embedding_.shape[0], *self.components_.shape)
            if shapes == (n_rows, self.n_components, n_columns):
                U[:, : self.n_components] = self.embedding_
                return U, self._column_coefficients(X.dtype)
        return U, random_columns(n_columns, model, 1.0, rng, X.dtype)

    def _as_fitted(self, U, V):
        k = self.n_components
        return {
            "components_": V[:, :k].T.copy(),
            "embedding_": U[:, :k].copy(),
            "_n_factors": k,
        }

    def _column_coefficients(self, dtype):
        V = self._model.zeros(self.components_.shape[1], dtype)
        V[:, : self._n_factors] = self.components_.T
        return V

    def _observed_of(self, X):
        return self._interactions(X, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.allow_nan = False
        return tags
