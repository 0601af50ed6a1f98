"""How quickly a store takes rows that must be on the disk, beside SQLite and turbovec, and what its segments cost.

    python benchmarks/store_rates.py [--folder DIR] [-o benchmarks/results/store_rates.json]

Rows are posts of the embedded set over and over, 384 coordinates at 48 bytes. SQLite writes the same rows as blobs of
float32, one transaction a row, in WAL mode with synchronous=FULL, which promises what a store promises;
turbovec adds a row and syncs its file. All wait for the same disk; what that takes by itself is measured too. Bytes
written are counted as the store writes them. Searches are measured in CPU time, on one thread, taking turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index import IndexLPLR, open_store
from lplr_index.atomic import atomic_write
from lplr_index.data import newsgroups
from lplr_index.evaluation.machine import describe_machine
from lplr_index.store import ledger, segments

D = 384
BITS = 1.0
SINGLE = 300  # rows that are added one by one, taking turns
CALLERS = 8

OPEN = """
import sys, time
from pathlib import Path
import lplr_index.store
def anonymous():
    return 1024 * int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])
lplr_index.store.open_store(sys.argv[2], read_only=True)  # loads numba and compiled kernels
before, started = anonymous(), time.perf_counter()
store = lplr_index.store.open_store(sys.argv[1], read_only=True)
print(time.perf_counter() - started, anonymous() - before)
"""


def rate(function: Callable[[int], object], count: int) -> float:
    """Return calls a second."""
    started = time.perf_counter()
    for i in range(count):
        function(i)
    return count / (time.perf_counter() - started)


def together(function: Callable[[int], object], count: int) -> float:
    """Return calls a second of several threads at once."""
    threads = [threading.Thread(target=rate, args=(function, count // CALLERS)) for _ in range(CALLERS)]
    started = time.perf_counter()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return count / (time.perf_counter() - started)


def disk(folder: Path, _: np.ndarray) -> Callable[[int], None]:
    """Return what appends a hundred bytes to a file and forces them to the disk."""
    handle = os.open(folder / "disk", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def force(_: int) -> None:
        os.write(handle, bytes(100))
        os.fdatasync(handle)

    return force


def sqlite(folder: Path, x: np.ndarray) -> Callable[[int], None]:
    """Return what inserts a row in a transaction of its own."""
    base = sqlite3.connect(folder / "base")
    base.execute("pragma journal_mode=wal")
    base.execute("pragma synchronous=full")
    base.execute("create table rows (id integer primary key, x blob)")
    base.commit()

    def insert(i: int) -> None:
        base.execute("insert into rows values (?, ?)", (i, x[i].tobytes()))
        base.commit()

    return insert


def turbovec(folder: Path, x: np.ndarray) -> Callable[[int], None]:
    """Return what adds a row at two bits a coordinate and syncs, which is durable when it returns."""
    import turbovec as library

    index = library.IdMapIndex(D, 2)
    index.add_with_ids(x[:1000], np.arange(1000, dtype=np.uint64))
    index.sync(str(folder / "turbovec"))

    def add(i: int) -> None:
        index.add_with_ids(x[i : i + 1], np.array([1000 + i], np.uint64))
        index.sync(str(folder / "turbovec"))

    return add


Clock = Callable[[], float]


def taking_turns(functions: dict[str, Callable[[int], object]], clock: Clock, count: int) -> dict[str, float]:
    """Return the median seconds of a call of each function, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for i in range(count):
        for name, function in functions.items():
            started = clock()
            function(i)
            times[name].append(clock() - started)
    return {name: statistics.median(each) for name, each in times.items()}


class Counter:
    """Counts bytes of segments and of the journal as they are written."""

    def __init__(self) -> None:
        self.journal_bytes = self.segment_bytes = 0
        pack, write = ledger.pack_change, segments.write_file

        def counted_pack(*args: Any) -> bytes:
            record = pack(*args)
            self.journal_bytes += len(record)
            return record

        def counted_write(*args: Any) -> Any:
            stamp = write(*args)
            self.segment_bytes += stamp.nbytes
            return stamp

        ledger.pack_change, segments.write_file = counted_pack, counted_write


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Measure everything, and return it."""
    posts = newsgroups()
    x = posts.train[:].astype(np.float32)
    index = IndexLPLR(D, BITS)
    index.train(x[:3000])
    facts: dict[str, Any] = {"d": D, "code_bytes": index.code_size}
    with open_store(folder / "single", D, BITS, train_rows=None) as store:
        store.train(x[:3000])
        store.add(x[:1])
        single: dict[str, Callable[[int], object]] = {e.__name__: e(folder, x) for e in (disk, sqlite, turbovec)}
        single["encode"] = lambda i: index.sa_encode(x[i : i + 1], threads=1)
        single["add"] = lambda i: store.add(x[i : i + 1], threads=1)
        single["delete"] = lambda i: store.delete([i])
        facts |= {f"{name}_per_s": 1 / each for name, each in taking_turns(single, time.perf_counter, SINGLE).items()}
        facts["callers"] = CALLERS
        facts["add_rows_per_s_callers"] = together(lambda i: store.add(x[i : i + 1], threads=1), 4 * SINGLE)
        facts["add_rows_per_s_of_100"] = 100 * rate(lambda i: store.add(x[100 * i : 100 * i + 100]), 80)
    counter = Counter()
    with open_store(folder / "large", D, BITS, train_rows=None) as store:
        store.train(x[:3000])
        for start in range(0, rows, 1000):
            store.add(x[start % len(x) :][:1000])
            index.add(x[start % len(x) :][:1000])
        store._writer._thread and store._writer._thread.join()  # noqa: SLF001 - to count all of it
        known = store.info()
        one = x[:1]
        facts |= {
            "rows": rows,
            "segments": known["segments"],
            "bytes_on_disk": sum(each.stat().st_size for each in (folder / "large").iterdir()),
            "journal_bytes_per_row": counter.journal_bytes / rows,
            "segment_bytes_per_row": counter.segment_bytes / rows,
        }
        with open_store(folder / "large", read_only=True) as reader:
            searched = {"store": store, "index": index, "reader": reader}
            calls = {name: lambda _, each=each: each.search(one, 10, threads=1) for name, each in searched.items()}
            taken = taking_turns(calls, time.process_time, 100)
            facts |= {f"search_{name}_ms": 1000 * each for name, each in taken.items()}
        facts["same"] = all(
            np.array_equal(a, b) for a, b in zip(store.search(x[:9], 50), index.search(x[:9], 50), strict=True)
        )
    command = [sys.executable, "-c", OPEN, str(folder / "large"), str(folder / "single")]
    opened = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    facts["open_ms"] = 1000 * statistics.median(float(each[0]) for each in opened)
    facts["open_bytes"] = int(statistics.median(int(each[1]) for each in opened))
    return facts


def main() -> None:
    """Measure as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; the system's for such where none")
    parser.add_argument("-o", "--output", type=Path, help="write what was measured here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        facts = {"machine": describe_machine(), **measure(Path(folder), options.rows)}
    text = json.dumps(facts, indent=1)
    print(text)
    if options.output:
        with atomic_write(options.output) as stream:
            stream.write(f"{text}\n".encode())


if __name__ == "__main__":
    main()
