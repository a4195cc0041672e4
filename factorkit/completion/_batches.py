"""Vector instructions on batches of eight entries, which name eight rows of a factor.

Eight at a time, neither the sums over a vector's lanes nor the traffic of x cost much. Compiled
kernels that use these functions are cached by their own file's time stamp: after a change here,
touch the files that import it.
"""

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


@intrinsic
def _simd_dots(typingctx, F, rows, x, out):
    def codegen(context, builder, signature, args):
        F_, rows_, x_, out_ = _arrays(context, builder, signature, args)
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
        F_, rows_, coefficients_, out_ = _arrays(context, builder, signature, args)
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
    # Both halves in one: what lies between them stays in registers.
    def codegen(context, builder, signature, args):
        F_, indices_, w_, p_, q_ = (
            context.make_array(signature.args[k])(context, builder, args[k])
            for k in (0, 1, 3, 5, 6)
        )
        v = Vectors(builder, F.dtype)
        starts, n_vectors = _row_starts(builder, v, F_, indices_, args[2])

        def place(array, start, block):
            offset = builder.add(start, builder.mul(block, constant(v.lanes)))
            return next(v.pointers(array.data, offset, 1))

        def multiply(block, sums):
            factor = v.load(place(p_, constant(0), block))
            return [
                v.fma(v.load(place(F_, start, block)), factor, total)
                for start, total in zip(starts, sums, strict=True)
            ]

        dots = v.loop(constant(0), n_vectors, [v.zero] * BATCH, multiply)
        scales, weight_at = [], args[4]
        for folded in v.folded(dots):
            weights = builder.gep(w_.data, [weight_at])
            weights = v.load(builder.bitcast(weights, folded.type.as_pointer()))
            scales += [v.splat(c) for c in v.elements(builder.fmul(folded, weights))]
            weight_at = builder.add(weight_at, constant(folded.type.count))

        def add(block, nothing):
            # Two sums beside the one in memory: the chain from batch to batch is one addition.
            sums = [v.zero, v.zero]
            for b, (start, scale) in enumerate(zip(starts, scales, strict=True)):
                sums[b % 2] = v.fma(scale, v.load(place(F_, start, block)), sums[b % 2])
            total = place(q_, constant(0), block)
            v.store(builder.fadd(v.load(total), builder.fadd(*sums)), total)
            return nothing

        v.loop(constant(0), n_vectors, [], add)
        return context.get_dummy_value()

    return types.void(F, indices, at, w, first, p, q), codegen


def _arrays(context, builder, signature, args):
    return [
        context.make_array(kind)(context, builder, arg)
        for kind, arg in zip(signature.args, args, strict=True)
    ]


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
