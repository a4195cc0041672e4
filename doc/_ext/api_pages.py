"""Write api/index.rst from the public names, so that none is forgotten or listed in vain."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import factorkit

HEAD = """\
.. This file is written by api_pages.py.

.. _api:

API
===

"""

SECTION = """\
{title}
{underline}

{summary}

.. currentmodule:: {title}

.. autosummary::
   :toctree: generated
   :nosignatures:

   {names}

"""


def write_pages(app, config):
    modules = [name for name in factorkit.__all__ if _is_module(name)]
    names = [name for name in factorkit.__all__ if name not in modules]
    text = HEAD + _section("factorkit", names)
    for name in modules:
        module = f"factorkit.{name}"
        text += _section(module, import_module(module).__all__)
    page = Path(app.srcdir, "api", "index.rst")
    page.parent.mkdir(exist_ok=True)
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def written_here(module, name, methods):
    """Return the methods of a class that scikit-learn doesn't document.

    Docstrings of inherited methods refer to pages of scikit-learn's own documentation.
    """
    cls = getattr(import_module(module), name)
    return [
        method
        for method in methods
        if method != "__init__" and getattr(cls, method).__module__.startswith("factorkit")
    ]


def _section(module, names):
    return SECTION.format(
        title=module,
        underline="-" * len(module),
        summary=import_module(module).__doc__,
        names="\n   ".join(names),
    )


def _is_module(name):
    return isinstance(getattr(factorkit, name), ModuleType)


def setup(app):
    app.connect("config-inited", write_pages)  # before Sphinx looks what pages there are
    app.config.autosummary_context = {"written_here": written_here}
    return {"parallel_read_safe": True}
