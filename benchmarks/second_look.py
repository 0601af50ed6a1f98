"""Recall of a second look at the original vectors by ``k_factor``, and the k_factor from which nothing is missed.

    python benchmarks/second_look.py [FOLDER ...] [--bits 1 2] [--write]

One random half of a set's training rows is trained on, the other indexed; k = 10, cosine. Sets are folders as for
``quality.py`` and the posts of the package. With --write the table goes into docs/search.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pages import DOCS, table, write
from quality import Embeddings
from rich.progress import track

from lplr_index import IndexLPLR, IndexRefineLPLR
from lplr_index.evaluation import Task, recall_at_k, score_ids

K = 10
FACTORS = (1, 2, 4, 8, 16)
MORE = (20, 24, 32, 48, 64, 96, 128, 256)  # where all may be found


def recalls(task: Task, bits: float) -> tuple[list[float], str]:
    """Return the recall at each of ``FACTORS``, and the first factor tried at which all neighbours are found."""
    xb = np.ascontiguousarray(task.xb, np.float32)
    index = IndexRefineLPLR(IndexLPLR(xb.shape[1], bits=bits), originals=xb)
    index.train(task.xt)
    index.add(xb)

    def at(factor: int) -> float:
        _, found = index.search(task.xq, K, k_factor=factor)
        scores = score_ids(task.xq, task.xb, found, metric=task.scoring)
        return recall_at_k(found, scores, task.truth, K, similarity=True)

    by_factor = {factor: at(factor) for factor in FACTORS}
    for factor in MORE:
        if max(by_factor.values()) == 1:
            break
        by_factor[factor] = at(factor)
    whole = [factor for factor, recall in by_factor.items() if recall == 1]
    return [by_factor[factor] for factor in FACTORS], str(min(whole)) if whole else f"more than {max(by_factor)}"


def factors(sets: list[Embeddings], budgets: list[float]) -> str:
    """Return the table in Markdown."""
    head = ["set, rows", "bits of the first stage", *map(str, FACTORS), "all found from"]
    lines = []
    for one, bits in track([(one, bits) for one in sets for bits in budgets], description="sets and budgets"):
        task = one.task(0)
        found, whole = recalls(task, bits)
        lines.append([f"{one.name}, {len(task.xb):,}", f"{bits:g}", *(f"{recall:.3f}" for recall in found), whole])
    return table(head, lines)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[1.0, 2.0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = factors([Embeddings.of_the_package(), *map(Embeddings.read, options.folders)], options.bits)
    print(text)
    if options.write:
        write(DOCS / "search.md", {"factors": text})


if __name__ == "__main__":
    main()
