"""LibraryUnmixing: abundances of the spectra of a library."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import Interval, StrOptions, iterate_with_callbacks
from ..utils._threads import Workers
from ._base import SpectralUnmixing
from ._collaborative import collaborative, largest_penalty
from ._sparse_rows import largest_l1, lasso_certificate, sparse_rows


class LibraryUnmixing(SpectralUnmixing):
    """Sparse unmixing with a library of hundreds of spectra.

    Nothing is extracted from the scene X: each pixel is a nonnegative mixture of a few spectra of
    a library D,

    .. math::

        \\min_{A \\ge 0} \\tfrac12 \\|X - A D\\|_F^2 + \\lambda\\, \\Omega(A)

    with Ω(A) = Σ_ij a_ij for ``penalty="lasso"`` (the objective of SUnSAL [1]_), or the sum of
    the norms of A's columns, Σ_j ‖a_j‖₂, for ``penalty="collaborative"`` (that of CLSUnSAL [2]_):
    then a spectrum is in use in the whole scene or not at all. Both problems are convex and are
    solved exactly.

    Read more in the :ref:`User Guide <unmixing_library>`.

    Parameters
    ----------
    library : array-like of shape (n_spectra, n_bands)
        The spectra, on the bands of X and in its units.

    alpha : float, default=1e-4
        λ as a fraction, from 0 to 1, of the least λ for which every abundance is zero:
        max_ij (X Dᵀ)_ij for the lasso, max_j ‖(X d_j)₊‖₂ for the collaborative penalty. So it
        has no unit, and does not depend on the size of the scene. 0 is plain nonnegative least
        squares. Spectra of a library resemble each other, and the λ that separates them is that
        of the noise: good values are small.

    penalty : {"collaborative", "lasso"}, default="collaborative"
        Few spectra in the scene, or few in each pixel. The lasso finds a material that is in a
        few pixels only; the collaborative penalty picks the right ones among similar spectra
        more often, since all pixels decide together.

    min_angle : float, default=0.0
        Spectra at a spectral angle of less than this, in radians, to one before them in the
        library are left out: near-copies share an abundance at random. Exact copies always are.

    names : array-like of str of shape (n_spectra,) or None, default=None
        Names of the spectra, for ``get_feature_names_out``.

    tol : float, default=1e-6
        The collaborative problem is solved to a duality gap of `tol` times ½‖X‖². 0 takes all
        iterations. The lasso is solved to rounding.

    max_iter : int, default=300
        Most iterations for the collaborative penalty.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands; they are kept for the pictures.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_spectra, n_bands)
        The library, all of it.

    active_ : ndarray of int of shape (n_active,)
        The spectra that have an abundance above zero in the scene of `fit`.

    abundances_ : ndarray of shape (n_pixels, n_spectra)
        Abundances in the scene of `fit`.

    lambda_ : float
        λ.

    ridge_ : ndarray of shape (n_active,) or None
        λ / ‖a_j‖ of the active spectra for the collaborative penalty, None for the lasso.

    dual_gap_ : float
        Certificate: the objective is at most this times ½‖X‖² above the minimum. With
        ``alpha=0`` it is the residual of complementarity in the same units, zero at the minimum.

    objective_ : ndarray of shape (n_iter_,)
        Objective after each iteration; it never rises.

    n_iter_ : int
        Number of iterations; 1 for the lasso.

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
    VCA : Endmembers from the scene itself.

    Notes
    -----
    `transform` solves each pixel by itself: the lasso with `lambda_`; after a collaborative fit
    the active spectra alone, with the penalty ½ Σ_j ridge_j a_j², which at the minimum is the
    same as λ Σ_j ‖a_j‖. So it agrees with `fit`, and treats new pixels like those of `fit`.

    Both penalties shrink the abundances. For some without, fit again with ``alpha=0`` and the
    library ``library[active_]``. A sum of one is not offered: under it the lasso is constant.

    References
    ----------
    .. [1] M.-D. Iordache, J. M. Bioucas-Dias and A. Plaza, "Sparse Unmixing of Hyperspectral
       Data", IEEE Transactions on Geoscience and Remote Sensing 49, 2011.
    .. [2] M.-D. Iordache, J. M. Bioucas-Dias and A. Plaza, "Collaborative Sparse Regression for
       Hyperspectral Unmixing", IEEE Transactions on Geoscience and Remote Sensing 52, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import LibraryUnmixing
    >>> rng = np.random.default_rng(0)
    >>> library = rng.random((40, 60))
    >>> X = rng.dirichlet(np.ones(3), 50) @ library[[4, 15, 30]]
    >>> LibraryUnmixing(library).fit(X).active_
    array([ 4, 15, 30])
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "library": ["array-like"],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "penalty": [StrOptions({"collaborative", "lasso"})],
        "min_angle": [Interval(Real, 0, np.pi / 2, closed="left")],
        "names": ["array-like", None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }
    _parameter_constraints.pop("n_components")

    def __init__(
        self,
        library,
        *,
        alpha=1e-4,
        penalty="collaborative",
        min_angle=0.0,
        names=None,
        tol=1e-6,
        max_iter=300,
        image_shape=None,
        wavelengths=None,
        n_jobs=None,
    ):
        self.library = library
        self.alpha = alpha
        self.penalty = penalty
        self.min_angle = min_angle
        self.names = names
        self.tol = tol
        self.max_iter = max_iter
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.n_jobs = n_jobs

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of ``transform``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects of shape (n_spectra,)
            `names`, or "libraryunmixing0" and so on.
        """
        check_is_fitted(self)
        if self.names is None:
            return super().get_feature_names_out(input_features)
        return np.array([str(name) for name in self.names], dtype=object)

    def _fit(self, pixels, X):
        library = self._check_library(pixels.shape[1])
        self.components_ = library.astype(pixels.dtype)
        D = self.components_.astype(np.float64)
        candidates = distinct_spectra(D, self.min_angle)
        fit = self._fit_collaborative if self.penalty == "collaborative" else self._fit_lasso
        with Workers(self.n_jobs) as workers:
            A = fit(pixels, X, D, candidates, workers)
        self.active_ = np.flatnonzero(A.any(axis=0))
        return A

    def _fit_lasso(self, pixels, X, D, candidates, workers):
        self.lambda_ = self.alpha * largest_l1(pixels, D[candidates], workers)
        self._support, self.ridge_ = candidates, None
        with iterate_with_callbacks(self, 1, X, attributes=dict) as report:
            A = self._transform(pixels, workers)
            objective, self.dual_gap_ = lasso_certificate(
                pixels, D[candidates], A[:, candidates], self.lambda_, workers
            )
            self.objective_, self.n_iter_ = np.array([objective]), 1
            self.stopped_by_callback_ = report(objective, {})  # all of it is set
        return A

    def _fit_collaborative(self, pixels, X, D, candidates, workers):
        D = D[candidates]
        self.lambda_ = self.alpha * largest_penalty(pixels, D, workers)
        if self.lambda_ == 0:
            return self._fit_lasso(pixels, X, self.components_.astype(float), candidates, workers)
        with iterate_with_callbacks(
            self,
            self.max_iter,
            X,
            attributes=lambda active, ridge: {"_support": candidates[active], "ridge_": ridge},
        ) as report:
            active, ridge, trace = collaborative(
                pixels,
                D,
                self.lambda_,
                workers,
                tol=self.tol,
                max_iter=self.max_iter,
                report=report if report.active else None,
            )
            self._support, self.ridge_ = candidates[active], ridge
            self.objective_ = np.array(trace.objective)
            self.n_iter_, self.dual_gap_ = trace.n_iter, trace.residual[-1]
            self.stopped_by_callback_ = trace.stop == "callback"
        warn_if_not_converged(trace, self.max_iter, self.tol)
        return self._transform(pixels, workers)

    def _transform(self, X, workers):
        D = self.components_[self._support].astype(np.float64)
        l1 = self.lambda_ if self.ridge_ is None else 0.0
        if len(D) == len(self.components_):
            return sparse_rows(X, D, l1, workers, self.ridge_)
        A = np.zeros((len(X), len(self.components_)), dtype=X.dtype)
        if len(D):
            A[:, self._support] = sparse_rows(X, D, l1, workers, self.ridge_)
        return A

    def _check_library(self, n_bands):
        library = check_array(self.library, dtype=np.float64, input_name="library")
        if library.shape[1] != n_bands:
            raise ValueError(
                f"library has spectra of {library.shape[1]} bands; X has {n_bands}. Interpolate "
                "the library at the wavelengths of the scene."
            )
        if self.names is not None and np.shape(self.names) != (len(library),):
            raise ValueError(
                f"names has shape {np.shape(self.names)}; library has {len(library)} spectra, so "
                f"it must have shape ({len(library)},)."
            )
        return library


def distinct_spectra(D, min_angle):
    """Indices of spectra at `min_angle` or more from all that are kept before; copies never are."""
    first = np.sort(np.unique(D, axis=0, return_index=True)[1])
    if min_angle == 0:
        return first
    norms = np.linalg.norm(D, axis=1)
    units = D / np.where(norms > 0, norms, 1)[:, None]
    too_close = units @ units.T > np.cos(min_angle)
    kept = []
    for j in first:
        if not too_close[j, kept].any():
            kept.append(j)
    return np.array(kept)
