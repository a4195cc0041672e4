"""Compiled loops of `_abundances`: active sets, one pixel at a time.

Every pixel solves min ½ aᵀGa − fᵀa over a ≥ 0, and Σ a = 1 where ``to_one``. With few endmembers
the solution of every support comes from a table. All violators are exchanged at once, which takes
one to four supports; where that does not end, a primal active set does, of which every step lowers
the objective.
"""

import numpy as np

from ..utils._jit import kernel

# What a multiplier may fall below zero by, relative to the terms it is the difference of.
_SLACK = 1e-12
# Rounds in which all violators are exchanged at once, before a slower method that always ends.
_ROUNDS = 8


@kernel(reduces=True)
def products(Y, E, F):
    """F = Y Eᵀ, in float64, for tall Y: a pass over Y at the speed of memory.

    E has a multiple of four rows; F has as many columns.
    """
    n, n_bands = Y.shape
    for i in range(n):
        for j in range(0, E.shape[0], 4):
            s0 = s1 = s2 = s3 = 0.0
            for b in range(n_bands):
                y = np.float64(Y[i, b])
                s0 += y * E[j, b]
                s1 += y * E[j + 1, b]
                s2 += y * E[j + 2, b]
                s3 += y * E[j + 3, b]
            F[i, j] = s0
            F[i, j + 1] = s1
            F[i, j + 2] = s2
            F[i, j + 3] = s3


@kernel
def support_table(G, to_one):
    """Solution maps of every support of at most 12 endmembers.

    Returns ``maps`` of shape (2^k, k + 1, k): with support S (bit j for endmember j) the
    solution is ``maps[S, k] + Σ_j f_j maps[S, j]``; whether S is independent; and the smallest
    part of a member, in squares, that the others do not span, of all independent S.
    """
    k = G.shape[0]
    maps = np.zeros((1 << k, k + 1, k))
    independent = np.zeros(1 << k, np.bool_)
    members = np.empty(k, np.intp)
    L = np.empty((k, k))
    V = np.empty((k, k))
    sums = np.empty(k)
    smallest = 1.0
    independent[0] = not to_one
    for S in range(1, 1 << k):
        n = 0
        for j in range(k):
            if (S >> j) & 1:
                members[n] = j
                n += 1
        regular = True
        for p in range(n):  # rounding must not let in what a smaller support ruled out
            if n > 1 and not independent[S & ~(1 << members[p])]:
                regular = False
        for p in range(n if regular else 0):
            for q in range(p + 1):
                s = G[members[p], members[q]]
                for u in range(q):
                    s -= L[p, u] * L[q, u]
                if q < p:
                    L[p, q] = s / L[q, q]
                elif s > 1e-13 * G[members[p], members[p]]:
                    L[p, p] = np.sqrt(s)
                else:
                    regular = False
            if not regular:
                break
        independent[S] = regular
        if not regular:
            continue
        # V = L⁻¹, so that the inverse is VᵀV.
        for q in range(n):
            for p in range(q, n):
                s = 1.0 if p == q else 0.0
                for u in range(q, p):
                    s -= L[p, u] * V[u, q]
                V[p, q] = s / L[p, p]
        total = 0.0
        for p in range(n):
            sums[p] = 0.0
        for p in range(n):
            for q in range(n):
                s = 0.0
                for u in range(max(p, q), n):
                    s += V[u, p] * V[u, q]
                if p == q:
                    smallest = min(smallest, 1.0 / (s * G[members[p], members[p]]))
                maps[S, members[q], members[p]] = s
                sums[p] += s
                total += s
        if to_one and n == 1:
            # Exactly: rounding errors of a bright pixel could leave no support at all.
            maps[S, members[0], members[0]] = 0.0
            maps[S, k, members[0]] = 1.0
        elif to_one:
            for p in range(n):
                maps[S, k, members[p]] = sums[p] / total
                for q in range(n):
                    maps[S, members[q], members[p]] -= sums[p] * (sums[q] / total)
    return maps, independent, smallest


@kernel
def _from_table(S, maps, f, x, k):
    rows = maps[S]
    for j in range(k):
        x[j] = rows[k, j]
    for t in range(k):
        if (S >> t) & 1:  # the other rows are zero: the table is larger than a cache
            for j in range(k):
                x[j] += f[t] * rows[t, j]


@kernel
def _best_vertex(f, G, k):
    best = 0
    for j in range(1, k):
        if 0.5 * G[j, j] - f[j] < 0.5 * G[best, best] - f[best]:
            best = j
    return 1 << best


@kernel
def _multipliers(x, f, G, S, to_one, k, g):
    """g = Gx − f, less its common value on the support where the sum is one."""
    for j in range(k):
        g[j] = -f[j]
    for t in range(k):
        if (S >> t) & 1:
            for j in range(k):
                g[j] += x[t] * G[t, j]
    if to_one:
        level = np.inf
        for j in range(k):
            if (S >> j) & 1:
                level = min(level, g[j])
        for j in range(k):
            g[j] -= level


@kernel
def _primal(S, f, G, maps, independent, to_one, slack, k, x, z, g):
    """Active set of which every step lowers the objective, from the positive part of a support;
    leaves the solution in x."""
    for _ in range(k + 2):
        if S == 0 and to_one:
            S = _best_vertex(f, G, k)
        _from_table(S, maps, f, x, k)
        kept = 0
        for j in range(k):
            if x[j] > 0.0 and (S >> j) & 1:
                kept |= 1 << j
        if kept == S:
            break
        S = kept
    barred = 0
    for _ in range(100 * k):
        _multipliers(x, f, G, S, to_one, k, g)
        worst, entering = -slack, -1
        for j in range(k):
            if not ((S | barred) >> j) & 1 and g[j] < worst:
                worst, entering = g[j], j
        if entering < 0:
            break
        T = S | (1 << entering)
        if not independent[T]:
            barred |= 1 << entering
            continue
        while True:
            _from_table(T, maps, f, z, k)
            step, blocking = 1.0, -1
            for j in range(k):
                if (T >> j) & 1 and z[j] <= 0.0:
                    part = x[j] / (x[j] - z[j]) if x[j] > z[j] else 0.0
                    if part < step or blocking < 0:
                        step, blocking = part, j
            if blocking < 0:
                break
            for j in range(k):
                if (T >> j) & 1:
                    x[j] += step * (z[j] - x[j])
            x[blocking] = 0.0
            T &= ~(1 << blocking)
        if T == S:  # rounding let in what the next solution puts out
            barred |= 1 << entering
        S = T
        for j in range(k):
            x[j] = z[j] if (S >> j) & 1 else 0.0


@kernel(reduces=True)
def table_rows(F, G, maps, independent, to_one, A):
    """Abundances of pixels that share a Gram matrix, from the table of its supports.

    The loop stands in one piece, without a view of an array: calls and views cost as much as the
    arithmetic.
    """
    n, k = A.shape
    x, z, g = np.zeros(k), np.zeros(k), np.zeros(k)
    full = (1 << k) - 1
    largest = 0.0
    if to_one:  # else G x is as large as f, however dark the pixel
        for j in range(k):
            largest = max(largest, abs(G[j, j]))
    for i in range(n):
        size = largest
        for j in range(k):
            size = max(size, abs(F[i, j]))
        slack = _SLACK * size
        S, optimal = full, False
        for round_ in range(_ROUNDS):
            if (to_one and S == 0) or not independent[S]:
                break
            negative = 0
            for j in range(k):
                s = maps[S, k, j]
                for t in range(k):
                    s += F[i, t] * maps[S, j, t]
                x[j] = s
                negative |= np.intp(s < 0.0) << j
            if round_ == 0:
                # What is positive with all endmembers is the first guess.
                optimal = negative == 0
                wrong = negative
            else:
                level = np.inf
                for j in range(k):
                    s = -F[i, j]
                    for t in range(k):
                        s += G[j, t] * x[t]
                    g[j] = s
                    level = min(level, s if to_one and (S >> j) & 1 else np.inf)
                level = level if to_one else 0.0
                useful = 0
                for j in range(k):
                    useful |= np.intp(g[j] - level < -slack) << j
                wrong = (negative & S) | (useful & ~S)
                optimal = wrong == 0
            if optimal:
                break
            S ^= wrong
        if not optimal:
            if not independent[S]:
                S = 0
            _primal(S, F[i], G, maps, independent, to_one, slack, k, x, z, g)
        total = 1.0
        if to_one:
            total = 0.0
            for j in range(k):
                total += x[j]
        for j in range(k):
            A[i, j] = x[j] / total
