"""Vector instructions on rows of `_abundances`' tables, of as few numbers as endmembers need."""

import numpy as np
from llvmlite import ir
from numba import types

from ..utils._vector_ir import Vectors, constant

# Numbers of a whole vector: 64 bytes.
LANES = 8
# Numbers a row may have. Tables of ten endmembers then fit the second-level cache; twice LANES
# did not, and half of the time went into waiting for them.
WIDTHS = (LANES, 10, 12)


class Row:
    """Builds instructions on a row: a whole vector and, where it is wider, a short one.

    Methods take and return lists of these, in double precision.
    """

    def __init__(self, builder, width):
        self.builder, self.width = builder, width
        sizes = [LANES, width - LANES] if width > LANES else [LANES]
        self.vectors = [Vectors(builder, types.float64, 8 * size) for size in sizes]
        self.starts = [0, LANES][: len(sizes)]

    def load(self, data, offset):
        return [v.load(place) for v, place in self._places(data, offset)]

    def store(self, row, data, offset):
        for values, (v, place) in zip(row, self._places(data, offset), strict=True):
            v.store(values, place)

    def add_products(self, row, count, x, x_at, factor_of, data, offset):
        """``row + Σ_t factor_of(x[x_at + t]) data[offset + t width:]`` over t below `count`.

        Where rows are wider than a vector all of `width` terms are added, without a loop: x must
        be zero from `count` on, and `count` no less than ``width - 1``.
        """
        builder = self.builder

        def add(t, sums):
            factor = factor_of(builder.load(builder.gep(x, [builder.add(x_at, t)])))
            at = builder.add(offset, builder.mul(t, constant(self.width)))
            terms = zip(self.vectors, self.load(data, at), sums, strict=True)
            return [v.fma(v.splat(factor), values, total) for v, values, total in terms]

        if len(row) == 1:
            return self.vectors[0].loop(constant(0), count, row, add)
        for t in range(self.width):
            row = add(constant(t), row)
        return row

    def where(self, bits, row, other):
        """The row in the lanes whose bits of an integer are set, elsewhere a number."""
        chosen = []
        for v, start, values in zip(self.vectors, self.starts, row, strict=True):
            some = self.builder.lshr(bits, constant(start))
            some = self.builder.trunc(some, ir.IntType(v.lanes))
            mask = self.builder.bitcast(some, ir.VectorType(ir.IntType(1), v.lanes))
            filling = ir.Constant(v.type, [other] * v.lanes)
            chosen.append(self.builder.select(mask, values, filling))
        return chosen

    def below(self, row, limit):
        """Bits of the lanes in which the row is less than a limit."""
        bits = constant(0)
        for v, start, values in zip(self.vectors, self.starts, row, strict=True):
            found = self.builder.shl(v.below(values, v.splat(limit)), constant(start))
            bits = self.builder.or_(bits, found)
        return bits

    def divided(self, row, divisor):
        parts = zip(self.vectors, row, strict=True)
        return [self.builder.fdiv(values, v.splat(divisor)) for v, values in parts]

    def sum(self, row):
        total, *others = (v.sum(values) for v, values in zip(self.vectors, row, strict=True))
        for other in others:
            total = self.builder.fadd(total, other)
        return total

    def largest(self, row):
        best, *others = (self._largest(*part) for part in zip(self.vectors, row, strict=True))
        for other in others:
            best = self.builder.select(self.builder.fcmp_ordered(">", best, other), best, other)
        return best

    def _places(self, data, offset):
        for v, start in zip(self.vectors, self.starts, strict=True):
            (place,) = v.pointers(data, self.builder.add(offset, constant(start)), 1)
            yield v, place

    def _largest(self, v, values):
        half = v.lanes // 2
        while half:
            order = np.arange(v.lanes) ^ half
            mask = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), order.tolist())
            values = v.maximum(values, self.builder.shuffle_vector(values, values, mask))
            half //= 2
        return self.builder.extract_element(values, ir.Constant(ir.IntType(32), 0))
