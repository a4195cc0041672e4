"""Cached code of a kernel is that of its file; what it compiles in from others must show there."""

import ast
import hashlib
import re
from pathlib import Path

import pytest

import factorkit

ROOT = Path(factorkit.__file__).parent
MARK = "# Compiled in from other files: "


def imported(path):
    """Modules of the package that a module imports, as files."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = path.parents[node.level - 1]
        elif node.module.split(".")[0] == "factorkit":
            base = ROOT.parent
        else:
            continue
        file = base.joinpath(*node.module.split(".")).with_suffix(".py")
        if file.exists():
            yield file


def has_kernels(path):
    return re.search(r"^@kernel", path.read_text(), re.M) is not None


def compiled_in(path):
    """What a module imports, and those import; no kernel calls one of another file."""
    found, left = set(), [path]
    while left:
        new = {file for file in imported(left.pop()) if not has_kernels(file)} - found
        found |= new
        left += new
    return found


def fingerprint(path):
    """Of what emits instructions among the modules that a module imports; None without any."""
    files = sorted(
        file
        for file in compiled_in(path)
        if "from llvmlite import ir" in file.read_text() or "@intrinsic" in file.read_text()
    )
    if not files:
        return None
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def kernels():
    files = [file for file in sorted(ROOT.rglob("*.py")) if has_kernels(file)]
    return [file for file in files if fingerprint(file) is not None]


@pytest.mark.parametrize("path", kernels(), ids=lambda path: path.stem)
def test_a_kernel_names_what_it_compiles_in(path):
    # Numba looks at the kernel's own file alone: with an old mark it would go on with old code.
    line = MARK + fingerprint(path)
    assert line in path.read_text().splitlines(), f"{path.name} needs the line '{line}'."


def test_kernels_that_compile_in_are_found():
    names = {path.stem for path in kernels()}
    assert {"_kl_kernels", "_nnls_kernels", "_als_kernels", "_product_kernels"} <= names
    assert not {"_weighted_kernels", "_linalg", "_graph"} & names
