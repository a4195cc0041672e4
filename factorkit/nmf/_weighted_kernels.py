"""Compiled loops of weighted and incomplete least squares: every row has its own Gram matrix."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def _solve_row(G, gradient, w, max_sweeps, inner_tol):
    """Cyclic coordinate descent on one row.

    Returns the squared length of the first sweep's steps, in the unit of the data.

    gradient : G w - a at the start; kept up to date.
    """
    k = w.size
    first_decrease = 0.0
    for sweep in range(max_sweeps):
        decrease = 0.0
        for t in range(k):
            g = G[t, t]
            if g <= 0:
                continue
            new = w[t] - gradient[t] / g
            if not new > 0:
                new = w.dtype.type(0)
            change = new - w[t]
            if change != 0:
                for s in range(k):
                    gradient[s] += change * G[t, s]
                w[t] = new
                decrease += np.float64(g) * np.float64(change) * np.float64(change)
        if sweep == 0:
            first_decrease = decrease
        if decrease <= inner_tol * first_decrease:
            break
    return first_decrease


@kernel(reduces=True)
def _value(G, a, w):
    """½ w G w − a·w in float64."""
    total = 0.0
    for t in range(w.size):
        if w[t] != 0:
            s = 0.0
            for u in range(w.size):
                s += np.float64(G[t, u]) * np.float64(w[u])
            total += np.float64(w[t]) * (0.5 * s - np.float64(a[t]))
    return total


@kernel(reduces=True)
def _start_and_solve(G, a, W, i, l1, l2, max_sweeps, inner_tol, w, gradient):
    k = a.size
    for t in range(k):
        G[t, t] += l2
        w[t] = W[t, i]
    for t in range(k):
        s = w.dtype.type(0)
        for u in range(k):
            s += G[t, u] * w[u]
        gradient[t] = s - a[t] + l1
    moved = _solve_row(G, gradient, w, max_sweeps, inner_tol)
    for t in range(k):
        G[t, t] -= l2
        if G[t, t] + l2 <= 0 and l1 > 0:
            w[t] = 0  # of a component that vanished only the penalty is left
        W[t, i] = w[t]
    return moved, _value(G, a, w)


@kernel(reduces=True)
def sweep_rows(Q, A, W, first_row, l1, l2, max_sweeps, inner_tol):
    """Sweep the rows of a block, each with its Gram matrix, in W[:, first_row:].

    Q : (rows, k, k); A : (k, rows) without the penalty. Returns the squared length of the first
    steps and the sum of ½ w Q w − a·w.
    """
    n_rows, k, _ = Q.shape
    w = np.empty(k, W.dtype)
    gradient = np.empty(k, W.dtype)
    a = np.empty(k, W.dtype)
    moved = 0.0
    value = 0.0
    for i in range(n_rows):
        for t in range(k):
            a[t] = A[t, i]
        d, v = _start_and_solve(
            Q[i], a, W, first_row + i, l1, l2, max_sweeps, inner_tol, w, gradient
        )
        moved += d
        value += v
    return moved, value


@kernel(reduces=True)
def csr_grams(indptr, columns, values, weights, Ht, start, stop):
    """Gram matrices (rows, k, k) and linear terms (k, rows) of rows ``start:stop``.

    The stored entries of the CSR matrix are the observed ones; Ht is (n_features, k); `weights`
    has one value an entry, or a single one for all.
    """
    k = Ht.shape[1]
    Q = np.zeros((stop - start, k, k), Ht.dtype)
    A = np.empty((k, stop - start), Ht.dtype)
    a = np.empty(k, Ht.dtype)
    scaled = np.empty(k, Ht.dtype)
    for i in range(start, stop):
        G = Q[i - start]
        a[:] = 0
        for p in range(indptr[i], indptr[i + 1]):
            v = weights[p if weights.size > 1 else 0]
            x = values[p]
            j = columns[p]
            for t in range(k):
                scaled[t] = v * Ht[j, t]
            for t in range(k):
                a[t] += x * scaled[t]
            # The lower triangle, whose rows are contiguous.
            for t in range(k):
                h = scaled[t]
                for u in range(t + 1):
                    G[t, u] += h * Ht[j, u]
        for t in range(k):
            A[t, i - start] = a[t]
            for u in range(t):
                G[u, t] = G[t, u]
    return Q, A


@kernel
def fill_block(X, Y, V, largest):
    """Put X where it is known over the model Y: Y + (V / largest) (X - Y), in place.

    V has X's shape, or none of it ((0, 0)) where all known entries count the same.
    """
    n, m = X.shape
    weighted = V.shape[0] > 0
    for i in range(n):
        for j in range(m):
            x = X[i, j]
            y = Y[i, j]
            known = x == x
            if weighted:
                filled = y + V[i, j] / largest * (x - y)
            else:
                filled = x
            Y[i, j] = filled if known else y


@kernel(reduces=True)
def weighted_error(X, Y, V):
    """Sum of V (X - Y)² over the known entries, in float64."""
    n, m = X.shape
    weighted = V.shape[0] > 0
    total = 0.0
    for i in range(n):
        for j in range(m):
            known = X[i, j] == X[i, j]
            e = np.float64(X[i, j]) - np.float64(Y[i, j])
            v = np.float64(V[i, j]) if weighted else 1.0
            total += v * e * e if known else 0.0
    return total
