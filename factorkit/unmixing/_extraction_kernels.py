"""Compiled loop of `_extraction`."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def farthest(points, directions, first, best, at):
    """The pixel whose product with a direction is the greatest in size, for each column.

    `points` are pixels × coordinates, `directions` coordinates × directions. Updates `best`, the
    sizes so far, and `at`, the pixels that they belong to; the number of the first one here is
    `first`. The earliest wins ties.
    """
    n, d = points.shape
    n_directions = directions.shape[1]
    product = np.empty(n_directions)
    for i in range(n):
        product[:] = 0.0
        for t in range(d):
            y = points[i, t]
            for s in range(n_directions):
                product[s] += y * directions[t, s]
        for s in range(n_directions):
            # Both are always stored, so that the loop is vectorized.
            farther = abs(product[s]) > best[s]
            best[s] = abs(product[s]) if farther else best[s]
            at[s] = first + i if farther else at[s]
