"""Slow and plain references: the objective, its gradients, and data with known answers."""

import numpy as np
from scipy.optimize import nnls
from sklearn.decomposition._nmf import _beta_divergence

BETA = {"frobenius": 2.0, "kullback-leibler": 1.0, "itakura-saito": 0.0}
LOSSES = ["frobenius", "kullback-leibler"]


def beta_of(beta_loss):
    return BETA.get(beta_loss, beta_loss)


def divergence(X, Y, beta_loss):
    """Elementwise d_β(x, y)."""
    beta = beta_of(beta_loss)
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    if beta == 2:
        return 0.5 * (X - Y) ** 2
    if beta == 1:
        return np.where(X > 0, X * np.log(np.where(X > 0, X, 1) / np.where(X > 0, Y, 1)), 0) - X + Y
    if beta == 0:
        return X / Y - np.log(X / Y) - 1
    return (X**beta + (beta - 1) * Y**beta - beta * X * Y ** (beta - 1)) / (beta * (beta - 1))


def objective(
    X, W, H, beta_loss="frobenius", alpha_W=0.0, alpha_H="same", l1_ratio=0.0, V=None, v=None
):
    """L(W, H) entry by entry; NaN is missing, V are weights of entries and v of samples."""
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    W, H = np.asarray(W, dtype=np.float64), np.asarray(H, dtype=np.float64)
    v = np.ones(len(X)) if v is None else v
    V = v[:, None] * (np.ones(X.shape) if V is None else V)
    known = ~np.isnan(X) & (V > 0)
    total = np.sum(V[known] * divergence(X[known], (W @ H)[known], beta_loss))
    alpha_H = alpha_W if alpha_H == "same" else alpha_H
    for F, scale in ((W, X.shape[1] * alpha_W * v[:, None]), (H, v.sum() * alpha_H)):
        total += np.sum(scale * (l1_ratio * F + 0.5 * (1 - l1_ratio) * F**2))
    return float(total)


def sklearn_objective(X, W, H, beta_loss, alpha_W, alpha_H, l1_ratio):
    """The same from scikit-learn's divergence and the scaling of its documentation."""
    n, m = X.shape
    alpha_H = alpha_W if alpha_H == "same" else alpha_H
    return (
        _beta_divergence(X, W, H, beta_loss)
        + alpha_W * l1_ratio * m * W.sum()
        + alpha_H * l1_ratio * n * H.sum()
        + 0.5 * alpha_W * (1 - l1_ratio) * m * np.sum(W**2)
        + 0.5 * alpha_H * (1 - l1_ratio) * n * np.sum(H**2)
    )


def gradient_in_W(X, W, H, beta_loss, alpha=0.0, l1_ratio=0.0, V=None):
    """(Gradient of L in W, what a multiplicative update divides by); the penalty's scale is m."""
    beta = beta_of(beta_loss)
    W, H = np.asarray(W, dtype=np.float64), np.asarray(H, dtype=np.float64)
    V = np.ones(X.shape) if V is None else np.broadcast_to(V, X.shape)
    V = np.where(np.isnan(X), 0, V)
    X = np.where(np.isnan(X), 0, X)
    Y = np.maximum(W @ H, 1e-300)
    above = (V * X * Y ** (beta - 2)) @ H.T
    below = (V * Y ** (beta - 1)) @ H.T + alpha * X.shape[1] * (l1_ratio + (1 - l1_ratio) * W)
    return below - above, below


def kkt_violation_in_W(X, W, H, beta_loss, alpha=0.0, l1_ratio=0.0, V=None):
    """Largest relative change of W that its gradient asks for; zero exactly where W is optimal."""
    gradient, below = gradient_in_W(X, W, H, beta_loss, alpha, l1_ratio, V)
    relative = np.divide(gradient, below, out=np.zeros_like(below), where=below > 0)
    step = np.where(W > 0, np.abs(W * relative), W.max() * np.maximum(-relative, 0))
    return step.max() / W.max()


def kkt_violation(X, W, H, beta_loss, alpha=0.0, l1_ratio=0.0, V=None):
    """The larger of the violations of W and H; `alpha` is that of both."""
    Vt = None if V is None else np.broadcast_to(V, X.shape).T
    return max(
        kkt_violation_in_W(X, W, H, beta_loss, alpha, l1_ratio, V),
        kkt_violation_in_W(X.T, H.T, W.T, beta_loss, alpha, l1_ratio, Vt),
    )


def nnls_rows(X, H, alpha_W=0.0, l1_ratio=0.0, V=None):
    """argmin_{W >= 0} of the Frobenius objective by scipy.optimize.nnls, row by row."""
    m, k = H.shape[1], len(H)
    l1, l2 = m * alpha_W * l1_ratio, m * alpha_W * (1 - l1_ratio)
    W = np.empty((len(X), k))
    for i, x in enumerate(X):
        v = np.where(np.isnan(x), 0, 1.0 if V is None else V[i])
        A, b = np.sqrt(v)[:, None] * H.T, np.sqrt(v) * np.nan_to_num(x)
        if l2:
            # ½ l2 ‖w‖² + l1 Σ w = ½ l2 ‖w + l1 / l2‖² up to a constant.
            A = np.vstack([A, np.sqrt(l2) * np.eye(k)])
            b = np.concatenate([b, np.full(k, -l1 / np.sqrt(l2))])
        elif l1:
            # aᵀ y = -l1 for a y in the range of A: A has full rank here.
            b = b - np.linalg.pinv(A.T) @ np.full(k, l1)
        W[i] = nnls(A, b, maxiter=1000)[0]
    return W


def low_rank(rng, n=40, m=25, k=4, noise=0.05, zeros=0.3):
    """Nonnegative data of about rank k with zeros in it."""
    W = rng.gamma(1.0, size=(n, k)) * (rng.random((n, k)) > zeros)
    H = rng.gamma(1.0, size=(k, m)) * (rng.random((k, m)) > zeros)
    return W @ H + noise * rng.random((n, m)) * (rng.random((n, m)) > zeros)


def with_holes(rng, X, fraction=0.2):
    X = X.copy()
    X[rng.random(X.shape) < fraction] = np.nan
    # Every row and column keeps an entry.
    X[np.isnan(X).all(axis=1), 0] = 1.0
    X[0, np.isnan(X).all(axis=0)] = 1.0
    return X
