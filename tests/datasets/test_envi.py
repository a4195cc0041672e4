"""ENVI files are read as written, whatever their layout, and refused in words."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.datasets import _envi, load_envi, load_envi_library

pytest.importorskip("spectral")

# Axes of rows × columns × bands, in the order of the file.
AXES = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
TYPES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "c8": 6, "u2": 12}
WAVELENGTHS = [450.0, 550.0, 650.0, 640.0, 860.0]


def write_header(path, **lines):
    """Write names = values, with the spaces of a name as underscores; None leaves a name out."""
    text = [f"{k.replace('_', ' ')} = {v}" for k, v in lines.items() if v is not None]
    path.write_text("\n".join(["ENVI", *text]) + "\n")
    return path


def write_scene(folder, image, *, interleave="bsq", dtype="f4", order="<", offset=0, **lines):
    """Write rows × columns × bands as scene.hdr and scene.img; return the header's path."""
    kind = np.dtype(dtype).newbyteorder(order)
    axes = AXES.get(interleave.lower(), AXES["bsq"])
    numbers = image.transpose(axes).astype(kind)
    (folder / "scene.img").write_bytes(bytes(offset) + numbers.tobytes())
    layout = {
        "samples": image.shape[1],
        "lines": image.shape[0],
        "bands": image.shape[2],
        "header_offset": offset,
        "file_type": "ENVI Standard",
        "data_type": TYPES[dtype],
        "interleave": interleave,
        "byte_order": int(order == ">"),
    }
    return write_header(folder / "scene.hdr", **(layout | lines))


def braced(values):
    return "{" + ", ".join(map(str, values)) + "}"


@pytest.fixture
def image():
    """3 rows, 4 columns, 5 bands, of whole numbers that are all different."""
    return np.random.default_rng(0).permutation(60).reshape(3, 4, 5) - 9


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip", "BIL"])
def test_pixels_are_the_same_in_every_layout(
    image, tmp_path, interleave, dtype, order, monkeypatch
):
    # Of blocks of one row.
    monkeypatch.setattr(_envi, "_BLOCK_BYTES", 1)
    layout = {"interleave": interleave, "dtype": dtype, "order": order, "offset": 7}
    scene = load_envi(write_scene(tmp_path, image, **layout))
    assert scene.image_shape == (3, 4)
    assert_array_equal(scene.data, image.reshape(12, 5))
    assert scene.data.dtype == np.float32 and scene.data.dtype.isnative
    assert type(scene.data) is np.ndarray and scene.data.flags.c_contiguous


@pytest.mark.parametrize(
    "dtype, asked, expected",
    [
        ("u1", None, "float32"),
        ("u2", None, "float32"),
        ("i4", None, "float64"),
        ("f8", None, "float64"),
        ("f8", "float32", "float32"),
        ("i2", "float64", "float64"),
    ],
)
def test_the_type_is_the_one_asked_for_or_holds_the_file(image, tmp_path, dtype, asked, expected):
    image = image + 9
    scene = load_envi(write_scene(tmp_path, image, dtype=dtype), dtype=asked)
    assert scene.data.dtype == expected
    assert_array_equal(scene.data, image.reshape(12, 5))


def test_reflectance_is_scaled_and_ignored_values_of_the_file_are_missing(image, tmp_path):
    image[1, 2, 3], image[0, 0, 0] = -9999, -1
    lines = {"reflectance_scale_factor": 10000.0, "data_ignore_value": "-9999.0"}
    scene = load_envi(write_scene(tmp_path, image, dtype="i2", **lines), dtype="float64")
    expected = image / 10000
    expected[1, 2, 3] = np.nan
    assert_array_equal(scene.data, expected.reshape(12, 5))


@pytest.mark.parametrize("value", ["-1.0e+34", "-3.4028234663852886e+38", "nan"])
def test_an_ignored_value_is_met_in_the_type_of_the_file(image, tmp_path, value):
    image = image.astype(np.float32)
    image[2, 1, 0] = float(value)
    scene = load_envi(write_scene(tmp_path, image, data_ignore_value=value))
    assert_array_equal(np.flatnonzero(np.isnan(scene.data)), [45])


@pytest.mark.parametrize("value", ["-9999", "0.5", "1e300"])
def test_an_ignored_value_that_the_file_cannot_hold_is_in_no_pixel(image, tmp_path, value):
    path = write_scene(tmp_path, image + 9, dtype="u1", data_ignore_value=value)
    assert_array_equal(load_envi(path).data, image.reshape(12, 5) + 9)


def test_an_ignored_value_beyond_the_type_of_the_data_is_missing_without_a_warning(image, tmp_path):
    image = image.astype(np.float64)
    image[0, 0, 1] = -1.7e308
    path = write_scene(tmp_path, image, dtype="f8", data_ignore_value=-1.7e308)
    assert np.isnan(load_envi(path, dtype="float32").data[0, 1])


@pytest.mark.parametrize(
    "unit, factor",
    [
        ("Nanometers", 1),
        ("Micrometers", 1e-3),
        ("um", 1e-3),
        ("Angstroms", 10),
        (None, 1),
        (None, 1e-3),
        ("Unknown", 1e-3),
    ],
)
def test_wavelengths_are_in_nanometres(image, tmp_path, unit, factor):
    lines = {"wavelength": braced(np.multiply(WAVELENGTHS, factor)), "wavelength_units": unit}
    scene = load_envi(write_scene(tmp_path, image, **lines))
    assert_allclose(scene.wavelengths, WAVELENGTHS, rtol=1e-12)


@pytest.mark.parametrize("lines", [{}, {"wavelength": "{1,2,3,4,5}", "wavelength_units": "Index"}])
def test_without_lengths_there_are_no_wavelengths(image, tmp_path, lines):
    scene = load_envi(write_scene(tmp_path, image, **lines))
    assert scene.wavelengths is scene.bad_bands is scene.band_names is None


def test_what_else_the_header_says_comes_along(image, tmp_path):
    lines = {
        "description": "{\n A small field,\n in May }",
        "band_names": "{blue, green, red, red too, infrared}",
        "bbl": "{1, 1, 0.0,\n 1, 0}",
        "Sensor_Type": "AVIRIS",
    }
    scene = load_envi(write_scene(tmp_path, image, **lines))
    assert scene.band_names == ["blue", "green", "red", "red too", "infrared"]
    assert_array_equal(scene.bad_bands, [False, False, True, False, True])
    assert scene.bad_bands.dtype == bool
    assert scene.DESCR == "A small field,\nin May"
    assert scene.metadata["sensor type"] == "AVIRIS"
    assert scene.metadata["data type"] == "4"


def test_names_with_commas_are_no_names(image, tmp_path):
    path = write_scene(tmp_path, image, band_names="{a, b, c, d, e, with a comma}")
    assert load_envi(path).band_names is None


def test_a_scene_of_one_band_needs_no_braces(image, tmp_path):
    scene = load_envi(write_scene(tmp_path, image[..., :1], wavelength=550, bbl=1))
    assert_array_equal(scene.wavelengths, [550])
    assert_array_equal(scene.data[:, 0], image[..., 0].ravel())


def test_the_image_may_be_named_instead_of_its_header(image, tmp_path):
    header = write_scene(tmp_path, image)
    for given in (tmp_path / "scene.img", str(tmp_path / "scene.img"), str(header)):
        assert_array_equal(load_envi(given).data, image.reshape(12, 5))
    header.rename(tmp_path / "scene.img.hdr")
    assert_array_equal(load_envi(tmp_path / "scene.img").data, image.reshape(12, 5))
    assert_array_equal(load_envi(tmp_path / "scene.img.hdr").data, image.reshape(12, 5))


def test_the_image_may_be_elsewhere(image, tmp_path):
    header = write_scene(tmp_path, image)
    (tmp_path / "numbers").mkdir()
    elsewhere = (tmp_path / "scene.img").rename(tmp_path / "numbers" / "of.scene")
    assert_array_equal(load_envi(header, image=elsewhere).data, image.reshape(12, 5))
    with pytest.raises(FileNotFoundError, match=r"no image beside the header .*scene\.hdr"):
        load_envi(header)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.hdr"):
        load_envi(tmp_path / "nothing.hdr")
    (tmp_path / "scene.img").write_bytes(b"1234")
    with pytest.raises(FileNotFoundError, match=r"no header beside it.*scene\.hdr .*img\.hdr"):
        load_envi(tmp_path / "scene.img")


@pytest.mark.parametrize(
    "lines, message",
    [
        ({"bands": None}, 'no ENVI header .*"bands" missing'),
        ({"bands": 6}, r"has 240 bytes; 3 lines of 4 samples in 6 bands, .* take 288"),
        ({"header_offset": 4}, "has 240 bytes; .* take 244"),
        ({"lines": "three"}, "lines must be a positive number. Got 'three'"),
        ({"samples": 0}, "samples must be a positive number. Got '0'"),
        ({"interleave": "tiles"}, "interleave must be bsq, bil or bip. Got 'tiles'"),
        ({"data_type": 7}, "data type must be one of real numbers. Got '7'"),
        ({"data_type": 6}, "data type must be one of real numbers. Got '6'"),
        ({"byte_order": "little"}, "'little'"),
        ({"wavelength": "{1, 2}"}, "wavelength has 2 values for 5 bands"),
        ({"wavelength": "{1, 2, 3, 4, x}"}, "wavelength must be numbers"),
        ({"bbl": "{1, 1}"}, "bbl has 2 values for 5 bands"),
        ({"description": "{never closed"}, "no ENVI header that can be read"),
        ({"reflectance_scale_factor": 0}, "scale factor must be positive. Got 0"),
        ({"reflectance_scale_factor": "many"}, "can't be read: .*'many'"),
        ({"data_ignore_value": "none"}, "data ignore value must be a number. Got 'none'"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_in_words(image, tmp_path, lines, message):
    path = write_scene(tmp_path, image, **lines)
    with pytest.raises(ValueError, match=message) as caught:
        load_envi(path)
    assert "scene.hdr" in str(caught.value)


@pytest.mark.parametrize("content", [b"samples = 4\n", bytes(range(128, 256)), b""])
def test_what_is_no_header_is_refused_and_the_cause_kept(tmp_path, content):
    (tmp_path / "scene.hdr").write_bytes(content)
    with pytest.raises(ValueError, match=r"scene\.hdr is no ENVI header") as caught:
        load_envi(tmp_path / "scene.hdr")
    assert caught.value.__cause__ is not None


@pytest.fixture
def library(tmp_path):
    def write(spectra, **lines):
        spectra = np.asarray(spectra, dtype=">f4")
        (tmp_path / "library.sli").write_bytes(spectra.tobytes())
        layout = {
            "samples": spectra.shape[1],
            "lines": spectra.shape[0],
            "bands": 1,
            "header_offset": 0,
            "file_type": "ENVI Spectral Library",
            "data_type": 4,
            "interleave": "bsq",
            "byte_order": 1,
        }
        return write_header(tmp_path / "library.hdr", **(layout | lines))

    return write


def test_a_spectral_library_has_named_spectra(library, tmp_path):
    spectra = np.random.default_rng(0).integers(1, 100, size=(2, 5))
    lines = {
        "spectra_names": "{Alunite GDS84, Calcite}",
        "wavelength": braced(np.divide(WAVELENGTHS, 1000)),
        "wavelength_units": "Micrometers",
        "reflectance_scale_factor": 100,
    }
    path = library(spectra, **lines)
    for given in (path, tmp_path / "library.sli"):
        loaded = load_envi_library(given)
        assert_allclose(loaded.spectra, spectra / 100, rtol=1e-15)
        assert loaded.spectra.dtype == np.float64 and loaded.spectra.dtype.isnative
        assert loaded.names == ["Alunite GDS84", "Calcite"]
        assert_allclose(loaded.wavelengths, WAVELENGTHS)
        assert loaded.metadata["spectra names"] == loaded.names


def test_a_library_without_names_counts_its_spectra_and_misses_ignored_values(library):
    loaded = load_envi_library(library([[1, 2], [-5, 4], [5, 6]], data_ignore_value=-5))
    assert loaded.names == ["1", "2", "3"] and loaded.wavelengths is None
    assert_array_equal(loaded.spectra, [[1, 2], [np.nan, 4], [5, 6]])


@pytest.mark.parametrize(
    "lines, message",
    [
        ({"lines": 3}, "can't be read"),
        ({"spectra_names": "{one}"}, "can't be read: .*names"),
        ({"header_offset": 4}, "header offset"),
    ],
)
def test_a_library_that_makes_no_sense_is_refused_in_words(library, lines, message):
    with pytest.raises(ValueError, match=message):
        load_envi_library(library([[1, 2], [3, 4]], **lines))


def test_each_loader_sends_the_other_kind_of_file_to_the_other(library, image, tmp_path):
    with pytest.raises(ValueError, match="take load_envi_library"):
        load_envi(library([[1, 2], [3, 4]]))
    with pytest.raises(ValueError, match=r"take load_envi\."):
        load_envi_library(write_scene(tmp_path, image))


@pytest.mark.parametrize("loader", [load_envi, load_envi_library])
def test_without_spectral_the_loaders_say_what_to_install(loader, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "spectral"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "spectral", None)
    with pytest.raises(ImportError, match=loader.__name__ + r" .*factorkit\[envi\]"):
        loader("scene.hdr")
