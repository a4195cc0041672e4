"""The kernel decorator: what it compiles, and where it keeps it."""

import importlib.util
import warnings

import numba
import numpy as np
import pytest

from factorkit.utils import _jit
from factorkit.utils._jit import _can_cache, kernel

SOURCE = """
from factorkit.utils._jit import kernel

@kernel(reduces=True)
def total(x):
    s = 0.0
    for i in range(x.size):
        s += x[i]
    return s

@kernel
def count_nan(x):
    n = 0
    for i in range(x.size):
        if x[i] != x[i]:
            n += 1
    return n

@kernel
def divide(a, b):
    return a / b
"""


def load(folder):
    """The module above, from a file in a folder."""
    path = folder / "kernels.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_environment(monkeypatch):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")  # Numba read it when it was imported


def blocked(path):
    """A file where a folder would have to be: nobody, root neither, can write there."""
    path.write_text("")
    return path


def test_a_kernel_computes_and_keeps_its_plain_function(tmp_path):
    kernels = load(tmp_path)
    x = np.array([1.0, np.nan, 3.0])
    assert kernels.total(x[[0, 2]]) == kernels.total.py_func(x[[0, 2]]) == 4
    assert kernels.count_nan(x) == 1  # no fast math that deletes the test
    assert np.isnan(kernels.total(x))
    assert kernels.divide(1.0, 0.0) == np.inf  # no check for zero


def test_compiled_code_is_stored_beside_the_source(tmp_path, no_environment):
    load(tmp_path).total(np.ones(3))
    assert list((tmp_path / "__pycache__").glob("kernels.total-*.nbi"))


def test_without_a_writable_folder_it_computes_and_warns_once(
    tmp_path, no_environment, monkeypatch
):
    blocked(tmp_path / "__pycache__")
    monkeypatch.setenv("HOME", str(blocked(tmp_path / "home")))
    with pytest.warns(RuntimeWarning, match="Set NUMBA_CACHE_DIR to a writable folder") as told:
        kernels = load(tmp_path)
    assert len(told) == 1
    assert kernels.total(np.ones(3)) == 3


def test_the_folders_are_tried_in_numbas_order(tmp_path, no_environment, monkeypatch):
    source = str(tmp_path / "kernels.py")
    monkeypatch.setenv("HOME", str(blocked(tmp_path / "home")))
    assert _can_cache(source)
    (tmp_path / "__pycache__").rmdir()
    blocked(tmp_path / "__pycache__")
    assert not _can_cache(source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _can_cache(source)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked(tmp_path / "numba")))
    assert not _can_cache(source)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert _can_cache(source)


def test_what_can_be_cached_is_found_out_once_a_folder(tmp_path, no_environment, monkeypatch):
    asked = []
    monkeypatch.setattr(_jit, "_can_cache", lambda source: asked.append(source) or True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path)
    assert len(asked) == 1


def test_it_decorates_with_and_without_options():
    @kernel
    def twice(x):
        return 2 * x

    @kernel()
    def thrice(x):
        return 3 * x

    assert twice(2) == 4 and thrice(2) == 6
