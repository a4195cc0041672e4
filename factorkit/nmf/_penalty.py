"""The penalties of NMF, with scikit-learn's scaling."""

from dataclasses import dataclass

import numpy as np

from ..utils._linalg import squared_norm


@dataclass(frozen=True)
class Penalty:
    """l1 and l2 penalties on both factors.

    l1_W ΣW + ½ l2_W ‖W‖² + l1_H ΣH + ½ l2_H ‖H‖², with

        l1_W = n_features · alpha_W · l1_ratio     l2_W = n_features · alpha_W · (1 − l1_ratio)
        l1_H = n_samples · alpha_H · l1_ratio      l2_H = n_samples · alpha_H · (1 − l1_ratio)

    so that neither the best H nor `transform` depends on how many rows are given.
    """

    l1_W: float = 0.0
    l2_W: float = 0.0
    l1_H: float = 0.0
    l2_H: float = 0.0

    @classmethod
    def scaled(cls, alpha_W, alpha_H, l1_ratio, n_samples, n_features):
        if isinstance(alpha_H, str):  # "same"
            alpha_H = alpha_W
        return cls(
            n_features * alpha_W * l1_ratio,
            n_features * alpha_W * (1 - l1_ratio),
            n_samples * alpha_H * l1_ratio,
            n_samples * alpha_H * (1 - l1_ratio),
        )

    @property
    def on_W(self):
        return self.l1_W + self.l2_W > 0

    @property
    def on_H(self):
        return self.l1_H + self.l2_H > 0

    @property
    def transposed(self):
        """The same penalties for the transposed problem."""
        return Penalty(self.l1_H, self.l2_H, self.l1_W, self.l2_W)

    @property
    def on_H_alone(self):
        return Penalty(0.0, 0.0, self.l1_H, self.l2_H)

    def with_samples(self, ratio):
        """The penalties when `ratio` times as many samples are given."""
        return Penalty(self.l1_W, self.l2_W, self.l1_H * ratio, self.l2_H * ratio)

    def value(self, W, H):
        """Penalty of two factors, whichever way up they are stored."""
        total = 0.0
        for l1, l2, factor in ((self.l1_W, self.l2_W, W), (self.l1_H, self.l2_H, H)):
            if l1:
                total += l1 * float(factor.sum(dtype=np.float64))
            if l2:
                total += 0.5 * l2 * squared_norm(factor)
        return total

    def best_scale(self, Wt, H):
        """The scale s of each pair for which (s w_t, h_t / s) has the least penalty.

        The product stays the same, so this is an exact and nearly free descent step. A convex
        problem in log s, solved by Newton's method; None where a factor is not penalized (then
        the infimum lies at infinity).
        """
        if not (self.on_W and self.on_H):
            return None
        (w1, w2), (h1, h2) = self._sums_of_W(Wt), _sums(H)
        up, down = self.l1_W * w1 + self.l2_W * w2, self.l1_H * h1 + self.l2_H * h2
        # The squares of a factor that a strong penalty sends to zero underflow before it does.
        alive = (up > 0) & (down > 0)
        u = np.zeros(len(Wt))
        up1, up2 = self.l1_W * w1[alive], self.l2_W * w2[alive]
        down1, down2 = self.l1_H * h1[alive], self.l2_H * h2[alive]
        v = 0.5 * (np.log(down[alive]) - np.log(up[alive]))
        for _ in range(30):
            a, b = up1 * np.exp(v), up2 * np.exp(2 * v)
            c, d = down1 * np.exp(-v), down2 * np.exp(-2 * v)
            step = (a + b - c - d) / (a + 2 * b + c + 2 * d)
            v -= np.clip(step, -1, 1)
            if np.all(np.abs(step) < 1e-12):
                break
        u[alive] = np.clip(v, -30, 30)  # of the way to the minimum; float32 holds no more
        return np.exp(u).astype(Wt.dtype)

    def _sums_of_W(self, Wt):
        return _sums(Wt)


@dataclass(frozen=True)
class SampleWeightedPenalty(Penalty):
    """The penalties where a sample counts `weight` times, in the penalty on W too."""

    weight: np.ndarray = None

    def value(self, Wt, H):
        w1, w2 = self._sums_of_W(Wt)
        on_W = self.l1_W * w1.sum() + 0.5 * self.l2_W * w2.sum()
        return float(on_W) + self.on_H_alone.value(Wt, H)

    def _sums_of_W(self, Wt):
        return _sums(Wt, self.weight)


def _sums(F, weight=None):
    """Sum and sum of squares of each component, in float64."""
    if weight is None:
        squares = np.einsum("ij,ij->i", F, F, dtype=np.float64)
        return F.sum(axis=1, dtype=np.float64), squares
    F, weight = F.astype(np.float64, copy=False), weight.astype(np.float64, copy=False)
    return F @ weight, np.einsum("ij,ij,j->i", F, F, weight)
