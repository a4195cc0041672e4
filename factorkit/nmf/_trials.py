"""The fits by which numbers of components are compared: in folds, and from random starts."""

import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.parallel import Parallel, delayed

from ._holdout import block_error, entry_error, label_blocks, label_entries
from ._stability import restart

# Consensus compares rows in pairs: 500 rows make a quarter of a million, whatever X has.
_CONSENSUS_ROWS = 500


def run_trials(estimator, X, ranks, *, n_folds, n_restarts, hold_out, error, rng, n_jobs):
    """Fit clones of an estimator with every number of components.

    Parameters
    ----------
    estimator : estimator

    X : ndarray or csr_array of shape (n_samples, n_features)

    ranks : ndarray of int of shape (n_ranks,)

    n_folds, n_restarts : int

    hold_out : {"entries", "blocks"}

    error : str
        A key of `HELD_OUT_ERRORS`.

    rng : RandomState

    n_jobs : int or None

    Returns
    -------
    errors : ndarray of shape (n_ranks, n_folds)
        On what each fold holds out.

    times : ndarray of shape (n_ranks,)
        Mean seconds of the fit and the error of a fold.

    restarts : list of n_ranks lists of n_restarts (components, clusters)
        Of :func:`factorkit.nmf._stability.restart`; empty without restarts.

    n_unfinished : int
        How many fits ended at their ``max_iter``.
    """
    if hold_out == "entries":
        measure, labels = entry_error, label_entries(X, n_folds, rng)
    else:
        measure, labels = block_error, label_blocks(X, n_folds, rng)
    rows = rng.permutation(X.shape[0])[:_CONSENSUS_ROWS]
    # Drawn before the fits, whose order then does not matter.
    seeds = rng.randint(np.iinfo(np.int32).max, size=(len(ranks), n_folds + n_restarts))
    folds, restarts = [], []
    for rank, row in zip(ranks, seeds, strict=True):
        models = [
            _with_params(estimator, n_components=int(rank), random_state=int(seed)) for seed in row
        ]
        for fold, model in enumerate(models[:n_folds]):
            folds.append(delayed(_timed)(measure, model, X, labels, fold, error))
        for model in models[n_folds:]:
            restarts.append(delayed(_timed)(restart, _with_params(model, init="random"), X, rows))
    with warnings.catch_warnings():
        # Each of many fits would warn; whoever calls this warns once.
        warnings.simplefilter("ignore", ConvergenceWarning)
        results, times, unfinished = zip(*Parallel(n_jobs=n_jobs)(folds + restarts), strict=True)
    by_rank = [
        results[start : start + n_restarts]
        for start in range(len(folds), len(results), n_restarts or 1)
    ]
    return (
        np.reshape(results[: len(folds)], (len(ranks), n_folds)),
        np.reshape(times[: len(folds)], (len(ranks), n_folds)).mean(axis=1),
        by_rank,
        sum(unfinished),
    )


def _with_params(estimator, **params):
    """Clone with those of the parameters that the estimator has."""
    known = estimator.get_params(deep=False)
    return clone(estimator).set_params(**{name: params[name] for name in params if name in known})


def _timed(measure, model, *args):
    """(What is measured with a model that it fits; the seconds; whether the fit is unfinished)."""
    start = time.perf_counter()
    result = measure(model, *args)
    return result, time.perf_counter() - start, _is_unfinished(model)


def _is_unfinished(model):
    tol, residual = getattr(model, "tol", 0), getattr(model, "kkt_residual_", 0)
    return 0 < tol < residual and model.n_iter_ >= model.max_iter
