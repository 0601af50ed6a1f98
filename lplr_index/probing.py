"""Searching in lists: which lists each query looks at, then the scan of these alone.

A query is one task's, so ranks are the same however queries are dealt out. Thresholds go from list to list, the nearest
ones first: most rows of later lists are turned away by their bounds, and most lists that cannot improve the k best by
how far their rows reach.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.listmodel import ListModel
from lplr_index.lists import Lists, Run
from lplr_index.scanning import (
    Best,
    Filter,
    cut_queries,
    keys_of,
    no_filter,
    pack_filter,
    prepare,
    where_of,
)
from lplr_index.threads import run

if TYPE_CHECKING:
    from lplr_index.kernels.layout import Queries

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.integer]
Ready = tuple["Queries", IdArray, FloatMatrix]
"""What ``ready`` gives."""
Parts = list[tuple[Run, Filter, Ids]]
"""Runs, each with the filter and the ids of its rows as they lie."""

_NOTHING = np.empty(0, np.float32), np.empty(0, np.int64)


def search(
    held: Lists, model: ListModel, xq: FloatMatrix, k: int, nprobe: int, mask: Mask | None, threads: int
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query xq (nq, d), of those in its ``nprobe`` lists that ``mask`` (ntotal,) allows.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    found : ndarray of shape (nq, k), int64
        Ids, best first, ties by lowest id; -1 where there are fewer than k rows.
    """
    parts, best = _parts(held, mask), Best.none(len(xq), k, few=True)

    def rank(part: slice) -> None:
        asked = ready(model, xq[part], nprobe)
        for one, allowed, ids in parts:
            scan_run(one, model, asked, held.reach, allowed, ids, best.of(part), k)

    run([partial(rank, part) for part in cut_queries(len(xq), threads)], threads)
    return best.ranked(k)


def range_search(
    held: Lists, model: ListModel, xq: FloatMatrix, radius: float, nprobe: int, mask: Mask | None, threads: int
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all such rows whose key is above ``radius``, in row order, of each query."""
    parts, ids = _parts(held, mask, by_number=True), held.ids.all()

    def find(q: int) -> tuple[npt.NDArray[np.float32], IdArray]:
        asked = ready(model, xq[q : q + 1], nprobe)
        found = [_NOTHING]
        for one, allowed, numbers in parts:
            found.append(range_of_run(one, model, asked, held.reach, allowed, numbers, radius))
        keys, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(rows)
        return keys[order], ids[rows[order]]

    return run([partial(find, q) for q in range(len(xq))], threads)


def scan_run(
    one: Run, model: ListModel, asked: Ready, reach: FloatMatrix, allowed: Filter, ids: Ids, best: Best, k: int
) -> None:
    """Offer the rows of a run that are allowed, by their ids as they lie (n,), to the k best of queries made ready."""
    what = *where_of(model, model.codec.nibbles), *asked, looseness(model)
    kernels.scan_lists_kernel()(one.blocks.reshape(-1), one.starts, *what, reach, allowed, ids, *best, k, -np.inf)


def range_of_run(
    one: Run, model: ListModel, asked: Ready, reach: FloatMatrix, allowed: Filter, ids: Ids, radius: float
) -> tuple[npt.NDArray[np.float32], IdArray]:
    """The keys (n,) and ids (n,) of those rows of a run whose key is above ``radius``, for one query made ready."""
    what = *where_of(model, model.codec.nibbles), *asked, looseness(model)
    room = int(np.diff(one.starts)[asked[1][0]].sum())
    found = Best(np.empty((1, room), np.float32), np.empty((1, room), np.int64), np.zeros(1, np.int64))
    kernels.scan_lists_kernel()(one.blocks.reshape(-1), one.starts, *what, reach, allowed, ids, *found, 1, radius)
    return found.keys[0, : found.counts[0]], found.found[0, : found.counts[0]]


def _parts(held: Lists, mask: Mask | None, *, by_number: bool = False) -> Parts:
    """What is scanned; rows go by their ids, or by their numbers."""
    own = held.ids.stored
    parts: Parts = []
    for one in held.runs:
        allowed = no_filter() if mask is None else pack_filter(mask[one.rows])
        parts.append((one, allowed, one.rows if by_number or not len(own) else own[one.rows]))
    return parts


def ready(model: ListModel, xq: FloatMatrix, nprobe: int) -> Ready:
    """Queries xq (nq, d) for the scan, their lists (nq, nprobe), and the products with the centroids."""
    return prepare(model, xq, digits=2), *model.coarse.probe(xq, nprobe)


def looseness(model: ListModel) -> float:
    """What float32 rounding of a bound may lose of a product with a centroid, relative to it."""
    keys = keys_of(model)
    return float(2 * kernels.tables.ROUNDING * (2.0 if keys.norms else 1.0) * max(keys.gain, 1.0))
