"""What an ENVI header says, and what it must not say."""

from pathlib import Path

import numpy as np

_NANOMETRES = {
    **dict.fromkeys(("nanometers", "nanometer", "nanometres", "nm"), 1.0),
    **dict.fromkeys(("micrometers", "micrometer", "micrometres", "microns", "um", "µm"), 1e3),
    **dict.fromkeys(("millimeters", "millimeter", "millimetres", "mm"), 1e6),
    **dict.fromkeys(("centimeters", "centimeter", "centimetres", "cm"), 1e7),
    **dict.fromkeys(("meters", "meter", "metres", "m"), 1e9),
    **dict.fromkeys(("angstroms", "angstrom"), 0.1),
}

# spectral writes the third itself.
_UNSTATED = ("", "unknown", "<unspecified>", "none")


def find_files(path, image):
    """Return the header, and the image where it was named."""
    for given in (path, image):
        if given is not None and not Path(given).is_file():
            raise FileNotFoundError(f"There is no file {given}.")
    if image is not None or path.suffix.lower() == ".hdr":
        return path, None if image is None else str(image)
    beside = [
        path.with_suffix(".hdr"),
        path.with_name(path.name + ".hdr"),
        path.with_suffix(".HDR"),
    ]
    for header in beside:
        if header.is_file():
            return header, str(path)
    raise FileNotFoundError(f"{path} has no header beside it: neither {beside[0]} nor {beside[1]}.")


def check_header(header, types):
    """Refuse what spectral would read as something else, or not say in words."""
    for name in ("samples", "lines", "bands"):
        if name in header and not (header[name].isdecimal() and int(header[name])):
            raise ValueError(f"{name} must be a positive number. Got {header[name]!r}.")
    if header.get("interleave", "bsq").lower() not in ("bsq", "bil", "bip"):
        raise ValueError(f"interleave must be bsq, bil or bip. Got {header['interleave']!r}.")
    kind = header.get("data type", "4")
    if kind not in types or np.dtype(types[kind]).kind == "c":
        raise ValueError(f"data type must be one of real numbers. Got {kind!r}.")


def scale_factor(header, path):
    """Return what the numbers of the file have to be divided by."""
    scale = float(header.get("reflectance scale factor", 1))
    if not 0 < scale < np.inf:
        raise ValueError(f"{path}: reflectance scale factor must be positive. Got {scale}.")
    return scale


def ignored_value(header, dtype, path):
    """Return the number of the file that stands for no value, in the type of the file, or None."""
    if "data ignore value" not in header:
        return None
    try:
        value = float(header["data ignore value"])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: data ignore value must be a number. Got {header['data ignore value']!r}."
        ) from error
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    limits = np.iinfo(dtype)
    if value.is_integer() and limits.min <= value <= limits.max:
        return dtype.type(int(value))
    return None


def numbers_by_band(header, name, n_bands, path):
    """Return one number a band from the header, or None."""
    if name not in header:
        return None
    values = header[name]
    values = values.split(",") if isinstance(values, str) else values
    try:
        numbers = np.array([float(value) for value in values if value])
    except ValueError as error:
        raise ValueError(f"{path}: {name} must be numbers. {error}.") from error
    if len(numbers) != n_bands:
        raise ValueError(f"{path}: {name} has {len(numbers)} values for {n_bands} bands.")
    return numbers


def nanometres(header, n_bands, path):
    """Return the wavelengths in nanometres, or None where they aren't known as lengths."""
    unit = str(header.get("wavelength units", "")).strip().lower()
    if unit not in _NANOMETRES and unit not in _UNSTATED:
        return None
    wavelengths = numbers_by_band(header, "wavelength", n_bands, path)
    if wavelengths is None:
        return None
    if unit in _NANOMETRES:
        return wavelengths * _NANOMETRES[unit]
    return wavelengths * (1e3 if wavelengths.max() < 100 else 1.0)


def band_names(header, n_bands):
    """Return the name of each band, or None."""
    names = header.get("band names")
    # A comma in a name makes two of it.
    return names if isinstance(names, list) and len(names) == n_bands else None
