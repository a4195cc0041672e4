"""Gibbs sampling of Bayesian matrix factorization."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ._gibbs_kernels import scale_weights, square_errors, weigh_errors
from ._gibbs_lines import Lines, Prior, RowPrior, line_blocks

# Metropolis steps for the shape of the noise scales, a sweep, and their size on the log scale.
_STEPS, _STEP = 5, 0.15


class Draw(NamedTuple):
    """One kept sample: all that predictions for any row need.

    Attributes
    ----------
    V : ndarray of shape (n_columns, padded number of components)
    prior : RowPrior
        Of the rows.
    alpha : float
        Noise precision.
    column_scales : ndarray of shape (n_columns,)
        By what `alpha` is multiplied in each column.
    row_shape : float
        That of the rows ~ Gamma(row_shape, rate row_shape); infinite where they are ones.
    """

    V: np.ndarray
    prior: RowPrior
    alpha: float
    column_scales: np.ndarray
    row_shape: float


class State(NamedTuple):
    """Where a chain is: what it can be resumed from."""

    lines: tuple
    alpha: float
    scales: tuple


@dataclass
class Scales:
    """Relative noise precision of the lines of one side: s_i ~ Gamma(shape, rate shape)."""

    values: np.ndarray
    sums: np.ndarray = field(init=False)
    shape: float = 5.0

    def __post_init__(self):
        self.sums = np.zeros(len(self.values))

    def draw(self, counts, alpha, prior, rng):
        """Draw the scales given the sums of squares in `sums`, and then their shape."""
        rates = self.shape + alpha * self.sums / 2
        self.values = rng.gamma(self.shape + counts / 2, 1 / rates)
        statistic = np.sum(np.log(self.values) - self.values)
        for _ in range(_STEPS):
            proposal = self.shape * np.exp(_STEP * rng.standard_normal())
            gain = self._log_density(proposal, statistic, prior.b_shape)
            gain -= self._log_density(self.shape, statistic, prior.b_shape)
            if np.log(rng.random()) < gain:
                self.shape = proposal

    def exchange(self, alpha, prior, rng):
        """Move a common factor between the scales and α; return the new α.

        The fit depends on their products alone, and drawing one given the other would move them
        apart by tiny steps. Along (τ s, α / τ) the posterior of τ is a gamma density times
        exp(-b_noise α / τ).
        """
        degrees = len(self.values) * self.shape - prior.a_noise
        if degrees <= 0:
            return alpha
        tau = rng.gamma(degrees, 1 / (self.shape * self.values.sum()))
        if np.log(rng.random()) < prior.b_noise * alpha * (1 - 1 / tau):
            self.values = self.values * tau
            return alpha / tau
        return alpha

    def _log_density(self, shape, statistic, rate):
        """Of log(shape)."""
        constant = shape * np.log(shape) - gammaln(shape)
        return len(self.values) * constant + shape * (statistic - rate) + np.log(shape)


@dataclass
class Chain:
    """A Gibbs chain: rows, columns and the noise, drawn in turn.

    y_ij ~ N(u_i·v_j, 1 / (α s_i t_j w_ij)) on the observed entries, with weights w_ij of the
    entries and scales s, t of the noise of rows and columns, or ones.

    Attributes
    ----------
    rows, columns : Lines
    alpha : float
    scales : tuple of Scales
        Of rows and of columns.
    varying : bool
        Whether the scales are drawn.
    fixed : bool
        Whether the noise precision isn't.
    squares : ndarray of shape (n_entries,)
        Squared residuals.
    mean_square : float
    """

    rows: Lines
    columns: Lines
    alpha: float
    varying: bool
    fixed: bool
    rng: np.random.Generator
    prior: Prior = field(default_factory=Prior)

    def __post_init__(self):
        self.scales = tuple(Scales(np.ones(len(lines.X))) for lines in (self.rows, self.columns))
        self.squares = np.empty_like(self.rows.side.values)
        self.mean_square = self.misfit = np.nan
        self._refresh_weights()

    @classmethod
    def start(cls, rows, columns, k, *, pattern, noise, rng):
        """Begin with small random factors; `noise` is "varying", "equal", or a precision."""
        fixed = not isinstance(noise, str)
        return cls(
            Lines.start(rows, columns, k, pattern, rng),
            Lines.start(columns, rows, k, pattern, rng),
            noise if fixed else 1.0, noise == "varying", fixed, rng,
        )  # fmt: skip

    @property
    def n_entries(self):
        return len(self.squares)

    def sweep(self, workers):
        """Draw everything once, each part given the rest."""
        pairs = (self.rows, self.columns), (self.columns, self.rows)
        for (lines, other), weights in zip(pairs, self.weights, strict=True):
            lines.draw_prior(self.prior, self.rng)
            lines.draw(other.X, weights, self.alpha, self.rng, workers)
        self._square_errors(workers)
        self._weigh_errors()
        self._draw_noise()

    def log_density(self):
        """log p(y, U, V | the rest), without the constant."""
        fit = self.n_entries * np.log(self.alpha) - self.alpha * self.misfit
        for scales, lines in zip(self.scales, (self.rows, self.columns), strict=True):
            fit += np.sum(lines.side.counts * np.log(scales.values))
        return fit / 2 + self.rows.log_density() + self.columns.log_density()

    def monitored(self, probes):
        """Noise precision, log density, and predictions at (rows, columns), as one list."""
        rows, columns = probes
        predictions = np.einsum("ia,ia->i", self.rows.X[rows], self.columns.X[columns])
        return [self.alpha, self.log_density(), *predictions]

    def state(self):
        """The `State` at this point; the arrays are those that the chain goes on changing."""
        return State(
            tuple((x.X, x.prior, x.means, x.strength) for x in (self.rows, self.columns)),
            self.alpha, tuple((x.values, x.shape) for x in self.scales) if self.varying else (),
        )  # fmt: skip

    def resume(self, state):
        """Go on from the `State` of another chain, if its factors have the same shapes."""
        pairs = list(zip((self.rows, self.columns), state.lines, strict=True))
        if any(x.X.shape != old[0].shape or x.k != len(old[1].mean) for x, old in pairs):
            return
        for lines, (X, prior, means, strength) in pairs:
            lines.X[:] = X
            if lines.prior.B.shape == prior.B.shape:
                lines.prior = prior._replace(B=prior.B.astype(X.dtype))  # a copy
                lines.means, lines.strength = means, strength
        if self.varying and state.scales:
            for scales, (values, shape) in zip(self.scales, state.scales, strict=True):
                scales.values, scales.shape = values, shape
            self._refresh_weights()
        if not self.fixed:
            self.alpha = state.alpha

    def keep(self):
        """The `Draw` at this point."""
        prior, scales = self.rows.prior, self.scales
        return Draw(
            self.columns.X.copy(), prior._replace(B=prior.B.copy()), self.alpha,
            scales[1].values.astype(self.columns.X.dtype),
            scales[0].shape if self.varying else np.inf,
        )  # fmt: skip

    def _square_errors(self, workers):
        side, X, F = self.rows.side, self.rows.X, self.columns.X

        def run(first, last):
            square_errors(side.indptr, side.indices, side.values, F, X, self.squares, first, last)

        workers.map(run, line_blocks(side, 4 * F.shape[1]))

    def _weigh_errors(self):
        side, (rows, columns) = self.rows.side, self.scales
        self.misfit, plain = weigh_errors(
            side.indptr, side.indices, side.weights, self.squares, rows.values, columns.values,
            rows.sums, columns.sums,
        )  # fmt: skip
        self.mean_square = plain / max(self.n_entries, 1)

    def _draw_noise(self):
        prior, rng = self.prior, self.rng
        rows, columns = self.scales
        if self.varying:
            rows.draw(self.rows.side.counts, self.alpha, prior, rng)
            self._weigh_errors()
            columns.draw(self.columns.side.counts, self.alpha, prior, rng)
            self.misfit = float(columns.sums @ columns.values)
        if not self.fixed:
            shape = prior.a_noise + self.n_entries / 2
            self.alpha = rng.gamma(shape, 1 / (prior.b_noise + self.misfit / 2))
        if self.varying:
            for scales in self.scales:
                before = self.alpha
                self.alpha = scales.exchange(self.alpha, prior, rng)
                self.misfit *= before / self.alpha
            self._refresh_weights()

    def _refresh_weights(self):
        """Weights of the entries in both orders, with the scales of the noise."""
        sides = self.rows.side, self.columns.side
        if not self.varying:
            self.weights = tuple(side.weights for side in sides)
            return
        rows, columns = (scales.values.astype(sides[0].dtype) for scales in self.scales)
        self.weights = (
            scaled_weights(sides[0], rows, columns), scaled_weights(sides[1], columns, rows)
        )  # fmt: skip


def scaled_weights(side, own, others):
    """Weights of the entries times the scales of both their lines."""
    out = np.empty_like(side.values)
    scale_weights(side.indptr, side.indices, side.weights, own, others, out)
    return out
