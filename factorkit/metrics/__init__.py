"""How well a factorization explains its data, and how alike two sets of components are."""

from factorkit.utils._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "abundance_rmse": "_abundances",
        "cosine_similarity": "_spectra",
        "explained_variance": "_errors",
        "matched_components": "_matching",
        "spectral_angle": "_spectra",
        "spectral_information_divergence": "_spectra",
    },
)
