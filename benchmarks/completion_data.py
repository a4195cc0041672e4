"""Ratings, and a planted matrix with few entries observed; both split into training and test."""

import csv
import io
import zipfile
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import KFold

from .data import _wheel

NAMES = ("ml100k", "planted")


class Split(NamedTuple):
    """Training entries as a CSR array, and test entries."""

    train: sp.csr_array
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def rmse(self, predicted):
        return float(np.sqrt(np.mean(np.square(predicted - self.values))))


@cache
def ml100k():
    """The 100,000 ratings of MovieLens 100K: (rows, columns, ratings, shape)."""
    with zipfile.ZipFile(_wheel("neighbors", "0.2.1")) as wheel:
        text = io.TextIOWrapper(wheel.open("neighbors/data/movielens100k.csv"))
        lines = list(csv.reader(text))[1:]
    table = np.array(lines, dtype=np.float64)
    rows, columns = table[:, :2].astype(np.intp).T - 1
    return rows, columns, table[:, 2], (943, 1682)


@cache
def planted(n_rows=20_000, n_columns=5_000, rank=10, density=0.02, condition=100.0, noise=0.1):
    """Entries of a matrix with geometric singular values, of unit variance, and noise."""
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((n_rows, rank)))[0]
    V = np.linalg.qr(rng.standard_normal((n_columns, rank)))[0]
    s = np.geomspace(1, 1 / condition, rank)
    U = U * s * np.sqrt(n_rows * n_columns / np.sum(s**2))
    n_entries = int(density * n_rows * n_columns)
    cells = np.unique(rng.integers(n_rows * n_columns, size=int(1.01 * n_entries)))
    rows, columns = np.divmod(cells, n_columns)
    values = np.einsum("ij,ij->i", U[rows], V[columns])
    return rows, columns, values + noise * rng.standard_normal(len(values)), (n_rows, n_columns)


@cache
def folds(name, n_splits=5):
    """The splits of KFold over the entries, in single precision."""
    rows, columns, values, shape = {"ml100k": ml100k, "planted": planted}[name]()
    result = []
    for train, test in KFold(n_splits, shuffle=True, random_state=0).split(values):
        X = sp.coo_array((values[train].astype(np.float32), (rows[train], columns[train])), shape)
        result.append(Split(X.tocsr(), rows[test], columns[test], values[test]))
    return result
