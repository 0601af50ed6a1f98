"""Measure recall, accuracy, bytes and times on your vectors, beside faiss and other packages.

One half of the rows is trained on, the other is indexed, and every index is measured at the bytes it takes in a file.
Other packages are measured if they are installed, and named if they are not; --peers chooses among them.
With -o the table goes to evaluation.csv and evaluation.json there, a plot to evaluation.png and .svg, and a page with
all of it to report.html.
Everything is held in memory: --rows says how many rows are drawn from a larger file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.atomic import check_writable
from lplr_index.building import Progress, naming_zero_rows
from lplr_index.cli.lists import read_list
from lplr_index.cli.options import add_k, add_key, add_metric, add_seed, names, numbers
from lplr_index.cli.output import Terminal, output_folder
from lplr_index.errors import InputError, MissingDependencyError, ZeroVectorWarning
from lplr_index.evaluation import PEERS, SweepResult, render, save_plot, sweep, write_csv, write_json
from lplr_index.evaluation.contenders import chosen_peers
from lplr_index.extras import require
from lplr_index.reporting import check_installed, write_page
from lplr_index.settings import METHODS
from lplr_index.threads import as_threads
from lplr_index.vectors import open_vectors
from lplr_index.vectors.base import draw_rows

EXAMPLE = "lplr-index evaluate vectors.npy --labels labels.npy --bits 0.5,1,2 -o report"
BITS = [0.5, 1.0, 2.0, 4.0]
ROWS = 20_000
MOST_QUERIES = 2_000
MOST_BITS = 8
OF_FOLDERS = ("vectors.npy", "train.npy")  # names that say nothing
STEM, TABLES, PLOTS, PAGE = "evaluation", (".csv", ".json"), (".png", ".svg"), "report.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("vectors", metavar="EMB", help="the vectors: a file, a folder, or a pattern in quotes")
    add_key(parser)
    parser.add_argument("--queries", metavar="Q", help=f"queries, {MOST_QUERIES} drawn if more; some rows if not given")
    parser.add_argument("--query-key", metavar="NAME", help="as --key, for the queries")
    parser.add_argument("--labels", metavar="L", help="a label a row of EMB, .npy or one a line")
    parser.add_argument("--query-labels", metavar="QL", help="a label a row of Q, .npy or one a line")
    parser.add_argument("--name", metavar="TEXT", help="what the results call the collection (as its file or folder)")
    parser.add_argument("--rows", metavar="N", type=int, default=ROWS, help=f"rows to draw from a larger file ({ROWS})")
    parser.add_argument("--bits", type=numbers, default=BITS, help="bits a coordinate, with commas (0.5,1,2,4)")
    parser.add_argument("--methods", type=names, default=list(METHODS), help=f"with commas ({','.join(METHODS)})")
    peers = parser.add_mutually_exclusive_group()
    known = ",".join(PEERS)
    peers.add_argument(
        "--peers", metavar="P", nargs="?", type=names, default=True, const=True, help=f"with commas ({known})"
    )
    peers.add_argument("--no-peers", dest="peers", action="store_false", help="ours alone")
    parser.add_argument("--thorough", action="store_true", help="train faiss as long as faiss does, for minutes")
    parser.add_argument("--breakdown", action="store_true", help="say where the errors of ours come from")
    add_metric(parser)
    add_k(parser)
    add_seed(parser)
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="threads for everything timed (1)")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the table, the plot and the page")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Measure, show and save."""
    _check(options)
    with contextlib.ExitStack() as stack:
        folder = None if options.output is None else stack.enter_context(output_folder(options.output))
        if folder is not None:
            check_files(folder)
        with terminal.bars("indexes") as bars:
            data = _read(options, bars)
            if folder is not None:
                warn_of_no_pictures(terminal)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ZeroVectorWarning)  # the file's rows have been named once
                result = sweep(
                    data.x,
                    data.xq,
                    bits=options.bits,
                    metric=options.metric,
                    k=options.k,
                    labels=data.labels,
                    query_labels=data.query_labels,
                    methods=options.methods,
                    peers=options.peers,
                    thorough=options.thorough,
                    breakdown=options.breakdown,
                    seed=options.seed,
                    threads=options.threads,
                    data=options.name or _name_of(options.vectors),
                    progress=lambda done, total, name: bars("measuring", done, total, name),
                )
        files = [] if folder is None else save(result, folder)
    terminal.result(
        {**dataclasses.asdict(result), "files": files},
        [*render(result).splitlines(), *(f"saved {file}" for file in files)],
    )


def _name_of(vectors: str) -> str:
    """Return the name of a collection: that of its folder for the files that ``embed`` and recipes write."""
    path = Path(vectors)
    return path.absolute().parent.name if path.name in OF_FOLDERS else path.name


def check_files(folder: Path) -> None:
    """Find out before the work whether ``save`` can write.

    Raises
    ------
    WriteError
        If it cannot.
    """
    for name in (*(f"{STEM}{suffix}" for suffix in (*TABLES, *PLOTS)), PAGE):
        check_writable(folder / name)


def warn_of_no_pictures(terminal: Terminal) -> None:
    """Say before the work if ``save`` will not draw."""
    for what, look in (("plot", lambda: require("matplotlib", "eval")), ("page", check_installed)):
        try:
            look()
        except MissingDependencyError as err:
            terminal.warn(f"no {what}: {err}")


def save(result: SweepResult, folder: Path) -> list[str]:
    """Write the table and, as far as what draws is installed, plot and page; return the names of the files."""
    stem = folder / STEM
    files = [Path(f"{stem}{suffix}") for suffix in TABLES]
    write_csv(result, files[0])
    write_json(result, files[1])
    with contextlib.suppress(MissingDependencyError):
        files += save_plot(result, stem)
    with contextlib.suppress(MissingDependencyError):
        write_page([result], folder / PAGE)
        files.append(folder / PAGE)
    return [str(file) for file in files]


class _Data(NamedTuple):
    """Rows x (n, d), queries xq (nq, d), and their labels (n,) and (nq,), as far as there are any."""

    x: FloatMatrix
    xq: FloatMatrix | None
    labels: npt.NDArray[Any] | None
    query_labels: npt.NDArray[Any] | None


def _check(options: argparse.Namespace) -> None:
    """Find out before the work what ``sweep`` would not accept, or would leave out of the table with a remark."""
    as_threads(options.threads)
    as_integer(options.k, "k", least=1)
    as_integer(options.rows, "rows", least=1)
    for bits in options.bits:
        if not 0 < bits <= MOST_BITS:
            raise InputError(f"expected bits above 0, at most {MOST_BITS}, got {bits:g}")
    for method in options.methods:
        if method not in METHODS:
            raise InputError(f"expected methods among {', '.join(METHODS)}, got {method}")
    chosen_peers(options.peers)
    for name in ("query_key", "query_labels"):
        if options.queries is None and getattr(options, name) is not None:
            raise InputError(f"expected --queries with --{name.replace('_', '-')}, got none")


def _read(options: argparse.Namespace, progress: Progress) -> _Data:
    """Read what the options name."""
    progress("reading", 0, 0)
    x, labels = _some_rows(options.vectors, options.key, options.labels, options.rows, options)
    if options.queries is None:
        return _Data(x, None, labels, None)
    xq, query_labels = _some_rows(
        options.queries, options.query_key, options.query_labels, MOST_QUERIES, options, d=x.shape[1]
    )
    if (labels is None) != (query_labels is None):
        raise InputError("expected --labels and --query-labels together, got one of them")
    return _Data(x, xq, labels, query_labels)


def _some_rows(
    path: str, key: str | None, labels: str | None, most: int, options: argparse.Namespace, d: int | None = None
) -> tuple[FloatMatrix, npt.NDArray[Any] | None]:
    """Return at most so many rows of a file, a seeded choice, and their labels."""
    with open_vectors(path, key=key) as source:
        if d not in (None, source.d):
            raise InputError(f"expected {path} to have {d} columns, as {options.vectors} has, got {source.d}")
        values = None if labels is None else read_list(labels)
        if values is not None and len(values) != source.n:
            raise InputError(f"expected {source.n} labels in {labels}, one for each row of {path}, got {len(values)}")
        rows = draw_rows(source.n, min(most, source.n), as_integer(options.seed, "seed"))
        with naming_zero_rows(source, cosine=options.metric == "cosine") as look:
            x = source.take(rows)
            look(rows, x)
    return x, None if values is None else values[rows]
