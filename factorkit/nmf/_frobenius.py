"""NMF with the Frobenius loss on complete data.

    min_{W, H >= 0}  ½ ‖X − W H‖² + penalties

Each half step is a nonnegative least-squares problem whose Gram matrix all rows share. The
factors are component-major, so the seam between data and solver is small: a half step over H
needs W^T X and W^T W alone, which blocks of samples can send from anywhere.
"""

import numpy as np

from ..utils._linalg import drop_dead, gram, inner
from ..utils._nnls import clipped_solution, coordinate_sweeps, solve_nnls
from ._problem import Problem, size_of


class FrobeniusProblem(Problem):
    """Half steps, exact solves and objective for one X, given as DenseData or SparseData.

    An iteration costs two products with X, 4 nnz(X) n_components operations, and up to 20 sweeps
    of 2 (n_samples + n_features) n_components². Memory beyond X: about four arrays of the factors'
    size.
    """

    coarse_options = {"max_iter": 60, "min_decrease": 3e-4}
    coarse_rows_per_feature = 6

    def __init__(self, data, penalty, workers, shuffle_rng=None, half_squared_norm=None, size=None):
        self.data, self.penalty, self.workers = data, penalty, workers
        self.shuffle_rng = shuffle_rng
        if half_squared_norm is None:
            half_squared_norm = 0.5 * data.squared_norm()
        if size is None:
            size = size_of(2 * half_squared_norm, data.total(), np.prod(data.shape, dtype=float))
        self.size = size
        # Of the last exact solve: components and their product with X, which `certify` needs too.
        self._product = None, None
        self.half_squared_norm = self.magnitude = half_squared_norm
        # Dense: 20 sweeps to 1 % of the first one's decrease. 5 to 5 % needs up to three times
        # the iterations where components are nearly collinear (hyperspectral data) and saves
        # little elsewhere, since most blocks stop early. Very sparse: two sweeps; many fit the
        # other factor's noise and need more iterations (counts and tf-idf, 1.3 to 4 times).
        # Such rough half steps bear less extrapolation: from a first weight of 0.3 instead of 0.5,
        # counts and tf-idf need three quarters of the iterations to the same objective.
        very_sparse = data.density < 0.1
        self.max_sweeps, self.extrapolation = (2, 0.3) if very_sparse else (20, 0.5)

    @property
    def typical(self):
        return float(np.sqrt(2 * self.half_squared_norm / max(self.data.n_stored, 1)))

    def transposed(self):
        return FrobeniusProblem(
            self.data.T,
            self.penalty.transposed,
            self.workers,
            self.shuffle_rng,
            self.half_squared_norm,
            self.size,
        )

    def part(self, rows, dtype):
        """The problem on some of the samples, their data in a dtype."""
        ratio = len(rows) / self.data.shape[0]
        return FrobeniusProblem(
            self.data.take(rows, dtype),
            self.penalty.with_samples(ratio),
            self.workers,
            self.shuffle_rng,
        )

    def step_W(self, H, Wt, safe=False, valued=False, **accuracy):
        A = self.data.times_features(H, self.workers)
        p = self.penalty
        G = gram(H)
        start = in_scale(Wt, A, G, safe)  # then H is in scale too
        new, residual, product = self._sweep(A, G, start, p.l1_W, p.l2_W, **accuracy)
        value = self._value(product, G, new, (new, H)) + p.value(new, H) if valued else None
        return new, residual, value

    def step_H(self, Wt, H, safe=False, valued=False, **accuracy):
        A = self.data.times_samples(Wt, self.workers)
        p = self.penalty
        G = gram(Wt)
        new, residual, product = self._sweep(A, G, H, p.l1_H, p.l2_H, **accuracy)
        value = self._value(product, G, new, (Wt, new)) + p.value(Wt, new) if valued else None
        return new, residual, value

    def _value(self, product, G, F, pair):
        """The loss of a pair; from the residuals, for one more product with X, where need be."""
        value = self._expanded(product, G, F)
        return self.loss(*pair) if self.is_cancelled(value, F.dtype) else value

    def _expanded(self, product, G, F):
        """The loss for nothing: X's product with the pair and the Gram matrix are there."""
        return self.half_squared_norm - product + 0.5 * inner(gram(F), G)

    def is_cancelled(self, value, dtype):
        return not self.data.is_sparse and super().is_cancelled(value, dtype)

    def _sweep(self, A, G, F, l1, l2, max_sweeps=None, inner_tol=0.01):
        """Coordinate sweeps from F for the linear term A, which is overwritten, and G.

        Returns the new factor, its residual, and its inner product with A.
        """
        G = G + l2 * np.eye(len(G)) if l2 else G
        if l1:
            A -= A.dtype.type(l1)
        new, ordered = A, G
        if self.shuffle_rng is not None:
            order = self.shuffle_rng.permutation(len(F))
            A, F, ordered = A[order], F[order], G[order][:, order]
        swept = coordinate_sweeps(
            F,
            A,
            ordered,
            self.workers,
            max_sweeps=max_sweeps or self.max_sweeps,
            inner_tol=inner_tol,
            out=A,
        )
        product = swept.linear + (l1 * float(A.sum(dtype=np.float64)) if l1 else 0.0)
        if self.shuffle_rng is not None:
            new[order] = A
        if l1:
            drop_dead(new, G)
        return new, self._relative(swept.step), product

    def fill_W(self, H, Wt):
        """W for all samples after H came from a part of them.

        Sweeps from another start would leave over what the first full iterations then go into: as
        much as the objective itself, where components are nearly collinear.
        """
        A = self.data.times_features(H, self.workers)
        p, G = self.penalty, gram(H)
        linear = A - A.dtype.type(p.l1_W) if p.l1_W else A
        start = clipped_solution(linear, G + p.l2_W * np.eye(len(G)))
        new, residual, product = self._sweep(
            A, G, start, p.l1_W, p.l2_W, max_sweeps=40, inner_tol=1e-4
        )
        return new, residual, self._value(product, G, new, (new, H)) + p.value(new, H)

    def loss(self, Wt, H):
        """½ ‖X − W H‖² from the residuals, which keep the digits that a good fit needs."""
        return 0.5 * self.data.squared_error(Wt, H, self.workers)

    def objective(self, Wt, H):
        if not self.data.is_sparse:  # from the residuals, as quickly as by a product with X
            return self.loss(Wt, H) + self.penalty.value(Wt, H)
        product = inner(self.data.times_features(H, self.workers), Wt)
        return self._value(product, gram(H), Wt, (Wt, H)) + self.penalty.value(Wt, H)

    def solve_W(self, H):
        """The exact W for this H, of shape (n_samples, n_components)."""
        return self.solve_W_near(H, None)

    def solve_W_near(self, H, Wt):
        """From None too; else the product with X is kept for `certify`."""
        A = self.data.times_features(H.astype(np.float64, copy=False), self.workers)
        if Wt is not None:
            self._product = H, A
        G = gram(H) + self.penalty.l2_W * np.eye(len(H))
        linear = A - self.penalty.l1_W if self.penalty.l1_W else A
        return solve_nnls(linear, G, self.workers, near=Wt)

    def certify(self, Wt, H):
        (solved_H, A), self._product = self._product, (None, None)
        if solved_H is not H:
            return super().certify(Wt, H)
        is_sparse = self.data.is_sparse
        # Where there are no residuals, the difference is all there is, and gets all digits.
        W_, H_ = (F.astype(np.float64, copy=False) if is_sparse else F for F in (Wt, H))
        loss = max(self._expanded(inner(A, W_), gram(H_), W_), 0.0)
        if not is_sparse and loss < np.sqrt(np.finfo(H.dtype).eps) * self.magnitude:
            loss = self.loss(Wt, H)
        del W_, H_
        A = A.astype(Wt.dtype, copy=False)  # here a fit needs most memory
        step = _newton_step(Wt, H, A, self.penalty.l1_W, self.penalty.l2_W)
        del A
        return loss, max(self._relative(step), self.residual_H(Wt, H))

    def residual_W(self, Wt, H):
        """‖min(W, (W G − A) / diag G) √diag G‖ / size of X."""
        A = self.data.times_features(H, self.workers)
        return self._relative(_newton_step(Wt, H, A, self.penalty.l1_W, self.penalty.l2_W))

    def residual_H(self, Wt, H):
        A = self.data.times_samples(Wt, self.workers)  # without a transpose of X
        return self._relative(_newton_step(H, Wt, A, self.penalty.l1_H, self.penalty.l2_H))


def in_scale(F, A, G, safe):
    """In a first iteration, F times the c for which c · W H is nearest to X; else F."""
    if safe is not None:
        return F
    product, norm = inner(A, F), inner(G, gram(F))
    return F * F.dtype.type(product / norm) if product > 0 and norm > 0 else F


def _newton_step(F, other, A, l1, l2):
    """The length, in the unit of the data, of the projected Newton steps of all coordinates."""
    G = gram(other) + l2 * np.eye(len(other))
    curvature = np.diag(G)[:, None]
    # In place: this is where a fit needs most memory.
    step = G @ F
    step -= A
    step += l1
    np.divide(step, curvature, out=step, where=curvature > 0)
    np.minimum(F, step, out=step)
    dead = curvature[:, 0] <= 0
    step[dead] = F[dead] if l1 else 0
    step *= np.sqrt(np.where(dead[:, None], 1, curvature)).astype(step.dtype, copy=False)
    return float(np.linalg.norm(step))
