"""Archetypal analysis: endmembers that are mixtures of pixels.

    min ½ Σ_i ω_i ‖x_i − a_i B X_H‖²    rows of A and of B on the simplex

over A (n_pixels × k) and B (k × n_hull), where X_H are the pixels that may be mixed. Each half
step is exact: A by an active set on k × k Gram matrices, each archetype by Wolfe's method for
the nearest point of a convex hull, which keeps a handful of pixels a time. The objective never
rises.

References
----------
A. Cutler and L. Breiman, "Archetypal Analysis", Technometrics 36, 1994.
Y. Chen, J. Mairal and Z. Harchaoui, "Fast and Robust Archetypal Analysis for Representation
Learning", CVPR 2014.
P. Wolfe, "Finding the Nearest Point in a Polytope", Mathematical Programming 11, 1976.
"""

from dataclasses import dataclass

import numpy as np

from ..utils._convergence import Trace
from ..utils._threads import blocks_of
from ._abundances import RowSolver
from ._archetype_kernels import update_archetypes


@dataclass
class Mixtures:
    """Archetypes as mixtures of a few pixels each: row j of B has weights[j] at members[j]."""

    members: list
    weights: list


class Mixing:
    """B while it is sought, and for the next run to start from.

    Parameters
    ----------
    hull : ndarray of intp
        The pixels that may be mixed.
    start : ndarray of intp of shape (k,)
        The pixels of the hull at which the archetypes start.
    n_features : int
        Dimensions; a mixture has at most one pixel more.
    """

    def __init__(self, hull, start, n_features):
        k, most = len(start), min(n_features + 1, len(hull)) + 1
        self.hull = hull
        self.members = np.zeros((k, most), dtype=np.intp)
        self.members[:, 0] = _positions(hull, start)
        self.weights = np.zeros((k, most))
        self.weights[:, 0] = 1.0
        self.counts = np.ones(k, dtype=np.intp)

    def places(self, pool):
        """The archetypes, where the pixels of the hull are at the rows of pool."""
        mixed = zip(self.members, self.weights, self.counts, strict=True)
        return np.array([w[:n] @ pool[members[:n]] for members, w, n in mixed])

    def mixtures(self):
        """What is not zero, by the numbers of the pixels."""
        return Mixtures(
            [self.hull[row[:n]] for row, n in zip(self.members, self.counts, strict=True)],
            [row[:n] for row, n in zip(self.weights, self.counts, strict=True)],
        )


def archetypes(X, start, workers, *, hull=None, weights=None, tol=1e-5, max_iter=60, report=None):
    """Archetypal analysis from a start.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Pixels, in a subspace for speed.
    start : ndarray of intp of shape (k,)
        Pixels at which the archetypes start.
    workers : Workers
    hull : ndarray of intp or None, default=None
        The pixels that may be mixed; None takes all.
    weights : ndarray of shape (n_pixels,) or None, default=None
        ω, weights of the squared residuals.
    tol : float, default=1e-5
        Ends where an iteration lowers the root of the objective by less than this part.
    max_iter : int, default=60
    report : callable or None, default=None
        ``report(objective, Z)`` after each iteration; true ends the run.

    Returns
    -------
    Z : ndarray of shape (k, n_features)
        The archetypes.
    A : ndarray of shape (n_pixels, k)
        Their exact abundances.
    mixtures : Mixtures
        B, in indices of X.
    trace : Trace

    Notes
    -----
    An iteration costs n_pixels * n_features * k for each half step, times the few pixels that
    enter a mixture.
    """
    centre = X.mean(axis=0)
    centred = X - centre
    hull = np.arange(len(X)) if hull is None else np.asarray(hull)
    pool = centred if len(hull) == len(X) else centred[hull]
    mixing = Mixing(hull, np.asarray(start), X.shape[1])

    def after(objective, Z):
        return report(objective, Z + centre)

    Z, A, trace = descend(
        centred,
        pool,
        mixing,
        weights,
        workers,
        tol=tol,
        max_iter=max_iter,
        report=after if report is not None else None,
    )
    return Z + centre, A, mixing.mixtures(), trace


def descend(X, pool, mixing, weights, workers, *, tol, max_iter, report=None):
    """Passes over the archetypes and the abundances, from the mixtures there are.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
    pool : ndarray of shape (n_hull, n_features)
        The pixels of the hull.
    mixing : Mixing
        Overwritten by the result.
    weights, workers, tol, max_iter, report
        See :func:`archetypes`.

    Returns
    -------
    Z : ndarray of shape (k, n_features)
    A : ndarray of shape (n_pixels, k)
    trace : Trace
    """
    Xt = np.ascontiguousarray(X.T)
    pool_t = Xt if pool is X else np.ascontiguousarray(pool.T)
    Z = mixing.places(pool)
    K = np.zeros((*mixing.members.shape, mixing.members.shape[1]))
    for j, n in enumerate(mixing.counts):
        P = pool[mixing.members[j, :n]]
        K[j, :n, :n] = P @ P.T
    squares = np.einsum("ci,ci->i", Xt, Xt)
    power = squares.sum() if weights is None else float(weights @ squares)
    # The gap of a projection, relative to the scene's size.
    gap = 1e-7 * squares.mean()
    trace = Trace()
    A, C, P = _half_step(Xt, Z, weights, workers)
    before = _objective(C, P, Z, power)
    for _ in range(max_iter):
        update_archetypes(
            pool_t, Z, C, P, mixing.members, mixing.weights, K, mixing.counts, gap, 20
        )
        A, C, P = _half_step(Xt, Z, weights, workers)
        value = _objective(C, P, Z, power)
        change = 1.0 - np.sqrt(value / before) if before > 0 else 0.0
        trace.add(value, change)
        if report is not None and report(value, Z):
            trace.stop = "callback"
            break
        if change < tol:
            trace.stop = "converged"
            break
        before = value
    return Z, A, trace


def _half_step(Xt, Z, weights, workers):
    """A, and AᵀΩA and AᵀΩX, a block of pixels at a time."""
    solve = RowSolver(Z @ Z.T, True, True)
    k, n = len(Z), Xt.shape[1]
    A = np.empty((n, k))

    def block(start, stop):
        x = Xt[:, start:stop]
        a = solve(np.ascontiguousarray((Z @ x).T))
        A[start:stop] = a
        weighted = a if weights is None else a * weights[start:stop, None]
        return weighted.T @ a, weighted.T @ x.T

    parts = workers.map(block, blocks_of(n, 4.0 * len(Xt) * k + 20.0 * k**2))
    return A, sum(C for C, _ in parts), sum(P for _, P in parts)


def _objective(C, P, Z, power):
    return max(0.5 * (power - 2 * np.vdot(P, Z) + np.vdot(C, Z @ Z.T)), 0.0)


def _positions(hull, pixels):
    order = np.argsort(hull)
    return order[np.searchsorted(hull, pixels, sorter=order)]
