"""Which segments become one, and how: rows that live are copied in the order of their numbers, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.model import Model
from lplr_index.scanning import Filter
from lplr_index.store.keys import Names, sorted_hashes
from lplr_index.store.segments import Contained, Segment, bits, count

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


def merged(inputs: list[tuple[Segment, Filter]], model: Model | None, d: int) -> Contained | None:
    """The rows of segments that live, as one; None where there are none.

    Memory is that of a few thousand rows of each, and, where ids are strings, of the names of all.

    Parameters
    ----------
    inputs : list of (Segment, ndarray of shape (blocks,))
        Segments, and bits of the rows that live.
    model : Model or None
        What their codes were made with.
    d : int
        Columns of vectors, where there is no model.
    """
    merge = _Merge(inputs)
    n = sum(count(live, segment.n) for segment, live in inputs)
    if not n:
        return None
    first, last = merge.span()
    names = merge.names() if inputs[0][0].names is not None else None
    form, width = (model.form, model.code_size) if model else (None, d)
    return Contained(n, first, last, _Ids(merge), _Data(merge), form, width, names)


def runs(inputs: list[tuple[Segment, Filter]]) -> Iterator[IdArray]:
    """The numbers of rows of segments that live, a run (n,) at a time, from the lowest to the highest."""
    return (numbers for numbers, _, _ in _Merge(inputs)) if inputs else iter(())


def gathered(inputs: list[tuple[Segment, Filter]]) -> tuple[IdArray, FloatMatrix, Names | None]:
    """Numbers (n,), vectors (n, d) and names of all rows of segments that live, in memory; there is a segment."""
    merge = _Merge(inputs)
    numbers = np.concatenate([np.empty(0, np.int64), *_Ids(merge)])
    vectors = np.concatenate([inputs[0][0].data(np.empty(0, np.int64)), *_Data(merge)])
    return numbers, vectors, merge.names() if inputs[0][0].names is not None and len(numbers) else None


class _Merge:
    """Rows of several segments, in runs that ascend."""

    def __init__(self, inputs: list[tuple[Segment, Filter]]) -> None:
        self._inputs = inputs

    def __iter__(self) -> Iterator[tuple[IdArray, list[tuple[Segment, IdArray]], npt.NDArray[np.intp]]]:
        """Yield numbers (n,) in order, the rows (some,) of each segment, and in which order (n,) all these follow."""
        cuts = [segment.numbers.of(np.arange(0, segment.n, _STEP)) for segment, _ in self._inputs]
        edges = np.unique(np.concatenate(cuts)).tolist()
        starts = [0] * len(self._inputs)
        for edge in [*edges[1:], None]:
            chosen, numbers = [], []
            for place, (segment, live) in enumerate(self._inputs):
                stop = segment.n if edge is None else segment.numbers.before(edge)
                if stop == starts[place]:
                    continue
                rows = starts[place] + np.flatnonzero(bits(live, starts[place], stop))
                starts[place] = stop
                chosen.append((segment, rows))
                numbers.append(segment.numbers.of(rows))
            together = np.concatenate([np.empty(0, np.int64), *numbers])
            if len(together):
                order = np.argsort(together, kind="stable")
                yield together[order], chosen, order

    def span(self) -> tuple[int, int]:
        """The lowest and the highest number."""
        first = last = -1
        for numbers, _, _ in self:
            first, last = int(numbers[0]) if first < 0 else first, int(numbers[-1])
        return first, last

    def names(self) -> Names:
        """All names, packed anew."""
        texts, lengths, hashes = [], [], []
        known = {id(segment): segment.names.row_hashes() for segment, _ in self._inputs if segment.names}
        for _, chosen, order in self:
            parts = [segment.names.gather(rows) for segment, rows in chosen if segment.names]
            sizes = np.concatenate([size for size, _ in parts])
            starts = np.cumsum(sizes) - sizes
            text = np.concatenate([text for _, text in parts])
            ordered = sizes[order]
            within = np.arange(len(text)) - np.repeat(np.cumsum(ordered) - ordered, ordered)
            texts.append(text[np.repeat(starts[order], ordered) + within])
            lengths.append(ordered)
            hashes.append(np.concatenate([known[id(segment)][rows] for segment, rows in chosen])[order])
        return Names(np.concatenate(texts), np.cumsum(np.concatenate(lengths)), *sorted_hashes(np.concatenate(hashes)))


class _Ids:
    """The numbers of a merge, in pieces."""

    def __init__(self, merge: _Merge) -> None:
        self._merge = merge

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (numbers.astype("<i8") for numbers, _, _ in self._merge)


class _Data:
    """The codes or vectors of a merge, in pieces."""

    def __init__(self, merge: _Merge) -> None:
        self._merge = merge

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        for _, chosen, order in self._merge:
            yield np.concatenate([segment.data(rows) for segment, rows in chosen])[order]
