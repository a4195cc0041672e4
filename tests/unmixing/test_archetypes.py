"""Archetypal analysis: what it promises of its mixtures, and how low it gets."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls

from factorkit.unmixing import _archetypes
from factorkit.unmixing._abundances import abundances_of
from factorkit.unmixing._archetype_kernels import update_archetypes
from factorkit.unmixing._archetypes import archetypes
from factorkit.utils._threads import Workers
from tests.unmixing._planted import pure_pixel_scene


def fit(X, start, n_jobs=1, **options):
    with Workers(n_jobs) as workers:
        return archetypes(X, np.asarray(start), workers, **options)


def objective(X, A, Z, weights=None):
    squares = np.square(X - A @ Z).sum(axis=1)
    return 0.5 * (squares if weights is None else weights * squares).sum()


def power(X, weights=None):
    return objective(X, np.ones((len(X), 1)), X.mean(axis=0, keepdims=True), weights)


def mixing_matrix(mixtures, n_pixels):
    B = np.zeros((len(mixtures.members), n_pixels))
    for row, members, weights in zip(B, mixtures.members, mixtures.weights, strict=True):
        assert len(set(members)) == len(members)
        row[members] = weights
    return B


def nearest_in_hull(X, t):
    """The point of the hull of the rows of X nearest to t, by non-negative least squares."""
    heavy = 1e3
    weights = nnls(np.vstack([X.T, np.full(len(X), heavy)]), np.append(t, heavy))[0]
    return weights / weights.sum() @ X


def assert_kept(X, result, weights=None):
    """What holds for every scene and start."""
    Z, A, mixtures, trace = result
    B = mixing_matrix(mixtures, len(X))
    size = np.abs(X - X.mean(axis=0)).max()
    assert np.isfinite(Z).all()
    assert B.min() >= 0 and A.min() >= 0
    assert_allclose(B.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(A.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(B @ X, Z, atol=1e-10 * size)
    total = power(X, weights)
    assert np.diff(trace.objective).max(initial=0) <= 1e-10 * total
    assert trace.objective[-1] == pytest.approx(objective(X, A, Z, weights), abs=1e-9 * total)
    # A handful of pixels is enough for each.
    assert max(map(len, mixtures.members)) <= X.shape[1] + 2


SCENES = {
    "a cloud": lambda rng, n, d: rng.standard_normal((n, d)),
    "a cube": lambda rng, n, d: rng.random((n, d)),
    "the corners of a cube": lambda rng, n, d: rng.integers(0, 2, (n, d)).astype(float),
    "far off": lambda rng, n, d: 1e3 + rng.random((n, d)),
    "few different pixels": lambda rng, n, d: rng.random((3, d))[rng.integers(0, 3, n)],
    "a line": lambda rng, n, d: np.outer(rng.random(n), rng.random(d)),
    "nearly flat": lambda rng, n, d: rng.random((n, d)) * np.logspace(0, -6, d),
    "heavy tails": lambda rng, n, d: rng.standard_t(1.5, (n, d)),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-8])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_falls_and_mixtures_are_mixtures(rng, scene, unit, weighted):
    for n, d, k in [(60, 2, 3), (200, 5, 6), (15, 8, 2), (200, 3, 8)]:
        X = unit * SCENES[scene](rng, n, d)
        weights = rng.random(n) * (rng.random(n) > 0.2) if weighted else None
        start = rng.choice(n, k, replace=False)
        result = fit(X, start, weights=weights, tol=0, max_iter=25)
        assert_kept(X, result, weights)
        # Lower than at the start, where a pixel was an archetype.
        with Workers(1) as workers:
            A = abundances_of(X, X[start], "fcls", workers)
        total = power(X, weights)
        assert result[3].objective[-1] <= objective(X, A, X[start], weights) + 1e-10 * total


@pytest.mark.parametrize("k", [2, 3, 4])
def test_pure_pixels_are_found_from_a_start_near_them(rng, k):
    for n_bands in (k, 30):
        Y, E, pure = pure_pixel_scene(k, rng, n_bands=n_bands)
        # The purest of the other pixels, one for each.
        others = np.setdiff1d(np.arange(len(Y)), pure)
        A = np.linalg.lstsq(E.T, Y[others].T, rcond=None)[0].T
        Z, _, _, trace = fit(Y, others[A.argmax(axis=0)], max_iter=2000, tol=1e-7)
        assert trace.objective[-1] < 1e-6 * power(Y)
        order = np.linalg.norm(Z[:, None] - E, axis=2).argmin(axis=0)
        assert sorted(order) == list(range(k))
        assert_allclose(Z[order], E, atol=1e-2)


@pytest.mark.parametrize("k", [2, 4, 7])
def test_a_start_at_pure_pixels_is_the_end(rng, k):
    Y, E, pure = pure_pixel_scene(k, rng)
    Z, A, mixtures, trace = fit(Y, pure)
    assert_allclose(Z, E, atol=1e-8)
    assert_allclose(A @ Z, Y, atol=1e-7)
    assert trace.objective[-1] < 1e-13 * power(Y)
    assert [members[weights.argmax()] for members, weights in
            zip(mixtures.members, mixtures.weights, strict=True)] == list(pure)  # fmt: skip


def test_each_archetype_goes_to_the_best_point_of_the_hull(rng):
    for n, d in [(5, 2), (40, 2), (40, 3), (2000, 5), (30, 12)]:
        X = rng.standard_normal((n, d))
        Xt = np.ascontiguousarray(X.T)
        most = min(d + 1, n) + 1
        members, weights = np.zeros((1, most), np.intp), np.zeros((1, most))
        K, counts, Z = np.zeros((1, most, most)), np.ones(1, np.intp), X[:1].copy()
        weights[0, 0], K[0, 0, 0] = 1, X[0] @ X[0]
        # One after the other, each from the mixture of the one before.
        for t in rng.standard_normal((20, d)) * rng.choice([0.1, 1, 10], (20, 1)):
            arguments = Z, np.ones((1, 1)), t[None].copy(), members, weights, K, counts
            update_archetypes(Xt, *arguments, 1e-12, 200)
            expected = nearest_in_hull(X, t)
            assert np.linalg.norm(Z[0] - t) <= np.linalg.norm(expected - t) + 1e-6
            used = members[0, : counts[0]]
            assert_allclose(weights[0, : counts[0]] @ X[used], Z[0], atol=1e-10)
            assert weights[0, : counts[0]].min() >= 0
            inner = np.tril(K[0, : counts[0], : counts[0]])
            assert_allclose(inner, np.tril(X[used] @ X[used].T), atol=1e-10)
            gap = (Z[0] - t) @ Z[0] - (X @ (Z[0] - t)).min()
            assert gap <= 1e-10


def test_one_update_minimizes_over_one_archetype_after_the_other(rng):
    X, k = rng.random((60, 4)), 3
    A = rng.dirichlet(np.ones(k), 60)
    start = np.array([3, 20, 41])
    Z = X[start].copy()
    members, weights = np.zeros((k, 6), np.intp), np.zeros((k, 6))
    members[:, 0], weights[:, 0] = start, 1
    K = np.zeros((k, 6, 6))
    K[:, 0, 0] = np.square(Z).sum(axis=1)
    found = Z.copy()
    update_archetypes(
        np.ascontiguousarray(X.T), found, A.T @ A, A.T @ X, members, weights, K,
        np.ones(k, np.intp), 1e-12, 100,
    )  # fmt: skip
    for j in range(k):
        rest = X - A @ Z + np.outer(A[:, j], Z[j])
        Z[j] = nearest_in_hull(X, A[:, j] @ rest / (A[:, j] @ A[:, j]))
    assert_allclose(found, Z, atol=1e-6)


def slow_reference(X, start, n_iter):
    """Alternating projected gradient steps on A and B."""

    def onto_simplex(V):
        ordered = -np.sort(-V, axis=1)
        excess = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, V.shape[1] + 1)
        last = (ordered > excess).sum(axis=1) - 1
        return np.maximum(V - excess[np.arange(len(V)), last][:, None], 0)

    B = np.eye(len(X))[start]
    A = np.full((len(X), len(start)), 1 / len(start))
    gram = X @ X.T
    largest = np.linalg.eigvalsh(gram)[-1]
    for _ in range(n_iter):
        Z = B @ X
        for _ in range(5):
            A = onto_simplex(A - (A @ Z - X) @ Z.T / np.linalg.norm(Z @ Z.T, 2))
        C = A.T @ A
        for _ in range(5):
            B = onto_simplex(B - (C @ B @ gram - A.T @ gram) / (np.linalg.norm(C, 2) * largest))
    return objective(X, A, B @ X)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_end_is_as_low_as_that_of_a_slow_descent_from_the_same_start(rng, k):
    for _ in range(3):
        X = rng.dirichlet(np.ones(k + 1), 80) @ rng.standard_normal((k + 1, 5))
        X -= X.mean(axis=0)
        # From the far ends of the scene, where both go to the same valley.
        start = [np.linalg.norm(X, axis=1).argmax()]
        while len(start) < k:
            near = np.linalg.norm(X[:, None] - X[start], axis=2).min(axis=1)
            start.append(near.argmax())
        found = fit(X, start, tol=1e-8, max_iter=2000)[3].objective[-1]
        assert found <= 1.01 * slow_reference(X, start, 1500)


def test_one_archetype_is_the_point_of_the_hull_nearest_the_mean(rng):
    X, w = rng.random((50, 4)), rng.random(50)
    for weights in (None, w):
        Z, A, _, trace = fit(X, [7], weights=weights, tol=1e-12)
        assert_array_equal(A, 1)
        assert_allclose(Z[0], np.average(X, axis=0, weights=weights), atol=1e-3)
        lowest = objective(X, A, np.average(X, axis=0, weights=weights)[None], weights)
        assert trace.objective[-1] == pytest.approx(lowest, rel=1e-5)


def test_weights_count_pixels(rng):
    X, start = rng.standard_normal((40, 3)), [0, 1, 2]
    counts = rng.integers(1, 4, 40)
    trace = fit(X, start, weights=counts.astype(float))[3]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    other = fit(np.repeat(X, counts, axis=0), first[start])[3]
    assert_allclose(trace.objective[:3], other.objective[:3], rtol=1e-5)
    assert trace.objective[-1] == pytest.approx(other.objective[-1], rel=1e-3)
    # Pixels of weight 0 are fitted, and pull at nothing.
    weights = np.ones(40)
    weights[30:] = 0
    far = X.copy()
    far[30:] *= 100
    hull = np.arange(30)
    _, A, _, trace = fit(far, start, weights=weights, hull=hull)
    expected = fit(X[:30], start)[3]
    assert trace.objective[-1] == pytest.approx(expected.objective[-1], rel=2e-3)
    assert_allclose(A[30:].sum(axis=1), 1)


def test_only_pixels_of_the_hull_are_mixed(rng):
    X = rng.standard_normal((100, 3))
    hull = rng.permutation(100)[:40]
    start = hull[[5, 17, 30]]
    result = fit(X, start, hull=hull)
    assert_kept(X, result)
    _, _, mixtures, trace = result
    assert set(np.concatenate(mixtures.members)) <= set(hull)
    everything = fit(X, start, hull=np.arange(100))
    assert_array_equal(everything[0], fit(X, start)[0])
    assert everything[3].objective[-1] < trace.objective[-1]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("X", [np.zeros((9, 4)), np.full((9, 4), 1e6), np.full((9, 1), -0.3)])
def test_a_constant_scene_is_its_only_spectrum(X, k):
    Z, A, _, trace = fit(X, np.arange(k))
    assert_allclose(Z, X[:k], atol=1e-9)
    assert_allclose(A.sum(axis=1), 1)
    assert trace.objective[-1] == 0 and trace.stop == "converged"


def test_duplicated_pixels_and_starts_do_no_harm(rng):
    X = np.repeat(rng.random((6, 4)), 10, axis=0)
    result = fit(X, [0, 1, 2, 30])
    assert_kept(X, result)
    # As many archetypes as different pixels fit them all.
    assert fit(X, [0, 10, 20, 30, 40, 50])[3].objective[-1] < 1e-12


def test_as_many_archetypes_as_pixels_fit_them_all(rng):
    X = rng.random((5, 8))
    Z, A, _, trace = fit(X, np.arange(5))
    assert_allclose(Z, X, atol=1e-9)
    assert_allclose(A, np.eye(5), atol=1e-7)
    assert trace.objective[-1] < 1e-14


@pytest.mark.parametrize("unit", [1e4, 1e-8])
def test_the_unit_and_the_place_of_the_scene_do_not_matter(rng, unit):
    X, start = rng.standard_normal((100, 4)), [1, 5, 9]
    Z, _, _, trace = fit(X, start, tol=1e-9, max_iter=500)
    moved, _, _, other = fit(unit * (X + 3), start, tol=1e-9, max_iter=500)
    assert_allclose(moved / unit - 3, Z, atol=1e-3)
    assert_allclose(other.objective[-1], unit**2 * trace.objective[-1], rtol=1e-6)


def test_the_order_of_pixels_does_not_matter(rng):
    X, start = rng.standard_normal((100, 4)), np.array([1, 5, 9])
    trace = fit(X, start, tol=1e-9, max_iter=500)[3]
    order = rng.permutation(100)
    permuted = fit(X[order], np.argsort(order)[start], tol=1e-9, max_iter=500)[3]
    assert permuted.objective[-1] == pytest.approx(trace.objective[-1], rel=1e-6)


def test_threads_and_blocks_change_no_bit(rng, monkeypatch):
    X, start = rng.standard_normal((2000, 4)), [1, 5, 9]
    whole = fit(X, start, max_iter=10)[3]
    small = _archetypes.blocks_of
    monkeypatch.setattr(_archetypes, "blocks_of", lambda n, work, **_: small(n, work, target=1e4))
    one, three = fit(X, start, max_iter=10), fit(X, start, 3, max_iter=10)
    assert_array_equal(one[0], three[0])
    assert_array_equal(one[1], three[1])
    assert one[3].objective == three[3].objective
    assert_allclose(one[3].objective, whole.objective, rtol=1e-6)


def test_a_report_sees_each_iteration_and_can_end_the_run(rng):
    X, start = rng.standard_normal((50, 4)), [1, 5, 9]
    seen = []

    def report(value, Z):
        seen.append((value, Z.copy()))
        return len(seen) == 3

    Z, _, _, trace = fit(X, start, tol=0, report=report)
    assert trace.stop == "callback" and trace.n_iter == 3
    assert [value for value, _ in seen] == trace.objective
    assert_array_equal(seen[-1][1], Z)
    assert fit(X, start, tol=0, max_iter=2)[3].stop == "max_iter"
    assert fit(X, start, tol=1e-3)[3].stop == "converged"


def test_the_kernel_agrees_with_its_python(rng):
    X, k = rng.random((30, 3)), 2
    A = rng.dirichlet(np.ones(k), 30)
    results = []
    for run in (update_archetypes, update_archetypes.py_func):
        Z = X[:k].copy()
        members, weights, K = np.zeros((k, 5), np.intp), np.zeros((k, 5)), np.zeros((k, 5, 5))
        members[:, 0], weights[:, 0], counts = [0, 1], 1, np.ones(k, np.intp)
        K[:, 0, 0] = np.square(Z).sum(axis=1)
        for _ in range(3):
            run(X.T.copy(), Z, A.T @ A, A.T @ X, members, weights, K, counts, 1e-10, 50)
        results.append((Z, counts, *(weights[j, : counts[j]] for j in range(k))))
    for compiled, plain in zip(*results, strict=True):
        assert_allclose(compiled, plain, atol=1e-9)
