"""Checks of what users pass: matrices with missing entries, and weights.

What comes out is float32 or float64; sparse arrays and weights are what kernels take. A dense X
may be read-only and in any order: a copy of it would double the memory, so solvers bring it into
shape a block at a time.
"""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from factorkit.utils._sklearn import validate_data

_FLOATS = (np.float64, np.float32)


def validate_matrix(
    estimator,
    X,
    *,
    reset,
    missing="nan",
    allow_nan=True,
    nonnegative=True,
    block=False,
    accept_sparse="csr",
):
    """Check the X of a matrix estimator.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_``, or is asked for them.

    X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        Never modified. Sparse in any format; int32 or int64 indices. What a masked array masks
        is missing.

    reset : bool
        True in ``fit``: learn the number and names of the features. False elsewhere: check them.

    missing : {"nan", "unstored"}, default="nan"
        Which entries of a sparse X are missing: those stored as NaN, or those too that aren't
        stored. In a dense X the missing entries are NaN, whatever this says.

    allow_nan : bool, default=True
        Whether the estimator copes with missing entries.

    nonnegative : bool, default=True
        Whether to refuse negative values; NaN is not one.

    block : bool, default=False
        X is a few rows of the data, in which everything may be missing.

    accept_sparse : "csr" or False, default="csr"
        Whether the estimator takes a sparse X.

    Returns
    -------
    X : ndarray or csr_array of shape (n_samples, n_features)
        float32 if X was that, else float64. A dense one is not copied for its order. A CSR array
        is canonical: sorted, with duplicates summed; stored zeros stay stored. With
        ``missing="unstored"`` every stored value is finite.

    Raises
    ------
    ValueError
        For infinite or negative values, NaN where the estimator takes none, an X to fit in which
        every entry is missing, and whatever scikit-learn's ``validate_data`` refuses.
    """
    if isinstance(X, np.ma.MaskedArray):
        X = X.astype(X.dtype if X.dtype in _FLOATS else np.float64).filled(np.nan)
    X = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse=accept_sparse,
        dtype=_FLOATS,
        ensure_all_finite="allow-nan" if allow_nan else True,
    )
    if sparse.issparse(X):
        X = _canonical_csr(X)
        if missing == "unstored":
            X = _without_stored_nan(X)
    if reset and not block:
        _check_something_observed(X, missing)
    if nonnegative and _smallest(X) < 0:
        raise ValueError(f"Negative values in data passed to {type(estimator).__name__} (input X).")
    return X


def _canonical_csr(X):
    """Return a canonical CSR array with writeable parts, sharing what it can with X."""
    # The constructor shares the three arrays and keeps 64-bit indices.
    X_out = sparse.csr_array(X)
    parts = (X_out.data, X_out.indices, X_out.indptr)
    canonical = X_out.has_canonical_format
    if not canonical or not all(part.flags.writeable for part in parts):
        # Read-only parts (a joblib worker's memory map) would make kernels compile once more.
        X_out = X_out.copy()
    if not canonical:
        X_out.sum_duplicates()
    return X_out


def _without_stored_nan(X):
    observed = ~np.isnan(X.data)
    if observed.all():
        return X
    indptr = np.concatenate(([0], np.cumsum(observed)))[X.indptr].astype(X.indptr.dtype)
    return _csr_like(X, X.data[observed], X.indices[observed], indptr)


def _csr_like(X, data, indices, indptr):
    """Build a CSR array of the shape of X around the given parts, which are canonical."""
    out = sparse.csr_array(X.shape, dtype=data.dtype)
    # The constructor that takes the parts would scan 64-bit indices and may copy them.
    out.data, out.indices, out.indptr = data, indices, indptr
    out.has_canonical_format = True
    return out


def _check_something_observed(X, missing):
    if sparse.issparse(X):
        nothing = X.nnz == 0 if missing == "unstored" else X.nnz == np.prod(X.shape, dtype=float)
        nothing = nothing and np.isnan(X.data).all()
    else:
        # A matrix with an observed first entry, the usual one, is not scanned.
        nothing = np.isnan(X.flat[0]) and np.isnan(X).all()
    if nothing:
        raise ValueError(
            f"X of shape {X.shape} has no observed entry: all are missing."
            + (' With missing="nan" unstored entries are zeros.' if missing == "unstored" else "")
        )


def _smallest(X):
    values = X.data if sparse.issparse(X) else X
    smallest = values.min(initial=np.inf)
    # min is several times as fast as fmin, but a single NaN hides everything else from it.
    return np.fmin.reduce(values, axis=None) if np.isnan(smallest) else smallest


def check_coordinates(coords, n_modes, *, shape=None, name="coords"):
    """Check integer coordinates of entries.

    Parameters
    ----------
    coords : array-like of shape (n_entries, n_modes)
        Whole numbers from zero, one column a mode; floats that hold whole numbers are taken.

    n_modes : int or None
        How many columns there must be; None accepts any number.

    shape : tuple of n_modes ints or None, default=None
        What the coordinates have to stay below.

    name : str, default="coords"
        What the caller's argument is called, for the messages.

    Returns
    -------
    coords : ndarray of intp of shape (n_entries, n_modes)

    Raises
    ------
    ValueError
        For another number of columns, and for coordinates that are missing, not whole,
        negative or beyond the shape.
    """
    coords = check_array(coords, dtype="numeric", ensure_min_samples=0, input_name=name)
    if n_modes is not None and coords.shape[1] != n_modes:
        raise ValueError(
            f"{name} has {coords.shape[1]} columns; it takes one for each of {n_modes} modes."
        )
    if coords.size and coords.min() < 0:
        # scikit-learn's words for it come first: its estimator checks look for them.
        raise ValueError(
            f"Negative values in data passed as {name}: coordinates count from 0, the smallest "
            f"is {coords.min()}."
        )
    with np.errstate(invalid="ignore"):  # beyond what an integer holds; refused just below
        whole = coords.astype(np.intp, copy=False)
    if not np.array_equal(whole, coords):
        raise ValueError(
            f"{name} has coordinates that are not whole numbers, such as "
            f"{coords[whole != coords][0]:g}."
        )
    if shape is not None and whole.size:
        for mode, (largest, length) in enumerate(zip(whole.max(axis=0), shape, strict=True)):
            if largest >= length:
                raise ValueError(
                    f"{name} has coordinate {largest} in column {mode}; that mode has "
                    f"{length} indices, from 0."
                )
    return whole


def check_weights(sample_weight, entry_weight, X, *, missing="nan"):
    """Check weights of rows and of entries, and multiply them into one array.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        Weights of the rows.

    entry_weight : {array-like, sparse array} of shape (n_samples, n_features) or None
        Weights of the entries. A sparse one goes with a sparse X and ``missing="unstored"``: it
        stores a weight (zero is one) wherever X stores a value; what it stores elsewhere is
        ignored.

    X : ndarray or csr_array of shape (n_samples, n_features)
        As :func:`validate_matrix` returned it.

    missing : {"nan", "unstored"}, default="nan"
        What an unstored entry of a sparse X is.

    Returns
    -------
    weight : None, ndarray or csr_array, of the dtype of X
        None without weights; of shape (n_samples,) for weights of rows alone; else of the shape
        of X. For a sparse X with ``missing="unstored"`` it is a CSR array that shares the
        ``indices`` and ``indptr`` of X, so its ``data`` are aligned with X's.

    Raises
    ------
    ValueError
        For weights of another shape, negative, not finite, or all zero; for a sparse
        ``entry_weight`` beside an X whose unstored entries are not missing.
    """
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, X.shape[0], X.dtype)
    if entry_weight is None:
        return sample_weight
    weight = _check_entry_weight(entry_weight, X, missing)
    values = weight.data if sparse.issparse(weight) else weight
    _check_weight_values(values, "entry_weight")
    return weight if sample_weight is None else multiply_weights(sample_weight, weight)


def multiply_weights(sample_weight, entry_weight):
    """Weights of samples times weights of entries, both as `check_weights` returns them."""
    if not sparse.issparse(entry_weight):
        return entry_weight * sample_weight[:, None]
    W = entry_weight
    return _csr_like(W, W.data * np.repeat(sample_weight, np.diff(W.indptr)), W.indices, W.indptr)


def check_sample_weight(sample_weight, n_samples, dtype):
    """Return weights of rows as an array of shape (n_samples,), or raise ValueError."""
    if np.isscalar(sample_weight):
        raise ValueError(
            f"sample_weight must have shape ({n_samples},), a weight for each sample. Got "
            f"{sample_weight!r:.60}."
        )
    weight = check_array(
        sample_weight,
        ensure_2d=False,
        dtype=dtype,
        order="C",
        force_writeable=True,
        input_name="sample_weight",
    )
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}; X has {n_samples} samples, so it must "
            f"have shape ({n_samples},)."
        )
    _check_weight_values(weight, "sample_weight")
    return weight


def _check_weight_values(weight, name):
    if weight.size and weight.min() < 0:
        raise ValueError(f"Negative values in {name}: its smallest is {weight.min():.6g}.")
    if not weight.any():
        raise ValueError(f"{name} has only zero weights: nothing is left to fit.")


def _check_entry_weight(entry_weight, X, missing):
    is_sparse = sparse.issparse(entry_weight)
    if getattr(entry_weight, "ndim", 2) != 2 or np.isscalar(entry_weight):
        raise ValueError(
            f"entry_weight must have the shape of X, {X.shape}. Got {entry_weight!r:.60}."
        )
    by_entry = sparse.issparse(X) and missing == "unstored"
    if is_sparse and not by_entry:
        raise ValueError(
            "A sparse entry_weight needs a sparse X whose unstored entries are missing "
            f'(missing="unstored"); X is {"sparse" if sparse.issparse(X) else "dense"} and '
            f"missing={missing!r}. Pass entry_weight as a dense array."
        )
    weight = check_array(
        entry_weight,
        accept_sparse="csr",
        dtype=X.dtype,
        order="C",
        force_writeable=True,
        input_name="entry_weight",
    )
    if weight.shape != X.shape:
        raise ValueError(
            f"entry_weight has shape {weight.shape}; it must have the shape of X, {X.shape}."
        )
    if not by_entry:
        return weight
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    if is_sparse:
        values = _stored_values_at(_canonical_csr(weight), X, rows)
    else:
        values = weight[rows, X.indices]
    return _csr_like(X, values, X.indices, X.indptr)


def _stored_values_at(weight, X, rows):
    """Return the values that a canonical CSR array stores where X stores one."""
    if np.array_equal(weight.indptr, X.indptr) and np.array_equal(weight.indices, X.indices):
        return weight.data
    n_features = np.int64(X.shape[1])
    weight_rows = np.repeat(np.arange(X.shape[0]), np.diff(weight.indptr))
    # Both lists of positions are sorted, as the arrays are canonical.
    stored = weight_rows * n_features + weight.indices
    wanted = rows * n_features + X.indices
    found = np.searchsorted(stored, wanted)
    found[found == stored.size] = 0
    n_lacking = wanted.size if not stored.size else np.count_nonzero(stored[found] != wanted)
    if n_lacking:
        raise ValueError(
            f"entry_weight stores no weight for {n_lacking} of the {X.nnz} entries that X "
            "stores; a weight of zero has to be stored too."
        )
    return weight.data[found]
