"""LibraryUnmixing: exactness, supports, invariances, errors, scikit-learn's checks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize, nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.unmixing import LibraryUnmixing
from factorkit.unmixing._collaborative import collaborative, largest_penalty
from factorkit.unmixing._collaborative_kernels import add_curvature
from factorkit.unmixing._library import distinct_spectra
from factorkit.unmixing._sparse_rows import largest_l1, lasso_certificate, sparse_rows
from factorkit.utils._sklearn import HAS_CALLBACKS
from factorkit.utils._threads import Workers
from tests.unmixing._planted import smooth_spectra

PENALTIES = ("lasso", "collaborative")


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def planted(rng, *, n_pixels=60, n_spectra=50, n_bands=60, n_active=4, snr=40):
    """(Y, library, active): mixtures of a few spectra of the library, with noise."""
    D = smooth_spectra(n_spectra, n_bands, rng)
    active = np.sort(rng.choice(n_spectra, n_active, replace=False))
    Y = rng.dirichlet(np.ones(n_active), n_pixels) @ D[active]
    return Y + rng.standard_normal(Y.shape) * np.sqrt(np.mean(Y**2) / 10 ** (snr / 10)), D, active


def objective(Y, D, A, lam, penalty):
    size = A.sum() if penalty == "lasso" else np.linalg.norm(A, axis=0).sum()
    return 0.5 * np.sum((Y - A @ D) ** 2) + lam * size


def duality_gap(Y, D, A, lam, penalty):
    """How far A is from the minimum at most: the dual of the residual, shrunk until feasible."""
    R = Y - A @ D
    positive = np.maximum(R @ D.T, 0)
    size = positive.max(axis=1) if penalty == "lasso" else np.linalg.norm(positive, axis=0).max()
    s = np.minimum(1, lam / np.maximum(size, 1e-300))
    dual = 0.5 * np.sum(Y**2) - 0.5 * np.sum((Y - R * np.reshape(s, (-1, 1))) ** 2)
    return objective(Y, D, A, lam, penalty) - dual


@pytest.mark.parametrize("alpha", [1e-5, 1e-3, 0.1, 0.9])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_duality_gap_closes_and_is_the_one_reported(rng, penalty, alpha):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D, alpha=alpha, penalty=penalty, tol=1e-8, max_iter=1000).fit(Y)
    gap = duality_gap(Y, D, model.abundances_, model.lambda_, penalty) / (0.5 * np.sum(Y**2))
    assert model.abundances_.min() >= 0
    assert gap < (1e-11 if penalty == "lasso" else 1e-7)
    assert model.dual_gap_ < (1e-11 if penalty == "lasso" else 1e-8)
    value = objective(Y, D, model.abundances_, model.lambda_, penalty)
    assert model.objective_[-1] == pytest.approx(value, rel=1e-6)


def test_the_reported_gap_is_that_of_its_definition(rng, workers):
    Y, D, _ = planted(rng)
    A = sparse_rows(Y, D, 0.01, workers) * 1.1
    value, gap = lasso_certificate(Y, D, A, 0.01, workers)
    assert value == pytest.approx(objective(Y, D, A, 0.01, "lasso"))
    assert gap == pytest.approx(duality_gap(Y, D, A, 0.01, "lasso") / (0.5 * np.sum(Y**2)))
    exact = lasso_certificate(Y, D, sparse_rows(Y, D, 0.0, workers), 0.0, workers)[1]
    assert exact < 1e-10 < lasso_certificate(Y, D, A, 0.0, workers)[1]


def test_the_lasso_satisfies_its_optimality_conditions(rng, workers):
    Y, D, _ = planted(rng)
    lam = 1e-3 * largest_l1(Y, D, workers)
    A = sparse_rows(Y, D, lam, workers)
    gradient = (A @ D - Y) @ D.T + lam
    scale = np.abs(Y @ D.T).max()
    assert gradient.min() > -1e-10 * scale
    assert np.abs(gradient[A > 0]).max() < 1e-9 * scale
    assert 1 < np.mean(np.count_nonzero(A, axis=1)) < 25


@pytest.mark.parametrize("n_bands", [60, 4])  # more and fewer bands than spectra
def test_spectra_that_others_span_are_used_where_they_are_cheaper(rng, workers, n_bands):
    Y, D, _ = planted(rng, n_spectra=40, n_bands=n_bands)
    D[1], D[2], D[3] = 2 * D[0], D[4] + D[5], 0.0
    A = sparse_rows(Y, D, 1e-4 * largest_l1(Y, D, workers), workers)
    lam = 1e-4 * largest_l1(Y, D, workers)
    assert duality_gap(Y, D, A, lam, "lasso") < 1e-10 * np.sum(Y**2)
    assert_allclose(A[:, [0, 3]], 0, atol=1e-7)  # the double does the same for half the price


@pytest.mark.parametrize("penalty", PENALTIES)
def test_without_a_penalty_it_is_nonnegative_least_squares(rng, penalty):
    Y, D, _ = planted(rng, n_spectra=20)
    A = LibraryUnmixing(D, alpha=0, penalty=penalty).fit_transform(Y)
    assert_allclose(A, [nnls(D.T, y)[0] for y in Y], atol=1e-6)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_penalty_of_one_gives_zero_and_a_little_less_does_not(rng, penalty):
    Y, D, _ = planted(rng)
    full = LibraryUnmixing(D, alpha=1.0, penalty=penalty).fit(Y)
    assert not full.abundances_.any() and not len(full.active_)
    assert not full.transform(Y).any()
    less = LibraryUnmixing(D, alpha=0.99, penalty=penalty).fit(Y)
    assert len(less.active_) >= 1


def test_the_collaborative_minimum_is_that_of_a_general_solver(rng, workers):
    Y, D, _ = planted(rng, n_pixels=8, n_spectra=6, n_bands=20)
    lam = 0.02 * largest_penalty(Y, D, workers)
    active, ridge, trace = collaborative(Y, D, lam, workers, tol=1e-10, max_iter=500)

    def smoothed(a):
        A = a.reshape(8, 6)
        norms = np.sqrt(np.sum(A**2, axis=0) + 1e-14)
        R = A @ D - Y
        return 0.5 * np.sum(R**2) + lam * norms.sum(), (R @ D.T + lam * A / norms).ravel()

    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10}
    bounds = [(0, None)] * 48
    peer = minimize(smoothed, np.full(48, 0.2), jac=True, bounds=bounds, options=options)
    assert trace.objective[-1] <= peer.fun + 1e-9
    assert trace.objective[-1] == pytest.approx(peer.fun, rel=1e-4)
    A = np.zeros((8, 6))
    A[:, active] = sparse_rows(Y, D[active], 0.0, workers, ridge)
    assert_allclose(lam / np.linalg.norm(A[:, active], axis=0), ridge, rtol=1e-3)


def test_the_collaborative_objective_never_rises(rng):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D, alpha=1e-3).fit(Y)
    assert model.n_iter_ > 3
    assert np.diff(model.objective_).max() <= 1e-13 * np.sum(Y**2)


def test_near_parallel_spectra_do_not_slow_the_collaborative_solver_down(rng):
    Y, D, _ = planted(rng, n_spectra=30)
    D = np.vstack([D, D + 1e-3 * rng.random(D.shape)])
    model = LibraryUnmixing(D, alpha=1e-3, tol=1e-7).fit(Y)
    assert model.n_iter_ < 60


def test_planted_spectra_are_found_among_many():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        D = rng.random((100, 60))  # far from each other
        active = np.sort(rng.choice(100, 4, replace=False))
        A = rng.dirichlet(np.ones(4), 80)
        Y = A @ D[active] + 0.01 * rng.standard_normal((80, 60))
        model = LibraryUnmixing(D, alpha=0.01).fit(Y)
        assert_array_equal(model.active_, active)
        refit = LibraryUnmixing(D[active], alpha=0).fit_transform(Y)
        assert np.sqrt(np.mean((refit - A) ** 2)) < 0.02
        assert set(active) <= set(LibraryUnmixing(D, penalty="lasso").fit(Y).active_)


def test_the_collaborative_penalty_uses_fewer_spectra_in_the_scene_than_the_lasso(rng):
    Y, D, _ = planted(rng, snr=30)
    lasso = LibraryUnmixing(D, penalty="lasso", alpha=1e-3).fit(Y)
    joint = LibraryUnmixing(D, alpha=1e-3).fit(Y)
    assert len(joint.active_) < len(lasso.active_)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_transform_treats_each_pixel_by_itself_and_agrees_with_fit(rng, penalty):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D, alpha=1e-3, penalty=penalty)
    A = model.fit_transform(Y)
    order = rng.permutation(60)[:23]
    assert_allclose(model.transform(Y[order]), A[order], atol=1e-9)
    assert_allclose(model.transform(Y), A, atol=1e-9)
    assert_array_equal(np.flatnonzero(A.any(axis=0)), model.active_)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_units_and_orders_of_bands_and_spectra_change_nothing(rng, penalty):
    Y, D, _ = planted(rng)
    make = {"alpha": 1e-3, "penalty": penalty, "tol": 1e-9, "max_iter": 1000}
    A = LibraryUnmixing(D, **make).fit_transform(Y)
    bands, spectra = rng.permutation(60), rng.permutation(50)
    close = {"atol": 1e-8 if penalty == "lasso" else 1e-3}
    permuted = LibraryUnmixing(D[spectra][:, bands], **make).fit_transform(Y[:, bands])
    assert_allclose(permuted, A[:, spectra], **close)
    assert_allclose(LibraryUnmixing(1000 * D, **make).fit_transform(1000 * Y), A, **close)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_float32_stays_float32_and_close(rng, penalty):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D, alpha=1e-2, penalty=penalty)
    wide = model.fit(Y).inverse_transform(model.abundances_)
    narrow = model.fit_transform(Y.astype(np.float32))
    assert narrow.dtype == model.components_.dtype == np.float32
    assert_allclose(model.inverse_transform(narrow), wide, atol=2e-4)


def test_images_keep_their_shape(rng):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D).fit(Y.reshape(6, 10, 60))
    assert model.abundance_maps().shape == (6, 10, 50)
    assert_array_equal(model.abundance_maps()[2, 7], model.abundances_[27])


def test_near_copies_can_be_left_out_and_exact_ones_always_are(rng):
    D = rng.random((6, 10))
    D[3], D[4] = D[1], 2 * D[0] + 1e-3
    assert_array_equal(distinct_spectra(D, 0.0), [0, 1, 2, 4, 5])
    assert_array_equal(distinct_spectra(D, 0.01), [0, 1, 2, 5])
    Y = rng.random((20, 6)) @ D
    for penalty in PENALTIES:
        model = LibraryUnmixing(D, alpha=1e-3, min_angle=0.01, penalty=penalty).fit(Y)
        assert model.components_.shape == (6, 10)
        assert not model.abundances_[:, [3, 4]].any()


def test_names_of_the_spectra_name_the_abundances(rng):
    Y, D, _ = planted(rng, n_spectra=5)
    names = ["alunite", "kaolinite", "calcite", "muscovite", "water"]
    assert list(LibraryUnmixing(D, names=names).fit(Y).get_feature_names_out()) == names
    assert LibraryUnmixing(D).fit(Y).get_feature_names_out()[3] == "libraryunmixing3"


def test_the_library_is_copied(rng):
    Y, D, _ = planted(rng)
    model = LibraryUnmixing(D).fit(Y)
    before = model.transform(Y)
    D[:] = 0
    assert_array_equal(model.transform(Y), before)


def test_a_scene_of_zeros_has_no_abundances(rng):
    D = rng.random((5, 10))
    for penalty in PENALTIES:
        model = LibraryUnmixing(D, penalty=penalty).fit(np.zeros((4, 10)))
        assert not model.abundances_.any()
        assert model.dual_gap_ == 0


def test_what_does_not_fit_is_refused_in_words(rng):
    Y, D, _ = planted(rng)
    with pytest.raises(ValueError, match="library has spectra of 59 bands; X has 60"):
        LibraryUnmixing(D[:, 1:]).fit(Y)
    holed = D.copy()
    holed[3, 4] = np.nan
    with pytest.raises(ValueError, match="library contains NaN"):
        LibraryUnmixing(holed).fit(Y)
    with pytest.raises(ValueError, match=r"names has shape \(2,\); library has 50 spectra"):
        LibraryUnmixing(D, names=["a", "b"]).fit(Y)
    with pytest.raises(ValueError, match="X contains NaN"):
        LibraryUnmixing(D).fit(np.where(Y > 0.5, np.nan, Y))
    with pytest.raises(ValueError, match="alpha"):
        LibraryUnmixing(D, alpha=1.5).fit(Y)


def test_running_out_of_iterations_warns(rng):
    Y, D, _ = planted(rng)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 reached"):
        LibraryUnmixing(D, alpha=1e-3, max_iter=1, tol=1e-9).fit(Y)


class Stop:
    """A callback that stops after some iterations, and keeps what it sees."""

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
@pytest.mark.parametrize(("penalty", "after"), [("lasso", 1), ("collaborative", 2)])
def test_callbacks_see_and_stop_the_fit(rng, penalty, after):
    Y, D, _ = planted(rng)
    stop = Stop(after)
    model = LibraryUnmixing(D, alpha=1e-3, penalty=penalty).set_callbacks(stop).fit(Y)
    assert model.stopped_by_callback_ and model.n_iter_ == after
    assert_array_equal(stop.objectives, model.objective_)
    assert stop.scores[-1] == pytest.approx(model.score(Y))


def test_curvature_is_the_sum_over_the_pixels(rng):
    G = np.cov(rng.random((5, 30))) + np.eye(5)
    A = np.maximum(rng.standard_normal((9, 5)), 0)
    A[3], A[5] = 0, A[4]
    expected = np.zeros((5, 5))
    for a in A:
        S = np.ix_(a > 0, a > 0)
        expected[S] += np.outer(a, a)[S] * np.linalg.inv(G[S])
    for add in (add_curvature, add_curvature.py_func):
        total = np.zeros((5, 5))
        add(A, G, total)
        assert_allclose(total, expected, rtol=1e-10, atol=1e-14)


class WithLibrary(LibraryUnmixing):
    """A library for every number of bands that the checks come with."""

    _parameter_constraints = {
        **LibraryUnmixing._parameter_constraints,
        "library": ["array-like", None],
    }

    def __init__(
        self,
        library=None,
        *,
        alpha=1e-4,
        penalty="collaborative",
        min_angle=0.0,
        names=None,
        tol=1e-6,
        max_iter=300,
        image_shape=None,
        wavelengths=None,
        n_jobs=None,
    ):
        super().__init__(
            library,
            alpha=alpha,
            penalty=penalty,
            min_angle=min_angle,
            names=names,
            tol=tol,
            max_iter=max_iter,
            image_shape=image_shape,
            wavelengths=wavelengths,
            n_jobs=n_jobs,
        )

    def _check_library(self, n_bands):
        return np.random.default_rng(0).random((7, n_bands))


@parametrize_with_checks([WithLibrary(penalty=penalty) for penalty in PENALTIES])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
