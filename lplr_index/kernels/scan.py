"""The scan: bound every row, score the few that can matter, keep the k best.

``bounds.block_bounds`` bounds the rows of a block for several queries. Only a row whose bound reaches the threshold is
scored and offered to the k best (``topk.offer``), whose worst is the next threshold. Scores are exact, in float64
(``exact_keys``), so that what is returned is the exact ranking, whatever the instruction set or the rounding of the
bounds; or, for a shortlist, estimates from the first columns alone, and ``finish`` scores its rows exactly.

numba's cache does not see edits of the files that this one uses: ``STAMP`` takes them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from lplr_index.kernels import bounds, layout, portable, thresholds, topk, vectors
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import (
    BLOCK,
    MOST,
    Layout,
    Levels,
    Queries,
    Segments,
    bound_of,
    gain_at,
    norm_of,
    place,
    tile_stages,
)
from lplr_index.kernels.topk import offer

TILE = 4  # queries that share one reading of a block
SEGMENT = 128  # blocks that stay in the cache while all queries pass over them
_SOURCES = [Path(str(module.__file__)) for module in (bounds, layout, portable, thresholds, topk, vectors)]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The number of the lowest set bit of a non-zero uint32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), generate


@njit(nogil=True)
def exact_keys(
    rows: Any, blocks: Any, layout: Layout, places: Any, levels: Any, norms: Any, q: int, exact: Any, stages: Any,
    split: Any, base: Any, norm: Any, more: Any, keys: Any,
) -> None:  # fmt: skip
    """The ``keys`` (n,) of ``rows`` (n,) of the blocks: the float32 score, or minus the float32 squared distance.

    ``places``, ``levels`` and ``norms`` are what ``Levels`` holds, the arrays after ``q`` are of ``Queries``:
    numba counts references whenever an array is taken from a tuple or handed to a function; a row costs half of that.
    ``more`` (n,) float64 is added to the scores, unless it is empty: products with the centroids of lists.
    """
    me, thirds = np.uint64(q), levels.shape[1] > 256
    for i in range(rows.shape[0]):
        row, at = rows[i] % BLOCK, rows[i] // BLOCK * layout.block_bytes
        spot, high = np.uint64(at + 2 * (row & 7) + ((row >> 3) & 1)), np.uint8(4 * (row >> 4))
        a = b = c = d = 0.0  # sums of every fourth column: additions that do not wait for each other
        for four in range(0, 16 * (layout.nibbles & ~3), 64):
            column = np.uint64(four)  # numbers without a sign are no places counted from the end
            a += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
            column += np.uint64(16)
            b += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
            column += np.uint64(16)
            c += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
            column += np.uint64(16)
            d += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
        if layout.nibbles & 2:
            column = np.uint64(16 * (layout.nibbles - 2))
            a += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
            column += np.uint64(16)
            b += np.float64(exact[me, column + np.uint64((blocks[spot + column] >> high) & 15)])
        score = (a + b) + (c + d)
        for s in range(layout.stages):
            score += np.float64(stages[q, s, blocks[at + 16 * layout.nibbles + BLOCK * s + row]])
        a = b = 0.0  # of the columns whose codes span nibbles, and of every other one of them
        for part in range(places.shape[0]):
            p = np.uint64(part)
            first = (blocks[spot + np.uint64(16 * places[p, 0])] >> high) & 15
            second = (blocks[spot + np.uint64(16 * places[p, 1])] >> high) & 15
            code = np.uint64(first) | np.uint64(second) << np.uint64(4)
            if thirds:
                third = (blocks[spot + np.uint64(16 * places[p, 2])] >> high) & 15
                code |= np.uint64((third >> places[p, 3]) & places[p, 4]) << np.uint64(8)
            a, b = b, a + np.float64(split[me, p]) * np.float64(levels[p, code])
        score += a + b
        score += base[q] + more[i] if more.shape[0] else base[q]
        if layout.gain_bits:
            gain = gain_at(blocks, at, row, layout)
            score *= layout.gain_least + layout.gain_step * np.float64(gain) if gain else 0.0
        keys[i] = np.float32(score)
        if layout.norm_bits:
            stored = np.float64(norm_of(blocks, at, row, layout, norms))
            keys[i] = -np.float32(max(0.0, norm[q] + stored - 2.0 * score))


@njit(nogil=True)
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


@njit(nogil=True)
def least_bound(worst: float, queries: Queries, q: int) -> Any:
    """What the bound of a row reaches whose exact key is ``worst``, roundings aside."""
    return worst + queries.norm[q] - queries.slack[q] - 1e-6 * abs(worst)


@njit(nogil=True)
def _share(shared: Any, keys: Any, layout: Layout, queries: Queries, q: int, estimate: Any) -> None:
    """Take a higher threshold from those who scan other rows, or leave them one's own."""
    worst = keys[q, 0]
    if shared[q] > worst:
        least = np.float64(shared[q])
        if not estimate:
            least = least_bound(least, queries, q)
        if least > queries.affine[q, 2]:
            raise_threshold(layout, queries, q, least)
    elif worst > shared[q]:
        shared[q] = worst


@njit(nogil=True)
def _estimated_keys(
    rows: Any, deficits: Any, blocks: Any, layout: Layout, norms: Any, q: int, affine: Any, keys: Any
) -> None:  # fmt: skip
    """What ``deficits`` (n,) tell of the ``keys`` (n,) of ``rows`` (n,)."""
    for i in range(rows.shape[0]):
        row, at = rows[i] % BLOCK, rows[i] // BLOCK * layout.block_bytes
        keys[i] = bound_of(deficits[i], blocks, at, row, layout, norms, affine, q)


@njit(nogil=True)
def settle(
    rows: Any, deficits: Any, blocks: Any, row0: int, layout: Layout, levels: Levels, queries: Queries,
    q: int, ids: Any, best: Any, found: Any, counts: Any, k: int, estimate: Any, radius: float,
) -> None:  # fmt: skip
    """Offer ``rows`` (n,) of the blocks that may matter to query q, by exact keys or by what ``deficits`` (n,) tell.

    Many at a time, so that the query's tables are in the cache.
    """
    keys, no_products = np.empty(rows.shape[0], np.float32), np.empty(0)
    if estimate:
        _estimated_keys(rows, deficits, blocks, layout, levels.norms, q, queries.affine, keys)
    else:
        exact_keys(
            rows, blocks, layout, levels.places, levels.split, levels.norms, q, queries.exact, queries.stages,
            queries.split, queries.base, queries.norm, no_products, keys,
        )  # fmt: skip
    for i in range(rows.shape[0]):
        number = row0 + rows[i]
        if ids.shape[0]:
            number = ids[number]
        if radius == -np.inf:
            offer(best, found, counts, q, k, keys[i], number)
        elif keys[i] > radius:
            best[q, counts[q]], found[q, counts[q]] = keys[i], number
            counts[q] += 1
    if radius == -np.inf and best[q, 0] > -np.inf:
        worst = np.float64(best[q, 0])
        raise_threshold(layout, queries, q, worst if estimate else least_bound(worst, queries, q))


@njit(nogil=True)
def _live(block: int, rows: int, row0: int, allowed: Any) -> Any:
    """The rows of a block that there are and that the filter lets pass, as bits."""
    live = np.uint32(0xFFFFFFFF)
    if allowed.shape[0]:
        live = allowed[row0 // BLOCK + block]
    if rows - block * BLOCK < BLOCK:
        live &= (np.uint32(1) << np.uint32(rows - block * BLOCK)) - np.uint32(1)
    return live


def make_scan(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan(
        blocks: Any, first: int, rows: int, row0: int, layout: Layout, levels: Levels, segments: Segments,
        queries: Queries, allowed: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int, shared: Any,
        radius: float,
    ) -> int:  # fmt: skip
        """Offer rows of ``blocks`` (bytes,) uint8, from block ``first`` to row ``rows``, to the k best (nq, room).

        Row r of the blocks is row ``row0 + r`` of the index; its id is ``ids[row0 + r]``, or that number where ``ids``
        is empty. ``allowed`` (blocks of the index,) uint32 is the filter, or empty. Segments of fewer columns than
        there are rank by estimates. ``shared`` (nq,) float32 are thresholds of everybody who scans for these queries.
        With a finite ``radius`` (one query only) rows whose key is above it are appended instead, while there is room.
        Returns the next block.
        """
        _ = stamp
        masks, sums = np.empty(TILE, np.uint32), np.empty(TILE * BLOCK, np.uint16)
        held, deficits = np.empty((TILE, 2 * BLOCK), np.int64), np.empty((TILE, 2 * BLOCK), np.uint16)
        holds = np.zeros(TILE, np.int64)  # rows that may matter and wait to be scored
        stage_tables = tile_stages(queries.stage_deficits, queries.stage_doublings, TILE)
        nq, last = queries.base.shape[0], (rows + BLOCK - 1) // BLOCK
        ranging, estimate = radius > -np.inf, segments.ends[-1] < layout.nibbles
        if ranging:
            raise_threshold(layout, queries, 0, least_bound(radius, queries, 0))
        for start in range(first, last, SEGMENT):
            stop = min(start + SEGMENT, last)
            q = 0
            while q < nq:
                tile = TILE if nq - q >= TILE else 1
                for t in range(0 if ranging else tile):
                    _share(shared, keys, layout, queries, q + t, estimate)
                for block in range(start, stop):
                    if ranging and counts[0] + BLOCK > keys.shape[1]:
                        return block
                    live = _live(block, rows, row0, allowed)
                    if live == 0:
                        continue
                    at = block * layout.block_bytes
                    if tile == TILE:
                        some = block_bounds(
                            simd, TILE, 1, blocks, at, layout, levels, segments, queries, q, stage_tables, sums, masks
                        )
                    else:
                        some = block_bounds(
                            simd, 1, 1, blocks, at, layout, levels, segments, queries, q, stage_tables, sums, masks
                        )
                    if some == 0:
                        continue
                    for t in range(tile):
                        mask = np.uint32(masks[t] & live)
                        while mask != 0:
                            row = lowest_bit(mask)
                            mask = np.uint32(mask & (mask - np.uint32(1)))
                            held[t, holds[t]] = block * BLOCK + row
                            deficits[t, holds[t]] = sums[t * BLOCK + place(row)]
                            holds[t] += 1
                        if holds[t] >= BLOCK or (ranging and holds[t]):
                            settle(
                                held[t, : holds[t]], deficits[t, : holds[t]], blocks, row0, layout, levels,
                                queries, q + t, ids, keys, found, counts, k, estimate, radius,
                            )  # fmt: skip
                            holds[t] = 0
                for t in range(tile):
                    if holds[t]:
                        settle(
                            held[t, : holds[t]], deficits[t, : holds[t]], blocks, row0, layout, levels,
                            queries, q + t, ids, keys, found, counts, k, estimate, radius,
                        )  # fmt: skip
                        holds[t] = 0
                q += tile
        return last

    return scan


def make_finish() -> Any:
    """The exact ranking of shortlists; the stamp reaches numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def finish(
        blocks: Any, row0: int, count: int, layout: Layout, levels: Levels, queries: Queries, ids: Any, rows: Any,
        keys: Any, found: Any, counts: Any, k: int,
    ) -> None:  # fmt: skip
        """Offer those of ``rows`` (nq, n) int64, sorted, that ``blocks`` hold, to the k best (nq, room), by exact keys.

        ``blocks`` hold the ``count`` rows of the index from ``row0`` on; ``ids`` as in ``scan``.
        """
        _ = stamp
        no_deficits, estimate = np.empty(0, np.uint16), False
        for q in range(rows.shape[0]):
            mine = rows[q, np.searchsorted(rows[q], row0) : np.searchsorted(rows[q], row0 + count)] - row0
            settle(
                mine,
                no_deficits,
                blocks,
                row0,
                layout,
                levels,
                queries,
                q,
                ids,
                keys,
                found,
                counts,
                k,
                estimate,
                -np.inf,
            )

    return finish
