"""Top-N lists, similar columns, and explanations from fitted factors."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._top_kernels import top_of_rows

# Scores in a temporary array: 2 MB of float64.
_BLOCK_SIZE = 2**18


class Explanation(NamedTuple):
    """What a predicted entry is made of.

    ``base + contributions.sum()`` is the prediction, before any `bounds`.

    Attributes
    ----------
    indices : ndarray of shape (n,)
        Columns of the row's own entries, or rows of the column's, greatest contribution (in
        absolute value) first.
    contributions : ndarray of shape (n,)
    base : float
        What no entry of that line carries: the offset, and the contributions not listed.
    """

    indices: np.ndarray
    contributions: np.ndarray
    base: float


class RecommenderMixin:
    """``recommend`` and ``similar_items``.

    For estimators with ``embedding_``, ``components_``, possibly ``intercept_``, the number of
    their factors in ``_n_factors``, and the observed entries of ``fit`` in ``_observed``.
    """

    def recommend(self, rows=None, n=10, *, X=None, exclude_seen=True):
        """Return the columns with the greatest predictions, for some rows.

        Scores are computed for blocks of rows, so memory does not grow with the number of rows
        times columns.

        Parameters
        ----------
        rows : int, array-like of int or None, default=None
            Rows of ``fit``, or of X where that is given; None takes all.

        n : int, default=10
            How many columns for each row.

        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            New rows, folded in by ``transform``.

        exclude_seen : bool, default=True
            Leave out columns in which the row has an observed entry. Columns without any entry in
            ``fit`` are always left out.

        Returns
        -------
        columns : ndarray of intp of shape (n_rows, n)
            Descending by score, equal scores by column. Where a row has fewer than n columns to
            recommend, the places left are -1.

        scores : ndarray of shape (n_rows, n)
            Predictions without bounds; -inf where there is no column.

        Raises
        ------
        ValueError
            For rows out of range, or n that is not a positive integer.
        """
        check_is_fitted(self)
        n = check_n(n)
        if X is None:
            W, seen = self.embedding_, self._observed
        else:
            W = np.asarray(self.transform(X))
            seen = self._observed_of(X)
        rows = _check_lines(rows, len(W), "rows")
        cold = self._column_counts() == 0
        columns = np.full((len(rows), n), -1, dtype=np.intp)
        scores = np.full((len(rows), n), -np.inf, dtype=W.dtype)
        step = max(1, _BLOCK_SIZE // max(1, len(cold)))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            predicted = W[block] @ self.components_
            if hasattr(self, "intercept_"):
                predicted += self.intercept_
            predicted[:, cold] = -np.inf
            if exclude_seen:
                lines = seen[block]
                at = np.repeat(np.arange(len(block)), np.diff(lines.indptr))
                predicted[at, lines.indices] = -np.inf
            part = slice(start, start + step)
            top_of_rows(np.ascontiguousarray(predicted, W.dtype), columns[part], scores[part])
        return columns, scores

    def similar_items(self, columns=None, n=10):
        """Return the columns whose factors point the same way.

        Parameters
        ----------
        columns : int, array-like of int or None, default=None
            Columns to find neighbours of; None takes all.

        n : int, default=10
            How many neighbours.

        Returns
        -------
        neighbours : ndarray of intp of shape (n_columns, n)
            Descending by similarity; never the column itself; -1 where there are no more.

        similarities : ndarray of shape (n_columns, n)
            Cosines between the factors; -inf where there is no neighbour.
        """
        check_is_fitted(self)
        n = check_n(n)
        V = self.components_[: self._n_factors].T
        length = np.linalg.norm(V, axis=1)
        directions = np.ascontiguousarray(V / np.where(length > 0, length, 1)[:, None])
        columns = _check_lines(columns, len(V), "columns")
        neighbours = np.full((len(columns), n), -1, dtype=np.intp)
        similarities = np.full((len(columns), n), -np.inf, dtype=V.dtype)
        step = max(1, _BLOCK_SIZE // len(V))
        for start in range(0, len(columns), step):
            block = columns[start : start + step]
            cosines = directions[block] @ directions.T
            cosines[:, length == 0] = -np.inf
            cosines[np.arange(len(block)), block] = -np.inf
            cosines[length[block] == 0] = -np.inf
            part = slice(start, start + step)
            top_of_rows(cosines, neighbours[part], similarities[part])
        return neighbours, similarities

    def _column_counts(self):
        return np.bincount(self._observed.indices, minlength=self._observed.shape[1])


def check_entry(row, column, shape):
    """Refuse a row or a column that is no index of a matrix of this shape."""
    for name, index, length in (("row", row, shape[0]), ("column", column, shape[1])):
        if not isinstance(index, Integral) or isinstance(index, bool) or not 0 <= index < length:
            raise ValueError(f"{name}={index!r}: it takes an integer from 0 to {length - 1}.")


def check_n(n):
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n={n!r}: it takes a positive integer.")
    return int(n)


def _check_lines(lines, length, name):
    if lines is None:
        return np.arange(length)
    lines = np.atleast_1d(np.asarray(lines))
    if lines.ndim != 1 or (lines.size and lines.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be an integer or a list of integers. Got {lines!r:.80}.")
    if lines.size and (lines.min() < 0 or lines.max() >= length):
        raise ValueError(
            f"{name} holds {lines.min()} to {lines.max()}; it takes 0 to {length - 1}."
        )
    return lines.astype(np.intp)
