"""The k best of a stream: a heap for small k, a reservoir for large; both have the worst of the k best in front.

The k best of a few entries that are all there are found by counting, for each, how many are better: that is quadratic,
but vectors count sixteen at a time and no branch has to be guessed.

Entries are (key, id), the larger key first and at equal keys the lower id. Room for k entries makes a heap, more a
reservoir: entries gather behind the k best until the room is full, and then the k best of all are found. So an entry
costs a comparison with the one in front, and one that passes it is written down, which pays when many pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # keys that are compared at once
COUNTED = 512  # entries up to which counting is fastest
SOME = 32  # columns that are turned away at once
_NUMBER = ir.IntType(32)
_SOME_FLOATS = ir.VectorType(ir.FloatType(), LANES)
NOBODY = np.iinfo(np.int64).max  # the id of no row, behind every other; -1 in what is ranked
HEAP_MOST = 512  # beyond, moving entries in a heap costs more than finding the k best of some more now and then


@njit(nogil=True, _nrt=False)
def worse(key: Any, number: int, other: Any, other_number: int) -> bool:
    """Whether (key, id) ranks behind the other."""
    return key < other or (key == other and number > other_number)


@njit(nogil=True, _nrt=False)
def _sift_down(keys: Any, ids: Any, at: int, size: int) -> None:
    """Restore the heap (worst at the root) of the first ``size`` entries after that at ``at`` was replaced."""
    key, number = keys[at], ids[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and worse(keys[child + 1], ids[child + 1], keys[child], ids[child]):
            child += 1
        if not worse(keys[child], ids[child], key, number):
            break
        keys[at], ids[at] = keys[child], ids[child]
        at = child
    keys[at], ids[at] = key, number


@njit(nogil=True, _nrt=False)
def _swap(keys: Any, ids: Any, i: int, j: int) -> None:
    keys[i], keys[j] = keys[j], keys[i]
    ids[i], ids[j] = ids[j], ids[i]


@njit(nogil=True, _nrt=False)
def keep(keys: Any, ids: Any, size: int, k: int) -> None:
    """Bring the k best of the first ``size`` entries to the front, the worst of them first of all (quickselect)."""
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) >> 1  # of the first, the middle and the last, the middle one divides
        if worse(keys[low], ids[low], keys[middle], ids[middle]):
            _swap(keys, ids, low, middle)
        if worse(keys[middle], ids[middle], keys[high], ids[high]):
            _swap(keys, ids, middle, high)
            if worse(keys[low], ids[low], keys[middle], ids[middle]):
                _swap(keys, ids, low, middle)
        key, number, i, j = keys[middle], ids[middle], low, high
        while i <= j:
            while worse(key, number, keys[i], ids[i]):
                i += 1
            while worse(keys[j], ids[j], key, number):
                j -= 1
            if i <= j:
                _swap(keys, ids, i, j)
                i, j = i + 1, j - 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    last = 0
    for i in range(1, k):
        if worse(keys[i], ids[i], keys[last], ids[last]):
            last = i
    _swap(keys, ids, 0, last)


@njit(nogil=True, _nrt=False)
def offer(keys: Any, ids: Any, counts: Any, q: int, k: int, key: Any, number: int) -> bool:
    """Offer (key, id) to query q's entries, of which there are ``counts[q]``, k at least. Whether the worst changed."""
    if not worse(keys[q, 0], ids[q, 0], key, number):
        return False
    room = keys.shape[1]
    if room == k:
        keys[q, 0], ids[q, 0] = key, number
        _sift_down(keys[q], ids[q], 0, k)
        return True
    keys[q, counts[q]], ids[q, counts[q]] = key, number
    counts[q] += 1
    if counts[q] < room:
        return False
    keep(keys[q], ids[q], room, k)
    counts[q] = k
    return True


@njit(nogil=True, cache=True)
def merge(keys: Any, ids: Any, counts: Any, k: int, more_keys: Any, more_ids: Any, more_counts: Any) -> None:
    """Offer the entries (nq, room) of others to the first."""
    for q in range(keys.shape[0]):
        for i in range(more_counts[q]):
            offer(keys, ids, counts, q, k, more_keys[q, i], more_ids[q, i])


@njit(nogil=True, _nrt=False)
def order(keys: Any, ids: Any, count: int, k: int) -> None:
    """Leave the k best of the first ``count`` entries in front, best first."""
    if count > k:
        keep(keys, ids, count, k)
    for start in range(k // 2 - 1, -1, -1):
        _sift_down(keys, ids, start, k)
    for last in range(k - 1, 0, -1):  # the worst of those in front is the last of them
        _swap(keys, ids, 0, last)
        _sift_down(keys, ids, 0, last)


@njit(nogil=True, cache=True)
def rank(keys: Any, ids: Any, counts: Any, k: int) -> None:
    """``order`` for the entries (nq, room) of all queries, with -1 where there is no row."""
    for q in range(keys.shape[0]):
        order(keys[q], ids[q], counts[q], k)
        name_nobody(ids[q])


@njit(nogil=True, _nrt=False)
def name_nobody(ids: Any) -> None:
    """Write -1 where there is no row."""
    for i in range(ids.shape[0]):
        if ids[i] == NOBODY:
            ids[i] = -1


@njit(nogil=True)
def forget(keys: Any, ids: Any) -> None:
    """Leave nothing in a heap but entries that are worse than any row."""
    keys[:] = -np.inf
    ids[:] = NOBODY


@njit(nogil=True)
def empty(keys: Any, ids: Any, counts: Any, k: int) -> None:
    """Leave nothing in the room (nq, room) for the k best of all queries but entries that are worse than any row."""
    for q in range(keys.shape[0]):
        forget(keys[q], ids[q])
        counts[q] = k


def _reduce(b: Any, value: Any, count: int, combine: Callable[[Any, Any], Any]) -> Any:
    """One scalar of a vector of ``count``: both halves, then their halves, and so on."""
    while count > 1:
        count //= 2
        low, high = (
            b.shuffle_vector(value, value, ir.Constant(ir.VectorType(_NUMBER, count), list(range(at, at + count))))
            for at in (0, count)
        )
        value = combine(low, high)
    return b.extract_element(value, ir.Constant(_NUMBER, 0))


@intrinsic
def _largest(typingctx: Any, values: Any, at: Any) -> Any:
    """The largest of ``values[at : at + SOME]``, float32, none of them NaN."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        start = b.gep(context.make_array(signature.args[0])(context, b, args[0]).data, [args[1]])
        most = b.load(b.bitcast(start, ir.VectorType(ir.FloatType(), SOME).as_pointer()))
        most.align = 4
        return _reduce(b, most, SOME, lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))

    return types.float32(values, types.intp), generate


@intrinsic
def _above(typingctx: Any, values: Any, runs: Any, value: Any) -> Any:
    """How many of ``values[: LANES * runs]``, float32, are above ``value``."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(_NUMBER, LANES)
        start = context.make_array(signature.args[0])(context, b, args[0]).data
        one = b.insert_element(ir.Constant(_SOME_FLOATS, ir.Undefined), args[2], ir.Constant(_NUMBER, 0))
        limit = b.shuffle_vector(one, one, ir.Constant(lanes, [0] * LANES))
        count = cgutils.alloca_once_value(b, ir.Constant(lanes, [0] * LANES))
        with cgutils.for_range(b, args[1]) as loop:
            at = b.gep(start, [b.mul(loop.index, ir.Constant(loop.index.type, LANES))])
            some = b.load(b.bitcast(at, _SOME_FLOATS.as_pointer()))
            some.align = 4
            b.store(b.sub(b.load(count), b.sext(b.fcmp_ordered(">", some, limit), lanes)), count)
        return b.zext(_reduce(b, b.load(count), LANES, b.add), ir.IntType(64))

    return types.int64(values, types.intp, types.float32), generate


@njit(nogil=True)
def room_of(n: int) -> int:
    """How long an array of n keys has to be, so that vectors may pass over it."""
    return (n + LANES - 1) // LANES * LANES


@njit(nogil=True)
def kth_largest(values: Any, n: int, k: int) -> Any:
    """The k-th largest of the first n of ``values`` (room_of(n),) float32, the rest of which is overwritten."""
    if n > COUNTED:
        return np.partition(values[:n], n - k)[n - k]
    values[n : room_of(n)] = -np.inf
    found, less = np.float32(np.inf), np.float32(np.nan)  # than which none is less
    for i in range(n):
        value = values[i]
        if value < found and not value <= less:  # few, of a random order: each divides what is left
            if _above(values, room_of(n) // LANES, value) < k:
                found = value
            else:
                less = value
    return found


@njit(nogil=True)
def sort_best(keys: Any, ids: Any, n: int, best_keys: Any, best_ids: Any) -> None:
    """Write the best of the first n entries, best first, to (k,); -inf and ``NOBODY`` where there are fewer.

    ``keys`` (room_of(n),) float32 and ``ids`` (n,) are overwritten.
    """
    k, runs = best_keys.shape[0], room_of(n) // LANES
    forget(best_keys, best_ids)
    if n > COUNTED:
        most = min(n, k)
        order(keys, ids, n, most)
        best_keys[:most], best_ids[:most] = keys[:most], ids[:most]
        return
    keys[n : room_of(n)] = -np.inf
    equal = False
    for i in range(n):
        place = _above(keys, runs, keys[i])
        if place < k:
            equal |= best_ids[place] != NOBODY
            best_keys[place], best_ids[place] = keys[i], ids[i]
    if equal:
        _sort_equal(keys, ids, n, best_keys, best_ids)


@njit(nogil=True)
def _sort_equal(keys: Any, ids: Any, n: int, best_keys: Any, best_ids: Any) -> None:
    """``sort_best`` where keys are equal: the lower id is first."""
    for i in range(n):
        place = np.int64(0)
        for j in range(n):
            first = ids[j] < ids[i] or (ids[j] == ids[i] and j < i)
            place += np.int64(keys[j] > keys[i] or (keys[j] == keys[i] and first))
        if place < best_keys.shape[0]:
            best_keys[place], best_ids[place] = keys[i], ids[i]


@njit(nogil=True)
def reached_by(values: Any, k: int, most: Any) -> Any:
    """A number that k of ``values`` (n,) reach, and few others: the k-th of the largest of each of 4 k groups.

    Minus infinity where there are not so many of them. ``most`` (room_of(n),) is overwritten.
    """
    n, groups = values.shape[0], 4 * k
    if groups > n:
        return np.float32(-np.inf)
    for j in range(groups):
        most[j] = values[j]
    for start in range(groups, n - groups + 1, groups):
        for j in range(groups):
            value = values[start + j]
            most[j] = max(most[j], value)
    return kth_largest(most, groups, k)


@njit(nogil=True)
def best_of(scores: Any, steps: Any, scales: Any, offsets: Any, columns: Any, best: Any) -> None:
    """Write to ``best`` (nq, k) int64 the columns of largest ``scores * scales - offsets``, the largest first.

    Score i (nq, n) of query q is of column ``columns[q, i]`` int64, or i where there are none; ``scales`` and
    ``offsets`` (all columns,) are float32. Scores are in ``steps`` (nq,) float64. Of equal ones the lower column comes
    first.
    """
    k, n, named = best.shape[1], scores.shape[1], columns.shape[1] > 0
    some = (n + SOME - 1) // SOME
    keys, ids = np.empty(room_of(n + 1), np.float32), np.empty(n + 1, np.int64)
    values = np.full(some * SOME, np.float32(-np.inf))
    most, ordered = np.empty(room_of(some), np.float32), np.empty(k, np.float32)
    for q in range(scores.shape[0]):
        mine, step = scores[q], np.float32(steps[q])
        if named:
            for i in range(n):
                column = columns[q, i]
                values[i] = np.float32(mine[i]) * step * scales[column] - offsets[column]
        else:
            for i in range(n):
                values[i] = np.float32(mine[i]) * step * scales[i] - offsets[i]
        for s in range(some):
            most[s] = _largest(values, s * SOME)
        worst, count = np.float32(-np.inf), np.int64(0)
        if some >= k:  # the k-th of the largest of each run, which k values reach
            worst = kth_largest(most, some, k)
        for s in range(some):
            if most[s] >= worst:
                for i in range(s * SOME, min(s * SOME + SOME, n)):
                    keys[count], ids[count] = values[i], i
                    count += np.int64(values[i] >= worst)
        if named:
            for i in range(count):
                ids[i] = columns[q, ids[i]]
        sort_best(keys, ids, count, ordered, best[q])
