"""Vector instructions for the few loops that Numba's own vectorizer does not do well.

Pieces from which intrinsics are built; they work on any processor that LLVM knows. Compiled
kernels that use them are cached by what their own file contains, so those files bear a mark that
a change here makes wrong: see tests/utils/test_compiled_in.py.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types

try:
    _host = llvm.get_host_cpu_features()
except RuntimeError:  # an operating system on which LLVM can't ask
    _host = {}
VECTOR_BYTES = 64 if _host.get("avx512f") else 32 if _host.get("avx") else 16

INDEX = ir.IntType(64)
_LANE = ir.IntType(32)
# Lets a product and a sum become one fused multiply-add.
_CONTRACT = ("contract",)


def constant(value):
    return ir.Constant(INDEX, value)


class Vectors:
    """Builds instructions on vectors of one floating-point type.

    Vectors longer than the processor's become several of those.
    """

    def __init__(self, builder, dtype, n_bytes=VECTOR_BYTES):
        self.builder = builder
        self.size = 8 if dtype == types.float64 else 4
        self.lanes = n_bytes // self.size
        element = ir.DoubleType() if self.size == 8 else ir.FloatType()
        self.type = ir.VectorType(element, self.lanes)
        self.zero = self.fill(0.0)

    def pointers(self, data, offset, count):
        """Pointers to `count` consecutive vectors of an array, from an element offset."""
        for v in range(count):
            at = self.builder.add(offset, constant(v * self.lanes))
            yield self.builder.bitcast(self.builder.gep(data, [at]), self.type.as_pointer())

    def rows(self, array, first, column, count):
        """Pointers to a vector in each of `count` rows of a two-dimensional array."""
        width = self.builder.extract_value(array.shape, 1)
        for r in range(count):
            row = self.builder.mul(self.builder.add(first, constant(r)), width)
            yield next(self.pointers(array.data, self.builder.add(row, column), 1))

    def load(self, pointer):
        return self.builder.load(pointer, align=self.size)

    def prefetch(self, pointer):
        """Have the line of a pointer, even outside of an array, fetched to the second cache.

        To the first one, it gets in the way of what is used before it (measured, AMD Zen 4).
        """
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _LANE, _LANE, _LANE])
        function = self.builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, data = (ir.Constant(_LANE, value) for value in (0, 2, 1))
        self.builder.call(function, [self.builder.bitcast(pointer, byte), read, keep, data])

    def store(self, vector, pointer):
        self.builder.store(vector, pointer, align=self.size)

    def number(self, value):
        """A scalar of either precision in that of the vectors."""
        if value.type == self.type.element:
            return value
        convert = self.builder.fpext if self.size == 8 else self.builder.fptrunc
        return convert(value, self.type.element)

    def fill(self, value):
        return ir.Constant(self.type, [value] * self.lanes)

    def splat(self, scalar):
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_LANE, 0))
        mask = ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, mask)

    def fma(self, x, y, z):
        """``x * y + z``."""
        product = self.builder.fmul(x, y, flags=_CONTRACT)
        return self.builder.fadd(product, z, flags=_CONTRACT)

    def divide(self, x, y, scale):
        """``x / y`` to 2e-13 in double precision, where y times `scale` is near 1.

        A processor divides a vector of double precision in the time of ten products. Where it
        has no quick guess of a reciprocal, that of single precision is half the work.
        """
        builder = self.builder
        one = self.fill(1.0)
        if VECTOR_BYTES == 64:
            guess = self._guess(y)
        elif self.size == 4:
            return builder.fdiv(x, y)
        else:
            narrow = ir.VectorType(ir.FloatType(), self.lanes)
            near_one = builder.fptrunc(builder.fmul(y, scale), narrow)
            guess = builder.fdiv(ir.Constant(narrow, [1.0] * self.lanes), near_one)
            guess = builder.fmul(builder.fpext(guess, self.type), scale)
        # 1 / y = guess / (1 - error) = guess (1 + error + error² + …)
        error = self.fma(builder.fneg(y), guess, one)
        if self.size == 8 and VECTOR_BYTES == 64:  # 14 bits become 42, else 24 become 48
            error = self.fma(error, error, error)
        quotient = builder.fmul(x, guess)
        return self.fma(quotient, error, quotient)

    def _guess(self, x):
        """AVX-512's reciprocals with 14 bits."""
        kind = "pd" if self.size == 8 else "ps"
        mask = ir.IntType(self.lanes)
        function = self.builder.module.declare_intrinsic(
            f"llvm.x86.avx512.rcp14.{kind}.512",
            fnty=ir.FunctionType(self.type, [self.type, self.type, mask]),
        )
        return self.builder.call(function, [x, self.zero, ir.Constant(mask, -1)])

    def below(self, x, limit):
        """Bits of the lanes in which x is less than a limit, as an integer."""
        bits = self.builder.fcmp_ordered("<", x, limit)
        return self.builder.zext(self.builder.bitcast(bits, ir.IntType(self.lanes)), INDEX)

    def transpose(self, rows):
        """Columns of as many vectors as they have lanes."""
        rows, distance = list(rows), 1
        lanes = range(self.lanes)
        while distance < self.lanes:
            low = [i if not i & distance else (i ^ distance) + self.lanes for i in lanes]
            high = [i | distance if not i & distance else i + self.lanes for i in lanes]
            kind = ir.VectorType(_LANE, self.lanes)
            for i in lanes:
                if not i & distance:
                    a, b = rows[i], rows[i | distance]
                    rows[i] = self.builder.shuffle_vector(a, b, ir.Constant(kind, low))
                    rows[i | distance] = self.builder.shuffle_vector(a, b, ir.Constant(kind, high))
            distance *= 2
        return rows

    def maximum(self, x, y):
        """The greater of two vectors, y where x is NaN."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, y), x, y)

    def positive_part(self, x):
        return self.maximum(x, self.zero)

    def sum(self, vector):
        """Sum over the lanes, as a scalar."""
        lanes = self.lanes
        while lanes > 1:
            half = lanes // 2
            mask = ir.VectorType(_LANE, half)
            low = ir.Constant(mask, list(range(half)))
            high = ir.Constant(mask, list(range(half, lanes)))
            vector = self.builder.fadd(
                self.builder.shuffle_vector(vector, vector, low),
                self.builder.shuffle_vector(vector, vector, high),
            )
            lanes = half
        return self.builder.extract_element(vector, ir.Constant(_LANE, 0))

    def sums(self, vectors):
        """Sums over the lanes of some vectors, as many as a power of two, as scalars."""
        return [total for folded in self.folded(vectors) for total in self.elements(folded)]

    def folded(self, vectors):
        """Those sums as vectors, of as many lanes as there are sums, or of whole vectors.

        Pairs of vectors are folded into one, which takes a third of the shuffles of summing one
        vector after the other.
        """
        results = []
        group = min(self.lanes, len(vectors))
        for first in range(0, len(vectors), group):
            folded = [self._narrow(vector, group) for vector in vectors[first : first + group]]
            half = 1
            while len(folded) > 1:
                pairs = zip(folded[::2], folded[1::2], strict=True)
                folded = [self._fold(a, b, half, group) for a, b in pairs]
                half *= 2
            results += folded
        return results

    def elements(self, vector):
        """The lanes of a vector as scalars."""
        lanes = range(vector.type.count)
        return [self.builder.extract_element(vector, ir.Constant(_LANE, lane)) for lane in lanes]

    def _narrow(self, vector, lanes):
        """Add the upper half of a vector to the lower one until `lanes` are left."""
        width = self.lanes
        while width > lanes:
            width //= 2
            halves = [list(range(width)), list(range(width, 2 * width))]
            mask = ir.VectorType(_LANE, width)
            low, high = (
                self.builder.shuffle_vector(vector, vector, ir.Constant(mask, half))
                for half in halves
            )
            vector = self.builder.fadd(low, high)
        return vector

    def _fold(self, a, b, half, lanes):
        """Sums of neighbouring groups of `half` lanes, those of a and of b in turn."""
        low = []
        for position in range(lanes):
            block, within = divmod(position, 2 * half)
            source, within = divmod(within, half)
            low.append(source * lanes + block * 2 * half + within)
        mask = ir.VectorType(_LANE, lanes)
        lower = self.builder.shuffle_vector(a, b, ir.Constant(mask, low))
        upper = self.builder.shuffle_vector(a, b, ir.Constant(mask, [at + half for at in low]))
        return self.builder.fadd(lower, upper)

    def loop(self, start, stop, carried, body):
        """A counting loop, with at least one turn, that carries vectors in registers.

        ``body(counter, values)`` returns the new values; the last ones are returned, with the
        builder placed after the loop.
        """
        builder = self.builder
        entry = builder.block
        block = builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(block)
        builder.position_at_end(block)
        counter = builder.phi(INDEX)
        values = [builder.phi(first.type) for first in carried]
        results = body(counter, values)
        following = builder.add(counter, constant(1))
        counter.add_incoming(start, entry)
        counter.add_incoming(following, block)
        for phi, first, result in zip(values, carried, results, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(result, block)
        builder.cbranch(builder.icmp_signed("<", following, stop), block, after)
        builder.position_at_end(after)
        return results

    def loop_by(self, step, start, stop, carried, body):
        """A loop over counters ``step`` apart, for as long as a whole step is left.

        Returns the counter of what is left and the last values; it may take no turn.
        """
        builder = self.builder
        entry = builder.block
        head, block, after = (builder.append_basic_block(n) for n in ("head", "turn", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        counter = builder.phi(INDEX)
        values = [builder.phi(self.type) for _ in carried]
        following = builder.add(counter, constant(step))
        builder.cbranch(builder.icmp_signed("<=", following, stop), block, after)
        builder.position_at_end(block)
        results = body(counter, values)
        builder.branch(head)
        for phi, first, result in zip(
            (counter, *values), (start, *carried), (following, *results), strict=True
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(result, block)
        builder.position_at_end(after)
        return counter, values
