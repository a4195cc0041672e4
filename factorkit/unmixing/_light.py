"""Brightness of the pixels, and a normalization that keeps mixtures mixtures.

    x = y / (b + c),    b = uᵀy,    c = ½ · root mean square of ‖y‖

where u is the mean spectrum, of unit length. b is the brightness of a pixel: dividing by it takes
away how much light a pixel got, and the constant c keeps the noise of dark pixels small. As b is
linear in y, pixels on a segment stay on a segment and the hull of the endmembers stays their hull,
which division by the norm would bend.
"""

from dataclasses import dataclass

import numpy as np

from ._subspace import coordinates

OFFSET = 0.5


@dataclass
class Light:
    """Directions and numbers of the normalization.

    Attributes
    ----------
    direction : ndarray of shape (n_bands,)
        u, zero in bands that are left out.
    offset : float
        c.
    """

    direction: np.ndarray
    offset: float

    @classmethod
    def of(cls, mean, power, offset=OFFSET):
        """From the mean of the spectra and that of their squared norms."""
        length = np.linalg.norm(mean)
        return cls(mean / length if length > 0 else mean, offset * np.sqrt(power))

    def brightness(self, Y, workers, *, pixels=None, bands=None):
        """b of each pixel, at least 0."""
        zero = np.zeros(Y.shape[1])
        b = coordinates(Y, zero, self.direction[None], workers, pixels=pixels, bands=bands)
        return np.maximum(b[:, 0], 0.0)

    def scale(self, brightness):
        """What pixels of a brightness are multiplied by; 1 where all is dark."""
        total = brightness + self.offset
        return 1.0 / np.where(total > 0, total, 1.0)

    def undo(self, spectra):
        """Spectra of normalized ones."""
        # Below 1 by the construction of x, but for rounding.
        left = np.maximum(1.0 - spectra @ self.direction, 1e-3)
        return self.offset * spectra / left[:, None]
