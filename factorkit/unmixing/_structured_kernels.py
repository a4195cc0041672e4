"""Compiled loops of `_structured_solver`: abundances that pull on their neighbours."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def _coordinate_sweeps(a, b, Q, n_sweeps):
    """min ½ aᵀQa − bᵀa over a >= 0, one coordinate after the other."""
    k = len(a)
    for _ in range(n_sweeps):
        for t in range(k):
            if Q[t, t] <= 0:
                a[t] = 0.0 if b[t] < 0 else a[t]
                continue
            s = b[t]
            for r in range(k):
                s -= Q[t, r] * a[r]
            a[t] = max(0.0, a[t] + s / Q[t, t])


@kernel(reduces=True)
def _pair_sweeps(a, b, Q, g, n_sweeps):
    """The same over the simplex, one pair of coordinates after the other at its best exchange.

    In a fixed order: the pair whose gradients differ the most is a tie after every step, which
    rounding would decide.
    """
    k = len(a)
    for t in range(k):
        s = -b[t]
        for r in range(k):
            s += Q[t, r] * a[r]
        g[t] = s
    for _ in range(n_sweeps):
        for t in range(1, k):
            for u in range(t):
                if a[t] == 0.0 and a[u] == 0.0:
                    continue
                slope = g[t] - g[u]
                curvature = Q[t, t] + Q[u, u] - 2 * Q[t, u]
                if curvature > 0.0:
                    step = min(max(slope / curvature, -a[u]), a[t])
                elif slope > 0.0:
                    step = a[t]
                else:
                    step = -a[u] if slope < 0.0 else 0.0
                if step == 0.0:
                    continue
                a[t] = 0.0 if step == a[t] else a[t] - step
                a[u] = 0.0 if step == -a[u] else a[u] + step
                for r in range(k):
                    g[r] += step * (Q[r, u] - Q[r, t])


@kernel(reduces=True)
def sweep_pixels(A, F, G, P, indptr, neighbours, weights, degrees, to_one, n_sweeps):
    """One pass over the pixels, each given what its neighbours are now; A is overwritten.

    Pixel i minimizes ½ aᵀ(G + d_i P)a − (F_i + P Σ_j w_ij a_j)ᵀa. Returns the sum of squared
    changes.
    """
    n, k = A.shape
    b, g, old, pull = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    Q = np.empty((k, k))
    moved = 0.0
    for i in range(n):
        for t in range(k):
            pull[t] = 0.0
            old[t] = A[i, t]
        for p in range(indptr[i], indptr[i + 1]):
            for t in range(k):
                pull[t] += weights[p] * A[neighbours[p], t]
        for t in range(k):
            s = F[i, t]
            for r in range(k):
                s += P[t, r] * pull[r]
            # Apart from the sum: beside a store, its order hangs on where arrays lie.
            for r in range(k):
                Q[t, r] = G[t, r] + degrees[i] * P[t, r]
            b[t] = s
        if to_one:
            _pair_sweeps(A[i], b, Q, g, n_sweeps)
        else:
            _coordinate_sweeps(A[i], b, Q, n_sweeps)
        for t in range(k):
            d = A[i, t] - old[t]
            moved += d * d
    return moved


@kernel
def _project_on_simplex(x):
    """Shift what is positive until its sum is 1, as often as that makes something negative."""
    k = len(x)
    inside = k
    for _ in range(k):
        total, n = 0.0, 0
        for t in range(k):
            if x[t] > -np.inf:
                total += x[t]
                n += 1
        level = (total - 1.0) / n
        inside = 0
        for t in range(k):
            if x[t] > -np.inf:
                x[t] = x[t] - level
                if x[t] > 0.0:
                    inside += 1
                else:
                    x[t] = -np.inf
        if inside == n:
            break
    for t in range(k):
        x[t] = max(x[t], 0.0)


@kernel(reduces=True)
def projected_step(A, F, G, P, indptr, neighbours, weights, degrees, to_one, largest):
    """Sums of squares of a projected gradient step of every pixel, and of A.

    `largest` are the greatest eigenvalues of G and P; a pixel's step is 1 over the first and
    2 d_i times the second.
    """
    n, k = A.shape
    x, pull = np.empty(k), np.empty(k)
    moved = total = 0.0
    for i in range(n):
        curvature = largest[0] + 2 * degrees[i] * largest[1]
        if curvature <= 0.0:
            continue
        for t in range(k):
            pull[t] = -degrees[i] * A[i, t]
        for p in range(indptr[i], indptr[i + 1]):
            for t in range(k):
                pull[t] += weights[p] * A[neighbours[p], t]
        for t in range(k):
            s = F[i, t]
            for r in range(k):
                s += P[t, r] * pull[r] - G[t, r] * A[i, r]
            x[t] = A[i, t] + s / curvature
        if to_one:
            _project_on_simplex(x)
        for t in range(k):
            d = max(x[t], 0.0) - A[i, t]
            moved += d * d
            total += A[i, t] * A[i, t]
    return moved, total
