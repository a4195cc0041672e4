"""Rows of X a batch at a time, from memory or from a disk, and what a run over them tells."""

import numpy as np

from ..utils._validation import validate_matrix


class Batches:
    """Checked batches of rows; a memory-mapped X is never read as a whole.

    Parameters
    ----------
    estimator : NMFBase
    X : array-like, sparse matrix or memmap of shape (n_samples, n_features)
    batch_size : int
    reset : bool
        As in `validate_matrix`.
    """

    def __init__(self, estimator, X, batch_size, *, reset):
        self._estimator = estimator
        # joblib too hands its workers memory maps.
        self._checks = isinstance(X, np.memmap) and X.ndim == 2 and X.size > 0
        if self._checks:
            self._X = X
            self.dtype = self._checked(X[:1], reset=reset).dtype
        else:
            self._X = estimator._validate_X(X, reset=reset)
            estimator._check_values(self._X)
            self.dtype = self._X.dtype
        self.shape = self._X.shape
        self.size = min(batch_size, self.shape[0])
        self.n_batches = -(-self.shape[0] // self.size)

    def __iter__(self):
        """Slices, and the rows there as `validate_matrix` returns them."""
        for start in range(0, self.shape[0], self.size):
            rows = slice(start, min(start + self.size, self.shape[0]))
            yield rows, self[rows]

    def parts(self):
        """The same, but all rows at once where they are in memory anyway."""
        return self if self._checks else [(slice(None), self._X)]

    def __getitem__(self, rows):
        return self._checked(self._X[rows]) if self._checks else self._X[rows]

    def sample(self, n_rows):
        """Some rows, drawn with a fixed seed, as an array of their own; not all missing."""
        n_samples = self.shape[0]
        rows = slice(None)
        if n_rows < n_samples:
            # Generator.choice, unlike permutation, takes no memory for what it leaves.
            rng = np.random.default_rng(0)
            rows = np.sort(rng.choice(n_samples, n_rows, replace=False, shuffle=False))
        X = self._X[rows]
        return self._checked(X, reset=True, block=False) if self._checks else X

    def _checked(self, X, *, reset=False, block=True):
        estimator = self._estimator
        X = validate_matrix(
            estimator, np.asarray(X), reset=reset, missing=estimator.missing, block=block
        )
        estimator._check_values(X)
        return X


class Run:
    """What the steps of a run tell, and whether they still help.

    Parameters
    ----------
    batches : Batches
    tol : float
        A pass in which no step changes H by more than this, relative to its norm, is the last
        one; 0 ignores it.
    max_no_improvement : int or None
        Most steps in a row that do not lower the objective of the last pass.

    Attributes
    ----------
    n_steps : int
    """

    def __init__(self, batches, tol, max_no_improvement):
        self.tol, self.max_no_improvement = tol, max_no_improvement
        self.n_steps = 0
        self._n_samples = batches.shape[0]
        # The last values of each batch. Whatever step a run is at, their sums are over all rows,
        # so that two of them differ by what the components learned and not by which rows came.
        self._last = np.zeros((batches.n_batches, 3))
        self._sums = np.zeros(3)
        self._best, self._n_without, self._n_still = np.inf, 0, 0

    def add(self, objective, loss, n_samples, change):
        """Record a step; returns whether it was the last one.

        `change` is that of the components, relative to their norm. A run goes beyond its first
        pass.
        """
        record = np.array([objective, loss, n_samples], dtype=np.float64)
        place = self.n_steps % len(self._last)
        self._sums += record - self._last[place]
        self._last[place] = record
        self.n_steps += 1
        # One still step may be due to its batch: one of zeros, for example.
        self._n_still = self._n_still + 1 if change <= self.tol else 0
        if self.n_steps <= len(self._last):
            return False
        self._n_without = 0 if self.objective < self._best else self._n_without + 1
        self._best = min(self._best, self.objective)
        is_still = self.tol > 0 and self._n_still >= len(self._last)
        return is_still or self._n_without >= (self.max_no_improvement or np.inf)

    @property
    def objective(self):
        """Objective of all samples, each batch with the components that it met."""
        return self._sums[0] * (self._n_samples / self._sums[2])

    @property
    def loss(self):
        """Loss of all samples, likewise."""
        return max(self._sums[1], 0.0) * (self._n_samples / self._sums[2])
