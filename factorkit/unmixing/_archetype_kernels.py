"""Compiled loops of `_archetypes`: the nearest point of a convex hull, by Wolfe's method."""

import numpy as np

from ..utils._jit import kernel

# Pixels whose products stay in the first-level cache while the coordinates go by.
_BLOCK = 1024


@kernel(reduces=True)
def _furthest(Xt, g, products):
    """The pixel of least product with g, and that product."""
    d, n = Xt.shape
    best, least = 0, np.inf
    for first in range(0, n, _BLOCK):
        width = min(_BLOCK, n - first)
        for i in range(width):
            products[i] = 0.0
        for c in range(d):
            row, weight = Xt[c, first : first + width], g[c]
            for i in range(width):
                products[i] += weight * row[i]
        smallest = np.inf
        for i in range(width):
            smallest = min(smallest, products[i])
        if smallest < least:
            least = smallest
            for i in range(width):
                if products[i] == smallest:
                    best = first + i
                    break
    return best, least


@kernel(reduces=True)
def _nearest_on_plane(K, u, tt, n, M, v):
    """Affine combination of the members nearest to t: v of sum 1, from inner products.

    K holds the products of the members, u theirs with t, tt that of t.
    """
    trace = 0.0
    size = tt
    for p in range(n):
        size = max(size, K[p, p])
        trace += max(K[p, p] - 2 * u[p] + tt, 0.0)
    # A number added to all entries changes no direction on the plane, and makes the matrix
    # positive definite; the ridge is for members that depend on each other.
    shift = max(trace / n, 1e-14 * size) + 1e-300
    ridge = max(1e-13 * shift, 1e-15 * size)
    for p in range(n):
        for q in range(p + 1):
            s = K[p, q] - u[p] - u[q] + tt + shift
            if p == q:
                s += ridge
            for r in range(q):
                s -= M[p, r] * M[q, r]
            if q < p:
                M[p, q] = s / M[q, q]
            else:
                M[p, p] = np.sqrt(max(s, ridge))
    for p in range(n):
        s = 1.0
        for r in range(p):
            s -= M[p, r] * v[r]
        v[p] = s / M[p, p]
    total = 0.0
    for p in range(n - 1, -1, -1):
        s = v[p]
        for r in range(p + 1, n):
            s -= M[r, p] * v[r]
        v[p] = s / M[p, p]
        total += v[p]
    for p in range(n):
        v[p] /= total


@kernel(reduces=True)
def _project(Xt, t, members, weights, K, n, tol, max_cycles, z, work):
    """Nearest point z of the hull of the columns of Xt to t.

    Starts from n members with weights of sum one, whose products are K, and overwrites them;
    returns their new number. Ends where no pixel is nearer by more than tol.
    """
    d = Xt.shape[0]
    g, u, v, products, M = work
    tt = 0.0
    for c in range(d):
        tt += t[c] * t[c]
    for p in range(n):
        s = 0.0
        for c in range(d):
            s += Xt[c, members[p]] * t[c]
        u[p] = s
    settled = False  # whether z is the nearest point of the members' own hull
    for _ in range(max_cycles):
        while not settled:
            _nearest_on_plane(K, u, tt, n, M, v)
            step, blocking = 1.0, -1
            for p in range(n):
                if v[p] <= 0.0:
                    part = weights[p] / (weights[p] - v[p]) if weights[p] > v[p] else 0.0
                    if part < step or blocking < 0:
                        step, blocking = part, p
            if blocking < 0:
                for p in range(n):
                    weights[p] = v[p]
                settled = True
                break
            for p in range(n):
                weights[p] += step * (v[p] - weights[p])
            n -= 1
            for p in range(blocking, n):
                weights[p], members[p], u[p] = weights[p + 1], members[p + 1], u[p + 1]
            for p in range(n):
                source = p + 1 if p >= blocking else p
                for q in range(p + 1):
                    K[p, q] = K[source, q + 1 if q >= blocking else q]
        for c in range(d):
            s = 0.0
            for p in range(n):
                s += weights[p] * Xt[c, members[p]]
            z[c] = s
            g[c] = s - t[c]
        nearest, least = _furthest(Xt, g, products)
        level = 0.0
        for c in range(d):
            level += z[c] * g[c]
        if not level - least > tol or n == len(members):
            break
        known = False
        for p in range(n):
            known |= members[p] == nearest
        if known:
            break
        members[n], weights[n] = nearest, 0.0
        s = 0.0
        for c in range(d):
            s += Xt[c, nearest] * t[c]
        u[n] = s
        for q in range(n + 1):
            s = 0.0
            for c in range(d):
                s += Xt[c, nearest] * Xt[c, members[q]]
            K[n, q] = s
        n += 1
        settled = False
    return n


@kernel(reduces=True)
def update_archetypes(Xt, Z, C, P, members, weights, K, counts, tol, max_cycles):
    """One pass over the archetypes: each goes to the point of the hull that is best for it.

    With A fixed the objective in row j of Z is ½ C_jj ‖z_j − t‖² for
    t = z_j + (P_j − C_j Z) / C_jj, where C = AᵀA and P = AᵀX. ``members``, ``weights`` (k, s)
    and ``counts`` (k) hold each archetype as a mixture of pixels, ``K`` (k, s, s) the products.
    """
    k, d = Z.shape
    most = members.shape[1]
    t, z = np.empty(d), np.empty(d)
    work = (np.empty(d), np.empty(most), np.empty(most), np.empty(_BLOCK), np.empty((most, most)))
    for j in range(k):
        if C[j, j] <= 0.0:
            continue  # an archetype that no pixel uses
        for c in range(d):
            s = P[j, c]
            for i in range(k):
                s -= C[j, i] * Z[i, c]
            t[c] = Z[j, c] + s / C[j, j]
        counts[j] = _project(
            Xt, t, members[j], weights[j], K[j], counts[j], tol, max_cycles, z, work
        )
        for c in range(d):
            Z[j, c] = z[c]
