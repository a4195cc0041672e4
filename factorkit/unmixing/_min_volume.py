"""Endmembers beyond the pixels: the simplex whose facets, blurred by noise, fit the scene.

Archetypes lie inside the hull of the pixels, so without pure pixels they are mixtures. Facets
are seen all the same, by pixels that lack one endmember. With the barycentric coordinates
b_ij = q_jᵀ y_i of pixel i (y_i is the pixel followed by 1, and Q has the rows q_j), of which the
noise has the standard deviation s_j, this is the maximum likelihood over Q and v ≥ s / 1.7 of

    p(y_i) = |det Q| / N(v + s) · Π_j (F(b_ij / s_j) + (v_j / s_j) F'(b_ij / s_j)),

abundances that are zero with odds v_j and otherwise spread evenly, seen through logistic noise of
distribution F. N(u) = Σ_J Π_{j in J} u_j / (k − 1 − |J|)!, the sum over all proper subsets J of
the endmembers, is the measure of the simplex and its faces. −log |det Q| is the logarithm of the
volume: the smallest simplex that holds the pixels, as in minimum-volume methods, but the weight
of the volume follows from the noise, and there is none to choose. A pixel outside costs in
proportion to its distance, so a few pixels that belong to nothing do not move a facet far.

References
----------
J. M. Bioucas-Dias, "A Variable Splitting Augmented Lagrangian Approach to Linear Spectral
Unmixing", WHISPERS 2009 (the minimum volume with a hinge loss).
J. M. P. Nascimento and J. M. Bioucas-Dias, "Hyperspectral Unmixing Based on Mixtures of Dirichlet
Components", IEEE TGRS 50, 2012 (likelihood of the simplex).
"""

from math import factorial

import numpy as np
from scipy.linalg import eigh

from ..utils._convergence import Trace
from ..utils._threads import blocks_of
from ._min_volume_kernels import facet_costs, facet_moments

# F(t) = 1/(1 + exp(−1.7 t)) is within .01 of the normal distribution.
_SLOPE = 1.7
# The noise is taken to be at least this part of the least height of the simplex that it starts
# from: facets that are sharper have no slope to follow.
SHARPEST = 1e-3
# No endmember may lie nearer to the facet opposite than so many standard deviations of the noise.
_LOWEST = 2.0
# The largest w, for scenes in which all pixels lie on all facets.
_HEAVIEST = 1e9
# Largest relative change of the simplex in an iteration. Without a limit one in fifty scenes ends
# in a distant optimum, with endmembers anywhere.
REACH = 0.3


def min_volume(X, Z, workers, *, sigma=None, tol=1e-7, max_iter=100, report=None):
    """Endmembers at the corners of the simplex whose blurred facets fit the pixels.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Pixels, in a subspace of at least k − 1 dimensions. What counts are their k − 1 principal
        coordinates.
    Z : ndarray of shape (k, n_features)
        Endmembers to start from, such as archetypes.
    workers : Workers
    sigma : float or None, default=None
        Standard deviation of the noise of a coordinate; None takes that of the coordinates
        beyond the k − 1 principal ones, 0 where there are none. Of pixels that were averaged with
        their neighbours it is what the average left of it.
    tol : float, default=1e-7
        Ends where an iteration lowers the objective by less than this.
    max_iter : int, default=100
    report : callable or None, default=None
        ``report(objective, Z)`` after each iteration; true ends the run.

    Returns
    -------
    Z : ndarray of shape (k, n_features)
        Endmembers, in the principal k − 1 dimensions of the pixels; the start where the simplex
        is flat or its heights drown in the noise.
    trace : Trace
        The objective is −log p, a mean over the pixels, but for a constant, and never rises. The
        residual is the fall in an iteration.

    Notes
    -----
    Newton's method over Q with |curvatures|, and a step of expectation maximization for v. An
    iteration costs n_pixels k² operations for the products and k² more for each pixel near a
    facet, and k⁶.

    Not for pixels whose endmembers vary: their spread is not that of the noise, and facets are
    sought inside it. `_facet_tests` tells when it may be trusted.
    """
    k = len(Z)
    trace = Trace()
    if k == 1:
        trace.stop = "converged"
        return Z.copy(), trace
    mean, U, variances = principal(X, k)
    if sigma is None:
        sigma = np.sqrt(variances[k - 1 :].mean()) if len(variances) >= k else 0.0
    corners = (Z - mean) @ U.T
    to_barycentric = inverse_map(corners, sigma)
    if to_barycentric is None:
        trace.add(np.inf, np.inf)
        trace.stop = "stalled"
        return Z.copy(), trace
    problem = _Problem((X - mean) @ U.T, to_barycentric, sigma, workers)
    Q = np.eye(k)
    # Even odds at first; the outcome does not depend on it.
    w = _SLOPE / problem.spread(Q)
    value, on_facet = problem.value(Q, w)
    for _ in range(max_iter):
        before = value
        w = problem.weights(Q, w, on_facet)
        value = problem.value(Q, w)[0]
        Q, value, on_facet = problem.newton(Q, w, value)
        trace.add(value, before - value)
        if report is not None and report(value, mean + np.linalg.inv(Q).T @ corners @ U):
            trace.stop = "callback"
            break
        if not before - value >= tol:
            trace.stop = "converged"
            break
    return mean + np.linalg.inv(Q).T @ corners @ U, trace


class _Problem:
    """The objective over Q and the weights w = a v / s, for pixels in barycentric coordinates."""

    def __init__(self, coordinates, to_barycentric, sigma, workers):
        k = len(to_barycentric)
        self.workers, self.n = workers, len(coordinates)
        self.S = noise_of_facets(to_barycentric, sigma)
        self.Y = np.ascontiguousarray(lifted(coordinates) @ to_barycentric.T)
        self.blocks = blocks_of(self.n, 4.0 * k**2 + 20.0 * k)
        # Rows of Q sum to the same for every pixel: Q moves by these directions only.
        self.directions = np.linalg.qr(np.eye(k)[:, :-1] - 1 / k)[0]

    def spread(self, Q):
        """Standard deviations of the noise of the barycentric coordinates."""
        return np.sqrt(np.einsum("jm,mn,jn->j", Q, self.S, Q))

    def value(self, Q, w):
        """The objective, and the part of the pixels expected on each facet."""
        sign, log_det = np.linalg.slogdet(Q)
        if sign <= 0:
            return np.inf, None
        s = self.spread(Q)
        facets = Q / s[:, None]

        def block(start, stop):
            on_facet = np.zeros(len(Q))
            cost = facet_costs(self.Y[start:stop], facets, w, _SLOPE, on_facet)
            return cost, on_facet

        parts = self.workers.map(block, self.blocks)
        without, with_facet = _measures((1 + w / _SLOPE) * s)
        cost = sum(cost for cost, _ in parts) / self.n
        on_facet = sum(part for _, part in parts) / self.n
        u = (1 + w[0] / _SLOPE) * s[0]
        return cost - log_det + np.log(without[0] + u * with_facet[0]), on_facet

    def weights(self, Q, w, on_facet):
        """A step of expectation maximization: w, one facet after the other.

        At least 1: a facet that no pixel is near yet would else never be seen again.
        """
        s, w = self.spread(Q), w.copy()
        for j, part in enumerate(np.clip(on_facet, 1e-9, 1 - 1e-4)):
            without, with_facet = _measures((1 + w / _SLOPE) * s)
            odds = part / (1 - part)
            best = odds * _SLOPE * (without[j] / with_facet[j] / s[j] + 1)
            # Where all pixels are on all facets there is no best one.
            w[j] = min(max(best, 1.0), _HEAVIEST)
        return w

    def newton(self, Q, w, value):
        """A step of Newton's method: Q, the objective and the parts of the pixels on facets."""
        gradient, H = self._derivatives(Q, w)
        k, D = len(Q), self.directions
        g = (D.T @ gradient).ravel()
        H = np.einsum("ja,jmln,lb->ambn", D, H, D).reshape(len(g), len(g))
        curvatures, V = eigh((H + H.T) / 2)
        curvatures = np.abs(curvatures)
        curvatures = np.maximum(curvatures, 1e-6 * curvatures.max())
        step = -V @ (V.T @ g / curvatures)
        slope = g @ step
        step = D @ step.reshape(k - 1, k)
        size = min(1.0, REACH / max(np.linalg.norm(step @ np.linalg.inv(Q), 2), 1e-300))
        while size > 1e-8:
            trial = Q + size * step
            lower, on_facet = self.value(trial, w)
            if lower <= value + 1e-4 * size * slope:
                return trial, lower, on_facet
            size /= 2
        return Q, *self.value(Q, w)

    def _derivatives(self, Q, w):
        """Gradient (k, k) and Hessian (k, k, k, k) in Q.

        That log N couples the facets is left out of the Hessian: a matter of the noise squared.
        """
        k, s = len(Q), self.spread(Q)
        facets = Q / s[:, None]

        def block(start, stop):
            first, second = np.zeros((k, k)), np.zeros((k, k, k))
            facet_moments(self.Y[start:stop], facets, w, _SLOPE, first, second)
            return first, second

        parts = self.workers.map(block, self.blocks)
        first = sum(part for part, _ in parts) / self.n
        second = sum(part for _, part in parts) / self.n
        P = np.linalg.inv(Q)
        gradient = -P.T.copy()
        H = np.einsum("nj,ml->jmln", P, P)
        without, with_facet = _measures((1 + w / _SLOPE) * s)
        for j in range(k):
            rate = (1 + w[j] / _SLOPE) * with_facet[j]
            rate /= without[j] + rate * s[j]
            of_row, curvature = _of_facet(first[j], second[j], facets[j], s[j], self.S, rate)
            gradient[j] += of_row
            H[j, :, j, :] += curvature
        return gradient, H


def _of_facet(first, second, f, s, S, rate):
    """What a facet adds to the derivatives in its row q = s f of Q.

    Its pixels are at the distances t = qᵀy / s, s² = qᵀSq, and log N has the slope ``rate`` in s.
    """
    M = second + np.tril(second, -1).T
    slope_of_s = S @ f
    Mf, level = M @ f, f @ first
    square = np.outer(slope_of_s, slope_of_s)
    cross = np.outer(Mf + first, slope_of_s)
    curvature = (M - cross - cross.T + (f @ Mf + 2 * level) * square) / s**2
    curvature += (rate - level / s) * (S - square) / s - rate**2 * square
    return first / s + (rate - level / s) * slope_of_s, curvature


def _measures(u):
    """N(u) = A_j + u_j B_j for each j: the two parts, A and B."""
    k = len(u)
    shares = np.array([1 / factorial(k - 1 - m) for m in range(k)])
    A, B = np.empty(k), np.empty(k)
    for j in range(k):
        # Coefficients of Π (1 + u_l x), l ≠ j: sums over the sets of so many facets.
        sums = np.zeros(k)
        sums[0] = 1
        for other in np.delete(u, j):
            sums[1:] += other * sums[:-1].copy()
        A[j], B[j] = sums @ shares, sums[:-1] @ shares[1:]
    return A, B


def principal(X, k):
    """Mean, the k − 1 principal directions as rows, and all variances, falling.

    Directions of rounding errors are left out.
    """
    mean = X.mean(axis=0)
    centred = X - mean
    values, vectors = eigh(centred.T @ centred / len(X))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    seen = values > 1e-13 * values[0] + 1e-26 * (mean @ mean)
    return mean, vectors[: k - 1][seen[: k - 1]], values


def lifted(coordinates):
    """Points followed by 1."""
    return np.hstack([coordinates, np.ones((len(coordinates), 1))])


def noise_of_facets(to_barycentric, sigma):
    """S: the noise of the barycentric coordinate with the row q of Q has the variance qᵀ S q."""
    gradients = to_barycentric[:, :-1]
    S = gradients @ gradients.T
    return S * max(sigma, SHARPEST / np.sqrt(np.diag(S).max())) ** 2


def inverse_map(corners, sigma):
    """The map of lifted points to barycentric coordinates, None where noise or rounding rules."""
    k = len(corners)
    if corners.shape[1] < k - 1:
        return None
    size = np.linalg.norm(corners - corners.mean(axis=0))
    columns = np.vstack([corners.T, np.full(k, size)])
    if size == 0 or np.linalg.svd(columns, compute_uv=False)[-1] <= 1e-10 * size:
        return None
    inverse = np.linalg.inv(lifted(corners).T)
    heights = 1 / np.linalg.norm(inverse[:, :-1], axis=1)
    return inverse if heights.min() > _LOWEST * sigma else None
