"""Averages over near samples, which see clusters and curves that a low-rank model doesn't."""

from typing import NamedTuple

import numpy as np

from ._factor_analysis import expect

# Samples of `fit` that are kept as neighbours, and held out to find what they are worth, at most:
# with many more, distances would cost more than the model.
_MOST_KEPT, _MOST_HELD_OUT = 4096, 500
# Rounds of small tables, and fewest entries that tell anything.
_MOST_ROUNDS, _FEWEST = 4, 20
# How fast weights fall, tried in turn; and the part of the squared error by which neighbours have
# to lower it.
_SHARPNESSES, _GAIN = (3.0, 8.0), 0.005
# Gaps that more than this part of the samples share don't tell who belongs together, unless this
# part of the other samples with gaps is nearest to one with the same gaps. Measured: .58 to 1 in
# bootstraps and panels, at most .4 in others.
_COMMON, _GROUPED = 0.2, 0.5
# Rows of weights in memory.
_ROWS = 64


class Neighbours(NamedTuple):
    """Samples of `fit`, standardized, and how they count.

    Attributes
    ----------
    filled : ndarray of shape (m, p)
        With what the model expects where an entry is missing.
    values, observed : ndarray of shape (m, p)
        What is observed, and zeros; ones where it is.
    n_nearest : int
        The distance to this many of them is the unit in which nearness is measured.
    sharpness : float
    share : float
        Of the local mean in what is filled in; the rest is the model's.
    """

    filled: np.ndarray
    values: np.ndarray
    observed: np.ndarray
    n_nearest: int
    sharpness: float = 0.0
    share: float = 0.0

    def average(self, X, observed, expected):
        """What the model expects, drawn to the local means by their share."""
        known = observed.any(axis=1)  # a sample without an observed value is near to no other
        result = expected.copy()
        filled = np.where(observed, X, expected)[known]
        (steps,) = self.steps(filled, expected[known], (self.sharpness,))
        result[known] += self.share * steps
        return result

    def steps(self, filled, expected, sharpnesses, own=None, groups=None):
        """Local means less what the model expects, for each sharpness.

        A neighbour at the squared distance d counts exp(-sharpness d / d_n), d_n being that of
        the n-th nearest, for each entry that it observed; where none did, the step is zero. `own`
        names the neighbour that a sample itself is, and `groups` numbers the neighbours'. Then
        none of its group counts, as if they had missed what it misses; but only itself is out of
        the order in which they are near.
        """
        results = [np.empty_like(expected) for _ in sharpnesses]
        squares = _squares(self.filled)
        nth = min(self.n_nearest, len(self.filled) - (1 if own is None else 2))
        for start in range(0, len(filled), _ROWS):
            rows = slice(start, start + _ROWS)
            distances = _distances(filled[rows], self.filled, squares)
            if own is not None:
                distances[np.arange(len(distances)), own[rows]] = np.inf
                hidden = groups[own[rows]][:, None] == groups
            unit = np.partition(distances, nth, axis=1)[:, nth]
            distances /= -np.maximum(unit, 1e-12)[:, None]
            weights = np.empty_like(distances)
            for sharpness, steps in zip(sharpnesses, results, strict=True):
                np.multiply(distances, sharpness, out=weights)
                np.exp(weights, out=weights)
                if own is not None:
                    weights[hidden] = 0.0
                totals = weights @ self.observed
                sums = weights @ self.values - totals * expected[rows]
                steps[rows] = sums / np.maximum(totals, np.finfo(float).tiny)
        return results


def find_neighbours(X, observed, model, n_nearest):
    """`Neighbours` with the share that lowers the squared error of held-out entries most, or None.

    Samples lose what another sample of the table misses, so that the gaps are of the same kind;
    the model, which has seen those entries, and their neighbours fill them in again. Copies and
    visits of the same subject lose them together, as they share their gaps in the table.

    Parameters
    ----------
    X : ndarray of float64 of shape (n, p)
        Standardized; zeros where an entry is missing.
    observed : ndarray of bool of shape (n, p)
    model : FactorModel
    n_nearest : int

    Returns
    -------
    neighbours : Neighbours or None
        None where they don't help.
    """
    n_nearest = min(n_nearest, (len(X) - 1) // 2)  # nobody's neighbourhood is half the table
    if n_nearest == 0:
        return None
    kept = _evenly(len(X), _MOST_KEPT)
    X, observed = X[kept], observed[kept]
    filled = np.where(observed, X, expect(X, observed, model))
    neighbours = Neighbours(filled, X, observed.astype(np.float64), n_nearest)
    rows, visible = _held_out(observed)
    hidden = observed[rows] & ~visible
    if hidden.sum() < _FEWEST:
        return None
    truth = X[rows]
    expected = expect(np.where(visible, truth, 0.0), visible, model)
    filled = np.where(visible, truth, expected)
    errors = (truth - expected)[hidden]
    best, least = None, (1 - _GAIN) * (errors @ errors)
    groups = _groups(neighbours)
    tried = neighbours.steps(filled, expected, _SHARPNESSES, own=rows, groups=groups)
    for sharpness, steps in zip(_SHARPNESSES, tried, strict=True):
        steps = steps[hidden]
        share = np.clip(errors @ steps / max(steps @ steps, 1e-300), 0.0, 1.0)
        left = errors - share * steps
        if left @ left < least:
            best, least = (sharpness, float(share)), left @ left
    return None if best is None else neighbours._replace(sharpness=best[0], share=best[1])


def _held_out(observed):
    """(Rows; what remains visible of them when each loses what another row misses)."""
    n, p = observed.shape
    rounds = min(max(_MOST_HELD_OUT // n, 1), _MOST_ROUNDS)
    chosen = _evenly(n, _MOST_HELD_OUT)
    rows = np.tile(chosen, rounds)
    shifts = np.repeat(np.arange(1, rounds + 1) * n // (rounds + 1), len(chosen))
    visible = observed[rows] & observed[(rows + shifts) % n]
    if np.sum(observed[rows] & ~visible) < _FEWEST:  # all miss the same, or next to nothing
        visible = observed[rows] & ((rows[:, None] + shifts[:, None] + np.arange(p)) % 3 != 0)
    usable = visible.any(axis=1)
    return rows[usable], visible[usable]


def _groups(neighbours):
    """A number for each neighbour, equal for those that are taken to belong together.

    These miss the same entries. If many samples do (or miss none), they are copies besides, unless
    it is seen in the others that near samples share their gaps.
    """
    observed = neighbours.observed > 0
    _, groups, counts = np.unique(
        np.packbits(observed, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    groups = groups.ravel()  # NumPy 2.0 has it as a column
    common = counts[groups] > _COMMON * len(groups)
    others = np.flatnonzero(~common & ~observed.all(axis=1))
    if common.any() and not _near_share(neighbours.filled, groups, others):
        numbers = {}
        for i in np.flatnonzero(common):
            key = groups[i], neighbours.values[i].tobytes()
            groups[i] = len(counts) + numbers.setdefault(key, len(numbers))
    return groups


def _near_share(filled, groups, rows):
    """Whether most of these rows are nearest to one of their group."""
    rows = rows[_evenly(len(rows), _MOST_HELD_OUT)]
    squares, same = _squares(filled), 0
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        distances = _distances(filled[block], filled, squares)
        distances[np.arange(len(block)), block] = np.inf
        same += np.sum(groups[distances.argmin(axis=1)] == groups[block])
    return same > _GROUPED * len(rows)


def _squares(A):
    return np.einsum("ij,ij->i", A, A)


def _distances(A, B, squares):
    """Squared distances between rows of A and of B, whose squared norms are given."""
    distances = A @ (-2 * B.T)
    distances += squares
    distances += _squares(A)[:, None]
    return np.maximum(distances, 0, out=distances)


def _evenly(n, most):
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.intp)
