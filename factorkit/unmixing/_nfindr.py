"""NFINDR: the largest simplex of pixels."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from ..utils._convergence import Trace, warn_if_not_converged
from ..utils._sklearn import Interval, iterate_with_callbacks
from ..utils._threads import Workers
from ._base import ABUNDANCES, SpectralUnmixing
from ._extraction import SWAP, nearest_to, nfindr, vca
from ._scene import check_n_endmembers
from ._simplex_points import affine_points
from ._subspace import scene_moments


class NFINDR(SpectralUnmixing):
    """N-FINDR: endmembers are the pixels whose simplex is the largest.

    From the endmembers of VCA it swaps pixels while that enlarges the volume of their simplex in
    the n_components − 1 principal directions about the mean [1]_; it does so from several starts
    and keeps the largest simplex.

    Read more in the :ref:`User Guide <unmixing_extraction>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    n_init : int, default=20
        Number of starts; those that are the same are followed once.

    max_iter : int, default=100
        Most sweeps over the endmembers.

    abundances : {"fcls", "nnls", "scls", "ucls"}, default="fcls"
        Constraints on the abundances: not negative and of sum one, not negative, of sum one, or
        none.

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
        Endmembers: rows of X.

    endmember_pixels_ : ndarray of shape (n_components,)
        Which rows; distinct ones.

    objective_ : ndarray of shape (n_iter_,)
        Minus the logarithm of the volume of the largest simplex after each sweep. It never rises.

    n_iter_ : int
        Number of sweeps, the last of which swapped nothing. 0 where no simplex has a volume.

    stopped_by_callback_ : bool
        Whether a callback ended the fit before it converged.

    abundances_ : ndarray of shape (n_pixels, n_components)
        Abundances in the scene of `fit`.

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
    VCA : Where it starts.
    SPA : Without random numbers.

    Notes
    -----
    In a scene that spans fewer than n_components − 1 dimensions every simplex is flat, and the
    endmembers are those of VCA. A single endmember is the pixel nearest the mean.

    References
    ----------
    .. [1] M. E. Winter, "N-FINDR: An Algorithm for Fast Autonomous Spectral End-Member
       Determination in Hyperspectral Data", Proceedings of SPIE 3753, 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import NFINDR
    >>> rng = np.random.default_rng(0)
    >>> E = rng.random((3, 20))
    >>> A = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 97)])
    >>> model = NFINDR(3, random_state=0).fit(A @ E)
    >>> sorted(model.endmember_pixels_.tolist())
    [0, 1, 2]
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "abundances": [ABUNDANCES],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        n_init=20,
        max_iter=100,
        abundances="fcls",
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.n_init = n_init
        self.max_iter = max_iter
        self.abundances = abundances
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, pixels, X):
        k = self.n_components
        check_n_endmembers(k, *pixels.shape)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))

        def as_fitted(chosen):
            return {"endmember_pixels_": chosen.copy(), "components_": pixels[chosen]}

        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(self, self.max_iter, X, attributes=as_fitted) as report,
        ):
            _, mean, C = scene_moments(pixels, workers)
            if k == 1:
                chosen, trace = nearest_to(pixels, mean, workers), Trace(stop="converged")
            else:
                points = affine_points(pixels, mean, C, k, workers)
                chosen, trace = nfindr(
                    points,
                    vca(points, self.n_init, rng, workers),
                    workers,
                    max_iter=self.max_iter,
                    report=report if report.active else None,
                )
            self.endmember_pixels_, self.components_ = chosen, pixels[chosen]
            self.objective_ = np.array(trace.objective)
            self.n_iter_ = trace.n_iter
            self.stopped_by_callback_ = trace.stop == "callback"
            A = self._transform(pixels, workers)
        warn_if_not_converged(trace, self.max_iter, SWAP - 1)
        return A
