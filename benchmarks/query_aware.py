"""What ``train(x, queries=...)`` finds: queries of another kind than the rows, and queries like the rows.

    python benchmarks/query_aware.py FOLDER FOLDER [--bits 1] [--write]

Each of the two sets is indexed once with, once without, 2,000 training rows of the other as queries. One random half of
the training rows is trained on, the other indexed; up to 1,000 test rows of both sets are the queries measured with.
With --write the table goes into docs/quality.md.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
from pages import DOCS, table, write
from quality import Embeddings
from rich.progress import track

from lplr_index import IndexLPLR
from lplr_index.evaluation import Task, exact_knn, recall_at_k, score_ids

ASKED = 2000  # queries that training sees
K = 10


def recall(index: IndexLPLR, task: Task, xq: np.ndarray) -> float:
    """Return recall@10 of the queries xq (nq, d) among the rows of the task."""
    _, found = index.search(xq, K)
    truth = exact_knn(xq, task.xb, K, metric=task.scoring)
    scores = score_ids(xq, task.xb, found, metric=task.scoring)
    return recall_at_k(found, scores, truth, K, similarity=True)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[1.0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if len(options.folders) != 2:
        print("two folders of embeddings are needed; see --help")
        return
    tasks = {one.name: one.task(0) for one in map(Embeddings.read, options.folders)}
    rows = []
    for (name, bits), other in track(
        [((mine, bits), other) for mine, other in permutations(tasks, 2) for bits in options.bits], "sets and budgets"
    ):
        task = tasks[name]
        line = [name, f"{bits:g}", other]
        for queries in (None, tasks[other].xt[:ASKED]):
            index = IndexLPLR(task.xb.shape[1], bits=bits)
            index.train(task.xt, queries)
            index.add(task.xb)
            line += [f"{recall(index, task, xq):.3f}" for xq in (tasks[other].xq, task.xq)]
        rows.append([*line[:3], line[3], line[5], line[4], line[6]])
    head = [
        "rows",
        "bits",
        "queries like",
        "their recall without",
        "with",
        "recall of queries like rows without",
        "with",
    ]
    text = table(head, rows)
    print(text)
    if options.write:
        write(DOCS / "quality.md", {"queries": text})


if __name__ == "__main__":
    main()
