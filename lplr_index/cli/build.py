"""Build an index of the vectors in a file, a folder or a pattern.

The vectors may be larger than memory: a sample of them is read for training, then all of them in chunks.
Memory is that of the packed rows and, beside them, the larger of some 200 MB and seven times the training sample
as float32, which at most 65,536 rows make; --train-rows makes it smaller.

With --ray the workers of a cluster do it, which read EMB by the same path, and INDEX becomes a folder: a store, which
search, info and verify take in place of a file. Its codes are those of the file, bit by bit.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from lplr_index.atomic import check_new
from lplr_index.building import build_index
from lplr_index.cli.cluster import add_ray, check_ray, joined
from lplr_index.cli.info import describe, in_words
from lplr_index.cli.lists import read_numbers
from lplr_index.cli.options import add_key, add_metric, add_seed, add_threads
from lplr_index.cli.output import Terminal, check_output
from lplr_index.cluster import build_store
from lplr_index.cluster.slices import SLICE_ROWS
from lplr_index.errors import InputError
from lplr_index.factory import index_factory
from lplr_index.index import IndexLPLR
from lplr_index.refine import AnyIndex
from lplr_index.settings import METHODS
from lplr_index.storage import write_index
from lplr_index.store import open_store
from lplr_index.threads import as_threads
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import open_vectors

EXAMPLE = "lplr-index build vectors.npy -o vectors.lplr --bits 1 --metric cosine"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("vectors", metavar="EMB", help="the vectors: a file, a folder, or a pattern in quotes")
    parser.add_argument("-o", "--output", metavar="INDEX", required=True, help="the index file to write")
    parser.add_argument("--bits", type=float, help="bits a coordinate, everything that grows with rows included (1.0)")
    parser.add_argument(
        "--factory",
        metavar="TEXT",
        help="instead of --bits and --method: LPLR1.0, IVF4096,LPLR1.0, NQ4, ...; LPLR1.0,RFlat reranks by EMB itself",
    )
    add_metric(parser)
    parser.add_argument("--method", choices=METHODS, help="how rows are coded (auto)")
    parser.add_argument("--rank", type=int, help="columns of L, for the methods other than auto")
    parser.add_argument("--nbits", type=int, help="bits of an entry of L, for the methods other than auto")
    add_seed(parser)
    parser.add_argument(
        "--train-rows",
        metavar="N",
        type=int,
        default=TRAIN_ROWS,
        help=f"rows to train on, drawn from the whole file ({TRAIN_ROWS})",
    )
    add_key(parser)
    parser.add_argument("--ids", metavar="FILE", help="ids of the rows, .npy or one a line; they count from 0 without")
    add_threads(parser)
    add_ray(parser)
    parser.add_argument("--slice-rows", metavar="N", type=int, help=f"rows of a segment, with --ray ({SLICE_ROWS})")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Build the index and say what became of it."""
    check_ray(options, "slice_rows")
    began_s = time.perf_counter()
    facts, words = _build_store(options, terminal) if options.ray is not None else _build(options, terminal)
    seconds = time.perf_counter() - began_s
    terminal.done({**facts, "seconds": seconds}, [f"{words}; built in {seconds:.1f} s"])


def _build(options: argparse.Namespace, terminal: Terminal) -> tuple[dict[str, Any], str]:
    """Build a file in this process; return what it is, for JSON and in words."""
    check_output(options.output, options.vectors, options.ids)
    threads = as_threads(options.threads)
    with open_vectors(options.vectors, key=options.key) as source, terminal.bars() as bars:
        index = make_index(source.d, options)
        ids = None if options.ids is None else read_numbers(options.ids)
        build_index(source, index, ids=ids, train_rows=options.train_rows, threads=threads, progress=bars)
        bars("writing", 0, 0)
        write_index(index, options.output)
    facts = describe(index, options.output)
    return facts, in_words(facts)


def _build_store(options: argparse.Namespace, terminal: Terminal) -> tuple[dict[str, Any], str]:
    """Build a store on a cluster; return what it is, for JSON and in words."""
    if options.threads is not None:
        raise InputError("expected --threads or --ray, whose workers have one thread each, got both")
    check_new(options.output)
    rows = {} if options.slice_rows is None else {"slice_rows": options.slice_rows}
    with open_vectors(options.vectors, key=options.key) as source, terminal.bars() as bars:
        index = make_index(source.d, options)
        ids = None if options.ids is None else read_numbers(options.ids)
        bars("joining the cluster", 0, 0)
        with joined(options, terminal) as machines:
            how = {"ids": ids, "train_rows": options.train_rows, "key": options.key, "progress": bars, **rows}
            build_store(source, index, options.output, machines=machines, **how)
    with open_store(options.output, read_only=True) as store:
        facts = store.info()
    size = facts["segment_bytes"] + facts["model_bytes"]
    lists = f" and {facts['lists']:,} lists" if facts["lists"] else ""
    return facts, (
        f"{options.output}: {facts['rows']:,} rows of {facts['d']} in {facts['segments']:,} segments{lists} of "
        f"{facts['code_bytes']} bytes a row ({facts['bits']:.2f} bits a coordinate, {facts['metric']}, "
        f"{facts['method']}); {size:,} bytes"
    )


def make_index(d: int, options: argparse.Namespace) -> AnyIndex:
    """Return the empty index for vectors of ``d`` dimensions that the options describe.

    Raises
    ------
    InputError
        If they describe none, or two.
    """
    if options.factory is None:
        return IndexLPLR(
            d,
            bits=1.0 if options.bits is None else options.bits,
            metric=options.metric,
            method=options.method or "auto",
            rank=options.rank,
            nbits=options.nbits,
            seed=options.seed,
        )
    for name in ("bits", "method", "rank", "nbits"):
        if getattr(options, name) is not None:
            raise InputError(f"expected --factory or --{name}, got both")
    refine = {"originals": options.vectors, "key": options.key} if options.factory.strip().endswith(",RFlat") else {}
    return index_factory(d, options.factory, options.metric, seed=options.seed, **refine)
