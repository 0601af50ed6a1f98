"""A search over parts: the same queries scan one after the other, and the best of all are merged by (score, number)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import scanning
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.filters import select
from lplr_index.ids import IdMap
from lplr_index.scanning import Filter, pack_filter
from lplr_index.store.contents import View
from lplr_index.store.part import Part
from lplr_index.store.segments import bits, lives
from lplr_index.threads import run

_NOBODY = np.iinfo(np.int64).max
_PAIRS = 1 << 16  # of a query and a vector, scored by a task


def allowed_rows(part: Part, wanted: Any) -> Filter | None:
    """The rows of a part that live and are wanted: all that live where None, or numbers (size,), or an IDSelector.

    None where there is no such row.
    """
    if wanted is None:
        return None if len(part.live) and not part.live.any() else part.live
    if hasattr(wanted, "is_member"):
        mask = select(wanted, IdMap(part.n, part.numbers.part(0, part.n)))
    else:
        rows = part.numbers.find(wanted)
        mask = np.zeros(part.n, np.bool_)
        mask[rows[rows >= 0]] = True
    mask &= bits(part.live, 0, part.n)
    return pack_filter(mask) if mask.any() else None


def search(
    view: View,
    xq: FloatMatrix,
    k: int,
    wanted: Any,
    threads: int,
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query xq (nq, d), which has passed the door.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    numbers : ndarray of shape (nq, k), int64
        Numbers, best first, ties by lowest number; -1 where there are fewer than k rows.
    """
    keys, numbers = np.full((len(xq), k), -np.inf, np.float32), np.full((len(xq), k), -1)
    first = True
    queries = scanning.prepare(view.model, xq) if view.model else None  # projection: y = R q, and its tables
    for part in view.parts:
        allowed = allowed_rows(part, wanted)
        if allowed is None:
            continue
        if part.codes is not None and view.model is not None and queries is not None:
            more, found = scanning.search(part.codes, view.model, queries, k, allowed, threads)
            found = numbered(part, found)
        else:
            more, found = _rank(view, part, xq, k, allowed, threads)
        keys, numbers = (more, found) if first else merged(keys, numbers, more, found, k)
        first = False
    return keys, numbers


def range_search(
    view: View,
    xq: FloatMatrix,
    radius: float,
    wanted: Any,
    threads: int,
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and numbers (n,) of all rows whose key is above ``radius``, by number, of each query (nq, d)."""
    found: list[list[tuple[npt.NDArray[np.float32], IdArray]]] = [[] for _ in xq]
    queries = scanning.prepare(view.model, xq) if view.model else None
    for part in view.parts:
        allowed = allowed_rows(part, wanted)
        if allowed is None:
            continue
        if part.codes is not None and view.model is not None and queries is not None:
            results = scanning.range_search(part.codes, view.model, queries, radius, allowed, threads)
            results = [(keys, numbered(part, rows)) for keys, rows in results]
        else:
            keys, rows = _exact_keys(part, xq, allowed, threads, squared=view.squared)
            results = [(each[each > radius], part.numbers.of(rows[each > radius])) for each in keys]
        for mine, more in zip(found, results, strict=True):
            mine.append(more)
    return [_by_number(parts) for parts in found]


def numbered(part: Part, found: IdArray) -> IdArray:
    """What a scan of a part found, (n,) or (nq, k), as numbers; -1 stays."""
    if part.codes is None or len(part.codes.ids.stored):
        return found
    return np.where(found >= 0, part.numbers.of(np.maximum(found, 0)), -1)


def vectors_of(view: View, numbers: IdArray) -> tuple[FloatMatrix, npt.NDArray[np.bool_]]:
    """The vectors (n, d) of rows that live, by number (n,), and which of them there are (n,)."""
    known = np.zeros(len(numbers), np.bool_)
    x_hat = np.zeros((len(numbers), 0), np.float32)
    for part in view.parts:
        rows = part.numbers.find(numbers)
        here = lives(part.live, rows)
        if not here.any():
            continue
        if part.codes is not None and view.model is not None:
            vectors = view.model.decode(part.codes.store.rows(rows[here]))
        else:
            vectors = np.empty((0, 0), np.float32) if part.vectors is None else part.vectors[rows[here]]
        if not x_hat.shape[1]:
            x_hat = np.zeros((len(numbers), vectors.shape[1]), np.float32)
        x_hat[here], known[here] = vectors, True
    return x_hat, known


def numbers_of(view: View, names: list[str]) -> IdArray:
    """The number (size,) of the row that lives under each of these names (size,), -1 where there is none."""
    numbers = np.full(len(names), -1)
    for part in view.parts:
        if part.names is not None:
            rows = part.names.find(names)
            here = lives(part.live, rows)
            numbers[here] = part.numbers.of(rows[here])
    return numbers


def names_of(view: View, numbers: IdArray) -> npt.NDArray[np.object_]:
    """The names of rows by number, of any shape such as (nq, k); None where a number is -1."""
    flat = numbers.reshape(-1)
    names = np.full(len(flat), None, object)
    for part in view.parts:
        rows = part.numbers.find(flat)
        here = np.flatnonzero(rows >= 0)
        if part.names is not None and len(here):
            names[here] = part.names.of(rows[here])
    return names.reshape(numbers.shape)


def _rank(
    view: View, part: Part, xq: FloatMatrix, k: int, allowed: Filter, threads: int
) -> tuple[FloatMatrix, IdArray]:
    """The k best vectors (nq, k) of a part that was not packed yet."""
    keys, rows = _exact_keys(part, xq, allowed, threads, squared=view.squared)
    best, found = np.full((len(xq), k), -np.inf, np.float32), np.full((len(xq), k), -1)
    for query, all_keys in enumerate(keys):
        last = max(len(rows) - k, 0)
        near = np.flatnonzero(all_keys >= np.partition(all_keys, last)[last])
        numbers = part.numbers.of(rows[near])
        order = np.lexsort((numbers, -all_keys[near]))[:k]
        best[query, : len(order)], found[query, : len(order)] = all_keys[near[order]], numbers[order]
    return best, found


def _exact_keys(
    part: Part, xq: FloatMatrix, allowed: Filter, threads: int, *, squared: bool
) -> tuple[FloatMatrix, IdArray]:
    """The key (nq, n) of each query with each row that is allowed, and the numbers of these rows, (n,)."""
    from lplr_index.kernels import pairs as kernel

    vectors = np.empty((0, xq.shape[1]), np.float32) if part.vectors is None else part.vectors
    rows = np.flatnonzero(bits(allowed, 0, part.n))
    keys = np.empty((len(xq), len(rows)), np.float32)

    def rank(query: int, start: int) -> None:
        some = rows[start : start + _PAIRS]
        which = np.full(len(some), query)
        kernel.keys_of_pairs(xq, vectors, which, some, squared, keys[query, start : start + _PAIRS])

    run([partial(rank, q, start) for q in range(len(xq)) for start in range(0, len(rows), _PAIRS)], threads)
    return keys, rows


def merged(
    keys: FloatMatrix, numbers: IdArray, more: FloatMatrix, found: IdArray, k: int
) -> tuple[FloatMatrix, IdArray]:
    """The k best of two answers about different rows, by (key, number): keys and numbers, (nq, k) each or fewer.

    That is a total order, so answers may be merged as they come, in any order and any grouping.
    """
    keys, numbers = np.concatenate([keys, more], axis=1), np.concatenate([numbers, found], axis=1)
    order = np.lexsort((np.where(numbers < 0, _NOBODY, numbers), -keys), axis=1)[:, :k]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def _by_number(
    parts: list[tuple[npt.NDArray[np.float32], IdArray]],
) -> tuple[npt.NDArray[np.float32], IdArray]:
    keys = np.concatenate([np.empty(0, np.float32), *(each for each, _ in parts)])
    numbers = np.concatenate([np.empty(0, np.int64), *(each for _, each in parts)])
    order = np.argsort(numbers, kind="stable")
    return keys[order], numbers[order]
