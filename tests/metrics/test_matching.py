"""Components are paired with their like, whatever the order and the scale."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.metrics import cosine_similarity, matched_components, spectral_angle


@pytest.mark.parametrize("metric, perfect", [("cosine", 1.0), ("spectral_angle", 0.0)])
@pytest.mark.parametrize("seed", range(5))
def test_a_permutation_and_scales_are_recovered(metric, perfect, seed):
    rng = np.random.default_rng(seed)
    A = rng.exponential(size=(6, 20))
    order = rng.permutation(6)
    B = A[order] * rng.uniform(1e-3, 1e3, size=(6, 1))
    permutation, scores = matched_components(A, B, metric=metric)
    assert_array_equal(order[permutation], np.arange(6))
    assert_allclose(scores, perfect, atol=1e-14)
    assert permutation.dtype == np.intp and scores.dtype == np.float64


def test_the_sum_over_the_pairs_counts_not_the_best_pair():
    # Row 0 of A is nearer to row 0 of B than row 1 is, but row 1 has nothing else.
    A = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    B = np.array([[1.0, 0.9, 0.0], [0.0, 1.0, 0.3]])
    permutation, scores = matched_components(A, B)
    assert_array_equal(permutation, [1, 0])
    cosines = [A[0] @ B[1] / np.sqrt(2 * 1.09), A[1] @ B[0] / np.sqrt(1.81)]
    assert_allclose(scores, cosines, atol=1e-15)


@pytest.mark.parametrize("metric", ["cosine", "spectral_angle"])
def test_either_side_may_have_more_components(metric):
    A = np.random.default_rng(0).exponential(size=(5, 30))
    permutation, scores = matched_components(A[[3, 1]], A, metric=metric)
    assert_array_equal(permutation, [3, 1])
    permutation, scores = matched_components(A, A[[3, 1]], metric=metric)
    assert_array_equal(permutation, [-1, 1, -1, 0, -1])
    assert_array_equal(np.isnan(scores), permutation == -1)


@pytest.mark.parametrize("metric, worst", [("cosine", 0.0), ("spectral_angle", np.pi / 2)])
def test_a_component_of_zeros_is_left_over_and_at_right_angles(metric, worst):
    A = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    B = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 4.0]])
    permutation, scores = matched_components(A, B, metric=metric)
    assert_array_equal(permutation, [1, 2, 0])
    assert scores[0] == pytest.approx(worst)


def test_the_two_metrics_are_cosine_and_angle_of_the_same_pairs():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 50))
    B = A[::-1] + 0.2 * rng.normal(size=A.shape)
    by_cosine, by_angle = (matched_components(A, B, metric=m) for m in ("cosine", "spectral_angle"))
    assert_array_equal(by_cosine[0], by_angle[0])
    assert_allclose(np.cos(by_angle[1]), by_cosine[1], atol=1e-14)


def test_components_of_other_features_are_refused():
    with pytest.raises(ValueError, match="A has 3 features and B has 2"):
        matched_components(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="NaN"):
        matched_components([[np.nan, 1.0]], [[1.0, 1.0]])
    with pytest.raises(ValueError, match="metric"):
        matched_components([[1.0]], [[1.0]], metric="euclidean")


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.3, np.pi / 2, 3.0, np.pi - 1e-9, np.pi])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_angles_of_all_sizes_are_accurate(angle, scale):
    b = scale * np.array([np.cos(angle), np.sin(angle)])
    assert spectral_angle([2.0, 0.0], b) == pytest.approx(angle, rel=1e-14, abs=1e-15)


def test_spectra_are_broadcast_along_their_other_axes():
    rng = np.random.default_rng(0)
    A, B = rng.random((4, 7)), rng.random((3, 7))
    every = spectral_angle(A[:, None], B)
    assert every.shape == (4, 3)
    lengths = np.linalg.norm(A, axis=1)[:, None] * np.linalg.norm(B, axis=1)
    assert_allclose(every, np.arccos(A @ B.T / lengths), atol=1e-12)
    assert_allclose(spectral_angle(A[:3], B), np.diag(every), atol=1e-15)
    assert isinstance(spectral_angle(A[0], B[0]), float)


def test_spectra_without_direction_are_at_right_angles_with_all():
    assert spectral_angle([0.0, 0.0], [1.0, 2.0]) == pytest.approx(np.pi / 2)
    assert spectral_angle([0.0, 0.0], [0.0, 0.0]) == pytest.approx(np.pi / 2)
    with pytest.raises(ValueError, match="must agree"):
        spectral_angle([1.0], [1.0, 2.0])


def test_cosines_pair_rows_with_rows_and_are_those_of_the_angles():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(4, 7)), rng.normal(size=(4, 7))
    assert_allclose(cosine_similarity(A, B), np.cos(spectral_angle(A, B)), atol=1e-14)
    every = cosine_similarity(A[:, None], B[:3])
    assert every.shape == (4, 3)
    assert_allclose(every, np.cos(spectral_angle(A[:, None], B[:3])), atol=1e-14)
    assert isinstance(cosine_similarity(A[0], B[0]), float)


def test_cosines_do_not_depend_on_scales_but_for_the_sign():
    a = np.random.default_rng(0).normal(size=9)
    for scale in (1e-200, 1.0, 1e200):
        assert cosine_similarity(a, scale * a) == pytest.approx(1, abs=1e-15)
        assert cosine_similarity(a, -scale * a) == pytest.approx(-1, abs=1e-15)
    # Rounding alone takes some of these beyond 1.
    rows = np.random.default_rng(0).normal(size=(200, 9))
    assert cosine_similarity(rows, 3 * rows).max() <= 1


def test_cosines_of_spectra_without_direction_are_zero():
    assert cosine_similarity([0.0, 0.0], [1.0, 2.0]) == 0
    assert cosine_similarity([0.0, 0.0], [0.0, 0.0]) == 0
    with pytest.raises(ValueError, match="must agree"):
        cosine_similarity([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        cosine_similarity([np.nan, 1.0], [1.0, 2.0])
