"""Show what evaluate measured as one page to look at.

The page is one file, needs no network, and has charts, a recommendation and every number in a table.
Several results make one page with a section each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lplr_index.cli.evaluate import STEM
from lplr_index.cli.output import Terminal, check_output
from lplr_index.evaluation import read_json
from lplr_index.reporting import write_page

EXAMPLE = "lplr-index report report/evaluation.json -o report.html"
OUTPUT = "report.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results", metavar="RESULTS", nargs="+", help=f"{STEM}.json as evaluate -o writes it, or the folder it is in"
    )
    parser.add_argument("-o", "--output", metavar="HTML", default=OUTPUT, help=f"the page to write ({OUTPUT})")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Read, render and write."""
    files = [str(each / f"{STEM}.json" if each.is_dir() else each) for each in map(Path, options.results)]
    for file in files:
        check_output(options.output, file)
    results = [read_json(file) for file in files]
    write_page(results, options.output)
    nbytes = Path(options.output).stat().st_size
    document = {"file": options.output, "results": files, "file_bytes": nbytes}
    names = ", ".join(result.conditions.data or "without a name" for result in results)
    terminal.done(document, [f"{options.output}: {names}; {nbytes:,} bytes, to be opened in any browser"])
