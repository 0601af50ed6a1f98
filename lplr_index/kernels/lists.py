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

from lplr_index.kernels import (
    bounds,
    layout,
    portable,
    scan,
    scoring,
    settling,
    stages,
    thresholds,
    topk,
    vectors,
    waiting,
)
from lplr_index.kernels.bounds import block_bounds
from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, Segments, Shape, carve, place
from lplr_index.kernels.scan import lowest_bit
from lplr_index.kernels.scoring import least_bound, raise_threshold
from lplr_index.kernels.topk import forget, name_nobody
from lplr_index.kernels.waiting import Packed, Results, Waiting, make_room, rank, score, tighten

MANY = 512  # rows that wait to be scored together, or four times k
NEW = 16  # rows that are worth looking at the waiting ones again for, where bounds tell how low a score can be;
FIRST = 32  # else, so many times k are worth scoring the best for a first threshold
_SOURCES = [
    Path(str(module.__file__))
    for module in (bounds, layout, portable, scan, scoring, settling, stages, thresholds, topk, vectors, waiting)
]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


@njit(nogil=True)
def _out_of_reach(product: float, reach: Any, layout: Layout, queries: Queries, q: int, worst: float) -> Any:
    """Whether no row of a list scores ``worst`` or more, by how far from the centroid rows are, and by their norms.

    By Cauchy and Schwarz, <q, x> <= <q, c> + |q| |x - c|; ``product`` is <q, c>.
    """
    length, far, norm = queries.length[q], np.float64(reach[0]), np.float64(reach[1])
    most = product + length * far
    if layout.norm_bits:
        most = min(2.0 * most - queries.norm[q] - norm, 0.0)
    return most + queries.slack[q] + 1e-5 * length * far + 1e-6 * abs(worst) < worst


@njit(nogil=True)
def _move(queries: Queries, q: int, best: float, slack: float) -> None:
    """Set the bound of a row without deficits, and its slack.

    In a function of its own: numba does not see that what ``carve`` gives is read elsewhere, and drops such writes.
    """
    queries.affine[q, 1], queries.slack[q] = best, slack


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


def make_scan_lists(simd: int) -> Any:
    """The scan for one instruction set; ``simd`` and the stamp reach numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def scan_lists(
        blocks: Any, starts: Any, layout: Any, levels: Any, segments: Any, loose: float, room: Any, shape: Any,
        reach: Any, allowed: Any, numbers: Any, ids: Any, keys: Any, found: Any, counts: Any, k: int, radius: float,
        fresh: int, ranked: int,
    ) -> None:  # fmt: skip
        """Offer the rows of the lists of each query that was made ready in the ``room`` to its k best (nq, k).

        Rows ``starts[i]`` to ``starts[i + 1]`` of ``blocks`` (bytes,) uint8, heads without tails, are those of list i;
        row r has the number ``numbers[r]``, whose id is ``ids[numbers[r]]``, or the number where ``ids`` is empty. Of
        products with centroids a bound may lose the part ``loose`` to rounding. ``reach`` (nlist, 2) float32 says of
        each list how far a row is from the centroid at most, and the least of the norms that are stored. ``allowed``
        (blocks,) uint32 is the filter, or empty. With a finite ``radius`` (one query only) rows whose key is above it
        are appended, for which there is room, and ``counts`` (1,) says how many. Otherwise keys and ids are a heap; if
        ``fresh``, nothing is in it yet, and if ``ranked``, they are left best first.

        ``layout``, ``levels``, ``segments`` and ``shape`` hold what ``Layout``, ``Levels``, ``Segments`` and ``Shape``
        do, as plain tuples: numba takes over such in half of the time.
        """
        _ = stamp
        layout, levels, segments = Layout(*layout), Levels(*levels), Segments(*segments)
        packed = Packed(blocks, layout, levels, segments)
        results = Results(numbers, ids, keys, found, counts, k, radius)
        queries, lists, products = carve(room, Shape(*shape))
        factor, spanning, many = (
            2.0 if layout.norm_bits else 1.0,
            levels.places.shape[0] > 0,
            max(MANY, min(4 * k, numbers.shape[0])),
        )
        mask, sums = np.empty(1, np.uint32), np.empty(BLOCK, np.uint16)
        rows, more = np.empty(many + BLOCK, np.int64), np.empty(many + BLOCK)
        deficits, bounds = np.empty(many + BLOCK, np.uint16), np.empty(many + BLOCK, np.float32)
        for q in range(lists.shape[0]):
            if fresh:
                forget(keys[q], found[q])
            base, slack = np.float64(queries.affine[q, 1]), queries.slack[q]
            loosened = slack + loose * np.float64(np.abs(products[q]).max())
            holds, known = 0, 0  # rows that wait, and of how many of them there are bounds
            worst = radius if radius > -np.inf else np.float64(keys[q, 0])
            for p in range(lists.shape[1]):
                first, last, product = starts[lists[q, p]], starts[lists[q, p] + 1], np.float64(products[q, p])
                _move(queries, q, base + factor * product, loosened)
                if first == last or _out_of_reach(product, reach[lists[q, p]], layout, queries, q, worst):
                    continue
                raise_threshold(layout, queries, q, least_bound(worst, queries, q))
                for block in range(first // BLOCK, (last + BLOCK - 1) // BLOCK):
                    live = _of_list(block, first, last, allowed)
                    if live == 0:
                        continue
                    left = np.uint32(live & block_bounds(
                        simd, 1, 2, blocks, blocks, block, layout, levels, segments, queries, q, sums, mask,
                    ))  # fmt: skip
                    while left != 0:
                        row = lowest_bit(left)
                        left = np.uint32(left & (left - np.uint32(1)))
                        rows[holds], deficits[holds], more[holds] = block * BLOCK + row, sums[place(row)], product
                        holds += 1
                    if holds >= many:
                        waiting = Waiting(rows, deficits, more, bounds)
                        holds, worst = make_room(waiting, known, holds, packed, queries, q, base, results, worst)
                        known = holds
                        raise_threshold(layout, queries, q, least_bound(worst, queries, q))
                enough = NEW if not spanning else FIRST * k if worst == -np.inf else many
                if holds - known >= enough or p == lists.shape[1] - 1:
                    waiting = Waiting(rows, deficits, more, bounds)
                    holds, worst = tighten(waiting, known, holds, packed, queries, q, base, results, worst)
                    known = holds
            waiting = Waiting(rows, deficits, more, bounds)
            if radius > -np.inf:
                score(waiting, 0, holds, packed, queries, q, results)
            else:
                rank(waiting, holds, packed, queries, q, results, ranked)
            _move(queries, q, base, slack)
            if ranked:
                name_nobody(found[q])

    return scan_lists
