"""Threads over blocks of rows, with BLAS held to one thread meanwhile."""

import math
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from numbers import Integral

import joblib
import numpy as np


@cache
def _blas_controller():
    # Scanning the loaded libraries costs milliseconds, so it is done once; SciPy brings a BLAS
    # of its own, which must be loaded before the scan.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _take_control():
    """Let this thread set what another one has set: threadpoolctl 3.8 leaves it to the first."""
    for library in _blas_controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


class _OneBlasThread:
    """Hold BLAS to one thread while at least one fit of this process wants it.

    The limit is global to the process. Two fits in two threads that each saved and restored it
    could leave it at one for ever; so the first one in saves and the last one out restores.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._holders = 0
        self._limiter = None

    def __enter__(self):
        with self._lock:
            if self._holders == 0:
                _take_control()
                self._limiter = _blas_controller().limit(limits=1)
                self._limiter.__enter__()
            self._holders += 1

    def __exit__(self, *exc_info):
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                _take_control()
                self._limiter.__exit__(*exc_info)
                self._limiter = None

    def threads_before(self):
        """The number of threads that BLAS may use where no fit holds it."""
        with self._lock:
            if self._holders:
                infos = self._limiter.get_original_num_threads()
                return max(infos.get("blas") or 1, 1)
            return max((lib.num_threads for lib in _blas_controller().lib_controllers), default=1)


_one_blas_thread = _OneBlasThread()


@cache
def _n_processors():
    # joblib reads files of the system for it: 0.7 ms, a sixth of a fit on a small table.
    return joblib.cpu_count()


def resolve_n_jobs(n_jobs):
    """Number of threads for ``n_jobs``.

    ``None`` takes as many as BLAS may use at the moment, so that limits set by joblib's workers,
    ``threadpoolctl`` or ``OMP_NUM_THREADS`` hold for our loops too; negative values count from
    the number of processors, as in joblib.
    """
    if n_jobs is None:
        return min(_one_blas_thread.threads_before(), _n_processors())
    if not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be None or an integer other than 0. Got {n_jobs!r}.")
    return int(n_jobs) if n_jobs > 0 else max(_n_processors() + 1 + int(n_jobs), 1)


def _take(tasks):
    """The first of a deque, for one thread alone; None where nothing is left."""
    try:
        return tasks.popleft()
    except IndexError:
        return None


class Workers:
    """Context in which blocks of work run on ``n_jobs`` threads.

    The blocks never depend on the number of threads, and results are combined in the order of
    the blocks, so ``n_jobs`` changes the time and not a bit of the result.
    """

    def __init__(self, n_jobs=None):
        self.n_jobs = resolve_n_jobs(n_jobs)
        self._pool = None

    def __enter__(self):
        _one_blas_thread.__enter__()
        if self.n_jobs > 1:
            self._pool = ThreadPoolExecutor(self.n_jobs - 1)
        return self

    def __exit__(self, *exc_info):
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        _one_blas_thread.__exit__(*exc_info)

    def map(self, function, blocks):
        """List of ``function(*block)`` over the blocks, mostly (start, stop), in their order.

        The calling thread works too, so that little work is done before another one wakes up.
        """
        if self._pool is None or len(blocks) == 1:
            return [function(*block) for block in blocks]
        left = deque(enumerate(blocks))
        results = [None] * len(blocks)

        def work():
            try:
                while (task := _take(left)) is not None:
                    i, block = task
                    results[i] = function(*block)
            except BaseException:  # an interrupt too leaves the others nothing to begin with
                left.clear()
                raise

        n_helpers = min(self.n_jobs, len(blocks)) - 1
        helpers = [self._pool.submit(work) for _ in range(n_helpers)]
        try:
            work()
        finally:
            started = [helper for helper in helpers if not helper.cancel()]
            wait(started)
        for helper in started:
            helper.result()
        return results


def blocks_of(n_rows, work_per_row, *, multiple=64, target=2e7, smallest=64):
    """Split ``range(n_rows)`` into blocks of about `target` operations each.

    Parameters
    ----------
    n_rows : int
    work_per_row : float
        Operations a row.
    multiple : int, default=64
        All blocks but the last hold a multiple of this many rows.
    target : float, default=2e7
        Operations a block: about half a millisecond, ten times what handing it to a thread costs
        while another one holds the interpreter.
    smallest : int, default=64
        Fewest rows a block.

    Returns
    -------
    list of (start, stop)
    """
    rows = max(math.ceil(target / max(work_per_row, 1.0)), smallest)
    rows = -(-rows // multiple) * multiple
    return [(start, min(start + rows, n_rows)) for start in range(0, n_rows, rows)] or [(0, 0)]


def blocks_of_entries(indptr, work_per_entry, *, target=1e7):
    """Split the rows of a CSR matrix into blocks of about `target` operations each.

    The rows of counts differ by orders of magnitude: blocks of as many rows would differ as much in
    time, and in the memory of whatever is made for a block's entries.

    Parameters
    ----------
    indptr : ndarray of shape (n_rows + 1,)
    work_per_entry : float
        Operations an entry; a row costs as much as an entry besides.
    target : float, default=1e7

    Returns
    -------
    list of (start, stop)
        A row is never cut.
    """
    work = indptr + np.arange(len(indptr))
    step = max(int(target / work_per_entry), 1)
    ends = np.searchsorted(work, np.arange(step, work[-1] + step, step))
    ends = np.unique(np.minimum(ends, len(indptr) - 1)).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else [(0, 0)]
