"""Comparisons of completion with its peers: to equal error, to equal objective."""

from functools import partial

import numpy as np

from . import completion_contenders as contenders
from .completion_data import folds
from .runner import alternate, median_seconds, ratio, timed

# Numbers of iterations that are tried; the fewest that reach a target are timed.
_TRIED = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30)
# Test error above its best that counts as reached.
_NEAR = 1.0005


def compare_rmse(name, k, alpha, use_cg, *, repeats, threads, clock):
    """Whole fits, to the test error that cmfrec gets within .05 % of its best.

    Both sides may stop at the number of iterations that suits them best.
    """
    split = folds(name)[0]
    theirs = contenders.cmfrec(k, alpha, use_cg, threads)
    ours = contenders.ours(k, alpha, threads)
    errors = [_error(theirs, split, n) for n in _TRIED[: 9 if use_cg else 8]]
    target = _NEAR * np.nanmin(errors)
    n_theirs = _TRIED[int(np.flatnonzero(np.asarray(errors) <= target)[0])]
    n_ours, error = next(
        ((n, e) for n in _TRIED if (e := _error(ours, split, n)) <= target), (None, None)
    )
    row = {
        "data": name, "k": k, "peer": "cmfrec " + ("CG" if use_cg else "Cholesky"),
        "their RMSE": target / _NEAR, "their iterations": n_theirs,
        "our RMSE": error, "our iterations": n_ours,
    }  # fmt: skip
    fits = {"theirs": (theirs, n_theirs), "ours": (ours, n_ours)}
    return row | _timed(fits, split.train, repeats, threads, clock)


def compare_implicit(k, confidence, use_cg, *, alpha=10.0, repeats, threads, clock):
    """Whole fits, to the objective of implicit's 15 iterations."""
    X = _all_ratings()
    theirs = contenders.implicit(k, alpha, confidence, use_cg, threads)
    ours = contenders.our_implicit(k, alpha, confidence, threads)
    goal = contenders.implicit_objective(X, *theirs(X, 15), alpha, confidence)
    n_ours = value = None
    for n in (*range(1, 15), 15, 20, 30, 50, 100):
        value = contenders.implicit_objective(X, *ours(X, n), alpha, confidence)
        if value <= goal:
            n_ours = n
            break
    row = {
        "k": k, "confidence": confidence, "peer": "implicit " + ("CG" if use_cg else "Cholesky"),
        "their objective": goal, "our objective": value, "our iterations": n_ours,
    }  # fmt: skip
    return row | _timed(
        {"theirs": (theirs, 15), "ours": (ours, n_ours)}, X, repeats, threads, clock
    )


def compare_objectives(alpha=0.1, k=50):
    """Where both have converged: our objective over cmfrec's, at one regularization."""
    from cmfrec import CMF
    from scipy import sparse

    from factorkit import AltMinCompletion

    split = folds("ml100k")[0]
    model = CMF(
        k=k, lambda_=alpha, scale_lam=True, scale_bias_const=False, use_cg=False, niter=1000,
        nthreads=1, use_float=False, verbose=False, random_state=0,
    ).fit(sparse.coo_matrix(split.train.astype(np.float64)))  # fmt: skip
    theirs = contenders.ratings_objective(
        split, (model.A_, model.user_bias_, model.B_, model.item_bias_, model.glob_mean_), alpha
    )
    ours = AltMinCompletion(
        k, alpha=alpha, tol=1e-7, max_iter=3000, solver="cholesky", random_state=0
    ).fit(split.train.astype(np.float64))
    V = ours.components_[:k].T
    parts = ours.embedding_[:, :k], ours.embedding_[:, k], V, ours.intercept_ - ours.mean_
    mine = contenders.ratings_objective(split, (*parts, ours.mean_), alpha)
    return {
        "k": k, "alpha": alpha, "cmfrec": theirs, "ours": mine,
        "ours / cmfrec - 1": mine / theirs - 1, "our iterations": ours.n_iter_,
    }  # fmt: skip


def _timed(fits, X, repeats, threads, clock):
    if fits["ours"][1] is None:
        return {"times faster": None}
    runs = {name: timed(partial(fit, X, n)) for name, (fit, n) in fits.items()}
    times = alternate(runs, repeats=repeats, threads=threads)
    theirs, ours = times["theirs", "whole"], times["ours", "whole"]
    return {
        "times faster": ratio(theirs, ours, clock),
        "their seconds": median_seconds(theirs, clock),
        "our seconds": median_seconds(ours, clock),
    }


def _error(fit, split, n_iter):
    error = split.rmse(fit(split.train, n_iter)(split.rows, split.columns))
    return error if np.isfinite(error) else np.inf


def _all_ratings():
    from scipy import sparse

    from .completion_data import ml100k

    rows, columns, values, shape = ml100k()
    return sparse.csr_array((values.astype(np.float32), (rows, columns)), shape=shape)
