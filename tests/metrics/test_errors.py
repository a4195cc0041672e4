"""Explained variance counts the observed entries, and no others."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from factorkit.metrics import explained_variance
from tests._toy import ToyALS

CONTAINERS = [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_array]


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return rng.random((13, 3)), rng.random((3, 8))


@pytest.fixture
def X(factors):
    """Close to the product, with zeros and a hole."""
    rng = np.random.default_rng(1)
    X = factors[0] @ factors[1] + 0.1 * rng.normal(size=(13, 8))
    X[X < 0.6] = 0
    X[4, 5] = np.nan
    return X


def expected(X, W, H, observed, weight=None):
    weight = np.ones(len(X)) if weight is None else weight
    V = observed * weight[:, None]
    X = np.nan_to_num(X)
    return 1 - np.sum(V * (X - W @ H) ** 2) / np.sum(V * X**2)


@pytest.mark.parametrize("weighted", [False, True])
def test_missing_entries_of_dense_data_do_not_count(X, factors, weighted):
    weight = np.arange(13.0) if weighted else None
    score = explained_variance(X, *factors, sample_weight=weight)
    assert score == pytest.approx(expected(X, *factors, ~np.isnan(X), weight), abs=1e-14)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", ["nan", "unstored"])
def test_missing_says_whether_unstored_entries_count(X, factors, container, weighted, missing):
    weight = np.arange(13.0) if weighted else None
    observed = ~np.isnan(X) if missing == "nan" else X > 0
    score = explained_variance(container(X), *factors, missing=missing, sample_weight=weight)
    assert score == pytest.approx(expected(X, *factors, observed, weight), abs=1e-13)


def test_stored_zeros_are_observed_and_duplicates_are_summed(factors):
    entries = (np.array([1.0, 0.0, 2.0]), ([0, 1, 0], [0, 1, 0]))
    X = np.full((13, 8), np.nan)
    X[0, 0], X[1, 1] = 3.0, 0.0
    given = sparse.csr_array((entries[0][[0, 2, 1]], [0, 0, 1], [0, 2, 3] + [3] * 11), X.shape)
    for stored in (sparse.coo_array(entries, shape=X.shape), given):
        score = explained_variance(stored, *factors, missing="unstored")
        assert score == pytest.approx(explained_variance(X, *factors), abs=1e-14)
    assert given.nnz == 3, "the caller's array was changed"


def test_blocks_of_any_size_give_the_same(X, factors, monkeypatch):
    weight = np.arange(13.0)
    for given in (X, sparse.csr_array(X)):
        score = explained_variance(given, *factors, sample_weight=weight)
        with monkeypatch.context() as patch:
            patch.setattr("factorkit.utils._errors._BLOCK_SIZE", 20)
            blocked = explained_variance(given, *factors, sample_weight=weight)
        assert blocked == pytest.approx(score, abs=1e-14)


@pytest.mark.parametrize("missing", ["nan", "unstored"])
def test_neither_the_product_nor_a_dense_copy_of_sparse_data_is_formed(missing):
    rng = np.random.default_rng(0)
    shape, k = (6000, 4000), 3
    W, H = rng.random((shape[0], k)), rng.random((k, shape[1]))
    rows, columns = rng.integers(shape[0], size=20_000), rng.integers(shape[1], size=20_000)
    X = sparse.csr_array(sparse.coo_array((np.ones(20_000), (rows, columns)), shape=shape))
    tracemalloc.start()
    explained_variance(X, W, H, missing=missing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # a dense matrix of bytes would be 24 MB


def test_the_product_with_dense_data_is_formed_in_blocks():
    rng = np.random.default_rng(0)
    W, H = rng.random((4000, 3)), rng.random((3, 2000))
    X = W @ H
    tracemalloc.start()
    explained_variance(X, W, H)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 4


def test_weights_equal_repeated_samples(X, factors):
    W, H = factors
    weight = np.arange(13) % 3
    repeated = explained_variance(np.repeat(X, weight, 0), np.repeat(W, weight, 0), H)
    assert explained_variance(X, W, H, sample_weight=weight) == pytest.approx(repeated, abs=1e-14)


def test_it_is_one_for_the_product_zero_for_zeros_and_the_score_of_an_estimator(X, factors):
    W, H = factors
    assert explained_variance(W @ H, W, H) == pytest.approx(1, abs=1e-15)
    assert explained_variance(sparse.csr_array(W @ H), W, H) == pytest.approx(1, abs=1e-12)
    assert explained_variance(X, 0 * W, H) == 0
    assert explained_variance(0 * W @ H, 0 * W, H) == 1
    assert explained_variance(0 * W @ H, W, H) == 0
    toy = ToyALS(2).fit(X)
    score = explained_variance(X, toy.transform(X), toy.components_)
    assert toy.score(X) == pytest.approx(score, abs=1e-14)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_float32_data_are_squared_and_summed_in_float64(container):
    # Beyond what float32 holds once squared.
    X = np.full((40, 30), 1e25, dtype=np.float32)
    W, H = X[:, :1], np.full((1, 30), 0.5, dtype=np.float32)
    assert explained_variance(container(X), W, H) == pytest.approx(0.75, abs=1e-7)


def test_shapes_and_values_that_do_not_go_together_are_refused(X, factors):
    W, H = factors
    with pytest.raises(ValueError, match="doesn't make X of shape"):
        explained_variance(X[1:], W, H)
    with pytest.raises(ValueError, match="doesn't make X of shape"):
        explained_variance(X, W[:, 1:], H)
    with pytest.raises(ValueError, match="W contains NaN"):
        explained_variance(X, np.full_like(W, np.nan), H)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        explained_variance(X, W, H, sample_weight=[1.0])
    with pytest.raises(ValueError, match="missing"):
        explained_variance(X, W, H, missing="zeros")
