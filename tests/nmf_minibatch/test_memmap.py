"""Data on disk: never read as a whole, and treated as data in memory is."""

import tracemalloc

import numpy as np
import pytest

from factorkit import MiniBatchNMF

OPTIONS = {"n_components": 3, "batch_size": 64, "max_iter": 2, "tol": 0, "random_state": 0}


@pytest.fixture
def on_disk(tmp_path):
    def save(X, name="X"):
        path = tmp_path / f"{name}.dat"
        out = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
        out[:] = X
        out.flush()
        return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)

    return save


def _data(dtype, rng):
    X = rng.random((500, 3)) @ rng.random((3, 20))
    if dtype == "holes":
        return np.where(rng.random(X.shape) < 0.2, np.nan, X)
    return (20 * X).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "holes"])
def test_a_memmap_gives_what_the_array_gives(dtype, on_disk, rng):
    X = _data(dtype, rng)
    mapped = on_disk(X)
    expected, model = MiniBatchNMF(**OPTIONS).fit(X), MiniBatchNMF(**OPTIONS).fit(mapped)
    np.testing.assert_array_equal(model.components_, expected.components_)
    np.testing.assert_allclose(model.transform(mapped), expected.transform(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        MiniBatchNMF(**OPTIONS).fit_transform(mapped), model.transform(mapped), atol=1e-12
    )
    np.testing.assert_allclose(model.score(mapped), expected.score(X), rtol=1e-5)
    assert model.transform(mapped).dtype == expected.transform(X).dtype


def test_memory_does_not_grow_with_the_rows(on_disk, rng):
    H = rng.random((3, 50))
    peaks = []
    for n_samples in (2_000, 20_000):
        X = on_disk(rng.random((n_samples, 3)) @ H, str(n_samples))
        MiniBatchNMF(**OPTIONS).fit(X[:200])  # compiled, and cached what is cached
        tracemalloc.start()
        MiniBatchNMF(**OPTIONS).fit(X).score(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 0.5 * X.nbytes


@pytest.mark.parametrize(
    ("value", "message"), [(-1.0, "Negative"), (np.inf, "infinity")], ids=["negative", "infinite"]
)
def test_bad_values_are_found_wherever_they_are(value, message, on_disk, rng):
    X = _data("float64", rng)
    X[450, 3] = value
    model = MiniBatchNMF(**OPTIONS)
    with pytest.raises(ValueError, match=message):
        model.fit(on_disk(X))
    assert not hasattr(model, "components_")
    assert not hasattr(model, "n_features_in_")


def test_zeros_are_refused_where_the_loss_has_no_value_for_them(on_disk, rng):
    X = _data("float64", rng) + 0.1
    X[450, 3] = 0
    with pytest.raises(ValueError, match="contains zeros"):
        MiniBatchNMF(**OPTIONS, beta_loss="itakura-saito").fit(on_disk(X))


def test_blocks_without_an_observed_entry_are_passed_over(on_disk, rng):
    X = _data("float64", rng)
    X[64:192] = np.nan
    model = MiniBatchNMF(**OPTIONS).fit(on_disk(X))
    assert model.score(X) > 0.98
    assert np.all(model.transform(on_disk(X))[64:192] == 0)
    with pytest.raises(ValueError, match="no observed entry"):
        MiniBatchNMF(**OPTIONS).fit(on_disk(np.full_like(X, np.nan), "empty"))


def test_the_number_of_features_is_checked(on_disk, rng):
    X = _data("float64", rng)
    model = MiniBatchNMF(**OPTIONS).fit(on_disk(X))
    assert model.n_features_in_ == 20
    with pytest.raises(ValueError, match="20 features"):
        model.transform(on_disk(np.ascontiguousarray(X[:, :9]), "narrow"))


def test_weights_of_entries_go_with_their_block(on_disk, rng):
    X = _data("float64", rng)
    model = MiniBatchNMF(**OPTIONS).fit(X)
    weight = rng.random(X.shape)
    np.testing.assert_allclose(
        model.transform(on_disk(X), entry_weight=weight),
        model.transform(X, entry_weight=weight),
        atol=1e-9,
    )
