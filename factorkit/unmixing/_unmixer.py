"""Unmixer: the pipeline from a scene to endmembers and abundances."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from ..utils._convergence import warn_if_not_converged
from ..utils._sklearn import Interval, StrOptions, iterate_with_callbacks
from ..utils._threads import Workers
from ._base import SpectralUnmixing
from ._counting import count_dimensions
from ._evidence import explained_bands, light_evidence, light_is_even
from ._interpolation import interpolate_bands
from ._light import OFFSET
from ._pipeline import extract, flag
from ._refine import beyond_the_pixels
from ._scales import SCALES, choose_scale, scaled_abundances
from ._scene import check_n_endmembers

# Dimensions in which pixels are told apart: more would hold more noise than differences.
_N_COMPARED = 10


class Unmixer(SpectralUnmixing):
    """Unmix a hyperspectral scene: what it is made of, and how much of it is where.

    Write the pixels y_i of a scene as mixtures of the spectra e_j of a few materials,

    .. math:: y_i \\approx \\ell_i \\sum_j a_{ij} e_j, \\qquad a_{ij} \\ge 0, \\quad
        \\sum_j a_{ij} = 1

    where ℓ_i is how much light a pixel gets. Scenes have bands that water vapour absorbs, stripes,
    dead and saturated pixels; these are found first and left out:

    1. A band is flagged where the bands beside it do not predict it, a pixel where no others
       resemble it or where it has no spectrum.
    2. Where the light is uneven, pixels are divided by their brightness plus a constant.
    3. Where neighbours in the image are alike, they are averaged.
    4. Archetypal analysis in a subspace gives the endmembers: mixtures of pixels whose mixtures
       come closest to all pixels [1]_. They are read off in the subspace, where most of the noise
       is gone.
    5. Abundances come from the scene as it was given, by an exact active set.

    Read more in the :ref:`User Guide <unmixing>`.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of endmembers. "auto" counts the dimensions of the scene that stand out of its
        noise and, where it is known how the pixels lie, in which neighbours are alike, as
        :func:`estimate_n_endmembers` does, after the flags: an upper guide on real scenes, whose
        materials vary from field to field.

    flag_bands : bool, default=True
        Whether to look for ruined bands. Those without any value are left out in any case.

    flag_pixels : bool, default=True
        Whether to look for outlying pixels, of which there should be less than a tenth. Those
        without a spectrum are left out in any case.

    normalize : bool or "auto", default="auto"
        Whether to divide pixels by their brightness plus a constant before the extraction. "auto"
        tries without, and does where the endmembers so found fit worse for having to sum to one.

    offset : float, default=0.5
        The constant, relative to the root mean square norm of the pixels. It keeps the noise of
        dark pixels small. Where the light varies widely and the noise is little, .1 takes more of
        the shading away.

    smooth : bool or "auto", default="auto"
        Whether to average each pixel with its eight neighbours, by how alike they are, before the
        extraction. "auto" does where it is known how the pixels lie, where neighbours are nearer
        to each other than random pixels, and where what averaging takes is mostly noise, or
        variants of the materials, rather than fine grain.

    min_volume : bool or "auto", default="auto"
        Whether to move the endmembers beyond the pixels, to the corners of the simplex whose
        facets, blurred by noise, fit them. "auto" does where the light is even, the scene varies
        in no more dimensions than linear mixtures can, and either an endmember has no pure pixel,
        or the facets tell the corners better than the purest pixels do: they are as sharp as the
        noise allows, or pixels crowd there as under a Dirichlet distribution. True does in any
        case, which ruins scenes whose materials vary.

    abundance_scale : {"auto", "area", "lit_area", "soft", "share"}, default="auto"
        What the abundances are shares of, which matters where endmembers differ in brightness.
        "area": of the area, under even light. "lit_area": of the area, whatever the light:
        free abundances divided by their sum. "share": of the light that comes from the pixel.
        "soft": in between; dark pixels tend to "area" and bright ones to "share". "auto" goes by
        what sum-to-one costs and by how free sums spread; it is kept as ``abundance_scale_``.

    n_dimensions : int, default=20
        Dimensions of the subspace of the extraction, where they are more than n_components.

    n_init : int, default=4
        Starts of the archetypes, by VCA. The one of the least residual is kept.

    tol : float, default=1e-5
        The archetypes are done when an iteration lowers the root of their objective by less than
        this part.

    max_iter : int, default=300
        Most iterations.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    wavelengths : array-like of shape (n_bands,) or None, default=None
        Of the bands. None takes the bands to be in order.

    random_state : int, RandomState instance or None, default=None
        For the starts, and for samples of large scenes.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_bands)
        Endmembers, in the units of X. In flagged bands they are what the other
        bands lead to expect along the wavelength.

    n_components_ : int
        Number of endmembers.

    abundances_ : ndarray of shape (n_pixels, n_components_)
        Abundances in the scene of `fit`, flagged pixels included; NaN for pixels without any value.

    band_weights_ : ndarray of shape (n_bands,)
        0 for flagged bands, 1 for the others.

    pixel_weights_ : ndarray of shape (n_pixels,)
        0 for flagged pixels, 1 for the others.

    noise_ : ndarray of shape (n_bands,)
        Standard deviation of the noise of each band, from the bands beside it.

    mixtures_ : list of (pixels, weights)
        For each endmember the few pixels that it is a mixture of, after the normalization.

    normalized_, smoothed_, refined_ : bool
        What "auto" chose: whether brightness was taken away, neighbours were averaged, and
        endmembers moved beyond the pixels.

    abundance_scale_ : str
        What the abundances are shares of.

    light_ratio_ : float
        Residual of abundances that sum to one over that of free ones: 1 under even light.

    light_spread_ : float
        Spread of the sums of free abundances over their median, without that of the noise.

    objective_ : ndarray of shape (n_iter_,)
        Objective of the archetypes after each iteration; it never rises.

    n_iter_ : int
        Number of iterations.

    stopped_by_callback_ : bool
        Whether a callback ended the fit.

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
    ArchetypalAnalysis : The extraction alone.
    CorrentropyUnmixing : Weights for bands, pixels or entries instead of flags.
    LibraryUnmixing : Where the spectra are known.

    Notes
    -----
    Missing entries (NaN) are interpolated along the wavelength for the extraction, and left out of
    the abundances. Memory beyond X: n_pixels × n_dimensions numbers a few times; a copy of X only
    where entries are missing.

    Without pure pixels archetypes lie inside the simplex of the endmembers. `min_volume` mends that
    for linear mixtures; where materials vary, or mix nonlinearly, nothing here does.

    References
    ----------
    .. [1] Y. Chen, J. Mairal and Z. Harchaoui, "Fast and Robust Archetypal Analysis for
       Representation Learning", CVPR 2014.

    Examples
    --------
    >>> from factorkit import Unmixer
    >>> from factorkit.datasets import make_scene
    >>> from factorkit.metrics import matched_components
    >>> scene = make_scene(3, image_shape=(40, 40), ruined_bands=0.2, random_state=0)
    >>> model = Unmixer(3, image_shape=scene.image_shape, random_state=0).fit(scene.data)
    >>> bool(((model.band_weights_ == 0) == scene.ruined_bands).all())
    True
    >>> angles = matched_components(scene.endmembers, model.components_, metric="spectral_angle")[1]
    >>> bool(angles.max() < 0.03)
    True
    """

    _parameter_constraints = {
        **SpectralUnmixing._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "flag_bands": ["boolean"],
        "flag_pixels": ["boolean"],
        "normalize": ["boolean", StrOptions({"auto"})],
        "offset": [Interval(Real, 0, None, closed="neither")],
        "smooth": ["boolean", StrOptions({"auto"})],
        "min_volume": ["boolean", StrOptions({"auto"})],
        "abundance_scale": [StrOptions({"auto", *SCALES})],
        "n_dimensions": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    _allow_nan = True

    def __init__(
        self,
        n_components="auto",
        *,
        flag_bands=True,
        flag_pixels=True,
        normalize="auto",
        offset=OFFSET,
        smooth="auto",
        min_volume="auto",
        abundance_scale="auto",
        n_dimensions=20,
        n_init=4,
        tol=1e-5,
        max_iter=300,
        image_shape=None,
        wavelengths=None,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.flag_bands = flag_bands
        self.flag_pixels = flag_pixels
        self.normalize = normalize
        self.offset = offset
        self.smooth = smooth
        self.min_volume = min_volume
        self.abundance_scale = abundance_scale
        self.n_dimensions = n_dimensions
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.image_shape = image_shape
        self.wavelengths = wavelengths
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, pixels, X):
        if self.n_components != "auto":
            check_n_endmembers(self.n_components, *pixels.shape)
        if self.smooth is True and self.image_shape_ is None:
            raise ValueError(
                "smooth=True averages neighbours: give the scene as an array of n_rows × "
                "n_columns × n_bands, or image_shape=(n_rows, n_columns)."
            )
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        positions = np.arange(pixels.shape[1]) if self.wavelengths_ is None else self.wavelengths_
        order = np.argsort(positions, kind="stable")
        with (
            Workers(self.n_jobs) as workers,
            iterate_with_callbacks(self, 2 * self.max_iter, X) as report,
        ):
            flags, filled = flag(
                pixels,
                _N_COMPARED if self.n_components == "auto" else max(_N_COMPARED, self.n_components),
                order,
                workers,
                rng,
                flag_bands=self.flag_bands,
                flag_pixels=self.flag_pixels,
                offset=self.offset,
            )
            k = self._resolve_components(filled, flags, workers)
            self._set_flags(flags, k)
            E, found, evidence = self._extract(
                filled, k, max(self.n_dimensions, k + 1), flags, workers, rng, report
            )
            acquitted, values = explained_bands(filled, E, flags, positions, workers)
            E[:, acquitted] = values
            if self.flag_bands and len(acquitted):
                flags.bands[acquitted] = True
                self._set_flags(flags, k)
            del filled
            E = interpolate_bands(E, flags.bands, positions)
            self._set_endmembers(E.astype(pixels.dtype), found, evidence)
            self.stopped_by_callback_ = report.stopped
            A = self._transform(pixels, workers)
        warn_if_not_converged(found.trace, self.max_iter, self.tol)
        return A

    def _transform(self, X, workers):
        return scaled_abundances(
            X,
            self.components_.astype(np.float64, copy=False),
            self.abundance_scale_,
            self._light,
            self.band_weights_ > 0,
            workers,
        )

    def _resolve_components(self, Y, flags, workers):
        if self.n_components != "auto":
            return self.n_components
        count = count_dimensions(
            Y, workers, image_shape=self.image_shape_, pixels=flags.pixels, bands=flags.bands
        )
        most = min(int(flags.bands.sum()), int(flags.pixels.sum()))
        return min(max(count.n_endmembers, 1), most)

    def _extract(self, Y, k, d, flags, workers, rng, report):
        """Endmembers, with the brightness taken away where that is wanted or needed."""

        def attempt(normalize):
            found = extract(
                Y,
                k,
                d,
                flags,
                workers,
                rng,
                normalize=normalize,
                graph_shape=self.image_shape_ if self.smooth else None,
                force_smooth=self.smooth is True,
                n_init=self.n_init,
                tol=self.tol,
                max_iter=self.max_iter,
                report=self._reporter(report, flags) if report.active else None,
            )
            E = self._refine(Y, found, d, flags, workers, rng)
            self.refined_ = E is not None
            E = found.spectra if E is None else E
            return E, found, light_evidence(Y, E, flags, workers, rng)

        if self.normalize == "auto":
            E, found, evidence = attempt(False)
            if light_is_even(*evidence) or found.trace.stop == "callback":
                return E, found, evidence
        return attempt(self.normalize is not False)

    def _refine(self, Y, found, d, flags, workers, rng):
        """Endmembers beyond the pixels, or None."""
        force = self.min_volume is True
        normalized = found.scale is not None
        # Brightness scales the noise of each pixel, which the test would have to know.
        if not force and (self.min_volume is False or normalized):
            return None
        E = beyond_the_pixels(
            Y,
            found.normalized_spectra,
            d,
            flags,
            workers,
            rng,
            scale=found.scale,
            graph_shape=self.image_shape_ if found.smoothed else None,
            force=force,
        )
        return flags.light.undo(E) if E is not None and normalized else E

    def _reporter(self, report, flags):
        """What the extraction calls after an iteration."""
        positions = np.arange(len(flags.bands)) if self.wavelengths_ is None else self.wavelengths_

        def after(objective, spectra):
            def attributes():
                E = interpolate_bands(spectra(), flags.bands, positions)
                return {
                    "components_": E,
                    "n_components_": len(E),
                    "abundance_scale_": "area",
                    "band_weights_": flags.bands.astype(np.float64),
                    "_light": flags.light,
                }

            return report(objective, attributes)

        return after

    def _set_flags(self, flags, k):
        self.n_components_ = k
        self.band_weights_ = flags.bands.astype(np.float64)
        self.pixel_weights_ = flags.pixels.astype(np.float64)
        self.noise_ = flags.noise
        self._light = flags.light

    def _set_endmembers(self, E, found, evidence):
        self.components_ = E
        self.mixtures_ = list(zip(found.mixtures.members, found.mixtures.weights, strict=True))
        self.normalized_, self.smoothed_ = found.scale is not None, found.smoothed
        self.light_ratio_, self.light_spread_ = evidence
        self.abundance_scale_ = self.abundance_scale
        if self.abundance_scale == "auto":
            self.abundance_scale_ = choose_scale(*evidence)
        self.objective_ = np.array(found.trace.objective)
        self.n_iter_ = found.trace.n_iter
