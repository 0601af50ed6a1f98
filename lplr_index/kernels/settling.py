"""What becomes of rows that may matter: they are scored, and the k best are kept; whose worst is the next threshold.

numba's cache does not see edits of the files that this one uses: ``STAMP`` of scan.py takes them there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lplr_index.kernels.layout import BLOCK, Layout, Levels, Queries, bound_of
from lplr_index.kernels.scoring import exact_keys, follow, least_bound
from lplr_index.kernels.topk import offer


class Scanned(NamedTuple):
    """Whose rows, and for which queries."""

    heads: Any  # (bytes,) uint8
    tails: Any  # (bytes,) uint8
    row0: int  # number of the first row
    ids: Any  # (rows of the index,) int64 by number, or empty where numbers are the ids
    layout: Layout
    levels: Levels
    queries: Queries


class Kept(NamedTuple):
    """The k best of each query, as ``topk.py`` keeps them, or, with a finite ``radius``, all keys above it."""

    keys: Any  # (nq, room) float32
    found: Any  # (nq, room) int64
    counts: Any  # (nq,) int64
    k: int
    radius: float


@njit(nogil=True, _nrt=False)
def settle(rows: Any, q: int, scanned: Scanned, kept: Kept, keys: Any) -> None:
    """Offer ``rows`` (n,) of the blocks to query q by their exact ``keys`` (n,), which receives them.

    Many at a time, so that the query's tables are in the cache.
    """
    queries = scanned.queries
    no_products = queries.base[:0]
    exact_keys(rows, scanned.heads, scanned.tails, scanned.layout, scanned.levels, queries, q, no_products, keys)
    _settle(rows, q, scanned, kept, keys)


@njit(nogil=True, _nrt=False)
def settle_as_promised(rows: Any, deficits: Any, q: int, scanned: Scanned, kept: Kept, keys: Any) -> None:
    """The same, but no row counts for more than what its ``deficits`` (n,) promise."""
    layout, norms, queries = scanned.layout, scanned.levels.norms, scanned.queries
    exact_keys(rows, scanned.heads, scanned.tails, layout, scanned.levels, queries, q, queries.base[:0], keys)
    for i in range(rows.shape[0]):
        row, at = rows[i] % BLOCK, rows[i] // BLOCK * layout.head_bytes
        bound = bound_of(deficits[i], scanned.heads, at, row, layout, norms, queries.affine, q)
        promise = np.float32(np.float64(bound) - queries.norm[q])
        if kept.radius == -np.inf:
            keys[i] = min(keys[i], promise)
        elif promise <= kept.radius:
            keys[i] = -np.inf
    _settle(rows, q, scanned, kept, keys)


@njit(nogil=True, _nrt=False)
def _settle(rows: Any, q: int, scanned: Scanned, kept: Kept, keys: Any) -> None:
    """Offer ``rows`` (n,) by these ``keys`` (n,)."""
    _offer(rows, q, scanned, kept, keys)
    if kept.radius == -np.inf:
        queries = scanned.queries
        follow(least_bound(np.float64(kept.keys[q, 0]), queries, q), scanned.layout, queries, q)


@njit(nogil=True, _nrt=False)
def _offer(rows: Any, q: int, scanned: Scanned, kept: Kept, given: Any) -> None:
    """Offer ``rows`` (n,) with the keys ``given`` (n,)."""
    row0, ids = scanned.row0, scanned.ids
    keys, found, counts, k, radius = kept
    for i in range(rows.shape[0]):
        number = row0 + rows[i]
        if ids.shape[0]:
            number = ids[number]
        if radius == -np.inf:
            offer(keys, found, counts, q, k, given[i], number)
        elif given[i] > radius:
            keys[q, counts[q]], found[q, counts[q]] = given[i], number
            counts[q] += 1
