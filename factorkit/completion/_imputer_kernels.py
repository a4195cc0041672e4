"""Compiled loops of the imputer: the small Gaussian problems, one a row or one a column."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def gaussian_posteriors(precisions, linear, log_dets):
    """Mean and second moments of Gaussians given by precision and linear term, in place.

    Parameters
    ----------
    precisions : ndarray of float64 of shape (n_problems, k * (k + 1) // 2)
        Lower triangles, row by row, of positive definite matrices P. On return the lower
        triangles of P⁻¹ + x xᵀ.

    linear : ndarray of float64 of shape (n_problems, k)
        b. On return the means x = P⁻¹ b.

    log_dets : ndarray of float64 of shape (n_problems,)
        On return log det P.
    """
    n_problems, k = linear.shape
    L = np.empty((k, k))
    inverse = np.empty((k, k))  # the transpose of L⁻¹: then every inner loop runs along rows
    for problem in range(n_problems):
        P, x = precisions[problem], linear[problem]
        log_det = 0.0
        for i in range(k):
            start = i * (i + 1) // 2
            for j in range(i + 1):
                value = P[start + j]
                for t in range(j):
                    value -= L[i, t] * L[j, t]
                if j < i:
                    L[i, j] = value / L[j, j]
                else:
                    L[i, i] = np.sqrt(value)
                    log_det += np.log(value)
        log_dets[problem] = log_det
        for i in range(k):
            value = x[i]
            for t in range(i):
                value -= L[i, t] * x[t]
            x[i] = value / L[i, i]
        for j in range(k):
            inverse[j, j] = 1.0 / L[j, j]
            for i in range(j + 1, k):
                value = 0.0
                for t in range(j, i):
                    value += L[i, t] * inverse[j, t]
                inverse[j, i] = -value / L[i, i]
        for i in range(k):
            value = 0.0
            for t in range(i, k):
                value += inverse[i, t] * x[t]
            x[i] = value
        for i in range(k):
            start = i * (i + 1) // 2
            for j in range(i + 1):
                value = x[i] * x[j]
                for t in range(i, k):
                    value += inverse[i, t] * inverse[j, t]
                P[start + j] = value


@kernel(reduces=True)
def solve_rows(precisions, linear):
    """Solve P x = b for many small positive definite P; x overwrites b, P its factor.

    Parameters
    ----------
    precisions : ndarray of float64 of shape (n_problems, k * (k + 1) // 2)
        Lower triangles, row by row.

    linear : ndarray of float64 of shape (n_problems, k)
    """
    n_problems, k = linear.shape
    L = np.empty((k, k))
    for problem in range(n_problems):
        P, x = precisions[problem], linear[problem]
        for i in range(k):
            start = i * (i + 1) // 2
            for j in range(i + 1):
                value = P[start + j]
                for t in range(j):
                    value -= L[i, t] * L[j, t]
                L[i, j] = np.sqrt(value) if j == i else value / L[j, j]
            value = x[i]
            for t in range(i):
                value -= L[i, t] * x[t]
            x[i] = value / L[i, i]
        for i in range(k - 1, -1, -1):
            x[i] /= L[i, i]
            for t in range(i):
                x[t] -= L[i, t] * x[i]
