"""Compiled loops of `_abundances`: active sets of few endmembers, from a table of all supports.

Every pixel solves min ½ aᵀGa − fᵀa over a ≥ 0, and Σ a = 1 where ``to_one``. All violators are
exchanged at once, which takes one to five supports; where that does not end, a primal active set
does, of which every step lowers the objective.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ..utils._jit import kernel
from ..utils._vector_ir import Vectors, constant

# Endmembers a row of the table, or twice that: the numbers of 64 bytes.
LANES = 8
# What a multiplier may fall below zero by, relative to the terms it is the difference of.
_SLACK = 1e-12
# Rounds in which all violators are exchanged at once, before a slower method that always ends.
_ROUNDS = 8
# Pixels whose rounds are taken together: the next pixel's loads run while one waits for its own,
# and no processor has to guess which round is a pixel's last.
_PIXELS = 256


def _affine(n_lanes, start, s, x, x_at, k, rows, r, out, o, limit):
    """``out[o:] = start[s:] + Σ_t x[x_at + t] rows[r + t n_lanes:]``, for `n_lanes` numbers.

    All arrays are flat. Returns the bits of what is less than 0, and shifted by 16 of what is
    less than `limit`.
    """
    M = rows[r : r + k * n_lanes].reshape(k, n_lanes)
    values = start[s : s + n_lanes] + x[x_at : x_at + k] @ M
    out[o : o + n_lanes] = values
    bits = 1 << np.arange(n_lanes)
    return int((bits * (values < 0)).sum() + ((bits * (values < limit)).sum() << 16))


def _make_affine(n_vectors):
    @intrinsic
    def affine(typingctx, start, s, x, x_at, k, rows, r, out, o, limit):
        def codegen(context, builder, signature, args):
            start_, x_, rows_, out_ = (
                context.make_array(signature.args[at])(context, builder, args[at])
                for at in (0, 2, 5, 7)
            )
            _, s_, _, x_at_, k_, _, r_, _, o_, limit_ = args
            v = Vectors(builder, types.float64, 8 * LANES)

            def add(t, sums):
                factor = builder.load(builder.gep(x_.data, [builder.add(x_at_, t)]))
                factor = v.splat(factor)
                row = builder.add(r_, builder.mul(t, constant(n_vectors * LANES)))
                places = v.pointers(rows_.data, row, n_vectors)
                return [
                    v.fma(factor, v.load(p), total) for p, total in zip(places, sums, strict=True)
                ]

            first = [v.load(place) for place in v.pointers(start_.data, s_, n_vectors)]
            sums = v.loop(constant(0), k_, first, add)
            low = v.splat(limit_)
            bits = constant(0)
            places = v.pointers(out_.data, o_, n_vectors)
            for at, (place, values) in enumerate(zip(places, sums, strict=True)):
                v.store(values, place)
                for shift, bound in ((0, v.zero), (16, low)):
                    found = builder.shl(v.below(values, bound), constant(at * LANES + shift))
                    bits = builder.or_(bits, found)
            return bits

        return types.int64(start, s, x, x_at, k, rows, r, out, o, limit), codegen

    return affine


_simd_affine, _simd_affine_2 = _make_affine(1), _make_affine(2)


@overload(_affine, inline="always")
def _overload_affine(n_lanes, start, s, x, x_at, k, rows, r, out, o, limit):
    def affine(n_lanes, start, s, x, x_at, k, rows, r, out, o, limit):
        if n_lanes == LANES:
            return _simd_affine(start, s, x, x_at, k, rows, r, out, o, limit)
        return _simd_affine_2(start, s, x, x_at, k, rows, r, out, o, limit)

    return affine


@kernel
def _from_table(S, table, f, x, k):
    """The solution with a support; zero beyond it, where the table holds multipliers."""
    for j in range(k):
        x[j] = 0.0
        if (S >> j) & 1:
            x[j] = table[S, k, j]
            for t in range(k):
                x[j] += f[t] * table[S, t, j]


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
def _primal(S, f, G, table, independent, to_one, slack, k, x, z, g):
    """Active set of which every step lowers the objective, from the positive part of a support;
    leaves the solution in x."""
    for _ in range(k + 2):
        if S == 0 and to_one:
            S = _best_vertex(f, G, k)
        _from_table(S, table, f, x, k)
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
            _from_table(T, table, f, z, k)
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


@kernel
def _pivot(F, n, k, table, independent, slack, X, S, pending):
    """Exchange all violators of some pixels until none is left; leaves the supports in S.

    The support is empty where there is no end, or where it is not independent.
    """
    n_lanes = table.shape[2]
    rows, numbers, out = table.reshape(table.size), F.reshape(F.size), X.reshape(X.size)
    size = (k + 1) * n_lanes
    full = (1 << k) - 1
    for i in range(n):
        S[i] = full
        pending[i] = i
    for _ in range(_ROUNDS):
        left = 0
        for p in range(n):
            i = pending[p]
            support = S[i]
            at = support * size
            bits = _affine(
                n_lanes, rows, at + k * n_lanes, numbers, i * n_lanes, k, rows, at, out,
                i * n_lanes, -slack[i],
            )  # fmt: skip
            wrong = (bits & support) | ((bits >> 16) & ~support & full)
            if not independent[support]:
                wrong = support
            S[i] = support ^ wrong
            pending[left] = i
            left += wrong != 0 and independent[support]
        n = left
    for p in range(n):
        S[pending[p]] = 0


@kernel
def table_rows(F, G, table, independent, to_one, A):
    """Abundances of pixels that share a Gram matrix, from the table of its supports.

    Parameters
    ----------
    F : array of (n_pixels, n_lanes)
        Linear terms; zero beyond the number of endmembers.
    G : array of (n_endmembers, n_lanes)
    table : array of (2^n_endmembers, n_endmembers + 1, n_lanes)
    independent : array of (2^n_endmembers,)
    to_one : bool
    A : array of (n_pixels, n_endmembers)
        Gets the abundances.
    """
    n_pixels, k = A.shape
    n_lanes = F.shape[1]
    X, slack = np.zeros((_PIXELS, n_lanes)), np.zeros(_PIXELS)
    S, pending = np.zeros(_PIXELS, np.int64), np.zeros(_PIXELS, np.int64)
    x, z, g = np.zeros(n_lanes), np.zeros(n_lanes), np.zeros(n_lanes)
    flat = G.reshape(G.size)
    largest = 0.0
    if to_one:  # else G x is as large as f, however dark the pixel
        for j in range(k):
            largest = max(largest, abs(G[j, j]))
    for first in range(0, n_pixels, _PIXELS):
        n = min(_PIXELS, n_pixels - first)
        f = F[first : first + n]
        for i in range(n):
            size = largest
            for j in range(k):
                size = max(size, abs(f[i, j]))
            slack[i] = _SLACK * size
        _pivot(f, n, k, table, independent, slack, X, S, pending)
        for i in range(n):
            for j in range(k):
                x[j] = X[i, j] if (S[i] >> j) & 1 else 0.0
                z[j] = -x[j]
            # The table's multipliers carry its rounding errors: these are computed anew.
            _affine(n_lanes, f[i], 0, z, 0, k, flat, 0, g, 0, 0.0)
            level = -np.inf if to_one else 0.0
            worst = -np.inf
            for j in range(k):
                inside = (S[i] >> j) & 1
                level = max(level, g[j] if inside else -np.inf)
                worst = max(worst, -np.inf if inside else g[j])
            if worst - level > slack[i] or (to_one and S[i] == 0):
                _primal(S[i], f[i], G, table, independent, to_one, slack[i], k, x, z, g)
            total = 1.0
            if to_one:
                total = 0.0
                for j in range(k):
                    total += x[j]
            for j in range(k):
                A[first + i, j] = x[j] / total
