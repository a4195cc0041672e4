"""Exact nonnegative least squares by block principal pivoting, from either side of a support."""

import numpy as np

from ._jit import kernel

# What sums may be wrong by, beside the sizes of their terms. A coefficient that adds no more to the
# model is zero: whichever support the method starts from, it is the same.
_ROUNDING = 1e-13


@kernel
def _least_gradient(length, size, a):
    """The lowest that rounding may make of a gradient of zero.

    In the component's own length, which may be a millionth of another's.
    """
    return -_ROUNDING * (length * size + abs(a))


@kernel
def _violators(violates):
    """How many there are, and the last of them."""
    n, last = 0, -1
    for t in range(violates.size):
        if violates[t]:
            n, last = n + 1, t
    return n, last


@kernel
def _exchange(members, violates, n_violators, last, fewest, patience):
    """Move violators into a set or out of it; the new fewest violators, and patience left.

    All of them, for as long as they become fewer within three rounds; then one at a time, which
    makes the method finite.
    """
    if n_violators >= fewest and patience == 0:
        members[last] = not members[last]
        return fewest, patience
    for t in range(violates.size):
        if violates[t]:
            members[t] = not members[t]
    return (n_violators, 3) if n_violators < fewest else (fewest, patience - 1)


@kernel(reduces=True)
def pivot_rows(W, A, Q, max_rounds):
    """Block principal pivoting; the support of a row of W is its first guess.

    Q has one Gram matrix a row, or a single one that all rows share. Returns which rows were
    solved. The others hold a start for `exchange_rows`: the best that the components allow which
    were not left out as dependent, or zero where `max_rounds` did not suffice.
    """
    n_samples, k = W.shape
    solved = np.zeros(n_samples, np.bool_)
    free = np.empty(k, np.bool_)
    order = np.empty(k, np.intp)
    L = np.empty((k, k))
    z = np.empty(k)
    violates = np.empty(k, np.bool_)
    dependent = np.empty(k, np.bool_)
    last_order = np.empty(k, np.intp)
    lengths = np.empty(k)
    n_last = 0
    for i in range(n_samples):
        G = Q[i if Q.shape[0] > 1 else 0]
        if Q.shape[0] > 1 or i == 0:
            n_last = 0
            for t in range(k):
                lengths[t] = np.sqrt(G[t, t])
        for t in range(k):
            free[t] = W[i, t] > 0
            W[i, t] = 0.0
        fewest, patience = k + 1, 3
        for _ in range(max_rounds):
            n_free = 0
            for t in range(k):
                if free[t]:
                    order[n_free] = t
                    n_free += 1
            # Cholesky of the free block, with the forward substitution done on the way. As far as
            # the block is that of the last factorization it is there: rows often share a support.
            same = 0
            while same < min(n_free, n_last) and order[same] == last_order[same]:
                same += 1
            dependent[:] = False
            for p in range(same):
                s = A[i, order[p]]
                for u in range(p):
                    s -= L[p, u] * z[u]
                z[p] = s / L[p, p]
            p = same
            while p < n_free:
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
                    # Components before it span this one: the model is as good without it.
                    dependent[t] = True
                    free[t] = False
                    n_free -= 1
                    for u in range(p, n_free):
                        order[u] = order[u + 1]
                    continue
                L[p, p] = np.sqrt(s)
                s = A[i, t]
                for u in range(p):
                    s -= L[p, u] * z[u]
                z[p] = s / L[p, p]
                p += 1
            n_last = n_free
            last_order[:n_free] = order[:n_free]
            for p in range(n_free - 1, -1, -1):
                z[p] /= L[p, p]
                for u in range(p):  # along a row of L
                    z[u] -= L[p, u] * z[p]
            # What the terms of the model add up to: the unit in which it rounds.
            size = 0.0
            for p in range(n_free):
                size += lengths[order[p]] * abs(z[p])
            # Violators: negative solutions, and components that would lower the objective.
            misses_dependent = False
            p = 0
            for t in range(k):
                if free[t]:
                    violates[t] = lengths[t] * z[p] < _ROUNDING * size
                    p += 1
                else:
                    y = -A[i, t]
                    for u in range(n_free):
                        y += G[t, order[u]] * z[u]
                    violates[t] = False
                    if y < 0 and G[t, t] > 0:
                        least = _least_gradient(lengths[t], size, A[i, t])
                        violates[t] = y < least and not dependent[t]
                        misses_dependent |= y < least and dependent[t]
            n_violators, last = _violators(violates)
            if n_violators == 0:
                # A dependent component adds nothing to the model, but under an l1 penalty it may
                # be the cheaper one.
                solved[i] = not misses_dependent
                for p in range(n_free):
                    W[i, order[p]] = z[p]
                break
            fewest, patience = _exchange(free, violates, n_violators, last, fewest, patience)
    return solved


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
    lengths = np.sqrt(np.diag(G))
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
                size += lengths[t] * abs(w[t])
            for t in range(k):
                violates[t] = lengths[t] * w[t] < _ROUNDING * size
            for p in range(n_zeros):
                t = places[p]
                violates[t] = y[p] < _least_gradient(lengths[t], size, A[i, t])
            n_violators, last = _violators(violates)
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
                    solved[i] &= lengths[t] * w[t] >= -_ROUNDING * size
                for p in range(n_zeros):
                    t = places[p]
                    least = _least_gradient(lengths[t], size, A[i, t])
                    solved[i] &= y[p] + correction[p] >= least
                if solved[i]:
                    for t in range(k):
                        W[i, t] = max(w[t], 0.0)
                break
            fewest, patience = _exchange(zero, violates, n_violators, last, fewest, patience)
    return solved
