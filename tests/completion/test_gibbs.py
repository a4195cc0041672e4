"""Each step of the Gibbs sampler against its distribution, and the whole against Geweke's test."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from factorkit.completion._entries import column_side, row_side
from factorkit.completion._gibbs import Chain, Draw, Scales, scaled_weights
from factorkit.completion._gibbs_kernels import pattern_sweep, square_errors, weigh_errors
from factorkit.completion._gibbs_lines import (
    Prior,
    RowPrior,
    draw_normal_wishart,
    pattern_shares,
    prior_means,
    solve_lines,
)
from factorkit.completion._posterior import row_scales, split_rhat
from factorkit.utils._threads import Workers


def sides(rng, m=8, n=6, density=0.6, dtype=np.float64, weighted=False):
    mask = rng.random((m, n)) < density
    i, j = np.nonzero(mask)
    X = sparse.csr_array((rng.standard_normal(len(i)).astype(dtype), (i, j)), shape=mask.shape)
    if not weighted:
        return row_side(X), column_side(X)
    weight = sparse.csr_array((0.5 + rng.random(X.nnz), X.indices, X.indptr), shape=X.shape)
    return row_side(X, weight), column_side(X, weight)


def padded(F):
    out = np.zeros((len(F), 8), F.dtype)
    out[:, : F.shape[1]] = F
    return out


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_factors_given_the_rest_have_the_closed_form(rng, k, weighted):
    side, _ = sides(rng, weighted=weighted)
    V = padded(rng.standard_normal((6, k)))
    root = rng.standard_normal((k, k))
    precision, alpha = root @ root.T + np.eye(k), 2.5
    means = rng.standard_normal((len(side), k))
    X = np.zeros((len(side), 8))
    with Workers(1) as workers:
        args = side, side.weights, V, precision, means, alpha, X, workers
        solve_lines(*args)
        mean = X[:, :k].copy()
        draws = []
        for _ in range(4000):
            solve_lines(*args, Z=rng.standard_normal((len(side), k)))
            draws.append(X[:, :k].copy())
    for i in range(len(side)):
        part = slice(side.indptr[i], side.indptr[i + 1])
        f, y = V[side.indices[part], :k], side.values[part]
        w = side.weights[part] if weighted else np.ones(len(y))
        A = precision + alpha * (f.T * w) @ f
        expected = np.linalg.solve(A, precision @ means[i] + alpha * f.T @ (w * y))
        assert_allclose(mean[i], expected, rtol=1e-10)
        covariance = np.linalg.inv(A)
        drawn = np.array([draw[i] for draw in draws])
        assert_allclose(
            np.atleast_2d(np.cov(drawn.T)), covariance, atol=0.1 * np.abs(covariance).max()
        )
        z = (drawn.mean(axis=0) - expected) / np.sqrt(np.diag(covariance) / len(draws))
        assert np.abs(z).max() < 5


def test_mean_and_precision_have_normal_wishart_moments(rng):
    k, n, n_own, beta = 3, 12, 5, 2.0
    E = rng.standard_normal((n, k)) + 1
    own = np.diag([1.0, 2.0, 3.0])
    draws = [draw_normal_wishart(E, own, n_own, beta, rng) for _ in range(5000)]
    centre = E.mean(axis=0)
    S = np.eye(k) + own + (E - centre).T @ (E - centre)
    S += n * beta / (n + beta) * np.outer(centre, centre)
    dof = k + n + n_own
    precision = np.mean([draw[1] for draw in draws], axis=0)
    expected = dof * np.linalg.inv(S)
    assert_allclose(precision, expected, atol=0.03 * expected.max())
    # Var Λ_11 = 2 ν (S⁻¹)_11², and the mean is a multivariate t around n / (n + β) times centre.
    inverse = np.linalg.inv(S)
    assert_allclose(
        np.var([draw[1][0, 0] for draw in draws]), 2 * dof * inverse[0, 0] ** 2, rtol=0.15
    )
    means = np.array([draw[0] for draw in draws])
    assert_allclose(means.mean(axis=0), n / (n + beta) * centre, atol=0.03)
    covariance = S / ((beta + n) * (dof - k - 1))
    assert_allclose(np.cov(means.T), covariance, atol=0.1 * covariance.max())


def test_weights_of_the_pattern_settle_at_their_posterior(rng):
    """The sweep is a Gibbs sampler of a linear regression, whose posterior is known."""
    rows, columns = sides(rng, 9, 5)
    k, strength = 2, np.float64(1.5)
    T = rng.standard_normal((9, k))
    S = np.array([[1.0, 0.6], [0.6, 2.0]])
    phi = np.zeros((9, 5))
    phi[np.repeat(np.arange(9), rows.counts), rows.indices] = 1
    phi *= pattern_shares(rows)[:, None]
    A = phi.T @ phi + strength * np.eye(5)
    expected = np.linalg.solve(A, phi.T @ T)
    B, E = np.zeros((5, k)), T.copy()
    root, draws = np.linalg.cholesky(S), []
    for _ in range(12000):
        noise = rng.standard_normal((5, k)) @ root.T
        pattern_sweep(columns.indptr, columns.indices, pattern_shares(rows), strength, noise, B, E)
        draws.append(B.copy())
    assert_allclose(E, T - phi @ B, atol=1e-9)
    prior = RowPrior(np.ones(k), np.eye(k), B)
    assert_allclose(prior_means(prior, rows), 1 + phi @ B, atol=1e-12)
    draws = np.array(draws[100:])
    covariance = np.linalg.inv(A)
    assert_allclose(draws.mean(axis=0), expected, atol=0.06)
    assert_allclose(np.cov(draws[:, :, 1].T), 2.0 * covariance, atol=0.12 * covariance.max())
    cross = np.mean((draws[:, 0, 0] - expected[0, 0]) * (draws[:, 0, 1] - expected[0, 1]))
    assert_allclose(cross, 0.6 * covariance[0, 0], rtol=0.2)


def test_compiled_loops_are_those_of_plain_python(rng):
    rows, columns = sides(rng, weighted=True)
    X, F = padded(rng.standard_normal((8, 3))), padded(rng.standard_normal((6, 3)))
    s, t = rng.random(8), rng.random(6)
    results = []
    for compiled in (True, False):
        squares, by_row, by_column = np.empty_like(rows.values), np.empty(8), np.empty(6)
        B, E = np.ones((6, 3)), rng.standard_normal((8, 3)) * 0 + 1
        kernels = square_errors, weigh_errors, pattern_sweep
        errors, weigh, sweep = (f if compiled else f.py_func for f in kernels)
        errors(rows.indptr, rows.indices, rows.values, F, X, squares, 0, 8)
        totals = weigh(rows.indptr, rows.indices, rows.weights, squares, s, t, by_row, by_column)
        sweep(columns.indptr, columns.indices, pattern_shares(rows), 2.0, B * 0.1, B, E)
        results.append([squares, by_row, by_column, np.array(totals), B, E])
    for ours, plain in zip(*results, strict=True):
        assert_allclose(ours, plain, rtol=1e-12)
    squares, by_row, by_column, totals, *_ = results[0]
    lines = np.repeat(np.arange(8), rows.counts)
    r = rows.values - np.einsum("ia,ia->i", X[lines], F[rows.indices])
    w = rows.weights * r**2
    assert_allclose(by_row, np.bincount(lines, w * t[rows.indices], 8))
    assert_allclose(by_column, np.bincount(rows.indices, w * s[lines], 6))
    assert_allclose(totals, [np.sum(w * s[lines] * t[rows.indices]), np.sum(r**2)])
    assert_allclose(
        scaled_weights(rows, s, t), rows.weights * s[lines] * t[rows.indices], rtol=1e-12
    )


def test_noise_scales_are_drawn_from_their_posterior(rng):
    counts, sums, alpha = np.array([0, 4, 400]), np.array([0.0, 8.0, 100.0]), 2.0
    scales, draws = Scales(np.ones(3)), []
    scales.sums = sums
    for _ in range(4000):
        scales.shape = 6.0
        scales.draw(counts, alpha, Prior(), rng)
        draws.append(scales.values)
    shapes, rates = 6 + counts / 2, 6 + alpha * sums / 2
    assert_allclose(np.mean(draws, axis=0), shapes / rates, rtol=0.04)
    assert_allclose(np.var(draws, axis=0), shapes / rates**2, rtol=0.15)


def test_the_shape_of_the_scales_is_recovered(rng):
    scales, draws = Scales(np.ones(3000)), []
    truth = rng.gamma(4.0, 1 / 4.0, 3000)
    counts = np.full(3000, 40)
    scales.sums = np.array([rng.chisquare(40) / s for s in truth])
    for _ in range(150):
        scales.draw(counts, 1.0, Prior(), rng)
        draws.append(scales.shape)
    assert abs(np.mean(draws[50:]) - 4.0) < 0.5
    assert np.corrcoef(scales.values, truth)[0, 1] > 0.75


def test_noise_scales_of_rows_are_estimated_without_bias(rng):
    """Also where a row has fewer entries than factors, which could fit its noise."""
    m, n, k, alpha, shape = 4000, 30, 4, 4.0, 5.0
    i, j = np.nonzero(rng.random((m, n)) < 0.25)
    U, V = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    truth = rng.gamma(shape, 1 / shape, m)
    y = np.einsum("ia,ia->i", U[i], V[j])
    y += rng.standard_normal(len(i)) / np.sqrt(alpha * truth[i])
    side = row_side(sparse.csr_array((y, (i, j)), shape=(m, n)))
    prior = RowPrior(np.zeros(k), np.eye(k), np.zeros((0, k)))
    draw = Draw(padded(V), prior, alpha, np.ones(n), shape)
    with Workers(1) as workers:
        scales, inverse = row_scales([draw], side, workers)
    few = side.counts < 6
    assert 500 < few.sum() < 3500
    for rows in (few, ~few):
        assert_allclose(scales[rows].mean(), 1, atol=0.05)
        assert_allclose(inverse[rows].mean(), (1 / truth[rows]).mean(), rtol=0.12)
    assert np.corrcoef(scales[~few], truth[~few])[0, 1] > 0.45


TAME = Prior(a_noise=6.0, b_noise=6.0, a_pattern=6.0, b_pattern=2.0, b_shape=0.5)


def draw_from_prior(chain, rng):
    """Everything but the values, from its prior."""
    prior = chain.prior
    chain.alpha = rng.gamma(prior.a_noise, 1 / prior.b_noise)
    for lines, scales in zip((chain.rows, chain.columns), chain.scales, strict=True):
        k, n = lines.k, len(lines.X)
        draw_prior_of_lines(lines, prior, k, rng)
        noise = np.linalg.cholesky(np.linalg.inv(lines.prior.precision))
        lines.X[:, :k] = lines.means + rng.standard_normal((n, k)) @ noise.T
        scales.shape = rng.exponential(1 / prior.b_shape)
        # Below this a scale of zero is all that numbers can tell.
        scales.values = np.maximum(rng.gamma(scales.shape, 1 / scales.shape, n), 1e-100)


def draw_prior_of_lines(lines, prior, k, rng):
    A = rng.standard_normal((k, k))  # Wishart(I, k) as a sum of k outer products
    precision = A @ A.T
    root = np.linalg.cholesky(np.linalg.inv(precision))
    mean = root @ rng.standard_normal(k) / np.sqrt(prior.beta)
    lines.strength = rng.gamma(prior.a_pattern, 1 / prior.b_pattern)
    B = rng.standard_normal(lines.prior.B.shape) @ root.T / np.sqrt(lines.strength)
    lines.prior = RowPrior(mean, precision, B)
    lines.means = np.array(prior_means(lines.prior, lines.side))


def draw_values(chain, order, rng):
    """Values given everything else, in both orders of the entries."""
    side, (s, t) = chain.rows.side, (scales.values for scales in chain.scales)
    lines = np.repeat(np.arange(len(side)), side.counts)
    fitted = np.einsum("ia,ia->i", chain.rows.X[lines], chain.columns.X[side.indices])
    scale = np.ones(len(fitted))
    if chain.varying:
        scale = s[lines] * t[side.indices]
    side.values[:] = fitted + rng.standard_normal(len(fitted)) / np.sqrt(chain.alpha * scale)
    chain.columns.side.values[:] = side.values[order]


def statistics(chain):
    """Bounded, since a Wishart of so few degrees of freedom has moments of no order."""
    rows, columns = chain.rows, chain.columns
    values = [
        np.log(chain.alpha), np.log(rows.strength), np.log(columns.strength),
        rows.X[0, 0], rows.X[1, 0] * rows.X[2, 1], rows.X[0, :2] @ columns.X[0, :2],
        rows.X[:, 0].std(), columns.X[:, 1].std(), rows.prior.mean[0], columns.prior.B[0, 0],
        np.linalg.slogdet(rows.prior.precision)[1], np.linalg.slogdet(columns.prior.precision)[1],
        columns.prior.mean[1] * columns.X[3, 1], rows.prior.B[1, 0] * rows.X[0, 0],
    ]  # fmt: skip
    if chain.varying:
        values += [np.log(s.shape) for s in chain.scales]
        values += [np.log(chain.scales[0].values[0]), np.log(chain.scales[1].values[1])]
    return np.arctan(values)


@pytest.mark.parametrize("noise", ["equal", "varying"])
def test_draws_of_parameters_and_values_in_turn_stay_in_their_joint_distribution(rng, noise):
    """J. Geweke, "Getting it right: joint distribution tests of posterior simulators", 2004."""
    rows, columns = sides(rng, 6, 5, density=0.7)
    numbered = sparse.csr_array(
        (np.arange(1.0, len(rows.values) + 1), rows.indices, rows.indptr), shape=(6, 5)
    )
    order = numbered.tocsc().data.astype(int) - 1
    chain = Chain.start(rows, columns, 2, pattern=True, noise=noise, rng=rng)
    chain.prior = TAME
    independent = []
    for _ in range(2000):
        draw_from_prior(chain, rng)
        independent.append(statistics(chain))
    successive = []
    with Workers(1) as workers:
        for _ in range(120):  # many short chains from the prior: it doesn't matter how one mixes
            draw_from_prior(chain, rng)
            visited = []
            for _ in range(14):
                draw_values(chain, order, rng)
                chain._refresh_weights()
                chain.sweep(workers)
                visited.append(statistics(chain))
            successive.append(np.mean(visited[4:], axis=0))
    difference = np.mean(successive, axis=0) - np.mean(independent, axis=0)
    error = np.var(successive, axis=0) / len(successive)
    error += np.var(independent, axis=0) / len(independent)
    assert np.abs(difference / np.sqrt(error)).max() < 4.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_chain_keeps_beside_its_draws_is_consistent(rng, dtype):
    rows, columns = sides(rng, 30, 20, dtype=dtype)
    chain = Chain.start(rows, columns, 3, pattern=True, noise="varying", rng=rng)
    with Workers(1) as workers:
        for _ in range(100):
            chain.sweep(workers)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for lines in (chain.rows, chain.columns):
        assert np.abs(lines.prior.B).max() > 0.1
        expected = prior_means(lines.prior, lines.side)
        assert_allclose(lines.means, expected, rtol=tolerance, atol=tolerance)
    of = np.repeat(np.arange(30), rows.counts)
    fitted = np.einsum("ia,ia->i", chain.rows.X[of], chain.columns.X[rows.indices])
    squares = (rows.values - fitted).astype(np.float64) ** 2
    s, t = (scales.values for scales in chain.scales)
    assert_allclose(chain.mean_square, squares.mean(), rtol=1e-4)
    assert_allclose(chain.misfit, np.sum(s[of] * t[rows.indices] * squares), rtol=1e-4)
    assert_allclose(chain.weights[0], s[of] * t[rows.indices], rtol=1e-5)
    of = np.repeat(np.arange(20), columns.counts)
    assert_allclose(chain.weights[1], t[of] * s[columns.indices], rtol=1e-5)


def test_rhat_tells_chains_that_agree_from_those_that_do_not(rng):
    same = rng.standard_normal((3, 400, 2))
    assert_allclose(split_rhat(same), 1, atol=0.02)
    apart = same + np.arange(3)[:, None, None]
    assert split_rhat(apart).min() > 1.2
    drifting = same[:1] + np.linspace(0, 3, 400)[:, None]
    assert split_rhat(drifting).min() > 1.3
    assert_allclose(split_rhat(np.ones((2, 10))), 1)
    assert np.isnan(split_rhat(same[:, :3])).all()
