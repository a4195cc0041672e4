"""LowRankImputer against scikit-learn's imputers and SoftImpute: errors on held-out values, time.

    python -m benchmarks.completion_imputer
    python -m benchmarks.completion_imputer --data iris wine --patterns random --seeds 2

The tables bundled with scikit-learn, columns standardized, 70 % of the rows to fit and 30 % that
`transform` alone sees. Three patterns of 30 % missing: entries at random; "halves", where 60 % of
the rows lack one of two fixed halves of the columns; "subsets", where they lack half of the
columns, another one each.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from factorkit import LowRankImputer
from tests.completion._soft_impute_reference import SoftImputeReference

from .report import OUTPUT, print_row, write_table
from .runner import alternate, median_seconds, ratio, timed

_IMPUTERS = {
    "ours": LowRankImputer,
    "ours, nuclear": lambda: LowRankImputer(method="nuclear_norm", random_state=0),
    "Iterative": IterativeImputer,
    "KNN": KNNImputer,
    "SoftImpute": SoftImputeReference,
    "mean": SimpleImputer,
}
_PEERS = ("Iterative", "KNN", "SoftImpute")
_TIMED = ("ours", "Iterative", "KNN")


def main(arguments=None):
    options = _parse(arguments)
    warnings.simplefilter("ignore")  # IterativeImputer says that it has not converged
    rows = []
    for name in options.data:
        for pattern in options.patterns:
            rows.append(_compare(name, pattern, options))
            print_row(rows[-1])
    names = "seeds", "repeats", "threads", "clock"
    settings = {name: getattr(options, name) for name in names}
    write_table(
        rows,
        "completion_imputer",
        "Imputation: RMSE on held-out values, mean over the seeds, training rows / unseen rows",
        settings,
        options.output,
    )
    for slack in (0, 0.01):
        wins = np.sum([_no_worse(row, slack) for row in rows], axis=0)
        print(
            f"at most {slack:.0%} worse than the best peer, of {len(rows)}: {wins} (seen, unseen)"
        )
    times = [row["Iterative time / ours"] for row in rows]
    print("times sooner than IterativeImputer, smallest median:", min(t.median for t in times))


def load(name):
    """One of scikit-learn's tables, standardized; a column that is constant stays so."""
    bunch = getattr(datasets, f"load_{name}")()
    # Linnerud's three measurements of twenty men are a table with their three exercises.
    X = np.hstack((bunch.data, bunch.target)) if name == "linnerud" else bunch.data
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1)


def missing(pattern, shape, rng):
    """Where about 30 % are missing."""
    n, p = shape
    if pattern == "random":
        return rng.random(shape) < 0.3
    mask = np.zeros(shape, dtype=bool)
    order = rng.permutation(p)
    halves = order[: p // 2], order[p // 2 :]
    for i in np.flatnonzero(rng.random(n) < 0.6):
        subset = rng.permutation(p)[: p // 2]
        mask[i, halves[rng.integers(2)] if pattern == "halves" else subset] = True
    return mask


def _split(name, pattern, seed):
    rng = np.random.default_rng(seed)
    X = load(name)
    X = X[rng.permutation(len(X))]
    X_holes = np.where(missing(pattern, X.shape, rng), np.nan, X)
    n = int(0.7 * len(X))
    kept = ~np.isnan(X_holes[:n]).all(axis=0)  # of linnerud's fourteen rows a column may be empty
    return [(X[rows][:, kept], X_holes[rows][:, kept]) for rows in (slice(n), slice(n, None))]


def _rmse(filled, X, X_holes):
    return np.sqrt(np.mean((filled - X)[np.isnan(X_holes)] ** 2))


def _compare(name, pattern, options):
    errors = {imputer: [] for imputer in _IMPUTERS}
    for seed in range(options.seeds):
        (train, train_holes), (test, test_holes) = _split(name, pattern, seed)
        for imputer, make in _IMPUTERS.items():
            model = make()
            seen, unseen = model.fit_transform(train_holes.copy()), model.transform(test_holes)
            errors[imputer].append(
                (_rmse(seen, train, train_holes), _rmse(unseen, test, test_holes))
            )
    means = {imputer: np.mean(values, axis=0) for imputer, values in errors.items()}
    row = {"table": name, "shape": "×".join(map(str, load(name).shape)), "missing": pattern}
    row |= {imputer: " / ".join(f"{e:.3f}" for e in mean) for imputer, mean in means.items()}
    row["ours is best"] = " / ".join("yes" if best else "no" for best in _no_worse(row, 0))
    return row | _times(name, pattern, options)


def _no_worse(row, slack):
    errors = {name: np.array(row[name].split(" / "), dtype=float) for name in ("ours", *_PEERS)}
    return errors["ours"] <= (1 + slack) * np.min([errors[peer] for peer in _PEERS], axis=0)


def _times(name, pattern, options):
    (_, train), (_, test) = _split(name, pattern, 0)

    def contender(make):
        return timed(lambda: make().fit(train).transform(test))

    times = alternate(
        {imputer: contender(_IMPUTERS[imputer]) for imputer in _TIMED},
        repeats=options.repeats,
        threads=options.threads,
    )
    ours = times["ours", "whole"]
    return {
        "our seconds": median_seconds(ours, options.clock),
        "Iterative time / ours": ratio(times["Iterative", "whole"], ours, options.clock),
        "KNN time / ours": ratio(times["KNN", "whole"], ours, options.clock),
    }


def _parse(arguments):
    tables = ["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"]
    patterns = ["random", "halves", "subsets"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=tables, choices=tables)
    parser.add_argument("--patterns", nargs="+", default=patterns, choices=patterns)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
