"""Errors of a factorization on entries that its fit has not seen.

Both ways to hold out end in the mean of a misfit over the held-out entries. A misfit is a function
``misfit(x, y, least)`` of values, predictions and the least prediction that counts, elementwise.
"""

import copy

import numpy as np
from scipy import sparse

# Numbers in a temporary array of a blocked loop: 8 MB of float64.
_BLOCK_SIZE = 2**20
# The least prediction that counts, as a fraction of the mean of X.
_LEAST = 1e-3


def _squared(x, y, least):
    return (x - y) ** 2


def _kullback_leibler(x, y, least):
    y = np.maximum(y, least)
    return x * np.log(np.where(x > 0, x, 1) / np.where(x > 0, y, 1)) - x + y


# Misfit of an entry, and what makes an error of the mean of it.
HELD_OUT_ERRORS = {"rmse": (_squared, np.sqrt), "kullback-leibler": (_kullback_leibler, float)}


def label_entries(X, n_folds, rng):
    """Deal the observed entries of X to folds at random.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
        In an array NaN is missing, in a sparse one what it does not store.

    n_folds : int

    rng : RandomState

    Returns
    -------
    labels : ndarray of int16
        The fold of each entry, of the shape of X, with -1 where it is missing; of ``X.data`` if
        X is sparse.
    """
    if sparse.issparse(X):
        return _deal(X.nnz, n_folds, rng, "n_entries")
    observed = ~np.isnan(X)
    labels = np.full(X.shape, -1, dtype=np.int16)
    labels[observed] = _deal(np.count_nonzero(observed), n_folds, rng, "n_entries")
    return labels


def label_blocks(X, n_folds, rng):
    """Deal the rows of X to folds, and its columns to as many parts: two arrays of int16."""
    if X.shape[1] == 1:
        raise ValueError("Held-out blocks are predicted from other columns; X has n_features=1.")
    rows = _deal(X.shape[0], n_folds, rng, "n_samples")
    return rows, _deal(X.shape[1], min(n_folds, X.shape[1]), rng, "n_features")


def _deal(n, n_folds, rng, what):
    if n < n_folds:
        raise ValueError(f"cv={n_folds} is more than {what}={n}: each fold has to hold out some.")
    return (rng.permutation(n) % n_folds).astype(np.int16)


def entry_error(model, X, labels, fold, error):
    """Fit a model to X without the entries of a fold; return its error on these.

    Parameters
    ----------
    model : estimator
        One that copes with missing entries. It is fitted here.

    X : ndarray or csr_array of shape (n_samples, n_features)

    labels : ndarray
        Of :func:`label_entries`.

    fold : int

    error : str
        A key of `HELD_OUT_ERRORS`.

    Returns
    -------
    error : float
    """
    held = labels == fold
    if sparse.issparse(X):
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        seen = ~held
        train = sparse.csr_array((X.data[seen], (rows[seen], X.indices[seen])), shape=X.shape)
        coords, x, mean = np.column_stack((rows, X.indices))[held], X.data[held], X.data.mean()
    else:
        train = np.where(held, np.nan, X)
        coords, x, mean = np.argwhere(held), X[held], np.nanmean(X)
    W = np.asarray(model.fit_transform(train))
    misfit, as_error = HELD_OUT_ERRORS[error]
    y = model.inverse_transform_entries(W, coords)
    return as_error(misfit(x, y, _LEAST * mean).mean(dtype=np.float64))


def block_error(model, X, labels, fold, error):
    """Fit a model to the rows outside a fold; return its error on those inside.

    Each part of the columns of these is predicted with coefficients for the other columns.

    Parameters
    ----------
    model : estimator
        It is fitted here.

    X : ndarray or csr_array of shape (n_samples, n_features)
        What a csr_array does not store is zero.

    labels : tuple of ndarray
        Of :func:`label_blocks`.

    fold : int

    error : str
        A key of `HELD_OUT_ERRORS`.

    Returns
    -------
    error : float
    """
    row_labels, column_labels = labels
    held = row_labels == fold
    model.fit(X[~held])
    X_held = X[held]
    least = _LEAST * (X.mean() if sparse.issparse(X) else np.nanmean(X))
    misfit, as_error = HELD_OUT_ERRORS[error]
    total, n_entries = 0.0, 0
    for part in range(column_labels.max() + 1):
        hidden = column_labels == part
        W = np.asarray(_on_columns(model, ~hidden).transform(X_held[:, ~hidden]))
        x_part, H = X_held[:, hidden], model.components_[:, hidden]
        step = max(1, _BLOCK_SIZE // H.shape[1])
        for start in range(0, len(W), step):
            some = slice(start, start + step)
            x = x_part[some].toarray() if sparse.issparse(X) else x_part[some]
            observed = ~np.isnan(x)
            total += misfit(x, W[some] @ H, least).sum(dtype=np.float64, where=observed)
            n_entries += np.count_nonzero(observed)
    return as_error(total / n_entries)


def _on_columns(model, columns):
    """Copy of a fitted model that transforms rows of which only some columns are given."""
    part = copy.copy(model)
    part.components_ = np.ascontiguousarray(model.components_[:, columns])
    part.n_features_in_ = part.components_.shape[1]
    return part
