"""Compiled loops of Gibbs sampling that are no row solves."""

import numpy as np

from factorkit.utils._jit import kernel


@kernel(reduces=True)
def square_errors(indptr, indices, values, F, X, squares, first, last):
    """``squares[e] = (t_e − f_e·x)²`` for the entries of rows ``first:last``."""
    width = F.shape[1]
    for i in range(first, last):
        x = X[i]
        for e in range(indptr[i], indptr[i + 1]):
            f = F[indices[e]]
            fitted = F.dtype.type(0)
            for a in range(width):
                fitted += x[a] * f[a]
            squares[e] = (values[e] - fitted) ** 2


@kernel(reduces=True)
def weigh_errors(indptr, indices, weights, squares, row_scales, column_scales, by_row, by_column):
    """Sums of w_e squares_e over rows and columns, each with the scales of the other side.

    ``by_row[i] = Σ_j w_ij column_scales[j] squares_ij``, and mirrored. Returns Σ w squares, with
    both scales, and plain Σ squares.
    """
    by_column[:] = 0
    total, plain = 0.0, 0.0
    for i in range(len(indptr) - 1):
        row_total = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            square = np.float64(squares[e])
            plain += square
            if weights.size:
                square *= weights[e]
            row_total += column_scales[indices[e]] * square
            by_column[indices[e]] += row_scales[i] * square
        by_row[i] = row_total
        total += row_scales[i] * row_total
    return total, plain


@kernel
def scale_weights(indptr, indices, weights, row_scales, column_scales, out):
    """``out[e] = weights[e] row_scales[i] column_scales[j]``."""
    for i in range(len(indptr) - 1):
        for e in range(indptr[i], indptr[i + 1]):
            weight = weights[e] if weights.size else out.dtype.type(1)
            out[e] = weight * row_scales[i] * column_scales[indices[e]]


@kernel
def pattern_sweep(indptr, indices, shares, strength, noise, B, E):
    """Draw the rows b_j of B one after the other, each given the others, in place.

    The model is e_i ~ N(Σ_j φ_ij b_j, S) with b_j ~ N(0, S / strength), where φ_ij is shares[i]
    for the lines i that ``indices[indptr[j]:indptr[j + 1]]`` names, and else 0. On entry and on
    exit E holds e_i − Σ_j φ_ij b_j. Rows of `noise` are draws from N(0, S). It costs two
    multiply-adds for each entry and component.
    """
    k = B.shape[1]
    pull = np.empty(k, B.dtype)
    for j in range(len(indptr) - 1):
        start, stop = indptr[j], indptr[j + 1]
        squares = B.dtype.type(0)
        pull[:] = 0
        for p in range(start, stop):
            e, share = E[indices[p]], shares[indices[p]]
            squares += share * share
            for a in range(k):
                pull[a] += share * e[a]
        precision = squares + strength
        root = np.sqrt(precision)
        for a in range(k):
            new = (pull[a] + squares * B[j, a]) / precision + noise[j, a] / root
            pull[a] = new - B[j, a]
            B[j, a] = new
        for p in range(start, stop):
            e, share = E[indices[p]], shares[indices[p]]
            for a in range(k):
                e[a] -= share * pull[a]
