"""What the second byte of a norm is worth under L2: recall@10 at equal bytes a row, with the vectors as they come.

    python benchmarks/norm_bytes.py [FOLDER ...] [--bits 0.5 1 2] [--write]

Vectors are not normalised. One random half of the training rows is trained on, the other indexed; up to 1,000 test rows
are queries. Every choice but the norm's is made once, by ``choose``. With --write the table goes into docs/quality.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pages import DOCS, table, write
from quality import Embeddings, recall_of
from rich.progress import track

from lplr_index import IndexLPLR
from lplr_index.auto import Recipe, choose
from lplr_index.evaluation import Task
from lplr_index.training import train_auto

BITS = (16, 8)
HEAD = ["set", "bits", "bytes", "two bytes", "one byte", "auto takes"]


def recall(task: Task, bits: float, recipe: Recipe) -> float:
    """Return recall@10 of an index trained by the recipe."""
    settings = IndexLPLR(task.xb.shape[1], bits, "l2").settings
    index = IndexLPLR.restored(settings, train_auto(task.xt, settings.code_size, l2=True, seed=0, recipe=recipe), None)
    index.add(task.xb)
    return recall_of(index, task)


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[0.5, 1.0, 2.0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sets = [Embeddings.of_the_package(), *map(Embeddings.read, options.folders)]
    rows = []
    for each, bits in track([(one, bits) for one in sets for bits in options.bits], "sets and budgets"):
        task = each.task(0, "l2")
        nbytes = IndexLPLR(task.xb.shape[1], bits, "l2").code_size
        recipe = choose(task.xt, None, nbytes, l2=True, seed=0)
        found = [f"{recall(task, bits, replace(recipe, norm_bits=norm)):.3f}" for norm in BITS]
        rows.append([each.name, f"{bits:g}", str(nbytes), *found, "two" if recipe.norm_bits == 16 else "one"])
    text = table(HEAD, rows)
    print(text)
    if options.write:
        write(DOCS / "quality.md", {"norms": text})


if __name__ == "__main__":
    main()
