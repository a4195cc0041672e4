"""ScaledGDSensing: recovery, the step, noise, kinds of input, errors, scikit-learn's checks."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.completion._measurements import Measurements
from factorkit.completion._scaled_gd import (
    _Descent,
    _NoiseFloor,
    degrees_of_freedom,
    scaled_gd,
    spectral_norm,
)
from factorkit.completion._sensing import ScaledGDSensing
from factorkit.utils._sklearn import HAS_CALLBACKS

RANK = 3


def planted(seed, *, condition=10, symmetric=False, shape=(24, 18), times=6, rank=RANK):
    """(X of shape (m, n_rows, n_columns), y, M); m is `times` the parameters of M."""
    rng = np.random.default_rng(seed)
    shape = (shape[0], shape[0]) if symmetric else shape
    U, V = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for n in shape)
    M = (U * np.geomspace(1, 1 / condition, rank)) @ (U if symmetric else V).T
    X = rng.standard_normal((times * degrees_of_freedom(*shape, rank, symmetric), *shape))
    return X, np.einsum("mij,ij->m", X, M), M


def error(model, M):
    return np.linalg.norm(model.matrix_ - M) / np.linalg.norm(M)


@pytest.fixture(scope="module")
def data():
    return planted(0)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("condition", [1, 30, 1000])
@pytest.mark.parametrize("n_components", [3, 8])
def test_a_planted_matrix_is_recovered_in_as_many_iterations_whatever_its_condition_number(
    symmetric, condition, n_components
):
    for seed in range(3):
        X, y, M = planted(seed, condition=condition, symmetric=symmetric)
        model = ScaledGDSensing(n_components, symmetric=symmetric, random_state=seed).fit(X, y)
        assert error(model, M) < 1e-5
        assert model.rank_ == RANK
        assert model.n_iter_ < 120


def gradient_descent(X, y, k, n_iter, small=1e-3):
    """The reference: the same without the preconditioner."""
    rng = np.random.default_rng(0)
    m, n_rows, n_columns = X.shape
    X = X.reshape(m, -1)
    L, R = (small * rng.standard_normal((n, k)) for n in (n_rows, n_columns))
    for _ in range(n_iter):
        G = ((X @ (L @ R.T).ravel() - y) @ X).reshape(n_rows, n_columns) / m
        L, R = L - 0.5 * G @ R, R - 0.5 * G.T @ L
    return L @ R.T


def test_plain_gradient_descent_is_far_from_there_after_many_more_iterations():
    X, y, M = planted(0, condition=100)
    model = ScaledGDSensing(8, random_state=0).fit(X, y)
    slow = gradient_descent(X, y, 8, 5 * model.n_iter_)
    assert np.linalg.norm(slow - M) > 1e-3 * np.linalg.norm(M)
    easy = gradient_descent(X, planted(0, condition=1)[1], 3, 200)  # the reference works
    assert np.linalg.norm(easy - planted(0, condition=1)[2]) < 1e-5


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_true_rank_decides_how_many_measurements_are_needed(symmetric):
    """Three for each of its parameters: not much more than one for each of eight components."""
    for seed in range(3):
        X, y, M = planted(seed, symmetric=symmetric, times=3, shape=(30, 30))
        assert len(y) < 1.3 * degrees_of_freedom(*M.shape, 8, symmetric)
        model = ScaledGDSensing(8, symmetric=symmetric, random_state=seed).fit(X, y)
        assert error(model, M) < 1e-4


def test_a_matrix_that_is_not_identified_is_not_recovered():
    X, y, M = planted(0)
    few = degrees_of_freedom(*M.shape, RANK, False) - 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ScaledGDSensing(6, random_state=0).fit(X[:few], y[:few])
    assert error(model, M) > 0.1


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_is_the_formula(symmetric):
    rng = np.random.default_rng(0)
    n_rows, n_columns = (5, 5) if symmetric else (5, 4)
    X = rng.standard_normal((30, n_rows, n_columns))
    y = rng.standard_normal(30)
    L, R = rng.standard_normal((n_rows, 2)), rng.standard_normal((n_columns, 2))
    R = L if symmetric else R
    lam, eta, scale = 0.3, 0.01, 7.0
    r = np.array([np.sum(A * (L @ R.T)) for A in X]) - y
    G = sum(ri * A for ri, A in zip(r, X, strict=True)) / scale
    G = (G + G.T) / 2 if symmetric else G
    expected_L = L - eta * G @ R @ np.linalg.inv(R.T @ R + lam * np.eye(2))
    expected_R = R - eta * G.T @ L @ np.linalg.inv(L.T @ L + lam * np.eye(2))
    states = []
    scaled_gd(
        Measurements(X.reshape(30, -1), (n_rows, n_columns)),
        y,
        L,
        None if symmetric else R,
        scale=scale,
        tol=0,
        max_iter=1,
        rng=rng,
        small=1e-3,
        damping=lam,
        step=eta,
        report=lambda *state: states.append(state),
    )
    [(objective, new_L, new_R)] = states
    assert_allclose(new_L, expected_L, rtol=1e-12)
    assert new_R is None if symmetric else np.allclose(new_R, expected_R, rtol=1e-12)
    r = np.array([np.sum(A * (expected_L @ expected_R.T)) for A in X]) - y
    assert objective == pytest.approx(r @ r / 2, rel=1e-12)


def test_the_spectral_norm_and_the_adjoint_are_right():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((30, 20))
    Q = rng.standard_normal((20, 8))
    assert spectral_norm(G, Q, 30)[0] == pytest.approx(np.linalg.norm(G, 2), rel=1e-3)
    A = Measurements(rng.standard_normal((40, 600)).astype(np.float32), (30, 20))
    r = rng.standard_normal(40)
    assert np.vdot(A.adjoint(r), G) == pytest.approx(r @ A.forward(G), rel=1e-12)
    assert A.mean_square(rng, symmetric=False) == pytest.approx(40, rel=0.2)


def test_the_scale_of_a_symmetric_matrix_is_measured_on_symmetric_ones():
    """(E_ij + E_ji) / √2 keep the norm of a symmetric matrix, and halve the square of another."""
    i, j = np.triu_indices(40, 1)
    X = np.zeros((i.size, 40, 40))
    X[np.arange(i.size), i, j] = X[np.arange(i.size), j, i] = 1 / np.sqrt(2)
    A, rng = Measurements(X.reshape(i.size, -1), (40, 40)), np.random.default_rng(0)
    assert A.mean_square(rng, symmetric=True) == pytest.approx(1, rel=0.1)
    assert A.mean_square(rng, symmetric=False) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("level", [0.01, 0.1])
def test_with_noise_it_ends_where_least_squares_of_the_true_rank_does(symmetric, level):
    for seed in range(3):
        X, y, M = planted(seed, condition=3, symmetric=symmetric, times=8)
        rng = np.random.default_rng(100 + seed)
        sigma = level * np.linalg.norm(y) / np.sqrt(len(y))
        y = y + sigma * rng.standard_normal(len(y))
        model = ScaledGDSensing(8, symmetric=symmetric, random_state=seed).fit(X, y)
        expected = level / np.sqrt(7)  # √(parameters / (measurements − parameters))
        assert 0.7 * expected < error(model, M) < 1.3 * expected
        assert model.rank_ == RANK
        # Stationary among matrices of this rank: G vanishes on both sides of M.
        r = np.einsum("mij,ij->m", X, model.matrix_) - y
        G = np.einsum("m,mij->ij", r, X)
        G = (G + G.T) / 2 if symmetric else G
        assert np.linalg.norm(G @ model.right_) < 1e-3 * np.linalg.norm(G, 2)
        assert np.linalg.norm(G.T @ model.left_) < 1e-3 * np.linalg.norm(G, 2)


def test_of_pure_noise_nothing_is_kept(data):
    X, _, M = data
    y = np.random.default_rng(3).standard_normal(len(X))
    with pytest.warns(ConvergenceWarning, match="No component stands out of the noise"):
        model = ScaledGDSensing(8, random_state=0).fit(X, y)
    assert model.rank_ == 0
    assert_array_equal(model.matrix_, np.zeros(M.shape))
    assert_array_equal(model.predict(X), np.zeros(len(X)))


@pytest.mark.parametrize("symmetric", [False, True])
def test_components_dropped_by_mistake_start_anew(symmetric, monkeypatch):
    X, y, M = planted(0, symmetric=symmetric)
    is_noise, answers = _NoiseFloor._residual_is_noise, []

    def mistaken(floor):
        answers.append(not answers or is_noise(floor))
        return answers[-1]

    monkeypatch.setattr(_NoiseFloor, "_residual_is_noise", mistaken)
    model = ScaledGDSensing(6, symmetric=symmetric, random_state=0).fit(X, y)
    assert answers[:2] == [True, False]
    assert error(model, M) < 1e-5


def test_it_ends_where_dropping_and_starting_anew_would_go_round_in_circles(monkeypatch):
    X, y, M = planted(0, condition=3)
    y = y + 0.1 * np.std(y) * np.random.default_rng(1).standard_normal(len(y))
    is_noise = itertools.cycle([True, False])
    monkeypatch.setattr(_NoiseFloor, "_residual_is_noise", lambda floor: next(is_noise))
    monkeypatch.setattr("factorkit.completion._scaled_gd._WINDOW", 25)
    model = ScaledGDSensing(8, max_iter=300, random_state=0).fit(X, y)
    assert model.n_iter_ < 300
    assert error(model, M) < 0.1


def test_noise_is_measured_by_what_the_components_have_left_of_it():
    """They fit 18 of 30 measurements, so the noise is √(30 / 12) times what the residual says."""
    rng = np.random.default_rng(0)
    L = np.linalg.qr(rng.standard_normal((6, 2)))[0] * np.sqrt([10, 1])
    R = np.linalg.qr(rng.standard_normal((5, 2)))[0] * np.sqrt([10, 1])
    A, e = Measurements(np.eye(30), (6, 5)), rng.standard_normal(30)
    for level, left in ((0.6, 2), (0.7, 1), (0.95, 1), (1.05, 1)):
        run = _Descent(A, (L @ R.T).ravel() + e, L, R, scale=1, rng=rng, small=1e-3)
        assert run.prune(level / np.linalg.norm(e)) == left


def test_zero_measurements_give_the_zero_matrix(data):
    X, y, M = data
    for X_, y_ in ((X, 0 * y), (0 * X, y)):
        model = ScaledGDSensing(random_state=0).fit(X_, y_)
        assert_array_equal(model.matrix_, np.zeros(M.shape))
        assert model.n_iter_ == len(model.objective_) == 0


@pytest.mark.parametrize("factor", [1e-6, 1e5])
def test_the_units_of_measurements_and_matrices_do_not_matter(data, factor):
    X, y, _ = data
    model = ScaledGDSensing(8, random_state=0).fit(X, y)
    of_y = ScaledGDSensing(8, random_state=0).fit(X, factor * y)
    of_X = ScaledGDSensing(8, random_state=0).fit(factor * X, y)
    assert of_y.rank_ == of_X.rank_ == model.rank_
    assert_allclose(of_y.matrix_ / factor, model.matrix_, atol=3e-6)
    assert_allclose(of_X.matrix_ * factor, model.matrix_, atol=3e-6)
    assert abs(of_y.n_iter_ - model.n_iter_) < 30


def test_every_form_of_the_measurements_gives_the_same(data):
    X, y, M = data
    flat, shape = X.reshape(len(X), -1), M.shape
    bare = SimpleNamespace(
        shape=flat.shape, matvec=lambda x: flat @ x, rmatvec=lambda r: flat.T @ r
    )
    reference = ScaledGDSensing(6, random_state=0).fit(X, y)
    forms = {
        "flat": flat,
        "list": X.tolist(),
        "sparse": sparse.coo_array(flat),
        "operator": aslinearoperator(flat),
        "bare": bare,
        "strided": np.asfortranarray(X),
        "read-only": np.broadcast_to(X, X.shape),
    }
    for name, form in forms.items():
        model = ScaledGDSensing(6, shape=shape, random_state=0).fit(form, y)
        assert_allclose(model.matrix_, reference.matrix_, atol=1e-5, err_msg=name)
        assert model.rank_ == RANK
        assert model.n_features_in_ == M.size
        assert_allclose(model.predict(form), reference.predict(X), atol=1e-3, err_msg=name)
        assert model.score(form, y) > 1 - 1e-9
    for shape in ((24, -1), (-1, 18), [24, 18]):
        model = ScaledGDSensing(6, shape=shape, random_state=0).fit(flat, y)
        assert model.matrix_.shape == (24, 18)


def test_dense_arrays_of_matrices_are_not_copied(data):
    X, y, _ = data
    seen = []

    class Watched(Measurements):
        def __init__(self, A, shape):
            seen.append(A)
            super().__init__(A, shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factorkit.completion._sensing.Measurements", Watched)
        ScaledGDSensing(3, max_iter=2, tol=0, random_state=0).fit(X, y)
    assert np.shares_memory(seen[0], X)


def test_entries_are_measurements_too():
    """A sparse operator that has nothing of a Gaussian one."""
    _, _, M = planted(0, condition=3, shape=(40, 30))
    rng = np.random.default_rng(0)
    seen = rng.choice(M.size, 900, replace=False)
    X = sparse.csr_array((np.ones(900), (np.arange(900), seen)), shape=(900, M.size))
    model = ScaledGDSensing(6, shape=M.shape, random_state=0).fit(X, M.ravel()[seen])
    assert error(model, M) < 1e-4


def test_float32_stays_float32_and_is_as_accurate_as_its_data(data):
    X, _, M = data
    X32 = X.astype(np.float32)
    y32 = np.einsum("mij,ij->m", X32.astype(np.float64), M)
    for form in (X32, sparse.csr_array(X32.reshape(len(X), -1))):
        model = ScaledGDSensing(6, shape=M.shape, random_state=0).fit(form, y32)
        assert model.left_.dtype == model.right_.dtype == model.predict(form).dtype == np.float32
        assert error(model, M) < 1e-5


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_factors_are_balanced_and_ordered(symmetric):
    X, y, M = planted(1, symmetric=symmetric)
    model = ScaledGDSensing(6, symmetric=symmetric, random_state=0).fit(X, y)
    s = np.linalg.svd(M, compute_uv=False)[:RANK]
    for F in (model.left_, model.right_):
        assert_allclose(F.T @ F, np.diag(s), atol=1e-5)
    assert np.array_equal(model.left_, model.right_) == symmetric


def test_a_negative_symmetric_matrix_is_not_found_by_a_semidefinite_one():
    X, y, M = planted(1, symmetric=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ScaledGDSensing(3, symmetric=True, random_state=0).fit(X, -y)
    assert np.linalg.eigvalsh(model.matrix_).min() > -1e-12
    assert error(ScaledGDSensing(6, random_state=0).fit(X, -y), -M) < 1e-5


def test_a_fixed_damping_and_step_are_the_published_method():
    X, y, M = planted(0, condition=10)
    options = {"damping": 0.01, "step": 0.5, "init_scale": 1e-6, "random_state": 0}
    model = ScaledGDSensing(6, tol=1e-4, **options).fit(X, y)
    assert error(model, M) < 1e-3
    in_other_units = ScaledGDSensing(6, tol=1e-4, **options).fit(X, 1e-5 * y)
    assert abs(in_other_units.n_iter_ - model.n_iter_) <= 2
    assert error(in_other_units, 1e-5 * M) < 1e-3
    wild = ScaledGDSensing(6, step=1e3, tol=1e-3, max_iter=2000, random_state=0).fit(X, y)
    assert np.isfinite(wild.objective_).all()
    assert wild.objective_.max() <= (1 + 1e-9) * 0.5 * (y @ y)


def test_auto_components_need_two_measurements_a_parameter(data):
    X, y, M = data
    model = ScaledGDSensing(random_state=0)
    k = model._resolve_components(SimpleNamespace(shape=M.shape, n_measurements=len(X)))
    assert 2 * degrees_of_freedom(*M.shape, k, False) <= len(X)
    assert 2 * degrees_of_freedom(*M.shape, k + 1, False) > len(X)
    model.fit(X, y)
    assert model.rank_ == RANK
    assert error(model, M) < 1e-5
    assert ScaledGDSensing(tol=0, max_iter=3).fit(X[:2], y[:2]).n_iter_ == 3


def test_degrees_of_freedom_are_the_rank_of_the_tangent_space():
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((6, 2)), rng.standard_normal((5, 2))
    moves = [np.outer(e, R[:, j]) for e in np.eye(6) for j in range(2)]
    moves += [np.outer(L[:, j], e) for e in np.eye(5) for j in range(2)]
    assert np.linalg.matrix_rank([m.ravel() for m in moves]) == degrees_of_freedom(6, 5, 2, False)
    moves = [np.outer(e, L[:, j]) for e in np.eye(6) for j in range(2)]
    rank = np.linalg.matrix_rank([(m + m.T).ravel() for m in moves])
    assert rank == degrees_of_freedom(6, 6, 2, True)


def test_a_warm_start_goes_on_from_the_last_fit(data):
    X, y, M = data
    model = ScaledGDSensing(6, warm_start=True, random_state=0).fit(X, y)
    cold, before = model.n_iter_, model.matrix_
    assert model.fit(X, y).n_iter_ <= 2
    model.fit(X, y + 1e-3 * np.einsum("mij,ij->m", X, before))
    assert model.n_iter_ < cold / 2
    assert_allclose(model.matrix_, 1.001 * M, atol=1e-5)
    assert model.fit(X[:, :20, :], np.einsum("mij,ij->m", X[:, :20], M[:20])).rank_ == RANK


def test_equal_seeds_give_equal_fits_and_the_data_stay(data):
    X, y, _ = data
    X_before, y_before = X.copy(), y.copy()
    one, two = (ScaledGDSensing(5, random_state=7).fit(X, y) for _ in range(2))
    assert_array_equal(one.left_, two.left_)
    assert_array_equal(X, X_before)
    assert_array_equal(y, y_before)


def test_iterations_that_run_out_are_warned_of_unless_asked_for(data):
    X, y, _ = data
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 5 reached"):
        model = ScaledGDSensing(5, max_iter=5, random_state=0).fit(X, y)
    assert model.n_iter_ == len(model.objective_) == 5
    assert ScaledGDSensing(5, max_iter=5, tol=0, random_state=0).fit(X, y).n_iter_ == 5


def spoiled(X, value):
    X = X.copy()
    X.flat[5] = value
    return X


def returning(values):
    def operator(X):
        flat = X.reshape(len(X), -1)
        return LinearOperator(flat.shape, matvec=lambda x: values, rmatvec=lambda r: flat.T @ r)

    return operator


BAD = [
    ({}, lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    ({}, lambda X, y: (spoiled(X, np.nan), y), "contains NaN"),
    ({}, lambda X, y: (spoiled(X, np.inf), y), "contains infinity"),
    ({}, lambda X, y: (X, spoiled(y, np.nan)), "y contains NaN"),
    ({}, lambda X, y: (X, None), "requires y to be passed"),
    ({}, lambda X, y: (X + 1j, y), "Complex data"),
    ({}, lambda X, y: (X[:, :0], y), "0 feature|dim"),
    ({}, lambda X, y: (X[..., None], y), "dim 4"),
    ({}, lambda X, y: (X[0, 0], y), "Expected 2D array"),
    ({}, lambda X, y: (X.reshape(len(X), -1), y), r"set shape=\(n_rows, n_columns\)"),
    ({"shape": (24, 17)}, lambda X, y: (X.reshape(len(X), -1), y), "has 432 columns"),
    ({"shape": (18, 24)}, lambda X, y: (X, y), r"matrices of shape \(24, 18\)"),
    ({"shape": (-1, 7)}, lambda X, y: (X.reshape(len(X), -1), y), "does not fit X"),
    ({"shape": (-1, -1)}, lambda X, y: (X, y), "one may be -1"),
    ({"shape": (24,)}, lambda X, y: (X, y), r"shape must be \(n_rows, n_columns\)"),
    ({"shape": (24.0, 18)}, lambda X, y: (X, y), r"shape must be \(n_rows, n_columns\)"),
    ({"shape": (0, 18)}, lambda X, y: (X, y), r"shape must be \(n_rows, n_columns\)"),
    ({"shape": "square"}, lambda X, y: (X, y), "shape"),
    ({"symmetric": True}, lambda X, y: (X, y), r"square matrix; its shape is \(24, 18\)"),
    ({"n_components": 19}, lambda X, y: (X, y), "n_components=19 is more than"),
    ({"n_components": 0}, lambda X, y: (X, y), "n_components"),
    ({"damping": 0.0}, lambda X, y: (X, y), "damping"),
    ({"step": -1.0}, lambda X, y: (X, y), "step"),
    ({"init_scale": 0.0}, lambda X, y: (X, y), "init_scale"),
    ({"tol": -1.0}, lambda X, y: (X, y), "tol"),
    ({"max_iter": 0}, lambda X, y: (X, y), "max_iter"),
    ({"shape": (24, 18)}, lambda X, y: (returning(np.full(len(X), np.nan))(X), y), "matvec.*NaN"),
    ({"shape": (24, 18)}, lambda X, y: (returning(np.full(len(X), 1j))(X), y), "complex"),
    ({"shape": (24, 18)}, lambda X, y: (returning(np.ones(len(X)))(X), y[:-1]), "inconsistent"),
    ({}, lambda X, y: (aslinearoperator(X.reshape(len(X), -1)), y), "set shape="),
]


@pytest.mark.parametrize("parameters, spoil, message", BAD)
def test_what_is_bad_is_named_and_leaves_the_estimator_as_it_was(data, parameters, spoil, message):
    X, y, _ = data
    model = ScaledGDSensing(2, tol=0, max_iter=2, random_state=0).fit(X, y)
    model.set_params(**parameters)
    before = dict(vars(model))
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(*spoil(X, y))
    assert vars(model) == before


def test_an_operator_that_returns_too_little_is_refused(data):
    X, y, M = data
    flat = X.reshape(len(X), -1)
    bad = SimpleNamespace(
        shape=flat.shape, matvec=lambda x: (flat @ x)[:-1], rmatvec=lambda r: flat.T @ r
    )
    with pytest.raises(ValueError):
        ScaledGDSensing(2, shape=M.shape).fit(bad, y)
    with pytest.raises(ValueError, match=r"matvec .* returned 39 values instead of 40"):
        Measurements(
            SimpleNamespace(shape=(40, 12), matvec=lambda x: x[:1].repeat(39), rmatvec=None),
            (3, 4),
        ).forward(np.ones((3, 4)))


def test_predicting_for_another_shape_is_refused(data):
    X, y, _ = data
    model = ScaledGDSensing(2, tol=0, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match=r"the fitted one has \(24, 18\)"):
        model.predict(X.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="expecting 432 features"):
        model.predict(X[:, :, :5])
    with pytest.raises(ValueError, match="expecting 432 features"):
        model.predict(aslinearoperator(X[:, :, :5].reshape(len(X), -1)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([ScaledGDSensing(shape=(-1, 1)), ScaledGDSensing(1, shape=(1, -1))])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


def test_scikit_learn_accepts_the_parameter_constraints():
    checks.check_param_validation("ScaledGDSensing", ScaledGDSensing(shape=(-1, 1)))


class Stop:
    """A callback that stops after some iterations, and keeps what it sees."""

    def __init__(self, after):
        self.after, self.objectives, self.scores = after, [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        if context.task_name != "iteration":
            return False
        self.objectives.append(context.objective)
        self.scores.append(fitted_estimator.score(X, y))
        return len(self.objectives) == self.after


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
@pytest.mark.parametrize("symmetric", [False, True])
def test_callbacks_see_and_stop_the_fit(symmetric):
    X, y, _ = planted(0, symmetric=symmetric)
    stop = Stop(40)
    model = ScaledGDSensing(5, symmetric=symmetric, random_state=0).set_callbacks(stop).fit(X, y)
    assert model.stopped_by_callback_
    assert model.n_iter_ == 40
    assert_array_equal(stop.objectives, model.objective_)
    assert 0.9 < stop.scores[-1] <= 1
    expected = 1 - 2 * model.objective_[-1] / np.sum((y - y.mean()) ** 2)
    assert stop.scores[-1] == pytest.approx(expected, abs=1e-9)
