"""Steps of the pipeline, and abundances of given spectra."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit import Unmixer, estimate_abundances
from factorkit.datasets import make_scene
from factorkit.unmixing import _pipeline
from factorkit.unmixing._abundances import METHODS, abundances_of
from factorkit.unmixing._pipeline import average_neighbours, best_start
from factorkit.utils._threads import Workers


def test_averages_leave_the_part_of_the_noise_that_they_say(rng):
    # In fewer dimensions the weights follow the noise, and less of it goes.
    noise = rng.standard_normal((2500, 20))
    signal = np.repeat(np.arange(5.0), 500)[:, None]
    smooth, gain = average_neighbours(100 * signal + noise, np.arange(2500), (50, 50), True, rng)
    inner = np.abs((np.arange(2500) // 50) % 10 - 4.5) < 4
    assert_allclose((smooth - 100 * signal)[inner].std(), gain, rtol=0.25)
    assert 0.3 < gain < 0.7


def test_pixels_that_are_left_out_are_in_no_average(rng):
    Z = rng.standard_normal((400, 2))
    Z[5] = 1e6
    good = np.delete(np.arange(400), 5)
    smooth, _ = average_neighbours(Z, good, (20, 20), True, rng)
    assert len(smooth) == 399 and np.abs(smooth).max() < 10


def test_the_start_of_the_least_residual_is_kept(rng, monkeypatch):
    X = make_scene(3, image_shape=(20, 20), abundances="dirichlet", random_state=0).data
    corners = make_scene(3, image_shape=(20, 20), abundances="dirichlet", random_state=0).abundances
    good, bad = np.sort(corners.argmax(axis=0)), np.arange(3)
    monkeypatch.setattr(_pipeline, "vca", lambda *args: np.array([bad, good, bad]))
    monkeypatch.setattr(
        _pipeline, "archetypes", lambda Z, start, *args, **options: _one_step(Z, start)
    )
    with Workers(1) as workers:
        assert_array_equal(best_start(X, 3, 3, workers, rng), good)


def _one_step(Z, start):
    from factorkit.unmixing._archetypes import archetypes

    with Workers(1) as workers:
        return archetypes(Z, start, workers, max_iter=1)


def test_mixtures_count_the_pixels_of_the_whole_scene():
    scene = make_scene(
        3, image_shape=(40, 40), abundances="dirichlet", outlying_pixels=0.05, random_state=0
    )
    model = Unmixer(3, normalize=False, n_dimensions=150, min_volume=False, random_state=0)
    model.fit(scene.data)
    for spectrum, (pixels, weights) in zip(model.components_, model.mixtures_, strict=True):
        assert not (model.pixel_weights_[pixels] == 0).any()
        assert_allclose(weights @ scene.data[pixels], spectrum, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_abundances_of_given_spectra(method, rng):
    E, X = rng.random((4, 12)), rng.random((6, 5, 12))
    A = estimate_abundances(X, E, method=method)
    assert A.shape == (6, 5, 4)
    with Workers(1) as workers:
        expected = abundances_of(X.reshape(-1, 12), E, method, workers)
    assert_array_equal(A.reshape(-1, 4), expected)
    X[1, 2] = np.nan
    assert np.isnan(estimate_abundances(X, E, method=method)).all(axis=2).sum() == 1
    single = estimate_abundances(X.astype(np.float32), E, method=method)
    assert single.dtype == np.float32


def test_spectra_with_other_bands_are_refused(rng):
    with pytest.raises(ValueError, match="endmembers has 5 bands and X has 6: they must agree"):
        estimate_abundances(rng.random((3, 6)), rng.random((2, 5)))
    with pytest.raises(ValueError, match="method"):
        estimate_abundances(rng.random((3, 6)), rng.random((2, 6)), method="least squares")
