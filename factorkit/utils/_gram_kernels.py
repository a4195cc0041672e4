"""Gram matrices in single precision, summed in double."""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ._jit import kernel
from ._vector_ir import VECTOR_BYTES, Vectors, constant

# Compiled in from other files: 42b35aba2b3d

# Products of so many rows with so many others stay in registers.
_ROWS, _OTHERS = 4, 4 if VECTOR_BYTES == 64 else 2
# Samples at a time: forty components of so many stay in the first or second cache, and rounding
# adds up over so few.
_SAMPLES = 256


def _products(H, t, u, first, n_vectors):
    """Sums of products of rows ``t:t + _ROWS`` and ``u:u + _OTHERS`` of H over some samples.

    A row beyond the last one is the last one again.
    """
    stop = first + n_vectors * VECTOR_BYTES // H.itemsize
    rows = np.minimum(np.arange(t, t + _ROWS), len(H) - 1)
    others = np.minimum(np.arange(u, u + _OTHERS), len(H) - 1)
    return tuple((H[rows, first:stop] @ H[others, first:stop].T).ravel())


@intrinsic
def _simd_products(typingctx, H, t, u, first, n_vectors):
    def codegen(context, builder, signature, args):
        H_ = context.make_array(signature.args[0])(context, builder, args[0])
        t_, u_, first_, n_vectors_ = args[1:]
        v = Vectors(builder, H.dtype)
        n_rows, width = (builder.extract_value(H_.shape, axis) for axis in (0, 1))
        last = builder.sub(n_rows, constant(1))

        def starts(origin, count):
            for i in range(count):
                row = builder.add(origin, constant(i))
                row = builder.select(builder.icmp_signed("<", row, last), row, last)
                yield builder.add(builder.mul(row, width), first_)

        rows, others = list(starts(t_, _ROWS)), list(starts(u_, _OTHERS))

        def add(block, sums):
            offset = builder.mul(block, constant(v.lanes))
            a, b = (
                [v.load(next(v.pointers(H_.data, builder.add(s, offset), 1))) for s in group]
                for group in (rows, others)
            )
            pairs = [(x, y) for x in a for y in b]
            return [v.fma(x, y, s) for (x, y), s in zip(pairs, sums, strict=True)]

        sums = v.loop(constant(0), n_vectors_, [v.zero] * (_ROWS * _OTHERS), add)
        return context.make_tuple(builder, signature.return_type, v.sums(sums))

    result = types.UniTuple(H.dtype, _ROWS * _OTHERS)
    return result(H, t, u, first, n_vectors), codegen


@overload(_products, inline="always")
def _overload_products(H, t, u, first, n_vectors):
    return lambda H, t, u, first, n_vectors: _simd_products(H, t, u, first, n_vectors)


@kernel(reduces=True)
def gram_single(H):
    """``H @ H.T`` in float64."""
    k, n = H.shape
    G = np.zeros((k, k))
    lanes = VECTOR_BYTES // H.itemsize
    whole = n // lanes * lanes
    for first in range(0, whole, _SAMPLES):
        n_vectors = (min(first + _SAMPLES, whole) - first) // lanes
        for t in range(0, k, _ROWS):
            for u in range(0, min(t + _ROWS, k), _OTHERS):
                sums = _products(H, t, u, first, n_vectors)
                for i in range(min(_ROWS, k - t)):
                    for j in range(min(_OTHERS, k - u)):
                        G[t + i, u + j] += np.float64(sums[i * _OTHERS + j])
    for t in range(k):
        for u in range(t + 1):
            # Into a scalar: with stores between, the order of a sum hangs on where arrays lie.
            rest = 0.0
            for j in range(whole, n):
                rest += np.float64(H[t, j]) * np.float64(H[u, j])
            G[t, u] += rest
            G[u, t] = G[t, u]
    return G
