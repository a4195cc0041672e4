"""What the draws of a Gibbs chain say about rows: coefficients, and how sure they are."""

from dataclasses import replace

import numpy as np

from ._gibbs import scaled_weights
from ._gibbs_lines import line_blocks, prior_means, scaled_prior, solve_lines
from ._normal_kernels import predict_rows

# How many draws the noise scale of a row is estimated from, and updates for each.
_SCALE_DRAWS, _SCALE_STEPS = 5, 4


def owned(draws, side):
    """The same with writeable arrays: kernels would be compiled anew for a memory map's."""
    draws = [
        draw._replace(V=_owned(draw.V), column_scales=_owned(draw.column_scales)) for draw in draws
    ]
    names = "indptr", "indices", "values", "weights"
    return draws, replace(side, **{name: _owned(getattr(side, name)) for name in names})


def _owned(array):
    return np.require(array, requirements="W")


def row_scales(draws, side, workers):
    """Noise scale of each row: its expectation s_i, and that of 1 / s_i.

    For some of the draws, the posteriors of the row's factors and of its scale are updated in
    turn (mean-field variational Bayes); the expectations are averaged over these draws.
    """
    n = len(side)
    if np.isinf(draws[0].row_shape):
        return np.ones(n), np.ones(n)
    some = draws[:: -(-len(draws) // _SCALE_DRAWS)]
    sums = np.zeros((2, n))
    lines = np.repeat(np.arange(n), side.counts)
    for draw in some:
        means = prior_means(draw.prior, side)
        prior = scaled_prior(draw.prior.precision, means, draw.alpha, side.dtype)
        without = row_weights(side, draw, np.ones(n))
        scales = np.ones(n)
        for _ in range(_SCALE_STEPS):
            weights = row_weights(side, draw, scales)
            fitted, variance = predict(
                side, weights, draw, prior, side.indptr, side.indices, workers
            )  # fmt: skip
            squares = np.square(side.values - fitted) + variance
            misfit = np.bincount(lines, weights=without * squares, minlength=n)
            shape = draw.row_shape + side.counts / 2
            rate = draw.row_shape + draw.alpha * misfit / 2
            scales = shape / rate
        sums += scales, rate / np.maximum(shape - 1, 0.5)
    return sums / len(some)


def fold_in(draws, side, scales, workers):
    """Posterior means of the factors of rows for each draw, side by side, over their number.

    Times the factors of the columns, stacked, that is the mean prediction: for each draw the
    factors of a row are averaged over exactly, which leaves less to chance than draws of them.
    """
    k = len(draws[0].prior.mean)
    W = np.empty((len(side), k * len(draws)), side.dtype)
    U = np.zeros((len(side), draws[0].V.shape[1]), side.dtype)
    for d, draw in enumerate(draws):
        solve_lines(
            side, row_weights(side, draw, scales), draw.V, draw.prior.precision,
            prior_means(draw.prior, side), draw.alpha, U, workers,
        )  # fmt: skip
        W[:, d * k : (d + 1) * k] = U[:, :k]
    W /= len(draws)
    return W


def variances(draws, side, scales, inverse_scales, coords, workers):
    """(Variance of the mean of entries, expected variance of their noise), over all draws.

    The first is, by the law of total variance, the mean of the variances of u_i·v_j given a draw
    of V, and the variance of the means.
    """
    rows, columns = coords.T
    order = np.argsort(rows, kind="stable")
    indptr = np.searchsorted(rows[order], np.arange(len(side) + 1))
    wanted = np.ascontiguousarray(columns[order])
    total, squares, within, noise = np.zeros((4, len(coords)))
    for draw in draws:
        prior = scaled_prior(
            draw.prior.precision, prior_means(draw.prior, side), draw.alpha, side.dtype
        )
        weights = row_weights(side, draw, scales)
        means, variance = predict(side, weights, draw, prior, indptr, wanted, workers)
        total += means
        squares += np.square(means)
        within += variance
        noise += 1 / (draw.alpha * draw.column_scales[wanted].astype(np.float64))
    n = len(draws)
    spread = np.maximum(squares / n - np.square(total / n), 0)
    variance, noise_variance = np.empty((2, len(coords)))
    variance[order] = within / n + spread
    noise_variance[order] = noise / n
    return variance, noise_variance * inverse_scales[rows]


def predict(side, weights, draw, prior, wanted_indptr, wanted, workers):
    """Means and variances of u_i·v_j, in float64, for the columns wanted of each row."""
    base, linear = prior
    means, variances = np.zeros((2, len(wanted)))

    def run(first, last):
        predict_rows(
            side.indptr, side.indices, side.values, weights, draw.V, base, linear,
            wanted_indptr, wanted, means, variances, first, last,
        )  # fmt: skip

    k, n_wanted = len(base), len(wanted) / max(len(side), 1)
    workers.map(run, line_blocks(side, k**2, k**3 / 3 + n_wanted * k**2))
    variances /= draw.alpha
    return means, variances


def row_weights(side, draw, scales):
    """Weights of the entries of rows, with the scales of the noise where there are any."""
    if np.isinf(draw.row_shape):
        return side.weights
    return scaled_weights(side, scales.astype(side.dtype), draw.column_scales)


def split_rhat(values):
    """R̂ of each quantity, from chains of which each is halved.

    Gelman et al., "Bayesian Data Analysis", section 11.4. It is near 1 where all halves tell the
    same; NaN with fewer than two values a half.

    Parameters
    ----------
    values : ndarray of shape (n_chains, n_values, ...)
    """
    half = values.shape[1] // 2
    if half < 2:
        return np.full(values.shape[2:], np.nan)
    halves = np.concatenate((values[:, :half], values[:, values.shape[1] - half :]))
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt((half - 1) / half + between / within)
    return np.where(within == between, 1.0, ratio)  # both are zero
