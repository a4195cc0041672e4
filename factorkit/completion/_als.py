"""Alternating least squares over observed entries."""

from dataclasses import replace

import numpy as np

from ..utils._convergence import Trace
from ._entries import spread_of
from ._half_steps import SQUARED

# Extrapolation: at most this much of the last step; from the second iteration on.
_MOST_MOMENTUM, _FIRST_EXTRAPOLATED = 0.9, 1
# Nesterov's sequence starts here: the shares of its beginning, which is at 1, cost an iteration.
_FIRST_MOMENTUM = 2.0
# Squared coefficients that count as none, in parts of the largest so far: where the penalty makes
# all vanish, steps relative to what is left would never get small.
_VANISHED = 1e-4
# Thresholds this near each other are the same.
_SAME = 0.01
# Penalties of a graded start: parts of the values' spread, for each entry of a line.
_GRADES = (0.1, 0.1, 0.03, 0.03, 0.01, 0.003, 0.001)


def alternate(
    rows, columns, U, V, model, *, tol=1e-3, max_iter=100, workers, monitor=None, loss_of=None
):
    """Minimize over the coefficients of rows and columns in turn

        L = Σ_ij w_ij ρ(x_ij − x̂_ij) + Σ_i λ_i (|u_i|² + b_i²) + Σ_j λ_j (|v_j|² + c_j²),

    ρ(r) = r², or a robust `Loss`.

    Columns are extrapolated along their last step, and the basis of the factors is turned now and
    then so that the average row's problem is diagonal, which preconditions conjugate gradients.

    Parameters
    ----------
    rows, columns : Side
        The same entries in two orders.
    U, V : ndarray of shape (n_lines, padded number of coefficients)
        Start; overwritten.
    model : Model
    tol : float
        Ends where the preconditioned gradient of the columns, the rows being solved for, is at
        most this, relative to their coefficients.
    max_iter : int
    workers : Workers
    monitor : callable or None
        ``monitor(trace, U, V) -> bool`` stops.
    loss_of : callable or None
        ``loss_of(residuals)`` returns the robust `Loss` for the next iteration.

    Returns
    -------
    U, V, trace, loss
    """
    trace = Trace()
    largest = 0.0
    previous = model.zeros(len(V), V.dtype)
    previous[:] = V
    momentum = _FIRST_MOMENTUM
    loss = SQUARED
    residuals = None if loss_of is None else np.zeros_like(columns.values)
    if loss_of is not None:
        model.look(columns, V, U, model.column_bias, workers, residuals=residuals)
        loss = loss_of(residuals)
    for it in range(max_iter):
        model.before_rows(it, rows, columns, U, V, previous)
        model.half_step(rows, U, V, model.row_bias, workers, loss=loss, looks=False)
        model.before_columns(rows, U, V, previous)
        second = model.half_step(
            columns, V, U, model.column_bias, workers, loss=loss, residuals=residuals
        )
        objective = second.loss + second.penalty + model.penalty(rows, U)
        rises = it > 0 and objective > trace.objective[-1]
        largest = max(largest, second.size)
        trace.add(objective, second.residual(_VANISHED * largest))
        if monitor is not None and monitor(trace, U, V):
            trace.stop = "callback"
            break
        if trace.residual[-1] <= tol:
            trace.stop = "converged"
            break
        if loss_of is not None:
            following = loss_of(residuals)
            # A threshold that hardly moves is held: a median of few residuals would never rest,
            # and each move is another objective.
            if abs(following.threshold - loss.threshold) > _SAME * loss.threshold:
                loss = following
        if it >= _FIRST_EXTRAPOLATED and it + 1 < max_iter:
            V, previous, momentum = _extrapolate(V, previous, momentum, rises, model)
        else:
            np.copyto(previous, V)
    return U, V, trace, loss


def graded_start(rows, columns, U, V, model, workers):
    """Iterations with a penalty that falls to the model's, one each, in place.

    From small random factors, a small penalty lets the first half steps fit single rows with
    huge coefficients, from which alternation may not find back.
    """
    unit = spread_of(rows.values) * (1.0 if model.by_counts else len(rows.values) / len(rows))
    for part in _GRADES:
        if part * unit > 1.5 * model.alpha:
            graded = replace(model, alpha=part * unit)
            graded.half_step(rows, U, V, model.row_bias, workers, looks=False)
            graded.half_step(columns, V, U, model.column_bias, workers, looks=False)


def _extrapolate(V, previous, momentum, rises, model):
    """Nesterov's sequence, begun anew where the objective rose."""
    if rises:
        np.copyto(previous, V)
        return V, previous, 1.0
    following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
    share = V.dtype.type(min((momentum - 1) / following, _MOST_MOMENTUM))
    # The buffer of the step before last becomes the extrapolated point.
    np.subtract(V, previous, out=previous)
    previous *= share
    previous += V
    if model.positive:
        factors = previous[:, : model.n_factors]
        np.maximum(factors, 0, out=factors)
    return previous, V, following


def reporter(report, verbose):
    """What `alternate` calls each iteration; None where nobody listens."""
    if not report.active and not verbose:
        return None

    def listen(trace, U, V):
        if verbose:
            print(
                f"iteration {trace.n_iter}: objective {trace.objective[-1]:.6g}, "
                f"residual {trace.residual[-1]:.2e}"
            )
        return report(trace.objective[-1], U, V)

    return listen
