"""The scan: bound every row, score exactly the few that can matter, keep the k best.

``bounds.block_bounds`` bounds the rows of a block for several queries. Only a row whose bound reaches the threshold is
scored exactly, in float64 (``exact_key``), and offered to a heap of the k best, whose worst is the next threshold.
What is returned is therefore the exact ranking, whatever the instruction set or the rounding of the bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from lplr_index.kernels.bounds import BLOCK, STAMP, Layout, Queries, block_bounds, gain_at, half_at, tile_stages

TILE = 4  # queries that share one reading of a block
SEGMENT = 128  # blocks that stay in the cache while all queries pass over them


@intrinsic
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The number of the lowest set bit of a non-zero uint32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), generate


@njit(nogil=True)
def exact_key(blocks: Any, at: int, row: int, layout: Layout, queries: Queries, q: int) -> Any:
    """The key of one row of a block: the float32 score, or minus the float32 squared distance. Larger is better."""
    spot = 2 * (row & 7) + ((row >> 3) & 1)
    high = 4 * (row >> 4)
    score = 0.0
    for column in range(layout.nibbles):
        score += np.float64(queries.exact[q, column, (blocks[at + 16 * column + spot] >> high) & 15])
    for s in range(layout.stages):
        score += np.float64(queries.stages[q, s, blocks[at + 16 * layout.nibbles + BLOCK * s + row]])
    fields = layout.split_fields
    f = 0
    while f < fields.shape[0]:
        column, code = fields[f, 0], 0
        while f < fields.shape[0] and fields[f, 0] == column:
            nibble = (blocks[at + 16 * fields[f, 1] + spot] >> high) & 15
            code |= ((nibble >> fields[f, 2]) & fields[f, 3]) << fields[f, 4]
            f += 1
        score += np.float64(queries.split[q, column]) * np.float64(layout.split_levels[column, code])
    score += queries.base[q]
    if layout.gain_bits:
        code = gain_at(blocks, at, row, layout)
        score *= layout.gain_least + layout.gain_step * np.float64(code) if code else 0.0
    if layout.norm_at < 0:
        return np.float32(score)
    norm = np.float64(half_at(blocks, at + layout.norm_at + 2 * row, layout)) * layout.norm_unit
    return -np.float32(max(0.0, queries.norm[q] + norm - 2.0 * score))


@njit(nogil=True)
def _worse(key: Any, number: int, other: Any, other_number: int) -> bool:
    """Whether (key, id) ranks behind the other: by key, and at equal keys the lower id first."""
    return key < other or (key == other and number > other_number)


@njit(nogil=True)
def _sift_down(keys: Any, ids: Any, size: int) -> None:
    """Restore the heap (worst at the root) after its root was replaced."""
    key, number, at = keys[0], ids[0], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(keys[child + 1], ids[child + 1], keys[child], ids[child]):
            child += 1
        if not _worse(keys[child], ids[child], key, number):
            break
        keys[at], ids[at] = keys[child], ids[child]
        at = child
    keys[at], ids[at] = key, number


@njit(nogil=True)
def push(keys: Any, ids: Any, key: Any, number: int) -> None:
    """Put (key, id) into a full heap of the k best if it ranks before the worst of them."""
    if _worse(keys[0], ids[0], key, number):
        keys[0], ids[0] = key, number
        _sift_down(keys, ids, keys.shape[0])


@njit(nogil=True, cache=True)
def sort_heaps(keys: Any, ids: Any) -> None:
    """Turn each heap (nq, k) into a list, best first."""
    for q in range(keys.shape[0]):
        for size in range(keys.shape[1] - 1, 0, -1):
            keys[q, 0], keys[q, size] = keys[q, size], keys[q, 0]
            ids[q, 0], ids[q, size] = ids[q, size], ids[q, 0]
            _sift_down(keys[q], ids[q], size)


@njit(nogil=True, cache=True)
def merge_heaps(keys: Any, ids: Any, more_keys: Any, more_ids: Any) -> None:
    """Add the entries of a second set of heaps (nq, k) to the first."""
    for q in range(keys.shape[0]):
        for i in range(more_keys.shape[1]):
            push(keys[q], ids[q], more_keys[q, i], more_ids[q, i])


def make_scan(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan(
        blocks: Any, first: int, rows: int, row0: int, layout: Layout, queries: Queries, allowed: Any, ids: Any,
        keys: Any, found: Any, radius: float,
    ) -> tuple[int, int]:  # fmt: skip
        """Offer rows of ``blocks`` (bytes,) uint8, from block ``first`` to row ``rows``, to heaps (nq, k).

        Row r of the blocks is row ``row0 + r`` of the index; its id is ``ids[row0 + r]``, or that number where ``ids``
        is empty. ``allowed`` (blocks of the index,) uint32 is the filter, or empty. With a finite ``radius`` (one query
        only) rows whose key is above it are appended instead of ranked. Returns (next block, rows appended).
        """
        masks, sums = np.empty(TILE, np.uint32), np.empty(TILE * BLOCK, np.int32)
        stage_tables = tile_stages(queries.stage_bounds, TILE)
        nq, last, count = queries.base.shape[0], (rows + BLOCK - 1) // BLOCK, 0
        ranging = radius > -np.inf
        for start in range(first, last, SEGMENT):
            stop = min(start + SEGMENT, last)
            q = 0
            while q < nq:
                tile = TILE if nq - q >= TILE else 1
                for block in range(start, stop):
                    live = np.uint32(0xFFFFFFFF)
                    if allowed.shape[0]:
                        live = allowed[row0 // BLOCK + block]
                    if rows - block * BLOCK < BLOCK:
                        live &= (np.uint32(1) << np.uint32(rows - block * BLOCK)) - np.uint32(1)
                    if live == 0:
                        continue
                    if ranging and count + BLOCK > keys.shape[1]:
                        return block, count
                    at = block * layout.block_bytes
                    if tile == TILE:
                        block_bounds(simd, stamp, TILE, blocks, at, layout, queries, q, stage_tables, sums, masks)
                    else:
                        block_bounds(simd, stamp, 1, blocks, at, layout, queries, q, stage_tables, sums, masks)
                    for t in range(tile):
                        mask = np.uint32(masks[t] & live)
                        while mask != 0:
                            row = _lowest_bit(mask)
                            mask = np.uint32(mask & (mask - np.uint32(1)))
                            key = exact_key(blocks, at, row, layout, queries, q + t)
                            number = row0 + block * BLOCK + row
                            if ids.shape[0]:
                                number = ids[number]
                            if ranging:
                                if key > radius:
                                    keys[0, count], found[0, count] = key, number
                                    count += 1
                            elif _worse(keys[q + t, 0], found[q + t, 0], key, number):
                                push(keys[q + t], found[q + t], key, number)
                                worst = np.float64(keys[q + t, 0])
                                least = worst + queries.norm[q + t] - queries.slack[q + t] - 1e-6 * abs(worst)
                                queries.affine[q + t, 2] = np.float32(least)
                q += tile
        return last, count

    return scan
