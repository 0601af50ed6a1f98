"""What one processor does in a second, and from it what 10^8 and 10^9 rows cost: docs/scale.md.

    python benchmarks/scale.py [--rows 2000000] [--rates-only] [--write]

Rates are of one processor: rows per second of *its* time, whatever else the machine does meanwhile. They are measured
on the package's own embeddings, 384 dimensions, repeated with noise. Then --rows of these are built and searched on a
Ray cluster of this machine's processors, and compared with one process. Results go to benchmarks/results/scale.json;
--write fills the tables of docs/scale.md from it, --write alone (--rows 0) measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pages import DOCS, table, write

from lplr_index import IndexLPLR, open_vectors, serialize_index, warmup
from lplr_index.atomic import atomic_write
from lplr_index.cluster import ClusterStore, build_store
from lplr_index.cluster.on_ray import RayMachines
from lplr_index.cluster.slices import SLICE_ROWS
from lplr_index.data import newsgroups
from lplr_index.evaluation.machine import describe_machine
from lplr_index.kernels import simd_level
from lplr_index.store.following import Follower
from lplr_index.store.searching import merged
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import write_chunks

PAGE = DOCS / "scale.md"
MEASURED = Path(__file__).parent / "results" / "scale.json"
BITS = (0.5, 1, 2, 4)
D = 384
NOISE = 0.02  # a coordinate, of vectors of length one: half of their length
SHARD = 1 << 17  # rows of what rates are measured on: its codes are more than caches hold
HEADER_BYTES = 4096  # of a segment
BATCH, K = 256, 10  # queries of a search, and neighbours
STEP = 1 << 16
RUN_BITS = 1.0

SIZES = (10**8, 10**9)
MACHINE_CORES = 16  # of the machines that the tables count in
MACHINE_GB = 64
QUERIES_S = 100  # wanted of a whole collection


# Measuring


def rows(n: int) -> Iterator[npt.NDArray[np.float16]]:
    """N embeddings, some thousand at a time (rows, 384), all different."""
    base, rng = np.asarray(newsgroups().train, np.float32), np.random.default_rng(0)
    for start in range(0, n, STEP):
        size = min(STEP, n - start)
        noise = rng.standard_normal((size, D), dtype=np.float32)
        yield (base[rng.integers(len(base), size=size)] + NOISE * noise).astype(np.float16)


def processor_s(work: Callable[[], object]) -> float:
    """Seconds of processor time that some work takes, of all its threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def rates(folder: Path) -> dict[str, Any]:
    """What one processor does."""
    path = folder / "rates.npy"
    write_chunks(path, rows(SHARD), SHARD, D, np.float16)
    found: dict[str, Any] = {"bits": []}
    with open_vectors(path) as source:
        read_s = processor_s(lambda: [len(chunk) for _, chunk in source.chunks()])
        sample = source.sample(min(source.n, TRAIN_ROWS), 0)
        x = source.read(0, source.n)
    found["read_rows_s"] = SHARD / read_s
    xq = np.asarray(newsgroups().test[:BATCH], np.float32)
    for bits in BITS:
        index = IndexLPLR(D, bits)
        train_s = processor_s(lambda index=index: index.train(sample))
        fixed_bytes = len(serialize_index(index))
        index.add(x[:1024], threads=1)  # compiled and loaded
        index.reset()
        encode_s = processor_s(lambda index=index: index.add(x, threads=1))
        index.search(xq, K, threads=1)
        search_s = min(processor_s(lambda index=index: index.search(xq, K, threads=1)) for _ in range(3))
        found["bits"].append(
            {
                "bits": bits,
                "row_bytes": index.code_size,
                "fixed_bytes": fixed_bytes,
                "train_s": train_s,
                "encode_rows_s": SHARD / encode_s,
                "scan_rows_s": SHARD * BATCH / search_s,
            }
        )
        print(found["bits"][-1], flush=True)
    keys, numbers = index.search(xq, K, threads=1)
    others = [(keys, numbers + SHARD * number) for number in range(1, 65)]

    def fold() -> None:
        best = (keys, numbers)
        for other in others:
            best = merged(*best, *other, K)

    found["merges_s"] = len(others) * BATCH / processor_s(fold)
    return found


def largest(n: int, folder: Path) -> dict[str, Any]:
    """Build and search n rows on a cluster of this machine, and compare with one process."""
    path, load = folder / "rows.npy", os.getloadavg()[0]
    warmup()  # of which workers then find the kernels on the disk
    write_chunks(path, rows(n), n, D, np.float16)
    xq = np.asarray(newsgroups().test, np.float32)
    times: dict[str, float] = {}
    workers = len(os.sched_getaffinity(0))
    began = time.perf_counter()

    def clock(stage: str) -> None:
        nonlocal began
        now = time.perf_counter()
        times[stage], began = now - began, now
        print(f"{stage}: {times[stage]:.1f} s", flush=True)

    with open_vectors(path) as source, RayMachines("local", workers) as machines:
        clock("start")
        index = IndexLPLR(D, RUN_BITS)
        build_store(source, index, folder / "store", machines=machines, slice_rows=max(1 << 15, n // 16))
        clock("build")
        store = ClusterStore(folder / "store", machines)
        store.search(xq[:1], K)  # workers load their kernels
        clock("open")
        found = [store.search(xq[start : start + BATCH], K) for start in range(0, len(xq), BATCH)]
        clock("search")
    one = IndexLPLR(D, RUN_BITS)
    with open_vectors(path) as source:
        one.train(source.sample(TRAIN_ROWS, 0))
        for _, chunk in source.chunks():
            one.add(chunk)
    clock("one process")
    expected, contents = one.search(xq, K), Follower(folder / "store").now()
    starts = np.cumsum([0, *(each.segment.n for each in contents.held)])
    return {
        "rows": n,
        "bits": RUN_BITS,
        "workers": workers,
        "segments": len(contents.held),
        "source_bytes": path.stat().st_size,
        "store_bytes": sum(file.stat().st_size for file in (folder / "store").iterdir()),
        "queries": len(xq),
        "load": load,
        "seconds": times,
        "same_training": contents.manifest.digest == one.model.digest,
        "same_codes": all(
            np.array_equal(each.segment.data(np.arange(each.segment.n)), one.rows.codes(int(start), each.segment.n))
            for each, start in zip(contents.held, starts, strict=False)
        ),
        "same_answers": all(
            np.array_equal(np.concatenate(parts), whole)
            for parts, whole in zip(zip(*found, strict=True), expected, strict=True)
        ),
    }


# Telling


def sections(measured: dict[str, Any]) -> dict[str, str]:
    """What stands between the markers of the page, by their names."""
    return {
        "rates": _rates(measured),
        "bytes": _bytes(measured),
        "passes": _passes(measured),
        "hours": _hours(measured),
        "search": _search(measured),
        "run": _run(measured["run"]),
        "machine": _machine(measured),
    }


def _power(n: int) -> str:
    return f"10^{len(str(n)) - 1}"


def _gb(nbytes: float) -> str:
    return f"{nbytes / 1e9:,.1f}" if nbytes < 1e11 else f"{nbytes / 1e9:,.0f}"


def _two(value: float) -> str:
    """Two digits: more are not known of what was never run."""
    return f"{float(f'{value:.2g}'):,g}"


def _many(value: float) -> str:
    return f"{_two(value / 1e6)} million" if value >= 1e6 else _two(value)


def _time(seconds: float) -> str:
    return f"{_two(seconds / 60)} min" if seconds < 3600 else f"{_two(seconds / 3600)} h"


def _of_bits(bits: float) -> str:
    return f"{bits:g} bit{'s' * (bits != 1)}"


def segments_of(n: int) -> int:
    """Segments of n rows where nobody says how many rows one has."""
    return -(-n // SLICE_ROWS)


def index_bytes(n: int, one: dict[str, Any]) -> int:
    """Bytes of a store of n rows: its segments, each with a header, and one model."""
    return n * one["row_bytes"] + segments_of(n) * HEADER_BYTES + one["fixed_bytes"]


def _rates(measured: dict[str, Any]) -> str:
    head = ["bits", "bytes a row", "training, s", "rows encoded a second", "rows scanned a second, for one query"]
    return table(
        head,
        [
            [
                f"{one['bits']:g}",
                f"{one['row_bytes']}",
                _two(one["train_s"]),
                _two(one["encode_rows_s"]),
                _many(one["scan_rows_s"]),
            ]
            for one in measured["rates"]["bits"]
        ],
    )


def _bytes(measured: dict[str, Any]) -> str:
    head = ["rows", "float32, GB", "float16, GB", *(f"{_of_bits(bits)}, GB" for bits in BITS), "segments"]
    lines = []
    for n in SIZES:
        sizes = [_gb(index_bytes(n, one)) for one in measured["rates"]["bits"]]
        lines.append([_power(n), _gb(4 * D * n), _gb(2 * D * n), *sizes, f"{segments_of(n):,}"])
    return table(head, lines)


def _passes(measured: dict[str, Any]) -> str:
    head = ["pass", *(f"{_power(n)} rows, float16: GB read" for n in SIZES), "GB written"]
    row = 2 * D
    sizes = [index_bytes(n, measured["rates"]["bits"][1]) for n in SIZES]
    written = " and ".join(_gb(size) for size in sizes)
    return table(
        head,
        [
            ["1: headers of the files, for the number of rows", *("0.0" for _ in SIZES), "0"],
            [f"2: the rows of the sample, {TRAIN_ROWS:,}", *(_gb(TRAIN_ROWS * row) for _ in SIZES), "0"],
            ["3: every row once, to encode it", *(_gb(n * row) for n in SIZES), f"{written} (1 bit)"],
        ],
    )


def build_s(n: int, one: dict[str, Any], measured: dict[str, Any]) -> float:
    """Processor seconds to read and encode n rows."""
    return n / one["encode_rows_s"] + n / measured["rates"]["read_rows_s"]


def _hours(measured: dict[str, Any]) -> str:
    counts = (1, 10, 100)
    head = ["rows", "bits", "processor hours", *(f"{count} machine{'s' * (count > 1)}" for count in counts)]
    head += [f"GB/s read by {counts[-1]} machines"]
    lines = []
    for n in SIZES:
        for one in measured["rates"]["bits"]:
            seconds = build_s(n, one, measured)
            times = [_time(one["train_s"] + seconds / (MACHINE_CORES * count)) for count in counts]
            speed = 2 * D * n / (seconds / (MACHINE_CORES * counts[-1])) / 1e9
            lines.append([_power(n), f"{one['bits']:g}", _two(seconds / 3600), *times, _two(speed)])
    return table(head, lines)


def machines_for(n: int, one: dict[str, Any]) -> tuple[float, int]:
    """How many queries a second the fewest machines answer that have the memory, and how many these are."""
    count = -(-index_bytes(n, one) // (MACHINE_GB * 10**9 * 3 // 4))
    return one["scan_rows_s"] * MACHINE_CORES * count / n, count


def _search(measured: dict[str, Any]) -> str:
    head = ["rows", "bits", "machines for the memory", "queries a second with these"]
    head += [f"machines for {QUERIES_S} queries a second"]
    lines = []
    for n in SIZES:
        for one in measured["rates"]["bits"]:
            speed, count = machines_for(n, one)
            wanted = max(count, -(-QUERIES_S * n // int(one["scan_rows_s"] * MACHINE_CORES)))
            lines.append([_power(n), f"{one['bits']:g}", f"{count:,}", _two(speed), f"{wanted:,}"])
    return table(head, lines)


def _run(run: dict[str, Any]) -> str:
    s = run["seconds"]
    same = all(run[each] for each in ("same_training", "same_codes", "same_answers"))
    verdict = "the same training, codes, distances and ids" if same else "DIFFERENT results"
    return table(
        ["what", "measured"],
        [
            ["rows, and GB of float16", f"{run['rows']:,}, {_gb(run['source_bytes'])}"],
            ["workers, segments", f"{run['workers']}, {run['segments']}"],
            ["GB of the store", f"{run['store_bytes'] / 1e9:.3f}"],
            ["starting Ray, s", f"{s['start']:.0f}"],
            ["building on the cluster, s", f"{s['build']:.0f}"],
            ["building in one process with as many threads, s", f"{s['one process']:.0f}"],
            ["opening by actors, every byte compared with its checksum, and a first query, s", f"{s['open']:.0f}"],
            [f"searching {run['queries']:,} queries, s", f"{s['search']:.1f}"],
            ["against one process", verdict],
            ["load of the machine before, of others", f"{run['load']:.1f}"],
        ],
    )


def _machine(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    packages = ", ".join(f"{name} {machine[name]}" for name in ("numpy", "numba", "ray") if name in machine)
    return (
        f"Measured on {machine['cpus']} processors of an {machine['processor']} ({measured['instruction_set']}), "
        f"Python {machine['python']}, {packages}.\n"
        f"One processor reads and checks {_two(measured['rates']['read_rows_s'])} float16 rows a second, and merges "
        f"{_many(measured['rates']['merges_s'])} answers of {K} neighbours a second."
    )


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the largest run; 0 measures nothing")
    parser.add_argument("--rates-only", action="store_true", help="leave the largest run as it was measured before")
    parser.add_argument("--run-only", action="store_true", help="leave the rates as they were measured before")
    parser.add_argument("--write", action="store_true", help="fill docs/scale.md")
    options = parser.parse_args()
    if options.rows:
        known = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else {}
        known |= {"machine": describe_machine("ray"), "instruction_set": simd_level()}
        with tempfile.TemporaryDirectory() as name:
            if not options.run_only:
                known["rates"] = rates(Path(name))
            if not options.rates_only:
                known["run"] = largest(options.rows, Path(name))
        with atomic_write(MEASURED) as stream:
            stream.write((json.dumps(known, indent=1) + "\n").encode())
    measured = json.loads(MEASURED.read_text("utf-8"))
    for name, text in sections(measured).items():
        print(f"\n{name}\n{text}")
    if options.write:
        write(PAGE, sections(measured))


if __name__ == "__main__":
    main()
