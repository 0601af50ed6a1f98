"""Which segments become one, and how: rows that live are copied in the order of their numbers, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.container import Parts
from lplr_index.store.arrangement import NOWHERE, Arranged, Arrangement, Pieces
from lplr_index.store.keys import Names, sorted_hashes
from lplr_index.store.part import Part
from lplr_index.store.segments import Contained

FLUSH_ROWS = 1 << 13  # of the journal, before they become a segment
FAN = 4  # segments of like size that become one
_STEP = 1 << 15  # rows of a segment that are copied at a time


def due(alive: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Which segments to merge next, by how many rows they have, and how many of these live; none where all is well.

    Segments are of one tier whose rows are within a factor of ``FAN``, from ``FLUSH_ROWS`` on. ``FAN`` of one tier are
    merged, the smallest tier first. So there are at most ``FAN - 1`` segments a tier, and a row is written once for
    each tier that it rises. A segment of which half is dead is written again by itself.
    """
    tiers: dict[int, list[int]] = {}
    for place, size in enumerate(alive):
        tiers.setdefault(_tier(size), []).append(place)
    for _, places in sorted(tiers.items()):
        if len(places) >= FAN:
            return places
    return [place for place, size in enumerate(alive) if 2 * size <= rows[place]][:1]


def _tier(size: int) -> int:
    tier = 0
    while size >= FLUSH_ROWS * FAN ** (tier + 1):
        tier += 1
    return tier


def merged(inputs: list[Part], arrangement: Arrangement[Any]) -> Contained | None:
    """The rows of parts that live, as one; None where there are none.

    Memory is that of a few thousand rows of each, where rows lie in lists four bytes of all, and, where ids are
    strings, the names of all.

    Parameters
    ----------
    inputs : list of Part
        Segments, and which of their rows live.
    arrangement : Arrangement
        Of the store.
    """
    merge = _Merge(inputs)
    if not merge.n:
        return None
    first, last = merge.span()
    names = merge.names() if inputs[0].names is not None else None
    return Contained(merge.n, first, last, _Ids(merge), arrangement.merged(merge), names)


def runs(inputs: list[Part]) -> Iterator[IdArray]:
    """The numbers of rows of parts that live, a run (n,) at a time, from the lowest to the highest."""
    return (numbers for numbers, _, _ in _Merge(inputs)) if inputs else iter(())


def gathered(inputs: list[Part]) -> tuple[IdArray, FloatMatrix, Names | None]:
    """Numbers (n,), data (n, width) and names of all rows of parts that live, in memory; there is a part."""
    merge = _Merge(inputs)
    numbers = np.concatenate([np.empty(0, np.int64), *_Ids(merge)])
    none = inputs[0].rows.data(np.empty(0, np.int64))
    vectors = np.concatenate([none, *merge.pieces(lambda rows, some: rows.data(some))])
    return numbers, vectors, merge.names() if inputs[0].names is not None and len(numbers) else None


class _Merge:
    """Rows of several parts that live, in runs that ascend."""

    def __init__(self, inputs: list[Part]) -> None:
        self._inputs = inputs
        self.n = sum(each.alive for each in inputs)

    def __iter__(self) -> Iterator[tuple[IdArray, list[tuple[int, IdArray]], npt.NDArray[np.intp]]]:
        """Yield numbers (n,) in order, the rows (some,) of each part, and in which order (n,) all these follow."""
        cuts = [part.numbers.of(np.arange(0, part.n, _STEP)) for part in self._inputs]
        edges = np.unique(np.concatenate(cuts)).tolist()
        starts = [0] * len(self._inputs)
        for edge in [*edges[1:], None]:
            chosen, numbers = [], []
            for place, part in enumerate(self._inputs):
                stop = part.n if edge is None else part.numbers.before(edge)
                if stop == starts[place]:
                    continue
                rows = np.arange(starts[place], stop)
                rows = rows[part.among(rows)]
                starts[place] = stop
                chosen.append((place, rows))
                numbers.append(part.numbers.of(rows))
            together = np.concatenate([np.empty(0, np.int64), *numbers])
            if len(together):
                order = np.argsort(together, kind="stable")
                yield together[order], chosen, order

    @property
    def arranged(self) -> list[Arranged]:
        """The rows of the parts."""
        return [part.rows for part in self._inputs]

    def pieces(self, look: Callable[[Arranged, IdArray], npt.NDArray[Any]]) -> Parts:
        """What ``look`` gives of some rows (size,) of a part, of all rows in the order of their numbers."""
        return Pieces(partial(self._pieces, look))

    def _pieces(self, look: Callable[[Arranged, IdArray], npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        for _, chosen, order in self:
            yield np.concatenate([look(self._inputs[place].rows, rows) for place, rows in chosen])[order]

    def targets(self) -> list[npt.NDArray[np.uint32]]:
        """Which row each row (n,) of each part becomes, or ``NOWHERE``."""
        targets = [np.full(part.n, NOWHERE, np.uint32) for part in self._inputs]
        done = 0
        for _, chosen, order in self:
            becomes = np.empty(len(order), np.uint32)
            becomes[order] = np.arange(done, done + len(order))
            done += len(order)
            for place, rows in chosen:
                targets[place][rows], becomes = becomes[: len(rows)], becomes[len(rows) :]
        return targets

    def span(self) -> tuple[int, int]:
        """The lowest and the highest number."""
        first = last = -1
        for numbers, _, _ in self:
            first, last = int(numbers[0]) if first < 0 else first, int(numbers[-1])
        return first, last

    def names(self) -> Names:
        """All names, packed anew."""
        texts, lengths, hashes = [], [], []
        named = [part.names for part in self._inputs]
        known = [each.row_hashes() if isinstance(each, Names) else np.empty(0, np.uint64) for each in named]
        for _, chosen, order in self:
            mine = [(named[place], rows) for place, rows in chosen]
            parts = [each.gather(rows) for each, rows in mine if isinstance(each, Names)]
            sizes = np.concatenate([size for size, _ in parts])
            starts = np.cumsum(sizes) - sizes
            text = np.concatenate([text for _, text in parts])
            ordered = sizes[order]
            within = np.arange(len(text)) - np.repeat(np.cumsum(ordered) - ordered, ordered)
            texts.append(text[np.repeat(starts[order], ordered) + within])
            lengths.append(ordered)
            hashes.append(np.concatenate([known[place][rows] for place, rows in chosen])[order])
        return Names(np.concatenate(texts), np.cumsum(np.concatenate(lengths)), *sorted_hashes(np.concatenate(hashes)))


class _Ids:
    """The numbers of a merge, in pieces."""

    def __init__(self, merge: _Merge) -> None:
        self._merge = merge

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (numbers.astype("<i8") for numbers, _, _ in self._merge)
