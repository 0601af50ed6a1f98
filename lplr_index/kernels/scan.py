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
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from lplr_index.kernels import bounds, layout, portable, scoring, settling, stages, thresholds, topk, vectors
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, Segments, place
from lplr_index.kernels.scoring import follow, least_bound, raise_threshold
from lplr_index.kernels.settling import Kept, Scanned, settle, settle_by_estimates

TILE = 4  # queries that share one reading of a block
SEGMENT = 128  # blocks that stay in the cache while all queries pass over them
_SOURCES = [
    Path(str(module.__file__))
    for module in (bounds, layout, portable, scoring, settling, stages, thresholds, topk, vectors)
]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


class Scratch(NamedTuple):
    """What a scan writes down for itself, for the queries of a tile."""

    masks: Any  # (TILE,) uint32: rows of a block that may matter
    sums: Any  # (TILE * 32,) uint16: their deficits
    rows: Any  # (TILE, 64) int64: rows that may matter and wait to be settled
    deficits: Any  # (TILE, 64) uint16
    holds: Any  # (TILE,) int64: how many wait
    keys: Any  # (64,) float32


def new_scratch() -> Scratch:
    """Room for it: kernels without references to count cannot ask for memory."""
    rows, deficits = np.empty((TILE, 2 * BLOCK), np.int64), np.empty((TILE, 2 * BLOCK), np.uint16)
    masks, sums = np.empty(TILE, np.uint32), np.empty(TILE * BLOCK, np.uint16)
    return Scratch(masks, sums, rows, deficits, np.zeros(TILE, np.int64), np.empty(2 * BLOCK, np.float32))


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The number of the lowest set bit of a non-zero uint32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), generate


@njit(nogil=True, _nrt=False)
def _share(shared: Any, keys: Any, layout: Layout, queries: Queries, q: int, estimate: Any) -> None:
    """Take a higher threshold from those who scan other rows, or leave them one's own."""
    worst = keys[q, 0]
    if shared[q] > worst:
        least = np.float64(shared[q])
        follow(least if estimate else least_bound(least, queries, q), layout, queries, q)
    elif worst > shared[q]:
        shared[q] = worst


@njit(nogil=True, _nrt=False)
def _settle(t: int, q: int, scanned: Scanned, kept: Kept, scratch: Scratch, estimate: Any) -> None:
    """Settle the rows that wait for query q, the t-th of the tile."""
    holds = scratch.holds[t]
    rows, keys = scratch.rows[t, :holds], scratch.keys[:holds]
    if estimate:
        settle_by_estimates(rows, scratch.deficits[t, :holds], q, scanned, kept, keys)
    else:
        settle(rows, q, scanned, kept, keys)
    scratch.holds[t] = 0


@njit(nogil=True, _nrt=False)
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

    @njit(nogil=True, _nrt=False, cache=True)
    def scan(
        blocks: Any, first: int, rows: int, row0: int, layout: Layout, levels: Levels, segments: Segments,
        queries: Queries, allowed: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int, shared: Any,
        radius: float, stride: int, scratch: Scratch,
    ) -> int:  # fmt: skip
        """Offer rows of ``blocks`` (bytes,) uint8, from block ``first`` to row ``rows``, to the k best (nq, room).

        Row r of the blocks is row ``row0 + r`` of the index; its id is ``ids[row0 + r]``, or that number where ``ids``
        is empty. ``allowed`` (blocks of the index,) uint32 is the filter, or empty. Segments of fewer columns than
        there are rank by estimates. ``shared`` (nq,) float32 are thresholds of everybody who scans for these queries.
        Of the blocks of the index only every ``stride``-th is looked at.
        With a finite ``radius`` (one query only) rows whose key is above it are appended instead, while there is room.
        ``scratch`` is nobody else's meanwhile. Returns the next block.
        """
        _ = stamp
        masks, sums, held, deficits, holds = scratch[:5]
        scanned, kept = Scanned(blocks, row0, ids, layout, levels, queries), Kept(keys, found, counts, k, radius)
        nq, last = queries.base.shape[0], (rows + BLOCK - 1) // BLOCK
        ranging, estimate = radius > -np.inf, segments.ends[-1] < layout.nibbles
        if ranging:
            raise_threshold(layout, queries, 0, least_bound(radius, queries, 0))
        first += -(row0 // BLOCK + first) % stride
        for start in range(first, last, SEGMENT * stride):
            stop = min(start + SEGMENT * stride, last)
            q = 0
            while q < nq:
                tile = TILE if nq - q >= TILE else 1
                for t in range(0 if ranging else tile):
                    _share(shared, keys, layout, queries, q + t, estimate)
                for block in range(start, stop, stride):
                    if ranging and counts[0] + BLOCK > keys.shape[1]:
                        return block
                    live = _live(block, rows, row0, allowed)
                    if live == 0:
                        continue
                    at = block * layout.block_bytes
                    if tile == TILE:
                        some = block_bounds(
                            simd, TILE, 1, blocks, at, layout, levels, segments, queries, q, sums, masks
                        )
                    else:
                        some = block_bounds(simd, 1, 1, blocks, at, layout, levels, segments, queries, q, sums, masks)
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
                            _settle(t, q + t, scanned, kept, scratch, estimate)
                for t in range(tile):
                    if holds[t]:
                        _settle(t, q + t, scanned, kept, scratch, estimate)
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
        scanned, kept = Scanned(blocks, row0, ids, layout, levels, queries), Kept(keys, found, counts, k, -np.inf)
        for q in range(rows.shape[0]):
            mine = rows[q, np.searchsorted(rows[q], row0) : np.searchsorted(rows[q], row0 + count)] - row0
            settle(mine, q, scanned, kept, np.empty(mine.shape[0], np.float32))

    return finish
