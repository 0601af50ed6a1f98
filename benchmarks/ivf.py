"""Indexes in lists beside faiss's, at equal bytes: what they find, and how fast they are where they find nine in ten.

    python benchmarks/ivf.py --cache FOLDER [--rows 1000000] [--lists 4096] [--names ...] [-o results.json]
                             [--again results.json] [--write]

Rows are points between near posts of those that come with the package, as many as wanted: a random post, one of its ten
nearest, and a random point of the line between them, normalised. So neighbours are near in every direction that posts
differ in, and not copies of one post told apart by noise. Queries are other posts. Indexes lie in --cache for later
runs. faiss's lists are those of its k-means on 100,000 rows; ours come from 65,536, as IndexIVFLPLR has it.

Every index is searched with several nprobe for the best 10 to 200 rows, all on one thread. With a second look, these
are ranked by the original vectors, by the same code for everybody. Of the settings that find nine in ten, the fastest
counts. Times are CPU seconds of the process, medians of turns in which indexes alternate.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numba import njit
from pages import DOCS, table, write

import lplr_index
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.data import newsgroups
from lplr_index.evaluation.machine import describe_machine
from lplr_index.kernels import simd_level
from lplr_index.kernels.linear import some_products
from lplr_index.kernels.topk import room_of, sort_best

CHUNK = 50_000
KNOWN = 10  # exact neighbours of a query
TARGET = 0.9  # recall
QUERIES = 1000
PROBES = (1, 2, 4, 6, 8, 12, 16, 32, 64)
DEPTHS = (10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 100, 150, 200)
TURNS = 5
SINGLES = 100  # queries that are timed one at a time
IP = faiss.METRIC_INNER_PRODUCT


class System(NamedTuple):
    """An index in lists: what it is called, bytes of a row's code, and how faiss or we describe it."""

    name: str
    nbytes: int
    description: str

    @property
    def is_ours(self) -> bool:
        """Whether it is one of ours."""
        return "LPLR" in self.description


SYSTEMS = {
    one.name: one
    for one in (
        System("lplr 48", 48, "LPLR1.0"),
        System("faiss PQ fast scan 48", 48, "PQ96x4fs"),
        System("faiss PQ fast scan 48, residuals", 48, "PQ96x4fsr"),
        System("lplr 56", 56, f"LPLR{7 / 6}"),
        System("faiss RaBitQ fast scan 1 bit", 56, "RaBitQfs"),
        System("lplr 192", 192, "LPLR4.0"),
        System("faiss RaBitQ fast scan 4 bits", 212, "RaBitQfs4"),
    )
}


class Point(NamedTuple):
    """One setting of a system: recall, and median CPU seconds of a query among many and alone, where it was timed."""

    system: str
    second_look: bool
    nprobe: int
    depth: int
    recall: float
    many_s: float | None = None
    alone_s: float | None = None


# Rows and indexes


def rows(folder: Path, n: int) -> FloatMatrix:
    """The rows (n, 384), made once."""
    path = folder / f"rows-{n}.npy"
    if not path.exists():
        posts = newsgroups().train[:].astype(np.float32)
        flat = faiss.IndexFlatIP(posts.shape[1])
        flat.add(posts)
        near, rng = flat.search(posts, 11)[1], np.random.default_rng(0)
        out = np.lib.format.open_memmap(path, "w+", np.float32, (n, posts.shape[1]))
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            one, which = rng.integers(0, len(posts), size), rng.integers(1, 11, size)
            share = rng.random((size, 1), dtype=np.float32)
            x = posts[one] * (1 - share) + posts[near[one, which]] * share
            out[start : start + size] = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.load(path, mmap_mode="r")


def queries() -> FloatMatrix:
    """Other posts (nq, 384)."""
    return np.ascontiguousarray(newsgroups().test[:][:QUERIES], np.float32)


def truth(folder: Path, x: FloatMatrix, xq: FloatMatrix) -> IdArray:
    """The ten nearest rows of each query (nq, 10), by exact search, once."""
    path = folder / f"truth-{len(x)}.npy"
    if not path.exists():
        keys, ids = np.empty((len(xq), 0), np.float32), np.empty((len(xq), 0), np.int64)
        for start in range(0, len(x), CHUNK):
            scores = xq @ x[start : start + CHUNK].T
            best = np.argpartition(-scores, KNOWN, axis=1)[:, :KNOWN]
            keys = np.concatenate([keys, np.take_along_axis(scores, best, axis=1)], axis=1)
            ids = np.concatenate([ids, best + start], axis=1)
            order = np.argsort(-keys, axis=1, kind="stable")[:, :KNOWN]
            keys, ids = np.take_along_axis(keys, order, axis=1), np.take_along_axis(ids, order, axis=1)
        np.save(path, ids)
    return np.load(path)


def sample(x: FloatMatrix, size: int, seed: int) -> FloatMatrix:
    """Some rows (size, 384) to train on."""
    return np.array(x[np.sort(np.random.default_rng(seed).permutation(len(x))[:size])])


def centroids(folder: Path, x: FloatMatrix, nlist: int) -> FloatMatrix:
    """Those of faiss's lists (nlist, 384), of length one, as its inner products want them; found once."""
    path = folder / f"centroids-{len(x)}-{nlist}.npy"
    if not path.exists():
        k_means = faiss.Kmeans(x.shape[1], nlist, niter=10, spherical=True, seed=1, max_points_per_centroid=64)
        k_means.train(sample(x, 100_000, 1))
        np.save(path, k_means.centroids)
    return np.load(path)


def index_of(folder: Path, system: System, x: FloatMatrix, nlist: int) -> Any:
    """The index of a system, built once."""
    path = folder / f"{system.name.replace(' ', '-')}-{len(x)}-{nlist}.index"
    if system.is_ours:
        if not path.exists():
            index = lplr_index.index_factory(x.shape[1], f"IVF{nlist},{system.description}")
            index.train(sample(x, lplr_index.training.TRAIN_ROWS, 3))
            for start in range(0, len(x), CHUNK):
                index.add(np.array(x[start : start + CHUNK]))
            lplr_index.write_index(index, path)
        return lplr_index.read_index(path, mmap=False)
    coarse = faiss.IndexFlatIP(x.shape[1])
    coarse.add(centroids(folder, x, nlist))
    if not path.exists():
        index = faiss.index_factory(x.shape[1], f"IVF{nlist},{system.description}", IP)
        _lend(index, coarse)
        index.train(sample(x, 30_000, 3))
        for start in range(0, len(x), CHUNK):
            index.add(np.array(x[start : start + CHUNK]))
        faiss.write_index(index, str(path))
    index = faiss.read_index(str(path))
    _lend(index, coarse)
    return index


def _lend(index: Any, coarse: Any) -> None:
    """Let an index of faiss use lists that are there already, exactly compared."""
    index.quantizer, index.own_fields = coarse, False
    index.referenced_objects = [coarse]


# Measuring


@njit(nogil=True)
def _rerank(x: Any, xq: Any, candidates: Any, found: Any) -> None:
    """Write the best of the candidates (nq, depth), by their products with queries, to ``found`` (nq, k)."""
    products = np.empty((len(xq), room_of(candidates.shape[1])), np.float32)
    numbers, best = np.empty(candidates.shape[1], np.int64), np.empty(found.shape[1], np.float32)
    for q in range(len(xq)):
        there = 0
        for row in candidates[q]:
            if row >= 0:
                numbers[there] = row
                there += 1
        some_products(xq[q : q + 1], x, numbers[:there].reshape((1, there)), products[q : q + 1])
        sort_best(products[q], numbers, there, best, found[q])


def searcher(system: System, index: Any, x: FloatMatrix, *, second_look: bool) -> Callable[..., IdArray]:
    """What finds the ten best of queries, from the best ``depth`` rows of ``nprobe`` lists."""

    def search(xq: FloatMatrix, nprobe: int, depth: int) -> IdArray:
        if system.is_ours:
            candidates = index.search(xq, depth, nprobe=nprobe, threads=1)[1]
        else:
            index.nprobe = nprobe
            candidates = index.search(xq, depth)[1]
        if not second_look:
            return candidates[:, :KNOWN]
        found = np.empty((len(xq), KNOWN), np.int64)
        _rerank(x, xq, candidates, found)
        return found

    return search


def share_found(known: IdArray, found: IdArray) -> float:
    """The part of the known neighbours (nq, k) that is found (nq, k)."""
    return float((known[:, :, None] == found[:, None, :]).any(axis=2).mean())


def settings(
    search: Callable[..., IdArray], xq: FloatMatrix, known: IdArray, *, second_look: bool
) -> list[tuple[int, int, float]]:
    """For each nprobe the least depth that finds enough, or the largest one if none does, with its recall."""
    found = []
    for nprobe in PROBES:
        for depth in DEPTHS if second_look else DEPTHS[:1]:
            recall = share_found(known, search(xq, nprobe, depth))
            if recall >= TARGET:
                break
        found.append((nprobe, depth, recall))
    return found


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(folder: Path, names: list[str], n: int, nlist: int) -> list[Point]:
    """Recall of all settings, and times of those that find enough."""
    faiss.omp_set_num_threads(1)
    x, xq = rows(folder, n), queries()
    known = truth(folder, x, xq)[:, :KNOWN]
    x = np.ascontiguousarray(x)
    points, calls = [], {}
    for name in names:
        index = index_of(folder, SYSTEMS[name], x, nlist)
        for look in (False, True):
            search = searcher(SYSTEMS[name], index, x, second_look=look)
            for nprobe, depth, recall in settings(search, xq, known, second_look=look):
                points.append(Point(name, look, nprobe, depth, recall))
                if recall >= TARGET:
                    calls[points[-1]] = search
    taken: dict[Point, tuple[list[float], list[float]]] = {point: ([], []) for point in calls}
    for _, (point, search) in itertools.product(range(TURNS), calls.items()):
        many, alone = taken[point]
        many.append(cpu_seconds(lambda s=search, p=point: s(xq, p.nprobe, p.depth)) / len(xq))
        singles = [
            cpu_seconds(lambda s=search, p=point, i=i: s(xq[i : i + 1], p.nprobe, p.depth)) for i in range(SINGLES)
        ]
        alone.append(statistics.median(singles))
    timed = {point: [statistics.median(each) for each in both] for point, both in taken.items()}
    return [
        point._replace(many_s=timed[point][0], alone_s=timed[point][1]) if point in timed else point for point in points
    ]


# Tables


def best(points: list[Point], system: str, *, second_look: bool, alone: bool) -> Point | None:
    """The fastest setting of a system that finds enough."""
    enough = [one for one in points if one.system == system and one.second_look is second_look and one.recall >= TARGET]
    return min(enough, key=lambda one: (one.alone_s if alone else one.many_s) or 0.0, default=None)


def speeds(points: list[Point]) -> str:
    """Everyone's queries a second where nine in ten are found, and how many times that ours of like bytes has."""
    lines = []
    names = list(dict.fromkeys(one.system for one in points))
    for look, name in itertools.product((True, False), names):
        system = SYSTEMS[name]
        mine = max(
            (one for one in map(SYSTEMS.get, names) if one and one.is_ours and one.nbytes <= system.nbytes),
            key=lambda one: one.nbytes,
        )
        cells = [name, f"{system.nbytes}", "yes" if look else "no"]
        for alone in (False, True):
            here = best(points, name, second_look=look, alone=alone)
            ours = best(points, mine.name, second_look=look, alone=alone)
            if here is None:
                most = max(one.recall for one in points if (one.system, one.second_look) == (name, look))
                cells += [f"not reached ({most:.3f})", "-"] if not alone else ["-", "-"]
                continue
            seconds, our_s = (one and (one.alone_s if alone else one.many_s) for one in (here, ours))
            if not alone:
                cells.append(f"{here.nprobe}, {here.depth}")
            cells.append(f"{1 / seconds:,.0f} ({seconds / our_s:.2f})" if our_s else f"{1 / seconds:,.0f}")
            if alone:
                cells.append("")
        lines.append(cells[:6])
    head = ["index", "bytes", "second look", "nprobe, depth", "1,000 at once", "1 at once"]
    return table(head, lines)


def recalls(points: list[Point]) -> str:
    """What is found without a second look, by nprobe."""
    names = list(dict.fromkeys(one.system for one in points))
    lines = []
    for name in names:
        found = {one.nprobe: one.recall for one in points if one.system == name and not one.second_look}
        lines.append([name, f"{SYSTEMS[name].nbytes}", *(f"{found[nprobe]:.3f}" for nprobe in PROBES)])
    return table(["recall@10", "bytes", *map(str, PROBES)], lines)


def tables(told: dict[str, Any]) -> dict[str, str]:
    """The parts of docs/ivf.md."""
    points = [Point(**one) for one in told["points"]]
    about = told["machine"]
    machine = (
        f"{told['n']:,} rows of 384 in {told['nlist']:,} lists, {QUERIES:,} queries, one thread, {about['processor']}, "
        f"{told['instruction_set'].upper()}, faiss {about['faiss-cpu']}."
    )
    return {"machine": machine, "speeds": speeds(points), "recalls": recalls(points)}


def main() -> None:
    """Measure, or take what was measured before, and show it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lists", type=int, default=4096)
    parser.add_argument("--names", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--write", action="store_true", help="fill docs/ivf.md")
    options = parser.parse_args()
    if options.again:
        told = json.loads(options.again.read_text("utf-8"))
    else:
        points = measure(options.cache, options.names, options.rows, options.lists)
        told = {
            "n": options.rows,
            "nlist": options.lists,
            "instruction_set": simd_level(),
            "machine": describe_machine(),
            "points": [one._asdict() for one in points],
        }
    if options.output:
        options.output.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    parts = tables(told)
    if options.write:
        write(DOCS / "ivf.md", parts)
    for text in parts.values():
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
