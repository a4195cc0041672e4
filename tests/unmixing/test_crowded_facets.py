"""Endmembers of scenes whose pixels crowd at the facets, as those of a Dirichlet distribution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from scipy.stats import norm

from factorkit import Unmixer
from factorkit.datasets import make_scene
from factorkit.metrics import abundance_rmse, matched_components
from factorkit.unmixing._archetypes import archetypes
from factorkit.unmixing._crowded_facets import _BlurredPower, _Problem, crowded_facets
from factorkit.unmixing._extraction import vca
from factorkit.unmixing._facet_tests import abundances_are_dirichlet
from factorkit.unmixing._min_volume import inverse_map, min_volume
from factorkit.unmixing._simplex_points import lifted
from factorkit.utils._threads import Workers


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def scene(rng, c, *, n_pixels=4000, noise=0.03, n_features=8):
    """(X, E): pixels with Dirichlet abundances of concentrations c."""
    k = len(c)
    E = 5 + rng.uniform(1.5, 2.5, (k, 1)) * np.eye(k, n_features)
    X = rng.dirichlet(c, n_pixels) @ E
    return X + noise * rng.standard_normal(X.shape), E


def archetypes_of(X, k, rng, workers):
    start = vca(lifted(X, k), 1, rng, workers)[0]
    return archetypes(X, start, workers, tol=1e-5, max_iter=100)[0]


def farthest(Z, E):
    """Distance of the worst of the matched endmembers."""
    D = np.linalg.norm(Z[:, None] - E, axis=2)
    return D.min(axis=0).max()


@pytest.mark.parametrize("c", [[0.3, 0.3], [0.3, 0.3, 0.3, 0.3], [0.2, 0.4, 0.7, 1.0]])
def test_corners_and_concentrations_are_found(rng, workers, c):
    X, E = scene(rng, c)
    Z, found, trace = crowded_facets(X, 5 + 0.9 * (E - 5), workers, sigma=0.03)
    assert trace.stop == "converged"
    assert farthest(Z, E) < 0.05
    assert_allclose(found, c, rtol=0.12)


@pytest.mark.parametrize("part", [0.8, 1.0, 1.1])
def test_the_corners_do_not_depend_on_the_start(rng, workers, part):
    X, E = scene(rng, np.full(4, 0.3))
    middle = E.mean(axis=0)
    Z, c, _ = crowded_facets(X, middle + part * (E - middle), workers, sigma=0.03, tol=1e-9)
    again, c_again, _ = crowded_facets(X, E, workers, sigma=0.03, tol=1e-9)
    assert_allclose(Z, again, atol=1e-4)
    assert_allclose(c, c_again, rtol=1e-3)


def test_they_are_nearer_to_the_truth_than_archetypes_and_even_facets(rng, workers):
    far = []
    for _ in range(5):
        X, E = scene(rng, np.full(4, 0.3), noise=0.1)
        start = archetypes_of(X, 4, rng, workers)
        even, _ = min_volume(X, start, workers, sigma=0.1)
        crowded, _, _ = crowded_facets(X, start, workers, sigma=0.1)
        far.append([farthest(Z, E) for Z in (start, even, crowded)])
    start, even, crowded = np.median(far, axis=0)
    assert crowded < 0.6 * min(start, even)


@pytest.mark.parametrize("c", [0.05, 0.3, 1.0, 3.0])
def test_the_blurred_power_is_its_integral(c):
    x = np.array([-4.5, -1.0, 0.0, 0.7, 3.1, 11.0, 15.0, 40.0])
    logs, slopes, rates = _BlurredPower(c)(x)

    def integral(at, c):
        # In u = t^(c / 2) there is no pole.
        power = c / 2
        u = np.linspace(max(at - 9, 0) ** power, (max(at, 0) + 9) ** power, 200_001)
        t = u ** (1 / power)
        return np.log(np.trapezoid(t ** (c - power) * norm.pdf(at - t) / power, u))

    assert_allclose(logs, [integral(at, c) for at in x], atol=2e-4)
    expected = [(integral(at + 1e-3, c) - integral(at - 1e-3, c)) / 2e-3 for at in x]
    assert_allclose(slopes, expected, atol=2e-3)
    expected = [(integral(at, c + 1e-3) - integral(at, c - 1e-3)) / 2e-3 for at in x]
    assert_allclose(rates, expected, rtol=1e-3, atol=2e-3)


def test_far_outside_the_cost_grows_with_the_distance():
    logs, slopes, _ = _BlurredPower(0.3)(np.array([-5.0, -50.0, -100.0]))
    assert_allclose(slopes[1], slopes[0])
    assert_allclose(logs[2] - logs[1], 10 / 9 * (logs[1] - logs[0]))


def test_the_gradient_is_that_of_the_objective(rng, workers):
    k = 3
    X, E = scene(rng, np.full(k, 0.4), n_pixels=300, n_features=k)
    X, E = X[:, : k - 1], E[:, : k - 1]
    problem = _Problem(X, inverse_map(E, 0.03), 0.03, workers)

    def at(p):
        Q = np.eye(k) + problem.directions @ p[: k * (k - 1)].reshape(k - 1, k)
        return problem.at(Q, np.exp(p[k * (k - 1) :]))

    p = np.append(0.05 * rng.standard_normal(k * (k - 1)), np.log([0.3, 0.5, 0.8]))
    numeric = approx_fprime(p, lambda p: at(p).value, 1e-6)
    assert_allclose(at(p).gradient, numeric, atol=1e-3 * np.abs(numeric).max())


def test_the_objective_never_rises(rng, workers):
    X, E = scene(rng, np.full(4, 0.3))
    _, _, trace = crowded_facets(X, 5 + 0.9 * (E - 5), workers, sigma=0.03)
    assert (np.diff(trace.objective) <= 0).all()


def test_what_spans_no_simplex_leaves_the_start_as_it_is(rng, workers):
    X, E = scene(rng, np.full(4, 0.3))
    E[3] = E[:3].mean(axis=0)
    Z, _, trace = crowded_facets(X, E, workers, sigma=0.03)
    assert trace.stop == "stalled"
    assert_array_equal(Z, E)


@pytest.mark.parametrize("k", [3, 5])
def test_dirichlet_abundances_are_told_from_others(rng, workers, k):
    def found(X, E):
        Z, c, _ = crowded_facets(X, E, workers, sigma=0.03)
        return abundances_are_dirichlet(X, E, Z, c, 0.03)

    X, E = scene(rng, np.full(k, 0.3))
    assert found(X, E)
    # Half of them in one place.
    X[::2] = 0.9 * E.mean(axis=0) + 0.1 * X[::2]
    assert not found(X, E)
    # On facets, and else spread evenly.
    A = rng.dirichlet(np.ones(k), 4000) * (rng.random((4000, k)) > 0.4)
    A = A[A.sum(axis=1) > 0]
    X = A / A.sum(axis=1, keepdims=True) @ E
    assert not found(X + 0.03 * rng.standard_normal(X.shape), E)


def logistic_normal(rng, k, spread, n_pixels=4000):
    """Abundances that are softer at the facets than any power, and heavier at the corners."""
    A = np.exp(spread * rng.standard_normal((n_pixels, k)))
    return A / A.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k, spread", [(5, 2.0), (8, 3.0)])
def test_corners_do_not_move_in_from_more_pixels_than_the_fit_expects_there(
    rng, workers, k, spread
):
    # The distribution functions of the abundances alone are within what Dirichlet scenes come to.
    _, E = scene(rng, np.ones(k))
    X = logistic_normal(rng, k, spread) @ E
    X += 0.1 * rng.standard_normal(X.shape)
    Z, c, _ = crowded_facets(X, E, workers, sigma=0.1)
    middle = Z.mean(axis=0)
    assert not abundances_are_dirichlet(X, middle + 1.05 * (Z - middle), Z, c, 0.1)
    # They are no reason to stay where archetypes are farther in.
    assert abundances_are_dirichlet(X, middle + 0.95 * (Z - middle), Z, c, 0.1)


@pytest.mark.parametrize("k, spread", [(5, 2.0), (8, 3.0)])
def test_archetypes_of_pure_pixels_stay_where_abundances_are_logistic_normal(k, spread):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        E = make_scene(k, random_state=seed).endmembers
        X = logistic_normal(rng, k, spread) @ E
        X += 0.1 * np.sqrt(np.mean(X**2)) * rng.standard_normal(X.shape)
        assert not Unmixer(k, random_state=0).fit(X).refined_


def test_corners_that_no_pixel_is_half_way_to_are_no_evidence(rng):
    X, E = scene(rng, np.full(4, 30.0))
    assert not abundances_are_dirichlet(X, E, E, np.full(4, 30.0), 0.03)
    X, E = scene(rng, np.full(4, 0.3))
    assert abundances_are_dirichlet(X, E, E, np.full(4, 0.3), 0.03)
    # Nor are dimensions that a simplex has not.
    X += rng.standard_normal((len(X), 1)) * np.eye(8)[7]
    assert not abundances_are_dirichlet(X, E, E, np.full(4, 0.3), 0.03)


def test_order_of_pixels_and_endmembers_does_not_matter(rng, workers):
    X, E = scene(rng, np.full(4, 0.3))
    Z, c, _ = crowded_facets(X, E, workers, sigma=0.03, tol=1e-9)
    order = rng.permutation(4)
    moved, c_moved, _ = crowded_facets(
        X[rng.permutation(len(X))], E[order], workers, sigma=0.03, tol=1e-9
    )
    assert_allclose(moved, Z[order], atol=1e-5)
    assert_allclose(c_moved, c[order], rtol=1e-4)


def test_threads_change_no_bit(rng):
    X, E = scene(rng, np.full(4, 0.3), n_pixels=10_000)
    found = []
    for n_jobs in (1, 2):
        with Workers(n_jobs) as workers:
            found.append(crowded_facets(X, E, workers, sigma=0.03)[0])
    assert_array_equal(*found)


def test_a_few_pixels_that_belong_to_nothing_do_not_move_the_corners(rng, workers):
    X, E = scene(rng, np.full(4, 0.3))
    X[:4] = 2 * E.mean(axis=0) - E
    Z, _, _ = crowded_facets(X, E, workers, sigma=0.03)
    assert farthest(Z, E) < 0.06


@pytest.mark.parametrize("snr", [20, 30])
def test_unmixer_finds_dirichlet_scenes_better_than_by_archetypes(snr):
    errors = []
    for seed in range(3):
        scene = make_scene(4, abundances="dirichlet", snr=snr, random_state=seed)
        for min_volume_ in (False, "auto"):
            model = Unmixer(4, min_volume=min_volume_, random_state=0)
            A = model.fit_transform(scene.data)
            order, angles = matched_components(
                scene.endmembers, model.components_, metric="spectral_angle"
            )
            rmse = abundance_rmse(scene.abundances, A, permutation=order)
            errors.append([angles.mean(), rmse])
            assert model.refined_ is bool(min_volume_)
    archetypal, crowded = np.array(errors[::2]), np.array(errors[1::2])
    assert crowded[:, 0].mean() < 0.9 * archetypal[:, 0].mean()
    assert (crowded[:, 1] < archetypal[:, 1]).all()
