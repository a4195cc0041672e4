"""Abundances are the minimum that their constraints allow, whatever the scene."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls

from factorkit.unmixing import _abundances
from factorkit.unmixing._abundance_kernels import _finish, _try, table_rows
from factorkit.unmixing._abundances import RowSolver, abundances_of
from factorkit.unmixing._product_kernels import products, tiles_of
from factorkit.unmixing._support_kernels import active_set_rows
from factorkit.unmixing._table_kernels import support_table
from factorkit.unmixing._table_vectors import LANES, WIDTHS
from factorkit.utils._threads import Workers

METHODS = ["fcls", "nnls", "scls", "ucls"]
CONSTRAINED = ["fcls", "nnls"]


def solve(Y, E, method, n_jobs=1, **options):
    with Workers(n_jobs) as workers:
        return abundances_of(Y, E, method, workers, **options)


@pytest.fixture
def without_table(monkeypatch):
    """Every support is factored on the fly."""

    def solve_without(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(_abundances, "_TABLE_LIMIT", 0)
            return solve(*args, **options)

    return solve_without


def near(rng, k, n_bands, distance):
    """Pairs of endmembers that differ by a distance."""
    E = rng.random((k, n_bands))
    half = k // 2
    E[k - half :] = E[:half] + distance * rng.random((half, n_bands))
    return E


ENDMEMBERS = {
    "random": lambda rng, k: rng.random((k, 20)),
    "of both signs": lambda rng, k: rng.standard_normal((k, 20)),
    "nearly collinear": lambda rng, k: rng.random(20) + 1e-3 * rng.random((k, 20)),
    "in pairs": lambda rng, k: near(rng, k, 20, 1e-3),
    "in near pairs": lambda rng, k: near(rng, k, 20, 1e-6),
    "in the same pairs": lambda rng, k: near(rng, k, 20, 0.0),
    "powers": lambda rng, k: np.vander(np.linspace(0.1, 1, 20), k).T.copy(),
    "bright and dark": lambda rng, k: rng.random((k, 20)) * np.logspace(0, -6, k)[:, None],
    "with a zero": lambda rng, k: rng.random((k, 20)) * (np.arange(k) > 0)[:, None],
    "more than bands": lambda rng, k: rng.standard_normal((k, 3)),
    "on a line": lambda rng, k: np.outer(np.linspace(1, 2, k), rng.random(20)),
    "equal": lambda rng, k: np.full((k, 20), 0.3),
}


def pixels_of(E, rng, n=80):
    """Mixtures with and without noise, pure, dark and bright ones, and zero."""
    k = len(E)
    Y = rng.dirichlet(np.full(k, 0.5), n) @ E
    Y[n // 2 :] += 0.1 * rng.standard_normal(Y[n // 2 :].shape)
    Y[0] = 0
    Y[1 : 1 + k] = E
    Y[-1] *= 1e-9
    Y[-2] *= 1e6
    return Y


def assert_optimal(Y, E, A, method, tol=1e-10):
    """Certificate: no direction that the constraints allow goes down."""
    assert np.isfinite(A).all() and A.min() >= 0
    if method == "fcls":
        assert_allclose(A.sum(axis=1), 1, rtol=1e-12)
        centre = E.mean(axis=0)
        E, Y = E - centre, Y - centre
    gradient = (A @ E - Y) @ E.T
    size = np.abs(Y @ E.T).max(axis=1) + (method == "fcls") * np.square(E).sum(axis=1).max()
    # What the difference of numbers of the size of E and Y is known to.
    size += 1e-4 * np.linalg.norm(Y, axis=1) * np.linalg.norm(E, axis=1).max()
    level = gradient.min(axis=1) if method == "fcls" else np.minimum(gradient.min(axis=1), 0)
    used = (A * (gradient - level[:, None])).sum(axis=1) / np.maximum(A.max(axis=1), 1e-300)
    assert (used <= tol * size).all()
    if method == "nnls":
        assert (-level <= tol * size).all()


@pytest.mark.parametrize("method", CONSTRAINED)
@pytest.mark.parametrize("kind", ENDMEMBERS)
@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-8])
def test_no_direction_goes_down(rng, without_table, kind, method, unit):
    for k in range(1, 15):
        E = unit * ENDMEMBERS[kind](rng, k)
        Y = unit * pixels_of(E / unit, rng)
        for A in (solve(Y, E, method), without_table(Y, E, method)):
            # Of a pair that is less apart than the Gram matrix shows, one is left out.
            assert_optimal(Y, E, A, method, 1e-7 if kind == "in near pairs" else 1e-9)


@pytest.mark.parametrize("method", CONSTRAINED)
@pytest.mark.parametrize("k", range(1, 15))
def test_the_table_of_supports_and_cholesky_agree(rng, without_table, method, k):
    E = rng.random((k, 20))
    Y = pixels_of(E, rng)[:-2]
    A = solve(Y, E, method)
    assert_allclose(without_table(Y, E, method), A, atol=1e-9)
    # Both exist for as many as this, else the test compares a thing with itself.
    with_table = RowSolver(E @ E.T, True, method == "fcls").table is not None
    assert with_table == (k <= _abundances._TABLE_LIMIT)


@pytest.mark.parametrize("k", [1, 2, 4, 9, 13])
@pytest.mark.parametrize("kind", ["random", "of both signs", "in pairs", "more than bands"])
def test_scipy_finds_the_same_minimum(rng, k, kind):
    E = ENDMEMBERS[kind](rng, k)
    Y = pixels_of(E, rng)[:-2]
    unique = kind in ("random", "of both signs")
    expected = np.array([nnls(E.T, y)[0] for y in Y])
    A = solve(Y, E, "nnls")
    assert_allclose(np.square(A @ E - Y).sum(1), np.square(expected @ E - Y).sum(1), atol=1e-11)
    if unique:
        assert_allclose(A, expected, atol=1e-9)
    # Sum-to-one as a heavy row.
    heavy = 1e4
    rows = np.vstack([E.T, np.full(k, heavy)])
    expected = np.array([nnls(rows, np.append(y, heavy))[0] for y in Y])
    A = solve(Y, E, "fcls")
    found, lowest = (np.square(B @ E - Y).sum(axis=1) for B in (A, expected))
    assert np.all(found <= (1 + 2e-6) * lowest + 1e-5)  # SciPy 1.15 misses one minimum
    if unique:
        assert_allclose(A, expected, atol=2e-6)


def test_fcls_of_two_endmembers_is_a_clipped_projection(rng):
    E, Y = rng.random((2, 9)), 2 * rng.standard_normal((200, 9))
    along = E[1] - E[0]
    part = np.clip((Y - E[0]) @ along / (along @ along), 0, 1)
    assert (part == 0).any() and (part == 1).any()
    assert_allclose(solve(Y, E, "fcls"), np.column_stack([1 - part, part]), atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 13])
def test_without_signs_there_are_closed_forms(rng, k):
    E, Y = rng.random((k, 20)), rng.random((50, 20))
    free = np.linalg.lstsq(E.T, Y.T, rcond=None)[0].T
    assert_allclose(solve(Y, E, "ucls"), free, atol=1e-9)
    others = np.linalg.lstsq((E[1:] - E[0]).T, (Y - E[0]).T, rcond=None)[0].T
    summed = np.column_stack([1 - others.sum(axis=1), others])
    assert_allclose(solve(Y, E, "scls"), summed, atol=1e-9)


def test_where_signs_come_right_by_themselves_they_are_no_constraint(rng):
    E = rng.random((4, 20))
    Y = (0.8 * rng.dirichlet(np.ones(4), 50) + 0.05) @ E + 1e-3 * rng.standard_normal((50, 20))
    assert_allclose(solve(Y, E, "fcls"), solve(Y, E, "scls"), atol=1e-12)
    assert_allclose(solve(Y, E, "nnls"), solve(Y, E, "ucls"), atol=1e-12)


@pytest.mark.parametrize("method", ["fcls", "scls"])
def test_a_single_endmember_is_all_there_is(rng, method):
    assert_array_equal(solve(rng.random((30, 5)), rng.random((1, 5)), method), 1)


@pytest.mark.parametrize("k", [2, 6, 12, 14])
@pytest.mark.parametrize("method", METHODS)
def test_pure_pixels_are_vertices_and_mixtures_are_recovered(rng, k, method):
    E = rng.random((k, 30))
    assert_allclose(solve(E, E, method), np.eye(k), atol=1e-9)
    A = rng.dirichlet(np.full(k, 0.3), 100)
    assert_allclose(solve(A @ E, E, method), A, atol=1e-9)


@pytest.mark.parametrize("k", [3, 13])
def test_a_shift_of_pixels_and_endmembers_changes_no_fcls(rng, k):
    E, shift = rng.random((k, 20)), 100 * rng.standard_normal(20)
    Y = pixels_of(E, rng)[:-2]
    for method, tol in (("fcls", 1e-8), ("scls", 1e-8)):
        moved = solve(Y + shift, E + shift, method)
        assert_allclose(moved, solve(Y, E, method), atol=tol)
    assert np.abs(solve(Y + shift, E + shift, "nnls") - solve(Y, E, "nnls")).max() > 1e-3


@pytest.mark.parametrize("k", [3, 13])
@pytest.mark.parametrize("method", METHODS)
def test_units_do_not_matter(rng, k, method):
    E = rng.random((k, 20))
    Y = pixels_of(E, rng)[:-2]
    A = solve(Y, E, method)
    for unit in (1e4, 1e-8, 1e-100):
        assert_allclose(solve(unit * Y, unit * E, method), A, atol=1e-8)


@pytest.mark.parametrize("k", [3, 13])
def test_nnls_of_a_dark_pixel_is_that_of_the_bright_one_made_dark(rng, without_table, k):
    E, y = rng.random((k, 20)), rng.random((30, 20))
    dark = np.logspace(-12, 0, 30)[:, None]
    for solver in (solve, without_table):
        assert_allclose(solver(dark * y, E, "nnls") / dark, solver(y, E, "nnls"), atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [4, 14])
def test_missing_entries_are_left_out(rng, method, k):
    E, Y = rng.random((k, 30)), rng.random((20, 30))
    holes = rng.random(Y.shape) < 0.2
    holes[:5] = False
    holed = np.where(holes, np.nan, Y)
    A = solve(holed, E, method)
    for i in range(20):
        seen = ~holes[i]
        assert_allclose(A[i], solve(Y[i : i + 1, seen], E[:, seen], method)[0], atol=1e-8)
    # The others do not notice.
    assert_array_equal(A[:5], solve(Y, E, method)[:5])


@pytest.mark.parametrize("method", METHODS)
def test_of_a_pixel_without_any_entry_nothing_is_known(rng, method):
    Y = rng.random((3, 6))
    Y[1] = np.nan
    A = solve(Y, rng.random((3, 6)), method)
    assert_array_equal(np.isnan(A), [[False] * 3, [True] * 3, [False] * 3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("holes", [False, True])
def test_band_weights_are_bands_scaled_by_their_roots(rng, method, holes):
    E, Y, w = rng.random((4, 20)), rng.random((50, 20)), rng.random(20)
    w[[3, 7]] = 0
    if holes:
        Y[::3, 5] = np.nan
        Y[1, :10] = np.nan
    expected = solve(Y * np.sqrt(w), E * np.sqrt(w), method)
    spoilt = Y.copy()
    spoilt[::2, 3], spoilt[:, 7] = np.nan, np.inf
    assert_allclose(solve(spoilt, E, method, band_weights=w), expected, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("holes", [False, True])
def test_pixels_and_their_scales_are_taken_as_told(rng, method, holes):
    E, Y, scale = rng.random((4, 20)), rng.random((50, 20)), rng.uniform(0.1, 5, 50)
    if holes:
        Y[::4, 5] = np.nan
    taken = rng.permutation(50)[:30]
    expected = solve(Y * scale[:, None], E, method)
    assert_allclose(solve(Y, E, method, scale=scale), expected, atol=1e-10)
    found = solve(Y, E, method, scale=scale, pixels=taken)
    assert_allclose(found, expected[taken], atol=1e-10)
    w = rng.random(20) * (np.arange(20) > 2)
    both = solve(Y, E, method, scale=scale, pixels=taken, band_weights=w)
    assert_allclose(both, solve(Y * scale[:, None], E, method, band_weights=w)[taken], atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [4, 14])
def test_each_row_is_solved_by_itself(rng, method, k):
    E = rng.random((k, 30))
    Y = pixels_of(E, rng, 200)[:-2]
    A = solve(Y, E, method)
    order = rng.permutation(len(Y))[:70]
    assert_allclose(solve(Y[order], E, method), A[order], atol=1e-11)
    bands, members = rng.permutation(30), rng.permutation(k)
    permuted = solve(Y[:, bands], E[members][:, bands], method)
    assert_allclose(permuted, A[:, members], atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [3, 14])
def test_float32_is_solved_in_float64(rng, method, k):
    E = rng.random((k, 30)).astype(np.float32)
    Y = pixels_of(E, rng).astype(np.float32)[:-2]
    A = solve(Y, E, method)
    assert A.dtype == np.float32
    assert_array_equal(A, solve(Y.astype(float), E, method).astype(np.float32))
    Y[::3, 2] = np.nan
    assert solve(Y, E, method).dtype == np.float32


@pytest.mark.parametrize("layout", ["fortran", "read-only", "strided"])
def test_the_layout_of_the_scene_does_not_matter(rng, layout):
    E, Y = rng.random((3, 20)), rng.random((50, 20))
    expected = solve(Y, E, "fcls")
    other = {"fortran": np.asfortranarray(Y), "read-only": Y, "strided": np.repeat(Y, 2, 1)[:, ::2]}
    other[layout].flags.writeable = False
    assert_array_equal(solve(other[layout], E, "fcls"), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [4, 14])
def test_threads_and_blocks_change_no_bit(rng, monkeypatch, method, k):
    E = rng.random((k, 20))
    Y = pixels_of(E, rng, 3000)
    Y[::7, 3] = np.nan
    whole = solve(Y, E, method)
    small = _abundances.blocks_of
    monkeypatch.setattr(_abundances, "blocks_of", lambda n, work, **_: small(n, work, target=1e4))
    assert len(_abundances.blocks_of(3000, 100)) > 10
    A = solve(Y, E, method)
    assert_array_equal(solve(Y, E, method, n_jobs=3), A)
    assert_allclose(A[:-2], whole[:-2], atol=1e-9)


def test_inputs_stay_as_they_are(rng):
    E, Y, w, scale = rng.random((3, 9)), rng.random((20, 9)), rng.random(9), rng.random(20)
    Y[3, 3] = np.nan
    before = [a.copy() for a in (E, Y, w, scale)]
    for method in METHODS:
        solve(Y, E, method, band_weights=w, scale=scale)
    for now, then in zip((E, Y, w, scale), before, strict=True):
        assert_array_equal(now, then)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [2, 5, 13])
def test_degenerate_scenes_give_finite_abundances_that_sum_as_they_should(rng, method, k):
    E = rng.random((k, 20))
    for members in (E, np.zeros_like(E), np.ones_like(E), np.repeat(E[:1], k, axis=0)):
        for Y in (np.zeros((9, 20)), np.ones((9, 20)), np.repeat(E[:1], 9, axis=0)):
            A = solve(Y, members, method)
            assert np.isfinite(A).all()
            if method in ("fcls", "scls"):
                assert_allclose(A.sum(axis=1), 1, atol=1e-9)
            # Equal pixels have equal abundances.
            assert_allclose(A, np.repeat(A[:1], 9, axis=0), atol=1e-9)


def test_far_brighter_pixels_than_endmembers_still_sum_to_one(rng, without_table):
    for k in (2, 6, 14):
        E = rng.random(20) + 1e-6 * rng.random((k, 20))
        Y = rng.random((50, 20)) * np.logspace(0, 20, 50)[:, None]
        for A in (solve(Y, E, "fcls"), without_table(Y, E, "fcls")):
            assert A.min() >= 0
            assert_allclose(A.sum(axis=1), 1, rtol=1e-12)


def test_an_ill_conditioned_gram_matrix_is_not_inverted(rng):
    E = near(rng, 6, 20, 1e-6)
    assert RowSolver(E @ E.T, True, False).table is None
    # Exact duplicates are no reason: no support that is used holds both.
    assert RowSolver(np.kron(np.ones((2, 2)), np.eye(3)), True, False).table is not None
    Y = rng.dirichlet(np.ones(6), 100) @ E
    for method in CONSTRAINED:
        # Members of a pair stand for each other up to rounding errors of the Gram matrix.
        assert np.square(solve(Y, E, method) @ E - Y).max() < 1e-11


def test_the_table_holds_the_minimum_of_every_support(rng):
    E = rng.standard_normal((4, 7))
    G, f = E @ E.T, rng.standard_normal(4)
    for to_one in (False, True):
        maps, independent, smallest = support_table(G, to_one, LANES)
        assert not maps[:, :, 4:].any()
        assert_array_equal(independent, [not to_one] + [True] * 15)
        for S in range(1, 16):
            on = [j for j in range(4) if S >> j & 1]
            system = G[np.ix_(on, on)]
            if to_one:
                one = np.ones((len(on), 1))
                system = np.block([[system, one], [one.T, np.zeros((1, 1))]])
                x = np.linalg.solve(system, np.append(f[on], 1))[:-1]
            else:
                x = np.linalg.solve(system, f[on])
            found = (maps[S, 4] + f @ maps[S, :4])[:4]
            assert_allclose(found[on], x, atol=1e-10)
            # For the others it is the multiplier: the gradient, less that of the members.
            gradient = G[:, on] @ x - f
            multipliers = gradient - gradient[on[0]] if to_one else gradient
            assert_allclose(np.delete(found, on), np.delete(multipliers, on), atol=1e-10)
        # The part of a member that the others do not span.
        inverse = np.linalg.inv(G)
        assert smallest == pytest.approx((1 / (np.diag(G) * np.diag(inverse))).min())


@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("kind", ["random", "of both signs", "in the same pairs", "with a zero"])
def test_kernels_agree_with_their_python(rng, to_one, kind):
    for k in (1, 4):
        E = ENDMEMBERS[kind](rng, k)
        Y = pixels_of(E, rng, 30)
        solver = RowSolver(E @ E.T, True, to_one)
        F, G = np.ascontiguousarray(Y @ E.T), solver.G
        results = []
        for python in (False, True):
            run = [f.py_func if python else f for f in (support_table, table_rows, active_set_rows)]
            *table, smallest = run[0](G, to_one, LANES)
            A, B, C = np.empty((3, *F.shape))
            wide = np.pad(F, ((0, 0), (0, LANES - k)))
            run[1](wide, np.pad(G, (0, LANES - k)), *table, to_one, A)
            run[2](F, G[None], to_one, B)
            # A Gram matrix for each row is the same as one that they share.
            run[2](F, np.repeat(G[None], len(F), axis=0), to_one, C)
            results.append((*table, smallest, A, B, C))
            assert_allclose((A @ E)[:-2], (B @ E)[:-2], atol=1e-9)
            assert_allclose((C @ E)[:-2], (B @ E)[:-2], atol=1e-9)
        for compiled, plain in zip(*results, strict=True):
            assert_allclose(compiled, plain, atol=1e-9)


@pytest.fixture(scope="module")
def compiled_vectors():
    @njit
    def attempt(width, table, at, f, i, k, S, X, limit):
        return _try(width, table, at, f, i, k, S, X, limit)

    @njit
    def finish(width, G, f, i, k, S, X, to_one):
        return _finish(width, G, f, i, k, S, X, to_one)

    return attempt, finish


@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("k", [1, 5, 8, 9, 10, 11, 12])
def test_vectors_of_every_width_agree_with_numpy(rng, compiled_vectors, to_one, k):
    # Of the kernels that use them nothing but the time would tell: what is wrong is done again.
    width = min(width for width in WIDTHS if width >= k)
    pad = (0, width - k)
    table = np.pad(rng.standard_normal((4 * (k + 1), k)), ((0, 0), pad)).ravel()
    f = np.pad(rng.standard_normal((3, k)), ((0, 0), pad)).ravel()
    # Terms that are not zero on the support, as where it is no optimum.
    G = np.pad(rng.standard_normal((k, k)), pad).ravel()
    for S in {1, 1 << (k - 1), (1 << k) - 1, *rng.integers(1, 1 << k, 20).tolist()}:
        seen = []
        for attempt, finish in (compiled_vectors, (_try, _finish)):
            X = np.zeros(3 * width)
            bits = attempt(width, table, 2 * (k + 1) * width, f, width, k, S, X, 0.5)
            tried = X.copy()
            seen.append((bits, tried, finish(width, G, f, width, k, S, X, to_one), X))
        for compiled, plain in zip(*seen, strict=True):
            assert_allclose(compiled, plain, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_bands", [3, 8, 16, 17, 31])
@pytest.mark.parametrize("n_pixels", [1, 2, 3, 30])
def test_products_are_those_of_the_matrices(rng, dtype, n_bands, n_pixels):
    Y = rng.standard_normal((n_pixels, n_bands)).astype(dtype)
    for k in (*range(17), 30):
        E = rng.standard_normal((k, n_bands))
        expected = Y.astype(float) @ E.T
        assert_allclose(_abundances.row_products(Y, E), expected, atol=1e-13)
        offset = np.append(rng.standard_normal(k), np.zeros(2))
        F = _abundances.row_products(Y, E, offset)
        assert_allclose(F[:, :k], expected - offset[:k], atol=1e-13)
        assert not F[:, k:].any()


def test_equal_pixels_have_equal_products_wherever_they_stand(rng):
    Y = np.tile(rng.standard_normal(37), (7, 1))
    for k in (4, 5, 9, 10, 14):
        F = _abundances.row_products(Y, rng.standard_normal((k, 37)))
        assert_array_equal(F, np.tile(F[0], (7, 1)))
        same = _abundances.row_products(Y, np.tile(rng.standard_normal(37), (k, 1)))
        assert (same == same[0, 0]).all()


def test_tiles_are_just_enough():
    for n in range(1, 40):
        tiles = tiles_of(n)
        assert 0 <= tiles.sum() - n <= 3
        assert tiles.sum() - tiles[-1] < n
    assert tiles_of(9).sum() == 9


def test_the_kernel_of_products_agrees_with_its_python(rng, monkeypatch):
    monkeypatch.setattr(_abundances, "products", products.py_func)
    for dtype in (np.float32, np.float64):
        Y, E = rng.standard_normal((31, 19)).astype(dtype), rng.standard_normal((11, 19))
        assert_allclose(_abundances.row_products(Y, E), Y.astype(float) @ E.T, atol=1e-13)
