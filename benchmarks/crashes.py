"""Kill a store's writer again and again, at any moment, and see each time that nothing it acknowledged is lost.

A child process adds, upserts, deletes and compacts rows, and tells through a pipe what it begins and what is done.
It is killed with SIGKILL, from its first breath to some dozen operations later. Then the store must be what was
acknowledged, or that and the one operation that was under way, as a whole; ``verify`` must find nothing; and the next
child goes on from there. Segments are made of few rows, so that flushing and merging happen all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index import IndexIVFLPLR, IndexLPLR, open_store
from lplr_index.store import merging

D = 8
FLUSH_ROWS = 40
MOST_ROWS = 600  # held, before deleting outweighs adding
LONGEST_S = 0.25  # of a child's life
STORES = {"int": ("int", None), "str": ("str", None), "lists": ("int", 4)}  # kinds of ids, and lists

Held = dict[int, int]
"""What is held: versions by id."""


def vectors(rows: Held) -> np.ndarray:
    """Return the row of each id in its version, (n, D): no two are alike."""
    return np.array([np.random.default_rng([i, v]).standard_normal(D) for i, v in rows.items()], np.float32)


def sample() -> np.ndarray:
    """Return rows to train on."""
    return np.random.default_rng(0).standard_normal((256, D)).astype(np.float32)


def key(i: int, kind: str) -> int | str:
    """Return an id as the store has it."""
    return f"row {i}" if kind == "str" else i


def propose(rng: random.Random, held: Held, version: int) -> tuple[str, Held]:
    """Return what to do next: an operation, and the ids and versions that it is about."""
    choice = rng.random()
    some = rng.sample(sorted(held), min(len(held), rng.randint(1, 20)))
    if choice < 0.03:
        return "compact", {}
    if some and choice < (0.25 if len(held) < MOST_ROWS else 0.7):
        return "delete", dict.fromkeys(some, 0)
    if some and choice < 0.75:
        new = [max(held) + 1 + i for i in range(rng.randint(0, 3))]
        return "upsert", dict.fromkeys([*some, *new], version)
    count = FLUSH_ROWS + 5 if choice > 0.98 else rng.randint(1, 8)
    fresh = rng.sample(range(10**6), count)
    return "add", {i: version for i in fresh if i not in held}


def after(held: Held, operation: str, rows: Held) -> Held:
    """Return what is held after an operation."""
    if operation == "delete":
        return {i: version for i, version in held.items() if i not in rows}
    return held | rows


def work(path: Path, kind: str, held: Held, seed: int, out: int) -> None:
    """Change the store until death."""
    rng = random.Random(seed)  # noqa: S311 - a seeded choice
    merging.FLUSH_ROWS = FLUSH_ROWS
    version = seed + 1
    with open_store(path, background=seed % 4 != 0) as store:
        while True:
            operation, rows = propose(rng, held, version)
            ids = [key(i, kind) for i in rows]
            tell(out, ["begin", operation, list(rows.items())])
            if operation == "compact":
                store.compact()
            elif operation == "delete":
                store.delete(ids)
            elif operation == "upsert":
                store.upsert(vectors(rows), ids, threads=1)
            else:
                store.add(vectors(rows), ids, threads=1)
            tell(out, ["done"])
            held = after(held, operation, rows)


def tell(out: int, message: list[object]) -> None:
    """Write a message to the pipe."""
    os.write(out, json.dumps(message).encode() + b"\n")


def heard(text: bytes, held: Held) -> tuple[Held, tuple[str, Held] | None]:
    """Return what was acknowledged, and what was under way when the child died."""
    under_way: tuple[str, Held] | None = None
    for line in text.split(b"\n")[:-1]:  # the last is empty, or was not told to its end
        message = json.loads(line)
        if message[0] == "begin":
            under_way = message[1], {int(i): version for i, version in message[2]}
        elif under_way is not None:
            held, under_way = after(held, *under_way), None
    return held, under_way


def found(path: Path, kind: str, candidates: list[Held], index: IndexLPLR) -> Held:
    """Return which of the candidates the store holds; raise if it is none of them, or damaged."""
    with open_store(path, read_only=True) as store:
        if damage := store.verify():
            raise SystemExit(f"damage: {damage}")
        D, I = store.search(np.zeros((1, store.d), np.float32), store.ntotal + 1, threads=1)
        ids = {int(i.removeprefix("row ")) if kind == "str" else int(i) for i in I[0][: store.ntotal]}
        for held in candidates:
            if held.keys() == ids and len(ids) == store.ntotal:
                again = store.reconstruct_batch([key(i, kind) for i in held]) if held else np.empty((0, D.shape[1]))
                expected = index.sa_decode(index.sa_encode(vectors(held), threads=1)) if held else again
                if np.array_equal(again, expected):
                    return held
    raise SystemExit(f"expected one of {[len(held) for held in candidates]} rows, got {len(ids)} others")


def run(folder: Path, kills: int, seed: int, name: str) -> dict[str, Any]:
    """Make a store, kill its writer so many times, and return what happened."""
    path, (kind, nlist) = folder / f"store-{name}-{seed}", STORES[name]
    method = {"nlist": nlist} if nlist else {"method": "nq"}
    with open_store(path, D, 8.0, "ip", ids=kind, **method) as store:
        store.train(sample())
    index = IndexIVFLPLR(D, 8.0, "ip", nlist=nlist) if nlist else IndexLPLR(D, 8.0, "ip", "nq")
    index.train(sample())
    rng = random.Random(seed)  # noqa: S311 - a seeded choice
    held: Held = {}
    counts: dict[str, Any] = {"ids": kind, "lists": nlist or 0}
    counts |= {"kills": 0, "operations": 0, "under_way": 0, "completed": 0}
    for round_ in range(kills):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(read)
                work(path, kind, held, seed * 10**6 + round_, write)
            finally:
                os._exit(1)
        os.close(write)
        time.sleep(rng.random() ** 2 * LONGEST_S)
        os.kill(child, signal.SIGKILL)
        with os.fdopen(read, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit("the writer ended by itself")
        acknowledged, under_way = heard(text, held)
        candidates = [acknowledged] + ([after(acknowledged, *under_way)] if under_way else [])
        held = found(path, kind, candidates, index)
        counts["kills"] += 1
        counts["operations"] += text.count(b'["done"]')
        counts["under_way"] += under_way is not None
        counts["completed"] += under_way is not None and held == candidates[1] != candidates[0]
    return counts


def main() -> None:
    """Run as asked on the command line, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES), help="which; lists need faiss")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="where the stores are made; in the system's folder for such if none"
    )
    parser.add_argument("-o", "--output", type=Path, help="write what happened here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        counts = []
        for name in options.stores:
            counts.append(run(Path(folder), options.kills // len(options.stores), options.seed, name))
            print(json.dumps(counts[-1]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(counts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
