"""Online NMF: what is remembered of rows that are gone, and the components that follow from it.

The rows of a block take part in the components' problem through two sums over samples alone. The
sums of blocks add up, so blocks may come one after the other, from a disk, or from other machines.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..utils._linalg import gram, inner, products_at
from ..utils._nnls import coordinate_sweeps
from ._frobenius import FrobeniusProblem
from ._kl import KullbackLeiblerProblem
from ._mu import MultiplicativeProblem
from ._solvers import make_problem
from ._weighted import FilledProblem, WeightedProblem
from ._weighted_kernels import sweep_rows

# Coordinate sweeps over the components a step: their start is the last step's result.
_COMPONENT_SWEEPS = 3
# Sweeps over the coefficients of a block for the Kullback-Leibler loss.
_KL_SWEEPS = 8
# Multiplicative updates can't leave zero, and a feature that no row had so far has zeros alone:
# what a block says of the components is asked a little beside them, by this part of their mean.
# .01 serves rare words better, 0.001 spectra; without it the loss of counts is three times as high.
_LIFT = 0.003


@dataclass
class Statistics:
    """Sums over samples that determine the components, as far as these samples know them.

    Attributes
    ----------
    numerator : ndarray of shape (n_components, n_features), float64
        Frobenius: W^T X. Else H^(1/γ) ∘ (W^T (X ∘ Y^(β − 2))), Y = W H.
    denominator : ndarray, float64
        Frobenius: W^T W, of shape (n_components, n_components), or one such matrix a feature,
        of shape (n_features, n_components, n_components), where few entries are observed. Else
        W^T Y^(β − 1), of shape (n_components, n_features) or (n_components, 1).
    n_samples : float
        Number of samples; a forgotten half of a sample counts one half.
    loss : float
        Their loss, with the components that they met.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    n_samples: float
    loss: float

    def __add__(self, other):
        # The denominators may differ in shape: the smaller one holds for all features.
        return Statistics(
            self.numerator + other.numerator,
            self.denominator + other.denominator,
            self.n_samples + other.n_samples,
            self.loss + other.loss,
        )

    def __rmul__(self, factor):
        return Statistics(
            factor * self.numerator,
            factor * self.denominator,
            factor * self.n_samples,
            factor * self.loss,
        )


def block_statistics(X, H, *, beta, penalty, missing, workers, exact=False, max_iter=30):
    """Coefficients of the rows of a block, and what the components need to know of them.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
        As `validate_matrix` returns it.
    H : ndarray of shape (n_components, n_features), of the dtype of X
    beta : float
    penalty : Penalty
        Of one sample.
    missing : {"nan", "unstored"}
    workers : Workers
    exact : bool, default=False
        Solve for the coefficients to high accuracy for the Kullback-Leibler loss too, which
        else takes some sweeps; for the Frobenius loss they always are exact.
    max_iter : int, default=30
        Most updates of the coefficients for other divergences.

    Returns
    -------
    W : ndarray of shape (n_samples, n_components)
    statistics : Statistics
    """
    problem = make_problem(
        X, None, penalty, workers, beta=beta, multiplicative=False, missing=missing
    )
    if beta == 2:
        W = problem.solve_W(H)
    elif beta == 1:
        W = problem.solve_W(H) if exact else problem.sweep_W(H, _KL_SWEEPS)
    else:
        W = problem.solve_W(H, tol=1e-4, max_iter=max_iter)
    Wt = np.ascontiguousarray(W.T, dtype=H.dtype)
    numerator, denominator, loss = _SUMS[type(problem)](problem, Wt, H, beta)
    return W, Statistics(numerator, denominator, float(len(W)), max(float(loss), 0.0))


def update_components(statistics, H, *, beta, penalty, workers):
    """Components for some statistics, from the components before, in float64.

    Frobenius: coordinate sweeps on ½ Σ_j h_j S_j h_j − ⟨T, H⟩ with S the denominator and T the
    numerator. Else the minimizer of the surrogate that the two define, which lies above the loss
    for the coefficients that the samples had. The penalties count the samples that are
    remembered.
    """
    penalty = penalty.with_samples(statistics.n_samples)
    l1, l2 = penalty.l1_H, penalty.l2_H
    T, S = statistics.numerator, statistics.denominator
    H = H.astype(np.float64, copy=False)
    if beta != 2:
        return _quotient(T, S + l1, l2, H, beta)
    H = H.copy()
    if S.ndim == 3:
        sweep_rows(S.copy(), T, H, 0, l1, l2, _COMPONENT_SWEEPS, 0.0)
    else:
        S = S + l2 * np.eye(len(S)) if l2 else S
        coordinate_sweeps(H, T - l1, S, workers, max_sweeps=_COMPONENT_SWEEPS, inner_tol=0.0)
    # What fades away for ever stops at a number that is slow to compute with.
    H[np.finfo(H.dtype).tiny > H] = 0
    return H


def _quotient(numerator, denominator, l2, H, beta):
    if l2 and beta == 1:
        # The positive root of l2 h² + denominator h = numerator.
        denominator = 0.5 * (denominator + np.sqrt(denominator**2 + 4 * l2 * numerator))
    elif l2:
        denominator = denominator + l2 * H
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    # What no sample knows of stays as it is.
    power = 1 / exponent_of(beta)
    known = np.broadcast_to(denominator, shape) > 0
    quotient = np.divide(numerator, denominator, out=H**power, where=known)
    return quotient ** exponent_of(beta)


def exponent_of(beta):
    """γ, for which multiplicative updates to the power of γ are monotone."""
    return 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0


def _complete_sums(problem, Wt, H, beta):
    T, S = problem.data.times_samples(Wt, problem.workers), gram(Wt)
    loss = problem.half_squared_norm - inner(T, H) + 0.5 * inner(S, gram(H))
    return T.astype(np.float64, copy=False), S, loss


def _filled_sums(problem, Wt, H, beta):
    # Filled with what the model says, a hole keeps the components where they are.
    parts = problem.map_filled(Wt, H, lambda start, stop, X: Wt[:, start:stop] @ X)
    return sum(parts).astype(np.float64), gram(Wt), problem.loss(Wt, H)


def _feature_sums(problem, Wt, H, beta):
    k, m = H.shape
    T, S = np.empty((k, m)), np.empty((m, k, k))
    value = 0.0

    def keep(start, stop, Q, A):
        S[start:stop], T[:, start:stop] = Q, A

    problem.transposed().map_blocks(Wt, keep)
    H = H.astype(np.float64, copy=False)
    value = 0.5 * np.einsum("tj,jtu,uj->", H, S, H, optimize=True) - np.vdot(T, H)
    return T, S, problem.half_squared_norm + value


def _divergence_sums(problem, Wt, H, beta):
    rows, loss = problem.rows, problem.loss(Wt, H)
    H = H + H.dtype.type(_LIFT) * H.mean(axis=1, keepdims=True)
    if beta == 1 and rows.is_sparse:
        blocks, sums = rows.blocks(8.0 * len(H)), _kl_sums_of_csr
    else:
        blocks, sums = rows.dense_blocks(), _sums_of_dense
    parts = problem.workers.map(
        lambda *ends: sums(rows, *ends, Wt[:, slice(*ends)], H, beta), blocks
    )
    numerator, denominator = (sum(part).astype(np.float64) for part in zip(*parts, strict=True))
    return H.astype(np.float64) ** (1 / exponent_of(beta)) * numerator, denominator, loss


def _sums_of_dense(rows, start, stop, Wt, H, beta):
    if rows.is_sparse:
        X, V = rows.X[start:stop], None
        if rows.only_stored:
            V = _with_data(X, np.ones_like(X.data)).toarray()
        X = X.toarray()
    else:
        X, V = rows.block(start, stop)
    Y = _positive(Wt.T @ H)
    if beta == 1:
        return Wt @ (X / Y), Wt.sum(axis=1)[:, None] if V is None else Wt @ V
    power = Y ** (beta - 2)
    below = power * Y
    return Wt @ (X * power), Wt @ (below if V is None else V * below)


def _kl_sums_of_csr(rows, start, stop, Wt, H, beta):
    X, W = rows.X[start:stop], np.ascontiguousarray(Wt.T)
    owner = np.repeat(np.arange(stop - start), np.diff(X.indptr))
    y = _positive(products_at(Wt, H, owner, X.indices))
    numerator = (_with_data(X, X.data / y).T @ W).T
    if not rows.only_stored:
        return numerator, Wt.sum(axis=1)[:, None]
    return numerator, (_with_data(X, np.ones_like(X.data)).T @ W).T


def _with_data(X, data):
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)


def _positive(Y):
    """Y without zeros, by a floor in its units."""
    floor = np.finfo(Y.dtype).eps * Y.mean() if Y.size else 0
    return np.maximum(Y, floor or 1)


_SUMS = {
    FrobeniusProblem: _complete_sums,
    FilledProblem: _filled_sums,
    WeightedProblem: _feature_sums,
    KullbackLeiblerProblem: _divergence_sums,
    MultiplicativeProblem: _divergence_sums,
}
