"""Top-N lists, similar columns and explanations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit import AltMinCompletion, ImplicitALS
from factorkit.completion import _recommend
from factorkit.completion._top_kernels import top_of_rows

from ._planted import rating_like


@pytest.fixture(params=["ratings", "implicit"])
def fit(request, rng):
    X = rating_like(rng)
    X.data[X.indices == 7] = 0
    X.eliminate_zeros()  # column 7 is cold
    if request.param == "ratings":
        return AltMinCompletion(3, random_state=0, bounds="data").fit(X), X
    return ImplicitALS(3, random_state=0).fit(X), X


def all_scores(model):
    return model.embedding_ @ model.components_ + getattr(model, "intercept_", 0)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("block", [2**18, 1])
def test_lists_are_those_of_a_full_sort(fit, monkeypatch, exclude_seen, block):
    model, X = fit
    monkeypatch.setattr(_recommend, "_BLOCK_SIZE", block)
    columns, scores = model.recommend(n=30, exclude_seen=exclude_seen)
    expected = all_scores(model)
    expected[:, 7] = -np.inf
    if exclude_seen:
        expected[X.toarray() != 0] = -np.inf
    order = np.argsort(-expected, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(expected, order, axis=1)
    order[np.isinf(sorted_scores)] = -1
    assert_array_equal(columns, order)
    assert_allclose(scores, sorted_scores)
    rows = [4, 0, 4]
    assert_array_equal(model.recommend(rows, n=5, exclude_seen=exclude_seen)[0], columns[rows, :5])
    assert_array_equal(model.recommend(4, n=5, exclude_seen=exclude_seen)[0], columns[[4], :5])


def test_new_rows_are_folded_in(fit):
    model, X = fit
    columns, scores = model.recommend(X=X[[9, 2]], n=4)
    known = model.recommend([9, 2], n=4)
    assert_array_equal(columns, known[0])
    assert_allclose(scores, known[1], rtol=1e-6)
    assert_array_equal(model.recommend([1], X=X[[9, 2]], n=4)[0], columns[[1]])


def test_ties_come_in_the_order_of_the_columns(rng):
    scores = rng.integers(0, 4, (50, 30)).astype(float)
    scores[rng.random(scores.shape) < 0.3] = -np.inf
    for kernel in (top_of_rows, top_of_rows.py_func):
        columns, values = np.full((50, 9), -1), np.full((50, 9), -np.inf)
        kernel(scores, columns, values)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :9]
        assert_array_equal(values, np.take_along_axis(scores, order, axis=1))
        order[np.isinf(values)] = -1
        assert_array_equal(columns, order)


def test_similar_columns_have_the_largest_cosines(fit):
    model, _ = fit
    V = model.components_[:3].T
    neighbours, similarities = model.similar_items(n=4)
    length = np.linalg.norm(V, axis=1)
    for j in range(len(V)):
        if length[j] < 1e-9:
            continue
        cosines = V @ V[j] / (np.where(length > 1e-9, length, np.inf) * length[j])
        cosines[j] = -np.inf
        assert neighbours[j, 0] == np.argmax(cosines)
        assert_allclose(similarities[j, 0], cosines.max())
    assert_array_equal(model.similar_items([3], n=2)[0], neighbours[[3], :2])
    assert not np.any(neighbours == np.arange(len(V))[:, None])


@pytest.mark.parametrize(
    "options",
    [{}, {"loss": "huber"}, {"alpha_scaling": None, "alpha": 1.0}, {"positive": True},
     {"row_bias": False}],
)  # fmt: skip
def test_contributions_add_up_to_the_prediction(rng, options):
    X = rating_like(rng)
    model = AltMinCompletion(3, random_state=0, tol=1e-7, max_iter=3000, **options).fit(X)
    whole = all_scores(model)
    for i, j in ((0, 0), (7, 3), (49, 29)):
        explanation = model.explain(i, j)
        assert_array_equal(np.sort(explanation.indices), X[[i]].indices)
        sizes = np.abs(explanation.contributions)
        assert np.all(np.diff(sizes) <= 0)
        assert_allclose(explanation.base, model.intercept_[j])
        assert_allclose(explanation.base + explanation.contributions.sum(), whole[i, j], rtol=1e-6)
        short = model.explain(i, j, n=2)
        assert_array_equal(short.indices, explanation.indices[:2])
        assert_allclose(short.base + short.contributions.sum(), whole[i, j], rtol=1e-6)
        by_column = model.explain(i, j, by="column")
        assert_array_equal(np.sort(by_column.indices), X[:, [j]].tocoo().coords[0])
        total = by_column.base + by_column.contributions.sum()
        assert_allclose(total, whole[i, j], rtol=1e-2 if "loss" in options else 1e-4)


def test_contributions_are_what_a_changed_rating_changes(rng):
    """Of an entry's contribution, to first order: that of its residual, all else held."""
    X = rating_like(rng)
    model = AltMinCompletion(2, random_state=0, alpha=0.3).fit(X)
    explanation = model.explain(5, 11)
    j = explanation.indices[0]
    r = X[5, j] - all_scores(model)[5, j]
    ridge = 0.3 * len(explanation.indices)
    f = model.components_[:, [j, 11]]
    assert_allclose(explanation.contributions[0], r * (f[:, 0] @ f[:, 1]) / ridge, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.recommend([50]), "rows holds 50"),
        (lambda m: m.recommend([-1]), "rows holds -1"),
        (lambda m: m.recommend([0.5]), "rows must be"),
        (lambda m: m.recommend(n=0), "n=0"),
        (lambda m: m.similar_items([30]), "columns holds 30"),
        (lambda m: m.explain(50, 0), "row=50"),
        (lambda m: m.explain(0, 1.5), r"column=1\.5"),
        (lambda m: m.explain(0, 0, by="item"), "by='item'"),
        (lambda m: m.predict_entries([[0, 30]]), "coordinate 30"),
        (lambda m: m.predict_entries([[0.5, 3]]), "not whole numbers"),
        (lambda m: m.predict_entries([[-1, 3]]), "Negative"),
        (lambda m: m.predict_entries([[1, 3, 2]]), "3 columns"),
    ],
)
def test_wrong_requests_are_refused_in_words(rng, call, words):
    model = AltMinCompletion(2, random_state=0).fit(rating_like(rng))
    with pytest.raises(ValueError, match=words):
        call(model)


def test_explanations_need_a_penalty(rng):
    model = AltMinCompletion(1, random_state=0, alpha=0, tol=0.1).fit(rating_like(rng))
    with pytest.raises(ValueError, match="alpha > 0"):
        model.explain(0, 0)


@pytest.mark.parametrize("n", [1.5, -1, 0, True])
def test_explanations_take_a_positive_number(rng, n):
    model = AltMinCompletion(1, random_state=0).fit(rating_like(rng))
    with pytest.raises(ValueError, match="n="):
        model.explain(0, 0, n=n)
