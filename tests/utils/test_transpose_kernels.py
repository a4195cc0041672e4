"""Transposes in squares of vectors."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from factorkit.utils._transpose_kernels import transpose_columns


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (16, 16), (17, 33), (40, 7), (100, 64)])
def test_columns_become_rows(rng, dtype, shape):
    A = rng.random(shape).astype(dtype)
    n, m = shape
    for start, stop in ((0, m), (m // 3, m), (m // 2, m // 2), (m // 4, 3 * m // 4)):
        out = np.full((stop - start, n + 3), -1, dtype)
        transpose_columns(A, start, stop, out)
        assert_array_equal(out[:, :n], A[:, start:stop].T)
        assert_array_equal(out[:, n:], -1)
        plain = np.full_like(out, -1)
        transpose_columns.py_func(A, start, stop, plain)
        assert_array_equal(plain, out)
