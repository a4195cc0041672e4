"""Factor analysis of a matrix with missing entries, by variational Bayes."""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtrs  # solve_triangular takes longer to get to it

from ..utils._convergence import Trace
from ..utils._threads import blocks_of
from ._imputer_kernels import gaussian_posteriors, solve_rows
from ._soft_impute import leading_svd

# A Gamma prior on each column's precision, worth one more entry with noise of variance a tenth.
# Without one the likelihood has no bound where a column is a combination of others.
_PRIOR_COUNT, _PRIOR_SQUARES = 1.0, 0.1
# Blocks whose sums are held at a time; more threads than this would find no work.
_BLOCKS_AT_A_TIME = 16


class FactorModel(NamedTuple):
    """Loadings of p columns: posterior moments, and the precision of each column's noise.

    Attributes
    ----------
    loadings : ndarray of shape (p, k + 1)
        Posterior means; the last column is the offset.
    moments : ndarray of shape (p, (k + 1) (k + 2) / 2)
        Posterior second moments: lower triangles, row by row.
    precision : ndarray of shape (p,)
    """

    loadings: np.ndarray
    moments: np.ndarray
    precision: np.ndarray


class _Sums(NamedTuple):
    """What the columns need to know of the rows.

    Attributes
    ----------
    second : ndarray of shape (p, k + 1, k + 1)
        Σ E[f fᵀ] over the rows in which a column is observed, f = [z, 1].
    cross : ndarray of shape (p, k + 1)
        Σ x E[f] over the same rows.
    factors : ndarray of shape (k + 1, k + 1)
        Σ E[f fᵀ] over all rows.
    log_det : float
        Σ log det of the posterior precision of z, over all rows.
    """

    second: np.ndarray
    cross: np.ndarray
    factors: np.ndarray
    log_det: float


def fit_factor_analysis(X, observed, n_components, *, alpha, tol, max_iter, workers, report):
    """Fit loadings to the observed entries.

    The model is :math:`x_{ij} = w_j^T z_i + m_j + e_{ij}` with :math:`z_i \\sim N(0, I)`,
    :math:`w_j \\sim N(0, I / \\alpha)`, a flat prior on the offset m, and noise
    :math:`e_{ij} \\sim N(0, 1 / \\tau_j)` of a size of its own for each column. With Ω the
    observed entries and q(z) q(w, m) the closest product to the posterior, it minimizes the
    negative free energy

    .. math::

        -\\sum_{(i, j) \\in \\Omega} E_q \\log N(x_{ij} | w_j^T z_i + m_j, 1 / \\tau_j)
        + \\sum_i KL(q(z_i) | N(0, I)) + \\sum_j KL(q(w_j, m_j) | N(0, I / \\alpha))
        - \\log p(\\tau)

    over q and τ, where p(τ) is a weak Gamma prior, not normalized; every step lowers it. The
    average over q(w) is what keeps many components from fitting noise; with point estimates of w
    (EM), as many components as columns overfit.

    Parameters
    ----------
    X : ndarray of float64 of shape (n, p)
        Standardized columns; zeros where an entry is missing.

    observed : ndarray of bool of shape (n, p)

    n_components : int
        k.

    alpha : float
        Precision of the prior on the loadings.

    tol : float
        Ends where an iteration lowers the objective by less than this for each observed entry.

    max_iter : int

    workers : Workers
        Threads over blocks of rows.

    report : callable
        ``report(objective, model)`` after each iteration; true ends the fit.

    Returns
    -------
    model : FactorModel
    trace : Trace

    Notes
    -----
    After each pass over the rows the factors are moved, scaled and turned so that the objective
    falls most while every w z stays: without it the iteration creeps where columns are nearly
    collinear. An iteration costs 2 n p (k + 1)² multiply-adds in matrix products, and (n + p) k³.
    Memory beside X: p (k + 1)² numbers, and some blocks of rows.

    The missing values are handled as by A. Ilin and T. Raiko, "Practical Approaches to Principal
    Component Analysis in the Presence of Missing Values", JMLR 11, 2010; the transformation is
    that of J. Luttinen and A. Ilin, "Transformations in Variational Bayesian Factor Analysis to
    Speed up Learning", Neurocomputing 73, 2010.
    """
    counts = observed.sum(axis=0).astype(np.float64)
    squares = np.einsum("ij,ij->j", X, X)
    model = _start(X, counts, n_components)
    trace, n_entries = Trace(), counts.sum()
    for _ in range(max_iter):
        sums = _sums_over_rows(X, observed, model, workers)
        sums = _move_factors(sums, model, alpha, len(X))
        model, objective = _update_columns(sums, model.precision, counts, squares, alpha, len(X))
        fall = (trace.objective[-1] - objective) / n_entries if trace.objective else np.inf
        trace.add(objective, fall)
        if report(objective, model):
            trace.stop = "callback"
            break
        if fall <= tol:
            trace.stop = "converged"
            break
    return model, trace


def _start(X, counts, k):
    """Principal axes of the zero-filled data, scaled up for what is missing."""
    p = X.shape[1]
    svd = leading_svd(X, min(k, *X.shape))
    loadings = np.zeros((p, k + 1))
    loadings[:, : len(svd.s)] = svd.V * (svd.s / np.sqrt(counts.mean()))
    return FactorModel(loadings, _pairs(loadings), np.full(p, 2.0))


def _sums_over_rows(X, observed, model, workers):
    p, k = model.loadings.shape[0], model.loadings.shape[1] - 1
    weighted = model.precision[:, None] * model.moments
    blocks = blocks_of(len(X), p * (k + 1) ** 2 + k**3, smallest=min(2 * p, 4096))
    totals = None
    for first in range(0, len(blocks), _BLOCKS_AT_A_TIME):
        parts = workers.map(
            lambda start, stop: _sums_over_block(
                X[start:stop], observed[start:stop], model, weighted
            ),
            blocks[first : first + _BLOCKS_AT_A_TIME],
        )
        for part in parts:
            totals = part if totals is None else [a + b for a, b in zip(totals, part, strict=True)]
    second, cross, factors, log_det = totals
    full = _unpack(np.vstack((second, factors)), k + 1)
    return _Sums(full[:p], cross, full[p], log_det)


def _sums_over_block(X, observed, model, weighted):
    k = model.loadings.shape[1] - 1
    mask = observed.astype(np.float64)
    moments, means = _factor_problems(X, mask, model, weighted)
    log_dets = np.empty(len(X))
    gaussian_posteriors(moments, means, log_dets)
    factors = np.ones((len(X), k + 1))
    factors[:, :k] = means
    # E[z zᵀ], E[z] and 1, in the order of a lower triangle of side k + 1.
    packed = np.hstack((moments, factors))
    return mask.T @ packed, X.T @ factors, packed.sum(axis=0), log_dets.sum()


def _factor_problems(X, mask, model, weighted):
    """Precisions (lower triangles) and linear terms of the posteriors of the factors of rows."""
    k = model.loadings.shape[1] - 1
    n_pairs = k * (k + 1) // 2
    terms = mask @ weighted[:, : n_pairs + k]
    precisions = np.ascontiguousarray(terms[:, :n_pairs])
    precisions[:, _diagonal(k)] += 1.0
    return precisions, (X * model.precision) @ model.loadings[:, :k] - terms[:, n_pairs:]


def _move_factors(sums, model, alpha, n):
    """Change the basis of the factors, f ← R f, so that the objective falls most.

    A shift gives the factors mean zero. Then, with C = Σ E[z zᵀ] and G = Σ E[w wᵀ], the bound
    has the terms (n - p) log|R| - ½ tr(R C Rᵀ) - ½ α tr(G (Rᵀ R)⁻¹). Where C = n I and G is
    diagonal, R is so too, and each of its squares solves n r⁴ - (n - p) r² - α g = 0.
    """
    p, k = model.loadings.shape[0], model.loadings.shape[1] - 1
    R = np.eye(k + 1)
    R[:k, k] = -sums.factors[:k, k] / n
    centred = R @ sums.factors @ R.T
    L = np.linalg.cholesky(centred[:k, :k] / n)
    G = _unpack(model.moments.sum(axis=0, keepdims=True), k + 1)[0, :k, :k]
    g, axes = np.linalg.eigh(L.T @ G @ L)
    g, axes = np.maximum(g[::-1], 0), axes[:, ::-1]
    # The form without cancellation where n < p.
    half = 0.5 * (n - p)
    root = np.sqrt(half * half + n * alpha * g)
    squares = (half + root) / n if n >= p else alpha * g / np.maximum(root - half, 1e-300)
    scale = np.sqrt(np.maximum(squares, 1e-12))
    turn = scale[:, None] * dtrtrs(L, axes, lower=1, trans=1)[0].T
    R[:k] = turn @ R[:k]
    log_det = -2.0 * (np.log(scale).sum() - np.log(np.diag(L)).sum())
    return _Sums(R @ sums.second @ R.T, sums.cross @ R.T, R @ sums.factors @ R.T,
                 sums.log_det + n * log_det)  # fmt: skip


def _update_columns(sums, precision, counts, squares, alpha, n):
    p, k = len(precision), sums.cross.shape[1] - 1
    rows, columns = _triangle(k + 1)
    prior = np.append(np.full(k, alpha), 1e-6)  # flat, for the offset of a standardized column
    second = sums.second[:, rows, columns]
    moments = precision[:, None] * second
    moments[:, _diagonal(k + 1)] += prior
    loadings = precision[:, None] * sums.cross
    log_dets = np.empty(p)
    gaussian_posteriors(moments, loadings, log_dets)
    twice = np.where(rows == columns, 1.0, 2.0)
    residual = squares - 2.0 * np.einsum("ij,ij->i", loadings, sums.cross)
    residual += np.einsum("ij,ij,j->i", moments, second, twice)
    residual = np.maximum(residual, 0.0)
    rate = residual + _PRIOR_SQUARES
    shape = counts + _PRIOR_COUNT
    precision = shape / rate
    # Twice the three parts of the negative free energy, in the order of its formula.
    of_entries = rate @ precision - shape @ np.log(precision) + counts.sum() * np.log(2 * np.pi)
    of_factors = np.trace(sums.factors) + sums.log_det - n * (k + 1)
    w_squares = moments[:, _diagonal(k + 1)].sum(axis=0)
    of_loadings = prior @ w_squares - p * (np.log(prior).sum() + k + 1) + log_dets.sum()
    objective = 0.5 * (of_entries + of_factors + of_loadings)
    return FactorModel(loadings, moments, precision), objective


def solve_factors(X, observed, model):
    """Posterior means of the factors of rows, of shape (n_rows, k)."""
    mask = observed.astype(np.float64)
    precisions, means = _factor_problems(X, mask, model, model.precision[:, None] * model.moments)
    solve_rows(precisions, means)
    return means


def expect(X, observed, model):
    """Conditional means of all entries of rows, given those observed."""
    return solve_factors(X, observed, model) @ model.loadings[:, :-1].T + model.loadings[:, -1]


def point_model(loadings, noise_variance):
    """The model of known loadings (p × k) without offsets, and noise of one size."""
    loadings = np.hstack((loadings, np.zeros((len(loadings), 1))))
    return FactorModel(loadings, _pairs(loadings), np.full(len(loadings), 1.0 / noise_variance))


@cache
def _triangle(side):
    """Rows and columns of a lower triangle, row by row: slower to find than small problems."""
    return np.tril_indices(side)


def _pairs(F):
    """Lower triangles, row by row, of f fᵀ for each row f."""
    rows, columns = _triangle(F.shape[1])
    return F[:, rows] * F[:, columns]


def _diagonal(side):
    """Where the diagonal is in a lower triangle stored row by row."""
    return np.arange(side) * (np.arange(side) + 3) // 2


def _unpack(packed, side):
    rows, columns = _triangle(side)
    full = np.empty((len(packed), side, side))
    full[:, rows, columns] = packed
    full[:, columns, rows] = packed
    return full
