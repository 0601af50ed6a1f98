"""Threads of one pool for everything: kernels release the GIL, so plain threads run them in parallel.

There is no OpenMP here: numba's ``parallel=True`` aborts the interpreter when two Python threads enter it on a bare
machine, and a second OpenMP beside torch's or faiss's is a known way to crash.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import as_integer

Result = TypeVar("Result")
Rows = npt.NDArray[Any]

_pools: dict[int, ThreadPoolExecutor] = {}


def available() -> int:
    """CPUs this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def as_threads(threads: Any) -> int:
    """The number of threads a call may use: all available for None.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    return available() if threads is None else as_integer(threads, "threads", least=1)


def run(tasks: Iterable[Callable[[], Result]], threads: int) -> list[Result]:
    """Run the tasks on at most ``threads`` threads, the caller's among them, and return their results in order.

    The caller does not wait for a thread to wake up: of two short tasks it has done the first by then.
    """
    given = list(tasks)
    if threads == 1 or len(given) < 2:
        return [task() for task in given]
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads - 1, thread_name_prefix="lplr_index"))
    results: list[Any] = [None] * len(given)
    todo = deque(range(len(given)))

    def work() -> None:
        while True:
            try:
                number = todo.popleft()
            except IndexError:  # others took the rest
                return
            try:
                results[number] = given[number]()
            except BaseException:
                todo.clear()
                raise

    helpers = [pool.submit(work) for _ in range(min(threads, len(given)) - 1)]
    try:
        work()
    finally:
        helpers = [helper for helper in helpers if not helper.cancel()]  # those that began
        wait(helpers)
    for helper in helpers:
        helper.result()
    return results


def by_rows(function: Callable[[Rows], Rows], y: Rows, rows: int = 1024) -> Rows:
    """What the function makes of each row of y (n, ...), by blocks of rows on all threads."""
    nothing = function(y[:0])
    out = np.empty((len(y), *nothing.shape[1:]), nothing.dtype)

    def fill(start: int) -> None:
        out[start : start + rows] = function(y[start : start + rows])

    run([partial(fill, start) for start in range(0, len(y), rows)], available())
    return out


def _forget() -> None:
    """A forked child has none of its parent's threads; it starts pools of its own."""
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
