"""A small hole-tolerant factorization, slow and plain, to test what is written for all of them."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse

from factorkit.base import MatrixFactorization
from factorkit.utils._sklearn import Interval, StrOptions, fit_method, iterate_with_callbacks
from factorkit.utils._validation import check_weights


class ToyALS(MatrixFactorization):
    """Ridge-regularized alternating least squares over the observed entries."""

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "ridge": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "missing": [StrOptions({"nan", "unstored"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        ridge=1e-3,
        max_iter=50,
        tol=0.0,
        missing="nan",
        random_state=0,
    ):
        self.n_components = n_components
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol
        self.missing = missing
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None, entry_weight=None):
        self.fit_transform(X, y, sample_weight, entry_weight)
        return self

    @fit_method
    def fit_transform(self, X, y=None, sample_weight=None, entry_weight=None):
        X_given, X = X, self._validate_X(X, reset=True)
        weight = check_weights(sample_weight, entry_weight, X, missing=self.missing)
        X, weight = self._as_dense(X, weight)
        rng = np.random.default_rng(self.random_state)
        H = rng.normal(size=(self.n_components, X.shape[1])).astype(X.dtype)
        objectives = [np.inf]
        with iterate_with_callbacks(
            self, self.max_iter, X_given, y, attributes=lambda H: {"components_": H}
        ) as report:
            for _ in range(self.max_iter):
                W = self._solve(X, weight, H)
                H = self._solve(X.T, weight.T, W.T).T
                objectives.append(np.sum(weight * (X - W @ H) ** 2))
                if report(objectives[-1], H):
                    break
                if self.tol and objectives[-2] - objectives[-1] < self.tol:
                    break
            self.components_ = H
            self.n_iter_ = len(objectives) - 1
            self.objective_ = np.array(objectives[1:])
            self.stopped_by_callback_ = report.stopped
        return self._solve(X, weight, H)

    def transform(self, X):
        X, weight = self._as_dense(self._validate_X(X, reset=False), None)
        return self._solve(X, weight, self.components_)

    def _as_dense(self, X, weight):
        """Return X with zeros for missing entries, and the weights of all entries."""
        if weight is None:
            weight = np.ones(X.shape[0])
        if sparse.issparse(X):
            if not sparse.issparse(weight):
                rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
                if self.missing == "unstored":
                    weight = sparse.csr_array((weight[rows], X.indices, X.indptr), X.shape)
            if sparse.issparse(weight):
                weight = weight.toarray()
            X = X.toarray()
        if weight.ndim == 1:
            weight = np.broadcast_to(weight[:, None], X.shape)
        weight = np.where(np.isnan(X), 0, weight).astype(X.dtype)
        return np.nan_to_num(X), weight

    def _solve(self, X, weight, H):
        gram = np.einsum("im,km,lm->ikl", weight, H, H) + self.ridge * np.eye(len(H))
        return np.linalg.solve(gram, ((weight * X) @ H.T)[..., None])[..., 0].astype(X.dtype)
