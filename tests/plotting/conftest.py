import pytest


@pytest.fixture(autouse=True)
def plt():
    """matplotlib without a window; figures are closed after each test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
