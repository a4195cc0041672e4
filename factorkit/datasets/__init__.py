"""Real data that other packages carry, and generators with a known truth."""

from factorkit.utils._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "load_envi": "_envi",
        "load_envi_library": "_envi",
        "load_faces": "_loaders",
        "load_indian_pines": "_loaders",
        "make_low_rank_nonnegative": "_generators",
        "make_ratings": "_ratings",
        "make_scene": "_scenes",
        "make_sparse_counts": "_counts",
        "ruin_bands": "_ruin",
    },
)
