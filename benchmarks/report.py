"""Tables (markdown and csv) and pictures of measurements, in ``benchmarks/output``."""

import csv
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .runner import Spread

OUTPUT = Path(__file__).parent / "output"


def write_table(rows, name, title, settings, folder=OUTPUT):
    """Write rows, dicts that share their keys, to ``name.md`` and ``name.csv``; print them.

    Parameters
    ----------
    rows : list of dict
        Values are strings, numbers, None or `Spread`; a Spread becomes three columns in the csv.
    name, title : str
    settings : dict
        What the run was made with, written above the table.
    folder : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {**_machine(), **settings}
    lines = [f"# {title}", "", "; ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += _markdown(rows)
    text = "\n".join(lines) + "\n"
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    flat = [_flat(row) for row in rows]
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in flat for key in row)))
        writer.writeheader()
        writer.writerows(flat)
    print(text)


def print_row(row):
    """One line on the terminal, while a long run goes on."""
    print(*(f"{key} {_text(value)}" for key, value in row.items()), sep="; ", flush=True)


def draw_ratios(rows, name, title, series, *, label, folder=OUTPUT):
    """Dots with spreads on a log axis, a row of the picture for each case, to ``name.png``.

    Parameters
    ----------
    rows : list of dict
    name, title : str
    series : dict of {column: column of its target or None}
        Columns that hold a `Spread` or None.
    label : callable
        ``label(row)`` names a case.
    folder : Path
    """
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 1.4 + 0.36 * len(rows)), layout="constrained")
    offsets = np.linspace(-0.16, 0.16, len(series)) if len(series) > 1 else [0.0]
    marked = False
    for (column, target), offset, colour in zip(series.items(), offsets, _COLOURS, strict=False):
        shown = [(i + offset, row[column]) for i, row in enumerate(rows) if row[column]]
        if shown:
            y, spreads = zip(*shown, strict=True)
            median, low, high = np.array(spreads).T
            axes.errorbar(
                median, y, xerr=(median - low, high - median), fmt="o", ms=5, color=colour,
                label=column,
            )  # fmt: skip
        goals = [(row[target], i + offset) for i, row in enumerate(rows) if row.get(target)]
        if goals:
            axes.plot(
                *np.array(goals).T, "|", ms=9, mew=2, color=colour, alpha=0.5,
                label=None if marked else "target",
            )  # fmt: skip
            marked = True
    axes.axvline(1, color="0.6", lw=0.8)
    axes.set(xscale="log", xlabel="times faster (median, smallest to largest)", title=title)
    _plain_ticks(axes.xaxis, [1, 2, 5])
    axes.set_yticks(range(len(rows)), [label(row) for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(series) + 1, frameon=False)
    _save(figure, name, folder)


def draw_scaling(studies, name, title, folder=OUTPUT):
    """Cost against size on log axes, a panel for each study, to ``name.png``.

    Parameters
    ----------
    studies : dict of {panel: {curve: (sizes, seconds, slope)}}
    """
    plt = _pyplot()
    figure, panels = plt.subplots(
        1, len(studies), figsize=(3.2 * len(studies), 3.6), layout="constrained", squeeze=False
    )
    for axes, (panel, curves) in zip(panels[0], studies.items(), strict=True):
        for (curve, (sizes, seconds, slope)), colour in zip(curves.items(), _COLOURS, strict=False):
            line = np.exp(np.polyval(np.polyfit(np.log(sizes), np.log(seconds), 1), np.log(sizes)))
            axes.plot(sizes, seconds, "o", color=colour, label=f"{curve}: slope {slope:.2f}")
            axes.plot(sizes, line, color=colour, lw=1)
        axes.set(xscale="log", yscale="log", xlabel=panel)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
        axes.minorticks_off()
        _plain_ticks(axes.yaxis, [1, 2, 5])
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("seconds per iteration")
    figure.suptitle(title)
    _save(figure, name, folder)


_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def _plain_ticks(axis, subs):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure, name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150)
    _pyplot().close(figure)
    print(f"Picture: {folder / name}.png")


def _markdown(rows):
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(key)) for key in keys] for row in rows]
    lines = [keys, ["---"] * len(keys), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(value):
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(row):
    flat = {}
    for key, value in row.items():
        if isinstance(value, Spread):
            flat |= {key: value.median, f"{key} low": value.low, f"{key} high": value.high}
        else:
            flat[key] = value
    return flat


def _machine():
    packages = (
        "numpy",
        "scipy",
        "scikit-learn",
        "numba",
        "tensorly",
        "cmfrec",
        "implicit",
        "smurff",
        "spams-bin",
    )
    about = {"processors": os.cpu_count(), "Python": platform.python_version()}
    for package in packages:
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            continue
    return about
