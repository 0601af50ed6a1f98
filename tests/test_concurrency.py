"""Searches from several threads and processes at once, and beside libraries that have threads of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lplr_index
from indexes import filled, queries, rows
from lplr_index import IndexRefineLPLR, read_index, write_index

CALLERS = 4
TIMES = 5
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
KINDS = [("cosine", "auto-2"), ("l2", "auto-stages"), ("ip", "lplr-3"), ("cosine", "auto-5")]

# A process that has used the pool hands the search to children. A script, for a child that is spawned imports it.
PROCESSES = """
import json, multiprocessing, os, signal, sys, threading
import numpy as np
from lplr_index import read_index


def found(path, threads):
    index = read_index(path)
    return [part.tolist() for part in index.search(np.load(path + ".npy"), 5, threads=threads)]


def fork_alone(index, xq):
    "What a child finds with the index of its parent, told through a pipe."
    out, into = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)  # a child that waits for threads it does not have waits for ever
        done = [part.tolist() for part in index.search(xq, 5, threads=2)]
        with os.fdopen(into, "w") as stream:
            json.dump(done, stream)
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as stream:
        told = json.load(stream)
    assert os.waitpid(child, 0)[1] == 0
    return told


if __name__ == "__main__":
    path, way = sys.argv[1:]
    index, xq = read_index(path), np.load(path + ".npy")
    expected = [part.tolist() for part in index.search(xq, 5, threads=1)]
    index.search(xq, 5, threads=2)
    if way == "os.fork":
        done = [fork_alone(index, xq) for _ in range(3)]
    elif way == "os.fork, during a search":
        stop = threading.Event()
        def search():
            while not stop.is_set():
                index.search(xq, 5, threads=2)
        busy = threading.Thread(target=search)
        busy.start()
        done = [fork_alone(index, xq) for _ in range(8)]
        stop.set()
        busy.join()
    else:
        with multiprocessing.get_context(way).Pool(2) as pool:
            done = pool.starmap(found, [(path, 2)] * 4)
    done.append([part.tolist() for part in index.search(xq, 5, threads=2)])
    print(json.dumps([len(done), all(each == expected for each in done)]))
"""


def same(actual, expected):
    """Compare the arrays of two results, bit for bit."""
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def at_once(*tasks):
    """Run tasks, each of them several times and on a thread of its own, and raise what one of them raises."""
    barrier = threading.Barrier(len(tasks))

    def work(task):
        barrier.wait(timeout=60)
        for _ in range(TIMES):
            task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(work, tasks))


def searcher(index, xq, expected, **options):
    """Return a task: a search whose result must be the one expected."""
    return lambda: same(index.search(xq, 7, **options), expected)


@pytest.mark.parametrize(("metric", "kind"), KINDS)
@pytest.mark.parametrize("threads", [1, 2, None])
def test_many_threads_search_one_index(metric, kind, threads, tmp_path):
    """Of an index that was just read, so that nothing is prepared yet when all of them come."""
    known, xq = filled(metric, kind, 500), queries(40)
    expected = [known.search(xq[i::CALLERS], 7, threads=1) for i in range(CALLERS)]
    write_index(known, tmp_path / "index")
    index = read_index(tmp_path / "index")

    at_once(*(searcher(index, xq[i::CALLERS], expected[i], threads=threads) for i in range(CALLERS)))


def test_rows_are_shared_by_threads_in_every_call():
    index, xq = filled(n=3000), queries(3)
    for _ in range(13):
        index.add(rows(3000))
    expected = index.search(xq, 7, threads=1)

    at_once(*(searcher(index, xq, expected, threads=2 + i % 2) for i in range(CALLERS)))


def test_ranges_filters_and_different_indexes_at_once():
    first, second, xq = filled("cosine", "auto-2", 500), filled("l2", "lplr-4", 300), queries(20)
    refined = IndexRefineLPLR(filled("ip", "auto-1", 400), originals=rows(400))
    even = np.arange(500) % 2 == 0
    ranges = first.range_search(xq, 0.3, threads=1)

    at_once(
        lambda: same(first.range_search(xq, 0.3), ranges),
        searcher(first, xq, first.search(xq, 7, filter=even, threads=1), filter=even),
        searcher(second, xq, second.search(xq, 7, threads=1)),
        searcher(refined, xq, refined.search(xq, 7, threads=1)),
    )


def test_indexes_are_filled_and_searched_at_once():
    searched, xq = filled("cosine", "auto-2", 500), queries(20)
    codes = filled("l2", "auto-2", 700).sa_encode(rows(700), threads=1)

    def fill():
        index = filled("l2", "auto-2", 700)
        same([index.sa_encode(rows(700))], [codes])

    at_once(fill, searcher(searched, xq, searched.search(xq, 7, threads=1)), fill)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("os.fork", marks=FORK),
        pytest.param("os.fork, during a search", marks=FORK),
        pytest.param("fork", marks=FORK),
        "spawn",
    ],
)
def test_children_of_a_process_that_used_its_threads(way, tmp_path):
    index = filled(n=3000)
    for _ in range(11):
        index.add(rows(3000))
    write_index(index, tmp_path / "index")
    np.save(tmp_path / "index.npy", queries(40))
    script = tmp_path / "script.py"
    script.write_text(PROCESSES, "utf-8")
    surroundings = {**os.environ, "PYTHONPATH": str(Path(lplr_index.__file__).parents[1])}

    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "index"), way],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=surroundings,
    )

    count, equal = json.loads(done.stdout)
    assert count > 3
    assert equal


def test_faiss_searches_with_openmp_at_the_same_time():
    faiss = pytest.importorskip("faiss")
    index, xq = filled("cosine", "auto-2", 1000), queries(40)
    theirs = faiss.IndexFlatIP(48)
    theirs.add(rows(3000))
    before = faiss.omp_get_max_threads()

    def search_theirs():
        faiss.omp_set_num_threads(2)  # OpenMP keeps the number for each thread apart
        same(theirs.search(xq, 7), expected)

    try:
        faiss.omp_set_num_threads(2)
        expected = theirs.search(xq, 7)
        ours = searcher(index, xq, index.search(xq, 7, threads=1), threads=2)
        at_once(ours, search_theirs, ours, search_theirs)
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.torch
def test_torch_multiplies_with_its_threads_at_the_same_time():
    torch = pytest.importorskip("torch")
    index, xq = filled("cosine", "auto-2", 1000), queries(40)
    x = torch.from_numpy(np.array(rows(2000)))
    expected = (x @ x.T).numpy()
    ours = searcher(index, xq, index.search(xq, 7, threads=1), threads=2)

    at_once(ours, lambda: np.testing.assert_allclose((x @ x.T).numpy(), expected, atol=1e-4), ours)
