"""Loaders bring what other packages carry, or say what is not installed."""

import subprocess
import sys

import numpy as np
import pytest

from factorkit import datasets


def test_indian_pines_are_pixels_by_bands():
    pytest.importorskip("tensorly")
    scene = datasets.load_indian_pines()
    assert scene.data.shape == (145 * 145, 200) and scene.data.dtype == np.float64
    assert scene.data.min() >= 0 and scene.data.flags.c_contiguous
    assert scene.image_shape == (145, 145)
    assert scene.target.shape == (145 * 145,)
    assert set(scene.target) == set(range(17))
    assert "creativecommons.org/licenses/by/3.0" in scene.DESCR


def test_neighbouring_pixels_and_bands_stay_neighbours():
    pytest.importorskip("tensorly")
    scene = datasets.load_indian_pines()
    image = scene.data.reshape(*scene.image_shape, -1)
    for axis in range(3):
        steps = np.abs(np.diff(image, axis=axis)).mean()
        assert steps < 0.2 * np.abs(image - image.mean()).mean()
    labels = scene.target.reshape(scene.image_shape)
    assert (labels[1:] == labels[:-1]).mean() > 0.9


def test_the_land_cover_is_that_of_its_pixel():
    pytest.importorskip("tensorly")
    scene = datasets.load_indian_pines()

    def explained_by(labels):
        known = labels > 0
        X, classes = scene.data[known], labels[known]
        within = sum(((X[classes == c] - X[classes == c].mean(0)) ** 2).sum() for c in set(classes))
        return 1 - within / ((X - X.mean(0)) ** 2).sum()

    assert explained_by(scene.target) > 0.5
    assert explained_by(scene.target.reshape(scene.image_shape).T.ravel()) < 0.3


def test_wavelengths_rise_but_where_the_spectrometers_overlap():
    pytest.importorskip("tensorly")
    wavelengths = datasets.load_indian_pines().wavelengths
    assert wavelengths.shape == (200,)
    assert wavelengths.min() == 400.02 and wavelengths.max() == 2498.96
    falls = np.flatnonzero(np.diff(wavelengths) < 0)
    np.testing.assert_allclose(wavelengths[falls], [690, 1280], atol=10)


def test_faces_are_grey_images():
    pytest.importorskip("skimage")
    faces = datasets.load_faces()
    assert faces.data.shape == (100, 625) and faces.data.dtype == np.float64
    assert faces.image_shape == (25, 25)
    assert 0 <= faces.data.min() < 0.1 and 0.9 < faces.data.max() <= 1
    assert "Labeled Faces in the Wild" in faces.DESCR


@pytest.mark.parametrize(
    "loader, module, package",
    [("load_indian_pines", "tensorly", "tensorly"), ("load_faces", "skimage", "scikit-image")],
)
def test_a_package_that_is_not_installed_is_named(loader, module, package, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"{loader} .*{package}, which is not installed"):
        getattr(datasets, loader)()


@pytest.mark.parametrize("package", ["datasets", "metrics", "plotting"])
def test_importing_a_package_loads_nothing_heavy(package):
    code = (
        f"import sys, factorkit.{package} as package\n"
        "heavy = {'matplotlib', 'numba', 'scipy', 'sklearn', 'skimage', 'tensorly'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert package.__all__ == dir(package)\n"
        "for name in package.__all__: assert getattr(package, name).__name__ == name\n"
        "assert not {'matplotlib', 'skimage', 'tensorly'} & set(sys.modules)\n"
        "try: package.no_such_name\n"
        "except AttributeError as error: assert 'no_such_name' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
