"""Compiled exact solves of the small least-squares problems of rows, with noise if it is wanted."""

import numpy as np

from factorkit.completion._tiles import ROWS, dots_of_rows, gather, panel, tile
from factorkit.utils._jit import kernel
from factorkit.utils._vector_ir import VECTOR_BYTES

# Compiled in from other files: 50bc5b313462

# Bytes of gathered rows of F: half of a small L1 cache.
_BUFFER_BYTES = 2**14


@kernel
def _add_products(start, A, G, a, n, sign):
    """Rows ``a:a+4`` of A, from the diagonal on: those of `start` ± G[:n].T @ G[:n]."""
    lanes = VECTOR_BYTES // A.itemsize
    b = a // lanes * lanes
    left = A.shape[1] // lanes - a // lanes
    while left > 0:
        n_vectors = 2 if left == 4 else min(left, 3)
        tile(start, A, G, a, b, n, sign, n_vectors)
        b += n_vectors * lanes
        left -= n_vectors


@kernel
def _factor(A, diagonal, y, inverse, scales):
    """Cholesky factor U of A = UᵀU in place, and U⁻ᵀ y; a pivot that vanishes gives zeros."""
    lanes = VECTOR_BYTES // A.itemsize
    zero = A.dtype.type(0)
    tolerance = A.dtype.type(4 * len(A) * np.finfo(A.dtype).eps)
    for a in range(0, A.shape[0], ROWS):
        if a:
            _add_products(A, A, A, a, a, -1)
        pivots = scales[:4]
        for r in range(ROWS):
            pivot = A[a + r, a + r]
            value = y[a + r]
            for q in range(r):
                c = A[a + q, a + r] * pivots[q]
                for s in range(q):
                    c -= (
                        scales[4 + r * (r - 1) // 2 + s]
                        * scales[4 + q * (q - 1) // 2 + s]
                        * pivots[q]
                    )
                scales[4 + r * (r - 1) // 2 + q] = c
                pivot -= c * c
                value -= c * scales[10 + q]
            pivots[r] = zero
            if pivot > tolerance * diagonal[a + r]:
                pivots[r] = 1 / np.sqrt(pivot)
            scales[10 + r] = value * pivots[r]
            inverse[a + r] = pivots[r]
        panel(A, a, a // lanes * lanes, scales, y)
        for r in range(ROWS):
            y[a + r] = scales[10 + r]


@kernel
def _solve_back(A, y, inverse, x, dots):
    """``x = U⁻¹ y``; zero where there was no pivot."""
    lanes = VECTOR_BYTES // A.itemsize
    x[:] = 0
    for block in range(A.shape[0] // ROWS):
        a = A.shape[0] - ROWS * (block + 1)
        dots_of_rows(A, a, a // lanes * lanes, x, dots)
        for back in range(ROWS):
            r = ROWS - 1 - back
            value = y[a + r] - dots[r]
            for c in range(r + 1, ROWS):
                value -= A[a + r, a + c] * x[a + c]
            x[a + r] = value * inverse[a + r]


@kernel
def _collect(indices, values, weights, offsets, direct, at, n, scales, coefficients):
    """Square roots of the weights of n entries, and what multiplies their rows of F in b."""
    for e in range(n):
        weight = weights[at + e] if weights.size else scales.dtype.type(1)
        value = values[at + e]
        if not direct:
            if offsets.size:
                value -= offsets[indices[at + e]]
            value *= weight
        coefficients[e] = value
        scales[e] = np.sqrt(weight)


@kernel
def _form(
    start, indices, values, weights, offsets, direct, at, stop, F, A, G, roots, coefficients, y
):
    """``A = start + Σ_e w_e f fᵀ``, its upper triangle, and ``y += Σ_e c_e f``."""
    lanes = VECTOR_BYTES // F.itemsize
    n_vectors = F.shape[1] // lanes
    if at >= stop:
        A[:] = start
    source = start
    for first in range(at, stop, len(G)):
        n = min(len(G), stop - first)
        _collect(indices, values, weights, offsets, direct, first, n, roots, coefficients)
        b = 0
        while b < n_vectors:
            step = 4 if n_vectors - b >= 4 else 1
            gather(indices, first, n, roots, coefficients, F, G, b * lanes, y, step)
            b += step
        if n % 2:
            G[n] = 0
        for a in range(0, len(A), ROWS):
            _add_products(source, A, G, a, n + n % 2, 1)
        source = A


@kernel
def _sizes(k, F):
    """(Height and width of the arrays of a row's system, number of rows gathered at a time)."""
    lanes = VECTOR_BYTES // F.itemsize
    height = -(-k // ROWS) * ROWS
    width = max(F.shape[1], -(-height // lanes) * lanes)
    return height, width, max(8, min(256, _BUFFER_BYTES // (width * F.itemsize))) // 2 * 2


@kernel
def _padded(base, start):
    """Fill `start` with the base, and with ones as the pivots of the rows that fill a tile up."""
    for a in range(len(start)):
        start[a, a] = 1
        for c in range(len(base) if a < len(base) else 0):
            start[a, c] = base[a, c]


@kernel
def _primal_rows(
    indptr, indices, values, weights, offsets, direct, F, base, linear, ridge, Z, X, first, last,
    fewest,
):  # fmt: skip
    """Rows with at least `fewest` entries: the k × k systems as they stand."""
    k = len(base)
    height, width, longest = _sizes(k, F)
    start, A = np.zeros((height, width), F.dtype), np.zeros((height, width), F.dtype)
    _padded(base, start)
    G = np.zeros((longest, width), F.dtype)
    y, x, diagonal, inverse = np.zeros((4, width), F.dtype)
    roots, coefficients = np.zeros((2, longest), F.dtype)
    scales, dots = np.zeros(14, F.dtype), np.zeros(ROWS, F.dtype)
    for i in range(first, last):
        at, stop = np.int64(indptr[i]), np.int64(indptr[i + 1])
        if stop - at < fewest:
            continue
        y[:k] = linear[i if len(linear) > 1 else 0]
        y[k:] = 0
        _form(
            start, indices, values, weights, offsets, direct, at, stop, F, A, G, roots,
            coefficients, y,
        )  # fmt: skip
        for a in range(k):
            A[a, a] += ridge[i]
            diagonal[a] = A[a, a]
        _factor(A, diagonal, y, inverse, scales)
        if Z.size:
            for a in range(k):
                y[a] += Z[i, a]
        _solve_back(A, y, inverse, x, dots)
        for a in range(k):
            X[i, a] = x[a]


@kernel
def _dual_rows(indptr, indices, values, weights, offsets, F, k, ridge, X, first, last):
    """Rows with fewer entries than coefficients and no other terms than the ridge.

    With G the rows of F times the square roots of the weights, and t the targets times these,
    (GᵀG + ridge I)⁻¹ Gᵀ t = Gᵀ (G Gᵀ + ridge I)⁻¹ t, which is cheaper and better conditioned.
    """
    lanes = VECTOR_BYTES // F.itemsize
    tall = k + k % 2
    room = -(-(k + ROWS) // lanes) * lanes
    # The arrays of a row are as wide as its system, so that no loop runs over what isn't there.
    flat_A, flat_G = np.zeros((k + ROWS) * room, F.dtype), np.zeros((k + ROWS) * room, F.dtype)
    rows, x = np.zeros((k, F.shape[1]), F.dtype), np.zeros(F.shape[1], F.dtype)
    vectors = np.zeros((4, room), F.dtype)
    scales, dots = np.zeros(14, F.dtype), np.zeros(ROWS, F.dtype)
    roots, coefficients = np.zeros(k, F.dtype), np.zeros(k, F.dtype)
    for i in range(first, last):
        at = np.int64(indptr[i])
        n = np.int64(indptr[i + 1]) - at
        if n >= k:
            continue
        height = -(-n // ROWS) * ROWS
        width = -(-height // lanes) * lanes
        A = flat_A[: height * width].reshape(height, width)
        G = flat_G[: tall * width].reshape(tall, width)
        y, solution, diagonal, inverse = vectors[:, :width]
        A[:] = 0
        G[:] = 0
        y[:] = 0
        _collect(indices, values, weights, offsets, False, at, n, roots, coefficients)
        for e in range(n):
            f = F[indices[at + e]]
            for c in range(k):
                G[c, e] = roots[e] * f[c]
            y[e] = coefficients[e] / roots[e] if roots[e] > 0 else F.dtype.type(0)
        for a in range(0, height, ROWS):
            _add_products(A, A, G, a, tall, 1)
        for a in range(height):
            A[a, a] += ridge[i]
            diagonal[a] = A[a, a]
        _factor(A, diagonal, y, inverse, scales)
        _solve_back(A, y, inverse, solution, dots)
        for e in range(n):
            coefficients[e] = roots[e] * solution[e]
        x[:] = 0
        for b in range(0, F.shape[1] if n else 0, lanes):
            gather(indices, at, n, roots, coefficients, F, rows, b, x, 1)
        for a in range(k):
            X[i, a] = x[a]


@kernel
def normal_rows(
    indptr, indices, values, weights, offsets, direct, F, base, linear, ridge, Z, X, first, last
):
    """Solve, or draw, the coefficients of rows ``first:last`` of X.

    Row i has the normal equations A x = b, with e over its entries and f = F[indices[e]],

        A = base + ridge[i] I + Σ_e w_e f fᵀ,    b = linear + Σ_e c_e f,

    c_e being values[e] if `direct`, else w_e (values[e] − offsets[indices[e]]). With noise it
    is a draw from N(A⁻¹b, A⁻¹): A = UᵀU, and x = U⁻¹ (U⁻ᵀ b + Z[i]). An entry costs k²/2
    multiply-adds, a row k³/6 besides.

    Parameters
    ----------
    indptr, indices : arrays of a CSR matrix
    values : array of (nnz,)
    weights : array of (nnz,), nonnegative, or empty for ones
    offsets : array of (n,), or empty for zeros
    direct : bool
    F : array of (n, padded number of components)
        Zero beyond the number of components.
    base, linear, ridge : arrays of (k, k), (k,) and (m,)
    Z : array of (m, k), or of (0, 0) for no noise
    X : array of (m, at least k)
        Gets x. Where A is singular, numerically, a coefficient whose pivot vanishes is set to
        zero; where `base` and `linear` are zero and a row has fewer entries than coefficients,
        a ridge of zero gives the solution of least norm.
    first, last : int
    """
    k = len(linear)
    has_dual = not (direct or Z.size or base.any() or linear.any())
    if has_dual:
        _dual_rows(indptr, indices, values, weights, offsets, F, k, ridge, X, first, last)
    _primal_rows(
        indptr, indices, values, weights, offsets, direct, F, base, linear.reshape(1, k), ridge,
        Z, X, first, last, k if has_dual else 0,
    )  # fmt: skip


@kernel
def draw_rows(indptr, indices, values, weights, F, base, linear, Z, X, first, last):
    """Draw, or with Z of shape (0, 0) solve, rows ``first:last`` of X as `normal_rows` does.

    There is a linear term for each row, `linear` having shape (m, k), and no ridge or offset.
    """
    nothing, ridge = np.zeros(0, F.dtype), np.zeros(len(indptr) - 1, F.dtype)
    _primal_rows(
        indptr, indices, values, weights, nothing, False, F, base, linear, ridge, Z, X, first,
        last, 0,
    )  # fmt: skip


@kernel
def predict_rows(
    indptr, indices, values, weights, F, base, linear, wanted_indptr, wanted, means, variances,
    first, last,
):  # fmt: skip
    """Mean and variance of x·f for wanted rows f of F, where x ~ N(A⁻¹b, A⁻¹).

    A and b are those of `draw_rows`; row i wants ``F[wanted[q]]`` for q from
    ``wanted_indptr[i]`` on. A wanted row of F costs k²/2 multiply-adds: with A = UᵀU and
    g = U⁻ᵀ f, the mean is g·(U⁻ᵀ b) and the variance g·g.
    """
    k = len(base)
    height, width, longest = _sizes(k, F)
    start, A = np.zeros((height, width), F.dtype), np.zeros((height, width), F.dtype)
    _padded(base, start)
    G = np.zeros((longest, width), F.dtype)
    y, g, diagonal, inverse = np.zeros((4, width), F.dtype)
    roots, coefficients = np.zeros((2, longest), F.dtype)
    scales, nothing = np.zeros(14, F.dtype), np.zeros(0, F.dtype)
    for i in range(first, last):
        if wanted_indptr[i] == wanted_indptr[i + 1]:
            continue
        y[:k] = linear[i]
        y[k:] = 0
        _form(
            start, indices, values, weights, nothing, False, np.int64(indptr[i]),
            np.int64(indptr[i + 1]), F, A, G, roots, coefficients, y,
        )  # fmt: skip
        for a in range(k):
            diagonal[a] = A[a, a]
        _factor(A, diagonal, y, inverse, scales)
        for q in range(wanted_indptr[i], wanted_indptr[i + 1]):
            g[:k] = F[wanted[q], :k]
            mean, variance = 0.0, 0.0
            for a in range(k):
                value = g[a] * inverse[a]
                mean += np.float64(value) * y[a]
                variance += np.float64(value) * value
                for c in range(a + 1, k):
                    g[c] -= value * A[a, c]
            means[q] = mean
            variances[q] = variance
