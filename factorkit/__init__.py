"""Matrix and tensor factorization for scikit-learn."""

from factorkit.utils._lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "AltMinCompletion": "completion",
        "BayesianMatrixFactorization": "completion",
        "EntryRegressor": "entries",
        "GraphNMF": "nmf",
        "ImplicitALS": "completion",
        "LowRankImputer": "completion",
        "MiniBatchNMF": "nmf",
        "NMF": "nmf",
        "RankSelection": "nmf",
        "ScaledGDSensing": "completion",
        "from_entries": "entries",
        "non_negative_factorization": "nmf",
        "to_entries": "entries",
    },
    submodules=["callbacks", "datasets", "metrics", "plotting"],
)
