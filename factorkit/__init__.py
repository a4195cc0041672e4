"""Matrix and tensor factorization for scikit-learn."""

from factorkit.utils._lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "AltMinCompletion": "completion",
        "ArchetypalAnalysis": "unmixing",
        "BayesianMatrixFactorization": "completion",
        "CorrentropyUnmixing": "unmixing",
        "EntryRegressor": "entries",
        "GraphNMF": "nmf",
        "ImplicitALS": "completion",
        "LibraryUnmixing": "unmixing",
        "LowRankImputer": "completion",
        "MiniBatchNMF": "nmf",
        "NFINDR": "unmixing",
        "NMF": "nmf",
        "RankSelection": "nmf",
        "SPA": "unmixing",
        "ScaledGDSensing": "completion",
        "StructuredSparseUnmixing": "unmixing",
        "Unmixer": "unmixing",
        "VCA": "unmixing",
        "estimate_abundances": "unmixing",
        "estimate_n_endmembers": "unmixing",
        "from_entries": "entries",
        "non_negative_factorization": "nmf",
        "to_entries": "entries",
    },
    submodules=["callbacks", "datasets", "metrics", "plotting"],
)
