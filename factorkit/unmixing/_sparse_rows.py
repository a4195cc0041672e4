"""Sparse regression of pixels on a library of spectra, one pixel at a time, exact.

    min_{a >= 0}  ½ ‖y − Dᵀa‖² + λ Σ_j a_j + ½ Σ_j r_j a_j²

is NNLS with a shifted linear term and a ridge: only G = D Dᵀ + diag(r) and Y Dᵀ − λ matter.
"""

import numpy as np

from ..utils._threads import blocks_of
from ._abundances import RowSolver, row_products

# Without it the active set would bar a spectrum that those of the support span; under a penalty
# the two need not be worth the same, as a spectrum and its double are not.
_RIDGE = 1e-12


def sparse_rows(Y, D, l1, workers, ridge=None):
    """Solve every pixel.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64.
    D : ndarray of shape (n_spectra, n_bands), float64
    l1 : float
        λ.
    workers : Workers
    ridge : ndarray of shape (n_spectra,) or None, default=None
        r; None for none.

    Returns
    -------
    A : ndarray of shape (n_pixels, n_spectra), of the dtype of `Y`
        The minimizer, up to a relative ridge of 1e-12; where it is unique, a pixel's depends on
        no other pixel.

    Notes
    -----
    An active set that starts at the support of the pixel before. A pixel costs the product of
    n_bands * n_spectra, and about n_spectra operations for each spectrum of the support, for
    each of its changes. For a library of 300 spectra that is a twentieth of what principal
    pivoting on all of them takes.
    """
    A = np.empty((len(Y), len(D)), dtype=Y.dtype)
    G = D @ D.T
    G[np.diag_indices_from(G)] *= 1 + _RIDGE
    if ridge is not None:
        G[np.diag_indices_from(G)] += ridge
    rows = RowSolver(G, True, False)

    def solve_block(start, stop):
        A[start:stop] = rows(row_products(Y[start:stop], D) - l1)

    workers.map(solve_block, scene_blocks(Y, D))
    return A


def largest_l1(Y, D, workers):
    """The least λ for which every abundance is zero, max_ij (Y Dᵀ)_ij."""
    largest = workers.map(lambda i, j: row_products(Y[i:j], D).max(initial=0.0), scene_blocks(Y, D))
    return max(0.0, *largest)


def lasso_certificate(Y, D, A, l1, workers):
    """Objective ½‖Y − A D‖² + λ‖A‖₁ of nonnegative A, and how far it is from the least one.

    Returns
    -------
    objective : float
    gap : float
        Duality gap, as a fraction of ½‖Y‖²: no A has an objective that is lower by more. Where
        λ = 0 no multiple of the residual need be feasible for the dual; then it is the sum of
        the products of A with its gradient, and of what the gradient lacks to be nonnegative
        with the sum of A: zero at the minimizer alone.
    """
    G = D @ D.T

    def of_block(start, stop):
        y = Y[start:stop].astype(np.float64)
        a = A[start:stop].astype(np.float64)
        F = row_products(y, D)
        correlations = F - a @ G
        squares = np.einsum("ij,ij->i", y, y)
        fitted = np.einsum("ij,ij->i", F, a)
        residual = squares - fitted - np.einsum("ij,ij->i", correlations, a)
        primal = 0.5 * residual + l1 * a.sum(axis=1)
        top = np.maximum(correlations.max(axis=1, initial=0.0), 0.0)
        if l1 > 0:
            s = l1 / np.maximum(top, l1)
            gap = primal - (s * (squares - fitted) - 0.5 * s**2 * residual)
        else:
            gap = np.abs(a * correlations).sum(axis=1) + top * a.sum(axis=1)
        return primal.sum(), np.maximum(gap, 0.0).sum(), 0.5 * squares.sum()

    objective, gap, total = np.sum(workers.map(of_block, scene_blocks(Y, D)), axis=0)
    return float(objective), float(gap / total) if total else 0.0


def scene_blocks(Y, D):
    """Blocks of pixels for a product with the library and a solve."""
    k, n_bands = D.shape
    return blocks_of(len(Y), 2.0 * n_bands * k + 20.0 * k**1.5)
