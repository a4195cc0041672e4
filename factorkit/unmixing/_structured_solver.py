"""Nonnegative factorization of a scene with abundances that are smooth over a graph.

    min_{A, E >= 0}  ½ ‖Y − A E‖² + λ Σ A + (α/2) tr(AᵀΛA M)

over A (n_pixels × k) and E (k × n_bands), where Λ = D − W is the Laplacian of a graph of pixels,
and M either I or E Eᵀ. With I the penalty is on differences of abundances: it falls when
these shrink and the endmembers move apart. With E Eᵀ it is on differences of spectra, A E, which
do not change when A and E share their scale in another way.

The lasso falls when A shrinks and E grows. So either the rows of A sum to one, or no endmember
may have a norm larger than it had at the start.
"""

from dataclasses import dataclass

import numpy as np

from ..utils._convergence import Trace
from ..utils._linalg import squared_norm
from ..utils._nnls import solve_nnls
from ..utils._threads import blocks_of
from ._abundances import RowSolver, row_products
from ._neighbours import degrees_of, roughness
from ._structured_kernels import projected_step, sweep_pixels

# Passes over the pixels before the endmembers move; fewer where one changes little more.
_MOST_PASSES, _LITTLE = 6, 0.1
# Sweeps over the endmembers of a pixel at each visit, and over the endmembers themselves.
_SWEEPS, _MOST_SWEEPS = 2, 50
# How much farther a step goes than it should; more after each that descends, less after others.
_FIRST_MOMENTUM, _MORE, _LESS = 0.5, 1.05, 0.5


def structured_unmixing(
    Y, E, A, W, workers, *, l1, alpha, on_spectra, to_one, tol, max_iter, report=None
):
    """Alternate between abundances and endmembers.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64.
    E : ndarray of shape (k, n_bands), float64, nonnegative
        Start; it also sets the norms that are allowed where `to_one` is false.
    A : ndarray of shape (n_pixels, k), float64
        Start: nonnegative, and of rows that sum to one where `to_one`.
    W : csr_array of shape (n_pixels, n_pixels)
        The graph.
    workers : Workers
    l1, alpha : float
        λ and α.
    on_spectra : bool
        Whether M is E Eᵀ.
    to_one : bool
        Whether rows of A have to sum to one.
    tol : float
        The run ends where a projected gradient step on A, with the best E for that A, has a norm
        of at most `tol` times that of A; 0 takes all iterations.
    max_iter : int
    report : callable or None, default=None
        ``report(objective, A, E) -> bool``, true to stop.

    Returns
    -------
    A : ndarray of shape (n_pixels, k), float64
    E : ndarray of shape (k, n_bands), float64
    trace : Trace
        The objective never rises.

    Notes
    -----
    A's half step goes through the pixels, each given what its neighbours are now, by coordinate
    steps: pairs of coordinates where the rows sum to one. Unlike a step on all pixels at once it
    needs no bound of Λ, and goes as far as the next pixel allows. Without a graph it is exact.
    E's half step is exact NNLS a band, or block coordinate steps on nonnegative balls. Each
    iteration starts farther on the way of the last one, and again from where that ended if the
    objective rose: it then takes fewer by far, and ends lower. It costs two products
    n_pixels * n_bands * k.
    """
    problem = _Problem(Y, W, workers, l1=l1, alpha=alpha, on_spectra=on_spectra, to_one=to_one)
    radii = None if to_one else np.linalg.norm(E, axis=1)
    trace, momentum = Trace(), _FIRST_MOMENTUM
    now = problem.state(np.array(A, order="C"), np.array(E, order="C"))
    before, objective = now, np.inf
    for _ in range(max_iter):
        new, value = problem.iterate(now.ahead_of(before, momentum, to_one), radii)
        if value > objective:
            momentum = _LESS * momentum
            new, value = problem.iterate(now.ahead_of(now, 0.0, to_one), radii)
        else:
            momentum = min(_MORE * momentum, 1.0)
        before, now, objective = now, new, value
        trace.add(objective, problem.residual(now))
        if report is not None and report(objective, now.A, now.E):
            trace.stop = "callback"
            break
        if trace.residual[-1] <= tol and tol > 0:
            trace.stop = "converged"
            break
    return now.A, now.E, trace


@dataclass
class _State:
    """Abundances, endmembers, and the linear term F = Y Eᵀ − λ of the abundances' problem."""

    A: np.ndarray
    E: np.ndarray
    F: np.ndarray

    def ahead_of(self, before, momentum, to_one):
        """Where the step from `before` leads when it goes on; its A is a new array, feasible."""
        A = self.A + momentum * (self.A - before.A)
        np.maximum(A, 0, out=A)
        if to_one:
            A /= A.sum(axis=1, keepdims=True)
        # E may be negative here: F is linear in it, so it costs no product with the scene.
        E = self.E + momentum * (self.E - before.E)
        return _State(A, E, self.F + momentum * (self.F - before.F))


class _Problem:
    """The scene, the graph and the penalties."""

    def __init__(self, Y, W, workers, *, l1, alpha, on_spectra, to_one):
        self.Y, self.W, self.workers = Y, W, workers
        self.l1, self.alpha = l1, alpha
        self.on_spectra, self.to_one = on_spectra, to_one
        self.graph = (W.indptr, W.indices, W.data, degrees_of(W))
        self.blocks = blocks_of(len(Y), 20.0 * Y.shape[1])
        self.total = 0.5 * squared_norm(Y)

    def state(self, A, E):
        F = np.empty((len(self.Y), len(E)))

        def of_block(i, j):
            F[i:j] = row_products(self.Y[i:j], E) - self.l1

        self.workers.map(of_block, self.blocks)
        return _State(A, E, F)

    def iterate(self, start, radii):
        """Both half steps; returns the new state and its objective. Overwrites start.A."""
        A = start.A
        self.step_A(start)
        parts = self.workers.map(lambda i, j: A[i:j].T @ self.Y[i:j], self.blocks)
        B, C, R = np.sum(parts, axis=0), A.T @ A, roughness(A, self.W)
        curvature = C + self.alpha * R if self.on_spectra else C
        if radii is None:
            E = exact_endmembers(B, curvature, np.maximum(start.E, 0), self.workers)
        else:
            E = bounded_endmembers(B, curvature, start.E, radii)
        G = E @ E.T
        # Where the fit is exact, what is left of the difference is rounding.
        misfit = max(0.0, self.total - np.vdot(B, E) + 0.5 * np.vdot(C, G))
        penalties = self.l1 * A.sum() + 0.5 * np.vdot(R, self.coupling(G))
        return self.state(A, E), float(misfit + penalties)

    def coupling(self, G):
        """α M, by which neighbours pull."""
        return self.alpha * (G if self.on_spectra else np.eye(len(G)))

    def step_A(self, state):
        first, G = None, state.E @ state.E.T
        if self.alpha == 0:  # nothing couples the pixels
            rows = RowSolver(G, True, self.to_one)

            def solve_block(i, j):
                state.A[i:j] = rows(state.F[i:j])

            self.workers.map(solve_block, self.blocks)
            return
        P = self.coupling(G)
        for _ in range(_MOST_PASSES):
            moved = sweep_pixels(state.A, state.F, G, P, *self.graph, self.to_one, _SWEEPS)
            first = moved if first is None else first
            if moved <= _LITTLE**2 * first:
                break

    def residual(self, state):
        G = state.E @ state.E.T
        P = self.coupling(G)
        largest = np.array([np.linalg.eigvalsh(G)[-1], np.linalg.eigvalsh(P)[-1]])
        moved, total = projected_step(state.A, state.F, G, P, *self.graph, self.to_one, largest)
        return float(np.sqrt(moved / total)) if total else float(np.sqrt(moved))


def exact_endmembers(B, C, E, workers):
    """min_{E >= 0} ½ tr(EᵀCE) − tr(BᵀE), band by band; what nobody uses stays as in `E`."""
    used = np.flatnonzero(np.diag(C) > 0)
    new = E.copy()
    new[used] = solve_nnls(B[used], C[np.ix_(used, used)], workers).T
    return new


def bounded_endmembers(B, C, E, radii):
    """The same with ‖e_j‖ at most radii_j: an endmember after the other, from `E` on."""
    E = _into_ball(E, radii[:, None])
    for _ in range(_MOST_SWEEPS):
        before = E.copy()
        for t in np.flatnonzero(np.diag(C) > 0):
            # The nearest point of the ball: the curvature is the same in all bands.
            E[t] = _into_ball(E[t] + (B[t] - C[t] @ E) / C[t, t], radii[t])
        if np.linalg.norm(E - before) <= 1e-6 * np.linalg.norm(E):
            break
    return E


def _into_ball(E, radii):
    """Nearest nonnegative spectra with norms of at most the radii."""
    E = np.maximum(E, 0)
    norms = np.linalg.norm(E, axis=-1, keepdims=True)
    return E * np.minimum(1, radii / np.maximum(norms, 1e-300))
