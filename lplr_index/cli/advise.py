"""Say how many bits to take for a recall, or what recall to expect of a size, from a sample.

Some thousand rows are trained on, some ten thousand others are indexed at a few sizes, and recall is measured and
followed to the rows that the file has. The time does not depend on how many those are: less than a minute up to about
a thousand dimensions, once everything is compiled.
"""

from __future__ import annotations

import argparse
import shlex
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lplr_index.arrays import FloatMatrix
from lplr_index.building import naming_zero_rows
from lplr_index.cli.options import add_k, add_key, add_metric, add_seed
from lplr_index.cli.output import Terminal
from lplr_index.errors import InputError, ZeroVectorWarning
from lplr_index.evaluation.recommendation import bits_of, times_smaller
from lplr_index.evaluation.rehearsal import QUERIES, Expectation, Rehearsal, find_size, sample_size
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import open_vectors
from lplr_index.vectors.base import VectorFile, draw_rows

EXAMPLE = "lplr-index advise vectors.npy --recall 0.95"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("vectors", metavar="EMB", help="the vectors: a file, a folder, or a pattern in quotes")
    add_key(parser)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--recall", metavar="SHARE", type=float, help="of the true neighbours to be found: 0.95")
    wanted.add_argument("--bytes", metavar="N", type=int, help="bytes that a row may cost: 64")
    parser.add_argument("--queries", metavar="Q", help=f"queries, {QUERIES} drawn if more; some rows if not given")
    parser.add_argument("--query-key", metavar="NAME", help="as --key, for the queries")
    add_metric(parser)
    add_k(parser)
    add_seed(parser)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Draw a sample, rehearse, and say what came out."""
    if options.recall is not None and not 0 < options.recall < 1:
        raise InputError(f"expected --recall above 0 and below 1, got {options.recall:g}")
    if options.query_key is not None and options.queries is None:
        raise InputError("expected --queries with --query-key, got none")
    with terminal.bars("sizes") as bars:
        bars("reading", 0, 0)
        with open_vectors(options.vectors, key=options.key) as source:
            n, d = source.n, source.d
            if options.bytes is not None and not 1 <= options.bytes <= d:
                raise InputError(f"expected --bytes from 1 to {d}, 8 bits a coordinate, got {options.bytes}")
            x = _some_rows(source, sample_size(d), options)
        xq = _queries(options, d)
        bars("searching exactly", 0, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroVectorWarning)  # the file's rows have been named once
            rehearsal = Rehearsal(x, xq, n=n, metric=options.metric, k=options.k, seed=options.seed)
            document = _rehearse(rehearsal, options, bars)
    terminal.result(document, _in_words(document))


def _rehearse(rehearsal: Rehearsal, options: argparse.Namespace, bars: Any) -> dict[str, Any]:
    """Try some sizes; return all there is to say, ready for JSON."""

    def tell(done: int, bits: float) -> None:
        bars("trying", done, 0, f"{bits:.2f} bits")

    if options.bytes is not None:
        tell(0, 8 * options.bytes / rehearsal.d)
        tried = [rehearsal.at(float(bits_of(options.bytes, rehearsal.d)))]
        nbytes: int | None = options.bytes
    else:
        need, tried = find_size(rehearsal, options.recall, tell)
        nbytes = need.nbytes if need else None
    about = {
        "file": options.vectors,
        "rows": rehearsal.n,
        "d": rehearsal.d,
        "metric": rehearsal.metric,
        "k": rehearsal.k,
        "wanted_recall": options.recall,
        "wanted_bytes": options.bytes,
        "trained_rows": rehearsal.trained,
        "indexed_rows": rehearsal.indexed,
        "queries": rehearsal.asked,
        "tried": [asdict(each) for each in tried],
        "advice": None,
    }
    if nbytes is None:
        return about
    near = min(tried, key=lambda one: (abs(one.nbytes - nbytes), one.nbytes))
    file_bytes = near.fixed_bytes + rehearsal.n * nbytes
    advice = {
        "bits": float(bits_of(nbytes, rehearsal.d)),
        "bytes": nbytes,
        "recall": near.recall if near.nbytes == nbytes else options.recall,
        "spread": near.spread,
        "file_bytes": file_bytes,
        "row_compression": 4 * rehearsal.d / nbytes,
        "compression": 4 * rehearsal.d * rehearsal.n / file_bytes,
        "command": _command(options, bits_of(nbytes, rehearsal.d)),
    }
    return about | {"advice": advice}


def _command(options: argparse.Namespace, bits: str) -> str:
    """Return the command that builds what is advised."""
    target = Path(options.vectors).with_suffix(".lplr").name if Path(options.vectors).is_file() else "index.lplr"
    more = ["--key", options.key] if options.key else []
    more += ["--metric", options.metric] if options.metric != "cosine" else []
    more += ["--seed", str(options.seed)] if options.seed else []
    return shlex.join(["lplr-index", "build", options.vectors, "-o", target, "--bits", bits, *more])


def _in_words(document: dict[str, Any]) -> list[str]:
    tried = [Expectation(**each) for each in document["tried"]]
    n, k, d, advice = document["rows"], document["k"], document["d"], document["advice"]
    lines = []
    if advice is None:
        most = max(tried, key=lambda one: one.recall)
        lines.append(
            f"No size reaches {document['wanted_recall']:g} recall@{k}: {most.nbytes} bytes a row are expected to find "
            f"{most.recall:.3f}. A second look would: see --factory LPLR1.0,RFlat of build."
        )
    else:
        nbytes = advice["bytes"]
        size = f"{bits_of(nbytes, d)} bits a coordinate, {nbytes} bytes a row, {times_smaller(nbytes, d)} times smaller"
        start = f"Expect {advice['recall']:.3f} recall@{k} of" if document["wanted_bytes"] else "Take"
        if document["wanted_recall"] is not None:
            size += f", for {document['wanted_recall']:g} recall@{k}"
        file = f"about {advice['file_bytes']:,} bytes for {n:,} rows, {advice['compression']:.1f} times smaller"
        lines += [
            f"{start} {size}.",
            f"{'recall':<10}{advice['recall']:.3f} expected, give or take {2 * advice['spread']:.3f}",
            f"{'file':<10}{file}",
            f"{'build':<10}{advice['command']}",
        ]
    lines += ["", f"{'bits':>8}{'bytes':>8}{'in sample':>12}{'expected':>11}{'give or take':>15}"]
    lines += [
        f"{each.bits:>8.2f}{each.nbytes:>8}{each.sampled:>12.3f}{each.recall:>11.3f}{2 * each.spread:>15.3f}"
        for each in tried
    ]
    asked, indexed, trained = (f"{document[name]:,}" for name in ("queries", "indexed_rows", "trained_rows"))
    return [
        *lines,
        f"In sample: {asked} queries among {indexed} rows, {trained} others trained on.",
        f"Expected: followed to {n:,} rows; give or take: two standard errors, of asking few queries.",
        f"A build trains on {min(n, TRAIN_ROWS):,} rows and chooses its recipe by them: it mostly finds a little more.",
    ]


def _queries(options: argparse.Namespace, d: int) -> FloatMatrix | None:
    if options.queries is None:
        return None
    with open_vectors(options.queries, key=options.query_key) as source:
        if source.d != d:
            raise InputError(
                f"expected {options.queries} to have {d} columns, as {options.vectors} has, got {source.d}"
            )
        return _some_rows(source, QUERIES, options)


def _some_rows(source: VectorFile, most: int, options: argparse.Namespace) -> FloatMatrix:
    """At most so many rows (rows, d) of a file, a seeded choice."""
    rows = draw_rows(source.n, min(most, source.n), options.seed)
    with naming_zero_rows(source, cosine=options.metric == "cosine") as look:
        x = source.take(rows)
        look(rows, x)
    return x
