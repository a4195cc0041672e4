"""What every factorization promises, and what it accepts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.utils import get_tags

from factorkit.base import TensorFactorization
from factorkit.utils._validation import check_coordinates, check_weights, validate_matrix
from tests._toy import ToyALS

CONTAINERS = [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.csc_matrix]


class PlantedCP(TensorFactorization):
    """Knows its factors; transform is least squares on the observed entries."""

    def __init__(self, factors=None):
        self.factors = factors

    def fit(self, X, y=None):
        self.factors_ = self.factors
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)

    def transform(self, X):
        K = np.einsum("jr,kr->jkr", *self.factors_[1:]).reshape(-1, self._n_features_out)
        X = X.toarray() if sparse.issparse(X) else X
        X = X.reshape(len(X), -1)
        rows = [np.linalg.lstsq(K[~np.isnan(x)], x[~np.isnan(x)], rcond=None)[0] for x in X]
        return np.array(rows)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def X(rng):
    return rng.random((12, 9))


def explained(X, fitted, observed):
    return 1 - np.sum((X - fitted)[observed] ** 2) / np.sum(X[observed] ** 2)


def test_score_is_the_explained_variance_of_the_observed_entries(X):
    X[2, 3] = X[7, 0] = np.nan
    toy = ToyALS(3, random_state=0).fit(X)
    fitted = toy.inverse_transform(toy.transform(X))
    assert toy.score(X) == pytest.approx(explained(X, fitted, ~np.isnan(X)), abs=1e-12)
    assert toy.score(X) < ToyALS(5, random_state=0).fit(X).score(X) <= 1


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("missing", ["nan", "unstored"])
def test_score_of_sparse_data_counts_what_is_observed(X, container, missing):
    X[X < 0.6] = 0
    X[0, 0] = np.nan
    toy = ToyALS(2, missing=missing, random_state=0).fit(container(X))
    W = toy.transform(container(X))
    observed = ~np.isnan(X) if missing == "nan" else (X > 0)
    expected = explained(X, toy.inverse_transform(W), observed)
    assert toy.score(container(X)) == pytest.approx(expected, abs=1e-12)


def test_score_goes_by_blocks(X, monkeypatch):
    toy = ToyALS(2, random_state=0).fit(X)
    score, sparse_score = toy.score(X), toy.score(sparse.csr_array(X))
    monkeypatch.setattr("factorkit.utils._errors._BLOCK_SIZE", 25)
    assert toy.score(X) == pytest.approx(score, abs=1e-14)
    assert toy.score(sparse.csr_array(X)) == pytest.approx(sparse_score, abs=1e-14)
    assert score == pytest.approx(sparse_score, abs=1e-12)


@pytest.mark.parametrize("X, score", [(np.zeros((4, 3)), 1.0), (np.ones((4, 3)), 0.0)])
def test_score_of_zeros_is_one_only_for_zeros(X, score):
    toy = ToyALS(1, random_state=0).fit(np.ones((4, 3)))
    toy.components_ = 0 * toy.components_
    assert toy.score(X) == pytest.approx(score)


def test_entries_of_the_reconstruction_are_those_of_the_reconstruction(X, rng, monkeypatch):
    monkeypatch.setattr("factorkit.base._BLOCK_SIZE", 25)
    toy = ToyALS(2, random_state=0).fit(X)
    W = toy.transform(X)
    coords = np.column_stack((rng.integers(0, 12, 40), rng.integers(0, 9, 40)))
    expected = toy.inverse_transform(W)[tuple(coords.T)]
    assert_allclose(toy.inverse_transform_entries(W, coords), expected)
    assert_allclose(toy.inverse_transform_entries(W, coords.astype(float)), expected)
    assert toy.inverse_transform_entries(W, np.empty((0, 2), int)).shape == (0,)


def test_float32_stays_float32(X):
    X = X.astype(np.float32)
    toy = ToyALS(2, random_state=0).fit(X)
    W = toy.transform(X)
    assert W.dtype == toy.inverse_transform(W).dtype == np.float32
    assert toy.inverse_transform_entries(W, [[0, 0]]).dtype == np.float32


def test_transform_with_pandas_output_can_be_scored_and_inverted(X):
    pytest.importorskip("pandas")
    toy = ToyALS(2, random_state=0).set_output(transform="pandas").fit(X)
    W = toy.transform(X)
    assert list(W.columns) == ["toyals0", "toyals1"]
    assert toy.inverse_transform(W).shape == X.shape
    assert 0 < toy.score(X) < 1


def test_coefficients_of_another_number_of_components_are_refused(X):
    toy = ToyALS(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="W has 3 columns; this ToyALS has 2 components"):
        toy.inverse_transform(np.ones((4, 3)))


@pytest.mark.parametrize(
    "coords, message",
    [
        ([[0, 9]], "coords has coordinate 9 in column 1; that mode has 9 indices"),
        ([[-1, 0]], "Negative values in data passed as coords.*the smallest is -1"),
        ([[0, 0.5]], "coords has coordinates that are not whole numbers, such as 0.5"),
        ([[0, 1e30]], "not whole numbers, such as 1e\\+30"),
        ([[0, np.nan]], "coords contains NaN"),
        ([[0, 0, 0]], "coords has 3 columns; it takes one for each of 2 modes"),
    ],
)
def test_coordinates_that_name_no_entry_are_refused(X, coords, message):
    toy = ToyALS(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match=message):
        toy.inverse_transform_entries(toy.transform(X), coords)


def test_coordinates_of_any_integer_type_become_intp():
    for dtype in (np.uint8, np.int32, np.uint64, np.float32, bool):
        assert check_coordinates(np.array([[0, 1]], dtype=dtype), 2).dtype == np.intp


def test_a_tensor_factorization_keeps_the_same_promises(rng):
    factors = [rng.random((length, 2)) for length in (5, 4, 3)]
    X = np.einsum("ir,jr,kr->ijk", *factors)
    cp = PlantedCP(factors).fit(X)
    W = cp.transform(X)
    assert_allclose(W, factors[0])
    assert_allclose(cp.inverse_transform(W), X)
    coords = np.column_stack([rng.integers(0, length, 20) for length in X.shape])
    assert_allclose(cp.inverse_transform_entries(W, coords), X[tuple(coords.T)])
    assert list(cp.get_feature_names_out()) == ["plantedcp0", "plantedcp1"]
    assert get_tags(cp).input_tags.three_d_array
    X[0, 0, 0] = np.nan
    assert cp.score(X) == pytest.approx(1)
    assert cp.score(sparse.coo_array(rng.random((5, 4, 3)))) < 1
    noisy = rng.random((5, 4, 3))
    assert cp.score(noisy) == pytest.approx(cp.score(sparse.coo_array(noisy)))
    fitted = cp.inverse_transform(cp.transform(noisy))
    assert cp.score(noisy) == pytest.approx(explained(noisy, fitted, noisy > 0))


# What a matrix estimator accepts.


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_matrix_that_is_right_is_not_copied(X, dtype):
    X = X.astype(dtype)
    assert np.shares_memory(validate_matrix(ToyALS(), X, reset=True), X)
    S = sparse.csr_array(X)
    checked = validate_matrix(ToyALS(), S, reset=True)
    for part in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(checked, part), getattr(S, part))
    assert checked.dtype == dtype


@pytest.mark.parametrize("change", [np.float16, np.int32, np.longdouble, np.ndarray.tolist])
def test_a_matrix_comes_out_float(X, change):
    X = np.round(10 * X)
    checked = validate_matrix(ToyALS(), change(X), reset=True)
    assert checked.dtype == np.float64
    assert_array_equal(checked, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["fortran", "strided", "read-only"])
def test_a_dense_matrix_is_not_copied_whatever_its_layout(X, layout, dtype):
    given = X.astype(dtype, order="F" if layout == "fortran" else "C")
    given = given[::2, ::2] if layout == "strided" else given
    given.setflags(write=layout != "read-only")
    assert np.shares_memory(validate_matrix(ToyALS(), given, reset=True), given)


@pytest.mark.parametrize("container", [*CONTAINERS, sparse.coo_array, sparse.lil_array])
def test_every_sparse_format_becomes_the_same_csr_array(X, container):
    X[X < 0.7] = 0
    checked = validate_matrix(ToyALS(), container(X), reset=True)
    assert isinstance(checked, sparse.csr_array)
    assert_array_equal(checked.toarray(), X)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_unsorted_and_repeated_entries_are_put_right_on_a_copy(index_dtype):
    parts = (
        np.array([1.0, 2, 4, 8]),
        np.array([2, 0, 2, 1], dtype=index_dtype),
        np.array([0, 3, 4], dtype=index_dtype),
    )
    given = sparse.csr_array((2, 3))
    given.data, given.indices, given.indptr = (part.copy() for part in parts)
    checked = validate_matrix(ToyALS(), given, reset=True)
    assert_array_equal(checked.indices, [0, 2, 1])
    assert_array_equal(checked.data, [2, 5, 8])
    assert checked.indices.dtype == index_dtype
    for part, name in zip(parts, ("data", "indices", "indptr"), strict=True):
        assert_array_equal(getattr(given, name), part)


def test_read_only_sparse_parts_are_copied(X):
    given = sparse.csr_array(X)
    given.data.setflags(write=False)
    assert validate_matrix(ToyALS(), given, reset=True).data.flags.writeable


def test_stored_zeros_stay_and_stored_nan_go_where_unstored_is_missing():
    given = sparse.csr_array(([0.0, np.nan, 3.0], [0, 1, 2], [0, 2, 3]), shape=(2, 3))
    checked = validate_matrix(ToyALS(), given, reset=True, missing="unstored")
    assert_array_equal(checked.data, [0, 3])
    assert_array_equal(checked.indptr, [0, 1, 2])
    assert validate_matrix(ToyALS(), given, reset=True, missing="nan").nnz == 3
    assert given.nnz == 3


@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_array])
def test_negative_values_are_found_beside_nan(as_given):
    X = np.array([[1.0, np.nan], [-1.0, 2.0]])
    message = r"Negative values in data passed to ToyALS \(input X\)"
    with pytest.raises(ValueError, match=message):
        validate_matrix(ToyALS(), as_given(X), reset=True)
    validate_matrix(ToyALS(), as_given(X), reset=True, nonnegative=False)
    validate_matrix(ToyALS(), as_given(abs(X)), reset=True)


@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_array])
def test_infinity_is_refused_and_nan_where_nothing_may_be_missing(as_given):
    with pytest.raises(ValueError, match="infinity"):
        validate_matrix(ToyALS(), as_given([[1.0, np.inf]]), reset=True)
    with pytest.raises(ValueError, match="NaN"):
        validate_matrix(ToyALS(), as_given([[1.0, np.nan]]), reset=True, allow_nan=False)


@pytest.mark.parametrize(
    "X, missing",
    [
        (np.full((2, 2), np.nan), "nan"),
        (sparse.csr_array(np.full((2, 2), np.nan)), "nan"),
        (sparse.csr_array((2, 2)), "unstored"),
        (sparse.csr_array(([np.nan], [0], [0, 1, 1]), shape=(2, 2)), "unstored"),
    ],
)
def test_a_fit_needs_an_observed_entry_and_a_transform_does_not(X, missing):
    toy = ToyALS(missing=missing)
    with pytest.raises(ValueError, match="no observed entry"):
        validate_matrix(toy, X, reset=True, missing=missing)
    validate_matrix(toy, X, reset=False, missing=missing)


def test_a_sparse_matrix_of_zeros_is_data_by_default():
    assert validate_matrix(ToyALS(), sparse.csr_array((2, 2)), reset=True).nnz == 0


# Weights.


def test_no_weights_are_none(X):
    assert check_weights(None, None, X) is None


def test_weights_of_rows_and_entries_multiply(X, rng):
    rows, entries = rng.random(12), rng.random((12, 9))
    assert_array_equal(check_weights(rows, None, X), rows)
    assert_array_equal(check_weights(None, entries, X), entries)
    assert_allclose(check_weights(rows, entries, X), rows[:, None] * entries)
    assert check_weights(rows, entries, X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("weight_as", ["dense", "aligned", "more", "unsorted"])
def test_weights_of_stored_entries_are_aligned_with_the_data(rng, weight_as):
    X = sparse.random_array((12, 9), density=0.4, format="csr", rng=rng)
    rows, entries = rng.random(12), rng.random((12, 9))
    entries[0] = 0  # weights of zero count as given
    expected = (rows[:, None] * entries)[X.nonzero()]
    pattern = X.copy()
    pattern.data[:] = entries[X.nonzero()]
    given = {
        "dense": entries,
        "aligned": pattern,
        "more": sparse.csr_array((entries.ravel(), np.tile(np.arange(9), 12), 9 * np.arange(13))),
        "unsorted": pattern.tocsc().tocoo(),
    }[weight_as]
    weight = check_weights(rows, given, X, missing="unstored")
    assert_allclose(weight.data, expected)
    assert weight.indices is X.indices and weight.indptr is X.indptr
    assert_array_equal(pattern.data, entries[X.nonzero()])


@pytest.mark.parametrize(
    "sample_weight, entry_weight, message",
    [
        ([1.0, 2.0], None, r"sample_weight has shape \(2,\).*must have shape \(3,\)"),
        ([[1.0], [1.0], [1.0]], None, r"sample_weight has shape \(3, 1\)"),
        ([1.0, -2.0, 1.0], None, "Negative values in sample_weight: its smallest is -2"),
        ([0.0, 0.0, 0.0], None, "sample_weight has only zero weights"),
        ([1.0, np.nan, 1.0], None, "sample_weight contains NaN"),
        (None, np.ones((3, 3)), r"entry_weight has shape \(3, 3\).*the shape of X, \(3, 2\)"),
        (None, -np.ones((3, 2)), "Negative values in entry_weight"),
        (None, np.zeros((3, 2)), "entry_weight has only zero weights"),
        (None, np.full((3, 2), np.inf), "entry_weight contains infinity"),
        (None, sparse.csr_array(np.ones((3, 2))), "A sparse entry_weight needs a sparse X"),
    ],
)
def test_weights_that_make_no_sense_are_refused(sample_weight, entry_weight, message):
    with pytest.raises(ValueError, match=message):
        check_weights(sample_weight, entry_weight, np.ones((3, 2)))


@pytest.mark.parametrize("stored", [0, 1])
def test_a_sparse_weight_has_to_cover_the_stored_entries(stored):
    X = sparse.csr_array(np.eye(3))
    weight = sparse.csr_array(([1.0] * stored, [0] * stored, [0, stored, stored, stored]), (3, 3))
    with pytest.raises(ValueError, match=f"no weight for {3 - stored} of the 3 entries"):
        check_weights(None, weight, X, missing="unstored")


def test_a_weight_beside_a_sparse_matrix_whose_zeros_are_data_is_dense():
    X = sparse.csr_array(np.eye(3))
    with pytest.raises(ValueError, match="X is sparse and missing='nan'"):
        check_weights(None, X, X)
    assert_array_equal(check_weights(None, np.ones((3, 3)), X), np.ones((3, 3)))
