"""Low-rank matrices with holes."""

import numpy as np
from scipy import sparse


def planted(rng, n_rows=60, n_columns=40, rank=3, density=0.5, noise=0.0, condition=1.0):
    """(The matrix; its observed entries with noise as a CSR array)."""
    U = np.linalg.qr(rng.standard_normal((n_rows, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((n_columns, rank)))[0]
    M = (U * np.geomspace(1, 1 / condition, rank)) @ V.T
    M /= M.std()
    observed = rng.random(M.shape) < density
    i, j = np.nonzero(observed)
    values = M[i, j] + noise * rng.standard_normal(len(i))
    return M, sparse.csr_array((values, (i, j)), shape=M.shape)


def relative_error(A, B):
    return np.linalg.norm(A - B) / np.linalg.norm(B)


def rating_like(rng, n_rows=50, n_columns=30, density=0.3):
    """Ratings 1 to 5 with row and column means, as a CSR array."""
    M = 3 + rng.standard_normal((n_rows, 1)) * 0.5 + rng.standard_normal(n_columns) * 0.5
    M = M + rng.standard_normal((n_rows, 2)) @ rng.standard_normal((2, n_columns)) * 0.5
    i, j = np.nonzero(rng.random(M.shape) < density)
    values = np.clip(np.round(M[i, j]), 1, 5)
    return sparse.csr_array((values, (i, j)), shape=M.shape)


def dense_objective(model, X, weight=None, rho=np.square):
    """L of AltMinCompletion, entry by entry, from fitted attributes alone."""
    X = X.toarray() if sparse.issparse(X) else X
    observed = (X != 0) if not np.isnan(X).any() else ~np.isnan(X)
    w = observed * (1.0 if weight is None else weight)
    fitted = model.embedding_ @ model.components_ + model.intercept_
    loss = np.sum(w * np.where(observed, rho(np.nan_to_num(X) - fitted), 0))
    counts = model.alpha_scaling == "counts"
    on_rows = model.alpha * (w.sum(axis=1) if counts else np.ones(len(X)))
    on_columns = model.alpha * (w.sum(axis=0) if counts else np.ones(X.shape[1]))
    V = model.components_[: model.n_components].T
    c = model.intercept_ - model.mean_
    return (
        loss
        + on_rows @ np.square(model.embedding_).sum(axis=1)
        + on_columns @ (np.square(V).sum(axis=1) + c**2)
    )
