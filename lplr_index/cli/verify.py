"""Compare every byte of an index file with its checksums.

The exit status is 0 for a whole, unchanged index, and 2 with one line that says what is wrong for anything else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lplr_index.cli.output import Terminal
from lplr_index.storage import verify_index

EXAMPLE = "lplr-index verify vectors.lplr && echo whole"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("index", metavar="INDEX", help="the index file")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Verify the file."""
    with terminal.bars() as bars:
        bars("verifying", 0, 0)
        index = verify_index(options.index)
    size = Path(options.index).stat().st_size
    document = {"file": options.index, "rows": index.ntotal, "file_bytes": size, "valid": True}
    terminal.done(document, [f"{options.index}: whole and unchanged, {index.ntotal:,} rows in {size:,} bytes"])
