"""NMF solvers as loops and as whole fits, all from a given start.

The only file that knows private names: scikit-learn's loops and factorkit's hook.
"""

from contextlib import contextmanager, suppress
from functools import partial
from unittest import mock

import numpy as np
import scipy.sparse as sp
import sklearn.decomposition._nmf as sklearn_nmf
from sklearn import config_context

from .runner import Enough, Time


def start(X, n_components, init):
    """Start (W, H) by scikit-learn's initialization, the missing entries of X taken as 0."""
    filled = X if sp.issparse(X) else np.nan_to_num(X)
    return sklearn_nmf._initialize_nmf(filled, n_components, init=init, random_state=0)


def factorkit_loop(X, W, H, beta_loss, *, max_iter=1000, missing="nan", n_jobs=1):
    """Loop of factorkit's NMF, from the call on, validation and preparation included."""
    from factorkit.nmf import NMF

    def loop(after):
        model = NMF(
            H.shape[0],
            init="custom",
            beta_loss=beta_loss,
            tol=0,
            max_iter=max_iter,
            missing=missing,
            n_jobs=n_jobs,
        )

        def monitor(trace, Wt, H):
            after(Wt.T, H, Time.now() - begin)

        start_W, start_H = W.astype(X.dtype), H.astype(X.dtype)
        begin = Time.now()
        with suppress(Enough):
            model._fit(X, W=start_W, H=start_H, monitor=monitor)
        return Time.now() - begin

    return loop


def sklearn_loop(X, W, H, beta_loss, *, tol=1e-4, max_iter=200):
    """Scikit-learn's own loop: coordinate descent, or multiplicative updates for KL.

    The time spent counts the updates alone; the whole run also what its stopping rule costs.
    """

    if beta_loss == "frobenius":
        fit = sklearn_nmf._fit_coordinate_descent
    else:
        fit = partial(sklearn_nmf._fit_multiplicative_update, beta_loss=beta_loss)

    def loop(after):
        start_W, start_H = W.astype(X.dtype), H.astype(X.dtype)
        with config_context(assume_finite=True), _watched(beta_loss, after):
            begin = Time.now()
            with suppress(Enough):
                fit(X, start_W, start_H, tol=tol, max_iter=max_iter)
            return Time.now() - begin

    return loop


@contextmanager
def _watched(beta_loss, after):
    """Wrap scikit-learn's updates so that ``after`` is called at the end of each iteration."""
    spent = Time(0.0, 0.0)
    n_calls = 0

    def watch(update, factors):
        def watched(*args, **kwargs):
            nonlocal spent, n_calls
            begin = Time.now()
            result = update(*args, **kwargs)
            spent += Time.now() - begin
            n_calls += 1
            if n_calls % 2 == 0:  # W first, then H
                after(*factors(args, result), spent)
            return result

        return watched

    wrapped = {
        # Called for W as (X, W, Ht, ...), then for H as (X.T, Ht, W, ...); works in place.
        "_update_coordinate_descent": lambda args, result: (args[2], args[1].T),
    }
    if beta_loss != "frobenius":
        wrapped = {
            "_multiplicative_update_w": None,
            "_multiplicative_update_h": lambda args, result: (args[1], result),
        }
    watchers = {
        name: watch(getattr(sklearn_nmf, name), factors) for name, factors in wrapped.items()
    }
    with mock.patch.multiple(sklearn_nmf, **watchers):
        yield


# Peers for data with missing entries: functions (X, W, H, threads) -> (W, H), with their default
# tolerance and number of iterations. `sparse` peers take the stored entries as the observed ones.


def tensorly_masked(X, W, H, threads):
    """`non_negative_parafac` with a mask: multiplicative updates on an imputed matrix."""
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import non_negative_parafac

    observed = ~np.isnan(X)
    weights = np.ones(len(H), dtype=X.dtype)
    # Copies: it updates the factors that it is given in place.
    start_factors = CPTensor((weights, [W.astype(X.dtype), H.T.astype(X.dtype)]))
    weights, factors = non_negative_parafac(
        np.where(observed, X, 0),
        len(H),
        init=start_factors,
        mask=observed.astype(X.dtype),
    )
    return factors[0] * weights, factors[1].T


def cmfrec_nonneg(X, W, H, threads):
    """`cmfrec.CMF` without biases, centring and penalty. It draws its own start."""
    from cmfrec import CMF

    if sp.issparse(X):
        # Its columns and rows are the largest index + 1, which a zero column would change.
        X = sp.coo_matrix(X)
    model = CMF(
        k=len(H),
        nonneg=True,
        lambda_=0.0,
        user_bias=False,
        item_bias=False,
        center=False,
        precompute_for_predictions=False,
        use_float=X.dtype == np.float32,
        nthreads=threads,
    )
    model.fit(X)
    return model.A_, model.B_.T


MASKED_PEERS = {"tensorly": tensorly_masked, "cmfrec": cmfrec_nonneg}
DENSE_ONLY = {"tensorly"}
