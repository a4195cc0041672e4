"""Vector instructions for Gram matrices, Cholesky factors and triangular solves of small systems.

The long loops of all three are one loop over tiles that stay in registers: four rows by up to
three vectors. Symmetric matrices are stored as their upper triangle, row by row, so that every
loop runs along memory; what lies below the diagonal is computed in part and never read.
"""

from numba import types
from numba.extending import intrinsic, overload

from factorkit.utils._vector_ir import INDEX, VECTOR_BYTES, Vectors, constant

# Rows of a tile, and rows that a step of a factorization takes.
ROWS = 4


def tile(start, A, G, a, b, n, sign, n_vectors):
    """``A[a:a+4, b:...] = start[same] ± G[:n, a:a+4].T @ G[:n, b:...]``, n being even."""
    part = slice(b, b + n_vectors * VECTOR_BYTES // A.itemsize)
    A[a : a + 4, part] = start[a : a + 4, part] + sign * G[:n, a : a + 4].T @ G[:n, part]


def panel(A, a, b, scales, y):
    """Four rows of the factor from those of the remainder, and y less what they explain.

    `scales` holds the reciprocals of the four pivots (0 where there is none), then the
    coefficients (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2) of the elimination, then four
    entries of the solution.
    """
    inverse, (c10, c20, c21, c30, c31, c32) = scales[:4], scales[4:10]
    rows = A[a : a + 4, b:]
    rows[0] *= inverse[0]
    rows[1] = (rows[1] - c10 * rows[0]) * inverse[1]
    rows[2] = (rows[2] - c20 * rows[0] - c21 * rows[1]) * inverse[2]
    rows[3] = (rows[3] - c30 * rows[0] - c31 * rows[1] - c32 * rows[2]) * inverse[3]
    y[b:] -= scales[10:] @ rows


def dots_of_rows(A, a, b, x, out):
    """``out[:] = A[a:a+4, b:] @ x[b:]``."""
    out[:] = A[a : a + 4, b:] @ x[b:]


def gather(indices, at, n, scales, coefficients, F, G, b, y, n_vectors):
    """``G[e] = scales[e] F[indices[at + e]]`` and ``y += coefficients @ F[indices[...]]``.

    Both for the columns from b on alone.
    """
    part = slice(b, b + n_vectors * VECTOR_BYTES // F.itemsize)
    rows = F[indices[at : at + n], part]
    G[:n, part] = scales[:n, None] * rows
    y[part] += coefficients[:n] @ rows


class _Tiles(Vectors):
    """Vector instructions on rows of two-dimensional arrays."""

    def __init__(self, context, builder, signature, args, dtype):
        super().__init__(builder, dtype)
        self.arrays = [
            context.make_array(kind)(context, builder, arg)
            if isinstance(kind, types.Array)
            else arg
            for kind, arg in zip(signature.args, args, strict=True)
        ]

    def place(self, array, row, column, count):
        """Pointers to `count` vectors of a row of an array."""
        start = self.builder.mul(row, self.width(array))
        return list(self.pointers(array.data, self.builder.add(start, column), count))

    def width(self, array):
        return self.builder.extract_value(array.shape, 1)

    def rows(self, first, count):
        return [self.builder.add(first, constant(r)) for r in range(count)]

    def scalar(self, array, position):
        return self.builder.load(self.builder.gep(array.data, [position]))

    def scalars(self, array, count):
        return [self.splat(self.scalar(array, constant(i))) for i in range(count)]

    def fnma(self, x, y, z):
        """``z - x * y``."""
        product = self.builder.fmul(x, y, flags=("contract",))
        return self.builder.fsub(z, product, flags=("contract",))

    def blocks(self, array, column):
        """(Number of the vector where a column begins, number of vectors in a row)."""
        lanes = constant(self.lanes)
        return self.builder.sdiv(column, lanes), self.builder.sdiv(self.width(array), lanes)


def _make_tile(n_vectors, subtract):
    @intrinsic
    def tile(typingctx, start, A, G, a, b, n):
        def codegen(context, builder, signature, args):
            v = _Tiles(context, builder, signature, args, A.dtype)
            start_, A_, G_, a_, b_, n_ = v.arrays
            step = v.fnma if subtract else v.fma
            rows = v.rows(a_, ROWS)
            first = [v.load(p) for row in rows for p in v.place(start_, row, b_, n_vectors)]
            # A tile of one vector has too few sums to hide what an addition takes: two of each.
            n_sums = 2 if n_vectors == 1 else 1
            carried = first + [v.zero] * (len(first) * (n_sums - 1))

            def add_two(pair, sums):
                sums = list(sums)
                for half in range(2):
                    e = builder.add(builder.mul(pair, constant(2)), constant(half))
                    line = [v.load(p) for p in v.place(G_, e, b_, n_vectors)]
                    origin = builder.add(builder.mul(e, v.width(G_)), a_)
                    for r in range(ROWS):
                        x = v.splat(v.scalar(G_, builder.add(origin, constant(r))))
                        for c, vector in enumerate(line):
                            at = (half % n_sums) * len(first) + r * n_vectors + c
                            sums[at] = step(x, vector, sums[at])
                return sums

            sums = v.loop(constant(0), builder.sdiv(n_, constant(2)), carried, add_two)
            if n_sums == 2:
                sums = [builder.fadd(*pair) for pair in zip(sums[:ROWS], sums[ROWS:], strict=True)]
            targets = [p for row in rows for p in v.place(A_, row, b_, n_vectors)]
            for pointer, value in zip(targets, sums, strict=True):
                v.store(value, pointer)
            return context.get_dummy_value()

        return types.void(start, A, G, a, b, n), codegen

    return tile


_add_1, _add_2, _add_3 = (_make_tile(n, False) for n in (1, 2, 3))
_subtract_1, _subtract_2, _subtract_3 = (_make_tile(n, True) for n in (1, 2, 3))


@overload(tile, inline="always")
def _overloadtile(start, A, G, a, b, n, sign, n_vectors):
    def tile(start, A, G, a, b, n, sign, n_vectors):
        if sign > 0:
            if n_vectors == 3:
                _add_3(start, A, G, a, b, n)
            elif n_vectors == 2:
                _add_2(start, A, G, a, b, n)
            else:
                _add_1(start, A, G, a, b, n)
        elif n_vectors == 3:
            _subtract_3(start, A, G, a, b, n)
        elif n_vectors == 2:
            _subtract_2(start, A, G, a, b, n)
        else:
            _subtract_1(start, A, G, a, b, n)

    return tile


@intrinsic
def _simd_panel(typingctx, A, a, b, scales, y):
    def codegen(context, builder, signature, args):
        v = _Tiles(context, builder, signature, args, A.dtype)
        A_, a_, b_, scales_, y_ = v.arrays
        factors = v.scalars(scales_, 14)
        inverse, eliminate, solution = factors[:4], factors[4:10], factors[10:]
        rows = v.rows(a_, ROWS)

        def solve(block, nothing):
            column = builder.mul(block, constant(v.lanes))
            (target,) = v.pointers(y_.data, column, 1)
            rest, done = v.load(target), []
            for r, row in enumerate(rows):
                (pointer,) = v.place(A_, row, column, 1)
                value = v.load(pointer)
                for q, other in enumerate(done):
                    value = v.fnma(eliminate[r * (r - 1) // 2 + q], other, value)
                value = builder.fmul(value, inverse[r])
                v.store(value, pointer)
                rest = v.fnma(solution[r], value, rest)
                done.append(value)
            v.store(rest, target)
            return nothing

        v.loop(*v.blocks(A_, b_), [], solve)
        return context.get_dummy_value()

    return types.void(A, a, b, scales, y), codegen


@overload(panel, inline="always")
def _overload_panel(A, a, b, scales, y):
    return lambda A, a, b, scales, y: _simd_panel(A, a, b, scales, y)


@intrinsic
def _simd_dots(typingctx, A, a, b, x, out):
    def codegen(context, builder, signature, args):
        v = _Tiles(context, builder, signature, args, A.dtype)
        A_, a_, b_, x_, out_ = v.arrays
        rows = v.rows(a_, ROWS)

        def multiply(block, sums):
            column = builder.mul(block, constant(v.lanes))
            (at,) = v.pointers(x_.data, column, 1)
            factor = v.load(at)
            lines = [v.load(v.place(A_, row, column, 1)[0]) for row in rows]
            return [v.fma(line, factor, s) for line, s in zip(lines, sums, strict=True)]

        sums = v.loop(*v.blocks(A_, b_), [v.zero] * ROWS, multiply)
        for r, total in enumerate(sums):
            builder.store(v.sum(total), builder.gep(out_.data, [constant(r)]))
        return context.get_dummy_value()

    return types.void(A, a, b, x, out), codegen


@overload(dots_of_rows, inline="always")
def _overload_dots(A, a, b, x, out):
    return lambda A, a, b, x, out: _simd_dots(A, a, b, x, out)


def _make_gather(n_vectors):
    @intrinsic
    def gather(typingctx, indices, at, n, scales, coefficients, F, G, b, y):
        def codegen(context, builder, signature, args):
            v = _Tiles(context, builder, signature, args, F.dtype)
            indices_, at_, n_, scales_, coefficients_, F_, G_, b_, y_ = v.arrays

            def copy(e, sums):
                j = v.scalar(indices_, builder.add(at_, e))
                j = j if j.type == INDEX else builder.sext(j, INDEX)
                line = [v.load(p) for p in v.place(F_, j, b_, n_vectors)]
                scale, coefficient = v.splat(v.scalar(scales_, e)), v.scalar(coefficients_, e)
                coefficient = v.splat(coefficient)
                for vector, pointer in zip(line, v.place(G_, e, b_, n_vectors), strict=True):
                    v.store(builder.fmul(scale, vector), pointer)
                return [v.fma(coefficient, x, s) for x, s in zip(line, sums, strict=True)]

            targets = list(v.pointers(y_.data, b_, n_vectors))
            sums = v.loop(constant(0), n_, [v.load(p) for p in targets], copy)
            for pointer, value in zip(targets, sums, strict=True):
                v.store(value, pointer)
            return context.get_dummy_value()

        return types.void(indices, at, n, scales, coefficients, F, G, b, y), codegen

    return gather


_gather_1, _gather_4 = (_make_gather(n) for n in (1, 4))


@overload(gather, inline="always")
def _overload_gather(indices, at, n, scales, coefficients, F, G, b, y, n_vectors):
    def gather(indices, at, n, scales, coefficients, F, G, b, y, n_vectors):
        if n_vectors == 4:
            _gather_4(indices, at, n, scales, coefficients, F, G, b, y)
        else:
            _gather_1(indices, at, n, scales, coefficients, F, G, b, y)

    return gather
