"""How many components: error on entries held out, and stability over restarts."""

import copy
import warnings
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from ..base import MatrixFactorization
from ..utils._sklearn import HasMethods, Interval, StrOptions, fit_method, propagate_callbacks
from ..utils._validation import validate_matrix
from ._estimators import NMF
from ._holdout import HELD_OUT_ERRORS
from ._stability import cophenetic_correlation, mean_cosine
from ._trials import run_trials

_MOST_RANKS = 10


class RankSelection(MetaEstimatorMixin, MatrixFactorization):
    """Choose the number of components by entries held out, and see how stable each number is.

    For each number of components it measures the error on entries that the fit has not seen, and
    how alike the components of fits from random starts are. It takes the smallest number whose
    error is within one standard error of the least, and fits the estimator with it.

    Read more in the :ref:`User Guide <entries>`.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The factorization, with a parameter ``n_components``; None takes ``NMF()``.

    n_components : array-like of int, int or None, default=None
        The numbers to try. One alone is measured. None tries 1 to 10, or to the smaller side of X
        where that is less.

    cv : int, default=5
        Number of folds.

    hold_out : {"auto", "entries", "blocks"}, default="auto"
        What a fold holds out. "entries" leaves random observed entries out of the fit. "blocks"
        leaves rows out, and predicts each part of the columns of such a row with coefficients
        fitted to the other columns: each entry is predicted once, and the fits see complete
        data, which is faster and keeps a sparse X sparse. "auto" takes blocks where unstored
        entries of a sparse X are zeros or the estimator copes with no missing entries, and
        entries elsewhere.

    error : {"auto", "rmse", "kullback-leibler"}, default="auto"
        The error: root mean squared, or mean Kullback-Leibler divergence. "auto" takes the latter
        where that is the estimator's loss.

    n_restarts : int, default=10
        Number of random starts that the stability is measured on; 0 measures none.

    random_state : int, RandomState instance or None, default=None
        For the folds, the restarts, and the starts of the fits in the folds.

    n_jobs : int, default=None
        Number of fits at a time. None is 1, unless in a :obj:`joblib.parallel_config` context.
        They run in processes, joblib's default; threads are as fast where one fit takes a second.
        The result does not depend on it.

    Attributes
    ----------
    n_components_ : int
        The number chosen.

    best_estimator_ : estimator
        Fitted to all of X with that number.

    components_ : ndarray of shape (n_components_, n_features)
        Its components.

    ranks_ : ndarray of int of shape (n_ranks,)
        The numbers tried, ascending.

    errors_ : ndarray of shape (n_ranks, cv)
        The error of each number in each fold.

    stability_ : ndarray of shape (n_ranks,) or None
        The mean cosine of matched components over all pairs of restarts, 1 at best.

    cv_results_ : dict of ndarray of shape (n_ranks,)
        A table, for ``pandas.DataFrame``: ``param_n_components``; ``split0_test_error``, …,
        ``mean_test_error``, ``std_test_error``, ``rank_test_error``; ``mean_fit_time``; and, with
        restarts, ``stability`` and ``cophenetic``, see Notes.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where all are strings.

    See Also
    --------
    factorkit.EntryRegressor : Holds out entries for ``GridSearchCV``, with any parameter.
    factorkit.plotting.RankSelectionDisplay : The picture.

    Notes
    -----
    The *cophenetic* correlation [1]_ is another stability. Each restart assigns a row to the
    component that contributes most to it; the consensus of two rows is the share of restarts in
    which they go together, and the number is the correlation of one minus the consensus with the
    heights at which average linkage joins the rows. At most 500 rows, drawn at random, take part.

    Holding out rows and scoring them by ``transform`` would always choose the largest number, as
    ``transform`` fits the held-out values themselves. "blocks" is the bi-cross-validation of
    Owen and Perry [2]_, with all columns of the rows kept.

    In a Kullback-Leibler error a prediction counts as a thousandth of the mean of X where it is
    less: one event in an entry that is predicted to be zero would make the error infinite.

    References
    ----------
    .. [1] J.-P. Brunet, P. Tamayo, T. R. Golub and J. P. Mesirov, "Metagenes and Molecular
       Pattern Discovery Using Matrix Factorization", PNAS 101, 2004.
    .. [2] A. B. Owen and P. O. Perry, "Bi-cross-validation of the SVD and the Nonnegative Matrix
       Factorization", Annals of Applied Statistics 3, 2009.

    Examples
    --------
    >>> from factorkit import NMF, RankSelection
    >>> from factorkit.datasets import make_low_rank_nonnegative
    >>> X = make_low_rank_nonnegative(60, 40, 3, noise=0.1, random_state=0).data
    >>> selection = RankSelection(
    ...     NMF(max_iter=1000), n_components=range(1, 6), n_restarts=5, random_state=0
    ... )
    >>> selection.fit(X).n_components_
    3
    >>> selection.transform(X).shape
    (60, 3)
    """

    _parameter_constraints = {
        "estimator": [
            HasMethods(["fit_transform", "transform", "inverse_transform_entries"]),
            None,
        ],
        "n_components": ["array-like", Integral, None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "hold_out": [StrOptions({"auto", "entries", "blocks"})],
        "error": [StrOptions({"auto", *HELD_OUT_ERRORS})],
        "n_restarts": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator=None,
        n_components=None,
        *,
        cv=5,
        hold_out="auto",
        error="auto",
        n_restarts=10,
        random_state=None,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.n_components = n_components
        self.cv = cv
        self.hold_out = hold_out
        self.error = error
        self.n_restarts = n_restarts
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Choose the number of components and fit the estimator with it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As the estimator takes it; its missing entries stay out of the error.

        y : None
            Ignored.

        Returns
        -------
        self : RankSelection

        Raises
        ------
        ValueError
            For numbers that are no numbers of components, fewer entries or rows than folds, one
            restart, and a way to hold out that X or the estimator does not allow.
        """
        self.fit_transform(X)
        return self

    @fit_method(validate_inner=True)
    def fit_transform(self, X, y=None):
        """Fit and return the coefficients that the chosen estimator's ``fit_transform`` returns.

        Parameters are those of :meth:`fit`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components_)
        """
        X_given, X = X, self._validate_X(X, reset=True)
        self.ranks_ = _check_ranks(self.n_components, X.shape)
        rng = check_random_state(self.random_state)
        if self.n_restarts == 1:
            raise ValueError("n_restarts=1: stability compares restarts, so it takes 0 or >= 2.")
        estimator = self._estimator()
        errors, times, restarts, n_unfinished = run_trials(
            estimator,
            X,
            self.ranks_,
            n_folds=self.cv,
            n_restarts=self.n_restarts,
            hold_out=self._resolve_hold_out(X, estimator),
            error=self._resolve_error(estimator),
            rng=rng,
            n_jobs=self.n_jobs,
        )
        if n_unfinished:
            warnings.warn(
                f"{n_unfinished} of {len(self.ranks_) * (self.cv + self.n_restarts)} fits in folds "
                "and restarts ended at max_iter without reaching tol. Raise max_iter of the "
                "estimator.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.errors_ = errors
        best = _smallest_within_one_standard_error(errors)
        self.n_components_ = int(self.ranks_[best])
        stability = cophenetic = None
        if self.n_restarts:
            stability = np.array([mean_cosine(starts) for starts in restarts])
            cophenetic = np.array([cophenetic_correlation(starts) for starts in restarts])
        self.stability_ = stability
        self.cv_results_ = _table(self.ranks_, errors, times, stability, cophenetic)
        estimator.set_params(n_components=self.n_components_)
        with propagate_callbacks(self, estimator, X_given, y):
            W = np.asarray(estimator.fit_transform(X))
            self.best_estimator_ = estimator
        return W

    def transform(self, X):
        """Coefficients of the samples, by the chosen estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        W : ndarray of shape (n_samples, n_components_)
        """
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.transform(self._validate_X(X, reset=False)))

    def score(self, X, y=None):
        """Return the score of the chosen estimator: the explained variance.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        return self.best_estimator_.score(self._validate_X(X, reset=False))

    @property
    def components_(self):
        """Components of the chosen estimator."""
        return self.best_estimator_.components_

    def _estimator(self):
        return NMF() if self.estimator is None else clone(self.estimator)

    def _resolve_hold_out(self, X, estimator):
        takes_holes = get_tags(estimator).input_tags.allow_nan
        zeros_are_data = sparse.issparse(X) and getattr(estimator, "missing", "nan") == "nan"
        if self.hold_out == "auto":
            return "blocks" if zeros_are_data or not takes_holes else "entries"
        if self.hold_out == "blocks" and sparse.issparse(X) and not zeros_are_data:
            raise ValueError(
                'hold_out="blocks" takes no sparse X with missing="unstored": pass "entries".'
            )
        if self.hold_out == "entries" and not takes_holes:
            raise ValueError(
                f'hold_out="entries" needs an estimator that copes with missing entries, which '
                f'{type(estimator).__name__} does not: pass "blocks".'
            )
        if self.hold_out == "entries" and zeros_are_data:
            raise ValueError(
                'hold_out="entries" can\'t mark an unstored zero of a sparse X as missing: pass '
                '"blocks", or X as a dense array.'
            )
        return self.hold_out

    def _resolve_error(self, estimator):
        if self.error != "auto":
            return self.error
        loss = getattr(estimator, "beta_loss", 2)
        return "kullback-leibler" if loss in (1, "kullback-leibler") else "rmse"

    def _validate_X(self, X, *, reset):
        tags, estimator = get_tags(self).input_tags, self._estimator()
        return validate_matrix(
            self,
            X,
            reset=reset,
            missing=getattr(estimator, "missing", "nan"),
            allow_nan=tags.allow_nan,
            nonnegative=tags.positive_only,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = copy.copy(get_tags(self._estimator()).input_tags)
        return tags


def _check_ranks(n_components, shape):
    """The numbers to try, ascending, each once."""
    if n_components is None:
        return np.arange(1, min(_MOST_RANKS, *shape) + 1)
    given = np.atleast_1d(n_components)
    ranks = np.unique(given)
    if given.ndim > 1 or not given.size or ranks.dtype.kind not in "iu" or ranks[0] < 1:
        raise ValueError(f"n_components takes integers from 1; got {n_components!r}.")
    return ranks


def _smallest_within_one_standard_error(errors):
    """Index of the first rank whose mean is within one standard error of the least mean."""
    mean = errors.mean(axis=1)
    best = np.argmin(mean)
    standard_error = errors[best].std(ddof=1) / np.sqrt(errors.shape[1])
    return int(np.argmax(mean <= mean[best] + standard_error))


def _table(ranks, errors, times, stability, cophenetic):
    mean = errors.mean(axis=1)
    table = {"param_n_components": ranks}
    table |= {f"split{fold}_test_error": errors[:, fold] for fold in range(errors.shape[1])}
    table |= {
        "mean_test_error": mean,
        "std_test_error": errors.std(axis=1),
        "rank_test_error": rankdata(mean, method="min").astype(np.int32),
        "mean_fit_time": times,
    }
    if stability is not None:
        table |= {"stability": stability, "cophenetic": cophenetic}
    return table
