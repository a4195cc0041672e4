"""When corners that `_min_volume` or `_crowded_facets` find are to be trusted, without a truth to
compare with.

References
----------
I. M. Johnstone, "On the Distribution of the Largest Eigenvalue in Principal Components Analysis",
Annals of Statistics 29, 2001.
"""

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from ._min_volume import SHARPEST, inverse_map, lifted, principal

# What the .9 quantile of the distances of pixels outside a facet may be (1.64 for normal noise),
# and by what part the purest pixel may fall short of pure, beyond the noise. Over 120 linear scenes
# with pure pixels (3 to 6 endmembers, 20 to 40 dB) they went up to 2.1 and .015.
_WIDEST, _SHORT = 2.2, 0.02
# A corner of which the purest pixel is less than half is a matter of belief: so ended 20 dB scenes
# of nine endmembers whose pixels were pure, with a corner many heights of the simplex away.
_PUREST = 0.5
# The median and the .9 quantile that normal noise may have (.67 and 1.64 without sampling errors).
# Of 97 scenes with pure pixels in patches (3 to 6 endmembers, 20 to 40 dB) 87 were below. Where
# abundances crowd at the facets, as those of a Dirichlet distribution with concentration below 1,
# one of them is above in nearly all.
_NORMAL = {0.5: 0.74, 0.9: 1.75}
# The noise of averages differs from pixel to pixel, so that only the median tells. In patches it
# was at most .78; where neighbours mix, mostly more.
_AVERAGED = {0.5: 0.78}
# How far the distribution of an abundance may be from the one fitted (Kolmogorov and Smirnov). Over
# 30 Dirichlet scenes (3 to 10 endmembers, 20 to 40 dB) it went up to .032; over as many of patches
# it was .039 or more.
_MISFIT = 0.035
# The purest hundredth decides where corners are, and hardly shows in that distance. In 118
# Dirichlet scenes (3 to 8 endmembers, 20 to 40 dB) up to 1.25 times as many as expected were as
# pure; in 41 logistic-normal ones with pure pixels 1.4 or more, and archetypes were mostly nearer.
_PURE_PART, _TOO_MANY = 0.01, 1.35
# The .9 quantile of the distances outside, as above, where archetypes of averages tell that there
# are no pure pixels, and not the pixels: capped abundances blur the facets too. With pure pixels in
# patches (3 to 7 endmembers, 20 and 30 dB) archetypes fell short by no more than .007.
_WIDEST_SHORT = 2.6
# One that is less pure than this, where others are purer, tells of a facet out of place: so ended
# scenes with a material that few pixels hold. Of 22 scenes in which archetypes of averages gained
# from facets the least was .80.
_RARELY_LESS = 0.77
_N_LEVELS = 1000


def varies_as_a_simplex(X, k, sigma, *, n_bands=None):
    """Whether pixels vary beyond k − 1 dimensions by no more than noise does.

    Endmembers that differ from pixel to pixel, or mix nonlinearly, don't pass; so the scenes that
    pass are few, and there is no need to run :func:`min_volume` on others.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Pixels, not smoothed, in at least k dimensions; with fewer there is no telling: False.
    k : int
        Number of endmembers.
    sigma : float
        Standard deviation of the noise of a coordinate.
    n_bands : int or None, default=None
        Number of bands that the coordinates are principal directions of; None: of n_features.

    Returns
    -------
    bool
    """
    n, d = X.shape
    if d < k or sigma <= 0:
        return False
    largest = principal(X, k)[2][k - 1]
    return bool(largest <= _largest_noise(n, (n_bands or d) - (k - 1)) * sigma**2)


def lacks_pure_pixels(X, Z, sigma, *, n_bands=None):
    """Whether a linear scene has an endmember of which no pixel is pure.

    Parameters
    ----------
    Z : ndarray of shape (k, n_features)
        Endmembers that :func:`min_volume` found.
    X, sigma, n_bands : object
        See :func:`varies_as_a_simplex`.

    Returns
    -------
    bool
        True only where three findings agree: the pixels pass :func:`varies_as_a_simplex`; each
        facet is shown by pixels, and those outside are as near to it as noise takes them; and of
        some endmember no pixel holds nearly all: the purest falls short by .02 and two standard
        deviations of the noise, but holds .77, or half where all fall short.
    """
    k = len(Z)
    if k == 1 or not varies_as_a_simplex(X, k, sigma, n_bands=n_bands):
        return False
    T, s = _distances(X, Z, sigma)
    if T is None or any(_outside(T[:, j], 0.9) > _WIDEST for j in range(k)):
        return False
    purest = (T * s).max(axis=0)
    short = 1 - purest > _SHORT + 2 * s
    least = _PUREST if short.all() else _RARELY_LESS
    return bool(short.any() and (purest > least).all())


def facets_tell_more(X, start, Z, sigma, *, n_bands=None):
    """Whether facets tell the corners of a linear scene with pure pixels better than pixels do.

    Archetypes of pure pixels lie where noise takes these; a facet is the mean of all pixels near
    it, if it is what the model takes it for.

    Parameters
    ----------
    start : ndarray of shape (k, n_features)
        Archetypes.
    Z : ndarray of shape (k, n_features)
        Endmembers that :func:`min_volume` found from there.
    X, sigma, n_bands : object
        See :func:`varies_as_a_simplex`.

    Returns
    -------
    bool
        True only where three findings agree: the pixels pass :func:`varies_as_a_simplex`; those
        outside of each facet are spread as normal noise is; and no corner is farther from its
        archetype than noise takes the farthest of all pixels, √(2 log n) standard deviations.
    """
    k = len(Z)
    if k == 1 or not varies_as_a_simplex(X, k, sigma, n_bands=n_bands):
        return False
    _, U, _ = principal(X, k)
    farthest = np.linalg.norm((Z - start) @ U.T, axis=1).max()
    if farthest > np.sqrt(2 * np.log(len(X))) * sigma:
        return False
    return _outside_is_noise(X, Z, sigma, _NORMAL)


def facets_stay_sharp(X, Z, sigma):
    """Whether averaging neighbours left the facets where they were, and did not round them off.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Averaged pixels.
    Z : ndarray of shape (k, n_features)
        Endmembers that :func:`min_volume` found in them.
    sigma : float
        What the average left of the standard deviation of the noise.

    Returns
    -------
    bool
    """
    return _outside_is_noise(X, Z, sigma, _AVERAGED)


def archetypes_fall_short(X, start, Z, sigma, left):
    """Whether archetypes of averaged neighbours are less pure than their noise explains.

    The purest pixels of a noisy scene are no evidence of that: noise takes them beyond the corners.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_features), float64
        Pixels, not averaged, that pass :func:`varies_as_a_simplex`.
    start : ndarray of shape (k, n_features)
        Archetypes of the averages.
    Z : ndarray of shape (k, n_features)
        Endmembers that :func:`min_volume` found in the averages.
    sigma : float
        Standard deviation of the noise of a coordinate of `X`.
    left : float
        What the average left of it.

    Returns
    -------
    bool
        True only where the facets are shown by pixels, and those outside are about as near as noise
        takes them; and some archetype falls short by .02 and two standard deviations of what is
        left of the noise, but all hold .77, and none is as far beyond its corner: then the simplex
        was drawn away from one material and towards another.
    """
    T, s = _distances(X, Z, sigma)
    if T is None or any(_outside(t, 0.9) > _WIDEST_SHORT for t in T.T):
        return False
    purity = np.diag(_distances(X, Z, sigma, of=start)[0]) * s
    explained = _SHORT + 2 * left * s
    short, beyond = 1 - purity > explained, purity - 1 > explained
    return bool(short.any() and not beyond.any() and (purity > _RARELY_LESS).all())


def abundances_are_dirichlet(X, start, Z, c, sigma, *, n_bands=None):
    """Whether abundances are distributed as the Dirichlet distribution that was fitted.

    Parameters
    ----------
    start : ndarray of shape (k, n_features)
        Archetypes.
    Z : ndarray of shape (k, n_features)
        Endmembers that :func:`crowded_facets` found from there.
    c : ndarray of shape (k,)
        Concentrations that it found.
    X, sigma, n_bands : object
        See :func:`varies_as_a_simplex`.

    Returns
    -------
    bool
        True only where four findings agree: the pixels pass :func:`varies_as_a_simplex`; some
        pixel holds half of each endmember; the distribution function of each abundance is
        nowhere farther than .035 from that of a beta distribution with the noise added; and where
        corners moved in from the archetypes, at most 1.35 times as many pixels as expected are as
        pure as the purest hundredth. More of them say that corners are farther out than the fit
        puts them, which is no reason to leave archetypes that are farther in.
    """
    k = len(Z)
    if k == 1 or not varies_as_a_simplex(X, k, sigma, n_bands=n_bands):
        return False
    T, s = _distances(X, Z, sigma)
    if T is None or not ((T * s).max(axis=0) > _PUREST).all():
        return False
    levels = (np.arange(_N_LEVELS) + 0.5) / _N_LEVELS
    seen = np.append(levels[:: _N_LEVELS // 100], 1 - _PURE_PART)
    as_pure = []
    for j in range(k):
        pure = beta.ppf(levels, c[j], c.sum() - c[j])
        expected = ndtr(np.quantile(T[:, j], seen)[:, None] - pure / s[j]).mean(axis=1)
        if np.abs(expected - seen).max() > _MISFIT:
            return False
        as_pure.append(1 - expected[-1])
    moved_in = (np.diag(_distances(X, Z, sigma, of=start)[0]) * s).mean() > 1
    return bool(not moved_in or _TOO_MANY * np.mean(as_pure) >= _PURE_PART)


def _outside_is_noise(X, Z, sigma, limits):
    """Whether quantiles of the distances of pixels outside each facet are within limits."""
    T, _ = _distances(X, Z, sigma)
    return T is not None and all(
        _outside(t, part) <= most for t in T.T for part, most in limits.items()
    )


def _distances(X, Z, sigma, of=None):
    """Distances of pixels, or of others, from the facets, and their unit: the noise in abundances;
    or None."""
    mean, U, _ = principal(X, len(Z))
    to_barycentric = inverse_map((Z - mean) @ U.T, sigma)
    if to_barycentric is None:
        return None, None
    B = lifted(((X if of is None else of) - mean) @ U.T) @ to_barycentric.T
    gradients = np.linalg.norm(to_barycentric[:, :-1], axis=1)
    # As sharp as the fit takes them to be, at most.
    s = max(sigma, SHARPEST / gradients.max()) * gradients
    return B / s, s


def _largest_noise(n, p):
    """Largest variance of p directions of unit noise: its mean and three deviations (Johnstone)."""
    edge = np.sqrt(n) + np.sqrt(p)
    return (edge**2 + 3 * edge * (1 / np.sqrt(n) + 1 / np.sqrt(p)) ** (1 / 3)) / n


def _outside(t, part):
    """A quantile of the distances of pixels outside a facet; infinite where few show it."""
    if np.count_nonzero(np.abs(t) < 3) < 20:
        return np.inf
    outside = -t[t < 0]
    return np.quantile(outside, part) if len(outside) else 0.0
