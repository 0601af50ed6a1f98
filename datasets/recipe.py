"""What the recipes have in common: a command line, two splits, and files that survive an interruption.

Each writes ``train.npy`` and ``test.npy`` with ``_labels.txt``, ``_items.csv`` and ``_manifest.json`` beside them:
``lplr-index evaluate train.npy --queries test.npy --labels train_labels.txt --query-labels test_labels.txt``.
Interrupted, run it again: what is finished is compared with its checksum and kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fetching import CACHE, RecipeError
from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.cli.output import Terminal
from lplr_index.embedding import Encoder, Item, Source, embed
from lplr_index.embedding.job import DTYPES
from lplr_index.errors import LPLRError
from lplr_index.vectors.base import draw_rows

SEED = 0
SPLITS = ("train", "test")
Options = argparse.Namespace


@dataclass(frozen=True)
class Recipe:
    """One data set.

    Attributes
    ----------
    description : str
        What ``--help`` says.
    sources : callable
        Returns the two splits, by the options.
    encoder : callable
        Returns the model, by the options.
    configure : callable, optional
        Declares options of its own.
    """

    description: str
    sources: Callable[[Options], Mapping[str, Source]]
    encoder: Callable[[Options], Encoder]
    configure: Callable[[argparse.ArgumentParser], object] = lambda _parser: None


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> int:
    """Run a recipe and return the exit status: 0, 2 after one line that says why, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=recipe.description)
    recipe.configure(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"where downloads are kept ({CACHE})")
    for split in SPLITS:
        parser.add_argument(f"--{split}-rows", type=int, metavar="N", help=f"{split} rows, a seeded choice (all)")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=f"of the numbers ({DTYPES[0]})")
    parser.add_argument("--renew", action="store_true", help="start over, where DIR holds vectors of another model")
    options = parser.parse_args(arguments)
    terminal = Terminal()
    try:
        with terminal.warnings_as_lines():
            make(recipe, options, terminal)
    except (RecipeError, LPLRError, OSError) as err:
        terminal.error(str(err))
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def make(recipe: Recipe, options: Options, terminal: Terminal) -> None:
    """Embed both splits and say what is there."""
    options.out.mkdir(parents=True, exist_ok=True)
    with terminal.bars() as bars:
        bars("fetching", 0, 0)
        sources = recipe.sources(options)
        bars("loading the model", 0, 0)
        encoder = recipe.encoder(options)
        for split in SPLITS:
            source = some(sources[split], getattr(options, f"{split}_rows"))
            done = embed(
                source,
                encoder,
                options.out,
                split=split,
                dtype=options.dtype,
                renew=options.renew,
                progress=lambda stage, done, total, split=split: bars(f"{stage} {split}", done, total),
            )
            left_out = f", {len(done.left_out)} items left out" if done.left_out else ""
            text = f"{done.files.vectors}: {done.n:,} rows of {done.d}, {done.kept:,} of them kept{left_out}"
            terminal.lines([text])


def some(source: Source, rows: int | None) -> Source:
    """Return a seeded choice of the items of a source, in their order; all of them where ``rows`` is None."""
    if rows is None:
        return source
    rows = as_integer(rows, "rows", least=1, most=source.count)
    chosen = set(draw_rows(source.count, rows, SEED).tolist())

    def items() -> Iterator[Item]:
        return (item for number, item in enumerate(source.items()) if number in chosen)

    return replace(source, count=rows, items=items, facts={**source.facts, "seed": SEED})


def arrays_as_source(
    name: str, x: Sequence[npt.NDArray[Any]] | npt.NDArray[Any], labels: Sequence[str] | None, ids: Sequence[str] | None
) -> Source:
    """Return the rows of an array of shape (n, ...) in memory as a source; rows without ids are counted from 0."""

    def items() -> Iterator[Item]:
        for row, content in enumerate(x):
            yield Item(str(row) if ids is None else ids[row], content, None if labels is None else labels[row])

    return Source({"kind": "recipe", "name": name}, len(x), items, is_labelled=labels is not None)


class AsTheyAre:
    """An encoder for what is a vector already, or pixels to be taken as one: (n, ...) numbers to (n, d) float32."""

    stride = 4096
    versions: Mapping[str, str] = {}

    def __init__(self, what: str) -> None:
        self.identity = {"model": "none", "what": what}

    @staticmethod
    def prepare(content: Any) -> FloatMatrix:
        """Return one item as a row, float32 of shape (d,)."""
        return np.asarray(content, np.float32).reshape(-1)

    @staticmethod
    def encode(prepared: list[Any]) -> FloatMatrix:
        """Return n rows as a matrix, float32 of shape (n, d)."""
        return np.stack(prepared)


def add_model(parser: argparse.ArgumentParser, default: str, which: str) -> None:
    """Declare ``--model``, ``--batch`` and ``--device``."""
    parser.add_argument("--model", default=default, help=f"{which} ({default})")
    parser.add_argument("--batch", type=int, metavar="N", help="computed at once (what suits the device)")
    parser.add_argument("--device", help="cpu, cuda, mps, ... (the fastest there is)")


def run(recipe: Recipe) -> None:
    """Run a recipe as a program."""
    sys.exit(main(recipe))
