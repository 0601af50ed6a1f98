"""Searching in lists: which lists each query looks at, then the scan of these alone.

A query is one task's, so ranks are the same however queries are dealt out. Thresholds go from list to list, the nearest
ones first: most rows of later lists are turned away by their bounds, and most lists that cannot improve the k best by
how far their rows reach.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.asking import Asked, Near, ask, keys_of
from lplr_index.listmodel import ListModel
from lplr_index.lists import Lists, Run
from lplr_index.scanning import (
    Filter,
    blocks_ahead,
    cut_queries,
    no_filter,
    pack_filter,
    where_of,
)
from lplr_index.threads import run

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.integer]
Parts = list[tuple[Run, Filter]]
"""Runs, each with the filter of its rows as they lie."""

_AHEAD = 4096  # bytes that are asked for ahead: lists are short
_DIGITS = 2  # of deficits: for scans of few rows, of which many can matter
_NO_COUNTS = np.empty(0, np.int64)
NO_IDS = np.empty(0, np.int64)  # where rows go by their numbers
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
    parts, own = _parts(held, mask), held.ids.stored
    keys, found = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
    if not parts:
        keys.fill(-np.inf)
        found.fill(-1)
        return keys, found

    def rank(some: slice) -> None:
        asked, mine = ready(model, xq[some], nprobe), (keys[some], found[some])
        for number, (one, allowed) in enumerate(parts):
            what, fresh, ranked = (held.reach, allowed, one.rows, own), number == 0, number == len(parts) - 1
            scan_run(one, model, asked, *what, *mine, fresh=fresh, ranked=ranked)

    run([partial(rank, some) for some in cut_queries(len(xq), threads)], threads)
    return keys, found


def range_search(
    held: Lists, model: ListModel, xq: FloatMatrix, radius: float, nprobe: int, mask: Mask | None, threads: int
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all such rows whose key is above ``radius``, in row order, of each query."""
    parts, ids = _parts(held, mask), held.ids.all()

    def find(q: int) -> tuple[npt.NDArray[np.float32], IdArray]:
        asked = ready(model, xq[q : q + 1], nprobe)
        found = [_NOTHING]
        for one, allowed in parts:
            found.append(range_of_run(one, model, asked, held.reach, allowed, one.rows, radius))
        keys, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(rows)
        return keys[order], ids[rows[order]]

    return run([partial(find, q) for q in range(len(xq))], threads)


def scan_run(
    one: Run, model: ListModel, asked: Asked, reach: FloatMatrix, allowed: Filter, numbers: Ids, ids: IdArray,
    keys: FloatMatrix, found: IdArray, *, fresh: bool, ranked: bool,
) -> None:  # fmt: skip
    """Offer the rows of a run that are allowed to the best of queries made ready.

    They go by ``ids`` (rows,) of their ``numbers`` (n,) as they lie, or by these where there are no ids. The best are
    heaps of keys and ids (nq, k), as ``kernels/topk.py`` keeps them; ``fresh``, nothing is in them yet, and ``ranked``,
    they are left best first.
    """
    what, k = (*_fixed(model)[:4], *asked), keys.shape[1]
    kernels.scan_lists_kernel()(
        one.blocks.heads.reshape(-1), one.starts, *what, reach, allowed, numbers, ids, keys, found, _NO_COUNTS, k,
        -np.inf, int(fresh), int(ranked),
    )  # fmt: skip


def range_of_run(
    one: Run, model: ListModel, asked: Asked, reach: FloatMatrix, allowed: Filter, numbers: Ids, radius: float
) -> tuple[npt.NDArray[np.float32], IdArray]:
    """The keys (n,) and numbers (n,) of those rows of a run whose key is above ``radius``, for one query made ready."""
    room = int(np.diff(one.starts)[asked.parts[1][0]].sum())
    keys, found, counts = np.empty((1, room), np.float32), np.empty((1, room), np.int64), np.zeros(1, np.int64)
    kernels.scan_lists_kernel()(
        one.blocks.heads.reshape(-1), one.starts, *_fixed(model)[:4], *asked, reach, allowed, numbers, NO_IDS, keys,
        found, counts, 1, radius, 0, 0,
    )  # fmt: skip
    return keys[0, : counts[0]], found[0, : counts[0]]


def _parts(held: Lists, mask: Mask | None) -> Parts:
    """What is scanned."""
    return [(one, no_filter() if mask is None else pack_filter(mask[one.rows])) for one in held.runs]


def ready(model: ListModel, xq: FloatMatrix, nprobe: int) -> Asked:
    """Queries xq (nq, d) for the scan: projected, with tables, and the lists that they look at."""
    coarse = model.coarse
    near = Near(nprobe, _fixed(model).coarse, coarse.candidates(nprobe))
    return ask(model, xq, digits=_DIGITS, near=near)


class _Fixed(NamedTuple):
    """What kernels have to know of a model, found once, as plain tuples."""

    layout: tuple[Any, ...]
    levels: tuple[Any, ...]
    segments: tuple[Any, ...]
    loose: float  # what float32 rounding of a bound may lose of a product with a centroid, relative to it
    coarse: tuple[Any, ...]


_known: WeakKeyDictionary[ListModel, _Fixed] = WeakKeyDictionary()


def _fixed(model: ListModel) -> _Fixed:
    found = _known.get(model)
    if found is None:
        keys, coarse = keys_of(model), model.coarse
        layout, levels, segments, _ = where_of(model)
        found = _known[model] = _Fixed(
            tuple(layout._replace(ahead=blocks_ahead(layout.head_bytes, _AHEAD))),
            tuple(levels),
            tuple(segments),
            loose=float(2 * kernels.tables.ROUNDING * (2.0 if keys.norms else 1.0) * max(keys.gain, 1.0)),
            coarse=tuple(coarse.forms[coarse.metric]),
        )
    return found
