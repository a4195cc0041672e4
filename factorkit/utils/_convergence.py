"""What an iterative solver tells about its run."""

import warnings
from dataclasses import dataclass, field

from sklearn.exceptions import ConvergenceWarning


@dataclass
class Trace:
    """The record of a run.

    Attributes
    ----------
    objective : list of float
        Value after every iteration; unless the solver says otherwise it never rises.
    residual : list of float
        Scaled stationarity residual after every iteration.
    stop : {"converged", "max_iter", "stalled", "callback"}
        Why the run ended; "stalled" where no step lowered the objective any more, although the
        residual was above the tolerance.
    """

    objective: list = field(default_factory=list)
    residual: list = field(default_factory=list)
    stop: str = "max_iter"

    @property
    def n_iter(self):
        return len(self.objective)

    def add(self, objective, residual):
        self.objective.append(float(objective))
        self.residual.append(float(residual))


def warn_if_not_converged(trace, max_iter, tol):
    """ConvergenceWarning where the iterations ran out, or no step descended any more."""
    if tol == 0 or trace.stop not in ("max_iter", "stalled"):
        return
    if trace.stop == "max_iter":
        what = (
            f"Maximum number of iterations {max_iter} reached. Increase it to improve convergence."
        )
    else:
        what = (
            f"No step lowered the objective any more after {trace.n_iter} iterations: this is "
            "as far as the precision of the data goes. float64 data or a larger tol may help."
        )
    warnings.warn(
        f"{what} The stationarity residual is {trace.residual[-1]:.1e} and tol is {tol:g}.",
        ConvergenceWarning,
        stacklevel=3,
    )
