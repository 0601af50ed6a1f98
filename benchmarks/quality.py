"""Recall for bytes: ours beside every peer that is installed, on folders of embeddings and the set of the package.

    python benchmarks/quality.py [FOLDER ...] [--bits 1 0.5 2 4] [--only ours|peers|ablations] [--out results.json]

A folder holds train.npy and test.npy, and train_labels and test_labels where there are labels, as .npy or, as the
recipes of datasets/ write them, as .txt. One random half of the training rows is trained on and the other half indexed;
up to 1000 test rows are the queries; the metric is cosine. Peers are all of ``lplr_index.evaluation`` that are
installed, at the bytes they come in. The lead of ``auto`` is over the best peer of at most 1.25 times its bytes.
With --out, an entry is saved as soon as it is measured and is not measured again: peers take minutes each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from ablations import ABLATIONS
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table
from threadpoolctl import threadpool_limits

from lplr_index.atomic import atomic_write
from lplr_index.cli.lists import read_list
from lplr_index.data import newsgroups
from lplr_index.errors import LPLRError
from lplr_index.evaluation import (
    Contender,
    Skip,
    Task,
    contenders,
    measure,
    recall_at_k,
    score_ids,
    split_rows,
)
from lplr_index.evaluation.contenders import EXACT, OURS

AUTO = f"{OURS}auto"
GROUPS = ("ours", "peers", "ablations")
BARS = {0.5: 8.0, 1.0: 9.0, 2.0: 7.0, 4.0: 1.5}  # points of recall@10 that we want to be ahead, by bits
MOST_QUERIES = 1000
MORE_BYTES = 1.25  # that a peer may have than ours
EQUAL_BYTES = 1.005  # what a row adds to a file of blocks is not known better
PATIENCE_S = 600
ADDITIVE_CODES = 16  # more are for the patient

Entry = dict[str, Any]


class Embeddings(NamedTuple):
    """A set: rows (n, d), queries (nq, d), and their labels (n,) and (nq,) or None."""

    name: str
    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    train_labels: npt.NDArray[Any] | None
    test_labels: npt.NDArray[Any] | None

    @classmethod
    def read(cls, folder: Path) -> Embeddings:
        """Read a folder."""
        train, test = np.load(folder / "train.npy"), np.load(folder / "test.npy")
        labels = [labels_in(folder, name) for name in ("train_labels", "test_labels")]
        return cls(folder.resolve().name, train, test, *labels)

    @classmethod
    def of_the_package(cls) -> Embeddings:
        """Read the posts that come with the package."""
        posts = newsgroups()
        return cls("newsgroups", posts.train, posts.test, posts.train_labels, posts.test_labels)

    def task(self, seed: int, metric: str = "cosine", most: int = MOST_QUERIES) -> Task:
        """Split, draw the queries, ``most`` at most, and search exactly."""
        split = split_rows(len(self.train), seed=seed)
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.test))[:most])
        return Task.prepare(
            self.train[split.train],
            self.train[split.base],
            self.test[drawn],
            metric=metric,
            labels=None if self.train_labels is None else self.train_labels[split.base],
            query_labels=None if self.test_labels is None else self.test_labels[drawn],
        )


def labels_in(folder: Path, name: str) -> npt.NDArray[Any] | None:
    """The labels (n,) of this name in a folder, numbers or strings, if there are any."""
    found = [path for path in (folder / f"{name}.npy", folder / f"{name}.txt") if path.is_file()]
    return read_list(str(found[0])) if found else None


def recall_of(index: Any, task: Task) -> float:
    """Return recall@k of a filled index."""
    _, found = index.search(task.xq, task.k)
    scores = score_ids(task.xq, task.xb, found, metric=task.scoring)
    return recall_at_k(found, scores, task.truth, task.k, similarity=task.metric != "l2")


class Job(NamedTuple):
    """An index to measure: who it is, and ``run(task)``, which returns what was found."""

    group: str
    method: str
    bits: float | None
    notes: str
    run: Callable[[Task], Entry]


class Results:
    """Entries, in a file if there is one, which is read again before it is written: two runs may share it.

    Entries on the same things, which ``names`` are, replace each other.
    """

    def __init__(self, path: Path | None, names: Sequence[str] = ("set", "method", "bits", "notes", "seed")) -> None:
        self._path = path
        self._names = names
        self._entries: dict[tuple[Any, ...], Entry] = {}
        self._read()

    def __contains__(self, entry: Entry) -> bool:
        return self._key(entry) in self._entries

    def add(self, *entries: Entry) -> None:
        """Add entries, in place of older ones on the same things."""
        self._read()
        self._entries |= {self._key(entry): entry for entry in entries}
        if self._path:
            with atomic_write(self._path) as stream:
                stream.write((json.dumps(list(self._entries.values()), indent=0) + "\n").encode())

    @property
    def entries(self) -> list[Entry]:
        """All of them."""
        return [*self._entries.values()]

    def of(self, name: str) -> list[Entry]:
        """Return the entries on a set."""
        return [entry for entry in self.entries if entry["set"] == name]

    def _read(self) -> None:
        if self._path and self._path.is_file():
            self._entries |= {self._key(entry): entry for entry in json.loads(self._path.read_text("utf-8"))}

    def _key(self, entry: Entry) -> tuple[Any, ...]:
        return tuple(entry[name] for name in self._names)


def jobs(d: int, nt: int, options: argparse.Namespace) -> tuple[list[Job], list[Skip]]:
    """Return what to measure at dimension ``d``, and what cannot be: ours, our variants, peers by their sizes."""
    seed, bits = options.seed, options.bits
    competing: list[tuple[str, Contender]] = []
    skipped: list[Skip] = []
    if "ours" in options.only:
        ours, skipped = contenders(d, bits, nt=nt, peers=False, seed=seed)
        competing += [("ours", each) for each in ours]
    if "ablations" in options.only:
        competing += [
            ("ablations", Contender(name, name, "", budget, partial(variant, d, budget, seed)))
            for name, variant in ABLATIONS.items()
            for budget in bits
        ]
    if "peers" in options.only:
        peers, unable = _peers(d, nt, options)
        competing += [("peers", each) for each in peers]
        skipped += unable
    found = [
        Job(group, each.name, each.requested_bits, each.notes, partial(measure_contender, each))
        for group, each in competing
    ]
    order = [None, *bits]
    found.sort(key=lambda job: (job.group == "peers", order.index(job.bits)))
    return [job for job in found if any(part in job.method for part in options.match)], skipped


def _peers(d: int, nt: int, options: argparse.Namespace) -> tuple[list[Contender], list[Skip]]:
    """Return everyone else's; where thorough, also faiss's of many codes and those trained to the end."""
    find = partial(contenders, d, options.bits, nt=nt, methods=(), seed=options.seed)
    found, skipped = find(additive_codes=ADDITIVE_CODES)
    if options.thorough:
        known = {(each.name, each.notes) for each in found}
        slow, skipped = find(thorough=True, additive_codes=d)
        found += [each for each in slow if (each.name, each.notes) not in known]
    return [each for each in found if each.family != EXACT], skipped


def measure_contender(contender: Contender, task: Task) -> Entry:
    """Measure an index."""
    report = measure(contender.build(), task, name=contender.name, repeat=1)
    return {
        "bytes_per_row": report.bytes_per_vector,
        "file_bytes": report.file_bytes,
        "recall10": report.recall_at_k,
        "recall1": report.recall_at_1,
        "knn3": report.accuracy,
        "error": report.frobenius_error,
    }


def run_apart(job: Job, task: Task, patience_s: float) -> Entry:
    """Run a job in a process of its own, which can be given up: faiss does not look up from its training."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_send, args=(sender, job, task), daemon=True)
    start = time.perf_counter()
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(patience_s) else {"skipped": f"slower than {patience_s:g} s"}
    except EOFError:
        found = {"skipped": "its process died"}
    finally:
        process.kill()
        process.join()
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def _send(sender: Connection, job: Job, task: Task) -> None:
    try:
        with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
            sender.send(job.run(task))
    except (LPLRError, RuntimeError, ValueError, AssertionError) as err:  # how each library says no
        sender.send({"skipped": str(err)})


def work(each: Embeddings, results: Results, options: argparse.Namespace, bars: Progress) -> list[Skip]:
    """Measure what is not measured yet on a set; return what cannot be."""
    task = each.task(options.seed)
    n, d = task.xb.shape
    about = {"set": each.name, "n": n, "d": d, "seed": options.seed, "exact_knn3": task.vote(task.truth.I)[0]}
    todo, skipped = jobs(d, len(task.xt), options)
    bar = bars.add_task(each.name, total=len(todo))
    for job in todo:
        bars.update(bar, description=f"{each.name}: {job.method}")
        entry = about | {"group": job.group, "method": job.method, "bits": job.bits, "notes": job.notes}
        if options.again or entry not in results:
            results.add(entry | run_apart(job, task, options.patience))
        bars.advance(bar)
    bars.update(bar, description=each.name)
    return skipped


class Comparison(NamedTuple):
    """Ours and the best peer of a set at a budget; None where there is none."""

    auto: Entry | None
    peer: Entry | None

    @classmethod
    def of(cls, entries: Sequence[Entry], bits: float) -> Comparison:
        """Find both."""
        auto = next((entry for entry in entries if entry["method"] == AUTO and entry["bits"] == bits), None)
        most = MORE_BYTES * EQUAL_BYTES * row_bytes(entries, bits)
        peers = [entry for entry in entries if entry["group"] == "peers" and entry["bytes_per_row"] <= most]
        return cls(auto, max(peers, key=lambda entry: entry["recall10"], default=None))

    @property
    def lead(self) -> float | None:
        """Points of recall@10 ahead of the peer."""
        return 100 * (self.auto["recall10"] - self.peer["recall10"]) if self.auto and self.peer else None

    @property
    def vote_lead(self) -> float | None:
        """Points of 3-NN accuracy ahead of exact search; below zero behind it."""
        labelled = self.auto is not None and self.auto["knn3"] is not None
        return 100 * (self.auto["knn3"] - self.auto["exact_knn3"]) if labelled else None

    def __str__(self) -> str:
        if self.peer is None:
            return "-"
        lead = "" if self.lead is None else f"{self.lead:+.1f} on "
        name = self.peer["method"].removeprefix("faiss ")
        return f"{lead}{short(self.peer['recall10'])} {name} ({self.peer['bytes_per_row']:.0f} B)"


def row_bytes(entries: Sequence[Entry], bits: float) -> int:
    """Bytes of a row at a budget."""
    return int(bits * entries[0]["d"] / 8)


def table_of(entries: Sequence[Entry], bits: float) -> Table:
    """Everything of half to 1.25 times the budget's bytes, the best first."""
    size, best = row_bytes(entries, bits), Comparison.of(entries, bits)
    first = entries[0]
    exact = "" if first["exact_knn3"] is None else f"; exact 3-NN {short(first['exact_knn3'])}"
    title = f"\n{first['set']}, {bits:g} bits: {size} bytes a row (n = {first['n']}, d = {first['d']}{exact})"
    look = {"box": SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}
    table = Table("method", title=title, caption=f"{'auto' if best.auto else 'best peer'}: {best}", **look)
    for column in ("bytes", "recall@10", "recall@1", "3-NN", "error", "file kB", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", no_wrap=True, max_width=50)
    near = [each for each in entries if MORE_BYTES / 2 < each["bytes_per_row"] / size / EQUAL_BYTES <= MORE_BYTES]
    for entry in sorted(near, key=lambda entry: -entry["recall10"]):
        shares = [short(entry[name]) for name in ("recall10", "recall1", "knn3", "error")]
        costs = [f"{entry['file_bytes'] / 1000:.0f}", f"{entry['seconds']:.0f}"]
        style = "bold" if entry["method"] == AUTO else ""
        table.add_row(entry["method"], f"{entry['bytes_per_row']:.1f}", *shares, *costs, entry["notes"], style=style)
    return table


def summary(by_set: dict[str, list[Entry]], bits: Sequence[float]) -> Table:
    """The lead over the best peer for each set and budget, and what the codes cost a vote."""
    title = "\nauto against the best peer, recall@10"
    table = Table("set", *(f"{budget:g} bits" for budget in bits), title=title, box=SIMPLE_HEAD)
    all_of = {name: [Comparison.of(entries, budget) for budget in bits] for name, entries in by_set.items()}
    for name, row in all_of.items():
        table.add_row(name, *map(str, row))
    table.add_section()
    columns = list(zip(*all_of.values(), strict=True))
    leads = [[each.lead for each in column if each.lead is not None] for column in columns]
    votes = [[each.vote_lead for each in column if each.vote_lead is not None] for column in columns]
    for label, rows in (("lead", leads), ("3-NN against exact", votes)):
        table.add_row(f"{label}: mean", *(f"{np.mean(row):+.1f}" if row else "-" for row in rows))
        table.add_row(f"{label}: worst", *(f"{min(row):+.1f}" if row else "-" for row in rows))
    return table


def ablations(by_set: dict[str, list[Entry]], bits: Sequence[float]) -> Table:
    """What each variant finds more or less than ``auto``: points of recall@10, the mean and the least and most."""
    title = "\nvariants less auto, recall@10: mean (least to most)"
    table = Table("variant", *(f"{budget:g} bits" for budget in bits), title=title, box=SIMPLE_HEAD)
    for name in ABLATIONS:
        cells = []
        for budget in bits:
            pairs = [(Comparison.of(e, budget).auto, _named(e, name, budget)) for e in by_set.values()]
            gaps = [100 * (one["recall10"] - auto["recall10"]) for auto, one in pairs if auto and one]
            cells.append(f"{np.mean(gaps):+.2f} ({min(gaps):+.2f} to {max(gaps):+.2f})" if gaps else "-")
        table.add_row(name, *cells)
    return table


def _named(entries: Sequence[Entry], method: str, bits: float) -> Entry | None:
    return next((entry for entry in entries if entry["method"] == method and entry["bits"] == bits), None)


def short(share: float | None) -> str:
    """Three digits of a share."""
    return "-" if share is None else f"{share:.3f}"


def show(results: Results, sets: Sequence[str], bits: Sequence[float], skipped: Sequence[Skip]) -> None:
    """Print every table, and who is missing."""
    console = Console(width=170, highlight=False)
    by_set: dict[str, list[Entry]] = {}
    missing: dict[str, list[str]] = {}
    for skip in dict.fromkeys(skipped):
        missing.setdefault(skip.reason.split(", got ")[0], []).append(skip.name)
    for name in sets:
        for entry in results.of(name):
            if "skipped" in entry:
                missing.setdefault(entry["skipped"], []).append(f"{entry['method']} on {name}")
            else:
                by_set.setdefault(name, []).append(entry)
        for budget in bits if name in by_set else ():
            console.print(table_of(by_set[name], budget))
    console.print(summary(by_set, bits))
    if ABLATIONS:
        console.print(ablations(by_set, bits))
    for reason, names in missing.items():
        console.print(f"Not shown ({reason}): {', '.join(dict.fromkeys(names))}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="*", type=Path, help="what is no folder among them is passed over")
    parser.add_argument("--bits", nargs="+", type=float, default=[1.0, 0.5, 2.0, 4.0])
    parser.add_argument("--sets", nargs="+", help="only these, in this order; the package's own is newsgroups")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--match", nargs="+", default=[""], help="measure only what has one of these in its name")
    parser.add_argument("--thorough", action="store_true", help="also all of RQ and LSQ, and faiss's full training")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds an index may take (600)")
    parser.add_argument("--out", type=Path, help="the file to save to and continue")
    parser.add_argument("--again", action="store_true", help="measure again what is in the file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folders = {folder.name: partial(Embeddings.read, folder) for folder in options.folders if folder.is_dir()}
    folders["newsgroups"] = Embeddings.of_the_package
    names = options.sets or list(folders)
    if unknown := set(names) - set(folders):
        parser.error(f"expected --sets among {', '.join(folders)}, got {', '.join(unknown)}")
    results, skipped = Results(options.out), []
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        for name in names:
            skipped += work(folders[name](), results, options, bars)
    show(results, names, sorted(options.bits), skipped)


if __name__ == "__main__":
    main()
