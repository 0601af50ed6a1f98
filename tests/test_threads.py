"""threads.py: tasks in order, on as many threads as asked for."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from lplr_index import threads as module
from lplr_index.errors import InputError
from lplr_index.threads import as_threads, available, by_rows, run


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_results_come_in_the_order_of_the_tasks(threads):
    delays = [0.03, 0.0, 0.02, 0.0, 0.01]

    def task(i):
        time.sleep(delays[i])
        return i

    assert run([lambda i=i: task(i) for i in range(5)], threads) == list(range(5))
    assert run(iter([lambda: "only"]), threads) == ["only"]
    assert run([], threads) == []


def test_one_thread_is_the_callers():
    assert run([threading.get_ident] * 3, 1) == [threading.get_ident()] * 3
    assert run([threading.get_ident], 4) == [threading.get_ident()]


@pytest.mark.parametrize("threads", [2, 3])
def test_so_many_tasks_run_at_once_and_no_more(threads):
    barrier = threading.Barrier(threads)
    running, most, lock = 0, 0, threading.Lock()

    def meet():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(timeout=30)  # passes only if that many are here together
        with lock:
            running -= 1

    run([meet] * (4 * threads), threads)

    assert most == threads


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_task_raises_reaches_the_caller(threads):
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run([lambda: 1, fail, lambda: 2], threads)
    assert run([lambda: 1, lambda: 2], threads) == [1, 2]


@pytest.mark.parametrize("where", [0, 7])
def test_what_a_task_raises_ends_the_others(where):
    done = []

    def task(i):
        if i == where:
            raise IndexError(f"of task {i}")
        time.sleep(0.001)
        done.append(i)

    with pytest.raises(IndexError, match=f"of task {where}"):
        run([lambda i=i: task(i) for i in range(1000)], 3)
    number = len(done)
    time.sleep(0.02)
    assert len(done) == number < 500


def test_tasks_that_run_tasks_of_their_own_do_not_wait_for_each_other():
    def inner(i):
        return sum(run([lambda j=j: 10 * i + j for j in range(4)], 2))

    assert run([lambda i=i: inner(i) for i in range(6)], 2) == [40 * i + 6 for i in range(6)]


def test_the_caller_is_one_of_the_threads():
    barrier = threading.Barrier(2)

    def meet():
        barrier.wait(timeout=30)
        return threading.get_ident()

    assert threading.get_ident() in run([meet, meet], 2)


def test_threads_stay_for_the_next_call():
    first = set(run([threading.get_ident, lambda: time.sleep(0.01) or threading.get_ident()] * 4, 2))
    later = set(run([threading.get_ident, lambda: time.sleep(0.01) or threading.get_ident()] * 4, 2))

    assert len(first | later) <= 2


def test_numbers_of_threads():
    assert as_threads(None) == available()
    assert as_threads(3) == 3
    assert as_threads(np.int64(2)) == 2
    for wrong in (0, -1, 1.0, "2", True):
        with pytest.raises(InputError, match="expected threads to be an integer >= 1, got"):
            as_threads(wrong)


def test_all_the_cpus_this_process_may_use(monkeypatch):
    assert 1 <= available() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    assert available() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert available() == 7


@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 6, 7, 8, 100])
def test_blocks_of_rows_come_back_whole(n, cpus, monkeypatch):
    monkeypatch.setattr(module, "available", lambda: cpus)
    y, blocks = np.arange(3 * n).reshape(n, 3), []

    def squares(part):
        blocks.append(len(part))
        return np.stack([part, part**2], axis=1).astype(np.int16)

    found = by_rows(squares, y, 7)

    np.testing.assert_array_equal(found, np.stack([y, y**2], axis=1).astype(np.int16))
    assert found.dtype == np.int16
    assert (sum(blocks), max(blocks)) == (n, min(n, 7))
