"""Plain SoftImpute on dense arrays, written for clarity: what the imputer is compared with."""

import numpy as np


def soft_thresholded_svd(X, alpha):
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    return (U * np.maximum(s - alpha, 0)) @ Vt


def soft_impute(X, observed, alpha, n_iter=3000, tol=1e-13, start=None):
    """Minimize ½ |X - M|² over the observed entries plus alpha times the nuclear norm of M."""
    M = np.zeros_like(X) if start is None else start
    for _ in range(n_iter):
        before, M = M, soft_thresholded_svd(np.where(observed, X, M), alpha)
        if np.linalg.norm(M - before) <= tol * np.linalg.norm(M):
            break
    return M


class SoftImputeReference:
    """An imputer: standardized columns, alpha by entries held out on a fine grid."""

    def __init__(self, n_alphas=30, random_state=0):
        self.n_alphas, self.random_state = n_alphas, random_state

    def fit_transform(self, X):
        self._mean, self._scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        self._scale[self._scale < 1e-10] = 1
        observed = ~np.isnan(X)
        Z = np.where(observed, (X - self._mean) / self._scale, 0)
        held_out = observed & (np.random.default_rng(self.random_state).random(X.shape) < 0.1)
        train = observed & ~held_out
        Z_train = np.where(train, Z, 0)
        alphas = np.linalg.norm(Z_train, 2) * np.geomspace(1, 0.01, self.n_alphas)
        errors, M = [], None
        for alpha in alphas:
            M = soft_impute(Z_train, train, alpha, 300, 1e-4, M)
            errors.append(np.sum((M - Z)[held_out] ** 2))
        self.alpha_ = alphas[np.argmin(errors)]
        M = soft_impute(Z, observed, self.alpha_, 1000, 1e-5)
        _, s, Vt = np.linalg.svd(M, full_matrices=False)
        self._B = (np.sqrt(s)[:, None] * Vt)[s > 0]
        return self.transform(X)

    def transform(self, X):
        filled = X.copy()
        for x in filled:
            seen = ~np.isnan(x)
            z = (x - self._mean) / self._scale
            B = self._B[:, seen]
            a = np.linalg.solve(B @ B.T + self.alpha_ * np.eye(len(B)), B @ z[seen])
            x[~seen] = (a @ self._B * self._scale + self._mean)[~seen]
        return filled
