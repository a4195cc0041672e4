"""Hyperspectral unmixing: endmembers, abundances, ruined bands."""

from factorkit.utils._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "ArchetypalAnalysis": "_archetypal",
        "CorrentropyUnmixing": "_correntropy",
        "LibraryUnmixing": "_library",
        "NFINDR": "_nfindr",
        "SPA": "_spa",
        "StructuredSparseUnmixing": "_structured",
        "Unmixer": "_unmixer",
        "VCA": "_vca",
        "estimate_abundances": "_functions",
        "estimate_n_endmembers": "_counting",
    },
)
