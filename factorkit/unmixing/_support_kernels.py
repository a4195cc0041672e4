"""Compiled active set without a table: many endmembers, or a Gram matrix a pixel."""

import numpy as np

from ..utils._jit import kernel

_SLACK = 1e-12


@kernel(reduces=True)
def _solve(G, f, order, n, to_one, L, u, v, z):
    """Minimize over a support; returns its first member that depends on those before it, or -1."""
    if to_one and n == 1:
        z[0] = 1.0  # exactly: rounding errors of a bright pixel could leave no support at all
        return -1
    for p in range(n):
        t = order[p]
        for q in range(p):
            s = G[t, order[q]]
            for r in range(q):
                s -= L[p, r] * L[q, r]
            L[p, q] = s / L[q, q]
        s = G[t, t]
        for r in range(p):
            s -= L[p, r] * L[p, r]
        if not s > 1e-13 * G[t, t]:
            return p
        L[p, p] = np.sqrt(s)
        s = f[t]
        w = 1.0
        for r in range(p):
            s -= L[p, r] * u[r]
            w -= L[p, r] * v[r]
        u[p] = s / L[p, p]
        v[p] = w / L[p, p]
    if to_one:
        # z = H f − μ H 1 with μ such that the sum is 1.
        total = sums = 0.0
        for p in range(n):
            sums += v[p] * u[p]
            total += v[p] * v[p]
        level = (sums - 1.0) / total
        for p in range(n):
            u[p] -= level * v[p]
    for p in range(n - 1, -1, -1):
        s = u[p]
        for r in range(p + 1, n):
            s -= L[r, p] * z[r]
        z[p] = s / L[p, p]
    return -1


@kernel(reduces=True)
def active_set_rows(F, Q, to_one, A):
    """min ½ aᵀGa − fᵀa over a ≥ 0, and Σ a = 1 where ``to_one``, for each row f of F.

    Q has one Gram matrix G a row, or a single one that all rows share; then a row starts at the
    support of the row before. Overwrites A.
    """
    n_rows, k = F.shape
    shared = Q.shape[0] == 1
    L = np.empty((k, k))
    u, v, z, x, g = np.empty(k), np.empty(k), np.empty(k), np.zeros(k), np.empty(k)
    order = np.empty(k, np.intp)
    inside, barred = np.zeros(k, np.bool_), np.empty(k, np.bool_)
    n = 0
    for i in range(n_rows):
        G, f = Q[0 if shared else i], F[i]
        size = 0.0
        for j in range(k):
            size = max(size, abs(f[j]))
            if to_one:  # else G x is as large as f, however dark the pixel
                size = max(size, abs(G[j, j]))
            x[j] = 0.0
            barred[j] = False
        if not shared:
            n = 0
            inside[:] = False
        # The start: what of the support of the row before is positive.
        while True:
            if n == 0:
                if to_one:
                    best = 0
                    for j in range(1, k):
                        if 0.5 * G[j, j] - f[j] < 0.5 * G[best, best] - f[best]:
                            best = j
                    order[0], n = best, 1
                    inside[best] = True
                    x[best] = 1.0
                break
            _solve(G, f, order, n, to_one, L, u, v, z)
            kept = 0
            for p in range(n):
                if z[p] > 0.0:
                    order[kept] = order[p]
                    z[kept] = z[p]
                    kept += 1
                else:
                    inside[order[p]] = False
            if kept == n:
                for p in range(n):
                    x[order[p]] = z[p]
                break
            n = kept
        for _ in range(100 * k):
            # Multipliers: g less its common value on the support.
            for j in range(k):
                g[j] = -f[j]
            for p in range(n):
                t = order[p]
                for j in range(k):
                    g[j] += x[t] * G[t, j]
            level = 0.0
            if to_one:
                level = np.inf
                for p in range(n):
                    level = min(level, g[order[p]])
            worst, entering = -_SLACK * size, -1
            for j in range(k):
                if not inside[j] and not barred[j] and g[j] - level < worst:
                    worst, entering = g[j] - level, j
            if entering < 0:
                break
            order[n] = entering
            n += 1
            inside[entering] = True
            newest = entering
            while True:
                spanned = _solve(G, f, order, n, to_one, L, u, v, z)
                if spanned >= 0:
                    # The newest, but for rounding: without it the minimum is the same.
                    t = order[spanned]
                    x[t] = 0.0
                    inside[t] = False
                    barred[t] = True
                    n -= 1
                    for p in range(spanned, n):
                        order[p] = order[p + 1]
                    break
                step, blocking = 1.0, -1
                for p in range(n):
                    if z[p] <= 0.0:
                        t = order[p]
                        part = x[t] / (x[t] - z[p]) if x[t] > z[p] else 0.0
                        if part < step or blocking < 0:
                            step, blocking = part, p
                if blocking < 0:
                    for p in range(n):
                        x[order[p]] = z[p]
                    break
                for p in range(n):
                    x[order[p]] += step * (z[p] - x[order[p]])
                t = order[blocking]
                x[t] = 0.0
                inside[t] = False
                if t == newest:  # rounding let it in
                    barred[t] = True
                n -= 1
                for p in range(blocking, n):
                    order[p] = order[p + 1]
        for j in range(k):
            A[i, j] = x[j]
