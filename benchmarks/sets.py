"""Everyone on the sets whose results are committed: what ``lplr-index evaluate`` measures.

    python benchmarks/sets.py [FOLDER ...] [--out benchmarks/results]

Without a folder it is the set of the package, newsgroups. A folder is one that a recipe of datasets/ has written, or
any with train.npy, test.npy and perhaps their labels; 20,000 of its rows and 2,000 of its queries are drawn if there
are more. Results go to <folder>.json in --out; `make figures` puts them into the README and into docs/report.html.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import Embeddings
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lplr_index.evaluation import SweepResult, render, sweep, write_json
from lplr_index.vectors.base import draw_rows

RESULTS = Path(__file__).parent / "results"
ROWS, QUERIES = 20_000, 2_000
NAMES = {
    "newsgroups": "20 Newsgroups, MiniLM",
    "cifar10_efficientnet": "CIFAR-10, EfficientNet-Lite0",
    "fashion_mnist": "Fashion-MNIST, grey values",
    "glove": "GloVe, 100 dimensions",
}
METRICS = {"fashion_mnist": "l2"}  # grey values are compared as they are; of the others, directions


def drawn(x: npt.NDArray[Any], labels: npt.NDArray[Any] | None, most: int) -> tuple[Any, npt.NDArray[Any] | None]:
    """Return at most so many rows of x (n, d), a seeded choice, and their labels."""
    rows = draw_rows(len(x), min(most, len(x)), 0)
    return np.asarray(x[rows], np.float32), None if labels is None else labels[rows]


def measure(each: Embeddings) -> SweepResult:
    """Return the sweep of a set."""
    x, labels = drawn(each.train, each.train_labels, ROWS)
    xq, query_labels = drawn(each.test, each.test_labels, QUERIES)
    columns = (TextColumn(f"{each.name}: {{task.description}}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        bar = bars.add_task("")
        return sweep(
            x,
            xq,
            metric=METRICS.get(each.name, "cosine"),
            labels=labels,
            query_labels=query_labels,
            data=NAMES.get(each.name, each.name),
            progress=lambda done, total, name: bars.update(bar, completed=done, total=total, description=name),
        )


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, help="folder to write the results to")
    options = parser.parse_args()
    for each in map(Embeddings.read, options.folders) if options.folders else [Embeddings.of_the_package()]:
        result = measure(each)
        print(render(result))
        if options.out:
            write_json(result, options.out / f"{each.name}.json")


if __name__ == "__main__":
    main()
