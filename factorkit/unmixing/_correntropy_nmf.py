"""Factorization under correntropy, with endmembers that may be anything.

    min Σ φ(r²) + λ Σ a_ij    r of bands, pixels or entries of Y − A E,    A ≥ 0

over A (n_pixels × k) and E (k × n_bands), where rows of A may have to sum to one and E to be
nonnegative. With λ > 0 the penalty would vanish as A shrinks and E grows, so then no endmember may
have a larger norm than it had at the start.
"""

import numpy as np

from ..utils._convergence import Trace
from ..utils._linalg import row_grams
from ..utils._nnls import solve_nnls, solve_nnls_rows
from ..utils._threads import blocks_of
from ._abundances import RowSolver, row_products
from ._correntropy_rows import entry_weights, solve_rows

# Rounds in which the width follows the residuals: the start is far from the end.
_FREE_ROUNDS = 30
# How much farther an endmember goes than it should: more after each round that descends.
_FIRST_MOMENTUM, _MORE, _LESS = 0.5, 1.05, 0.5
_MOST_SWEEPS = 50


def robust_nmf(scene, E, loss, *, auto, to_one, l1, nonnegative, tol, max_iter, report=None):
    """Alternate between abundances and endmembers, weights anew in each round.

    Parameters
    ----------
    scene : Scene
    E : ndarray of shape (k, n_bands), float64
        Start.
    loss : Loss
        Its width is set here where `auto`.
    auto : bool
        Whether the width follows the residuals for the first 30 rounds.
    to_one : bool
        Whether rows of A sum to one.
    l1 : float
        λ.
    nonnegative : bool
        Whether E ≥ 0.
    tol : float
        The run ends where a round lowers the root of the objective by less than this part.
    max_iter : int
        Most rounds with the width fixed.
    report : callable or None, default=None
        ``report(objective, E, weights) -> bool`` after each of these; true ends the run.

    Returns
    -------
    E : ndarray of shape (k, n_bands)
    weights : pair of ndarray of shape (n_bands,) and (n_pixels,)
    trace : Trace
        Of the rounds with the width fixed: the objective never rises.

    Notes
    -----
    Both half steps minimize a quadratic that lies above the objective and touches it, exactly: A a
    pixel at a time by active sets, E a band at a time by pivoting. E starts ahead of where it was,
    in the direction it went; where that would raise the objective the round is done again without.
    A round costs two products n_pixels * n_bands * k, and with weights of entries, or holes, a Gram
    matrix a pixel and a band: n_pixels * n_bands * k².
    """
    problem = _Problem(scene, loss, to_one=to_one, l1=l1, nonnegative=nonnegative, E=E)
    A = problem.solve_A(None, E, (np.ones(scene.shape[1]), np.ones(len(scene))), plain=True)
    now = problem.state(A, E)
    before, trace, momentum, free = now, Trace(), _FIRST_MOMENTUM, _FREE_ROUNDS if auto else 0
    if auto:
        now = problem.refitted(now)
    for round_ in range(free + max_iter):
        new = problem.round(now, now.E + momentum * (now.E - before.E))
        if new.value > now.value:
            momentum *= _LESS
            new = problem.round(now, now.E)
        else:
            momentum = min(_MORE * momentum, 1.0)
        if new.value > now.value:  # by rounding errors
            new = now
        change = 1.0 - np.sqrt(new.value / now.value) if now.value > 0 else 0.0
        before, now = now, new
        if round_ < free:
            now = problem.refitted(now)
            continue
        trace.add(now.value, change)
        if report is not None and report(now.value, now.E, now.weights):
            trace.stop = "callback"
            break
        if tol > 0 and change < tol:
            trace.stop = "converged"
            break
    return now.E, now.weights, trace


class _State:
    """Factors, the objective there, and the weights of bands and pixels that they imply."""

    def __init__(self, A, E, sizes, value, weights):
        self.A, self.E, self.sizes, self.value, self.weights = A, E, sizes, value, weights


class _Problem:
    def __init__(self, scene, loss, *, to_one, l1, nonnegative, E):
        self.scene, self.loss, self.workers = scene, loss, scene.workers
        self.to_one, self.l1, self.nonnegative = to_one, l1, nonnegative
        self.radii = np.linalg.norm(E, axis=1) if l1 > 0 else None
        k = len(E)
        self.by_entry = loss.by == "entry"
        self.shared = not self.by_entry and not scene.has_holes
        # With a Gram matrix a pixel or a band, those of a block fit in the cache.
        work = 4.0 * scene.shape[1] * k if self.shared else 20.0 * scene.shape[1] * k
        self.blocks = blocks_of(len(scene), work, target=2e7 if self.shared else 4e6)
        self.energy = None
        if self.shared and loss.by == "band":
            parts = self._map(lambda i, j: np.square(scene.observed(slice(i, j))).sum(axis=0))
            self.energy = sum(parts)

    def state(self, A, E, products=None):
        if products is None or self.energy is None:
            sizes, value, weights = self.scene.residuals(self.loss, A, E)
        else:
            B, C = products
            # From the products of the half step: no pass over the scene.
            squares = self.energy - 2 * np.einsum("kl,kl->l", B, E)
            squares += np.einsum("kl,kl->l", E, C @ E)
            squares = np.maximum(squares, 0)
            sizes, value = np.sqrt(squares), float(self.loss.values(squares).sum())
            weights = self.loss.weights(squares), np.ones(len(A))
        return _State(A, E, sizes, value + self.l1 * A.sum(), weights)

    def refitted(self, state):
        """The state under the width that its residuals suggest."""
        self.loss.width = self.loss.fitted_width(state.sizes)
        return self.state(state.A, state.E)

    def round(self, state, E):
        if self.nonnegative:
            E = np.maximum(E, 0)
        A = self.solve_A(state.A, E, state.weights)
        E, products = self.solve_E(A, E, state.weights)
        return self.state(A, E, products)

    def solve_A(self, A, E, weights, plain=False):
        """Abundances of least weighted residuals; weights of entries are those at (A, E)."""
        bands, pixels = weights
        if self.by_entry:
            bands = np.ones(len(bands))
        shift = E.mean(axis=0) if self.to_one else np.zeros(E.shape[1])
        centred = E - shift
        weighted = centred * bands
        rows = RowSolver(weighted @ centred.T, True, self.to_one)
        offset = weighted @ shift
        new = np.empty((len(self.scene), len(E)))
        # A pixel's weight does not change its abundances, but what they cost.
        price = self.l1 / np.maximum(pixels, 1e-300) if self.loss.by == "pixel" else self.l1

        def block(i, j):
            cost = price[i:j, None] if np.ndim(price) else price
            if self.shared:
                F = row_products(self.scene.Y[i:j], weighted) - offset
                new[i:j] = rows(F - cost if self.l1 else F)
                return
            x = self.scene.observed(slice(i, j))
            V = self._entry_weights(x, None if plain else A[i:j], E) * bands
            new[i:j] = solve_rows(x, V, E, self.to_one, cost)

        self._map(block)
        return new

    def solve_E(self, A, E, weights):
        """Endmembers likewise, and the products Aᵀ Ω Y and Aᵀ Ω A where bands share these."""
        if self.shared:
            omega = weights[1] if self.loss.by == "pixel" else None
            weighted = A if omega is None else A * omega[:, None]
            B = sum(self._map(lambda i, j: weighted[i:j].T @ self.scene.Y[i:j]))
            C = weighted.T @ A
            Q = C[None]
        else:
            B, Q = self._band_products(A, E, weights[1])
        if self.radii is not None:
            bands = weights[0] if self.loss.by == "band" else np.ones(E.shape[1])
            E = _in_balls(B, Q, E, bands, self.radii)
        elif not self.nonnegative:
            E = np.linalg.solve(Q + _ridge(Q), B.T[:, :, None])[:, :, 0].T
        elif self.shared:
            E = solve_nnls(B, C, self.workers).T
        else:
            E = solve_nnls_rows(E, B, Q).T
        return np.ascontiguousarray(E), (B, C) if self.shared else None

    def _band_products(self, A, E, pixels):
        def block(i, j):
            x = self.scene.observed(slice(i, j))
            V = self._entry_weights(x, A[i:j], E)
            if self.loss.by == "pixel":
                V *= pixels[i:j, None]
            a = np.ascontiguousarray(A[i:j].T)
            return a @ np.where(V > 0, V * x, 0), row_grams(V.T, a)

        B, Q = (sum(parts) for parts in zip(*self._map(block), strict=True))
        return B, Q

    def _entry_weights(self, x, A, E):
        return entry_weights(x, A, E, self.loss if self.by_entry and A is not None else None)

    def _map(self, function):
        return self.workers.map(function, self.blocks)


def _ridge(Q):
    trace = np.einsum("ltt->l", Q)
    size = np.where(trace > 0, 1e-12 * trace, 1.0)
    return size[:, None, None] * np.eye(Q.shape[1])


def _in_balls(B, Q, E, bands, radii):
    """Endmembers of bounded norm, one after the other; Q holds a Gram matrix a band, or one."""
    E = np.maximum(E, 0)
    E *= np.minimum(1, radii / np.maximum(np.linalg.norm(E, axis=1), 1e-300))[:, None]
    for _ in range(_MOST_SWEEPS):
        before = E.copy()
        for t in range(len(E)):
            curvature = Q[:, t, t]
            pull = B[t] - np.einsum("li,il->l", np.broadcast_to(Q[:, t], E.T.shape), E)
            pull += curvature * E[t]
            E[t] = _in_ball(bands * pull, bands * curvature, radii[t])
        if np.linalg.norm(E - before) <= 1e-6 * np.linalg.norm(E):
            break
    return E


def _in_ball(b, h, radius):
    """min Σ ½ h e² − b e over e ≥ 0, ‖e‖ ≤ radius: e = b / (h + μ) with the least μ ≥ 0."""
    b = np.maximum(b, 0)
    used = b > 0
    e = np.zeros(len(b))
    b, h = b[used], h[used]
    if not radius > 0 or not len(b):
        return e
    low, high = 0.0, np.linalg.norm(b) / radius
    mu = 0.0
    # The norm is convex in μ: Newton on its inverse, which is concave, comes from below.
    for _ in range(60):
        part = b / np.maximum(h + mu, 1e-300)
        norm = np.linalg.norm(part)
        if norm <= radius * (1 + 1e-12):
            high = mu
            if mu == 0.0 or norm >= radius * (1 - 1e-12):
                break
        else:
            low = mu
        slope = -np.sum(part**2 / np.maximum(h + mu, 1e-300)) / norm
        step = mu - (norm / radius - 1) * norm / slope
        mu = step if low < step < high else 0.5 * (low + high)
    e[used] = b / np.maximum(h + mu, 1e-300)
    return e * min(1.0, radius / np.linalg.norm(e))
