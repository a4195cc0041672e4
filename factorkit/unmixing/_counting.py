"""How many endmembers a scene has."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_array

from ..utils._sklearn import Interval, StrOptions, validate_params
from ..utils._threads import Workers
from ._coherence import coherent_factors, neighbour_moments, shared_variation
from ._dimensions import hfc, hysime, nwhfc, rmt
from ._noise import FLOOR, live_bands
from ._scene import agreed_shape, check_magnitude, pixels_of
from ._subspace import principal_directions, scene_moments

# Neighbours tell materials from variants where they have this part of the variation in common, of
# which a factor with two thirds of that correlation has to stand out.
_COHERENT, _SEEN = 0.25, 2 / 3

_DIFFERENCE = "Second moment less variance"
_BY_MOMENTS = {
    "rmt": (rmt, "Second moment over noise variance"),
    "hysime": (hysime, "Second moment"),
    "hfc": (hfc, _DIFFERENCE),
    "nwhfc": (nwhfc, f"{_DIFFERENCE} (whitened)"),
}


@validate_params(
    {
        "X": ["array-like"],
        "method": [StrOptions({"auto", "spatial", *_BY_MOMENTS})],
        "alpha": [Interval(Real, 1e-12, 1, closed="left")],
        "image_shape": ["array-like", None],
        "mask": ["array-like", None],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def estimate_n_endmembers(
    X, *, method="auto", alpha=1e-4, image_shape=None, mask=None, n_jobs=None
):
    """Estimate the number of endmembers of a scene.

    A scene of k endmembers lies in k dimensions but for its noise, so this counts the dimensions
    that stand out of the noise: those where a *criterion* is above a *threshold*. Materials that
    vary from pixel to pixel have further dimensions; in an image these are told by that they differ
    between neighbours, while there is much the same of a material in both.

    Parameters
    ----------
    X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
        The scene, without missing entries in the pixels taken. Bands that never vary are left out.

    method : {"auto", "spatial", "rmt", "hysime", "hfc", "nwhfc"}, default="auto"
        "spatial": of the dimensions that "rmt" counts, those in which neighbouring pixels are alike
        [6]_ [7]_; for images of materials in patches. "rmt", by random matrix theory: eigenvalues
        of the second moments of the bands, each band divided by its noise, against the largest
        that noise alone would have [1]_ [2]_ [5]_. "auto": "spatial" where it is known how the
        pixels lie and neighbours have more than a quarter of the variation in common, in an image
        large enough to see it; else "rmt".

        "hysime": power of the scene in the principal directions of its signal, against twice
        that of the noise [3]_. "hfc": eigenvalues of the second moments less those of the
        covariance, against their standard errors [4]_; "nwhfc" is the same on bands divided by
        their noise.

    alpha : float, default=1e-4
        Probability of taking noise for an endmember, of all but "hysime"; and of taking a
        dimension for one whose pixels are independent, of "spatial". At least 1e-12.

    image_shape : tuple of int or None, default=None
        Rows and columns of the scene, where X is pixels × bands.

    mask : array-like of bool of shape (n_pixels,) or (n_rows, n_columns), or None, default=None
        The pixels to take. The others may hold NaN; None takes all.

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Returns
    -------
    count : Bunch
        With the attributes:

        n_endmembers : int
            How many components are above the threshold. 0 for noise alone, and for a scene
            that never varies.
        criterion, threshold : ndarray of shape (n_components,)
            Of each component; what is compared. There are as many components as bands that
            vary; for "spatial", as many as "rmt" counts.
        noise : ndarray of shape (n_bands,)
            Standard deviation of the noise of each band; 0 for one that never varies.
        criterion_name : str
            What the criterion is, for the axis of a picture.
        method : str
            What "auto" chose, or the method given.
        shared_variation : float
            Part of the variation that neighbours have in common, which "auto" goes by; NaN where
            neighbours were not compared.

    Raises
    ------
    ValueError
        For missing or infinite values, fewer than two pixels, an `image_shape` or `mask` that does
        not fit X, and "spatial" where it is not known which pixels are neighbours.

    Warns
    -----
    UserWarning
        For "spatial", where the image is too small to see what neighbours have in common.

    See Also
    --------
    factorkit.plotting.EndmemberCountDisplay : Draws what was compared.

    Notes
    -----
    Noise is taken to be independent from band to band and pixel to pixel, of any size in each
    band. Real scenes have dimensions without a material: shadow, nonlinear mixtures, materials
    that vary from field to field, stripes, outlying pixels. What is counted there is an upper
    guide; leave out what is known to be ruined, as in
    ``estimate_n_endmembers(X[:, good_bands], image_shape=shape, mask=good_pixels)``.

    **Neighbours.** With the coordinates z_i of the pixels in the dimensions that "rmt" finds,
    "spatial" takes the second moments about zero over the m pairs of pixels that are next to each
    other in a row or a column,

    .. math:: S = \\frac{1}{2m} \\sum_{(i,j)} (z_i z_j^T + z_j z_i^T), \\qquad
        T = \\frac{1}{2m} \\sum_{(i,j)} (z_i z_i^T + z_j z_j^T),

    and counts the ρ of S g = ρ T g, the correlations of neighbours in the factors gᵀz, that are
    above what factors of independent pixels would have. What is independent from pixel to pixel has
    no part in the expectation of S, whatever its size in each pixel. The threshold comes from
    draws of S with random signs of the pixels, outside of the factors found; the draws have a fixed
    seed. It counts as a dimension whatever is smooth, a variation of a material from field to field
    too; and it overlooks a material that is only in scattered single pixels.

    **Figures.** On generated scenes (3 to 10 endmembers in patches, 4096 pixels × 150 bands,
    30 dB) "spatial" and "rmt" were right in all; where the endmembers varied by a tenth from pixel
    to pixel, "spatial" was right in all and "rmt" in none. On uniform abundances "rmt" was right
    in all, "hysime" in 8 of 10, "hfc" and "nwhfc" in 3 of 10: these find too few, but that "hfc"
    finds too many where the noise varies from band to band. With fewer than two pixels a band the
    noise is hardly known: "rmt" then finds too few, "hysime" far too many.

    "rmt" starts from the noise that regression on the other bands leaves, which is too large
    where a band carries much of a component, and estimates it again outside the components
    found, until their number stays. X is read by blocks, once, and once more for neighbours; all
    the rest works on matrices of bands × bands.

    References
    ----------
    .. [1] S. Kritchman and B. Nadler, "Non-Parametric Detection of the Number of Signals:
       Hypothesis Testing and Random Matrix Theory", IEEE Transactions on Signal Processing 57,
       2009.
    .. [2] K. Cawse-Nicholson, S. B. Damelin, A. Robin and M. Sears, "Determining the Intrinsic
       Dimension of a Hyperspectral Image Using Random Matrix Theory", IEEE Transactions on Image
       Processing 22, 2013.
    .. [3] J. M. Bioucas-Dias and J. M. P. Nascimento, "Hyperspectral Subspace Identification",
       IEEE Transactions on Geoscience and Remote Sensing 46, 2008.
    .. [4] C.-I Chang and Q. Du, "Estimation of Number of Spectrally Distinct Signal Sources in
       Hyperspectral Imagery", IEEE Transactions on Geoscience and Remote Sensing 42, 2004.
    .. [5] M. Chiani, "Distribution of the Largest Eigenvalue for Real Wishart and Gaussian Random
       Matrices and a Simple Approximation for the Tracy-Widom Distribution", Journal of
       Multivariate Analysis 129, 2014.
    .. [6] P. Switzer and A. A. Green, "Min/Max Autocorrelation Factors for Multivariate Spatial
       Imagery", Stanford University, Department of Statistics, Technical Report 6, 1984.
    .. [7] A. A. Green, M. Berman, P. Switzer and M. D. Craig, "A Transformation for Ordering
       Multispectral Data in Terms of Image Quality with Implications for Noise Removal", IEEE
       Transactions on Geoscience and Remote Sensing 26, 1988.

    Examples
    --------
    >>> from factorkit.datasets import make_scene
    >>> from factorkit.unmixing import estimate_n_endmembers
    >>> scene = make_scene(4, variability=0.1, random_state=0)
    >>> count = estimate_n_endmembers(scene.data, image_shape=scene.image_shape)
    >>> count.n_endmembers, count.method
    (4, 'spatial')

    Without the image, variants of a material count:

    >>> count = estimate_n_endmembers(scene.data)
    >>> count.n_endmembers > 4, count.method
    (True, 'rmt')
    """
    X, found_shape = pixels_of(X)
    X = check_array(
        X,
        dtype=[np.float64, np.float32],
        ensure_min_samples=2,
        ensure_all_finite="allow-nan",
        input_name="X",
    )
    if mask is None and np.isnan(X.sum(dtype=np.float64)):
        raise ValueError(
            "X contains NaN. Give mask=, the pixels to take, or leave out the bands that lack "
            "values."
        )
    check_magnitude(X)
    image_shape = agreed_shape(image_shape, found_shape, len(X))
    if method == "spatial" and image_shape is None:
        raise ValueError(
            'method="spatial" compares neighbours: give the scene as an array of n_rows × '
            "n_columns × n_bands, or image_shape=(n_rows, n_columns)."
        )
    pixels = None if mask is None else _check_mask(mask, X, found_shape or image_shape)
    with Workers(n_jobs) as workers:
        count = count_dimensions(X, workers, method, alpha, image_shape=image_shape, pixels=pixels)
    if method == "spatial" and count.shared_variation > _COHERENT and _too_small(count):
        warnings.warn(
            f"Neighbours have {count.shared_variation:.2f} of the variation in common, but in so "
            f"small an image independent pixels may reach {count.threshold.min():.2f}: materials "
            'are overlooked. method="auto" takes "rmt" here.',
            UserWarning,
            stacklevel=2,
        )
    return count


def count_dimensions(
    Y, workers, method="auto", alpha=1e-4, *, image_shape=None, pixels=None, bands=None
):
    """What `estimate_n_endmembers` returns, of the pixels and bands taken, which are masks."""
    n, mean, C = scene_moments(Y, workers, pixels=pixels, bands=bands)
    live = live_bands(C)
    noise = np.zeros(Y.shape[1])
    by = method if method in _BY_MOMENTS else "rmt"
    criteria, name = _BY_MOMENTS[by]
    criterion = threshold = np.zeros(0)
    if live.any():
        criterion, threshold, noise[live] = criteria(n, mean[live], C[np.ix_(live, live)], alpha)
    count = _count(by, criterion, threshold, noise, name)
    if method == "spatial" or (method == "auto" and image_shape is not None):
        spatial = _spatial(Y, workers, mean, C, count, alpha, image_shape, pixels, bands)
        if method == "spatial" and np.isnan(spatial.shared_variation):
            raise ValueError('method="spatial" compares neighbours; no two pixels taken are such.')
        if method == "spatial" or _neighbours_tell(spatial):
            return spatial
        count.shared_variation = spatial.shared_variation
    return count


def _count(method, criterion, threshold, noise, name, shared=np.nan):
    return Bunch(
        n_endmembers=int((criterion > threshold).sum()),
        criterion=criterion,
        threshold=threshold,
        noise=noise,
        criterion_name=name,
        method=method,
        shared_variation=shared,
    )


def _spatial(Y, workers, mean, C, by_noise, alpha, image_shape, pixels, bands):
    """Which of the dimensions that stand out of the noise are coherent."""
    noise = by_noise.noise
    # Bands that never vary are without noise, and left out.
    weights = np.where(noise > 0, 1 / np.where(noise > 0, noise, 1), 0)
    M = (C + np.outer(mean, mean) + FLOOR * np.diag(np.diag(C))) * np.outer(weights, weights)
    vectors, _ = principal_directions(M, by_noise.n_endmembers)
    vectors = vectors * weights
    moments = neighbour_moments(Y, vectors, image_shape, workers, pixels=pixels, bands=bands)
    factors = coherent_factors(moments, alpha)
    shared = shared_variation(moments, vectors @ mean)
    return _count("spatial", *factors, noise, "Correlation of neighbours", shared)


def _neighbours_tell(spatial):
    """Whether there are patches, in an image large enough to see which factors make them."""
    return spatial.shared_variation > _COHERENT and not _too_small(spatial)


def _too_small(spatial):
    """Whether factors as alike in neighbours as the variation is would not stand out."""
    # The lowest threshold: those of factors that few pixels make say nothing about the image.
    return spatial.threshold.min(initial=np.inf) >= _SEEN * spatial.shared_variation


def _check_mask(mask, X, image_shape):
    """The mask as an array of n_pixels, or ValueError."""
    mask = np.asarray(mask)
    if image_shape is None and mask.dtype == bool and mask.ndim == 2 and mask.size == len(X):
        raise ValueError(
            f"mask has the shape {mask.shape} of an image: give image_shape={mask.shape} too, or "
            "mask.ravel()."
        )
    shapes = [(len(X),)] if image_shape is None else [(len(X),), image_shape]
    if mask.dtype != bool or mask.shape not in shapes:
        raise ValueError(
            f"mask must be boolean, of shape {' or '.join(map(str, shapes))}. Got {mask.dtype} of "
            f"shape {mask.shape}."
        )
    mask = mask.ravel()
    if mask.sum() < 2:
        raise ValueError(f"mask takes {mask.sum()} pixels; at least 2 are needed.")
    # Infinite values are refused already, so only NaN makes a sum one.
    if np.isnan(X.sum(axis=1, dtype=np.float64)[mask]).any():
        raise ValueError("X contains NaN in pixels that mask takes.")
    return mask
