"""Compiled loops of `_abundances`: active sets of few endmembers, from a table of all supports.

Every pixel solves min ½ aᵀGa − fᵀa over a ≥ 0, and Σ a = 1 where ``to_one``. All violators are
exchanged at once, which takes one to five supports; where that does not end, a primal active set
does, of which every step lowers the objective.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ..utils._jit import kernel
from ..utils._vector_ir import constant
from ._table_vectors import WIDTHS, Row

# Compiled in from other files: 31032cc0c194

# What a multiplier may fall below zero by, relative to the terms it is the difference of.
_SLACK = 1e-12
# Rounds in which all violators are exchanged at once, before a slower method that always ends.
_ROUNDS = 8
# Pixels whose rounds are taken together: the next pixel's loads run while one waits for its own,
# and no processor has to guess which round is a pixel's last.
_PIXELS = 256


def _try(width, table, at, f, i, k, S, X, limit):
    """Put the solution with support S, for the terms ``f[i:]``, into ``X[i:]``; zero beyond S.

    All arrays are flat; the support's part of the table begins at `at`. Returns the bits of the
    numbers below 0, and shifted by 16 of those below `limit`, multipliers included.
    """
    M = table[at : at + k * width].reshape(k, width)
    values = table[at + k * width : at + (k + 1) * width] + f[i : i + k] @ M
    bits = 1 << np.arange(width)
    X[i : i + width] = np.where(S & bits, values, 0.0)
    return int((bits * (values < 0)).sum() + ((bits * (values < limit)).sum() << 16))


def _make_try(width):
    @intrinsic
    def attempt(typingctx, table, at, f, i, k, S, X, limit):
        def codegen(context, builder, signature, args):
            table_, f_, X_ = _data(context, builder, signature, args, (0, 2, 6))
            _, at_, _, i_, k_, S_, _, limit_ = args
            row = Row(builder, width)
            first = row.load(table_, builder.add(at_, builder.mul(k_, constant(width))))
            values = row.add_products(first, k_, f_, i_, lambda factor: factor, table_, at_)
            row.store(row.where(S_, values, 0.0), X_, i_)
            negative = row.below(values, ir.Constant(ir.DoubleType(), 0.0))
            return builder.or_(negative, builder.shl(row.below(values, limit_), constant(16)))

        return types.int64(table, at, f, i, k, S, X, limit), codegen

    return attempt


_simd_try, _simd_try_10, _simd_try_12 = (_make_try(width) for width in WIDTHS)


@overload(_try, inline="always")
def _overload_try(width, table, at, f, i, k, S, X, limit):
    def attempt(width, table, at, f, i, k, S, X, limit):
        if width == 10:
            return _simd_try_10(table, at, f, i, k, S, X, limit)
        if width == 12:
            return _simd_try_12(table, at, f, i, k, S, X, limit)
        return _simd_try(table, at, f, i, k, S, X, limit)

    return attempt


def _finish(width, G, f, i, k, S, X, to_one):
    """Divide the solution ``X[i:]`` by its sum where that is one, but for rounding errors.

    All arrays are flat. Returns how far multipliers beyond the support S fall below those on it,
    or below zero where the sum is free. Those of the table carry its rounding errors: these are
    computed anew.
    """
    inside = (S >> np.arange(k)) & 1 > 0
    x = X[i : i + k].copy()
    falls = f[i : i + k] - x @ G[: k * width].reshape(k, width)[:, :k]
    X[i : i + k] = x / (x.sum() or 1.0 if to_one else 1.0)
    level = falls[inside].max(initial=-np.inf if to_one else 0.0)
    return falls[~inside].max(initial=-np.inf) - level


def _make_finish(width):
    @intrinsic
    def finish(typingctx, G, f, i, k, S, X, to_one):
        def codegen(context, builder, signature, args):
            G_, f_, X_ = _data(context, builder, signature, args, (0, 1, 5))
            _, _, i_, k_, S_, _, to_one_ = args
            row = Row(builder, width)
            x, f_row = row.load(X_, i_), row.load(f_, i_)
            falls = row.add_products(f_row, k_, X_, i_, builder.fneg, G_, constant(0))
            level = row.largest(row.where(S_, falls, -np.inf))
            every = builder.sub(builder.shl(constant(1), k_), constant(1))
            outside = builder.and_(every, builder.not_(S_))
            worst = row.largest(row.where(outside, falls, -np.inf))
            zero, one = (ir.Constant(ir.DoubleType(), value) for value in (0.0, 1.0))
            row.store(row.divided(x, builder.select(to_one_, row.sum(x), one)), X_, i_)
            free = builder.select(builder.fcmp_ordered(">", level, zero), level, zero)
            return builder.fsub(worst, builder.select(to_one_, level, free))

        return types.float64(G, f, i, k, S, X, to_one), codegen

    return finish


_simd_finish, _simd_finish_10, _simd_finish_12 = (_make_finish(width) for width in WIDTHS)


@overload(_finish, inline="always")
def _overload_finish(width, G, f, i, k, S, X, to_one):
    def finish(width, G, f, i, k, S, X, to_one):
        if width == 10:
            return _simd_finish_10(G, f, i, k, S, X, to_one)
        if width == 12:
            return _simd_finish_12(G, f, i, k, S, X, to_one)
        return _simd_finish(G, f, i, k, S, X, to_one)

    return finish


def _data(context, builder, signature, args, places):
    """Where the numbers of some arguments begin."""
    for at in places:
        yield context.make_array(signature.args[at])(context, builder, args[at]).data


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

    Support and solution are empty where there is no end, or where it is not independent.
    """
    width = table.shape[2]
    rows, f, x = table.reshape(table.size), F.reshape(F.size), X.reshape(X.size)
    size = (k + 1) * width
    full = (1 << k) - 1
    for i in range(n):
        S[i] = full
        pending[i] = i
    for _ in range(_ROUNDS):
        left = 0
        for p in range(n):
            i = pending[p]
            support = S[i]
            bits = _try(width, rows, support * size, f, i * width, k, support, x, -slack[i])
            wrong = (bits & support) | ((bits >> 16) & ~support & full)
            if not independent[support]:
                wrong = support
            S[i] = support ^ wrong
            pending[left] = i
            left += wrong != 0 and independent[support]
        n = left
    for p in range(n):
        S[pending[p]] = 0
        X[pending[p]] = 0.0


@kernel
def table_rows(F, G, table, independent, to_one, A):
    """Abundances of pixels that share a Gram matrix, from the table of its supports.

    Parameters
    ----------
    F : array of (n_pixels, width)
        Linear terms; zero beyond the number of endmembers. The width is the first of WIDTHS that
        holds as many.
    G : array of (width, width)
        Zero beyond the number of endmembers.
    table : array of (2^n_endmembers, n_endmembers + 1, width)
    independent : array of (2^n_endmembers,)
    to_one : bool
    A : array of (n_pixels, n_endmembers)
        Gets the abundances.
    """
    n_pixels, k = A.shape
    width = F.shape[1]
    X, slack = np.zeros((_PIXELS, width)), np.zeros(_PIXELS)
    S, pending = np.zeros(_PIXELS, np.int64), np.zeros(_PIXELS, np.int64)
    x, z, g = np.zeros(width), np.zeros(width), np.zeros(width)
    flat_G, flat_X = G.reshape(G.size), X.reshape(X.size)
    largest = 0.0
    if to_one:  # else G x is as large as f, however dark the pixel
        for j in range(k):
            largest = max(largest, abs(G[j, j]))
    for first in range(0, n_pixels, _PIXELS):
        n = min(_PIXELS, n_pixels - first)
        f = F[first : first + n]
        flat = f.reshape(f.size)
        for i in range(n):
            size = largest
            for j in range(k):
                size = max(size, abs(f[i, j]))
            slack[i] = _SLACK * size
        _pivot(f, n, k, table, independent, slack, X, S, pending)
        for i in range(n):
            fall = _finish(width, flat_G, flat, i * width, k, S[i], flat_X, to_one)
            if fall > slack[i] or (to_one and S[i] == 0):
                _primal(S[i], f[i], G, table, independent, to_one, slack[i], k, x, z, g)
                total = 0.0
                for j in range(k):
                    total += x[j]
                for j in range(k):
                    X[i, j] = x[j] / total if to_one else x[j]
        # Not before: what was stored as vectors is slow to load as numbers right after.
        for i in range(n):
            for j in range(k):
                A[first + i, j] = X[i, j]
