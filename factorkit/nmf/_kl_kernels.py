"""Compiled loops of NMF with the Kullback-Leibler divergence."""

import numpy as np

from ..utils._jit import kernel
from ..utils._vector_ir import VECTOR_BYTES
from ._kl_simd import divergence_sums, finish_and_sum, gather

# Compiled in from other files: a4a65e186ba2

# Short rows are swept together: while one waits for its sums, the next one runs.
_TOGETHER, _SHORT = 4, 512
# Share of nonzeros from which zeros are swept along.
_FULL = 0.3


@kernel
def _new_coefficient(old, r, q, a, l2, safe, one):
    """What a coordinate step makes of a coefficient; a : the derivative of all but −r."""
    zero = one - one  # of the type of the data
    new = zero
    if safe:
        a += l2 * old
        if a > 0:
            new = old * r / a
    elif l2 > 0:
        # The same bound on r(w), 1/r(w) <= 1/r + (q / r²)(w - old), set equal to a + l2 w: a
        # quadratic equation. A plain Newton step may go to zero, and does not come back.
        a += l2 * old
        c = q + l2 * (r / a) if a > 0 else zero
        if c > 0:
            u = (r / a - one) * (r / c)
            u += u
            root = max(one + (q / c) * (l2 / a) * (u + u), zero)
            new = old + u / (one + np.sqrt(root))
    elif a > 0 and q > 0:
        # Newton's method for 1/r(w) = 1/a: see the user guide.
        # In this order r² appears nowhere: float32 can't hold it where the model vanishes.
        new = old + (r / a - one) * (r / q)
    elif a <= 0:
        new = old
    return new if new > 0 else zero


@kernel
def _sweep_rows(x, B, blocks, lengths, n_rows, w, base, l1, l2, floor, scale, y, safe, moved):
    """One sweep over the coordinates of some rows; `moved` gets their squared changes.

    x, y : the rows' nonzeros and, on return, the model there, up to whole vectors: there x and
    the components are 0 and y is 1. B[blocks[i]] : the components at the nonzeros of row i.
    """
    k = base.shape[1]
    height, width = B.shape[1:]
    lanes = VECTOR_BYTES // x.itemsize
    flat_x, flat_y, flat_B = x.reshape(x.size), y.reshape(y.size), B.reshape(B.size)
    changes = np.zeros(n_rows, x.dtype)
    one = x.dtype.type(1)
    moved[:] = 0
    for t in range(k):
        last = max(t - 1, 0)
        for i in range(n_rows):
            block = blocks[i] * height * width
            n_vectors = max((lengths[i] + lanes - 1) // lanes, 1)
            r, q = finish_and_sum(
                flat_y, flat_x, flat_B, i * width, block + last * width, block + t * width,
                changes[i], scale, floor, n_vectors,
            )  # fmt: skip
            new = _new_coefficient(w[i, t], r, q, base[i, t] + l1, l2, safe, one)
            changes[i] = new - w[i, t]
            w[i, t] = new
            moved[i] += np.float64(changes[i]) * np.float64(changes[i])
    for i in range(n_rows):
        h = B[blocks[i], k - 1]
        for j in range(lengths[i]):
            y[i, j] = max(y[i, j] + changes[i] * h[j], floor)


@kernel(reduces=True)
def positive_sums(x):
    """Σ x, and how many entries are positive."""
    total, n = 0.0, 0
    for i in range(x.size):
        total += np.float64(x[i])
        n += 1 if x[i] > 0 else 0
    return total, n


@kernel
def divergence_sum(x, y):
    """Σ x log(x / y) − x + y, entry by entry; a term without x or y has no logarithm."""
    lanes = VECTOR_BYTES // x.itemsize
    n_vectors = x.size // lanes
    total = 0.0
    if n_vectors > 0:
        total += divergence_sums(x, y, n_vectors)[0]
    a, b = np.zeros(lanes, x.dtype), np.zeros(lanes, y.dtype)
    for j in range(n_vectors * lanes, x.size):
        a[j - n_vectors * lanes], b[j - n_vectors * lanes] = x[j], y[j]
    return total + divergence_sums(a, b, 1)[0]


@kernel(reduces=True)
def _solve_rows(
    x, B, blocks, lengths, whole, n_rows, w, base, l1, l2, floor, scale, y, safe, max_sweeps,
    valued,
):  # fmt: skip
    """Sweeps on some rows, whose models are y; returns `sweep_dense_rows`'s sums.

    whole : whether nothing is missing from a row's model, so that it sums to base · w.
    """
    first, value, apart = 0.0, 0.0, 0.0
    lanes = VECTOR_BYTES // x.itemsize
    moved = np.zeros(n_rows)
    for sweep in range(max_sweeps):
        _sweep_rows(x, B, blocks, lengths, n_rows, w, base, l1, l2, floor, scale, y, safe, moved)
        if sweep == 0:
            first = moved.sum()
    for i in range(n_rows if valued else 0):
        n_vectors = max((lengths[i] + lanes - 1) // lanes, 1)
        y[i, lengths[i] : n_vectors * lanes] = 0
        part, model = divergence_sums(x[i], y[i], n_vectors)
        value += part
        if not whole[i]:
            total = 0.0
            for t in range(base.shape[1]):
                total += np.float64(base[i, t]) * np.float64(w[i, t])
            value += total - model
            apart += total
    return first, value, apart


@kernel
def _width(n, lanes):
    """`n` up to an odd number of vectors: rows a power of two apart share few lines of a cache."""
    n_vectors = (n + lanes - 1) // lanes
    return (n_vectors | 1) * lanes


@kernel
def _load_nonzeros(Ht, places, n, w, floor, x, B, y):
    """The components at the nonzeros x of a row, and the model there, up to a whole vector.

    The last row of Ht is zero, and stands for what is beyond the nonzeros.
    """
    lanes = VECTOR_BYTES // x.itemsize
    width = x.size
    flat = B.reshape(B.size)
    for j in range(n, max((n + lanes - 1) // lanes, 1) * lanes):
        places[j], x[j] = len(Ht) - 1, 0
    for first in range(0, max(n, 1), lanes):
        gather(Ht, places, first, w, floor, flat, 0, width, y, 0)


@kernel(reduces=True)
def _count_positive(x):
    n = 0
    for j in range(x.size):
        n += 1 if x[j] > 0 else 0
    return n


@kernel
def _load_dense(X, Y, Ht, w, floor, places, x, B, y):
    """A row of X into the buffers; returns its length, and whether without zeros.

    Components are gathered where that costs less than the zeros do in a sweep.
    """
    m = X.size
    if _count_positive(X) >= _FULL * m:
        for j in range(m):
            x[j], y[j] = X[j], Y[j]
        for j in range(m, x.size):
            x[j], y[j] = 0, 1
        return m, False
    n = 0
    for j in range(m):
        places[n], x[n] = j, X[j]
        n += 1 if X[j] > 0 else 0
    _load_nonzeros(Ht, places, n, w, floor, x, B, y)
    return n, True


@kernel(reduces=True)
def sweep_dense_rows(
    X, Y, W, H, Ht, base, first_row, l1, l2, floor, scale, safe, max_sweeps, valued
):
    """Sweep the rows of a block X against W[:, first_row:].

    Returns the squared change of the first sweep; if `valued`, the divergence (0 if not), less
    Σ v x log v where there are weights v; and the size of what it contains as a difference.

    Y : the model, positive. Ht : the transpose of H, with a last row of zeros, and columns up to
    whole vectors. base : (n_components, rows of X), or (n_components, 1) where all rows share it.
    Zeros of X count in `base` alone, so a row with many zeros is first compressed to its
    nonzeros.
    """
    k, m = H.shape
    width = _width(m, VECTOR_BYTES // X.itemsize)
    n_together = _TOGETHER if m <= _SHORT else 1
    x, y = np.zeros((n_together, width), X.dtype), np.ones((n_together, width), X.dtype)
    B = np.zeros((n_together + 1, Ht.shape[1], width), X.dtype)
    for t in range(k):
        for j in range(m):
            B[n_together, t, j] = H[t, j]
    w, b = np.zeros((n_together, Ht.shape[1]), X.dtype), np.empty((n_together, k), X.dtype)
    places = np.zeros(width, np.intp)
    blocks, lengths = np.zeros(n_together, np.intp), np.zeros(n_together, np.intp)
    whole = np.zeros(n_together, np.bool_)
    moved, value, apart = 0.0, 0.0, 0.0
    for start in range(0, X.shape[0], n_together):
        n_rows = min(n_together, X.shape[0] - start)
        for i in range(n_rows):
            row = start + i
            for t in range(k):
                w[i, t] = W[t, first_row + row]
                b[i, t] = base[t, row if base.shape[1] > 1 else 0]
            n, gathered = _load_dense(X[row], Y[row], Ht, w[i], floor, places, x[i], B[i], y[i])
            lengths[i], blocks[i] = n, i if gathered else n_together
            whole[i] = base.shape[1] == 1 and not gathered
        d, v, u = _solve_rows(
            x, B, blocks, lengths, whole, n_rows, w, b, l1, l2, floor, scale, y, safe, max_sweeps,
            valued,
        )  # fmt: skip
        moved += d
        value += v
        apart += u
        for i in range(n_rows):
            for t in range(k):
                W[t, first_row + start + i] = w[i, t]
    return moved, value, apart


@kernel(reduces=True)
def sweep_csr_rows(
    indptr, columns, values, W, Ht, base, start, stop, l1, l2, floor, scale, safe, max_sweeps,
    valued,
):  # fmt: skip
    """As `sweep_dense_rows`, for rows ``start:stop`` of a CSR matrix, of either precision."""
    k = W.shape[0]
    longest = 1
    for i in range(start, stop):
        longest = max(longest, indptr[i + 1] - indptr[i])
    width = _width(longest, VECTOR_BYTES // W.itemsize)
    # Components at the nonzeros of a few long rows would take more memory than X does.
    n_together = _TOGETHER if longest <= 4 * _SHORT else 1
    x, y = np.zeros((n_together, width), W.dtype), np.ones((n_together, width), W.dtype)
    B = np.zeros((n_together, Ht.shape[1], width), W.dtype)
    w, b = np.zeros((n_together, Ht.shape[1]), W.dtype), np.empty((n_together, k), W.dtype)
    places = np.zeros(width, np.intp)
    blocks, lengths = np.arange(n_together), np.zeros(n_together, np.intp)
    whole = np.zeros(n_together, np.bool_)
    moved, value, apart = 0.0, 0.0, 0.0
    for first in range(start, stop, n_together):
        n_rows = min(n_together, stop - first)
        for i in range(n_rows):
            row = first + i
            for t in range(k):
                w[i, t] = W[t, row]
                b[i, t] = base[t, row if base.shape[1] > 1 else 0]
            n = 0
            for p in range(indptr[row], indptr[row + 1]):
                places[n], x[i, n] = columns[p], values[p]
                n += 1 if values[p] > 0 else 0
            _load_nonzeros(Ht, places, n, w[i], floor, x[i], B[i], y[i])
            lengths[i] = n
        d, v, u = _solve_rows(
            x, B, blocks, lengths, whole, n_rows, w, b, l1, l2, floor, scale, y, safe, max_sweeps,
            valued,
        )  # fmt: skip
        moved += d
        value += v
        apart += u
        for i in range(n_rows):
            for t in range(k):
                W[t, first + i] = w[i, t]
    return moved, value, apart
