"""Use a store for minutes as an application would, and see that no answer is wrong and memory stays flat.

In one process, threads add, upsert, delete, compact, take snapshots and search; other processes open the store to read
and search it meanwhile. Each thread that writes owns some of the ids and keeps a shadow of what it wrote: whatever it
acknowledged must be found by the next search, and what it deleted must not. Every search is checked for what holds at
any moment: distances in order, no id twice, no row that nobody wrote; and a row just written scores what its code is
worth. Now and then all writing stops, and a search is compared with one by brute force over the shadows, and with one
index of their rows, bit for bit. The resident memory of the writer and of the readers is sampled all along.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index import IndexIVFLPLR, IndexLPLR, open_store
from lplr_index.store import merging

D = 32
K = 10
OWNERS = 3  # threads that write
READERS = 2  # processes
SPAN = 10**6  # ids of an owner
MOST = 3000  # rows of an owner, before deleting outweighs adding
TOLERANCE = 1e-5


def vectors(ids: np.ndarray, versions: np.ndarray) -> np.ndarray:
    """Return the row of each id (n,) in its version (n,), (n, D) float32: no two are alike."""
    seeds = (ids.astype(np.uint64) * np.uint64(1_000_003) + versions.astype(np.uint64))[:, None]
    steps = (seeds + np.uint64(1)) * (np.arange(D, dtype=np.uint64) * np.uint64(2) + np.uint64(0x9E3779B97F4A7C15))
    steps ^= steps >> np.uint64(29)
    steps *= np.uint64(0xBF58476D1CE4E5B9)
    steps ^= steps >> np.uint64(32)
    return (steps.astype(np.float64) / 2**63 - 1).astype(np.float32)


def resident_bytes() -> int:
    """Return the memory of this process that is its own: mapped files are the system's to drop."""
    status = Path("/proc/self/status").read_text("utf-8")
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


@dataclass
class Tally:
    """What happened, of all threads."""

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + count

    def fail(self, what: str) -> None:
        """Note a wrong answer."""
        with self.lock:
            self.wrong.append(what)


class Owner(threading.Thread):
    """A thread that writes its own ids, and checks after each call that the store knows."""

    def __init__(self, number: int, store: Any, index: IndexLPLR, tally: Tally, gate: Gate) -> None:
        super().__init__(name=f"owner {number}")
        self.rng = np.random.default_rng(number)
        self.base, self.next = number * SPAN, 0
        self.held: dict[int, int] = {}
        self.store, self.index, self.tally, self.gate = store, index, tally, gate

    def run(self) -> None:
        """Write until the end."""
        version = 0
        try:
            while self.gate.enter():
                version += 1
                self.step(version)
        except Exception as err:  # noqa: BLE001 - any is a failure of the soak
            self.tally.fail(f"{self.name}: {type(err).__name__}: {err}")

    def step(self, version: int) -> None:
        """Change something and look whether it shows."""
        held = np.fromiter(self.held, np.int64, len(self.held))
        some = self.rng.permutation(held)[: self.rng.integers(1, 40)]
        choice = self.rng.random()
        if len(some) and choice < (0.2 if len(held) < MOST else 0.6):
            self.store.delete(some)
            for i in some.tolist():
                del self.held[i]
            self.expect_gone(some)
            self.tally.add("deleted", len(some))
            return
        if len(some) and choice < 0.65:
            ids, kind = some, "upserted"
            self.store.upsert(vectors(ids, np.full(len(ids), version)), ids, threads=1)
        else:
            count = int(self.rng.integers(1, 1200 if choice > 0.99 else 20))
            ids, kind = self.base + self.next + np.arange(count), "added"
            self.next += count
            self.store.add(vectors(ids, np.full(count, version)), ids, threads=1)
        self.held.update(dict.fromkeys(ids.tolist(), version))
        self.expect_found(ids, version)
        self.tally.add(kind, len(ids))

    def expect_found(self, ids: np.ndarray, version: int) -> None:
        """See that rows just written score with their own vector what their codes are worth."""
        few = ids[:4]
        x = vectors(few, np.full(len(few), version))
        D_, I = self.store.search(x, 1, filter=few, threads=1)
        best = np.array([self.best(q, few, version) for q in x])
        if not np.allclose(D_[:, 0], best, atol=TOLERANCE) or not np.isin(I, few).all():
            self.tally.fail(f"{self.name}: {few} are not found as they were written")
        self.tally.add("searches")

    def best(self, query: np.ndarray, ids: np.ndarray, version: int) -> float:
        """Return the best score of a query among rows, by their reconstructions."""
        x_hat = self.index.sa_decode(self.index.sa_encode(vectors(ids, np.full(len(ids), version)), threads=1))
        return float((x_hat.astype(np.float64) @ query.astype(np.float64)).max())

    def expect_gone(self, ids: np.ndarray) -> None:
        """See that deleted rows are not found."""
        if (self.store.search(np.ones((1, D), np.float32), 1, filter=ids, threads=1)[1] >= 0).any():
            self.tally.fail(f"{self.name}: deleted rows are found")
        self.tally.add("searches")


class Gate:
    """Lets writers pass, until they are to stand still, or the end."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.open = threading.Event()
        self.open.set()
        self.inside = threading.Semaphore(OWNERS)
        self._local = threading.local()

    def enter(self) -> bool:
        """Wait until one may go on; whether it is not the end."""
        if getattr(self._local, "inside", False):
            self.inside.release()
            self._local.inside = False
        self.open.wait()
        if time.monotonic() > self.until:
            return False
        self.inside.acquire()
        self._local.inside = True
        return True


def search_all_the_time(store: Any, tally: Tally, until: float, seed: int) -> None:
    """Search, and check what holds at any moment."""
    rng = np.random.default_rng(seed)
    while time.monotonic() < until:
        xq = rng.standard_normal((int(rng.integers(1, 8)), D)).astype(np.float32)
        D_, I = store.search(xq, K, threads=int(rng.integers(1, 3)))
        for distances, ids in zip(D_, I, strict=True):
            there = ids[ids >= 0]
            if len(set(there.tolist())) != len(there) or (there >= OWNERS * SPAN).any():
                tally.fail(f"search: {ids.tolist()}")
            if (np.diff(distances) > 0).any():
                tally.fail("search: distances out of order")
        tally.add("searches", len(xq))


def compare(store: Any, owners: list[Owner], index: IndexLPLR, tally: Tally) -> None:
    """Compare all rows with the shadows, while nothing is written, by brute force and bit for bit."""
    held = {i: version for owner in owners for i, version in owner.held.items()}
    ids = np.array(sorted(held), np.int64)
    index.reset()
    index.add_with_ids(vectors(ids, np.array([held[i] for i in ids.tolist()])), ids)
    xq = np.random.default_rng(len(ids)).standard_normal((20, D)).astype(np.float32)
    expected = index.search(xq, 100)
    x_hat = index.reconstruct_n().astype(np.float64)
    scores = np.sort(xq.astype(np.float64) @ x_hat.T)[:, ::-1][:, :100]
    if not np.allclose(expected[0][:, : len(ids)], scores, atol=TOLERANCE):
        tally.fail("compare: the index itself is wrong")
    for one, other in zip(store.search(xq, 100), expected, strict=True):
        if not np.array_equal(one, other):
            tally.fail(f"compare: {len(store)} rows, and the shadow has {len(ids)}")
    if store.verify():
        tally.fail(f"compare: {store.verify()}")
    tally.add("comparisons")


def read(path: str, until: float, seed: int, results: Any) -> None:
    """Search a store from another process."""
    tally, memory = Tally(), []
    try:
        with open_store(path, read_only=True) as store:
            while time.monotonic() < until:
                search_all_the_time(store, tally, min(until, time.monotonic() + 1), seed)
                memory.append(resident_bytes())
                seed += 1
    except Exception as err:  # noqa: BLE001 - any is a failure of the soak
        tally.fail(f"reader: {type(err).__name__}: {err}")
    results.put({"searches": tally.counts.get("searches", 0), "wrong": tally.wrong, "memory_bytes": memory})


def manage(path: Path, store: Any, gate: Gate, owners: list[Owner], index: IndexLPLR, tally: Tally) -> list[int]:
    """Compact, take snapshots, stop all writing to compare, and sample memory, until the end."""
    memory, turn = [], 0
    while time.monotonic() < gate.until:
        time.sleep(min(1.0, max(gate.until - time.monotonic(), 0)))
        memory.append(resident_bytes())
        turn += 1
        if turn % 7 == 0:
            store.compact()
            tally.add("compactions")
        if turn % 11 == 0:
            taken = path.with_name(f"copy-{turn}")
            store.snapshot(taken)
            with open_store(taken, read_only=True) as other:
                if other.verify():
                    tally.fail("a snapshot is damaged")
            for each in taken.iterdir():
                each.unlink()
            taken.rmdir()
            tally.add("snapshots")
        if turn % 15 == 0:
            stand_still(store, gate, owners, index, tally)
    return memory


def stand_still(store: Any, gate: Gate, owners: list[Owner], index: IndexLPLR, tally: Tally) -> None:
    """Stop all writers, compare, and let them go on."""
    gate.open.clear()
    for _ in range(OWNERS):
        gate.inside.acquire()
    try:
        compare(store, owners, index, tally)
    finally:
        for _ in range(OWNERS):
            gate.inside.release()
        gate.open.set()


def soak(folder: Path, seconds: float, nlist: int | None = None) -> dict[str, Any]:
    """Run for some time, and return what happened; with so few lists that a search looks at all."""
    merging.FLUSH_ROWS = 512  # so that segments come and go all the time
    path = folder / "store"
    index = IndexIVFLPLR(D, 4.0, "ip", nlist=nlist) if nlist else IndexLPLR(D, 4.0, "ip")
    learnt = vectors(np.arange(10**7, 10**7 + 1000), np.zeros(1000, np.int64))
    index.train(learnt)
    shadow = copy.copy(index)
    shadow.reset()
    tally, started = Tally(), time.monotonic()
    with open_store(path, D, 4.0, "ip", nlist=nlist, train_rows=None) as store:
        store.train(learnt)
        until = time.monotonic() + seconds
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        readers = [context.Process(target=read, args=(str(path), until, 10**6 * i, results)) for i in range(READERS)]
        gate = Gate(until)
        owners = [Owner(number, store, index, tally, gate) for number in range(OWNERS)]
        searcher = threading.Thread(target=search_all_the_time, args=(store, tally, until, 99))
        for each in [*readers, *owners, searcher]:
            each.start()
        memory = manage(path, store, gate, owners, shadow, tally)
        gate.open.set()
        for each in [*owners, searcher]:
            each.join()
        read_by_others = [results.get() for _ in readers]
        for each in readers:
            each.join()
        compare(store, owners, shadow, tally)
        facts = store.info()
        if facts["merge_error"]:
            tally.fail(facts["merge_error"])
    return {
        "seconds": time.monotonic() - started,
        **tally.counts,
        "rows": facts["rows"],
        "segments": facts["segments"],
        "generations": facts["generation"],
        "wrong": tally.wrong + [each for other in read_by_others for each in other["wrong"]],
        "searches_of_readers": sum(other["searches"] for other in read_by_others),
        "writer_megabytes": thirds(memory),
        "reader_megabytes": [thirds(other["memory_bytes"]) for other in read_by_others],
    }


def thirds(samples: list[int]) -> list[float]:
    """Return the median of each third of the samples, in MB: memory is flat if the last is no more than the others."""
    return [round(float(np.median(part)) / 1e6, 1) for part in np.array_split(np.array(samples or [0]), 3) if len(part)]


def main() -> None:
    """Run as asked on the command line, and print what happened; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--lists", type=int, metavar="N", help="rows lie in so many lists, 16 at most; needs faiss")
    parser.add_argument("--folder", type=Path, help="where the store is made; in the system's folder for such if none")
    parser.add_argument("-o", "--output", type=Path, help="write what happened here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        facts = soak(Path(folder), options.seconds, options.lists)
    text = json.dumps(facts, indent=1)
    print(text)
    if options.output:
        options.output.write_text(f"{text}\n", "utf-8")
    raise SystemExit(bool(facts["wrong"]))


if __name__ == "__main__":
    main()
