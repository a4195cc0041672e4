"""Starts for NMF."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from ..utils._linalg import scale_rows
from ._svd import leading_triplets

NNDSVD = ("nndsvd", "nndsvda", "nndsvdar")


class Start:
    """Where a fit begins, made once it is known for which samples.

    Parameters
    ----------
    make : callable
        ``make(X)``: starting factors for X or for some of its rows or columns.
    X : ndarray or csr_array
        Without missing entries.
    n_components : int
    pair : tuple of two ndarrays, default=None
        W transposed and H for all of X, where they are there.
    axis : {0, 1}, default=0
        Whether the rows or the columns of X are the samples.
    """

    def __init__(self, make, X, n_components, *, pair=None, axis=0):
        self.n_components = n_components
        self._make, self._X, self._pair, self._axis = make, X, pair, axis

    @classmethod
    def given(cls, Wt, H):
        return cls(None, None, len(H), pair=(Wt, H))

    def whole(self):
        """W transposed and H."""
        if self._pair is None:
            self._pair = self._make(self._X)
        return self._turned(self._pair)

    def of(self, chosen):
        """The same for some of the samples: of `whole`, if it was made, else from them alone."""
        if self._pair is not None:
            Wt, H = self.whole()
            return Wt[:, chosen], H
        X = self._X[chosen] if self._axis == 0 else self._X[:, chosen]
        return self._turned(self._make(X))

    def transposed(self):
        """The start of the transposed problem."""
        return Start(self._make, self._X, self.n_components, pair=self._pair, axis=1 - self._axis)

    def forget(self):
        """Keep no factors that the fit has gone on from."""
        self._pair = None

    def _turned(self, pair):
        return pair if self._axis == 0 else pair[::-1]


def start_fill(beta, multiplicative):
    """The `fill` of `initialize` for a loss and a method.

    Multiplicative updates can't leave zero, and leave small numbers slowly: of 0.01 to 0.5 the
    largest was best for β = 1, 1.5 and 2 on planted, digit and random data. Coordinate descent
    for Kullback-Leibler only needs a positive model.
    """
    if multiplicative or beta not in (1, 2):
        return 0.5
    return 0.01 if beta == 1 else 0.0


def initialize(X, n_components, init, random_state, workers, *, weight=None, fill=0.0):
    """Starting factors for X without missing entries.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    n_components : int
    init : {None, "random", "nndsvd", "nndsvda", "nndsvdar"}
        None takes nndsvd where `n_components` is at most both sides of X, else random.
    random_state : int, RandomState or None
    workers : Workers
    weight : ndarray of shape (n_samples,), default=None
        Weights of the samples: what a start learns from X is as if they were repeated.
    fill : float, default=0.0
        Least entry of a start by nndsvd, in units of √(mean / n_components), so that the start
        scales with X.

    Returns
    -------
    Wt : ndarray of shape (n_components, n_samples)
    H : ndarray of shape (n_components, n_features)
        Of the dtype of X. Random numbers are drawn in float64, and cast.

    References
    ----------
    C. Boutsidis and E. Gallopoulos, "SVD Based Initialization: A Head Start for Nonnegative
    Matrix Factorization", Pattern Recognition 41, 2008.
    """
    n_samples, n_features = X.shape
    fits = n_components <= min(n_samples, n_features)
    if init in NNDSVD and not fits:
        raise ValueError(
            f"init = '{init}' can only be used when n_components <= min(n_samples, n_features). "
            f"Got n_components={n_components} and X of shape {X.shape}; init='random' has no "
            "such limit."
        )
    rng = check_random_state(random_state)
    scaled, total = X, n_samples
    if weight is not None:
        scaled, total = scale_rows(X, np.sqrt(weight)), weight.sum(dtype=np.float64)
    mean = float((X if weight is None else scale_rows(X, weight)).sum(dtype=np.float64))
    mean /= total * n_features
    if init == "random" or not fits:
        return random_start(X.shape, n_components, mean, rng, X.dtype)
    Wt, H = _nndsvd(*leading_triplets(scaled, n_components, rng, workers))
    if weight is not None:
        Wt = np.divide(Wt, np.sqrt(weight), out=np.zeros_like(Wt), where=weight > 0)
    if init == "nndsvda":
        Wt, H = (np.where(F == 0, mean, F) for F in (Wt, H))
    elif init == "nndsvdar":
        Wt, H = (
            np.where(F == 0, np.abs(mean * rng.standard_normal(F.shape)) / 100, F) for F in (Wt, H)
        )
    elif init is None and fill:
        least = fill * np.sqrt(mean / n_components)
        Wt, H = (np.maximum(F, least) for F in (Wt, H))
    return tuple(np.ascontiguousarray(F, dtype=X.dtype) for F in (Wt, H))


def completed(X, missing, *, needed):
    """(X without holes for nndsvd, or None where X has holes and it is not needed; mean)."""
    if sparse.issparse(X):
        if missing == "nan":
            return X, float(X.sum(dtype=np.float64)) / np.prod(X.shape)
        mean = float(X.data.mean(dtype=np.float64))
        # As if the observed entries were a fair sample: the singular vectors are those of X / p.
        return (X * (np.prod(X.shape) / X.nnz) if needed else None), mean
    # A sum is NaN where an entry is: no mask of the size of X in the usual case.
    total = float(X.sum(dtype=np.float64))
    if not np.isnan(total):
        return X, total / X.size
    column_means = np.nanmean(np.where(np.isnan(X).all(axis=0), 0, X), axis=0, dtype=np.float64)
    mean = float(np.nanmean(X, dtype=np.float64))
    filled = np.where(np.isnan(X), column_means.astype(X.dtype), X) if needed else None
    return filled, mean


def random_start(shape, n_components, mean, rng, dtype):
    """|N(0, 1)| √(mean / n_components): the product has the mean of X, up to 2 / π."""
    scale = np.sqrt(mean / n_components)
    # H first and W in sample-major order, as scikit-learn draws them.
    H = scale * rng.standard_normal(size=(n_components, shape[1]))
    W = scale * rng.standard_normal(size=(shape[0], n_components))
    return tuple(np.ascontiguousarray(np.abs(F), dtype=dtype) for F in (W.T, H))


def _nndsvd(Ut, S, Vt):
    """For each singular triplet, the larger of its positive and its negative part."""
    Wt, H = np.zeros_like(Ut), np.zeros_like(Vt)
    for t, (u, v) in enumerate(zip(Ut, Vt, strict=True)):
        if t == 0:
            Wt[0], H[0] = np.sqrt(S[0]) * np.abs(u), np.sqrt(S[0]) * np.abs(v)
            continue
        parts = [(np.maximum(s * u, 0), np.maximum(s * v, 0)) for s in (1, -1)]
        sizes = [(np.linalg.norm(a), np.linalg.norm(b)) for a, b in parts]
        best = int(sizes[1][0] * sizes[1][1] >= sizes[0][0] * sizes[0][1])
        (a, b), (a_size, b_size) = parts[best], sizes[best]
        if a_size * b_size > 0:
            root = np.sqrt(S[t] * a_size * b_size)
            Wt[t], H[t] = root * a / a_size, root * b / b_size
    # What rounding leaves is not worth a nonzero.
    Wt[Wt < 1e-6 * Wt.max(initial=0)] = 0
    H[1e-6 * H.max(initial=0) > H] = 0
    return Wt, H
