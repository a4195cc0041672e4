"""Exact coefficients of rows under the Kullback-Leibler divergence, by projected Newton steps."""

import numpy as np

from ..utils._jit import kernel
from ..utils._linalg import row_grams
from ..utils._nnls import solve_nnls_rows

# A row is done when no coefficient wants to move by more than this part of the row's largest.
_TOL = 1e-10
# Rounding may stop a row a little short of that (more components than nonzeros); beyond this it
# is told.
_FAILED = 1e-8
_MAX_NEWTON = 100
# Added to the Hessian's diagonal, relatively: rows with fewer nonzeros than components have a
# singular one.
_DAMPING = 1e-9


@kernel(reduces=True)
def _best_part(x, y, u, n, slope_0, curve_0):
    """The best part s of a step in (0, 1], by Newton's method in one dimension.

    y + s u is the model; slope_0 + s curve_0 the derivative of the rest of the objective.
    """
    low, high, s = 0.0, 1.0, 1.0
    for _ in range(20):
        slope = slope_0 + s * curve_0
        curve = curve_0
        positive = True
        for j in range(n):
            new = y[j] + s * u[j]
            positive = positive and (new > 0 or x[j] == 0)
            ratio = u[j] / new
            slope -= x[j] * ratio
            curve += x[j] * ratio * ratio
        if positive and slope <= 0:
            if s == 1.0:
                return s
            low = s
        else:
            high = s
        if not positive or curve <= 0:
            s = 0.5 * (low + high)
            continue
        newton = s - slope / curve
        if abs(newton - s) <= 1e-3 * s:
            return min(newton, 1.0)
        s = newton if low < newton < high else 0.5 * (low + high)
    return s


@kernel
def _dense_parts(X, Y, U, slope, curve):
    parts = np.empty(len(X))
    for i in range(len(X)):
        parts[i] = _best_part(X[i], Y[i], U[i], X.shape[1], slope[i], curve[i])
    return parts


@kernel(reduces=True)
def _csr_derivatives(rows, indptr, columns, values, W, Ht, floor):
    """For some rows of a CSR matrix: Σ x h / y, of W's shape, and the Hessians Σ x h h^T / y²."""
    k = Ht.shape[1]
    R = np.zeros((len(rows), k))
    Q = np.zeros((len(rows), k, k))
    for i in range(len(rows)):
        for p in range(indptr[rows[i]], indptr[rows[i] + 1]):
            j = columns[p]
            y = floor
            for t in range(k):
                y += W[i, t] * Ht[j, t]
            z = values[p] / y
            for t in range(k):
                R[i, t] += z * Ht[j, t]
            z /= y
            for t in range(k):
                zh = z * Ht[j, t]
                for u in range(t + 1):  # the lower triangle, whose rows are contiguous
                    Q[i, t, u] += zh * Ht[j, u]
        for t in range(k):
            for u in range(t):
                Q[i, u, t] = Q[i, t, u]
    return R, Q


@kernel(reduces=True)
def _csr_parts(rows, indptr, columns, values, W, D, Ht, floor, slope, curve):
    k = Ht.shape[1]
    longest = 0
    for i in rows:
        longest = max(longest, indptr[i + 1] - indptr[i])
    x, y, u = np.empty(longest), np.empty(longest), np.empty(longest)
    parts = np.empty(len(rows))
    for i in range(len(rows)):
        start = indptr[rows[i]]
        n = indptr[rows[i] + 1] - start
        for q in range(n):
            j = columns[start + q]
            model = floor
            change = 0.0
            for t in range(k):
                model += W[i, t] * Ht[j, t]
                change += D[i, t] * Ht[j, t]
            x[q], y[q], u[q] = values[start + q], model, change
        parts[i] = _best_part(x, y, u, n, slope[i], curve[i])
    return parts


class DenseRowsOfX:
    """What `newton_rows` asks of a dense block of rows."""

    def __init__(self, X, H, floor):
        self.X, self.H, self.floor = X, H, floor

    def derivatives(self, rows, W):
        # The Hessians of all rows are one product of matrices, at BLAS's speed.
        Y = W @ self.H + self.floor
        ratio = self.X[rows] / Y
        return ratio @ self.H.T, row_grams(ratio / Y, self.H)

    def best_parts(self, rows, W, D, slope, curve):
        Y = W @ self.H + self.floor
        return _dense_parts(self.X[rows], Y, D @ self.H, slope, curve)


class CsrRowsOfX:
    """What `newton_rows` asks of a CSR matrix; Ht is (n_features, n_components)."""

    def __init__(self, indptr, columns, values, Ht, floor):
        self.parts, self.Ht, self.floor = (indptr, columns, values), Ht, floor

    def derivatives(self, rows, W):
        return _csr_derivatives(rows, *self.parts, W, self.Ht, self.floor)

    def best_parts(self, rows, W, D, slope, curve):
        return _csr_parts(rows, *self.parts, W, D, self.Ht, self.floor, slope, curve)


def newton_rows(source, rows, W, base, l1, l2):
    """Solve rows to a residual of 1e-10.

    Parameters
    ----------
    source : DenseRowsOfX or CsrRowsOfX
    rows : ndarray of int of shape (n_rows,)
        Which rows of the source.
    W : ndarray of shape (n_rows, n_components), float64
        Start.
    base : ndarray of shape (n_rows or 1, n_components)
        Σ_j V_ij h_tj.
    l1, l2 : float

    Returns
    -------
    W : ndarray of shape (n_rows, n_components)
    n_failed : int

    Notes
    -----
    A step minimizes the quadratic model over w >= 0 exactly, by pivoting, and goes the best part
    of the way. 4 to 10 steps; each 2 n_components² operations a nonzero and one or two Cholesky
    factorizations a row.
    """
    W = np.array(W, order="C")
    base = np.broadcast_to(base, W.shape)
    diagonal = np.arange(W.shape[1])
    left = np.flatnonzero(W.any(axis=1))
    for _ in range(_MAX_NEWTON):
        w = W[left]
        r, Q = source.derivatives(rows[left], w)
        a = base[left] + l1 + l2 * w
        todo = _residuals(w, r, a) > _TOL
        if not todo.any():
            return W, 0
        left, w, Q, a, r = left[todo], w[todo], Q[todo], a[todo], r[todo]
        W[left] = w = _lift(w, r, a, Q)
        lifted = (r > 2 * a).any(axis=1)
        if lifted.all():
            continue
        flat = ~lifted
        at, w, Q, a, r = left[flat], w[flat], Q[flat], a[flat], r[flat]
        Q[:, diagonal, diagonal] += l2
        Q[:, diagonal, diagonal] *= 1 + _DAMPING
        linear = np.einsum("itu,iu->it", Q, w) - (a - r)
        new = solve_nnls_rows(w.T, np.ascontiguousarray(linear.T), Q)
        D = new - w
        slope, curve = np.einsum("it,it->i", a, D), l2 * np.einsum("it,it->i", D, D)
        s = source.best_parts(rows[at], w, D, slope, curve)[:, None]
        W[at] = np.where(s == 1, new, np.maximum(w + s * D, 0))
    r, _ = source.derivatives(rows[left], W[left])
    residuals = _residuals(W[left], r, base[left] + l1 + l2 * W[left])
    return W, np.count_nonzero(residuals > _FAILED)


def _lift(w, r, a, Q):
    """Raise the coefficient that a row misses most, where one is far too small.

    A nonzero that only a vanishing coefficient explains has an immense curvature: Newton's method
    would no more than double the coefficient each step. The step that suits 1/r(w) = 1/a, which
    the sweeps use, goes there at once and never beyond.
    """
    worst = np.argmax(np.divide(r, a, out=np.zeros_like(r), where=a > 0), axis=1)
    at = np.arange(len(w)), worst
    q = Q[at[0], worst, worst]
    far = r[at] > 2 * a[at]
    step = np.divide(
        (r[at] - a[at]) * (r[at] / a[at]), q, out=np.zeros(len(w)), where=far & (q > 0)
    )
    lifted = w.copy()
    lifted[at] += step
    return lifted


def _residuals(w, r, a):
    # What a multiplicative step would change; at w = 0 it is blind, and a negative gradient
    # counts as if w were as large as the row's largest.
    size = w.max(axis=1, keepdims=True)
    relative = np.divide(r - a, a, out=np.zeros_like(a), where=a > 0)
    step = np.where(w > 0, np.abs(w * relative), size * np.maximum(relative, 0))
    return np.divide(step.max(axis=1), size[:, 0], out=np.zeros(len(w)), where=size[:, 0] > 0)
