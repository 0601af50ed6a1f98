"""What codes cost a vote: 3-NN accuracy beside exact search, with all test rows as queries, over several random halves.

    python benchmarks/votes.py [FOLDER ...] [--bits 0.5 1 2] [--seeds 3] [--write]

quality.py asks no more than 1,000 queries of one half, and by chance a vote among these is a point better or worse.
Here each seed is another half to train on, and another to index. With --write the table goes into docs/quality.md.
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

HEAD = ["set", "queries", "bits", "exact", "auto", "points", "of each half"]


def accuracies(task: Task, bits: float, seed: int) -> tuple[float, float]:
    """3-NN accuracy of exact search, and of ``auto`` at so many bits a coordinate."""
    index = IndexLPLR(task.xb.shape[1], bits, task.metric, seed=seed)
    index.train(task.xt)
    index.add(task.xb)
    exact, ours = (task.vote(found)[0] for found in (task.truth.I, index.search(task.xq, task.k)[1]))
    if exact is None or ours is None:
        raise SystemExit("expected sets with labels, got one without")
    return exact, ours


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
        found = np.array([accuracies(task, bits, seed) for seed, task in enumerate(tasks)])
        gaps = [f"{100 * gap:+.1f}" for gap in found[:, 1] - found[:, 0]]
        exact, ours = found.mean(axis=0)
        about = [each.name, f"{len(each.test):,}", f"{bits:g}", f"{exact:.3f}", f"{ours:.3f}"]
        rows.append([*about, f"{100 * (ours - exact):+.1f}", " ".join(gaps)])
    text = table(HEAD, rows)
    print(text)
    if options.write:
        write(DOCS / "quality.md", {"votes": text})


if __name__ == "__main__":
    main()
