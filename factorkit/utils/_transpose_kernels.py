"""Transposes of what is read by rows and wanted by columns, in squares of vectors."""

from numba import types
from numba.extending import intrinsic, overload

from ._jit import kernel
from ._vector_ir import VECTOR_BYTES, Vectors

# Compiled in from other files: 42b35aba2b3d


def _turn_square(A, i, j, out, r, c):
    """A square of as many rows as a vector has lanes: ``out[r:, c:] = A[i:, j:].T``."""
    lanes = VECTOR_BYTES // A.itemsize
    out[r : r + lanes, c : c + lanes] = A[i : i + lanes, j : j + lanes].T


@intrinsic
def _simd_turn_square(typingctx, A, i, j, out, r, c):
    def codegen(context, builder, signature, args):
        A_, out_ = (
            context.make_array(signature.args[n])(context, builder, args[n]) for n in (0, 3)
        )
        v = Vectors(builder, A.dtype)
        rows = [v.load(p) for p in v.rows(A_, args[1], args[2], v.lanes)]
        places = v.rows(out_, args[4], args[5], v.lanes)
        for vector, place in zip(v.transpose(rows), places, strict=True):
            v.store(vector, place)
        return context.get_dummy_value()

    return types.void(A, i, j, out, r, c), codegen


@overload(_turn_square, inline="always")
def _overload_turn_square(A, i, j, out, r, c):
    return lambda A, i, j, out, r, c: _simd_turn_square(A, i, j, out, r, c)


@kernel
def transpose_columns(A, start, stop, out):
    """``out[:] = A[:, start:stop].T``; `out` may have more columns than A has rows."""
    n_rows = A.shape[0]
    lanes = VECTOR_BYTES // A.itemsize
    whole_rows, whole_columns = n_rows // lanes * lanes, (stop - start) // lanes * lanes
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            _turn_square(A, i, start + j, out, j, i)
        for j in range(whole_columns, stop - start):
            for k in range(i, i + lanes):
                out[j, k] = A[k, start + j]
    for j in range(stop - start):
        for i in range(whole_rows, n_rows):
            out[j, i] = A[i, start + j]
