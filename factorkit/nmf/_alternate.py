"""The outer loop that all coordinate methods share: alternation, extrapolated, never rising."""

import numpy as np

from ..utils._convergence import Trace

# Ang and Gillis' constants: first weight, growth of the weight and of its bound, and what a
# restart divides the weight by.
_WEIGHT, _GROWTH, _BOUND_GROWTH, _SHRINK = 0.5, 1.05, 1.01, 1.5

# The objective is flat at its minimum: it can't tell steps below the square root of its relative
# rounding, times this, from none.
_RESOLUTION = 10


def alternate(
    step_W,
    step_H,
    Wt,
    H,
    *,
    tol,
    max_iter,
    rescale=None,
    monitor=None,
    min_decrease=0.0,
    keep=0.0,
    extrapolated=True,
    rounding=lambda objective: 0.0,
    magnitude=0.0,
):
    """Alternate two half steps with extrapolation and restarts.

    Both factors are extrapolated along their last move. Where the objective rises, the loop goes
    back to the accepted pair and takes a plain iteration from there, so accepted values never
    rise.

    Parameters
    ----------
    step_W, step_H : callable
        Half steps as `Problem` describes them.
    Wt : ndarray of shape (n_components, n_samples)
    H : ndarray of shape (n_components, n_features)
    tol : float
        Ends where both residuals of an accepted iteration are at most `tol`; 0 never ends.
    max_iter : int
    rescale : callable, default=None
        ``rescale(Wt, H)`` returns a scale for each component that lowers the penalty, or None.
    monitor : callable, default=None
        ``monitor(trace, Wt, H)`` after each iteration; true ends the loop.
    min_decrease : float, default=0.0
        Ends where an iteration lowers the objective by less than this part of it.
    keep : float, default=0.0
        Extrapolation leaves at least this part of an entry: for losses that are infinite where
        the model is zero and the data is not.
    extrapolated : bool, default=True
    rounding : callable
        ``rounding(objective)``: what an objective of that size may be wrong by.
    magnitude : float, default=0.0
        The size of the data in the units of the objective.

    Returns
    -------
    Wt, H : ndarray
        The accepted pair.
    trace : Trace

    References
    ----------
    A. M. S. Ang and N. Gillis, "Accelerating Nonnegative Matrix Factorization Algorithms Using
    Extrapolation", Neural Computation 31, 2019.
    """
    trace = Trace()
    accepted = W_last, H_last = W_from, H_from = Wt, H
    weight, bound, weight_before = _WEIGHT, 1.0, _WEIGHT
    slack, eps = 0.0, np.finfo(Wt.dtype).eps
    best, plain, safe = np.inf, True, None  # the first iteration has no last move
    while trace.n_iter < max_iter:
        W_new, residual_W, _ = step_W(H_from, W_from, safe)
        W_from = W_new if plain else _extrapolate(W_new, W_last, weight, keep)
        W_last = W_new  # the one before is done with: the loop's peak memory is in what follows
        H_new, residual_H, objective = step_H(W_from, H_from, safe, valued=True)
        if not objective <= best + slack:
            # A failed iteration costs as much as one that counts. A plain one starts where the
            # accepted pair is, so its residual is that pair's.
            residual = max(residual_W, residual_H)
            trace.add(max(best, 0.0), residual if plain else trace.residual[-1])
            if safe:  # not even a safe step descends
                resolved = np.sqrt(rounding(best) / magnitude) if magnitude else np.sqrt(eps)
                done = residual <= max(tol, _RESOLUTION * resolved) or best <= 100 * rounding(best)
                trace.stop = "converged" if done else "stalled"
                break
            W_from, H_from = W_last, H_last = accepted
            bound, weight, safe, plain = weight_before, weight / _SHRINK, plain, True
            if monitor is not None and monitor(trace, *accepted):
                trace.stop = "callback"
                break
            continue
        accepted = W_from, H_new  # not W_new: the objective belongs to this pair
        objective = min(objective, best)  # but for rounding
        trace.add(max(objective, 0.0), max(residual_W, residual_H))
        decrease, best, safe = best - objective, objective, False
        # A rise by rounding is none: near a minimum it would be chance which steps are taken
        # back, and the result would differ in its eighth digit. An exact fit has no such slack,
        # or it would go on for ever, and its scale drift; nor has float32, whose rounding is more
        # than steps gain.
        slack = 4 * rounding(best) if Wt.dtype == np.float64 else 0.0
        slack = slack if best > 25 * slack else 0.0
        # Where no more is gained than rounding, all that extrapolation moves on is the scale of the
        # factors, which nothing holds: by a bit an iteration, until numbers overflow.
        plain = not extrapolated or decrease <= slack
        H_from = H_new if plain else _extrapolate(H_new, H_last, weight, keep)
        H_last = H_new
        scale = rescale(*accepted) if rescale is not None else None
        if scale is not None:
            s = scale[:, None]
            accepted = accepted[0] * s, accepted[1] / s
            W_from, W_last, H_from, H_last = W_from * s, W_last * s, H_from / s, H_last / s
        weight_before = weight
        weight = min(bound, _GROWTH * weight)
        bound = min(1.0, _BOUND_GROWTH * bound)
        if monitor is not None and monitor(trace, *accepted):
            trace.stop = "callback"
            break
        if trace.residual[-1] <= tol and tol > 0:
            trace.stop = "converged"
            break
        if decrease <= min_decrease * best and min_decrease > 0:
            trace.stop = "converged"
            break
    return *accepted, trace


def _extrapolate(new, last, weight, keep):
    ahead = new - last
    ahead *= new.dtype.type(weight)
    ahead += new
    return np.maximum(ahead, new * new.dtype.type(keep) if keep else 0, out=ahead)
