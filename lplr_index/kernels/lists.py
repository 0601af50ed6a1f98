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

from lplr_index.kernels import bounds, layout, portable, scan, topk, vectors
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, Segments, place
from lplr_index.kernels.scan import least_bound, lowest_bit, raise_threshold, settle
from lplr_index.kernels.topk import keep

MANY = 1024  # rows that wait for the first k best
_SOURCES = [Path(str(module.__file__)) for module in (bounds, layout, portable, scan, topk, vectors)]
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
def _passing(held: Any, deficits: Any, blocks: Any, gain_at: int, block_bytes: int, limits: Any, order: Any, first: int,
             rows: Any) -> int:  # fmt: skip
    """Those of ``held[order[first:]]`` whose deficit is within the limit of their gain of four bits, if they have one.

    They go into ``rows``; returns how many. Without calls: numba counts references of arrays that are handed over.
    """
    count = 0
    for i in range(first, held.shape[0]):
        row, code = held[order[i]], np.int64(0)
        if gain_at >= 0:
            place = row // BLOCK * block_bytes + gain_at + 2 * (row & 7) + ((row >> 3) & 1)
            code = np.int64((blocks[place] >> np.uint8(4 * ((row >> 4) & 1))) & 15)
        if deficits[order[i]] <= limits[code] + 256 * np.int64(limits[16 + code]):
            rows[count] = row
            count += 1
    return count


@njit(nogil=True)
def _settle_all(
    held: Any, deficits: Any, blocks: Any, layout: Layout, levels: Levels, queries: Queries, q: int, ids: Any,
    keys: Any, found: Any, counts: Any, k: int, radius: float,
) -> None:  # fmt: skip
    """Offer ``held`` (n,) rows of the blocks with such deficits (n,).

    While there are no k best, and so no threshold, every row passes: the k of least deficits are scored first, and of
    the others only those that reach the threshold which these make.
    """
    estimate, plain = False, layout.gain_bits != 8 and layout.norm_bits == 0
    if radius > -np.inf or keys[q, 0] > -np.inf or held.shape[0] <= k or not plain:
        settle(held, deficits, blocks, 0, layout, levels, queries, q, ids, keys, found, counts, k, estimate, radius)
        return
    n = held.shape[0]
    nearness, order, rows = np.empty(n, np.float32), np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        nearness[i], order[i] = -np.float32(deficits[i]), i
    keep(nearness, order, n, k)
    for i in range(k):
        rows[i] = held[order[i]]
    some = rows[:k]
    settle(some, deficits, blocks, 0, layout, levels, queries, q, ids, keys, found, counts, k, estimate, radius)
    count = _passing(held, deficits, blocks, layout.gain_at, layout.block_bytes, queries.limits[q], order, k, rows)
    some = rows[:count]
    settle(some, deficits, blocks, 0, layout, levels, queries, q, ids, keys, found, counts, k, estimate, radius)


def make_scan_lists(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan_lists(
        blocks: Any, starts: Any, layout: Layout, levels: Levels, segments: Segments, queries: Queries, lists: Any,
        products: Any, lengths: Any, reach: Any, allowed: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int,
        radius: float,
    ) -> None:  # fmt: skip
        """Offer the rows of ``lists`` (nq, nprobe) int64 of each query to its k best (nq, room).

        Rows ``starts[i]`` to ``starts[i + 1]`` of ``blocks`` (bytes,) uint8 are those of list i; the id of row r is
        ``ids[r]``. ``products`` (nq, nprobe) float32 are those of the queries, of ``lengths`` (nq,) float64, with the
        centroids. ``reach`` (nlist, 2) float32 says of each list how far a row is from the centroid at most, and the
        least of the norms that are stored. ``allowed`` (blocks,) uint32 is the filter, or empty.
        With a finite ``radius`` (one query only) rows whose key is above it are appended, for which there is room.
        """
        _ = stamp
        mask, sums = np.empty(1, np.uint32), np.empty(BLOCK, np.uint16)
        held, deficits = np.empty(MANY + BLOCK, np.int64), np.empty(MANY + BLOCK, np.uint16)
        no_tables, ranging = np.empty(0, np.uint16), radius > -np.inf
        factor = 2.0 if layout.norm_bits else 1.0
        for q in range(lists.shape[0]):
            base, bound = queries.base[q], np.float64(queries.affine[q, 1])
            for p in range(lists.shape[1]):
                which = lists[q, p]
                first, last = starts[which], starts[which + 1]
                if first == last:
                    continue
                product, worst = np.float64(products[q, p]), radius
                if not ranging:
                    worst = np.float64(keys[q, 0])
                far, norm = np.float64(reach[which, 0]), np.float64(reach[which, 1])
                if _out_of_reach(product, lengths[q], far, norm, layout, queries, q, worst):
                    continue
                queries.base[q], queries.affine[q, 1] = base + product, np.float32(bound + factor * product)
                raise_threshold(layout, queries, q, least_bound(worst, queries, q) if worst > -np.inf else worst)
                holds = 0
                for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
                    live = _of_list(block, first, last, allowed)
                    if live == 0:
                        continue
                    some = block_bounds(
                        simd, 1, blocks, block * layout.block_bytes, layout, levels, segments, queries, q, no_tables,
                        sums, mask,
                    )  # fmt: skip
                    left = np.uint32(some & live)
                    while left != 0:
                        row = lowest_bit(left)
                        left = np.uint32(left & (left - np.uint32(1)))
                        held[holds], deficits[holds] = block * BLOCK + row, sums[place(row)]
                        holds += 1
                    if holds >= (BLOCK if worst > -np.inf else MANY):
                        _settle_all(
                            held[:holds], deficits[:holds], blocks, layout, levels, queries, q, ids, keys, found,
                            counts, k, radius,
                        )  # fmt: skip
                        holds = 0
                if holds:
                    _settle_all(
                        held[:holds], deficits[:holds], blocks, layout, levels, queries, q, ids, keys, found, counts,
                        k, radius,
                    )  # fmt: skip
            queries.base[q], queries.affine[q, 1] = base, np.float32(bound)

    return scan_lists
