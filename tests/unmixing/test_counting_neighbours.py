"""The number of endmembers from what neighbouring pixels have in common."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit import Unmixer
from factorkit.datasets import make_scene
from factorkit.plotting import EndmemberCountDisplay
from factorkit.unmixing import _coherence, estimate_n_endmembers
from factorkit.unmixing._coherence import coherent_factors, neighbour_moments, shared_variation
from factorkit.utils._threads import Workers
from tests.unmixing._planted import mixed_scene, smooth_spectra


def moments_of(Z, shape, **options):
    with Workers(1) as workers:
        return neighbour_moments(Z, np.eye(Z.shape[1]), shape, workers, **options)


def moments_by_loops(Z, shape, good, n_draws):
    image, good = Z.reshape(*shape, -1), good.reshape(shape)
    bits = np.random.default_rng(0).integers(2**64, size=len(Z), dtype=np.uint64).reshape(shape)
    d = Z.shape[1]
    joint, own, flipped, m = np.zeros((d, d)), np.zeros((d, d)), np.zeros((n_draws, d, d)), 0
    for i, j in np.ndindex(shape):
        for other in ((i, j + 1), (i + 1, j)):
            if other[0] == shape[0] or other[1] == shape[1] or not (good[i, j] and good[other]):
                continue
            a, b = image[i, j], image[other]
            m += 1
            joint += np.outer(a, b) + np.outer(b, a)
            own += np.outer(a, a) + np.outer(b, b)
            for draw in range(n_draws):
                sign = (-1) ** ((int(bits[i, j]) >> draw & 1) + (int(bits[other]) >> draw & 1))
                flipped[draw] += sign * (np.outer(a, b) + np.outer(b, a))
    return m, joint / (2 * m), own / (2 * m), flipped / (2 * m)


@pytest.mark.parametrize("shape", [(7, 11), (11, 7), (1, 40), (40, 1), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_are_those_of_pairs_of_good_neighbours(rng, monkeypatch, shape, dtype):
    monkeypatch.setattr(_coherence, "_BLOCK_SIZE", 1)  # blocks of 64 pixels at least
    Y = (1 + rng.random((shape[0] * shape[1], 6))).astype(dtype)
    vectors = rng.standard_normal((4, 6)) * [1, 1, 0, 1, 1, 1]
    good = rng.random(len(Y)) < 0.8
    good[:2] = good[shape[1] if shape[0] > 1 else 1] = True
    expected = moments_by_loops(Y.astype(np.float64) @ vectors.T, shape, good, 3)
    Y[~good] = np.nan
    Y[:, 2] = np.nan
    bands = np.arange(6) != 2
    for n_jobs in (1, 2):
        with Workers(n_jobs) as workers:
            found = neighbour_moments(Y, vectors, shape, workers, pixels=good, bands=bands)
        assert found.n_pairs == expected[0]
        for array, values in zip(
            (found.joint, found.own, found.flipped[:3]), expected[1:], strict=True
        ):
            assert_allclose(array, values, rtol=1e-9, atol=1e-9)


def test_blocks_change_nothing(rng, monkeypatch):
    Z, shape = rng.standard_normal((70 * 30, 3)), (70, 30)
    whole = moments_of(Z, shape)
    monkeypatch.setattr(_coherence, "_BLOCK_SIZE", 1)
    parts = moments_of(Z, shape)
    for name in ("joint", "own", "flipped"):
        assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-12)


def test_a_sample_of_the_pairs_draws_from_the_same_law(rng, monkeypatch):
    Z, shape = rng.standard_normal((100 * 100, 8)), (100, 100)
    whole = np.linalg.eigvalsh(moments_of(Z, shape).flipped)[:, -1]
    monkeypatch.setattr(_coherence, "_N_DRAWN", 2000)
    sample = np.linalg.eigvalsh(moments_of(Z, shape).flipped)[:, -1]
    # The standard error of the means of 64 draws is 2 %.
    assert_allclose(sample.mean(), whole.mean(), rtol=0.1)


def test_the_edge_for_equal_pixels_is_that_of_a_gaussian_orthogonal_matrix(rng):
    shape, d = (60, 50), 20
    moments = moments_of(rng.standard_normal((3000, d)), shape)
    correlations, thresholds = coherent_factors(moments, 0.05)
    # 0.98 is the 95 % quantile of the law of Tracy and Widom.
    edge = (2 * np.sqrt(d) + 0.98 * d ** (-1 / 6)) / np.sqrt(2 * moments.n_pairs)
    assert_allclose(thresholds, edge, rtol=0.04)
    assert_allclose(correlations.sum(), np.trace(np.linalg.solve(moments.own, moments.joint)))


def independent_scores(kind, n, d, rng):
    """Without any correlation of neighbours, of pixels that are not equal."""
    Z = rng.standard_normal((n, d))
    if kind == "own pixels":  # each direction is alive in pixels of its own
        Z *= np.where(np.arange(n)[:, None] * d // n == np.arange(d), 1, 0.05)
    if kind == "heavy tails":
        Z = rng.standard_t(3, (n, d))
    if kind == "bright pixels":
        Z *= np.exp(rng.standard_normal((n, 1)))
    return Z


@pytest.mark.parametrize("kind", ["equal", "own pixels", "heavy tails", "bright pixels"])
def test_alpha_is_the_rate_at_which_independent_pixels_are_taken_for_coherent(rng, kind):
    n_wrong = np.zeros(2)
    for _ in range(250):
        moments = moments_of(independent_scores(kind, 400, 5, rng), (20, 20))
        for i, alpha in enumerate((0.2, 0.02)):
            correlations, thresholds = coherent_factors(moments, alpha)
            n_wrong[i] += correlations[0] > thresholds[0]
    # Three standard errors, and 64 draws know the edge to a tenth of alpha.
    rates = n_wrong / 250
    assert 0.11 < rates[0] < 0.29
    assert rates[1] < 0.06


def test_edges_are_those_outside_of_the_factors_found(rng):
    # A coherent factor in few pixels has large products under any signs.
    Z = rng.standard_normal((2500, 6))
    Z[:, 0] *= 0.01
    Z[100:110, 0] += 30.0
    correlations, thresholds = coherent_factors(moments_of(Z, (50, 50)), 1e-4)
    assert (correlations > thresholds).sum() == 1
    assert thresholds[0] > 2 * thresholds[1] and np.ptp(thresholds[1:]) == 0


VARIABLE = {"variability": 0.1}
DIRICHLET = {"abundances": "dirichlet"}


def count_of(scene, **options):
    return estimate_n_endmembers(scene.data, image_shape=scene.image_shape, **options)


@pytest.mark.parametrize("image_shape", [(64, 40), (40, 64)])
@pytest.mark.parametrize("k", [3, 5, 8])
def test_endmembers_that_vary_from_pixel_to_pixel_are_counted_once(k, image_shape):
    for seed in range(3):
        scene = make_scene(k, image_shape=image_shape, random_state=seed, **VARIABLE)
        count = count_of(scene)
        assert count.n_endmembers == k and count.method == "spatial"
        assert estimate_n_endmembers(scene.data).n_endmembers > k
        assert len(count.criterion) == estimate_n_endmembers(scene.data).n_endmembers


@pytest.mark.parametrize("max_abundance, variability", [(1.0, 0.0), (0.8, 0.1), (1.0, 0.2)])
def test_patches_are_counted_with_and_without_variation(max_abundance, variability):
    for k in (3, 6):
        scene = make_scene(k, max_abundance=max_abundance, variability=variability, random_state=k)
        assert count_of(scene).n_endmembers == k


@pytest.mark.parametrize("image_shape", [(1, 3000), (3000, 1)])
def test_a_line_of_pixels_is_an_image(image_shape):
    scene = make_scene(4, image_shape=image_shape, random_state=0, **VARIABLE)
    count = count_of(scene)
    assert count.n_endmembers == 4 and count.method == "spatial"


@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize("lit", [False, True])
def test_independent_pixels_are_left_to_the_noise(rng, k, lit):
    scene = make_scene(k, snr=None, random_state=k, **DIRICHLET)
    Y = scene.data
    if lit:  # smooth light, by a factor of 3
        across = np.arange(64) / 64
        light = 2 + np.sin(2 * np.pi * across)[:, None] * np.cos(2 * np.pi * across)
        Y = light.reshape(-1, 1) * Y
    Y = Y + 0.03 * Y.std() * rng.standard_normal(Y.shape)
    count, by_noise = (
        estimate_n_endmembers(Y, image_shape=scene.image_shape, method=method)
        for method in ("auto", "rmt")
    )
    assert count.method == "rmt" and count.n_endmembers == by_noise.n_endmembers == k
    assert_array_equal(count.criterion, by_noise.criterion)
    assert abs(count.shared_variation) < 0.1 and np.isnan(by_noise.shared_variation)
    assert estimate_n_endmembers(Y.reshape(64, 64, -1), method="spatial").n_endmembers < k


def test_smooth_light_adds_no_endmember(rng):
    scene = make_scene(4, snr=None, random_state=2, **VARIABLE)
    light = 1.5 + np.sin(np.arange(64) / 8)[:, None] * np.cos(np.arange(64) / 5)
    Y = light.reshape(-1, 1) * scene.data
    Y += 0.03 * Y.std() * rng.standard_normal(Y.shape)
    assert estimate_n_endmembers(Y.reshape(64, 64, -1)).n_endmembers == 4


def test_what_varies_smoothly_counts(rng):
    scene = make_scene(3, snr=40, random_state=0)
    tilt = 0.2 * np.sin(np.arange(64) / 6)[:, None] * np.sin(np.arange(64) / 7)
    slope = np.linspace(-1, 1, 150)
    Y = scene.data + tilt.reshape(-1, 1) * (scene.abundances @ scene.endmembers) * slope
    assert estimate_n_endmembers(Y.reshape(64, 64, -1)).n_endmembers == 6


def patches(k, rng, shape, rare):
    """(Y, A): materials in stripes of 8 columns, the last of them in one square of `rare`²."""
    E = smooth_spectra(k, 60, rng)
    A = np.zeros((*shape, k))
    A[:, np.arange(shape[1]), np.arange(shape[1]) // 8 % (k - 1)] = 1
    A[10 : 10 + rare, 20 : 20 + rare] = np.eye(k)[-1]
    A = A.reshape(-1, k)
    levels = 1 + 0.1 * rng.standard_normal(A.shape)
    tilts = 0.1 * rng.standard_normal(A.shape)
    Y = (A * levels) @ E + (A * tilts) @ (E * np.linspace(-1, 1, 60))
    return Y + 0.005 * rng.standard_normal(Y.shape), A


def test_a_rare_material_in_a_patch_is_counted(rng):
    for _ in range(3):
        Y, A = patches(4, rng, (40, 60), rare=5)
        assert A[:, -1].mean() < 0.0105
        assert estimate_n_endmembers(Y, image_shape=(40, 60)).n_endmembers == 4


def test_pixels_masked_out_have_no_part(rng):
    Y, A = patches(4, rng, (40, 60), rare=5)
    mask = A[:, -1] == 0
    # The patch, and a pixel of something else here and there.
    mask[rng.choice(2400, 50, replace=False)] = False
    Y[(A[:, -1] == 0) & ~mask] = np.nan
    for form in (mask, mask.reshape(40, 60)):
        image = Y.reshape(40, 60, -1)
        count = estimate_n_endmembers(image, mask=form)
        assert count.n_endmembers == 3 and count.method == "spatial"
        assert estimate_n_endmembers(image, mask=form, method="rmt").n_endmembers > 3
    filled = np.where(mask[:, None], Y, 1e3 * rng.random(Y.shape))
    again = estimate_n_endmembers(filled, image_shape=(40, 60), mask=mask)
    assert_array_equal(again.criterion, count.criterion)


def test_single_outlying_pixels_add_no_endmember(rng):
    scene = make_scene(4, random_state=0)
    Y = scene.data
    Y[rng.choice(len(Y), 20, replace=False)] = rng.random((20, 1)) * smooth_spectra(20, 150, rng)
    assert count_of(scene, method="rmt").n_endmembers > 4
    assert count_of(scene).n_endmembers == 4


@pytest.mark.parametrize("side", [2, 3])
def test_one_odd_patch_does_not_hide_the_others(side):
    # Four pixels of a kind have large products under any signs.
    target = make_scene(1, random_state=99).endmembers[0]
    for seed in range(2):
        image = make_scene(4, random_state=seed, **VARIABLE).data.reshape(64, 64, -1)
        image[30 : 30 + side, 30 : 30 + side] = target
        count = estimate_n_endmembers(image)
        assert count.method == "spatial" and count.n_endmembers == (4 if side == 2 else 5)
        heavy = np.argmax(count.threshold)
        others = np.delete(count.threshold, heavy)
        assert 0.3 < count.criterion[heavy] < 0.7 and others.max() < 0.3


def test_independent_factors_of_few_pixels_have_edges_of_their_own(rng):
    Z = rng.standard_normal((2500, 6))
    Z[[100, 101, 150, 151], 4] = 100.0
    moments = moments_of(Z, (50, 50))
    correlations, thresholds = coherent_factors(moments, 1e-4)
    assert not (correlations > thresholds).any()
    assert thresholds.max() > 3 * np.median(thresholds)
    # A coherent factor beside them is seen: its correlation is below the largest edge.
    Z[:, 0] += 1.2 * np.repeat(np.arange(50) // 10 % 2, 50) - 0.6
    correlations, thresholds = coherent_factors(moments_of(Z, (50, 50)), 1e-4)
    assert (correlations > thresholds).sum() == 1
    assert correlations[correlations > thresholds] < thresholds.max()


def test_images_too_small_to_tell_are_left_to_the_noise():
    for seed in range(3):
        count = count_of(make_scene(6, image_shape=(8, 8), random_state=seed))
        assert count.n_endmembers == 6 and count.method == "rmt"
        assert count.shared_variation > 0.25


def test_spatial_says_so_where_the_image_is_too_small():
    scene = make_scene(4, random_state=0)
    line = scene.data.reshape(64, 64, -1)[:1]
    with pytest.warns(UserWarning, match="in so small an image independent pixels may reach"):
        count = estimate_n_endmembers(line, method="spatial")
    assert count.n_endmembers < 4 and count.shared_variation > 0.25
    # Large enough, or nothing in common: no word.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count_of(scene, method="spatial")
        count_of(make_scene(4, random_state=0, **DIRICHLET), method="spatial")


def test_the_way_the_image_is_turned_and_units_change_nothing():
    scene = make_scene(5, image_shape=(48, 32), random_state=1, **VARIABLE)
    image = scene.data.reshape(48, 32, -1)
    count = estimate_n_endmembers(image)
    assert_array_equal(count_of(scene).criterion, count.criterion)
    for other in (image.transpose(1, 0, 2), image[::-1], image[:, ::-1], 1e-6 * image):
        again = estimate_n_endmembers(other)
        assert_allclose(again.criterion, count.criterion, rtol=1e-5, atol=1e-7)
        assert again.n_endmembers == 5
    scaled = image * 10.0 ** np.linspace(-3, 3, 150)
    assert_allclose(estimate_n_endmembers(scaled).criterion, count.criterion, rtol=1e-4, atol=1e-5)
    assert estimate_n_endmembers(image.astype(np.float32)).n_endmembers == 5
    padded = np.insert(image, [0, 70], [0.0, 0.5], axis=2)
    assert_allclose(estimate_n_endmembers(padded).criterion, count.criterion, rtol=1e-6, atol=1e-9)
    # The wrong image is another scene.
    wrong = estimate_n_endmembers(scene.data, image_shape=(32, 48))
    assert wrong.shared_variation < 0.8 * count.shared_variation


def test_a_scene_without_noise_is_counted():
    scene = make_scene(4, snr=None, random_state=0)
    assert count_of(scene, method="spatial").n_endmembers == 4


@pytest.mark.parametrize("method", ["auto", "spatial"])
@pytest.mark.parametrize("scene", ["constant", "few", "one band", "two pixels", "same", "noise"])
def test_degenerate_images_give_finite_numbers(rng, method, scene):
    image = {
        "constant": np.full((5, 6, 5), 0.3),
        "few": mixed_scene(3, rng, n_pixels=12, snr=30)[0].reshape(3, 4, -1),
        "one band": rng.random((5, 10, 1)),
        "two pixels": rng.random((1, 2, 6)),
        "same": np.repeat(rng.random((20, 10, 1)), 6, axis=2),
        "noise": rng.standard_normal((30, 30, 10)),
    }[scene]
    count = estimate_n_endmembers(image, method=method)
    assert 0 <= count.n_endmembers <= image.shape[2]
    assert not np.isnan(count.criterion).any() and not np.isnan(count.threshold).any()
    if scene in ("constant", "noise"):
        assert count.n_endmembers == 0


def test_variation_is_shared_where_patches_are_and_not_where_pixels_are_independent(rng):
    mean = np.array([5.0, 0.0, 0.0])
    patch = np.repeat(np.repeat(rng.standard_normal((10, 10, 3)), 8, axis=0), 8, axis=1)
    scattered = rng.standard_normal((6400, 3))
    light = np.arange(6400)[:, None] / 1600 * mean  # which says nothing about materials
    cases = [(patch.reshape(-1, 3), 0.8, 1.0), (scattered, -0.05, 0.05)]
    for signal, least, most in [*cases, (scattered + light, -0.05, 0.05)]:
        noisy = mean + signal + 0.5 * rng.standard_normal((6400, 3))
        moments = moments_of(2 * noisy, (80, 80))
        assert least < shared_variation(moments, 2 * noisy.mean(axis=0)) < most


def test_a_count_by_neighbours_is_drawn():
    count = count_of(make_scene(4, random_state=0, **VARIABLE))
    display = EndmemberCountDisplay.from_count(count)
    assert display.n_endmembers == 4 == len(display.endmembers_.get_xdata())
    assert display.ax_.get_ylabel() == "Correlation of neighbours"
    assert display.ax_.get_yscale() == "linear"
    assert EndmemberCountDisplay.from_count(count, scale="log").ax_.get_yscale() == "log"


@pytest.mark.parametrize("kind", [{}, DIRICHLET, VARIABLE])
@pytest.mark.parametrize("ruined", [{}, {"ruined_bands": 0.2, "ruin": "stripes"}])
def test_unmixer_counts_what_neighbours_share(kind, ruined):
    scene = make_scene(4, image_shape=(64, 48), random_state=0, **kind, **ruined)
    model = Unmixer(image_shape=scene.image_shape, n_init=1, tol=1e-2, random_state=0)
    assert model.fit(scene.data).n_components_ == 4


def test_unmixer_leaves_flagged_pixels_out_of_the_count():
    scene = make_scene(3, outlying_pixels=0.05, random_state=1, **DIRICHLET)
    model = Unmixer(image_shape=scene.image_shape, n_init=1, tol=1e-2, random_state=0)
    assert model.fit(scene.data).n_components_ == 3
    assert count_of(scene).n_endmembers > 3
    assert count_of(scene, mask=model.pixel_weights_ > 0).n_endmembers == 3


CHECKERBOARD = np.add.outer(np.arange(6), np.arange(5)) % 2 == 0


@pytest.mark.parametrize(
    "X, options, message",
    [
        (np.ones((30, 4)), {"method": "spatial"}, "spatial.* compares neighbours"),
        (np.ones((30, 4)), {"image_shape": (7, 5)}, "image_shape=.* has 35 pixels; X has 30"),
        (np.ones((6, 5, 4)), {"image_shape": (5, 6)}, r"X is an image of \(6, 5\)"),
        (np.ones((6, 5, 4)), {"mask": np.ones((5, 6), dtype=bool)}, "mask must be boolean"),
        (np.ones((30, 4)), {"mask": np.ones((6, 5), dtype=bool)}, r"give image_shape=\(6, 5\) too"),
        (np.ones((30, 4)), {"mask": np.ones((6, 4), dtype=bool)}, "mask must be boolean"),
        (np.ones((30, 4)), {"mask": np.ones(30)}, "mask must be boolean"),
        (np.ones((30, 4)), {"mask": np.arange(30) == 3}, "mask takes 1 pixels"),
        (np.full((30, 4), np.nan), {"mask": np.arange(30) < 3}, "NaN in pixels that mask takes"),
        (np.full((30, 4), np.inf), {"mask": np.arange(30) < 3}, "X contains infinity"),
        (
            np.arange(120.0).reshape(6, 5, 4) ** 2,
            {"method": "spatial", "mask": CHECKERBOARD},
            "no two pixels taken",
        ),
    ],
)
def test_images_that_cannot_be_compared_are_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_n_endmembers(X, **options)


def test_pixels_without_neighbours_are_left_to_the_noise(rng):
    Y = mixed_scene(3, rng, n_pixels=900, snr=30)[0].reshape(30, 30, -1)
    mask = np.add.outer(np.arange(30), np.arange(30)) % 2 == 0
    count = estimate_n_endmembers(Y, mask=mask)
    assert count.method == "rmt" and np.isnan(count.shared_variation)
