"""Compiled products of spectra with a few others, in double precision."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ..utils._jit import kernel
from ..utils._vector_ir import VECTOR_BYTES, Vectors, constant

# Compiled in from other files: 42b35aba2b3d

# Bands a vector: spectra need as many.
LANES = VECTOR_BYTES // 8
# Pixels of a tile. One by one, loads would bound the loop; four at a time, memory comes slower.
_PIXELS = 2
# Spectra of a tile, as many as the vector registers hold, and what all other numbers consist of.
_TILES = (10, 5, 4) if VECTOR_BYTES == 64 else (5, 4)
# Bytes ahead of a tile that are fetched, at least: one tile's rows are too short for the processor
# to fetch the next by itself.
_AHEAD = 8192


def tiles_of(n):
    """Sizes of tiles for n spectra, in all n or a few more."""
    while 5 * (n % 4) > n:
        n += 1
    tiles = []
    while n:
        tiles.append(next(t for t in _TILES if n >= t and 5 * ((n - t) % 4) <= n - t))
        n -= tiles[-1]
    return np.array(tiles, dtype=np.int64)


def _dots(n, Y, i, y_band, E, j, e_band, n_vectors, out):
    """Products of two spectra of Y with n of E, over some vectors from a band of each on.

    Spectra beyond the last of E stand for that one. Whole vectors are written.
    """
    bands = n_vectors * LANES
    e = E[np.minimum(np.arange(j, j + n), len(E) - 1), e_band : e_band + bands]
    y = Y[i : i + _PIXELS, y_band : y_band + bands].astype(np.float64)
    out[: _PIXELS * n] = (y @ e.T).ravel()


def _make_dots(n):
    @intrinsic
    def dots(typingctx, Y, i, y_band, E, j, e_band, n_vectors, out):
        def codegen(context, builder, signature, args):
            Y_, E_, out_ = (
                context.make_array(signature.args[at])(context, builder, args[at])
                for at in (0, 3, 7)
            )
            i_, y_band_, _, j_, e_band_, n_vectors_, _ = args[1:]
            v = Vectors(builder, types.float64)
            y_rows = _starts(builder, Y_, i_, _PIXELS, y_band_)
            e_rows = _starts(builder, E_, j_, n, e_band_)
            line = 512 // Y.dtype.bitwidth
            tile = builder.mul(builder.extract_value(Y_.shape, 1), constant(_PIXELS))
            ahead = builder.mul(tile, constant(2))
            least = constant(_AHEAD * 8 // Y.dtype.bitwidth)
            ahead = builder.select(builder.icmp_signed(">", ahead, least), ahead, least)

            def multiply(block, sums):
                at = builder.mul(block, constant(v.lanes))
                # In the order in which Y lies, whatever that of the loads.
                following = builder.add(builder.mul(at, constant(_PIXELS)), ahead)
                following = builder.add(y_rows[0], following)
                for step in range(0, _PIXELS * v.lanes, line):
                    v.prefetch(builder.gep(Y_.data, [builder.add(following, constant(step))]))
                y = [_load(v, Y_, Y.dtype, builder.add(row, at)) for row in y_rows]
                results = {}
                for c, row in enumerate(e_rows):
                    e = _load(v, E_, E.dtype, builder.add(row, at))
                    for p in range(_PIXELS):
                        results[p * n + c] = v.fma(y[p], e, sums[p * n + c])
                return [results[at] for at in range(_PIXELS * n)]

            sums = v.loop(constant(0), n_vectors_, [v.zero] * (_PIXELS * n), multiply)
            for at, some in enumerate(_totals(v, sums)):
                v.store(some, next(v.pointers(out_.data, constant(at * v.lanes), 1)))
            return context.get_dummy_value()

        return types.void(Y, i, y_band, E, j, e_band, n_vectors, out), codegen

    return dots


def _starts(builder, array, first, count, column):
    """Where a column begins in some rows; rows beyond the last stand for that one."""
    height, width = (builder.extract_value(array.shape, axis) for axis in (0, 1))
    offsets = []
    for r in range(count):
        row = builder.add(first, constant(r))
        inside = builder.icmp_signed("<", row, height)
        row = builder.select(inside, row, builder.sub(height, constant(1)))
        offsets.append(builder.add(builder.mul(row, width), column))
    return offsets


def _load(v, array, dtype, offset):
    """A vector of doubles, from numbers of either precision."""
    if dtype == types.float64:
        return v.load(next(v.pointers(array.data, offset, 1)))
    narrow = ir.VectorType(ir.FloatType(), v.lanes)
    place = v.builder.bitcast(v.builder.gep(array.data, [offset]), narrow.as_pointer())
    return v.builder.fpext(v.builder.load(place, align=4), v.type)


def _totals(v, sums):
    """Sums over the lanes, in whole vectors, all in one order: equal pixels have equal ones."""
    padded = sums + [v.zero] * (-len(sums) % v.lanes)
    groups = (padded[at : at + v.lanes] for at in range(0, len(padded), v.lanes))
    return [v.folded(group)[0] for group in groups]


_simd_dots_10 = _make_dots(10 if VECTOR_BYTES == 64 else 5)
_simd_dots_5, _simd_dots_4 = _make_dots(5), _make_dots(4)


@overload(_dots, inline="always")
def _overload_dots(n, Y, i, y_band, E, j, e_band, n_vectors, out):
    def dots(n, Y, i, y_band, E, j, e_band, n_vectors, out):
        if n == 10:
            _simd_dots_10(Y, i, y_band, E, j, e_band, n_vectors, out)
        elif n == 5:
            _simd_dots_5(Y, i, y_band, E, j, e_band, n_vectors, out)
        else:
            _simd_dots_4(Y, i, y_band, E, j, e_band, n_vectors, out)

    return dots


@kernel
def products(Y, E, last, tiles, offset, F):
    """F = Y Eᵀ − offset, in float64, for tall Y: a pass over Y at the speed of memory.

    Parameters
    ----------
    Y : array of (at least 2, at least LANES)
    E : array of (n_spectra, n_bands), float64
    last : array of (n_spectra, LANES), float64
        E in the last bands of Y; zero but for those that whole vectors leave over.
    tiles : array of int
        ``tiles_of(n_spectra)``.
    offset : array of (n_spectra,)
    F : array of (n_pixels, at least n_spectra)
        Gets the products, followed by zeros.
    """
    n_pixels, n_bands = Y.shape
    n_vectors = n_bands // LANES
    width = F.shape[1]
    dots, rest = np.zeros((2, -(-_PIXELS * 10 // LANES) * LANES))
    for start in range(0, n_pixels, _PIXELS):
        i = min(start, n_pixels - _PIXELS)  # the last tile is a whole one too
        j = 0
        for n in tiles:
            _dots(n, Y, i, 0, E, j, 0, n_vectors, dots)
            if n_bands % LANES:
                _dots(n, Y, i, n_bands - LANES, last, j, 0, 1, rest)
            for p in range(_PIXELS):
                for c in range(min(n, len(E) - j)):
                    F[i + p, j + c] = dots[p * n + c] + rest[p * n + c] - offset[j + c]
            j += n
        for p in range(_PIXELS):
            for c in range(len(E), width):
                F[i + p, c] = 0.0
