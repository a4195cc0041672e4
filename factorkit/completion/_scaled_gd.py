"""Scaled gradient descent with damping, for low-rank matrix sensing."""

import numpy as np

from ..utils._convergence import Trace

# Annealed damping, times the spectral norm of the gradient. Less is sooner where measurements are
# plenty; more keeps superfluous components small for longer where they are few.
_ANNEALED = 0.5
# The damping is held while the objective falls to this fraction in as many iterations.
_FALL, _WINDOW = 0.5, 5
# Steps; where A keeps distances exactly, one half takes the error away in one iteration.
_FIRST_STEP, _SMALLEST_STEP, _LARGEST_STEP = 0.5, 0.1, 4.0
_MOST_HALVINGS = 40
# r is noise where |A*(r)| is at most this many times what it is for signs at random as long as r.
# For noise that is 1, give or take a tenth; a component as large as the noise adds a quarter.
_NOISE, _SIGN_DRAWS = 1.2, 4


def scaled_gd(
    A, y, L, R, *, scale, tol, max_iter, rng, small, damping=None, step=None, report=None
):
    """Minimize ½ |A(L Rᵀ) − y|² from a small start, by damped and preconditioned gradient descent.

    With r = A(L Rᵀ) − y and G = A*(r) / `scale` an iteration is

        L ← L − η G R (RᵀR + λI)⁻¹,    R ← R − η Gᵀ L (LᵀL + λI)⁻¹,

    or, where R is None, X ← X − η G X (XᵀX + λI)⁻¹ with the symmetric part of G, for M = X Xᵀ.

    Parameters
    ----------
    A : Measurements
    y : ndarray of float64 of shape (n_measurements,)
    L, R : ndarrays of float64 of shape (n_rows, k), (n_columns, k)
        The start, left as it is. R is None for the symmetric model.
    scale : float
        |A(M)|² / |M|² of a typical M.
    tol : float
        See the stop below; 0 runs all iterations.
    max_iter : int
    rng : Generator
        For the test for noise, and for components that start anew.
    small : float
        Standard deviation of the entries of components that start anew.
    damping : float or None, default=None
        λ. None anneals it: half the spectral norm of G, held while the objective falls, which keeps
        components that aren't needed as small as they are.
    step : float or None, default=None
        η. None takes η ⟨r, Δr⟩ / |Δr|² of the iteration before (the step of Barzilai and Borwein,
        in the measurements), within [0.1, 4]. Either is halved while the objective would be above
        the largest of the last five.
    report : callable or None, default=None
        ``report(objective, L, R) -> bool``, true to stop.

    Returns
    -------
    L, R : ndarrays of shape (n_rows, rank), (n_columns, rank)
        Orthogonal columns, by falling norm, a column's the same in both; those below the error are
        dropped. R is L for the symmetric model.
    trace : Trace
        Its residual is the norm of the scaled gradient relative to |y|. The objective may rise for
        an iteration.

    Notes
    -----
    It stops where |r| ≤ tol |y|, or at the noise: when the objective falls no further and A* finds
    no more in r than in random signs as long as r, components that are no larger than noise are
    dropped and the others iterated until the scaled gradient is at most tol |y|. Should r then hold
    more than noise, the dropped components start anew.

    An iteration takes one product with A and one with A*, and O(n_rows n_columns k). The damping
    and the small start are from X. Xu, Y. Shen, Y. Chi, C. Ma, "The Power of Preconditioning in
    Overparameterized Low-Rank Matrix Sensing", ICML 2023.
    """
    run = _Descent(A, y, L, R, scale=scale, rng=rng, small=small)
    trace, norm = Trace(), np.linalg.norm(y)
    if scale > 0 and norm > 0:
        run.set_gradient()
    if scale == 0 or norm == 0 or run.spectral_norm == 0:  # zero is a solution
        trace.stop = "converged"
        return (*run.components(above=np.inf), trace)
    floor = _NoiseFloor(run, tol=tol)
    past, lam, eta = [run.squared], damping, step or _FIRST_STEP
    for _ in range(max_iter):
        run.set_gradient()
        falls = len(past) > _WINDOW and past[-1] < _FALL * past[-1 - _WINDOW]
        if len(past) > _WINDOW and not falls and floor.changes_components():
            past = [run.squared]
        if damping is None and not falls:
            lam = _ANNEALED * run.spectral_norm
        stationarity = np.sqrt(scale * run.set_direction(lam)) / norm
        taken, ratio = run.move(eta, limit=max(past[-_WINDOW:]))
        if taken == 0:
            trace.stop = "stalled"
            break
        past.append(run.squared)
        trace.add(run.squared / 2, stationarity)
        if step is None:
            eta = float(np.clip(taken * ratio, _SMALLEST_STEP, _LARGEST_STEP))
        if report is not None and report(trace.objective[-1], run.L, run.R):
            trace.stop = "callback"
            break
        if run.squared <= (tol * norm) ** 2:
            trace.stop = "converged"
            return (*run.components(above=2 * np.sqrt(run.squared / scale)), trace)
        if floor.is_reached(stationarity):
            trace.stop = "converged"
            break
    run.set_gradient()
    return (*run.components(above=run.spectral_norm), trace)


class _NoiseFloor:
    """Tells when the residual is noise, and drops or restarts the components that fit it."""

    def __init__(self, run, *, tol):
        self._run, self._tol = run, tol
        self._pruned, self._rank = False, None
        self._level = run.noise_level(_SIGN_DRAWS)

    def changes_components(self):
        """Where the objective has stopped falling: drop components if the residual is noise."""
        if self._tol == 0 or self._pruned or not self._residual_is_noise():
            return False
        before, self._rank = self._rank, self._run.prune(self._level)
        self._pruned, self._final = True, before == self._rank
        return True

    def is_reached(self, stationarity):
        """Whether what is left is stationary, and the residual still noise."""
        if not self._pruned or stationarity > self._tol:
            return False
        self._run.set_gradient()
        if self._final or self._residual_is_noise():
            return True
        self._run.regrow()
        self._pruned = False
        return False

    def _residual_is_noise(self):
        return self._run.spectral_norm <= _NOISE * self._level * np.sqrt(self._run.squared)


class _Descent:
    """The factors, their residual and their gradient."""

    def __init__(self, A, y, L, R, *, scale, rng, small):
        self._A, self._y, self._scale, self._rng = A, y, scale, rng
        self._k, self._small = L.shape[1], small
        self._subspace = random_subspace(A.shape, rng)
        self._place(L, R)

    def _place(self, L, R):
        self.L, self.R = L, R
        self._set_residual(self._residual(L, R))

    def _residual(self, L, R):
        return self._A.forward(L @ (L if R is None else R).T) - self._y

    def _set_residual(self, r):
        self._r, self.squared = r, float(r @ r)

    def set_gradient(self):
        self._G = self._image(self._r)
        self.spectral_norm = self._spectral_norm(self._G)

    def _image(self, r):
        G = self._A.adjoint(r) / self._scale
        return (G + G.T) / 2 if self.R is None else G

    def _spectral_norm(self, G, sweeps=2):
        norm, self._subspace = spectral_norm(G, self._subspace, sweeps)
        return norm

    def set_direction(self, lam):
        """Precondition the gradient; return their inner product."""
        L, R, G = self.L, self.R, self._G
        if R is None:
            gradient = G @ L
            self._direction = (_solve(gradient, L, lam), None)
            return 2 * float(np.vdot(gradient, self._direction[0]))
        of_L, of_R = G @ R, G.T @ L
        self._direction = (_solve(of_L, R, lam), _solve(of_R, L, lam))
        return float(np.vdot(of_L, self._direction[0]) + np.vdot(of_R, self._direction[1]))

    def move(self, step, *, limit):
        """Step against the direction, at most so far that |r|² is no more than `limit`.

        Returns the step that was taken, 0 if none was, and ⟨r, Δr⟩ / |Δr|².
        """
        to_L, to_R = self._direction
        # The rounding of a sum of squares is no reason to refuse a step.
        limit *= 1 + 1e-12
        for _ in range(_MOST_HALVINGS):
            L = self.L - step * to_L
            R = None if to_R is None else self.R - step * to_R
            r = self._residual(L, R)
            if r @ r <= limit:
                break
            step /= 2
        else:
            return 0.0, 1.0
        change = self._r - r
        squared = float(change @ change)
        ratio = float(self._r @ change) / squared if squared > 0 else 1.0
        self.L, self.R = L, R
        self._set_residual(r)
        return step, ratio

    def noise_level(self, n_draws):
        """Spectral norm of A*(r) / scale for r of random signs and norm 1."""
        size = self._y.size
        signs = self._rng.choice([-1.0, 1.0], size=(n_draws, size))
        norms = [self._spectral_norm(self._image(r), sweeps=8) for r in signs]
        return float(np.mean(norms) / np.sqrt(size))

    def prune(self, noise_level):
        """Drop the components that are no larger than noise; return how many are left."""
        L, R = self.components(noise_level * np.sqrt(self.squared))
        # What these have fitted has left the residual, which is now smaller than the noise.
        n_left = self._y.size - degrees_of_freedom(*self._A.shape, L.shape[1], self.R is None)
        if n_left > 0:
            L, R = self.components(noise_level * np.sqrt(self.squared * self._y.size / n_left))
        self._place(L, None if self.R is None else R)
        self.set_gradient()
        return L.shape[1]

    def regrow(self):
        """Start components anew, small and random, where some were dropped."""
        L, R = (self._grown(F) for F in (self.L, self.R))
        self._place(L, R)

    def _grown(self, F):
        if F is None:
            return None
        new = self._rng.standard_normal((len(F), self._k - F.shape[1]))
        return np.hstack([F, self._small * new])

    def components(self, above):
        """L and R with orthogonal columns, those of the singular values of L Rᵀ beyond `above`."""
        if self.R is None:
            Q, T = np.linalg.qr(self.L)
            U, s, _ = np.linalg.svd(T)
            kept = s**2 > above
            L = Q @ (U[:, : s.size] * s)[:, kept]
            return L, L
        (Q, T), (P, S) = np.linalg.qr(self.L), np.linalg.qr(self.R)
        U, s, Vt = np.linalg.svd(T @ S.T)
        kept = s > above
        return Q @ (U * np.sqrt(s))[:, kept], P @ (Vt.T * np.sqrt(s))[:, kept]


def random_subspace(shape, rng):
    """Where the power iterations of `spectral_norm` start."""
    return rng.standard_normal((shape[1], min(8, *shape)))


def spectral_norm(G, Q, sweeps=8):
    """The spectral norm of G from power iterations that start at Q, and where they end.

    For a G that is close to the last one two sweeps are enough.
    """
    for _ in range(sweeps):
        Q = np.linalg.qr(G.T @ (G @ Q))[0]
    return float(np.linalg.norm(G @ Q, 2)), Q


def degrees_of_freedom(n_rows, n_columns, rank, symmetric):
    """Number of parameters of the matrices of a rank."""
    if symmetric:
        return rank * n_rows - rank * (rank - 1) // 2
    return rank * (n_rows + n_columns - rank)


def _solve(gradient, F, lam):
    """gradient (FᵀF + λI)⁻¹."""
    k = F.shape[1]
    # Against a gradient that vanishes, where superfluous components have too.
    lam = max(lam, np.finfo(float).eps * np.vdot(F, F))
    return np.linalg.solve(F.T @ F + lam * np.eye(k), gradient.T).T
