"""From options to a solver: the only place where they meet."""

import numpy as np
from scipy import sparse

from ..utils._linalg import scale_rows
from ..utils._validation import multiply_weights
from ._coarse import coarse_start
from ._data import as_data
from ._frobenius import FrobeniusProblem
from ._kl import KullbackLeiblerProblem
from ._mu import MultiplicativeProblem
from ._rows import CsrRows, DenseRows
from ._sample_weights import SampleWeightedProblem
from ._weighted import FilledProblem, WeightedProblem

BETA = {"frobenius": 2.0, "kullback-leibler": 1.0, "itakura-saito": 0.0}

# Least part of the largest possible weight that an entry has on average, for which filling the
# holes beats a Gram matrix a row: measured on digits, faces and a hyperspectral scene, filling
# is 4 to 20 times as fast an iteration, and needs as many at 30 % of holes, twice as many at 60 %.
_FILL_FROM = 0.4


def beta_of(beta_loss):
    return BETA[beta_loss] if isinstance(beta_loss, str) else float(beta_loss)


def make_problem(X, weight, penalty, workers, *, beta, multiplicative, missing, shuffle_rng=None):
    """The problem object for some data.

    Parameters
    ----------
    X : ndarray or csr_array
        As `validate_matrix` returns it.
    weight : None, ndarray of shape (n_samples,), or array of X's shape
        As `check_weights` returns it.
    penalty : Penalty
    workers : Workers
    beta : float
    multiplicative : bool
        Use multiplicative updates where another method exists.
    missing : {"nan", "unstored"}
    shuffle_rng : RandomState, default=None

    Returns
    -------
    object
        With `alternate`, `solve_W`, `objective`, `loss` and `kkt_residual`, and, except for
        multiplicative updates, what `coarse_start` needs.
    """
    rows = make_rows(X, weight, missing)
    if multiplicative or beta not in (1, 2):
        return MultiplicativeProblem(rows, penalty, beta, workers)
    if beta == 1:
        return KullbackLeiblerProblem(rows, penalty, workers)
    if rows.is_complete:
        return FrobeniusProblem(as_data(X, keeps_single=True), penalty, workers, shuffle_rng)
    if not rows.is_sparse and rows.mean_weight() >= _FILL_FROM * rows.largest_weight:
        return FilledProblem(rows, penalty, workers)
    return WeightedProblem(rows, penalty, workers)


def make_fit_problem(X, sample_weight, entry_weight, penalty, workers, *, beta, **options):
    """The problem object for a fit, in which samples may count more or less than once.

    Parameters
    ----------
    X : ndarray or csr_array
    sample_weight : ndarray of shape (n_samples,) or None
    entry_weight : array of X's shape or None
    penalty : Penalty
        In which n_samples is the sum of `sample_weight`.
    workers : Workers
    **options
        Of `make_problem`.

    Returns
    -------
    problem : object
    scale : ndarray of shape (n_samples,) or None
        What the problem has multiplied the rows of X and of W by.
    """

    def make(X, weight, penalty):
        return make_problem(X, weight, penalty, workers, beta=beta, **options)

    if sample_weight is None:
        return make(X, entry_weight, penalty), None
    scale = row_scale(sample_weight, beta) if entry_weight is None else None
    if scale is not None:
        weighted = scale_rows(X, scale), None
    elif entry_weight is None:
        weighted = X, sample_weight
    else:
        weighted = X, multiply_weights(sample_weight, entry_weight)
    if not penalty.on_W:
        return make(*weighted, penalty), scale
    plain = make(X, entry_weight, penalty)
    weighted = make(*weighted, penalty.on_H_alone)
    return SampleWeightedProblem(plain, weighted, sample_weight, scale), None


def make_rows(X, weight, missing):
    """X with its weights and holes, as DenseRows or CsrRows."""
    by_row = weight is not None and weight.ndim == 1
    if not sparse.issparse(X):
        return DenseRows(X, None if by_row else weight, weight if by_row else None)
    only_stored = missing == "unstored"
    if weight is None:
        return CsrRows(X, only_stored=only_stored)
    if by_row and only_stored:
        return CsrRows(X, np.repeat(weight, np.diff(X.indptr)), only_stored=True)
    if only_stored:
        return CsrRows(X, weight.data, only_stored=True)
    raise ValueError(
        "entry_weight can't be used with a sparse X whose unstored entries are zeros: pass X as a "
        'dense array, or missing="unstored".'
    )


def row_scale(weight, beta):
    """The scale of a row that turns the plain loss into the weighted one; None for β <= 0.

    v d_β(x, w H) = d_β(s x, s w H) with s = v^(1/β): where W has no penalty, the scale of a row
    simply goes into W.
    """
    return None if beta <= 0 else weight ** (1 / beta)


def factorize(problem, start, *, coarse, **options):
    """Improve a start: on a part of the samples first, then on all.

    Parameters
    ----------
    problem : object
        From `make_problem`.
    start : Start
    coarse : bool
        Begin on a part of the samples, and in single precision, where that pays.
    **options
        `tol`, `max_iter` and `monitor` of `alternate`.

    Returns
    -------
    Wt, H, trace
    """
    if coarse and hasattr(problem, "part"):
        *pair, solved = coarse_start(problem, start)
    else:
        pair, solved = list(start.whole()), None
    start.forget()
    return problem.alternate(pair, draft=coarse, solved=solved, **options)
