"""What ``auto`` finds when it was trained on fewer rows than columns, with and without directions it has not seen.

    python benchmarks/few_rows.py [FOLDER ...] [--bits 0.5 1 2 4] [--write]

Some rows of a set are trained on, 5,000 others are indexed, 1,000 test rows are queries; the metric is cosine.
With --write the table goes into docs/quality.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
from pages import DOCS, table, write
from quality import Embeddings, recall_of
from rich.progress import track

from lplr_index import IndexLPLR, training
from lplr_index.evaluation import Task

BASE, QUERIES = 5000, 1000
SHARES = (0.25, 0.75, 1.75)  # of the columns: how many rows are trained on


def recall(task: Task, bits: float) -> float:
    """Return recall@10 of an index of the task."""
    index = IndexLPLR(task.xb.shape[1], bits)
    index.train(task.xt)
    index.add(task.xb)
    return recall_of(index, task)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[0.5, 1.0, 2.0, 4.0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sets = [Embeddings.of_the_package(), *map(Embeddings.read, options.folders)]
    rows = []
    for each, share in track([(one, share) for one in sets for share in SHARES], "sets"):
        order, d = np.random.default_rng(0).permutation(len(each.train)), each.train.shape[1]
        base, sample = order[:BASE], order[BASE : BASE + int(share * d)]
        task = Task.prepare(each.train[sample], each.train[base], each.test[:QUERIES], metric="cosine")
        line = [each.name, str(d), str(len(sample))]
        for bits in options.bits:
            with mock.patch.object(training, "with_unseen_directions", lambda A, _seed: A):
                before = recall(task, bits)
            line.append(f"{before:.3f} -> {recall(task, bits):.3f}")
        rows.append(line)
    text = table(["set", "columns", "rows trained on", *(f"{bits:g} bits" for bits in options.bits)], rows)
    print(text)
    if options.write:
        write(DOCS / "quality.md", {"few": text})


if __name__ == "__main__":
    main()
