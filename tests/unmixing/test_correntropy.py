"""CorrentropyUnmixing: weights of bands, pixels and entries, and what they are good for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.datasets import make_scene, ruin_bands
from factorkit.metrics import matched_components
from factorkit.unmixing import VCA, CorrentropyUnmixing
from factorkit.unmixing._archetypes import archetypes
from factorkit.unmixing._correntropy_nmf import _in_ball, robust_nmf
from factorkit.unmixing._correntropy_weights import Loss, Scene
from factorkit.unmixing._extraction import log_volumes, vca
from factorkit.unmixing._subspace import coordinates, principal_directions, scene_moments
from factorkit.utils._sklearn import HAS_CALLBACKS
from factorkit.utils._threads import Workers
from tests.unmixing._correntropy_reference import band_objective, multiplicative_correntropy

ROBUST = ("band", "pixel", "entry")
KINDS = ("noise", "impulse", "dead", "ramp", "stripes", "saturation")


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def scene_of(seed, **options):
    options = {"image_shape": (30, 30), "n_bands": 100, "snr": 30, **options}
    return make_scene(4, abundances="dirichlet", random_state=seed, **options)


def angle(model, scene, bands=slice(None)):
    E = scene.endmembers[:, bands]
    return matched_components(E, model.components_[:, bands], "spectral_angle")[1].mean()


def with_holes(Y, rng, fraction=0.1):
    return np.where(rng.random(Y.shape) < fraction, np.nan, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_ruined_bands_lose_their_weight_and_do_no_harm(seed, kind):
    clean = scene_of(seed)
    ruined = scene_of(seed, ruined_bands=0.2, ruin=kind)
    model = CorrentropyUnmixing(4, random_state=0).fit(ruined.data)
    reference = CorrentropyUnmixing(4, random_state=0).fit(clean.data)
    assert model.band_weights_[ruined.ruined_bands].max() < 0.01
    assert np.median(model.band_weights_[~ruined.ruined_bands]) > 0.3
    good = ~ruined.ruined_bands
    assert angle(model, ruined, good) < 1.1 * angle(reference, clean, good) + 1e-3
    # Bands that are interpolated are not seen, but spectra are smooth.
    assert angle(model, ruined) < angle(reference, clean) + 0.01
    # Without weights it would be another matter, whatever the kind.
    plain = CorrentropyUnmixing(4, kernel_width=1e6, random_state=0).fit(ruined.data)
    if kind not in ("dead", "saturation"):  # these never have a weight
        assert plain.band_weights_[ruined.ruined_bands].min() > 0.99
        assert angle(plain, ruined) > angle(reference, clean) + 0.015


def test_foreign_pixels_lose_their_weight_and_do_no_harm(seed):
    clean, spoilt = scene_of(seed), scene_of(seed, outlying_pixels=0.05)
    model = CorrentropyUnmixing(4, robust="pixel", random_state=0).fit(spoilt.data)
    reference = CorrentropyUnmixing(4, robust="pixel", random_state=0).fit(clean.data)
    assert np.median(model.pixel_weights_[spoilt.outlying_pixels]) < 0.01
    assert np.median(model.pixel_weights_[~spoilt.outlying_pixels]) > 0.3
    assert angle(model, spoilt) < 1.1 * angle(reference, clean) + 3e-3
    assert_array_equal(model.band_weights_, 1)


def test_impulses_lose_their_weight(rng, seed):
    scene = scene_of(seed)
    hit = rng.random(scene.data.shape) < 0.05
    Y = np.where(hit, rng.uniform(0, scene.data.max(), hit.shape), scene.data)
    far = hit & (np.abs(Y - scene.data) > 0.2)
    model = CorrentropyUnmixing(4, robust="entry", random_state=0).fit(Y)
    w = model.entry_weights(Y)
    assert np.median(w[far]) < 1e-3 and np.mean(w[far] < 0.1) > 0.95
    assert np.median(w[~hit]) > 0.5
    assert_allclose(model.abundances_, model.transform(Y), atol=1e-8)
    blind = CorrentropyUnmixing(4, robust="entry", kernel_width=1e6, random_state=0).fit(Y)
    assert angle(model, scene) < 0.5 * angle(blind, scene)
    found = matched_components(scene.endmembers, model.components_)[0]
    assert np.sqrt(np.mean((model.abundances_[:, found] - scene.abundances) ** 2)) < 0.06


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": False},
        {"model": "nmf"},
        {"model": "nmf", "sum_to_one": False},
        {"model": "nmf", "sum_to_one": False, "alpha": 1e-2},
        {"model": "nmf", "nonnegative": False},
    ],
)
def test_the_objective_never_rises(rng, seed, options, robust, holes):
    Y = scene_of(seed, image_shape=(15, 15), n_bands=40, ruined_bands=0.1, snr=20).data
    Y = with_holes(Y, rng) if holes else Y
    for width in (0.1, "auto"):
        model = CorrentropyUnmixing(
            3, robust=robust, kernel_width=width, tol=0, max_iter=25, random_state=0, **options
        ).fit(Y)
        assert model.n_iter_ == 25
        rises = np.diff(model.objective_) / model.objective_[0]
        assert rises.max() <= 1e-12
        assert model.objective_[-1] <= model.objective_[0]


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("l1", [0.0, 0.003])
def test_the_last_objective_is_that_of_its_formula(seed, workers, robust, l1):
    Y = scene_of(seed, image_shape=(15, 15), n_bands=40).data
    width = {"band": 1.0, "pixel": 0.1, "entry": 0.3}[robust]
    model = CorrentropyUnmixing(
        3,
        model="nmf",
        robust=robust,
        kernel_width=width,
        sum_to_one=False,
        alpha=l1 / np.mean(np.sum(Y**2, axis=1)),
        random_state=0,
        tol=0,
        max_iter=400,
    ).fit(Y)
    assert model.lambda_ == pytest.approx(l1)
    E = model.components_
    if robust == "pixel" and l1:
        return  # a pixel's weight says what its penalty counts for; transform knows no weights
    A, R = model.abundances_, Y - model.abundances_ @ model.components_
    spread = np.square(Y - Y.mean(axis=0))
    axis = {"band": 0, "pixel": 1, "entry": None}[robust]
    squares = np.square(R) if axis is None else np.square(R).sum(axis=axis)
    unit = {"band": spread.sum(axis=0), "pixel": spread.sum() / len(Y), "entry": spread.mean()}
    v = unit[robust] * width**2
    value = np.sum(v * (1 - np.exp(-squares / (2 * v)))) + l1 * A.sum()
    assert model.objective_[-1] == pytest.approx(value, rel=1e-4)
    w = np.exp(-squares / (2 * v))
    entries = w[:, None] if robust == "pixel" else w
    if not l1:  # else the endmembers have bounded norms
        gradient = A.T @ (entries * -R)
        size = A.T @ (entries * np.abs(R))
        assert np.abs(np.minimum(E, gradient)).max() < 0.02 * size.max()
    if robust == "band":
        assert_allclose(model.band_weights_, w, atol=1e-3)
        kept = model.band_weights_ >= 0.1
        gradient = (w * (A @ E - Y))[:, kept] @ E[:, kept].T + l1
        assert np.abs(np.minimum(A, gradient)).max() < 1e-2 * np.abs(Y @ E.T).max()
    elif robust == "pixel":
        assert_allclose(model.pixel_weights_, w, atol=1e-3)
    else:
        assert_allclose(model.entry_weights(Y), w, atol=1e-8)


@pytest.mark.parametrize("robust", ROBUST)
def test_a_wide_kernel_gives_plain_archetypes(seed, workers, robust):
    Y = scene_of(seed, snr=20).data
    model = CorrentropyUnmixing(
        4,
        robust=robust,
        kernel_width=1e7,
        normalize=False,
        tol=0,
        max_iter=60,
        random_state=np.random.RandomState(3),
    ).fit(Y)
    assert model.band_weights_.min() > 1 - 1e-10 and model.pixel_weights_.min() > 1 - 1e-10
    _, mean, C = scene_moments(Y, workers)
    vectors, _ = principal_directions(C, 10)
    Z = coordinates(Y, mean, vectors, workers)
    points = Z[:, :4].copy()
    points[:, 3] = np.sqrt(np.square(points[:, :3]).sum(axis=1).max())
    draws = np.random.default_rng(np.random.RandomState(3).randint(2**31))
    starts = vca(points, 20, draws, workers)
    start = starts[log_volumes(points, starts).argmax()]
    centres, _, _, trace = archetypes(Z, start, workers, tol=0, max_iter=600)
    assert_allclose(model.components_, centres @ vectors + mean, atol=1e-6)
    off = 0.5 * (np.square(Y - mean).sum() - np.square(Z).sum())
    assert model.objective_[-1] == pytest.approx(trace.objective[-1] + off, rel=1e-6)
    fcls = VCA(4).fit(Y)
    fcls.components_ = model.components_
    assert_allclose(model.abundances_, fcls.transform(Y), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Maximum number of iterations 3000")
def test_a_wide_kernel_gives_plain_nmf(seed, workers):
    Y = scene_of(seed, image_shape=(12, 12), n_bands=30).data.clip(0)
    start = VCA(3, random_state=0).fit(Y).components_.clip(1e-3)
    options = {
        "model": "nmf",
        "kernel_width": 1e6,
        "sum_to_one": False,
        "init": start,
        "tol": 0,
        "max_iter": 5,
    }
    models = [CorrentropyUnmixing(3, robust=robust, **options).fit(Y) for robust in ROBUST]
    for model in models:
        assert_allclose(model.components_, models[0].components_, atol=1e-6)
        assert_allclose(model.abundances_, models[0].abundances_, atol=1e-6)
    long = CorrentropyUnmixing(3, robust="pixel", **{**options, "max_iter": 1000}).fit(Y)
    E = long.components_
    assert_allclose(long.abundances_, [nnls(E.T, y)[0] for y in Y], atol=1e-8)
    assert_allclose(E.T, [nnls(long.abundances_, y)[0] for y in Y.T], atol=1e-3)
    W = np.full((len(Y), 3), 0.3)
    W, H, _ = non_negative_factorization(
        Y, W=W, H=start.copy(), n_components=3, init="custom", tol=0, max_iter=3000
    )
    assert long.objective_[-1] <= 0.5 * np.square(Y - W @ H).sum() * (1 + 1e-3)


@pytest.mark.parametrize("width", [0.3, 1.0])
def test_the_published_updates_reach_no_lower_objective(rng, seed, workers, width):
    scene = scene_of(seed, image_shape=(20, 20), n_bands=50, ruined_bands=0.2, snr=25)
    Y = scene.data
    E = VCA(3, random_state=0).fit(Y).components_.clip(1e-6)
    loss = Loss("band", Scene(Y, workers).spread("band"), width)
    found, weights, trace = robust_nmf(
        Scene(Y, workers),
        E,
        loss,
        auto=False,
        to_one=False,
        l1=0.0,
        nonnegative=True,
        tol=1e-7,
        max_iter=1000,
    )
    spread = np.square(Y - Y.mean(axis=0)).sum(axis=0)
    assert_allclose(loss.spread, spread)
    A = np.full((len(Y), 3), 0.3)
    A, E, values, _ = multiplicative_correntropy(Y, A, E, width, spread, max_iter=2000)
    assert values[-1] == pytest.approx(band_objective(Y, A, E, width, spread))
    assert trace.objective[-1] <= values[-1] * (1 + 1e-6)
    # The solver counts what it claims to.
    model = VCA(3, abundances="nnls").fit(Y)
    weighted = np.sqrt(weights[0])
    model.components_ = found * weighted
    A = model.transform(Y * weighted)
    assert trace.objective[-1] == pytest.approx(
        band_objective(Y, A, found, width, spread), rel=1e-4
    )


def test_an_endmember_in_a_ball_is_the_nearest_one(rng):
    for radius in (0.1, 1.0, 100.0):
        b, h = rng.standard_normal(20), rng.uniform(0.1, 2, 20)
        e = _in_ball(b, h, radius)
        assert e.min() >= 0 and np.linalg.norm(e) <= radius * (1 + 1e-9)
        free = np.maximum(b / h, 0)
        if np.linalg.norm(free) <= radius:
            assert_allclose(e, free)
            continue
        assert np.linalg.norm(e) == pytest.approx(radius)
        used = e > 0
        assert_array_equal(used, b > 0)
        multiplier = (b - h * e)[used] / e[used]
        assert multiplier.min() > 0
        assert_allclose(multiplier, multiplier[0], rtol=1e-6)


def test_a_penalty_makes_abundances_sparser_without_larger_endmembers(seed):
    Y = scene_of(seed, image_shape=(15, 15), n_bands=40).data
    start = VCA(4, random_state=0).fit(Y).components_.clip(0)
    options = {"model": "nmf", "sum_to_one": False, "kernel_width": 0.5, "init": start}
    free = CorrentropyUnmixing(4, **options).fit(Y)
    sparse = CorrentropyUnmixing(4, alpha=0.02, max_iter=2000, **options).fit(Y)
    kept = sparse.band_weights_ >= 0.1  # the others are interpolated
    sizes = np.linalg.norm(start, axis=1)
    assert (np.linalg.norm(sparse.components_[:, kept], axis=1) <= sizes * (1 + 1e-9)).all()
    assert np.mean(sparse.abundances_ == 0) > np.mean(free.abundances_ == 0)


@pytest.mark.parametrize("robust", ROBUST)
def test_the_order_of_pixels_and_of_bands_with_their_wavelengths_is_nothing(rng, seed, robust):
    scene = scene_of(seed, ruined_bands=0.1, image_shape=(20, 20))
    tol = 1e-6 if robust == "entry" else 1e-9
    options = {"robust": robust, "random_state": 0, "tol": tol, "max_iter": 2000}
    model = CorrentropyUnmixing(4, wavelengths=scene.wavelengths, **options).fit(scene.data)
    bands, pixels = rng.permutation(100), rng.permutation(400)
    other = CorrentropyUnmixing(4, wavelengths=scene.wavelengths[bands], **options)
    other.fit(scene.data[pixels][:, bands])
    found, angles = matched_components(model.components_, other.components_[:, np.argsort(bands)])
    close = 1e-6 if robust != "entry" else 1e-3
    assert angles.min() > 1 - close
    assert_allclose(other.band_weights_, model.band_weights_[bands], atol=100 * close)
    assert_allclose(other.abundances_[:, found], model.abundances_[pixels], atol=100 * close)
    assert_array_equal(other.wavelengths_, scene.wavelengths[bands])


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_missing_bands_and_entries_are_left_out(rng, seed, model, robust):
    scene = scene_of(seed, image_shape=(20, 20), snr=40)
    options = {"model": model, "robust": robust, "random_state": 0}
    whole = CorrentropyUnmixing(4, **options).fit(scene.data)
    Y = with_holes(scene.data, rng, 0.05)
    Y[:, [7, 8, 60]] = np.nan
    holed = CorrentropyUnmixing(4, **options).fit(Y)
    assert_array_equal(holed.band_weights_[[7, 8, 60]], 0)
    assert np.isfinite(holed.components_).all() and np.isfinite(holed.abundances_).all()
    if holed.band_weights_[[59, 61]].min() >= 0.1:
        sides = holed.components_[:, [59, 61]].mean(axis=1)
        assert_allclose(holed.components_[:, 60], sides, atol=0.01)
    assert angle(holed, scene) < 1.5 * angle(whole, scene) + 0.01
    assert_allclose(holed.transform(Y[:50]), holed.abundances_[:50], atol=1e-7)
    assert 0 < holed.score(Y) <= 1


def test_whole_missing_bands_equal_bands_that_are_not_there(seed):
    scene = scene_of(seed, image_shape=(20, 20))
    Y = scene.data.copy()
    Y[:, 20:30] = np.nan
    kept = ~np.isnan(Y[0])
    holed = CorrentropyUnmixing(4, random_state=0).fit(Y)
    cut = CorrentropyUnmixing(
        4, random_state=0, wavelengths=np.flatnonzero(kept).astype(float)
    ).fit(Y[:, kept])
    assert_allclose(holed.components_[:, kept], cut.components_, atol=1e-9)
    assert_allclose(holed.abundances_, cut.abundances_, atol=1e-9)


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_pixels_of_zeros_of_a_constant_or_without_anything_are_no_trouble(seed, model, robust):
    Y = scene_of(seed, image_shape=(20, 20), n_bands=40).data
    Y[3], Y[4], Y[5] = 0, 0.4, np.nan
    fitted = CorrentropyUnmixing(3, model=model, robust=robust, random_state=0).fit(Y)
    assert np.isfinite(fitted.components_).all()
    # Of the sixth nothing is known.
    assert_allclose(np.delete(fitted.abundances_.sum(axis=1), 5), 1)
    assert np.isfinite(fitted.objective_).all()


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_a_scene_of_zeros_or_of_one_spectrum_has_an_answer(model, robust):
    for Y in (np.zeros((9, 6)), np.tile(np.linspace(1, 2, 6), (9, 1))):
        fitted = CorrentropyUnmixing(2, model=model, robust=robust, random_state=0).fit(Y)
        assert np.isfinite(fitted.components_).all()
        assert_allclose(fitted.abundances_.sum(axis=1), 1)


@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_one_endmember_is_possible(seed, model):
    Y = scene_of(seed, image_shape=(20, 20)).data
    fitted = CorrentropyUnmixing(1, model=model, random_state=0).fit(Y)
    assert_allclose(fitted.abundances_, 1)


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_units_change_nothing(seed, model, robust):
    Y = scene_of(seed, image_shape=(20, 20), n_bands=40).data
    options = {"model": model, "robust": robust, "random_state": 0, "max_iter": 20, "tol": 0}
    one = CorrentropyUnmixing(3, **options).fit(Y)
    other = CorrentropyUnmixing(3, **options).fit(1024 * Y)
    assert_allclose(other.abundances_, one.abundances_, atol=1e-6)
    assert_allclose(other.components_, 1024 * one.components_, rtol=1e-5, atol=1e-6)
    assert other.kernel_width_ == pytest.approx(one.kernel_width_, rel=1e-6)


@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_float32_stays_float32_and_close(seed, model, robust):
    Y = scene_of(seed, image_shape=(20, 20), n_bands=40).data
    options = {"model": model, "robust": robust, "random_state": 0, "max_iter": 20, "tol": 0}
    wide = CorrentropyUnmixing(3, **options).fit(Y)
    narrow = CorrentropyUnmixing(3, **options)
    A = narrow.fit_transform(Y.astype(np.float32))
    assert A.dtype == narrow.components_.dtype == np.float32
    assert_allclose(
        narrow.inverse_transform(A), wide.inverse_transform(wide.abundances_), atol=5e-3
    )


@pytest.mark.parametrize("robust", ROBUST)
def test_images_and_the_number_of_threads_change_nothing(seed, robust):
    scene = scene_of(seed, image_shape=(25, 16))
    Y = scene.data.reshape(25, 16, 100)
    one = CorrentropyUnmixing(4, robust=robust, random_state=0, n_jobs=1).fit(Y)
    two = CorrentropyUnmixing(4, robust=robust, random_state=0, n_jobs=2, image_shape=(25, 16)).fit(
        scene.data
    )
    assert one.abundance_maps().shape == two.abundance_maps().shape == (25, 16, 4)
    assert_array_equal(one.components_, two.components_)
    assert_array_equal(one.abundance_maps(), two.abundance_maps())
    if robust == "entry":
        assert one.entry_weights(Y).shape == (400, 100)


def test_weights_hardly_help_endmembers_that_may_be_anything(seed):
    # What the guide says: the published model stays behind archetypes.
    scene = scene_of(seed, ruined_bands=0.2, image_shape=(30, 30))
    free = CorrentropyUnmixing(4, model="nmf", random_state=0).fit(scene.data)
    mixtures = CorrentropyUnmixing(4, random_state=0).fit(scene.data)
    assert angle(mixtures, scene) < 0.5 * angle(free, scene)


def test_what_does_not_fit_is_refused_in_words(seed):
    Y = scene_of(seed, image_shape=(10, 10), n_bands=20).data
    with pytest.raises(ValueError, match="n_components=21 is more than the 20 bands"):
        CorrentropyUnmixing(21).fit(Y)
    with pytest.raises(ValueError, match=r'alpha=0.1 needs model="nmf" and sum_to_one=False'):
        CorrentropyUnmixing(2, alpha=0.1, sum_to_one=False).fit(Y)
    with pytest.raises(ValueError, match=r'alpha=0.1 needs model="nmf" and sum_to_one=False'):
        CorrentropyUnmixing(2, model="nmf", alpha=0.1).fit(Y)
    with pytest.raises(ValueError, match=r'init takes endmembers with model="nmf" only'):
        CorrentropyUnmixing(2, init=np.ones((2, 20))).fit(Y)
    with pytest.raises(ValueError, match=r"init has shape \(2, 19\).*\(2, 20\)"):
        CorrentropyUnmixing(2, model="nmf", init=np.ones((2, 19))).fit(Y)
    with pytest.raises(ValueError, match="Negative values"):
        CorrentropyUnmixing(2, model="nmf", init=-np.ones((2, 20))).fit(Y)
    with pytest.raises(ValueError, match="kernel_width"):
        CorrentropyUnmixing(2, kernel_width=0.0).fit(Y)
    with pytest.raises(AttributeError, match=r'robust="entry"; this is robust="band"'):
        CorrentropyUnmixing(2).fit(Y).entry_weights(Y)


def test_running_out_of_rounds_warns(seed):
    Y = scene_of(seed, image_shape=(10, 10), n_bands=20).data
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 reached"):
        CorrentropyUnmixing(3, max_iter=1, tol=1e-9).fit(Y)


class Stop:
    """A callback that stops after some rounds, and keeps what it sees."""

    def __init__(self, after):
        self.after, self.objectives, self.scores = after, [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name != "iteration":
            return False
        self.objectives.append(context.objective)
        self.scores.append(fitted_estimator.score(X))
        return len(self.objectives) == self.after


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
@pytest.mark.parametrize("robust", ROBUST)
@pytest.mark.parametrize("model", ["archetypes", "nmf"])
def test_callbacks_see_and_stop_the_fit(seed, model, robust):
    Y = scene_of(seed, image_shape=(15, 15), n_bands=40).data
    stop = Stop(2)
    fitted = CorrentropyUnmixing(3, model=model, robust=robust, random_state=0, tol=0)
    fitted.set_callbacks(stop).fit(Y)
    assert fitted.stopped_by_callback_ and fitted.n_iter_ == 2
    assert_array_equal(stop.objectives, fitted.objective_)
    assert stop.scores[-1] == pytest.approx(fitted.score(Y))


def test_a_ramp_is_told_by_the_neighbours_of_a_band(seed):
    scene = scene_of(seed)
    Y, bands = ruin_bands(
        scene.data, 0.2, kind="ramp", image_shape=scene.image_shape, random_state=seed
    )
    model = CorrentropyUnmixing(4, wavelengths=scene.wavelengths, random_state=0).fit(Y)
    assert model.band_weights_[bands].max() < 0.01


@parametrize_with_checks(
    [
        CorrentropyUnmixing(),
        CorrentropyUnmixing(robust="pixel"),
        CorrentropyUnmixing(robust="entry"),
        CorrentropyUnmixing(model="nmf"),
        CorrentropyUnmixing(model="nmf", robust="entry", sum_to_one=False, alpha=0.01),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
