"""What a fresh process waits for until its first answer from a saved index, beside faiss's PQ fast scan.

    python benchmarks/cold_start.py [--rows 100000] [--bytes 48] [--repeat 7] [-o results.json]

Each figure is a median over processes of their own; in each the library is imported, an index read, and one query
searched twice. Ours runs with its kernels in numba's cache, and once with an empty cache, which is what a first run
after an installation pays and ``lplr-index warmup`` takes beforehand. The file is in the system's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from pages import table

import lplr_index
from lplr_index.data import newsgroups
from lplr_index.evaluation.machine import describe_machine
from lplr_index.kernels import simd_level

PROBE = """
import sys, time
times = [time.perf_counter()]
import {library} as library
times.append(time.perf_counter())
index = library.read_index(sys.argv[1])
times.append(time.perf_counter())
import numpy as np
xq = np.load(sys.argv[2])
started = time.perf_counter()
index.search(xq, 10)
answered = time.perf_counter()
index.search(xq, 10)
again = time.perf_counter()
print(times[1] - times[0], times[2] - times[1], answered - started, again - answered)
"""
STAGES = ("import", "read", "first query", "next query")


class Library(NamedTuple):
    """What a fresh process uses: a name, the module, the file of its index, and whether numba's cache is empty."""

    name: str
    module: str
    path: Path
    empty_cache: bool = False


def saved(folder: Path, n: int, nbytes: int) -> list[Library]:
    """Build an index of each library over ``n`` rows of ``nbytes`` bytes, and save it and a query."""
    posts = newsgroups()
    rows = posts.train[:].astype(np.float32)
    d = rows.shape[1]
    ours = lplr_index.IndexLPLR(d, bits=8 * nbytes / d)
    theirs = faiss.IndexPQFastScan(d, 2 * nbytes, 4, faiss.METRIC_INNER_PRODUCT)
    for index in (ours, theirs):
        index.train(rows)
        for start in range(0, n, len(rows)):
            index.add(rows[: n - start])
    ours.search(rows[:1], 10)  # now every kernel that the probe needs is in the cache, but for those of mapped files
    lplr_index.write_index(ours, folder / "ours")
    faiss.write_index(theirs, str(folder / "theirs"))
    np.save(folder / "query.npy", posts.test[:1].astype(np.float32))
    return [
        Library("lplr_index", "lplr_index", folder / "ours"),
        Library("lplr_index, empty cache", "lplr_index", folder / "ours", empty_cache=True),
        Library("faiss PQ fast scan", "faiss", folder / "theirs"),
    ]


def probe(library: Library, folder: Path) -> dict[str, float]:
    """Seconds of each stage in one fresh process."""
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        surroundings = {**os.environ, **({"NUMBA_CACHE_DIR": empty} if library.empty_cache else {})}
        command = [sys.executable, "-c", PROBE.format(library=library.module), library.path, folder / "query.npy"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings)
    return dict(zip(STAGES, map(float, done.stdout.split()), strict=True))


def measure(libraries: list[Library], folder: Path, repeat: int) -> list[dict[str, Any]]:
    """Median seconds of each stage; the processes of the libraries alternate, and the first of each does not count."""
    runs: dict[str, list[dict[str, float]]] = {each.name: [] for each in libraries}
    for turn in range(repeat + 1):
        for each in libraries:
            if turn and not (each.empty_cache and runs[each.name]):
                runs[each.name].append(probe(each, folder))
            elif not each.empty_cache:
                probe(each, folder)
    return [
        {"name": name, "processes": len(some)}
        | {stage: statistics.median(one[stage] for one in some) for stage in STAGES}
        | {"until the answer": statistics.median(sum(one[stage] for stage in STAGES[:3]) for one in some)}
        for name, some in runs.items()
    ]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        libraries = saved(Path(name), options.rows, options.bytes)
        results = measure(libraries, Path(name), options.repeat)
    report = {
        "n": options.rows,
        "bytes_per_row": options.bytes,
        "instruction_set": simd_level(),
        "machine": describe_machine(),
        "seconds": results,
    }
    columns = (*STAGES[:3], "until the answer", STAGES[3])
    cells = [[str(one["name"]), *(f"{1000 * one[column]:.0f}" for column in columns)] for one in results]
    print(f"{options.rows:,} rows of {options.bytes} bytes, milliseconds, {simd_level()}")
    print(table(["a fresh process with", *columns], cells))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
