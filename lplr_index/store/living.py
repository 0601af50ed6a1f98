"""Which rows of a part live: a bit each, in the order in which they lie, as scans want it; no bits where all do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.blocks import BLOCK
from lplr_index.scanning import Filter, pack_filter


def all_live(n: int) -> Filter:
    """The filter that lets n rows pass, and none behind them."""
    return pack_filter(np.ones(n, np.bool_))


def bits(live: Filter, start: int, stop: int) -> npt.NDArray[np.bool_]:
    """Whether the rows at each of a run of places live, (stop - start,)."""
    if not len(live):
        return np.ones(stop - start, np.bool_)
    first = start // BLOCK
    words = np.ascontiguousarray(live[first : -(-stop // BLOCK)], "<u4")
    unpacked = np.unpackbits(words.view(np.uint8), bitorder="little")
    return unpacked[start - first * BLOCK : stop - first * BLOCK].astype(np.bool_)


def lives(live: Filter, places: IdArray) -> npt.NDArray[np.bool_]:
    """Whether the row at each of these places (size,) lives; at -1 there is none."""
    if not len(live):
        return places >= 0
    known = np.maximum(places, 0)
    bit = (live[known // BLOCK] >> (known % BLOCK).astype(np.uint32)) & np.uint32(1)
    return np.asarray((places >= 0) & (bit > 0))


def killed(live: Filter, n: int, places: IdArray) -> Filter:
    """The filter of n rows without those at these places (size,)."""
    left = all_live(n) if not len(live) else live.copy()
    np.bitwise_and.at(left, places // BLOCK, ~np.left_shift(np.uint32(1), (places % BLOCK).astype(np.uint32)))
    return left


def died(before: Filter, after: Filter, n: int) -> IdArray:
    """The places (size,) of those of n rows that lived before and do not live after."""
    if not len(after):
        return np.empty(0, np.int64)
    changed = (before if len(before) else all_live(n)) & ~after
    words = np.flatnonzero(changed)
    row, bit = np.nonzero((changed[words, None] >> np.arange(BLOCK, dtype=np.uint32)) & np.uint32(1))
    return words[row] * BLOCK + bit


def count(live: Filter, n: int) -> int:
    """How many of n rows live, by bits of shape (blocks,)."""
    return int.from_bytes(live.tobytes(), "little").bit_count() if len(live) else n
