"""NMF with any beta divergence, by multiplicative updates.

min_{W, H >= 0}  Σ_ij V_ij d_β(x_ij, y_ij) + penalties,    Y = W H
"""

import numpy as np
from scipy import sparse

from ..utils._linalg import squared_norm
from ._problem import Problem


def beta_divergence(X, Y, beta):
    """Elementwise d_β(x, y) for arrays; y is positive where x is.

    ½ (x − y)² for β = 2; x log(x / y) − x + y for β = 1; x / y − log(x / y) − 1 for β = 0;
    (x^β + (β − 1) y^β − β x y^(β − 1)) / (β (β − 1)) otherwise.
    """
    if beta == 2:
        return 0.5 * np.square(X - Y)
    if beta == 1:
        ratio = np.divide(X, Y, out=np.ones_like(Y), where=X > 0)
        return X * np.log(ratio) - X + Y
    if beta == 0:
        ratio = X / Y
        return ratio - np.log(ratio) - 1
    power = Y ** (beta - 1)
    return (X**beta + power * ((beta - 1) * Y - beta * X)) / (beta * (beta - 1))


class MultiplicativeProblem(Problem):
    """Half steps, solves and objective for one X, given as DenseRows or CsrRows.

    An iteration costs six products of 2 n_samples n_features n_components operations and some
    powers, in blocks of rows. The updates are not extrapolated; their exponent, 1 for
    1 <= β <= 2, 1 / (2 − β) below and 1 / (β − 1) above, makes them monotone. Entries of the
    start that are zero stay zero.

    References
    ----------
    C. Févotte and J. Idier, "Algorithms for Nonnegative Matrix Factorization with the
    β-Divergence", Neural Computation 23, 2011.
    """

    extrapolation = 0.0

    def __init__(self, rows, penalty, beta, workers):
        self.rows, self.penalty, self.beta, self.workers = rows, penalty, beta, workers
        self.exponent = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0
        # Keeps the model positive; in the units of the data.
        total = sum(float(x.sum(dtype=np.float64)) for x, _ in rows.values())
        mean = total / max(rows.shape[0] * rows.shape[1], 1)
        self._floor = np.finfo(rows.dtype).eps * (mean or 1.0)
        self._transposed = None

    def transposed(self):
        if self._transposed is None:
            self._transposed = MultiplicativeProblem(
                self.rows.T, self.penalty.transposed, self.beta, self.workers
            )
            self._transposed._transposed = self
        return self._transposed

    def step_H(self, Wt, H, safe=False, valued=False):
        return self.transposed().step_W(Wt, H, safe, valued)

    def step_W(self, H, Wt, safe=False, valued=False):
        new = self._multiply(H, Wt)
        return new, _relative_change(new, Wt), self.objective(new, H) if valued else None

    def objective(self, Wt, H):
        def divergence(start, stop):
            X, V = self._block(start, stop)
            Y = self._model(Wt[:, start:stop], H)
            if V is None:
                return float(beta_divergence(X, Y, self.beta).sum(dtype=np.float64))
            known = V > 0
            d = beta_divergence(X[known] / V[known], Y[known], self.beta)
            return float(np.sum(V[known] * d, dtype=np.float64))

        return sum(self.workers.map(divergence, self._blocks())) + self.penalty.value(Wt, H)

    def solve_W(self, H, tol=1e-8, max_iter=2_000):
        """W for this H, of shape (n_samples, n_components), float64.

        Updates from a flat start until a row moves by less than `tol` of its norm; each row
        stops by itself, so that it depends on nothing but itself and H.
        """
        H = np.ascontiguousarray(H, dtype=np.float64)
        k = len(H)
        W = np.zeros((self.rows.shape[0], k))

        def solve(start, stop):
            X, V = self._block(start, stop)
            X = X.astype(np.float64)
            V = np.ones_like(X) if V is None else V.astype(np.float64)
            # The flat row whose total is that of its observed entries.
            level = np.divide(
                X.sum(axis=1), V @ H.sum(axis=0), out=np.zeros(len(X)), where=V @ H.sum(axis=0) > 0
            )
            w = np.repeat(level[:, None], k, axis=1)
            left = np.flatnonzero(level > 0)
            for _ in range(max_iter):
                old = w[left]
                new = self._update(X[left], V[left], old.T, H).T
                w[left] = new
                moved = np.linalg.norm(new - old, axis=1) > tol * np.linalg.norm(new, axis=1)
                left = left[moved]
                if not len(left):
                    break
            W[start:stop] = w

        self.workers.map(solve, self._blocks())
        return W

    def residual_W(self, Wt, H):
        """What an update still changes, relative to the norm of W."""
        return _relative_change(self._multiply(H, Wt), Wt)

    def _multiply(self, H, Wt):
        new = np.empty_like(Wt)

        def update(start, stop):
            X, V = self._block(start, stop)
            new[:, start:stop] = self._update(X, V, Wt[:, start:stop], H)

        self.workers.map(update, self._blocks())
        return new

    def _update(self, X, V, Wt, H):
        Y = self._model(Wt, H)
        beta = self.beta
        if beta == 2:
            numerator, denominator = X, Y if V is None else V * Y
        else:
            # X already holds the weights.
            power = 1 / Y if beta == 1 else 1 / np.square(Y) if beta == 0 else Y ** (beta - 2)
            numerator = X * power
            denominator = np.ones_like(Y) if beta == 1 else power * Y
            denominator = denominator if V is None else V * denominator
        above = H @ numerator.T
        below = H @ denominator.T
        below += Wt.dtype.type(self.penalty.l1_W) + Wt.dtype.type(self.penalty.l2_W) * Wt
        ratio = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        return Wt * (ratio if self.exponent == 1 else ratio**self.exponent)

    def _model(self, Wt, H):
        Y = Wt.T @ H
        return np.maximum(Y, Y.dtype.type(self._floor), out=Y) if self.beta != 2 else Y

    def _block(self, start, stop):
        """(V ∘ X, V) as dense arrays."""
        if not self.rows.is_sparse:
            return self.rows.block(start, stop)
        X = self.rows.X[start:stop]
        if not self.rows.only_stored:
            return X.toarray(), None
        part = slice(self.rows.X.indptr[start], self.rows.X.indptr[stop])
        weight = np.ones_like(X.data) if self.rows.weight is None else self.rows.weight[part]
        V = sparse.csr_array((weight, X.indices, X.indptr), shape=X.shape).toarray()
        return V * X.toarray(), V

    def _blocks(self):
        return self.rows.dense_blocks()


def _relative_change(new, old):
    norm = np.sqrt(squared_norm(new))
    return float(np.sqrt(squared_norm(new - old)) / norm) if norm else 0.0
