"""Build an index of the vectors in a file, a folder or a pattern.

The vectors may be larger than memory: a sample of them is read for training, then all of them in chunks.
Memory is that of the packed rows and, beside them, the larger of some 200 MB and seven times the training sample
as float32, which at most 65,536 rows make; --train-rows makes it smaller.
"""

from __future__ import annotations

import argparse
import time

from lplr_index.building import build_index
from lplr_index.cli.info import describe, in_words
from lplr_index.cli.lists import read_numbers
from lplr_index.cli.options import add_key, add_metric, add_seed, add_threads
from lplr_index.cli.output import Terminal, check_output
from lplr_index.errors import InputError
from lplr_index.factory import index_factory
from lplr_index.index import IndexLPLR
from lplr_index.refine import AnyIndex
from lplr_index.settings import METHODS
from lplr_index.storage import write_index
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
        help="instead of --bits and --method: LPLR1.0, LPLR64x4, NQ4, ...; LPLR1.0,RFlat reranks by EMB itself",
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


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Build the index and say what became of it."""
    check_output(options.output, options.vectors, options.ids)
    threads = as_threads(options.threads)
    began_s = time.perf_counter()
    with open_vectors(options.vectors, key=options.key) as source, terminal.bars() as bars:
        index = make_index(source.d, options)
        ids = None if options.ids is None else read_numbers(options.ids)
        build_index(source, index, ids=ids, train_rows=options.train_rows, threads=threads, progress=bars)
        bars("writing", 0, 0)
        write_index(index, options.output)
    seconds = time.perf_counter() - began_s
    facts = describe(index, options.output)
    document = {**facts, "seconds": seconds}
    terminal.done(document, [f"{in_words(facts)}; built in {seconds:.1f} s"])


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
