"""What ``factorkit`` and its public submodules offer, and that it is documented."""

import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest

import factorkit

MODULES = [name for name in factorkit.__all__ if inspect.ismodule(getattr(factorkit, name, None))]
PUBLIC = [("factorkit", name) for name in factorkit.__all__ if name not in MODULES] + [
    (f"factorkit.{module}", name)
    for module in MODULES
    for name in import_module(f"factorkit.{module}").__all__
]


def parameters_in(docstring):
    """Names that stand before a colon in the section Parameters."""
    section = re.search(r"Parameters\n-+\n(.*?)(\n\n[A-Z][a-z A-Z]+\n-+\n|\Z)", docstring, re.S)
    lines = re.findall(r"^([\w*][\w*, \n]*) : ", section.group(1), re.M) if section else []
    return {name for line in lines for name in re.split(r",\s*", line)}


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_is_there_and_its_parameters_are_documented(module, name):
    thing = getattr(import_module(module), name)
    documented = parameters_in(inspect.getdoc(thing))
    assert set(inspect.signature(thing).parameters) <= documented


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_has_an_example(module, name):
    assert "Examples\n--------\n>>> " in inspect.getdoc(getattr(import_module(module), name))


def test_public_names_are_listed_before_they_are_used():
    assert set(factorkit.__all__) <= set(dir(factorkit))


def test_an_unknown_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="'factorkit' has no attribute 'nonsense'"):
        factorkit.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, factorkit; "
        "print(*{'numba', 'numpy', 'scipy', 'sklearn', 'tensorly'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
