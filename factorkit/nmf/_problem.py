"""What every NMF problem does the same way."""

import numpy as np

from ._alternate import DIGITS, alternate

# Sizes up to this, and down to its inverse, leave room for squares and ratios in single precision.
_MODERATE = 1e6


def size_of(squared_norm, total, n_entries):
    """The size of nonnegative data: √(‖x‖₂ · ‖x‖₁ / √n).

    For equal entries their norm. Where few large entries make the norm, as in counts, what they
    leave of the others would be nothing beside it.
    """
    return np.sqrt(np.sqrt(squared_norm) * total / np.sqrt(max(n_entries, 1)))


class Problem:
    """Base of the problems: a loss, some data and penalties.

    A subclass has `penalty` and writes

    - ``step_W(H, Wt, safe=False, valued=False)``: an approximate minimizer over W from the start
      Wt, the size of the step that was still to take, relative to the data's size or W's norm, and,
      if `valued`, the objective at the new pair (else None). With `safe` the objective must not
      rise; `safe` is None in a first iteration, whose start may be far from X in size. Where there
      is a `typical` size, factors in single precision are taken for data in double;
    - ``step_H(Wt, H, safe=False, valued=False)``: the same over H;
    - ``objective(Wt, H)``, ``solve_W(H)``, ``residual_W(Wt, H)`` and ``transposed()``.
    """

    # Options of `alternate`.
    keep, extrapolation = 0.0, 0.5
    # Whether `fill_W` goes on from coefficients that there are.
    fill_needs_start = False
    # Samples that `coarse_start` takes at least for each feature.
    coarse_rows_per_feature = 3
    # The size of the entries of the data; None where steps take factors of the data's precision
    # alone.
    typical = None
    # Size of the numbers that the loss is a difference of: below its rounding the loss is zero.
    magnitude = 0.0

    def alternate(self, start, *, draft=False, **options):
        """Alternate from a start, a list; W first, since starts are chosen for their components."""
        return alternate(
            self.step_W,
            self.step_H,
            start,
            rescale=self.penalty.best_scale,
            keep=self.keep,
            extrapolation=self.extrapolation,
            rounding=self.rounding,
            magnitude=self.magnitude,
            evaluate=self.objective,
            draft=draft and self.fits_single(*start),
            **options,
        )

    def approach(self, Wt, H):
        """A start no worse than this, where one is found for less than an iteration or two."""
        return Wt, H

    def fits_single(self, Wt, H):
        """Whether a start in double precision leaves single precision room for squares."""
        if Wt.dtype != np.float64 or self.typical is None:
            return False
        sizes = self.typical, float(Wt.max(initial=0)), float(H.max(initial=0))
        return all(1 / _MODERATE < size < _MODERATE for size in sizes)

    def is_cancelled(self, value, dtype):
        """Whether a loss has too few digits as a difference, and is taken from the residuals."""
        return value < DIGITS * np.finfo(dtype).eps * self.magnitude

    def _relative(self, length):
        """A length in the unit of the data, as a part of their size."""
        return float(length / self.size) if self.size else float(length > 0)

    def rounding(self, value, dtype):
        """What a loss of this size may be wrong by."""
        eps, value = np.finfo(dtype).eps, max(value, 0.0)
        if self.is_cancelled(value, dtype):
            return eps * (value + eps * self.magnitude)
        return eps * self.magnitude

    def solve_W_near(self, H, Wt):
        """`solve_W` where coefficients near the solution are known."""
        return self.solve_W(H)

    def residual_H(self, Wt, H):
        """`residual_W` of the other factor."""
        return self.transposed().residual_W(H, Wt)

    def kkt_residual(self, Wt, H):
        """The larger residual of the two factors: zero where, and only where, both are optimal."""
        return max(self.residual_W(Wt, H), self.residual_H(Wt, H))

    def certify(self, Wt, H):
        """Loss and residual at the end of a fit, whose coefficients were just solved for."""
        return self.loss(Wt, H), self.kkt_residual(Wt, H)

    def loss(self, Wt, H):
        """The objective without penalties."""
        return max(self.objective(Wt, H) - self.penalty.value(Wt, H), 0.0)
