"""The NMF objective, evaluated explicitly in float64.

It shares no code with any contender, so all of them are judged by the same number:

    frobenius           ½ Σ (x − y)²
    kullback-leibler    Σ x log(x / y) − x + y          with y = (W H)_ij

over all entries, or over the observed ones: those that aren't NaN in a dense X, the stored ones
in a sparse X with ``missing="unstored"``.
"""

import numpy as np
import scipy.sparse as sp

_BLOCK_ENTRIES = 2_000_000


def objective(X, W, H, beta_loss="frobenius", missing="nan"):
    """Objective without penalties.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    W : ndarray of shape (n_samples, n_components)
    H : ndarray of shape (n_components, n_features)
    beta_loss : {"frobenius", "kullback-leibler"}
    missing : {"nan", "unstored"}

    Returns
    -------
    float
    """
    W, H = W.astype(np.float64), H.astype(np.float64)
    total = 0.0
    if not sp.issparse(X):
        n_rows = max(1, _BLOCK_ENTRIES // X.shape[1])
        for start in range(0, len(X), n_rows):
            block = X[start : start + n_rows].astype(np.float64)
            values = W[start : start + n_rows] @ H
            total += float(_ENTRY_SUMS[beta_loss](block, values))
        return total
    X = X.tocoo()
    rows, columns = X.coords
    n_entries = max(1, _BLOCK_ENTRIES // len(H))
    Ht = np.ascontiguousarray(H.T)
    for start in range(0, X.nnz, n_entries):
        part = slice(start, start + n_entries)
        values = np.einsum("ij,ij->i", W[rows[part]], Ht[columns[part]])
        total += _ENTRY_SUMS[beta_loss](X.data[part].astype(np.float64), values)
        if missing == "nan":  # what the zeros would add for these entries is added below
            total -= 0.5 * values @ values if beta_loss == "frobenius" else values.sum()
    if missing == "nan":
        total += _SUMS_WITHOUT_X[beta_loss](W, H)
    return float(total)


def _frobenius(x, y):
    # Only a missing x counts as nothing: NaN in the factors must spoil the sum.
    difference = np.where(np.isnan(x), 0.0, x - y)
    return 0.5 * np.vdot(difference, difference)


def _kullback_leibler(x, y):
    observed = ~np.isnan(x)
    positive = x > 0
    x_positive, y_positive = x[positive], np.maximum(y[positive], np.finfo(np.float64).tiny)
    return x_positive @ np.log(x_positive / y_positive) - x_positive.sum() + y[observed].sum()


_ENTRY_SUMS = {"frobenius": _frobenius, "kullback-leibler": _kullback_leibler}
_SUMS_WITHOUT_X = {
    "frobenius": lambda W, H: 0.5 * np.vdot(W.T @ W, H @ H.T),
    "kullback-leibler": lambda W, H: W.sum(axis=0) @ H.sum(axis=1),
}
