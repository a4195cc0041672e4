"""Factors of one side of a Bayesian factorization, and what they are drawn from."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from ..utils._sparse_kernels import aligned_zeros, padded_width
from ..utils._threads import blocks_of
from ._entries import Side
from ._gibbs_kernels import pattern_sweep
from ._normal_kernels import draw_rows


class Prior(NamedTuple):
    """Hyperparameters that are not sampled; they are meant for values of unit variance.

    Λ ~ Wishart(I, n_components), mean ~ N(0, (β₀ Λ)⁻¹), α ~ Gamma(a_noise, rate b_noise),
    strength ~ Gamma(a_pattern, rate b_pattern), shape ~ Exponential(rate b_shape).
    """

    beta: float = 2.0
    a_noise: float = 1.0
    b_noise: float = 1e-6
    a_pattern: float = 1.0
    b_pattern: float = 0.1
    b_shape: float = 0.02


class RowPrior(NamedTuple):
    """What the factors of one side are drawn from: x_i ~ N(mean + Σ_j φ_ij b_j, Λ⁻¹).

    Attributes
    ----------
    mean : ndarray of shape (k,)
    precision : ndarray of shape (k, k)
        Λ; both in float64.
    B : ndarray of shape (n_others, k)
        Weights of the pattern; of shape (0, k) without one.
    """

    mean: np.ndarray
    precision: np.ndarray
    B: np.ndarray


@dataclass
class Lines:
    """The factors of one side and their prior, as a chain has them.

    Attributes
    ----------
    side, others : Side
        The entries by the lines of this side, and by those of the other one.
    X : ndarray of shape (n_lines, padded number of components)
    prior : RowPrior
    means : ndarray of shape (n_lines, k)
        Prior means of the lines.
    strength : float
        How much more precise than the factors' prior that of the pattern's weights is.
    """

    side: Side
    others: Side
    X: np.ndarray
    prior: RowPrior
    means: np.ndarray
    strength: float = 10.0

    @classmethod
    def start(cls, side, others, k, pattern, rng):
        X = aligned_zeros((len(side), padded_width(k, side.dtype)), side.dtype)
        X[:, :k] = 0.1 * rng.standard_normal((len(side), k))
        B = np.zeros((len(others) if pattern else 0, k), side.dtype)
        return cls(side, others, X, RowPrior(np.zeros(k), np.eye(k), B), np.zeros((len(side), k)))

    @property
    def k(self):
        return len(self.prior.mean)

    def draw_prior(self, prior, rng):
        """Draw mean and Λ, then the weights of the pattern and their strength, given X."""
        X, B = self.X[:, : self.k].astype(np.float64), self.prior.B
        shifts = self.means - self.prior.mean
        own = self.strength * _scatter(B)
        mean, precision = draw_normal_wishart(X - shifts, own, len(B), prior.beta, rng)
        self.prior = RowPrior(mean, precision, B)
        if len(B):
            shifts = self._draw_pattern(X - mean, shifts, prior, rng)
        self.means = mean + shifts

    def _draw_pattern(self, T, shifts, prior, rng):
        """Draw B and its strength in place; T are X without the mean, `shifts` Σ_j φ_ij b_j."""
        B, precision = self.prior.B, self.prior.precision
        E = (T - shifts).astype(B.dtype)
        noise = rng.standard_normal(B.shape)
        noise = solve_triangular(np.linalg.cholesky(precision), noise.T, lower=True, trans=1).T
        pattern_sweep(
            self.others.indptr, self.others.indices, pattern_shares(self.side).astype(B.dtype),
            B.dtype.type(self.strength), np.ascontiguousarray(noise, B.dtype), B, E,
        )  # fmt: skip
        rate = prior.b_pattern + np.sum(_scatter(B) * precision) / 2
        self.strength = rng.gamma(prior.a_pattern + B.size / 2, 1 / rate)
        return T - E

    def draw(self, other, weights, alpha, rng, workers):
        """Draw X given the other side's factors, and the noise precision of the entries."""
        Z = rng.standard_normal((len(self.side), self.k))
        solve_lines(
            self.side, weights, other, self.prior.precision, self.means, alpha, self.X, workers,
            Z=Z,
        )  # fmt: skip

    def log_density(self):
        """Log density of X given its prior, without the constant."""
        E = self.X[:, : self.k] - self.means
        _, log_det = np.linalg.slogdet(self.prior.precision)
        return 0.5 * (len(E) * log_det - np.sum((E.T @ E) * self.prior.precision))


def _scatter(B):
    B = B.astype(np.float64, copy=False)
    return B.T @ B


def pattern_shares(side):
    """φ of the observed entries of each line: n_i^(-1/2), so that all lines vary alike."""
    return 1 / np.sqrt(np.maximum(side.counts, 1))


def prior_means(prior, side):
    """mean + Σ_j φ_ij b_j for any lines, of shape (n_lines, k), in float64."""
    if not len(prior.B):
        return np.broadcast_to(prior.mean, (len(side), len(prior.mean)))
    ones = np.ones(len(side.indices), prior.B.dtype)
    pattern = sparse.csr_array((ones, side.indices, side.indptr), (len(side), side.n_others))
    return prior.mean + (pattern @ prior.B) * pattern_shares(side)[:, None]


def solve_lines(side, weights, other, precision, means, alpha, X, workers, *, Z=None):
    """Posterior means of the factors of lines, or with standard normal Z draws, into X.

    x_i ~ N(A⁻¹b, A⁻¹) with A = Λ + α Σ_j w_ij v_j v_jᵀ and b = Λ m_i + α Σ_j w_ij y_ij v_j.
    `weights` are those of the entries of `side`, or empty.
    """
    base, linear = scaled_prior(precision, means, alpha, X.dtype)
    Z = np.zeros((0, 0), X.dtype) if Z is None else (Z / np.sqrt(alpha)).astype(X.dtype)

    def run(first, last):
        draw_rows(
            side.indptr, side.indices, side.values, weights, other, base, linear, Z, X,
            first, last,
        )  # fmt: skip

    k = len(base)
    workers.map(run, line_blocks(side, k**2, k**3 / 3 + 20 * k))


def scaled_prior(precision, means, alpha, dtype):
    """(Λ / α, Λ m_i / α for each line): kernels take the weights as they are, not times α."""
    base = precision / alpha
    return base.astype(dtype), np.ascontiguousarray(means @ base, dtype)


def line_blocks(side, work_per_entry, work_per_line=0.0):
    entries = len(side.values) / max(len(side), 1)
    work = entries * work_per_entry + work_per_line
    return blocks_of(len(side), work, smallest=16, multiple=16)


def draw_normal_wishart(E, own, n_own, beta, rng):
    """Draw (mean, Λ) given rows E ~ N(mean, Λ⁻¹), and n_own of mean 0 with scatter `own`."""
    n, k = E.shape
    centre = E.mean(axis=0)
    deviations = E - centre
    scatter = np.eye(k) + own + deviations.T @ deviations
    scatter += n * beta / (n + beta) * np.outer(centre, centre)
    # With scatter = LLᵀ and Bartlett's T, Λ = L⁻ᵀ T Tᵀ L⁻¹ is Wishart(scatter⁻¹).
    T = np.tril(rng.standard_normal((k, k)), -1)
    T[np.diag_indices(k)] = np.sqrt(rng.chisquare(k + n + n_own - np.arange(k)))
    root = solve_triangular(np.linalg.cholesky(scatter), T, lower=True, trans=1)
    precision = root @ root.T
    noise = np.linalg.solve(root.T, rng.standard_normal(k))
    return n * centre / (beta + n) + noise / np.sqrt(beta + n), precision
