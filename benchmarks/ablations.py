"""``auto`` with one part changed at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from lplr_index import IndexLPLR
from lplr_index.auto import Recipe
from lplr_index.training import sample_rows, train_auto

USUAL = Recipe(stages=1)
"""What the ablations vary, so that they differ in one thing alone; ``auto`` chooses for itself."""

VARIANTS = {
    "usual": USUAL,
    "window 4, groups of one size": replace(USUAL, window=4, mixed=False),  # patterns need the window
    "groups of one size at a time": replace(USUAL, mixed=False),
    "even shares": replace(USUAL, even=True),
    "power 1 (squared error)": replace(USUAL, power=1.0),
    "power 1.3": replace(USUAL, power=1.3),
    "power 2": replace(USUAL, power=2.0),
    "no centroid": replace(USUAL, stages=0),
    "2 centroids": replace(USUAL, stages=2),
    "4 centroids": replace(USUAL, stages=4),
    "no gain": replace(USUAL, gain_bits=0),
    "gain of 8 bits": replace(USUAL, gain_bits=8),
    "full gain (power 1)": replace(USUAL, gain_power=1.0),
    "R refitted": replace(USUAL, refit=True),
    "12 rounds of books": replace(USUAL, rounds=12),
}


class ByRecipe(IndexLPLR):
    """An index whose training makes no choices."""

    def __init__(self, d: int, bits: float, seed: int, recipe: Recipe) -> None:
        super().__init__(d, bits=bits, metric="cosine", seed=seed)
        self.recipe = recipe

    def train(self, x: npt.ArrayLike, queries: npt.ArrayLike | None = None) -> None:
        """Learn from rows x (n, d), which have length one."""
        sample = sample_rows(np.asarray(x, np.float32), self.settings.seed)
        asked = None if queries is None else np.asarray(queries, np.float32)
        nbytes, seed = self.settings.code_bytes, self.settings.seed
        self._model = train_auto(sample, nbytes, l2=False, seed=seed, queries=asked, recipe=self.recipe)
        self.reset()


def _variant(recipe: Recipe, d: int, bits: float, seed: int) -> IndexLPLR:
    """Return an index, not trained yet."""
    return ByRecipe(d, bits, seed, recipe)


ABLATIONS: dict[str, Callable[[int, float, int], IndexLPLR]] = {
    name: partial(_variant, recipe) for name, recipe in VARIANTS.items()
}
"""What ``auto`` would be without one of its parts: a name, and what builds that index from (d, bits, seed)."""
