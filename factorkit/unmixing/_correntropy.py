"""CorrentropyUnmixing: endmembers and abundances in spite of ruined bands, pixels or entries."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import Interval, StrOptions, iterate_with_callbacks
from ..utils._threads import Workers
from ._abundances import abundances_of
from ._base import SpectralUnmixing
from ._correntropy_archetypes import RUINED
from ._correntropy_fit import MODELS, Run
from ._correntropy_rows import entry_abundances, entry_weights, penalized_abundances
from ._scene import check_n_endmembers, validate_scene
from ._vca import VCA


class CorrentropyUnmixing(SpectralUnmixing):
    """Unmixing under correntropy: what the model cannot explain loses its weight.

    .. math::

        \\min_{A, E} \\sum_u v_u \\sigma^2 \\Big(1 - \\exp\\Big(-\\frac{r_u^2}
            {2 v_u \\sigma^2}\\Big)\\Big) + \\lambda \\sum_{ij} a_{ij}, \\qquad A \\ge 0

    over abundances A (n_pixels × n_components) and endmembers E (n_components × n_bands), where
    :math:`r_u` is the norm of a band, a pixel or an entry of X − A E, and :math:`v_u` the spread
    that it is measured in: the sum of squares of a band about its mean, or the mean of those of
    pixels or entries. It is solved by half-quadratic reweighting [1]_: least squares with weights
    :math:`w_u = \\exp(-r_u^2 / 2 v_u \\sigma^2)`, then new weights. A large σ gives least squares.

    Endmembers of weighted least squares can be anything, and weights hardly help them: a band's
    weight cancels in its own column of E, so it acts through A alone. On Samson, Jasper Ridge and
    Moffett with a fifth of the bands ruined, weights changed the angles of such endmembers by a
    tenth. Endmembers that are mixtures of pixels are as good as in a clean scene, so that is
    the default, and the published model an option.

    Read more in the :ref:`User Guide <unmixing_correntropy>`.

    Parameters
    ----------
    n_components : int, default=2
        Number of endmembers, at most the number of bands and of pixels.

    model : {"archetypes", "nmf"}, default="archetypes"
        "archetypes": endmembers are mixtures of pixels, in a principal subspace of the weighted
        scene. "nmf": they are anything, as published.

    robust : {"band", "pixel", "entry"}, default="band"
        What gets a weight: bands, as published; pixels, for a scene with foreign ones; or single
        entries, for impulses, which takes n_components times as long.

    kernel_width : float or "auto", default="auto"
        σ, in units of the spread: with 0.1 a band of which a tenth of the standard deviation is
        left unexplained weighs .61. "auto" follows the residuals, as their median (for
        entries 1.48 times that, their standard deviation), and is then fixed for the last phase.

    sum_to_one : bool, default=True
        Whether the abundances of a pixel sum to one. With ``model="archetypes"`` this is about
        the abundances that are returned: the search mixes pixels of equal brightness, and there
        they always do.

    alpha : float, default=0.0
        λ, in units of the mean squared norm of the pixels. It needs ``model="nmf"`` and
        ``sum_to_one=False``, since the penalty is constant where abundances sum to one. No
        endmember may then have a larger norm than at the start, or the penalty would vanish as
        A shrinks and E grows.

    nonnegative : bool, default=True
        Whether E ≥ 0, with ``model="nmf"``. Mixtures of pixels are as negative as pixels are.

    normalize : bool, default=True
        With ``model="archetypes"``, whether to take the brightness of pixels away first, for the
        search alone.

    n_init : int, default=20
        Starts of :class:`VCA`, of which the one of the largest volume is kept.

    init : "vca" or array-like of shape (n_components, n_bands), default="vca"
        Endmembers at the start of ``model="nmf"``.

    tol : float, default=1e-5
        The fit ends where a round lowers the root of the objective by less than this part. 0
        takes all rounds.

    max_iter : int, default=300
        Most rounds with the kernel width fixed.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands. They say which are neighbours; None takes them in their order.

    random_state : int, RandomState instance or None, default=None
        For the starts.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_bands)
        Endmembers. In bands of weight below .1 they are interpolated between the others.

    band_weights_ : ndarray of shape (n_bands,)
        Weights of the bands, between 0 and 1; for ``robust="entry"`` the mean weights of their
        entries. 0 for a band without any known entry.

    pixel_weights_ : ndarray of shape (n_pixels,)
        Weights of the pixels, likewise. Those of entries are not kept, as they would take as
        much memory as the scene; :meth:`entry_weights` computes them.

    kernel_width_ : float
        σ in the last phase.

    lambda_ : float
        λ in the units of X.

    objective_ : ndarray of shape (n_iter_,)
        Objective after each round of the last phase, in which σ is fixed (and the subspace, with
        ``model="archetypes"``); it never rises. With ``normalize=True`` it is that of the
        normalized pixels.

    n_iter_ : int
        Number of rounds in the last phase.

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
    VCA : Endmembers that are pixels of the scene.

    Notes
    -----
    NaN is missing. A pixel is solved over what is known of it, and a band without any known
    entry is left out.

    Correntropy alone can't tell bands that share a ruin, such as a ramp across the image: an
    endmember explains it. So with ``model="archetypes"`` the first weights are those that each
    band's neighbours suggest, and bands in which more than a tenth of the pixels share the largest
    value, as saturated and dead ones, never get a weight. Pixels start likewise, by
    whether others resemble them. After that correntropy decides. A noisy band in a scene that
    is otherwise clean may lose its weight without harm.

    A round takes a few passes over X, a block at a time. X is copied where it has holes.

    References
    ----------
    .. [1] Y. Wang, C. Pan, S. Xiang and F. Zhu, "Robust Hyperspectral Unmixing with Correntropy
       based Metric", IEEE Transactions on Image Processing 24, 2015.

    Examples
    --------
    >>> from factorkit.datasets import make_scene
    >>> from factorkit.unmixing import CorrentropyUnmixing
    >>> scene = make_scene(3, image_shape=(20, 20), n_bands=60, ruined_bands=0.2, random_state=0)
    >>> model = CorrentropyUnmixing(3, random_state=0).fit(scene.data)
    >>> bool(model.band_weights_[scene.ruined_bands].max() < 0.01)
    True
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "model": [StrOptions({"archetypes", "nmf"})],
        "robust": [StrOptions({"band", "pixel", "entry"})],
        "kernel_width": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "sum_to_one": ["boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "nonnegative": ["boolean"],
        "normalize": ["boolean"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"vca"}), "array-like"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    _allow_nan = True

    def __init__(
        self,
        n_components=2,
        *,
        model="archetypes",
        robust="band",
        kernel_width="auto",
        sum_to_one=True,
        alpha=0.0,
        nonnegative=True,
        normalize=True,
        n_init=20,
        init="vca",
        tol=1e-5,
        max_iter=300,
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.model = model
        self.robust = robust
        self.kernel_width = kernel_width
        self.sum_to_one = sum_to_one
        self.alpha = alpha
        self.nonnegative = nonnegative
        self.normalize = normalize
        self.n_init = n_init
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    def entry_weights(self, X):
        """Weights of the entries of a scene, 0 where one is missing.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
            A scene with the bands of that of `fit`.

        Returns
        -------
        weights : ndarray of shape (n_pixels, n_bands)
            Those at the abundances of ``transform(X)``.

        Raises
        ------
        AttributeError
            Without ``robust="entry"``: entries have no weights then.
        """
        check_is_fitted(self)
        if self._loss.by != "entry":
            raise AttributeError(
                f'Entries have weights for robust="entry"; this is robust="{self._loss.by}".'
            )
        X, _ = validate_scene(self, X, reset=False, allow_nan=True)
        with Workers(self.n_jobs) as workers:
            A, E = self._solve_pixels(X, workers), self.components_.astype(np.float64)
        return entry_weights(X.astype(np.float64), A, E, self._loss).astype(X.dtype)

    def _fit(self, pixels, X):
        check_n_endmembers(self.n_components, *pixels.shape)
        self._check_options()
        seed = check_random_state(self.random_state).randint(2**31)
        with Workers(self.n_jobs) as workers:
            run = Run(self, pixels, workers, seed)
            self.lambda_ = self.alpha * run.power
            with iterate_with_callbacks(self, self.max_iter, X, attributes=run.as_fitted) as report:
                E, weights, trace = MODELS[self.model](
                    self, run, report=report if report.active else None
                )
                vars(self).update(run.as_fitted(E, weights))
                self.objective_, self.n_iter_ = np.array(trace.objective), trace.n_iter
                self.stopped_by_callback_ = trace.stop == "callback"
                A = self._transform(pixels, workers)
        warn_if_not_converged(trace, self.max_iter, self.tol)
        return A

    def _check_options(self):
        if self.alpha > 0 and (self.model != "nmf" or self.sum_to_one):
            raise ValueError(
                f'alpha={self.alpha} needs model="nmf" and sum_to_one=False; got '
                f'model="{self.model}" and sum_to_one={self.sum_to_one}. Where abundances sum to '
                "one their l1 norm is constant."
            )
        if self.model != "nmf" and not isinstance(self.init, str):
            raise ValueError(
                'init takes endmembers with model="nmf" only: archetypes are mixtures of pixels. '
                f'Got model="{self.model}".'
            )

    def _start(self, run):
        """Endmembers at the start of NMF."""
        if isinstance(self.init, str):
            vca = VCA(
                self.n_components, n_init=self.n_init, random_state=run.seed, n_jobs=self.n_jobs
            )
            E = vca.fit(run.scene.complete()).components_.astype(np.float64)
            return np.maximum(E, 0) if self.nonnegative else E
        E = check_array(
            self.init, dtype=np.float64, ensure_non_negative=self.nonnegative, input_name="init"
        )
        shape = (self.n_components, len(run.known))
        if E.shape != shape:
            raise ValueError(f"init has shape {E.shape}; endmembers here have shape {shape}.")
        return E[:, run.known]

    def _transform(self, X, workers):
        return self._solve_pixels(X, workers).astype(X.dtype, copy=False)

    def _solve_pixels(self, X, workers):
        E = self.components_.astype(np.float64)
        # Where endmembers are interpolated, the scene says nothing about abundances.
        bands = np.where(self.band_weights_ >= RUINED, self.band_weights_, 0.0)
        if not bands.any():
            bands = self.band_weights_.astype(np.float64)
        if self._loss.by == "entry":
            known = (bands > 0).astype(np.float64)
            return entry_abundances(
                X,
                E,
                self._loss,
                workers,
                to_one=self.sum_to_one,
                l1=self.lambda_,
                band_weights=known,
            )
        if self.lambda_ > 0:
            return penalized_abundances(X, E, self.lambda_, bands, workers)
        method = "fcls" if self.sum_to_one else "nnls"
        return abundances_of(X, E, method, workers, band_weights=bands)
