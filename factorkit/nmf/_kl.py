"""NMF with the Kullback-Leibler divergence, on complete, weighted or incomplete data.

    min_{W, H >= 0}  Σ_ij V_ij (x_ij log(x_ij / y_ij) − x_ij + y_ij) + penalties,    Y = W H

Only Σ_j V_ij h_tj is needed of the entries where x = 0, so a sparse X costs its nonzeros, and W H
is not formed for it. Where W H vanishes it counts as 1e-30 times the mean of the nonzeros (1e-12
in float32), so that the divergence stays finite.
"""

import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from ..utils._linalg import products_at, squared_norm
from ..utils._sparse_kernels import padded_rows
from ..utils._threads import blocks_of
from ._kl_kernels import divergence_sum, positive_sums, sweep_csr_rows, sweep_dense_rows
from ._kl_newton import CsrRowsOfX, DenseRowsOfX, newton_rows
from ._problem import DIGITS, Problem
from ._quadratic import quadratic_coefficients, quadratic_factors

# Sweeps that `fill_W` does where least squares do not tell the start.
_FILL_SWEEPS = 3
# So few of the samples tell what `fill_W` asks.
_EVERY = 50
# Entries whose weights' logarithms are taken at a time.
_SUMMED = 2**16


class KullbackLeiblerProblem(Problem):
    """Half steps, exact solves and objective for one X, given as DenseRows or CsrRows.

    A half step is one sweep of coordinate steps. A step is Newton's method for 1/r(w) = 1/a,
    where a − r(w) is the derivative: 1/r is concave in w, so that the step can't overshoot from
    the left and is bolder there than Newton's method for r(w) = a. It costs one division and six
    operations a nonzero: 2 nnz(X) n_components divisions an iteration. An iteration that raises
    the objective is taken back, and repeated with multiplicative steps if it was plain.

    References
    ----------
    C.-J. Hsieh and I. S. Dhillon, "Fast Coordinate Descent Methods with Variable Selection for
    Non-negative Matrix Factorization", KDD 2011 (the plain Newton step, and the sparse trick).
    """

    # The divergence is infinite where the model is zero and the data is not.
    keep = 0.1

    def __init__(self, rows, penalty, workers, constants=None):
        self.rows, self.penalty, self.workers = rows, penalty, workers
        # Σ V x log V, which the sweeps leave out, and the mean of the nonzeros: the same for the
        # transpose.
        if constants is None:
            sums = [_value_sums(x, v) for x, v in rows.values()]
            self.constant, total, weight = (sum(part) for part in zip(*sums, strict=True))
            self.mean, self.magnitude = (total / weight, total) if weight else (1.0, 0.0)
        else:
            self.constant, self.mean, self.magnitude = constants
        self._transposed = None

    @property
    def data(self):
        return self.rows

    @property
    def typical(self):
        return self.mean

    @property
    def coarse_options(self):
        # After the quadratic little is left to do.
        return {"max_iter": 2 if self._is_nearly_quadratic else 12, "min_decrease": 3e-3}

    @property
    def _is_nearly_quadratic(self):
        p = self.penalty
        return self.rows.is_complete and self.magnitude > 0 and not (p.on_W or p.on_H)

    def transposed(self):
        if self._transposed is None:
            self._transposed = KullbackLeiblerProblem(
                self.rows.T,
                self.penalty.transposed,
                self.workers,
                (self.constant, self.mean, self.magnitude),
            )
            self._transposed._transposed = self
        return self._transposed

    def part(self, chosen, dtype):
        ratio = len(chosen) / self.rows.shape[0]
        return KullbackLeiblerProblem(
            self.rows.take(chosen, dtype), self.penalty.with_samples(ratio), self.workers
        )

    def approach(self, Wt, H):
        if not self._is_nearly_quadratic:
            return Wt, H
        dtype = np.float32 if self.fits_single(Wt, H) else Wt.dtype
        start = Wt.astype(dtype, copy=False), H.astype(dtype, copy=False)
        near = quadratic_factors(self.rows.X, *start, self.workers)
        if self.objective(*near) < self.objective(*start):
            Wt, H = (F.astype(Wt.dtype, copy=False) for F in near)
        return Wt, H

    def step_H(self, Wt, H, safe=False, valued=False):
        return self.transposed().step_W(Wt, H, safe, valued)

    def step_W(self, H, Wt, safe=False, valued=False, max_sweeps=1):
        if safe is None:  # the start: the total of W H may be far from that of X
            Wt = Wt * Wt.dtype.type(self._best_scale(Wt, H))
        new = Wt.copy()
        moved, *value = self._sweep(new, H, bool(safe), max_sweeps, valued)
        norm = np.sqrt(squared_norm(new))
        residual = np.sqrt(moved) / norm if norm else 0.0
        if not valued:
            return new, residual, None
        return new, residual, self._value(*value, new, H) + self.penalty.value(new, H)

    def fill_W(self, H, Wt):
        """W for all samples after H came from a part of them."""
        if not self.rows.is_complete:
            flat = self._flat_start(H, H.dtype)
            return self.step_W(H, flat, valued=True, max_sweeps=_FILL_SWEEPS)
        mean = np.asarray(self.rows.X[::_EVERY].mean(axis=0), dtype=np.float64)
        mean = np.maximum(mean, 1e-3 * self.mean)
        Wt = quadratic_coefficients(self.rows.X, H, mean, self.workers)
        residual, gain = self._try_sweep(Wt, H)
        if gain > 0.1:
            return self.step_W(H, Wt, valued=True)
        return Wt, residual, self.objective(Wt, H)

    def sweep_W(self, H, n_sweeps):
        """W for this H, about: a row, as of `solve_W`, depends on nothing but itself and H."""
        return self.step_W(H, self._flat_start(H, H.dtype), max_sweeps=n_sweeps)[0].T

    def _try_sweep(self, Wt, H):
        """The residual of some of the samples, and what part of their objective a sweep gains."""
        some = np.arange(0, self.rows.shape[0], _EVERY)
        part, Wt = self.part(some, H.dtype), np.ascontiguousarray(Wt[:, some])
        before = part.objective(Wt, H)
        _, residual, after = part.step_W(H, Wt, valued=True)
        return residual, 1 - after / before if before > 0 else 0.0

    def objective(self, Wt, H):
        if self.rows.is_sparse:
            _, *value = self._sweep(Wt.copy(), H, False, 0)
            loss = self._value(*value, Wt, H)
        else:
            loss = self._dense_loss(Wt, H)
        return loss + self.penalty.value(Wt, H)

    def _value(self, value, apart, Wt, H):
        """The loss from what a sweep says, or entry by entry where that has too few digits."""
        value -= self.constant
        if value >= DIGITS * np.finfo(H.dtype).eps * (apart + abs(self.constant)):
            return value
        Wt, H = Wt.astype(np.float64), H.astype(np.float64)
        rows = self.rows
        if not rows.is_sparse:
            return self._dense_loss(Wt, H)
        X = rows.X
        weight = np.float64(1) if rows.weight is None else rows.weight.astype(np.float64)
        owner = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        model = products_at(Wt, H, owner, X.indices) + self._floor(H.dtype)
        total = divergence_sum(X.data * weight, model * weight)
        # The zeros' part of the model is what the nonzeros leave of the total.
        others = 0.0 if rows.only_stored else Wt.sum(axis=1) @ H.sum(axis=1) - model.sum()
        return total + others

    def _dense_loss(self, Wt, H):
        """The loss entry by entry, in the precision of the factors."""
        floor = self._floor(H.dtype)

        def block(start, stop):
            X, V = self.rows.block(start, stop)
            Y = Wt[:, start:stop].T @ H
            Y += floor
            if V is not None:
                Y *= V
            return divergence_sum(X.astype(Y.dtype, copy=False).ravel(), Y.ravel())

        return sum(self.workers.map(block, self._blocks(H)))

    def solve_W(self, H):
        """The exact W for this H, of shape (n_samples, n_components), float64.

        Projected Newton steps, each 1 + n_components / 2 passes of 2 n_components operations over
        a row's nonzeros; 4 to 8 of them. A row depends on nothing but itself and H.
        """
        H = np.ascontiguousarray(H, dtype=np.float64)
        Wt = self._flat_start(H, np.float64)
        self._sweep(Wt, H, False, 8, valued=False)
        l1, l2, floor = self.penalty.l1_W, self.penalty.l2_W, self._floor(H.dtype)
        Ht = np.ascontiguousarray(H.T) if self.rows.is_sparse else None

        def dense(X, base, start):
            part = slice(start, start + len(X))
            source = DenseRowsOfX(X, H, floor)
            W, failed = newton_rows(source, np.arange(len(X)), Wt[:, part].T, base.T, l1, l2)
            Wt[:, part] = W.T
            return failed

        def csr(parts, base, start, stop):
            base = base if base.shape[1] == 1 else base[:, start:stop]
            source = CsrRowsOfX(*parts, Ht, floor)
            W, failed = newton_rows(
                source, np.arange(start, stop), Wt[:, start:stop].T, base.T, l1, l2
            )
            Wt[:, start:stop] = W.T
            return failed

        failed = sum(self._map_rows(H, dense, csr, self._exact_blocks(len(H))))
        if failed:
            warnings.warn(
                f"{failed} of {len(Wt.T)} rows were not solved to full accuracy.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return np.ascontiguousarray(Wt.T)

    def residual_W(self, Wt, H):
        """‖min(W, gradient / (Σ V H + penalty))‖ / ‖W‖."""
        # A multiplicative step in all coordinates at once moves F by F ∘ (r / a - 1).
        Wt, H = Wt.astype(np.float64), np.ascontiguousarray(H, dtype=np.float64)
        Ht = np.ascontiguousarray(H.T) if self.rows.is_sparse else None
        step = np.zeros_like(Wt)
        p = self.penalty
        size = Wt.max(initial=0.0)

        def measure(r, base, start, stop):
            f = Wt[:, start:stop]
            a = base + p.l1_W + p.l2_W * f
            relative = np.divide(r - a, a, out=np.zeros_like(r), where=a > 0)
            step[:, start:stop] = np.where(f > 0, f * relative, size * np.clip(relative, 0, 1))

        def dense(X, base, start):
            stop = start + len(X)
            Y = Wt[:, start:stop].T @ H + self._floor(H.dtype)
            measure(H @ (X / Y).T, base, start, stop)

        def csr(parts, base, start, stop):
            indptr, columns, values = parts
            part = slice(indptr[start], indptr[stop])
            owner = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
            y = products_at(Wt, H, owner, columns[part]) + self._floor(H.dtype)
            shape = (stop - start, len(Ht))
            ratio = sparse.csr_array(
                (values[part] / y, columns[part], indptr[start : stop + 1] - indptr[start]), shape
            )
            base = base if base.shape[1] == 1 else base[:, start:stop]
            measure((ratio @ Ht).T, base, start, stop)

        self._map_rows(H, dense, csr, self._blocks(H))
        norm = np.linalg.norm(Wt)
        return float(np.linalg.norm(step) / norm) if norm else float(np.any(step))

    def _floor(self, dtype):
        # In float32 a smaller floor would make (h / y)² overflow.
        return dtype.type((1e-30 if dtype == np.float64 else 1e-12) * self.mean)

    def _sweep(self, Wt, H, safe, max_sweeps, valued=True):
        """Sweep all rows in place; returns the sums of `sweep_dense_rows`."""
        dtype = H.dtype
        floor = self._floor(dtype)
        options = (
            dtype.type(self.penalty.l1_W),
            dtype.type(self.penalty.l2_W),
            floor,
            dtype.type(1 / self.mean),
            safe,
            max_sweeps,
            valued,
        )
        H = np.ascontiguousarray(H)
        # The last row, of zeros, is for what lies beyond a row's nonzeros.
        tall = padded_rows(H, zero_rows=1)

        def dense(X, base, start):
            # BLAS makes the model several times as fast as a loop over components would.
            Y = Wt[:, start : start + len(X)].T @ H
            Y += floor
            return sweep_dense_rows(X, Y, Wt, H, tall, base, start, *options)

        def csr(parts, base, start, stop):
            return sweep_csr_rows(*parts, Wt, tall, base, start, stop, *options)

        sums = self._map_rows(H, dense, csr, self._blocks(H))
        return tuple(sum(part) for part in zip(*sums, strict=True))

    def _blocks(self, H):
        work = 8.0 * len(H)  # operations an entry
        return self.rows.blocks(work if self.rows.is_sparse else work * self.rows.shape[1])

    def _exact_blocks(self, k):
        # The Hessians and the model of a block stay near the second cache, but where that would
        # be so few rows that the products of pairs of components, which they share, cost more.
        n, m = self.rows.shape
        if self.rows.is_sparse:
            return blocks_of(n, k**2, target=2**18, multiple=8, smallest=8)
        few = min(2 * k, 2**19 // max(m, 1))
        return blocks_of(n, max(k**2, 2 * m), target=2**18, multiple=8, smallest=max(few, 8))

    def _map_rows(self, H, dense, csr, blocks):
        """Call one of two functions on blocks of rows, with Σ_j V_ij h_tj as `base`.

        `base` has one column where all rows share it, else one a row: of the block for `dense`,
        of all rows for `csr`.
        """
        rows, dtype = self.rows, H.dtype
        shared = H.sum(axis=1, dtype=np.float64).astype(dtype)[:, None]
        if not rows.is_sparse:

            def block(start, stop):
                X, V = rows.block(start, stop)
                base = shared if V is None else H @ V.astype(dtype, copy=False).T
                return dense(X.astype(dtype, copy=False), base, start)

            return self.workers.map(block, blocks)

        X, base = rows.X, shared
        if rows.only_stored:
            weight = np.ones(X.nnz, dtype) if rows.weight is None else rows.weight.astype(dtype)
            V = sparse.csr_array((weight, X.indices, X.indptr), shape=X.shape)
            base = np.ascontiguousarray((V @ H.T).T)
        values = X.data if rows.weight is None else X.data * rows.weight
        parts = (X.indptr, X.indices, values)
        return self.workers.map(lambda start, stop: csr(parts, base, start, stop), blocks)

    def _flat_start(self, H, dtype):
        """The same share of a row's total for all components, whatever their lengths."""
        totals = np.zeros(self.rows.shape[0])
        bases = np.zeros(self.rows.shape[0])
        lengths = H.sum(axis=1, dtype=np.float64)
        scale = np.divide(1, lengths, out=np.zeros(len(H)), where=lengths > 0)
        column, shared = scale @ H, np.count_nonzero(lengths)
        if self.rows.is_sparse:
            X = self.rows.X
            weight = 1.0 if self.rows.weight is None else self.rows.weight
            owner = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            totals = np.bincount(owner, X.data * weight, X.shape[0])
            if self.rows.only_stored:
                bases = np.bincount(owner, column[X.indices] * weight, X.shape[0])
            else:
                bases[:] = shared
        else:
            for start, stop in self.rows.blocks(0):
                X, V = self.rows.block(start, stop)
                totals[start:stop] = X.sum(axis=1, dtype=np.float64)
                bases[start:stop] = shared if V is None else V @ column
        flat = np.divide(totals, bases, out=np.zeros(len(bases)), where=bases > 0)
        return np.outer(scale, flat).astype(dtype)

    def _best_scale(self, Wt, H):
        """The factor that gives W H the total of X."""
        if not self.rows.is_complete:
            return 1.0
        total = float(Wt.sum(axis=1, dtype=np.float64) @ H.sum(axis=1, dtype=np.float64))
        return self.magnitude / total if total > 0 and self.magnitude > 0 else 1.0


def _value_sums(x, v):
    """Σ v x log v, Σ v x, and Σ v where x is positive, for weights v or None."""
    if v is None:
        return 0.0, *positive_sums(x)
    sums = np.zeros(3)
    for start in range(0, x.size, _SUMMED):
        xs, vs = (z[start : start + _SUMMED].astype(np.float64) for z in (x, v))
        logs = np.log(vs, out=np.zeros_like(vs), where=vs > 0)
        xs *= vs
        sums += xs @ logs, xs.sum(), vs[xs > 0].sum()
    return sums
