"""The divergence of spectra is that of distributions, whatever their scale."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy

from factorkit.metrics import matched_components, spectral_information_divergence


def test_the_divergence_is_the_sum_of_both_relative_entropies():
    a, b = np.random.default_rng(0).exponential(size=(2, 40))
    expected = entropy(a, b) + entropy(b, a)
    assert spectral_information_divergence(a, b) == pytest.approx(expected, rel=1e-12)
    assert spectral_information_divergence(b, a) == pytest.approx(expected, rel=1e-12)
    assert isinstance(spectral_information_divergence(a, b), float)


def test_the_divergence_of_two_bands_has_a_closed_form():
    # p = (1/4, 3/4) and q = (3/4, 1/4): twice a half of log 3.
    assert spectral_information_divergence([1, 3], [3, 1]) == pytest.approx(np.log(3), rel=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e300])
def test_the_divergence_does_not_depend_on_scales(scale):
    a, b = np.random.default_rng(0).uniform(0.5, 1e4, size=(2, 9))
    expected = spectral_information_divergence(a, b)
    assert spectral_information_divergence(scale * a, b) == pytest.approx(expected, rel=1e-11)
    assert spectral_information_divergence(scale * a, a) == pytest.approx(0, abs=1e-14)


def test_spectra_of_a_divergence_are_broadcast_along_their_other_axes():
    A, B = np.random.default_rng(0).random((2, 4, 7))
    every = spectral_information_divergence(A[:, None], B[:3])
    assert every.shape == (4, 3) and every.dtype == np.float64
    pairs = [[spectral_information_divergence(a, b) for b in B[:3]] for a in A]
    assert_allclose(every, pairs, rtol=1e-14)


def test_a_band_without_light_in_both_adds_nothing_and_in_one_all():
    a, b = np.array([1.0, 2.0, 5.0]), np.array([2.0, 2.0, 1.0])
    expected = spectral_information_divergence(a, b)
    padded = [np.insert(v, 1, 0) for v in (a, b)]
    assert spectral_information_divergence(*padded) == pytest.approx(expected, rel=1e-14)
    assert spectral_information_divergence([1.0, 0.0, 5.0], b) == np.inf
    assert spectral_information_divergence(b, [1.0, 0.0, 5.0]) == np.inf


def test_a_spectrum_of_zeros_is_infinitely_far_from_all():
    rows = [[0.0, 0.0], [1.0, 2.0]]
    assert_array_equal(
        spectral_information_divergence(np.array(rows)[:, None], rows),
        [[np.inf, np.inf], [np.inf, 0]],
    )


@pytest.mark.parametrize("negative", ["a", "b"])
def test_negative_spectra_have_no_divergence(negative):
    spectra = {"a": [1.0, 2.0], "b": [1.0, 2.0]} | {negative: [1.0, -0.25]}
    with pytest.raises(ValueError, match=f"{negative} has negative values, down to -0.25"):
        spectral_information_divergence(**spectra)
    with pytest.raises(ValueError, match=f"{negative.upper()} has negative values"):
        matched_components([spectra["a"]], [spectra["b"]], metric="sid")


def test_other_bands_and_missing_ones_are_refused():
    with pytest.raises(ValueError, match="must agree"):
        spectral_information_divergence([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        spectral_information_divergence([np.nan, 1.0], [1.0, 2.0])


@pytest.mark.parametrize("seed", range(3))
def test_components_are_matched_by_the_least_sum_of_divergences(seed):
    rng = np.random.default_rng(seed)
    A = rng.exponential(size=(6, 20))
    order = rng.permutation(6)
    B = A[order] * rng.lognormal(sigma=0.1, size=A.shape)
    permutation, scores = matched_components(A, B, metric="sid")
    assert_array_equal(order[permutation], np.arange(6))
    assert_allclose(scores, spectral_information_divergence(A, B[permutation]), rtol=1e-12)


def test_dead_bands_do_not_keep_the_other_components_from_their_match():
    A = np.array([[1.0, 0.0, 2.0], [1.0, 2.0, 3.0], [9.0, 2.0, 1.0]])
    B = A[[2, 1, 0]] + np.array([[0.0], [0.0], [0.1]])
    permutation, scores = matched_components(A, B, metric="sid")
    assert_array_equal(permutation, [2, 1, 0])
    assert scores[0] == np.inf and np.all(scores[1:] < 1e-14)


def test_as_few_pairs_as_can_be_are_infinitely_apart():
    A = np.array([[1.0, 0.0, 2.0], [1.0, 2.0, 3.0], [9.0, 2.0, 1.0]])
    B = np.array([[3.0, 2.0, 1.0], [1.0, 0.0, 9.0], [5.0, 5.0, 1.0]])
    permutation, scores = matched_components(A, B, metric="sid")
    assert permutation[0] == 1 and np.all(np.isfinite(scores))
