"""Many small nonnegative least-squares problems that share one Gram matrix.

Every row of a factor solves

    min_{w >= 0}  1/2 w G w^T - a . w,        G = H H^T (+ l2 I),  a = x H^T (- l1)

which NMF, unmixing, nonnegative tensors and binary factorization have in common. Two solvers:
`coordinate_sweeps`, approximate and made for the inner loop of an alternating method, and
`solve_nnls`, exact.
"""

from typing import NamedTuple

import numpy as np

from ._exchange_kernels import exchange_rows
from ._jit import plain
from ._nnls_kernels import CHUNK_BYTES, sweep_columns
from ._pivot_kernels import pivot_few_zeros, pivot_rows
from ._threads import blocks_of

# What is added to the cosines of components before their matrix is inverted.
_RIDGE = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-10}
# Smallest part of the largest eigenvalue of a Gram matrix at which supports are unique, and of one
# of cosines at which its inverse is good for half of the digits.
_INDEPENDENT, _INVERTIBLE = 1e-8, 1e-6
# Components from which on, and zeros among them up to which, the inverse that all rows share
# beats a factorization for each support; and rounds that it gets.
_MANY, _FEW, _ROUNDS = 24, 0.4, 20
# Rows among which those with the same support are found.
_SORTED = 4096


class Sweeps(NamedTuple):
    """What `coordinate_sweeps` tells of its result w.

    step : √(Σ_it G_tt δ_it²) of what the first sweep changed, in the unit of the data: zero only
    where the start was optimal. linear : the inner product of w with the linear term.
    """

    step: float
    linear: float


def coordinate_sweeps(W, A, G, workers, *, max_sweeps=20, inner_tol=0.01, out=None):
    """Cyclic coordinate descent on component-major factors.

    Blocks of samples stay in the first-level cache for all of their sweeps; a block stops when
    a sweep lowers its objective by less than `inner_tol` times what the first one did.

    Parameters
    ----------
    W : ndarray of shape (n_components, n_samples), C-contiguous
        Start.
    A : ndarray of shape (n_components, n_samples), C-contiguous, of the dtype of `W`
        Linear term.
    G : ndarray of shape (n_components, n_components)
        Gram matrix; a component with a zero on the diagonal is left as it is.
    workers : Workers
    max_sweeps : int, default=20
    inner_tol : float, default=0.01
    out : ndarray, default=None
        Gets the result: W (None), A, or another array like them.

    Returns
    -------
    Sweeps

    Notes
    -----
    A sweep costs 2 n_components² operations a sample. The objective never rises.

    References
    ----------
    N. Gillis and F. Glineur, "Accelerated Multiplicative Updates and Hierarchical ALS
    Algorithms for Nonnegative Matrix Factorization", Neural Computation 24, 2012.
    """
    n_components, n_samples = W.shape
    G = np.ascontiguousarray(G, dtype=W.dtype)
    # Most blocks stop after a few sweeps.
    work = 2.0 * n_components**2 * min(max_sweeps, 6)
    blocks = blocks_of(n_samples, work, multiple=CHUNK_BYTES // W.itemsize)
    if out is None:
        out = W
    else:
        W = plain(W)
    sums = workers.map(
        lambda start, stop: sweep_columns(W, A, G, start, stop, max_sweeps, inner_tol, out), blocks
    )
    squared_step, linear = (sum(part) for part in zip(*sums, strict=True))
    return Sweeps(float(np.sqrt(squared_step)), linear)


def _cosines(G):
    """Cosines between components, and their lengths; 1 for the length of a zero."""
    lengths = np.sqrt(np.diag(G))
    lengths = np.where(lengths > 0, lengths, 1)
    return G / lengths[:, None] / lengths, lengths


def _are_independent(G, least):
    """Whether no eigenvalue is below this part of the largest; not those of a zero."""
    eigenvalues = np.linalg.eigvalsh(G)
    return eigenvalues[0] > least * eigenvalues[-1]


def _inverse(G, ridge):
    """The inverse of a Gram matrix whose cosines get a ridge; it scales with the components."""
    cosines, lengths = _cosines(G)
    return np.linalg.inv(cosines + ridge * np.eye(len(G))) / lengths[:, None] / lengths


def clipped_solution(A, G):
    """The positive part of the unconstrained solution, in the precision of A.

    A start for sweeps that is near the solution where few coefficients are zero, however
    collinear the components are.

    Parameters
    ----------
    A : ndarray of shape (n_components, n_samples)
        Linear term.
    G : ndarray of shape (n_components, n_components), float64
        Gram matrix.

    Returns
    -------
    ndarray like A
    """
    start = _inverse(G, _RIDGE[A.dtype]).astype(A.dtype, copy=False) @ A
    return np.maximum(start, 0, out=start)


def solve_nnls(A, G, workers, *, near=None):
    """Exact solution of every row, by block principal pivoting, in float64.

    Parameters
    ----------
    A : ndarray of shape (n_components, n_samples)
        Linear term, component-major.
    G : ndarray of shape (n_components, n_components)
        Gram matrix.
    workers : Workers
    near : ndarray of shape (n_components, n_samples), default=None
        Coefficients that are zero where, by and large, the solution is. It saves time, and changes
        nothing: where components nearly depend on each other, so that it might, it is not used.

    Returns
    -------
    W : ndarray of shape (n_samples, n_components), float64
        The solution of a row depends on nothing but that row and `G`.

    Notes
    -----
    A few coordinate sweeps from the positive part of the unconstrained solution guess the support,
    and pivoting corrects it: some Cholesky factorizations of at most n_components³ / 3 a row, but
    for rows that share the support of the row before. The Gram matrix squares the condition number,
    hence float64 whatever the data. Rows most of whose coefficients are positive share the inverse
    instead, and factorize what belongs to their zeros.

    Of components that depend on each other pivoting leaves out the last. Without a penalty that
    is as good as any choice; with an l1 penalty, where the linear term is not in the range of the
    Gram matrix, the one left out may be cheaper. Such rows, and the few for which pivoting does
    not end, go on with an active-set method that exchanges one component at a time, so that all
    rows satisfy the optimality conditions to rounding. They have a solution always: along a
    direction d >= 0 with d G = 0 the model d H is zero, so a . d = - l1 . d <= 0.

    References
    ----------
    J. Kim and H. Park, "Fast Nonnegative Matrix Factorization: An Active-Set-like Method and
    Comparisons", SIAM Journal on Scientific Computing 33, 2011.
    """
    A = np.ascontiguousarray(A, dtype=np.float64)
    G = np.ascontiguousarray(G, dtype=np.float64)
    n_components, n_samples = A.shape
    W = np.empty((n_samples, n_components))
    near = near if _are_independent(G, _INDEPENDENT) else None
    invertible = n_components >= _MANY and _are_independent(_cosines(G)[0], _INVERTIBLE)
    inverse = _inverse(G, 0.0 if invertible else _RIDGE[A.dtype])

    def solve_block(start, stop):
        A_block = np.ascontiguousarray(A[:, start:stop])
        if near is not None:
            guess = near[:, start:stop]
        else:
            guess = np.maximum(inverse @ A_block, 0)
            # A fixed number of sweeps, so that no row's guess depends on its neighbours.
            sweep_columns(guess, A_block, G, 0, stop - start, 8, 0.0, guess)
        if invertible:
            W[start:stop] = _solve_by_inverse(guess, A_block, G, inverse)
        else:
            W[start:stop] = solve_nnls_rows(guess, A_block, G[None])

    work = 30.0 * n_components**2 + n_components**3
    many = min(n_samples // 8, _SORTED)
    workers.map(solve_block, blocks_of(n_samples, work, smallest=max(many, 64)))
    return W


def _solve_by_inverse(guess, A, G, inverse):
    """`solve_nnls_rows` for one G with an inverse, by which rows with few zeros are solved."""
    most = int(_FEW * len(G))
    few = np.flatnonzero((guess > 0).sum(axis=0) >= len(G) - most)
    if not len(few):
        return solve_nnls_rows(guess, A, G[None])
    W = np.empty((A.shape[1], len(G)))
    rows, linear = (np.array(F[:, few].T, dtype=np.float64, order="C") for F in (guess, A))
    solved = pivot_few_zeros(rows, linear, G, inverse, most, _ROUNDS)
    W[few] = rows
    left = np.ones(len(W), np.bool_)
    left[few[solved]] = False
    guess, A = (np.compress(left, F, axis=1) for F in (guess, A))
    W[left] = solve_nnls_rows(guess, A, G[None])
    return W


def solve_nnls_rows(guess, A, Q):
    """Exact rows for one Gram matrix a row, or a shared one.

    Parameters
    ----------
    guess : ndarray of shape (n_components, n_rows)
        Its support is where pivoting starts.
    A : ndarray of shape (n_components, n_rows), float64
    Q : ndarray of shape (n_rows or 1, n_components, n_components), float64

    Returns
    -------
    ndarray of shape (n_rows, n_components)
    """
    order = np.arange(A.shape[1])
    if len(Q) == 1:  # rows with the same support, or much of it, share a factorization
        order = np.lexsort(np.packbits(guess > 0, axis=0)[::-1])
    rows = np.array(guess.T[order], dtype=np.float64, order="C")  # pivoting overwrites it
    linear = np.ascontiguousarray(A.T[order])
    solved = pivot_rows(rows, linear, Q, 5 * len(A) + 10)
    if not solved.all():
        exchange_rows(rows, linear, Q, np.flatnonzero(~solved), 50 * len(A))
    W = np.empty_like(rows)
    W[order] = rows
    return W
