"""NMF as a function."""

import warnings

import numpy as np

from ..utils._threads import Workers
from ._base import _check_factor
from ._estimators import NMF


def non_negative_factorization(
    X,
    W=None,
    H=None,
    n_components="auto",
    *,
    init=None,
    update_H=True,
    solver="auto",
    beta_loss="frobenius",
    tol=1e-3,
    max_iter=200,
    alpha_W=0.0,
    alpha_H="same",
    l1_ratio=0.0,
    random_state=None,
    verbose=0,
    shuffle=False,
    missing="nan",
    n_jobs=None,
):
    """Nonnegative matrix factorization as a function; see :class:`NMF`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Nonnegative; NaN is missing.
    W : ndarray of shape (n_samples, n_components), default=None
        Start, for ``init="custom"``.
    H : ndarray of shape (n_components, n_features), default=None
        Start, for ``init="custom"``; with ``update_H=False`` the components.
    n_components : int, "auto" or None, default="auto"
        As in :class:`NMF`, and the other parameters likewise.
    init, solver, beta_loss, tol, max_iter, alpha_W, alpha_H, l1_ratio, random_state, verbose, \
shuffle, missing, n_jobs : object
        See :class:`NMF`.
    update_H : bool, default=True
        Whether to learn H, or to solve for W alone.

    Returns
    -------
    W : ndarray of shape (n_samples, n_components)
    H : ndarray of shape (n_components, n_features)
    n_iter : int
        Number of iterations; 1 for the exact solve over W alone.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import non_negative_factorization
    >>> X = np.array([[1, 1], [2, 1], [3, 1.2], [4, 1], [5, 0.8], [6, 1]])
    >>> W, H, n_iter = non_negative_factorization(X, n_components=2, random_state=0)
    >>> bool(np.abs(X - W @ H).max() < 1e-2)
    True
    """
    model = NMF(
        n_components,
        init=init,
        solver=solver,
        beta_loss=beta_loss,
        tol=tol,
        max_iter=max_iter,
        random_state=random_state,
        alpha_W=alpha_W,
        alpha_H=alpha_H,
        l1_ratio=l1_ratio,
        verbose=verbose,
        shuffle=shuffle,
        missing=missing,
        n_jobs=n_jobs,
    )
    if update_H:
        W = model.fit_transform(X, W=W, H=H)
        return W, model.components_, model.n_iter_
    model._validate_params()
    X = model._validate_X(X, reset=True)
    model._check_values(X)
    if W is not None:
        warnings.warn(
            "When update_H=False, the provided initial W is not used.",
            RuntimeWarning,
            stacklevel=2,
        )
    if H is None:
        raise ValueError("update_H=False needs the H that W is to be solved for; got None.")
    H = np.asarray(H)
    n_components = model._start_components(X, H)
    _check_factor(H, (n_components, X.shape[1]), "NMF (input H)", may_vanish=True)
    if H.dtype != X.dtype:
        raise TypeError(f"H should have the same dtype as X. Got H.dtype = {H.dtype}.")
    with Workers(n_jobs) as workers:
        W = model._solve_W(X, None, H, workers)
    return W.astype(X.dtype, copy=False), H, 1
