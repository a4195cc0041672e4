"""Generated scenes are what their documentation says, and ruin does what its name says."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.datasets import make_scene, ruin_bands

RUINS = ["noise", "impulse", "dead", "ramp", "stripes", "saturation"]


def angles(E):
    unit = E / np.linalg.norm(E, axis=1, keepdims=True)
    return np.arccos(np.clip(unit @ unit.T, -1, 1))


@pytest.mark.parametrize("abundances", ["smooth", "dirichlet"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_without_noise_pixels_are_mixtures_whose_shares_sum_to_one(seed, abundances, k):
    scene = make_scene(
        k, image_shape=(13, 17), n_bands=40, abundances=abundances, snr=None, random_state=seed
    )
    A, E = scene.abundances, scene.endmembers
    assert A.shape == (13 * 17, k) and E.shape == (k, 40)
    assert scene.image_shape == (13, 17)
    assert A.min() >= 0
    assert_allclose(A.sum(axis=1), 1)
    assert_allclose(scene.data, A @ E, atol=1e-14)
    assert_allclose(scene.wavelengths, np.linspace(400, 2500, 40))
    assert not scene.ruined_bands.any() and scene.ruined_bands.shape == (40,)
    assert not scene.outlying_pixels.any() and scene.outlying_pixels.shape == (13 * 17,)


@pytest.mark.parametrize("k", [2, 6, 10])
def test_spectra_are_reflectances_that_can_be_told_apart(seed, k):
    E = make_scene(k, image_shape=(4, 4), random_state=seed).endmembers
    assert E.min() > 0 and E.max() < 1
    assert angles(E)[~np.eye(k, dtype=bool)].min() >= 0.1
    # Of broad features: bands beside each other are alike.
    assert np.abs(np.diff(E, axis=1)).max() < 0.1


def test_smooth_abundances_have_neighbours_alike_and_dirichlet_ones_do_not(seed):
    def change(kind):
        scene = make_scene(3, abundances=kind, random_state=seed)
        image = scene.abundances.reshape(*scene.image_shape, 3)
        return np.abs(np.diff(image, axis=1)).mean() / image.std()

    assert change("smooth") < 0.2 < 0.7 < change("dirichlet")


@pytest.mark.parametrize("snr", [10, 20, 40])
def test_noise_is_as_strong_as_stated_and_white(seed, snr):
    clean, noisy = (make_scene(snr=level, random_state=seed).data for level in (None, snr))
    noise = noisy - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.1)
    levels = noise.std(axis=0)
    assert levels.max() < 1.1 * levels.min()
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.01 * noise.var()


@pytest.mark.parametrize("abundances", ["smooth", "dirichlet"])
@pytest.mark.parametrize(("k", "largest"), [(2, 0.5), (3, 0.7), (4, 0.25), (4, 0.85), (8, 0.2)])
def test_no_pixel_is_purer_than_asked_for(seed, abundances, k, largest):
    options = {"abundances": abundances, "image_shape": (30, 30), "random_state": seed}
    A = make_scene(k, max_abundance=largest, **options).abundances
    assert A.max() <= largest + 1e-9
    assert A.max() > largest - 0.05
    assert_allclose(A.sum(axis=1), 1)
    assert A.min() >= 0
    # What is below the bound in all endmembers stays; without a bound some pixels are purer.
    free = make_scene(k, **options).abundances
    inside = free.max(axis=1) <= largest
    assert_allclose(A[inside], free[inside], atol=1e-12)
    assert free.max() > 0.9


def test_given_endmembers_are_used(rng):
    E = rng.random((3, 21))
    scene = make_scene(7, endmembers=E, n_bands=99, image_shape=(5, 6), snr=None, random_state=0)
    assert_array_equal(scene.endmembers, E)
    assert scene.abundances.shape == (30, 3) and scene.wavelengths.shape == (21,)
    assert_allclose(scene.data, scene.abundances @ E)


def test_variability_changes_pixels_as_much_as_it_says(seed):
    options = {"image_shape": (40, 40), "snr": None, "random_state": seed}
    plain = make_scene(3, **options)
    changes = []
    for size in (0.02, 0.1):
        scene = make_scene(3, variability=size, **options)
        assert_array_equal(scene.abundances, plain.abundances)
        assert_array_equal(scene.endmembers, plain.endmembers)
        pure = plain.abundances.max(axis=1) > 0.999
        brightness = scene.data[pure].sum(axis=1) / plain.data[pure].sum(axis=1)
        changes.append(brightness.std())
        # That of the light and that of the material, and part of a slope.
        assert 1.0 * size < changes[-1] < 2.2 * size
        assert scene.data.min() >= 0
    assert changes[1] > 3 * changes[0]


def test_nonlinearity_adds_products_of_endmembers(seed):
    options = {"image_shape": (10, 10), "snr": None, "random_state": seed}
    plain, bent = make_scene(3, **options), make_scene(3, nonlinearity=0.4, **options)
    A, E = plain.abundances, plain.endmembers
    extra = sum(0.4 * np.outer(A[:, j] * A[:, i], E[j] * E[i]) for j in range(3) for i in range(j))
    assert_allclose(bent.data, plain.data + extra, atol=1e-13)


@pytest.mark.parametrize("variability", [0.0, 0.1])
def test_the_scene_under_the_ruin_is_the_same(seed, variability):
    options = {"image_shape": (20, 20), "variability": variability, "random_state": seed}
    clean = make_scene(**options)
    for ruin in RUINS:
        scene = make_scene(ruined_bands=0.2, ruin=ruin, outlying_pixels=0.1, **options)
        for name in ("abundances", "endmembers", "wavelengths"):
            assert_array_equal(scene[name], clean[name])
        good = np.ix_(~scene.outlying_pixels, ~scene.ruined_bands)
        assert_array_equal(scene.data[good], clean.data[good])
        assert scene.ruined_bands.sum() == 30
        assert (scene.data != clean.data)[:, scene.ruined_bands].any(axis=0).all()


def test_outlying_pixels_are_as_many_as_asked_for_and_of_each_kind(seed):
    options = {"image_shape": (40, 50), "random_state": seed}
    clean = make_scene(**options)
    scene = make_scene(outlying_pixels=0.05, **options)
    assert scene.outlying_pixels.sum() == 100
    other = scene.data[scene.outlying_pixels]
    assert (other != clean.data[scene.outlying_pixels]).any(axis=1).all()
    constant = np.ptp(other, axis=1) == 0
    assert constant.sum() == 20
    assert set(np.unique(other[constant])) == {0.0, clean.data.max()}
    rough = np.abs(np.diff(other, axis=1)).mean(axis=1) > 0.1
    assert rough.sum() == 20
    # Spectra of something else: smooth, and no mixtures.
    foreign = other[~constant & ~rough]
    assert len(foreign) == 60
    E = clean.endmembers
    residual = foreign - foreign @ np.linalg.pinv(E) @ E
    assert np.median(np.linalg.norm(residual, axis=1) / np.linalg.norm(foreign, axis=1)) > 0.05


def test_the_seed_decides():
    options = {"ruined_bands": 0.2, "outlying_pixels": 0.1, "variability": 0.1,
               "image_shape": (9, 8)}  # fmt: skip
    a, b, c = (make_scene(random_state=s, **options) for s in (0, 0, 1))
    assert_array_equal(a.data, b.data)
    assert not np.array_equal(a.abundances, c.abundances)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_abundance": 0.2}, r"max_abundance=0.2 is below 1 / 4"),
        ({"image_shape": (4, 4, 4)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"image_shape": (4.5, 4)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"image_shape": (0, 4)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"ruined_bands": 1.0}, "ruined_bands"),
        ({"outlying_pixels": -0.1}, "outlying_pixels"),
        ({"ruin": "rust"}, "ruin"),
        ({"abundances": "patchy"}, "abundances"),
        ({"variability": -1.0}, "variability"),
        ({"n_endmembers": 0}, "n_endmembers"),
    ],
)
def test_a_scene_that_cannot_be_made_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_scene(**options)


@pytest.fixture
def image(rng):
    return rng.uniform(0.1, 1, (12, 15, 20))


@pytest.mark.parametrize("kind", RUINS)
@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.33, 1.0])
def test_as_many_bands_are_ruined_as_asked_for_and_no_other(image, seed, kind, fraction):
    before = image.copy()
    ruined, bands = ruin_bands(image, fraction, kind=kind, random_state=seed)
    assert_array_equal(image, before)
    assert ruined.shape == image.shape
    assert bands.sum() == round(20 * fraction)
    assert_array_equal(ruined[..., ~bands], image[..., ~bands])
    assert (ruined != image).any(axis=(0, 1))[bands].all()
    assert np.isfinite(ruined).all() and ruined.min() >= 0


@pytest.mark.parametrize("kind", RUINS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_image_is_ruined_as_its_pixels_are(image, seed, kind, dtype):
    image = image.astype(dtype)
    ruined, bands = ruin_bands(image, kind=kind, random_state=seed)
    pixels, same = ruin_bands(
        image.reshape(-1, 20), kind=kind, image_shape=(12, 15), random_state=seed
    )
    assert_array_equal(bands, same)
    assert_array_equal(ruined.reshape(-1, 20), pixels)
    assert ruined.dtype == pixels.dtype == dtype


def change(image, kind, seed):
    ruined, bands = ruin_bands(image, 0.3, kind=kind, random_state=seed)
    return ruined[..., bands], (ruined - image)[..., bands]


@pytest.fixture
def signed(rng):
    """An image with values below zero, which ruin does not clip."""
    return 3 * rng.standard_normal((40, 50, 10))


def test_noise_is_white_with_the_deviation_of_the_scene(signed, seed):
    noise = change(signed, "noise", seed)[1]
    assert_allclose(noise.std(axis=(0, 1)), signed.std(), rtol=0.1)
    assert abs(noise.mean()) < 0.1 * signed.std()


def test_impulses_hit_three_in_ten_entries(signed, seed):
    ruined, difference = change(signed, "impulse", seed)
    hit = difference != 0
    assert hit.mean() == pytest.approx(0.3, abs=0.03)
    assert ruined[hit].min() >= 0 and ruined[hit].max() <= signed.max()
    assert ruined[hit].mean() == pytest.approx(signed.max() / 2, rel=0.1)


def test_dead_bands_are_zero(signed, seed):
    assert not change(signed, "dead", seed)[0].any()


def test_a_ramp_is_a_plane_over_the_image(signed, seed):
    slope = change(signed, "ramp", seed)[1]
    down, across = np.diff(slope, axis=0), np.diff(slope, axis=1)
    assert_allclose(down, down[:1, :1] + np.zeros_like(down), atol=1e-12)
    assert_allclose(across, across[:1, :1] + np.zeros_like(across), atol=1e-12)
    # The same size in every direction, across sides of length one.
    size = np.hypot(39 * down[0, 0], 49 * across[0, 0])
    assert_allclose(size, 3 * signed.std(), rtol=1e-9)
    assert_allclose(slope.mean(axis=(0, 1)), 0, atol=1e-12)


def test_stripes_are_offsets_of_columns(signed, seed):
    stripes = change(signed, "stripes", seed)[1]
    assert_allclose(stripes, stripes[:1] + np.zeros_like(stripes), atol=1e-12)
    assert stripes[0].std() == pytest.approx(signed.std(), rel=0.3)
    assert len(np.unique(stripes[0].round(9))) == stripes[0].size


def test_saturation_leaves_a_fifth_of_the_pixels_below_the_top(image, seed):
    ruined = change(image, "saturation", seed)[0]
    top = image.max()
    assert_allclose((ruined < top).mean(axis=(0, 1)), 0.2, atol=0.02)
    assert ruined.max() == top


def test_pixels_without_a_shape_lie_in_one_row(image, seed):
    flat = image.reshape(-1, 20)
    for kind in ("ramp", "stripes"):
        ruined, _ = ruin_bands(flat, kind=kind, random_state=seed)
        expected, _ = ruin_bands(flat, kind=kind, image_shape=(1, 180), random_state=seed)
        assert_array_equal(ruined, expected)


def test_images_of_one_row_or_column_are_taken(image, seed):
    for shape in ((1, 180, 20), (180, 1, 20)):
        for kind in RUINS:
            assert np.isfinite(ruin_bands(image.reshape(shape), kind=kind)[0]).all()


@pytest.mark.parametrize("image_shape", [(12, 14), (180,), (12, 15, 1), (-12, -15), (12.0, 15.0)])
def test_a_shape_that_does_not_fit_is_refused_in_words(image, image_shape):
    with pytest.raises(ValueError, match="image_shape"):
        ruin_bands(image.reshape(-1, 20), kind="ramp", image_shape=image_shape)


def test_what_is_no_scene_is_refused(image):
    with pytest.raises(ValueError, match=r"n_rows × n_columns × n_bands. Got shape \(1, 12"):
        ruin_bands(image[None])
    image[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ruin_bands(image)


def test_the_least_bound_on_abundances_leaves_equal_shares():
    # 1 / 49 * 49 is below 1 in floating point.
    scene = make_scene(49, image_shape=(3, 3), max_abundance=1 / 49, random_state=0)
    assert_allclose(scene.abundances, 1 / 49)
