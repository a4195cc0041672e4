"""Data at the edge of what a matrix is, and every way to pass one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit import NMF

from ._reference import LOSSES, beta_of, low_rank, objective

METHODS = [("cd", b) for b in LOSSES] + [("mu", b) for b in (2, 1, 1.5)]
PENALTIES = [{}, {"alpha_W": 0.01, "l1_ratio": 0.5}]


def edge(name):
    X = low_rank(np.random.default_rng(0), 12, 9) + 0.05
    if name == "zero row":
        X[4] = 0
    elif name == "zero column":
        X[:, 4] = 0
    elif name == "mostly zero":
        X[2:], X[:, 2:] = 0, 0
    elif name == "one entry":
        X[:] = 0
        X[3, 2] = 5
    elif name == "all zero":
        X[:] = 0
    elif name == "one row":
        X = X[:1]
    elif name == "one column":
        X = X[:, :1]
    elif name == "one cell":
        X = X[:1, :1]
    elif name == "constant":
        X[:] = 7
    elif name == "equal rows":
        X[:] = X[0]
    elif name == "equal columns":
        X[:] = X[:, :1]
    elif name == "huge outlier":
        X[3, 4] = 1e8
    return X


EDGES = [
    "zero row",
    "zero column",
    "mostly zero",
    "one entry",
    "all zero",
    "one row",
    "one column",
    "one cell",
    "constant",
    "equal rows",
    "equal columns",
    "huge outlier",
]


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_any_nonnegative_matrix_is_factorized(name, solver, beta_loss, penalty, container):
    X = edge(name)
    for k in (1, 3, 14):
        nmf = NMF(
            k, solver=solver, beta_loss=beta_loss, tol=0, max_iter=15, random_state=0, **penalty
        )
        W, H = nmf.fit_transform(container(X)), nmf.components_
        assert W.shape == (len(X), k) and H.shape == (k, X.shape[1])
        for values in (W, H, nmf.reconstruction_err_, nmf.kkt_residual_):
            assert np.isfinite(values).all() and np.min(values) >= 0
        # Up to rounding of the whole, against which what is left may be nothing.
        whole = objective(X, np.zeros_like(W), H) if beta_of(beta_loss) == 2 else X.sum()
        assert np.all(nmf.objective_ >= -1e-12 * whole)
        assert np.all(np.diff(nmf.objective_) <= 1e-9 * nmf.objective_[:-1] + 1e-12 * whole)
        assert_array_equal(nmf.transform(container(X)), W)


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("missing", ["holes", "unstored", "float32"])
def test_any_nonnegative_matrix_with_holes_is_factorized(name, beta_loss, missing):
    X, options = edge(name), {}
    if missing == "holes" and X.size > 9:
        X[0, 0] = X[-1, -1] = np.nan
    elif missing == "unstored":
        if not X.any():
            X[0, 0] = 1
        X, options = sparse.csr_array(X), {"missing": "unstored"}
    elif missing == "float32":
        X = X.astype(np.float32)
    nmf = NMF(3, beta_loss=beta_loss, tol=0, max_iter=15, random_state=0, **options)
    W = nmf.fit_transform(X)
    for values in (W, nmf.components_, nmf.kkt_residual_):
        assert np.isfinite(values).all() and np.min(values) >= 0
    assert np.isfinite(nmf.objective_).all()


@pytest.mark.parametrize("solver, beta_loss", METHODS)
@pytest.mark.parametrize(
    "name", ["constant", "equal rows", "equal columns", "one row", "one entry"]
)
@pytest.mark.parametrize("k", [1, 3])
def test_matrices_of_rank_one_are_reproduced(solver, beta_loss, name, k):
    X = edge(name)
    nmf = NMF(k, solver=solver, beta_loss=beta_loss, tol=1e-6, max_iter=5000, random_state=0)
    assert_allclose(nmf.fit_transform(X) @ nmf.components_, X, atol=1e-3 * X.max())


@pytest.mark.parametrize("name", ["zero row", "zero column"])
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_what_is_zero_stays_zero(name, beta_loss):
    X = edge(name)
    nmf = NMF(3, beta_loss=beta_loss, max_iter=2000)
    fitted = nmf.fit_transform(X) @ nmf.components_
    assert_allclose(fitted[X == 0], 0, atol=1e-12)


def forms(tmp_path):
    """One matrix of small whole numbers in every form."""
    X = np.random.default_rng(0).integers(0, 5, size=(12, 7)).astype(float)
    on_disk = np.memmap(tmp_path / "X", dtype=float, mode="w+", shape=X.shape)
    on_disk[:] = X
    on_disk.flush()
    read_only = X.copy()
    read_only.flags.writeable = False
    padded = np.zeros((24, 14))
    padded[::2, ::2] = X
    return X, {
        "fortran": np.asfortranarray(X),
        "strided": padded[::2, ::2],
        "reversed": X[::-1].copy()[::-1],
        "read-only": read_only,
        "memmap": np.memmap(tmp_path / "X", dtype=float, mode="r", shape=X.shape),
        "int64": X.astype(np.int64),
        "int32": X.astype(np.int32),
        "uint8": X.astype(np.uint8),
        "list": X.tolist(),
        "object": X.astype(object),
        "longdouble": X.astype(np.longdouble),
        "float16": X.astype(np.float16),
        "sparse int": sparse.csr_array(X.astype(np.int64)),
    }


FORMS = [
    "fortran",
    "strided",
    "reversed",
    "read-only",
    "memmap",
    "int64",
    "int32",
    "uint8",
    "list",
    "object",
    "longdouble",
    "float16",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta_loss", LOSSES)
def test_every_form_of_a_matrix_gives_the_same_factors(form, beta_loss, tmp_path):
    X, given = forms(tmp_path)
    given = given[form]
    options = {"beta_loss": beta_loss, "tol": 0, "max_iter": 10, "random_state": 0}
    expected, nmf = (NMF(3, **options) for _ in range(2))
    W_expected, W = expected.fit_transform(X), nmf.fit_transform(given)
    assert W.dtype == np.float64
    assert_allclose(W, W_expected, rtol=1e-9, atol=1e-12)
    assert_allclose(nmf.transform(given), W_expected, rtol=1e-9, atol=1e-12)
    assert_array_equal(np.asarray(given, dtype=float), X)  # untouched


@pytest.mark.parametrize("dtype", [bool, np.int64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_truth_values_and_whole_numbers_are_data(rng, dtype, container):
    X = rng.integers(0, 2, size=(12, 7)).astype(dtype)
    nmf = NMF(3, tol=0, max_iter=5, random_state=0)
    W = nmf.fit_transform(container(X))
    expected = NMF(3, tol=0, max_iter=5, random_state=0).fit_transform(container(X.astype(float)))
    assert_array_equal(W, expected)


def test_a_data_frame_gives_names_to_the_features(rng):
    pandas = pytest.importorskip("pandas")
    X = rng.random((12, 3))
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    nmf = NMF(2, tol=0, max_iter=5, random_state=0)
    W = nmf.fit_transform(frame)
    assert_array_equal(nmf.feature_names_in_, ["a", "b", "c"])
    assert_array_equal(W, NMF(2, tol=0, max_iter=5, random_state=0).fit_transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        nmf.transform(frame[["b", "a", "c"]])
    frame.loc[3, "b"] = None  # missing, in pandas' words
    X[3, 1] = np.nan
    assert_array_equal(
        nmf.fit_transform(frame), NMF(2, tol=0, max_iter=5, random_state=0).fit_transform(X)
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_custom_starts_may_come_in_any_order_and_are_not_changed(rng, order):
    X = rng.random((12, 7))
    W, H = np.array(rng.random((12, 3)), order=order), np.array(rng.random((3, 7)), order=order)
    before = W.copy(), H.copy()
    W.flags.writeable = H.flags.writeable = False
    options = {"init": "custom", "tol": 0, "max_iter": 5}
    nmf = NMF(3, **options).fit(X, W=W, H=H)
    assert_array_equal(W, before[0])
    assert_array_equal(H, before[1])
    expected = NMF(3, **options).fit(X, W=np.ascontiguousarray(W), H=np.ascontiguousarray(H))
    assert_array_equal(nmf.components_, expected.components_)


@pytest.mark.parametrize("beta_loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_custom_start_of_any_size_is_brought_to_scale(rng, beta_loss, dtype):
    X = low_rank(rng).astype(dtype)
    W, H = rng.random((40, 3)).astype(dtype), rng.random((3, 25)).astype(dtype)
    ends = [
        NMF(3, init="custom", beta_loss=beta_loss, max_iter=1000)
        .fit(X, W=c * W, H=H)
        .objective_[-1]
        for c in map(dtype, (1, 1e-6, 1e6))
    ]
    assert_allclose(ends, ends[0], rtol=1e-3)


def test_components_of_a_custom_start_may_be_zero(rng):
    X, W, H = rng.random((12, 7)), rng.random((12, 3)), rng.random((3, 7))
    W[:, 1] = H[2] = 0
    for beta_loss in LOSSES:
        nmf = NMF(3, init="custom", beta_loss=beta_loss, tol=0, max_iter=20)
        assert np.isfinite(nmf.fit_transform(X, W=W, H=H)).all()
        assert np.isfinite(nmf.components_).all() and np.isfinite(nmf.kkt_residual_)
