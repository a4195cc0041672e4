"""Sparse counts follow their planted topics and Zipf's law."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import NMF

from factorkit.datasets import make_sparse_counts
from factorkit.metrics import matched_components


@pytest.fixture(scope="module")
def counts():
    return make_sparse_counts(1000, 300, 4, 0.1, random_state=0)


def test_counts_are_canonical_csr_of_exactly_the_density(counts):
    X = counts.data
    assert X.format == "csr" and X.dtype == np.float64 and X.indices.dtype == np.int32
    assert X.shape == (1000, 300) and X.nnz == 30_000
    X.has_canonical_format = False  # makes it look
    X.sum_duplicates()
    assert X.nnz == 30_000
    assert_array_equal(X.data, np.round(X.data))
    assert X.data.min() == 1 and X.data.max() > 1


@pytest.mark.parametrize("density", [1e-9, 0.03, 0.5, 0.8])
def test_every_density_is_met(density):
    data = make_sparse_counts(60, 50, 3, density, random_state=0).data
    assert data.nnz == max(1, round(density * data.shape[0] * data.shape[1]))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
def test_expected_counts_follow_zipfs_law(exponent):
    counts = make_sparse_counts(200, 100, 4, 0.05, exponent=exponent, random_state=0)
    totals = (counts.W @ counts.H).sum(axis=0)
    assert_allclose(totals / totals[0], np.arange(1.0, 101) ** -exponent, rtol=1e-10)
    assert_allclose(counts.H.sum(axis=1), 1)
    assert counts.W.sum() == pytest.approx(counts.data.sum())
    assert min(counts.W.min(), counts.H.min()) >= 0


def test_counts_are_drawn_from_the_planted_factors(counts):
    X, expected = counts.data.toarray(), counts.W @ counts.H
    # For counts of these expectations Pearson's statistic is about the number of cells.
    likely = expected > 0.01
    chi2 = np.sum((X - expected)[likely] ** 2 / expected[likely])
    assert chi2 == pytest.approx(likely.sum(), rel=0.05)
    for axis in (0, 1):
        deviation = (X - expected).sum(axis) / np.sqrt(expected.sum(axis))
        assert np.abs(deviation).max() < 5


def test_a_factorization_finds_the_topics(counts):
    nmf = NMF(4, beta_loss="kullback-leibler", solver="mu", init="nndsvda", max_iter=150, tol=1e-4)
    nmf.fit(counts.data)
    _, cosines = matched_components(counts.H, nmf.components_)
    assert cosines.min() > 0.98


def test_the_seed_decides_and_none_does_not():
    a, b, c = (make_sparse_counts(50, 40, 3, 0.1, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(a.data.toarray(), b.data.toarray())
    assert_array_equal(a.W, b.W)
    assert (a.data != c.data).nnz


def test_no_dense_matrix_is_formed():
    tracemalloc.start()
    data = make_sparse_counts(20_000, 10_000, 5, 1e-4, random_state=0).data
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.nnz == 20_000
    assert peak < 30e6  # a dense matrix of bytes would be 200 MB


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_sides_smaller_than_the_number_of_topics_work(shape):
    counts = make_sparse_counts(*shape, 20, 0.6, random_state=0)
    assert counts.data.shape == shape
    assert np.isfinite(counts.W).all() and np.isfinite(counts.H).all()


def test_impossible_densities_are_refused():
    with pytest.raises(ValueError, match="Lower density or exponent"):
        make_sparse_counts(10, 100, 2, 0.99, exponent=6.0, random_state=0)
    for density in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="density"):
            make_sparse_counts(10, 10, 2, density)
