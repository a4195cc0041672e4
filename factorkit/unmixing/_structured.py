"""StructuredSparseUnmixing: endmembers and abundances that are smooth over a graph of pixels."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array

from ..utils._convergence import warn_if_not_converged
from ..utils._linalg import squared_norm
from ..utils._sklearn import Interval, StrOptions, fit_method, iterate_with_callbacks
from ..utils._threads import Workers
from ._abundances import abundances_of
from ._base import SpectralUnmixing
from ._extraction import spa
from ._neighbours import knn_graph, window_graph
from ._scene import check_n_endmembers
from ._sparse_rows import sparse_rows
from ._structured_solver import structured_unmixing
from ._vca import VCA


class StructuredSparseUnmixing(SpectralUnmixing):
    """Nonnegative factorization with abundances that are sparse and smooth over a graph.

    .. math::

        \\min_{A, E \\ge 0} \\tfrac12 \\|X - A E\\|_F^2 + \\lambda \\sum_{ij} a_{ij}
            + \\tfrac{\\alpha}{2}\\, \\mathrm{tr}(A^\\top (D - W) A M)

    over abundances A (n_pixels × n_components) and endmembers E (n_components × n_bands), where
    W joins similar pixels that are near each other, by a heat kernel of their spectra, and D
    holds its row sums. M = I is the published penalty [1]_, on differences of abundances. It
    falls as well when endmembers move apart and abundances come closer, and its minimum is where
    they have; so by default M = E Eᵀ, which makes the differences those of the mixed spectra.

    By measure the graph in the factorization brings little: the published penalty lowered the
    error of the abundances by at most .001 on Samson, Jasper Ridge and Moffett, and raised it for
    large α. The same graph as a smoother of the pixels *before* extraction does more.

    Read more in the :ref:`User Guide <unmixing_structured>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    alpha_graph : float, default=0.1
        α: what a pixel's neighbours weigh against its own spectrum. With
        ``graph_on="abundances"`` it is in units of the mean squared norm of the pixels.

    graph_on : {"spectra", "abundances"}, default="spectra"
        What neighbours have in common, M = E Eᵀ or M = I. With "abundances", values of
        `alpha_graph` from about 1e-3 on drive the endmembers away from the pixels.

    alpha_lasso : float, default=0.0
        λ, in units of the mean squared norm of the pixels. It needs ``sum_to_one=False``: where
        abundances sum to one it is constant.

    sum_to_one : bool, default=True
        Whether the abundances of a pixel sum to one. Where they need not, penalties on them
        would vanish as A shrinks and E grows; so then no endmember may have a larger norm than
        it has at the start, and an abundance of 1 keeps its meaning.

    graph : {"window", "knn"}, default="window"
        Which pixels W joins: those in the window around a pixel, for which the shape of the image
        has to be known, or the nearest in their spectra, wherever they lie.

    radius : int, default=1
        Half the side of the window; 1 joins the 8 neighbours.

    n_neighbors : int, default=8
        For ``graph="knn"``. The search takes a time that is quadratic in the number of pixels.

    init : {"vca", "spa"} or array-like of shape (n_components, n_bands), default="vca"
        Endmembers at the start: those of :class:`VCA`, of successive projection, or given ones.

    tol : float, default=1e-5
        The fit ends where a projected gradient step on the abundances has a norm of at most
        `tol` times theirs. 0 takes all iterations.

    max_iter : int, default=500
        Most iterations.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands; they are kept for the pictures.

    random_state : int, RandomState instance or None, default=None
        For ``init="vca"``.

    n_jobs : int or None, default=None
        Number of threads for what is done pixel by pixel; None takes as many as BLAS may use, -1
        all processors. The steps over the graph run in one.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_bands)
        Endmembers.

    abundances_ : ndarray of shape (n_pixels, n_components)
        The smooth abundances in the scene of `fit`, which ``abundance_maps()`` shows.
        `transform`, and so `fit_transform`, treats each pixel by itself, without a graph.

    lambda_, alpha_ : float
        λ and α in the units of X.

    objective_ : ndarray of shape (n_iter_,)
        Objective after each iteration; it never rises.

    stationarity_ : float
        What `tol` was compared with at the end.

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
    LibraryUnmixing : Sparse abundances of given spectra.

    References
    ----------
    .. [1] F. Zhu, Y. Wang, S. Xiang, B. Fan and C. Pan, "Structured Sparse Method for
       Hyperspectral Unmixing", ISPRS Journal of Photogrammetry and Remote Sensing 88, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import StructuredSparseUnmixing
    >>> rng = np.random.default_rng(0)
    >>> X = rng.dirichlet(np.ones(3), (12, 10)) @ rng.random((3, 20))
    >>> model = StructuredSparseUnmixing(3, random_state=0).fit(X)
    >>> model.abundance_maps().shape
    (12, 10, 3)
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "alpha_graph": [Interval(Real, 0, None, closed="left")],
        "graph_on": [StrOptions({"spectra", "abundances"})],
        "alpha_lasso": [Interval(Real, 0, None, closed="left")],
        "sum_to_one": ["boolean"],
        "graph": [StrOptions({"window", "knn"})],
        "radius": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"vca", "spa"}), "array-like"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        alpha_graph=0.1,
        graph_on="spectra",
        alpha_lasso=0.0,
        sum_to_one=True,
        graph="window",
        radius=1,
        n_neighbors=8,
        init="vca",
        tol=1e-5,
        max_iter=500,
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.alpha_graph = alpha_graph
        self.graph_on = graph_on
        self.alpha_lasso = alpha_lasso
        self.sum_to_one = sum_to_one
        self.graph = graph
        self.radius = radius
        self.n_neighbors = n_neighbors
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_method
    def fit_transform(self, X, y=None):
        """Find the endmembers and return what ``transform(X)`` returns.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
            The scene.
        y : None
            Ignored.

        Returns
        -------
        A : ndarray of shape (n_pixels, n_components)
            Abundances of each pixel by itself; the smooth ones are `abundances_`.
        """
        super().fit_transform(X)
        return self.transform(X)

    def _fit(self, pixels, X):
        check_n_endmembers(self.n_components, *pixels.shape)
        if self.alpha_lasso > 0 and self.sum_to_one:
            raise ValueError(
                f"alpha_lasso={self.alpha_lasso} does nothing where abundances sum to one: their "
                "l1 norm is constant. Set sum_to_one=False, or alpha_lasso=0."
            )
        with Workers(self.n_jobs) as workers:
            W = self._pixel_graph(pixels)
            E = self._start(pixels, workers)
            unit = squared_norm(pixels) / len(pixels)
            on_spectra = self.graph_on == "spectra"
            self.lambda_ = self.alpha_lasso * unit
            self.alpha_ = self.alpha_graph * (1.0 if on_spectra else unit)
            A = self._solve_pixels(pixels, E, workers).astype(np.float64)
            with iterate_with_callbacks(
                self, self.max_iter, X, attributes=lambda A, E: self._as_fitted(A, E, pixels.dtype)
            ) as report:
                A, E, trace = structured_unmixing(
                    pixels,
                    E,
                    A,
                    W,
                    workers,
                    l1=self.lambda_,
                    alpha=self.alpha_,
                    on_spectra=on_spectra,
                    to_one=self.sum_to_one,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    report=report if report.active else None,
                )
                vars(self).update(self._as_fitted(A, E, pixels.dtype))
                self.objective_ = np.array(trace.objective)
                self.n_iter_, self.stationarity_ = trace.n_iter, trace.residual[-1]
                self.stopped_by_callback_ = trace.stop == "callback"
        warn_if_not_converged(trace, self.max_iter, self.tol)
        return self.abundances_

    def _as_fitted(self, A, E, dtype):
        return {"components_": E.astype(dtype), "abundances_": A.astype(dtype)}

    def _transform(self, X, workers):
        return self._solve_pixels(X, self.components_, workers)

    def _solve_pixels(self, X, E, workers):
        if self.sum_to_one:
            return abundances_of(X, E, "fcls", workers)
        return sparse_rows(X, E.astype(np.float64), self.lambda_, workers)

    def _pixel_graph(self, pixels):
        if self.graph == "knn":
            return knn_graph(pixels, self.n_neighbors, self.n_jobs)
        if self.image_shape_ is None:
            raise ValueError(
                'graph="window" joins pixels that lie side by side, and it is not known how they '
                "lie: give the scene as an array of n_rows × n_columns × n_bands, or set "
                'image_shape=(n_rows, n_columns), or graph="knn".'
            )
        return window_graph(pixels, self.image_shape_, self.radius)

    def _start(self, pixels, workers):
        """Endmembers at the start, nonnegative, in float64."""
        if isinstance(self.init, str):
            return np.maximum(_STARTS[self.init](self, pixels, workers), 0).astype(np.float64)
        E = check_array(self.init, dtype=np.float64, ensure_non_negative=True, input_name="init")
        shape = (self.n_components, pixels.shape[1])
        if E.shape != shape:
            raise ValueError(f"init has shape {E.shape}; endmembers here have shape {shape}.")
        return E


def _vca_start(estimator, pixels, workers):
    k, seed = estimator.n_components, estimator.random_state
    return VCA(k, random_state=seed, n_jobs=workers.n_jobs).fit(pixels).components_


def _spa_start(estimator, pixels, workers):
    return pixels[spa(pixels, estimator.n_components, workers)]


_STARTS = {"vca": _vca_start, "spa": _spa_start}
