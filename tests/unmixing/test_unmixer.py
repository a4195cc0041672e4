"""The pipeline from a scene to endmembers and abundances."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import VCA, Unmixer
from factorkit.callbacks import EarlyStopping
from factorkit.datasets import make_scene
from factorkit.datasets._scenes import _on_simplex
from factorkit.metrics import abundance_rmse, matched_components
from factorkit.unmixing._scales import choose_scale
from factorkit.utils._sklearn import HAS_CALLBACKS

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def judged(model, scene):
    """Mean angle in radians, and RMSE of the abundances of ordinary pixels."""
    permutation, angles = matched_components(
        scene.endmembers, model.components_, metric="spectral_angle"
    )
    good = ~scene.outlying_pixels
    return angles.mean(), abundance_rmse(
        scene.abundances[good], model.abundances_[good], permutation=permutation
    )


def fitted(scene, k=4, **options):
    options = {"image_shape": scene.image_shape, "random_state": 0} | options
    return Unmixer(k, **options).fit(scene.data)


@quiet
@parametrize_with_checks([Unmixer(2), Unmixer(random_state=0), Unmixer(2, normalize=True)])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@quiet
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_preserve_dtypes,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_further_checks_pass(check):
    check("Unmixer", Unmixer(2, random_state=0))


@pytest.mark.parametrize("abundances", ["smooth", "dirichlet"])
@pytest.mark.parametrize(
    "ruin", ["noise", "impulse", "dead", "ramp", "stripes", "saturation", "pixels"]
)
def test_ruined_scenes_are_unmixed_like_clean_ones(ruin, abundances, seed):
    made = {"abundances": abundances, "random_state": seed}
    ruins = {"ruined_bands": 0.2, "ruin": ruin} if ruin != "pixels" else {"outlying_pixels": 0.05}
    clean, ruined = make_scene(4, **made), make_scene(4, **made, **ruins)
    model = fitted(ruined)
    angle_clean, rmse_clean = judged(fitted(clean), clean)
    angle, rmse = judged(model, ruined)
    # A fifth of the bands are seen no more, and sharp features in them are only guessed.
    assert angle < angle_clean + 0.012 and rmse < 1.25 * rmse_clean + 0.002
    reference = VCA(4, n_init=1, random_state=0).fit(ruined.data)
    angle_vca, _ = judged(reference, ruined)
    assert angle < angle_vca / 3
    assert_array_equal(model.band_weights_[ruined.ruined_bands], 0)
    assert model.band_weights_.sum() > 0.75 * 150


def test_without_flags_the_same_scene_fails():
    scene = make_scene(4, ruined_bands=0.2, outlying_pixels=0.05, random_state=0)
    angle, _ = judged(fitted(scene, flag_bands=False, flag_pixels=False), scene)
    assert angle > 0.1
    assert judged(fitted(scene), scene)[0] < 0.01


def test_outlying_pixels_are_flagged_and_get_abundances(seed):
    scene = make_scene(4, outlying_pixels=0.05, random_state=seed)
    model = fitted(scene)
    flagged = model.pixel_weights_ == 0
    assert flagged[scene.outlying_pixels].mean() > 0.97
    assert flagged[~scene.outlying_pixels].mean() < 0.03
    assert_allclose(model.abundances_.sum(axis=1), 1)


@pytest.mark.parametrize("largest", [0.7, 0.8])
def test_endmembers_without_a_pure_pixel_are_found(largest, seed):
    scene = make_scene(4, max_abundance=largest, random_state=seed)
    model, inside = fitted(scene), fitted(scene, min_volume=False)
    assert model.refined_ and not inside.refined_
    assert judged(model, scene)[0] < 0.02 < judged(inside, scene)[0]


@pytest.mark.parametrize("snr", [30, 60, None])
def test_endmembers_without_a_pure_pixel_are_found_in_any_noise(snr, rng):
    scene = make_scene(4, max_abundance=0.8, snr=None, random_state=0)
    if snr is not None:
        level = np.sqrt(np.mean(scene.data**2) / 10 ** (snr / 10))
        scene.data += level * rng.uniform(0.6, 1.4, 150) * rng.standard_normal(scene.data.shape)
    model = fitted(scene)
    assert model.refined_ and not model.normalized_
    assert judged(model, scene)[0] < 0.006


def test_bands_without_signal_are_flagged_whatever_their_noise(rng):
    scene = make_scene(4, random_state=0)
    bands = np.arange(150)
    scattered, together = bands[::7], bands[60:80]
    for dead in (scattered, together):
        X = scene.data.copy()
        X[:, dead] = 1e-4 * rng.standard_normal((len(X), len(dead)))
        model = Unmixer(4, image_shape=scene.image_shape, random_state=0).fit(X)
        assert_array_equal(np.flatnonzero(model.band_weights_ == 0), dead)
        assert_allclose(model.components_.clip(0, 1), model.components_, atol=0.02)


def test_a_good_band_that_was_flagged_is_acquitted(rng):
    # A feature as narrow as a band, which no neighbour predicts and all abundances explain.
    scene = make_scene(3, image_shape=(40, 40), random_state=1, snr=45)
    X = scene.data.copy()
    extra = np.array([0.3, -0.2, 0.0])
    X[:, 70] += scene.abundances @ extra
    X[:, 90] += 0.2 * rng.standard_normal(1600)
    model = Unmixer(3, image_shape=(40, 40), random_state=0).fit(X)
    assert model.band_weights_[70] == 1 and model.band_weights_[90] == 0
    order, _ = matched_components(scene.endmembers, model.components_, metric="spectral_angle")
    expected = scene.endmembers[:, 70] + extra
    assert_allclose(model.components_[order, 70], expected, atol=0.02)


@pytest.mark.parametrize("seed_of_scene", [2, 4, 6])
def test_bands_in_which_materials_look_alike_are_not_ruined(seed_of_scene):
    scene = make_scene(
        4, snr=20, abundances="dirichlet", ruined_bands=0.1, random_state=seed_of_scene
    )
    model = fitted(scene)
    # Without acquittal two to eight more are flagged.
    assert_array_equal(model.band_weights_ == 0, scene.ruined_bands)


def test_much_noisier_bands_are_ruined_where_little_varies_but_noise():
    # Two fifths of the variance of the good bands are noise. Nine more would be acquitted.
    scene = make_scene(4, snr=20, abundances="dirichlet", ruined_bands=0.2, random_state=10)
    missed = scene.ruined_bands & (fitted(scene).band_weights_ > 0)
    assert np.count_nonzero(missed) < 4


def test_bands_that_hold_as_little_noise_as_others_but_no_light_are_ruined(seed):
    scene = make_scene(4, snr=20, abundances="dirichlet", random_state=6)
    rng = np.random.default_rng(seed)
    noise = np.sqrt(np.mean(scene.data**2)) / 10 * rng.standard_normal((len(scene.data), 4))
    scene.data[:, 70:74] = 0.02 + noise
    assert_array_equal(np.flatnonzero(fitted(scene).band_weights_ == 0), np.arange(70, 74))
    # Nor are those as good as others that have their brightness, but twice the noise.
    scene.data[:, 70:74] = scene.data[:, [69]].mean() + 2 * noise
    assert_array_equal(np.flatnonzero(fitted(scene).band_weights_ == 0), np.arange(70, 74))


@pytest.mark.parametrize("part", [0.15, 0.4, 0.6])
def test_saturated_bands_stay_ruined_however_well_they_are_explained(part, seed):
    # What is left below a ceiling is a combination of the materials, with less noise than others.
    scene = make_scene(4, snr=20, random_state=seed)
    bands = np.random.default_rng(seed).choice(150, 30, replace=False)
    ceiling = np.quantile(scene.data[:, bands], 1 - part, axis=0)
    scene.data[:, bands] = np.minimum(scene.data[:, bands], ceiling)
    assert (fitted(scene).band_weights_[bands] == 0).all()


def test_noise_is_not_taken_for_uneven_light(seed):
    scene = make_scene(4, snr=15, image_shape=(50, 50), random_state=seed + 3)
    model = fitted(scene)
    assert not model.normalized_ and model.light_spread_ < 0.05


@pytest.mark.parametrize("kind", [{"variability": 0.1}, {"nonlinearity": 0.3}])
def test_archetypes_stay_where_facets_tell_less(kind, seed):
    scene = make_scene(4, random_state=seed, **kind)
    assert not fitted(scene).refined_
    assert not fitted(scene, image_shape=None).refined_


@pytest.mark.parametrize("snr", [20, 40])
def test_facets_sharpen_endmembers_of_which_pixels_are_pure(snr, seed):
    scene = make_scene(3, snr=snr, random_state=seed + 200)
    for shape, part in ((scene.image_shape, 1.0), (None, 0.5)):
        sharper = fitted(scene, 3, image_shape=shape)
        archetypes = fitted(scene, 3, image_shape=shape, min_volume=False)
        assert sharper.refined_ and not archetypes.refined_
        assert judged(sharper, scene)[0] < part * judged(archetypes, scene)[0]


@pytest.mark.parametrize("purity, part", [(0.9, 0.8), (0.8, 0.5)])
def test_mixed_patches_get_their_corners_in_much_noise(purity, part):
    found = []
    for seed in range(3):
        scene = make_scene(4, snr=20, max_abundance=purity, random_state=seed)
        models = fitted(scene), fitted(scene, min_volume=False)
        assert models[0].refined_
        found.append([judged(model, scene)[0] for model in models])
    beyond, within = np.median(found, axis=0)
    assert beyond < part * within


def test_facets_of_averaged_neighbours_are_sharper_in_patches():
    found = []
    for seed in (200, 201):
        scene = make_scene(4, snr=20, ruined_bands=0.2, random_state=seed)
        for shape in (scene.image_shape, None):
            model = fitted(scene, image_shape=shape)
            assert model.refined_
            found.append(judged(model, scene)[0])
    # Without the averages both would have the same facets.
    assert sum(found[::2]) < 0.95 * sum(found[1::2])


def test_neighbours_that_mix_do_not_round_facets_off():
    # Pixels that differ from their neighbours, and are averaged with them all the same.
    rng = np.random.default_rng(0)
    fields = gaussian_filter(rng.standard_normal((3, 64, 64)), (0, 1, 1), mode="wrap")
    A = _on_simplex(1.2 * (fields / fields.std()).reshape(3, -1).T)
    scene = make_scene(3, snr=20, random_state=200)
    Y = A @ scene.endmembers
    scene.data = Y + 0.1 * np.sqrt(np.mean(Y**2)) * rng.standard_normal(Y.shape)
    model, alone = fitted(scene, 3), fitted(scene, 3, image_shape=None)
    assert model.refined_ and model.smoothed_
    assert_allclose(judged(model, scene)[0], judged(alone, scene)[0], rtol=0.05)


def test_corners_that_no_pixel_is_half_way_to_are_not_believed():
    # Of nine endmembers in noise, all with pure pixels, a facet may turn out of the scene.
    scene = make_scene(9, snr=20, random_state=200)
    assert judged(fitted(scene, 9), scene)[0] < 0.03


def test_light_is_taken_away_where_it_varies():
    even, uneven = (make_scene(4, variability=v, random_state=0) for v in (0.0, 0.1))
    model = fitted(even)
    assert not model.normalized_ and model.abundance_scale_ == "area"
    assert model.light_ratio_ < 1.05 and model.light_spread_ < 0.05
    model = fitted(uneven)
    assert model.normalized_ and model.light_ratio_ > 1.1
    assert judged(model, uneven)[0] < judged(fitted(uneven, normalize=False), uneven)[0]


def test_neighbours_are_averaged_where_they_are_alike():
    smooth = make_scene(4, snr=20, random_state=0)
    assert fitted(smooth).smoothed_
    assert not fitted(smooth, image_shape=None).smoothed_
    assert judged(fitted(smooth), smooth)[0] < judged(fitted(smooth, smooth=False), smooth)[0]
    scattered = make_scene(4, abundances="dirichlet", random_state=0)
    assert not fitted(scattered).smoothed_
    assert fitted(scattered, smooth=True).smoothed_
    with pytest.raises(ValueError, match="smooth=True averages neighbours: give the scene as"):
        fitted(smooth, image_shape=None, smooth=True)


def test_fine_grain_is_averaged_only_where_noise_is_worse(rng):
    fields = gaussian_filter(rng.standard_normal((4, 64, 64)), (0, 1, 1), mode="wrap")
    A = _on_simplex(1.5 * (fields / fields.std()).reshape(4, -1).T)
    scene = make_scene(4, random_state=0)
    Y = A @ scene.endmembers
    for snr, worse in ((20, True), (50, False)):
        noise = 10 ** (-snr / 20) * np.sqrt(np.mean(Y**2))
        scene.data = Y + noise * rng.standard_normal(Y.shape)
        model = fitted(scene)
        assert model.smoothed_ == worse
    forced = fitted(scene, smooth=True)
    assert forced.smoothed_ and judged(model, scene)[0] < 0.7 * judged(forced, scene)[0]


@pytest.mark.parametrize("snr", [20, 40])
def test_materials_that_vary_are_averaged_whatever_the_noise(snr):
    scene = make_scene(4, snr=snr, variability=0.1, random_state=0)
    model, alone = fitted(scene), fitted(scene, smooth=False)
    assert model.smoothed_
    assert judged(model, scene)[0] < 0.8 * judged(alone, scene)[0]


@pytest.mark.parametrize("scale", ["auto", "area", "lit_area", "soft", "share"])
def test_abundances_are_shares_in_every_convention(scale):
    scene = make_scene(3, image_shape=(30, 30), random_state=1)
    X = scene.data.copy()
    X[5] = 0
    model = Unmixer(3, abundance_scale=scale, random_state=0)
    A = model.fit_transform(X)
    assert_allclose(A.sum(axis=1), 1)
    assert A.min() >= 0 and np.isfinite(A).all()
    assert_array_equal(A, model.abundances_)
    # A pixel's abundances do not depend on the pixels around it.
    assert_allclose(model.transform(X[::-7]), A[::-7], atol=1e-9)


def test_conventions_weigh_bright_endmembers_differently():
    scene = make_scene(
        2, image_shape=(30, 30), snr=50, endmembers=[[0.1, 0.3, 0.2] * 20, [0.9, 0.6, 0.7] * 20],
        random_state=0,
    )  # fmt: skip
    bright = int(np.argmax(Unmixer(2, random_state=0).fit(scene.data).components_.sum(axis=1)))
    shares = {
        scale: Unmixer(2, abundance_scale=scale, random_state=0)
        .fit_transform(scene.data)[:, bright]
        .mean()
        for scale in ("area", "lit_area", "soft", "share")
    }
    assert_allclose(shares["area"], scene.abundances[:, 1].mean(), atol=0.01)
    assert_allclose(shares["lit_area"], shares["area"], atol=0.01)
    assert shares["area"] < shares["soft"] - 0.03 < shares["share"] - 0.06


def test_the_convention_follows_the_light():
    assert choose_scale(1.0, 0.01) == "area"
    assert choose_scale(1.8, 0.1) == "lit_area"
    assert choose_scale(1.1, 0.2) == "lit_area"
    assert choose_scale(1.1, 0.5) == "area"
    assert choose_scale(1.4, 0.5) == "soft"
    assert choose_scale(2.2, 0.5) == "share"


@pytest.mark.parametrize("unit", [1e-7, 1e4])
@pytest.mark.parametrize("variability", [0.0, 0.1])
def test_the_unit_of_the_scene_changes_no_abundance(unit, variability):
    scene = make_scene(
        3, image_shape=(30, 30), variability=variability, ruined_bands=0.1, random_state=0
    )
    model, scaled = (Unmixer(3, random_state=0).fit(c * scene.data) for c in (1.0, unit))
    assert_allclose(scaled.abundances_, model.abundances_, atol=1e-6)
    assert_allclose(scaled.components_, unit * model.components_, rtol=1e-6)


def test_the_order_of_bands_and_of_pixels_does_not_matter(rng):
    scene = make_scene(3, image_shape=(30, 30), ruined_bands=0.2, random_state=0)
    options = {"n_init": 8, "random_state": 0}
    model = Unmixer(3, wavelengths=scene.wavelengths, **options).fit(scene.data)
    bands, pixels = rng.permutation(150), rng.permutation(900)
    other = Unmixer(3, wavelengths=scene.wavelengths[bands], **options)
    A = other.fit_transform(scene.data[pixels][:, bands])
    assert_array_equal(other.band_weights_, model.band_weights_[bands])
    order, angles = matched_components(
        model.components_[:, bands], other.components_, metric="spectral_angle"
    )
    assert angles.max() < 1e-3
    assert_allclose(A[:, order], model.abundances_[pixels], atol=3e-3)


def test_an_image_is_its_pixels(rng):
    scene = make_scene(3, image_shape=(20, 35), random_state=0)
    image = scene.data.reshape(20, 35, 150)
    model = Unmixer(3, random_state=0).fit(image)
    flat = Unmixer(3, image_shape=(20, 35), random_state=0).fit(scene.data)
    assert model.image_shape_ == flat.image_shape_ == (20, 35)
    assert_array_equal(model.components_, flat.components_)
    with pytest.raises(ValueError, match=r"image_shape=\(35, 20\) and X is an image of \(20, 35\)"):
        Unmixer(3, image_shape=(35, 20)).fit(image)
    maps = model.abundance_maps()
    assert maps.shape == (20, 35, 3)
    assert_array_equal(maps[3, 7], model.abundances_[3 * 35 + 7])
    assert_allclose(model.abundance_maps(image[:5]), maps[:5], atol=1e-9)


def test_missing_entries_are_left_out(rng):
    scene = make_scene(3, image_shape=(40, 40), random_state=0)
    X = scene.data.copy()
    X[rng.random(X.shape) < 0.05] = np.nan
    X[:, 40] = np.nan
    X[17] = np.nan
    model = Unmixer(3, image_shape=(40, 40), random_state=0).fit(X)
    assert model.band_weights_[40] == 0 and model.pixel_weights_[17] == 0
    scene.outlying_pixels[17] = True  # of which nothing is known
    assert judged(model, scene)[0] < 0.01
    assert np.isfinite(model.components_).all()
    assert_array_equal(np.isnan(model.abundances_).any(axis=1), np.arange(1600) == 17)
    whole = Unmixer(3, image_shape=(40, 40), random_state=0).fit(scene.data)
    assert judged(model, scene)[1] < 1.3 * judged(whole, scene)[1] + 0.005


@pytest.mark.parametrize("scale", ["lit_area", "soft", "share"])
def test_missing_entries_hardly_change_any_convention(scale, rng):
    scene = make_scene(3, image_shape=(30, 30), snr=40, random_state=0)
    model = Unmixer(3, abundance_scale=scale, random_state=0).fit(scene.data)
    X = scene.data.copy()
    X[rng.random(X.shape) < 0.2] = np.nan
    assert_allclose(model.transform(X), model.abundances_, atol=0.05)


def test_the_number_of_endmembers_is_counted_after_the_flags():
    scene = make_scene(
        5, ruined_bands=0.2, ruin="ramp", outlying_pixels=0.03, abundances="dirichlet",
        random_state=0,
    )  # fmt: skip
    model = Unmixer(random_state=0).fit(scene.data)
    assert model.n_components_ == 5 == len(model.components_)


def test_endmembers_are_mixtures_of_the_pixels_that_are_told():
    scene = make_scene(3, image_shape=(30, 30), abundances="dirichlet", random_state=0)
    model = Unmixer(3, n_dimensions=150, normalize=False, min_volume=False, random_state=0)
    model.fit(scene.data)
    for spectrum, (pixels, weights) in zip(model.components_, model.mixtures_, strict=True):
        assert_allclose(weights.sum(), 1)
        assert_allclose(weights @ scene.data[pixels], spectrum, atol=1e-6)


def test_results_repeat_and_do_not_depend_on_threads():
    scene = make_scene(4, image_shape=(60, 50), ruined_bands=0.2, random_state=0)
    model = fitted(scene, n_jobs=1)
    for other in (clone(model), pickle.loads(pickle.dumps(model)).set_params(n_jobs=2)):
        assert_array_equal(other.fit(scene.data).abundances_, model.abundances_)


def test_single_precision_stays(rng):
    scene = make_scene(3, image_shape=(40, 40), ruined_bands=0.2, random_state=0)
    model = fitted(scene, k=3)
    scene.data = scene.data.astype(np.float32)
    single = fitted(scene, k=3)
    assert single.components_.dtype == single.abundances_.dtype == np.float32
    assert_allclose(single.abundances_, model.abundances_, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 200}, "n_components=200 is more than the 150 bands"),
        ({"image_shape": (3, 4)}, r"image_shape=\(3, 4\) has 12 pixels; X has 900"),
        ({"image_shape": (900,)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"wavelengths": [1.0, 2.0]}, "wavelengths has shape"),
        ({"normalize": "yes"}, "normalize"),
        ({"offset": 0}, "offset"),
        ({"abundance_scale": "mass"}, "abundance_scale"),
    ],
)
def test_bad_parameters_are_refused_and_nothing_is_lost(options, message):
    scene = make_scene(3, image_shape=(30, 30), random_state=0)
    model = Unmixer(3, random_state=0).fit(scene.data)
    E = model.components_
    model.set_params(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(scene.data)
    assert model.components_ is E


@pytest.mark.parametrize(
    "X",
    [
        np.ones((30, 6)),
        np.zeros((30, 6)),
        np.vstack([np.ones((20, 6)), np.zeros((20, 6))]),
        np.repeat(np.arange(12.0).reshape(2, 6), 15, axis=0),
    ],
    ids=["ones", "zeros", "two constants", "two spectra"],
)
@quiet
def test_scenes_without_variety_have_finite_results(X):
    model = Unmixer(2, random_state=0)
    A = model.fit_transform(X)
    assert np.isfinite(model.components_).all()
    assert_allclose(A.sum(axis=1), 1)


def test_few_iterations_are_warned_of():
    scene = make_scene(3, image_shape=(20, 20), random_state=0)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 reached"):
        Unmixer(3, max_iter=1, random_state=0).fit(scene.data)


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")
def test_a_callback_stops_the_fit():
    scene = make_scene(4, variability=0.1, random_state=0)
    model = Unmixer(4, tol=0, random_state=0)
    model.set_callbacks(EarlyStopping(patience=1, min_delta=0.5)).fit(scene.data)
    assert model.stopped_by_callback_ and model.n_iter_ < 300
    assert_allclose(model.transform(scene.data[:9]), model.abundances_[:9], atol=1e-9)
