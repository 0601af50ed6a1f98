"""Where the error of scores comes from, and what projecting queries in 8-bit integers, as LRAMM does, would be worth.

    python benchmarks/lramm.py [--write]

The breakdown is ``lplr_index.evaluation.break_down`` of every method at 1 and 4 bits: one half of the embedded
newsgroups is trained on, the other, 5,000 x 384, indexed and asked under cosine.
Projections, and whole searches with either of them, are timed on one thread in calls that take turns, of which the
fastest counts, as what else a machine does only adds: of these 5,000 rows, of the same rows twenty times over, 100,000,
and of 5,000 random vectors of 1,280 coordinates with a falling spectrum. All at 1 bit a coordinate, by ``auto``.
Takes some minutes. With --write results go into benchmarks/results/lramm.json and tables into docs/search.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pages import DOCS, table, write
from quality import Embeddings, recall_of
from rich.progress import track
from threadpoolctl import threadpool_limits

from lplr_index import IndexLPLR
from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError
from lplr_index.evaluation import Task, break_down
from lplr_index.evaluation.machine import describe_machine
from lplr_index.model import Model
from lplr_index.projection import IntegerProjection
from lplr_index.settings import METHODS

RESULTS = Path(__file__).parent / "results" / "lramm.json"
PAGE = DOCS / "search.md"
BITS = (1.0, 4.0)
QUERIES = (1, 256)
COPIES = 20
REPEATS = 51
NEGLIGIBLE = 1e-11
ERRORS = ["method", "bits", "rank", "L bits", "search", "error", "R int8", "query int8"]
RECALLS = ["method", "bits", "rank", "L bits", "search", "R int8", "query int8"]
TIMES = ["rows", "queries", "float32 us", "BLAS us", "int8 us", "search us", "search with int8 us", "saved"]
FOUND = ["rows", "R, float32 kB", "R, int8 kB", "recall@10", "with int8"]

FloatMatrix = npt.NDArray[np.float32]
Entry = dict[str, Any]


class IntegerModel(Model):
    """A model whose queries are projected in integers."""

    @cached_property
    def projection(self) -> IntegerProjection:
        """R in int8."""
        return IntegerProjection(self.R)


class Collection(NamedTuple):
    """A filled index, its twin that projects in integers, and what they are asked."""

    name: str
    index: IndexLPLR
    twin: IndexLPLR
    task: Task


def collection(name: str, task: Task, index: IndexLPLR, copies: int = 1) -> Collection:
    """Fill a trained index and its twin with the same rows, as often as is said."""
    for _ in range(copies):
        index.add(task.xb)
    model = index.model
    integers = IntegerModel(model.mu, model.R, model.encoder, model.codec, model.gain, model.norm)
    return Collection(name, index, IndexLPLR.restored(index.settings, integers, index.rows), task)


def trained(task: Task) -> IndexLPLR:
    """Return an empty index that knows the training rows."""
    index = IndexLPLR(task.xb.shape[1], 1.0)
    index.train(task.xt)
    return index


def collections() -> list[Collection]:
    """Return those that are timed."""
    rng = np.random.default_rng(0)
    d, n, nt, nq = 1280, 5000, 2500, 1000
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    x = (rng.standard_normal((n + nt + nq, d)) * np.arange(1, d + 1) ** -0.5 @ axes).astype(np.float32)
    posts = Embeddings.of_the_package().task(0)
    wide = Task.prepare(x[:nt], x[nt : nt + n], x[nt + n :], metric="cosine")
    index = trained(posts)
    again = IndexLPLR.restored(index.settings, index.model, None)
    return [
        collection("newsgroups, 5,000 x 384", posts, index),
        collection("newsgroups, 100,000 x 384", posts, again, COPIES),
        collection("random, 5,000 x 1,280", wide, trained(wide)),
    ]


def breakdowns() -> list[Entry]:
    """Return the stages of every method that can do the bits."""
    task = Embeddings.of_the_package().task(0)
    entries = []
    for method, bits in track([(method, bits) for method in METHODS for bits in BITS], "breakdowns"):
        try:
            index = IndexLPLR(task.xb.shape[1], bits, method=method)
        except InputError:
            continue
        index.train(task.xt)
        index.add(task.xb)
        stages = break_down(index, task.xb, task.xq).stages
        entries.append({"method": method, "bits": bits, "stages": [dataclasses.asdict(stage) for stage in stages]})
    return entries


def in_turns(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the shortest time of each call in microseconds, none before all have been made once."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(REPEATS + 1):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                taken.append(1e6 * (time.perf_counter() - start))
    return [min(taken) for taken in times]


def timed(each: Collection, nq: int) -> Entry:
    """Return times of projections and of whole searches."""
    model, twin, xq = each.index.model, each.twin.model, each.task.xq[:nq]
    R = model.R
    with threadpool_limits(1):
        names = ("float32", "BLAS", "int8", "search", "search with int8")
        calls = (
            lambda: model.project(xq),
            lambda: xq @ R.T,
            lambda: twin.project(xq),
            lambda: each.index.search(xq, 10, threads=1),
            lambda: each.twin.search(xq, 10, threads=1),
        )
        return {"rows": each.name, "queries": nq, **dict(zip(names, in_turns(calls), strict=True))}


def found(each: Collection) -> Entry:
    """Return sizes of R, and recall with either projection; of rows that are there once only."""
    return {
        "rows": each.name,
        "float32_bytes": each.index.model.R.nbytes,
        "int8_bytes": each.twin.model.projection.codes.nbytes + each.twin.model.projection.steps.nbytes,
        "recall10": recall_of(each.index, each.task),
        "recall10_int8": recall_of(each.twin, each.task),
    }


def percent(share: float) -> str:
    """Return a share in per cent; roundings of float32, squared, are below what is told apart."""
    return f"{100 * share:.3g}" if share > NEGLIGIBLE else "< 1e-9"


def sections(results: Entry) -> dict[str, str]:
    """Return the parts of the page."""
    errors, recalls = [], []
    for each in results["breakdowns"]:
        head = [each["method"], f"{each['bits']:g}"]
        stages = each["stages"]
        changes = [percent(stage["change"]) for stage in stages]
        search = 1 + [stage["name"] for stage in stages].index("search")
        changes.insert(search, percent(stages[search - 1]["error"]))
        errors.append([*head, *changes])
        recalls.append([*head, *(f"{stage['recall']:.3f}" for stage in stages)])
    times = [
        [
            each["rows"],
            f"{each['queries']}",
            *(f"{each[name]:,.0f}" for name in ("float32", "BLAS", "int8", "search", "search with int8")),
            f"{100 * (1 - each['search with int8'] / each['search']):.1f} %",
        ]
        for each in results["times"]
    ]
    kept = [
        [
            each["rows"],
            *(f"{each[name] / 1000:,.0f}" for name in ("float32_bytes", "int8_bytes")),
            *(f"{each[name]:.4f}" for name in ("recall10", "recall10_int8")),
        ]
        for each in results["found"]
    ]
    return {
        "breakdown": table(ERRORS, errors),
        "recall by stage": table(RECALLS, recalls),
        "projection times": table(TIMES, times),
        "projection recall": table(FOUND, kept),
    }


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sets = collections()
    results = {
        "machine": describe_machine(),
        "breakdowns": breakdowns(),
        "times": [timed(each, nq) for each, nq in track([(s, nq) for s in sets for nq in QUERIES], "times")],
        "found": [found(each) for each in sets if each.index.ntotal == len(each.task.xb)],
    }
    parts = sections(results)
    print("\n\n".join(parts.values()))
    if options.write:
        with atomic_write(RESULTS) as stream:
            stream.write((json.dumps(results, indent=1) + "\n").encode())
        write(PAGE, parts)


if __name__ == "__main__":
    main()
