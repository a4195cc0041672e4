"""Predictions as sums over the entries that carry them."""

import numpy as np

from ._recommend import Explanation, check_entry, check_n


def explain(estimator, row, column, by, n):
    """Make the `Explanation` of an entry that `AltMinCompletion` predicts."""
    check_entry(row, column, (len(estimator.embedding_), len(estimator.intercept_)))
    if by not in ("row", "column"):
        raise ValueError(f"by={by!r}: it takes 'row' or 'column'.")
    n = None if n is None else check_n(n)
    model, k = estimator._model, estimator._n_factors
    if model.alpha == 0:
        raise ValueError("explain needs a model with alpha > 0: contributions are over alpha.")
    indices, r, ridge = _weighted_residuals(estimator, row, column, by)
    U, V = estimator.embedding_, estimator.components_[:k].T
    if by == "row":
        others, own, target = V[indices], U[row, :k], V[column]
        has_bias, base = model.row_bias, estimator.intercept_[column]
    else:
        others, own, target = U[indices, :k], V[column], U[row, :k]
        has_bias = model.column_bias
        base = estimator.mean_ + (U[row, k] if model.row_bias else 0.0)
    if model.positive:
        # Stationarity holds for the coefficients that are not at their bound.
        others, target = others[:, own > 0], target[own > 0]
    contributions = r * (others @ target + has_bias) / ridge
    return _greatest(indices, contributions, base, n)


def _weighted_residuals(estimator, row, column, by):
    """(Lines of the other side, weighted residuals there, ridge of the line.)"""
    observed, model = estimator._observed, estimator._model
    if by == "row":
        positions = np.arange(observed.indptr[row], observed.indptr[row + 1])
        indices = observed.indices[positions]
        coords = np.column_stack((np.full(len(indices), row), indices))
    else:
        positions = np.flatnonzero(observed.indices == column)
        indices = np.searchsorted(observed.indptr, positions, side="right") - 1
        coords = np.column_stack((indices, np.full(len(indices), column)))
    fitted = np.einsum(
        "ij,ij->i", estimator.embedding_[coords[:, 0]], estimator.components_.T[coords[:, 1]]
    )
    r = observed.data[positions] - fitted - estimator.intercept_[coords[:, 1]]
    w = np.ones(len(r)) if estimator._weights is None else estimator._weights[positions]
    ridge = model.alpha * (w.sum() if model.by_counts else 1.0)
    if estimator._loss.is_robust:
        w = w * estimator._loss.weights(r)
    return indices, w * r, max(ridge, np.finfo(np.float64).tiny)


def _greatest(indices, contributions, base, n):
    """The n greatest contributions, the others added to the base."""
    order = np.argsort(-np.abs(contributions), kind="stable")
    shown, rest = order[:n], order[n:] if n is not None else order[:0]
    base = float(base + contributions[rest].sum())
    return Explanation(indices[shown].astype(np.intp), contributions[shown], base)
