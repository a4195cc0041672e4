"""Multiplicative updates for correntropy weights on bands, as published; slow, complete data only.

With w_l = exp(−r_l² / (2 v_l σ²)) and W = diag(w):

    A ← A ∘ (Y W Eᵀ) / (A E W Eᵀ + λ),    E ← E ∘ (Aᵀ Y) / (Aᵀ A E)
"""

import time

import numpy as np

_TINY = 1e-300


def band_objective(Y, A, E, width, spread, l1=0.0):
    """Σ_l v_l σ² (1 − exp(−r_l² / (2 v_l σ²))) + λ Σ a_ij, from the residuals themselves."""
    squares = np.square(Y - A @ E).sum(axis=0)
    values = -spread * width**2 * np.expm1(-squares / (2 * spread * width**2))
    return float(values.sum() + l1 * A.sum())


def multiplicative_correntropy(Y, A, E, width, spread, *, l1=0.0, max_iter=1000, stop=None):
    """Factors after some updates, and the objective and the seconds after each."""
    A, E = A.copy(), E.copy()
    objective, seconds = [], []
    begun = time.perf_counter()
    energy = np.square(Y).sum(axis=0)
    for _ in range(max_iter):
        B, C = A.T @ Y, A.T @ A
        squares = energy - 2 * np.sum(B * E, axis=0) + np.sum(E * (C @ E), axis=0)
        w = np.exp(-np.maximum(squares, 0) / (2 * spread * width**2))
        weighted = E * w
        A *= (Y @ weighted.T) / np.maximum(A @ (E @ weighted.T) + l1, _TINY)
        B, C = A.T @ Y, A.T @ A
        E *= B / np.maximum(C @ E, _TINY)
        squares = np.maximum(energy - 2 * np.sum(B * E, axis=0) + np.sum(E * (C @ E), axis=0), 0)
        values = -spread * width**2 * np.expm1(-squares / (2 * spread * width**2))
        objective.append(float(values.sum() + l1 * A.sum()))
        seconds.append(time.perf_counter() - begun)
        if stop is not None and stop(objective, seconds):
            break
    return A, E, np.array(objective), np.array(seconds)
