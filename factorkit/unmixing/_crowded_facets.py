"""Endmembers of scenes whose pixels crowd at the facets: a Dirichlet distribution, blurred.

Where most pixels hold nearly nothing of some endmembers, abundances are not spread evenly down to
a facet, as `_min_volume` takes them to be, but crowd there. So they do under a Dirichlet
distribution with concentrations c below 1. With the barycentric coordinates b_ij = q_jᵀ y_i of
pixel i (y_i is the pixel followed by 1, and Q has the rows q_j), of which the noise has the
standard deviation s_j, this is the maximum likelihood over Q and c of

    p(y_i) = |det Q| Γ(Σ c) Π_j s_j^(c_j − 1) G(b_ij / s_j; c_j) / Γ(c_j),
    G(x; c) = ∫ t^(c − 1) φ(x − t) dt  over t > 0,

φ the normal density: G is a power, rounded off by the noise. Archetypes of such scenes are biased,
as they lie where noise takes the outermost of very many pixels.

References
----------
J. M. P. Nascimento and J. M. Bioucas-Dias, "Hyperspectral Unmixing Based on Mixtures of Dirichlet
Components", IEEE TGRS 50, 2012 (Dirichlet abundances, without noise).
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import block_diag
from scipy.special import digamma, gammaln, pbdv

from ..utils._convergence import Trace
from ..utils._threads import blocks_of
from ._min_volume import REACH, inverse_map, lifted, noise_of_facets, principal

# Concentrations are sought between these.
LEAST, MOST = 0.03, 10.0
# G is tabulated between these distances from a facet. A pixel farther outside costs in proportion
# to its distance, so that a few that belong to nothing do not move a facet far.
_OUTSIDE, _INSIDE, _STEP = 5.0, 12.0, 0.2
# Change of c that differences are taken over.
_CHANGE = 1e-6
_HALVINGS = 20
# Pixels above which a part of them is taken.
_MOST_PIXELS = 20_000


def crowded_facets(X, Z, workers, *, sigma, tol=1e-5, max_iter=30):
    """Endmembers at the corners of the simplex whose facets, with pixels crowding there, fit.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Pixels, not averaged, in a subspace of at least k − 1 dimensions. What counts are their
        k − 1 principal coordinates.
    Z : ndarray of shape (k, n_features)
        Endmembers to start from, such as archetypes.
    workers : Workers
    sigma : float
        Standard deviation of the noise of a coordinate.
    tol : float, default=1e-5
        Ends where an iteration lowers the objective by less than this.
    max_iter : int, default=30

    Returns
    -------
    Z : ndarray of shape (k, n_features)
        Endmembers; the start where the simplex is flat or its heights drown in the noise.
    c : ndarray of shape (k,)
        Concentrations.
    trace : Trace
        The objective is −log p, a mean over the pixels, but for a constant. It never rises.

    Notes
    -----
    Newton's method with the mean square of the pixels' scores for the second derivatives, which it
    is where the model holds. An iteration costs n_pixels k⁴ operations.
    """
    k = len(Z)
    trace = Trace()
    mean, U, _ = principal(X, k)
    corners = (Z - mean) @ U.T
    to_barycentric = inverse_map(corners, sigma)
    if k == 1 or to_barycentric is None:
        trace.add(np.inf, np.inf)
        trace.stop = "stalled"
        return Z.copy(), np.ones(k), trace
    every = max(1, -(-len(X) // _MOST_PIXELS))
    problem = _Problem((X[::every] - mean) @ U.T, to_barycentric, sigma, workers)
    state = problem.at(np.eye(k), np.full(k, 0.5))
    for _ in range(max_iter):
        before = state.value
        state = problem.step(state)
        trace.add(state.value, before - state.value)
        if not before - state.value >= tol:
            trace.stop = "converged"
            break
    return mean + np.linalg.inv(state.Q).T @ corners @ U, state.c, trace


@dataclass
class _State:
    """A point of the optimization: value, gradient and mean square of the scores there."""

    Q: np.ndarray
    c: np.ndarray
    value: float
    gradient: np.ndarray
    squares: np.ndarray


class _Problem:
    """The objective over Q and log c, for pixels in barycentric coordinates of the start."""

    def __init__(self, coordinates, to_barycentric, sigma, workers):
        k = len(to_barycentric)
        self.workers, self.n = workers, len(coordinates)
        self.S = noise_of_facets(to_barycentric, sigma)
        self.Y = lifted(coordinates) @ to_barycentric.T
        self.blocks = blocks_of(self.n, 10.0 * k**2 + k**4, target=5e7)
        # Rows of Q sum to the same for every pixel: Q moves by these directions only.
        self.directions = np.linalg.qr(np.eye(k)[:, :-1] - 1 / k)[0]
        self.project = block_diag(np.kron(self.directions.T, np.eye(k)), np.eye(k))

    def at(self, Q, c):
        """The state at a point, infinite where the simplex is flat or turned over."""
        sign, log_det = np.linalg.slogdet(Q)
        if sign <= 0:
            return _State(Q, c, np.inf, None, None)
        s = np.sqrt(np.einsum("jm,mn,jn->j", Q, self.S, Q))
        facets = Q / s[:, None]
        slopes_of_s = facets @ self.S
        densities = [_BlurredPower(each) for each in c]
        # What all pixels share: of the value, of the scores in Q and in log c.
        shared = log_det + gammaln(c.sum()) - gammaln(c).sum() + (c - 1) @ np.log(s)
        volume = np.linalg.inv(Q).T
        level = np.log(s) - digamma(c) + digamma(c.sum())

        def block(start, stop):
            Y = self.Y[start:stop]
            x = Y @ facets.T
            parts = [density(column) for density, column in zip(densities, x.T, strict=True)]
            logs, slopes, rates = (np.column_stack(each) for each in zip(*parts, strict=True))
            in_Q = (slopes / s)[:, :, None] * Y[:, None]
            in_Q += ((c - 1 - slopes * x) / s)[:, :, None] * slopes_of_s
            in_Q += volume
            scores = np.hstack([in_Q.reshape(len(Y), -1), c * (rates + level)])
            return logs.sum(), scores.sum(axis=0), scores.T @ scores

        parts = self.workers.map(block, self.blocks)
        value, gradient, squares = (sum(part[i] for part in parts) / self.n for i in range(3))
        gradient = self.project @ gradient
        return _State(Q, c, -value - shared, -gradient, self.project @ squares @ self.project.T)

    def step(self, state):
        """The next state; the same where no step lowers the objective."""
        k, size = len(state.Q), len(state.gradient)
        ridge = 1e-9 * np.trace(state.squares) / size
        move = -np.linalg.solve(state.squares + ridge * np.eye(size), state.gradient)
        in_Q = self.directions @ move[: k * (k - 1)].reshape(k - 1, k)
        in_c = move[k * (k - 1) :]
        reach = np.linalg.norm(in_Q @ np.linalg.inv(state.Q), 2) / REACH
        part = 1 / max(reach, np.abs(in_c).max(), 1.0)
        for _ in range(_HALVINGS):
            c = np.clip(state.c * np.exp(part * in_c), LEAST, MOST)
            tried = self.at(state.Q + part * in_Q, c)
            if tried.value <= state.value:
                return tried
            part /= 2
        return state


class _BlurredPower:
    """log G(x; c), its slope in x, and its rate in c, from a table.

    With the parabolic cylinder function D, G = Γ(c) exp(−x²/4) D(−c, −x) / √(2π).
    """

    def __init__(self, c):
        self.c = c
        x = np.arange(-_OUTSIDE, _INSIDE + _STEP, _STEP)
        here, beside = _log_blurred(x, c), _log_blurred(x, c + _CHANGE)
        self.table = CubicSpline(x, np.column_stack([here, (beside - here) / _CHANGE]))
        self.slope = self.table.derivative()

    def __call__(self, x):
        inside = x > _INSIDE
        at = np.clip(x, -_OUTSIDE, _INSIDE)
        log, rate = self.table(at).T
        slope = self.slope(at)[:, 0]
        # Farther outside it is a line. Farther inside, the power and a term of the blur.
        log += np.minimum(x + _OUTSIDE, 0) * slope
        if inside.any():
            far, a = x[inside], self.c - 1
            blur = a * (a - 1) / (2 * far**2)
            log[inside] = a * np.log(far) + np.log1p(blur)
            slope[inside] = (a - 2 * blur / (1 + blur)) / far
            rate[inside] = np.log(far) + (2 * a - 1) / (2 * far**2) / (1 + blur)
        return log, slope, rate


def _log_blurred(x, c):
    return gammaln(c) - x**2 / 4 + np.log(pbdv(-c, -x)[0]) - np.log(2 * np.pi) / 2
