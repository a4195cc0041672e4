"""Products of a CSR matrix, and of its transpose, with a dense factor."""

import math
from itertools import chain

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ._jit import kernel, plain
from ._vector_ir import INDEX, VECTOR_BYTES, Vectors, constant

# Compiled in from other files: 42b35aba2b3d

# Bytes of a line of the cache.
_LINE = 64


def _add_rows(values, columns, start, stop, F, first, row, n_vectors):
    """Sum of ``values[p] * F[columns[p]]`` over a part of F's columns, into `row`."""
    lanes = VECTOR_BYTES // F.itemsize
    part = slice(first, first + lanes * n_vectors)
    row[part] = values[start:stop] @ F[columns[start:stop], part]


def _make_simd(n_vectors):
    # One sum waits for its last product: few vectors need several to keep the processor busy.
    n_sums = max(4 // n_vectors, 1)

    @intrinsic
    def add_rows(typingctx, values, columns, start, stop, F, first, row):
        def codegen(context, builder, signature, args):
            types_ = signature.args
            values_, columns_, F_, row_ = (
                context.make_array(types_[i])(context, builder, args[i]) for i in (0, 1, 4, 6)
            )
            start_, stop_, first_ = args[2], args[3], args[5]
            v = Vectors(builder, F.dtype)
            width = builder.extract_value(F_.shape, 1)

            def add_row(p, sums):
                x = v.splat(v.number(builder.load(builder.gep(values_.data, [p]))))
                j = builder.load(builder.gep(columns_.data, [p]))
                j = j if j.type == INDEX else builder.sext(j, INDEX)
                offset = builder.add(builder.mul(j, width), first_)
                pointers = v.pointers(F_.data, offset, n_vectors)
                return [v.fma(x, v.load(q), s) for q, s in zip(pointers, sums, strict=True)]

            def add_group(p, sums):
                parts = [sums[u * n_vectors : (u + 1) * n_vectors] for u in range(n_sums)]
                added = (add_row(builder.add(p, constant(u)), part) for u, part in enumerate(parts))
                return list(chain.from_iterable(added))

            zeros = [v.zero] * (n_vectors * n_sums)
            p, sums = v.loop_by(n_sums, start_, stop_, zeros, add_group)
            while len(sums) > n_vectors:
                half = len(sums) // 2
                sums = [builder.fadd(*pair) for pair in zip(sums[:half], sums[half:], strict=True)]
            if n_sums > 1:
                _, sums = v.loop_by(1, p, stop_, sums, add_row)
            for pointer, value in zip(v.pointers(row_.data, first_, n_vectors), sums, strict=True):
                v.store(value, pointer)
            return context.get_dummy_value()

        return types.void(values, columns, start, stop, F, first, row), codegen

    return add_rows


_add_1, _add_2, _add_3, _add_4, _add_8 = (_make_simd(n) for n in (1, 2, 3, 4, 8))


@overload(_add_rows, inline="always")
def _overload_add_rows(values, columns, start, stop, F, first, row, n_vectors):
    def add(values, columns, start, stop, F, first, row, n_vectors):
        if n_vectors == 8:
            _add_8(values, columns, start, stop, F, first, row)
        elif n_vectors == 4:
            _add_4(values, columns, start, stop, F, first, row)
        elif n_vectors == 3:
            _add_3(values, columns, start, stop, F, first, row)
        elif n_vectors == 2:
            _add_2(values, columns, start, stop, F, first, row)
        else:
            _add_1(values, columns, start, stop, F, first, row)

    return add


@kernel
def csr_products(indptr, columns, values, F, out, first_row, last_row):
    """Rows ``first_row:last_row`` of X times F, into the columns of `out`.

    F has shape (n_features, padded number of components), padded with zeros to whole vectors;
    `out` (n_components, n_samples). The sums of a row stay in registers; SciPy's loop stores
    them after each entry.
    """
    n_components = out.shape[0]
    lanes = VECTOR_BYTES // F.itemsize
    # A line of the cache for each component in `out`, filled at once.
    group = np.zeros((_LINE // 4, F.shape[1]), F.dtype)
    for begin in range(first_row, last_row, len(group)):
        n_rows = min(len(group), last_row - begin)
        for r in range(n_rows):
            start, stop = np.int64(indptr[begin + r]), np.int64(indptr[begin + r + 1])
            first = 0
            left = F.shape[1] // lanes
            while left > 0:
                n_vectors = 8 if left >= 8 else min(left, 4)
                _add_rows(values, columns, start, stop, F, first, group[r], n_vectors)
                first += n_vectors * lanes
                left -= n_vectors
        for t in range(n_components):
            for r in range(n_rows):
                out[t, begin + r] = group[r, t]


def _add_to_rows(values, columns, start, stop, row, first, out, n_vectors):
    """``out[columns[p], part] += values[p] * row[part]``, the columns being distinct."""
    lanes = VECTOR_BYTES // out.itemsize
    part = slice(first, first + lanes * n_vectors)
    out[columns[start:stop], part] += np.outer(values[start:stop], row[part])


def _make_add_to_rows(n_vectors):
    @intrinsic
    def add_to_rows(typingctx, values, columns, start, stop, row, first, out):
        def codegen(context, builder, signature, args):
            types_ = signature.args
            values_, columns_, row_, out_ = (
                context.make_array(types_[i])(context, builder, args[i]) for i in (0, 1, 4, 6)
            )
            start_, stop_, first_ = args[2], args[3], args[5]
            v = Vectors(builder, out.dtype)
            width = builder.extract_value(out_.shape, 1)
            w = [v.load(pointer) for pointer in v.pointers(row_.data, first_, n_vectors)]

            def add_entry(p, nothing):
                x = v.splat(v.number(builder.load(builder.gep(values_.data, [p]))))
                j = builder.load(builder.gep(columns_.data, [p]))
                j = j if j.type == INDEX else builder.sext(j, INDEX)
                offset = builder.add(builder.mul(j, width), first_)
                places = v.pointers(out_.data, offset, n_vectors)
                for place, factor in zip(places, w, strict=True):
                    v.store(v.fma(x, factor, v.load(place)), place)
                return nothing

            v.loop(start_, stop_, [], add_entry)
            return context.get_dummy_value()

        return types.void(values, columns, start, stop, row, first, out), codegen

    return add_to_rows


_add_to_1, _add_to_2, _add_to_3, _add_to_4, _add_to_8 = (
    _make_add_to_rows(n) for n in (1, 2, 3, 4, 8)
)


@overload(_add_to_rows, inline="always")
def _overload_add_to_rows(values, columns, start, stop, row, first, out, n_vectors):
    def add(values, columns, start, stop, row, first, out, n_vectors):
        if n_vectors == 8:
            _add_to_8(values, columns, start, stop, row, first, out)
        elif n_vectors == 4:
            _add_to_4(values, columns, start, stop, row, first, out)
        elif n_vectors == 3:
            _add_to_3(values, columns, start, stop, row, first, out)
        elif n_vectors == 2:
            _add_to_2(values, columns, start, stop, row, first, out)
        else:
            _add_to_1(values, columns, start, stop, row, first, out)

    return add


@kernel
def csr_transposed_products(indptr, columns, values, Wt, out, first_row, last_row):
    """Add ``X[rows].T @ W[rows]`` to `out`, for rows ``first_row:last_row`` of X.

    `out` has shape (n_features, number of components padded to whole vectors). It takes the
    place of a copy of the transpose, which costs as much time as five such products and as much
    memory as X.
    """
    n_components = Wt.shape[0]
    lanes = VECTOR_BYTES // out.itemsize
    row = np.zeros(out.shape[1], out.dtype)
    for i in range(first_row, last_row):
        start, stop = np.int64(indptr[i]), np.int64(indptr[i + 1])
        if start == stop:
            continue
        for t in range(n_components):
            row[t] = Wt[t, i]
        first = 0
        left = out.shape[1] // lanes
        while left > 0:
            n_vectors = 8 if left >= 8 else min(left, 4)
            _add_to_rows(values, columns, start, stop, row, first, out, n_vectors)
            first += n_vectors * lanes
            left -= n_vectors


def padded_width(n_components, dtype):
    """`n_components` rounded up to a whole number of vectors."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    return -(-n_components // lanes) * lanes


def aligned_zeros(shape, dtype):
    """Zeros that begin with a line of the cache: a vector in two lines takes twice the time."""
    dtype = np.dtype(dtype)
    n = math.prod(shape)
    room = np.zeros(n + _LINE // dtype.itemsize, dtype)
    skipped = -room.__array_interface__["data"][0] % _LINE // dtype.itemsize
    return room[skipped : skipped + n].reshape(shape)


def padded_rows(F, zero_rows=0):
    """``F.T`` in C order, with zero columns up to a whole number of vectors, and rows of zeros."""
    n_components, n_rows = F.shape
    shape = n_rows + zero_rows, padded_width(n_components, F.dtype)
    padded = aligned_zeros(shape, F.dtype)
    _transpose(plain(F), padded)
    return padded


@kernel
def _transpose(F, out):
    for first in range(0, F.shape[1], _LINE // 4):
        for j in range(first, min(first + _LINE // 4, F.shape[1])):
            for t in range(F.shape[0]):
                out[j, t] = F[t, j]
