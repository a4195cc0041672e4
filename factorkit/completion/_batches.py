"""Vector instructions on batches of eight entries, which name eight rows of a factor.

Eight at a time, neither the sums over a vector's lanes nor the traffic of x cost much.
"""

from functools import partial

from numba import types
from numba.extending import intrinsic, overload

from factorkit.utils._vector_ir import INDEX, Vectors, constant

BATCH = 8


def dots(F, rows, x, out):
    """``out[b] = F[rows[b]] @ x`` for the eight rows of a batch."""
    out[:] = F[rows] @ x


def add_rows(F, rows, coefficients, out):
    """``out += coefficients @ F[rows]`` for the eight rows of a batch."""
    out += coefficients @ F[rows]


def add_products(F, indices, at, w, first, p, q):
    """``q += Σ_b w_b (f_b·p) f_b`` for a whole batch of entries, f being rows of F."""
    rows = F[indices[at : at + BATCH]]
    q += (w[first : first + BATCH] * (rows @ p)) @ rows


def add_residuals(F, indices, at, r, w, extra, first, x, g):
    """``r_b −= f_b·x`` for a whole batch, and ``g += Σ_b (w_b r_b + extra_b) f_b``."""
    rows = F[indices[at : at + BATCH]]
    part = slice(first, first + BATCH)
    r[part] -= rows @ x
    g += (w[part] * r[part] + extra[part]) @ rows


@intrinsic
def _simd_dots(typingctx, F, rows, x, out):
    def codegen(context, builder, signature, args):
        F_, rows_, x_, out_ = _arrays(context, builder, signature, args, range(4))
        v = Vectors(builder, F.dtype)
        starts, n_vectors = _row_starts(builder, v, F_, rows_)

        def multiply(block, sums):
            at = builder.mul(block, constant(v.lanes))
            (place,) = v.pointers(x_.data, at, 1)
            factor = v.load(place)
            return [
                v.fma(v.load(next(v.pointers(F_.data, builder.add(start, at), 1))), factor, total)
                for start, total in zip(starts, sums, strict=True)
            ]

        sums = v.loop(constant(0), n_vectors, [v.zero] * BATCH, multiply)
        for b, total in enumerate(v.sums(sums)):
            builder.store(total, builder.gep(out_.data, [constant(b)]))
        return context.get_dummy_value()

    return types.void(F, rows, x, out), codegen


@intrinsic
def _simd_add_rows(typingctx, F, rows, coefficients, out):
    def codegen(context, builder, signature, args):
        F_, rows_, coefficients_, out_ = _arrays(context, builder, signature, args, range(4))
        v = Vectors(builder, F.dtype)
        starts, n_vectors = _row_starts(builder, v, F_, rows_)
        scales = [
            v.splat(builder.load(builder.gep(coefficients_.data, [constant(b)])))
            for b in range(BATCH)
        ]

        def add(block, nothing):
            at = builder.mul(block, constant(v.lanes))
            # Two sums beside the one in memory: the chain from batch to batch is one addition.
            sums = [v.zero, v.zero]
            for b, (start, scale) in enumerate(zip(starts, scales, strict=True)):
                (place,) = v.pointers(F_.data, builder.add(start, at), 1)
                sums[b % 2] = v.fma(scale, v.load(place), sums[b % 2])
            (place,) = v.pointers(out_.data, at, 1)
            v.store(builder.fadd(v.load(place), builder.fadd(*sums)), place)
            return nothing

        v.loop(constant(0), n_vectors, [], add)
        return context.get_dummy_value()

    return types.void(F, rows, coefficients, out), codegen


@intrinsic
def _simd_add_products(typingctx, F, indices, at, w, first, p, q):
    def codegen(context, builder, signature, args):
        F_, indices_, w_, p_, q_ = _arrays(context, builder, signature, args, (0, 1, 3, 5, 6))
        v = Vectors(builder, F.dtype)

        def scaled(place_in, products):
            return builder.fmul(products, v.load(place_in(w_, args[4])))

        _add_scaled_products(builder, v, F_, indices_, args[2], p_, q_, scaled)
        return context.get_dummy_value()

    return types.void(F, indices, at, w, first, p, q), codegen


@intrinsic
def _simd_add_residuals(typingctx, F, indices, at, r, w, extra, first, x, g):
    def codegen(context, builder, signature, args):
        places = (0, 1, 3, 4, 5, 7, 8)
        F_, indices_, r_, w_, extra_, x_, g_ = _arrays(context, builder, signature, args, places)
        v = Vectors(builder, F.dtype)

        def scaled(place_in, products):
            place, weights, added = (place_in(array, args[6]) for array in (r_, w_, extra_))
            residuals = builder.fsub(v.load(place), products)
            v.store(residuals, place)
            return v.fma(residuals, v.load(weights), v.load(added))

        _add_scaled_products(builder, v, F_, indices_, args[2], x_, g_, scaled)
        return context.get_dummy_value()

    return types.void(F, indices, at, r, w, extra, first, x, g), codegen


def _add_scaled_products(builder, v, F, indices, at, p, q, scaled):
    """Add ``Σ_b s_b f_b`` to q, where `scaled` makes vectors of s_b from those of the f_b·p.

    Its first argument says where a vector's elements are in an array from an offset on. Both
    halves in one: what lies between them stays in registers.
    """
    starts, n_vectors = _row_starts(builder, v, F, indices, at)

    def place(array, start, block):
        offset = builder.add(start, builder.mul(block, constant(v.lanes)))
        return next(v.pointers(array.data, offset, 1))

    def multiply(block, sums):
        factor = v.load(place(p, constant(0), block))
        return [
            v.fma(v.load(place(F, start, block)), factor, total)
            for start, total in zip(starts, sums, strict=True)
        ]

    dots = v.loop(constant(0), n_vectors, [v.zero] * BATCH, multiply)
    scales = []
    for products in v.folded(dots):
        place_in = partial(_place, builder, products.type, constant(len(scales)))
        scales += [v.splat(s) for s in v.elements(scaled(place_in, products))]

    def add(block, nothing):
        # Two sums beside the one in memory: the chain from batch to batch is one addition.
        sums = [v.zero, v.zero]
        for b, (start, scale) in enumerate(zip(starts, scales, strict=True)):
            sums[b % 2] = v.fma(scale, v.load(place(F, start, block)), sums[b % 2])
        total = place(q, constant(0), block)
        v.store(builder.fadd(v.load(total), builder.fadd(*sums)), total)
        return nothing

    v.loop(constant(0), n_vectors, [], add)


def _place(builder, kind, position, array, first):
    """Where a vector begins in an array."""
    at = builder.add(first, position)
    return builder.bitcast(builder.gep(array.data, [at]), kind.as_pointer())


def _arrays(context, builder, signature, args, positions):
    return [context.make_array(signature.args[k])(context, builder, args[k]) for k in positions]


def _row_starts(builder, v, F, rows, first=None):
    """(Offsets of the rows of a batch in F, number of vectors a row.)"""
    width = builder.extract_value(F.shape, 1)
    first = constant(0) if first is None else first
    starts = []
    for b in range(BATCH):
        row = builder.load(builder.gep(rows.data, [builder.add(first, constant(b))]))
        row = row if row.type == INDEX else builder.sext(row, INDEX)
        starts.append(builder.mul(row, width))
    return starts, builder.sdiv(width, constant(v.lanes))


@overload(dots, inline="always")
def _overload_dots(F, rows, x, out):
    return lambda F, rows, x, out: _simd_dots(F, rows, x, out)


@overload(add_rows, inline="always")
def _overload_add_rows(F, rows, coefficients, out):
    return lambda F, rows, coefficients, out: _simd_add_rows(F, rows, coefficients, out)


@overload(add_products, inline="always")
def _overload_add_products(F, indices, at, w, first, p, q):
    return lambda F, indices, at, w, first, p, q: _simd_add_products(F, indices, at, w, first, p, q)


@overload(add_residuals, inline="always")
def _overload_add_residuals(F, indices, at, r, w, extra, first, x, g):
    return lambda F, indices, at, r, w, extra, first, x, g: _simd_add_residuals(
        F, indices, at, r, w, extra, first, x, g
    )
