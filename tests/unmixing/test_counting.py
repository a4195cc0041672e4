"""The number of endmembers, against that of planted scenes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.unmixing import estimate_n_endmembers
from factorkit.unmixing._dimensions import _noise_edges, _noise_variance
from tests.unmixing._planted import mixed_scene

METHODS = ["rmt", "hysime", "hfc", "nwhfc"]


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("k", [3, 5, 8])
def test_planted_endmembers_are_counted_at_30_db(rng, k, varying):
    wrong = 0
    for _ in range(5):
        levels = np.exp(rng.normal(0, 0.7, 100)) if varying else None
        Y, _, _ = mixed_scene(k, rng, n_pixels=3000, n_bands=100, snr=30, band_levels=levels)
        wrong += estimate_n_endmembers(Y).n_endmembers != k
    # The endmembers of a random scene may be nearly dependent.
    assert wrong <= 1


@pytest.mark.parametrize("method", ["rmt", "hysime"])
def test_distinct_spectra_are_counted(rng, method):
    E = np.kron(np.eye(6), np.ones(10)) + 0.2
    Y = rng.dirichlet(np.ones(6), 2000) @ E
    assert estimate_n_endmembers(Y, method=method).n_endmembers == 6
    noisy = Y + 0.02 * rng.standard_normal(Y.shape)
    assert estimate_n_endmembers(noisy, method=method).n_endmembers == 6
    assert estimate_n_endmembers(noisy.astype(np.float32), method=method).n_endmembers == 6


def test_hysime_compares_the_power_of_signal_and_noise(rng):
    Y = mixed_scene(4, rng, n_bands=20, snr=25)[0]
    count = estimate_n_endmembers(Y, method="hysime")
    # As published, with the residuals themselves.
    residuals = np.empty_like(Y)
    for band in range(20):
        others = np.delete(Y, band, axis=1)
        residuals[:, band] = (
            Y[:, band] - others @ np.linalg.lstsq(others, Y[:, band], rcond=None)[0]
        )
    noise = np.mean(residuals**2, axis=0)
    signal = Y - residuals
    V = np.linalg.eigh(signal.T @ signal / len(Y))[1]
    power = np.sum((Y @ V) ** 2, axis=0) / len(Y)
    order = np.argsort(2 * noise @ V**2 - power)
    assert_allclose(count.criterion, power[order], rtol=1e-5)
    assert_allclose(count.threshold, (2 * noise @ V**2)[order], rtol=1e-5)
    assert_allclose(count.noise**2, noise, rtol=1e-5)
    assert count.n_endmembers == np.sum(power > 2 * noise @ V**2)


def test_hfc_compares_eigenvalues_of_moments_and_of_covariance(rng):
    Y = mixed_scene(4, rng, n_bands=20, snr=25)[0]
    count = estimate_n_endmembers(Y, method="hfc", alpha=0.02275013194817921)
    moments = np.sort(np.linalg.eigvalsh(Y.T @ Y / len(Y)))[::-1]
    variances = np.sort(np.linalg.eigvalsh(np.cov(Y.T, bias=True)))[::-1]
    assert_allclose(count.criterion, moments - variances, rtol=1e-5)
    # Two standard errors.
    expected = 2 * np.sqrt(2 * (moments**2 + variances**2) / len(Y))
    assert_allclose(count.threshold, expected, rtol=1e-6)


def test_nwhfc_is_hfc_on_bands_over_their_noise(rng):
    Y = mixed_scene(4, rng, snr=25, band_levels=np.linspace(1, 5, 60))[0]
    count = estimate_n_endmembers(Y, method="nwhfc")
    same = estimate_n_endmembers(Y / count.noise, method="hfc")
    assert_allclose(count.criterion, same.criterion, rtol=1e-6, atol=1e-6)
    assert count.n_endmembers == same.n_endmembers


def test_rmt_refines_the_noise_of_regression(rng):
    Y, _, sigma = mixed_scene(8, rng, n_pixels=20000, n_bands=40, snr=30)
    by_regression = estimate_n_endmembers(Y, method="hfc").noise / sigma
    refined = estimate_n_endmembers(Y).noise / sigma
    assert by_regression.mean() > 1.05
    assert abs(refined.mean() - 1) < 0.02
    assert refined.std() < by_regression.std()


@pytest.mark.parametrize("method", METHODS)
def test_noise_alone_has_no_endmember(rng, method):
    for _ in range(5):
        Y = rng.standard_normal((1000, 30))
        assert estimate_n_endmembers(Y, method=method).n_endmembers == 0


def spiked_eigenvalues(rng, n, p, n_spikes):
    """Eigenvalues of the covariance of noise of variance 1 with a few strong components."""
    scale = np.r_[np.full(n_spikes, 10.0), np.ones(p - n_spikes)]
    Y = scale * rng.standard_normal((n, p))
    return np.linalg.eigvalsh(Y.T @ Y / n)[::-1]


@pytest.mark.parametrize("n_spikes", [0, 4])
def test_alpha_is_the_rate_at_which_noise_is_taken_for_a_component(rng, n_spikes):
    samples = [spiked_eigenvalues(rng, 300, 60, n_spikes) for _ in range(300)]
    for alpha in (0.01, 0.5):
        rate = np.mean(
            [values[n_spikes] > _noise_edges(values, 300, alpha)[n_spikes] for values in samples]
        )
        # Three standard errors, and the law holds in the limit only. Strong components push the
        # eigenvalues of noise down.
        slack = 3 * np.sqrt(alpha * (1 - alpha) / 300) + 0.1 * alpha
        assert rate < alpha + slack
        assert n_spikes or rate > alpha - slack


def test_the_variance_of_the_noise_is_found_beside_components(rng):
    found = [_noise_variance(spiked_eigenvalues(rng, 200, 60, 10), 10, 200) for _ in range(50)]
    assert abs(np.mean(found) - 1) < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_pixels_and_bands_and_units_of_bands_change_nothing(rng, method):
    Y = mixed_scene(4, rng, snr=30)[0]
    count = estimate_n_endmembers(Y, method=method)
    permuted = Y[rng.permutation(len(Y))][:, rng.permutation(60)]
    assert estimate_n_endmembers(permuted, method=method).n_endmembers == count.n_endmembers
    assert estimate_n_endmembers(1e-6 * Y, method=method).n_endmembers == count.n_endmembers
    if method in ("rmt", "nwhfc"):  # the others are about absolute powers
        scaled = Y * 10.0 ** rng.uniform(-3, 3, 60)
        assert estimate_n_endmembers(scaled, method=method).n_endmembers == count.n_endmembers


@pytest.mark.parametrize("method", METHODS)
def test_constant_bands_are_left_out(rng, method):
    Y = mixed_scene(4, rng, snr=30)[0]
    count = estimate_n_endmembers(Y, method=method)
    padded = np.insert(Y, [0, 7, 30], [0.0, 0.5, -3.0], axis=1)
    again = estimate_n_endmembers(padded, method=method)
    assert again.n_endmembers == count.n_endmembers
    assert_allclose(again.criterion, count.criterion, rtol=1e-6, atol=1e-9)
    assert again.noise.shape == (63,) and np.count_nonzero(again.noise) == 60


def test_noisy_bands_add_no_endmember(rng):
    Y = mixed_scene(4, rng, n_pixels=3000, snr=30)[0]
    bad = rng.choice(60, 12, replace=False)
    Y[:, bad] += Y.std() * rng.standard_normal((3000, 12))
    assert estimate_n_endmembers(Y.clip(0)).n_endmembers == 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scene", ["constant", "zero", "few", "one band", "two pixels", "same"])
def test_degenerate_scenes_give_finite_numbers(rng, method, scene):
    Y = {
        "constant": np.full((30, 5), 0.3),
        "zero": np.zeros((30, 5)),
        "few": mixed_scene(3, rng, n_pixels=12, snr=30)[0],
        "one band": rng.random((50, 1)),
        "two pixels": rng.random((2, 6)),
        "same": np.repeat(rng.random((200, 1)), 6, axis=1),
    }[scene]
    count = estimate_n_endmembers(Y, method=method)
    assert 0 <= count.n_endmembers <= Y.shape[1]
    assert not np.isnan(count.criterion).any() and not np.isnan(count.threshold).any()
    assert np.isfinite(count.noise).all()
    if scene in ("constant", "zero"):
        assert count.n_endmembers == 0 and count.criterion.shape == (0,)


def test_an_image_is_its_pixels(rng):
    Y = mixed_scene(3, rng, n_pixels=600, snr=30)[0]
    image, pixels = (estimate_n_endmembers(X) for X in (Y.reshape(20, 30, -1), Y))
    assert_array_equal(image.criterion, pixels.criterion)
    assert image.n_endmembers == pixels.n_endmembers == 3


@pytest.mark.parametrize(
    "X, options, message",
    [
        (np.ones((1, 4)), {}, "minimum of 2"),
        (np.full((4, 4), np.nan), {}, "X contains NaN"),
        (np.ones((4, 4)), {"method": "aic"}, "method"),
        (np.full((4, 4), np.nan), {}, "Give mask="),
        (np.ma.masked_array(np.ones((4, 4)), mask=np.eye(4) > 0), {}, "X contains NaN. Give mask="),
        (np.ones((4, 4)), {"alpha": 0.0}, "alpha"),
        (np.ones((4, 4)), {"alpha": 1e-300}, "alpha.* in the range"),
        (np.full((4, 4), 1e100), {}, "largest value of X is 1e.100"),
        (np.ones((2, 2, 2, 4)), {}, "X has 4 dimensions"),
        (np.ones((4, 4)), {"image_shape": (True, 4)}, "image_shape must be"),
    ],
)
def test_bad_input_is_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_n_endmembers(X, **options)
