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
from numba.extending import intrinsic, overload

from lplr_index.kernels import bounds, layout, portable, scoring, settling, stages, thresholds, topk, vectors
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, Segments, Shape, carve, place
from lplr_index.kernels.scoring import follow, least_bound, raise_threshold
from lplr_index.kernels.settling import Kept, Scanned, settle, settle_by_estimates
from lplr_index.kernels.topk import empty, rank

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


@njit(nogil=True)
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


@njit(nogil=True)
def _own(queries: Queries, begin: int, end: int, lifts: Any) -> Queries:
    """Queries ``begin`` to ``end``, with thresholds of their own, and bounds that ``lifts`` are added to, if any."""
    affine, limits = queries.affine[begin:end].copy(), queries.limits[begin:end].copy()
    if lifts.shape[0]:
        affine[:, 1] += lifts[begin:end]
    return Queries(
        queries.deficits[begin:end], queries.seconds[begin:end], queries.stage_deficits[begin:end],
        queries.stage_least[begin:end], queries.stage_doublings[begin:end], limits, affine, queries.slack[begin:end],
        queries.exact[begin:end], queries.stages[begin:end], queries.split[begin:end], queries.base[begin:end],
        queries.norm[begin:end], queries.length[begin:end],
    )  # fmt: skip


def _pass_over(
    simd: int, scanned: Scanned, segments: Segments, first: int, rows: int, allowed: Any, kept: Kept, shared: Any,
    stride: int, scratch: Scratch,
) -> Any:  # fmt: skip
    """The scan itself; see ``make_scan``. Returns the next block.

    Compiled code only: the overload below stands in for this function there.
    """


@overload(_pass_over, prefer_literal=True, jit_options={"nogil": True, "_nrt": False})
def _passed_over(
    simd: Any, scanned: Any, segments: Any, first: Any, rows: Any, allowed: Any, kept: Any, shared: Any, stride: Any,
    scratch: Any,
) -> Any:  # fmt: skip
    level = simd.literal_value

    def pass_over(
        simd: Any, scanned: Any, segments: Any, first: Any, rows: Any, allowed: Any, kept: Any, shared: Any,
        stride: Any, scratch: Any,
    ) -> Any:  # fmt: skip
        blocks, row0, _, layout, levels, queries = scanned
        masks, sums, held, deficits, holds = scratch[:5]
        nq, last = queries.base.shape[0], (rows + BLOCK - 1) // BLOCK
        ranging, estimate = kept.radius > -np.inf, segments.ends[-1] < layout.nibbles
        if ranging:
            raise_threshold(layout, queries, 0, least_bound(kept.radius, queries, 0))
        first += -(row0 // BLOCK + first) % stride
        for start in range(first, last, SEGMENT * stride):
            stop = min(start + SEGMENT * stride, last)
            q = 0
            while q < nq:
                tile = TILE if nq - q >= TILE else 1
                for t in range(0 if ranging else tile):
                    _share(shared, kept.keys, layout, queries, q + t, estimate)
                for block in range(start, stop, stride):
                    if ranging and kept.counts[0] + BLOCK > kept.keys.shape[1]:
                        return block
                    live = _live(block, rows, row0, allowed)
                    if live == 0:
                        continue
                    at = block * layout.block_bytes
                    if tile == TILE:
                        some = block_bounds(
                            level, TILE, 1, blocks, at, layout, levels, segments, queries, q, sums, masks
                        )
                    else:
                        some = block_bounds(level, 1, 1, blocks, at, layout, levels, segments, queries, q, sums, masks)
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

    return pass_over


def make_scan(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan(
        blocks: Any, first: int, rows: int, row0: int, layout: Any, levels: Any, segments: Any, room: Any, shape: Any,
        begin: int, end: int, lifts: Any, allowed: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int,
        shared: Any, radius: float, stride: int, fresh: int, ranked: int,
    ) -> Any:  # fmt: skip
        """Offer rows of ``blocks`` (bytes,) uint8, from block ``first`` to row ``rows``, to the k best (some, room).

        Row r of the blocks is row ``row0 + r`` of the index; its id is ``ids[row0 + r]``, or that number where ``ids``
        is empty. ``allowed`` (blocks of the index,) uint32 is the filter, or empty. Segments of fewer columns than
        there are rank by estimates, which ``lifts`` (nq,) float32 are added to. Of the queries that were made ready in
        the ``room``, ``begin`` to ``end`` are asked; ``shared`` (some,) float32 are thresholds of everybody who scans
        for these. Of the blocks of the index only every ``stride``-th is looked at. If ``fresh``, nothing is among the
        best yet, and if ``ranked``, they are left best first. With a finite ``radius`` (one query only) rows whose key
        is above it are appended instead, while there is room. Returns the next block.

        ``layout``, ``levels``, ``segments`` and ``shape`` hold what ``Layout``, ``Levels``, ``Segments`` and ``Shape``
        do, as plain tuples: numba takes over such in half of the time.
        """
        _ = stamp
        queries = _own(carve(room, Shape(*shape))[0], begin, end, lifts)
        if fresh:
            empty(keys, found, counts, k)
        scanned = Scanned(blocks, row0, ids, Layout(*layout), Levels(*levels), queries)
        kept = Kept(keys, found, counts, k, radius)
        after = _pass_over(
            simd, scanned, Segments(*segments), first, rows, allowed, kept, shared, stride, new_scratch()
        )  # fmt: skip
        if ranked:
            rank(keys, found, counts, k)
        return after

    return scan


def make_finish() -> Any:
    """The exact ranking of shortlists; the stamp reaches numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def finish(
        blocks: Any, row0: int, count: int, layout: Any, levels: Any, room: Any, shape: Any, begin: int, end: int,
        ids: Any, rows: Any, keys: Any, found: Any, counts: Any, k: int, fresh: int, ranked: int,
    ) -> None:  # fmt: skip
        """Offer those of ``rows`` (some, n) int64, sorted, that ``blocks`` hold, to the k best, by exact keys.

        ``blocks`` hold the ``count`` rows of the index from ``row0`` on; everything else as for ``scan``.
        """
        _ = stamp
        queries = _own(carve(room, Shape(*shape))[0], begin, end, np.empty(0, np.float32))
        if fresh:
            empty(keys, found, counts, k)
        scanned = Scanned(blocks, row0, ids, Layout(*layout), Levels(*levels), queries)
        kept = Kept(keys, found, counts, k, -np.inf)
        for q in range(rows.shape[0]):
            mine = rows[q, np.searchsorted(rows[q], row0) : np.searchsorted(rows[q], row0 + count)] - row0
            settle(mine, q, scanned, kept, np.empty(mine.shape[0], np.float32))
        if ranked:
            rank(keys, found, counts, k)

    return finish
