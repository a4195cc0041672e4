"""NMF against scikit-learn, tensorly and cmfrec: ``python -m benchmarks.nmf --help``."""

import argparse
import sys
import warnings
from pathlib import Path

from . import data, nmf_studies, report
from .nmf_cases import Case, compare_loops, compare_masked

# What was aimed at: (whole loop, to the same objective).
_FROBENIUS_TARGETS = {"pines": (25, 20), "digits": (8, 6), "orl": (8, 5)}
_SPARSE = ("zipf", "news", *data.DRAWS)
_FROBENIUS_TARGETS |= dict.fromkeys(_SPARSE, (15, 2))
_RANKS = (10, 40)


def main(arguments=None):
    options = _parse(arguments)
    warnings.simplefilter("ignore")  # a ConvergenceWarning for every loop that is cut short
    for name in options.cases:
        print(f"== {name}", flush=True)
        _SECTIONS[name](options)


def _frobenius(options):
    cases = [
        # From nndsvda scikit-learn stops after two iterations on raw spectra, at twelve times
        # the objective that it reaches from a random start.
        Case(name, k, "frobenius", options.init or ("random" if name == "pines" else "nndsvda"))
        for name in options.data
        for k in options.k
    ]
    _loops(options, cases, "nmf_frobenius", "NMF, Frobenius loss, against scikit-learn's cd")


def _kullback_leibler(options):
    # Scikit-learn in float64 is what people run; in float32 it is the same work for both.
    precisions = {
        "dense": (("float64", "float64"), ("float32", "float64"), ("float32", "float32")),
        "sparse": (("float64", "float64"),),
    }
    cases = [
        Case(name, k, "kullback-leibler", options.init or "nndsvda", *dtypes)
        for name in options.data
        for k in options.k
        for dtypes in precisions["sparse" if name in _SPARSE else "dense"]
    ]
    _loops(options, cases, "nmf_kl", "NMF, Kullback-Leibler loss, against scikit-learn's mu")


def _loops(options, cases, name, title):
    rows = []
    for case in cases:
        row = compare_loops(
            case,
            repeats=options.repeats,
            threads=options.threads,
            clock=options.clock,
            contender=options.contender,
        )
        row["target whole"], row["target same"] = _targets(case)
        rows.append(row)
        report.print_row(row)
    _report(options, rows, name, title, {"whole": "target whole", "same": "target same"})


def _targets(case):
    if case.loss == "frobenius":
        return _FROBENIUS_TARGETS[case.data]
    if case.data in _SPARSE:
        return 40, 20
    return (8, 8) if case.dtype == "float64" else (20, 20)


def _missing(options):
    rows = []
    for name in options.data:
        for k in options.k:
            for row in compare_masked(
                f"{name}-missing",
                k,
                repeats=options.repeats,
                threads=options.threads,
                clock=options.clock,
            ):
                rows.append(row | {"target whole": 5})
                report.print_row(row)
    title = "NMF with 30 % of the entries missing"
    _report(options, rows, "nmf_missing", title, {"whole": "target whole"})


def _default(options):
    rows = [
        nmf_studies.compare_default(
            name, k, repeats=options.repeats, threads=options.threads, clock=options.clock
        )
        for name in options.data
        for k in options.k
    ]
    title = "factorkit.NMF(k).fit(X) beside scikit-learn's"
    _report(options, rows, "nmf_default", title, {"time": None})


def _threads(options):
    rows = [
        nmf_studies.compare_n_jobs(name, k, loss, repeats=options.repeats)
        for loss in ("frobenius", "kullback-leibler")
        for name in options.data
        for k in options.k
    ]
    _report(options, rows, "nmf_n_jobs", "What n_jobs=2 adds to NMF", {"gain": None})


def _scaling(options):
    rows, studies = nmf_studies.scaling(options.quick, options.threads)
    _report(options, rows, "nmf_scaling", "Cost of an NMF iteration", {})
    title = "NMF: seconds per iteration"
    report.draw_scaling(studies, "nmf_scaling", title, options.output)


def _startup(options):
    rows = nmf_studies.startup(options.repeats, options.threads)
    _report(options, rows, "nmf_startup", "First fit and import, in a new process", {})


def _memory(options):
    names = [name for name in options.data if name in _SPARSE] or options.data
    rows = [
        row
        for name in names
        for k in options.k
        for row in nmf_studies.memory(name, k, options.threads)
    ]
    _report(options, rows, "nmf_memory", "Peak memory of NMF beyond X, in MB", {})


_SECTIONS = {
    "frobenius": _frobenius,
    "kl": _kullback_leibler,
    "missing": _missing,
    "default": _default,
    "n_jobs": _threads,
    "scaling": _scaling,
    "startup": _startup,
    "memory": _memory,
}


def _report(options, rows, name, title, series):
    settings = {"threads": options.threads, "repeats": options.repeats, "clock": options.clock}
    report.write_table(rows, name, title, settings, options.output)
    if series:
        report.draw_ratios(
            rows,
            name,
            title,
            series,
            label=_label,
            folder=options.output,
        )


def _label(row):
    dtypes = [row[key] for key in ("dtype", "sklearn dtype") if key in row]
    parts = [
        row["data"],
        f"k={row['k']}",
        row.get("loss"),
        row.get("peer"),
        " / ".join(dict.fromkeys(dtypes)),
    ]
    return "  ".join(part for part in parts if part)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nmf", description=__doc__)
    add = parser.add_argument
    add("--cases", nargs="+", choices=[*_SECTIONS, "all"], default=["all"])
    add("--data", nargs="+", choices=(*data.NAMES, *data.DRAWS), default=None)
    add("--k", nargs="+", type=int, default=None)
    add("--init", choices=["nndsvd", "nndsvda", "nndsvdar", "random"], default=None)
    add("--repeats", type=int, default=None)
    add("--threads", type=int, default=1, help="for BLAS and n_jobs, equal for all")
    add("--clock", choices=["wall", "process"], default="wall", help="clock of the ratios")
    add("--quick", action="store_true", help="small data, k = 10, 2 repeats")
    add(
        "--contender",
        choices=["factorkit", "sklearn"],
        default="factorkit",
        help="sklearn runs it against itself: ratios to the same objective must be 1",
    )
    add("--output", type=Path, default=report.OUTPUT)
    options = parser.parse_args(arguments)
    if "all" in options.cases:
        options.cases = list(_SECTIONS)
    options.data = options.data or (["digits", "news"] if options.quick else list(data.NAMES))
    options.k = options.k or (_RANKS[:1] if options.quick else _RANKS)
    options.repeats = options.repeats or (2 if options.quick else 5)
    return options


if __name__ == "__main__":
    sys.exit(main())
