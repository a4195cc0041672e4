"""Iterations of matrix sensing against the condition number: ScaledGDSensing, and plain GD.

    python -m benchmarks.completion_sensing            # ten minutes or so
    python -m benchmarks.completion_sensing --quick

A matrix of rank 3 with singular values from 1 down to 1 / condition number, in equal ratios, is
measured by Gaussian matrices and sought with more components. Counted are iterations, each of one
product with the measurements and one with their adjoint (ours tries a step again now and then:
`products` counts the former), until |M̂ − M| ≤ 1e-6 |M|. GD takes steps of half the largest singular
value and is given the better of two starts: one as small as ours, and one of 1e-3, which grows
sooner and then keeps the superfluous components that it starts with. `fixed λ` has λ at 0.1 of the
smallest singular value, which must be known for it, η = 0.5 and a start of 1e-6.
"""

import argparse

import numpy as np

from factorkit.completion._measurements import Measurements
from factorkit.completion._scaled_gd import scaled_gd

from .report import print_row, write_table
from .runner import Spread

RANK = 3
STARTS = (1e-3, 1e-12)
ERROR = 1e-6


class Counted(Measurements):
    """Measurements that count their forward products."""

    products = 0

    def forward(self, M):
        self.products += 1
        return super().forward(M)


def planted(n, condition, m, symmetric, noise, seed):
    """(Measurements, y, M)."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((n, RANK)))[0] for _ in range(2))
    M = (U * np.geomspace(1, 1 / condition, RANK)) @ (U if symmetric else V).T
    A = Counted(rng.standard_normal((m, n * n)), (n, n))
    y = A.forward(M)
    sigma = noise * np.linalg.norm(y) / np.sqrt(m)
    return A, y + sigma * rng.standard_normal(m), M


def start(n, k, symmetric, small, seed):
    rng = np.random.default_rng(seed)
    L, R = small * rng.standard_normal((2, n, k)) / np.sqrt(n)
    return L, None if symmetric else R


def relative_error(L, R, M):
    return np.linalg.norm(L @ (L if R is None else R).T - M) / np.linalg.norm(M)


def scaled(A, y, M, k, *, symmetric, seed, max_iter, error=ERROR, **options):
    """(Iterations to the error or None; the last error; how many components are left)."""
    small = options.pop("small", 1e-12)
    L, R = start(len(M), k, symmetric, small, seed)
    errors = []

    def report(objective, L, R):
        errors.append(relative_error(L, R, M))
        return errors[-1] <= error

    rng = np.random.default_rng(seed)
    L, R, trace = scaled_gd(
        A, y, L, R, scale=A.n_measurements, tol=options.pop("tol", 1e-9), max_iter=max_iter,
        rng=rng, small=small / np.sqrt(len(M)), report=report, **options,
    )  # fmt: skip
    reached = trace.n_iter if errors[-1] <= error else None
    return reached, relative_error(L, None if symmetric else R, M), L.shape[1], trace.n_iter


def plain(A, y, M, k, *, symmetric, seed, max_iter, small):
    """Gradient descent on the factors; iterations to the error, or None."""
    L, R = start(len(M), k, symmetric, small, seed)
    step = 0.5 / np.linalg.norm(M, 2)
    for iteration in range(max_iter):
        if not (error := relative_error(L, R, M)) > ERROR:
            return iteration
        if not error < 10:
            return None
        G = A.adjoint(A.forward(L @ (L if R is None else R).T) - y) / A.n_measurements
        if R is None:
            L = L - step * (G + G.T) / 2 @ L
        else:
            L, R = L - step * G @ R, R - step * G.T @ L
    return None


def iterations(n, k, m, condition, symmetric, *, seeds, max_iter):
    """A row of the table of iterations."""
    counts, products, fixed, gd = [], [], [], []
    for seed in range(seeds):
        A, y, M = planted(n, condition, m, symmetric, 0, seed)
        options = {"symmetric": symmetric, "seed": seed}
        A.products = 0
        counts.append(scaled(A, y, M, k, max_iter=1000, **options)[0])
        products.append(A.products)
        published = {"damping": 0.1 / condition, "step": 0.5, "small": 1e-6, "max_iter": 1000}
        fixed.append(scaled(A, y, M, k, tol=0, **published, **options)[0])
        if seed == 0:  # it takes minutes
            tried = [plain(A, y, M, k, max_iter=max_iter, small=s, **options) for s in STARTS]
            gd.append(min((count for count in tried if count is not None), default=None))
    return {
        "M": "symmetric" if symmetric else "any",
        "n": n,
        "k": k,
        "measurements": m,
        "condition": condition,
        "ours": _spread(counts, 1000),
        "products": _spread(products, None),
        "fixed λ": _spread(fixed, 1000),
        "GD, one seed": gd[0] or f"> {max_iter}",
    }


def noise(n, k, m, condition, symmetric, level, *, seeds):
    """Where it ends with noise, against least squares on the manifold of the true rank."""
    errors, found, counts = [], [], []
    for seed in range(seeds):
        A, y, M = planted(n, condition, m, symmetric, level, seed)
        _, error, rank, n_iter = scaled(
            A, y, M, k, symmetric=symmetric, seed=seed, max_iter=1000, error=0, tol=1e-6
        )
        errors.append(error)
        found.append(rank)
        counts.append(n_iter)
    n_free = RANK * n - RANK * (RANK - 1) / 2 if symmetric else RANK * (2 * n - RANK)
    return {
        "M": "symmetric" if symmetric else "any",
        "measurements": m,
        "k": k,
        "condition": condition,
        "noise": level,
        "error": Spread.of(errors),
        "√(parameters / measurements) · noise": level * np.sqrt(n_free / (m - n_free)),
        "rank": ", ".join(map(str, found)),
        "iterations": Spread.of(counts),
    }


def _spread(counts, most):
    if None in counts:
        return f"> {most} ({sum(count is None for count in counts)} of {len(counts)})"
    return Spread.of(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gd-iterations", type=int, help="most iterations of GD")
    arguments = parser.parse_args()
    quick = arguments.quick
    n, seeds, max_iter = (40, 2, 1000) if quick else (60, 3, 3000)
    max_iter = arguments.gd_iterations or max_iter
    settings = {"rank": RANK, "seeds": seeds}
    rows = []
    for symmetric, times in ((True, 15), (False, 30)):
        for k in (6, 10):
            for condition in (1, 10, 100, 1000):
                row = iterations(
                    n, k, times * n, condition, symmetric, seeds=seeds, max_iter=max_iter
                )
                print_row(row)
                rows.append(row)
    write_table(rows, "completion_sensing", "Iterations to a relative error of 1e-6", settings)
    rows = [
        noise(n, 10, times * n, condition, symmetric, level, seeds=seeds)
        for symmetric, times in ((True, 15), (False, 30))
        for condition in (1, 10)
        for level in (0.01, 0.1)
    ]
    write_table(rows, "completion_sensing_noise", "Error with noise", settings)


if __name__ == "__main__":
    main()
