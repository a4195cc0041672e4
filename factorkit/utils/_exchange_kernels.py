"""Compiled loops of `_nnls` for the rows that pivoting leaves: an active-set method.

The support of a row is ``order[:n_free]``. Its components are independent, L is the Cholesky factor
of their Gram matrix and f = L⁻¹ a, so that L⁻ᵀ f is the minimum on the support.
"""

import numpy as np

from ._jit import kernel


@kernel(reduces=True)
def exchange_rows(W, A, Q, rows, max_rounds):
    """Solve some rows of W from the nonnegative start that they hold, a component a round.

    Slower than pivoting, but the objective never rises, and dependent components are no
    obstacle: one that the support spans enters along the direction in which the model stays as
    it is, until another one is at zero and leaves. Q has one Gram matrix a row of W, or a single
    one. Returns which of `rows` were solved.
    """
    k = W.shape[1]
    solved = np.zeros(len(rows), np.bool_)
    order = np.empty(k, np.intp)
    L = np.empty((k, k))
    f = np.empty(k)
    z = np.empty(k)
    barred = np.empty(k, np.bool_)
    for r in range(len(rows)):
        i = rows[r]
        G, a, w = Q[i if Q.shape[0] > 1 else 0], A[i], W[i]
        n_free = 0
        for t in range(k):
            barred[t] = False
            if w[t] > 0:
                order[n_free] = t
                n_free += 1
        n_free = _refactor(L, f, G, a, w, order, 0, n_free)
        for _ in range(max_rounds):
            n_free = _descend(L, f, z, G, a, w, order, n_free)
            t = _most_missed(G, a, w, barred)
            if t < 0:
                solved[r] = True
                break
            n_free = _enter(L, f, G, a, w, order, n_free, t, barred)
    return solved


@kernel(reduces=True)
def _descend(L, f, z, G, a, w, order, n_free):
    """The minimum on the support, less the components that reach zero on the way there."""
    while True:
        _back_substitute(L, f, z, n_free)
        step, first = 1.0, -1
        for p in range(n_free):
            t = order[p]
            if z[p] < 0 and w[t] <= step * (w[t] - z[p]):
                step, first = w[t] / (w[t] - z[p]), p
        if first < 0:
            for p in range(n_free):
                w[order[p]] = z[p]
            return n_free
        for p in range(n_free):
            t = order[p]
            w[t] = max(0.0, w[t] + step * (z[p] - w[t]))
        n_free = _leave(L, f, G, a, w, order, first, n_free)


@kernel(reduces=True)
def _most_missed(G, a, w, barred):
    """The component that lowers the objective fastest, by its length; -1 where none does."""
    k = len(w)
    # What the terms of the model add up to: the unit in which it rounds.
    size = 0.0
    for u in range(k):
        size += np.sqrt(G[u, u]) * w[u]
    best, most = -1, 0.0
    for t in range(k):
        if w[t] > 0 or barred[t] or G[t, t] <= 0:
            continue
        y = -a[t]
        for u in range(k):
            y += G[t, u] * w[u]
        length = np.sqrt(G[t, t])
        if y < -1e-13 * (length * size + abs(a[t])) and -y > most * length:
            best, most = t, -y / length
    return best


@kernel(reduces=True)
def _enter(L, f, G, a, w, order, n_free, t, barred):
    """The support with component t; a component that it replaces leaves."""
    order[n_free] = t
    while not _factor_row(L, f, G, a, order, n_free):
        # The combination of the support that equals component t, over the row that has failed.
        c = L[n_free]
        _back_substitute(L, c, c, n_free)
        step, first = np.inf, -1
        for p in range(n_free):
            if c[p] > 0 and w[order[p]] < step * c[p]:
                step, first = w[order[p]] / c[p], p
        if first < 0:
            # No end, so the descent is rounding: a linear term that comes from data and a
            # penalty is bounded.
            w[t], barred[t] = 0.0, True
            return n_free
        for p in range(n_free):
            w[order[p]] = max(0.0, w[order[p]] - step * c[p])
        w[t] += step
        n_free = _leave(L, f, G, a, w, order, first, n_free)
        order[n_free] = t
    if w[t] == 0 and f[n_free] <= 0:  # rounding again: it would leave at once
        barred[t] = True
        return n_free
    return n_free + 1


@kernel(reduces=True)
def _leave(L, f, G, a, w, order, p, n_free):
    """The support without component ``order[p]``."""
    w[order[p]] = 0.0
    for u in range(p, n_free - 1):
        order[u] = order[u + 1]
    return _refactor(L, f, G, a, w, order, p, n_free - 1)


@kernel(reduces=True)
def _refactor(L, f, G, a, w, order, p, n_free):
    """L and f from row p on; a component that is dependent is set to zero and leaves."""
    while p < n_free:
        if _factor_row(L, f, G, a, order, p):
            p += 1
            continue
        w[order[p]] = 0.0
        n_free -= 1
        for u in range(p, n_free):
            order[u] = order[u + 1]
    return n_free


@kernel(reduces=True)
def _factor_row(L, f, G, a, order, p):
    """Row p of L, and f[p]; False where the components before it span component ``order[p]``."""
    t = order[p]
    for q in range(p):
        s = G[t, order[q]]
        for u in range(q):
            s -= L[p, u] * L[q, u]
        L[p, q] = s / L[q, q]
    s = G[t, t]
    for u in range(p):
        s -= L[p, u] * L[p, u]
    if s <= 1e-13 * G[t, t]:
        return False
    L[p, p] = np.sqrt(s)
    s = a[t]
    for u in range(p):
        s -= L[p, u] * f[u]
    f[p] = s / L[p, p]
    return True


@kernel(reduces=True)
def _back_substitute(L, f, z, n_free):
    """z = L⁻ᵀ f; the two may be one array."""
    for p in range(n_free - 1, -1, -1):
        s = f[p]
        for u in range(p + 1, n_free):
            s -= L[u, p] * z[u]
        z[p] = s / L[p, p]
