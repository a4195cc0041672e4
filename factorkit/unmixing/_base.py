"""What every unmixing estimator promises."""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..base import MatrixFactorization
from ..utils._sklearn import Interval, StrOptions, fit_method
from ..utils._threads import Workers
from ._abundances import METHODS, abundances_of
from ._scene import check_wavelengths, validate_scene


class SpectralUnmixing(MatrixFactorization):
    """Base of the estimators that write pixels as mixtures of the spectra of endmembers.

    X ≈ A E with E = ``components_`` of shape (n_components, n_bands) and the abundances A of
    shape (n_pixels, n_components). A subclass has the parameters ``image_shape``,
    ``wavelengths`` and ``n_jobs``; it writes ``_fit(pixels, X)``, which gets the checked pixels ×
    bands and X as the caller gave it, sets the fitted attributes and returns the abundances.
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        "wavelengths": ["array-like", None],
        "n_jobs": [Integral, None],
    }

    _allow_nan = False

    def fit(self, X, y=None):
        """Find the endmembers of a scene.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
            The scene.

        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For infinite values, for missing ones where the estimator takes none, for more
            endmembers than bands or pixels, and for an `image_shape` or `wavelengths` that
            does not fit X.
        """
        self.fit_transform(X)
        return self

    @fit_method
    def fit_transform(self, X, y=None):
        """Find the endmembers of a scene and return the abundances of its pixels.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
            The scene.

        y : None
            Ignored.

        Returns
        -------
        A : ndarray of shape (n_pixels, n_components)
            What ``transform(X)`` returns.
        """
        pixels, image_shape = validate_scene(self, X, reset=True, allow_nan=self._allow_nan)
        wavelengths = check_wavelengths(self.wavelengths, pixels.shape[1])
        self.image_shape_, self.wavelengths_ = image_shape, wavelengths
        A = self._fit(pixels, X)
        self.abundances_ = A
        # Not the same array: whoever changes what they got would change the maps.
        return A.copy()

    def transform(self, X):
        """Abundances of the endmembers in the pixels, each pixel by itself.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
            A scene with the bands of that of `fit`.

        Returns
        -------
        A : ndarray of shape (n_pixels, n_components)
        """
        check_is_fitted(self)
        X, _ = validate_scene(self, X, reset=False, allow_nan=self._allow_nan)
        with Workers(self.n_jobs) as workers:
            return self._transform(X, workers)

    def abundance_maps(self, X=None):
        """Abundances as images.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns, n_bands), or None, default=None
            A scene; None takes that of `fit`, for which `image_shape` has to be known.

        Returns
        -------
        maps : ndarray of shape (n_rows, n_columns, n_components)

        Raises
        ------
        ValueError
            Where it is not known how the pixels lie.
        """
        check_is_fitted(self)
        if X is None:
            A, image_shape = self.abundances_, self.image_shape_
        else:
            A = np.asarray(self.transform(X))
            shape = np.shape(X)
            image_shape = shape[:2] if len(shape) == 3 else None
            if image_shape is None and self.image_shape_ is not None:
                # Pixels × bands of a scene as large as that of fit.
                image_shape = self.image_shape_ if len(A) == np.prod(self.image_shape_) else None
        if image_shape is None:
            raise ValueError(
                "It is not known how the pixels lie: give the scene as an array of n_rows × "
                f"n_columns × n_bands, or {type(self).__name__}(image_shape=(n_rows, n_columns))."
            )
        return A.reshape(*image_shape, A.shape[1])

    def _validate_X(self, X, *, reset):
        return validate_scene(self, X, reset=reset, allow_nan=self._allow_nan)[0]

    def _transform(self, X, workers):
        """Abundances of a checked scene."""
        return abundances_of(X, self.components_, self.abundances, workers)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self._allow_nan
        return tags


ABUNDANCES = StrOptions(set(METHODS))
