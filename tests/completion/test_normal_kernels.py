"""The exact solves of rows against NumPy's, row by row in float64."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from factorkit.completion._normal_kernels import normal_rows
from factorkit.utils._sparse_kernels import padded_width

# Less than a tile, one, parts of tiles, and more rows than the buffer of gathered rows holds.
SIZES = [1, 2, 4, 7, 16, 17, 33, 64, 130]


class Problem:
    """Rows with 0 to many entries; row 0 has none, and row 1 one."""

    def __init__(self, rng, k, dtype=np.float64, *, plain=False, index=np.int32, density=0.3):
        m, n = 12, 4 * k + 40
        mask = rng.random((m, n)) < np.linspace(0, 2 * density, m)[:, None]
        mask[1, 0] = True
        M = sparse.csr_array(np.where(mask, 0.3 + rng.random((m, n)), 0)).astype(dtype)
        self.indptr, self.indices = M.indptr.astype(index), M.indices.astype(index)
        self.values = M.data
        self.F = np.zeros((n, padded_width(k, dtype)), dtype)
        self.F[:, :k] = rng.standard_normal((n, k)) / np.sqrt(k)
        self.ridge = (0.1 + rng.random(m)).astype(dtype)
        self.Z, self.k, self.m = np.zeros((0, 0), dtype), k, m
        self.direct = False
        self.base, self.linear = np.zeros((k, k), dtype), np.zeros(k, dtype)
        self.weights = self.offsets = np.zeros(0, dtype)
        if not plain:
            B = rng.standard_normal((k, k)) / np.sqrt(k)
            self.base[:] = B @ B.T
            self.linear[:] = rng.standard_normal(k)
            self.weights = (0.1 + rng.random(M.nnz)).astype(dtype)
            self.offsets = rng.standard_normal(n).astype(dtype)

    def solve(self, kernel=normal_rows, first=0, last=None):
        X = np.full((self.m, self.F.shape[1]), 7, self.F.dtype)
        kernel(
            self.indptr, self.indices, self.values, self.weights, self.offsets, self.direct,
            self.F, self.base, self.linear, self.ridge, self.Z, X, first, last or self.m,
        )  # fmt: skip
        return X[:, : self.k]

    def system(self, i):
        """(A, b, rows of F, square roots of weights, targets) of a row, in float64."""
        part = slice(self.indptr[i], self.indptr[i + 1])
        j = self.indices[part]
        f = self.F[j, : self.k].astype(np.float64)
        w = self.weights[part].astype(np.float64) if self.weights.size else np.ones(len(j))
        t = self.values[part] - (self.offsets[j].astype(np.float64) if self.offsets.size else 0)
        A = self.base + np.eye(self.k) * self.ridge[i] + f.T @ (w[:, None] * f)
        c = self.values[part] if self.direct else w * t
        return A, self.linear + f.T @ c, f, np.sqrt(w), t

    def expected(self):
        rows = []
        for i in range(self.m):
            A, b, *_ = self.system(i)
            x = np.linalg.solve(A, b)
            if self.Z.size:  # A = LLᵀ, L lower triangular
                x += np.linalg.solve(np.linalg.cholesky(A).T, self.Z[i])
            rows.append(x)
        return np.array(rows)


def tolerance(dtype):
    return {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("noise", [False, True])
def test_rows_solve_their_normal_equations(rng, dtype, k, noise):
    problem = Problem(rng, k, dtype)
    if noise:
        problem.Z = rng.standard_normal((problem.m, k)).astype(dtype)
    assert_allclose(problem.solve(), problem.expected(), **tolerance(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_with_few_entries_solve_them_too(rng, dtype, k, weighted):
    problem = Problem(rng, k, dtype, plain=True, density=0.1)
    if weighted:
        problem.weights = (rng.random(len(problem.values)) > 0.3).astype(dtype) * 1.5
    assert_allclose(problem.solve(), problem.expected(), **tolerance(dtype))


@pytest.mark.parametrize("k", [3, 20])
def test_direct_coefficients_stand_beside_the_weights(rng, k):
    problem = Problem(rng, k)
    problem.direct = True
    assert_allclose(problem.solve(), problem.expected(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_blocks_of_rows_are_what_all_rows_are(rng, index):
    problem = Problem(rng, 10, index=index)
    whole, part = problem.solve(), problem.solve(first=3, last=7)
    assert_array_equal(part[3:7], whole[3:7])
    assert_array_equal(part[[2, 7]], 7)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("k", [3, 10])
def test_compiled_rows_are_those_of_plain_python(rng, plain, k):
    problem = Problem(rng, k, plain=plain, density=0.1)
    assert_allclose(problem.solve(), problem.solve(normal_rows.py_func), rtol=1e-11, atol=1e-13)


def test_a_row_without_entries_and_ridge_is_zero(rng):
    problem = Problem(rng, 5, plain=True)
    problem.ridge[:] = 0
    assert_array_equal(problem.solve()[0], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_a_ridge_few_entries_have_the_solution_of_least_norm(rng, dtype):
    problem = Problem(rng, 40, dtype, plain=True, density=0.04)
    problem.ridge[:] = 0
    X = problem.solve()
    for i in np.flatnonzero(np.diff(problem.indptr) < 30):
        _, _, f, _, t = problem.system(i)
        expected = np.linalg.pinv(f) @ t if len(t) else np.zeros(40)
        assert_allclose(X[i], expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_singular_system_is_solved_as_well_as_any_solver_could(rng, dtype):
    problem = Problem(rng, 12, dtype, plain=True, density=0.4)
    problem.F[:, 5] = problem.F[:, 4]
    problem.F[:, 9] = 0
    problem.ridge[:] = 0
    X = problem.solve()
    assert np.isfinite(X).all()
    for i in np.flatnonzero(np.diff(problem.indptr) >= 12):
        _, _, f, _, t = problem.system(i)
        best = np.linalg.lstsq(f, t, rcond=None)[0]
        residual = np.linalg.norm(f @ X[i] - t) - np.linalg.norm(f @ best - t)
        assert residual < tolerance(dtype)["rtol"] * np.linalg.norm(t)


def test_noise_has_the_inverse_as_its_covariance(rng):
    problem = Problem(rng, 3)
    i = problem.m - 1
    A, b, *_ = problem.system(i)
    draws = []
    for _ in range(4000):
        problem.Z = rng.standard_normal((problem.m, 3))
        draws.append(problem.solve(first=i)[i])
    covariance = np.linalg.inv(A)
    assert_allclose(np.cov(np.array(draws).T), covariance, atol=0.08 * np.abs(covariance).max())
    spread = np.sqrt(np.diag(covariance) / len(draws))
    assert np.abs((np.mean(draws, axis=0) - np.linalg.solve(A, b)) / spread).max() < 4.5
