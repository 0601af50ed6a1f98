"""What a margin misses: the part of the ten best rows of a whole search that ``search(..., margin=x)`` finds.

    python benchmarks/margins.py [FOLDER ...] [--bits 1 2 4] [--margins 3 4 5 6] [--write]

On the posts of the package and every folder given; one random half of the rows is trained on, the other indexed.
With --write the table goes into docs/search.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pages import DOCS, table, write
from quality import Embeddings
from rich.progress import track

from lplr_index import IndexLPLR
from lplr_index.evaluation import Task

K = 10


def line(task: Task, bits: float, margins: list[float]) -> list[str]:
    """Bytes of the heads and of rows, and the part that each margin finds."""
    index = IndexLPLR(task.xb.shape[1], bits=bits)
    index.train(task.xt)
    index.add(task.xb)
    form, (_, whole) = index.model.form, index.search(task.xq, K)
    found = [index.search(task.xq, K, margin=margin)[1] for margin in margins]
    same = [float((whole[:, :, None] == some[:, None, :]).any(axis=2).mean()) for some in found]
    return [f"{bits:g}", f"{form.head_size} of {form.code_size}", *(f"{share:.4f}" for share in same)]


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[1.0, 2.0, 4.0])
    parser.add_argument("--margins", nargs="+", type=float, default=[3.0, 4.0, 5.0, 6.0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sets = [Embeddings.of_the_package(), *map(Embeddings.read, options.folders)]
    lines = [
        [one.name, *line(one.task(0), bits, options.margins)]
        for one, bits in track([(one, bits) for one in sets for bits in options.bits], "sets and budgets")
    ]
    mean = [f"{np.mean([float(each[3 + i]) for each in lines]):.4f}" for i in range(len(options.margins))]
    head = ["set", "bits", "bytes in heads", *(f"margin {margin:g}" for margin in options.margins)]
    text = table(head, [*lines, ["mean", "", "", *mean]])
    print(text)
    if options.write:
        write(DOCS / "search.md", {"margins": text})


if __name__ == "__main__":
    main()
