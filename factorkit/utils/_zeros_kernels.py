"""Nonnegative least squares for rows few of whose coefficients are zero."""

import numpy as np

from ._jit import kernel

# What sums may be wrong by, beside the sizes of their terms.
_ROUNDING = 1e-13


@kernel(reduces=True)
def _add_product(M, x, sign, y):
    """``y += sign * M @ x``."""
    for t in range(len(y)):
        total = 0.0
        for u in range(x.size):
            total += M[t, u] * x[u]
        y[t] += sign * total


@kernel(reduces=True)
def _factorize(M, places, n, L):
    """Cholesky factorization of a few rows and columns of M."""
    for p in range(n):
        for q in range(p + 1):
            s = M[places[p], places[q]]
            for u in range(q):
                s -= L[p, u] * L[q, u]
            L[p, q] = s / L[q, q] if q < p else np.sqrt(s)


@kernel(reduces=True)
def _hold_at_zero(M, places, n, L, w, y):
    """Add ``M[:, places] @ y`` to w for the y that makes w[places] zero."""
    for p in range(n):
        s = -w[places[p]]
        for u in range(p):
            s -= L[p, u] * y[u]
        y[p] = s / L[p, p]
    for p in range(n - 1, -1, -1):
        y[p] /= L[p, p]
        for u in range(p):
            y[u] -= L[p, u] * y[p]
    for p in range(n):
        for t in range(w.size):
            w[t] += M[places[p], t] * y[p]
    for p in range(n):
        w[places[p]] = 0.0


@kernel
def _least_gradient(G, a, size, t):
    """The lowest that rounding may make of a gradient of zero."""
    return -_ROUNDING * (np.sqrt(G[t, t]) * size + abs(a[t]))


@kernel(reduces=True)
def pivot_few_zeros(W, A, G, inverse, most, max_rounds):
    """Block principal pivoting from the side of the zeros.

    With Z the coefficients of a row that are zero, and y the gradient there,

        w = w₀ + G⁻¹_{:Z} y,    y = −(G⁻¹_{ZZ})⁻¹ w₀_Z,    w₀ = G⁻¹ a,

    so that a support costs |Z|³ / 3 + |Z| n_components operations, where its own Cholesky
    factorization takes n_components³ / 3. The support of a row of W is its first guess.

    Parameters
    ----------
    W, A : ndarray of shape (n_rows, n_components), float64
    G : ndarray of shape (n_components, n_components), float64
        Conditioned well enough for its inverse to have half of the digits.
    inverse : ndarray like G
    most : int
        Zeros of a row beyond which it is left alone.
    max_rounds : int

    Returns
    -------
    ndarray of bool of shape (n_rows,)
        Which rows were solved; the others are as they were.
    """
    n_rows, k = W.shape
    solved = np.zeros(n_rows, np.bool_)
    zero, violates = np.empty(k, np.bool_), np.empty(k, np.bool_)
    places, L, y = np.empty(most, np.intp), np.empty((most, most)), np.empty(most)
    unconstrained, w, rest, correction = np.empty(k), np.empty(k), np.empty(k), np.empty(most)
    for i in range(n_rows):
        n_zeros = 0
        for t in range(k):
            zero[t] = not W[i, t] > 0
            n_zeros += 1 if zero[t] else 0
        if n_zeros > most:
            continue
        unconstrained[:] = 0.0
        _add_product(inverse, A[i], 1.0, unconstrained)
        fewest, patience = k + 1, 3
        for _ in range(max_rounds):
            n_zeros = 0
            for t in range(k):
                if zero[t]:
                    if n_zeros < most:
                        places[n_zeros] = t
                    n_zeros += 1
            if n_zeros > most:
                break
            _factorize(inverse, places, n_zeros, L)
            w[:] = unconstrained
            _hold_at_zero(inverse, places, n_zeros, L, w, y)
            # What the terms of the model add up to: the unit in which it rounds.
            size = 0.0
            for t in range(k):
                size += np.sqrt(G[t, t]) * abs(w[t])
                violates[t] = w[t] < 0
            for p in range(n_zeros):
                violates[places[p]] = y[p] < _least_gradient(G, A[i], size, places[p])
            n_violators, last = 0, -1
            for t in range(k):
                if violates[t]:
                    n_violators += 1
                    last = t
            if n_violators == 0:
                # One step against the rounding of the inverse: G w = a + y is to hold.
                rest[:] = A[i]
                _add_product(G, w, -1.0, rest)
                for p in range(n_zeros):
                    rest[places[p]] += y[p]
                _add_product(inverse, rest, 1.0, w)
                _hold_at_zero(inverse, places, n_zeros, L, w, correction)
                solved[i] = True
                for t in range(k):
                    solved[i] &= np.sqrt(G[t, t]) * w[t] >= -_ROUNDING * size
                for p in range(n_zeros):
                    least = _least_gradient(G, A[i], size, places[p])
                    solved[i] &= y[p] + correction[p] >= least
                if solved[i]:
                    for t in range(k):
                        W[i, t] = max(w[t], 0.0)
                break
            if n_violators < fewest:
                fewest, patience = n_violators, 3
            elif patience > 0:
                patience -= 1
            else:  # swapping one index at a time makes the method finite
                zero[last] = not zero[last]
                continue
            for t in range(k):
                if violates[t]:
                    zero[t] = not zero[t]
    return solved
