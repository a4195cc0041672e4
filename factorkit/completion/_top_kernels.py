"""Compiled loop: the greatest scores of a row."""

import numpy as np

from factorkit.utils._jit import kernel


@kernel
def top_of_rows(scores, columns, values):
    """Write the greatest scores of each row, descending, and their columns.

    Equal scores come in the order of their columns. What is −∞ never comes; places that stay
    empty keep what they hold.
    """
    n = columns.shape[1]
    for i in range(scores.shape[0]):
        found = 0
        for j in range(scores.shape[1]):
            score = scores[i, j]
            if score == -np.inf or (found == n and not score > values[i, n - 1]):
                continue
            place = min(found, n - 1)
            while place > 0 and score > values[i, place - 1]:
                values[i, place] = values[i, place - 1]
                columns[i, place] = columns[i, place - 1]
                place -= 1
            values[i, place] = score
            columns[i, place] = j
            found = min(found + 1, n)
