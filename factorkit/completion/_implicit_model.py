"""The model of implicit feedback: preferences of 0 and 1, with confidences, over all entries."""

from dataclasses import dataclass

import numpy as np

from ..utils._linalg import gram, squared_norm
from ..utils._sparse_kernels import aligned_zeros, padded_width
from ._half_steps import balance, cg, rotate, solve_normal


@dataclass(frozen=True)
class ImplicitModel:
    """Σ c_ij (p_ij − u_i·v_j)² over all entries, and ridge penalties.

    A side's weights are c − 1, which is 0 where nothing is stored; so the quadratic form of a
    line is that of all other lines, VᵀV, and a sum over its entries. In the basis in which VᵀV is
    diagonal the first part costs nothing.
    """

    n_factors: int
    alpha: float
    solver: str = "cg"
    cg_steps: int = 3
    positive = row_bias = column_bias = False

    @property
    def n_coefficients(self):
        return self.n_factors

    def zeros(self, n_lines, dtype):
        return aligned_zeros((n_lines, padded_width(self.n_factors, dtype)), dtype)

    def ridge(self, side):
        return np.full(len(side), self.alpha, side.weights.dtype)

    def penalty(self, side, X):
        return self.alpha * squared_norm(X)

    def before_rows(self, iteration, rows, columns, U, V, previous):
        """Change the basis so that VᵀV is diagonal; now and then so that it equals UᵀU."""
        if iteration in (1, 2) or iteration % 4 == 3:
            ridges = self.ridge(rows), self.ridge(columns)
            balance(*ridges, self.n_factors, False, U, V, previous)
        else:
            rotate(self.n_factors, V, U, previous)

    def before_columns(self, rows, U, V, previous):
        """Turn the basis so that UᵀU is diagonal."""
        rotate(self.n_factors, U, V, previous)

    def half_step(self, side, X, other, own_bias, workers, *, looks=True, **options):
        """Move the lines X of a side, in place; the `HalfStep`, or None unless it looks."""
        if self._cg:
            return self.look(side, X, other, own_bias, workers, self.cg_steps)
        before = self.look(side, X, other, own_bias, workers) if looks else None
        self._solve(side, X, other, workers)
        return before

    def look(self, side, X, other, own_bias, workers, n_steps=0):
        """Return the `HalfStep` of lines that stay where they are; VᵀV has to be diagonal."""
        spectrum = np.einsum("ij,ij->j", other, other)
        everywhere = float(np.einsum("ij,ij->j", X, X) @ spectrum)
        before = cg(
            side, X, other, self.ridge(side), n_steps, workers,
            values=np.empty(0, other.dtype), base=spectrum,
        )  # fmt: skip
        return before._replace(loss=before.loss + everywhere)

    def solve(self, side, other, own_bias, workers):
        """Return the exact coefficients of the lines of a side."""
        X = self.zeros(len(side), side.weights.dtype)
        self._solve(side, X, other, workers)
        return X

    @property
    def _cg(self):
        return self.solver == "cg"

    def _solve(self, side, X, other, workers):
        k = self.n_factors
        base = gram(other[:, :k].T).astype(other.dtype)
        solve_normal(
            side, X, other, self.ridge(side), k, workers,
            values=side.weights + 1, base=base, direct=True,
        )  # fmt: skip
