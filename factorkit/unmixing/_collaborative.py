"""Sparse regression of a whole scene on few spectra of a library.

    min_{A >= 0}  ½ ‖Y − A D‖² + λ Σ_j ‖a_j‖₂

over A (n_pixels × n_spectra) with columns a_j: a spectrum is used in the scene or it is not.
"""

import numpy as np

from ..utils._convergence import Trace
from ..utils._linalg import squared_norm
from ._abundances import RowSolver, row_products
from ._collaborative_kernels import add_curvature
from ._sparse_rows import scene_blocks

# Spectra that may enter at once: near-copies of each other all ask to, and one of them will do.
_AT_ONCE = 8
# Parts of Newton's step that are tried, and its ridge.
_PARTS, _FLAT = (1.0, 0.3), 1e-6


def collaborative(Y, D, penalty, workers, *, tol, max_iter, report=None):
    """Solve by active sets of spectra.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64.
    D : ndarray of shape (n_spectra, n_bands), float64
    penalty : float
        λ > 0.
    workers : Workers
    tol : float
        The run ends at a duality gap of at most `tol` ½‖Y‖²; 0 takes all iterations.
    max_iter : int
        Most iterations, each a sweep over the active spectra and a solve of all pixels.
    report : callable or None, default=None
        ``report(objective, active, ridge) -> bool``, true to stop.

    Returns
    -------
    active : ndarray of int of shape (n_active,)
        The spectra in use, in the order of the library.
    ridge : ndarray of shape (n_active,)
        λ / ‖a_j‖. The minimizer solves every pixel by itself with the penalty
        ½ Σ_j ridge_j a_j² in place of λ Σ_j ‖a_j‖.
    trace : Trace
        The objective never rises; the residual is the duality gap of the problem confined to
        the active spectra, at the end that of the whole one.

    Notes
    -----
    An iteration is a sweep of exact block coordinate steps, a_j ← (1 − λ/‖c₊‖)₊ c₊ / G_jj with
    the correlations c of spectrum j with what the others leave; a step on the majorizer
    λ ‖a_j‖ ≤ ½ λ (‖a_j‖² / ‖a_j°‖ + ‖a_j°‖), exact in all columns at once; and a Newton step on
    the norms, taken where the objective falls. Spectra of a library are nearly parallel: the
    first two alone crawl, and need hundreds of iterations for what takes twenty with the third.
    A sweep costs n_pixels * n_active², a look at the whole library one product
    n_pixels * n_bands * n_spectra.

    References
    ----------
    M.-D. Iordache, J. M. Bioucas-Dias and A. Plaza, "Collaborative Sparse Regression for
    Hyperspectral Unmixing", IEEE TGRS 52, 2014 (the objective).
    """
    problem = _Active(Y, D, penalty, workers)
    trace = Trace()
    while True:
        gap = problem.look_at_library()
        if trace.n_iter:
            trace.residual[-1] = gap
        elif not np.any(problem.scores > penalty):
            trace.add(problem.objective(), gap)
        if gap <= tol and tol > 0:
            trace.stop = "converged"
            break
        problem.admit()
        if not problem.iterate(trace, gap, tol, max_iter, report):
            trace.residual[-1] = problem.look_at_library()
            break
    return *problem.solution(), trace


def largest_penalty(Y, D, workers):
    """The least λ for which no spectrum is used, max_j ‖(Y d_j)₊‖."""
    problem = _Active(Y, D, np.inf, workers)
    problem.score_library()
    return float(problem.scores.max(initial=0.0))


class _Active:
    """The problem on the spectra that may be used; A and F are spectrum-major."""

    def __init__(self, Y, D, penalty, workers):
        self.Y, self.D, self.penalty, self.workers = Y, D, penalty, workers
        self.blocks = scene_blocks(Y, D)
        self.members = np.empty(0, dtype=np.intp)
        self.A = self.F = np.empty((0, len(Y)))
        self.total = 0.5 * squared_norm(Y)

    def look_at_library(self):
        """Score all spectra; returns the duality gap relative to ½‖Y‖²."""
        used = np.any(self.A > 0, axis=1)
        self.members, self.A, self.F = self.members[used], self.A[used], self.F[used]
        self.G = self.D[self.members] @ self.D[self.members].T
        self.score_library()
        return self._gap(self.scores)

    def score_library(self):
        """Norms of the positive parts of the correlations with what is left of the scene."""
        with_library = self.D[self.members] @ self.D.T

        def of_block(i, j):
            correlations = row_products(self.Y[i:j], self.D)
            correlations -= self.A[:, i:j].T @ with_library
            return np.square(np.maximum(correlations, 0)).sum(axis=0)

        squares = self.workers.map(of_block, self.blocks)
        self.scores = np.sqrt(np.sum(squares, axis=0))

    def admit(self):
        """Let in the spectra that would lower the objective the most."""
        lengths = np.maximum(np.linalg.norm(self.D, axis=1), 1e-300)
        wanting = np.where(self.scores > self.penalty, (self.scores - self.penalty) / lengths, 0)
        wanting[self.members] = 0
        new = np.argsort(-wanting, kind="stable")[: max(_AT_ONCE, len(self.members))]
        new = new[wanting[new] > 0]
        self.members = np.concatenate([self.members, new])
        products = np.empty((len(new), len(self.Y)))
        for i, j in self.blocks:
            products[:, i:j] = row_products(self.Y[i:j], self.D[new]).T
        self.F = np.concatenate([self.F, products])
        self.A = np.concatenate([self.A, np.zeros_like(products)])
        self.G = self.D[self.members] @ self.D[self.members].T

    def iterate(self, trace, gap, tol, max_iter, report):
        """Solve on the members; returns whether to go on."""
        goal = max(0.3 * tol, 1e-2 * gap)
        while trace.n_iter < max_iter:
            self._sweep()
            self._majorize()
            norms = np.sqrt(np.maximum(self._scores_of_members(), 0))
            trace.add(self.objective(), self._gap(norms))
            if report is not None and report(trace.objective[-1], *self.solution()):
                trace.stop = "callback"
                return False
            if trace.residual[-1] <= goal and tol > 0:
                return True
        return False

    def objective(self):
        return self._half_residual() + self.penalty * np.linalg.norm(self.A, axis=1).sum()

    def solution(self):
        norms = np.linalg.norm(self.A, axis=1)
        used = np.flatnonzero(norms)
        used = used[np.argsort(self.members[used])]
        return self.members[used], self.penalty / norms[used]

    def _sweep(self):
        for t, g in enumerate(self.G):
            c = self.F[t] - g @ self.A + g[t] * self.A[t]
            np.maximum(c, 0, out=c)
            norm = np.linalg.norm(c)
            self.A[t] = c * ((1 - self.penalty / norm) / g[t]) if norm > self.penalty else 0

    def _majorize(self):
        """The step on the majorizer, and one of Newton's on the norms where that is better."""
        norms = np.linalg.norm(self.A, axis=1)
        used = np.flatnonzero(norms)
        if not len(used):
            return
        norms = norms[used]
        self.A[used] = self._solve(used, norms)
        objective = self.objective()
        majorized = self.A[used]
        factors = self._newton_factors(used, norms)
        for part in _PARTS:
            new = norms * (1 + part * (factors - 1))
            kept = new > 0
            if not kept.any():
                continue
            self.A[used[~kept]] = 0
            self.A[used[kept]] = self._solve(used[kept], new[kept])
            if self.objective() < objective:
                return
        self.A[used] = majorized

    def _solve(self, used, norms):
        """Minimize ½‖Y − A D‖² + ½ Σ_j λ ‖a_j‖² / norms_j, pixel by pixel."""
        rows = RowSolver(self._with_ridge(used, norms), True, False)
        new = np.empty((len(used), len(self.Y)))

        def solve_block(i, j):
            new[:, i:j] = rows(np.ascontiguousarray(self.F[used, i:j].T)).T

        self.workers.map(solve_block, self.blocks)
        return new

    def _newton_factors(self, used, norms):
        """What the norms are multiplied by, zero or more, for the least of a model of second order.

        λ ‖a_j‖ = min_η ½ λ (‖a_j‖² / η_j + η_j), and the whole is convex in (A, η): what is left
        after A is a convex function of as many numbers as there are spectra.
        """
        G = self._with_ridge(used, norms)

        def of_block(i, j):
            total = np.zeros_like(G)
            add_curvature(np.ascontiguousarray(self.A[used, i:j].T), G, total)
            return total

        curvature = np.sum(self.workers.map(of_block, self.blocks), axis=0)
        ratios = np.square(self.A[used]).sum(axis=1) / norms
        H = self.penalty * (np.diag(ratios) - self.penalty * curvature / np.outer(norms, norms))
        gradient = 0.5 * self.penalty * (norms - ratios)
        # Nearly flat where spectra are nearly parallel: one of them goes to the bound.
        H[np.diag_indices_from(H)] += _FLAT * self.penalty * norms
        return RowSolver(H, True, False)((H.sum(axis=1) - gradient)[None])[0]

    def _with_ridge(self, used, norms):
        return self.G[np.ix_(used, used)] + np.diag(self.penalty / norms)

    def _scores_of_members(self):
        return np.square(np.maximum(self.F - self.G @ self.A, 0)).sum(axis=1)

    def _half_residual(self):
        return self.total + float(np.sum((0.5 * (self.G @ self.A) - self.F) * self.A))

    def _gap(self, scores):
        """The residual, shrunk until its correlations are feasible, is a point of the dual."""
        if self.total == 0:
            return 0.0
        fitted = float(np.sum(self.F * self.A))
        s = self.penalty / max(self.penalty, scores.max(initial=0.0))
        dual = s * (2 * self.total - fitted) - s**2 * self._half_residual()
        return max(0.0, (self.objective() - dual) / self.total)
