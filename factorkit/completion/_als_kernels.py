"""Compiled loops of alternating least squares: conjugate gradients a row, and residuals.

A row's problem is min Σ_e w_e (t_e − f_e·x)² + Σ_a d_a x_a², its entries e naming rows f_e of a
factor F. F has zero columns up to whole vectors. Entries are taken eight at a time, so that
neither the sums over a vector's lanes nor the traffic of x cost much.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from factorkit.utils._jit import kernel
from factorkit.utils._vector_ir import INDEX, Vectors, constant

_BATCH = 8
# A row's steps end where the squared norm of its preconditioned gradient is this part of the first.
_ENOUGH = 1e-2


def _dots(F, rows, x, out):
    """``out[b] = F[rows[b]] @ x`` for the eight rows of a batch."""
    out[:] = F[rows] @ x


def _add_rows(F, rows, coefficients, out):
    """``out += coefficients @ F[rows]`` for the eight rows of a batch."""
    out += coefficients @ F[rows]


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

        sums = v.loop(constant(0), n_vectors, [v.zero] * _BATCH, multiply)
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
            for b in range(_BATCH)
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


def _arrays(context, builder, signature, args):
    return [
        context.make_array(kind)(context, builder, arg)
        for kind, arg in zip(signature.args, args, strict=True)
    ]


def _row_starts(builder, v, F, rows):
    """(Offsets of the rows of a batch in F, number of vectors a row.)"""
    width = builder.extract_value(F.shape, 1)
    starts = []
    for b in range(_BATCH):
        row = builder.load(builder.gep(rows.data, [constant(b)]))
        row = row if row.type == INDEX else builder.sext(row, INDEX)
        starts.append(builder.mul(row, width))
    return starts, builder.sdiv(width, constant(v.lanes))


@overload(_dots, inline="always")
def _overload_dots(F, rows, x, out):
    return lambda F, rows, x, out: _simd_dots(F, rows, x, out)


@overload(_add_rows, inline="always")
def _overload_add_rows(F, rows, coefficients, out):
    return lambda F, rows, coefficients, out: _simd_add_rows(F, rows, coefficients, out)


@kernel
def _load_batch(indices, at, stop, rows):
    """Rows of F that the next entries name; the batch is filled up with the first of them."""
    n = min(_BATCH, stop - at)
    for b in range(n):
        rows[b] = indices[at + b]
    for b in range(n, _BATCH):
        rows[b] = rows[0]
    return n


@kernel(reduces=True)
def _first_pass(
    start, stop, indices, values, weights, offsets, threshold, redescends, F, x, g, w, residuals,
    batch,
):  # fmt: skip
    """Add Σ w_e (t_e − f_e·x) f_e to g, keep the weights in w; (loss, Σ w).

    Without `values` the entries are implicit feedback: the target is 1, and confidence 1 + w.
    """
    rows, dots, coefficients = batch
    zero = F.dtype.type(0)
    loss, weight_sum = 0.0, 0.0
    for at in range(start, stop, _BATCH):
        n = _load_batch(indices, at, stop, rows)
        _dots(F, rows, x, dots)
        for b in range(n):
            weight = weights[at + b] if weights.size else F.dtype.type(1)
            if values.size:
                r = values[at + b] - dots[b]
                if offsets.size:
                    r -= offsets[rows[b]]
                if residuals.size:
                    residuals[at + b] = r
                size = abs(r)
                if redescends:
                    rest = max(1 - (np.float64(size) / threshold) ** 2, 0.0)
                    loss += weight * threshold * threshold * (1 - rest * rest * rest) / 3
                    weight *= rest * rest
                elif size > threshold:
                    loss += np.float64(weight) * threshold * (2 * size - threshold)
                    weight *= threshold / size
                else:
                    loss += np.float64(weight) * r * r
                coefficients[b] = weight * r
            else:
                r = 1 - dots[b]
                loss += (1 + np.float64(weight)) * r * r - np.float64(dots[b]) * dots[b]
                coefficients[b] = weight * r + 1
            weight_sum += weight
            w[at - start + b] = weight
        for b in range(n, _BATCH):
            coefficients[b] = zero
        _add_rows(F, rows, coefficients, g)
    return loss, weight_sum


@kernel
def _product(start, stop, indices, w, F, p, q, batch):
    """Add Σ w_e (f_e·p) f_e to q."""
    rows, dots, coefficients = batch
    for at in range(start, stop, _BATCH):
        n = _load_batch(indices, at, stop, rows)
        _dots(F, rows, p, dots)
        for b in range(n):
            coefficients[b] = w[at - start + b] * dots[b]
        for b in range(n, _BATCH):
            coefficients[b] = 0
        _add_rows(F, rows, coefficients, q)


@kernel(reduces=True)
def cg_rows(
    indptr, indices, values, weights, offsets, threshold, redescends, F, mean_squares, base, ridge,
    n_steps, X, residuals, first, last,
):  # fmt: skip
    """Some steps of preconditioned conjugate gradients for rows ``first:last`` of X, in place.

    Parameters
    ----------
    indptr, indices : arrays of a CSR matrix
    values : array of (nnz,), or empty for implicit feedback
    weights : array of (nnz,), or empty for ones
    offsets : array of (n,), or empty: what belongs to a row of F, taken off the values
    threshold, redescends : float, bool
        Residuals beyond the threshold count as in Huber's loss (infinity: the squared one), or
        with `redescends` all as in Tukey's.
    F : array of (n, padded number of components)
    mean_squares : array of (padded number of components,)
        Diagonal of the average of f fᵀ; with the sum of a row's weights it preconditions.
    base, ridge : arrays of (padded number of components,) and (m,)
        The quadratic form Σ_a (base_a + ridge_i) x_a² beside the entries.
    n_steps : int
        At most; a row ends where its gradient is a tenth of the first.
    X : array of (m, padded number of components)
    residuals : array of (nnz,) or empty
        Gets t_e − f_e·x at the X that came in.

    Returns
    -------
    loss, penalty, step, size : floats
        At the X that came in: loss over the entries, Σ ridge_i |x_i|², squares of the first
        preconditioned step and of X.
    """
    width = F.shape[1]
    zero = F.dtype.type(0)
    enough = F.dtype.type(_ENOUGH)
    batch = (np.zeros(_BATCH, indices.dtype), np.zeros(_BATCH, F.dtype), np.zeros(_BATCH, F.dtype))
    g, z, p, q, d = np.zeros((5, width), F.dtype)
    longest = 0
    for i in range(first, last):
        longest = max(longest, np.int64(indptr[i + 1] - indptr[i]))
    w = np.zeros(longest, F.dtype)
    loss = penalty = step = size = 0.0
    for i in range(first, last):
        start, stop = np.int64(indptr[i]), np.int64(indptr[i + 1])
        x = X[i]
        if start == stop and values.size:
            x[:] = zero
            continue
        g[:] = zero
        row_loss, weight_sum = _first_pass(
            start, stop, indices, values, weights, offsets, threshold, redescends, F, x, g, w,
            residuals, batch,
        )  # fmt: skip
        loss += row_loss
        mean_weight = F.dtype.type(weight_sum)
        rho = 0.0
        for a in range(width):
            d[a] = ridge[i] + base[a]
            g[a] -= d[a] * x[a]
            scale = d[a] + mean_weight * mean_squares[a]
            z[a] = g[a] / scale if scale > 0 else zero
            p[a] = z[a]
            rho += g[a] * z[a]
            penalty += np.float64(ridge[i]) * x[a] * x[a]
            step += np.float64(z[a]) * z[a]
            size += np.float64(x[a]) * x[a]
        first_rho = rho
        for _ in range(n_steps):
            if not rho > enough * first_rho:
                break
            for a in range(width):
                q[a] = d[a] * p[a]
            _product(start, stop, indices, w, F, p, q, batch)
            curvature = 0.0
            for a in range(width):
                curvature += p[a] * q[a]
            if not curvature > 0:
                break
            length = F.dtype.type(rho / curvature)
            new_rho = 0.0
            for a in range(width):
                x[a] += length * p[a]
                g[a] -= length * q[a]
                scale = d[a] + mean_weight * mean_squares[a]
                z[a] = g[a] / scale if scale > 0 else zero
                new_rho += g[a] * z[a]
            ratio = F.dtype.type(new_rho / rho)
            for a in range(width):
                p[a] = z[a] + ratio * p[a]
            rho = new_rho
    return loss, penalty, step, size


@kernel
def _add_gram(start, stop, indices, w, F, A, batch):
    """Add Σ w_e f_e f_eᵀ to A."""
    rows, _, coefficients = batch
    for at in range(start, stop, _BATCH):
        n = _load_batch(indices, at, stop, rows)
        for a in range(len(A)):
            for b in range(n):
                coefficients[b] = w[at - start + b] * F[rows[b], a]
            for b in range(n, _BATCH):
                coefficients[b] = 0
            _add_rows(F, rows, coefficients, A[a])


@kernel
def positive_rows(
    indptr, indices, values, weights, offsets, threshold, redescends, F, ridge, n_positive,
    n_components, n_sweeps, tol, X, residuals, first, last,
):  # fmt: skip
    """Coordinate descent for rows ``first:last`` of X in place, x_a ≥ 0 for a < n_positive.

    Parameters are those of `cg_rows`; a row's sweeps end after `n_sweeps`, or where the largest
    change of a coefficient in one is at most `tol` times the largest coefficient. Returns the
    same four sums; the step is that of the first sweep.
    """
    width = F.shape[1]
    zero = F.dtype.type(0)
    batch = (np.zeros(_BATCH, indices.dtype), np.zeros(_BATCH, F.dtype), np.zeros(_BATCH, F.dtype))
    g = np.zeros(width, F.dtype)
    A = np.zeros((n_components, width), F.dtype)
    longest = 0
    for i in range(first, last):
        longest = max(longest, np.int64(indptr[i + 1] - indptr[i]))
    w = np.zeros(longest, F.dtype)
    loss = penalty = step = size = 0.0
    for i in range(first, last):
        start, stop = np.int64(indptr[i]), np.int64(indptr[i + 1])
        x = X[i]
        if start == stop:
            x[:] = zero
            continue
        g[:] = zero
        row_loss, _ = _first_pass(
            start, stop, indices, values, weights, offsets, threshold, redescends, F, x, g, w,
            residuals, batch,
        )  # fmt: skip
        loss += row_loss
        A[:] = zero
        _add_gram(start, stop, indices, w, F, A, batch)
        for a in range(n_components):
            A[a, a] += ridge[i]
            g[a] -= ridge[i] * x[a]
            penalty += np.float64(ridge[i]) * x[a] * x[a]
            size += np.float64(x[a]) * x[a]
        for sweep in range(n_sweeps):
            largest_change, largest = zero, zero
            for a in range(n_components):
                if not A[a, a] > 0:
                    continue
                new = x[a] + g[a] / A[a, a]
                if a < n_positive and not new > 0:
                    new = zero
                change = new - x[a]
                x[a] = new
                largest = max(largest, abs(new))
                largest_change = max(largest_change, abs(change))
                if change != 0:
                    for c in range(width):
                        g[c] -= change * A[a, c]
                if sweep == 0:
                    step += np.float64(change) * change
            if largest_change <= tol * largest:
                break
    return loss, penalty, step, size
