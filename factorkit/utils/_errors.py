"""How far a product of two factors is from a matrix, over its observed entries."""

import numpy as np
from scipy import sparse

# Numbers in a temporary array of a blocked loop: 2 MB of float64, about a core's cache.
_BLOCK_SIZE = 2**18


def explained(residual_sum, total_sum):
    """Explained variance from Σ (x - x̂)² and Σ x²."""
    if total_sum == 0:
        # As r2_score has it: a constant is explained in full or not at all.
        return float(residual_sum == 0)
    return float(1 - residual_sum / total_sum)


def sums_of_squares(X, W, H, *, missing="nan", sample_weight=None):
    """Return Σ (x - x̂)² and Σ x² over the observed entries of X, in float64, where X̂ = W H.

    Parameters
    ----------
    X : ndarray or canonical csr_array of shape (n_samples, n_features)
        NaN is missing.

    W : ndarray of shape (n_samples, n_components)

    H : ndarray of shape (n_components, n_features)

    missing : {"nan", "unstored"}, default="nan"
        What the entries are that a sparse X doesn't store: zeros, or missing.

    sample_weight : ndarray of shape (n_samples,) or None, default=None
        Weights of the rows in both sums.
    """
    if sparse.issparse(X):
        return _csr_sums(X, W, H, missing, sample_weight)
    residual_sum = total_sum = 0.0
    step = max(1, _BLOCK_SIZE // X.shape[1])
    for start in range(0, X.shape[0], step):
        rows = slice(start, start + step)
        x = X[rows]
        weight = 1.0 if sample_weight is None else sample_weight[rows, None]
        residual_sum += np.nansum(weight * np.square(x - W[rows] @ H, dtype=np.float64))
        total_sum += np.nansum(weight * np.square(x, dtype=np.float64))
    return residual_sum, total_sum


def _csr_sums(X, W, H, missing, sample_weight):
    W, H = W.astype(np.float64, copy=False), H.astype(np.float64, copy=False)
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    columns_of_H = np.ascontiguousarray(H.T)
    residual_sum = total_sum = fitted_sum = 0.0
    step = max(1, _BLOCK_SIZE // max(1, len(H)))
    for start in range(0, X.nnz, step):
        entries = slice(start, start + step)
        i = rows[entries]
        fitted = np.einsum("ij,ij->i", W[i], columns_of_H[X.indices[entries]])
        x = X.data[entries].astype(np.float64, copy=False)
        weight = 1.0 if sample_weight is None else sample_weight[i]
        residual_sum += np.nansum(weight * np.square(x - fitted))
        total_sum += np.nansum(weight * np.square(x))
        fitted_sum += np.sum(weight * np.square(fitted))
    if missing == "nan":
        # The unstored entries are zeros: their residuals are the squares of the whole
        # reconstruction less those at the stored entries (missing ones included).
        weighted = W if sample_weight is None else W * sample_weight[:, None]
        residual_sum += max(0.0, np.vdot(weighted.T @ W, H @ H.T) - fitted_sum)
    return residual_sum, total_sum
