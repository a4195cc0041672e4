"""The NMF estimator."""

import warnings
from functools import partial

import numpy as np
from sklearn.utils import check_random_state

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import StrOptions, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ..utils._validation import check_weights
from ._base import NMFBase
from ._init import NNDSVD, Start, completed, initialize, random_start, start_fill
from ._solvers import beta_of, factorize, make_fit_problem


class NMF(NMFBase):
    """Nonnegative matrix factorization, X ≈ W H with W, H ≥ 0.

    A drop-in for :class:`sklearn.decomposition.NMF`: the same parameters, attributes and
    objective, several times to some forty times sooner, with missing entries and weights. It
    minimizes

    .. math::

        L(W, H) = \\sum_{ij} V_{ij}\\, d(x_{ij}, (WH)_{ij})
            &+ m\\,\\alpha_W \\big(\\rho \\|W\\|_1 + \\tfrac{1 - \\rho}{2} \\|W\\|_F^2\\big)

            &+ n\\,\\alpha_H \\big(\\rho \\|H\\|_1 + \\tfrac{1 - \\rho}{2} \\|H\\|_F^2\\big)

    over W (n_samples × n_components) and H (n_components × n_features), where n and m are the
    numbers of samples and features, ρ is `l1_ratio`, V holds the weights (1 by default, 0 where
    an entry is missing), and d is ½ (x − y)² for the Frobenius loss, x log(x / y) − x + y for
    Kullback-Leibler, and the β-divergence in general.

    Read more in the :ref:`User Guide <nmf>`.

    Parameters
    ----------
    n_components : int, "auto" or None, default="auto"
        Number of components. "auto" takes it from a custom start, else, like None, the number
        of features.

    init : {"random", "nndsvd", "nndsvda", "nndsvdar", "custom"}, default=None
        The start. None takes nndsvd where X is complete and
        `n_components` at most both its sides, else random. "custom" starts from the W and H given
        to `fit`. Coordinate descent corrects the scale of a start.

    solver : {"auto", "cd", "mu"}, default="auto"
        "cd" is coordinate descent, for the Frobenius and the Kullback-Leibler loss; "mu"
        multiplicative updates, for every loss. "auto" takes coordinate descent where it exists,
        starts it on a part of the samples where that pays, and for the Kullback-Leibler loss on a
        quadratic near it, and has its first iterations in single precision.

    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"} or float, default="frobenius"
        The divergence; a float is β itself (2, 1 and 0 for the three names). For β <= 0 the data
        must be positive.

    tol : float, default=1e-3
        The fit ends when the steps that are still to take, in the worse of the two factors, are
        at most `tol` times the data: a scaled projected gradient, free of the units of X (for
        the Frobenius loss of what it changes in W H, beside the size of X; for other losses of
        the factor, beside its norm). 0 always takes `max_iter` iterations.

    max_iter : int, default=200
        Most iterations; a start that is found on a part of the samples counts as one.

    random_state : int, RandomState instance or None, default=None
        For the starts "random" and "nndsvdar", for large randomized decompositions in "nndsvd",
        and for `shuffle`.

    alpha_W : float, default=0.0
        Weight of the penalties on W.

    alpha_H : float or "same", default="same"
        Weight of the penalties on H; "same" takes `alpha_W`. Penalizing one factor alone has no
        effect at the optimum, and is warned of.

    l1_ratio : float, default=0.0
        Share of the l1 penalty, 0 to 1; it makes coefficients exactly zero.

    verbose : int, default=0
        Print the objective and the residual of every iteration.

    shuffle : bool, default=False
        Visit the components in a random order each time. Used by coordinate descent for the
        Frobenius loss on complete data.

    missing : {"nan", "unstored"}, default="nan"
        Which entries of a sparse X are missing: none (unstored entries are zeros), or those that
        it does not store. In a dense X NaN is missing.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use, so that limits set by joblib or
        threadpoolctl hold. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H.

    n_components_ : int
        Number of components.

    reconstruction_err_ : float
        √(2 D), D the loss between X and W H without penalties, over observed entries and with
        weights.

    n_iter_ : int
        Number of iterations.

    objective_ : ndarray of shape (n_iter_,)
        L after each iteration; it never rises. `reconstruction_err_` belongs to the W that is
        solved for after the last one, which is better the sooner a fit was stopped.

    kkt_residual_ : float
        The scaled projected gradient of the W and H returned. `tol` bounds that of the last
        iteration; W is solved for exactly after it, which where components are nearly collinear
        moves W, and raises this, by more.

    stopped_by_callback_ : bool
        Whether a callback ended the fit before it converged.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where all are strings.

    See Also
    --------
    MiniBatchNMF : For streams, and for data that does not fit in memory.
    GraphNMF : With coefficients that are smooth over a graph of the samples.
    RankSelection : Chooses the number of components.

    Notes
    -----
    Frobenius: blockwise coordinate descent on Gram matrices [1]_, extrapolated with restarts
    [2]_; the coefficients returned are exact, by block principal pivoting [3]_. An iteration
    costs 4 nnz(X) n_components operations and some sweeps of 2 (n + m) n_components².
    Kullback-Leibler: coordinate Newton steps [4]_, at 2 nnz(X) n_components divisions an
    iteration; for a sparse X, W H is never formed.

    References
    ----------
    .. [1] N. Gillis and F. Glineur, "Accelerated Multiplicative Updates and Hierarchical ALS
       Algorithms for Nonnegative Matrix Factorization", Neural Computation 24, 2012.
    .. [2] A. M. S. Ang and N. Gillis, "Accelerating Nonnegative Matrix Factorization Algorithms
       Using Extrapolation", Neural Computation 31, 2019.
    .. [3] J. Kim and H. Park, "Fast Nonnegative Matrix Factorization: An Active-Set-like Method
       and Comparisons", SIAM Journal on Scientific Computing 33, 2011.
    .. [4] C.-J. Hsieh and I. S. Dhillon, "Fast Coordinate Descent Methods with Variable
       Selection for Non-negative Matrix Factorization", KDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import NMF
    >>> X = np.array([[1, 1], [2, 1], [3, 1.2], [4, 1], [5, 0.8], [6, np.nan]])
    >>> model = NMF(n_components=2, random_state=0, max_iter=1000)
    >>> W = model.fit_transform(X)
    >>> W.shape, model.components_.shape
    ((6, 2), (2, 2))
    """

    _parameter_constraints = {
        **NMFBase._parameter_constraints,
        "solver": [StrOptions({"auto", "cd", "mu"})],
        "shuffle": ["boolean"],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        init=None,
        solver="auto",
        beta_loss="frobenius",
        tol=1e-3,
        max_iter=200,
        random_state=None,
        alpha_W=0.0,
        alpha_H="same",
        l1_ratio=0.0,
        verbose=0,
        shuffle=False,
        missing="nan",
        n_jobs=None,
    ):
        self.n_components = n_components
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.verbose = verbose
        self.shuffle = shuffle
        self.missing = missing
        self.n_jobs = n_jobs

    def fit(self, X, y=None, W=None, H=None, sample_weight=None, entry_weight=None):
        """Learn the components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative; NaN is missing.
        y : None
            Ignored.
        W : ndarray of shape (n_samples, n_components), default=None
            Start, for ``init="custom"``; of the dtype of X.
        H : ndarray of shape (n_components, n_features), default=None
            Start, for ``init="custom"``; of the dtype of X.
        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights of the samples: one of weight 2 counts as two, in the loss, in the
            penalty on W and in n.
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Nonnegative weights of the entries; a weight of zero makes an entry missing.

        Returns
        -------
        self : NMF

        Raises
        ------
        ValueError
            For negative or infinite data, data without an observed entry, zeros in X with
            ``beta_loss <= 0``, weights or starts that don't fit X.
        """
        self.fit_transform(X, W=W, H=H, sample_weight=sample_weight, entry_weight=entry_weight)
        return self

    @fit_method
    def fit_transform(self, X, y=None, W=None, H=None, sample_weight=None, entry_weight=None):
        """Learn the components and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        return self._fit(X, W, H, sample_weight, entry_weight)

    def _fit(self, X, W=None, H=None, sample_weight=None, entry_weight=None, monitor=None):
        X_given = X
        X = self._validate_X(X, reset=True)
        self._check_values(X)
        sample_weight = check_weights(sample_weight, None, X, missing=self.missing)
        entry_weight = check_weights(None, entry_weight, X, missing=self.missing)
        n_samples = X.shape[0] if sample_weight is None else sample_weight.sum(dtype=np.float64)
        penalty = self._penalty(n_samples, X.shape[1])
        self._warn_if_one_sided(penalty)
        rng = check_random_state(self.random_state)
        with Workers(self.n_jobs) as workers:
            by_row = sample_weight if entry_weight is None else None
            start = self._start(X, by_row, W, H, rng, workers)
            problem, scale = self._problem(X, sample_weight, entry_weight, penalty, workers, rng)
            if scale is not None:
                Wt, H = start.whole()
                start = Start.given(Wt * scale, H)
            with iterate_with_callbacks(
                self, self.max_iter, X_given, attributes=partial(self._as_fitted, X.dtype)
            ) as report:
                Wt, H, trace = factorize(
                    problem,
                    start,
                    coarse=self.solver == "auto",
                    tol=self.tol,
                    max_iter=self.max_iter,
                    monitor=_combine(monitor, report, self.verbose),
                )
                self._set_fitted(H, trace)
                own = problem
                if sample_weight is not None:  # which changes no sample's own coefficients
                    own = self._own_problem(X, entry_weight, workers)
                W, Wt = self._finish(own, X, Wt, H)
                Wt = Wt if scale is None else Wt * scale
                loss, self.kkt_residual_ = problem.certify(Wt, H)
                self.reconstruction_err_ = float(np.sqrt(2 * loss))
        if trace.stop != "callback":
            warn_if_not_converged(trace, self.max_iter, self.tol)
        return W.astype(X.dtype, copy=False)

    def _start(self, X, sample_weight, W, H, rng, workers):
        if self.init == "custom":
            return Start.given(*self._check_start(X, W, H))
        if W is not None or H is not None:
            warnings.warn(
                "When init!='custom', provided W or H are ignored. Set init='custom' to use them "
                "as initialization.",
                RuntimeWarning,
                stacklevel=4,
            )
        beta = beta_of(self.beta_loss)
        multiplicative = self._problem_options()["multiplicative"] or beta not in (1, 2)
        if multiplicative and self.init == "nndsvd":
            warnings.warn(
                "The multiplicative update ('mu') solver cannot update zeros present in the "
                "initialization, and so leads to poorer results when used jointly with "
                "init='nndsvd'. You may try init='nndsvda' or init='nndsvdar' instead.",
                UserWarning,
                stacklevel=4,
            )
        k = self._start_components(X)
        complete, mean = completed(X, self.missing, needed=self.init in NNDSVD)
        if complete is None:
            return Start.given(*random_start(X.shape, k, mean, rng, X.dtype))
        make = partial(
            initialize,
            n_components=k,
            init=self.init,
            random_state=rng,
            workers=workers,
            fill=start_fill(beta, multiplicative),
        )
        if sample_weight is not None or k > min(X.shape):
            return Start.given(*make(complete, weight=sample_weight))
        return Start(make, complete, k)

    def _problem(self, X, sample_weight, entry_weight, penalty, workers, rng):
        """(The problem; what it multiplies the rows of W by, or None.)"""
        return make_fit_problem(
            X,
            sample_weight,
            entry_weight,
            penalty,
            workers,
            shuffle_rng=rng if self.shuffle else None,
            **self._problem_options(),
        )

    def _problem_options(self):
        beta = beta_of(self.beta_loss)
        if self.solver == "cd" and beta not in (1, 2):
            raise ValueError(
                f"Invalid beta_loss parameter: solver 'cd' does not handle beta_loss = "
                f"{self.beta_loss!r}; it takes 'frobenius' (2) and 'kullback-leibler' (1)."
            )
        return {**super()._problem_options(), "multiplicative": self.solver == "mu"}

    def _finish(self, problem, X, Wt, H):
        """(What `transform` returns for X; the W that the objective is to be given for)."""
        W = problem.solve_W_near(H, Wt)
        return W, np.ascontiguousarray(W.T.astype(X.dtype, copy=False))

    def _as_fitted(self, dtype, Wt, H):
        # The first iterations may be in another precision than the data.
        return {
            "components_": np.array(H, dtype=dtype),
            "n_components_": len(H),
        }

    def _set_fitted(self, H, trace):
        self.components_ = H
        self.n_components_ = self._n_components = len(H)
        self.n_iter_ = trace.n_iter
        self.objective_ = np.array(trace.objective)
        self.stopped_by_callback_ = trace.stop == "callback"


def _combine(monitor, report, verbose):
    """One monitor for the solver, of what listens; None where nothing does."""
    if monitor is None and not report.active and not verbose:
        return None

    def listen(trace, Wt, H):
        if verbose:
            print(
                f"iteration {trace.n_iter}: objective {trace.objective[-1]:.6g}, "
                f"residual {trace.residual[-1]:.2e}"
            )
        stop = monitor is not None and bool(monitor(trace, Wt, H))
        return bool(report(trace.objective[-1], Wt, H)) or stop

    return listen
