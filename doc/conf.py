"""Settings of the documentation: ``make doc``. It builds without a network."""

import sys
from pathlib import Path

# The gallery looks up every name of its scripts, one of which scikit-learn hides without this.
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

import factorkit

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "factorkit"
author = "the factorkit developers"
copyright = f"2026, {author}"
version = release = factorkit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax from a wheel instead of a network
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "api_pages",
    "attribute_names",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
# autosummary_context holds a function, which Sphinx can't store between builds.
suppress_warnings = ["config.cache"]

# A class page names its methods without the class.
toc_object_entries_show_parents = "hide"

# Single backticks in docstrings are code, as in scikit-learn's.
default_role = "literal"

plot_formats = [("png", 120)]
plot_html_show_formats = False
plot_html_show_source_link = False

# A class page lists its methods by the template, once.
numpydoc_show_class_members = False
# Left out: wishes of taste, and what tests/test_public_names.py sees to.
numpydoc_validation_checks = {
    *("all", "ES01", "EX01", "PR01", "PR03", "PR04", "PR08"),
    *("RT01", "RT02", "RT03", "RT04", "SA01", "SS02", "SS05"),
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # that page loads scripts from a network
    "doc_module": ("factorkit",),
    "backreferences_dir": "api/backreferences",
    "remove_config_comments": True,
    "ignore_repr_types": r"factorkit\.plotting|matplotlib",
}

html_theme = "pydata_sphinx_theme"
html_title = "factorkit"
html_static_path = ["_static"]
html_css_files = ["factorkit.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"changes": []}
html_show_sourcelink = False
