"""The model of ratings: factors and biases, penalized, over observed entries."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..utils._sparse_kernels import aligned_zeros, padded_width
from ._half_steps import SQUARED, Loss, balance, cg, descend, solve_normal

# Thresholds in standard deviations. Under normal noise they keep 95 % (the usual choice) and 98 %
# of the efficiency of least squares; entries that Tukey's loss is for lie far beyond.
HUBER, TUKEY = 1.345, 6.0
# Sweeps of coordinate descent a half step, and for an exact solve.
_SWEEPS, _MOST_SWEEPS = 4, 10_000
# Most reweightings of an exact solve with a robust loss.
_REWEIGHTINGS = 200
# From so many coefficients on, conjugate gradients get to the rounding errors of single precision
# sooner than Cholesky factorizations: in ten steps or so, if the penalty is as large as cross
# validation chooses it. Rows that need more are factored after all.
_STEPS_FROM, _MOST_STEPS = 96, 16
# What is left of the squared norm of the gradient then, and the condition number up to which that
# is little.
_EXACT, _CONDITION = 1e-12, 100


@dataclass(frozen=True)
class Model:
    """x̂_ij = mean + b_i + c_j + u_i·v_j, its penalty, and how half steps solve it.

    Attributes
    ----------
    n_factors : int
    mean : float
    row_bias, column_bias : bool
    alpha : float
        Weight of the penalty of a line, or with `by_counts` of each of its entries.
    by_counts : bool
    solver : {"cg", "cholesky"}
        Ignored where `positive`, for which coordinate descent solves.
    cg_steps : int
    positive : bool
        Factors are nonnegative; biases are free.
    """

    n_factors: int
    mean: float
    row_bias: bool
    column_bias: bool
    alpha: float
    by_counts: bool
    solver: str = "cg"
    cg_steps: int = 3
    positive: bool = False

    @property
    def n_coefficients(self):
        return self.n_factors + (self.row_bias or self.column_bias)

    def zeros(self, n_lines, dtype):
        return aligned_zeros((n_lines, padded_width(self.n_coefficients, dtype)), dtype)

    def ridge(self, side):
        """Weight of the penalty of each line."""
        if self.by_counts:
            return (self.alpha * side.totals).astype(side.dtype)
        return np.full(len(side), self.alpha, side.dtype)

    def penalty(self, side, X):
        squares = np.einsum("ij,ij->i", X, X)
        return float(self.ridge(side).astype(np.float64) @ squares)

    def before_rows(self, iteration, rows, columns, U, V, previous):
        """Balance the factors, which in every iteration would cost more than it gains."""
        if iteration % 4 == 3:
            ridges = self.ridge(rows), self.ridge(columns)
            balance(*ridges, self.n_factors, self.positive, U, V, previous)

    def before_columns(self, rows, U, V, previous):
        """The basis that suits the rows' half step suits the columns' too."""

    def half_step(
        self, side, X, other, own_bias, workers, *, loss=SQUARED, residuals=None, looks=True
    ):
        """Move the lines X of a side, in place, and return the `HalfStep`, or None unless it looks.

        `residuals` gets those of the entries before the step.
        """
        with self._design(other, own_bias) as (F, offsets):
            options = {"offsets": offsets, "loss": loss, "residuals": residuals}
            if self.positive:
                return self._descend(side, X, F, _SWEEPS, 0.0, workers, options)
            if self.solver == "cg":
                return cg(side, X, F, self.ridge(side), self.cg_steps, workers, **options)
            before = cg(side, X, F, self.ridge(side), 0, workers, **options) if looks else None
            self._solve(side, X, F, offsets, workers, loss)
            return before

    def look(self, side, X, other, own_bias, workers, **options):
        """Return the `HalfStep` of lines that stay where they are."""
        with self._design(other, own_bias) as (F, offsets):
            return cg(side, X, F, self.ridge(side), 0, workers, offsets=offsets, **options)

    def solve(self, side, other, own_bias, workers, *, loss=SQUARED):
        """Return the exact coefficients of the lines of a side.

        A robust loss is minimized by reweighting until no coefficient moves any more: Huber's,
        which is convex, from the least-squares solution, and Tukey's from Huber's.
        """
        X = self.zeros(len(side), side.dtype)
        stages = [SQUARED]
        if loss.is_robust:
            stages.append(Loss(loss.threshold * (HUBER / TUKEY if loss.redescends else 1)))
        if loss.redescends:
            stages.append(loss)
        with self._design(other, own_bias) as (F, offsets):
            for stage in stages:
                self._reweight(side, X, F, offsets, workers, stage)
        return X

    def _reweight(self, side, X, F, offsets, workers, loss):
        """Solve each line, reweighted until its own coefficients have settled."""
        if not loss.is_robust:
            self._solve_once(side, X, F, offsets, workers, loss)
            return
        tol = np.finfo(side.dtype).eps ** 0.75
        moving = np.arange(len(side))
        for _ in range(_REWEIGHTINGS):
            before, after = X[moving], X[moving]
            self._solve_once(side, after, F, offsets, workers, loss)
            X[moving] = after
            change = np.abs(after - before).max(axis=1, initial=0)
            still = change > tol * np.abs(after).max(axis=1, initial=0)
            if not still.any():
                return
            if not still.all():
                moving, side = moving[still], side.lines(np.flatnonzero(still))

    def _solve_once(self, side, X, F, offsets, workers, loss):
        if self.positive:
            tol = np.finfo(side.dtype).eps ** 0.75
            options = {"offsets": offsets, "loss": loss}
            self._descend(side, X, F, _MOST_SWEEPS, tol, workers, options)
        elif not loss.is_robust and self._is_sooner_by_steps(side, F):
            self._solve_by_steps(side, X, F, offsets, workers)
        else:
            self._solve(side, X, F, offsets, workers, loss)

    def _is_sooner_by_steps(self, side, F):
        if self.solver != "cg" or self.n_coefficients < _STEPS_FROM or side.dtype != np.float32:
            return False
        mean_square = side.shares @ np.einsum("ij,ij->i", F, F, dtype=np.float64)
        return bool(np.all(self.ridge(side) >= mean_square * side.totals / _CONDITION))

    def _solve_by_steps(self, side, X, F, offsets, workers):
        X[:] = 0  # the result must not depend on where a row comes from
        ended = np.zeros(len(side), bool)
        cg(
            side, X, F, self.ridge(side), _MOST_STEPS, workers, offsets=offsets, enough=_EXACT,
            ended=ended,
        )  # fmt: skip
        left = np.flatnonzero(~ended)
        if len(left):
            rows = X[left]
            self._solve(side.lines(left), rows, F, offsets, workers, SQUARED)
            X[left] = rows

    @contextmanager
    def _design(self, other, own_bias):
        """(Rows f of the least-squares problems, what the other side's lines add by themselves).

        Where the other side's biases were, ones stand meanwhile: no copy of a factor is made.
        """
        offsets = np.full(len(other), self.mean, other.dtype)
        if self.n_coefficients == self.n_factors:
            yield other, offsets
            return
        biases = other[:, self.n_factors].copy()
        offsets += biases
        other[:, self.n_factors] = own_bias
        try:
            yield other, offsets
        finally:
            other[:, self.n_factors] = biases

    def _descend(self, side, X, F, n_sweeps, tol, workers, options):
        return descend(
            side, X, F, self.ridge(side), self.n_factors, self.n_coefficients, n_sweeps, tol,
            workers, **options,
        )  # fmt: skip

    def _solve(self, side, X, F, offsets, workers, loss):
        ridge, weights = self.ridge(side), side.weights
        if loss.is_robust:
            r = np.empty_like(side.values)
            cg(side, X, F, ridge, 0, workers, offsets=offsets, residuals=r)
            weights = loss.weights(r)
            weights = weights * side.weights if side.weights.size else weights
        solve_normal(
            side, X, F, ridge, self.n_coefficients, workers, weights=weights, offsets=offsets
        )
