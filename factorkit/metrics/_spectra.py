"""Likeness of spectra, or components, whatever their scale."""

import numpy as np
from sklearn.utils import check_array


def cosine_similarity(a, b):
    """Cosine of the angle between spectra, or components: how alike they are but for their scales.

    .. math:: \\cos \\theta(a, b) = \\frac{a^T b}{\\|a\\| \\, \\|b\\|}

    Parameters
    ----------
    a, b : array-like of shape (..., n_features)
        Spectra along the last axis; the other axes are broadcast, as by :func:`spectral_angle`:
        rows are paired with rows. scikit-learn's function of this name takes every row of one
        matrix with every row of the other.

    Returns
    -------
    cosine : float or ndarray of float64 of shape (...)
        Between -1 and 1. It is 0 where a spectrum is all zeros, as that has no direction.

    Raises
    ------
    ValueError
        For shapes that can't be broadcast, and for NaN or infinite values.

    See Also
    --------
    spectral_angle : The angle, which tells near spectra better apart.

    Examples
    --------
    >>> from factorkit.metrics import cosine_similarity
    >>> cosine_similarity([[3.0, 4.0], [1.0, 0.0]], [[6.0, 8.0], [0.0, 2.0]]).round(6).tolist()
    [1.0, 0.0]
    """
    a, b = _check_pair(a, b)
    cosine = np.vecdot(_unit(a), _unit(b)).clip(-1, 1)
    return cosine if cosine.ndim else float(cosine)


def spectral_angle(a, b):
    """Angle between spectra, in radians: how far apart they are but for their scales.

    .. math:: \\theta(a, b) = \\arccos \\frac{a^T b}{\\|a\\| \\, \\|b\\|}

    Parameters
    ----------
    a, b : array-like of shape (..., n_features)
        Spectra along the last axis; the other axes are broadcast, so rows are paired with rows,
        and ``spectral_angle(A[:, None], B)`` holds every row of A against every row of B.

    Returns
    -------
    angle : float or ndarray of float64 of shape (...)
        Between 0 and π. It is π/2 where a spectrum is all zeros, as that has no direction.

    Raises
    ------
    ValueError
        For shapes that can't be broadcast, and for NaN or infinite values.

    Notes
    -----
    The arc cosine can't tell angles below 1e-8 from 0. Half the angle is instead taken from the
    lengths of the sum and of the difference of the two unit vectors [1]_, which is accurate for
    all angles.

    References
    ----------
    .. [1] W. Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point
       Computation?", 2006, section 12.

    Examples
    --------
    >>> from factorkit.metrics import spectral_angle
    >>> round(spectral_angle([1.0, 1.0], [0.0, 3.0]), 6)
    0.785398
    """
    a, b = _check_pair(a, b)
    angle = _angle(a, b)
    return angle if angle.ndim else float(angle)


def spectral_information_divergence(a, b):
    """Symmetric Kullback-Leibler divergence of spectra, as if they were distributions.

    .. math::

        \\mathrm{SID}(a, b) = \\sum_l (p_l - q_l) (\\log p_l - \\log q_l), \\qquad
        p = \\frac{a}{\\sum_l a_l}, \\quad q = \\frac{b}{\\sum_l b_l}

    Scales play no part. It compares bands by their ratios where :func:`spectral_angle` takes
    their differences, so that dark bands count for more.

    Parameters
    ----------
    a, b : array-like of shape (..., n_features)
        Nonnegative spectra along the last axis; the other axes are broadcast, as by
        :func:`spectral_angle`.

    Returns
    -------
    divergence : float or ndarray of float64 of shape (...)
        0 for spectra that differ by a factor alone, and unbounded. A band that is 0 in both
        spectra adds nothing; one that is 0 in one of them makes it infinite. A spectrum of zeros
        is infinitely far from every other, another one of zeros included.

    Raises
    ------
    ValueError
        For negative values, shapes that can't be broadcast, and NaN or infinite values.

    See Also
    --------
    spectral_angle : Takes negative values, and no harm from dead bands.

    References
    ----------
    .. [1] C.-I. Chang, "An Information-Theoretic Approach to Spectral Variability, Similarity,
       and Discrimination for Hyperspectral Image Analysis", IEEE Transactions on Information
       Theory 46, 2000.

    Examples
    --------
    >>> from factorkit.metrics import spectral_information_divergence
    >>> spectral_information_divergence([1.0, 3.0], [[2.0, 6.0], [3.0, 1.0]]).round(6).tolist()
    [0.0, 1.098612]
    """
    a, b = _check_pair(a, b)
    for name, spectra in [("a", a), ("b", b)]:
        _check_nonnegative(spectra, name)
    divergence = _divergence(a, b)
    return divergence if divergence.ndim else float(divergence)


def _check_pair(a, b):
    a, b = (
        check_array(v, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)
        for v, name in [(a, "a"), (b, "b")]
    )
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has {a.shape[-1]} features and b has {b.shape[-1]}: they must agree.")
    return a, b


def _check_nonnegative(spectra, name):
    if spectra.min() < 0:
        raise ValueError(
            f"{name} has negative values, down to {spectra.min():.6g}: a spectral information "
            "divergence is one of nonnegative spectra. Clip them, or take the spectral angle."
        )


def _angle(a, b):
    a, b = _unit(a), _unit(b)
    apart = np.linalg.norm(a - b, axis=-1)
    together = np.linalg.norm(a + b, axis=-1)
    # One vector of zeros makes the two lengths equal and the angle π/2; two make both of them 0.
    return np.where(apart + together == 0, np.pi / 2, 2 * np.arctan2(apart, together))


def _unit(a):
    """Vectors along the last axis over their lengths; zeros stay zeros."""
    # Over the largest entry first: squares of very large or small numbers leave the range.
    largest = np.abs(a).max(axis=-1, keepdims=True)
    a = a / np.where(largest == 0, 1, largest)
    length = np.linalg.norm(a, axis=-1, keepdims=True)
    return a / np.where(length == 0, 1, length)


def _divergence(a, b):
    (p, log_p), (q, log_q) = _distribution(a), _distribution(b)
    with np.errstate(invalid="ignore"):
        terms = (p - q) * (log_p - log_q)
    terms[(p == 0) & (q == 0)] = 0
    shapeless = ~(p.any(axis=-1) & q.any(axis=-1))
    return np.where(shapeless, np.inf, terms.sum(axis=-1))


def _distribution(a):
    """Spectra over their sums, zeros staying zeros, and the logarithms of that."""
    largest = a.max(axis=-1, keepdims=True)
    largest[largest == 0] = 1
    # Over the largest entry first: a sum of very large numbers leaves the range.
    share = a / largest
    total = share.sum(axis=-1, keepdims=True)
    total[total == 0] = 1
    with np.errstate(divide="ignore"):
        return share / total, np.log(a) - np.log(largest) - np.log(total)
