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
    Layout,
    Levels,
    Queries,
    Segments,
    bound_of,
    gain_at,
    place,
)


@njit(nogil=True)
def _add_columns(blocks: Any, at: int, first: int, last: int, table: Any, sums: Any) -> None:
    """Add to ``sums`` (32,) int64 what the columns ``first`` to ``last`` of a block select of ``table``."""
    phase, group = np.zeros(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    while first < last:
        count = GROUP
        while first + count > last:
            count >>= 1
        for parity in range(2):
            group[:] = 0
            for column in range(first + parity, first + count, 2):
                for j in range(16):
                    r, code = (j >> 1) + 8 * (j & 1), blocks[at + 16 * column + j]
                    group[r] += table[16 * column + (code & 15)]
                    group[r + 16] += table[16 * column + (code >> 4)]
            phase += np.minimum(group, 255)
        first += count
    sums[:] = np.minimum(sums + phase, MOST)


@njit(nogil=True)
def _sum_of_columns(digits: int, blocks: Any, at: int, segments: Segments, table: Any, second: Any, sums: Any) -> None:
    """The sums (32,) int64 of what a block's columns select of ``table`` (nibbles * 16,), in the same steps.

    Of two ``digits``, the parts of a step in ``second`` (nibbles * 16,) are added up too, and carried over.
    """
    parts, first = np.zeros(BLOCK, np.int64), 0
    sums[:] = 0
    for s in range(segments.ends.shape[0]):
        last = segments.ends[s]
        _add_columns(blocks, at, first, last, table, sums)
        if digits == 2:
            _add_columns(blocks, at, first, last, second, parts)
            sums[:] = np.minimum(sums + (parts >> SECONDS), MOST)
            parts = np.minimum((parts & ((1 << SECONDS) - 1)) << segments.doublings[s], MOST)
        sums[:] = np.minimum(sums << segments.doublings[s], MOST)
        first = last
    sums[:] = np.minimum(sums + (parts >> SECONDS), MOST)


@njit(nogil=True)
def portable_bounds(
    tile: int, digits: int, blocks: Any, at: int, layout: Layout, levels: Levels, segments: Segments, queries: Queries,
    q: int, stage_tables: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """What ``bounds.block_bounds`` says, without vectors."""
    plain = layout.gain_bits != 8 and layout.norm_bits == 0
    total, every = np.empty(BLOCK, np.int64), np.uint32(0)
    for t in range(tile):
        _sum_of_columns(digits, blocks, at, segments, queries.deficits[q + t], queries.seconds[q + t], total)
        for s in range(layout.stages):
            codes = at + 16 * layout.nibbles + BLOCK * s
            for r in range(BLOCK):
                deficit = np.int64(queries.stage_deficits[q + t, s, blocks[codes + r]])
                total[r] += deficit << queries.stage_doublings[q + t]
        total[:] = np.minimum(total, MOST)
        mask = np.uint32(0)
        for r in range(BLOCK):
            sums[t * BLOCK + place(r)] = total[r]
            if plain:
                code = gain_at(blocks, at, r, layout) if layout.gain_bits else 0
                low, high = queries.limits[q + t, code], queries.limits[q + t, 16 + code]
                fine = total[r] <= (np.int64(high) << 8 | np.int64(low))
            else:
                fine = (
                    bound_of(total[r], blocks, at, r, layout, levels.norms, queries.affine, q + t)
                    >= queries.affine[q + t, 2]
                )
            if fine:
                mask |= np.uint32(1) << np.uint32(r)
        masks[t] = mask
        every |= mask
    return every
