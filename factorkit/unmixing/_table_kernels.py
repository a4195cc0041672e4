"""Compiled table of `_abundances`."""

import numpy as np

from ..utils._jit import kernel


@kernel
def _add_multipliers(S, G, to_one, maps):
    """What the solution with support S leaves of the gradient, where it doesn't vanish."""
    k = G.shape[0]
    for t in range(k + 1):
        level = 0.0
        for i in range(-1, k):
            # First a member, whose gradient is that of all where the sum is one.
            j = i
            if i < 0:
                if not to_one:
                    continue
                j = 0
                while not (S >> j) & 1:
                    j += 1
            elif (S >> i) & 1:
                continue
            s = -1.0 if j == t else 0.0
            for q in range(k):
                if (S >> q) & 1:
                    s += G[j, q] * maps[S, t, q]
            if i < 0:
                level = s
            else:
                maps[S, t, j] = s - level


@kernel
def support_table(G, to_one, n_lanes):
    """Solutions with every support of few endmembers, as linear functions of the pixel.

    Returns ``maps`` of shape (2^k, k + 1, n_lanes): with support S (bit j for endmember j),
    ``maps[S, k] + Σ_j f_j maps[S, j]`` is the solution for the members, and for the others what
    Gx − f is, less its common value on the support where the sum is one. Also whether S is
    independent, and the smallest part of a member, in squares, that the others do not span, of
    all independent S.
    """
    k = G.shape[0]
    maps = np.zeros((1 << k, k + 1, n_lanes))
    independent = np.zeros(1 << k, np.bool_)
    members = np.empty(k, np.intp)
    L = np.empty((k, k))
    V = np.empty((k, k))
    sums = np.empty(k)
    smallest = 1.0
    independent[0] = not to_one
    if independent[0]:
        _add_multipliers(0, G, to_one, maps)
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
        _add_multipliers(S, G, to_one, maps)
    return maps, independent, smallest
