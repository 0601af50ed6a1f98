"""The systems that speed.py compares: how each is trained, filled, saved, read and searched.

Indexes are trained on one half of the newsgroup embeddings that come with the package, and hold the other half,
repeated with small noise and normalised again. They are built once and lie in a folder where later runs find them.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from rich.progress import track

import lplr_index
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.data import newsgroups
from lplr_index.evaluation import contenders, exact_knn, split_rows
from lplr_index.evaluation.peers.base import is_installed
from lplr_index.evaluation.peers.turbovec import TurbovecIndex

CHUNK = 20_000  # a multiple of the blocks of everyone, so that the size of a row is that of blocks
NOISE = 0.2  # length of what is added to a row of length one
KNOWN = 10  # exact neighbours of a query
IP = faiss.METRIC_INNER_PRODUCT


class Library(NamedTuple):
    """What a kind of index can be asked to do.

    ``train(xt, nbytes)`` gives an empty index, ``add(index, x, threads)`` fills it, and
    ``search(index, xq, k, threads, **options)`` gives ids (nq, k). ``sizes(d)`` are the bytes a row that can be asked
    for, ascending; rows of some take a few more. They are whole bits a coordinate where ``in_bits``.
    """

    train: Callable[[FloatMatrix, int], Any]
    add: Callable[[Any, FloatMatrix, int], object]
    save: Callable[[Any, str], object]
    load: Callable[[str], Any]
    search: Callable[..., IdArray]
    sizes: Callable[[int], Sequence[int]]
    in_bits: bool = False


class System(NamedTuple):
    """One way to search: a library's index of ``nbytes`` bytes a row (as asked for), with options of its search."""

    name: str
    library: str
    nbytes: int
    options: dict[str, Any]

    @property
    def index(self) -> str:
        """The name of its index, which systems with other options share."""
        return f"{self.library}-{self.nbytes}"


def _train_lplr(xt: FloatMatrix, nbytes: int) -> Any:
    index = lplr_index.IndexLPLR(xt.shape[1], bits=8 * nbytes / xt.shape[1])
    index.train(xt)
    return index


def _train_fast_scan(xt: FloatMatrix, nbytes: int) -> Any:
    index = faiss.IndexPQFastScan(xt.shape[1], 2 * nbytes, 4, IP)
    index.train(xt)
    return index


def _train_rabitq(xt: FloatMatrix, nbytes: int) -> Any:
    """Whole bits a coordinate, of which a scan sees the first; its bounds want a random rotation."""
    d = xt.shape[1]
    rotation = faiss.RandomRotationMatrix(d, d)
    rotation.init(0)
    index = faiss.IndexPreTransform(rotation, faiss.IndexRaBitQFastScan(d, IP, 32, 8 * nbytes // d))
    index.train(xt)
    return index


def _train_opq(xt: FloatMatrix, nbytes: int) -> Any:
    """One byte a code after a rotation learned in a few of its 50 rounds, as in the demo: all would take minutes."""
    d = xt.shape[1]
    found, _ = contenders(d, [8 * nbytes / d], nt=len(xt), methods=())
    index = next(one for one in found if one.name == f"faiss OPQ{nbytes}+PQ{nbytes}").build()
    index.train(xt)
    return index


def _train_turbovec(xt: FloatMatrix, nbytes: int) -> Any:
    d = xt.shape[1]
    index = TurbovecIndex(d, "cosine", 8 * nbytes // d)
    index.train(xt)
    return index.native


def _load_turbovec(path: str) -> Any:
    import turbovec

    index = turbovec.TurboQuantIndex.load(path)
    index.prepare()
    return index


def _faiss(
    train: Callable[[FloatMatrix, int], Any], sizes: Callable[[int], Sequence[int]], *, in_bits: bool = False
) -> Library:
    """What all of faiss's indexes have in common."""

    def add(index: Any, x: FloatMatrix, threads: int) -> None:
        faiss.omp_set_num_threads(threads)
        index.add(x)

    def search(index: Any, xq: FloatMatrix, k: int, threads: int) -> IdArray:
        faiss.omp_set_num_threads(threads)
        found: IdArray = index.search(xq, k)[1]
        return found

    return Library(train, add, faiss.write_index, faiss.read_index, search, sizes, in_bits)


def _whole_bits(*bits: int) -> Callable[[int], Sequence[int]]:
    """The sizes of so many bits a coordinate."""
    return lambda d: [one * d // 8 for one in bits]


LIBRARIES = {
    "lplr": Library(
        _train_lplr,
        lambda index, x, threads: index.add(x, threads=threads),
        lplr_index.write_index,
        lambda path: lplr_index.read_index(path, mmap=False),  # in memory, as everyone else's
        lambda index, xq, k, threads, **options: index.search(xq, k, threads=threads, **options)[1],
        lambda d: range(8, d + 1, 2),  # any number, in truth
    ),
    "faiss PQ fast scan": _faiss(_train_fast_scan, lambda d: [m // 2 for m in range(2, d + 1, 2) if d % m == 0]),
    "faiss RaBitQ fast scan": _faiss(_train_rabitq, _whole_bits(*range(1, 9)), in_bits=True),
    "faiss OPQ+PQ": _faiss(_train_opq, lambda d: [m for m in range(1, d + 1) if d % m == 0]),
    "turbovec": Library(  # as many threads as RAYON_NUM_THREADS says when the process starts
        _train_turbovec,
        lambda index, x, _threads: index.add(x),
        lambda index, path: index.write(path, durable=False),
        _load_turbovec,
        lambda index, xq, k, _threads: np.asarray(index.search(xq, k)[1]).astype(np.int64),
        _whole_bits(2, 3, 4),
        in_bits=True,
    ),
}


def of_size(library: str, nbytes: int, d: int) -> System:
    """A library's index of so many bytes a row, with no options."""
    bits = 8 * nbytes // d
    size = f"{bits} bit{'s' * (bits > 1)}" if LIBRARIES[library].in_bits else f"{nbytes}"
    return System(f"{library} {size}", library, nbytes, {})


def peers(sizes: list[int], d: int) -> list[System]:
    """Everyone else who is installed: fast scan at our sizes, the others at theirs."""
    found = [of_size("faiss PQ fast scan", size, d) for size in sizes]
    found.append(of_size("faiss RaBitQ fast scan", d // 8, d))
    if is_installed("turbovec"):
        found += [of_size("turbovec", nbits * d // 8, d) for nbits in (2, 4)]
    return found


class Posts(NamedTuple):
    """Posts to train on (nt, d), others to make rows of (n, d), and queries (nq, d); float32, of length one."""

    sample: FloatMatrix
    rows: FloatMatrix
    queries: FloatMatrix

    @classmethod
    def read(cls, nq: int) -> Posts:
        """Read the embeddings that come with the package, and choose the halves and the queries."""
        posts = newsgroups()
        halves, rows = split_rows(len(posts.train)), posts.train[:].astype(np.float32)
        chosen = np.random.default_rng(0).permutation(len(posts.test))[:nq]
        queries = np.ascontiguousarray(posts.test[:][chosen], np.float32)
        return cls(rows[halves.train], rows[halves.base], queries)

    def noisy(self, n: int) -> Iterator[FloatMatrix]:
        """Chunks of ``n`` unit rows (some, d), each a random row plus Gaussian noise; the same ones every time."""
        for start in range(0, n, CHUNK):
            rng = np.random.default_rng([0, start])
            x = self.rows[rng.integers(0, len(self.rows), min(CHUNK, n - start))]
            x += rng.standard_normal(x.shape, dtype=np.float32) * np.float32(NOISE / np.sqrt(x.shape[1]))
            yield x / np.linalg.norm(x, axis=1, keepdims=True)


def trained(folder: Path, system: System, posts: Posts, threads: int) -> Any:
    """An empty index, trained and timed, or the one that lies in the folder."""
    path, facts = folder / f"{system.index}.empty", folder / f"{system.index}.json"
    library = LIBRARIES[system.library]
    if facts.exists():
        return library.load(str(path))
    start = time.perf_counter()
    index = library.train(posts.sample, system.nbytes)
    seconds = time.perf_counter() - start
    library.save(index, str(path))
    facts.write_text(json.dumps({"train_s": seconds, "threads": threads}))
    return index


def build(folder: Path, systems: list[System], posts: Posts, n: int, threads: int) -> None:
    """Build, time and save every index over ``n`` rows that is not in the folder yet; they see the same chunks."""
    every = {one.index: one for one in systems}
    todo = {name: one for name, one in every.items() if not (folder / f"{name}.index").exists()}
    indexes = {
        name: trained(folder, one, posts, threads) for name, one in track(todo.items(), "training", transient=True)
    }
    seconds, first_bytes = dict.fromkeys(todo, 0.0), {}
    chunks = posts.noisy(n) if todo else ()
    for chunk in track(chunks, "adding", total=-(-n // CHUNK), transient=True):
        for name, one in todo.items():
            start = time.perf_counter()
            LIBRARIES[one.library].add(indexes[name], chunk, threads)
            seconds[name] += time.perf_counter() - start
            if name not in first_bytes:
                first_bytes[name] = _saved(folder / f"{name}.part", one, indexes[name])
    for name, one in todo.items():
        grown = _saved(folder / f"{name}.part", one, indexes[name]) - first_bytes[name]
        facts = json.loads((folder / f"{name}.json").read_text())
        facts |= {"add_s": seconds[name], "bytes_per_row": grown / (n - CHUNK) if n > CHUNK else one.nbytes}
        (folder / f"{name}.json").write_text(json.dumps(facts))
        (folder / f"{name}.part").replace(folder / f"{name}.index")


def _saved(path: Path, system: System, index: Any) -> int:
    LIBRARIES[system.library].save(index, str(path))
    return path.stat().st_size


class Recall(NamedTuple):
    """Recall of the ten nearest: of the posts themselves, and of the noisy rows, which is what there is to search.

    A post has so many noisy copies that its queries' nearest are told apart by noise alone, which no code keeps: recall
    of them says how hard the rows are, and that of the posts what a code is worth on embeddings.
    """

    posts: float
    rows: float


def recall(folder: Path, systems: list[System], posts: Posts, n: int, threads: int) -> dict[str, Recall]:
    """The recall of each system, by its name, for the queries of ``posts`` and ``n`` noisy rows."""
    known, recalls = truth(folder, posts, n), {}
    for one in systems:
        library = LIBRARIES[one.library]
        full = library.load(str(folder / f"{one.index}.index"))
        found = library.search(full, posts.queries, KNOWN, threads, **one.options)
        recalls[one.name] = Recall(recall_of_posts(folder, one, posts, threads), _share(known, found))
    return recalls


def recall_of_posts(folder: Path, system: System, posts: Posts, threads: int) -> float:
    """The part of the ten nearest posts that a system finds in an index of posts alone."""
    library = LIBRARIES[system.library]
    index = library.load(str(folder / f"{system.index}.empty"))
    library.add(index, posts.rows, threads)
    known = exact_knn(posts.queries, posts.rows, KNOWN, metric="ip").I
    return _share(known, library.search(index, posts.queries, KNOWN, threads, **system.options))


def find_smallest(folder: Path, library: str, posts: Posts, targets: Sequence[float], threads: int) -> list[System]:
    """For each of some recalls of the posts, the index of a library that reaches it in the fewest bytes, if any."""
    d = posts.rows.shape[1]
    sizes = LIBRARIES[library].sizes(d)

    @cache
    def found(nbytes: int) -> float:
        system = of_size(library, nbytes, d)
        trained(folder, system, posts, threads)
        return recall_of_posts(folder, system, posts, threads)

    places = [bisect_left(sizes, target, key=found) for target in targets]  # larger ones find more
    return [of_size(library, sizes[place], d) for place in places if place < len(sizes)]


def _share(known: IdArray, found: IdArray) -> float:
    """The part of the known neighbours (nq, k) that is found (nq, k)."""
    return float((known[:, :, None] == found[:, None, :]).any(axis=2).mean())


def truth(folder: Path, posts: Posts, n: int) -> IdArray:
    """The ten nearest of ``n`` noisy rows for each query (nq, 10), by exact search or from the folder."""
    path = folder / f"truth-{len(posts.queries)}.npy"
    if path.exists():
        known: IdArray = np.load(path)
        return known
    keys, ids = np.empty((len(posts.queries), 0), np.float32), np.empty((len(posts.queries), 0), np.int64)
    for number, chunk in enumerate(track(posts.noisy(n), "exact", total=-(-n // CHUNK), transient=True)):
        D, I = exact_knn(posts.queries, chunk, KNOWN, metric="ip")
        keys, ids = np.concatenate([keys, D], axis=1), np.concatenate([ids, I + number * CHUNK], axis=1)
        order = np.argsort(-keys, axis=1, kind="stable")[:, :KNOWN]
        keys, ids = np.take_along_axis(keys, order, axis=1), np.take_along_axis(ids, order, axis=1)
    np.save(path, ids)
    return ids
