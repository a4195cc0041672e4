"""Completion against cmfrec and implicit: ``python -m benchmarks.completion --help``."""

import argparse
import sys
import warnings
from pathlib import Path

from . import completion_cases as cases
from . import completion_studies as studies
from . import report

# What was aimed at.
_RMSE_TARGETS = {10: 4, 50: 4, 128: 2.5}
_IMPLICIT_TARGETS = {64: 5, 128: 2}
_ALPHA = {"ml100k": 0.1, "planted": 0.003}


def main(arguments=None):
    options = _parse(arguments)
    warnings.simplefilter("ignore")  # a ConvergenceWarning for every fit that is cut short
    for name in options.cases:
        print(f"== {name}", flush=True)
        _SECTIONS[name](options)


def _rmse(options):
    rows = []
    for name in options.data:
        for k in options.k or _RMSE_TARGETS:
            for use_cg in (True, False):
                row = cases.compare_rmse(name, k, _ALPHA[name], use_cg, **_settings(options))
                rows.append(row | {"target": _RMSE_TARGETS.get(k)})
                report.print_row(rows[-1])
    title = "Completion, whole fits to the test error that cmfrec reaches"
    _report(options, rows, "completion_rmse", title, {"times faster": "target"})


def _implicit(options):
    rows = []
    for k in options.k or _IMPLICIT_TARGETS:
        for confidence in (1, 8, 40):
            for use_cg in (True, False):
                row = cases.compare_implicit(k, confidence, use_cg, **_settings(options))
                rows.append(row | {"target": _IMPLICIT_TARGETS.get(k)})
                report.print_row(rows[-1])
    title = "Implicit feedback (ML-100K), whole fits to the objective of implicit's 15 iterations"
    _report(options, rows, "completion_implicit", title, {"times faster": "target"})


def _objective(options):
    rows = [cases.compare_objectives(k=k) for k in options.k or (50,)]
    _report(options, rows, "completion_objective", "One objective, both converged", {})


def _outliers(options):
    rows = [row for share in (0.1, 0.2) for row in studies.outliers(share)]
    _report(options, rows, "completion_outliers", "Gross outliers among the entries", {})


def _accuracy(options):
    rows = []
    for peer in ("factorkit ALS", "cmfrec ALS", "cmfrec ALS, Cholesky"):
        for fold in range(5):
            rows.append(studies.tuned_accuracy(fold, peer))
            report.print_row(rows[-1])
    _report(options, rows, "completion_accuracy", "ML-100K, tuned on the training entries", {})


def _scaling(options):
    rows, curves = studies.scaling(options.quick, options.threads)
    _report(options, rows, "completion_scaling", "Cost of an iteration of AltMinCompletion", {})
    title = "AltMinCompletion: seconds per iteration"
    report.draw_scaling(curves, "completion_scaling", title, options.output)


def _threads(options):
    rows = [studies.n_jobs(options.repeats, k) for k in options.k or (10, 50)]
    _report(options, rows, "completion_n_jobs", "What n_jobs=2 adds to AltMinCompletion", {})


def _memory(options):
    rows = [studies.memory(k, options.threads) for k in options.k or (10, 50)]
    _report(options, rows, "completion_memory", "Peak memory of AltMinCompletion, in MB", {})


_SECTIONS = {
    "rmse": _rmse,
    "implicit": _implicit,
    "objective": _objective,
    "outliers": _outliers,
    "accuracy": _accuracy,
    "scaling": _scaling,
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
    confidence = f"confidence {row['confidence']}" if "confidence" in row else None
    parts = [row.get("data"), f"k={row['k']}", confidence, row.get("peer")]
    return "  ".join(part for part in parts if part)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.completion", description=__doc__)
    add = parser.add_argument
    add("--cases", nargs="+", choices=[*_SECTIONS, "all"], default=["all"])
    add("--data", nargs="+", choices=list(_ALPHA), default=list(_ALPHA))
    add("--k", nargs="+", type=int, default=None)
    add("--repeats", type=int, default=5)
    add("--threads", type=int, default=1, help="for BLAS, OpenMP and n_jobs, equal for all")
    add("--clock", choices=["wall", "process"], default="wall", help="clock of the ratios")
    add("--quick", action="store_true", help="ML-100K, k = 10, 2 repeats, smaller sizes")
    add("--output", type=Path, default=report.OUTPUT)
    options = parser.parse_args(arguments)
    if "all" in options.cases:
        options.cases = list(_SECTIONS)
    if options.quick:
        options.data, options.k, options.repeats = ["ml100k"], [10], 2
    return options


if __name__ == "__main__":
    sys.exit(main())
