"""What codes cost a vote: 3-NN accuracy beside exact search, with all test rows as queries, over several random halves.

    python benchmarks/votes.py [FOLDER ...] [--bits 0.5 1 2] [--seeds 3] [--write]

quality.py asks no more than 1,000 queries of one half, and by chance a vote among these is a point better or worse.
Here each seed is another half to train on, and another to index; what chance still does to the mean, its standard error
over the queries, each of which is asked of both, stands beside it. With --write the table goes into docs/quality.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pages import DOCS, table, write
from quality import Embeddings
from rich.progress import track

from lplr_index import IndexLPLR
from lplr_index.evaluation import Task, knn_vote
from lplr_index.evaluation.task import VOTES

HEAD = ["set", "queries", "bits", "exact", "auto", "points", "standard error", "of each half"]


def hits(task: Task, bits: float, seed: int) -> npt.NDArray[np.bool_]:
    """Whether 3-NN is right about each query (2, nq): by exact search, and by ``auto`` at so many bits a coordinate."""
    if task.labels is None:
        raise SystemExit("expected sets with labels, got one without")
    index = IndexLPLR(task.xb.shape[1], bits, task.metric, seed=seed)
    index.train(task.xt)
    index.add(task.xb)
    found = task.truth.I, index.search(task.xq, task.k)[1]
    return np.array([knn_vote(each, task.labels, VOTES) == task.query_labels for each in found])


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[0.5, 1.0, 2.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sets = [Embeddings.of_the_package(), *map(Embeddings.read, options.folders)]
    rows = []
    for each, bits in track([(one, bits) for one in sets for bits in options.bits], "sets and budgets"):
        tasks = [each.task(seed, most=len(each.test)) for seed in range(options.seeds)]
        found = np.array([hits(task, bits, seed) for seed, task in enumerate(tasks)]).astype(float)
        exact, ours = found.mean(axis=(0, 2))
        gaps = 100 * (found[:, 1] - found[:, 0])  # (seeds, queries)
        by_query = gaps.mean(axis=0)
        error = by_query.std(ddof=1) / len(by_query) ** 0.5
        about = [each.name, f"{len(by_query):,}", f"{bits:g}", f"{exact:.3f}", f"{ours:.3f}"]
        halves = " ".join(f"{gap:+.1f}" for gap in gaps.mean(axis=1))
        rows.append([*about, f"{by_query.mean():+.1f}", f"{error:.1f}", halves])
    text = table(HEAD, rows)
    print(text)
    if options.write:
        write(DOCS / "quality.md", {"votes": text})


if __name__ == "__main__":
    main()
