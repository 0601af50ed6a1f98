"""Search an index for the nearest rows of each query.

Without -o the first few are shown. With -o all go to a file, in the format of its suffix:
.npz holds D and I, distances and ids; .npy the ids; .ibin both as big-ann-benchmarks has them;
.hdf5 both as ann-benchmarks names them; .parquet both as lists. Missing neighbours have the id -1.

With --ray the workers of a cluster hold the segments of a store and answer together, as one index would.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.building import Progress, naming_zero_rows
from lplr_index.cli.cluster import add_ray, check_ray, joined
from lplr_index.cli.lists import read_list, read_numbers
from lplr_index.cli.options import add_k, add_key, add_threads
from lplr_index.cli.output import Terminal, check_output
from lplr_index.cli.results import check_results, write_results
from lplr_index.cluster import ClusterStore
from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.refine import AnyIndex, IndexRefineLPLR
from lplr_index.storage import read_index
from lplr_index.store import Store, is_store, open_store
from lplr_index.threads import as_threads
from lplr_index.vectors import VectorFile, open_vectors

EXAMPLE = "lplr-index search vectors.lplr queries.npy -k 10 -o neighbours.npz"
SHOWN_QUERIES = 5
SHOWN_NEIGHBOURS = 5
BATCH = 256  # queries between two movements of the bar
MOST_NEIGHBOURS = 2**31 - 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("index", metavar="INDEX", help="the index file, or the folder of a store")
    parser.add_argument("queries", metavar="QUERIES", help="the queries: a file, a folder, or a pattern in quotes")
    add_k(parser)
    parser.add_argument("--k-factor", type=float, help="candidates per neighbour, for an index with a second stage")
    parser.add_argument("--nprobe", type=int, metavar="N", help="lists to look at, for an index in lists")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="look at the whole codes of those rows alone whose heads promise enough; 5 misses hardly a neighbour",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write all results here")
    add_key(parser)
    parser.add_argument(
        "--filter-ids", metavar="FILE", help="ids that may be found, .npy or one a line; or a mask over rows, .npy"
    )
    add_threads(parser)
    add_ray(parser)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Search, and show or write what was found."""
    check_ray(options)
    k = as_integer(options.k, "k", least=1, most=MOST_NEIGHBOURS)
    if options.output is not None:
        check_output(options.output, options.index, options.queries, options.filter_ids)
        check_results(options.output, 0)
    with (
        open_vectors(options.queries, key=options.key) as source,
        terminal.bars("queries") as bars,
        _opened(options, terminal, bars) as (index, how),
    ):
        _check(options, index, source)
        allowed = None if options.filter_ids is None else _read_ids(options.filter_ids, index)
        began_s = time.perf_counter()
        D, I = search_file(index, source, k, bars, filter=allowed, **how)
        seconds = time.perf_counter() - began_s
    if k > index.ntotal:
        terminal.warn(f"k = {k} is more than the {index.ntotal} rows of {options.index}: results are padded with id -1")
    facts = {"index": options.index, "queries": len(I), "k": k, "metric": index.metric, "seconds": seconds}
    if options.output is None:
        terminal.result({**facts, "D": D.tolist(), "I": I.tolist()}, _few(D, I, index.metric))
    else:
        write_results(options.output, D, I if I.dtype != object else np.where(np.array(None) == I, "", I).astype(str))
        rate = len(I) / max(seconds, 1e-9)
        text = f"{options.output}: {k} neighbours of {len(I):,} queries, {rate:,.0f} queries a second"
        terminal.done({**facts, "file": options.output}, [text])


@contextlib.contextmanager
def _opened(
    options: argparse.Namespace, terminal: Terminal, progress: Progress
) -> Iterator[tuple[AnyIndex | Store | ClusterStore, dict[str, Any]]]:
    """Yield the index, and what its searches are to be told."""
    threads = as_threads(options.threads)
    if options.ray is None:
        progress("opening", 0, 0)
        index = open_store(options.index, read_only=True) if is_store(options.index) else read_index(options.index)
        yield index, {"threads": threads, **_adjust(index, options)}
        return
    for name in ("k_factor", "margin"):
        if getattr(options, name) is not None:
            raise InputError(f"expected --{name.replace('_', '-')} or --ray, got both")
    progress("joining the cluster", 0, 0)
    with joined(options, terminal) as machines:
        progress("opening", 0, 0)
        held = ClusterStore(options.index, machines, threads=1 if options.threads is None else threads)
        _look_at(held, options)
        yield held, {}


def _adjust(index: AnyIndex | Store, options: argparse.Namespace) -> dict[str, Any]:
    """Make an index as the options want it, and return what its searches are to be told."""
    if options.k_factor is not None:
        if not isinstance(index, IndexRefineLPLR):
            raise InputError(f"expected --k-factor only for an index with a second stage, which {options.index} lacks")
        index.k_factor = options.k_factor
    _look_at(index.base_index if isinstance(index, IndexRefineLPLR) else index, options)
    if options.margin is None:
        return {}
    if not isinstance(index, IndexLPLR):
        has = "a second stage" if isinstance(index, IndexRefineLPLR) else "segments"
        raise InputError(f"expected --margin only for an index without {has}, which {options.index} has")
    return {"margin": options.margin}


def _look_at(index: IndexLPLR | Store | ClusterStore, options: argparse.Namespace) -> None:
    """Say how many lists of an index are to be looked at, if the options do."""
    if options.nprobe is None:
        return
    if not isinstance(index, IndexIVFLPLR | Store | ClusterStore) or not index.nlist:
        raise InputError(f"expected --nprobe only for an index in lists, which {options.index} is not")
    index.nprobe = options.nprobe


def search_file(
    index: AnyIndex | Store | ClusterStore, source: VectorFile, k: int, progress: Progress, **how: Any
) -> tuple[FloatMatrix, npt.NDArray[Any]]:
    """Return D and I (n, k) for the n queries of a file, read a batch at a time; ``how`` goes to ``index.search``."""
    D, I = np.empty((source.n, k), np.float32), np.empty((source.n, k), object if _strings(index) else np.int64)
    progress("searching", 0, source.n)
    with naming_zero_rows(source, cosine=index.metric == "cosine") as look:
        for start, xq in source.chunks(BATCH):
            stop = start + len(xq)
            look(range(start, stop), xq)
            D[start:stop], I[start:stop] = index.search(xq, k, **how)
            progress("searching", stop, source.n)
    return D, I


def _strings(index: AnyIndex | Store | ClusterStore) -> bool:
    return isinstance(index, Store | ClusterStore) and index.ids == "str"


def _read_ids(path: str, index: AnyIndex | Store | ClusterStore) -> npt.NDArray[Any]:
    """Return the ids of a file, (n,), of the kind that an index has, or, of integers, a mask."""
    return read_list(path) if _strings(index) else read_numbers(path)


def _check(options: argparse.Namespace, index: AnyIndex | Store | ClusterStore, source: VectorFile) -> None:
    """See that index, queries and output go together."""
    if source.d != index.d:
        raise InputError(f"expected {source.path} to have {index.d} columns, as {options.index} has, got {source.d}")
    if options.output is not None:
        next_id = index.info()["next_id"] if isinstance(index, Store | ClusterStore) else index.rows.ids.next_id
        check_results(options.output, next_id - 1, strings=_strings(index))


def _few(D: FloatMatrix, I: npt.NDArray[Any], metric: str) -> list[str]:
    """Return the first neighbours of the first queries, a line each."""
    score = "squared distance, smaller is nearer" if metric == "l2" else "similarity, larger is nearer"
    lines = [f"query: id ({score}), nearest first"]
    for query, (distances, ids) in enumerate(zip(D[:SHOWN_QUERIES], I[:SHOWN_QUERIES], strict=True)):
        found = [f"{i} ({s:.4f})" for s, i in zip(distances, ids, strict=True) if i not in (-1, None)]
        more = ["..."] if len(found) > SHOWN_NEIGHBOURS else []
        lines.append(f"{query}: " + ("  ".join(found[:SHOWN_NEIGHBOURS] + more) or "nothing"))
    if len(I) > SHOWN_QUERIES:
        lines.append(f"{len(I) - SHOWN_QUERIES:,} more queries: -o FILE writes all neighbours of all of them")
    return lines
