"""The exact keys of rows, and the thresholds that bounds have to reach, which follow from the k-th best of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lplr_index.kernels.layout import BLOCK, MOST, SECONDS, Layout, Levels, Queries, Segments, gain_at, norm_of

COARSE = 2  # powers of two that the steps of columns are above the finest, from which on second digits are looked up


class _Row(NamedTuple):
    """Where a row's nibbles are: that of the column which begins at byte c of the tables is at c, and its own spot."""

    heads: Any  # (bytes,) uint8
    tails: Any  # (bytes,) uint8
    near: Any  # the spot in heads, of columns below ``border``, and in tails, of the others; uint64, as sums may wrap
    far: Any
    border: Any
    high: Any  # how far its half of a byte has to be shifted


@njit(nogil=True, _nrt=False)
def _row_at(heads: Any, tails: Any, number: int, layout: Layout) -> _Row:
    block, row = number // BLOCK, number % BLOCK
    within = 2 * (row & 7) + ((row >> 3) & 1)
    return _Row(
        heads,
        tails,
        np.uint64(block * layout.head_bytes + within),
        np.uint64(block * layout.tail_bytes - 16 * layout.head + within),
        np.uint64(16 * layout.head),
        np.uint8(4 * (row >> 4)),
    )


@njit(nogil=True, _nrt=False)
def _nibble(row: _Row, column: Any) -> Any:
    """The nibble of the column that begins at byte ``column`` of tables."""
    first = np.uint64(column)  # numbers without a sign are no places counted from the end
    if first < row.border:
        return (row.heads[row.near + first] >> row.high) & 15
    return (row.tails[row.far + first] >> row.high) & 15


@njit(nogil=True, _nrt=False)
def _partial(exact: Any, q: Any, row: _Row, column: Any) -> Any:
    """What that nibble adds."""
    return np.float64(exact[q, np.uint64(column) + np.uint64(_nibble(row, column))])


@njit(nogil=True, _nrt=False)
def finer(
    deficit: Any, number: int, heads: Any, tails: Any, layout: Layout, segments: Segments, seconds: Any, q: int
) -> Any:  # fmt: skip
    """A row's sum of ``deficit`` with the ``seconds`` (nq, entries) of its coarse columns in ``segments``.

    These lose most to rounding, and are few: a sum of all of them would take as long as the exact key.
    """
    mine, me = _row_at(heads, tails, number, layout), np.uint64(q)
    parts, first, coarser = np.int64(0), np.int64(0), segments.doublings.sum()
    for s in range(segments.ends.shape[0]):
        if coarser < COARSE:
            break
        own = np.int64(0)
        for column in range(first, segments.ends[s]):
            at = 16 * column
            own += np.int64(seconds[me, np.uint64(at) + np.uint64(_nibble(mine, at))])
        parts += own << coarser
        first, coarser = segments.ends[s], coarser - segments.doublings[s]
    return min(np.int64(deficit) + (parts >> SECONDS), MOST)


@njit(nogil=True, _nrt=False)
def exact_keys(
    rows: Any, heads: Any, tails: Any, layout: Layout, levels: Levels, queries: Queries, q: int, more: Any, keys: Any
) -> None:  # fmt: skip
    """The ``keys`` (n,) of ``rows`` (n,) of the blocks: the float32 score, or minus the float32 squared distance.

    ``more`` (n,) float64 is added to the scores, unless it is empty: products with the centroids of lists.
    """
    exact, alone, places, split = queries.exact, levels.alone, levels.places, levels.split
    count = alone.shape[0]
    me, thirds = np.uint64(q), split.shape[1] > 256
    for i in range(rows.shape[0]):
        row, at = rows[i] % BLOCK, rows[i] // BLOCK * layout.head_bytes
        mine = _row_at(heads, tails, rows[i], layout)
        a = b = c = d = 0.0  # sums of every fourth one: additions that do not wait for each other
        for j in range(0, count & ~3, 4):
            a += _partial(exact, me, mine, alone[j])
            b += _partial(exact, me, mine, alone[j + 1])
            c += _partial(exact, me, mine, alone[j + 2])
            d += _partial(exact, me, mine, alone[j + 3])
        if count & 3 > 0:
            a += _partial(exact, me, mine, alone[count & ~3])
        if count & 3 > 1:
            b += _partial(exact, me, mine, alone[count & ~3 | 1])
        if count & 3 > 2:
            c += _partial(exact, me, mine, alone[count & ~3 | 2])
        score = (a + b) + (c + d)
        for s in range(layout.stages):
            score += np.float64(queries.stages[q, s, heads[at + 16 * layout.head + BLOCK * s + row]])
        a = b = 0.0  # of the columns whose codes span nibbles, and of every other one of them
        for part in range(places.shape[0]):
            p = np.uint64(part)
            first, second = _nibble(mine, 16 * places[p, 0]), _nibble(mine, 16 * places[p, 1])
            code = np.uint64(first) | np.uint64(second) << np.uint64(4)
            if thirds:
                third = _nibble(mine, 16 * places[p, 2])
                code |= np.uint64((third >> places[p, 3]) & places[p, 4]) << np.uint64(8)
            a, b = b, a + np.float64(queries.split[me, p]) * np.float64(split[p, code])
        score += a + b
        score += queries.base[q] + more[i] if more.shape[0] else queries.base[q]
        if layout.gain_bits:
            gain = gain_at(heads, at, row, layout)
            score *= layout.gain_least + layout.gain_step * np.float64(gain) if gain else 0.0
        keys[i] = np.float32(score)
        if layout.norm_bits:
            stored = np.float64(norm_of(heads, at, row, layout, levels.norms))
            keys[i] = -np.float32(max(0.0, queries.norm[q] + stored - 2.0 * score))


@njit(nogil=True, _nrt=False)
def raise_threshold(layout: Layout, queries: Queries, q: int, least: float) -> None:
    """Let rows pass whose bound reaches ``least``, and few others: of one more deficit, which float32 may lose."""
    queries.affine[q, 2] = least
    step, best = -np.float64(queries.affine[q, 0]), np.float64(queries.affine[q, 1])
    for code in range(16):
        gain = 1.0
        if layout.gain_bits:
            gain = layout.gain_least + layout.gain_step * code if code else 0.0
        limit = MOST if least <= 0 else 0
        if gain > 0:
            room = best - least / gain
            limit = MOST
            if room <= 0:
                limit = 0
            elif room < step * (MOST - 1):
                limit = int(room / step) + 1
        queries.limits[q, code], queries.limits[q, 16 + code] = limit & 255, limit >> 8


@njit(nogil=True, _nrt=False)
def follow(least: float, layout: Layout, queries: Queries, q: int) -> None:
    """``raise_threshold``, unless it is as high already."""
    if least > queries.affine[q, 2]:
        raise_threshold(layout, queries, q, least)


@njit(nogil=True, _nrt=False)
def least_bound(worst: float, queries: Queries, q: int) -> Any:
    """What the bound of a row reaches whose exact key is ``worst``, roundings aside."""
    return worst + queries.norm[q] - queries.slack[q] - 1e-6 * abs(worst)
