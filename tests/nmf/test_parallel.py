"""Threads, processes and installations change the time and nothing else."""

import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import threadpoolctl
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import factorkit
from factorkit import NMF
from factorkit.nmf import _data, _rows, _weighted
from factorkit.utils import _nnls
from factorkit.utils._threads import Workers, blocks_of, blocks_of_entries

from ._reference import LOSSES, low_rank


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut what is too little work for two threads; returns the numbers of blocks that were made."""
    made = []

    def cut(n_rows, work_per_row, *, multiple=64, target=2e7, smallest=64):
        blocks = blocks_of(
            n_rows,
            work_per_row,
            multiple=multiple,
            target=target / 2000,
            smallest=min(smallest, 16),
        )
        made.append(len(blocks))
        return blocks

    def cut_entries(indptr, work_per_entry):
        blocks = blocks_of_entries(indptr, work_per_entry, target=1e7 / 100)
        made.append(len(blocks))
        return blocks

    for module in (_data, _rows, _weighted, _nnls):
        monkeypatch.setattr(module, "blocks_of", cut)
    monkeypatch.setattr(_rows, "blocks_of_entries", cut_entries)
    return made


def data(case, n=600):
    rng = np.random.default_rng(0)
    X = low_rank(rng, n, 40, 6, zeros=0.6)
    if case == "sparse":
        return sparse.csr_array(X), {}
    if case == "unstored":
        return sparse.csr_array(X), {"missing": "unstored"}
    if case == "holes":
        X[rng.random(X.shape) < 0.2] = np.nan
    elif case == "many holes":
        X[rng.random(X.shape) < 0.7] = np.nan
    return X, {}


@pytest.mark.parametrize("case", ["dense", "sparse", "holes", "many holes", "unstored"])
@pytest.mark.parametrize("solver, beta_loss", [("cd", b) for b in LOSSES] + [("mu", 1.5)])
def test_the_number_of_threads_changes_no_bit(case, solver, beta_loss, small_blocks, monkeypatch):
    X, options = data(case, 600 if solver == "cd" else 150)
    options |= {"solver": solver, "beta_loss": beta_loss, "tol": 0, "max_iter": 3}
    results = []
    for n_jobs in (1, 2, 3):
        nmf = NMF(6, random_state=0, n_jobs=n_jobs, **options)
        W = nmf.fit_transform(X)
        results.append((W, nmf.components_, nmf.objective_, nmf.kkt_residual_))
    assert max(small_blocks) >= 4
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            assert_array_equal(a, b)
    # Blocks of another size sum in another order, and lose nothing. (Where the model of a count
    # is all but zero, rounding is what Kullback-Leibler's first iterations see.)
    monkeypatch.undo()
    whole = NMF(6, random_state=0, **options).fit(X)
    rtol = 0.05 if beta_loss == "kullback-leibler" else 1e-6
    assert_allclose(results[0][2], whole.objective_, rtol=rtol)


@pytest.mark.parametrize("beta_loss", LOSSES)
def test_fits_in_threads_are_those_made_one_by_one(beta_loss):
    X, _ = data("dense", 300)

    def fit(seed):
        nmf = NMF(4, init="random", beta_loss=beta_loss, random_state=seed, tol=0, max_iter=10)
        return nmf.fit(X).components_

    limits = [info["num_threads"] for info in threadpoolctl.threadpool_info()]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(fit, range(6)))
    for H, expected in zip(together, map(fit, range(6)), strict=True):
        assert_array_equal(H, expected)
    assert [info["num_threads"] for info in threadpoolctl.threadpool_info()] == limits


def test_a_failed_fit_gives_blas_its_threads_back():
    limits = [info["num_threads"] for info in threadpoolctl.threadpool_info()]
    with pytest.raises(ValueError):
        NMF(init="nndsvd", n_components=9).fit(np.ones((3, 3)))
    with pytest.raises(ZeroDivisionError), Workers(2) as workers:
        workers.map(lambda start, stop: 1 / 0, [(0, 1), (1, 2)])
    assert [info["num_threads"] for info in threadpoolctl.threadpool_info()] == limits


def fit_in_process(seed, X):
    return NMF(4, init="random", random_state=seed, tol=0, max_iter=5).fit(X).components_


@pytest.mark.slow
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_joblib_processes_give_the_same_bits(container):
    X = container(data("dense", 4000)[0])
    # max_nbytes: the workers see a read-only memory map.
    parallel = joblib.Parallel(2, max_nbytes=1000)
    results = parallel(joblib.delayed(fit_in_process)(seed, X) for seed in range(2))
    for seed, H in enumerate(results):
        assert_array_equal(H, fit_in_process(seed, X))


def as_nobody():
    """What makes a child process one that may write nowhere; None where it can't be."""
    if os.name != "posix" or os.geteuid() != 0:
        return None

    def give_up_rights():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    return give_up_rights


CODE = """
import os, pickle, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    from factorkit import NMF
    X = np.random.default_rng(0).random((20, 8))
    H = NMF(3, tol=0, max_iter=3).fit(X).components_
import factorkit
told = [str(w.message) for w in caught if w.category is RuntimeWarning]
sys.stdout.buffer.write(pickle.dumps((factorkit.__file__, H, told)))
"""


@pytest.mark.slow
def test_a_read_only_installation_without_a_home_computes_and_says_why_it_is_slow(tmp_path):
    package = tmp_path / "lib" / "factorkit"
    shutil.copytree(
        Path(factorkit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    # A file, so that no folder can be made there, whoever asks.
    for folder in [package, *filter(Path.is_dir, package.rglob("*"))]:
        (folder / "__pycache__").write_text("")
    no_home = tmp_path / "home"
    no_home.write_text("")
    for folder in (package, package.parent, tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    }
    environment |= {"HOME": str(no_home), "PYTHONPATH": str(package.parent)}
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", CODE],
            capture_output=True,
            check=False,
            env=environment,
            cwd=package.parent,
            preexec_fn=as_nobody(),
        )
    except PermissionError:
        pytest.skip("another user may not run this Python")
    assert done.returncode == 0, done.stderr.decode()
    home, H, told = pickle.loads(done.stdout)
    assert Path(home).parent == package
    assert len(told) >= 1 and "Set NUMBA_CACHE_DIR to a writable folder" in told[0]
    X = np.random.default_rng(0).random((20, 8))
    assert_array_equal(H, NMF(3, tol=0, max_iter=3).fit(X).components_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [3, 17, 40, 70])
@pytest.mark.parametrize("entries", [0.1, 25, 60, 1e9])  # of each feature in a block of samples
def test_threads_that_share_components_change_no_bit_of_a_sparse_product(
    rng, monkeypatch, dtype, k, entries
):
    monkeypatch.setattr(_data, "_WORTH_THREAD", 1)
    monkeypatch.setattr(_data, "_WORTH_ARRAY", entries)
    X = sparse.random_array((700, 30), density=0.2, rng=rng, format="csr")
    Wt = rng.standard_normal((k, 700)).astype(dtype)
    results = []
    for n_jobs in (1, 2, 3, 9):
        with Workers(n_jobs) as workers:
            results.append(_data.SparseData(X).times_samples(Wt, workers))
    expected = (X.T @ Wt.T.astype(np.float64)).T
    assert_allclose(results[0], expected, rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-4)
    for result in results[1:]:
        assert_array_equal(result, results[0])


def test_few_components_in_single_precision_take_values_in_that_as_long_as_they_are_it(rng):
    X = sparse.random_array((50, 30), density=0.2, rng=rng, format="csr")
    data, W, H = _data.SparseData(X, keeps_single=True), rng.random((4, 50)), rng.random((4, 30))
    single = np.float32
    with Workers(1) as workers:
        products = data.times_features(H.astype(single), workers)
        assert data._single.dtype == single
        assert_allclose(products, H @ X.T.toarray(), rtol=1e-5)
        assert_allclose(data.times_samples(W.astype(single), workers), W @ X.toarray(), rtol=1e-5)
        assert_allclose(data.times_features(H, workers), H @ X.T.toarray(), rtol=1e-12)
        assert data._single is None
        data.times_features(rng.random((65, 30), dtype=single), workers)
        assert data._single is None  # the memory is worth it for few components alone
        plain = _data.SparseData(X)
        assert_array_equal(plain.times_features(H.astype(single), workers), products)
        assert plain._single is None
        assert_allclose(data.times_samples(W, workers), W @ X.toarray(), rtol=1e-12)
