"""Archetypal analysis as an estimator."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import Interval, iterate_with_callbacks
from ..utils._threads import Workers
from ._archetypes import archetypes
from ._base import SpectralUnmixing
from ._pipeline import best_start
from ._scene import check_n_endmembers
from ._subspace import coordinates, principal_directions, scene_moments


class ArchetypalAnalysis(SpectralUnmixing):
    """Archetypal analysis: endmembers that are mixtures of a few pixels.

    .. math:: \\min_{A, B} \\tfrac12 \\|X - A B X\\|_F^2

    over A (n_pixels × n_components) and B (n_components × n_pixels), both without negative entries
    and with rows of sum one [1]_. The endmembers E = B X lie in the hull of the pixels, and every
    pixel is written as a mixture of them. Both steps of the alternation are exact [2]_.

    Read more in the :ref:`User Guide <unmixing_extraction>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    n_dimensions : int or None, default=None
        Principal dimensions in which to work. Ten or so are many times faster than all. None
        takes all.

    n_init : int, default=4
        Starts, by VCA. The one of the least residual is kept.

    tol : float, default=1e-5
        Ends where an iteration lowers the root of the objective by less than this part.

    max_iter : int, default=200
        Most iterations.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands; they are kept for the pictures.

    random_state : int, RandomState instance or None, default=None
        For the starts.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_bands)
        Endmembers: mixtures of rows of X, in the subspace.

    mixtures_ : list of (pixels, weights)
        For each endmember the pixels that it is a mixture of: the entries of B that are not zero.

    abundances_ : ndarray of shape (n_pixels, n_components)
        A.

    objective_ : ndarray of shape (n_iter_,)
        Objective in the subspace after each iteration; it never rises.

    n_iter_ : int
        Number of iterations.

    stopped_by_callback_ : bool
        Whether a callback ended the fit before it converged.

    image_shape_ : tuple of int or None
        Rows and columns of the scene.

    wavelengths_ : ndarray of shape (n_bands,) or None
        The wavelengths.

    n_features_in_ : int
        Number of bands.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the bands, where X is a data frame and all are strings.

    See Also
    --------
    Unmixer : With flags, normalization and smoothing before it.

    Notes
    -----
    An iteration costs n_pixels × n_dimensions × n_components for the exact abundances, and the
    same for each of the few pixels that enter a mixture: endmembers are projected on the hull of
    the pixels by Wolfe's method, from the mixtures of the iteration before.

    References
    ----------
    .. [1] A. Cutler and L. Breiman, "Archetypal Analysis", Technometrics 36, 1994.
    .. [2] Y. Chen, J. Mairal and Z. Harchaoui, "Fast and Robust Archetypal Analysis for
       Representation Learning", CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import ArchetypalAnalysis
    >>> rng = np.random.default_rng(0)
    >>> E = rng.random((3, 20))
    >>> A = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 97)])
    >>> model = ArchetypalAnalysis(3, random_state=0).fit(A @ E)
    >>> sorted(int(pixels[0]) for pixels, weights in model.mixtures_)
    [0, 1, 2]
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "n_dimensions": [Interval(Integral, 1, None, closed="left"), None],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    # Archetypes are of pixels that sum to one, and so are their abundances.
    abundances = "fcls"

    def __init__(
        self,
        n_components=2,
        *,
        n_dimensions=None,
        n_init=4,
        tol=1e-5,
        max_iter=200,
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.n_dimensions = n_dimensions
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, pixels, X):
        k = self.n_components
        check_n_endmembers(k, *pixels.shape)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        most = min(pixels.shape)
        d = most if self.n_dimensions is None else min(self.n_dimensions, most)
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(self, self.max_iter, X) as report,
        ):
            _, mean, C = scene_moments(pixels, workers)
            vectors, _ = principal_directions(C, d)
            Z = coordinates(pixels, mean, vectors, workers)
            start = best_start(Z, k, self.n_init, workers, rng)

            def after(objective, centres):
                return report(objective, lambda: {"components_": centres @ vectors + mean})

            centres, _, mixtures, trace = archetypes(
                Z,
                start,
                workers,
                tol=self.tol,
                max_iter=self.max_iter,
                report=after if report.active else None,
            )
            self.components_ = (centres @ vectors + mean).astype(pixels.dtype)
            self.mixtures_ = list(zip(mixtures.members, mixtures.weights, strict=True))
            self.objective_ = np.array(trace.objective)
            self.n_iter_ = trace.n_iter
            self.stopped_by_callback_ = report.stopped
            A = self._transform(pixels, workers)
        warn_if_not_converged(trace, self.max_iter, self.tol)
        return A
