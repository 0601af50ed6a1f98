"""Write the golden files of a format version: ``python tests/golden/make.py v2``, once, before a release.

What is there already is never written again: a file that a release wrote must be readable for ever.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from lplr_index import IndexIVFLPLR, IndexLPLR, IndexRefineLPLR, write_index
from lplr_index.arrays import as_rows
from lplr_index.auto import Recipe
from lplr_index.coarse import Coarse
from lplr_index.training import train_auto, train_lists

D = 16


def vectors(n, seed):
    """Return rows of unequal length whose spectrum decays."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) * np.arange(1, D + 1) ** -0.7 * rng.lognormal(sigma=0.3, size=(n, 1))).astype(
        "f4"
    )


def indexes():
    """Return indexes of every layout: chains, centroids, scalar columns, gains, norms, own ids, a second stage."""
    rng = np.random.default_rng(0)
    made = {
        "auto-cosine": IndexLPLR(D, 2.0, "cosine"),
        "auto-l2-ids": IndexLPLR(D, 4.0, "l2"),
        "auto-scalar-ip": IndexLPLR(D, 7.0, "ip"),
        "auto-stages-l2": with_recipe("l2", Recipe(stages=2)),
        "auto-norm-byte-l2": with_recipe("l2", Recipe(stages=1, norm_bits=8)),
        "auto-stages-gain-cosine": with_recipe("cosine", Recipe(stages=1, gain_bits=8)),
        "auto-no-gain-ip": with_recipe("ip", Recipe(stages=4, gain_bits=0)),
        "tails-cosine": with_recipe("cosine", Recipe(stages=1), head=8),
        "tails-norm-byte-l2": with_recipe("l2", Recipe(stages=0, norm_bits=8), head=8),
        "tails-residuals-ip": IndexRefineLPLR(IndexLPLR(D, 7.0, "ip"), refine_bits=2.0),
        "residuals-cosine": IndexRefineLPLR(IndexLPLR(D, 2.0, "cosine"), refine_bits=2.0),
        "lplr-l2": IndexLPLR(D, 2.0, "l2", "lplr"),
        "untrained": IndexLPLR(D, 3.0, "l2"),
        "lists-cosine": in_lists("cosine", Recipe(stages=0)),
        "lists-l2-ids": in_lists("l2", Recipe(stages=1, norm_bits=8)),
        "lists-many-ip": in_lists("ip", Recipe(stages=0, gain_bits=8), nlist=300),
        "lists-untrained": IndexIVFLPLR(D, 3.0, "l2", nlist=7, nprobe=2),
        "lists-residuals": IndexRefineLPLR(IndexIVFLPLR(D, 2.0, nlist=9), refine_bits=2.0),
    }
    for name, index in made.items():
        if name.endswith("untrained"):
            continue
        if not index.is_trained:
            index.train(vectors(500, 1))
        if name.endswith("ids"):
            index.add_with_ids(vectors(45, 2), rng.permutation(10**12 + np.arange(45)))
            index.remove_ids(index.rows.ids.all()[::9])
        else:
            index.add(vectors(40, 2))
    return made


def with_recipe(metric, recipe, head=None):
    """Return an index of auto that was told how to train, and how many nibbles lie in heads; all where None."""
    settings = IndexLPLR(D, 5.0, metric).settings
    x = as_rows(vectors(500, 1), D, cosine=metric == "cosine")[0]
    model = train_auto(x, settings.code_size, l2=metric == "l2", seed=0, recipe=recipe)
    if head:
        model = replace(model, codec=model.codec.freed(head - 1) if model.gain.bits == 4 else model.codec, head=head)
    return IndexLPLR.restored(settings, model, None)


def in_lists(metric, recipe, nlist=9):
    """Return an index in lists around some rows."""
    settings = IndexLPLR(D, 5.0, metric).settings
    x = as_rows(vectors(500, 1), D, cosine=metric == "cosine")[0]
    basis = np.eye(D, 5, dtype=np.float32) if nlist > 99 else None
    coarse = Coarse(x[:nlist].copy(), metric, basis)
    return IndexIVFLPLR.of_lists(settings, train_lists(x, settings, coarse, recipe), None, nlist, 4)


def main(version):
    """Write the files and what they must answer."""
    folder = Path(__file__).parent / version
    folder.mkdir()
    expected = {}
    for name, index in indexes().items():
        write_index(index, folder / f"{name}.lplr")
        answers = {"repr": repr(index)}
        if index.is_trained:
            xq = vectors(5, 3)
            found, ids = index.search(xq, 7)
            answers |= {
                "queries": xq.tolist(),
                "k": 7,
                "D": found.tolist(),
                "I": ids.tolist(),
                "first rows": index.reconstruct_n(0, 3).tolist(),
                "codes of queries": index.sa_encode(xq).tolist(),
            }
        expected[f"{name}.lplr"] = answers
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
