"""Robust fits: the scale of residuals that outliers can't move, and a start that they can't."""

from dataclasses import replace

import numpy as np

from ._als import alternate
from ._entries import mean_of
from ._half_steps import Loss
from ._model import HUBER, TUKEY

# Iterations of each stage of the start.
_ITERATIONS = 15
# Standard deviation of normal noise, in medians of its absolute values.
_NORMAL = 1.4826
# Medians of more residuals than this are taken of every second, third, … one.
_SAMPLE = 500_000


def robust_start(rows, columns, U, V, model, kind, *, center, is_warm, workers):
    """Fit the data with outliers clipped, and for Tukey's loss Huber's after that.

    Returns the model, with the mean of the clipped data, and the factors, which stay as they are
    where they are warm. Nobody is told of these iterations: their objectives are not the fit's.
    """
    values, deviation = clip_outliers(rows.values)
    clipped = replace(rows, values=values)
    if center:
        model = replace(model, mean=mean_of(clipped))
    if is_warm:
        return model, U, V
    by_column = replace(columns, values=np.clip(columns.values, values.min(), values.max()))
    # Strong regularization: what is fitted here has to be what most of the data agree on.
    strong = replace(model, alpha=max(model.alpha, float(deviation)), by_counts=False)
    options = {"max_iter": _ITERATIONS, "tol": 0, "workers": workers}
    U, V, *_ = alternate(clipped, by_column, U, V, strong, **options)
    if kind == "tukey":  # it has no way back from a bad start
        U, V, *_ = alternate(rows, columns, U, V, model, loss_of=loss_of(rows, "huber"), **options)
    return model, U, V


def loss_of(rows, kind):
    """What makes the `Loss` of an iteration of its residuals; None for the squared loss."""
    if kind == "squared":
        return None
    # With exact data σ would vanish, and Tukey's loss would rather drop rows than fit them.
    floor = {"huber": 1e-3, "tukey": 1e-2}[kind] * clip_outliers(rows.values)[1]
    return lambda residuals: Loss(sigmas(kind) * robust_scale(residuals, floor), kind == "tukey")


def sigmas(kind):
    """Standard deviations in a threshold."""
    return {"squared": 1.0, "huber": HUBER, "tukey": TUKEY}[kind]


def robust_scale(residuals, floor):
    """1.4826 times the median of their absolute values, and at least `floor`."""
    sample = residuals[:: -(-len(residuals) // _SAMPLE)]
    return max(_NORMAL * float(np.median(np.abs(sample))), floor)


def clip_outliers(values):
    """(Values clipped to median ± 2.5 robust standard deviations; what these are.)"""
    middle = float(np.median(values))
    deviation = _NORMAL * float(np.median(np.abs(values - middle)))
    if deviation == 0:  # more than half the values are equal
        deviation = float(np.std(values)) or 1.0
    reach = 2.5 * deviation
    return np.clip(values, middle - reach, middle + reach), deviation
