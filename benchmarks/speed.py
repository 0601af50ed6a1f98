"""How fast searches are beside the fastest peers, in one run: queries a second, at equal bytes and at equal recall.

    python benchmarks/speed.py [--rows 1000000] [--sizes 48 96 192] [--threads 1 2] [--queries 1 1000] [-k 10 100]
                               [--cache FOLDER] [-o results.json] [--again results.json] [--write]

Rows and indexes are those of systems.py, and lie in --cache for later runs; take out what is to be built anew, as after
a change of how something is trained. Beside the --sizes there are, for each of some recalls, the smallest index of
every library that reaches it. Searches alternate between all systems, and the median of each one's times is
taken, so ratios hold on a machine whose speed drifts. A ratio above 1 means that ours is faster. Each number of threads
has a process of its own, for turbovec learns it when the process starts. peaks.py says what the limits are.
With --write the first ratio goes into README.md, and everything into docs/speed.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pages import DOCS, table, write
from peaks import bytes_per_second, lookups_per_second, nibbles_per_second
from systems import KNOWN, LIBRARIES, Posts, Recall, System, build, find_smallest, peers, recall

from lplr_index.evaluation.machine import describe_machine
from lplr_index.kernels import simd_level

CALLS = 2000  # queries that each system is timed with, in so many calls as that takes,
FEWEST, MOST = 3, 50  # but in no fewer and no more
OURS = "lplr"  # the library whose systems are compared with all others,
FAST_SCAN = "faiss PQ fast scan"  # but with this one at equal bytes alone
VARIANTS: list[tuple[str, dict[str, Any]]] = [  # of each of our sizes: what the name adds, options of search
    ("", {}),
    (", margin 5", {"margin": 5.0}),
]
MISSED = 0.01  # of recall of the rows, that options may cost systems that are compared at equal recall


def ours(sizes: Sequence[int]) -> list[System]:
    """Our systems: a name, bytes a row, and what to search with; those of equal bytes share an index."""
    return [System(f"{OURS} {size}{more}", OURS, size, options) for size in sizes for more, options in VARIANTS]


class Call(NamedTuple):
    """One kind of search: how many threads, queries a call, and neighbours."""

    threads: int
    nq: int
    k: int

    def __str__(self) -> str:
        return f"{self.nq:,} at once, k={self.k}, {self.threads} thread{'s' * (self.threads > 1)}"


class Time(NamedTuple):
    """Median seconds of a call of a system."""

    system: str
    call: Call
    seconds: float

    @property
    def rate(self) -> float:
        """Queries a second."""
        return self.call.nq / self.seconds


class Peak(NamedTuple):
    """What so many threads can do at most: bytes read a second, of so many, and bytes looked up a second.

    ``nibbles`` is no limit: bytes a second of one query's search of so many bytes of plain nibbles.
    """

    threads: int
    nbytes: int
    read: float
    lookups: float | None
    nibbles: float


class Measured(NamedTuple):
    """Everything that the tables are made of."""

    n: int
    systems: list[System]
    built_only: list[System]
    facts: dict[str, dict[str, float]]  # by index: seconds and bytes
    recalls: dict[str, Recall]  # by system
    times: list[Time]
    peaks: list[Peak]
    targets: Sequence[float]  # recalls to reach

    def time(self, system: System, call: Call) -> Time:
        """The time of a system's call."""
        return next(one for one in self.times if (one.system, one.call) == (system.name, call))

    def nbytes(self, system: System) -> int:
        """Bytes that a row of a system takes in a file."""
        return round(self.facts[system.index]["bytes_per_row"])

    @property
    def calls(self) -> list[Call]:
        """The calls measured, in order."""
        return list(dict.fromkeys(one.call for one in self.times))

    @property
    def ours(self) -> list[System]:
        """Our systems."""
        return [one for one in self.systems if one.library == OURS]

    @property
    def peers(self) -> list[System]:
        """Everyone else's."""
        return [one for one in self.systems if one.library != OURS]


# Measuring


def timed(folder: Path, systems: list[System], posts: Posts, calls: list[Call]) -> list[Time]:
    """Time all calls of all systems in turn; runs in a process that has the number of threads of all of them."""
    indexes = {one.index: LIBRARIES[one.library].load(str(folder / f"{one.index}.index")) for one in systems}
    times = []
    for call in calls:
        seconds: dict[str, list[float]] = {one.name: [] for one in systems}
        for turn in range(min(MOST, max(FEWEST, CALLS // call.nq)) + 1):
            starts = np.arange(turn * call.nq, (turn + 1) * call.nq) % len(posts.queries)
            xq = posts.queries[starts if turn else starts[:64]]  # the first calls warm up, and do not count
            for one in systems:
                start = time.perf_counter()
                LIBRARIES[one.library].search(indexes[one.index], xq, call.k, call.threads, **one.options)
                if turn:
                    seconds[one.name].append(time.perf_counter() - start)
        times += [Time(name, call, statistics.median(some)) for name, some in seconds.items()]
    return times


def of_threads(
    folder: Path, systems: list[System], posts: Posts, calls: list[Call], sizes: list[int]
) -> tuple[list[Time], list[Peak]]:
    """Times, and the limits of the machine for reading as many bytes as each of our indexes has."""
    threads = calls[0].threads
    lookups = lookups_per_second(threads)
    peaks = [
        Peak(threads, size, bytes_per_second(size, threads), lookups, nibbles_per_second(size, threads))
        for size in sizes
    ]
    return timed(folder, systems, posts, calls), peaks


def apart(threads: int, function: Any, *arguments: Any) -> Any:
    """What the function returns in a fresh process of so many threads."""
    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def measure(folder: Path, options: argparse.Namespace) -> Measured:
    """Build what is missing, and measure."""
    posts = Posts.read(max(*options.queries, options.recall_queries))
    asked = posts._replace(queries=posts.queries[: options.recall_queries])
    most = max(options.threads)
    systems = ours(options.sizes) + peers(options.sizes, posts.rows.shape[1])
    for library in dict.fromkeys(one.library for one in systems):
        found = apart(most, find_smallest, folder, library, asked, options.targets, most)
        found = ours([one.nbytes for one in found]) if library == OURS else found
        systems += [one for one in found if one not in systems]
    built_only = [System(f"faiss OPQ{size}+PQ{size}", "faiss OPQ+PQ", size, {}) for size in options.opq]
    apart(most, build, folder, [*systems, *built_only], posts, options.rows, most)
    recalls = apart(most, recall, folder, systems, asked, options.rows, most)
    indexes = {one.index: json.loads((folder / f"{one.index}.json").read_text()) for one in [*systems, *built_only]}
    times, peaks = [], []
    for threads in options.threads:
        calls = [Call(threads, nq, k) for nq in options.queries for k in options.k]
        sizes = [options.rows * size for size in options.sizes]
        more, limits = apart(threads, of_threads, folder, systems, posts, calls, sizes)
        times += more
        peaks += limits
    return Measured(options.rows, systems, built_only, indexes, recalls, times, peaks, options.targets)


# Tables


def rates(measured: Measured) -> str:
    """Queries a second of everyone."""
    head = ["queries a second", "bytes", f"recall@{KNOWN} of posts", "of rows", *map(str, measured.calls)]
    lines = [
        [one.name, f"{measured.nbytes(one)}", *(f"{share:.3f}" for share in measured.recalls[one.name])]
        + [f"{measured.time(one, call).rate:,.0f}" for call in measured.calls]
        for one in measured.systems
    ]
    return table(head, lines)


def ratios(measured: Measured) -> str:
    """How much faster each of ours that fast scan has a size for is than it, and than each other peer."""
    lines, same = [], {one.nbytes for one in measured.peers if one.library == FAST_SCAN}
    for mine, peer in itertools.product(measured.ours, measured.peers):
        if mine.nbytes in same and (peer.library != FAST_SCAN or peer.nbytes == mine.nbytes):
            found = [measured.time(peer, call).seconds / measured.time(mine, call).seconds for call in measured.calls]
            lines.append([mine.name, f"{peer.name} ({measured.nbytes(peer)})", *(f"{one:.2f}" for one in found)])
    return table(["ours", "ratio to (bytes)", *map(str, measured.calls)], lines)


def smallest(measured: Measured, library: str, target: float, call: Call) -> System | None:
    """The system of a library with the fewest bytes that finds enough; of several the fastest.

    One with options counts if it also finds as much of the rows that are timed as without, but for ``MISSED``.
    """
    every = [one for one in measured.systems if one.library == library]
    whole = {one.index: measured.recalls[one.name].rows for one in every if not one.options}
    enough = [
        one
        for one in every
        if (found := measured.recalls[one.name]).posts >= target and found.rows >= whole[one.index] - MISSED
    ]
    return min(enough, key=lambda one: (measured.nbytes(one), measured.time(one, call).seconds), default=None)


def equal_recall(measured: Measured) -> str:
    """Every library at its smallest size that reaches a recall of the posts; the ratio is ours to it."""
    lines = []
    for target in measured.targets:
        for library in dict.fromkeys(one.library for one in measured.systems):
            some = [smallest(measured, library, target, call) for call in measured.calls]
            if some[0] is None:
                lines.append([f"{target:.2f}", library, "not reached", *["-"] * len(measured.calls)])
                continue
            cells = []
            for one, call in zip(some, measured.calls, strict=True):
                mine = smallest(measured, OURS, target, call)
                found = measured.time(one, call)
                ratio = f" ({found.seconds / measured.time(mine, call).seconds:.2f})" if mine else ""
                cells.append(f"{found.rate:,.0f}{ratio}")
            lines.append([f"{target:.2f}", library, f"{measured.nbytes(some[0])}", *cells])
    return table([f"recall@{KNOWN} of posts", "queries a second (ratio)", "bytes", *map(str, measured.calls)], lines)


def building(measured: Measured) -> str:
    """Seconds of training and adding, and how many times those of our smallest."""
    every: dict[str, System] = {}
    for one in [*measured.systems, *measured.built_only]:
        every.setdefault(one.index, one)
    unit, lines = next(iter(every.values())), []
    for one in every.values():
        fact = measured.facts[one.index]
        relative = [f"{fact[part] / measured.facts[unit.index][part]:.2f}" for part in ("train_s", "add_s")]
        seconds = [f"{fact[part]:.1f}" for part in ("train_s", "add_s")]
        rows_a_second = f"{measured.n / fact['add_s']:,.0f}"
        lines.append([one.name, f"{measured.nbytes(one)}", *seconds, rows_a_second, *relative])
    times = [f"training, times {unit.name}", f"adding, times {unit.name}"]
    return table(["building", "bytes", "train s", "add s", "rows a second", *times], lines)


def limits(measured: Measured) -> str:
    """How near our scans of whole rows come to what the machine can do, if each nibble is looked up once."""
    lines = []
    for mine in measured.ours:
        nbytes = measured.n * mine.nbytes
        for call in measured.calls:
            found = [one for one in measured.peaks if (one.threads, one.nbytes) == (call.threads, nbytes)]
            if mine.options or not found:
                continue
            peak = found[0]
            scanned = nbytes * measured.time(mine, call).rate
            read = [f"{peak.read / 1e9:.1f}"]
            for reached in (peak.nibbles, scanned):
                read += [f"{reached / 1e9:.1f}", f"{reached / peak.read:.2f}"]
            looked = ["-", f"{2 * scanned / 1e9:.0f}", "-"]
            if peak.lookups:
                looked = [f"{peak.lookups / 1e9:.0f}", looked[1], f"{2 * scanned / peak.lookups:.2f}"]
            lines.append([mine.name, str(call), *read, *looked])
    head = ["plain read, GB/s", "plain nibbles, 1 at once, GB/s", "share", "rows scanned, GB/s", "share"]
    return table(["ours", "queries", *head, "shuffles, billion bytes/s", "looked up", "share"], lines)


def readme(measured: Measured) -> str:
    """The part of README.md: our smallest beside fast scan of the same bytes, on one thread, for the smallest k."""
    mine, k = measured.ours[0], min(call.k for call in measured.calls)
    peer = next(one for one in measured.peers if one.nbytes == mine.nbytes)
    lines = []
    for call in measured.calls:
        if (call.threads, call.k) == (1, k):
            here, there = measured.time(mine, call), measured.time(peer, call)
            rate = [f"{one.rate:,.0f} queries/s" for one in (here, there)]
            lines.append([f"{call.nq:,}", *rate, f"{there.seconds / here.seconds:.2f}"])
    text = table(["queries a call", "lplr", "faiss PQ fast scan", "ratio"], lines)
    recalls = [f"{measured.recalls[one.name].posts:.3f}".lstrip("0") for one in (peer, mine)]
    return (
        f"{text}\n\n{measured.n:,} rows of 384 at {mine.nbytes} bytes, k = {k}, one thread, {simd_level().upper()}, "
        f"faiss {describe_machine()['faiss-cpu']}; medians of alternating calls in one run.\n"
        f"Trained on other posts than the rows are made of, fast scan finds {recalls[0]} of the ten nearest of these\n"
        f"at these bytes and lplr {recalls[1]}."
    )


def machine(measured: Measured) -> str:
    """What was measured, where and with what."""
    about = describe_machine("turbovec")
    return (
        f"{measured.n:,} rows of 384, {about['processor']}, {simd_level().upper()}, faiss {about['faiss-cpu']}, "
        f"turbovec {about.get('turbovec')}, NumPy {about['numpy']}."
    )


def tables(measured: Measured) -> Iterator[tuple[str, str, str]]:
    """Everything there is to show: the part of docs/speed.md, a title and a table."""
    yield "rates", f"{measured.n:,} rows, d = 384, {simd_level()}", rates(measured)
    yield "ratios", "Ratios at these bytes: above 1, ours is faster", ratios(measured)
    yield "equal", "At equal recall, each at its smallest size that reaches it", equal_recall(measured)
    yield "building", "Building", building(measured)
    yield "limits", "Limits", limits(measured)


def document(measured: Measured) -> dict[str, Any]:
    """Everything, ready for JSON."""
    return {
        "n": measured.n,
        "targets": list(measured.targets),
        "instruction_set": simd_level(),
        "machine": describe_machine("turbovec"),
        "systems": [
            {
                "name": one.name,
                "library": one.library,
                "asked": one.nbytes,
                "bytes_per_row": measured.nbytes(one),
                "options": dict(one.options),
                "recall": measured.recalls[one.name]._asdict() if one.name in measured.recalls else None,
                **{part: measured.facts[one.index][part] for part in ("train_s", "add_s", "threads")},
            }
            for one in [*measured.systems, *measured.built_only]
        ],
        "times": [{"system": one.system, **one.call._asdict(), "seconds": one.seconds} for one in measured.times],
        "peaks": [one._asdict() for one in measured.peaks],
    }


def measured_before(path: Path) -> Measured:
    """What ``document`` wrote."""
    told = json.loads(path.read_text("utf-8"))
    times = [Time(one["system"], Call(one["threads"], one["nq"], one["k"]), one["seconds"]) for one in told["times"]]
    every = [System(one["name"], one["library"], one["asked"], one["options"]) for one in told["systems"]]
    facts = {system.index: one for system, one in zip(every, told["systems"], strict=True)}
    recalls = {one["name"]: Recall(**one["recall"]) for one in told["systems"] if one["recall"]}
    searched = [one for one in every if one.name in recalls]
    built_only = [one for one in every if one.name not in recalls]
    peaks = [Peak(**one) for one in told["peaks"]]
    return Measured(told["n"], searched, built_only, facts, recalls, times, peaks, told["targets"])


def main() -> None:
    """Parse the command line, measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 96, 192], help="bytes of our rows")
    parser.add_argument("--opq", type=int, nargs="*", default=[48], help="bytes of OPQ+PQ, which is built only")
    parser.add_argument("--targets", type=float, nargs="*", default=[0.80, 0.90, 0.95], help="recalls to reach")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 1000], help="queries of a call")
    parser.add_argument("--recall-queries", type=int, default=1000, help="queries that recall is measured with")
    parser.add_argument("-k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--cache", type=Path, help="folder to keep indexes in")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--again", type=Path, help="print and write what was measured before, from such JSON")
    parser.add_argument("--write", action="store_true", help="write the part of README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = (options.cache or Path(passing)) / f"{options.rows}"
        folder.mkdir(parents=True, exist_ok=True)
        measured = measured_before(options.again) if options.again else measure(folder, options)
    for _, title, text in tables(measured):
        print(f"{title}\n\n{text}\n")
    if options.output:
        options.output.write_text(json.dumps(document(measured), indent=1) + "\n")
    if options.write:
        write(DOCS.parent / "README.md", {"speed": readme(measured)})
        write(DOCS / "speed.md", {part: text for part, _, text in tables(measured)} | {"machine": machine(measured)})


if __name__ == "__main__":
    main()
