"""Compare every byte of an index file, or of a store's files, with its checksums.

The exit status is 0 for a whole, unchanged index or store, and 2 for anything else, with one line that says what is
wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lplr_index.cli.output import Terminal
from lplr_index.errors import FormatError
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.refine import AnyIndex, IndexRefineLPLR
from lplr_index.storage import verify_index
from lplr_index.store import Store, is_store, open_store

EXAMPLE = "lplr-index verify vectors.lplr && echo whole"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("index", metavar="INDEX", help="the index file, or the folder of a store")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Verify the file."""
    index: AnyIndex | Store
    with terminal.bars() as bars:
        bars("verifying", 0, 0)
        if is_store(options.index):
            index, size = _store(options.index)
        else:
            index, size = verify_index(options.index), Path(options.index).stat().st_size
    lists = _lists(index)
    document = {"file": options.index, "rows": index.ntotal, "lists": lists, "file_bytes": size, "valid": True}
    rows = f"{index.ntotal:,} rows in {lists:,} lists and" if lists else f"{index.ntotal:,} rows in"
    terminal.done(document, [f"{options.index}: whole and unchanged, {rows} {size:,} bytes"])


def _lists(index: AnyIndex | Store) -> int:
    """Return how many lists the rows are dealt out to, 0 where they are not."""
    base = index.base_index if isinstance(index, IndexRefineLPLR) else index
    return base.nlist if isinstance(base, IndexIVFLPLR | Store) else 0


def _store(path: str) -> tuple[Store, int]:
    """Verify a store; return it and the bytes of its files."""
    store = open_store(path, read_only=True)
    if wrong := store.verify():
        more = f"; {len(wrong) - 1} more of its files are damaged" if len(wrong) > 1 else ""
        raise FormatError(f"{wrong[0]}{more}")
    return store, sum(each.stat().st_size for each in Path(path).iterdir())
