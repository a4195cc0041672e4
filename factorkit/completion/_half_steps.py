"""Half steps: the least-squares problems of every line of one side, the other side fixed.

A *line* is a row of the matrix in one half step and a column in the other. Its coefficients are
a row of an array of shape (n_lines, padded number of coefficients): the factor, then the line's
bias where the model has biases, then zeros up to whole SIMD vectors. The wrappers here run the
kernels over blocks of lines, in threads.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..utils._threads import blocks_of
from ._als_kernels import cg_rows, positive_rows
from ._normal_kernels import normal_rows

# Conjugate gradients go on until the squared norm of the gradient is this part of the first.
_ENOUGH = 1e-2
# Rows of a factor in a temporary array.
_ROWS = 4096
# Added to the diagonals of Gram matrices, in parts of their mean.
_FLOOR = 1e-6
# Squares whose products would leave the range of the numbers.
_NOTHING = 1e-100


class Loss(NamedTuple):
    """What a residual costs: r², Huber's loss, or with `redescends` Tukey's biweight.

    Huber's is 2 t |r| − t² beyond the threshold t; Tukey's t² (1 − (1 − (r/t)²)³) / 3 up to it,
    and t² / 3 beyond.
    """

    threshold: float = np.inf
    redescends: bool = False

    @property
    def is_robust(self):
        return np.isfinite(self.threshold)

    def weights(self, r):
        """What is left of the weight of an entry, by its residual."""
        if self.redescends:
            rest = np.maximum(1 - np.square(r / r.dtype.type(self.threshold)), 0)
            return np.square(rest)
        size = np.maximum(np.abs(r), np.finfo(r.dtype).tiny)
        return np.minimum(1, self.threshold / size).astype(r.dtype, copy=False)


SQUARED = Loss()


class HalfStep(NamedTuple):
    """What a half step saw before it moved: sums over all lines, in float64."""

    loss: float
    penalty: float
    step: float
    size: float

    def residual(self, floor=0.0):
        """Norm of the preconditioned gradient, relative to that of the coefficients.

        `floor` is what the sum of their squares counts at least.
        """
        size = max(self.size, floor)
        return float(np.sqrt(self.step / size)) if size > 0 else float(self.step > 0)


def cg(
    side, X, F, ridge, n_steps, workers, *,
    values=None, offsets=None, base=None, loss=SQUARED, residuals=None, enough=_ENOUGH, ended=None,
):  # fmt: skip
    """Some conjugate gradient steps for all lines, in place; none only looks. See `cg_rows`."""
    mean_squares = np.zeros(F.shape[1], F.dtype)
    for part in _parts(F):
        mean_squares += np.square(F[part]).T @ side.shares[part].astype(F.dtype)
    nothing = np.empty(0, F.dtype)
    base = np.zeros(F.shape[1], F.dtype) if base is None else base
    values = side.values if values is None else values
    offsets = nothing if offsets is None else offsets
    residuals = nothing if residuals is None else residuals
    ended = np.empty(0, bool) if ended is None else ended

    def run(first, last):
        return cg_rows(
            side.indptr, side.indices, values, side.weights, offsets, *loss,
            F, mean_squares, base, ridge, n_steps, enough, X, residuals, ended, first, last,
        )  # fmt: skip

    return _total(workers.map(run, _blocks(side, 4 * (n_steps + 1) * F.shape[1])))


def descend(
    side, X, F, ridge, n_positive, n_coefficients, n_sweeps, tol, workers, *,
    offsets, loss=SQUARED, residuals=None,
):  # fmt: skip
    """Coordinate descent with nonnegative coefficients, in place. See `positive_rows`."""
    residuals = np.empty(0, F.dtype) if residuals is None else residuals

    def run(first, last):
        return positive_rows(
            side.indptr, side.indices, side.values, side.weights, offsets, *loss,
            F, ridge, n_positive, n_coefficients, n_sweeps, F.dtype.type(tol),
            X, residuals, first, last,
        )  # fmt: skip

    return _total(workers.map(run, _blocks(side, 2 * n_coefficients**2)))


def solve_normal(
    side, X, F, ridge, n_coefficients, workers, *,
    values=None, weights=None, offsets=None, base=None, direct=False,
):  # fmt: skip
    """Exact solutions by the normal equations, in place. See `normal_rows`."""
    k = n_coefficients
    base = np.zeros((k, k), F.dtype) if base is None else base
    values = side.values if values is None else values
    weights = side.weights if weights is None else weights
    offsets = np.empty(0, F.dtype) if offsets is None else offsets
    linear, no_noise = np.zeros(k, F.dtype), np.zeros((0, 0), F.dtype)

    def run(first, last):
        normal_rows(
            side.indptr, side.indices, values, weights, offsets, direct,
            F, base, linear, ridge, no_noise, X, first, last,
        )  # fmt: skip

    workers.map(run, _blocks(side, k**2, k**3 / 3))


def rotate(k, V, *others):
    """Turn the basis of the factors, in place, so that VᵀV is diagonal.

    Neither products u·v nor norms change.
    """
    _, basis = np.linalg.eigh((V[:, :k].T @ V[:, :k]).astype(np.float64))
    basis = basis.astype(V.dtype)
    for A in (V, *others):
        _change_basis(A, k, basis)


def balance(ridge_U, ridge_V, k, positive, U, V, *others_like_V):
    """Change the basis of the factors, in place, so that their penalties are least.

    Products u·v stay. In the new basis Uᵀ Λ U = Vᵀ Λ V, Λ being the ridges of the lines, and both
    are diagonal; alternation alone gets there slowly, at a rate of the order of the penalty.
    Nonnegative factors are scaled only.
    """
    P, Q = (_weighted_gram(A[:, :k], ridge) for A, ridge in ((U, ridge_U), (V, ridge_V)))
    # A penalty too large for the data makes all factors vanish, which needs no basis.
    if not min(np.trace(P), np.trace(Q)) > _NOTHING:
        return
    # Where a component vanishes in one factor, the scale that suits the other one has no end.
    P[np.diag_indices(k)] += _FLOOR * np.trace(P) / k
    Q[np.diag_indices(k)] += _FLOOR * np.trace(Q) / k
    if positive:
        scale = (np.diag(Q) / np.diag(P)) ** 0.25
        T, inverse = np.diag(scale), np.diag(1 / scale)
    else:
        L = np.linalg.cholesky(Q)
        squares, W = np.linalg.eigh(L.T @ P @ L)
        scale = np.maximum(squares, _FLOOR**2 * squares[-1]) ** 0.25
        T = L @ W / scale
        inverse = solve_triangular(L, W, lower=True, trans=1) * scale
    _change_basis(U, k, T.astype(U.dtype))
    for A in (V, *others_like_V):
        _change_basis(A, k, inverse.astype(U.dtype))


def _weighted_gram(A, weights):
    gram = np.zeros((A.shape[1], A.shape[1]))
    for part in _parts(A):
        gram += (A[part] * weights[part, None]).T @ A[part]
    return gram


def _change_basis(A, k, T):
    for part in _parts(A):
        A[part, :k] = A[part, :k] @ T


def _parts(A):
    """Slices of rows: temporary arrays of a part of a factor, not of all of it."""
    return [slice(start, start + _ROWS) for start in range(0, len(A), _ROWS)]


def _blocks(side, work_per_entry, work_per_line=0.0):
    entries = len(side.indices) / max(len(side), 1)
    work = entries * work_per_entry + work_per_line
    return blocks_of(len(side), work, smallest=16, multiple=16)


def _total(parts):
    return HalfStep(*np.sum(parts, axis=0))
