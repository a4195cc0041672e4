"""NMF of a real hyperspectral scene: beside scikit-learn's, with holes, and with a rank chosen.

    python demo/run.py --output demo/output

Leaves figures and a table in the output folder. `make demo` calls it.
"""

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")  # draws to files, with or without a screen

import matplotlib.pyplot as plt
import numpy as np
import sklearn
import sklearn.decomposition
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

import factorkit
from factorkit import NMF, EntryRegressor, to_entries
from factorkit.datasets import load_indian_pines
from factorkit.plotting import ComponentsDisplay, RankSelectionDisplay

N_COMPONENTS = 10
N_REPEATS = 3
MISSING = 0.3
RANKS = [2, 4, 6, 8, 10, 12, 14]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    scene = load_indian_pines()
    say("Indian Pines: {} pixels x {} bands", *scene.data.shape)
    say("1. beside scikit-learn, {} components, {} repeats ...", N_COMPONENTS, N_REPEATS)
    table = compare(scene, output)
    say("2. with {:.0%} of the entries missing ...", MISSING)
    filled = fill(scene, output)
    say("3. a rank by GridSearchCV over entries ...")
    chosen = choose_rank(scene, output)

    report = "\n\n".join((heading(scene), table, filled, chosen))
    (output / "results.md").write_text(report + "\n", encoding="utf-8")
    say("\n{}\n", report)
    figures = ", ".join(sorted(path.name for path in output.glob("*.png")))
    say("{:.0f} s. In {}: results.md, {}", time.perf_counter() - start, output, figures)


def compare(scene, output):
    """Time and objective of each contender, in turns after a warm-up."""
    X = scene.data
    contenders = {
        "factorkit.NMF(10)": lambda: NMF(N_COMPONENTS, random_state=0),
        "sklearn NMF(10)": lambda: sklearn.decomposition.NMF(N_COMPONENTS, random_state=0),
        "sklearn NMF(10, init='nndsvd')": lambda: sklearn.decomposition.NMF(
            N_COMPONENTS, init="nndsvd", random_state=0
        ),
    }
    times = {name: [] for name in contenders}
    fits = {}
    with warnings.catch_warnings():
        # scikit-learn ends at its 200 iterations here: the table shows them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        NMF(N_COMPONENTS, random_state=0).fit(X)  # compiles, where that has not been done yet
        for make in contenders.values():
            make().set_params(max_iter=5).fit(X)
        for _ in range(N_REPEATS):
            for name, make in contenders.items():
                model = make()
                began = time.perf_counter()
                W = model.fit_transform(X)
                times[name].append(time.perf_counter() - began)
                fits[name] = W, model
    errors = {
        name: np.linalg.norm(X - W @ model.components_) / np.linalg.norm(X)
        for name, (W, model) in fits.items()
    }
    draw_comparison(times, errors, output / "1_beside_scikit_learn.png")
    draw_components(scene, *fits["factorkit.NMF(10)"], output)

    ours = np.median(times["factorkit.NMF(10)"])
    lines = [
        f"| estimator | seconds (median of {N_REPEATS}) | spread | × ours | objective "
        "| relative error | iterations |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    half_square = np.linalg.norm(X) ** 2 / 2
    for name, seconds in times.items():
        lines.append(
            f"| `{name}` | {np.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} "
            f"| {np.median(seconds) / ours:.1f} | {errors[name] ** 2 * half_square:.3e} "
            f"| {errors[name]:.2%} | {fits[name][1].n_iter_} |"
        )
    note = (
        "Each call as it is written, with default tolerances; the objective is ½‖X − WH‖². "
        "scikit-learn's default start puts the mean of X into the zeros of both factors, and its "
        "stop rule compares with the first iteration: so the default ends early and far away."
    )
    return "\n".join(["## Beside scikit-learn", "", *lines, "", note])


def fill(scene, output):
    """Fill a random part of the entries, and compare with the truth."""
    X, shape = scene.data, scene.image_shape
    holes = np.random.default_rng(0).random(X.shape) < MISSING
    X_holes = np.where(holes, np.nan, X)
    model = NMF(N_COMPONENTS, random_state=0)
    model.fit(X_holes)  # compiles
    began = time.perf_counter()
    W = model.fit_transform(X_holes)
    seconds = time.perf_counter() - began
    X_filled = np.where(holes, model.inverse_transform(W), X)
    by_means = np.broadcast_to(np.nanmean(X_holes, axis=0), X.shape)

    def error(guess):
        return np.linalg.norm((guess - X)[holes]) / np.linalg.norm(X[holes])

    band = 40
    low, high = np.percentile(X[:, band], [1, 99])
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained")
    titles = [f"{MISSING:.0%} missing", "filled by NMF", "true"]
    for ax, title, data in zip(axes, titles, (X_holes, X_filled, X), strict=True):
        ax.imshow(data[:, band].reshape(shape), cmap="gray", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[], title=title)
        ax.set_facecolor("tab:orange")
    figure.suptitle(f"Indian Pines at {scene.wavelengths[band]:.0f} nm", fontsize="medium")
    save(figure, output / "4_holes_filled.png")
    return "\n".join(
        [
            f"## With {MISSING:.0%} of the entries missing",
            "",
            "| filled by | relative error on the missing entries | seconds |",
            "|---|---:|---:|",
            f"| `factorkit.NMF(10)` | {error(X_filled):.2%} | {seconds:.2f} |",
            f"| means of the bands | {error(by_means):.2%} | |",
            "",
            f"{holes.sum():,} entries were set to NaN, which scikit-learn's NMF does not take.",
        ]
    )


def choose_rank(scene, output):
    """Choose the number of components by the error on held-out entries."""
    X = scene.data
    pixels = np.random.default_rng(0).choice(len(X), 1200, replace=False)
    coords, values = to_entries(X[np.sort(pixels)])
    search = GridSearchCV(
        EntryRegressor(NMF(max_iter=1000, random_state=0)),
        {"estimator__n_components": RANKS},
        cv=KFold(3, shuffle=True, random_state=0),
        scoring="neg_root_mean_squared_error",
    )
    began = time.perf_counter()
    search.fit(coords, values)
    seconds = time.perf_counter() - began
    rank = search.best_params_["estimator__n_components"]

    display = RankSelectionDisplay.from_search(search, error_name="Error on held-out entries")
    display.axes_[0].set_title(f"{len(pixels)} pixels of Indian Pines, 3 folds", fontsize="medium")
    save(display.figure_, output / "5_rank.png")
    means = -search.cv_results_["mean_test_score"]
    spreads = search.cv_results_["std_test_score"]
    return "\n".join(
        [
            "## A rank by `GridSearchCV` over entries",
            "",
            "| components | " + " | ".join(map(str, RANKS)) + " |",
            "|---|" + "---:|" * len(RANKS),
            "| RMSE on held-out entries | " + " | ".join(f"{mean:.1f}" for mean in means) + " |",
            "| standard deviation | " + " | ".join(f"{spread:.1f}" for spread in spreads) + " |",
            "",
            f"**{rank} components**, from {len(values):,} entries of {len(pixels)} pixels in "
            f"{seconds:.0f} s; the values of the scene have a standard deviation of "
            f"{values.std():.0f}.",
        ]
    )


def draw_comparison(times, errors, path):
    figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for i, (name, seconds) in enumerate(times.items()):
        ax.plot(seconds, np.full(len(seconds), errors[name]), "o", color=f"C{i}", alpha=0.35)
        ax.plot(np.median(seconds), errors[name], "D", color=f"C{i}", markersize=9, label=name)
    ax.set(xscale="log", yscale="log", xlabel="Time of the fit (s)", ylabel="Relative error")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.yaxis.set_minor_formatter(lambda value, _: f"{value:.0%}")
    low, high = min(map(min, times.values())), max(map(max, times.values()))
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 2 < tick < 2 * high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.tick_params(axis="x", which="minor", labelbottom=False)
    ax.margins(0.12)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("Indian Pines, 10 components: lower left is better", fontsize="medium")
    ax.legend(frameon=False)
    save(figure, path)


def draw_components(scene, W, model, output):
    scale = model.components_.max(axis=1)
    spectra = ComponentsDisplay(model.components_ / scale[:, None], x=scene.wavelengths)
    spectra.plot(n_columns=5, x_name="Wavelength (nm)")
    save(spectra.figure_, output / "2_spectra.png")
    maps = ComponentsDisplay((W * scale).T, image_shape=scene.image_shape)
    maps.plot(n_columns=5, panel_kw={"cmap": "viridis"})
    save(maps.figure_, output / "3_abundances.png")


def save(figure, path):
    figure.savefig(path, dpi=150)
    plt.close(figure)


def heading(scene):
    versions = f"factorkit {factorkit.__version__}, scikit-learn {sklearn.__version__}"
    machine = f"Python {platform.python_version()}, {os.cpu_count()} processors"
    size = " × ".join(map(str, scene.data.shape))
    return f"# NMF of Indian Pines ({size})\n\n{versions}, {machine}."


def say(text, *values):
    print(text.format(*values), flush=True)


if __name__ == "__main__":
    main()
