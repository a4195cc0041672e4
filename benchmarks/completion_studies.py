"""What else a user of completion meets: outliers, growth with size, memory, tuned accuracy."""

import math
import time
from functools import partial

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from . import completion_contenders as contenders
from . import processes
from .completion_data import folds
from .data import cache_folder
from .runner import alternate, median_seconds, ratio, timed

_GRID = [(k, alpha) for k in (10, 50, 128) for alpha in (0.08, 0.1, 0.12, 0.14)]


def outliers(share, seeds=range(5)):
    """Relative error on a planted 300 × 200 matrix of rank 5 with gross outliers, by loss."""
    from factorkit import AltMinCompletion

    errors = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        M = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 200)) / math.sqrt(5)
        i, j = np.nonzero(rng.random(M.shape) < 0.3)
        clean = M[i, j] + 0.01 * rng.standard_normal(len(i))
        dirty = clean.copy()
        wrong = rng.random(len(i)) < share
        dirty[wrong] += 10 * rng.standard_normal(wrong.sum())
        for loss, values in (
            ("no outliers, squared", clean),
            ("squared", dirty),
            ("huber", dirty),
            ("tukey", dirty),
        ):
            model = AltMinCompletion(
                5, alpha=1e-4, loss=loss.split()[-1], row_bias=False, column_bias=False,
                center=False, random_state=seed, max_iter=200, tol=1e-4,
            )  # fmt: skip
            X = sp.csr_array((values, (i, j)), shape=M.shape)
            fit = model.inverse_transform(model.fit_transform(X))
            error = np.linalg.norm(fit - M) / np.linalg.norm(M)
            errors.setdefault(loss, []).append(error)
    best = np.median(errors["no outliers, squared"])
    return [
        {
            "outliers": share, "loss": loss, "median error": float(np.median(values)),
            "to that without": float(np.median(values) / best),
        }
        for loss, values in errors.items()
    ]  # fmt: skip


def scaling(quick, threads):
    """Seconds an iteration against the number of entries and of components; slopes."""
    sizes = (100_000, 300_000, 1_000_000) if quick else (100_000, 1_000_000, 10_000_000)
    studies = {"entries": {}, "components": {}}
    rows = []
    for k in (10, 50):
        seconds = [_seconds_per_iteration(_random_ratings(n), k, threads) for n in sizes]
        studies["entries"][f"k = {k}"] = _with_slope(sizes, seconds, rows, f"entries, k = {k}")
    ranks = (8, 16, 32, 64, 128)
    X = _random_ratings(sizes[1])
    seconds = [_seconds_per_iteration(X, k, threads) for k in ranks]
    studies["components"]["10⁶ entries"] = _with_slope(ranks, seconds, rows, "components")
    return rows, studies


def n_jobs(repeats, k, n=2_000_000):
    """What a second thread adds."""
    X = _random_ratings(n)
    fits = {threads: timed(partial(contenders.ours(k, 0.1, threads), X, 10)) for threads in (1, 2)}
    times = alternate(fits, repeats=repeats, threads=1)
    one, two = times[1, "whole"], times[2, "whole"]
    return {"entries": n, "k": k, "gain": ratio(one, two), "one thread": median_seconds(one)}


def memory(k, threads, n=5_000_000):
    """Peak memory beyond X, in parts of X, and that of the factors."""
    X = _random_ratings(n)
    path = cache_folder() / f"ratings-{n}.npz"
    if not path.exists():
        sp.save_npz(path, sp.csr_matrix(X))
    call = (
        "lambda X: __import__('factorkit').AltMinCompletion("
        f"{k}, max_iter=5, tol=0, random_state=0, n_jobs={threads}).fit(X)"
    )
    of_X = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20
    of_factors = sum(X.shape) * (k + 1) * 4 / 2**20
    peak = processes.peak_megabytes(path, call, threads)
    return {
        "entries": n, "k": k, "X": of_X, "factors": of_factors, "peak beyond X": peak,
        "peak and X, less factors, over X": (of_X + peak - of_factors) / of_X,
    }  # fmt: skip


def tuned_accuracy(fold, peer):
    """Test error of one fold of ML-100K, parameters tuned by 3 folds of its training entries."""
    make = {
        "factorkit ALS": contenders.ours,
        "cmfrec ALS": partial(contenders.cmfrec, use_cg=True),
        "cmfrec ALS, Cholesky": partial(contenders.cmfrec, use_cg=False),
    }[peer]
    split = folds("ml100k")[fold]
    inner = list(_inner_folds(split))
    grid = [(k, alpha, n) for k, alpha in _GRID for n in (5, 10, 20)]
    grid = [g for g in grid if g[0] < 50] if "Cholesky" in peer else grid
    scores = {
        (k, alpha, n): np.mean([_error(make(k=k, alpha=alpha), part, n) for part in inner])
        for k, alpha, n in grid
    }
    k, alpha, n = min(scores, key=scores.get)
    error = _error(make(k=k, alpha=alpha), split, n)
    return {"fold": fold, "method": peer, "k": k, "alpha": alpha, "iterations": n, "RMSE": error}


def _error(fit, split, n):
    error = split.rmse(fit(split.train, n)(split.rows, split.columns))
    return error if np.isfinite(error) else np.inf


def _inner_folds(split):
    from sklearn.model_selection import KFold

    from .completion_data import Split

    X = split.train.tocoo()
    rows, columns = X.coords
    for train, test in KFold(3, shuffle=True, random_state=1).split(X.data):
        part = sp.coo_array((X.data[train], (rows[train], columns[train])), X.shape).tocsr()
        yield Split(part, rows[test], columns[test], X.data[test])


def _random_ratings(n, per_row=100):
    """n ratings with popular and unpopular columns, in single precision."""
    rng = np.random.default_rng(0)
    n_rows, n_columns = n // per_row, max(n // 400, 500)
    popularity = rng.permutation(1 / (10 + np.arange(n_columns)) ** 0.7)
    columns = rng.choice(n_columns, size=int(1.3 * n), p=popularity / popularity.sum())
    cells = np.unique(rng.integers(n_rows, size=len(columns)) * n_columns + columns)
    cells = np.sort(rng.choice(cells, min(n, len(cells)), replace=False))
    rows, columns = np.divmod(cells, n_columns)
    values = rng.integers(1, 6, len(cells)).astype(np.float32)
    return sp.csr_array((values, (rows, columns)), shape=(n_rows, n_columns))


def _seconds_per_iteration(X, k, threads):
    fit = contenders.ours(k, 0.1, threads)
    n_iter = 8 * max(1, 1_000_000 // X.nnz)
    best = np.inf
    with threadpool_limits(threads):
        fit(X, 1)
        for _ in range(3):
            begin = time.perf_counter()
            fit(X, 2)
            middle = time.perf_counter()
            fit(X, 2 + n_iter)
            best = min(best, (time.perf_counter() - middle) - (middle - begin))
    return best / n_iter


def _with_slope(sizes, seconds, rows, study):
    slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    rows += [
        {"study": study, "size": size, "seconds an iteration": value, "slope": slope}
        for size, value in zip(sizes, seconds, strict=True)
    ]
    return sizes, seconds, slope
