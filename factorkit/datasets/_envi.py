"""Scenes and spectral libraries in the format of ENVI: a text header beside a file of numbers."""

import math
import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from factorkit.utils._sklearn import StrOptions, validate_params

from ._envi_header import (
    band_names,
    check_header,
    find_files,
    ignored_value,
    nanometres,
    numbers_by_band,
    scale_factor,
)

# Bytes of the file that are converted at a time.
_BLOCK_BYTES = 2**25


@validate_params(
    {
        "path": [str, PathLike],
        "image": [str, PathLike, None],
        "dtype": [StrOptions({"float32", "float64"}), None],
    },
    prefer_skip_nested_validation=True,
)
def load_envi(path, *, image=None, dtype=None):
    """Load a hyperspectral scene in the format of ENVI.

    The package spectral reads header and numbers: ``pip install 'factorkit[envi]'``. All three
    orders of the numbers (BSQ, BIL, BIP) and both orders of their bytes are taken.

    Parameters
    ----------
    path : str or Path
        The header, ``scene.hdr``; or the image beside its header, which may be called
        ``scene.hdr`` or ``scene.img.hdr`` for the image ``scene.img``.

    image : str, Path or None, default=None
        The image, where it has another name or another folder than the header.

    dtype : {"float32", "float64"} or None, default=None
        Of the data. None takes the smaller one that holds the numbers of the file: float32 for
        float32 and for integers of up to 16 bits, else float64.

    Returns
    -------
    scene : Bunch
        data : ndarray of float32 or float64 of shape (n_pixels, n_bands)
            Row after row of the image: the numbers of the file over the header's "reflectance
            scale factor", where it has one. Its "data ignore value" is NaN.
        image_shape : tuple of int
            Rows and columns: ``data[:, band].reshape(image_shape)`` is an image.
        wavelengths : ndarray of float64 of shape (n_bands,), or None
            Centres of the bands in nanometres, in the order of the file. None where the header
            has none, or has them in a unit that is not one of length. Without a unit they are
            taken for micrometres where all are below 100, else for nanometres.
        band_names : list of str, or None
            None where the header has no name for each band.
        bad_bands : ndarray of bool of shape (n_bands,), or None
            True for bands that the header's "bbl" marks as bad; None where it has none.
        metadata : dict
            The whole header, with its names in lower case.
        DESCR : str
            The header's description.

    Raises
    ------
    ImportError
        Where spectral is not installed.

    FileNotFoundError
        Where there is no header or no image.

    ValueError
        For a header that can't be read or contradicts itself, an image that is shorter than the
        header says, complex numbers, and spectral libraries.

    See Also
    --------
    load_envi_library : Spectra instead of an image.

    Notes
    -----
    The file is mapped into memory and converted a few rows at a time: beside the data themselves
    this takes 32 MB or one row of the image, whichever is more.

    Examples
    --------
    >>> from factorkit.datasets import load_envi
    >>> scene = load_envi("scene.hdr")  # doctest: +SKIP
    >>> scene.data.shape, scene.image_shape  # doctest: +SKIP
    ((21025, 200), (145, 145))
    """
    opened, header, path = _open("load_envi", path, image)
    if _is_library(opened):
        raise ValueError(f"{path} is the header of a spectral library: take load_envi_library.")
    _check_length(opened, path)
    numbers = opened.open_memmap()
    n_bands = numbers.shape[2]
    if dtype is None:
        dtype = np.result_type(numbers.dtype, np.float32)
    bad = numbers_by_band(header, "bbl", n_bands, path)
    # The header first: what is wrong with it should be known before a large image is read.
    wavelengths = nanometres(header, n_bands, path)
    return Bunch(
        data=_read_pixels(numbers, dtype, header, path),
        image_shape=numbers.shape[:2],
        wavelengths=wavelengths,
        band_names=band_names(header, n_bands),
        bad_bands=None if bad is None else bad == 0,
        metadata=header,
        DESCR=header.get("description", ""),
    )


@validate_params(
    {"path": [str, PathLike], "image": [str, PathLike, None]}, prefer_skip_nested_validation=True
)
def load_envi_library(path, *, image=None):
    """Load a spectral library in the format of ENVI.

    The package spectral reads it: ``pip install 'factorkit[envi]'``.

    Parameters
    ----------
    path : str or Path
        The header, ``library.hdr``; or the file of the spectra, ``library.sli``, beside it.

    image : str, Path or None, default=None
        The file of the spectra, where it has another name or another folder than the header.

    Returns
    -------
    library : Bunch
        spectra : ndarray of float64 of shape (n_spectra, n_bands)
            One spectrum a row, over the header's "reflectance scale factor", where it has one.
            Its "data ignore value" is NaN.
        names : list of str
            Names of the spectra; they are counted from 1 where the header has none.
        wavelengths : ndarray of float64 of shape (n_bands,), or None
            Centres of the bands in nanometres, as :func:`load_envi` gives them.
        metadata : dict
            The whole header, with its names in lower case.
        DESCR : str
            The header's description.

    Raises
    ------
    ImportError
        Where spectral is not installed.

    FileNotFoundError
        Where there is no header or no file of spectra.

    ValueError
        For a header that can't be read or contradicts itself, and for an image.

    See Also
    --------
    load_envi : An image instead of spectra.

    Examples
    --------
    >>> from factorkit.datasets import load_envi_library
    >>> library = load_envi_library("minerals.sli")  # doctest: +SKIP
    >>> library.spectra.shape, library.names[:2]  # doctest: +SKIP
    ((24, 420), ['Alunite', 'Calcite'])
    """
    opened, header, path = _open("load_envi_library", path, image)
    if not _is_library(opened):
        raise ValueError(f"{path} is the header of an image: take load_envi.")
    if int(header.get("header offset", 0)):
        raise ValueError(f"{path} has a header offset, which spectral doesn't read in a library.")
    return Bunch(
        spectra=_read_pixels(opened.spectra[:, None], np.float64, header, path),
        names=list(opened.names),
        wavelengths=nanometres(header, opened.spectra.shape[1], path),
        metadata=header,
        DESCR=header.get("description", ""),
    )


def _open(loader, path, image):
    """Open a header and its numbers.

    Returns
    -------
    opened : spectral's image file or spectral library

    header : dict
        Of strings and lists of strings.

    path : Path
        Of the header.
    """
    try:
        from spectral import SpyException
        from spectral.io import envi
    except ImportError as error:
        raise ImportError(
            f"{loader} reads with spectral, which is not installed: pip install 'factorkit[envi]'."
        ) from error
    path, image = find_files(Path(path), image)
    try:
        with warnings.catch_warnings():
            # Names that aren't in lower case are common, and spectral warns of them.
            warnings.simplefilter("ignore")
            header = envi.read_envi_header(str(path))
            check_header(header, envi.envi_to_dtype)
            return envi.open(str(path), image), header, path
    except envi.EnviDataFileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no image beside the header {path}: say with image where it is."
        ) from error
    except (SpyException, AttributeError, KeyError, TypeError, UnicodeError) as error:
        raise ValueError(f"{path} is no ENVI header that can be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} can't be read: {error}") from error


def _is_library(opened):
    return hasattr(opened, "spectra")


def _check_length(opened, path):
    n_bytes = Path(opened.filename).stat().st_size
    needed = opened.offset + math.prod(opened.shape) * opened.sample_size
    if n_bytes < needed:
        n_rows, n_columns, n_bands = opened.shape
        raise ValueError(
            f"{opened.filename} has {n_bytes} bytes; {n_rows} lines of {n_columns} samples in "
            f"{n_bands} bands, as {path} says, take {needed}."
        )


def _read_pixels(numbers, dtype, header, path):
    """Numbers of a file as pixels × bands, scaled, and NaN where the header says so."""
    scale = scale_factor(header, path)
    ignored = ignored_value(header, numbers.dtype, path)
    n_rows, n_columns, n_bands = numbers.shape
    pixels = np.empty((n_rows * n_columns, n_bands), dtype=dtype)
    image = pixels.reshape(numbers.shape)
    step = max(1, _BLOCK_BYTES // (n_columns * n_bands * numbers.itemsize))
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        # What stands for "no value" may be the largest number of a wider type.
        with np.errstate(over="ignore"):
            image[rows] = numbers[rows]
        if scale != 1:
            image[rows] /= scale
        if ignored is not None:
            image[rows][numbers[rows] == ignored] = np.nan
    return pixels
