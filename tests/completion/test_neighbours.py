"""Near samples in the imputer: the formula, when they count, and that nothing leaks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from factorkit.completion import _neighbours
from factorkit.completion._imputer import LowRankImputer
from factorkit.completion._neighbours import Neighbours, _groups, _held_out


def gaussian(rng, n=200):
    return rng.standard_normal((n, 2)) @ rng.standard_normal((2, 8)) + 0.3 * rng.standard_normal(
        (n, 8)
    )


def on_a_curve(rng, n=300):
    """Eight functions of one angle, with a little noise: of rank four."""
    angle = rng.uniform(0, 2 * np.pi, (n, 1))
    X = np.hstack([f(m * angle) for f in (np.sin, np.cos) for m in (1, 2, 3, 4)])
    return X + 0.05 * rng.standard_normal(X.shape)


def with_holes(X, rng, share=0.3):
    return np.where(rng.random(X.shape) < share, np.nan, X)


def error(model, X, X_holes):
    holes = np.isnan(X_holes)
    return np.sqrt(np.mean((model.transform(X_holes) - X)[holes] ** 2))


@pytest.mark.parametrize("excluded", [False, True])
def test_steps_are_those_of_the_formula(rng, monkeypatch, excluded):
    monkeypatch.setattr(_neighbours, "_ROWS", 4)
    filled, values = rng.standard_normal((2, 12, 3))
    observed = rng.random((12, 3)) < 0.5
    observed[:, 2] = False
    values *= observed
    neighbours = Neighbours(filled, values, observed.astype(float), n_nearest=3)
    own, groups = rng.integers(12, size=10), np.arange(12) // 2
    A, expected = filled[own] + 0.3 * rng.standard_normal((10, 3)), rng.standard_normal((10, 3))
    (steps,) = neighbours.steps(
        A, expected, (1.7,), **({"own": own, "groups": groups} if excluded else {})
    )
    for i in range(10):
        d = np.sum((filled - A[i]) ** 2, axis=1)
        others = np.arange(12) != own[i] if excluded else np.ones(12, bool)
        counted = groups != groups[own[i]] if excluded else others
        w = np.exp(-1.7 * d / np.sort(d[others])[3])[:, None] * (observed & counted[:, None])
        for j in range(2):
            mean = w[:, j] @ values[:, j] / w[:, j].sum()
            assert_allclose(steps[i, j], mean - expected[i, j], rtol=1e-9, atol=1e-12)
    assert not steps[:, 2].any()


def test_neighbors_count_where_samples_lie_on_a_curve(rng):
    X = on_a_curve(rng)
    X_holes = with_holes(X, rng)
    new = on_a_curve(rng)
    new_holes = with_holes(new, rng)
    ours, alone = LowRankImputer().fit(X_holes), LowRankImputer(n_neighbors=0).fit(X_holes)
    assert ours.neighbor_share_ > 0.5
    assert alone.neighbor_share_ == 0
    assert error(ours, X, X_holes) < 0.8 * error(alone, X, X_holes)
    assert error(ours, new, new_holes) < 0.8 * error(alone, new, new_holes)


def test_a_gaussian_table_is_left_to_the_model(rng):
    X_holes = with_holes(gaussian(rng), rng)
    ours, alone = LowRankImputer().fit(X_holes), LowRankImputer(n_neighbors=0).fit(X_holes)
    assert ours.neighbor_share_ == 0
    assert_array_equal(ours.transform(X_holes), alone.transform(X_holes))


def ratio_to_the_model_alone(X, holes):
    X_holes = np.where(holes, np.nan, X)
    ours, alone = LowRankImputer().fit(X_holes), LowRankImputer(n_neighbors=0).fit(X_holes)
    return error(ours, X, X_holes) / error(alone, X, X_holes)


@pytest.mark.parametrize("gaps", [0.05, 0.2])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("visits", [2, 3])
def test_what_is_missing_is_not_read_off_copies_and_visits_that_miss_it_too(
    rng, visits, noise, gaps
):
    X = np.repeat(gaussian(rng, 100), visits, axis=0)
    holes = np.repeat(rng.random((100, 8)) < gaps, visits, axis=0)
    X += noise * rng.standard_normal(X.shape)
    assert ratio_to_the_model_alone(X, holes) < 1.1


def test_what_is_missing_is_not_read_off_copies_where_few_patterns_are_common(rng):
    X, lost = np.repeat(gaussian(rng, 100), 2, axis=0), np.repeat(rng.integers(3, size=100), 2)
    holes = (np.arange(8) // 4 == lost[:, None]) & (lost < 2)[:, None]
    assert ratio_to_the_model_alone(X, holes) < 1.05


def test_a_bootstrap_is_left_to_the_model_too(rng):
    drawn = rng.integers(200, size=200)
    X, holes = gaussian(rng)[drawn], (rng.random((200, 8)) < 0.2)[drawn]
    assert ratio_to_the_model_alone(X, holes) < 1.05


def test_visits_on_a_curve_still_have_neighbors(rng):
    X = np.repeat(on_a_curve(rng, 200), 3, axis=0)
    holes = np.repeat(rng.random((200, 8)) < 0.2, 3, axis=0)
    assert ratio_to_the_model_alone(X + 0.1 * rng.standard_normal(X.shape), holes) < 0.9


def test_who_belongs_together(rng):
    """Samples with the same gaps; where these are common, copies or what near samples show."""

    def groups(values, observed):
        return _groups(Neighbours(values, values * observed, observed.astype(float), 1))

    observed = np.ones((12, 3), bool)
    observed[[0, 1], 0] = observed[[2, 3], 1] = False  # the others have no gaps
    values = np.repeat(np.arange(12.0), 3).reshape(12, 3)
    values[5] = values[4]
    near = groups(values, observed)
    assert near[0] == near[1] != near[2] == near[3]
    assert len(set(near[4:])) == 1
    apart = groups(values[[0, 6, 2, 8, 4, 5, 1, 7, 3, 9, 10, 11]], observed)
    assert apart[0] == apart[1] != apart[2] == apart[3]
    assert apart[4] == apart[5]
    assert len(set(apart)) == 9


def test_a_neighborhood_is_less_than_half_the_table(rng):
    X_holes = with_holes(on_a_curve(rng, 61), rng)
    most, more = (LowRankImputer(n_neighbors=n).fit(X_holes) for n in (30, 1000))
    assert most.neighbor_share_ > 0
    assert_array_equal(more.transform(X_holes), most.transform(X_holes))


def test_a_complete_table_tells_what_neighbors_are_worth(rng):
    X, new = on_a_curve(rng), on_a_curve(rng)
    new_holes = with_holes(new, rng)
    ours, alone = LowRankImputer().fit(X), LowRankImputer(n_neighbors=0).fit(X)
    assert ours.neighbor_share_ > 0
    assert error(ours, new, new_holes) < error(alone, new, new_holes)


def test_what_is_held_out_was_observed_and_something_is_left(rng):
    observed = rng.random((50, 6)) < 0.6
    rows, visible = _held_out(observed)
    assert np.all(visible <= observed[rows])
    assert visible.any(axis=1).all()
    assert np.sum(observed[rows] & ~visible) > 50
    # Of halves, whole halves are held out.
    halves = np.repeat(rng.random((50, 1)) < 0.5, 3, axis=1)
    observed = np.hstack((halves, np.ones((50, 3), bool)))
    rows, visible = _held_out(observed)
    assert_array_equal(visible[:, :3].any(axis=1), visible[:, :3].all(axis=1))
    assert visible[:, 3:].all()


def test_a_sample_without_values_gets_the_means_and_order_does_not_matter(rng):
    X_holes = with_holes(on_a_curve(rng), rng, 0.5)
    model = LowRankImputer().fit(X_holes)
    assert model.neighbor_share_ > 0
    empty = np.full((1, X_holes.shape[1]), np.nan)
    together = model.transform(np.vstack((X_holes, empty)))
    assert_allclose(together[-1], np.clip(model.mean_, np.nanmin(X_holes, 0), None))
    assert_allclose(model.transform(X_holes[::-3]), together[:-1][::-3], rtol=1e-9, atol=1e-9)


def test_large_tables_keep_and_hold_out_a_part(rng, monkeypatch):
    monkeypatch.setattr(_neighbours, "_MOST_KEPT", 100)
    monkeypatch.setattr(_neighbours, "_MOST_HELD_OUT", 40)
    X = on_a_curve(rng)
    X_holes = with_holes(X, rng)
    ours, alone = LowRankImputer().fit(X_holes), LowRankImputer(n_neighbors=0).fit(X_holes)
    assert len(ours._neighbours.filled) == 100
    assert error(ours, X, X_holes) < error(alone, X, X_holes)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 20, 21, 22])
def test_tables_of_few_samples_are_filled(rng, n):
    X = load_iris().data[rng.permutation(150)[:n]]
    X[0, 1] = np.nan
    assert np.isfinite(LowRankImputer(keep_empty_features=True).fit_transform(X)).all()
