"""Matrices and tensors as lists of their observed entries, and back."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from factorkit.utils._validation import check_coordinates


def to_entries(X, *, missing="nan"):
    """List the observed entries of a matrix or a tensor.

    Parameters
    ----------
    X : array-like of any order, or sparse array
        NaN is missing. A sparse array of another order than 2 is a tensor: what it doesn't
        store is missing.

    missing : {"nan", "unstored"}, default="nan"
        Which entries of a sparse matrix are missing: those that are NaN (all others, the
        unstored zeros too, are listed), or those as well that aren't stored.

    Returns
    -------
    coords : ndarray of intp of shape (n_entries, n_modes)
        Coordinates, in C order.

    values : ndarray of shape (n_entries,)

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import to_entries
    >>> coords, values = to_entries([[1.0, np.nan], [3.0, 4.0]])
    >>> coords.tolist(), values.tolist()
    ([[0, 0], [1, 0], [1, 1]], [1.0, 3.0, 4.0])
    """
    if missing not in ("nan", "unstored"):
        raise ValueError(f"missing={missing!r}: it takes 'nan' or 'unstored'.")
    if sparse.issparse(X) and X.ndim == 2 and missing == "nan":
        X = X.toarray()
    if not sparse.issparse(X):
        X = np.asarray(X)
        coords = np.indices(X.shape, dtype=np.intp).reshape(X.ndim, -1).T
        values = X.ravel()
    else:
        X = as_tensor(X.tocoo(copy=True))
        coords, values = np.column_stack(X.coords).astype(np.intp, copy=False), X.data
    observed = values == values
    return coords[observed], values[observed]


def from_entries(coords, values, shape=None):
    """Make a sparse array of a list of entries: the inverse of :func:`to_entries`.

    Parameters
    ----------
    coords : array-like of shape (n_entries, n_modes)
        Integer coordinates; no two rows are equal.

    values : array-like of shape (n_entries,)
        Zeros are stored too: they are observed, whoever gets the array has to be told
        ``missing="unstored"``.

    shape : tuple of int or None, default=None
        The length of each mode; by default the largest coordinate and one.

    Returns
    -------
    X : csr_array for two modes, else coo_array

    Raises
    ------
    ValueError
        For coordinates that are negative, not whole, beyond the shape or repeated.

    Examples
    --------
    >>> from factorkit import from_entries
    >>> X = from_entries([[0, 0], [1, 2]], [5.0, 0.0])
    >>> X.shape, X.nnz
    ((2, 3), 2)
    """
    coords = check_coordinates(coords, None if shape is None else len(shape), shape=shape)
    values = check_array(values, ensure_2d=False, ensure_all_finite=False, ensure_min_samples=0)
    check_consistent_length(coords, values)
    if shape is None:
        if not len(coords):
            raise ValueError("coords is empty, so shape has to be given.")
        shape = tuple(int(length) for length in coords.max(axis=0) + 1)
    X = sparse.coo_array((values, tuple(coords.T)), shape=shape)
    X = as_csr(X) if len(shape) == 2 else as_tensor(X)
    if X.nnz < len(values):
        raise ValueError(
            f"coords names {len(values) - X.nnz} of {len(values)} entries more than once. Take "
            "their means first, or let EntryRegressor do it."
        )
    return X


def as_csr(array):
    """Return a canonical CSR array; duplicates of a COO array are summed, zeros stay stored."""
    array = array.tocsr()
    array.sum_duplicates()
    return array


def as_tensor(array):
    """Sum the duplicates of a COO array in place, sort it in C order and return it."""
    array.sum_duplicates()
    return array
