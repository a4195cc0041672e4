"""Compiled loops of `_nnls`: coordinate sweeps on cached blocks, and pivoting."""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ._jit import kernel
from ._vector_ir import VECTOR_BYTES, Vectors, constant

# Compiled in from other files: 42b35aba2b3d

# A block of samples is as wide as eight vector registers a component: then the running gradient
# of a component never leaves the registers. Numba's own vectorizer spills it to memory and
# reaches 40 to 60 % of the speed (measured with AVX-512 at 10 to 40 components).
_N_VECTORS = 8
CHUNK_BYTES = VECTOR_BYTES * _N_VECTORS


def _update_component(w, A, first, G, t, inverse):
    """One coordinate step for a block of samples; returns the sum of squared changes.

    ``w`` is (n_components, chunk), ``G`` (n_components, n_components), ``A`` the linear term of
    the block from its column `first` on.
    """
    a = A[t, first : first + w.shape[1]]
    new = np.maximum(w[t] + (a - G[t] @ w) * inverse, 0)
    squares = np.sum((new - w[t]) ** 2)
    w[t] = new
    return squares


@intrinsic
def _update_component_simd(typingctx, w, A, first, G, t, inverse):
    # The same arithmetic as `_update_component`, in vector instructions.
    def codegen(context, builder, signature, args):
        w_, A_, G_ = (_array(context, builder, signature, args, i) for i in (0, 1, 3))
        first_, t_, inverse_ = args[2], args[4], args[5]
        v = Vectors(builder, w.dtype)
        width = constant(v.lanes * _N_VECTORS)
        n_components = builder.extract_value(G_.shape, 0)
        row = builder.mul(t_, width)
        G_row = builder.mul(t_, n_components)

        def subtract_component(r, gradient):
            g = builder.load(builder.gep(G_.data, [builder.add(G_row, r)]))
            minus_g = v.splat(builder.fneg(g))
            values = v.pointers(w_.data, builder.mul(r, width), _N_VECTORS)
            return [v.fma(minus_g, v.load(p), s) for p, s in zip(values, gradient, strict=True)]

        start = [v.load(p) for p in _block(v, A_, t_, first_)]
        gradient = v.loop(constant(0), n_components, start, subtract_component)
        scale, squares = v.splat(inverse_), v.zero
        for pointer, value in zip(v.pointers(w_.data, row, _N_VECTORS), gradient, strict=True):
            old = v.load(pointer)
            new = v.positive_part(v.fma(scale, value, old))
            v.store(new, pointer)
            change = builder.fsub(new, old)
            squares = v.fma(change, change, squares)
        return v.sum(squares)

    return w.dtype(w, A, first, G, t, inverse), codegen


def _array(context, builder, signature, args, i):
    return context.make_array(signature.args[i])(context, builder, args[i])


def _block(v, A_, t, first):
    """Pointers to the vectors of component t from column `first` on."""
    offset = v.builder.add(v.builder.mul(t, v.builder.extract_value(A_.shape, 1)), first)
    return v.pointers(A_.data, offset, _N_VECTORS)


@overload(_update_component, inline="always")
def _overload_update_component(w, A, first, G, t, inverse):
    def update(w, A, first, G, t, inverse):
        return _update_component_simd(w, A, first, G, t, inverse)

    return update


def _read_ahead(A, t, first):
    """Have a block of a component fetched, while the one before is worked on."""


@intrinsic
def _simd_read_ahead(typingctx, A, t, first):
    def codegen(context, builder, signature, args):
        A_ = _array(context, builder, signature, args, 0)
        v = Vectors(builder, A.dtype)
        for pointer in _block(v, A_, args[1], args[2]):
            v.prefetch(pointer)
        return context.get_dummy_value()

    return types.void(A, t, first), codegen


@overload(_read_ahead, inline="always")
def _overload_read_ahead(A, t, first):
    return lambda A, t, first: _simd_read_ahead(A, t, first)


def _take_block(W, t, first, w):
    """Component t of a block of samples, from column `first` of W on, into `w`."""
    w[t] = W[t, first : first + w.shape[1]]


@intrinsic
def _simd_take_block(typingctx, W, t, first, w):
    def codegen(context, builder, signature, args):
        W_, w_ = (_array(context, builder, signature, args, i) for i in (0, 3))
        v = Vectors(builder, W.dtype)
        places = _block(v, w_, args[1], constant(0))
        for pointer, place in zip(_block(v, W_, args[1], args[2]), places, strict=True):
            v.store(v.load(pointer), place)
        return context.get_dummy_value()

    return types.void(W, t, first, w), codegen


@overload(_take_block, inline="always")
def _overload_take_block(W, t, first, w):
    return lambda W, t, first, w: _simd_take_block(W, t, first, w)


def _give_block(w, A, t, first, out):
    """Component t of a block into `out`, which may be A; returns w · a."""
    columns = slice(first, first + w.shape[1])
    product = np.sum(w[t] * A[t, columns])
    out[t, columns] = w[t]
    return product


@intrinsic
def _simd_give_block(typingctx, w, A, t, first, out):
    def codegen(context, builder, signature, args):
        w_, A_, out_ = (_array(context, builder, signature, args, i) for i in (0, 1, 4))
        t_, first_ = args[2:4]
        v = Vectors(builder, w.dtype)
        product = v.zero
        starts = (w_, constant(0)), (A_, first_), (out_, first_)
        blocks = (_block(v, array, t_, start) for array, start in starts)
        for source, linear, place in zip(*blocks, strict=True):
            x = v.load(source)
            product = v.fma(x, v.load(linear), product)
            v.store(x, place)
        return v.sum(product)

    return w.dtype(w, A, t, first, out), codegen


@overload(_give_block, inline="always")
def _overload_give_block(w, A, t, first, out):
    return lambda w, A, t, first, out: _simd_give_block(w, A, t, first, out)


@kernel(reduces=True)
def sweep_columns(W, A, G, start, stop, max_sweeps, inner_tol, out):
    """Sweep columns ``start:stop`` from W into `out`, which may be W or A.

    Returns twice what the first sweep's steps lower the objective by, and the inner product of the
    result with A.
    """
    n_components = W.shape[0]
    chunk = CHUNK_BYTES // W.itemsize
    w = np.zeros((n_components, chunk), W.dtype)
    rest = np.zeros((n_components, chunk), W.dtype)
    inverse = np.zeros(n_components, W.dtype)
    for t in range(n_components):
        if G[t, t] > 0:
            inverse[t] = 1 / G[t, t]
    total, linear = 0.0, 0.0
    for first in range(start, stop, chunk):
        width = min(chunk, stop - first)
        whole = width == chunk
        # Lanes beyond the last column hold zeros with a zero gradient: they stay at zero.
        a, begin = (A, first) if whole else (rest, 0)
        for t in range(n_components):
            if whole:
                _take_block(W, t, first, w)
                continue
            for i in range(chunk):
                w[t, i] = W[t, first + i] if i < width else 0
                rest[t, i] = A[t, first + i] if i < width else 0
        first_decrease = 0.0
        for sweep in range(max_sweeps):
            decrease = 0.0
            for t in range(n_components):
                if sweep == 0:
                    # Blocks of the components lie far apart: nothing else foresees them.
                    _read_ahead(W, t, first + chunk)
                    _read_ahead(A, t, first + chunk)
                if inverse[t] > 0:
                    squares = _update_component(w, a, begin, G, t, inverse[t])
                    decrease += G[t, t] * squares
            if sweep == 0:
                first_decrease = decrease
                total += decrease
            if decrease <= inner_tol * first_decrease:
                break
        for t in range(n_components):
            # In the precision of W, over so few, rounding does not add up.
            linear += np.float64(_give_block(w, a, t, begin, out if whole else rest))
            if not whole:
                for i in range(width):
                    out[t, first + i] = w[t, i]
    return total, linear
