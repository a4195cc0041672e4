"""Endmembers that are pixels: VCA, SPA and N-FINDR."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.unmixing import NFINDR, SPA, VCA
from factorkit.unmixing._extraction import log_volumes
from factorkit.unmixing._simplex_points import affine_points
from factorkit.unmixing._subspace import scene_moments
from factorkit.utils._sklearn import HAS_CALLBACKS
from factorkit.utils._threads import Workers
from tests.unmixing._planted import mixed_scene, pure_pixel_scene

ESTIMATORS = [
    VCA(random_state=0),
    VCA(projection="projective", random_state=0),
    VCA(projection="auto", n_init=1, random_state=0),
    SPA(),
    SPA(projection="none"),
    NFINDR(random_state=0),
]


def each_estimator(test):
    """Run a test on every estimator, a copy of its own."""
    return pytest.mark.parametrize("estimator", ESTIMATORS, ids=str, indirect=True)(test)


@pytest.fixture
def estimator(request):
    return clone(request.param)


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def points_of(Y, k, workers, make=affine_points):
    _, mean, C = scene_moments(Y, workers)
    return make(Y, mean, C, k, workers)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@each_estimator
@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
    ],
)
def test_checks_that_scikit_learn_keeps_to_itself(estimator, check):
    check(type(estimator).__name__, estimator)


@each_estimator
@pytest.mark.parametrize("k", [2, 3, 6])
def test_pure_pixels_are_found_without_noise(rng, estimator, k):
    for seed in range(5):
        Y, _, pure = pure_pixel_scene(k, rng)
        model = estimator.set_params(n_components=k)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        A = model.fit_transform(Y)
        assert set(model.endmember_pixels_) == set(pure)
        assert_array_equal(model.components_, Y[model.endmember_pixels_])
        assert_allclose(A @ model.components_, Y, atol=1e-9)
        assert_allclose(A[model.endmember_pixels_], np.eye(k), atol=1e-6)


def test_a_shaded_scene_needs_the_projective_search(rng):
    Y, _, pure = pure_pixel_scene(4, rng)
    shaded = Y * rng.uniform(0.2, 1, (len(Y), 1))
    model = VCA(4, projection="projective", random_state=0).fit(shaded)
    assert set(model.endmember_pixels_) == set(pure)
    for model in (VCA(4, random_state=0), NFINDR(4, random_state=0)):
        assert set(model.fit(shaded).endmember_pixels_) != set(pure)


@each_estimator
def test_the_order_of_pixels_and_bands_does_not_matter(rng, estimator):
    Y = mixed_scene(4, rng, n_pixels=400, snr=30)[0]
    estimator.set_params(n_components=4)
    found = estimator.fit(Y).endmember_pixels_.copy()
    order, bands = rng.permutation(400), rng.permutation(60)
    permuted = estimator.fit(Y[order][:, bands])
    assert set(order[permuted.endmember_pixels_]) == set(found)


@each_estimator
def test_the_unit_of_the_data_and_threads_do_not_matter(rng, estimator):
    Y = mixed_scene(4, rng, n_pixels=400, snr=30)[0]
    estimator.set_params(n_components=4, n_jobs=1)
    found = estimator.fit(Y).endmember_pixels_
    assert_array_equal(estimator.fit(1e-5 * Y).endmember_pixels_, found)
    assert_array_equal(estimator.set_params(n_jobs=3).fit(Y).endmember_pixels_, found)
    model = estimator.fit(Y.astype(np.float32))
    assert model.components_.dtype == model.abundances_.dtype == np.float32
    assert_array_equal(model.endmember_pixels_, found)


@each_estimator
def test_rows_are_transformed_by_themselves_as_in_fit(rng, estimator):
    Y = mixed_scene(4, rng, n_pixels=400, snr=30)[0]
    A = estimator.set_params(n_components=4).fit_transform(Y)
    some = rng.permutation(400)[:50]
    assert_allclose(estimator.transform(Y[some]), A[some], atol=1e-10)


@each_estimator
def test_an_image_gives_maps(rng, estimator):
    image = mixed_scene(3, rng, n_pixels=300, snr=30)[0].reshape(15, 20, -1)
    model = estimator.set_params(n_components=3).fit(image)
    assert model.image_shape_ == (15, 20)
    maps = model.abundance_maps()
    assert maps.shape == (15, 20, 3)
    assert_allclose(maps.sum(axis=2), 1)
    assert_array_equal(maps.reshape(300, 3), model.abundances_)


@pytest.mark.parametrize("abundances", ["fcls", "nnls", "scls", "ucls"])
def test_abundances_obey_the_constraints_that_are_asked_for(rng, abundances):
    Y = mixed_scene(3, rng, n_pixels=200, snr=15)[0]
    A = SPA(3, abundances=abundances).fit_transform(Y)
    assert (A.min() >= 0) == (abundances in ("fcls", "nnls"))
    assert np.allclose(A.sum(axis=1), 1) == (abundances in ("fcls", "scls"))


def test_the_largest_simplex_of_the_starts_is_kept(rng, workers):
    Y = mixed_scene(6, rng, n_pixels=500, snr=15)[0]
    points = points_of(Y, 6, workers)
    for projection in ("affine", "projective"):
        volumes = [
            log_volumes(points, model.endmember_pixels_[None])[0]
            for n_init in (1, 5, 60)
            for model in [VCA(6, projection=projection, n_init=n_init, random_state=3).fit(Y)]
        ]
        assert volumes[2] >= volumes[1] and volumes[2] > volumes[0]


def test_auto_is_projective_for_clean_scenes_and_affine_for_noisy_ones(rng):
    clean, noisy = (mixed_scene(3, rng, snr=snr)[0] for snr in (45, 5))
    assert VCA(3, projection="auto").fit(clean).projection_ == "projective"
    assert VCA(3, projection="auto").fit(noisy).projection_ == "affine"
    assert VCA(3, projection="auto").fit(np.ones((9, 4))).projection_ == "projective"


def test_n_findr_finds_the_largest_of_all_simplices_of_a_small_scene(rng, workers):
    Y = mixed_scene(3, rng, n_pixels=30, snr=15)[0]
    points = points_of(Y, 3, workers)
    every = np.array(list(itertools.combinations(range(30), 3)))
    best = every[log_volumes(points, every).argmax()]
    assert set(NFINDR(3, random_state=0).fit(Y).endmember_pixels_) == set(best)


def test_n_findr_tells_of_sweeps_that_ran_out(rng):
    Y = mixed_scene(8, rng, n_pixels=500, snr=10)[0]
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1"):
        model = NFINDR(8, n_init=1, max_iter=1, random_state=0).fit(Y)
    assert model.n_iter_ == 1 and model.objective_.shape == (1,)


class StopsAfter:
    """A callback that keeps what it sees and ends the fit after a number of sweeps."""

    def __init__(self, after):
        self.after, self.objectives, self.scores, self.pixels = after, [], [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        if context.task_name != "iteration":
            return False
        self.objectives.append(context.objective)
        self.scores.append(fitted_estimator.score(X))
        self.pixels.append(fitted_estimator.endmember_pixels_)
        return len(self.objectives) == self.after


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
def test_callbacks_see_each_sweep_of_n_findr_and_can_end_it(rng):
    Y = mixed_scene(8, rng, n_pixels=500, snr=10)[0]
    seen = StopsAfter(1)
    model = NFINDR(8, n_init=1, random_state=0).set_callbacks(seen).fit(Y)
    assert model.stopped_by_callback_ and model.n_iter_ == 1
    assert seen.objectives == model.objective_.tolist()
    assert_array_equal(seen.pixels[0], model.endmember_pixels_)
    assert_allclose(seen.scores[0], model.score(Y))
    every = StopsAfter(None)
    model.set_callbacks(every).fit(Y)
    assert every.objectives == model.objective_.tolist() and not model.stopped_by_callback_
    assert model.n_iter_ > 1 and every.scores[-1] == model.score(Y)


DEGENERATE = {
    "constant": lambda rng: np.full((12, 6), 0.3),
    "zero": lambda rng: np.zeros((12, 6)),
    "some zero pixels": lambda rng: rng.random((12, 6)) * (np.arange(12) % 2)[:, None],
    "too few corners": lambda rng: pure_pixel_scene(3, rng, n_pixels=30, n_bands=6)[0],
    "duplicated pixels": lambda rng: np.repeat(rng.random((3, 6)), 5, axis=0),
    "on a line": lambda rng: np.outer(rng.random(20), rng.random(6)),
    "about zero": lambda rng: np.vstack([np.eye(6), -np.eye(6)]),
    "as many pixels as endmembers": lambda rng: rng.random((4, 6)),
}


@pytest.mark.parametrize("scene", DEGENERATE)
@each_estimator
def test_degenerate_scenes_give_distinct_pixels_and_finite_abundances(rng, estimator, scene):
    Y = DEGENERATE[scene](rng)
    A = estimator.set_params(n_components=4).fit_transform(Y)
    assert len(set(estimator.endmember_pixels_)) == 4
    assert np.isfinite(A).all() and np.isfinite(estimator.components_).all()
    if scene in ("too few corners", "duplicated pixels"):
        # What corners there are have been found.
        assert_allclose(A @ estimator.components_, Y, atol=1e-6)


@each_estimator
def test_different_spectra_are_taken_before_equal_ones(rng, estimator):
    Y = np.repeat(rng.random((4, 6)), 5, axis=0)
    estimator.set_params(n_components=4).fit(Y)
    assert len({pixel // 5 for pixel in estimator.endmember_pixels_}) == 4


def test_one_endmember_is_the_pixel_nearest_the_mean_or_the_brightest(rng):
    Y = rng.random((50, 6))
    nearest = np.linalg.norm(Y - Y.mean(axis=0), axis=1).argmin()
    for model in (VCA(1), NFINDR(1)):
        assert_array_equal(model.fit_transform(Y), 1)
        assert_array_equal(model.endmember_pixels_, [nearest])
    assert_array_equal(
        SPA(1, projection="none").fit(Y).endmember_pixels_, [np.linalg.norm(Y, axis=1).argmax()]
    )


@each_estimator
def test_impossible_requests_are_refused(rng, estimator):
    estimator.set_params(n_components=5)
    with pytest.raises(ValueError, match="n_components=5 is more than the 4 bands"):
        estimator.fit(rng.random((9, 4)))
    with pytest.raises(ValueError, match="n_components=5 is more than the 3 pixels"):
        estimator.fit(rng.random((3, 8)))
    Y = rng.random((9, 8))
    Y[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(Y)
