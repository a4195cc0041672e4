"""scikit-learn's own tests of NMF, from the installed wheel, run on this project's classes.

Nothing of them is copied: the installed file is read, its import line replaced, and the result
collected here. What fails on purpose is in a table, with the reason; the table is strict, so an
entry that starts to pass has to go.
"""

import importlib.util
from pathlib import Path

import pytest

import factorkit

# Their suite runs with warnings on, and ours warns of more: penalties on one factor alone, for one.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

# A test's name, or the beginning of its name with parameters: why it fails.
EXPECTED_FAILURES = {
    "test_convergence_warning[NMF-solver0": "one iteration solves the ones: nothing to warn of",
    "test_parameter_checking": "solver='cd' does handle beta_loss=1",
    "test_nmf_true_reconstruction": (
        "asks for exact zeros in W H; updates never reach them, and W is solved for to 1e-8"
    ),
    "test_nmf_inverse_transform[mu]": (
        "stops at the default tol=1e-3, a residual and not a decrease; it passes with tol=1e-5"
    ),
    "test_minibatch_nmf_partial_fit": (
        "compares an array with itself: scikit-learn's two estimators write into the H that both "
        "were given, and ours leave it alone; the batches of the two differ"
    ),
    "test_nmf_minibatchnmf_equivalence": (
        "compares the loop's W; here fit_transform returns the W that is exact for H"
    ),
}

# Fail or pass by the order in which a processor's vector instructions sum.
BY_PROCESSOR = {
    "test_nmf_float32_float64_consistency": (
        "asks for the same factors at a rank of n_features, where exact factorizations are many; "
        "the objectives agree"
    ),
}

OURS = ("NMF", "MiniBatchNMF", "non_negative_factorization")
_THEIRS = "from sklearn.decomposition import NMF, MiniBatchNMF, non_negative_factorization\n"


def _test_file():
    home = importlib.util.find_spec("sklearn.decomposition").submodule_search_locations[0]
    return Path(home) / "tests" / "test_nmf.py"


def _load(path):
    """The tests that the file defines, after the import of NMF became ours."""
    source = path.read_text(encoding="utf-8")
    if _THEIRS not in source:
        pytest.skip(f"{path} imports NMF in another way", allow_module_level=True)
    own = [name for name in OURS if hasattr(factorkit, name)]
    # On one line, so that line numbers in a traceback are those of the file.
    replaced = source.replace(
        _THEIRS, f"{_THEIRS.rstrip()}; from factorkit import {', '.join(own)}\n"
    )
    namespace = {"__name__": "sklearn.decomposition.tests.test_nmf", "__file__": str(path)}
    exec(compile(replaced, str(path), "exec"), namespace)
    return {name: thing for name, thing in namespace.items() if name.startswith("test_")}


_PATH = _test_file()
if not _PATH.exists():
    pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)
_TESTS = _load(_PATH)
globals().update(_TESTS)


@pytest.fixture(autouse=True)
def _expected_failure(request):
    for table, strict in ((EXPECTED_FAILURES, True), (BY_PROCESSOR, False)):
        for start, reason in table.items():
            if request.node.name.startswith(start):
                request.applymarker(pytest.mark.xfail(reason=reason, strict=strict))


def test_every_expected_failure_names_a_test():
    for start in (*EXPECTED_FAILURES, *BY_PROCESSOR):
        assert start.partition("[")[0] in _TESTS


def test_the_classes_under_test_are_ours():
    (some,) = {test.__globals__["NMF"] for test in _TESTS.values()}
    assert some is factorkit.NMF
