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
    bound_of,
    gain_at,
    place,
)


@njit(nogil=True, _nrt=False)
def _add_columns(blocks: Any, spot: int, high: int, first: int, last: int, tables: Any, q: int) -> Any:
    """What the columns ``first`` to ``last`` of the row whose nibbles lie from byte ``spot`` on select of a table."""
    total = 0
    while first < last:
        count = GROUP
        while first + count > last:
            count >>= 1
        for parity in range(2):
            group = 0
            for column in range(first + parity, first + count, 2):
                group += tables[q, 16 * column + ((blocks[spot + 16 * column] >> high) & 15)]
            total += min(group, 255)
        first += count
    return total


@njit(nogil=True, _nrt=False)
def _deficit(
    digits: int, blocks: Any, at: int, row: int, segments: Segments, deficits: Any, seconds: Any, q: int
) -> Any:  # fmt: skip
    """The sum of what a row's columns select of the tables of query q, in the smallest steps.

    Of two ``digits``, the parts of a step are added up too, and carried over.
    """
    spot, high = at + 2 * (row & 7) + ((row >> 3) & 1), 4 * (row >> 4)
    total = parts = first = 0
    for s in range(segments.ends.shape[0]):
        last, doublings = segments.ends[s], segments.doublings[s]
        total = min(total + _add_columns(blocks, spot, high, first, last, deficits, q), MOST)
        if digits == 2:
            parts = min(parts + _add_columns(blocks, spot, high, first, last, seconds, q), MOST)
            total = min(total + (parts >> SECONDS), MOST)
            parts = min((parts & ((1 << SECONDS) - 1)) << doublings, MOST)
        total = min(total << doublings, MOST)
        first = last
    return min(total + (parts >> SECONDS), MOST)


@njit(nogil=True, _nrt=False)
def _of_stages(tables: Any, blocks: Any, at: int, row: int, layout: Layout, spared: int, q: int) -> Any:
    """What a row's stages select of tables (nq, stages, entries), by their codes without the ``spared`` low bits."""
    total = np.int64(0)
    for s in range(layout.stages):
        code = np.int64(blocks[at + 16 * layout.nibbles + BLOCK * s + row])
        total += np.int64(tables[q, s, code >> spared])
    return total


@njit(nogil=True, _nrt=False)
def _passes(deficit: int, blocks: Any, at: int, row: int, layout: Layout, norms: Any, queries: Queries, q: int) -> Any:
    """Whether a row with this sum of deficits may reach the threshold of query q."""
    if layout.gain_bits == 8 or layout.norm_bits:
        return bound_of(deficit, blocks, at, row, layout, norms, queries.affine, q) >= queries.affine[q, 2]
    code = gain_at(blocks, at, row, layout) if layout.gain_bits else 0
    return deficit <= (np.int64(queries.limits[q, 16 + code]) << 8 | np.int64(queries.limits[q, code]))


@njit(nogil=True, _nrt=False)
def portable_bounds(
    tile: int, digits: int, blocks: Any, at: int, layout: Layout, levels: Levels, segments: Segments, queries: Queries,
    q: int, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """What ``bounds.block_bounds`` says, without vectors."""
    every = np.uint32(0)
    for t in range(tile):
        me, mask = q + t, np.uint32(0)
        for r in range(BLOCK):
            deficit = _deficit(digits, blocks, at, r, segments, queries.deficits, queries.seconds, me)
            doublings = queries.stage_doublings[me]
            least = min(_of_stages(queries.stage_least, blocks, at, r, layout, SPARED, me), 255) << doublings
            if _passes(min(deficit + least, MOST), blocks, at, r, layout, levels.norms, queries, me):
                whole = _of_stages(queries.stage_deficits, blocks, at, r, layout, 0, me) << doublings
                deficit = min(deficit + whole, MOST)
                if _passes(deficit, blocks, at, r, layout, levels.norms, queries, me):
                    mask |= np.uint32(1) << np.uint32(r)
            sums[t * BLOCK + place(r)] = deficit
        masks[t] = mask
        every |= mask
    return every
