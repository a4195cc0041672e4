"""Workers keep order and errors, and give BLAS its threads back."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import threadpoolctl
from joblib import cpu_count

from factorkit.utils._threads import Workers, blocks_of, blocks_of_entries, resolve_n_jobs


def blas_threads():
    return {
        lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"
    }


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 1000, 100_003])
@pytest.mark.parametrize("work", [0, 1.0, 1e4, 1e9])
@pytest.mark.parametrize("options", [{}, {"multiple": 8, "smallest": 8}, {"target": 1e5}])
def test_blocks_cover_the_rows_once_in_order(n_rows, work, options):
    blocks = blocks_of(n_rows, work, **options)
    assert np.concatenate([np.arange(s, e) for s, e in blocks]).tolist() == list(range(n_rows))
    assert all((e - s) % options.get("multiple", 64) == 0 for s, e in blocks[:-1])
    assert all(e - s >= options.get("smallest", 64) for s, e in blocks[:-1])


@pytest.mark.parametrize("lengths", [[5] * 40, [0] * 10, [1000, 1, 1, 1, 0, 0, 1000], [3], []])
@pytest.mark.parametrize("target", [1, 100, 1e9])
def test_blocks_of_entries_are_of_like_work_and_cut_no_row(lengths, target):
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    blocks = blocks_of_entries(indptr, 2.0, target=target)
    assert blocks[0][0] == 0 and blocks[-1][1] == len(lengths)
    for (_, stop), (start, _) in pairwise(blocks):
        assert start == stop
    for start, stop in blocks:
        work = 2.0 * (indptr[stop] - indptr[start] + stop - start)
        longest = max(lengths[start:stop], default=0)
        assert work <= max(target, 2) + 2 * (longest + 1)
    if target == 1e9:
        assert len(blocks) == 1


def test_blocks_of_nothing_are_one_empty_block():
    assert blocks_of(0, 1.0) == [(0, 0)]


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_results_come_in_the_order_of_the_blocks(n_jobs):
    with Workers(n_jobs) as workers:
        assert workers.map(lambda s, e: (s, e), [(i, i + 1) for i in range(50)]) == [
            (i, i + 1) for i in range(50)
        ]


def test_two_jobs_are_two_threads():
    # Each waits for the other: with one thread this would never end.
    meeting = threading.Barrier(2, timeout=30)
    with Workers(2) as workers:
        names = workers.map(
            lambda s, e: meeting.wait() + 1 and threading.get_ident(), [(0, 1), (1, 2)]
        )
    assert len(set(names)) == 2


def test_one_job_makes_no_thread():
    with Workers(1) as workers:
        assert (
            workers.map(lambda s, e: threading.get_ident(), [(0, 1), (1, 2)])
            == [threading.get_ident()] * 2
        )


def test_an_error_in_a_block_is_raised():
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        workers.map(lambda s, e: s / (s - 1), [(0, 1), (1, 2), (2, 3)])


@pytest.mark.parametrize("where", ["caller", "helper"])
def test_an_error_in_either_thread_ends_the_work(where):
    caller, meeting, begun = threading.get_ident(), threading.Barrier(2, timeout=30), []

    def block(s, e):
        begun.append(s)
        if s < 2:
            meeting.wait()  # one in each thread
        if (threading.get_ident() == caller) == (where == "caller"):
            raise IndexError("of the block, not of the list of blocks")
        time.sleep(1e-3)

    with Workers(2) as workers, pytest.raises(IndexError, match="of the block"):
        workers.map(block, [(i, i + 1) for i in range(300)])
    assert len(begun) < 300


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_blocks_may_be_cut_further(n_jobs):
    with Workers(n_jobs) as workers:

        def total(start, stop):
            return sum(workers.map(lambda s, e: s, [(i, i + 1) for i in range(start, stop)]))

        assert sum(workers.map(total, [(i, i + 10) for i in range(0, 100, 10)])) == 4950


def test_blas_has_one_thread_inside_and_its_own_after_the_last_leaves():
    before = blas_threads()
    outer, inner = Workers(1), Workers(1)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        limited = blas_threads()
        outer.__enter__()
        assert blas_threads() == {1}
        inner.__enter__()
        outer.__exit__(None, None, None)  # not in the order of entering, as in two threads
        assert blas_threads() == {1}
        inner.__exit__(None, None, None)
        assert blas_threads() == limited
    assert blas_threads() == before


def test_none_takes_the_threads_that_blas_may_use():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert resolve_n_jobs(None) == 1
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        expected = min(2, cpu_count())
        assert resolve_n_jobs(None) == expected
        with Workers(1):  # another fit holds BLAS: what it may use afterwards counts
            assert resolve_n_jobs(None) == expected


@pytest.mark.parametrize("n_jobs, expected", [(1, 1), (5, 5), (np.int64(2), 2), (-10_000, 1)])
def test_a_number_of_jobs_is_taken(n_jobs, expected):
    assert resolve_n_jobs(n_jobs) == expected


def test_minus_one_is_every_processor():
    assert resolve_n_jobs(-1) == cpu_count()


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2"])
def test_other_numbers_of_jobs_are_refused(n_jobs):
    with pytest.raises(ValueError, match="n_jobs must be None or an integer other than 0"):
        resolve_n_jobs(n_jobs)
