"""Matrix completion, recommendation, and low-rank recovery."""

from factorkit.utils._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "AltMinCompletion": "_altmin",
        "BayesianMatrixFactorization": "_bayes",
        "ImplicitALS": "_implicit",
        "LowRankImputer": "_imputer",
        "ScaledGDSensing": "_sensing",
    },
)
