"""The one decorator that every compiled loop of the project wears."""

import os
import tempfile
import warnings
from pathlib import Path

import numba
import numpy as np

# Reassociation lets LLVM vectorize sums; contraction makes fused multiply-adds. The rest of
# "fast math" is left out on purpose: it deletes isnan tests.
_REDUCTION_MATH = {"reassoc", "contract"}


def _is_writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _can_cache(source_file):
    """Whether compiled code of a source file can be stored on disk.

    Numba tries ``NUMBA_CACHE_DIR``, the ``__pycache__`` beside the source and the user's cache
    folder, in that order, and raises when none is writable; a read-only installation run by a
    user without a home must still compute.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return _is_writable(Path(os.environ["NUMBA_CACHE_DIR"]))
    if _is_writable(Path(source_file).parent / "__pycache__"):
        return True
    cache_home = os.environ.get("XDG_CACHE_HOME", Path("~/.cache").expanduser())
    return _is_writable(Path(cache_home) / "numba")


_cache_is_possible = {}


def kernel(function=None, *, reduces=False):
    """Compile a loop over plain arrays: lazily, cached on disk, without the GIL.

    Parameters
    ----------
    function : callable
        Takes C-contiguous arrays and scalars only; calls no kernel of another file, because a
        cached caller would keep the old code of a changed callee.

    reduces : bool, default=False
        Allow reassociation of sums, for kernels that reduce along a row. It never changes what
        a test for NaN sees.

    Returns
    -------
    callable
        The dispatcher; the plain Python function is its ``py_func``.
    """
    if function is None:
        return lambda f: kernel(f, reduces=reduces)
    folder = Path(function.__code__.co_filename).parent
    if folder not in _cache_is_possible:
        _cache_is_possible[folder] = _can_cache(function.__code__.co_filename)
        if not _cache_is_possible[folder]:
            warnings.warn(
                "factorkit found no writable folder to store compiled code, so each new process "
                "compiles anew. Set NUMBA_CACHE_DIR to a writable folder.",
                RuntimeWarning,
                stacklevel=3,
            )
    return numba.njit(
        cache=_cache_is_possible[folder],
        nogil=True,
        # Python's check for division by zero stops vectorization.
        error_model="numpy",
        fastmath=_REDUCTION_MATH if reduces else False,
    )(function)


def plain(array):
    """The array, or a copy of it that is C-contiguous and writeable.

    A kernel would be compiled once more for another. In a tenth of the time of `numpy.require`.
    """
    array = np.asarray(array)  # a memory map is a class of its own
    flags = array.flags
    if flags.c_contiguous and flags.writeable:
        return array
    return np.array(array, order="C")
