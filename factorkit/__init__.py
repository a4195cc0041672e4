"""Matrix and tensor factorization for scikit-learn."""

from importlib import import_module

__version__ = "0.1.0"

# Public names and where they live: nothing is imported before it is used (PEP 562).
_HOME = {
    "EntryRegressor": "factorkit.entries",
    "GraphNMF": "factorkit.nmf",
    "MiniBatchNMF": "factorkit.nmf",
    "NMF": "factorkit.nmf",
    "RankSelection": "factorkit.nmf",
    "from_entries": "factorkit.entries",
    "non_negative_factorization": "factorkit.nmf",
    "to_entries": "factorkit.entries",
}
_SUBMODULES = ("callbacks", "datasets", "metrics", "plotting")

__all__ = sorted([*_HOME, *_SUBMODULES])


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = import_module(f"factorkit.{name}")
    else:
        raise AttributeError(f"module 'factorkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
