"""SPA: the successive projection algorithm."""

from ..utils._sklearn import StrOptions
from ..utils._threads import Workers
from ._base import ABUNDANCES, SpectralUnmixing
from ._extraction import spa
from ._scene import check_n_endmembers
from ._subspace import coordinates, principal_subspace


class SPA(SpectralUnmixing):
    """Successive projection: endmembers are pixels, without random numbers.

    Each endmember is the pixel of the largest norm off the span of the endmembers before it
    [1]_. Where every endmember has a pure pixel and there is no noise, these are found [2]_.

    Read more in the :ref:`User Guide <unmixing_extraction>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    projection : {"principal", "none"}, default="principal"
        Where the norms are taken: in n_components principal directions about zero, which leaves
        most of the noise behind; or over all bands, as in [1]_.

    abundances : {"fcls", "nnls", "scls", "ucls"}, default="fcls"
        Constraints on the abundances: not negative and of sum one, not negative, of sum one, or
        none.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands; they are kept for the pictures.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_bands)
        Endmembers: rows of X, in the order in which they were found.

    endmember_pixels_ : ndarray of shape (n_components,)
        Which rows; distinct ones.

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
    VCA : Along random directions, from several starts.
    NFINDR : The largest simplex.

    Notes
    -----
    SPA starts at the brightest pixel, and shade is no corner of it: a dark endmember is found
    last. A scene that spans fewer than n_components dimensions has fewer corners; the remaining
    endmembers are other pixels, each as far as possible from those there are.

    References
    ----------
    .. [1] M. C. U. Araújo, T. C. B. Saldanha, R. K. H. Galvão, T. Yoneyama, H. C. Chame and
       V. Visani, "The Successive Projections Algorithm for Variable Selection in Spectroscopic
       Multicomponent Analysis", Chemometrics and Intelligent Laboratory Systems 57, 2001.
    .. [2] N. Gillis and S. A. Vavasis, "Fast and Robust Recursive Algorithms for Separable
       Nonnegative Matrix Factorization", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 36, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import SPA
    >>> rng = np.random.default_rng(0)
    >>> E = rng.random((3, 20))
    >>> A = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), 97)])
    >>> sorted(SPA(3).fit(A @ E).endmember_pixels_.tolist())
    [0, 1, 2]
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "projection": [StrOptions({"principal", "none"})],
        "abundances": [ABUNDANCES],
    }

    def __init__(
        self,
        n_components=2,
        *,
        projection="principal",
        abundances="fcls",
        image_shape=None,
        wavelengths=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.projection = projection
        self.abundances = abundances
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.n_jobs = n_jobs

    def _fit(self, pixels, X):
        k = self.n_components
        check_n_endmembers(k, *pixels.shape)
        with Workers(self.n_jobs) as workers:
            points = pixels
            if self.projection == "principal":
                zero, vectors, _ = principal_subspace(pixels, k, workers, centred=False)
                points = coordinates(pixels, zero, vectors, workers)
            self.endmember_pixels_ = spa(points, k, workers)
            self.components_ = pixels[self.endmember_pixels_]
            return self._transform(pixels, workers)
