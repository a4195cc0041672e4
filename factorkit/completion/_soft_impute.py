"""Matrix completion with the nuclear norm, by alternating half steps."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from ..utils._convergence import Trace
from ..utils._threads import blocks_of

_PATH_STEPS, _PATH_RATIO = 12, 0.02
_PATH_TOL, _PATH_ITER = 1e-2, 30
_HELD_OUT = 0.1


class LowRank(NamedTuple):
    """U diag(s) Vᵀ with orthonormal U (n × r) and V (p × r), s descending."""

    U: np.ndarray
    s: np.ndarray
    V: np.ndarray


def soft_impute(X, observed, alpha, rank, *, start=None, tol, max_iter, workers, report=None):
    """Complete a matrix by a low-rank one.

    It minimizes, over M of rank at most `rank`,

    .. math::

        \\tfrac12 \\sum_{(i, j) \\in \\Omega} (x_{ij} - m_{ij})^2 + \\alpha \\|M\\|_*

    in the form M = U diag(s) Vᵀ. By turns U and V are held, and the best s and other side for X
    filled in with the current M are found: the soft-thresholded singular value decomposition of
    its product with the side held. This never raises the objective. It is the alternating ridge
    regression of [1]_ carried to its end within a half step, which a ridge regression alone
    creeps towards where a singular value is near `alpha`.

    Parameters
    ----------
    X : ndarray of float64 of shape (n, p)
        Zeros where an entry is missing.

    observed : ndarray of bool of shape (n, p)

    alpha : float
        Weight of the nuclear norm, nonnegative.

    rank : int
        At most min(n, p). Where the result has a lower rank, and no singular value of the residual
        is above `alpha`, it is the minimum over all ranks.

    start : LowRank, default=None
        Of any rank; zero by default.

    tol : float
        Ends where an iteration moves M by at most this, relative to the norm of M.

    max_iter : int

    workers : Workers
        Threads over blocks of rows.

    report : callable, default=None
        ``report(objective, low_rank)`` after each iteration; true ends the run.

    Returns
    -------
    low_rank : LowRank
        Without the singular values that are zero.
    trace : Trace

    Notes
    -----
    An iteration costs 4 n p r multiply-adds and O((n + p) r²); memory beside X is blocks of rows.

    References
    ----------
    .. [1] T. Hastie, R. Mazumder, J. D. Lee and R. Zadeh, "Matrix Completion and Low-Rank SVD via
       Fast Alternating Least Squares", JMLR 16, 2015.
    """
    M, trace = _first_step(X, observed, start, alpha, rank), Trace()
    negligible = 1e-13 * np.sqrt(np.vdot(X, X))  # rounding errors, where the minimum is zero

    def threshold(s):
        s = s - alpha
        return np.where(s > negligible, s, 0.0)

    for _ in range(max_iter):
        RV, _ = _residual_products(X, observed, M, workers, with_V=True)
        before = M.U * M.s
        U, s, Q = _svd(RV + before)
        s = threshold(s)
        moved = np.linalg.norm((U * s) @ Q.T - before)
        M = LowRank(U, s, M.V @ Q)
        RtU, loss = _residual_products(X, observed, M, workers, with_V=False)
        objective = loss + alpha * s.sum()
        before = M.V * s
        V, s, Q = _svd(RtU + before)
        s = threshold(s)
        moved = max(moved, np.linalg.norm((V * s) @ Q.T - before))
        M = LowRank(M.U @ Q, s, V)
        trace.add(objective, moved / (np.linalg.norm(s) or 1.0))
        if report is not None and report(objective, M):
            trace.stop = "callback"
            break
        if trace.residual[-1] <= tol:
            trace.stop = "converged"
            break
    kept = M.s > 0
    return LowRank(M.U[:, kept], M.s[kept], M.V[:, kept]), trace


def _first_step(X, observed, start, alpha, rank):
    """The soft-thresholded singular value decomposition of X, filled in by `start`."""
    if start is not None:
        X = np.where(observed, X, (start.U * start.s) @ start.V.T)
    U, s, V = leading_svd(X, rank)
    return LowRank(U, np.maximum(s - alpha, 0.0), V)


def leading_svd(X, rank):
    """Truncated singular value decomposition, by way of the smaller Gram matrix.

    U and V are orthonormal where X lacks the rank, too. A singular value below √eps times the
    largest is not accurate.
    """
    wide = X.shape[0] < X.shape[1]
    F = X.T if wide else X
    side = F.shape[1]
    _, axes = scipy.linalg.eigh(F.T @ F, subset_by_index=(side - rank, side - 1))
    U, s, Q = _svd(F @ axes)
    V = axes @ Q
    return LowRank(V, s, U) if wide else LowRank(U, s, V)


def choose_alpha(X, observed, rank, rng, workers):
    """Weight of the nuclear norm with the least error on entries held out.

    A tenth of the observed entries is held out, and the path goes down from the weight at which
    the minimum is zero, each fit starting from the last, until the error has risen twice.

    Returns
    -------
    alpha : float
    start : LowRank or None
        The fit on the path, from which to go on with all entries.
    """
    held_out = observed & (rng.random(X.shape) < _HELD_OUT)
    train = observed & ~held_out
    X_train = np.where(train, X, 0.0)
    rows, columns = np.nonzero(held_out)
    values = X[rows, columns]
    top = leading_svd(X_train, 1).s[0]  # from here on the minimum is zero
    best, fit, risen = (values @ values, top, None), None, 0
    for alpha in top * np.geomspace(0.7, _PATH_RATIO, _PATH_STEPS):
        fit, _ = soft_impute(
            X_train,
            train,
            alpha,
            rank,
            start=fit,
            tol=_PATH_TOL,
            max_iter=_PATH_ITER,
            workers=workers,
        )
        error = np.sum((values - _entries(fit, rows, columns)) ** 2)
        if error < best[0]:
            best, risen = (error, alpha, fit), 0
        else:
            risen += 1
        if risen == 2:
            break
    return best[1], best[2]


def _entries(M, rows, columns):
    fitted = np.zeros(len(rows))
    for u, s, v in zip(M.U.T, M.s, M.V.T, strict=True):
        fitted += s * u[rows] * v[columns]
    return fitted


def _residual_products(X, observed, M, workers, *, with_V):
    """R V or Rᵀ U for the residual R on the observed entries; and ½ |R|²."""
    A = M.U * M.s

    def product(start, stop):
        R = X[start:stop] - A[start:stop] @ M.V.T
        R *= observed[start:stop]
        loss = 0.5 * np.vdot(R, R)
        return (R @ M.V if with_V else R.T @ M.U[start:stop]), loss

    blocks = blocks_of(len(X), 4 * X.shape[1] * len(M.s), smallest=min(2 * X.shape[1], 4096))
    parts = workers.map(product, blocks)
    loss = sum(part[1] for part in parts)
    if with_V:
        return np.concatenate([part[0] for part in parts]), loss
    return sum(part[0] for part in parts), loss


def _svd(F):
    """Left axes, values and right axes (as columns) of a tall or wide F."""
    U, s, Qt = scipy.linalg.svd(F, full_matrices=False, check_finite=False)
    return U, s, Qt.T
