"""Abundances of given endmembers, exact, a block of pixels at a time.

    min_a ½ ‖y − Eᵀa‖²    subject to a ≥ 0 (NNLS), Σ a = 1 (SCLS), both (FCLS) or neither (UCLS)

Only G = E Eᵀ and F = Y Eᵀ matter. Where Σ a = 1, a vector may be taken off every spectrum and a
number added to all of G and F: the mean of the endmembers leaves better-conditioned numbers, and
the number makes G positive definite wherever the endmembers are affinely independent.

References
----------
D. C. Heinz and C.-I Chang, "Fully Constrained Least Squares Linear Spectral Mixture Analysis
Method for Material Quantification in Hyperspectral Imagery", IEEE TGRS 39, 2001.
"""

import numpy as np

from ..utils._threads import blocks_of
from ._abundance_kernels import table_rows
from ._product_kernels import LANES as BANDS
from ._product_kernels import products, tiles_of
from ._support_kernels import active_set_rows
from ._table_kernels import support_table
from ._table_vectors import WIDTHS

# Endmembers up to which the supports are worth a table.
_TABLE_LIMIT = 12
# The table holds inverses, which lose as many digits as the Gram matrix lacks; a Cholesky
# factorization for each support loses none in the fit, and takes two to eight times as long.
_TABLE_ACCURACY = 1e-6


def abundances_of(Y, E, method, workers, *, band_weights=None, pixels=None, scale=None):
    """Abundances of every pixel.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Float32 or float64; NaN entries are left out.
    E : ndarray of shape (n_endmembers, n_bands)
    method : {"fcls", "nnls", "scls", "ucls"}
    workers : Workers
    band_weights : ndarray of shape (n_bands,) or None, default=None
        Weights of the squared residuals; a band of weight 0 may hold anything.
    pixels : ndarray of intp or None, default=None
        The pixels to take.
    scale : ndarray of shape (n_pixels,) or None, default=None
        What each spectrum is multiplied by first.

    Returns
    -------
    A : ndarray of shape (n_pixels, n_endmembers), of the dtype of `Y`
        NaN for a pixel of which nothing is known.

    Notes
    -----
    A pixel costs the product of n_bands * n_endmembers, and a mat-vec of n_endmembers² for each
    support that is tried, usually one to five.
    """
    nonnegative, to_one = METHODS[method]
    E = np.ascontiguousarray(E, dtype=np.float64)
    shift = E.mean(axis=0) if to_one else np.zeros(E.shape[1])
    centred = E - shift
    # Equal endmembers differ by rounding errors of their mean, which are no spectra.
    centred[np.abs(centred) <= 4 * np.finfo(np.float64).eps * np.abs(shift)] = 0
    weighted = centred if band_weights is None else centred * band_weights
    n = len(Y) if pixels is None else len(pixels)
    A = np.empty((n, len(E)), dtype=Y.dtype)
    rows = RowSolver(weighted @ centred.T, nonnegative, to_one)
    offset = np.zeros(rows.width)
    offset[: len(E)] = weighted @ shift - rows.shift
    kept = None if band_weights is None else np.flatnonzero(band_weights)
    if kept is not None and len(kept) < len(band_weights):
        # A dead band may be NaN or infinite: it must not even be multiplied by zero.
        weighted = np.ascontiguousarray(weighted[:, kept])
    else:
        kept = None

    def solve_block(start, stop):
        taken = slice(start, stop) if pixels is None else pixels[start:stop]
        y = Y[taken] if kept is None else Y[taken][:, kept]
        F = row_products(y, weighted, offset if scale is None else np.zeros_like(offset))
        if scale is not None:
            F *= scale[taken, None]
            F -= offset
        holes = np.flatnonzero(np.isnan(F[:, 0]))
        F[holes] = 0
        # Double precision needs no copy of what is solved.
        solved = A[start:stop] if A.dtype == F.dtype else np.empty((len(F), len(E)))
        rows.solve(F, solved)
        if len(holes):
            blank = np.isnan(y[holes]).all(axis=1)
            w = np.ones(E.shape[1]) if band_weights is None else band_weights
            used = slice(None) if kept is None else kept
            y = y[holes] if scale is None else y[holes] * scale[taken][holes, None]
            solved[holes] = _with_holes(
                y, centred[:, used], shift[used], w[used], nonnegative, to_one
            )
            solved[holes[blank]] = np.nan
        if A.dtype != F.dtype:
            A[start:stop] = solved

    k = len(E)
    # Blocks whose products stay in the second-level cache, which the pixels leave to the table for
    # long enough.
    workers.map(solve_block, blocks_of(n, 2.0 * E.shape[1] * k + 20.0 * k**2, target=12e6))
    return A


class RowSolver:
    """Solves blocks of rows that share a Gram matrix.

    Parameters
    ----------
    G : ndarray of shape (n_endmembers, n_endmembers)
    nonnegative, to_one : bool
        The constraints.
    """

    def __init__(self, G, nonnegative, to_one):
        self.nonnegative, self.to_one = nonnegative, to_one
        self.shift = _shift(G) if to_one else 0.0
        self.G = G + self.shift
        self.table, self.width = None, len(G)
        if nonnegative and len(G) <= _TABLE_LIMIT:
            width = next(width for width in WIDTHS if len(G) <= width)
            *table, smallest = support_table(self.G, to_one, width)
            if smallest > _TABLE_ACCURACY:
                self.table, self.width = table, width
                self.wide_G = np.zeros((width, width))
                self.wide_G[: len(G), : len(G)] = self.G

    def __call__(self, F):
        """Solutions, of the shape of F; without sum-to-one F is the products with E."""
        wide = np.zeros((len(F), self.width))
        wide[:, : len(self.G)] = F + self.shift
        A = np.empty((len(F), len(self.G)))
        self.solve(wide, A)
        return A

    def solve(self, F, A):
        """Put the solutions into A, for an F of `width` columns, to which `shift` is added."""
        if not self.nonnegative:
            A[...] = unconstrained(F, self.G, self.to_one)
        elif self.table is not None:
            table_rows(F, self.wide_G, *self.table, self.to_one, A)
        else:
            active_set_rows(F, self.G[None], self.to_one, A)


def row_products(Y, E, offset=None):
    """Y Eᵀ − offset in float64, for blocks of pixels, followed by zeros up to the offset's size."""
    n_bands = E.shape[1]
    if offset is None:
        offset = np.zeros(len(E))
    if len(E) > 16 or n_bands < BANDS or len(Y) < 2:
        F = np.zeros((len(Y), len(offset)))
        F[:, : len(E)] = Y.astype(np.float64, copy=False) @ E.T - offset[: len(E)]
        return F
    F = np.empty((len(Y), len(offset)))
    E = np.ascontiguousarray(E, dtype=np.float64)
    last = np.zeros((len(E), BANDS))
    left = n_bands % BANDS
    if left:
        last[:, -left:] = E[:, -left:]
    products(np.ascontiguousarray(Y), E, last, tiles_of(len(E)), offset, F)
    return F


def unconstrained(F, G, to_one):
    """Least squares, without the sign."""
    H = np.linalg.pinv(G, hermitian=True)
    A = F @ H
    if to_one:
        h = H.sum(axis=1)
        A += ((1 - A.sum(axis=1)) / h.sum())[:, None] * h
    return A


def _shift(G):
    mean = np.trace(G) / len(G)
    return mean if mean > 0 else 1.0


def _with_holes(y, centred, shift, weights, nonnegative, to_one):
    """Pixels with missing entries: a Gram matrix each, over what they have."""
    y = y.astype(np.float64) - shift
    observed = ~np.isnan(y)
    y[~observed] = 0
    w = observed * weights
    k = len(centred)
    Q = np.empty((len(y), k, k))
    for t in range(k):
        Q[:, t] = w @ (centred[t] * centred).T
    F = (y * w) @ centred.T
    A = np.empty((len(y), k))
    if to_one:
        shifts = np.array([_shift(G) for G in Q])
        Q += shifts[:, None, None]
        F += shifts[:, None]
    if nonnegative:
        active_set_rows(F, Q, to_one, A)
        return A
    for i, (f, G) in enumerate(zip(F, Q, strict=True)):
        A[i] = unconstrained(f[None], G, to_one)[0]
    return A


# Nonnegative, sum to one.
METHODS = {
    "fcls": (True, True),
    "nnls": (True, False),
    "scls": (False, True),
    "ucls": (False, False),
}
