"""Noise of each band, by regression on the other bands, from their moments alone.

The residuals of all regressions come from one inverse K of the bands' moments M: those of band l
are Y K e_l / K_ll and their mean square is 1 / K_ll, so no array of the size of the scene is made.

References
----------
J. M. Bioucas-Dias and J. M. P. Nascimento, "Hyperspectral Subspace Identification", IEEE TGRS 46,
2008.
"""

import numpy as np

# Added to the diagonal of the bands' correlations: a noise that is 100 dB below the signal, so
# that scenes without noise have an inverse.
FLOOR = 1e-10


def band_noise(M, n_pixels, *, centred=True):
    """Standard deviation of the noise of each band.

    Parameters
    ----------
    M : ndarray of shape (n_bands, n_bands)
        The covariance of the bands, or their second moments about zero.
    n_pixels : int
        Number of pixels that M is the mean over.
    centred : bool, default=True
        Whether M is a covariance.

    Returns
    -------
    sigma : ndarray of shape (n_bands,)
        0 for bands without variance.

    Notes
    -----
    What the other bands can't predict of a band is called its noise. Its mean square is made
    unbiased by the degrees of freedom of the regression. Where there are fewer than two pixels a
    band, a band is predicted from its neighbours only, as many as there are two pixels for.
    """
    unexplained, _, n_regressors = _regressions(M, n_pixels)
    n_free = max(n_pixels - n_regressors - centred, 1)
    relative = np.sqrt(np.clip(unexplained * n_pixels / n_free, 0, 1))
    return relative * np.sqrt(np.diag(M))


def relative_noise(sigma, M):
    """Noise of each band relative to its standard deviation, 1 for a band without variance."""
    live = live_bands(M)
    return np.where(live, sigma / np.sqrt(np.where(live, np.diag(M), 1.0)), 1.0)


def live_bands(M):
    """Which bands vary by more than rounding errors of the most varying one."""
    variances = np.diag(M)
    return variances > 1e-20 * variances.max(initial=0.0)


def noise_maps(M, n_pixels):
    """The matrix B of the regressions, of shape (n_bands, n_bands): the noise is Ŵ = Y B.

    Ŵᵀ Ŵ / n is then ``B.T @ M @ B``, and that of the signal Y − Ŵ likewise, with I − B.
    """
    return _regressions(M, n_pixels)[1]


def _regressions(M, n_pixels):
    """Unexplained fraction of the variance of each band, B, and the number of regressors."""
    n_bands = len(M)
    unexplained, B = np.zeros(n_bands), np.zeros((n_bands, n_bands))
    live = np.flatnonzero(live_bands(M))
    scale = np.sqrt(np.diag(M)[live])
    R = M[np.ix_(live, live)] / np.outer(scale, scale)
    R[np.diag_indices(len(R))] = 1 + FLOOR
    n_live = len(live)
    if n_pixels >= 2 * n_live:
        n_regressors = max(n_live - 1, 0)
        K = _inverse(R)
        unexplained[live] = 1 / np.diag(K)
        B[np.ix_(live, live)] = K / np.diag(K) * (scale / scale[:, None])
        return unexplained, B, n_regressors
    n_regressors = max(n_pixels // 2 - 1, 0)
    for band in range(n_live):
        first = min(max(band - n_regressors // 2, 0), n_live - 1 - n_regressors)
        window = np.arange(first, first + n_regressors + 1)
        k = _inverse(R[np.ix_(window, window)])[:, band - first]
        own = k[band - first]
        unexplained[live[band]] = 1 / own
        B[live[window], live[band]] = k / own * (scale[band] / scale[window])
    return unexplained, B, n_regressors


def _inverse(R):
    """Inverse of a correlation matrix, by its eigenvalues: rounding errors can't be negative."""
    values, vectors = np.linalg.eigh(R)
    return (vectors / np.maximum(values, FLOOR)) @ vectors.T
