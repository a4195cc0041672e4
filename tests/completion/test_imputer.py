"""LowRankImputer: its models against references and certificates, and its manners."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from factorkit.completion import _factor_analysis, _imputer_kernels, _soft_impute
from factorkit.completion._imputer import LowRankImputer
from factorkit.utils._sklearn import HAS_CALLBACKS
from factorkit.utils._threads import Workers

from ._soft_impute_reference import soft_impute, soft_thresholded_svd

METHODS = ["factor_analysis", "nuclear_norm"]


def imputer(method="factor_analysis", **options):
    """Options that ask for an optimum, not for speed."""
    return LowRankImputer(method=method, random_state=0, **options)


def with_holes(X, rng, share=0.3):
    return np.where(rng.random(X.shape) < share, np.nan, X)


def low_rank(rng, n, p, k, noise=0.0):
    return rng.standard_normal((n, k)) @ rng.standard_normal((k, p)) + noise * rng.standard_normal(
        (n, p)
    )


def rmse(filled, X, X_holes):
    holes = np.isnan(X_holes)
    return np.sqrt(np.mean((filled - X)[holes] ** 2))


@pytest.fixture
def X(rng):
    X = low_rank(rng, 40, 9, 2, noise=0.1) * rng.uniform(0.1, 10, 9) + 5 * rng.standard_normal(9)
    return with_holes(X, rng)


class TestNuclearNorm:
    @pytest.fixture
    def problem(self, rng):
        X = low_rank(rng, 60, 25, 3, noise=0.3)
        observed = rng.random(X.shape) < 0.6
        return np.where(observed, X, 0), observed

    def solve(self, problem, alpha, rank, **options):
        options = {"tol": 1e-12, "max_iter": 10_000, **options}
        with Workers(1) as workers:
            return _soft_impute.soft_impute(*problem, alpha, rank, workers=workers, **options)

    @pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
    @pytest.mark.parametrize("rank", [25, 20])
    @pytest.mark.parametrize("wide", [False, True])
    def test_the_subgradient_holds_zero_at_the_end(self, problem, share, rank, wide):
        X, observed = (A.T for A in problem) if wide else problem
        alpha = share * np.linalg.norm(X, 2)
        (U, s, V), trace = self.solve((X, observed), alpha, rank)
        assert trace.stop == "converged"
        assert 1 <= len(s) < rank
        R = np.where(observed, X - (U * s) @ V.T, 0)
        assert_allclose(U.T @ R @ V, alpha * np.eye(len(s)), atol=1e-9 * alpha)
        assert np.linalg.norm(R, 2) <= alpha * (1 + 1e-9)
        assert_allclose((U * s) @ V.T, soft_impute(X, observed, alpha), atol=1e-8)

    def test_the_objective_is_what_it_says_and_never_rises(self, problem):
        alpha = 0.1 * np.linalg.norm(problem[0], 2)
        (U, s, V), trace = self.solve(problem, alpha, 25)
        assert np.diff(trace.objective).max() <= 1e-12 * trace.objective[0]
        X, observed = problem
        value = 0.5 * np.sum((X - (U * s) @ V.T)[observed] ** 2) + alpha * s.sum()
        assert trace.objective[-1] == pytest.approx(value, rel=1e-12)

    def test_a_complete_matrix_gives_its_soft_thresholded_svd_at_once(self, rng):
        X = rng.standard_normal((30, 12))
        (U, s, V), trace = self.solve((X, np.full(X.shape, True)), 3.0, 12)
        assert trace.n_iter == 1
        assert_allclose((U * s) @ V.T, soft_thresholded_svd(X, 3.0), atol=1e-12)

    def test_from_the_largest_singular_value_on_the_minimum_is_zero(self, problem):
        largest = np.linalg.norm(problem[0], 2)
        assert len(self.solve(problem, largest * (1 + 1e-9), 25)[0].s) == 0
        assert len(self.solve(problem, largest * 0.999, 25)[0].s) == 1

    def test_the_start_makes_no_difference(self, problem, rng):
        alpha = 0.1 * np.linalg.norm(problem[0], 2)
        starts = [None, _soft_impute.leading_svd(rng.standard_normal(problem[0].shape), 4)]
        M, N = (self.solve(problem, alpha, 25, start=start)[0] for start in starts)
        assert_allclose((M.U * M.s) @ M.V.T, (N.U * N.s) @ N.V.T, atol=1e-8)
        assert self.solve(problem, alpha, 25, start=M, tol=1e-8)[1].n_iter == 1

    def test_the_imputer_fills_in_the_minimum(self, X):
        model = imputer("nuclear_norm", alpha=2.0, tol=1e-10, max_iter=5000, clip=False)
        filled = model.fit_transform(X)
        mean, scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
        observed = ~np.isnan(X)
        M = soft_impute(np.where(observed, (X - mean) / scale, 0), observed, 2.0)
        assert_allclose(filled, np.where(observed, X, M * scale + mean), rtol=1e-6)
        assert_allclose(model.mean_, mean)
        assert model.alpha_ == 2.0
        assert model.n_components_ == np.linalg.matrix_rank(M, tol=1e-6)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_planted_matrix_of_given_rank_is_recovered(self, seed):
        rng = np.random.default_rng(seed)
        X = low_rank(rng, 80, 20, 2)
        X_holes = with_holes(X, rng)
        # The offset takes a rank of its own, as observed means aren't those of all entries.
        model = imputer("nuclear_norm", n_components=3, alpha=0, tol=1e-9, max_iter=5000)
        assert rmse(model.set_params(clip=False).fit_transform(X_holes), X, X_holes) < 1e-5

    @pytest.mark.parametrize("seed", range(3))
    def test_the_weight_chosen_is_near_the_best_of_a_fine_grid(self, seed):
        rng = np.random.default_rng(seed)
        X = low_rank(rng, 100, 30, 3, noise=1.0)
        X_holes = with_holes(X, rng)
        chosen = imputer("nuclear_norm").fit(X_holes)
        errors = [
            rmse(imputer("nuclear_norm", alpha=alpha).fit_transform(X_holes), X, X_holes)
            for alpha in np.geomspace(0.1, 50, 15)
        ]
        assert rmse(chosen.transform(X_holes), X, X_holes) < 1.05 * min(errors)
        assert min(errors) < 0.75 * max(errors)


class TestFactorAnalysis:
    @pytest.mark.parametrize("shape", [(60, 12), (12, 30)])
    @pytest.mark.parametrize("n_components", [1, 4, 11])
    def test_the_objective_never_rises(self, rng, shape, n_components):
        X = with_holes(low_rank(rng, *shape, 3, noise=0.2), rng)
        model = imputer(n_components=n_components, tol=1e-7, max_iter=2000).fit(X)
        assert model.n_components_ == min(n_components, *(side - 1 for side in shape))
        fall = -np.diff(model.objective_)
        assert fall.min() > -1e-9 * abs(model.objective_[0])
        assert fall[-1] <= 1e-7 * np.sum(~np.isnan(X)) < fall[-2]

    def fitted(self, rng, n_iter):
        X = low_rank(rng, 40, 8, 2, noise=0.3)
        observed = rng.random(X.shape) < 0.7
        X = np.where(observed, X / X.std(axis=0), 0)
        seen = []
        with Workers(1) as workers:
            _, trace = _factor_analysis.fit_factor_analysis(
                X, observed, 3, alpha=1.0, tol=-np.inf, max_iter=n_iter, workers=workers,
                report=lambda objective, model: seen.append(model),
            )  # fmt: skip
        return X, observed, seen, trace

    def test_objective_and_factors_are_those_of_the_variational_posterior(self, rng):
        # At convergence: in between, objective and factors belong to different half steps.
        X, observed, models, trace = self.fitted(rng, 2000)
        model, k, alpha = models[-1], 3, 1.0
        full = _factor_analysis._unpack(model.moments, k + 1)
        W, tau = model.loadings, model.precision
        energy, factors = 0.0, _factor_analysis.solve_factors(X, observed, model)
        for x, o, factor in zip(X, observed, factors, strict=True):
            P = np.eye(k) + np.einsum("j,jab->ab", tau[o], full[o, :k, :k])
            linear = W[o, :k].T @ (tau[o] * x[o]) - tau[o] @ full[o, :k, k]
            C, z = np.linalg.inv(P), np.linalg.solve(P, linear)
            assert_allclose(factor, z)
            f = np.append(z, 1)
            second = np.outer(f, f)
            second[:k, :k] += C
            misfit = x[o] ** 2 - 2 * x[o] * (W[o] @ f) + np.einsum("jab,ab->j", full[o], second)
            energy += 0.5 * np.sum(tau[o] * misfit - np.log(tau[o] / (2 * np.pi)))
            energy += 0.5 * (z @ z + np.trace(C) - k + np.linalg.slogdet(P)[1])
        prior = np.array([alpha] * k + [1e-6])
        for w, second in zip(W, full, strict=True):
            log_det = np.linalg.slogdet(second - np.outer(w, w))[1]
            energy += 0.5 * (np.diag(second) @ prior - k - 1 - np.log(prior).sum() - log_det)
        count, squares = _factor_analysis._PRIOR_COUNT, _factor_analysis._PRIOR_SQUARES
        energy += 0.5 * np.sum(squares * tau - count * np.log(tau))
        assert trace.objective[-1] == pytest.approx(energy, rel=1e-8)

    def test_what_it_fills_in_is_the_conditional_mean(self, rng):
        """With many samples the loadings are certain: the Gaussian with their covariance rules."""
        X = low_rank(rng, 5000, 6, 2) + rng.uniform(0.2, 1, 6) * rng.standard_normal((5000, 6)) + 3
        X_holes = with_holes(X, rng)
        model = imputer(n_components=2, tol=1e-8, max_iter=2000, clip=False).fit(X_holes)
        covariance = model.components_.T @ model.components_ + np.diag(model.noise_variance_)
        assert_allclose(covariance, np.cov(X.T), atol=0.12 * np.diag(covariance).max())
        for x, filled in zip(X_holes[:50], model.transform(X_holes[:50]), strict=True):
            o = ~np.isnan(x)
            gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, ~o)])
            expected = model.mean_[~o] + (x[o] - model.mean_[o]) @ gain
            assert_allclose(filled[~o], expected, atol=0.02)

    @pytest.mark.parametrize("seed", range(5))
    def test_planted_noise_of_each_column_is_found(self, seed):
        rng = np.random.default_rng(seed)
        noise = np.array([0.3, 0.4, 0.6, 0.9, 0.3, 0.4, 0.6, 0.9])
        X = low_rank(rng, 3000, 8, 2) + noise * rng.standard_normal((3000, 8))
        model = imputer(n_components=2, tol=1e-7, max_iter=2000).fit(with_holes(X, rng))
        assert_allclose(np.sqrt(model.noise_variance_), noise, rtol=0.25)

    @pytest.mark.parametrize("seed", range(5))
    def test_more_components_than_planted_do_little_harm(self, seed):
        rng = np.random.default_rng(seed)
        X = low_rank(rng, 100, 15, 3, noise=0.5)
        X_holes = with_holes(X, rng)
        right, many = (
            rmse(imputer(n_components=k).fit_transform(X_holes), X, X_holes) for k in (3, 14)
        )
        assert many < 1.1 * right
        assert many < 0.6 * rmse(SimpleImputer().fit_transform(X_holes), X, X_holes)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_planted_matrix_without_noise_is_nearly_recovered(self, seed):
        rng = np.random.default_rng(seed)
        X = low_rank(rng, 200, 20, 2)
        X_holes = with_holes(X, rng)
        filled = imputer(n_components=2, tol=1e-6, clip=False).fit_transform(X_holes)
        assert rmse(filled, X, X_holes) < 0.02 * X.std()

    def test_no_component_pays_where_columns_are_independent(self, rng):
        X = rng.standard_normal((500, 6))
        X_holes = with_holes(X, rng)
        filled = imputer(tol=1e-6).fit_transform(X_holes)
        means = SimpleImputer().fit_transform(X_holes)
        assert rmse(filled, X, X_holes) < 1.06 * rmse(means, X, X_holes)


@pytest.mark.parametrize("load", [load_wine, load_diabetes, load_breast_cancer])
def test_it_beats_scikit_learns_imputers_on_their_tables_seen_and_unseen(load, seed):
    rng = np.random.default_rng(seed)
    X = load().data
    X = (X / X.std(axis=0))[rng.permutation(len(X))]
    X_holes = with_holes(X, rng)
    half = len(X) // 2

    def error(model):
        seen, unseen = model.fit_transform(X_holes[:half]), model.transform(X_holes[half:])
        return rmse(np.vstack((seen, unseen)), X, X_holes)

    # Rounds beyond the third hardly change what IterativeImputer does here.
    peers = [IterativeImputer(max_iter=3, tol=1e9), KNNImputer(), SimpleImputer()]
    assert error(imputer()) < min(map(error, peers))


@pytest.mark.parametrize("method", METHODS)
class TestInvariances:
    def test_the_rows_of_fit_are_transformed_as_in_fit_transform(self, X, method):
        model = imputer(method)
        assert_array_equal(model.fit_transform(X), model.transform(X))
        assert_array_equal(clone(model).fit(X).transform(X), model.transform(X))

    def test_rows_are_filled_in_one_by_one(self, X, method, rng):
        model = imputer(method).fit(X)
        filled = model.transform(X)
        order = rng.permutation(len(X))
        assert_allclose(model.transform(X[order]), filled[order], rtol=1e-12)
        for i in range(0, len(X), 7):
            assert_allclose(model.transform(X[i : i + 1]), filled[i : i + 1], rtol=1e-12)

    def test_the_order_of_rows_and_columns_makes_no_difference_in_fit(self, X, method, rng):
        options = {"alpha": 2.0, "tol": 1e-9, "max_iter": 5000}
        rows, columns = rng.permutation(X.shape[0]), rng.permutation(X.shape[1])
        filled = imputer(method, **options).fit_transform(X)
        permuted = imputer(method, **options).fit_transform(X[rows][:, columns])
        assert_allclose(permuted, filled[rows][:, columns], rtol=1e-4)

    @pytest.mark.parametrize("clip", [False, True])
    def test_units_of_the_columns_make_no_difference(self, X, method, rng, clip):
        scale, shift = 10 ** rng.uniform(-6, 6, X.shape[1]), rng.standard_normal(X.shape[1])
        plain, changed = (imputer(method, clip=clip) for _ in range(2))
        expected = plain.fit_transform(X) * scale + shift * scale
        # Not a relative tolerance of each: a value may be near zero.
        error = np.abs(changed.fit_transform(X * scale + shift * scale) - expected) / scale
        assert error.max() < 1e-8 * np.nanmax(np.abs(X))
        assert_allclose(changed.mean_, plain.mean_ * scale + shift * scale)
        assert_allclose(changed.scale_, plain.scale_ * scale)

    def test_observed_values_come_back_bit_for_bit(self, X, method):
        X = X * 1e-3 + 1 / 3
        observed = ~np.isnan(X)
        filled = imputer(method).fit_transform(X)
        assert_array_equal(filled[observed], X[observed])
        assert np.isfinite(filled).all()
        X32 = X.astype(np.float32)
        filled32 = imputer(method).fit_transform(X32)
        assert filled32.dtype == np.float32
        assert_array_equal(filled32[observed], X32[observed])
        assert_allclose(filled32, filled, rtol=1e-3)

    def test_n_jobs_changes_no_bit(self, method, rng):
        X = with_holes(low_rank(rng, 3000, 12, 3, noise=0.1), rng)
        one, two = (imputer(method, n_jobs=n_jobs).fit_transform(X) for n_jobs in (1, 2))
        assert_array_equal(one, two)

    def test_new_rows_do_not_change_the_model(self, X, method):
        model = imputer(method).fit(X)
        before = model.transform(X)
        model.transform(np.full((3, X.shape[1]), np.nan))
        model.transform(X * 100)
        assert_array_equal(model.transform(X), before)

    def test_what_is_filled_in_stays_in_the_range_observed(self, X, method):
        train, test = X[:20], X[20:] * 3
        holes = np.isnan(test)
        low, high = np.nanmin(train, axis=0), np.nanmax(train, axis=0)
        for clip in (True, False):
            filled = imputer(method, clip=clip).fit(train).transform(test)
            outside = (filled < low) | (filled > high)
            assert outside[holes].any() != clip
        # An outlier in one column counts as the end of its range.
        rows = np.array([[high[0] * s if high[0] > 0 else high[0] / s] for s in (1, 1e6)])
        rows = np.hstack((rows, np.full((2, X.shape[1] - 1), np.nan)))
        first, second = imputer(method).fit(train).transform(rows)
        assert_array_equal(first[1:], second[1:])


@pytest.mark.parametrize("method", METHODS)
class TestEdgeCases:
    def test_constant_and_empty_columns(self, X, method):
        X = np.column_stack((X, np.full(len(X), 0.1), np.full(len(X), np.nan)))
        X[::3, -2] = np.nan
        plain = imputer(method).fit_transform(X[:, :-2])
        filled = imputer(method).fit_transform(X)
        assert filled.shape == (len(X), X.shape[1] - 1)
        assert_array_equal(filled[:, -1], 0.1)
        assert_allclose(filled[:, :-1], plain)
        assert_array_equal(imputer(method, clip=False).fit_transform(X)[:, -1], 0.1)
        model = imputer(method, keep_empty_features=True)
        filled = model.fit_transform(X)
        assert_array_equal(filled[:, -1], 0)
        assert model.components_.shape == (model.n_components_, X.shape[1])
        assert_array_equal(model.transform(np.ones((1, X.shape[1]))), 1)

    def test_a_row_without_any_value_gets_the_mean(self, X, method):
        model = imputer(method).fit(np.vstack((X, np.full(X.shape[1], np.nan))))
        assert_allclose(model.transform(np.full((1, X.shape[1]), np.nan))[0], model.mean_)
        assert_allclose(model.mean_, np.nanmean(X, axis=0), atol=0.3 * np.nanstd(X))

    @pytest.mark.parametrize("shape", [(1, 5), (2, 5), (20, 1), (6, 40), (1, 1)])
    def test_small_and_wide_tables(self, shape, method, rng):
        X = rng.standard_normal(shape)
        X[0, 0] = np.nan
        filled = imputer(method, keep_empty_features=True).fit_transform(X)
        assert filled.shape == shape
        assert np.isfinite(filled).all()
        if shape == (20, 1):
            assert filled[0, 0] == pytest.approx(np.nanmean(X))

    def test_nothing_missing_in_fit(self, rng, method):
        X = low_rank(rng, 50, 8, 2, noise=0.1)
        model = imputer(method)
        assert_array_equal(model.fit_transform(X), X)
        X_holes = with_holes(X, rng)
        assert rmse(model.transform(X_holes), X, X_holes) < 0.5 * X.std()

    def test_everything_missing_in_fit(self, method):
        X = np.full((4, 3), np.nan)
        assert imputer(method).fit_transform(X).shape == (4, 0)
        assert_array_equal(imputer(method, keep_empty_features=True).fit_transform(X), 0)

    def test_integers_and_other_marks(self, method, rng):
        X = rng.integers(0, 50, (30, 5))
        X[:, 1] = X[:, 0] + X[:, 2]
        holes = rng.random(X.shape) < 0.2
        by_nan = imputer(method).fit_transform(np.where(holes, np.nan, X))
        marked = imputer(method, missing_values=-1, add_indicator=True)
        filled = marked.fit_transform(np.where(holes, -1, X))
        assert filled.dtype == np.float64
        assert_array_equal(filled[:, :5], by_nan)
        assert_array_equal(filled[:, 5:], holes)
        with pytest.raises(ValueError, match="NaN"):
            marked.fit(np.where(holes, np.nan, X))

    @pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e140])
    def test_the_range_of_the_numbers_is_used(self, X, method, scale):
        filled = imputer(method).fit_transform(X)
        huge_mark = np.where(np.isnan(X), 1e300, X * scale)
        scaled = imputer(method, missing_values=1e300).fit_transform(huge_mark)
        assert_allclose(scaled / scale, filled, rtol=1e-6, atol=1e-6)

    def test_bad_input_is_refused_in_words_and_changes_nothing(self, X, method):
        model = imputer(method).fit(X)
        before = dict(vars(model))
        bad = X.copy()
        bad[0, 0] = np.inf
        with pytest.raises(ValueError, match="infinity"):
            model.fit(bad)
        with pytest.raises(ValueError, match="infinity"):
            model.transform(bad)
        bad[0, 0] = -1e154
        for method_of in (model.fit, model.transform):
            with pytest.raises(ValueError, match=r"X has values from -1e\+154 .* between -1e\+150"):
                method_of(bad)
        with pytest.raises(TypeError, match="dense data is required"):
            model.fit(sparse.csr_array(np.ones((4, 3))))
        with pytest.raises(ValueError, match="9 features"):
            model.transform(X[:, :5])
        with pytest.raises(ValueError, match="method"):
            clone(model).set_params(method="svd").fit(X)
        with pytest.raises(ValueError, match="n_components"):
            clone(model).set_params(n_components=0).fit(X)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())

    def test_a_fit_cut_short_says_so(self, X, method):
        with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 1 "):
            imputer(method, max_iter=1, tol=1e-12).fit(X)

    def test_a_second_fit_forgets_the_first(self, X, method):
        other = METHODS[1 - METHODS.index(method)]
        model = imputer(other).fit(X * 3).set_params(method=method).fit(X)
        assert_array_equal(model.transform(X), imputer(method).fit_transform(X))
        assert (model.alpha_ is None) == (method == "factor_analysis")
        assert (model.noise_variance_ is None) == (method == "nuclear_norm")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.filterwarnings("ignore:Skipping features")  # theirs
def test_names_and_indicator_are_those_of_scikit_learns_imputers(X, keep):
    pd = pytest.importorskip("pandas")
    X[:, 2], X[:, 4] = np.nan, 1.5
    frame = pd.DataFrame(X, columns=[f"column {j}" for j in range(X.shape[1])])
    options = {"add_indicator": True, "keep_empty_features": keep}
    ours, theirs = LowRankImputer(**options), SimpleImputer(**options)
    out = ours.set_output(transform="pandas").fit_transform(frame)
    expected = theirs.set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns) == list(expected.columns)
    indicator = [name for name in out.columns if name.startswith("missingindicator")]
    assert len(indicator) == 8
    pd.testing.assert_frame_equal(out[indicator], expected[indicator])
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    array = LowRankImputer(**options).fit(X)
    with np.errstate(invalid="ignore"):
        theirs = SimpleImputer(**options).fit(X)
    assert_array_equal(array.get_feature_names_out(), theirs.get_feature_names_out())
    with pytest.raises(ValueError, match="feature_names_in_"):
        ours.get_feature_names_out(["a"] * X.shape[1])


def test_it_serves_in_a_pipeline_that_is_searched(rng):
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(LowRankImputer(), StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"lowrankimputer__n_components": [1, 6]}, cv=3)
    assert search.fit(with_holes(X, rng), y).best_score_ > 0.8


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
@pytest.mark.parametrize("method", METHODS)
def test_callbacks_see_a_fitted_imputer_each_iteration_and_may_stop(X, method):
    class Spy:
        def setup(self, estimator, context):
            self.objectives, self.filled = [], []

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            if context.task_name != "iteration":
                return False
            self.objectives.append(context.objective)
            self.filled.append(fitted_estimator.transform(X))
            return len(self.objectives) == 4

    spy = Spy()
    model = imputer(method, alpha=2.0, tol=1e-12).set_callbacks(spy).fit(X)
    assert model.stopped_by_callback_
    assert model.n_iter_ == 4
    assert_array_equal(spy.objectives, model.objective_)
    assert_array_equal(spy.filled[-1], model.transform(X))
    assert not np.array_equal(spy.filled[0], spy.filled[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_kernels_solve_their_problems(rng, compiled):
    A = rng.standard_normal((7, 5, 9))
    P, b = A @ A.transpose(0, 2, 1), rng.standard_normal((7, 5))
    rows, columns = np.tril_indices(5)
    moments, means, log_dets = P[:, rows, columns].copy(), b.copy(), np.empty(7)
    kernels = (_imputer_kernels.gaussian_posteriors, _imputer_kernels.solve_rows)
    posteriors, solve = (f if compiled else f.py_func for f in kernels)
    posteriors(moments, means, log_dets)
    x = np.linalg.solve(P, b[:, :, None])[:, :, 0]
    assert_allclose(means, x)
    assert_allclose(log_dets, np.linalg.slogdet(P)[1])
    expected = np.linalg.inv(P) + x[:, :, None] * x[:, None, :]
    assert_allclose(moments, expected[:, rows, columns])
    solve(P[:, rows, columns].copy(), b)
    assert_allclose(b, x)


ESTIMATORS = [
    LowRankImputer(),
    LowRankImputer(2, method="nuclear_norm", random_state=0, keep_empty_features=True),
    LowRankImputer(add_indicator=True),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")  # they mix
@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_global_output_transform_pandas,
        checks.check_dataframe_column_names_consistency,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_transformer_preserve_dtypes,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_further_checks_pass(check):
    check("LowRankImputer", LowRankImputer())


def test_masked_values_are_missing(rng):
    X = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 6))
    mask = rng.random(X.shape) < 0.2
    from_mask = LowRankImputer().fit_transform(np.ma.MaskedArray(X, mask))
    assert_allclose(from_mask, LowRankImputer().fit_transform(np.where(mask, np.nan, X)))
