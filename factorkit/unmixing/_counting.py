"""How many endmembers a scene has."""

from numbers import Integral, Real

import numpy as np
from scipy.special import gammainccinv, ndtri
from sklearn.utils import Bunch, check_array

from ..utils._sklearn import Interval, StrOptions, validate_params
from ..utils._threads import Workers
from ._noise import FLOOR, band_noise, live_bands, noise_maps
from ._scene import pixels_of
from ._subspace import scene_moments

# Rounds in which noise and number of endmembers settle; two or three are usual.
_MAX_ROUNDS = 10


@validate_params(
    {
        "X": ["array-like"],
        "method": [StrOptions({"rmt", "hysime", "hfc", "nwhfc"})],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def estimate_n_endmembers(X, *, method="rmt", alpha=1e-4, n_jobs=None):
    """Estimate the number of endmembers of a scene.

    A scene of k endmembers lies in k dimensions but for its noise, so this counts the dimensions
    that stand out of the noise: those where a *criterion* is above a *threshold*.

    Parameters
    ----------
    X : array-like of shape (n_pixels, n_bands) or (n_rows, n_columns, n_bands)
        The scene, without missing entries. Bands that never vary are left out.

    method : {"rmt", "hysime", "hfc", "nwhfc"}, default="rmt"
        "rmt", by random matrix theory: eigenvalues of the second moments of the bands, each band
        divided by its noise, against the largest that noise alone would have [1]_ [2]_ [5]_.
        "hysime": power of the scene in the principal directions of its signal, against twice
        that of the noise [3]_. "hfc": eigenvalues of the second moments less those of the
        covariance, against their standard errors [4]_; "nwhfc" is the same on bands divided by
        their noise.

    alpha : float, default=1e-4
        Probability of taking noise for an endmember, of all but "hysime".

    n_jobs : int or None, default=None
        Number of threads; None takes as many as BLAS may use, -1 all processors.

    Returns
    -------
    count : Bunch
        With the attributes:

        n_endmembers : int
            How many components are above the threshold. 0 for noise alone, and for a scene
            that never varies.
        criterion, threshold : ndarray of shape (n_live_bands,)
            Of each component; what is compared.
        noise : ndarray of shape (n_bands,)
            Standard deviation of the noise of each band; 0 for one that never varies.
        criterion_name : str
            What the criterion is, for the axis of a picture.

    Raises
    ------
    ValueError
        For missing or infinite values, and fewer than two pixels.

    See Also
    --------
    factorkit.plotting.EndmemberCountDisplay : Draws what was compared.

    Notes
    -----
    Noise is taken to be independent from band to band and pixel to pixel, of any size in each
    band. Real scenes have dimensions without a material: shadow, nonlinear mixtures, materials
    that vary, stripes, outlying pixels. What is counted there is an upper guide; leave out what is
    known to be ruined, as in ``X[good_pixels][:, good_bands]``.

    On generated scenes (smooth spectra, uniform abundances, 3 to 10 endmembers, 4096 pixels × 150
    bands, 30 dB) "rmt" was right in all, "hysime" in 8 of 10, "hfc" and "nwhfc" in 3 of 10: these
    find too few, but that "hfc" finds too many where the noise varies from band to band. With
    fewer than two pixels a band the noise is hardly known: "rmt" then finds too few, "hysime" far
    too many.

    "rmt" starts from the noise that regression on the other bands leaves, which is too large
    where a band carries much of a component, and estimates it again outside the components
    found, until their number stays. X is read once, by blocks; all the rest works on matrices of
    bands × bands.

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

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit.unmixing import estimate_n_endmembers
    >>> rng = np.random.default_rng(0)
    >>> E = rng.random((4, 50))
    >>> X = rng.dirichlet(np.ones(4), 900) @ E + 0.01 * rng.standard_normal((900, 50))
    >>> estimate_n_endmembers(X).n_endmembers
    4
    """
    X = check_array(
        pixels_of(X)[0], dtype=[np.float64, np.float32], ensure_min_samples=2, input_name="X"
    )
    count, name = _METHODS[method]
    with Workers(n_jobs) as workers:
        n, mean, C = scene_moments(X, workers)
        live = live_bands(C)
        mean, C = mean[live], C[np.ix_(live, live)]
        noise = np.zeros(X.shape[1])
        if not live.any():
            criterion = threshold = np.zeros(0)
        else:
            criterion, threshold, noise[live] = count(n, mean, C, alpha)
    return Bunch(
        n_endmembers=int((criterion > threshold).sum()),
        criterion=criterion,
        threshold=threshold,
        noise=noise,
        criterion_name=name,
    )


def _rmt(n, mean, C, alpha):
    """Eigenvalues on noise of unit variance, against the edge of those of noise."""
    variances = band_noise(C, n) ** 2
    # What is below the floor is rounding: on a scene without noise it must not be divided by.
    floor = FLOOR * np.diag(C)
    M = C + np.outer(mean, mean) + np.diag(floor)
    found = None
    for _ in range(_MAX_ROUNDS):
        whitened = M / np.sqrt(np.outer(variances, variances))
        values, vectors = np.linalg.eigh(whitened)
        values = np.maximum(values[::-1], 0)
        thresholds = _noise_edges(values, n, alpha)
        last, found = found, int((values > thresholds).argmin())
        if found == last:
            break
        # The variance of each band off the components, over what of the band is off them.
        V = vectors[:, ::-1][:, :found]
        off = np.eye(len(M)) - V @ V.T
        left = np.einsum("ij,ij->i", off @ whitened, off) / np.maximum(np.diag(off), 0.1)
        variances = np.maximum(variances * left, floor)
    # The test ends at the first component that fails; what comes after it fails as well.
    thresholds[found:] = np.maximum(thresholds[found:], thresholds[found])
    return values, thresholds, np.sqrt(variances)


def _noise_edges(values, n, alpha):
    """What the (k+1)th eigenvalue has to exceed where k components are given, for all k.

    The last is never exceeded.
    """
    p = len(values)
    # The law of Tracy and Widom for the largest eigenvalue, as a shifted gamma law: reference 5
    # of `estimate_n_endmembers`.
    quantile = 0.186054 * gammainccinv(46.446, alpha) - 9.84801
    edges = np.full(p, np.inf)
    for k in range(min(p, n) - 1):
        a, b = np.sqrt(n - 0.5), np.sqrt(p - k - 0.5)
        spread = (a + b) * (1 / a + 1 / b) ** (1 / 3)
        edges[k] = _noise_variance(values, k, n) * ((a + b) ** 2 + quantile * spread) / n
    return edges


def _noise_variance(values, k, n):
    """Variance of the noise where k eigenvalues belong to components, which noise has raised."""
    p = len(values)
    rest, top = values[k:].sum(), values[:k]
    variance = rest / (p - k)
    for _ in range(50):
        b = top + variance * (1 - (p - k) / n)
        true = (b + np.sqrt(np.maximum(b**2 - 4 * top * variance, 0))) / 2
        last, variance = variance, max((rest + (top - true).sum()) / (p - k), 0.0)
        if abs(variance - last) <= 1e-10 * last:
            break
    return variance


def _hysime(n, mean, C, alpha):
    M = C + np.outer(mean, mean)
    B = noise_maps(M, n)
    rest = np.eye(len(M)) - B
    noise = np.maximum(np.diag(B.T @ M @ B), 0)
    directions = np.linalg.eigh(rest.T @ M @ rest)[1]
    power = np.einsum("ij,ij->j", directions, M @ directions)
    # Both are rounding errors where there is no noise, hence the floor.
    threshold = 2 * (noise + FLOOR * np.diag(M).mean()) @ directions**2
    order = np.argsort(threshold - power)
    return power[order], threshold[order], np.sqrt(noise)


def _hfc(n, mean, C, alpha):
    return *_eigenvalue_differences(n, mean, C, alpha), band_noise(C, n)


def _nwhfc(n, mean, C, alpha):
    noise = band_noise(C, n)
    return *_eigenvalue_differences(n, mean / noise, C / np.outer(noise, noise), alpha), noise


def _eigenvalue_differences(n, mean, C, alpha):
    C = C + FLOOR * np.diag(np.diag(C))
    moments = np.linalg.eigvalsh(C + np.outer(mean, mean))[::-1]
    variances = np.linalg.eigvalsh(C)[::-1]
    error = np.sqrt(2 * (moments**2 + variances**2) / n)
    return moments - variances, -ndtri(alpha) * error


_DIFFERENCE = "Second moment less variance"
_METHODS = {
    "rmt": (_rmt, "Second moment over noise variance"),
    "hysime": (_hysime, "Second moment"),
    "hfc": (_hfc, _DIFFERENCE),
    "nwhfc": (_nwhfc, f"{_DIFFERENCE} (whitened)"),
}


def n_dimensions(n, mean, C):
    """Number of components that stand out of the noise, by "rmt", from the moments of a scene."""
    live = live_bands(C)
    if not live.any():
        return 0
    values, thresholds, _ = _rmt(n, mean[live], C[np.ix_(live, live)], 1e-4)
    return int((values > thresholds).sum())
