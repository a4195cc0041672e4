"""Consensus and matched components, against what can be counted by hand."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from factorkit.nmf._stability import cophenetic_correlation, mean_cosine


def clusters_only(*clusters):
    return [(None, np.array(labels)) for labels in clusters]


def test_the_order_of_the_clusters_does_not_matter():
    assert cophenetic_correlation(clusters_only([0, 0, 1, 1], [1, 1, 0, 0])) == pytest.approx(1)


def test_the_consensus_is_the_share_of_restarts_that_join_two_rows():
    labels = [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [2, 0, 0, 0, 1]]
    together = np.mean([np.equal.outer(row, row) for row in labels], axis=0)
    distance = squareform(1 - together)
    expected = cophenet(linkage(distance, "average"), distance)[0]
    assert expected < 0.95
    assert cophenetic_correlation(clusters_only(*labels)) == pytest.approx(expected, abs=1e-6)


def test_clusters_that_never_vary_are_stable():
    assert cophenetic_correlation(clusters_only([0, 0, 0], [1, 1, 1])) == 1
    assert cophenetic_correlation(clusters_only([0, 1, 2], [2, 1, 0])) == 1
    assert cophenetic_correlation(clusters_only([0], [1])) == 1


@pytest.mark.parametrize("seed", range(20))
def test_many_equal_distances_give_a_correlation(seed):
    rng = np.random.default_rng(seed)
    correlation = cophenetic_correlation(clusters_only(*rng.integers(10, size=(5, 300))))
    assert 0 < correlation < 1


def test_cosines_are_averaged_over_components_and_pairs():
    A = np.eye(2)
    B = np.array([[0.0, 3.0], [2.0, 0.0]])  # A in another order and scale
    C = np.array([[1.0, 0.0], [1.0, 1.0]])
    with_C = (1 + np.sqrt(0.5)) / 2
    restarts = [(components, None) for components in (A, B, C)]
    assert mean_cosine(restarts[:2]) == pytest.approx(1)
    assert mean_cosine(restarts) == pytest.approx((1 + 2 * with_C) / 3)
