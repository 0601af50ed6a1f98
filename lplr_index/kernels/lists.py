"""The scan of rows that lie list by list: each query passes over the lists it was given, nearest first.

Rows of a list share the product of the query with their centroid, which is added to every score: tables are the same
for all lists, and only the threshold moves. Blocks belong to whoever has rows in them, so lists need no room between
them. A list is passed over if not even a row as far from the centroid as its farthest could reach the k best.

numba's cache does not see edits of the files that this one uses: ``STAMP`` takes them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from lplr_index.kernels import bounds, layout, portable, scan, thresholds, topk, vectors
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, Segments, gain_at, norm_of, place
from lplr_index.kernels.scan import least_bound, lowest_bit, raise_threshold, settle
from lplr_index.kernels.topk import reached_by

MANY = 512  # rows that wait to be scored together,
FIRST = 32  # or, until there are k best, so many times k at the end of a list
_SOURCES = [Path(str(module.__file__)) for module in (bounds, layout, portable, scan, thresholds, topk, vectors)]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


@njit(nogil=True)
def _out_of_reach(product: float, length: float, far: float, norm: float, layout: Layout, queries: Queries, q: int,
                  worst: float) -> Any:  # fmt: skip
    """Whether no row within ``far`` of its centroid, of squared norm ``norm`` at least, scores ``worst`` or more.

    By Cauchy and Schwarz, <q, x> <= <q, c> + |q| |x - c|; ``product`` is <q, c> and ``length`` |q|.
    """
    most = product + length * far
    if layout.norm_bits:
        most = min(2.0 * most - queries.norm[q] - norm, 0.0)
    return most + queries.slack[q] + 1e-5 * length * far + 1e-6 * abs(worst) < worst


@njit(nogil=True)
def _of_list(block: int, first: int, last: int, allowed: Any) -> Any:
    """The rows of a block that are of the list with the rows ``first`` to ``last`` and allowed, as bits."""
    live = np.uint32(0xFFFFFFFF)
    if allowed.shape[0]:
        live = allowed[block]
    start = block * BLOCK
    if start < first:
        live &= ~((np.uint32(1) << np.uint32(first - start)) - np.uint32(1))
    if last - start < BLOCK:
        live &= (np.uint32(1) << np.uint32(last - start)) - np.uint32(1)
    return np.uint32(live)


@njit(nogil=True)
def _bound_all(
    held: Any, deficits: Any, products: Any, blocks: Any, layout: Layout, norms: Any, scale: Any, base: float,
    bounds: Any,
) -> None:  # fmt: skip
    """The ``bounds`` (n,) of rows, as ``layout.bound_of`` has them, of lists whose products are added to ``base``.

    Many at a time: numba counts references whenever an array is taken from a tuple or handed to a function.
    """
    factor, gains = 2.0 if layout.norm_bits else 1.0, np.zeros(16, np.float32)
    for code in range(1, 16):
        gains[code] = np.float32(layout.gain_least) + np.float32(code) * np.float32(layout.gain_step)
    for i in range(held.shape[0]):
        row, at = held[i] % BLOCK, held[i] // BLOCK * layout.block_bytes
        bound = np.float32(deficits[i]) * scale + np.float32(base + factor * products[i])
        if layout.gain_bits == 8:
            bound *= np.float32(gain_at(blocks, at, row, layout)) * np.float32(layout.gain_step)
        elif layout.gain_bits == 4:
            spot = np.uint64(at + layout.gain_at + 2 * (row & 7) + ((row >> 3) & 1))
            bound *= gains[np.uint64((blocks[spot] >> np.uint8(4 * (row >> 4))) & 15)]
        if layout.norm_bits:
            bound -= norm_of(blocks, at, row, layout, norms)
        bounds[i] = bound


@njit(nogil=True)
def _choose(held: Any, products: Any, bounds: Any, least: Any, below: Any, rows: Any, more: Any) -> Any:
    """Write those whose bounds are from ``least`` to ``below`` to ``rows`` and ``more``; returns how many they are."""
    count = np.int64(0)
    for i in range(held.shape[0]):
        rows[count], more[count] = held[i], products[i]
        count += np.int64(least <= bounds[i]) & np.int64(bounds[i] < below)
    return count


@njit(nogil=True)
def _settle_all(
    held: Any, deficits: Any, products: Any, blocks: Any, layout: Layout, levels: Levels, queries: Queries, q: int,
    base: float, ids: Any, keys: Any, found: Any, counts: Any, k: int, radius: float,
) -> None:  # fmt: skip
    """Offer ``held`` (n,) rows of the blocks with such deficits (n,), of lists with such ``products`` (n,).

    While there are no k best, and so no threshold, every row passes: those of the best bounds are scored first, and of
    the others only those that reach the threshold which these make.
    """
    n, nothing, estimate = held.shape[0], np.empty(0, np.uint16), False
    bounds, rows, more = np.empty(n, np.float32), np.empty(n, np.int64), np.empty(n)
    _bound_all(held, deficits, products, blocks, layout, levels.norms, queries.affine[q, 0], base, bounds)
    first = np.float32(np.inf)
    if radius == -np.inf and keys[q, 0] == -np.inf:
        first = reached_by(bounds, k, np.empty(n, np.float32), rows)
        count = _choose(held, products, bounds, first, np.float32(np.inf), rows, more)
        settle(rows[:count], nothing, more[:count], blocks, 0, layout, levels, queries, q, ids, keys, found, counts, k,
               estimate, radius)  # fmt: skip
    count = _choose(held, products, bounds, queries.affine[q, 2], first, rows, more)
    settle(rows[:count], nothing, more[:count], blocks, 0, layout, levels, queries, q, ids, keys, found, counts, k,
           estimate, radius)  # fmt: skip


def make_scan_lists(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan_lists(
        blocks: Any, starts: Any, layout: Layout, levels: Levels, segments: Segments, queries: Queries, lists: Any,
        products: Any, loose: float, reach: Any, allowed: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int,
        radius: float,
    ) -> None:  # fmt: skip
        """Offer the rows of ``lists`` (nq, nprobe) int64 of each query to its k best (nq, room).

        Rows ``starts[i]`` to ``starts[i + 1]`` of ``blocks`` (bytes,) uint8 are those of list i; the id of row r is
        ``ids[r]``. ``products`` (nq, nprobe) float32 are those of the queries with the centroids, of which a bound may
        lose the part ``loose`` to rounding. ``reach`` (nlist, 2) float32 says of each list how far a row is from the
        centroid at most, and the least of the norms that are stored. ``allowed`` (blocks,) uint32 is the filter, or
        empty. With a finite ``radius`` (one query only) rows whose key is above it are appended, for which there is
        room.
        """
        _ = stamp
        mask, sums = np.empty(1, np.uint32), np.empty(BLOCK, np.uint16)
        held, more = np.empty(MANY + BLOCK, np.int64), np.empty(MANY + BLOCK)
        deficits, no_tables = np.empty(MANY + BLOCK, np.uint16), np.empty(0, np.uint16)
        factor, ranging = 2.0 if layout.norm_bits else 1.0, radius > -np.inf
        for q in range(lists.shape[0]):
            bound, slack, holds = queries.affine[q, 1], queries.slack[q], 0
            queries.slack[q] += loose * np.float64(np.abs(products[q]).max())
            for p in range(lists.shape[1]):
                which = lists[q, p]
                first, last = starts[which], starts[which + 1]
                if first == last:
                    continue
                product, worst = np.float64(products[q, p]), radius
                if not ranging:
                    worst = np.float64(keys[q, 0])
                far, norm = np.float64(reach[which, 0]), np.float64(reach[which, 1])
                if _out_of_reach(product, queries.length[q], far, norm, layout, queries, q, worst):
                    continue
                queries.affine[q, 1] = np.float32(np.float64(bound) + factor * product)
                raise_threshold(layout, queries, q, least_bound(worst, queries, q) if worst > -np.inf else worst)
                for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
                    live = _of_list(block, first, last, allowed)
                    if live == 0:
                        continue
                    some = block_bounds(
                        simd, 1, 2, blocks, block * layout.block_bytes, layout, levels, segments, queries, q,
                        no_tables, sums, mask,
                    )  # fmt: skip
                    left = np.uint32(some & live)
                    while left != 0:
                        row = lowest_bit(left)
                        left = np.uint32(left & (left - np.uint32(1)))
                        held[holds], deficits[holds], more[holds] = block * BLOCK + row, sums[place(row)], product
                        holds += 1
                    if holds >= MANY:
                        _settle_all(
                            held[:holds], deficits[:holds], more[:holds], blocks, layout, levels, queries, q,
                            np.float64(bound), ids, keys, found, counts, k, radius,
                        )  # fmt: skip
                        holds = 0
                if holds >= FIRST * k and not ranging and keys[q, 0] == -np.inf:
                    _settle_all(
                        held[:holds], deficits[:holds], more[:holds], blocks, layout, levels, queries, q,
                        np.float64(bound), ids, keys, found, counts, k, radius,
                    )  # fmt: skip
                    holds = 0
            if holds:
                _settle_all(
                    held[:holds], deficits[:holds], more[:holds], blocks, layout, levels, queries, q,
                    np.float64(bound), ids, keys, found, counts, k, radius,
                )  # fmt: skip
            queries.affine[q, 1], queries.slack[q] = bound, slack

    return scan_lists
