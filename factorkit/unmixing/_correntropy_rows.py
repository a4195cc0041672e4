"""Abundances of pixels whose entries have weights, or whose abundances are penalized."""

import numpy as np

from ..utils._linalg import row_grams
from ..utils._threads import blocks_of
from ._abundances import RowSolver
from ._correntropy_weights import Loss
from ._support_kernels import active_set_rows

# Reweightings of the entries of a pixel, the first with a kernel so many times wider; and the
# part of its abundances that counts for no change.
_MOST_REWEIGHTINGS, _WIDEST, _SETTLED = 200, 8.0, 1e-9


def entry_abundances(Y, E, loss, workers, *, to_one, l1=0.0, band_weights=None):
    """Abundances under correntropy of the entries, each pixel by itself.

    Reweighted from those without weights, at first with wider kernels, so that what is ruined is
    told while the start is far off.
    """
    bands = np.ones(Y.shape[1]) if band_weights is None else band_weights
    A = np.empty((len(Y), len(E)))

    def block(i, j):
        x = Y[i:j].astype(np.float64)
        a = solve_rows(x, entry_weights(x, None, E, None) * bands, E, to_one, l1)
        left = np.arange(len(x))
        for round_ in range(_MOST_REWEIGHTINGS):
            width = loss.width * max(1.0, _WIDEST * 2.0**-round_)
            wider = Loss("entry", loss.spread, width)
            V = entry_weights(x[left], a[left], E, wider) * bands
            new = solve_rows(x[left], V, E, to_one, l1)
            moved = np.abs(new - a[left]).max(axis=1)
            a[left] = new
            if width == loss.width:
                left = left[moved > _SETTLED * np.abs(new).max(axis=1)]
            if not len(left):
                break
        A[i:j] = a

    workers.map(block, blocks_of(len(Y), 20.0 * Y.shape[1] * len(E), target=4e6))
    return A


def penalized_abundances(Y, E, l1, band_weights, workers):
    """min ½ Σ_l w_l (y_l − a E_l)² + λ Σ a over a ≥ 0, each pixel by itself; NaN is left out."""
    weighted = E * band_weights
    rows = RowSolver(weighted @ E.T, True, False)
    A = np.empty((len(Y), len(E)))

    def block(i, j):
        x = Y[i:j].astype(np.float64)
        complete = ~np.isnan(x).any(axis=1)
        A[i:j][complete] = rows(x[complete] @ weighted.T - l1)
        x = x[~complete]
        V = entry_weights(x, None, E, None) * band_weights
        A[i:j][~complete] = solve_rows(x, V, E, False, l1)

    workers.map(block, blocks_of(len(Y), 20.0 * Y.shape[1], target=3e6))
    return A


def entry_weights(x, A, E, loss):
    """Weights of the entries of a block under a model: 0 where nothing is known."""
    known = ~np.isnan(x)
    if loss is None:
        return known.astype(np.float64)
    return np.where(known, loss.weights(np.square(np.where(known, x, 0) - A @ E)), 0.0)


def solve_rows(x, V, E, to_one, cost):
    """Abundances of a block with weights V of its entries: a Gram matrix a pixel."""
    shift = E.mean(axis=0) if to_one else np.zeros(E.shape[1])
    centred = E - shift
    F = np.where(V > 0, V * (x - shift), 0) @ centred.T - cost
    Q = row_grams(V, centred)
    if to_one:
        level = np.einsum("itt->i", Q)[:, None] / len(E)
        level = np.where(level > 0, level, 1.0)
        F, Q = F + level, Q + level[:, :, None]
    A = np.empty_like(F)
    active_set_rows(np.ascontiguousarray(F), Q, to_one, A)
    return A
