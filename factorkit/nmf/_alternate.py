"""The outer loop that all coordinate methods share: alternation, extrapolated, never rising."""

from typing import NamedTuple

import numpy as np

from ..utils._convergence import Trace
from ..utils._jit import kernel

# Ang and Gillis' constants: growth of the weight and of its bound, and what a restart divides the
# weight by.
_GROWTH, _BOUND_GROWTH, _SHRINK = 1.05, 1.01, 1.5

# The objective is flat at its minimum: it can't tell steps below the square root of its relative
# rounding, times this, from none.
_RESOLUTION = 10

# A draft in single precision ends where an iteration lowers the objective by less than this part,
# and does not begin where the first half step is less than this: a good start has digits to lose.
_DRAFTED, _SETTLED = 1e-5, 0.01
# Single precision tells residuals of this size well; a fit to a smaller `tol` goes on in double.
_SINGLE_TOL = 1e-4
# It also ends where the objective has not four digits left: an objective is this many times what
# it may be wrong by, or more.
DIGITS = 1e4


class Solved(NamedTuple):
    """Objective of a pair one of whose factors was just solved for, and that factor's residual."""

    objective: float
    residual: float
    is_W: bool


def alternate(
    step_W,
    step_H,
    start,
    *,
    tol,
    max_iter,
    rescale=None,
    monitor=None,
    min_decrease=0.0,
    keep=0.0,
    extrapolation=0.5,
    rounding=lambda objective, dtype: 0.0,
    magnitude=0.0,
    draft=False,
    evaluate=None,
    solved=None,
):
    """Alternate two half steps with extrapolation and restarts.

    Both factors are extrapolated along their last move. Where the objective rises, the loop goes
    back to the accepted pair and takes a plain iteration from there, so accepted values never
    rise.

    Parameters
    ----------
    step_W, step_H : callable
        Half steps as `Problem` describes them.
    start : list of two ndarrays
        W transposed, of shape (n_components, n_samples), and H, (n_components, n_features).
        Emptied, so that a start takes no memory when it is done with.
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
    extrapolation : float, default=0.5
        First weight of the extrapolation; with 0 there is none.
    rounding : callable
        ``rounding(objective, dtype)``: what an objective of that size may be wrong by.
    magnitude : float, default=0.0
        The size of the data in the units of the objective.
    draft : bool, default=False
        Iterate in single precision for as long as steps stand out from its rounding. Go on in
        double where that is before `tol` is reached, or where `tol` is too small for it.
        The objectives before are corrected to be no lower than where that begins.
    evaluate : callable, default=None
        ``evaluate(Wt, H)``: the objective, for the end of a draft.
    solved : Solved, default=None
        What is known of a start one factor of which was just solved for. It then counts as the
        first iteration, and the next begins with the other factor.

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
    trace, dtype = Trace(), start[0].dtype
    accepted = _cast(start, np.float32 if draft else dtype)
    ahead = _Ahead(*accepted, keep, extrapolation)
    best, slack, safe = np.inf, 0.0, None
    if solved is not None:
        best, residual_W = solved.objective, solved.residual
        trace.add(best, residual_W)
        if monitor is not None and monitor(trace, *accepted):
            trace.stop, max_iter = "callback", 0
    begin_with_W = solved is None or not solved.is_W
    while trace.n_iter < max_iter:
        if begin_with_W:
            W_new, residual_W, _ = step_W(ahead.H, ahead.W, safe)
            if draft and trace.n_iter == (solved is not None) and residual_W < _SETTLED:
                accepted, draft = tuple(start), False
                ahead = _Ahead(*accepted, keep, extrapolation)
                continue
        else:
            W_new, begin_with_W = ahead.W, True
        start.clear()
        ahead.move_W(W_new)
        H_new, residual_H, objective = step_H(ahead.W, ahead.H, safe, valued=True)
        residual = max(residual_W, residual_H)
        if objective <= best + slack:
            accepted = ahead.W, H_new  # not W_new: the objective belongs to this pair
            objective = min(objective, best)  # but for rounding
            trace.add(max(objective, 0.0), residual)
            decrease, best, safe = best - objective, objective, False
            error = rounding(best, H_new.dtype)
            # A rise by rounding is none: near a minimum it would be chance which steps are taken
            # back, and the result would differ in its eighth digit. An exact fit has no such slack,
            # or it would go on for ever; nor has float32, whose rounding is more than steps gain.
            slack = 4 * error if H_new.dtype == np.float64 and best > 100 * error else 0.0
            # Where no more is gained than rounding, all that extrapolation moves on is the scale of
            # the factors, which nothing holds: by a bit an iteration, until numbers overflow.
            ahead.move_H(H_new, plain=not extrapolation or decrease <= slack)
            scale = rescale(*accepted) if rescale is not None else None
            if scale is not None:
                accepted = accepted[0] * scale[:, None], accepted[1] / scale[:, None]
                ahead.rescale(scale)
            ended = "converged" if decrease <= min_decrease * best and min_decrease > 0 else None
            ended = "converged" if residual <= tol and tol > 0 else ended
            drafted = decrease <= _DRAFTED * best or best <= DIGITS * error
        else:
            # A failed iteration costs as much as one that counts. A plain one starts where the
            # accepted pair is, so its residual is that pair's.
            trace.add(max(best, 0.0), residual if ahead.plain else trace.residual[-1])
            ended = None
            if safe:  # not even a safe step descends
                error = rounding(best, H_new.dtype)
                resolved = error / magnitude if magnitude else np.finfo(H_new.dtype).eps
                done = residual <= max(tol, _RESOLUTION * np.sqrt(resolved)) or best <= 100 * error
                ended = "converged" if done else "stalled"
            drafted, safe = ahead.plain, ahead.plain
            ahead.go_back(accepted)
        if monitor is not None and monitor(trace, *accepted):
            trace.stop = "callback"
            break
        if draft and (ended or drafted):
            done = ended and tol >= _SINGLE_TOL and residual <= tol
            del W_new, H_new  # memory
            if done:  # of all that is ahead nothing is needed in double
                del ahead
                accepted = _cast(accepted, dtype)
            else:
                accepted = ahead.cast(dtype, accepted)
            draft, safe = False, False
            best = evaluate(*accepted)  # sums in single precision err by more the longer they are
            trace.objective = [max(value, best) for value in trace.objective]
            trace.objective[-1] = best
            if done:
                trace.stop = ended
                break
        elif ended:
            trace.stop = ended
            break
    return *_cast(accepted, dtype), trace


class _Ahead:
    """Where the next half steps start: ahead of the accepted pair, along its last move."""

    def __init__(self, Wt, H, keep, weight):
        self.W = self._W_last = Wt
        self.H = self._H_last = H
        self._weight, self._bound, self._weight_before = weight, 1.0, weight
        self._keep, self.plain = keep, True  # the first iteration has no last move

    def move_W(self, new):
        if self.plain:
            self.W = new
        else:
            # Where the loop needs most memory: into the last one, which is done with unless it is
            # that of the accepted pair, self.W.
            spare = None if self._W_last is self.W else self._W_last
            self.W = self._extrapolate(new, self._W_last, spare)
        self._W_last = new

    def move_H(self, new, plain):
        """The pair is accepted: grow bolder."""
        self.plain = plain
        self.H = new if plain else self._extrapolate(new, self._H_last)
        self._H_last = new
        self._weight_before = self._weight
        self._weight = min(self._bound, _GROWTH * self._weight)
        self._bound = min(1.0, _BOUND_GROWTH * self._bound)

    def go_back(self, pair):
        self.W, self.H = self._W_last, self._H_last = pair
        self._bound, self._weight = self._weight_before, self._weight / _SHRINK
        self.plain = True

    def rescale(self, scale):
        s = scale[:, None]
        self.W, self._W_last = self.W * s, self._W_last * s
        self.H, self._H_last = self.H / s, self._H_last / s

    def cast(self, dtype, pair):
        """Cast what is here and the accepted pair, which share arrays."""
        arrays = (self.W, self._W_last, self.H, self._H_last, *pair)
        cast = {key: a.astype(dtype) for key, a in {id(a): a for a in arrays}.items()}
        self.W, self._W_last, self.H, self._H_last, *pair = (cast[id(a)] for a in arrays)
        return tuple(pair)

    def _extrapolate(self, new, last, ahead=None):
        ahead = np.empty(new.shape, new.dtype) if ahead is None else ahead
        weight, keep = (new.dtype.type(number) for number in (self._weight, self._keep))
        _extrapolate(new.ravel(), last.ravel(), weight, keep, ahead.ravel())
        return ahead


@kernel
def _extrapolate(new, last, weight, keep, out):
    for i in range(new.size):
        ahead, least = new[i] + weight * (new[i] - last[i]), keep * new[i]
        out[i] = ahead if ahead > least else least


def _cast(arrays, dtype):
    return tuple(array.astype(dtype, copy=False) for array in arrays)
