"""The scan: bound every row, score the few that can matter, keep the k best.

``bounds.block_bounds`` bounds the rows of a block for several queries. Only a row whose bound reaches the threshold is
scored and offered to the k best (``topk.offer``), whose worst is the next threshold. Scores are exact, in float64
(``exact_keys``), so that what is returned is the exact ranking, whatever the instruction set or the rounding of the
bounds. Where only the first columns are summed, a row counts for no more than these promise, so that all others are
looked at for the few rows alone that promise enough; and ``finish`` puts what was found in the exact order.

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
from lplr_index.kernels.bounds import block_bounds, rest_sums
from lplr_index.kernels.layout import BLOCK, LINE, MOST, Layout, Levels, Queries, Segments, Shape, carve, passes, place
from lplr_index.kernels.scoring import finer, follow, least_bound, raise_threshold
from lplr_index.kernels.settling import Kept, Scanned, settle, settle_as_promised
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
    rest: Any  # (32,) uint16: what other columns add to the deficits of a block


@njit(nogil=True)
def new_scratch() -> Scratch:
    """Room for it: kernels without references to count cannot ask for memory."""
    rows, deficits = np.empty((TILE, 2 * BLOCK), np.int64), np.empty((TILE, 2 * BLOCK), np.uint16)
    masks, sums = np.empty(TILE, np.uint32), np.empty(TILE * BLOCK, np.uint16)
    keys, rest = np.empty(2 * BLOCK, np.float32), np.empty(BLOCK, np.uint16)
    return Scratch(masks, sums, rows, deficits, np.zeros(TILE, np.int64), keys, rest)


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The number of the lowest set bit of a non-zero uint32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.int64(types.uint32), generate


@intrinsic
def ask_for(typingctx: Any, array: Any, at: Any) -> Any:
    """Ask for the cache line of entry ``at`` of an array (n,), which is wanted soon."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vectors.prefetch(builder, builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@njit(nogil=True, _nrt=False)
def _share(shared: Any, keys: Any, layout: Layout, queries: Queries, q: int) -> None:
    """Take a higher threshold from those who scan other rows, or leave them one's own."""
    worst = keys[q, 0]
    if shared[q] > worst:
        follow(least_bound(np.float64(shared[q]), queries, q), layout, queries, q)
    elif worst > shared[q]:
        shared[q] = worst


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
def _promise(deficits: Any, first: int, segments: Segments, margin: float) -> Any:
    """The deficit that the columns from ``first`` on, in ``segments``, are taken to have, of one query's (entries,).

    It is what they have on average less ``margin`` standard deviations, of rows whose nibbles are drawn at random.
    """
    usual = variance = 0.0
    for s in range(segments.ends.shape[0]):
        shift = segments.doublings[s:].sum()
        for column in range(first, segments.ends[s]):
            total = squares = np.int64(0)
            for entry in range(16 * column, 16 * column + 16):
                deficit = np.int64(deficits[entry])
                total += deficit
                squares += deficit * deficit
            usual += (total << shift) / 16
            variance += ((16 * squares - total * total) << (2 * shift)) / 256
        first = segments.ends[s]
    return np.int64(min(max(usual - margin * np.sqrt(variance), 0.0), float(MOST)))


@njit(nogil=True)
def _own(queries: Queries, begin: int, end: int) -> Queries:
    """Queries ``begin`` to ``end``, with thresholds and promises of their own."""
    affine, limits = queries.affine[begin:end].copy(), queries.limits[begin:end].copy()
    promises = queries.promises[begin:end].copy()
    return Queries(
        queries.deficits[begin:end], queries.seconds[begin:end], queries.stage_deficits[begin:end],
        queries.stage_least[begin:end], queries.stage_doublings[begin:end], promises, limits, affine,
        queries.slack[begin:end], queries.exact[begin:end], queries.stages[begin:end], queries.split[begin:end],
        queries.base[begin:end], queries.norm[begin:end], queries.length[begin:end],
    )  # fmt: skip


def _pass_over(
    simd: int, scanned: Scanned, near: Segments, rest: Segments, first: int, rows: int, allowed: Any, kept: Kept,
    shared: Any, stride: int, scratch: Scratch,
) -> Any:  # fmt: skip
    """The scan itself; see ``make_scan``. Returns the next block.

    Compiled code only: the overload below stands in for this function there.
    """


@overload(_pass_over, prefer_literal=True, jit_options={"nogil": True, "_nrt": False})
def _passed_over(
    simd: Any, scanned: Any, near: Any, rest: Any, first: Any, rows: Any, allowed: Any, kept: Any, shared: Any,
    stride: Any, scratch: Any,
) -> Any:  # fmt: skip
    level = simd.literal_value

    def pass_over(
        simd: Any, scanned: Any, near: Any, rest: Any, first: Any, rows: Any, allowed: Any, kept: Any, shared: Any,
        stride: Any, scratch: Any,
    ) -> Any:  # fmt: skip
        heads, tails, row0, _, layout, levels, queries = scanned
        masks, sums, held, deficits, holds = scratch[:5]
        nq, last = queries.base.shape[0], (rows + BLOCK - 1) // BLOCK
        ranging = kept.radius > -np.inf
        if ranging:
            raise_threshold(layout, queries, 0, least_bound(kept.radius, queries, 0))
        first += -(row0 // BLOCK + first) % stride
        for start in range(first, last, SEGMENT * stride):
            stop = min(start + SEGMENT * stride, last)
            q = 0
            while q < nq:
                tile = TILE if nq - q >= TILE else 1
                for t in range(0 if ranging else tile):
                    _share(shared, kept.keys, layout, queries, q + t)
                for block in range(start, stop, stride):
                    if ranging and kept.counts[0] + BLOCK > kept.keys.shape[1]:
                        return block
                    live = _live(block, rows, row0, allowed)
                    if live == 0:
                        continue
                    if tile == TILE:
                        some = block_bounds(
                            level, TILE, 1, heads, tails, block, layout, levels, near, queries, q, sums, masks
                        )
                    else:
                        some = block_bounds(
                            level, 1, 1, heads, tails, block, layout, levels, near, queries, q, sums, masks
                        )
                    if some == 0:
                        continue
                    if rest.ends.shape[0]:
                        for at in range(block * layout.tail_bytes, (block + 1) * layout.tail_bytes, LINE):
                            ask_for(tails, at)
                    for t in range(tile):
                        mask = np.uint32(masks[t] & live)
                        while mask != 0:
                            row = lowest_bit(mask)
                            mask = np.uint32(mask & (mask - np.uint32(1)))
                            held[t, holds[t]] = block * BLOCK + row
                            deficits[t, holds[t]] = sums[t * BLOCK + place(row)]
                            holds[t] += 1
                        if holds[t] >= BLOCK or (ranging and holds[t]):
                            _settle(level, t, q + t, scanned, near, rest, kept, scratch)
                for t in range(tile):
                    if holds[t]:
                        _settle(level, t, q + t, scanned, near, rest, kept, scratch)
                q += tile
        return last

    return pass_over


def _settle(
    simd: int, t: int, q: int, scanned: Scanned, near: Segments, rest: Segments, kept: Kept, scratch: Scratch
) -> None:  # fmt: skip
    """Settle the rows that wait for query q, the t-th of the tile; compiled code only, as ``_pass_over``.

    Those alone are scored whose bound still reaches the threshold: with what the rest really adds, if there is one, and
    then with what rounding took from it in ``near`` columns.
    """


@overload(_settle, prefer_literal=True, jit_options={"nogil": True, "_nrt": False})
def _settled(simd: Any, t: Any, q: Any, scanned: Any, near: Any, rest: Any, kept: Any, scratch: Any) -> Any:
    level = simd.literal_value

    def settled(simd: Any, t: Any, q: Any, scanned: Any, near: Any, rest: Any, kept: Any, scratch: Any) -> None:
        rows, deficits = scratch.rows[t, : scratch.holds[t]], scratch.deficits[t, : scratch.holds[t]]
        scratch.holds[t] = 0
        heads, tails, _, _, layout, levels, queries = scanned
        staged, left, summed = rest.ends.shape[0] > 0, 0, -1
        for i in range(rows.shape[0]):
            block, row = rows[i] // BLOCK, rows[i] % BLOCK
            at, whole = block * layout.head_bytes, deficits[i]
            if staged:
                if block != summed:
                    rest_sums(level, tails, block, layout, rest, queries, q, scratch.rest)
                    summed = block
                whole = min(np.int64(whole) - queries.promises[q] + np.int64(scratch.rest[place(row)]), MOST)
            if passes(whole, heads, at, row, layout, levels.norms, queries, q):
                whole = finer(whole, rows[i], heads, tails, layout, near, queries.seconds, q)
                if passes(whole, heads, at, row, layout, levels.norms, queries, q):
                    rows[left], deficits[left] = rows[i], deficits[i]
                    left += 1
        if staged:
            settle_as_promised(rows[:left], deficits[:left], q, scanned, kept, scratch.keys[:left])
        else:
            settle(rows[:left], q, scanned, kept, scratch.keys[:left])

    return settled


def make_scan(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan(
        heads: Any, tails: Any, first: int, rows: int, row0: int, layout: Any, levels: Any, near: Any, rest: Any,
        room: Any, shape: Any, begin: int, end: int, margin: float, allowed: Any, ids: Any, keys: Any, found: Any,
        counts: Any, k: int, shared: Any, radius: float, stride: int, fresh: int, ranked: int,
    ) -> Any:  # fmt: skip
        """Offer rows of blocks, from block ``first`` to row ``rows``, to the k best (some, room).

        Blocks are ``heads`` and ``tails``, both (bytes,) uint8. Row r of them is row ``row0 + r`` of the index; its id
        is ``ids[row0 + r]``, or that number where ``ids`` is empty. ``allowed`` (blocks of the index,) uint32 is the
        filter, or empty. Columns that are not ``near`` but in the ``rest`` are summed for those rows alone whose near
        ones promise enough, and no key is more than these promise: with others that add what they do on average and
        ``margin`` standard deviations more. Of the queries that were made ready in the ``room``, ``begin`` to ``end``
        are asked; ``shared`` (some,) float32 are thresholds of everybody who scans for these. Of the blocks of the
        index only every ``stride``-th is looked at. If ``fresh``, nothing is among the best yet, and if ``ranked``,
        they are left best first. With a finite ``radius`` (one query only) rows whose key is above it, and what they
        promise, are appended instead, while there is room. Returns the next block.

        ``layout``, ``levels``, ``near``, ``rest`` and ``shape`` hold what ``Layout``, ``Levels``, ``Segments`` (both)
        and ``Shape`` do, as plain tuples: numba takes over such in half of the time.
        """
        _ = stamp
        summed, others = Segments(*near), Segments(*rest)
        queries = _own(carve(room, Shape(*shape))[0], begin, end)
        for q in range(end - begin if others.ends.shape[0] else 0):
            queries.promises[q] = _promise(queries.deficits[q], summed.ends[-1], others, margin)
        if fresh:
            empty(keys, found, counts, k)
        scanned = Scanned(heads, tails, row0, ids, Layout(*layout), Levels(*levels), queries)
        kept = Kept(keys, found, counts, k, radius)
        after = _pass_over(simd, scanned, summed, others, first, rows, allowed, kept, shared, stride, new_scratch())
        if ranked:
            rank(keys, found, counts, k)
        return after

    return scan


def make_finish() -> Any:
    """The exact ranking of rows that are known; the stamp reaches numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def finish(
        heads: Any, tails: Any, row0: int, count: int, layout: Any, levels: Any, room: Any, shape: Any, begin: int,
        end: int, ids: Any, rows: Any, keys: Any, found: Any, counts: Any, k: int, fresh: int, ranked: int,
    ) -> None:  # fmt: skip
        """Offer those of ``rows`` (some, n) int64, sorted, that the blocks hold, to the k best, by exact keys.

        These hold the ``count`` rows of the index from ``row0`` on; everything else as for ``scan``.
        """
        _ = stamp
        queries = _own(carve(room, Shape(*shape))[0], begin, end)
        if fresh:
            empty(keys, found, counts, k)
        scanned = Scanned(heads, tails, row0, ids, Layout(*layout), Levels(*levels), queries)
        kept = Kept(keys, found, counts, k, -np.inf)
        for q in range(rows.shape[0]):
            mine = rows[q, np.searchsorted(rows[q], row0) : np.searchsorted(rows[q], row0 + count)] - row0
            settle(mine, q, scanned, kept, np.empty(mine.shape[0], np.float32))
        if ranked:
            rank(keys, found, counts, k)

    return finish
