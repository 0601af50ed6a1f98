"""Clusters to test with: machines that finish in any order and do work twice, and what one process makes of a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import IndexLPLR, open_vectors
from lplr_index.building import build_index
from lplr_index.cluster import build_store
from lplr_index.cluster.machines import Call, Here, Machines
from lplr_index.store.following import Follower


class Shuffled(Here):
    """Machines that are ready in a random order, and do a third of everything twice, as after a lost answer."""

    def __init__(self, workers: int, seed: int) -> None:
        super().__init__(workers)
        self._random = random.Random(seed)

    def map(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        for number in self._random.sample(range(len(calls)), len(calls)):
            if self._random.random() < 1 / 3:
                function(shared, *calls[number])
            yield number, function(shared, *calls[number])


def one_index(path: Path, index: IndexLPLR, **how: Any) -> IndexLPLR:
    """Return what one process makes of the vectors in a file."""
    with open_vectors(path) as source:
        build_index(source, index, **how)
    return index


def store(path: Path, index: IndexLPLR, folder: Path, machines: Machines | None = None, **how: Any) -> Path:
    """Build a store of the vectors in a file on some machines, and return its folder."""
    with open_vectors(path) as source:
        build_store(source, index, folder, machines=machines, **how)
    return folder


def everything(source: IndexLPLR | Path) -> tuple[str, npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return the training of an index or a store, its ids in order, and their codes."""
    if isinstance(source, IndexLPLR):
        ids, codes, digest = source.rows.ids.all(), source.rows.codes(0, source.ntotal), source.model.digest
    else:
        parts = Follower(source).now().view().parts
        ids = np.concatenate([part.numbers.part(0, part.n) for part in parts])
        codes = np.concatenate([part.rows.data(np.arange(part.n)) for part in parts])
        digest = Follower(source).now().model.digest
    order = np.argsort(ids)
    return digest, ids[order], codes[order]


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Tell whether two answers, or what two indexes hold, are the same bits."""
    pairs = list(zip(one, other, strict=True))
    return all(np.array_equal(a, b) and getattr(a, "dtype", None) == getattr(b, "dtype", None) for a, b in pairs)
