"""Samples that count more or less than once."""

from ._penalty import SampleWeightedPenalty
from ._problem import Problem


class SampleWeightedProblem(Problem):
    """A problem in which sample i counts v_i times, with a penalty on W:

        min_{W, H >= 0}  Σ_i v_i (loss of row i + penalty of w_i) + penalty of H

    The best W doesn't depend on v, so its half steps are those of the problem without weights;
    without a penalty on W both are one problem, and this class is not needed.

    Parameters
    ----------
    plain : Problem
        Without v.
    weighted : Problem
        With v in the loss, and without a penalty on W.
    weight : ndarray of shape (n_samples,)
    scale : ndarray of shape (n_samples,), default=None
        What the rows of `weighted` are multiplied by, instead of weights.
    """

    def __init__(self, plain, weighted, weight, scale=None):
        self.plain, self.weighted, self.scale = plain, weighted, scale
        p = plain.penalty
        self.penalty = SampleWeightedPenalty(p.l1_W, p.l2_W, p.l1_H, p.l2_H, weight)
        self.keep, self.extrapolation = weighted.keep, weighted.extrapolation
        self.magnitude = weighted.magnitude

    def step_W(self, H, Wt, safe=False, valued=False):
        new, residual, _ = self.plain.step_W(H, Wt, safe)
        return new, residual, self.objective(new, H) if valued else None

    def step_H(self, Wt, H, safe=False, valued=False):
        new, residual, value = self.weighted.step_H(self._scaled(Wt), H, safe, valued)
        return new, residual, value + self._penalty_of_W(Wt) if valued else None

    def objective(self, Wt, H):
        return self.weighted.objective(self._scaled(Wt), H) + self._penalty_of_W(Wt)

    def loss(self, Wt, H):
        return self.weighted.loss(self._scaled(Wt), H)

    def rounding(self, value, dtype):
        return self.weighted.rounding(value, dtype)

    def residual_W(self, Wt, H):
        return self.plain.residual_W(Wt, H)

    def residual_H(self, Wt, H):
        return self.weighted.residual_H(self._scaled(Wt), H)

    def _scaled(self, Wt):
        return Wt if self.scale is None else Wt * self.scale

    def _penalty_of_W(self, Wt):
        return self.penalty.value(Wt, Wt[:, :0])
