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
        Value after every iteration; it never rises.
    residual : list of float
        Scaled stationarity residual after every iteration.
    stop : {"converged", "max_iter", "callback"}
        Why the run ended.
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
    """ConvergenceWarning where the iterations ran out."""
    if trace.stop == "max_iter" and tol > 0:
        warnings.warn(
            f"Maximum number of iterations {max_iter} reached. Increase it to improve "
            f"convergence. The stationarity residual is {trace.residual[-1]:.1e} and tol "
            f"is {tol:g}.",
            ConvergenceWarning,
            stacklevel=3,
        )
