"""Say what is in an index file or a store, and of a file with vectors and queries where its errors come from.

The rows themselves are not read: see verify. With --vectors, what the index was made of, and --queries some of all
three are, and a table says what the rank, the bits of rows and the arithmetic of queries do to scores and to recall.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.cli.options import add_k, add_key
from lplr_index.cli.output import Terminal
from lplr_index.container import version_of
from lplr_index.errors import InputError
from lplr_index.evaluation import Breakdown, break_down, render_breakdown
from lplr_index.evaluation.breakdown import MOST_QUERIES, MOST_ROWS
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.originals import spread_rows
from lplr_index.refine import AnyIndex, IndexRefineLPLR
from lplr_index.storage import read_index
from lplr_index.store import is_store, open_store
from lplr_index.vectors import open_vectors

EXAMPLE = "lplr-index info vectors.lplr"
ID_BYTES = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("index", metavar="INDEX", help="the index file, or the folder of a store")
    parser.add_argument("--vectors", metavar="EMB", help="what the index was made of: a file, a folder, or a pattern")
    add_key(parser)
    parser.add_argument("--queries", metavar="Q", help="queries to measure errors with")
    parser.add_argument("--query-key", metavar="NAME", help="as --key, for the queries")
    add_k(parser)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Read the header and say it; with vectors and queries, measure."""
    if (options.vectors is None) != (options.queries is None):
        raise InputError("expected --vectors and --queries together, got one of them")
    if is_store(options.index):
        if options.vectors is not None:
            raise InputError(f"expected an index file for --vectors and --queries, got the store {options.index}")
        with open_store(options.index, read_only=True, skip_damaged=True) as store:
            stored = store.info()
        terminal.result(stored, _store_table(stored))
        return
    index = read_index(options.index, verify=False)
    facts = describe(index, options.index)
    lines = _table(facts)
    if options.vectors is not None:
        found = _break_down(index, options)
        facts["breakdown"] = dataclasses.asdict(found)
        lines += ["", *render_breakdown(found).splitlines()]
        if isinstance(index, IndexRefineLPLR):
            lines.append("Of the first stage: the second ranks its candidates anew.")
    terminal.result(facts, lines)


def _break_down(index: AnyIndex, options: argparse.Namespace) -> Breakdown:
    """Measure some rows, of which each is the row of its id in the vectors, or of its place where they are as many."""
    base = index.base_index if isinstance(index, IndexRefineLPLR) else index
    rows = spread_rows(base.ntotal, MOST_ROWS)
    with open_vectors(options.vectors, key=options.key) as source:
        numbers = rows if source.n == base.ntotal else base.rows.ids.all()[rows]
        if len(rows) and numbers.max() >= source.n:
            raise InputError(
                f"expected {options.vectors} to have the {base.ntotal} rows of {options.index}, or one for each id, "
                f"got {source.n} rows and the id {numbers.max()}"
            )
        order = np.argsort(numbers)
        x = source.take(numbers[order])[np.argsort(order)]
    with open_vectors(options.queries, key=options.query_key) as source:
        xq = source.take(spread_rows(source.n, MOST_QUERIES))
    return break_down(base, x, xq, k=options.k, rows=rows, name=str(options.index))


def describe(index: AnyIndex, path: str) -> dict[str, Any]:
    """Return what there is to know of an index that lies in the file ``path``, ready for JSON."""
    base = index.base_index if isinstance(index, IndexRefineLPLR) else index
    own_ids = len(index.rows.ids.stored) > 0
    list_bytes = base.sa_code_size() - base.code_size  # which only rows in lists have
    row_bytes = index.code_size + list_bytes + (ID_BYTES if own_ids else 0)
    file_bytes = Path(path).stat().st_size
    float32_bytes = 4 * index.d * index.ntotal
    return {
        "file": path,
        "format": version_of(path),
        "rows": index.ntotal,
        "d": index.d,
        "metric": index.metric,
        "method": base.method,
        "rank": base.model.codec.m if base.is_trained else None,
        "trained": index.is_trained,
        "bits": index.bits,
        "code_bytes": index.code_size,
        "id_bytes": ID_BYTES if own_ids else 0,
        "list_bytes": list_bytes,
        "row_bytes": row_bytes,
        "fixed_bytes": file_bytes - row_bytes * index.ntotal,
        "file_bytes": file_bytes,
        "float32_bytes": float32_bytes,
        "compression": float32_bytes / file_bytes,
        "row_compression": 4 * index.d / row_bytes,
        "columns_by_bits": _columns_by_bits(base),
        "centroid_bytes": base.model.codec.stages if base.is_trained else 0,
        "gain_bits": base.model.gain.bits if base.is_trained else 0,
        "head_bytes": base.model.form.head_size if base.is_trained else 0,
        "lists": base.nlist if isinstance(base, IndexIVFLPLR) else 0,
        "nprobe": base.nprobe if isinstance(base, IndexIVFLPLR) else 0,
        "seed": base.settings.seed,
        "training": base.model.digest if base.is_trained else None,
        "refine": repr(index.refine) if isinstance(index, IndexRefineLPLR) else None,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the most of ``describe`` in one line."""
    times = facts["compression"]
    compared = f", {times:.1f} times smaller than float32"
    if times < 1:  # few rows, which the model outweighs, or none
        compared = f", {1 / times:.1f} times larger than float32" if times else ""
    return (
        f"{facts['file']}: {facts['rows']:,} rows of {facts['d']} in {facts['row_bytes']} bytes each "
        f"({facts['bits']:.2f} bits a coordinate, {facts['metric']}, {facts['method']}); "
        f"{facts['file_bytes']:,} bytes{compared}"
    )


def _columns_by_bits(index: IndexLPLR) -> dict[str, int]:
    """Return how many columns of L have how many bits, most first; of bits that columns share, each has a part."""
    if not index.is_trained:
        return {}
    bits, columns = np.unique(index.model.codec.column_bits, return_counts=True)
    return {f"{each:.3g}": int(count) for each, count in zip(bits[::-1], columns[::-1], strict=True)}


def _beside(facts: dict[str, Any]) -> list[str]:
    """Return what of a row's bytes is not its code."""
    parts = {"its id": facts["id_bytes"], "the number of its list": facts["list_bytes"]}
    return [f"{size} of them {what}" for what, size in parts.items() if size]


def _table(facts: dict[str, Any]) -> list[str]:
    columns = [f"{count} with {bits}" for bits, count in facts["columns_by_bits"].items()]
    lines = {
        "file": f"{facts['file']} (format {facts['format']})",
        "rows": f"{facts['rows']:,}",
        "dimension": f"{facts['d']}",
        "metric": facts["metric"],
        "method": facts["method"] if facts["trained"] else f"{facts['method']}, not trained",
        "bits": f"{facts['bits']:.2f} a coordinate",
        "bytes a row": ", ".join([f"{facts['row_bytes']}", *_beside(facts)]),
        "other bytes": f"{facts['fixed_bytes']:,}, which do not grow with rows",
        "file bytes": f"{facts['file_bytes']:,}",
        "compression": f"{facts['compression']:.1f} times against float32, {facts['row_compression']:.1f} rows alone",
        "columns": f"{', '.join(columns)} bits" if columns else "none",
        "centroids": f"{facts['centroid_bytes']} bytes a row",
        "gain": f"{facts['gain_bits']} bits a row",
        "head": f"{facts['head_bytes']} bytes a row, which a search with a margin looks at first",
        "lists": _lists(facts),
        "seed": f"{facts['seed']}",
        "training": facts["training"] or "none",
        "refine": facts["refine"] or "no second stage",
    }
    return [f"{name:<14}{value}" for name, value in lines.items()]


def _beside_code(facts: dict[str, Any]) -> list[str]:
    """Return what lists cost a row of a store."""
    return [f"and {facts['list_bytes']} for its list and its place there"] if facts["list_bytes"] else []


def _lists(facts: dict[str, Any]) -> str:
    """Return what there is to know of lists, of an index or a store."""
    return f"{facts['lists']:,}, of which a search looks at {facts['nprobe']}" if facts["lists"] else "none"


def _store_table(facts: dict[str, Any]) -> list[str]:
    """Return what there is to know of a store, a line each."""
    method = facts["method"] if facts["trained"] else f"{facts['method']}, not trained: rows are float32"
    lines = {
        "store": f"{facts['path']} (generation {facts['generation']})",
        "rows": f"{facts['rows']:,}, and {facts['deleted_rows']:,} deleted ones whose place is not free yet",
        "ids": {"int": "integers", "str": "strings"}[facts["ids"]],
        "dimension": f"{facts['d']}",
        "metric": facts["metric"],
        "method": method,
        "bits": f"{facts['bits']:.2f} a coordinate",
        "code bytes": ", ".join([f"{facts['code_bytes']} a row", *_beside_code(facts)]),
        "lists": _lists(facts),
        "segments": f"{facts['segments']:,}, of {facts['segment_bytes']:,} bytes",
        "journal": f"{facts['journal_rows']:,} rows",
        "model bytes": f"{facts['model_bytes']:,}",
        "seed": f"{facts['seed']}",
        "training": facts["training"] or "none",
        "damaged": "; ".join(facts["skipped"]) or "no segment, as far as headers tell: see verify",
    }
    return [f"{name:<14}{value}" for name, value in lines.items()]
