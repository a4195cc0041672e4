"""NMF with the Frobenius loss on weighted or incomplete data.

    min_{W, H >= 0}  ½ Σ_ij V_ij (x_ij − (W H)_ij)² + penalties

V_ij = 0 where x_ij is missing. A row's least-squares problem has a Gram matrix of its own,
Σ_j V_ij h_j h_j^T. For a dense X all of them are one matrix product of V with the products of
pairs of components, at BLAS's speed; for a sparse one they are summed entry by entry.
"""

import numpy as np

from ..utils._linalg import drop_dead, gram, row_grams
from ..utils._nnls import coordinate_sweeps, solve_nnls_rows
from ..utils._threads import blocks_of
from ._problem import Problem, size_of
from ._weighted_kernels import csr_grams, fill_block, sweep_rows, weighted_error


class WeightedProblem(Problem):
    """Half steps, exact solves and objective for one X, given as DenseRows or CsrRows.

    An iteration costs 2 nnz n_components (n_components + 3) operations, nnz counting the entries
    of a dense X or the observed ones of a sparse X, and up to 20 sweeps of
    2 (n_samples + n_features) n_components². There is no coarse start: where most entries are
    missing, a part of the samples leads to worse optima (1 to 4 % on counts of which 40 % are
    known), and no sooner.
    """

    def __init__(self, rows, penalty, workers, sums=None):
        self.rows, self.penalty, self.workers = rows, penalty, workers
        self._sums = _weighted_sums(rows) if sums is None else sums
        squared_norm, total, n_entries = self._sums
        self.half_squared_norm = 0.5 * squared_norm
        self.size = size_of(squared_norm, total, n_entries)
        self._transposed = None

    @property
    def magnitude(self):
        return self.half_squared_norm

    @property
    def data(self):
        return self.rows

    def transposed(self):
        if self._transposed is None:
            self._transposed = WeightedProblem(
                self.rows.T, self.penalty.transposed, self.workers, self._sums
            )
            self._transposed._transposed = self
        return self._transposed

    def step_H(self, Wt, H, safe=False, valued=False):
        return self.transposed().step_W(Wt, H, safe, valued)

    def step_W(self, H, Wt, safe=False, valued=False, max_sweeps=20, inner_tol=0.01):
        new = Wt.copy()
        # The first iteration's start may be far from X in size: it needs more sweeps.
        moved, value = self._sweep(new, H, 50 if safe is None else max_sweeps, inner_tol)
        objective = value + self.half_squared_norm + self.penalty.value(new, H)
        return new, self._relative(np.sqrt(moved)), objective

    def is_cancelled(self, value, dtype):
        return False  # always taken as a difference

    def objective(self, Wt, H):
        _, value = self._sweep(Wt.copy(), H, 0, 0.0)
        return value + self.half_squared_norm + self.penalty.value(Wt, H)

    def solve_W(self, H):
        """The exact W for this H, of shape (n_samples, n_components), float64."""
        H = np.ascontiguousarray(H, dtype=np.float64)
        W = np.empty((self.rows.shape[0], len(H)))
        ridge = self.penalty.l2_W * np.eye(len(H))

        def solve(start, stop, Q, A):
            guess = np.zeros_like(A)
            sweep_rows(Q, A, guess, 0, self.penalty.l1_W, self.penalty.l2_W, 8, 0.0)
            W[start:stop] = solve_nnls_rows(guess, A - self.penalty.l1_W, Q + ridge)

        self.map_blocks(H, solve)
        return W

    def residual_W(self, Wt, H):
        """‖min(W, gradient / curvature) √curvature‖ / size of X."""
        step = np.zeros(Wt.shape)
        F = Wt.astype(np.float64)
        ridge = self.penalty.l2_W * np.eye(len(H))

        def measure(start, stop, Q, A):
            Q = Q + ridge
            curvature = np.einsum("itt->ti", Q)
            f = F[:, start:stop]
            gradient = np.einsum("itu,ui->ti", Q, f) - A + self.penalty.l1_W
            alive = curvature > 0
            newton = np.divide(gradient, curvature, out=np.zeros_like(f), where=alive)
            step[:, start:stop] = np.minimum(f, newton) * np.sqrt(np.where(alive, curvature, 1))

        self.map_blocks(np.ascontiguousarray(H, dtype=np.float64), measure)
        return self._relative(np.linalg.norm(step))

    def _sweep(self, Wt, H, max_sweeps, inner_tol):
        """Sweep all rows in place: (squared length of the first step, Σ ½ w G w − a·w)."""
        l1, l2 = Wt.dtype.type(self.penalty.l1_W), Wt.dtype.type(self.penalty.l2_W)

        def sweep(start, stop, Q, A):
            return sweep_rows(Q, A, Wt, start, l1, l2, max_sweeps, inner_tol)

        sums = self.map_blocks(np.ascontiguousarray(H), sweep)
        return sum(s[0] for s in sums), sum(s[1] for s in sums)

    def map_blocks(self, H, function):
        """``function(start, stop, Q, A)`` with the rows' Gram matrices and linear terms."""
        rows, k = self.rows, len(H)
        if rows.is_sparse:
            X = rows.X
            values = X.data.astype(H.dtype, copy=False)
            weight = np.ones(1) if rows.weight is None else rows.weight
            weight = weight.astype(H.dtype, copy=False)
            Ht = np.ascontiguousarray(H.T)

            def block(start, stop):
                grams = csr_grams(X.indptr, X.indices, values, weight, Ht, start, stop)
                return function(start, stop, *grams)

        else:

            def block(start, stop):
                xv, v = rows.block(start, stop, always_weights=True)
                xv, v = xv.astype(H.dtype, copy=False), v.astype(H.dtype, copy=False)
                return function(start, stop, row_grams(v, H), H @ xv.T)

        entries = rows.X.nnz if rows.is_sparse else rows.shape[0] * rows.shape[1]
        per_row = 2.0 * k * (k + 3) * (entries / max(rows.shape[0], 1) + 1)
        # The Gram matrices of a block fit in the cache.
        most = max(4_000_000 // (8 * k * k), 16)
        blocks = blocks_of(
            rows.shape[0], max(per_row, 2e7 / most), target=2e7, multiple=8, smallest=8
        )
        return self.workers.map(block, blocks)


def _weighted_sums(rows):
    """Σ v x², Σ v x and Σ v over the observed entries."""
    sums = np.zeros(3)
    for x, v in rows.values():
        v = np.broadcast_to(1.0 if v is None else v, x.shape)
        for power in (2, 1, 0):
            sums[2 - power] += np.sum(v * np.power(x, power, dtype=np.float64), dtype=np.float64)
    return tuple(sums.tolist())


class FilledProblem(WeightedProblem):
    """The same problem for a dense X with few holes, by majorization.

    With Y the model at the start of a half step and V at most v, the entries
    Y + (V / v)(X − Y) are complete, have the same gradient there, and lie above the loss
    elsewhere: so a half step on them, with one Gram matrix for all rows, never raises it. A half
    step costs 4 n_samples n_features n_components operations, n_components / 2 times less than
    with a Gram matrix a row, and converges as fast as the average of V / v is large.
    """

    coarse_options = {"max_iter": 30, "min_decrease": 1e-3}

    magnitude = 0.0  # the loss is summed, never a difference
    fill_needs_start = True

    def __init__(self, rows, penalty, workers, sums=None):
        super().__init__(rows, penalty, workers, sums)
        self._largest = rows.largest_weight

    def part(self, chosen, dtype):
        ratio = len(chosen) / self.rows.shape[0]
        return FilledProblem(
            self.rows.take(chosen, dtype), self.penalty.with_samples(ratio), self.workers
        )

    def transposed(self):
        return FilledProblem(self.rows.T, self.penalty.transposed, self.workers, self._sums)

    def step_H(self, Wt, H, safe=False, valued=False, **accuracy):
        A = np.zeros_like(H)
        for part in self.map_filled(Wt, H, lambda s, e, X: Wt[:, s:e] @ X):
            A += part
        p = self.penalty
        new, residual = self._half_step(A, Wt, H, p.l1_H, p.l2_H, **accuracy)
        return new, residual, self.objective(Wt, new) if valued else None

    def step_W(self, H, Wt, safe=False, valued=False, **accuracy):
        A = np.empty_like(Wt)

        def multiply(start, stop, X):
            A[:, start:stop] = H @ X.T

        self.map_filled(Wt, H, multiply)
        p = self.penalty
        new, residual = self._half_step(A, H, Wt, p.l1_W, p.l2_W, **accuracy)
        return new, residual, self.objective(new, H) if valued else None

    def objective(self, Wt, H):
        def error(start, stop, X, Y, V):
            return weighted_error(X, Y, V)

        total = sum(self._map_model(Wt, H, error))
        return 0.5 * total + self.penalty.value(Wt, H)

    def fill_W(self, H, Wt):
        for _ in range(4):
            Wt, residual, _ = self.step_W(H, Wt, max_sweeps=100, inner_tol=1e-3)
        return Wt, residual, self.objective(Wt, H)

    def _half_step(self, A, other, F, l1, l2, max_sweeps=20, inner_tol=0.01):
        G = self._largest * gram(other) + l2 * np.eye(len(F))
        A *= F.dtype.type(self._largest)
        A -= F.dtype.type(l1)
        swept = coordinate_sweeps(
            F, A, G, self.workers, max_sweeps=max_sweeps, inner_tol=inner_tol, out=A
        )
        if l1:
            drop_dead(A, G)
        return A, self._relative(swept.step)

    def map_filled(self, Wt, H, function):
        def filled(start, stop, X, Y, V):
            fill_block(X, Y, V, Y.dtype.type(self._largest))
            return function(start, stop, Y)

        return self._map_model(Wt, H, filled)

    def _map_model(self, Wt, H, function):
        """``function(start, stop, X, Y, V)`` for blocks of rows of X and the model there."""

        def block(start, stop):
            X, V = self.rows.raw_block(start, stop)
            return function(start, stop, X, Wt[:, start:stop].T @ H, V)

        work = 4.0 * len(H) * self.rows.shape[1]
        return self.workers.map(block, self.rows.blocks(work))
