"""Show everything on real data that comes with the package.

From 12,000 newsgroup posts as sentence vectors, indexes are built at half a bit, one, two and four bits a
coordinate, held-out posts are searched, and every method is measured beside faiss's.
The indexes, the table and the plot are saved.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from pathlib import Path
from typing import Any

from lplr_index.atomic import check_writable
from lplr_index.cli.evaluate import BITS, check_files, save, warn_of_no_pictures
from lplr_index.cli.info import describe, in_words
from lplr_index.cli.output import Terminal, output_folder
from lplr_index.data import EmbeddedSet, newsgroups
from lplr_index.evaluation import SweepResult, render, sweep
from lplr_index.index import IndexLPLR
from lplr_index.storage import write_index

EXAMPLE = "lplr-index demo --output demo_output"
SHOWN_BITS = 1.0
SHOWN_QUERIES = 6
NEIGHBOURS = 5
PEERS = ("faiss",)  # whatever else is installed: the demonstration is the same everywhere


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-o", "--output", metavar="DIR", default="demo_output", help="folder to save in (demo_output)")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Build, search, measure, save."""
    posts = newsgroups()
    with output_folder(options.output) as folder:
        check_files(folder)
        for bits in BITS:
            check_writable(_path(folder, bits))
        warn_of_no_pictures(terminal)
        indexes = _build(posts, folder, terminal)
        searches = _search(posts, indexes[SHOWN_BITS], terminal)
        result, files = _measure(posts, folder, terminal)
    facts = [describe(index, str(_path(folder, bits))) for bits, index in indexes.items()]
    table = dataclasses.asdict(result)
    terminal.result(
        {"indexes": facts, "searches": searches, "evaluation": table, "files": files},
        [f"saved {file}" for file in files],
    )


def _path(folder: Path, bits: float) -> Path:
    return folder / f"newsgroups-{bits:g}-bits.lplr"


def _build(posts: EmbeddedSet, folder: Path, terminal: Terminal) -> dict[float, IndexLPLR]:
    """Build and save an index of all training posts at each number of bits."""
    n, d = posts.train.shape
    terminal.lines([f"{n:,} newsgroup posts, sentence vectors of {d} dimensions, {4 * n * d:,} bytes as float32", ""])
    indexes = {}
    with terminal.bars("indexes") as bars:
        for done, bits in enumerate(BITS):
            bars("building", done, len(BITS), f"at {bits:g} bits")
            index = IndexLPLR(d, bits=bits, metric="cosine")
            index.train(posts.train)
            index.add(posts.train)
            write_index(index, _path(folder, bits))
            indexes[bits] = index
            terminal.lines([in_words(describe(index, str(_path(folder, bits))))])
    return indexes


def _search(posts: EmbeddedSet, index: IndexLPLR, terminal: Terminal) -> list[dict[str, Any]]:
    """Search held-out posts, and show the newsgroups of some and of what was found."""
    with terminal.bars("queries") as bars:
        bars("searching", 0, len(posts.test))
        D, I = index.search(posts.test, NEIGHBOURS)
    hits = posts.train_labels[I] == posts.test_labels[:, None]
    found = []
    for query in range(0, len(posts.test), len(posts.test) // SHOWN_QUERIES)[:SHOWN_QUERIES]:
        neighbours = [
            {"id": int(i), "label": posts.label_names[posts.train_labels[i]], "similarity": float(similarity)}
            for similarity, i in zip(D[query], I[query], strict=True)
        ]
        found.append({"query": query, "label": posts.label_names[posts.test_labels[query]], "neighbours": neighbours})
    share = f"{hits.mean():.1%} of their {NEIGHBOURS} nearest neighbours are of the same newsgroup"
    terminal.lines(["", f"{len(posts.test):,} later posts searched at {index.bits:g} bit a coordinate: {share}"])
    terminal.lines(
        ["some of them (* same newsgroup, similarity in brackets):", *itertools.chain(*map(_example, found))]
    )
    return found


def _example(found: dict[str, Any]) -> list[str]:
    """Return a query and its neighbours as lines."""
    lines = [f"post {found['query']}, {found['label']}"]
    for each in found["neighbours"]:
        mark = "*" if each["label"] == found["label"] else " "
        lines.append(f"  {mark} {each['label']:<26} post {each['id']:<6} ({each['similarity']:.3f})")
    return lines


def _measure(posts: EmbeddedSet, folder: Path, terminal: Terminal) -> tuple[SweepResult, list[str]]:
    """Measure every method beside faiss's, show the table and save it."""
    terminal.lines(["", "every method beside faiss's: trained on half of the posts, filled with the other half"])
    with terminal.bars("indexes") as bars:
        result = sweep(
            posts.train,
            posts.test,
            bits=BITS,
            metric="cosine",
            peers=PEERS,
            labels=posts.train_labels,
            query_labels=posts.test_labels,
            data="20 Newsgroups, MiniLM",
            progress=lambda done, total, name: bars("measuring", done, total, name),
        )
    terminal.lines(["", *render(result).splitlines(), ""])
    files = [str(_path(folder, bits)) for bits in BITS] + save(result, folder)
    return result, files
