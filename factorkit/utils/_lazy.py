"""Public names that are imported at first use (PEP 562)."""

from importlib import import_module


def lazy_names(package, homes, submodules=()):
    """Make what the ``__init__`` of a package needs to import its public names at first use.

    Parameters
    ----------
    package : str
        The package's ``__name__``.

    homes : dict
        For each public name the module that defines it, relative to the package.

    submodules : iterable of str, default=()
        Public modules of the package.

    Returns
    -------
    __getattr__, __dir__ : callable
    __all__ : list of str
    """

    def getattr_(name):
        if name in submodules:
            return import_module(f".{name}", package)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{homes[name]}", package), name)

    names = sorted([*homes, *submodules])
    return getattr_, lambda: names, names
