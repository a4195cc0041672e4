"""Fixtures for the tests and for the examples in docstrings and user guide."""

import os
import sys

import numpy as np
import pytest

from factorkit.utils._sklearn import HAS_CALLBACKS

# Their examples need callbacks, which scikit-learn has since 1.9.
collect_ignore = [] if HAS_CALLBACKS else ["factorkit/callbacks.py"]

# Before matplotlib is imported: no test opens a window.
os.environ.setdefault("MPLBACKEND", "agg")

_SEED = int(os.environ.get("FACTORKIT_TEST_SEED", "0"))


def pytest_report_header():
    return f"FACTORKIT_TEST_SEED={_SEED}"


@pytest.fixture
def seed():
    """The seed of the run: 0, or what FACTORKIT_TEST_SEED says."""
    return _SEED


@pytest.fixture
def rng(seed):
    """A generator for the data of one test."""
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def _closed_figures():
    """Close what a test drew, which matplotlib would warn of after twenty figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
