"""Dimensions of a scene in which neighbouring pixels are alike.

What is independent from pixel to pixel, noise or variants of a material, has no part in the mean
products of neighbours,

    S = 1/(2m) Σ_(i,j) (z_i z_jᵀ + z_j z_iᵀ)    over the m pairs of neighbours,

so that S has the rank of what is left: the number of materials, where abundances are patches. The
mean counts as a dimension: nothing is centred.

References
----------
P. Switzer and A. A. Green, "Min/Max Autocorrelation Factors for Multivariate Spatial Imagery",
Stanford University, Department of Statistics, Technical Report 6, 1984.
A. A. Green, M. Berman, P. Switzer and M. D. Craig, "A Transformation for Ordering Multispectral
Data in Terms of Image Quality with Implications for Noise Removal", IEEE TGRS 26, 1988.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ._abundances import row_products
from ._tracy_widom import DEVIATION, MEAN, exceeded_with_probability

# Draws of the signs, whose bits fill a word for each pixel. The edge is then known to .4 of the
# standard deviation of the largest eigenvalue, of which there are 4.2 between it and the mean. In
# many dimensions that is little beside the mean itself, and fewer draws do.
_MOST_DRAWS, _FEWEST_DRAWS, _N_ROWS_DRAWN = 64, 16, 2048
# Pixels whose pairs are drawn from, where there are more.
_N_DRAWN = 2**15
# Sums over pixels that are held at once, and what a block cast to float64 may take, in numbers.
_N_SUMS = 8
_BLOCK_SIZE = 2**17
# Directions whose moments are less than this part of what their diagonal says depend on others.
_DEPENDENT = 1e-10
# Factors whose draws are larger than this multiple of the usual are those of few pixels.
_HEAVY = 2.0


@dataclass
class NeighbourMoments:
    """Mean products over the pairs of pixels that are next to each other in a row or a column.

    Attributes
    ----------
    n_pairs : int
    joint : ndarray of shape (d, d)
        S: of a pixel and its neighbour.
    own : ndarray of shape (d, d)
        T: of a pixel of a pair with itself; −T ≼ S ≼ T.
    flipped : ndarray of shape (n_draws, d, d)
        S again, each time with random signs of the pixels, on its own scale.
    """

    n_pairs: int
    joint: np.ndarray
    own: np.ndarray
    flipped: np.ndarray


def neighbour_moments(Y, vectors, image_shape, workers, *, pixels=None, bands=None):
    """Moments of neighbours in the coordinates z_i = V y_i.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
        Row by row of the image. Float32 or float64; never copied as a whole.
    vectors : ndarray of shape (d, n_bands)
        V, 0 in bands that are left out.
    image_shape : (n_rows, n_columns)
    workers : Workers
    pixels : ndarray of bool of shape (n_pixels,) or None, default=None
        The pixels to take; a pair with another one is left out. The others may hold NaN.
    bands : ndarray of bool of shape (n_bands,) or None, default=None
        The bands to take. The others may hold NaN.

    Returns
    -------
    NeighbourMoments
        Zeros where no two pixels taken are neighbours.
    """
    n, d = len(Y), len(vectors)
    n_draws = min(max(_N_ROWS_DRAWN // max(d, 1), _FEWEST_DRAWS), _MOST_DRAWS)
    good = np.ones(n, dtype=bool) if pixels is None else pixels
    right, down, n_partners = _pairs(good, image_shape)
    n_pairs = int(n_partners.sum(dtype=np.intp)) // 2
    if not n_pairs or not d:
        zeros = np.zeros((1 + n_draws, d, d))
        return NeighbourMoments(n_pairs, zeros[0], zeros[0], zeros[1:])
    kept = slice(None) if bands is None or bands.all() else np.flatnonzero(bands)
    V = np.ascontiguousarray(vectors[:, kept], dtype=np.float64)
    # The same signs for any number of threads.
    rng = np.random.default_rng(0)
    signs = rng.integers(2**64, size=n, dtype=np.uint64)
    drawn = np.ones(n, dtype=bool) if n <= _N_DRAWN else rng.random(n) < _N_DRAWN / n
    reach = image_shape[1] if image_shape[0] > 1 else 1
    step = max(_BLOCK_SIZE // V.shape[1], 4 * reach, 64)

    def sums(first, last):
        joint, own, flipped = np.zeros((d, d)), np.zeros((d, d)), np.zeros((n_draws, d, d))
        for start in range(first, last, step):
            here = slice(start, min(start + step, last))
            around = slice(start, min(here.stop + reach, n))
            Z = _coordinates(Y[around], kept, V, good[around])
            mine, some = Z[: here.stop - start], np.flatnonzero(drawn[here])
            own += (n_partners[here, None] * mine).T @ mine
            pairs = []
            for by, joined in ((1, right[here]), (reach, down[here])):
                beside = _shifted(Z, by, joined)
                joint += mine.T @ beside
                # The sign of a pair is the product of those of its pixels.
                words = signs[here] ^ _shifted(signs[around], by, joined)
                pairs.append((beside[some], words[some]))
            _add_flipped(flipped, mine[some], pairs)
        return joint, own, flipped

    long = -(-n // _N_SUMS)
    parts = workers.map(sums, [(i, min(i + long, n)) for i in range(0, n, long)])
    joint, own, flipped = (sum(terms) for terms in zip(*parts, strict=True))
    n_drawn = max(np.count_nonzero(right[drawn]) + np.count_nonzero(down[drawn]), 1)
    return NeighbourMoments(
        n_pairs,
        (joint + joint.T) / (2 * n_pairs),
        own / (2 * n_pairs),
        (flipped + flipped.transpose(0, 2, 1)) / (2 * np.sqrt(float(n_pairs) * n_drawn)),
    )


def _pairs(good, image_shape):
    """Which pixels make a pair of good ones with the next in the row, which with that below, and
    in how many pairs each pixel is."""
    image = good.reshape(image_shape)
    right, down = np.zeros_like(image), np.zeros_like(image)
    right[:, :-1] = image[:, :-1] & image[:, 1:]
    down[:-1] = image[:-1] & image[1:]
    n_partners = right.astype(np.int8) + down
    n_partners[:, 1:] += right[:, :-1]
    n_partners[1:] += down[:-1]
    return right.ravel(), down.ravel(), n_partners.ravel()


def _coordinates(Y, kept, V, good):
    """Those of good pixels; 0 of the others, so that nothing comes of a pair with them."""
    step = max(_BLOCK_SIZE // V.shape[1], 64)
    blocks = [row_products(Y[i : i + step, kept], V) for i in range(0, len(Y), step)]
    Z = np.concatenate(blocks)
    Z[~good] = 0
    return Z


def _shifted(values, by, joined):
    """What is `by` pixels on, for as many pixels as there are in `joined`; 0 where not joined."""
    shifted = np.zeros((len(joined), *values.shape[1:]), dtype=values.dtype)
    shifted[joined] = values[np.flatnonzero(joined) + by]
    return shifted


def _add_flipped(flipped, Z, pairs):
    """Add Σ ± z_i z_jᵀ over pairs to each draw; its bit of a pair's word is the sign."""
    for draw in range(len(flipped)):
        partners = 0.0
        for Z_partner, words in pairs:
            bit = (words >> np.uint64(draw)) & np.uint64(1)
            partners = partners + Z_partner * (1.0 - 2.0 * bit)[:, None]
        flipped[draw] += Z.T @ partners


def coherent_factors(moments, alpha):
    """Correlations of neighbours, and what they exceed where neighbours are alike.

    Factors z ↦ gᵀz are the solutions of S g = ρ T g: the first has the largest correlation ρ of
    neighbours of all, each further one the largest outside of those before.

    Parameters
    ----------
    moments : NeighbourMoments
    alpha : float
        Probability of taking a factor that is independent from pixel to pixel for a coherent one.

    Returns
    -------
    correlations, thresholds : ndarray of shape (n_factors,)
        n_factors is d, but for directions that depend on each other. As many of the correlations
        are above their thresholds as there are coherent factors: the first ones, but for factors
        of few pixels, whose thresholds are higher than those of the others.

    Notes
    -----
    Independent pixels of any law that is symmetric about zero are as likely with any signs, so the
    largest eigenvalues of S under random signs, outside of the factors found, are draws from its
    law given the pixels' sizes: pixels may differ in them, and in each direction others may be the
    large ones. For equal Gaussian pixels S is a Gaussian orthogonal matrix of variance
    1/(2 n_pairs), and so its largest eigenvalue has the law of Tracy and Widom; the tail is that
    of this law with the mean and the deviation of the draws, as far as these are known.

    A factor that is alive in few pixels, such as one odd patch of 2 × 2, has large products under
    any signs, and would hide all others below its edge. So factors are scaled down to the size of
    most first, and what is compared is the largest of the scaled correlations.
    """
    W = _whitening(moments.own)
    correlations, R = np.linalg.eigh(W.T @ moments.joint @ W)
    correlations, G = correlations[::-1], (W @ R)[:, ::-1]
    flipped = G.T @ moments.flipped @ G
    thresholds = np.zeros(len(correlations))
    deviations = _deviations(alpha, len(flipped))
    found = np.zeros(len(correlations), dtype=bool)
    # Fewer factors have a lower edge: what is above that of more is above its own.
    while not found.all():
        rest = ~found
        block = flipped[:, rest][:, :, rest]
        shares = _shares(block)
        scale = np.sqrt(shares)
        largest = np.linalg.eigvalsh(block * np.outer(scale, scale))[:, -1]
        thresholds[rest] = (largest.mean() + deviations * largest.std(ddof=1)) / shares
        new = rest & (correlations > thresholds)
        if not new.any():
            break
        found |= new
    return correlations, thresholds


def _shares(flipped):
    """By what to multiply each factor's square so that none has much larger draws than most."""
    sizes = np.sqrt(np.mean(np.square(flipped), axis=(0, 2)))
    usual = _HEAVY * np.median(sizes)
    return np.where(sizes > usual, usual / np.where(sizes > 0, sizes, 1), 1.0)


def _deviations(alpha, n_draws):
    """How many standard deviations of the draws are between their mean and the edge."""
    known = (exceeded_with_probability(alpha) - MEAN) / DEVIATION
    # Mean and deviation are those of few draws; what that adds for normal ones, by Student's law.
    predicted = stdtrit(n_draws - 1, 1 - alpha) * np.sqrt(1 + 1 / n_draws)
    return known + predicted - ndtri(1 - alpha)


def _whitening(T):
    """W with Wᵀ T W = I, but for directions that depend on others."""
    scale = np.sqrt(np.diag(T))
    scale = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    values, vectors = np.linalg.eigh(T * np.outer(scale, scale))
    kept = values > _DEPENDENT
    return scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])


def shared_variation(moments, mean):
    """Which part of the variation neighbours have in common, the noise left out: about 1 at most.

    NaN without neighbours.

    Parameters
    ----------
    moments : NeighbourMoments
        In coordinates in which the noise has variance 1.
    mean : ndarray of shape (d,)
        In these. What varies along it is light, which is smooth whatever the abundances are, and
        does not count.
    """
    if not moments.n_pairs:
        return np.nan
    if len(mean) < 2:
        return 0.0
    off = np.eye(len(mean)) - np.outer(mean, mean) / max(mean @ mean, np.finfo(float).tiny)
    common = np.sum(off * moments.joint)
    variation = np.sum(off * moments.own) - (len(mean) - 1)
    return float(common / variation) if variation > 0 else 0.0
