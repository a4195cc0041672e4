"""VCA: vertex component analysis."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from ..utils._sklearn import Interval, StrOptions
from ..utils._threads import Workers
from ._base import ABUNDANCES, SpectralUnmixing
from ._extraction import log_volumes, nearest_to, vca
from ._scene import check_n_endmembers
from ._simplex_points import affine_points, projective_points, signal_to_noise
from ._subspace import scene_moments


class VCA(SpectralUnmixing):
    """Vertex component analysis: endmembers are pixels at the corners of the scene.

    Mixtures lie in the simplex of their endmembers, so a pixel that lies farthest in some
    direction is a corner of it. Each endmember is the pixel farthest in a random direction at
    right angles to the endmembers before it [1]_. Of several starts the one whose endmembers
    have the simplex of the largest volume is kept; that takes no labels.

    Read more in the :ref:`User Guide <unmixing_extraction>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    projection : {"affine", "projective", "auto"}, default="affine"
        Where the search takes place. "affine": in the n_components − 1 principal directions about
        the mean. "projective": in n_components principal directions about zero, pixels divided by
        their brightness, which takes shading out and makes dark, noisy pixels extreme. "auto"
        goes by the rule of [1]_: affine where the signal-to-noise ratio is below
        15 + 10 log₁₀ n_components dB.

    n_init : int, default=20
        Number of starts. They share all but a pass over n_components numbers a pixel.

    abundances : {"fcls", "nnls", "scls", "ucls"}, default="fcls"
        Constraints on the abundances: not negative and of sum one, not negative, of sum one, or
        none.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands; they are kept for the pictures.

    random_state : int, RandomState instance or None, default=None
        For the random directions.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_bands)
        Endmembers: rows of X.

    endmember_pixels_ : ndarray of shape (n_components,)
        Which rows; distinct ones.

    projection_ : {"affine", "projective"}
        Where the search took place.

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
    NFINDR : Enlarges the simplex that VCA finds.
    SPA : Without random numbers.

    Notes
    -----
    A scene that spans fewer dimensions than n_components − 1 has fewer corners; the remaining
    endmembers are other pixels, each as far as possible from those there are. A single endmember
    is the pixel nearest the mean.

    The principal directions cost n_pixels n_bands² operations, a start n_pixels n_components².
    X is never copied or centred as a whole.

    References
    ----------
    .. [1] J. M. P. Nascimento and J. M. Bioucas-Dias, "Vertex Component Analysis: A Fast
       Algorithm to Unmix Hyperspectral Data", IEEE Transactions on Geoscience and Remote Sensing
       43, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import VCA
    >>> rng = np.random.default_rng(0)
    >>> E = rng.random((3, 20))
    >>> A = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 97)])
    >>> model = VCA(3, random_state=0).fit(A @ E)
    >>> sorted(model.endmember_pixels_.tolist())
    [0, 1, 2]
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "projection": [StrOptions({"affine", "projective", "auto"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "abundances": [ABUNDANCES],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        projection="affine",
        n_init=20,
        abundances="fcls",
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.projection = projection
        self.n_init = n_init
        self.abundances = abundances
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, pixels, X):
        k = self.n_components
        check_n_endmembers(k, *pixels.shape)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        with Workers(self.n_jobs) as workers:
            _, mean, C = scene_moments(pixels, workers)
            self.projection_ = self.projection
            if self.projection == "auto":
                noisy = signal_to_noise(mean, C, k) < 15 + 10 * np.log10(k)
                self.projection_ = "affine" if noisy else "projective"
            if k == 1:
                self.endmember_pixels_ = nearest_to(pixels, mean, workers)
            else:
                self.endmember_pixels_ = _largest_of_starts(
                    pixels, mean, C, k, self.projection_, self.n_init, rng, workers
                )
            self.components_ = pixels[self.endmember_pixels_]
            return self._transform(pixels, workers)


def _largest_of_starts(Y, mean, C, k, projection, n_init, rng, workers):
    make_points = affine_points if projection == "affine" else projective_points
    points = make_points(Y, mean, C, k, workers)
    starts = vca(points, n_init, rng, workers)
    if projection == "projective":
        # Volumes are those of the spectra, not of their directions.
        used, starts_in_used = np.unique(starts, return_inverse=True)
        points = affine_points(Y[used], mean, C, k, workers)
        best = log_volumes(points, starts_in_used.reshape(starts.shape)).argmax()
    else:
        best = log_volumes(points, starts).argmax()
    return starts[best]
