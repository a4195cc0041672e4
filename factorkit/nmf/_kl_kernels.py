"""Compiled loops of NMF with the Kullback-Leibler divergence."""

import numpy as np
from numba import types
from numba.extending import overload

from ..utils._jit import kernel


def _reciprocal(y, scale):
    return 1 / y


@overload(_reciprocal, inline="always")
def _overload_reciprocal(y, scale):
    if y == types.float64:
        # Half of a processor's float64 divisions are saved by a float32 division and one Newton
        # step (1e-14). `scale` brings y near 1, inside float32's range.
        def reciprocal(y, scale):
            guess = np.float64(np.float32(1) / np.float32(y * scale)) * scale
            return guess * (2.0 - y * guess)
    else:

        def reciprocal(y, scale):
            return np.float32(1) / y  # a plain 1 would make it a float64 division

    return reciprocal


@kernel(reduces=True)
def _sweep_row(x, B, n, w, base, l1, l2, floor, scale, y, safe):
    """One sweep over the coordinates of a row; returns the squared change.

    x, y : the row's nonzeros and, on return, the model there; B : components there. A pass over
    the nonzeros finishes the last coordinate's change of y and sums the next one's derivatives.
    """
    k = w.size
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    change = zero
    last = 0
    moved = 0.0
    for t in range(k):
        r = zero
        q = zero
        for j in range(n):
            new_y = y[j] + change * B[last, j]
            y[j] = new_y
            z = B[t, j] * _reciprocal(new_y, scale)
            xz = x[j] * z
            r += xz
            q += xz * z
        a = base[t] + l1
        old = w[t]
        new = zero
        if safe:
            a += l2 * old
            if a > 0:
                new = old * r / a
        elif l2 > 0:
            # The same bound on r(w), 1/r(w) <= 1/r + (q / r²)(w - old), set equal to a + l2 w: a
            # quadratic equation. A plain Newton step may go to zero, and does not come back.
            a += l2 * old
            c = q + l2 * (r / a) if a > 0 else zero
            if c > 0:
                u = (r / a - one) * (r / c)
                u += u
                root = max(one + (q / c) * (l2 / a) * (u + u), zero)
                new = old + u / (one + np.sqrt(root))
        elif a > 0 and q > 0:
            # Newton's method for 1/r(w) = 1/a: see the user guide.
            # In this order r² appears nowhere, in no reassociation either: float32 can't hold it
            # where the model vanishes.
            new = old + (r / a - one) * (r / q)
        elif a <= 0:
            new = old
        if not new > 0:
            new = zero
        change = new - old
        last = t
        moved += np.float64(change) * np.float64(change)
        w[t] = new
    for j in range(n):
        y[j] = max(y[j] + change * B[last, j], floor)
    return moved


@kernel(reduces=True)
def _model(B, n, w, floor, y):
    for j in range(n):
        y[j] = floor
    for t in range(w.size):
        if w[t] > 0:
            for j in range(n):
                y[j] += w[t] * B[t, j]


@kernel(reduces=True)
def _sum_x_log_y(x, y, n, mantissa, exponent):
    """Sum of x log y in float64, with a logarithm that vectorizes (error 1e-15).

    log y = e log 2 + 2 artanh((m - 1) / (m + 1)) with y = m 2^e and m in [1/√2, √2].
    """
    bits = mantissa.view(np.int64)
    for j in range(n):
        mantissa[j] = y[j]
    for j in range(n):
        b = bits[j]
        exponent[j] = np.float64((b >> 52) - 1023)
        bits[j] = (b & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000
    total = 0.0
    for j in range(n):
        m = mantissa[j]
        e = exponent[j]
        large = m > 1.4142135623730951
        m = 0.5 * m if large else m
        e = e + 1.0 if large else e
        s = (m - 1.0) / (m + 1.0)
        s2 = s * s
        p = 1 / 19 + s2 * (1 / 21)
        p = 1 / 17 + s2 * p
        p = 1 / 15 + s2 * p
        p = 1 / 13 + s2 * p
        p = 1 / 11 + s2 * p
        p = 1 / 9 + s2 * p
        p = 1 / 7 + s2 * p
        p = 1 / 5 + s2 * p
        p = 1 / 3 + s2 * p
        total += np.float64(x[j]) * (e * 0.6931471805599453 + 2.0 * s * (1.0 + s2 * p))
    return total


@kernel(reduces=True)
def _solve_row(
    x, B, n, w, base, l1, l2, floor, scale, y, safe, max_sweeps, valued, mantissa, exponent
):
    """Sweeps on one row, whose model is y; returns (first squared change, divergence).

    The divergence is without the terms in x alone; it is 0 if not `valued`.
    """
    first = 0.0
    for sweep in range(max_sweeps):
        moved = _sweep_row(x, B, n, w, base, l1, l2, floor, scale, y, safe)
        if sweep == 0:
            first = moved
    if not valued:
        return first, 0.0
    value = -_sum_x_log_y(x, y, n, mantissa, exponent)
    for t in range(w.size):
        value += np.float64(base[t]) * np.float64(w[t])
    return first, value


@kernel(reduces=True)
def _count_positive(x):
    n = 0
    for j in range(x.size):
        n += 1 if x[j] > 0 else 0
    return n


@kernel(reduces=True)
def sweep_dense_rows(X, Y, W, H, base, first_row, l1, l2, floor, scale, safe, max_sweeps, valued):
    """Sweep the rows of a block X against W[:, first_row:]; returns sums of `_solve_row`.

    Y : the model, positive; overwritten. base : (n_components, rows of X), or (n_components, 1)
    where all rows share it. Zeros of X count in `base` alone, so a row with many zeros is first
    compressed to its nonzeros.
    """
    k, m = H.shape
    y_gathered = np.empty(m, X.dtype)
    x_gathered = np.empty(m, X.dtype)
    gathered = np.empty((k, m), X.dtype)
    places = np.empty(m, np.intp)
    mantissa = np.empty(m)
    exponent = np.empty(m)
    w = np.empty(k, X.dtype)
    b = np.empty(k, X.dtype)
    moved = 0.0
    value = 0.0
    for i in range(X.shape[0]):
        n = _count_positive(X[i])
        B, x, y = H, X[i], Y[i]
        if n < 0.8 * m:
            # Gathering a row costs as much as 20 % of zeros in a sweep.
            B, x, y = gathered, x_gathered, y_gathered
            n = 0
            for j in range(m):
                places[n] = j
                n += 1 if X[i, j] > 0 else 0
            for t in range(k):
                for j in range(n):
                    gathered[t, j] = H[t, places[j]]
            for j in range(n):
                x[j] = X[i, places[j]]
                y[j] = Y[i, places[j]]
        else:
            n = m
        for t in range(k):
            w[t] = W[t, first_row + i]
            b[t] = base[t, i if base.shape[1] > 1 else 0]
        d, v = _solve_row(
            x, B, n, w, b, l1, l2, floor, scale, y, safe, max_sweeps, valued, mantissa, exponent
        )
        moved += d
        value += v
        for t in range(k):
            W[t, first_row + i] = w[t]
    return moved, value


@kernel(reduces=True)
def sweep_csr_rows(
    indptr,
    columns,
    values,
    W,
    Ht,
    base,
    start,
    stop,
    l1,
    l2,
    floor,
    scale,
    safe,
    max_sweeps,
    valued,
):
    """As `sweep_dense_rows`, for rows ``start:stop`` of a CSR matrix; Ht is (m, k)."""
    k = W.shape[0]
    longest = 0
    for i in range(start, stop):
        longest = max(longest, indptr[i + 1] - indptr[i])
    y = np.empty(longest, values.dtype)
    x = np.empty(longest, values.dtype)
    B = np.empty((k, longest), values.dtype)
    mantissa = np.empty(longest)
    exponent = np.empty(longest)
    w = np.empty(k, values.dtype)
    b = np.empty(k, values.dtype)
    moved = 0.0
    value = 0.0
    for i in range(start, stop):
        n = 0
        for p in range(indptr[i], indptr[i + 1]):
            if values[p] > 0:
                x[n] = values[p]
                j = columns[p]
                for t in range(k):
                    B[t, n] = Ht[j, t]
                n += 1
        for t in range(k):
            w[t] = W[t, i]
            b[t] = base[t, i if base.shape[1] > 1 else 0]
        _model(B, n, w, floor, y)
        d, v = _solve_row(
            x, B, n, w, b, l1, l2, floor, scale, y, safe, max_sweeps, valued, mantissa, exponent
        )
        moved += d
        value += v
        for t in range(k):
            W[t, i] = w[t]
    return moved, value
