"""Comparisons of unmixing with its peers in time: to equal results, to equal objective."""

import tempfile
from bisect import bisect_left
from functools import partial
from pathlib import Path

import numpy as np

from factorkit import VCA
from factorkit.datasets import make_scene
from factorkit.unmixing._abundances import abundances_of
from factorkit.unmixing._archetypes import archetypes
from factorkit.utils._threads import Workers

from .processes import peak_megabytes
from .runner import alternate, median_seconds, ratio, timed
from .unmixing_scenes import KINDS, spams_archetypes

# Pixels of the loop over SciPy's nnls, which is then taken for all.
_N_SCIPY = 2000


def compare_fcls(k, kind, peer, n_pixels, *, repeats, threads, clock):
    """Whole calls: pixels and endmembers in, abundances out."""
    E, Y = _large_scene(k, kind, n_pixels)
    theirs, share = {"SPAMS": _spams_fcls, "SciPy": _scipy_fcls}[peer](E, Y, threads)
    ours = partial(_our_fcls, E, Y, threads)
    some = slice(min(len(Y), _N_SCIPY))
    differ = np.abs(theirs()[some] - ours()[some]).max()
    times = alternate(
        {"theirs": timed(theirs), "ours": timed(ours)}, repeats=repeats, threads=threads
    )
    spread = ratio(times["theirs", "whole"], times["ours", "whole"], clock)
    return {
        "scene": kind, "k": k, "pixels": n_pixels, "peer": peer,
        "times faster": type(spread)(*(share * value for value in spread)),
        "our seconds": median_seconds(times["ours", "whole"], clock),
        "largest difference": differ,
    }  # fmt: skip


def compare_archetypes(k, kind, *, repeats, threads, clock, near=1.001):
    """To the objective that SPAMS's default steps reach; both at their fewest steps."""
    scene = make_scene(k, random_state=0, **KINDS[kind])
    X = scene.data
    start = VCA(k, n_init=1, random_state=0).fit(X).endmember_pixels_

    def theirs(n_steps):
        return spams_archetypes(X, start, n_steps)

    def ours(n_steps):
        with Workers(threads) as workers:
            return archetypes(X, start, workers, tol=0, max_iter=n_steps)[:2]

    def objective(fit):
        Z, A = fit
        return 0.5 * np.square(X - A @ Z).sum()

    goal = near * objective(theirs(50))
    tried = [*range(1, 11), 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200]

    def fewest(method, tried):
        # No step raises the objective, and SPAMS takes minutes for each number of them.
        at = bisect_left(tried, True, key=lambda n: objective(method(n)) <= goal)
        return tried[at] if at < len(tried) else None

    n_theirs = fewest(theirs, [n for n in tried if n < 50]) or 50
    n_ours = fewest(ours, tried)
    row = {
        "scene": kind, "k": k, "their objective": goal / near, "their steps": n_theirs,
        "our steps": n_ours,
    }  # fmt: skip
    if n_ours is None:
        return row | {"times faster": None}
    runs = {"theirs": timed(partial(theirs, n_theirs)), "ours": timed(partial(ours, n_ours))}
    times = alternate(runs, repeats=repeats, threads=threads)
    return row | {
        "our objective": objective(ours(n_ours)),
        "times faster": ratio(times["theirs", "whole"], times["ours", "whole"], clock),
        "our seconds": median_seconds(times["ours", "whole"], clock),
    }


def compare_correntropy(k, kind, *, repeats, threads, clock, width=0.3, n_updates=300):
    """To the objective that multiplicative updates reach, from one start, their start not timed."""
    from factorkit.unmixing._correntropy_nmf import robust_nmf
    from factorkit.unmixing._correntropy_weights import Loss, Scene
    from tests.unmixing._correntropy_reference import band_objective, multiplicative_correntropy

    scene = make_scene(k, random_state=0, ruined_bands=0.2, **KINDS[kind])
    Y = scene.data
    E = np.maximum(VCA(k, random_state=0).fit(Y).components_, 1e-6)
    with Workers(threads) as workers:
        A = np.maximum(abundances_of(Y, E, "nnls", workers), 1e-6)
        spread = Scene(Y, workers).spread("band")

    def theirs():
        return multiplicative_correntropy(Y, A, E, width, spread, max_iter=n_updates)

    def ours():
        with Workers(threads) as workers:
            seen = Scene(Y, workers)
            loss = Loss("band", seen.spread("band"), width)
            return robust_nmf(
                seen, E, loss, auto=False, to_one=False, l1=0.0, nonnegative=True, tol=0.0,
                max_iter=1000, report=lambda value, *_: value <= goal,
            )[2]  # fmt: skip

    peer = theirs()
    goal = band_objective(Y, peer[0], peer[1], width, spread)
    times = alternate({"theirs": timed(theirs), "ours": timed(ours)}, repeats=repeats,
                      threads=threads)  # fmt: skip
    trace = ours()
    return {
        "scene": kind, "k": k, "their updates": n_updates, "their objective": goal,
        "our objective": trace.objective[-1], "our rounds": trace.n_iter,
        "times faster": ratio(times["theirs", "whole"], times["ours", "whole"], clock),
        "our seconds": median_seconds(times["ours", "whole"], clock),
    }  # fmt: skip


def compare_threads(k, n_pixels, repeats):
    """Our FCLS with two threads."""
    E, Y = _large_scene(k, "smooth", n_pixels)
    runs = {str(n): timed(partial(_our_fcls, E, Y, n)) for n in (1, 2)}
    times = alternate(runs, repeats=repeats, threads=2)
    return {
        "k": k, "pixels": n_pixels,
        "two threads": ratio(times["1", "whole"], times["2", "whole"]),
        "seconds": median_seconds(times["1", "whole"]),
    }  # fmt: skip


def _large_scene(k, kind, n_pixels):
    side = int(np.sqrt(n_pixels))
    scene = make_scene(k, image_shape=(side, n_pixels // side), n_bands=200, random_state=0,
                       **KINDS[kind])  # fmt: skip
    return scene.endmembers, scene.data


def _our_fcls(E, Y, threads):
    with Workers(threads) as workers:
        return abundances_of(Y, E, "fcls", workers)


def _spams_fcls(E, Y, threads):
    import spams

    # A view: pixels are the columns of what SPAMS takes.
    columns, dictionary = Y.T, np.asfortranarray(E.T)

    def solve():
        A = spams.decompSimplex(columns, dictionary, computeXtX=True, numThreads=threads)
        return A.T.tocsr()

    return lambda: _Dense(solve()), 1.0


class _Dense:
    """A sparse matrix whose slices are dense: the conversion stays out of the timing."""

    def __init__(self, A):
        self.A = A

    def __getitem__(self, rows):
        return self.A[rows].toarray()


def _scipy_fcls(E, Y, threads):
    from scipy.optimize import nnls

    weight = 1e3 * np.abs(E).max()
    M = np.vstack([E.T, np.full(len(E), weight)])
    n = min(len(Y), _N_SCIPY)

    def solve():
        return np.array([nnls(M, np.append(y, weight))[0] for y in Y[:n]])

    return solve, len(Y) / n


MEMORY = {
    "Unmixer": "image_shape=shape(X)",
    "VCA": "",
    "NFINDR": "",
    "ArchetypalAnalysis": "n_dimensions=10",
    "CorrentropyUnmixing": "",
    "StructuredSparseUnmixing": "image_shape=shape(X), max_iter=5",
}


def memory(name, threads):
    """Peak over the size of a scene of 500 × 500 × 200, the scene included."""
    rng = np.random.default_rng(0)
    E = rng.random((6, 200))
    X = np.empty((250_000, 200))
    for i in range(0, len(X), 10_000):
        A = rng.dirichlet(np.full(6, 0.3), 10_000)
        X[i : i + 10_000] = A @ E + 0.01 * rng.standard_normal((10_000, 200))
    call = (
        f"(lambda X: __import__('factorkit').{name}(6, random_state=0, n_jobs=1,"
        f" {MEMORY[name]}).fit(X))"
    ).replace("shape(X)", "(20, 10) if len(X) == 200 else (500, 500)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.npz"
        np.savez(path, X=X)
        beyond = peak_megabytes(path, call, threads)
    return {"k": 6, "estimator": name, "peak / scene": 1 + beyond / (X.nbytes / 2**20)}
