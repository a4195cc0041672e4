"""Coordinates in which the pixels of a scene fill a simplex."""

import numpy as np

from ._subspace import coordinates, principal_directions

# Sizes below this, relative to the largest, are rounding errors.
_NOTHING = 1e-10


def affine_points(Y, mean, C, k, workers):
    """Coordinates in the k − 1 principal directions about the mean, and a constant.

    The constant is as large as the farthest pixel, so that the k coordinates are of one size.

    Returns
    -------
    points : ndarray of shape (n_pixels, k)
    """
    vectors, _ = principal_directions(C, k - 1)
    return lifted(coordinates(Y, mean, vectors, workers), k)


def lifted(scores, k):
    """The first k − 1 principal coordinates of pixels, fewer where there are fewer, and a constant.

    Returns
    -------
    points : ndarray of shape (n_pixels, k)
    """
    points = np.zeros((len(scores), k))
    d = min(scores.shape[1], k - 1)
    points[:, :d] = scores[:, :d]
    farthest_square = np.einsum("ij,ij->i", points, points).max(initial=0.0)
    points[:, -1] = np.sqrt(farthest_square) or 1.0
    return points


def projective_points(Y, mean, C, k, workers):
    """Coordinates in k principal directions about zero, divided by the brightness.

    The brightness is the product with the mean; pixels without any become zero, which no
    direction chooses.

    Returns
    -------
    points : ndarray of shape (n_pixels, k)
    """
    vectors, _ = principal_directions(C + np.outer(mean, mean), k)
    points = coordinates(Y, np.zeros_like(mean), vectors, workers)
    centre = vectors @ mean
    brightness = points @ centre
    lit = brightness > _NOTHING * (centre @ centre)
    points[~lit] = 0
    points[lit] /= brightness[lit, None]
    return points


def signal_to_noise(mean, C, k):
    """SNR in dB, taking the k principal dimensions of a scene for its signal.

    10 log₁₀ (P_x − k/L P_y) / (P_y − P_x), where P is the mean power of pixels: of the whole, y,
    and of its projection, x.
    """
    whole = np.trace(C) + mean @ mean
    kept = principal_directions(C, k)[1].sum() + mean @ mean
    signal, noise = kept - k / len(mean) * whole, whole - kept
    if noise <= _NOTHING**2 * whole:
        return np.inf
    return 10 * np.log10(signal / noise) if signal > 0 else -np.inf
