"""Comparisons of NMF loops from the same start, to the same objective."""

from functools import partial
from typing import NamedTuple

import scipy.sparse as sp

from . import data
from .nmf_contenders import (
    DENSE_ONLY,
    MASKED_PEERS,
    factorkit_loop,
    sklearn_loop,
    start,
)
from .objective import objective
from .runner import Time, alternate, first_passing, median_seconds, ratio, timed, timed_loop, trace

# An objective this much above the peer's final one counts as the same.
_SAME = 1.001
# Seconds from which on a peer is timed once: tensorly's masked updates take minutes on images.
_SLOW = 60


class Case(NamedTuple):
    data: str
    k: int
    loss: str
    init: str
    dtype: str = "float64"
    peer_dtype: str = "float64"


def compare_loops(case, *, repeats, threads, clock, contender="factorkit"):
    """Scikit-learn's loop against ours, both from the same start.

    "whole" is the time of scikit-learn's whole loop at its default tolerance and number of
    iterations, over the time of ours to 1.001 times its final objective. "same" is the time that
    scikit-learn itself needs to pass that objective, over ours.

    Parameters
    ----------
    case : Case
    repeats, threads : int
    clock : {"wall", "process"}
    contender : {"factorkit", "sklearn"}
        What takes our side.

    Returns
    -------
    dict
        A row of the table. Where ours never passes, the ratios are None.
    """
    X = data.load(case.data)
    W, H = start(X, case.k, case.init)
    judge = partial(objective, X, beta_loss=case.loss)
    theirs = sklearn_loop(X.astype(case.peer_dtype), W, H, case.loss)
    if contender == "factorkit":
        ours = factorkit_loop(X.astype(case.dtype), W, H, case.loss, n_jobs=threads)
    else:
        ours = sklearn_loop(X.astype(case.dtype), W, H, case.loss)

    their_objectives = trace(theirs, judge, threads=threads)
    target = _SAME * their_objectives[-1]
    our_objectives = trace(ours, judge, target=target, threads=threads)
    their_n_iter = first_passing(their_objectives, target)
    our_n_iter = first_passing(our_objectives, target)
    row = {
        "data": case.data,
        "k": case.k,
        "start": case.init,
        "dtype": case.dtype,
        "sklearn dtype": case.peer_dtype,
        "whole": None,
        "same": None,
        "sklearn iterations": len(their_objectives),
        "sklearn iterations to same": their_n_iter,
        "our iterations to same": our_n_iter,
        "sklearn objective": their_objectives[-1],
        "our objective": our_objectives[-1],
    }
    if our_n_iter is None:
        return row
    times = alternate(
        {
            "sklearn": timed_loop(theirs, their_n_iter, whole=True),
            "ours": timed_loop(ours, our_n_iter, whole=False),
        },
        repeats=repeats,
        threads=threads,
        warm_up=False,  # the traces were
    )
    our_times = times["ours", "target"]
    return row | {
        "whole": ratio(times["sklearn", "whole"], our_times, clock),
        "same": ratio(times["sklearn", "target"], our_times, clock),
        "sklearn seconds": median_seconds(times["sklearn", "whole"], clock),
        "our seconds": median_seconds(our_times, clock),
    }


def compare_masked(name, k, *, repeats, threads, clock):
    """Peers that take missing entries against our loop, to 1.001 times each one's final objective.

    All start from scikit-learn's random start, but for cmfrec, which draws its own. A peer runs
    to its default tolerance and number of iterations, once only where that takes a minute.

    Returns
    -------
    list of dict
        A row for each peer that is installed.
    """
    X = data.load(name)
    missing = "unstored" if sp.issparse(X) else "nan"
    W, H = start(X, k, "random")
    judge = partial(objective, X, beta_loss="frobenius", missing=missing)
    ours = factorkit_loop(X, W, H, "frobenius", missing=missing, n_jobs=threads)
    rows = []
    for peer, solve in MASKED_PEERS.items():
        if sp.issparse(X) and peer in DENSE_ONLY:
            continue
        run_peer = partial(solve, X, W, H, threads)
        begin = Time.now()
        try:
            factors = run_peer()
        except ModuleNotFoundError as error:
            print(f"{peer} is left out: {error}")
            continue
        seconds = (Time.now() - begin).wall
        their_objective = judge(*factors)
        target = _SAME * their_objective
        objectives = trace(ours, judge, target=target, threads=threads)
        n_iter = first_passing(objectives, target)
        row = {
            "data": name,
            "k": k,
            "peer": peer,
            "whole": None,
            "our iterations": n_iter,
            "peer objective": their_objective,
            "our objective": objectives[-1],
        }
        if n_iter is not None:
            contenders = {"peer": timed(run_peer), "ours": timed_loop(ours, n_iter, whole=False)}
            n_repeats = repeats if seconds < _SLOW else 1
            times = alternate(contenders, repeats=n_repeats, threads=threads, warm_up=False)
            theirs, our_times = times["peer", "whole"], times["ours", "target"]
            row |= {
                "whole": ratio(theirs, our_times, clock),
                "peer seconds": median_seconds(theirs, clock),
                "our seconds": median_seconds(our_times, clock),
                "repeats": n_repeats,
            }
        rows.append(row)
    return rows
