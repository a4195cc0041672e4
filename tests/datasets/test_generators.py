"""Planted factors are in the data, and noise and holes are as large as asked for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.datasets import make_low_rank_nonnegative


def test_without_noise_the_data_are_the_product():
    planted = make_low_rank_nonnegative(30, 20, 4, random_state=0)
    assert_array_equal(planted.data, planted.W @ planted.H)
    assert np.linalg.matrix_rank(planted.data) == 4
    assert planted.W.shape == (30, 4) and planted.H.shape == (4, 20)
    assert min(planted.W.min(), planted.H.min()) >= 0
    assert planted.pure_samples is None and planted.pure_features is None


@pytest.mark.parametrize("seed", range(5))
def test_separable_data_have_a_pure_row_and_column_a_component(seed):
    planted = make_low_rank_nonnegative(30, 20, 4, separable=True, random_state=seed)
    for factor, pure in [(planted.W, planted.pure_samples), (planted.H.T, planted.pure_features)]:
        assert_array_equal(factor[pure], np.diag(np.diag(factor[pure])))
        assert np.diag(factor[pure]).min() >= 1
        assert (factor > 0).all(axis=1).sum() == len(factor) - 4
    X = planted.data
    assert_array_equal(X, planted.W @ planted.H)
    # The pure rows are the components but for their scale.
    rows = X[planted.pure_samples]
    assert_allclose(rows / rows.sum(1, keepdims=True), planted.H / planted.H.sum(1, keepdims=True))


def test_noise_is_relative_to_the_data_and_leaves_them_nonnegative():
    planted = make_low_rank_nonnegative(300, 200, 4, noise=0.05, random_state=0)
    clean = planted.W @ planted.H
    size = np.sqrt(np.mean((planted.data - clean) ** 2) / np.mean(clean**2))
    assert size == pytest.approx(0.05, rel=0.05)
    noisy = make_low_rank_nonnegative(30, 20, 2, noise=2.0, random_state=0).data
    assert noisy.min() == 0 and noisy.max() > 0


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
def test_as_many_entries_are_missing_as_asked_for(fraction):
    planted = make_low_rank_nonnegative(30, 20, 2, missing_fraction=fraction, random_state=0)
    hole = np.isnan(planted.data)
    assert hole.sum() == round(600 * fraction)
    assert_array_equal(planted.data[~hole], (planted.W @ planted.H)[~hole])


def test_the_seed_decides():
    options = {"noise": 0.1, "missing_fraction": 0.2, "separable": True}
    a, b, c = (make_low_rank_nonnegative(9, 8, 2, **options, random_state=s) for s in (0, 0, 1))
    assert_array_equal(a.data, b.data)
    assert not np.array_equal(a.W, c.W)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="each of 5 components"):
        make_low_rank_nonnegative(10, 4, 5, separable=True)
    with pytest.raises(ValueError, match="missing_fraction"):
        make_low_rank_nonnegative(10, 4, 2, missing_fraction=1.0)
    with pytest.raises(ValueError, match="noise"):
        make_low_rank_nonnegative(10, 4, 2, noise=-1.0)
