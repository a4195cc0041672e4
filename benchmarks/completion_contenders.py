"""Completion by factorkit, cmfrec and implicit, with a number of iterations given.

A contender is a function ``fit(train, n_iter)`` that returns ``predict(rows, columns)``, or for
implicit feedback the two factors.
"""

import warnings

import numpy as np
import scipy.sparse as sp


def ours(k, alpha, n_jobs=1, **options):
    from factorkit import AltMinCompletion

    def fit(train, n_iter):
        model = AltMinCompletion(
            k, alpha=alpha, max_iter=n_iter, tol=0, random_state=0, n_jobs=n_jobs, **options
        ).fit(train)
        return lambda rows, columns: model.predict_entries(np.column_stack((rows, columns)))

    return fit


def cmfrec(k, alpha, use_cg, n_jobs=1):
    from cmfrec import CMF

    def fit(train, n_iter):
        entries = sp.coo_matrix(train)
        counts = np.bincount(train.indices, minlength=train.shape[1])
        model = CMF(
            k=k, lambda_=alpha, scale_lam=True, use_cg=use_cg, finalize_chol=False, niter=n_iter,
            nthreads=n_jobs, use_float=True, verbose=False, random_state=0,
        ).fit(entries)  # fmt: skip

        def predict(rows, columns):
            predicted = model.predict(rows.astype(np.int32), columns.astype(np.int32))
            # Columns without entries get NaN, or from its Cholesky solver any number.
            unseen = np.isnan(predicted) | (counts[columns] == 0)
            return np.where(unseen, train.data.mean(), predicted)

        return predict

    return fit


def our_implicit(k, alpha, confidence, n_jobs=1, **options):
    from factorkit import ImplicitALS

    def fit(train, n_iter):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ImplicitALS(
                k, alpha=alpha, confidence=confidence, max_iter=n_iter, tol=0, random_state=0,
                n_jobs=n_jobs, **options,
            ).fit(train)  # fmt: skip
        return model.embedding_, model.components_.T

    return fit


def implicit(k, alpha, confidence, use_cg, n_jobs=1):
    from implicit.cpu.als import AlternatingLeastSquares

    def fit(train, n_iter):
        # Its confidence is the stored value itself.
        weighted = sp.csr_matrix(train, copy=True)
        weighted.data = 1 + confidence * weighted.data
        model = AlternatingLeastSquares(
            k, regularization=alpha, alpha=1, iterations=n_iter, use_cg=use_cg,
            num_threads=n_jobs, random_state=0, dtype=np.float32,
        )  # fmt: skip
        model.fit(weighted, show_progress=False)
        return model.user_factors, model.item_factors

    return fit


def implicit_objective(X, U, V, alpha, confidence):
    """Σ c (p − u·v)² + alpha (|U|² + |V|²), explicitly, a block of rows at a time."""
    U, V = U.astype(np.float64), V.astype(np.float64)
    total = alpha * (np.sum(U**2) + np.sum(V**2))
    for start in range(0, X.shape[0], 500):
        x = X[start : start + 500].toarray().astype(np.float64)
        total += np.sum((1 + confidence * x) * ((x > 0) - U[start : start + 500] @ V.T) ** 2)
    return float(total)


def ratings_objective(split, predict_parts, alpha):
    """Σ (x − x̂)² + alpha Σ n_i (|u_i|² + b_i²) + …, from (U, b, V, c, mean)."""
    U, b, V, c, mean = (np.asarray(part, dtype=np.float64) for part in predict_parts)
    X = split.train.tocoo()
    i, j = X.coords
    r = X.data - mean - b[i] - c[j] - np.einsum("ij,ij->i", U[i], V[j])
    on_rows = np.bincount(i, minlength=len(U)) @ (np.sum(U**2, axis=1) + b**2)
    on_columns = np.bincount(j, minlength=len(V)) @ (np.sum(V**2, axis=1) + c**2)
    return float(r @ r + alpha * (on_rows + on_columns))
