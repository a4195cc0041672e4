"""Ratings are the planted ones, with the noise and the density that were asked for."""

import numpy as np
import pytest

from factorkit.datasets import make_ratings


@pytest.mark.parametrize("density", [0.02, 0.3, 0.9, 1.0])
def test_density_and_noise_are_those_asked_for(density):
    ratings = make_ratings(300, 200, density=density, noise=0.3, whole=False, random_state=0)
    assert ratings.data.nnz / 60_000 == pytest.approx(density, rel=0.05)
    i, j = ratings.data.tocoo().coords
    inside = (ratings.data.data > 1) & (ratings.data.data < 5)
    error = (ratings.data.data - ratings.truth[i, j])[
        inside & (np.abs(ratings.truth[i, j] - 3) < 1)
    ]
    assert error.std() == pytest.approx(0.3, rel=0.15 if density < 0.1 else 0.05)


def test_the_truth_has_the_rank_of_factors_and_biases():
    truth = make_ratings(60, 50, rank=3, random_state=1).truth
    assert np.linalg.matrix_rank(truth - truth.mean(0)) == 4  # the rows' biases, too


def test_ratings_are_whole_from_one_to_five_and_repeat():
    a, b = (make_ratings(80, 50, random_state=3) for _ in range(2))
    assert set(a.data.data) <= {1, 2, 3, 4, 5}
    assert (a.data != b.data).nnz == 0
    counts = np.diff(a.data.indptr)
    assert counts.max() > 2 * np.median(counts)
