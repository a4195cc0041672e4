"""Errors of abundances are those of the components that belong together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from factorkit.metrics import abundance_rmse, matched_components


@pytest.fixture
def abundances():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(3), 24), rng.dirichlet(np.ones(3), 24)


def test_without_a_permutation_components_are_paired_in_their_order(abundances):
    A, B = abundances
    expected = np.sqrt(np.mean((A - B) ** 2))
    assert abundance_rmse(A, B) == pytest.approx(expected, rel=1e-12)
    assert isinstance(abundance_rmse(A, B), float)
    assert_allclose(
        abundance_rmse(A, B, per_component=True), np.sqrt(np.mean((A - B) ** 2, axis=0)), rtol=1e-12
    )


def test_the_permutation_of_the_endmembers_pairs_their_abundances():
    rng = np.random.default_rng(0)
    E, A = rng.exponential(size=(4, 30)), rng.dirichlet(np.ones(4), 50)
    order = np.array([2, 3, 1, 0])  # not its own inverse
    permutation, _ = matched_components(E, E[order], metric="spectral_angle")
    assert abundance_rmse(A, A[:, order], permutation=permutation) == 0
    assert abundance_rmse(A, A[:, order]) > 0.1


def test_a_component_without_a_partner_is_left_out(abundances):
    A, B = abundances
    each = abundance_rmse(A, B[:, :2], permutation=[1, -1, 0], per_component=True)
    expected = np.sqrt([np.mean((A[:, 0] - B[:, 1]) ** 2), np.mean((A[:, 2] - B[:, 0]) ** 2)])
    assert_allclose(each[[0, 2]], expected, rtol=1e-12)
    assert np.isnan(each[1])
    whole = abundance_rmse(A, B[:, :2], permutation=[1, -1, 0])
    assert whole == pytest.approx(np.sqrt(np.mean(expected**2)), rel=1e-12)


def test_the_other_set_may_have_more_components(abundances):
    A, B = abundances
    assert abundance_rmse(A[:, [1]], np.hstack((B, A)), permutation=[4]) == 0


@pytest.mark.parametrize("per_component", [False, True])
def test_maps_have_the_error_of_their_pixels(abundances, per_component):
    A, B = abundances
    options = {"permutation": [1, 2, 0], "per_component": per_component}
    maps = [M.reshape(4, 6, 3) for M in (A, B)]
    assert_allclose(abundance_rmse(*maps, **options), abundance_rmse(A, B, **options), rtol=1e-12)


def test_narrow_floats_are_summed_in_wide_ones():
    # In float32 a sum of 1e7 equal squares stalls or drifts.
    A = np.zeros((1000, 1000, 1), dtype=np.float32)
    B = np.full_like(A, 0.1)
    assert abundance_rmse(A, B) == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(
    "permutation, message",
    [
        ([0, 1], r"must be 3 integers.*shape \(2,\)"),
        ([0.0, 1.0, 2.0], "type float64"),
        ([0, 1, 1], r"different components.*0 to 2.*\[0, 1, 1\]"),
        ([0, 1, 3], r"0 to 2"),
        ([0, -2, 1], r"0 to 2"),
        ([-1, -1, -1], "pairs no component"),
    ],
)
def test_what_is_no_permutation_is_refused(abundances, permutation, message):
    with pytest.raises(ValueError, match=message):
        abundance_rmse(*abundances, permutation=permutation)


def test_abundances_that_do_not_go_together_are_refused(abundances):
    A, B = abundances
    with pytest.raises(ValueError, match="A has 3 components and B has 2: give the permutation"):
        abundance_rmse(A, B[:, :2])
    with pytest.raises(ValueError, match=r"shape \(24, 3\) and B of shape \(4, 6, 3\)"):
        abundance_rmse(A, B.reshape(4, 6, 3))
    with pytest.raises(ValueError, match="must agree"):
        abundance_rmse(A.reshape(6, 4, 3), B.reshape(4, 6, 3))
    with pytest.raises(ValueError, match="NaN"):
        abundance_rmse(np.full_like(A, np.nan), B)
