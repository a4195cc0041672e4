"""What else a user of NMF meets: the default call, threads, growth with size, start, memory."""

import math
from functools import partial

import numpy as np
import scipy.sparse as sp

from . import data, processes
from .nmf_contenders import factorkit_loop, start
from .objective import objective
from .runner import (
    Enough,
    Spread,
    alternate,
    median_seconds,
    ratio,
    timed,
    timed_loop,
)


def compare_default(name, k, *, repeats, threads, clock):
    """``NMF(k).fit(X)`` of both: time, and the objective where each ends."""
    import sklearn.decomposition

    import factorkit

    X = data.load(name)
    models = {"sklearn": sklearn.decomposition.NMF(k), "ours": factorkit.NMF(k)}
    objectives, iterations = {}, {}
    for side, model in models.items():  # these fits warm up, too
        W = model.fit_transform(X)
        objectives[side] = objective(X, W, model.components_)
        iterations[side] = model.n_iter_
    times = alternate(
        {side: timed(partial(model.fit, X)) for side, model in models.items()},
        repeats=repeats,
        threads=threads,
        warm_up=False,
    )
    theirs, ours = times["sklearn", "whole"], times["ours", "whole"]
    return {
        "data": name,
        "k": k,
        "time": ratio(theirs, ours, clock),
        "objective, ours / sklearn": objectives["ours"] / objectives["sklearn"],
        "sklearn seconds": median_seconds(theirs, clock),
        "our seconds": median_seconds(ours, clock),
        "sklearn iterations": iterations["sklearn"],
        "our iterations": iterations["ours"],
    }


def compare_n_jobs(name, k, loss, *, repeats, n_iter=20):
    """Wall time of the first iterations with one thread, over that with two."""
    X = data.load(name)
    W, H = start(X, k, "nndsvda")
    times = alternate(
        {
            n_jobs: timed_loop(factorkit_loop(X, W, H, loss, n_jobs=n_jobs), n_iter, whole=False)
            for n_jobs in (1, 2)
        },
        repeats=repeats,
        threads=2,
    )
    one, two = times[1, "target"], times[2, "target"]
    return {
        "data": name,
        "k": k,
        "loss": loss,
        "gain": ratio(one, two),
        "seconds with one": median_seconds(one),
        "seconds with two": median_seconds(two),
    }


def scaling(quick, threads):
    """Seconds per iteration against the size of X and the rank, with fitted slopes.

    Returns
    -------
    rows : list of dict
    studies : dict of {panel: {loss: (sizes, seconds, slope)}}
    """
    sizes = {"n_samples": [2000, 4000, 8000, 16000], "n_features": [500, 1000, 2000, 4000]}
    sizes |= {"n_components": [5, 10, 20, 40, 80], "nnz": [100_000, 300_000, 1_000_000, 3_000_000]}
    # The products cost n m k and the sweeps (n + m) k²; with sparse X the sweeps stay.
    expected = {"n_samples": "1", "n_features": "below 1", "n_components": "1 to 2"}
    expected["nnz"] = "up to 1"
    rows, studies = [], {}
    for axis, values in sizes.items():
        values = values[:3] if quick else values
        studies[axis] = {}
        for loss in ("frobenius", "kullback-leibler"):
            seconds = [_iteration_seconds(*_synthetic(axis, v), loss, threads) for v in values]
            slope = np.polyfit(np.log(values), np.log(seconds), 1)[0]
            studies[axis][loss] = (values, seconds, slope)
            rows.append(
                {
                    "against": axis,
                    "loss": loss,
                    "sizes": " ".join(str(value) for value in values),
                    "milliseconds": " ".join(f"{1e3 * s:.3g}" for s in seconds),
                    "slope": float(slope),
                    "expected": expected[axis],
                }
            )
    return rows, studies


def _synthetic(axis, value):
    """X and rank of a study, all sizes but the one on the axis fixed."""
    rng = np.random.default_rng(0)
    if axis == "nnz":
        shape = 20_000, 10_000
        X = sp.random_array(shape, density=value / math.prod(shape), format="csr", rng=rng)
        X.data = np.ceil(5 * X.data)
        return X, 10
    fixed = {"n_samples": 4000, "n_features": 500, "n_components": 20} | {axis: value}
    n, m, k = fixed.values()
    planted = rng.gamma(0.5, size=(n, k)) @ rng.gamma(0.5, size=(k, m))
    return planted * rng.uniform(0.8, 1.2, size=(n, m)), k


def _iteration_seconds(X, k, loss, threads, n_iter=15, n_skipped=3):
    W, H = start(X, k, "random")
    stamps = []

    def after(W, H, spent):
        stamps.append(spent.wall)
        if len(stamps) == n_iter:
            raise Enough

    run = partial(factorkit_loop(X, W, H, loss, n_jobs=threads), after)
    alternate({"ours": timed(run)}, repeats=1, threads=threads, warm_up=False)
    # The median, since iterations differ in their number of sweeps and the first compiles.
    return float(np.median(np.diff(stamps[n_skipped:])))


def startup(repeats, threads):
    """First fit on digits and import time, each in new processes with a warm kernel cache."""
    path = data.path_of("digits")
    fits = {
        "factorkit.NMF(10).fit": "from factorkit import NMF; NMF(10).fit(X)",
        "sklearn.decomposition.NMF(10).fit": (
            "from sklearn.decomposition import NMF; NMF(10).fit(X)"
        ),
    }
    rows = []
    for what, statement in fits.items():
        processes.first_call_seconds(path, statement, threads)  # warms the caches
        seconds = [processes.first_call_seconds(path, statement, threads) for _ in range(repeats)]
        rows.append({"what": f"{what}, with its imports", "seconds": Spread.of(seconds)})
    for module in ("factorkit", "sklearn"):
        processes.import_seconds(module)
        seconds = [processes.import_seconds(module) for _ in range(repeats)]
        rows.append({"what": f"import {module}, above NumPy", "seconds": Spread.of(seconds)})
    rows[0]["aim"], rows[2]["aim"] = "under 1.5", "under 0.06"
    return rows


def memory(name, k, threads):
    """Peak memory of a fit beyond X, for both losses."""
    path = data.path_of(name)
    rows = []
    for loss, solver in (("frobenius", "cd"), ("kullback-leibler", "mu")):
        options = f"{k}, beta_loss={loss!r}, max_iter=20"
        call = "lambda X: __import__({module!r}, fromlist=['NMF']).NMF({options}).fit(X)"
        theirs, ours = (
            processes.peak_megabytes(path, call.format(module=module, options=given), threads)
            for module, given in (
                ("sklearn.decomposition", f"{options}, solver={solver!r}"),
                ("factorkit", options),
            )
        )
        rows.append({"data": name, "k": k, "loss": loss, "sklearn": theirs, "ours": ours})
    return rows
