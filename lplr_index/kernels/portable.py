"""The bounds of ``bounds.py`` in plain numba: the same integers, for CPUs whose byte shuffle is not known there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from lplr_index.kernels.layout import (
    BLOCK,
    GROUP,
    MOST,
    SECONDS,
    SPARED,
    Layout,
    Levels,
    Queries,
    Segments,
    passes,
    place,
)


@njit(nogil=True, _nrt=False)
def _add_columns(codes: Any, spot: int, high: int, first: int, last: int, tables: Any, q: int) -> Any:
    """What the columns ``first`` to ``last`` of the row whose nibbles lie from byte ``spot`` on select of a table."""
    total = 0
    while first < last:
        count = GROUP
        while first + count > last:
            count >>= 1
        for parity in range(2):
            group = 0
            for column in range(first + parity, first + count, 2):
                group += tables[q, 16 * column + ((codes[spot + 16 * column] >> high) & 15)]
            total += min(group, 255)
        first += count
    return total


@njit(nogil=True, _nrt=False)
def _deficit(
    digits: int, heads: Any, tails: Any, block: int, row: int, layout: Layout, first: int, segments: Segments,
    deficits: Any, seconds: Any, q: int,
) -> Any:  # fmt: skip
    """The sum of what a row's columns from ``first`` on select of the tables of query q, in the smallest steps.

    Of two ``digits``, the parts of a step are added up too, and carried over.
    """
    within, high = 2 * (row & 7) + ((row >> 3) & 1), 4 * (row >> 4)
    total = parts = 0
    for s in range(segments.ends.shape[0]):
        last, doublings = segments.ends[s], segments.doublings[s]
        codes, spot = heads, block * layout.head_bytes + within
        if first >= layout.head:
            codes, spot = tails, block * layout.tail_bytes - 16 * layout.head + within
        total = min(total + _add_columns(codes, spot, high, first, last, deficits, q), MOST)
        if digits == 2:
            parts = min(parts + _add_columns(codes, spot, high, first, last, seconds, q), MOST)
            total = min(total + (parts >> SECONDS), MOST)
            parts = min((parts & ((1 << SECONDS) - 1)) << doublings, MOST)
        total = min(total << doublings, MOST)
        first = last
    return min(total + (parts >> SECONDS), MOST)


@njit(nogil=True, _nrt=False)
def _of_stages(tables: Any, heads: Any, at: int, row: int, layout: Layout, spared: int, q: int) -> Any:
    """What a row's stages select of tables (nq, stages, entries), by their codes without the ``spared`` low bits."""
    total = np.int64(0)
    for s in range(layout.stages):
        code = np.int64(heads[at + 16 * layout.head + BLOCK * s + row])
        total += np.int64(tables[q, s, code >> spared])
    return total


@njit(nogil=True, _nrt=False)
def portable_bounds(
    tile: int, digits: int, heads: Any, tails: Any, block: int, layout: Layout, levels: Levels, segments: Segments,
    queries: Queries, q: int, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """What ``bounds.block_bounds`` says, without vectors."""
    every, at = np.uint32(0), block * layout.head_bytes
    for t in range(tile):
        me, mask = q + t, np.uint32(0)
        for r in range(BLOCK):
            deficit = _deficit(
                digits, heads, tails, block, r, layout, 0, segments, queries.deficits, queries.seconds, me
            )  # fmt: skip
            deficit = min(deficit + queries.promises[me], MOST)
            doublings = queries.stage_doublings[me]
            least = min(_of_stages(queries.stage_least, heads, at, r, layout, SPARED, me), 255) << doublings
            if passes(min(deficit + least, MOST), heads, at, r, layout, levels.norms, queries, me):
                whole = _of_stages(queries.stage_deficits, heads, at, r, layout, 0, me) << doublings
                deficit = min(deficit + whole, MOST)
                if passes(deficit, heads, at, r, layout, levels.norms, queries, me):
                    mask |= np.uint32(1) << np.uint32(r)
            sums[t * BLOCK + place(r)] = deficit
        masks[t] = mask
        every |= mask
    return every


@njit(nogil=True, _nrt=False)
def portable_rest(
    tails: Any, block: int, layout: Layout, segments: Segments, queries: Queries, q: int, sums: Any
) -> None:  # fmt: skip
    """What ``bounds.rest_sums`` says, without vectors."""
    for r in range(BLOCK):
        sums[place(r)] = _deficit(
            1, tails, tails, block, r, layout, layout.head, segments, queries.deficits, queries.seconds, q
        )  # fmt: skip
