"""Missing entries of a scene, filled from the bands beside them."""

import numpy as np


def fill_holes(Y, bands, order, workers):
    """Copy of a scene with missing entries of good bands interpolated along the wavelengths.

    Parameters
    ----------
    Y : ndarray of shape (n_pixels, n_bands)
    bands : ndarray of bool of shape (n_bands,)
        The good bands; what is missing in others is left as zero.
    order : ndarray of intp of shape (n_bands,)
        The bands by wavelength.
    workers : Workers

    Returns
    -------
    filled : ndarray of shape (n_pixels, n_bands)
        A pixel with nothing in the good bands is zero.
    """
    filled = np.where(np.isnan(Y), np.zeros((), dtype=Y.dtype), Y)
    line = order[bands[order]]
    if not len(line):
        return filled
    step = max(1, 2**17 // len(line))

    def fill(start, stop):
        block = Y[start:stop][:, line]
        missing = np.isnan(block)
        if not missing.any():
            return
        position = np.arange(len(line))
        # The nearest known band on either side; -1 and len(line) where there is none.
        before = np.maximum.accumulate(np.where(missing, -1, position), axis=1)
        after = np.minimum.accumulate(np.where(missing, len(line), position)[:, ::-1], axis=1)[
            :, ::-1
        ]
        rows, at = np.nonzero(missing)
        left, right = before[rows, at], after[rows, at]
        known_left, known_right = left >= 0, right < len(line)
        left = np.where(known_left, left, np.where(known_right, right, 0))
        right = np.where(known_right, right, left)
        low = np.where(known_left | known_right, block[rows, left], 0)
        high = np.where(known_left | known_right, block[rows, right], 0)
        part = (at - left) / np.maximum(right - left, 1)
        part = np.where(known_left & known_right, part, 0)
        filled[start + rows, line[at]] = low + part * (high - low)

    workers.map(fill, [(i, min(i + step, len(Y))) for i in range(0, len(Y), step)])
    return filled
