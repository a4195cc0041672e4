"""Starts of alternating least squares."""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd


def random_columns(n_columns, model, spread, rng, dtype):
    """Factors of columns drawn from N(0, .01 · spread), without biases."""
    V = model.zeros(n_columns, dtype)
    # Of a Generator, which is several times as fast as a RandomState.
    generator = np.random.default_rng(rng.randint(2**31 - 1))
    size = 0.1 * np.sqrt(spread)
    V[:, : model.n_factors] = size * generator.standard_normal((n_columns, model.n_factors))
    if model.positive:
        np.abs(V, out=V)
    return V


def svd_columns(X, model, rng):
    """Right singular vectors of the zero-filled, rescaled and centred entries.

    Rows longer than an incoherent factor's would be, are clipped: a column with many large
    entries must not take a component for itself.
    """
    n_rows, n_columns = X.shape
    k = min(model.n_factors, n_rows, n_columns)
    centred = sparse.csr_array((X.data - X.dtype.type(model.mean), X.indices, X.indptr), X.shape)
    scale = n_rows * n_columns / X.nnz
    _, s, Vt = randomized_svd(centred, k, random_state=rng)
    V = model.zeros(n_columns, X.dtype)
    V[:, :k] = Vt.T * np.sqrt(s * scale)
    length = np.linalg.norm(V, axis=1)
    most = 3 * np.sqrt(np.mean(np.square(length)))
    V *= np.minimum(1, most / np.maximum(length, np.finfo(X.dtype).tiny))[:, None]
    if model.positive:
        np.abs(V, out=V)
    return V
