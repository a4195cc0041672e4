"""BayesianMatrixFactorization: matrix completion with error bars, by Gibbs sampling."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils._sklearn import Interval, StrOptions, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ..utils._validation import check_coordinates, check_weights
from ._base import CompletionBase
from ._entries import column_side, observed_csr, row_side
from ._gibbs import Chain
from ._posterior import fold_in, owned, row_scales, split_rhat, variances
from ._recommend import RecommenderMixin

# Entries whose predictions R̂ is computed of.
_N_PROBES = 20


class BayesianMatrixFactorization(RecommenderMixin, CompletionBase):
    """Matrix completion with error bars: Bayesian factorization by Gibbs sampling.

    The model of the observed entries is that of [1]_, with two extensions,

    .. math::

        x_{ij} &\\sim N\\big(\\mu + u_i \\cdot v_j,\\; 1 / (\\alpha s_i t_j w_{ij})\\big)

        u_i &\\sim N\\big(\\mu_U + n_i^{-1/2} \\sum_{j \\in \\Omega_i} b_j,\\; \\Lambda_U^{-1}\\big)

        \\mu_U \\mid \\Lambda_U &\\sim N(0, (2 \\Lambda_U)^{-1}), \\quad
        \\Lambda_U \\sim \\mathrm{Wishart}(I, n\\_components), \\quad
        b_j \\sim N(0, (\\tau_U \\Lambda_U)^{-1})

    and the same for the columns' v. Everything but the mean μ and the weights w is drawn from its
    posterior, the noise precision α included. The extensions: each row and column has a noise
    scale s_i, t_j of its own, so some people's ratings may be more erratic than others' [2]_; and
    the sum over the Ω_i, the columns in which the row has an entry, lets the pattern of the
    entries tell about the factors, as in SVD++ [3]_.

    A prediction is the mean over the draws that are kept, and its error bar tells how far they
    differ. There is nothing to tune: more components than needed do little harm.

    Read more in the :ref:`User Guide <completion_bayes>`.

    Parameters
    ----------
    n_components : int, default=16
        Number of factors.

    n_draws : int, default=50
        Draws to keep of each chain. In all they take ``n_chains * n_draws * (n_samples +
        3 * n_features) * n_components`` numbers of memory.

    burn_in : int, default=100
        Sweeps before the first draw; one draws every quantity once.

    thin : int, default=4
        Sweeps for each draw that is kept.

    n_chains : int, default=1
        Independent chains, one after the other. Predictions average over all of them.

    noise : {"varying", "equal"} or float, default="varying"
        "varying" draws noise scales of rows and columns, "equal" takes ones. A float is the
        standard deviation of the noise, known and equal.

    pattern : bool, default=True
        Whether the prior means depend on which entries are observed. Of entries that are missing
        at random nothing can be learned that way: it then costs a third of the speed, and the
        predictions next to nothing. With no entry missing it is left out.

    bounds : (float, float), "data" or None, default=None
        Range to clip predictions to, after averaging; "data" takes the smallest and greatest
        observed value.

    warm_start : bool, default=False
        Start the chains where those of the last fit ended, if the shapes agree. `burn_in` sweeps
        are made all the same.

    missing : {"unstored", "nan"}, default="unstored"
        Which entries of a sparse X are missing: those that it doesn't store. "nan" would leave a
        sparse X nothing to complete, and is refused. In a dense X NaN is missing.

    random_state : int, RandomState instance or None, default=None
        For the draws.

    verbose : int, default=0
        Print the error on the observed entries after every sweep.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_chains * n_draws * n_components, n_features)
        The columns' factors of all draws, one draw below the other.

    embedding_ : ndarray of shape (n_samples, n_chains * n_draws * n_components)
        What ``transform`` returns for the X of ``fit``: for each draw of the columns' factors the
        posterior mean of the row's, divided by the number of draws. So ``embedding_ @ components_
        + intercept_`` is the posterior mean of the matrix.

    intercept_ : ndarray of shape (n_features,)
        μ, the mean of the observed entries, for each column.

    noise_std_ : float
        Standard deviation α^(-1/2) of the noise of an entry whose scales are 1; its root mean
        square over the draws.

    rhat_ : dict
        The R̂ of "noise_precision" (α), of "log_density" (of the data and the factors given the
        rest), and of "predictions", an array for 20 entries drawn at random. Values well above 1
        say that the chains, or the halves of one, haven't found the same distribution. NaN with
        fewer than 4 sweeps.

    objective_ : ndarray of shape (n_chains, burn_in + thin * n_draws)
        Root mean squared error on the observed entries after each sweep.

    n_iter_ : int
        Sweeps of each chain.

    bounds_ : tuple or None
        The bounds in use.

    stopped_by_callback_ : bool
        Whether a callback ended the fit. Then there are the draws made so far.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    See Also
    --------
    AltMinCompletion : One estimate without error bars, faster.
    EntryRegressor : Cross-validation over entries.

    Notes
    -----
    Sampling is done in the precision of X: float32 data take half the time.

    ``fit`` ends with the solves that ``transform`` runs: for each draw, the exact posterior mean
    of a row's factors given its entries and those of the columns. Its noise scale is, for all
    draws, an estimate from five of them by variational Bayes.

    References
    ----------
    .. [1] R. Salakhutdinov and A. Mnih, "Bayesian Probabilistic Matrix Factorization using Markov
       Chain Monte Carlo", ICML 2008.
    .. [2] B. Lakshminarayanan, G. Bouchard and C. Archambeau, "Robust Bayesian Matrix
       Factorisation", AISTATS 2011.
    .. [3] Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering
       Model", KDD 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import BayesianMatrixFactorization
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 40))
    >>> X = truth + 0.1 * rng.normal(size=truth.shape)
    >>> X[rng.random(X.shape) < 0.5] = np.nan
    >>> model = BayesianMatrixFactorization(n_components=3, random_state=0).fit(X)
    >>> mean, std = model.predict_entries([[0, 0], [5, 7]], return_std=True)
    >>> bool(np.all(np.abs(mean - truth[[0, 5], [0, 7]]) < 4 * std))
    True
    >>> bool(0.08 < model.noise_std_ < 0.12)
    True
    """

    _parameter_constraints = {
        **CompletionBase._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "burn_in": [Interval(Integral, 0, None, closed="left")],
        "thin": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "noise": [StrOptions({"varying", "equal"}), Interval(Real, 0, None, closed="neither")],
        "pattern": ["boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components=16,
        *,
        n_draws=50,
        burn_in=100,
        thin=4,
        n_chains=1,
        noise="varying",
        pattern=True,
        bounds=None,
        warm_start=False,
        missing="unstored",
        random_state=None,
        verbose=0,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.n_draws = n_draws
        self.burn_in = burn_in
        self.thin = thin
        self.n_chains = n_chains
        self.noise = noise
        self.pattern = pattern
        self.bounds = bounds
        self.warm_start = warm_start
        self.missing = missing
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    def fit(self, X, y=None, entry_weight=None):
        """Draw from the posterior.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            NaN is missing, and so is what a sparse X doesn't store; stored zeros are observed.
        y : None
            Ignored.
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Relative precisions of the entries, nonnegative; a weight of zero makes an entry
            missing.

        Returns
        -------
        self : BayesianMatrixFactorization

        Raises
        ------
        ValueError
            For infinite values, an X without observed entry, weights that don't fit X.
        """
        self.fit_transform(X, entry_weight=entry_weight)
        return self

    @fit_method
    def fit_transform(self, X, y=None, entry_weight=None):
        """Draw from the posterior and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_chains * n_draws * n_components)
        """
        X_given = X
        X = self._validate_X(X, reset=True)
        X, weight = observed_csr(X, check_weights(None, entry_weight, X, missing=self.missing))
        self.bounds_ = self._check_bounds(X.data)
        self._observed, self._n_factors = X, self.n_components
        self._center = float(X.data.mean(dtype=np.float64))
        self._unit = float(X.data.std(dtype=np.float64)) or 1.0
        rows, columns = self._sides(X, weight)
        n_sweeps = self.burn_in + self.thin * self.n_draws
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(
                self, self.n_chains * n_sweeps, X_given, attributes=self._as_fitted
            ) as report,
        ):
            chains = self._start_chains(rows, columns)
            draws, history, monitored = [], [], []
            for chain in chains:
                if not report.stopped:
                    errors, values = self._run(chain, draws, workers, report)
                    history.append(errors)
                    monitored.append(values)
            vars(self).update(self._as_fitted(draws))
            self._states = [chain.state() for chain in chains[: len(history)]]
            self._summarize(draws, history, monitored)
            self.stopped_by_callback_ = report.stopped
            self._rows = rows
            self._row_scales = row_scales(draws, rows, workers)
            self.embedding_ = self._fold_in(draws, rows, self._row_scales, workers)
        return self.embedding_.copy()

    def transform(self, X, entry_weight=None):
        """Coefficients of rows, given the draws of the columns' factors.

        Neither the order nor the choice of the rows matters, and for the data of ``fit`` the
        result is that of ``fit_transform``. Nothing is random.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        entry_weight : {array-like, sparse array} of shape (n_samples, n_features), default=None
            Relative precisions of the entries, nonnegative.

        Returns
        -------
        W : ndarray of shape (n_samples, n_chains * n_draws * n_components)
        """
        check_is_fitted(self)
        draws, rows = owned(self._draws, self._rows_of(X, entry_weight))
        with Workers(self.n_jobs) as workers:
            return self._fold_in(draws, rows, row_scales(draws, rows, workers), workers)

    def predict_entries(self, coords, return_std=False, *, noise=True, X=None):
        """Predict entries, and say how sure that is.

        Parameters
        ----------
        coords : array-like of shape (n_entries, 2)
            Row and column of each.

        return_std : bool, default=False
            Whether to return standard deviations too.

        noise : bool, default=True
            Whether the standard deviations are those of a new measurement, noise included; else
            they are those of the mean μ + u·v alone. Bounds do not change them.

        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            New rows, to which `coords` refer; None takes those of ``fit``.

        Returns
        -------
        mean : ndarray of shape (n_entries,)

        std : ndarray of shape (n_entries,)
            Only with ``return_std=True``.

        Raises
        ------
        ValueError
            For coordinates that are negative, not whole or out of range.
        """
        check_is_fitted(self)
        draws, rows = owned(self._draws, self._rows if X is None else self._rows_of(X))
        coords = check_coordinates(coords, 2, shape=(len(rows), len(self.intercept_)))
        with Workers(self.n_jobs) as workers:
            scales, W = self._row_scales, self.embedding_
            if X is not None:
                scales = row_scales(draws, rows, workers)
                W = self._fold_in(draws, rows, scales, workers)
            mean = self._reconstruct_entries(W, coords)
            if not return_std:
                return mean
            variance, noise_variance = variances(draws, rows, *scales, coords, workers)
        std = np.sqrt(variance + noise_variance if noise else variance)
        return mean, (self._unit * std).astype(mean.dtype)

    def _sides(self, X, weight):
        """Entries by rows and by columns, in the units of the model: mean 0, variance 1."""
        values = ((X.data - self._center) / self._unit).astype(X.dtype)
        X = sparse.csr_array((values, X.indices, X.indptr), shape=X.shape)
        return row_side(X, weight), column_side(X, weight)

    def _rows_of(self, X, entry_weight=None):
        X = self._validate_X(X, reset=False).astype(self.components_.dtype, copy=False)
        X, weight = observed_csr(X, check_weights(None, entry_weight, X, missing=self.missing))
        return self._sides(X, weight)[0]

    def _observed_of(self, X):
        return observed_csr(self._validate_X(X, reset=False))[0]

    def _start_chains(self, rows, columns):
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_chains)
        noise = self.noise if isinstance(self.noise, str) else (self._unit / self.noise) ** 2
        pattern = self.pattern and len(rows.values) < len(rows) * len(columns)
        chains = [
            Chain.start(
                rows, columns, self.n_components, pattern=pattern, noise=noise,
                rng=np.random.default_rng(seed),
            )
            for seed in seeds
        ]  # fmt: skip
        if self.warm_start and hasattr(self, "_states"):
            for chain, state in zip(chains, self._states, strict=False):
                chain.resume(state)
        return chains

    def _run(self, chain, draws, workers, report):
        """Append the draws of a chain; (errors after each sweep, what R̂ is computed of)."""
        errors, values = [], []
        probes = self._probes()
        for it in range(self.burn_in + self.thin * self.n_draws):
            chain.sweep(workers)
            errors.append(self._unit * np.sqrt(chain.mean_square))
            drawn = it + 1 - self.burn_in
            if drawn > 0:
                values.append(chain.monitored(probes))
                if drawn % self.thin == 0:
                    draws.append(chain.keep())
            if self.verbose:
                print(f"sweep {it + 1}: error on the observed entries {errors[-1]:.6g}")
            if report.active and report(errors[-1], draws or [chain.keep()]):
                if not draws:
                    draws.append(chain.keep())
                break
        return errors, values

    def _probes(self):
        rng = np.random.default_rng(0)
        return tuple(rng.integers(length, size=_N_PROBES) for length in self._observed.shape)

    def _as_fitted(self, draws):
        n_features, k = draws[0].V.shape[0], self.n_components
        dtype = draws[0].V.dtype
        components = np.empty((len(draws) * k, n_features), dtype)
        for d, draw in enumerate(draws):
            components[d * k : (d + 1) * k] = draw.V[:, :k].T
        return {
            "components_": components,
            "intercept_": np.full(n_features, self._center, dtype),
            "_draws": list(draws),
        }

    def _summarize(self, draws, history, monitored):
        alphas = np.array([draw.alpha for draw in draws])
        self.noise_std_ = float(self._unit * np.sqrt(np.mean(1 / alphas)))
        self.n_iter_ = max(map(len, history))
        self.objective_ = np.full((len(history), self.n_iter_), np.nan)
        for row, errors in zip(self.objective_, history, strict=True):
            row[: len(errors)] = errors
        shortest = min(map(len, monitored))
        values = np.array([values[:shortest] for values in monitored])
        values = values.reshape(len(monitored), shortest, 2 + _N_PROBES)
        rhat = split_rhat(values)
        self.rhat_ = {
            "noise_precision": float(rhat[0]),
            "log_density": float(rhat[1]),
            "predictions": rhat[2:],
        }

    def _fold_in(self, draws, rows, scales, workers):
        W = fold_in(draws, rows, scales[0], workers)
        W *= W.dtype.type(self._unit)
        return W
