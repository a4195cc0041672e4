"""NMF from one block of rows at a time."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils._errors import explained, sums_of_squares
from ..utils._sklearn import Interval, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ..utils._validation import check_weights
from ._base import NMFBase, _check_factor
from ._batches import Batches, Run
from ._init import NNDSVD, completed, initialize, random_start, start_fill
from ._online import block_statistics, update_components
from ._solvers import beta_of

# The start is improved on the rows that it was made from; this many iterations leave 1 % to
# gain in the first epoch (a hyperspectral scene, tf-idf), and cost about that epoch's time. Fewer
# rows a component than this would be fitted one by one.
_START_ITERATIONS, _START_ROWS = 20, 5


class MiniBatchNMF(NMFBase):
    """Nonnegative matrix factorization from one block of rows at a time.

    A drop-in for :class:`sklearn.decomposition.MiniBatchNMF`, for streams and for data on disk.
    The objective is that of :class:`NMF`. `fit` takes a :class:`numpy.memmap` as it is and reads
    `batch_size` rows at a time, so that the memory does not depend on the number of rows;
    `partial_fit` takes blocks from anywhere.

    The coefficients of each block are solved for, and the components follow from two sums over
    all rows seen, in which old rows fade [1]_. For the Frobenius loss,

    .. math::

        T \\leftarrow \\rho T + W_b^T X_b, \\qquad S \\leftarrow \\rho S + W_b^T W_b,

        H \\leftarrow \\arg\\min_{H \\ge 0}\\ \\tfrac12 \\langle S, H H^T \\rangle
        - \\langle T, H \\rangle

    with a few sweeps of coordinate descent for the last step.

    Read more in the :ref:`User Guide <nmf>`.

    Parameters
    ----------
    n_components : int, "auto" or None, default="auto"
        Number of components. "auto" takes it from a custom start, else, like None, the number
        of features.

    init : {"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}, default=None
        The start, which `fit` makes from a sample of the rows and `partial_fit` from the first
        block, and improves there; see :class:`NMF`. "custom" takes the given H as it is.

    batch_size : int, default=1024
        Number of rows a step of `fit`.

    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"} or float, default="frobenius"
        The divergence; a float is β itself (2, 1 and 0 for the three names). For β <= 0 the data
        must be positive.

    tol : float, default=1e-4
        `fit` ends when no step of a pass changes the components by more than `tol` times their
        norm; 0 never ends it for that.

    max_no_improvement : int or None, default=10
        `fit` ends after this many steps in a row that do not lower the objective of the last
        pass, a window that moves with the steps; None never ends it for that.

    max_iter : int, default=200
        Most passes over the data.

    alpha_W : float, default=0.0
        Weight of the penalties on W.

    alpha_H : float or "same", default="same"
        Weight of the penalties on H; "same" takes `alpha_W`. The penalties grow with the number
        of rows that are remembered.

    l1_ratio : float, default=0.0
        Share of the l1 penalty, 0 to 1; it makes coefficients exactly zero.

    forget_factor : float, default=0.7
        What is left of the rows seen before: after a pass of `fit`, and after a call of
        `partial_fit`, which does not know how many will come. 1 forgets nothing.

    fresh_restarts : bool, default=False
        Solve for the coefficients of a block to high accuracy for the Kullback-Leibler loss too,
        instead of taking eight sweeps. It pays where components overlap much, as spectra do. For
        the Frobenius loss they always are exact.

    fresh_restarts_max_iter : int, default=30
        Most updates of the coefficients of a block for the losses other than Frobenius and
        Kullback-Leibler.

    transform_max_iter : int, default=None
        Most updates in `transform` for these losses; None goes on until they converge.

    random_state : int, RandomState instance or None, default=None
        For the starts "random" and "nndsvdar", and for large randomized decompositions in
        "nndsvd".

    verbose : int, default=0
        Print the objective of every step.

    missing : {"nan", "unstored"}, default="nan"
        Which entries of a sparse X are missing: none (unstored entries are zeros), or those that
        it does not store. In a dense X NaN is missing.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H.

    n_components_ : int
        Number of components.

    reconstruction_err_ : float
        √(2 D), D the loss between X and W H without penalties, over observed entries, as the
        last pass of `fit` saw it, in which each block met the components of its step. An exact
        one would take one more pass: that is what `score` is for.

    n_iter_ : int
        Number of passes over the data that `fit` began.

    n_steps_ : int
        Number of blocks that the components learned from.

    objective_ : ndarray of shape (n_iter_,)
        The objective in each pass of `fit`, each block with the components that it met: it may
        rise.

    stopped_by_callback_ : bool
        Whether a callback ended `fit`.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where all are strings.

    See Also
    --------
    NMF : For data that fits in memory; it goes on to a stationary point.

    Notes
    -----
    A step costs 4 nnz(X) n_components operations for the rows of its block, and 6 n_features
    n_components² for the components. Memory is that of a block, of its coefficients and of two
    arrays of the components' size; where most entries are missing and the loss is Frobenius, it
    is n_features n_components² numbers more, since each feature is then known from other rows.

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce and G. Sapiro, "Online Learning for Matrix Factorization
       and Sparse Coding", Journal of Machine Learning Research 11, 2010.
    .. [2] A. Lefèvre, F. Bach and C. Févotte, "Online Algorithms for Nonnegative Matrix
       Factorization with the Itakura-Saito Divergence", WASPAA 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import MiniBatchNMF
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((5000, 3)) @ rng.random((3, 20))
    >>> model = MiniBatchNMF(n_components=3, batch_size=500).fit(X)
    >>> round(model.score(X), 2)
    1.0
    >>> stream = MiniBatchNMF(n_components=3)
    >>> for block in np.array_split(X, 10):
    ...     stream = stream.partial_fit(block)
    >>> stream.n_steps_
    10
    """

    _parameter_constraints = {
        **NMFBase._parameter_constraints,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_no_improvement": [Interval(Integral, 1, None, closed="left"), None],
        "forget_factor": [Interval(Real, 0, 1, closed="both")],
        "fresh_restarts": ["boolean"],
        "fresh_restarts_max_iter": [Interval(Integral, 1, None, closed="left")],
        "transform_max_iter": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        init=None,
        batch_size=1024,
        beta_loss="frobenius",
        tol=1e-4,
        max_no_improvement=10,
        max_iter=200,
        alpha_W=0.0,
        alpha_H="same",
        l1_ratio=0.0,
        forget_factor=0.7,
        fresh_restarts=False,
        fresh_restarts_max_iter=30,
        transform_max_iter=None,
        random_state=None,
        verbose=0,
        missing="nan",
        n_jobs=None,
    ):
        self.n_components = n_components
        self.init = init
        self.batch_size = batch_size
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.max_iter = max_iter
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.forget_factor = forget_factor
        self.fresh_restarts = fresh_restarts
        self.fresh_restarts_max_iter = fresh_restarts_max_iter
        self.transform_max_iter = transform_max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.missing = missing
        self.n_jobs = n_jobs

    @fit_method
    def fit(self, X, y=None, W=None, H=None):
        """Learn the components, in passes over the data.

        Parameters
        ----------
        X : {array-like, sparse matrix, memmap} of shape (n_samples, n_features)
            Nonnegative; NaN is missing. A memmap is read, checked and converted a block at a
            time.
        y : None
            Ignored.
        W : ndarray of shape (n_samples, n_components), default=None
            Not used: coefficients are solved for. Here because scikit-learn has it.
        H : ndarray of shape (n_components, n_features), default=None
            Start, for ``init="custom"``; of the dtype of X.

        Returns
        -------
        self : MiniBatchNMF

        Raises
        ------
        ValueError
            For negative or infinite data, data without an observed entry, zeros in X with
            ``beta_loss <= 0``, or a start that does not fit X.
        """
        self._fit(X, W, H)
        return self

    @fit_method
    def fit_transform(self, X, y=None, W=None, H=None):
        """Learn the components and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        return self._coefficients(self._fit(X, W, H))

    @fit_method
    def partial_fit(self, X, y=None, W=None, H=None):
        """Learn from some more rows, which make one step.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative; NaN is missing.
        y : None
            Ignored.
        W : ndarray of shape (n_samples, n_components), default=None
            Not used: coefficients are solved for. Here because scikit-learn has it.
        H : ndarray of shape (n_components, n_features), default=None
            Start of the first call, for ``init="custom"``; of the dtype of X.

        Returns
        -------
        self : MiniBatchNMF
        """
        first = not hasattr(self, "components_")
        X = self._validate_X(X, reset=first)
        self._check_values(X)
        with Workers(self.n_jobs) as workers:
            if first:
                components, statistics, self.n_steps_ = self._start(X, W, H, workers), None, 0
            else:
                components, statistics = self.components_, self._statistics
                X = X.astype(components.dtype, copy=False)
            components, statistics, *_ = self._step(
                X, components, statistics, self.forget_factor, workers
            )
        self._set_fitted(components, statistics)
        self.n_steps_ += 1
        return self

    def transform(self, X, entry_weight=None):
        """Coefficients of the samples, for the fitted components; see :meth:`NMF.transform`.

        Parameters
        ----------
        X : {array-like, sparse matrix, memmap} of shape (n_samples, n_features)
            Nonnegative; NaN is missing, and so is what `missing` says of a sparse X. A memmap is
            read a block at a time.
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Nonnegative weights of the entries.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
            A row without observed entries is zero.
        """
        check_is_fitted(self)
        return self._coefficients(Batches(self, X, self.batch_size, reset=False), entry_weight)

    def score(self, X, y=None):
        """Return the explained variance on the observed entries of X; see :meth:`NMF.score`.

        Parameters
        ----------
        X : {array-like, sparse matrix, memmap} of shape (n_samples, n_features)
            A memmap is read a block at a time.
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        sums = np.zeros(2)
        with Workers(self.n_jobs) as workers:
            for _, block in Batches(self, X, self.batch_size, reset=False).parts():
                W = self._solve_W(block, None, self.components_, workers)
                sums += sums_of_squares(block, W, self.components_, missing=self.missing)
        return explained(*sums)

    def _fit(self, X, W, H):
        batches = Batches(self, X, self.batch_size, reset=True)
        n_samples = batches.shape[0]
        self._warn_if_one_sided(self._penalty(1, batches.shape[1]))
        run, history, over = Run(batches, self.tol, self.max_no_improvement), [], False
        with Workers(self.n_jobs) as workers:
            k = self._start_components(batches, H if self.init == "custom" else None)
            n_rows = max(self.batch_size, min(4 * self.batch_size, 1024), 2 * _START_ROWS * k)
            components, statistics = self._start(batches.sample(n_rows), W, H, workers), None
            with iterate_with_callbacks(
                self, self.max_iter, X, attributes=self._as_fitted
            ) as report:
                while len(history) < self.max_iter and not over:
                    for _, block in batches:
                        rho = self.forget_factor ** (block.shape[0] / n_samples)
                        components, statistics, *record = self._step(
                            block, components, statistics, rho, workers
                        )
                        over = run.add(*record)
                        if self.verbose:
                            print(f"step {run.n_steps}: objective {run.objective:.6g}")
                        if over:
                            break
                    history.append(run.objective)
                    over = report(history[-1], components) or over
                self._set_fitted(components, statistics)
                self.n_iter_, self.n_steps_ = len(history), run.n_steps
                self.objective_ = np.array(history)
                self.reconstruction_err_ = float(np.sqrt(2 * run.loss))
                self.stopped_by_callback_ = report.stopped
        if not over and self.tol > 0:
            warnings.warn(
                f"Maximum number of iterations {self.max_iter} reached. Increase it to improve "
                "convergence.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return batches

    def _start(self, X, W, H, workers):
        """Components to start from; X has the rows to learn them from."""
        if self.init == "custom":
            return self._check_components(X, W, H)
        if W is not None or H is not None:
            warnings.warn(
                "When init!='custom', provided W or H are ignored. Set init='custom' to use them "
                "as initialization.",
                RuntimeWarning,
                stacklevel=5,
            )
        rng = check_random_state(self.random_state)
        k, beta = self._start_components(X), beta_of(self.beta_loss)
        complete, mean = completed(X, self.missing, needed=self.init in NNDSVD)
        if mean == 0:
            # Zeros tell nothing; from zero components no later block could lead away.
            return np.abs(rng.standard_normal((k, X.shape[1]))).astype(X.dtype)
        if complete is None:
            Wt, H = random_start(X.shape, k, mean, rng, X.dtype)
        else:
            Wt, H = initialize(complete, k, self.init, rng, workers, fill=start_fill(beta, False))
        if X.shape[0] < _START_ROWS * k:
            return H
        problem = self._own_problem(X, None, workers)
        return problem.alternate([Wt, H], tol=self.tol, max_iter=_START_ITERATIONS)[1]

    def _check_components(self, X, W, H):
        """The H that `init="custom"` starts from."""
        name = type(self).__name__
        if H is None:
            raise ValueError(f"init='custom' needs H in {name}.fit; got None.")
        H, W = np.asarray(H), None if W is None else np.asarray(W)
        _check_factor(H, (self._start_components(X, H), X.shape[1]), f"{name} (input H)")
        for letter, factor in (("H", H), ("W", W)):
            if factor is not None and factor.dtype != X.dtype:
                raise TypeError(
                    f"H and W should have the same dtype as X. Got {letter}.dtype = "
                    f"{factor.dtype} and X.dtype = {X.dtype}."
                )
        return np.ascontiguousarray(H)

    def _step(self, X, H, statistics, rho, workers):
        """Components and statistics after one more block, and the record of the step for `Run`."""
        options = {
            "beta": beta_of(self.beta_loss),
            "penalty": self._penalty(1, X.shape[1]),
            "workers": workers,
        }
        W, new = block_statistics(
            X,
            H,
            missing=self.missing,
            exact=self.fresh_restarts,
            max_iter=self.fresh_restarts_max_iter,
            **options,
        )
        statistics = new if statistics is None else rho * statistics + new
        H_new = update_components(statistics, H, **options).astype(H.dtype)
        objective = new.loss + options["penalty"].with_samples(len(W)).value(W, H)
        change = np.linalg.norm(H_new - H) / max(np.linalg.norm(H_new), np.finfo(H.dtype).tiny)
        return H_new, statistics, objective, new.loss, len(W), change

    def _coefficients(self, batches, entry_weight=None):
        """The W of all rows."""
        H = self.components_
        W = np.empty((batches.shape[0], len(H)), batches.dtype)
        with Workers(self.n_jobs) as workers:
            for rows, block in batches.parts():
                weight = None if entry_weight is None else entry_weight[rows]
                weight = check_weights(None, weight, block, missing=self.missing)
                W[rows] = self._solve_W(block, weight, H, workers)
        return W

    def _solve_W(self, X, weight, H, workers):
        problem = self._own_problem(X, weight, workers)
        if beta_of(self.beta_loss) in (1, 2) or self.transform_max_iter is None:
            return problem.solve_W(H)
        return problem.solve_W(H, max_iter=self.transform_max_iter)

    def _as_fitted(self, H):
        return {"components_": H.copy(), "n_components_": len(H)}

    def _set_fitted(self, H, statistics):
        self.components_, self._statistics = H, statistics
        self.n_components_ = self._n_components = len(H)
