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

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.kernels import scan_lists_kernel
from lplr_index.listmodel import ListModel
from lplr_index.lists import Lists, Run
from lplr_index.scanning import (
    Best,
    Filter,
    cut_queries,
    no_filter,
    pack_filter,
    prepare,
    where_of,
)
from lplr_index.threads import run

if TYPE_CHECKING:
    from lplr_index.kernels.layout import Queries

Mask = npt.NDArray[np.bool_]
Parts = list[tuple[Run, Filter, npt.NDArray[np.integer]]]
"""Runs, each with the filter and the ids of its rows as they lie."""


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
    parts, best = _parts(held, mask), Best.none(len(xq), k)

    def rank(part: slice) -> None:
        scan, (queries, *probes), loose = scan_lists_kernel(), ready(model, xq[part], nprobe), looseness(model)
        where = where_of(model, model.codec.nibbles)
        for one, allowed, ids in parts:
            flat = one.blocks.reshape(-1)
            scan(
                flat, one.starts, *where, queries, *probes, loose, held.reach, allowed, ids, *best.of(part), k, -np.inf
            )

    run([partial(rank, part) for part in cut_queries(len(xq), threads)], threads)
    return best.ranked(k)


def range_search(
    held: Lists, model: ListModel, xq: FloatMatrix, radius: float, nprobe: int, mask: Mask | None, threads: int
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all such rows whose key is above ``radius``, in row order, of each query."""
    parts, ids = _parts(held, mask, by_number=True), held.ids.all()

    def find(q: int) -> tuple[npt.NDArray[np.float32], IdArray]:
        scan, (queries, lists, products) = scan_lists_kernel(), ready(model, xq[q : q + 1], nprobe)
        where = where_of(model, model.codec.nibbles)
        sizes = [int(np.diff(one.starts)[lists[0]].sum()) for one, _, _ in parts]
        keys, found = np.empty((1, sum(sizes)), np.float32), np.empty((1, sum(sizes)), np.int64)
        counts = np.zeros(1, np.int64)
        for one, allowed, numbers in parts:
            flat = one.blocks.reshape(-1)
            scan(
                flat, one.starts, *where, queries, lists, products, looseness(model), held.reach, allowed, numbers,
                keys, found, counts, 1, radius,
            )  # fmt: skip
        order = np.argsort(found[0, : counts[0]])
        return keys[0][order], ids[found[0][order]]

    return run([partial(find, q) for q in range(len(xq))], threads)


def _parts(held: Lists, mask: Mask | None, *, by_number: bool = False) -> Parts:
    """What is scanned; rows go by their ids, or by their numbers."""
    own = held.ids.stored
    parts: Parts = []
    for one in held.runs:
        allowed = no_filter() if mask is None else pack_filter(mask[one.rows])
        parts.append((one, allowed, one.rows if by_number or not len(own) else own[one.rows]))
    return parts


def ready(model: ListModel, xq: FloatMatrix, nprobe: int) -> tuple[Queries, IdArray, FloatMatrix]:
    """Queries xq (nq, d) for the scan, their lists (nq, nprobe), and the products with the centroids."""
    lists, products = model.coarse.probe(xq, nprobe)
    return prepare(model, xq, digits=2), lists, products


def looseness(model: ListModel) -> float:
    """What float32 rounding of a bound may lose of a product with a centroid, relative to it."""
    from lplr_index.kernels import tables as kernel

    return 2 * kernel.ROUNDING * (2.0 if model.norm.bits else 1.0) * max(model.gain.most, 1.0)
