"""Vector loops of NMF with the Kullback-Leibler divergence, which `_kl_kernels` compiles in."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ..utils._vector_ir import VECTOR_BYTES, Vectors, constant


def finish_and_sum(y, x, B, row, last, this, change, scale, floor, n_vectors):
    """Finish the last coordinate's change of a row's model y, and sum the next derivatives.

    All arrays are flat; the row and its two components begin at offsets. Returns Σ x h / y and
    Σ x h² / y². Where nothing but rounding is left of a model, or zero, it is the floor.
    """
    n = n_vectors * VECTOR_BYTES // x.itemsize
    y[row : row + n] = np.maximum(y[row : row + n] + change * B[last : last + n], floor)
    z = B[this : this + n] / y[row : row + n]
    xz = x[row : row + n] * z
    return xz.sum(), (xz * z).sum()


@intrinsic
def _simd_finish_and_sum(typingctx, y, x, B, row, last, this, change, scale, floor, n_vectors):
    def codegen(context, builder, signature, args):
        y_, x_, B_ = (
            context.make_array(signature.args[at])(context, builder, args[at]) for at in range(3)
        )
        row_, last_, this_, change_, scale_, floor_, n_vectors_ = args[3:]
        v = Vectors(builder, x.dtype)
        change_, scale_, floor_ = (v.splat(number) for number in (change_, scale_, floor_))

        def at(array, start, block):
            offset = builder.add(start, builder.mul(block, constant(v.lanes)))
            return next(v.pointers(array.data, offset, 1))

        def add(block, sums):
            r, q = sums
            place = at(y_, row_, block)
            model = v.fma(change_, v.load(at(B_, last_, block)), v.load(place))
            model = v.maximum(model, floor_)
            v.store(model, place)
            z = v.divide(v.load(at(B_, this_, block)), model, scale_)
            xz = builder.fmul(v.load(at(x_, row_, block)), z)
            return [builder.fadd(r, xz), v.fma(xz, z, q)]

        sums = v.sums(v.loop(constant(0), n_vectors_, [v.zero, v.zero], add))
        return context.make_tuple(builder, signature.return_type, sums)

    pair = types.UniTuple(x.dtype, 2)
    return pair(y, x, B, row, last, this, change, scale, floor, n_vectors), codegen


@overload(finish_and_sum, inline="always")
def _overload_finish_and_sum(y, x, B, row, last, this, change, scale, floor, n_vectors):
    return lambda y, x, B, row, last, this, change, scale, floor, n_vectors: _simd_finish_and_sum(
        y, x, B, row, last, this, change, scale, floor, n_vectors
    )


def divergence_sums(x, y, n_vectors):
    """Σ x log(x / y) − x + y over the first entries of flat arrays, and Σ y, in float64.

    A term without x or y has no logarithm. Terms are in the precision of the arrays, and compiled
    keep their digits where x and y are nearly equal. There must be a vector.
    """
    n = n_vectors * VECTOR_BYTES // x.itemsize
    x, y = x[:n].astype(np.float64), y[:n].astype(np.float64)
    known = (x > 0) & (y > 0)
    logs = x * np.log(np.where(known, x, 1) / np.where(known, y, 1))
    return (logs + (y - x)).sum(), y.sum()


@intrinsic
def _simd_divergence_sums(typingctx, x, y, n_vectors):
    def codegen(context, builder, signature, args):
        arrays = [
            context.make_array(signature.args[at])(context, builder, args[at]) for at in range(2)
        ]
        v = Vectors(builder, x.dtype)
        wide = Vectors(builder, types.float64, 8 * v.lanes)

        def add(block, sums):
            first = builder.mul(block, constant(v.lanes))
            x_, y_ = (v.load(next(v.pointers(array.data, first, 1))) for array in arrays)
            terms = [_divergence(v, x_, y_), y_]
            if v.size == 4:
                terms = [builder.fpext(term, wide.type) for term in terms]
            return [builder.fadd(total, term) for total, term in zip(sums, terms, strict=True)]

        sums = v.loop(constant(0), args[2], [wide.zero] * 2, add)
        return context.make_tuple(builder, signature.return_type, [wide.sum(s) for s in sums])

    if x.dtype != y.dtype:
        raise TypingError("x and y must have one dtype.")
    return types.UniTuple(types.float64, 2)(x, y, types.intp), codegen


def _divergence(v, x, y):
    """x log(x / y) − x + y of vectors, without cancellation.

    With z = y 2^e so near x that x / z is in [1/√2, √2], s = (x − z) / (x + z) and
    artanh s = s + s³ q, it is x e log 2 + (x + z) s² (1 + (1 + s) s q) + (y − z).
    """
    builder = v.builder
    n_digits, n_terms = (52, 10) if v.size == 8 else (23, 4)
    whole = ir.VectorType(ir.IntType(8 * v.size), v.lanes)
    one, half, root = v.fill(1.0), v.fill(0.5), v.fill(2**0.5)
    known = builder.and_(*(builder.fcmp_ordered(">", z, v.zero) for z in (x, y)))
    a, b = (builder.select(known, z, one) for z in (x, y))
    a_bits, b_bits = (builder.bitcast(z, whole) for z in (a, b))
    digits = ir.Constant(whole, [2**n_digits - 1] * v.lanes)
    # z has the exponent of x and the digits of y, until one more half or double is nearer.
    shift = ir.Constant(whole, [n_digits] * v.lanes)
    e = builder.sub(builder.lshr(a_bits, shift), builder.lshr(b_bits, shift))
    if v.size == 8:  # without AVX-512, integers of 64 bits are converted one by one
        e = builder.trunc(e, ir.VectorType(ir.IntType(32), v.lanes))
    e = builder.sitofp(e, v.type)
    z_bits = builder.or_(builder.and_(a_bits, builder.not_(digits)), builder.and_(b_bits, digits))
    z = builder.bitcast(z_bits, v.type)
    far = builder.fcmp_ordered(">", a, builder.fmul(root, z))
    near = builder.fcmp_ordered(">", z, builder.fmul(root, a))
    z_doubled = builder.select(far, builder.fadd(z, z), z)
    z = builder.select(near, builder.fmul(half, z), z_doubled)
    e = builder.select(far, builder.fadd(e, one), e)
    e = builder.select(near, builder.fsub(e, one), e)
    total = builder.fadd(a, z)
    s = builder.fdiv(builder.fsub(a, z), total)
    square = builder.fmul(s, s)
    q = v.fill(1 / (2 * n_terms + 1))
    for term in range(n_terms - 1, 0, -1):
        q = v.fma(square, q, v.fill(1 / (2 * term + 1)))
    near_part = v.fma(builder.fmul(v.fma(s, s, s), square), q, square)
    far_part = v.fma(builder.fmul(e, v.fill(np.log(2))), a, builder.fsub(b, z))
    divergence = v.fma(total, near_part, far_part)
    return builder.select(known, divergence, builder.fsub(y, x))


@overload(divergence_sums, inline="always")
def _overload_divergence_sums(x, y, n_vectors):
    return lambda x, y, n_vectors: _simd_divergence_sums(x, y, n_vectors)


def gather(Ht, places, first, w, floor, B, start, width, y, row):
    """Components at as many places as a vector has lanes, one below the other, and the model there.

    All arrays but Ht are flat; ``B[start:]`` has rows of `width`, and gets one for each column of
    Ht, which are whole vectors.
    """
    n = VECTOR_BYTES // y.itemsize
    h = Ht[places[first : first + n]]
    for t in range(Ht.shape[1]):
        B[start + t * width + first : start + t * width + first + n] = h[:, t]
    y[row + first : row + first + n] = floor + h @ w


@intrinsic
def _simd_gather(typingctx, Ht, places, first, w, floor, B, start, width, y, row):
    def codegen(context, builder, signature, args):
        Ht_, places_, w_, B_, y_ = (
            context.make_array(signature.args[at])(context, builder, args[at])
            for at in (0, 1, 3, 5, 8)
        )
        first_, floor_, start_, width_, row_ = args[2], args[4], args[6], args[7], args[9]
        v = Vectors(builder, y.dtype)
        n_columns = builder.extract_value(Ht_.shape, 1)
        origins = [
            builder.mul(builder.load(builder.gep(places_.data, [at])), n_columns)
            for at in (builder.add(first_, constant(lane)) for lane in range(v.lanes))
        ]

        def add(block, sums):
            t = builder.mul(block, constant(v.lanes))
            rows = [
                v.load(next(v.pointers(Ht_.data, builder.add(origin, t), 1))) for origin in origins
            ]
            total = sums[0]
            for c, column in enumerate(v.transpose(rows)):
                component = builder.add(t, constant(c))
                offset = builder.add(start_, builder.mul(component, width_))
                v.store(column, next(v.pointers(B_.data, builder.add(offset, first_), 1)))
                factor = v.splat(builder.load(builder.gep(w_.data, [component])))
                total = v.fma(factor, column, total)
            return [total]

        n_blocks = builder.sdiv(n_columns, constant(v.lanes))
        (total,) = v.loop(constant(0), n_blocks, [v.splat(floor_)], add)
        v.store(total, next(v.pointers(y_.data, builder.add(row_, first_), 1)))
        return context.get_dummy_value()

    return types.void(Ht, places, first, w, floor, B, start, width, y, row), codegen


@overload(gather, inline="always")
def _overload_gather(Ht, places, first, w, floor, B, start, width, y, row):
    return lambda Ht, places, first, w, floor, B, start, width, y, row: _simd_gather(
        Ht, places, first, w, floor, B, start, width, y, row
    )
