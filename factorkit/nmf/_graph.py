"""NMF whose coefficients are smooth over a graph of the samples."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse

from ..utils._jit import kernel
from ..utils._linalg import gram
from ..utils._sklearn import Interval, StrOptions, fit_method
from ._data import as_data
from ._estimators import NMF
from ._frobenius import FrobeniusProblem, in_scale


class GraphNMF(NMF):
    """Graph-regularized nonnegative matrix factorization.

    .. math::

        \\min_{W, H \\ge 0} \\tfrac12 \\|X - WH\\|_F^2
            &+ \\tfrac{\\alpha}{2} \\sum_t \\|h_t\\|^2\\, w_t^\\top (D - S)\\, w_t

            &+ \\text{the penalties of NMF}

    over W (n_samples × n_components) and H (n_components × n_features), where S is the affinity
    of the samples, D its row sums, and α is `alpha_graph`. The factor ‖h_t‖² makes the penalty
    free of how W and H share their scale: with ‖h_t‖ = 1 it is that of [1]_, which without such a
    condition goes to zero when W shrinks and H grows.

    Read more in the :ref:`User Guide <nmf>`.

    Parameters
    ----------
    n_components : int, "auto" or None, default="auto"
        As in :class:`NMF`, like all parameters that are not listed here. The loss is Frobenius,
        and X complete.

    graph : "knn" or {array-like, sparse matrix} of shape (n_samples, n_samples), default="knn"
        Nonnegative affinities of the samples of `fit`; S is its symmetric part without the
        diagonal. "knn" joins each sample with its nearest neighbors in X.

    alpha_graph : float, default=1.0
        Weight of the graph.

    n_neighbors : int, default=5
        For ``graph="knn"``.

    init, tol, max_iter, random_state, alpha_W, alpha_H, l1_ratio, verbose, n_jobs : object
        See :class:`NMF`.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_samples, n_components)
        The smooth coefficients W of the samples of `fit`. `transform` knows no graph: it treats
        each sample by itself.

    components_ : ndarray of shape (n_components, n_features)
        H.

    n_components_, reconstruction_err_, n_iter_, objective_, kkt_residual_ : object
        See :class:`NMF`; they belong to `embedding_`.

    See Also
    --------
    NMF : Without a graph.

    References
    ----------
    .. [1] D. Cai, X. He, J. Han and T. S. Huang, "Graph Regularized Nonnegative Matrix
       Factorization for Data Representation", IEEE TPAMI 33, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from factorkit import GraphNMF
    >>> X = np.random.default_rng(0).random((30, 8))
    >>> model = GraphNMF(n_components=3, alpha_graph=10.0, random_state=0).fit(X)
    >>> model.embedding_.shape
    (30, 3)
    """

    _parameter_constraints = {
        **NMF._parameter_constraints,
        "graph": [StrOptions({"knn"}), "array-like", "sparse matrix"],
        "alpha_graph": [Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }
    for _fixed in ("solver", "beta_loss", "shuffle", "missing"):
        _parameter_constraints.pop(_fixed)

    # What the graph does not go with is fixed.
    solver, beta_loss, shuffle, missing = "cd", "frobenius", False, "nan"

    def __init__(
        self,
        n_components="auto",
        *,
        graph="knn",
        alpha_graph=1.0,
        n_neighbors=5,
        init=None,
        tol=1e-3,
        max_iter=200,
        random_state=None,
        alpha_W=0.0,
        alpha_H="same",
        l1_ratio=0.0,
        verbose=0,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.graph = graph
        self.alpha_graph = alpha_graph
        self.n_neighbors = n_neighbors
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.verbose = verbose
        self.n_jobs = n_jobs

    def fit(self, X, y=None, W=None, H=None):
        """Learn the components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Nonnegative and complete.
        y : None
            Ignored.
        W : ndarray of shape (n_samples, n_components), default=None
            Start, for ``init="custom"``.
        H : ndarray of shape (n_components, n_features), default=None
            Start, for ``init="custom"``.

        Returns
        -------
        self : GraphNMF

        Raises
        ------
        ValueError
            For negative, infinite or missing data, and a graph that does not fit X.
        """
        self.fit_transform(X, W=W, H=H)
        return self

    @fit_method
    def fit_transform(self, X, y=None, W=None, H=None):
        """Learn the components and return what ``transform(X)`` returns.

        Parameters are those of :meth:`fit`. The smooth coefficients are `embedding_`.

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        return self._fit(X, W, H)

    def transform(self, X):
        """Coefficients of the samples, each by itself, for the fitted components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        W : ndarray of shape (n_samples, n_components)
        """
        return super().transform(X)

    def _problem(self, X, sample_weight, entry_weight, penalty, workers, rng):
        S = self._affinity(X)
        return GraphProblem(as_data(X), penalty, workers, S, self.alpha_graph), None

    def _affinity(self, X):
        n_samples = X.shape[0]
        if isinstance(self.graph, str):
            # Not above: it takes a tenth of a second, of every first fit.
            from sklearn.neighbors import kneighbors_graph

            neighbors = min(self.n_neighbors, n_samples - 1)
            S = kneighbors_graph(X, neighbors) if neighbors else sparse.csr_array((1, 1))
        else:
            S = sparse.csr_array(self.graph, dtype=np.float64)
            if S.shape != (n_samples, n_samples):
                raise ValueError(
                    f"graph has shape {S.shape}; X has {n_samples} samples, so it must have "
                    f"shape ({n_samples}, {n_samples})."
                )
            if S.nnz and not (S.data.min() >= 0 and np.isfinite(S.data).all()):
                raise ValueError("graph has negative, infinite or missing affinities.")
        S = sparse.csr_array(0.5 * (S + S.T))
        S.setdiag(0)
        S.eliminate_zeros()
        return S

    def _finish(self, problem, X, Wt, H):
        self.embedding_ = np.ascontiguousarray(Wt.T)
        return self._solve_W(X, None, H, problem.workers), Wt

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags


class GraphProblem(FrobeniusProblem):
    """The Frobenius problem with a graph over the samples.

    W's half step goes through the samples one after the other, since each depends on its
    neighbors: exact coordinate steps, 2 n_components² operations and 2 n_components an edge a
    sample. The objective never rises.
    """

    typical = None  # the sweep over the graph is in double precision

    def __init__(self, data, penalty, workers, S, alpha):
        super().__init__(data, penalty, workers)
        self.S, self.alpha = S, alpha
        self.degrees = np.asarray(S.sum(axis=1)).ravel()

    def step_H(self, Wt, H, safe=False, valued=False):
        A = self.data.times_samples(Wt, self.workers)
        G = gram(Wt)
        smooth = G + self.alpha * np.diag(self._roughness(Wt))
        p = self.penalty
        start = in_scale(H, A, smooth, safe)
        new, residual, product = self._sweep(A, smooth, start, p.l1_H, p.l2_H)
        if not valued:
            return new, residual, None
        return new, residual, self._expanded(product, smooth, new) + p.value(Wt, new)

    def step_W(self, H, Wt, safe=False, valued=False):
        A = self.data.times_features(H, self.workers)
        G = gram(H)
        smoothing = self.alpha * np.diag(G)
        W = np.array(Wt.T, dtype=np.float64, order="C")
        S = self.S
        moved = sweep_graph(
            W,
            np.ascontiguousarray(A.T, dtype=np.float64),
            G + self.penalty.l2_W * np.eye(len(G)),
            self.penalty.l1_W,
            S.indptr,
            S.indices,
            S.data,
            self.degrees,
            smoothing,
        )
        new = np.ascontiguousarray(W.T.astype(Wt.dtype))
        return new, self._relative(np.sqrt(moved)), None

    def is_cancelled(self, value, dtype):
        return False

    def objective(self, Wt, H):
        return super().objective(Wt, H) + self._graph_term(Wt, H)

    def kkt_residual(self, Wt, H):
        _, residual_H, _ = self.step_H(Wt, H)
        _, residual_W, _ = self.step_W(H, Wt)
        return float(max(residual_H, residual_W))

    def _roughness(self, Wt):
        """w_t (D − S) w_t for each component."""
        W = Wt.T.astype(np.float64)
        return np.maximum(self.degrees @ np.square(W) - np.einsum("it,it->t", W, self.S @ W), 0.0)

    def _graph_term(self, Wt, H):
        return 0.5 * self.alpha * float(self._roughness(Wt) @ np.diag(gram(H)))


@kernel(reduces=True)
def sweep_graph(W, A, G, l1, indptr, neighbors, affinity, degrees, smoothing):
    """One pass over the samples, two coordinate sweeps each.

    Returns the squared length of the first sweep's steps, in the unit of the data.
    """
    n_samples, k = W.shape
    pull = np.empty(k)
    moved = 0.0
    for i in range(n_samples):
        pull[:] = 0
        for p in range(indptr[i], indptr[i + 1]):
            for t in range(k):
                pull[t] += affinity[p] * W[neighbors[p], t]
        for sweep in range(2):
            for t in range(k):
                curvature = G[t, t] + smoothing[t] * degrees[i]
                if curvature <= 0:
                    W[i, t] = 0.0 if l1 > 0 else W[i, t]
                    continue
                target = A[i, t] - l1 + smoothing[t] * pull[t]
                for r in range(k):
                    target -= G[t, r] * W[i, r]
                new = max(0.0, W[i, t] + (target - smoothing[t] * degrees[i] * W[i, t]) / curvature)
                change = new - W[i, t]
                if sweep == 0:
                    moved += curvature * change * change
                W[i, t] = new
    return moved
