"""Time contenders side by side: alternating, in one process, with equal threads.

A *contender* is a function without arguments that returns ``{label: Time}``. A *loop* is an
iterative solver on given data and start, as a function ``loop(after)`` that calls
``after(W, H, spent)`` after each iteration, `spent` being the time since its start, and ends
where ``after`` raises `Enough`; it returns the `Time` of the whole run.
"""

import gc
import statistics
import time
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

# Without this the limits would miss the BLAS that SciPy brings, which loads on first use.
import scipy.linalg  # noqa: F401  isort: skip


class Enough(Exception):
    """Ends a loop from within."""


class Time(NamedTuple):
    """Seconds by the wall clock, and seconds of processor time over all threads."""

    wall: float
    process: float

    @classmethod
    def now(cls):
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other):
        return Time(self.wall - other.wall, self.process - other.process)

    def __add__(self, other):
        return Time(self.wall + other.wall, self.process + other.process)


class Spread(NamedTuple):
    """Median of the repeats, and the smallest and the largest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self):
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def timed(function):
    """Contender that calls `function`, with the label "whole"."""

    def contender():
        begin = Time.now()
        function()
        return {"whole": Time.now() - begin}

    return contender


def alternate(contenders, *, repeats, threads, warm_up=True):
    """Run the contenders in turns, A B, B A, A B and so on.

    Parameters
    ----------
    contenders : dict of {name: callable}
    repeats : int
    threads : int
        For BLAS and OpenMP.
    warm_up : bool, default=True
        Run each once before. False where they have already run in this process.

    Returns
    -------
    dict of {(name, label): list of Time}
    """
    times = {}
    names = list(contenders)
    with threadpool_limits(threads):
        if warm_up:
            for name in names:
                contenders[name]()
        for _ in range(repeats):
            for name in names:
                for label, value in _without_collection(contenders[name]).items():
                    times.setdefault((name, label), []).append(value)
            names.reverse()
    return times


def ratio(slower, faster, clock="wall"):
    """Spread of the ratios of two lists of `Time`, repeat by repeat."""
    pairs = zip(slower, faster, strict=True)
    return Spread.of([getattr(a, clock) / getattr(b, clock) for a, b in pairs])


def median_seconds(times, clock="wall"):
    return statistics.median(getattr(value, clock) for value in times)


def trace(loop, judge, *, target=-np.inf, patience=30, min_decrease=1e-5, threads=1):
    """Objectives of a loop, iteration by iteration, outside any timing.

    Solvers without randomness repeat themselves exactly, so the iteration that passes a target
    is found here and `timed_loop` needs no evaluation of the objective.

    Parameters
    ----------
    loop : callable
    judge : callable
        ``judge(W, H)`` returns the objective.
    target : float
        Ends at the first objective that is at most this.
    patience, min_decrease : int, float
        With a target, ends where `patience` iterations lower the objective by less than this
        part of it.

    Returns
    -------
    list of float
    """
    objectives = []

    def after(W, H, spent):
        objectives.append(judge(W, H))
        if objectives[-1] <= target:
            raise Enough
        if np.isfinite(target) and len(objectives) > patience:
            before = objectives[-1 - patience]
            if before - objectives[-1] < min_decrease * before:
                raise Enough

    with threadpool_limits(threads):
        loop(after)
    return objectives


def first_passing(objectives, target):
    """Number of iterations that pass the target, or None."""
    passing = np.flatnonzero(np.asarray(objectives) <= target)
    return int(passing[0]) + 1 if len(passing) else None


def timed_loop(loop, n_iter, *, whole):
    """Contender with the label "target" for the time of the first `n_iter` iterations.

    With `whole` the loop runs to its own end, under the label "whole"; else it ends there.
    """

    def contender():
        spent_after = []

        def after(W, H, spent):
            spent_after.append(spent)
            if len(spent_after) == n_iter and not whole:
                raise Enough

        total = loop(after)
        times = {"target": spent_after[n_iter - 1]}
        return times | {"whole": total} if whole else times

    return contender


def _without_collection(function):
    gc.collect()
    gc.disable()
    try:
        return function()
    finally:
        gc.enable()
