"""Pictures of factorizations, as scikit-learn's Display classes; matplotlib draws them."""

from factorkit.utils._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "AbundanceDisplay": "_abundances",
        "ComponentsDisplay": "_components",
        "ConvergenceDisplay": "_convergence",
        "EndmemberCountDisplay": "_endmember_count",
        "EndmemberDisplay": "_spectra",
        "RankSelectionDisplay": "_rank_selection",
        "ResidualDisplay": "_residuals",
    },
)
