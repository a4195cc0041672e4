"""StructuredSparseUnmixing: half steps, limits, the published updates, scikit-learn's checks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.unmixing import StructuredSparseUnmixing
from factorkit.unmixing._abundances import abundances_of
from factorkit.unmixing._neighbours import degrees_of, roughness, window_graph
from factorkit.unmixing._structured_kernels import projected_step, sweep_pixels
from factorkit.unmixing._structured_solver import (
    _Problem,
    bounded_endmembers,
    exact_endmembers,
    structured_unmixing,
)
from factorkit.utils._sklearn import HAS_CALLBACKS
from factorkit.utils._threads import Workers
from tests.unmixing._planted import smooth_spectra

SHAPE = (9, 14)


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def smooth_scene(rng, *, k=3, n_bands=30, snr=25):
    """(Y, A, E): abundances that vary slowly over an image of SHAPE, with pure pixels."""
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    A = np.stack(
        [
            np.exp(-0.15 * ((row - r) ** 2 + (column - c) ** 2))
            for r, c in rng.permutation([(1, 2), (7, 3), (4, 11), (1, 8)])[:k]
        ],
        axis=-1,
    ).reshape(-1, k)
    A = A**2 / (A**2).sum(axis=1, keepdims=True)
    E = smooth_spectra(k, n_bands, rng)
    Y = A @ E
    return Y + rng.standard_normal(Y.shape) * np.sqrt(np.mean(Y**2) / 10 ** (snr / 10)), A, E


def objective(Y, A, E, W, l1, alpha, on_spectra):
    laplacian = np.diag(degrees_of(W)) - W.toarray()
    smooth = A @ E if on_spectra else A
    rough = np.trace(smooth.T @ laplacian @ smooth)
    return 0.5 * np.sum((Y - A @ E) ** 2) + l1 * A.sum() + 0.5 * alpha * rough


def rough(A):
    """Differences of neighbours, squared: without the graph that A was fitted with."""
    A = A.reshape(*SHAPE, -1)
    return np.sum(np.diff(A, axis=0) ** 2) + np.sum(np.diff(A, axis=1) ** 2)


def fit_image(Y, k=3, **parameters):
    return StructuredSparseUnmixing(k, random_state=0, **parameters).fit(Y.reshape(*SHAPE, -1))


def smooth_abundances(Y, E, A, W, workers, *, l1, alpha, on_spectra, to_one, tol=1e-10):
    """A's half step, again and again: what it ends at for given endmembers."""
    problem = _Problem(Y, W, workers, l1=l1, alpha=alpha, on_spectra=on_spectra, to_one=to_one)
    state = problem.state(A.copy(), E)
    for _ in range(3000):
        problem.step_A(state)
        if problem.residual(state) <= tol:
            break
    return state.A


def multiplicative(Y, A, E, W, l1, alpha, n_iter, to_one):
    """The published updates, slow; what they end at is brought into the constraints."""
    d, radii = degrees_of(W)[:, None], np.linalg.norm(E, axis=1)
    A, E, Y = np.maximum(A, 1e-6), np.maximum(E, 1e-9), np.maximum(Y, 0)
    delta = np.sqrt(np.mean(np.sum(E**2, axis=1))) if to_one else 0.0
    for _ in range(n_iter):
        F, G = Y @ E.T + delta**2, E @ E.T + delta**2
        A = A * (F + alpha * (W @ A)) / (A @ G + l1 + alpha * d * A)
        E = E * (A.T @ Y) / (A.T @ A @ E)
    if to_one:
        return A / A.sum(axis=1, keepdims=True), E
    size = np.linalg.norm(E, axis=1) / radii
    return A * size, E / size[:, None]


@pytest.mark.parametrize("to_one", [True, False])
@pytest.mark.parametrize("alpha_graph", [0.0, 0.1])
def test_the_objective_is_no_higher_than_that_of_many_multiplicative_updates(
    rng, workers, to_one, alpha_graph
):
    Y, _, E = smooth_scene(rng)
    W = window_graph(Y, SHAPE)
    E = E + 0.05 * rng.random(E.shape)
    unit = np.mean(np.sum(Y**2, axis=1))
    l1, alpha = (0.0 if to_one else 0.01 * unit), alpha_graph * unit
    A = abundances_of(Y, E, "fcls" if to_one else "nnls", workers)
    ours_A, ours_E, trace = structured_unmixing(
        Y,
        E,
        A,
        W,
        workers,
        l1=l1,
        alpha=alpha,
        on_spectra=False,
        to_one=to_one,
        tol=1e-5,
        max_iter=100,
    )
    their_A, their_E = multiplicative(Y, A, E, W, l1, alpha, 2000, to_one)
    ours = objective(Y, ours_A, ours_E, W, l1, alpha, False)
    theirs = objective(Y, their_A, their_E, W, l1, alpha, False)
    assert trace.objective[-1] == pytest.approx(ours, rel=1e-9)
    assert ours <= theirs * (1 + 1e-6)
    assert theirs < objective(Y, A, E, W, l1, alpha, False)  # the reference works


@pytest.mark.parametrize("graph_on", ["spectra", "abundances"])
@pytest.mark.parametrize("to_one", [True, False])
def test_the_objective_never_rises_and_a_fixed_point_is_reached(rng, graph_on, to_one):
    Y, _, _ = smooth_scene(rng)
    model = fit_image(
        Y, alpha_graph=0.05, graph_on=graph_on, sum_to_one=to_one, tol=1e-6, max_iter=3000
    )
    assert model.n_iter_ > 3
    assert np.diff(model.objective_).max() <= 1e-12 * np.sum(Y**2)
    assert model.stationarity_ <= 1e-6
    A, E = model.abundances_, model.components_
    assert A.min() >= 0 and E.min() >= 0
    if to_one:
        assert_allclose(A.sum(axis=1), 1, rtol=1e-12)
    W = window_graph(Y, SHAPE)
    assert model.objective_[-1] == pytest.approx(
        objective(Y, A, E, W, model.lambda_, model.alpha_, graph_on == "spectra"), rel=1e-9
    )


@pytest.mark.parametrize("on_spectra", [True, False])
@pytest.mark.parametrize("to_one", [True, False])
def test_smooth_abundances_of_given_endmembers_are_those_of_a_general_solver(
    rng, workers, to_one, on_spectra
):
    Y, _, E = smooth_scene(rng)
    Y, shape = Y[:12], (3, 4)
    W = window_graph(Y, shape)
    penalties = {
        "l1": 0.0 if to_one else 0.05,
        "alpha": 0.5 if on_spectra else 2.0,
        "on_spectra": on_spectra,
    }
    start = np.full((12, 3), 1 / 3)
    A = smooth_abundances(Y, E, start, W, workers, to_one=to_one, **penalties)
    laplacian = np.diag(degrees_of(W)) - W.toarray()
    M = E @ E.T if on_spectra else np.eye(3)

    def value(a):
        a = a.reshape(12, 3)
        slope = (a @ E - Y) @ E.T + penalties["l1"] + penalties["alpha"] * laplacian @ a @ M
        return objective(Y, a, E, W, **penalties), slope.ravel()

    sums = {"type": "eq", "fun": lambda a: a.reshape(12, 3).sum(axis=1) - 1}
    peer = minimize(
        value,
        start.ravel(),
        jac=True,
        method="SLSQP",
        bounds=[(0, None)] * 36,
        constraints=sums if to_one else (),
        options={"maxiter": 2000, "ftol": 1e-15},
    )
    assert objective(Y, A, E, W, **penalties) <= peer.fun + 1e-9
    assert_allclose(A, peer.x.reshape(12, 3), atol=1e-4)


@pytest.mark.parametrize("to_one", [True, False])
def test_without_a_graph_abundances_are_those_pixel_by_pixel(rng, workers, to_one):
    Y, _, E = smooth_scene(rng)
    W = window_graph(Y, SHAPE)
    start = np.full((len(Y), 3), 1 / 3)
    A = smooth_abundances(
        Y, E, start, W, workers, l1=0.0, alpha=0.0, on_spectra=True, to_one=to_one
    )
    assert_allclose(A, abundances_of(Y, E, "fcls" if to_one else "nnls", workers), atol=1e-6)
    model = fit_image(Y, alpha_graph=0.0, sum_to_one=to_one, tol=1e-6, max_iter=3000)
    best = 0.5 * np.sum((Y - model.inverse_transform(model.transform(Y))) ** 2)
    assert model.objective_[-1] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("on_spectra", [True, False])
def test_a_larger_alpha_gives_smoother_abundances_down_to_constant_ones(rng, workers, on_spectra):
    Y, _, E = smooth_scene(rng, snr=10)
    W = window_graph(Y, SHAPE)
    start = abundances_of(Y, E, "fcls", workers)
    M = E @ E.T if on_spectra else np.eye(3)
    values = []
    for alpha in (0.0, 0.1, 1.0, 10.0, 100.0):
        A = smooth_abundances(
            Y, E, start, W, workers, l1=0.0, alpha=alpha, on_spectra=on_spectra, to_one=True
        )
        values.append(np.vdot(roughness(A, W), M))
    assert (np.diff(values) < 0).all()
    assert values[-1] < 0.05 * values[0]


@pytest.mark.parametrize("graph_on", ["spectra", "abundances"])
def test_the_estimator_is_smoother_with_a_larger_alpha(rng, graph_on):
    Y, _, _ = smooth_scene(rng, snr=15)
    values = []
    for alpha in (0.0, 0.1, 1.0):
        model = fit_image(Y, alpha_graph=alpha, graph_on=graph_on)
        M = np.eye(3) if graph_on == "abundances" else model.components_ @ model.components_.T
        values.append(np.vdot(roughness(model.abundances_, window_graph(Y, SHAPE)), M))
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.8 * values[0]


def test_on_spectra_the_graph_leaves_the_endmembers_where_they_are():
    for seed in range(3):
        Y, _, E = smooth_scene(np.random.default_rng(seed))
        spectra, abundances = (
            fit_image(Y, alpha_graph=0.1, graph_on=on, init=E).components_
            for on in ("spectra", "abundances")
        )
        drift = np.linalg.norm(spectra - E), np.linalg.norm(abundances - E)
        assert 5 * drift[0] < drift[1]


def test_the_planted_mixture_is_found_without_noise(rng):
    Y, A, E = smooth_scene(rng, snr=300)
    Y[:3] = E
    A[:3] = np.eye(3)
    model = fit_image(Y, alpha_graph=0.0)
    order = np.argmin(np.linalg.norm(model.components_[None] - E[:, None], axis=2), axis=1)
    assert_allclose(model.components_[order], E, atol=1e-6)
    assert_allclose(model.abundances_[:, order], A, atol=1e-5)


def test_the_lasso_makes_abundances_sparse_and_leaves_the_scale_alone(rng):
    Y, _, E = smooth_scene(rng)
    start = E + 0.1
    fits = [
        fit_image(
            Y, alpha_lasso=alpha, alpha_graph=0.0, sum_to_one=False, init=start, max_iter=3000
        )
        for alpha in (0.0, 0.02, 0.1)
    ]
    zeros = [np.mean(model.abundances_ == 0) for model in fits]
    assert zeros[0] < zeros[1] < zeros[2]
    for model in fits:
        norms = np.linalg.norm(model.components_, axis=1)
        assert (norms <= np.linalg.norm(start, axis=1) * (1 + 1e-12)).all()
    assert fits[2].score(Y) > 0.9


def test_endmembers_of_a_band_are_those_of_least_squares_and_unused_ones_stay(rng, workers):
    A = rng.random((40, 4))
    A[:, 2] = 0
    Y, E = rng.random((40, 7)), rng.random((4, 7))
    new = exact_endmembers(A.T @ Y, A.T @ A, E, workers)
    assert_array_equal(new[2], E[2])
    gradient = A.T @ (A @ new - Y)
    assert gradient.min() > -1e-9
    assert np.abs(gradient * new)[[0, 1, 3]].max() < 1e-9
    radii = np.array([0.1, 10.0, 1.0, 0.5])
    bounded = bounded_endmembers(A.T @ Y, A.T @ A, new, radii)
    assert (np.linalg.norm(bounded, axis=1) <= radii * (1 + 1e-12))[[0, 1, 3]].all()
    # Stationary: no projected gradient step moves it.
    step = bounded - A.T @ (A @ bounded - Y) / 100
    step = np.maximum(step, 0)
    step *= np.minimum(1, radii / np.linalg.norm(step, axis=1))[:, None]
    assert_allclose(step[[0, 1, 3]], bounded[[0, 1, 3]], atol=1e-5)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"graph_on": "abundances"}, {"sum_to_one": False, "alpha_lasso": 0.01}],
)
def test_units_and_the_order_of_bands_change_nothing(rng, parameters):
    Y, _, E = smooth_scene(rng)
    parameters = {"alpha_graph": 0.05, "max_iter": 10, "tol": 0, **parameters}
    model = fit_image(Y, init=E, **parameters)
    scaled = fit_image(100 * Y, init=100 * E, **parameters)
    assert_allclose(scaled.abundances_, model.abundances_, atol=1e-8)
    assert_allclose(scaled.objective_, 1e4 * model.objective_, rtol=1e-8)
    bands = rng.permutation(Y.shape[1])
    permuted = fit_image(Y[:, bands], init=E[:, bands], **parameters)
    assert_allclose(permuted.abundances_, model.abundances_, atol=1e-8)
    assert_allclose(permuted.components_, model.components_[:, bands], atol=1e-8)


def test_the_order_of_pixels_does_not_matter_to_a_graph_of_spectra(rng):
    Y, _, E = smooth_scene(rng)
    order = rng.permutation(len(Y))
    make = {"graph": "knn", "alpha_graph": 0.05, "init": E, "tol": 1e-6, "max_iter": 3000}
    model = StructuredSparseUnmixing(3, **make).fit(Y)
    permuted = StructuredSparseUnmixing(3, **make).fit(Y[order])
    assert permuted.objective_[-1] == pytest.approx(model.objective_[-1], rel=1e-3)
    assert_allclose(permuted.abundances_, model.abundances_[order], atol=0.05)


def test_an_image_and_its_pixels_with_a_shape_are_the_same_and_its_transpose_turns(rng):
    Y, _, E = smooth_scene(rng)
    make = {"alpha_graph": 0.5, "init": E, "tol": 1e-6, "max_iter": 3000}
    image = fit_image(Y, **make)
    flat = StructuredSparseUnmixing(3, image_shape=SHAPE, **make).fit(Y)
    assert_array_equal(flat.abundances_, image.abundances_)
    swapped = StructuredSparseUnmixing(3, image_shape=SHAPE[::-1], **make).fit(Y)
    assert np.abs(swapped.abundances_ - image.abundances_).max() > 0.05
    turned = StructuredSparseUnmixing(3, **make).fit(Y.reshape(*SHAPE, -1).transpose(1, 0, 2))
    maps = turned.abundance_maps().transpose(1, 0, 2)
    assert_allclose(maps, image.abundance_maps(), atol=0.02)


def test_fit_transform_returns_what_transform_returns_and_keeps_the_smooth_ones(rng):
    Y, _, _ = smooth_scene(rng, snr=10)
    model = StructuredSparseUnmixing(3, alpha_graph=1.0, image_shape=SHAPE, random_state=0)
    A = model.fit_transform(Y)
    assert_array_equal(A, model.transform(Y))
    assert rough(A) > 1.1 * rough(model.abundances_)  # transform knows no graph
    assert_array_equal(model.abundance_maps()[3, 5], model.abundances_[3 * SHAPE[1] + 5])


@pytest.mark.parametrize("to_one", [True, False])
def test_float32_stays_float32_and_close(rng, to_one):
    Y, _, E = smooth_scene(rng)
    make = {"alpha_graph": 0.05, "init": E, "sum_to_one": to_one}
    wide, narrow = fit_image(Y, **make), fit_image(Y.astype(np.float32), **make)
    assert narrow.components_.dtype == narrow.abundances_.dtype == np.float32
    assert narrow.transform(Y.astype(np.float32)).dtype == np.float32
    assert narrow.objective_[-1] == pytest.approx(wide.objective_[-1], rel=1e-3)


@pytest.mark.parametrize("init", ["vca", "spa"])
def test_each_start_is_used_and_threads_change_nothing(rng, init):
    Y, _, _ = smooth_scene(rng)
    one, two = (fit_image(Y, init=init, n_jobs=n) for n in (1, 2))
    assert_array_equal(one.abundances_, two.abundances_)
    assert one.score(Y) > 0.99


def test_degenerate_scenes_are_fitted(rng):
    constant = StructuredSparseUnmixing(2, random_state=0).fit(np.ones((4, 5, 6)))
    assert_allclose(constant.transform(np.ones((1, 6))) @ constant.components_, 1)
    for to_one in (True, False):
        zero = StructuredSparseUnmixing(2, sum_to_one=to_one, random_state=0)
        assert np.isfinite(zero.fit(np.zeros((4, 5, 6))).abundances_).all()
        dark = rng.random((4, 5, 6))
        dark[1, 2] = 0
        assert np.isfinite(zero.fit(dark).abundances_).all()


def test_what_does_not_fit_is_refused_in_words(rng):
    Y, _, E = smooth_scene(rng)
    with pytest.raises(ValueError, match=r'graph="window" joins pixels that lie side by side'):
        StructuredSparseUnmixing(3).fit(Y)
    with pytest.raises(ValueError, match=r"alpha_lasso=0.1 does nothing where abundances sum"):
        fit_image(Y, alpha_lasso=0.1)
    with pytest.raises(ValueError, match=r"init has shape \(2, 30\); endmembers here have shape"):
        fit_image(Y, init=E[:2])
    with pytest.raises(ValueError, match="Negative values"):
        fit_image(Y, init=-E)
    with pytest.raises(ValueError, match="n_components=31 is more than the 30 bands"):
        fit_image(Y, k=31)
    with pytest.raises(ValueError, match="contains NaN"):
        fit_image(np.where(Y > 0.5, np.nan, Y))


def test_running_out_of_iterations_warns(rng):
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 reached"):
        fit_image(smooth_scene(rng)[0], max_iter=1, tol=1e-12)


class Stop:
    """A callback that stops after three iterations, and keeps what it sees."""

    def __init__(self):
        self.objectives, self.scores = [], []

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
        return len(self.objectives) == 3


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
def test_callbacks_see_and_stop_the_fit(rng):
    Y, _, _ = smooth_scene(rng)
    stop = Stop()
    model = StructuredSparseUnmixing(3, image_shape=SHAPE, tol=1e-12, random_state=0)
    model.set_callbacks(stop).fit(Y)
    assert model.stopped_by_callback_ and model.n_iter_ == 3
    assert_array_equal(stop.objectives, model.objective_)
    assert stop.scores[-1] == pytest.approx(model.score(Y))


@pytest.mark.parametrize("to_one", [True, False])
def test_kernels_do_what_their_python_says(rng, to_one):
    X = rng.random((12, 5))
    W = window_graph(X, (3, 4))
    E = rng.random((3, 5))
    F, G, P = X @ E.T, E @ E.T, 0.3 * np.cov(rng.random((3, 9)))
    graph = (W.indptr, W.indices, W.data, degrees_of(W), to_one)
    compiled = rng.dirichlet(np.ones(3), 12)
    plain = compiled.copy()
    moved = sweep_pixels(compiled, F, G, P, *graph, 4)
    assert moved == pytest.approx(sweep_pixels.py_func(plain, F, G, P, *graph, 4))
    assert_allclose(compiled, plain, rtol=1e-10, atol=1e-14)
    largest = np.array([2.0, 1.0])
    assert_allclose(
        projected_step(compiled, F, G, P, *graph, largest),
        projected_step.py_func(plain, F, G, P, *graph, largest),
    )


def test_the_residual_is_a_projected_gradient_step(rng):
    A, F, G = rng.dirichlet(np.ones(4), 6), rng.random((6, 4)), np.eye(4)
    W = window_graph(rng.random((6, 3)), (2, 3))
    d, P = degrees_of(W), 0.5 * np.diag([1.0, 0.2, 0.3, 0.4])
    gradient = A @ G - F + (d[:, None] * A - W @ A) @ P
    step = A - gradient / (1 + d[:, None])

    def nearest(x):  # on the simplex, by bisection
        low, high = x.min() - 1, x.max()
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
        return np.maximum(x - low, 0)

    for to_one, projected in (
        (True, np.array([nearest(x) for x in step])),
        (False, np.maximum(step, 0)),
    ):
        graph = (W.indptr, W.indices, W.data, d, to_one)
        moved, total = projected_step(A, F, G, P, *graph, np.array([1.0, 0.5]))
        assert moved == pytest.approx(np.sum((projected - A) ** 2))
        assert total == pytest.approx(np.sum(A**2))


@parametrize_with_checks(
    [
        StructuredSparseUnmixing(graph="knn", random_state=0),
        StructuredSparseUnmixing(
            graph="knn", sum_to_one=False, alpha_lasso=1e-3, max_iter=2000, random_state=0
        ),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
