"""Compiled loops of alternating least squares: conjugate gradients a row, and residuals.

A row's problem is min Σ_e w_e (t_e − f_e·x)² + Σ_a d_a x_a², its entries e naming rows f_e of a
factor F. F has zero columns up to whole vectors. Entries are taken eight at a time.
"""

import numpy as np

from factorkit.completion._batches import BATCH, add_products, add_residuals, add_rows, dots
from factorkit.utils._jit import kernel

# Compiled in from other files: dc10da968933

# Entries whose products are held at a time, whole batches.
_CHUNK = 256


@kernel
def _load_batch(indices, at, stop, rows):
    """Rows of F that the next entries name; the batch is filled up with the first of them."""
    n = min(BATCH, stop - at)
    for b in range(n):
        rows[b] = indices[at + b]
    for b in range(n, BATCH):
        rows[b] = rows[0]
    return n


@kernel(reduces=True)
def _squared_pass(start, stop, indices, values, weights, offsets, F, x, g, w, rows, chunk):
    """`_first_pass` for the squared loss: vectors throughout, no branch an entry."""
    r, extra = chunk
    one = F.dtype.type(1)
    unit = F.dtype.type(0) if values.size else one
    loss, weight_sum = 0.0, 0.0
    for at in range(start, stop, len(r)):
        n = min(len(r), stop - at)
        whole = n // BATCH * BATCH
        part = w[at - start :]
        extra[:n] = unit
        for e in range(n):
            part[e] = weights[at + e] if weights.size else one
        for e in range(n):
            r[e] = values[at + e] if values.size else one
        if offsets.size:
            for e in range(n):
                r[e] -= offsets[indices[at + e]]
        for e in range(0, whole, BATCH):
            add_residuals(F, indices, at + e, r, part, extra, e, x, g)
        if whole < n:
            for e in range(n, whole + BATCH):
                r[e] = part[e] = extra[e] = 0
            _load_batch(indices, at + whole, stop, rows)
            add_residuals(F, rows, 0, r, part, extra, whole, x, g)
        for e in range(n):
            weight_sum += part[e]
            loss += np.float64(part[e]) * r[e] * r[e]
        if not values.size:
            for e in range(n):
                loss += 2 * r[e] - one  # r² − p², the preference being 1 = p + r
    return loss, weight_sum


@kernel(reduces=True)
def _first_pass(
    start, stop, indices, values, weights, offsets, threshold, redescends, F, x, g, w, residuals,
    batch, chunk,
):  # fmt: skip
    """Add Σ w_e (t_e − f_e·x) f_e to g, keep the weights in w; (loss, Σ w).

    Without `values` the entries are implicit feedback: the target is 1, and confidence 1 + w.
    """
    rows, products, coefficients = batch
    zero = F.dtype.type(0)
    loss, weight_sum = 0.0, 0.0
    if threshold == np.inf and not residuals.size:
        return _squared_pass(
            start, stop, indices, values, weights, offsets, F, x, g, w, rows, chunk
        )
    for at in range(start, stop, BATCH):
        n = _load_batch(indices, at, stop, rows)
        dots(F, rows, x, products)
        for b in range(n):
            weight = weights[at + b] if weights.size else F.dtype.type(1)
            if values.size:
                r = values[at + b] - products[b]
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
                r = 1 - products[b]
                loss += (1 + np.float64(weight)) * r * r - np.float64(products[b]) * products[b]
                coefficients[b] = weight * r + 1
            weight_sum += weight
            w[at - start + b] = weight
        for b in range(n, BATCH):
            coefficients[b] = zero
        add_rows(F, rows, coefficients, g)
    return loss, weight_sum


@kernel
def _product(start, stop, indices, w, F, p, q, rows):
    """Add Σ w_e (f_e·p) f_e to q; `rows` holds the last entries if they fill no batch."""
    whole = start + (stop - start) // BATCH * BATCH
    for at in range(start, whole, BATCH):
        add_products(F, indices, at, w, at - start, p, q)
    if whole < stop:
        add_products(F, rows, 0, w, whole - start, p, q)


@kernel(reduces=True)
def cg_rows(
    indptr, indices, values, weights, offsets, threshold, redescends, F, mean_squares, base, ridge,
    n_steps, enough, X, residuals, ended, first, last,
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
        At most.
    enough : float
        A row ends where the squared norm of its preconditioned gradient is this part of the first.
    X : array of (m, padded number of components)
    residuals : array of (nnz,) or empty
        Gets t_e − f_e·x at the X that came in.
    ended : array of (m,) or empty
        Gets whether a row has ended before its steps did.

    Returns
    -------
    loss, penalty, step, size : floats
        At the X that came in: loss over the entries, Σ ridge_i |x_i|², squares of the first
        preconditioned step and of X.
    """
    width = F.shape[1]
    zero = F.dtype.type(0)
    batch = (np.zeros(BATCH, indices.dtype), np.zeros(BATCH, F.dtype), np.zeros(BATCH, F.dtype))
    g, z, p, q, d = np.zeros((5, width), F.dtype)
    chunk = (np.zeros(_CHUNK, F.dtype), np.zeros(_CHUNK, F.dtype))
    longest = 0
    for i in range(first, last):
        longest = max(longest, np.int64(indptr[i + 1] - indptr[i]))
    w = np.zeros(longest + BATCH, F.dtype)
    loss = penalty = step = size = 0.0
    for i in range(first, last):
        start, stop = np.int64(indptr[i]), np.int64(indptr[i + 1])
        x = X[i]
        if start == stop and values.size:
            x[:] = zero
            if ended.size:
                ended[i] = True
            continue
        g[:] = zero
        w[stop - start : stop - start + BATCH] = zero  # of what fills the last batch up
        row_loss, weight_sum = _first_pass(
            start, stop, indices, values, weights, offsets, threshold, redescends, F, x, g, w,
            residuals, batch, chunk,
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
        # Sums in loops of their own: beside a store, their order hangs on where arrays lie.
        for a in range(width):
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
            _product(start, stop, indices, w, F, p, q, batch[0])
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
            for a in range(width):
                new_rho += g[a] * z[a]
            ratio = F.dtype.type(new_rho / rho)
            for a in range(width):
                p[a] = z[a] + ratio * p[a]
            rho = new_rho
        if ended.size:
            ended[i] = not rho > enough * first_rho
    return loss, penalty, step, size


@kernel
def _add_gram(start, stop, indices, w, F, A, batch):
    """Add Σ w_e f_e f_eᵀ to A."""
    rows, _, coefficients = batch
    for at in range(start, stop, BATCH):
        n = _load_batch(indices, at, stop, rows)
        for a in range(len(A)):
            for b in range(n):
                coefficients[b] = w[at - start + b] * F[rows[b], a]
            for b in range(n, BATCH):
                coefficients[b] = 0
            add_rows(F, rows, coefficients, A[a])


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
    batch = (np.zeros(BATCH, indices.dtype), np.zeros(BATCH, F.dtype), np.zeros(BATCH, F.dtype))
    g = np.zeros(width, F.dtype)
    chunk = (np.zeros(_CHUNK, F.dtype), np.zeros(_CHUNK, F.dtype))
    A = np.zeros((n_components, width), F.dtype)
    longest = 0
    for i in range(first, last):
        longest = max(longest, np.int64(indptr[i + 1] - indptr[i]))
    w = np.zeros(longest + BATCH, F.dtype)
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
            residuals, batch, chunk,
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
