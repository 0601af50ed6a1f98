"""A search over parts: the same queries scan one after the other, and the best of all are merged by (score, number)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.filters import select
from lplr_index.ids import IdMap
from lplr_index.scanning import Filter, pack_filter
from lplr_index.store.arrangement import Scored
from lplr_index.store.contents import View
from lplr_index.store.part import Part

_NOBODY = np.iinfo(np.int64).max


def allowed_rows(part: Part, wanted: Any) -> Filter | None:
    """The rows of a part that live and are wanted: all that live where None, or numbers (size,), or an IDSelector.

    Bits in the order in which rows lie; None where there is no such row.
    """
    if wanted is None:
        return None if len(part.live) and not part.live.any() else part.live
    if hasattr(wanted, "is_member"):
        mask = select(wanted, IdMap(part.n, part.numbers.part(0, part.n)))
    else:
        rows = part.numbers.find(wanted)
        mask = np.zeros(part.n, np.bool_)
        mask[rows[rows >= 0]] = True
    mask &= part.living()
    return pack_filter(part.rows.by_place(mask)) if mask.any() else None


def search(view: View, xq: FloatMatrix, k: int, wanted: Any, nprobe: int, threads: int) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query xq (nq, d), which has passed the door, of all or of its ``nprobe`` lists.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    numbers : ndarray of shape (nq, k), int64
        Numbers, best first, ties by lowest number; -1 where there are fewer than k rows.
    """
    keys, numbers = np.full((len(xq), k), -np.inf, np.float32), np.full((len(xq), k), -1)
    first, asked = True, view.arrangement.asked(xq, nprobe, threads)
    for part in view.parts:
        allowed = allowed_rows(part, wanted)
        if allowed is None:
            continue
        more, found = asked.best(part.rows, part.numbers, k, allowed, threads, keys[:, -1])
        keys, numbers = (more, found) if first else merged(keys, numbers, more, found, k)
        first = False
    return keys, numbers


def range_search(view: View, xq: FloatMatrix, radius: float, wanted: Any, nprobe: int, threads: int) -> list[Scored]:
    """Keys (n,) and numbers (n,) of all such rows whose key is above ``radius``, by number, of each query (nq, d)."""
    found: list[list[Scored]] = [[] for _ in xq]
    asked = view.arrangement.asked(xq, nprobe, threads)
    for part in view.parts:
        allowed = allowed_rows(part, wanted)
        if allowed is None:
            continue
        results = asked.above(part.rows, part.numbers, radius, allowed, threads)
        for mine, more in zip(found, results, strict=True):
            mine.append(more)
    return [_by_number(parts) for parts in found]


def vectors_of(view: View, numbers: IdArray) -> tuple[FloatMatrix, npt.NDArray[np.bool_]]:
    """The vectors (n, d) of rows that live, by number (n,), and which of them there are (n,)."""
    known = np.zeros(len(numbers), np.bool_)
    x_hat = np.zeros((len(numbers), 0), np.float32)
    for part in view.parts:
        rows = part.find(numbers)
        here = rows >= 0
        if not here.any():
            continue
        vectors = part.rows.vectors(rows[here])
        if not x_hat.shape[1]:
            x_hat = np.zeros((len(numbers), vectors.shape[1]), np.float32)
        x_hat[here], known[here] = vectors, True
    return x_hat, known


def numbers_of(view: View, names: list[str]) -> IdArray:
    """The number (size,) of the row that lives under each of these names (size,), -1 where there is none."""
    numbers = np.full(len(names), -1)
    for part in view.parts:
        rows = part.find_names(names)
        here = rows >= 0
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
    parts: list[Scored],
) -> Scored:
    keys = np.concatenate([np.empty(0, np.float32), *(each for each, _ in parts)])
    numbers = np.concatenate([np.empty(0, np.int64), *(each for _, each in parts)])
    order = np.argsort(numbers, kind="stable")
    return keys[order], numbers[order]
