"""What every unmixing estimator promises, and archetypal analysis as one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit import ArchetypalAnalysis, estimate_abundances
from factorkit.unmixing._scene import pixels_of
from factorkit.utils._sklearn import HAS_CALLBACKS
from tests.unmixing._planted import mixed_scene, pure_pixel_scene

needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks"
)


@pytest.fixture
def model():
    return ArchetypalAnalysis(3, random_state=0)


@pytest.fixture
def scene(rng):
    return mixed_scene(3, rng, n_pixels=300, n_bands=30, snr=30)[0]


@parametrize_with_checks([ArchetypalAnalysis(random_state=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
    ],
)
def test_checks_that_scikit_learn_keeps_to_itself(check):
    check("ArchetypalAnalysis", ArchetypalAnalysis(random_state=0))


@pytest.mark.parametrize("k", [2, 3, 6])
def test_pure_pixels_are_found_without_noise(rng, k):
    for seed in range(5):
        Y, _, pure = pure_pixel_scene(k, rng)
        model = ArchetypalAnalysis(k, random_state=seed)
        A = model.fit_transform(Y)
        assert_allclose(A @ model.components_, Y, atol=1e-6)
        found = [pixels[weights.argmax()] for pixels, weights in model.mixtures_]
        assert set(found) == set(pure)
        assert_allclose(model.components_, Y[found], atol=1e-6)
        assert_allclose(A[found], np.eye(k), atol=1e-4)


def test_components_are_the_mixtures_of_their_pixels(scene, model):
    A = model.fit_transform(scene)
    for component, (pixels, weights) in zip(model.components_, model.mixtures_, strict=True):
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
        assert_allclose(weights @ scene[pixels], component, atol=1e-9)
    # In all dimensions the objective of the solver is that of the scene.
    residual = 0.5 * np.square(scene - A @ model.components_).sum()
    assert model.objective_[-1] == pytest.approx(residual, rel=1e-6)
    assert model.n_iter_ == len(model.objective_)
    assert np.diff(model.objective_).max(initial=0) <= 1e-12 * np.square(scene).sum()


def test_few_dimensions_give_endmembers_in_their_subspace(rng, scene):
    model = ArchetypalAnalysis(3, n_dimensions=4, random_state=0).fit(scene)
    mean = scene.mean(axis=0)
    directions = np.linalg.svd(scene - mean, full_matrices=False)[2][:4]
    offset = model.components_ - mean
    assert_allclose(offset @ directions.T @ directions, offset, atol=1e-8)
    for component, (pixels, weights) in zip(model.components_, model.mixtures_, strict=True):
        projected = mean + (weights @ scene[pixels] - mean) @ directions.T @ directions
        assert_allclose(component, projected, atol=1e-8)
    # Noise in the dimensions that are left out no longer shows.
    Y, E, _ = mixed_scene(3, rng, n_bands=60, snr=25)

    def noise(spectra):
        return np.linalg.norm(spectra - spectra @ np.linalg.pinv(E) @ E)

    few, every = (ArchetypalAnalysis(3, n_dimensions=d, random_state=0).fit(Y) for d in (3, None))
    assert noise(few.components_) < 0.75 * noise(every.components_)
    # Nor does that of the few pixels that are mixed.
    mixed = np.array([weights @ Y[pixels] for pixels, weights in few.mixtures_])
    assert noise(few.components_) < 0.3 * noise(mixed)
    # More than there are is all.
    every = ArchetypalAnalysis(3, random_state=0).fit(scene).components_
    assert_array_equal(
        ArchetypalAnalysis(3, n_dimensions=99, random_state=0).fit(scene).components_, every
    )


def test_rows_are_transformed_by_themselves_as_in_fit(rng, scene, model):
    A = model.fit_transform(scene)
    some = rng.permutation(300)[:50]
    assert_allclose(model.transform(scene[some]), A[some], atol=1e-11)
    assert_array_equal(model.transform(scene), A)
    assert_array_equal(model.abundances_, A)
    A[:] = 7
    assert model.abundances_.max() <= 1
    assert_allclose(model.abundances_.sum(axis=1), 1)
    assert_allclose(model.inverse_transform(model.abundances_), scene, atol=0.2)


def test_float32_in_float32_out(scene, model):
    expected = model.fit_transform(scene)
    A = model.fit_transform(scene.astype(np.float32))
    assert A.dtype == model.components_.dtype == model.transform(np.float32(scene)).dtype
    assert A.dtype == np.float32
    assert_allclose(A, expected, atol=2e-2)


def test_threads_change_no_bit(rng):
    Y = mixed_scene(4, rng, n_pixels=60_000, n_bands=30, snr=30)[0]
    results = [
        ArchetypalAnalysis(4, n_jobs=n, n_init=2, max_iter=3, tol=1, random_state=0).fit(Y)
        for n in (1, 3)
    ]
    assert_array_equal(results[0].components_, results[1].components_)
    assert_array_equal(results[0].abundances_, results[1].abundances_)
    assert_array_equal(results[0].objective_, results[1].objective_)


def test_an_image_is_its_pixels(scene, model):
    A = model.fit_transform(scene)
    assert model.image_shape_ is None
    image = scene.reshape(15, 20, -1)
    assert_array_equal(model.fit_transform(image), A)
    assert model.image_shape_ == (15, 20)
    assert_array_equal(model.transform(image), A)
    assert_array_equal(model.fit(image.tolist()).abundances_, A)
    other = clone(model).set_params(image_shape=(15, 20))
    assert_array_equal(other.fit_transform(scene), A)
    assert other.image_shape_ == (15, 20)


def test_maps_lie_as_the_pixels_do(scene, model):
    image = scene.reshape(15, 20, -1)
    maps = model.fit(image).abundance_maps()
    assert maps.shape == (15, 20, 3)
    for i, j in [(0, 0), (3, 17), (14, 19)]:
        assert_allclose(maps[i, j], model.transform(image[i, j][None])[0], atol=1e-11)
    # Another scene, of another shape; and pixels as many as those of fit.
    part = image[:4, :7]
    assert_allclose(model.abundance_maps(part), maps[:4, :7], atol=1e-11)
    assert_array_equal(model.abundance_maps(scene), maps)


def test_maps_are_refused_where_nobody_knows_how_pixels_lie(scene, model):
    with pytest.raises(NotFittedError):
        model.abundance_maps()
    model.fit(scene)
    for X in (None, scene):
        with pytest.raises(ValueError, match=r"ArchetypalAnalysis\(image_shape=\(n_rows, n_col"):
            model.abundance_maps(X)
    model.fit(scene.reshape(15, 20, -1))
    with pytest.raises(ValueError, match="not known how the pixels lie"):
        model.abundance_maps(scene[:40])


def test_wavelengths_are_kept(scene, model):
    given = np.linspace(400, 2500, 30)
    model.set_params(wavelengths=list(given)).fit(scene)
    assert_array_equal(model.wavelengths_, given)
    assert model.set_params(wavelengths=None).fit(scene).wavelengths_ is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 31}, "n_components=31 is more than the 30 bands of X"),
        ({"image_shape": (15, 21)}, r"image_shape=\(15, 21\) has 315 pixels; X has 300"),
        ({"image_shape": (300,)}, r"image_shape must be \(n_rows, n_columns\). Got \(300,\)"),
        ({"image_shape": (15.0, 20.0)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"image_shape": (-15, -20)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"wavelengths": np.arange(29)}, r"wavelengths has shape \(29,\); X has 30 bands"),
        ({"wavelengths": np.full(30, np.nan)}, "wavelengths contains NaN"),
        ({"wavelengths": np.full(30, 500.0)}, "wavelengths are all 500"),
        ({"image_shape": (True, 300)}, r"image_shape must be \(n_rows, n_columns\)"),
        ({"n_components": 0}, "n_components"),
        ({"n_components": True}, "n_components must be an integer. Got True"),
        ({"n_init": 0}, "n_init"),
        ({"n_jobs": 0}, "n_jobs must be None or an integer other than 0"),
    ],
)
def test_impossible_requests_are_refused_in_words(scene, model, parameters, message):
    model.set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(scene)
    assert not hasattr(model, "components_")


def test_impossible_scenes_are_refused_in_words(scene, model):
    with pytest.raises(ValueError, match="n_components=3 is more than the 2 pixels"):
        model.fit(scene[:2])
    holed = scene.copy()
    holed[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(holed)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.where(np.isnan(holed), np.inf, holed))
    with pytest.raises(ValueError, match="expecting 30 features"):
        model.fit(scene).transform(scene[:, 1:])
    with pytest.raises(ValueError, match="expecting 30 features"):
        model.transform(scene.reshape(15, 20, 30)[..., 1:])
    with pytest.raises(ValueError, match=r"4 dimensions, of shape \(3, 5, 20, 30\).* dim <= 3"):
        model.fit(scene.reshape(3, 5, 20, 30))
    for unit in (1e100, 1e-100):
        with pytest.raises(ValueError, match=r"largest value of X is .*e.* Divide X by a constant"):
            model.fit(unit * scene)
        with pytest.raises(ValueError, match="largest value of X is"):
            model.transform(-unit * scene)


def test_what_a_masked_array_masks_is_missing(scene):
    masked = np.ma.masked_array(scene, mask=np.arange(scene.size).reshape(scene.shape) % 97 == 0)
    for X in (masked, masked.reshape(15, 20, 30)):
        pixels, _ = pixels_of(X)
        assert_array_equal(np.isnan(pixels), masked.mask)
    assert pixels_of(masked.astype(np.float32))[0].dtype == np.float32
    unmixed = estimate_abundances(masked, scene[:3])
    assert_array_equal(
        unmixed, estimate_abundances(np.where(masked.mask, np.nan, scene), scene[:3])
    )
    assert np.abs(unmixed - estimate_abundances(scene, scene[:3])).max() > 1e-6


def test_pixels_of_an_image_are_a_view(scene):
    image = scene.reshape(15, 20, -1)
    pixels, shape = pixels_of(image)
    assert shape == (15, 20) and np.shares_memory(pixels, image)
    pixels, shape = pixels_of(scene)
    assert shape is None and pixels is scene


def test_iterations_that_ran_out_are_told_of(scene, model):
    model.set_params(max_iter=1, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1"):
        model.fit(scene)
    assert model.n_iter_ == 1 and not model.stopped_by_callback_


@needs_callbacks
def test_early_stopping_ends_a_fit_with_all_attributes(scene, model):
    from factorkit.callbacks import EarlyStopping

    model.set_params(tol=0, max_iter=500)
    model.set_callbacks(EarlyStopping(patience=2, min_delta=0.05)).fit(scene)
    assert model.stopped_by_callback_ and model.n_iter_ < 500
    assert model.components_.shape == (3, 30)
    assert_array_equal(model.transform(scene), model.abundances_)
    assert_array_equal(model.objective_, np.minimum.accumulate(model.objective_))


@needs_callbacks
def test_callbacks_see_the_archetypes_of_each_iteration(scene, model):
    from factorkit.callbacks import EarlyStopping

    scores = []

    def score(fitted):
        scores.append(fitted.score(scene))
        return scores[-1]

    model.set_callbacks(EarlyStopping(patience=1000, scoring=score)).fit(scene)
    assert len(scores) == model.n_iter_
    assert scores[-1] == pytest.approx(model.score(scene))
    assert scores[-1] > scores[0]


DEGENERATE = {
    "constant": lambda rng: np.full((12, 6), 0.3),
    "zero": lambda rng: np.zeros((12, 6)),
    "some zero pixels": lambda rng: rng.random((12, 6)) * (np.arange(12) % 2)[:, None],
    "too few corners": lambda rng: pure_pixel_scene(2, rng, n_pixels=30, n_bands=6)[0],
    "duplicated pixels": lambda rng: np.repeat(rng.random((3, 6)), 5, axis=0),
    "on a line": lambda rng: np.outer(rng.random(20), rng.random(6)),
    "as many pixels as endmembers": lambda rng: rng.random((3, 6)),
    "large": lambda rng: 1e4 * rng.random((30, 6)),
    "tiny": lambda rng: 1e-8 * rng.random((30, 6)),
    "below zero": lambda rng: rng.random((30, 6)) - 2,
}


@pytest.mark.parametrize("scene", DEGENERATE)
@pytest.mark.parametrize("n_dimensions", [None, 1, 2])
def test_degenerate_scenes_give_finite_abundances_that_sum_to_one(rng, model, scene, n_dimensions):
    Y = DEGENERATE[scene](rng)
    A = model.set_params(n_dimensions=n_dimensions).fit_transform(Y)
    assert np.isfinite(model.components_).all() and A.min() >= 0
    assert_allclose(A.sum(axis=1), 1)
    exact = ("constant", "zero", "too few corners", "duplicated pixels", "on a line",
             "as many pixels as endmembers")  # fmt: skip
    if n_dimensions is None and scene in exact:
        assert_allclose(A @ model.components_, Y, atol=1e-6)


def test_one_archetype_is_near_the_mean_and_all_there_is(scene):
    model = ArchetypalAnalysis(1, random_state=0)
    assert_array_equal(model.fit_transform(scene), 1)
    assert_allclose(model.components_[0], scene.mean(axis=0), atol=1e-3)
