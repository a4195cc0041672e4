"""Endmembers at the corners of the facets that the pixels show."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment

from factorkit.unmixing._facet_tests import (
    archetypes_fall_short,
    facets_stay_sharp,
    facets_tell_more,
    lacks_pure_pixels,
    varies_as_a_simplex,
)
from factorkit.unmixing._min_volume import _measures, _Problem, min_volume
from factorkit.unmixing._min_volume_kernels import facet_costs, facet_moments
from factorkit.utils._threads import Workers


@pytest.fixture
def workers():
    with Workers(2) as workers:
        yield workers


def corners_of(k, rng, n_features):
    """Corners of a simplex that is neither regular nor flat, far from the origin."""
    axes = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    E = np.vstack([np.zeros(k - 1), np.eye(k - 1)]) * rng.uniform(1.5, 2.5, k)[:, None]
    return 5 + (E + rng.uniform(-0.1, 0.1, E.shape)) @ axes[: k - 1]


def scene(k, rng, *, n_pixels=3000, largest=0.7, noise=0.0, n_features=8, zeros=0.4):
    """(X, E): pixels that lack each endmember with some odds, and none is purer than `largest`."""
    E = corners_of(k, rng, n_features)
    A = np.empty((0, k))
    while len(A) < n_pixels:
        a = rng.dirichlet(np.ones(k), n_pixels) * (rng.random((n_pixels, k)) > zeros)
        a = a[a.sum(axis=1) > 0]
        a /= a.sum(axis=1, keepdims=True)
        A = np.vstack([A, a[a.max(axis=1) <= largest]])
    X = A[:n_pixels] @ E
    return X + noise * rng.standard_normal(X.shape), E


def inside(E, part=0.75):
    """A start: the simplex drawn in, as archetypes of a scene without pure pixels are."""
    return E.mean(axis=0) + part * (E - E.mean(axis=0))


def distances(Z, E):
    """Of matched endmembers."""
    D = np.linalg.norm(Z[:, None] - E, axis=2)
    return D[linear_sum_assignment(D)]


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_corners_that_no_pixel_is_near_are_found_without_noise(rng, workers, k):
    X, E = scene(k, rng, largest=0.75)
    if k == 2:
        # On a line the facets are the two ends: nothing is seen beyond the pixels.
        E = np.array([X[(X @ (E[1] - E[0])).argmin()], X[(X @ (E[1] - E[0])).argmax()]])
        X = np.vstack([X, np.repeat(E, 50, axis=0)])
    start = inside(E)
    Z, trace = min_volume(X, start, workers)
    assert trace.stop == "converged"
    assert distances(start, E).min() > 0.04
    assert distances(Z, E).max() < 2e-3


@pytest.mark.parametrize("part", [0.5, 0.9, 1.5])
def test_the_corners_are_the_same_from_starts_inside_and_outside(rng, workers, part):
    # From outside, no pixel is near a facet at first.
    X, E = scene(4, rng, noise=0.01)
    Z, _ = min_volume(X, inside(E, part), workers, sigma=0.01)
    assert distances(Z, E).max() < 0.03


def test_no_scene_in_many_ends_in_a_distant_optimum(workers):
    # Full steps of Newton's method lose some of these.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, E = scene(3 + seed % 2, rng, noise=0.003, n_pixels=1000)
        Z, _ = min_volume(X, inside(E, 0.9), workers, sigma=0.003)
        assert distances(Z, E).max() < 0.05


@pytest.mark.parametrize("k", [3, 5])
def test_with_noise_the_corners_are_far_nearer_than_the_purest_pixels(rng, workers, k):
    X, E = scene(k, rng, noise=0.01)
    Z, _ = min_volume(X, inside(E), workers, sigma=0.01)
    purest = np.linalg.norm(X[:, None] - E, axis=2).min(axis=0)
    assert purest.min() > 0.2
    assert distances(Z, E).max() < 0.04


def test_unknown_noise_is_that_of_the_coordinates_beyond_the_simplex(rng, workers):
    X, E = scene(4, rng, noise=0.02)
    known = min_volume(X, inside(E), workers, sigma=0.02)[0]
    assert_allclose(min_volume(X, inside(E), workers)[0], known, atol=2e-3)
    # Neither is it a constant: three times the noise gives another simplex.
    other = min_volume(X, inside(E), workers, sigma=0.06)[0]
    assert np.abs(other - known).max() > 5e-3


def test_the_objective_never_rises(rng, workers):
    X, E = scene(4, rng, noise=0.02, n_features=3)
    seen = []
    _, trace = min_volume(
        X, inside(E), workers, sigma=0.02, tol=0, max_iter=15, report=lambda v, Z: seen.append(v)
    )
    assert seen == trace.objective
    falls = -np.diff(trace.objective)
    assert falls[0] > 1e-3
    assert falls.min() > -1e-12
    assert_allclose(trace.residual[1:], falls, atol=1e-12)


def problem_of(rng, workers, k=4):
    X, E = scene(k, rng, noise=0.05, n_features=k - 1, n_pixels=400)
    inverse = np.linalg.inv(np.vstack([E.T, np.ones(k)]))
    problem = _Problem(X, inverse, 0.05, workers)
    Q = np.eye(k) + 0.1 * problem.directions @ rng.standard_normal((k - 1, k))
    return problem, Q, rng.uniform(0.5, 5, k)


def test_the_objective_agrees_with_its_formula(rng, workers):
    k = 4
    problem, Q, w = problem_of(rng, workers, k)
    s, a = problem.spread(Q), 1.7
    B = problem.Y @ Q.T
    F = 1 / (1 + np.exp(-a * B / s))
    v = w * s / a
    subsets = [[j for j in range(k) if S >> j & 1] for S in range(2**k - 1)]
    factorials = np.cumprod([1, *range(1, k)])
    N = sum(np.prod((v + s)[J]) / factorials[k - 1 - len(J)] for J in subsets)
    density = np.linalg.det(Q) / N * np.prod(F + v / s * a * F * (1 - F), axis=1)
    assert_allclose(problem.value(Q, w)[0], -np.log(density).mean(), rtol=1e-10)
    A, B = _measures(v + s)
    assert_allclose(A + (v + s) * B, N)


def test_derivatives_are_those_of_the_objective(rng, workers):
    problem, Q, w = problem_of(rng, workers)
    gradient, H = problem._derivatives(Q, w)
    h = 1e-6
    for j in range(4):
        for m in range(4):
            step = np.zeros((4, 4))
            step[j, m] = h
            slope = (problem.value(Q + step, w)[0] - problem.value(Q - step, w)[0]) / (2 * h)
            assert_allclose(gradient[j, m], slope, atol=1e-6 * np.abs(gradient).max())
            up, down = (problem._derivatives(Q + way * step, w)[0] for way in (1, -1))
            # Measures of faces couple facets by the square of the noise, which H leaves out.
            assert_allclose(H[j, m], (up - down) / (2 * h), atol=3e-3 * np.abs(H).max())
            assert_allclose(H[j, m, j], (up - down)[j] / (2 * h), atol=1e-6 * np.abs(H).max())


def test_steps_of_the_weights_lower_the_objective_to_a_stationary_point(rng, workers):
    problem, Q, w = problem_of(rng, workers)
    value, on_facet = problem.value(Q, w)
    for _ in range(300):
        w = problem.weights(Q, w, on_facet)
        lower, on_facet = problem.value(Q, w)
        assert lower <= value + 1e-12
        value = lower
    for j in range(4):
        for factor in (0.98, 1.02):
            other = w.copy()
            other[j] *= factor
            assert other[j] < 1 or problem.value(Q, other)[0] > value - 1e-9


def test_units_and_place_and_axes_of_the_data_do_not_matter(rng, workers):
    X, E = scene(4, rng, noise=0.02, n_features=5)
    Z, trace = min_volume(X, inside(E), workers, sigma=0.02)
    R = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    for scale in (1e-4, 1e5):
        moved, other = min_volume(
            scale * (X @ R) - 3 * scale, scale * (inside(E) @ R) - 3 * scale, workers,
            sigma=0.02 * scale,
        )  # fmt: skip
        assert other.n_iter == trace.n_iter
        assert_allclose(moved, scale * (Z @ R) - 3 * scale, rtol=1e-6, atol=1e-6 * scale)


def test_order_of_pixels_and_endmembers_does_not_matter(rng, workers):
    X, E = scene(4, rng, noise=0.02)
    Z, _ = min_volume(X, inside(E), workers, sigma=0.02, tol=1e-11)
    order = [2, 0, 3, 1]
    rows = rng.permutation(len(X))
    permuted, _ = min_volume(X[rows], inside(E)[order], workers, sigma=0.02, tol=1e-11)
    assert_allclose(permuted, Z[order], atol=1e-5)


@pytest.mark.parametrize("noise", [1e-5, 0.01])
def test_a_scene_with_pure_pixels_keeps_its_corners(rng, workers, noise):
    X, E = scene(4, rng, largest=1.0, noise=noise)
    Z, _ = min_volume(X, E, workers, sigma=noise)
    assert distances(Z, E).max() < 2e-3 + 2 * noise
    assert not lacks_pure_pixels(X, Z, noise)


def test_a_few_pixels_that_belong_to_nothing_do_not_move_the_corners(rng, workers):
    X, E = scene(4, rng, noise=0.01)
    Z, _ = min_volume(X, inside(E), workers, sigma=0.01)
    X[:5] = E.mean(axis=0) + 3 * (E.mean(axis=0) - E[0])
    with_them, _ = min_volume(X, inside(E), workers, sigma=0.01)
    assert np.abs(with_them - Z).max() < 0.05


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize(("largest", "lacking"), [(1.0, False), (0.8, True), (0.7, True)])
def test_lacking_pure_pixels_are_noticed_where_they_lack(rng, workers, k, largest, lacking):
    X, E = scene(k, rng, largest=largest, noise=0.01)
    Z, _ = min_volume(X, inside(E, 0.9), workers, sigma=0.01)
    assert lacks_pure_pixels(X, Z, 0.01) is lacking


def test_one_endmember_without_pure_pixels_is_enough(rng, workers):
    X, E = scene(4, rng, largest=1.0, noise=0.01)
    X = X[np.linalg.norm(X - E[2], axis=1) > 0.4]
    Z, _ = min_volume(X, inside(E, 0.9), workers, sigma=0.01)
    assert lacks_pure_pixels(X, Z, 0.01)


def test_more_dimensions_than_a_simplex_has_are_noticed(rng):
    X, _ = scene(4, rng, noise=0.01)
    assert varies_as_a_simplex(X, 4, 0.01)
    assert not varies_as_a_simplex(X, 3, 0.01)
    assert not varies_as_a_simplex(X, 4, 0.009)
    # Without a coordinate to spare, or a noise to compare with, there is no telling.
    assert not varies_as_a_simplex(X[:, :3], 4, 0.01)
    assert not varies_as_a_simplex(X, 4, 0.0)


def test_variation_beyond_the_simplex_is_no_evidence(rng, workers):
    X, E = scene(4, rng, noise=0.01)
    spread = 0.05 * rng.standard_normal((len(X), 1)) * (X - 4)
    Z, _ = min_volume(X + spread, inside(E), workers, sigma=0.01)
    assert not lacks_pure_pixels(X + spread, Z, 0.01)
    # A spread within the dimensions of the simplex is told by the pixels outside the facets.
    U = np.linalg.svd(E - E.mean(axis=0))[2][:3]
    within = 0.05 * rng.standard_normal((len(X), 3)) @ U
    Z, _ = min_volume(X + within, inside(E), workers, sigma=0.01)
    assert not lacks_pure_pixels(X + within, Z, 0.01)


def test_principal_directions_of_many_bands_are_allowed_more_noise(rng, workers):
    X, E = scene(4, rng, n_pixels=600, n_features=300, noise=0.01)
    V = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:8]
    X, E = X @ V.T, E @ V.T
    Z = min_volume(X, inside(E), workers, sigma=0.01)[0]
    assert not lacks_pure_pixels(X, Z, 0.01)
    assert lacks_pure_pixels(X, Z, 0.01, n_bands=300)


def test_one_corner_far_from_all_pixels_is_not_believed_where_others_are_pure(rng):
    # So end scenes with a material that few pixels hold: its corner is anywhere.
    for far, believed in ((0.6, False), (0.85, True)):
        X, E = scene(4, rng, largest=1.0)
        A = np.linalg.lstsq(np.vstack([E.T, np.ones(4)]), np.vstack([X.T, np.ones(len(X))]))[0].T
        X = A[A[:, 0] <= far] @ E
        X += 0.01 * rng.standard_normal(X.shape)
        assert lacks_pure_pixels(X, E, 0.01) == believed
    # Where none is pure, half is enough.
    X, E = scene(4, rng, largest=0.6, noise=0.01)
    assert lacks_pure_pixels(X, E, 0.01)


def test_facets_that_no_pixel_shows_are_no_evidence(rng):
    X, E = scene(4, rng, noise=0.01)
    assert lacks_pure_pixels(X, E, 0.01)
    assert not lacks_pure_pixels(X, inside(E, 1.3), 0.01)


def test_corners_that_no_pixel_is_half_way_to_are_no_evidence(rng):
    X, E = scene(4, rng, largest=0.47, noise=0.01)
    assert not lacks_pure_pixels(X, E, 0.01)
    X, E = scene(4, rng, largest=0.6, noise=0.01)
    assert lacks_pure_pixels(X, E, 0.01)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_facets_tell_more_than_pure_pixels_where_noise_is_all_that_blurs_them(rng, workers, k):
    X, E = scene(k, rng, largest=1.0, noise=0.01)
    near = E + 0.01 * rng.standard_normal(E.shape)
    Z, _ = min_volume(X, near, workers, sigma=0.01)
    assert facets_tell_more(X, near, Z, 0.01)
    # Not if the noise is less than what blurs them.
    assert not facets_tell_more(X, near, Z, 0.009)


def test_archetypes_are_farther_from_a_wrong_corner_than_noise_takes_pixels(rng, workers):
    X, E = scene(4, rng, largest=1.0, noise=0.01)
    Z, _ = min_volume(X, E, workers, sigma=0.01)
    start = Z.copy()
    start[2] += 0.038 * (E[0] - E[2]) / np.linalg.norm(E[0] - E[2])
    assert facets_tell_more(X, start, Z, 0.01)
    start[2] += 0.004 * (E[0] - E[2]) / np.linalg.norm(E[0] - E[2])
    assert not facets_tell_more(X, start, Z, 0.01)


def test_abundances_that_crowd_at_the_facets_blur_them(rng, workers):
    _, E = scene(4, rng)
    X = rng.dirichlet(np.full(4, 0.3), 4000) @ E
    X += 0.03 * rng.standard_normal(X.shape)
    Z, _ = min_volume(X, E, workers, sigma=0.03)
    assert not facets_tell_more(X, Z, Z, 0.03)


def test_variation_is_no_evidence_of_sharp_facets(rng, workers):
    X, E = scene(4, rng, largest=1.0, noise=0.01)
    spread = 0.05 * rng.standard_normal((len(X), 1)) * (X - 4)
    Z, _ = min_volume(X + spread, E, workers, sigma=0.01)
    assert not facets_tell_more(X + spread, Z, Z, 0.01)
    assert not facets_tell_more(X[:, :1], Z[:1, :1], Z[:1, :1], 0.01)


def test_facets_of_averages_are_sharp_by_the_noise_that_is_left(rng):
    X, E = scene(4, rng, largest=1.0, noise=0.01)
    assert facets_stay_sharp(X, E, 0.01)
    assert not facets_stay_sharp(X, E, 0.008)


def test_archetypes_of_averages_tell_of_lacking_pure_pixels_where_noise_hides_it(rng, workers):
    X, E = scene(4, rng, largest=0.9, noise=0.1)
    assert not lacks_pure_pixels(X, E, 0.1)
    assert archetypes_fall_short(X, inside(E, 0.88), E, 0.1, 0.3)
    # Not if they are as pure as noise explains; nor if that is more.
    assert not archetypes_fall_short(X, inside(E, 0.99), E, 0.1, 0.3)
    assert not archetypes_fall_short(X, inside(E, 0.88), E, 0.1, 1.0)
    # One is enough, but it must be nearly pure.
    one = inside(E, 0.99)
    one[2] = inside(E, 0.85)[2]
    assert archetypes_fall_short(X, one, E, 0.1, 0.3)
    one[2] = inside(E, 0.6)[2]
    assert not archetypes_fall_short(X, one, E, 0.1, 0.3)
    # Another that is far beyond its corner says that the simplex is out of place.
    one[2] = inside(E, 0.85)[2]
    one[1] = inside(E, 1.15)[1]
    assert not archetypes_fall_short(X, one, E, 0.1, 0.3)
    # Facets in the midst of the pixels are none.
    assert not archetypes_fall_short(X, inside(E, 0.5), inside(E, 0.6), 0.1, 0.3)


def test_a_single_endmember_stays(rng, workers):
    X, Z = rng.random((50, 3)), rng.random((1, 3))
    found, trace = min_volume(X, Z, workers)
    assert_array_equal(found, Z)
    assert trace.stop == "converged"
    assert not lacks_pure_pixels(X, Z, 0.01)


def test_what_spans_no_simplex_leaves_the_start_as_it_is(rng, workers):
    X, E = scene(4, rng, n_features=5)
    flat = X[:, :1] * np.ones(5)
    few = X[:, :2]
    twice = E[[0, 1, 2, 2]]
    for pixels, start in [(flat, E), (few, E[:, :2]), (X, twice), (np.ones_like(X), E)]:
        Z, trace = min_volume(pixels, start, workers)
        assert_array_equal(Z, start)
        assert trace.stop == "stalled"
        assert not lacks_pure_pixels(pixels, start, 0.01)
    # Noise as large as the simplex shows no facet.
    Z, trace = min_volume(X, E, workers, sigma=1.0)
    assert_array_equal(Z, E)
    assert trace.stop == "stalled"


def test_pixels_that_occur_twice_count_twice(rng, workers):
    X, E = scene(3, rng, noise=0.02, n_pixels=500)
    once = min_volume(X, inside(E), workers, sigma=0.02)[0]
    twice = min_volume(np.repeat(X, 2, axis=0), inside(E), workers, sigma=0.02)[0]
    assert_allclose(twice, once, atol=1e-7)
    same = np.repeat(X[:1], 500, axis=0)
    assert min_volume(same, inside(E), workers)[1].stop == "stalled"


def test_a_report_ends_the_run_and_is_told_where_it_is(rng, workers):
    X, E = scene(3, rng, noise=0.02)
    seen = []

    def report(value, Z):
        seen.append(Z)
        return len(seen) == 2

    Z, trace = min_volume(X, inside(E), workers, sigma=0.02, report=report)
    assert trace.stop == "callback"
    assert trace.n_iter == 2
    assert_array_equal(Z, seen[-1])
    assert min_volume(X, inside(E), workers, max_iter=1)[1].stop == "max_iter"


def test_threads_change_no_bit(rng):
    X, E = scene(4, rng, noise=0.02, n_pixels=200_000)
    results = []
    for n_jobs in (1, 2):
        with Workers(n_jobs) as workers:
            results.append(min_volume(X, inside(E), workers, sigma=0.02, max_iter=2)[0])
    assert_array_equal(*results)


def test_kernels_agree_with_their_python(rng):
    Y = rng.standard_normal((20, 3)) * [1, 30, 400]
    facets, w = rng.standard_normal((3, 3)), np.array([0.0, 1.0, 9.0])
    results = []
    for cost, moments in [
        (facet_costs, facet_moments),
        (facet_costs.py_func, facet_moments.py_func),
    ]:
        on, first, second = np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3, 3))
        value = cost(Y, facets, w, 1.7, on)
        moments(Y, facets, w, 1.7, first, second)
        results.append((value, on, first, second))
    for compiled, plain in zip(*results, strict=True):
        assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12)
        assert np.isfinite(plain).all()


def test_far_outside_the_cost_grows_with_the_distance():
    w = np.array([1.0, 20.0])
    near, far = (
        facet_costs(np.full((1, 2), t), np.eye(2), w, 1.7, np.zeros(2)) for t in (-1e3, -1e5)
    )
    assert_allclose(far - near, 2 * 1.7 * (1e5 - 1e3))
