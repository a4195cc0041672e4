"""BayesianMatrixFactorization against smurff's BPMF and Surprise's SVD++.

    python -m benchmarks.completion_bayes                      # half an hour or so
    python -m benchmarks.completion_bayes --cases speed coverage --quick

`accuracy`: test RMSE on the five folds of ML-100K. A peer's parameters are chosen, fold by fold, on
a tenth of the training entries; ours has none to choose, and is also shown without the two
extensions of the model (pattern, varying noise). Predictions are clipped to the range of ratings.
`speed`: sweeps a second, from whole fits with many and with few sweeps, in turns; smurff samples in
double precision, ours in single and in double. `coverage`: how many of the test entries their 90 %
intervals hold. A peer that isn't installed is left out.
"""

import argparse
import contextlib
import importlib.util
import os
import time

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from factorkit import BayesianMatrixFactorization

from .completion_data import Split, folds
from .report import print_row, write_table
from .runner import Spread

_NORMAL_90 = 1.6449
PLAIN = {"pattern": False, "noise": "equal"}
SMURFF_GRID = [(k, precision) for k in (16, 32) for precision in (1.25, 1.5, 2.0, None)]
SURPRISE_GRID = [(20, 0.02), (20, 0.05), (20, 0.1)]


def ours(split, **options):
    model = BayesianMatrixFactorization(random_state=0, n_jobs=1, bounds="data", **options)
    model.fit(split.train)
    return model.predict_entries(np.column_stack((split.rows, split.columns)))


def smurff(split, k, precision, burn_in=100, n_samples=400):
    """BPMF with a noise precision, or a sampled one (None)."""
    import smurff

    noise = smurff.AdaptiveNoise(1.0, 10.0) if precision is None else smurff.FixedNoise(precision)
    train = sp.coo_matrix(split.train.astype(np.float64))
    mean = train.data.mean()
    train.data -= mean
    session = smurff.TrainSession(
        priors=["normal", "normal"], num_latent=k, nsamples=n_samples,
        burnin=burn_in,  # codespell:ignore burnin
        num_threads=1, verbose=0, seed=1,
    )  # fmt: skip
    # It counts on stored values, so that of a test entry must not be zero.
    test = sp.coo_matrix((split.values + 100, (split.rows, split.columns)), train.shape)
    session.addTrainAndTest(train, test, noise)
    with _silent():
        found = {tuple(p.coords): p.pred_avg for p in session.run()}
    predicted = np.array([found[pair] for pair in zip(split.rows, split.columns, strict=True)])
    return np.clip(predicted + mean, 1, 5)


def surprise(split, k, regularization):
    """SVD++, 20 epochs."""
    from pandas import DataFrame
    from surprise import Dataset, Reader, SVDpp

    train = split.train.tocoo()
    table = DataFrame({"row": train.row, "column": train.col, "value": train.data})
    data = Dataset.load_from_df(table, Reader(rating_scale=(1, 5))).build_full_trainset()
    model = SVDpp(n_factors=k, reg_all=regularization, random_state=0).fit(data)
    pairs = zip(split.rows, split.columns, strict=True)
    return np.array([model.predict(int(row), int(column)).est for row, column in pairs])


def accuracy(fold):
    split = folds("ml100k")[fold]
    contenders = {
        "ours": ours,
        "ours, 32 components": lambda split: ours(split, n_components=32),
        "ours, 4 chains": lambda split: ours(split, n_chains=4),
        "ours, equal noise": lambda split: ours(split, noise="equal"),
        "ours, no pattern": lambda split: ours(split, pattern=False),
        "ours, neither": lambda split: ours(split, **PLAIN),
    }
    if _installed("smurff"):
        contenders["smurff BPMF"] = lambda split: _tuned(
            split, smurff, SMURFF_GRID, burn_in=50, n_samples=150
        )
    if _installed("surprise"):
        contenders["Surprise SVD++"] = lambda split: _tuned(split, surprise, SURPRISE_GRID)
    return {"fold": fold} | {name: split.rmse(f(split)) for name, f in contenders.items()}


def _tuned(split, fit, grid, **shorter):
    """Predictions with the choice that does best, in shorter fits, on held-out entries."""
    inner = _inner(split)
    scores = {choice: inner.rmse(fit(inner, *choice, **shorter)) for choice in grid}
    return fit(split, *min(scores, key=scores.get))


def _inner(split):
    """The training entries, a tenth of them held out."""
    X = split.train.tocoo()
    held_out = np.random.default_rng(0).random(X.nnz) < 0.1
    rows, columns = X.coords
    kept = ~held_out
    part = sp.coo_array((X.data[kept], (rows[kept], columns[kept])), X.shape).tocsr()
    return Split(part, rows[held_out], columns[held_out], X.data[held_out].astype(np.float64))


def speed(k, *, repeats, sweeps):
    """Sweeps a second; the time of a fit with few sweeps is taken off."""
    split = folds("ml100k")[0]
    contenders = {
        "ours, float32": _our_fit(split, k, np.float32, PLAIN),
        "ours, float64": _our_fit(split, k, np.float64, PLAIN),
        "ours with extensions, float32": _our_fit(split, k, np.float32, {}),
    }
    if _installed("smurff"):
        contenders["smurff"] = lambda n: smurff(split, k, 1.5, burn_in=n - 1, n_samples=1)
    rates = {name: [] for name in contenders}
    with threadpool_limits(1):
        for fit in contenders.values():
            fit(3)
        for repeat in range(repeats):
            order = list(contenders) if repeat % 2 == 0 else list(contenders)[::-1]
            for name in order:
                few, many = (_seconds(contenders[name], n) for n in (3, 3 + sweeps))
                rates[name].append(sweeps / (many - few))
    row = {"k": k} | {f"{name}, sweeps/s": Spread.of(rate) for name, rate in rates.items()}
    if "smurff" in rates:
        for name in list(contenders)[:2]:
            ratios = [a / b for a, b in zip(rates[name], rates["smurff"], strict=True)]
            row[f"{name} / smurff"] = Spread.of(ratios)
    return row


def _our_fit(split, k, dtype, options):
    X = split.train.astype(dtype)

    def fit(n):
        BayesianMatrixFactorization(
            k, burn_in=n - 1, n_draws=1, thin=1, random_state=0, n_jobs=1, **options
        ).fit(X)

    return fit


def _seconds(fit, n):
    begin = time.perf_counter()
    fit(n)
    return time.perf_counter() - begin


def coverage(name, fold, most=200_000, **options):
    split = folds(name)[fold]
    begin = time.perf_counter()
    model = BayesianMatrixFactorization(random_state=0, **options).fit(split.train)
    seconds = time.perf_counter() - begin
    some = np.random.default_rng(0).permutation(len(split.values))[:most]
    coords = np.column_stack((split.rows, split.columns))[some]
    mean, std = model.predict_entries(coords, return_std=True)
    error = np.abs(split.values[some] - mean)
    return {
        "data": name,
        "fold": fold,
        "options": str(options),
        "held by 90 %": np.mean(error < _NORMAL_90 * std),
        "held by 50 %": np.mean(error < 0.6745 * std),
        "corr(|error|, std)": np.corrcoef(error, std)[0, 1],
        "RMSE": np.sqrt(np.mean(error**2)),
        "noise": model.noise_std_,
        "R̂ predictions": float(np.max(model.rhat_["predictions"])),
        "fit, s": seconds,
    }


def _installed(name):
    found = importlib.util.find_spec(name) is not None
    if not found:
        print(f"{name} is not installed and left out")
    return found


@contextlib.contextmanager
def _silent():
    """No progress bar of a library that asks nobody."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):
        yield


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["accuracy", "speed", "coverage"]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    n_folds, repeats, sweeps = (1, 2, 20) if arguments.quick else (5, 5, 60)
    rows = {name: [] for name in names}
    if "speed" in arguments.cases:
        for k in (16, 64):
            rows["speed"].append(speed(k, repeats=repeats, sweeps=sweeps))
            print_row(rows["speed"][-1])
    if "coverage" in arguments.cases:
        jobs = [("ml100k", fold, {}) for fold in range(n_folds)]
        if not arguments.quick:
            planted = {"burn_in": 50, "n_draws": 25}
            jobs += [("planted", 0, {"n_components": k} | planted) for k in (10, 16)]
        for name, fold, options in jobs:
            rows["coverage"].append(coverage(name, fold, **options))
            print_row(rows["coverage"][-1])
    if "accuracy" in arguments.cases:
        for fold in range(n_folds):
            rows["accuracy"].append(accuracy(fold))
            print_row(rows["accuracy"][-1])
        errors = {
            name: np.mean([row[name] for row in rows["accuracy"]]) for name in rows["accuracy"][0]
        }
        rows["accuracy"].append(errors | {"fold": "mean"})
    titles = {
        "accuracy": "Test RMSE, ML-100K",
        "speed": "Gibbs sweeps a second, ML-100K, one thread",
        "coverage": "Test entries within their intervals",
    }
    for name in arguments.cases:
        settings = {"threads": 1} if name == "speed" else {}
        write_table(rows[name], f"completion_bayes_{name}", titles[name], settings)


if __name__ == "__main__":
    main()
