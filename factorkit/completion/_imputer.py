"""The imputer: a transformer that fills in missing values."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils._convergence import Trace, warn_if_not_converged
from ..utils._sklearn import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_method,
    iterate_with_callbacks,
    validate_data,
)
from ..utils._threads import Workers, blocks_of
from ._factor_analysis import expect, fit_factor_analysis, point_model
from ._imputer_columns import describe_columns
from ._neighbours import find_neighbours
from ._soft_impute import choose_alpha, soft_impute

# What "auto" takes, at most: measured on tables of 4 to 64 columns, half as many components as
# columns lose little, and their cost grows with the cube.
_FEWEST, _MOST, _MOST_WITH_NUCLEAR_NORM = 12, 20, 50
# Of the loadings of standardized columns; the result hardly depends on it.
_PRIOR_PRECISION = 1.0
# Sums of squares of larger numbers leave the range of float64.
_LARGEST = 1e150


class LowRankImputer(CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill in missing values by a low-rank model of the table.

    Columns are standardized by what is observed of them. A sample is then a combination of few
    components, learned from the observed entries of the samples of `fit`; from the observed
    entries of a new sample `transform` infers its coefficients, and with them what is missing of
    it. Observed values come back as they are.

    Two models are offered. **Factor analysis**, the default, is

    .. math::

        x_{ij} = w_j^T z_i + m_j + e_{ij}, \\quad z_i \\sim N(0, I), \\quad
        e_{ij} \\sim N(0, \\sigma_j^2),

    with noise of a size of its own for each column, found from the data. What it fills in is the
    conditional mean. The loadings w are averaged over their posterior distribution, so that
    many components do no harm. Where samples form clusters or curves, the conditional mean is
    averaged with the mean of near samples, as far as that has helped on entries held out. With the
    **nuclear norm** the standardized table is approximated
    by the M that minimizes

    .. math::

        \\tfrac12 \\sum_{(i, j) \\in \\Omega} (x_{ij} - m_{ij})^2 + \\alpha \\|M\\|_*

    over the observed entries Ω (SoftImpute); with ``alpha=0`` it is the least-squares fit of rank
    `n_components`.

    Read more in the :ref:`User Guide <completion_imputer>`.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components; with the nuclear norm, the most. "auto" takes half the number of
        features that vary, but 12 to 20; with the nuclear norm 50. Never more are used than
        identified: one less than the number of samples and of features that vary; with the
        nuclear norm, these numbers.

    method : {"factor_analysis", "nuclear_norm"}, default="factor_analysis"
        The model.

    alpha : float or "auto", default="auto"
        Weight of the nuclear norm, on the scale of the singular values of the standardized table;
        factor analysis has no use for it. "auto" takes the one with the least error on a tenth of
        the observed entries, held out.

    n_neighbors : int, default=10
        Number of samples of `fit` within whose distance most of the weight of the near samples
        lies; of small tables, less than half the samples at most. 0 takes the model alone, as the
        nuclear norm always does.

    tol : float, default=1e-3
        The fit ends when an iteration lowers the objective by less than this for each observed
        entry, or, with the nuclear norm, when it moves M by at most this, relative to its norm.

    max_iter : int, default=200
        Most iterations.

    clip : bool, default=True
        Keep what is filled in within the range of the values of its column that `fit` observed,
        and let a value beyond that range count as the end of it when a sample's coefficients are
        inferred.

    missing_values : int, float or np.nan, default=np.nan
        What marks a missing value.

    add_indicator : bool, default=False
        Append the columns of :class:`sklearn.impute.MissingIndicator`, which say what was
        missing, to the output: those of the features that had missing values in `fit`.

    keep_empty_features : bool, default=False
        Keep the features of which `fit` observed no value, and fill them with zeros. Otherwise
        they are dropped.

    random_state : int, RandomState instance or None, default=None
        For the entries held out by ``alpha="auto"``. Nothing else is random.

    n_jobs : int, default=None
        Number of threads. None takes as many as BLAS may use. The result does not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features_in_)
        Loadings, in the units of X: the model is coefficients @ components_ + mean_. Zero where
        a feature is constant or empty.

    mean_ : ndarray of shape (n_features_in_,)
        What is filled in where all of a sample is missing, before clipping: offsets of the model
        (factor analysis) or means of the observed values; zero for an empty feature.

    scale_ : ndarray of shape (n_features_in_,)
        Standard deviations of the observed values; 1 where a feature is constant or empty.

    noise_variance_ : ndarray of shape (n_features_in_,)
        σ², in squared units of X; only for factor analysis. Zero where a feature is constant or
        empty.

    neighbor_share_ : float
        Share of the neighbours' mean in what is filled in, from 0 to 1; the model has the rest.

    n_components_ : int
        Number of components.

    alpha_ : float
        The weight of the nuclear norm; only for that.

    n_iter_ : int
        Number of iterations.

    objective_ : ndarray of shape (n_iter_,)
        After each iteration: the negative free energy, or the objective with the nuclear norm. It
        never rises.

    indicator_ : MissingIndicator or None
        For `add_indicator`.

    stopped_by_callback_ : bool
        Whether a callback ended the fit before it converged.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where all are strings.

    See Also
    --------
    sklearn.impute.IterativeImputer : Regresses every feature on all others, in rounds.
    sklearn.impute.KNNImputer : Averages the nearest samples; better where samples form clusters.

    Notes
    -----
    Factor analysis is fitted by variational Bayes with missing entries [1]_, whose iterations
    cost 2 n p k² + (n + p) k³ multiply-adds for n samples, p features and k components; the
    nuclear norm by alternating regressions [2]_, at 4 n p k. Memory beside the output is
    the standardized table in float64, and k² numbers a feature.

    References
    ----------
    .. [1] A. Ilin and T. Raiko, "Practical Approaches to Principal Component Analysis in the
       Presence of Missing Values", JMLR 11, 2010.
    .. [2] T. Hastie, R. Mazumder, J. D. Lee and R. Zadeh, "Matrix Completion and Low-Rank SVD
       via Fast Alternating Least Squares", JMLR 16, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import LowRankImputer
    >>> from sklearn.datasets import load_diabetes
    >>> X, _ = load_diabetes(return_X_y=True)
    >>> holes = np.random.default_rng(0).random(X.shape) < 0.3
    >>> imputer = LowRankImputer().fit(np.where(holes, np.nan, X))
    >>> filled = imputer.transform(np.where(holes, np.nan, X))
    >>> np.array_equal(filled[~holes], X[~holes])
    True
    >>> means = np.broadcast_to(X.mean(axis=0), X.shape)
    >>> error = np.linalg.norm((filled - X)[holes]) / np.linalg.norm((means - X)[holes])
    >>> print(f"{error:.2f}")
    0.72
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "method": [StrOptions({"factor_analysis", "nuclear_norm"})],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "n_neighbors": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "clip": ["boolean"],
        "missing_values": [Real],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        method="factor_analysis",
        alpha="auto",
        n_neighbors=10,
        tol=1e-3,
        max_iter=200,
        clip=True,
        missing_values=np.nan,
        add_indicator=False,
        keep_empty_features=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.method = method
        self.alpha = alpha
        self.n_neighbors = n_neighbors
        self.tol = tol
        self.max_iter = max_iter
        self.clip = clip
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Learn the model from the observed entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What equals `missing_values` is missing. Integers are taken as floats.
        y : None
            Ignored.

        Returns
        -------
        self : LowRankImputer

        Raises
        ------
        ValueError
            For values that are infinite or beyond ±1e150, or NaN where `missing_values` is another
            number.
        TypeError
            For sparse X.
        """
        self._fit(X)
        return self

    @fit_method
    def fit_transform(self, X, y=None):
        """Learn the model and return what ``transform(X)`` returns.

        Parameters and errors are those of :meth:`fit`.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features_out)
        """
        return self._fill(*self._fit_model(X))

    def transform(self, X):
        """Fill in what is missing. The model is used as `fit` learned it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What equals `missing_values` is filled in; rows need not have been in `fit`.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features_out)
            float32 if X is that, else float64. Without the features that were empty in `fit`,
            unless `keep_empty_features`; with the columns of the indicator at the end, with
            `add_indicator`.

        Raises
        ------
        ValueError
            As in :meth:`fit`; for another number or other names of features than in `fit`.
        """
        check_is_fitted(self)
        return self._fill(*self._validate(X, reset=False))

    @fit_method
    def _fit(self, X):
        self._fit_model(X)

    def _validate(self, X, *, reset):
        """(X as floats, where it is missing)."""
        if isinstance(X, np.ma.MaskedArray):
            # As everywhere here, and unlike scikit-learn's imputers, which ignore masks.
            X = X.astype(np.float64 if X.dtype.kind != "f" else X.dtype).filled(self.missing_values)
        marked_by_nan = np.isnan(self.missing_values)
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if marked_by_nan else True,
        )
        missing = np.isnan(X) if marked_by_nan else self.missing_values == X
        ends = [float(end(X, where=~missing, initial=0.0)) for end in (np.min, np.max)]
        if max(np.abs(ends)) > _LARGEST:
            raise ValueError(
                f"X has values from {ends[0]:.3g} to {ends[1]:.3g}; they must lie between "
                f"{-_LARGEST:g} and {_LARGEST:g}, or their squares leave the range of the numbers. "
                "Divide X by a constant."
            )
        return X, missing

    def _fit_model(self, X_given):
        X, missing = self._validate(X_given, reset=True)
        self._columns = describe_columns(X, ~missing)
        self.scale_ = self._columns.scale
        self._fit_indicator(X)
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(self, self.max_iter, X_given) as report,
        ):
            trace = self._fit_standardized(*self._columns.standardize(X, ~missing), workers, report)
            self.n_iter_ = trace.n_iter
            self.objective_ = np.array(trace.objective)
            self.stopped_by_callback_ = trace.stop == "callback"
        if trace.n_iter and trace.stop != "callback":
            warn_if_not_converged(trace, self.max_iter, self.tol)
        return X, missing

    def _fit_standardized(self, X, observed, workers, report):
        if self.method == "nuclear_norm" and X.size:
            return self._fit_nuclear_norm(X, observed, workers, report)
        auto = min(max(X.shape[1] // 2, _FEWEST), _MOST)
        k = self._rank(auto, min(X.shape) - 1)
        if k == 0:
            model, trace = point_model(np.zeros((X.shape[1], 0)), 1.0), Trace(stop="converged")
        else:
            model, trace = fit_factor_analysis(
                X,
                observed,
                k,
                alpha=_PRIOR_PRECISION,
                tol=self.tol,
                max_iter=self.max_iter,
                workers=workers,
                report=lambda objective, model: report(objective, lambda: self._fitted(model)),
            )
        vars(self).update(self._fitted(model))
        if k and self.n_neighbors:
            self._neighbours = find_neighbours(X, observed, model, self.n_neighbors)
            self.neighbor_share_ = self._neighbours.share if self._neighbours else 0.0
        return trace

    def _fit_nuclear_norm(self, X, observed, workers, report):
        rank = self._rank(_MOST_WITH_NUCLEAR_NORM, min(X.shape))
        alpha, start = self.alpha, None
        if alpha == "auto":
            rng = check_random_state(self.random_state)
            alpha, start = choose_alpha(X, observed, rank, rng, workers)
        low_rank, trace = soft_impute(
            X,
            observed,
            alpha,
            rank,
            start=start,
            tol=self.tol,
            max_iter=self.max_iter,
            workers=workers,
            report=lambda objective, M: report(objective, lambda: self._fitted_low_rank(M, alpha)),
        )
        vars(self).update(self._fitted_low_rank(low_rank, alpha))
        return trace

    def _rank(self, auto, limit):
        return max(min(auto if self.n_components == "auto" else self.n_components, limit), 0)

    def _fitted(self, model):
        """Fitted attributes, from a model of the standardized columns that vary."""
        columns = self._columns
        loadings = columns.spread(model.loadings) * columns.scale[:, None]
        noise = columns.spread(1.0 / model.precision) * columns.scale**2
        return {
            "components_": np.ascontiguousarray(loadings[:, :-1].T),
            "mean_": columns.mean + loadings[:, -1],
            "noise_variance_": noise,
            "n_components_": loadings.shape[1] - 1,
            "alpha_": None,
            "neighbor_share_": 0.0,
            "_model": model,
            "_neighbours": None,
        }

    def _fitted_low_rank(self, low_rank, alpha):
        # The row problem of the nuclear norm is a ridge regression on V √s: that of factor
        # analysis with known loadings and noise of variance alpha. Without alpha the floor picks
        # the smallest of the solutions.
        floor = 1e-8 * low_rank.s.max(initial=1e-300)
        model = point_model(low_rank.V * np.sqrt(low_rank.s), max(alpha, floor))
        return self._fitted(model) | {"noise_variance_": None, "alpha_": float(alpha)}

    def _fit_indicator(self, X):
        self.indicator_ = None
        if self.add_indicator:
            indicator = MissingIndicator(missing_values=self.missing_values, error_on_new=False)
            self.indicator_ = indicator.set_output(transform="default").fit(X)

    def _fill(self, X, missing):
        kept = self._kept
        filled, holes = X[:, kept], missing[:, kept]  # copies
        rows = np.flatnonzero(holes.any(axis=1))
        k = self.n_components_

        def fill(start, stop):
            block = rows[start:stop]
            values = self._predict(X[block], ~missing[block])[:, kept]
            # np.where keeps the bits of what is observed.
            filled[block] = np.where(holes[block], values, filled[block])

        with Workers(self.n_jobs) as workers:
            distances = 3 * self._neighbours.filled.size if self._neighbours else 0
            work = X.shape[1] * (k + 1) ** 2 + k**3 + distances
            workers.map(fill, blocks_of(len(rows), work))
        if self.indicator_ is None:
            return filled
        return np.hstack((filled, self.indicator_.transform(X)), dtype=filled.dtype)

    def _predict(self, X, observed):
        """What the model expects of all entries of some rows, in float64."""
        columns = self._columns
        X, observed = columns.standardize(X, observed, clip=self.clip)
        expected = expect(X, observed, self._model)
        if self._neighbours is not None:
            expected = self._neighbours.average(X, observed, expected)
        values = columns.mean + columns.scale * columns.spread(expected.T).T
        return np.clip(values, columns.low, columns.high) if self.clip else values

    @property
    def _kept(self):
        """Indices of the features in the output."""
        return np.flatnonzero(~self._columns.empty | self.keep_empty_features)

    def get_feature_names_out(self, input_features=None):
        """Names of the features of the output.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features of X. By default those of `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str
            Those of the features kept; then those of the indicator.
        """
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names[self._kept]
        return np.concatenate((names[self._kept], self.indicator_.get_feature_names_out(names)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(np.isnan(self.missing_values))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
