"""Unmixing against SPAMS, SciPy and scikit-learn: ``python -m benchmarks.unmixing --help``."""

import argparse
import sys
import warnings
from pathlib import Path

from . import report
from . import unmixing_cases as cases
from . import unmixing_oracle as oracle
from . import unmixing_scenes as scenes

# What was aimed at.
_FCLS_TARGETS = {"SPAMS": 10, "SciPy": 50}
_ARCHETYPES_TARGET, _CORRENTROPY_TARGET = 12, 10


def main(arguments=None):
    options = _parse(arguments)
    warnings.simplefilter("ignore")  # a ConvergenceWarning for every fit that is cut short
    for name in options.cases:
        print(f"== {name}", flush=True)
        _SECTIONS[name](options)


def _scenes(options):
    rows = []
    for row in scenes.accuracy(
        options.kinds, options.ruins, options.snr, options.purity, options.seeds, options.k[0]
    ):
        rows.append(row)
        report.print_row(row)
    title = "Mean spectral angle / abundance RMSE, medians over the seeds"
    report.write_table(rows, "unmixing_scenes", title, {"seeds": options.seeds}, options.output)


def _oracle(options):
    rows = []
    for row in oracle.losses(
        options.kinds, options.ruins, options.snr, options.seeds, options.k[0]
    ):
        rows.append(row)
        report.print_row(row)
    title = "Mean spectral angle / abundance RMSE with ruined bands, over those of clean scenes"
    report.write_table(rows, "unmixing_oracle", title, {"seeds": options.seeds}, options.output)


def _fcls(options):
    rows = []
    for k in options.k:
        for kind in ("smooth", "dirichlet"):
            for peer in _FCLS_TARGETS:
                row = cases.compare_fcls(k, kind, peer, options.pixels, **_settings(options))
                rows.append(row | {"target": _FCLS_TARGETS[peer]})
                report.print_row(rows[-1])
    title = "FCLS of 200 bands, product included"
    _report(options, rows, "unmixing_fcls", title, {"times faster": "target"})


def _archetypes(options):
    rows = []
    for k in options.k:
        for kind in ("smooth", "dirichlet", "variable"):
            row = cases.compare_archetypes(k, kind, **_settings(options))
            rows.append(row | {"target": _ARCHETYPES_TARGET})
            report.print_row(rows[-1])
    title = "Archetypal analysis from one start, to the objective of SPAMS"
    _report(options, rows, "unmixing_archetypes", title, {"times faster": "target"})


def _correntropy(options):
    rows = []
    for kind in ("smooth", "dirichlet", "variable"):
        row = cases.compare_correntropy(options.k[0], kind, **_settings(options))
        rows.append(row | {"target": _CORRENTROPY_TARGET})
        report.print_row(rows[-1])
    title = "Correntropy against its multiplicative updates, one width, one start"
    _report(options, rows, "unmixing_correntropy", title, {"times faster": "target"})


def _count(options):
    rows = list(scenes.counting(options.snr, options.seeds))
    title = "Share of scenes in which the number of endmembers is right"
    report.write_table(rows, "unmixing_count", title, {"seeds": options.seeds}, options.output)


def _threads(options):
    rows = [cases.compare_threads(k, options.pixels, options.repeats) for k in options.k]
    _report(options, rows, "unmixing_n_jobs", "What n_jobs=2 adds", {})


def _memory(options):
    rows = [cases.memory(name, options.threads) for name in cases.MEMORY]
    title = "Peak memory of a 500 × 500 × 200 scene, over that of the scene, the scene included"
    report.write_table(rows, "unmixing_memory", title, _settings(options), options.output)


_SECTIONS = {
    "scenes": _scenes,
    "oracle": _oracle,
    "fcls": _fcls,
    "archetypes": _archetypes,
    "correntropy": _correntropy,
    "count": _count,
    "n_jobs": _threads,
    "memory": _memory,
}


def _settings(options):
    return {"repeats": options.repeats, "threads": options.threads, "clock": options.clock}


def _report(options, rows, name, title, series):
    report.write_table(rows, name, title, _settings(options), options.output)
    if series:
        report.draw_ratios(rows, name, title, series, label=_label, folder=options.output)


def _label(row):
    parts = [row.get("scene"), f"k={row['k']}", row.get("peer")]
    return "  ".join(part for part in parts if part)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unmixing", description=__doc__)
    add = parser.add_argument
    add("--cases", nargs="+", choices=[*_SECTIONS, "all"], default=["all"])
    add("--kinds", nargs="+", choices=list(scenes.KINDS), default=list(scenes.KINDS))
    add("--ruins", nargs="+", choices=list(scenes.RUINED), default=list(scenes.RUINED))
    add("--snr", nargs="+", type=float, default=[20, 30, 40])
    add("--purity", nargs="+", type=float, default=[1.0], help="largest abundance in a pixel")
    add("--seeds", type=int, default=5)
    add("--k", nargs="+", type=int, default=[4, 10], help="scenes take the first")
    add("--pixels", type=int, default=1_000_000)
    add("--repeats", type=int, default=5)
    add("--threads", type=int, default=1, help="for BLAS, OpenMP and n_jobs, equal for all")
    add("--clock", choices=["wall", "process"], default="wall", help="clock of the ratios")
    add("--quick", action="store_true", help="smaller sizes, 2 repeats, 2 seeds")
    add("--output", type=Path, default=report.OUTPUT)
    options = parser.parse_args(arguments)
    if "all" in options.cases:
        options.cases = list(_SECTIONS)
    if options.quick:
        options.snr, options.seeds, options.repeats, options.pixels = [30], 2, 2, 100_000
    return options


if __name__ == "__main__":
    sys.exit(main())
