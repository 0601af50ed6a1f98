"""Steps three and four of a search: scan the packed rows, keep the k best.

Work is cut by rows for few queries and by queries for many; each part ranks exactly, and parts are merged by
(score, id), so the result is the same however it was cut.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, IdArray, joined
from lplr_index.asking import Asked, ask
from lplr_index.blocks import BLOCK, Piece
from lplr_index.codecs.base import split_tables
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.threads import run

if TYPE_CHECKING:
    from lplr_index.kernels.layout import Layout, Levels, Segments

    Where = tuple[Layout, Levels, Segments, Segments]

Filter = npt.NDArray[np.uint32]

_FEW = 16  # queries a thread should have before queries, not rows, are cut
_TILE = 4  # queries that kernels pass over a block with at once, as in kernels/scan.py
_QUERIES = 64  # queries of a task: their tables stay in the cache
_ROWS = 1 << 14  # fewer rows are not worth a task of their own
_AHEAD = 1 << 14  # bytes: the hardware does not look beyond a page, and alone takes 2.8 times the time
_SAMPLE = 1 << 13  # rows that tell thresholds in advance,
_MANY, _SPARSE = 64, 8  # to searches for so many neighbours at least, if of so many blocks one is looked at, at most
_RANGE_ROOM = 1 << 12  # results of a range search before its buffer grows
_NUMBERS: IdArray = np.empty(0, np.int64)  # rows go by their numbers
_known: WeakKeyDictionary[Model, dict[bool, Where]] = WeakKeyDictionary()


def no_filter() -> Filter:
    """The filter that lets every row pass."""
    return np.empty(0, np.uint32)


def pack_filter(mask: npt.NDArray[np.bool_]) -> Filter:
    """A boolean mask over rows (ntotal,) as one uint32 a block, bit r for row r."""
    padded = np.zeros(-(-len(mask) // BLOCK) * BLOCK, np.bool_)
    padded[: len(mask)] = mask
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)


def layout(model: Model) -> Layout:
    """Where a model's rows keep what in a block."""
    form, codec, gain = model.form, model.codec, model.gain
    gain_at = {0: -1, 4: BLOCK // 2 * (form.head - 1), 8: form.singles_at + BLOCK * codec.stages}
    norm_at = {0: -1, 8: form.norms_at - BLOCK, 16: form.norms_at}  # of one byte, the last that is read by itself
    return kernels.layout.Layout(
        nibbles=codec.nibbles,
        head=form.head,
        stages=codec.stages,
        head_bytes=BLOCK * form.head_size,
        tail_bytes=BLOCK * form.tail_size,
        ahead=blocks_ahead(BLOCK * form.code_size, _AHEAD),
        gain_bits=gain.bits,
        gain_at=gain_at[gain.bits],
        gain_least=gain.least,
        gain_step=gain.step,
        norm_bits=model.norm.bits,
        norm_at=norm_at[model.norm.bits],
    )


def blocks_ahead(block_bytes: int, nbytes: int) -> int:
    """How many blocks of ``block_bytes`` are more than ``nbytes``."""
    return 1 + nbytes // block_bytes


def segments(model: Model, first: int, last: int) -> Segments:
    """The columns ``first``, a multiple of eight, to ``last`` of a model's rows in runs of equal steps.

    None is longer than 16-bit sums allow, or lies in the head and in the tail.
    """
    group, phase, head = kernels.layout.GROUP, kernels.layout.PHASE, model.form.head
    shifts = model.codec.shifts.astype(np.int64)
    breaks = np.append(group * (np.flatnonzero(np.diff(shifts)) + 1), head)
    ends = np.union1d(breaks[(breaks > first) & (breaks < last)], np.arange(first + phase, last, phase))
    ends = np.append(ends, [last] * (first < last)).astype(np.int64)  # none where there are no columns
    doublings = -np.diff(np.append(shifts[(ends - 1) // group], 0))
    return kernels.layout.Segments(ends, folds(first, ends, doublings), doublings)


def folds(first: int, ends: IdArray, doublings: IdArray) -> IdArray:
    """After which segments, from column ``first`` on, sums are to be moved on, and after the last.

    That is as seldom as what they may come to allows.

    ``Segments`` of kernels/layout.py says what all three are, (segments,).
    """
    starts = np.append(first, ends)[: len(ends)]
    groups = [_groups(int(last - first)) for first, last in zip(starts, ends, strict=True)]
    most, out, held = kernels.layout.WORDS_MOST, np.ones(len(ends), np.int64), 0
    for s, (after, count) in enumerate(zip(doublings[:-1].tolist(), groups[1:], strict=True)):
        held = (held + 255 * groups[s]) << after
        out[s] = held + 255 * count > most
        held = 0 if out[s] else held
    return out


def _groups(columns: int) -> int:
    """In how many parts the scan adds up so many columns, each within a byte: eights, a four, a two."""
    return columns // 8 + (columns >> 2 & 1) + (columns >> 1 & 1)


def levels(model: Model) -> Levels:
    """The values by code that rows share."""
    parts = model.codec.parts
    tells = np.logical_or.reduceat(np.append(parts.exact.any(axis=1), False), parts.starts[:-1])
    alone = 16 * np.flatnonzero(tells & (np.diff(parts.starts) > 0))
    return kernels.layout.Levels(alone, *split_tables(model.codec), model.norm.values)


def where_of(model: Model, *, by_heads: bool = False) -> Where:
    """What the scan of all columns, or of those in heads and then of the others, has to know of a model.

    Found once: it would be a tenth of a search.
    """
    known = _known.setdefault(model, {})
    if by_heads not in known:
        nibbles, own = model.codec.nibbles, layout(model)
        last = own.head if by_heads else nibbles
        if by_heads:
            own = own._replace(ahead=blocks_ahead(own.head_bytes, _AHEAD))
        known[by_heads] = own, levels(model), segments(model, 0, last), segments(model, last, nibbles)
    return known[by_heads]


def prepare(model: Model, xq: FloatMatrix, threads: int) -> list[Asked]:
    """Queries xq (nq, d) made ready: projected, with tables of what the codec's bits are worth.

    Few stay together, so that they may pass over rows together; many come in tasks.
    """
    nq = len(xq)
    parts = [slice(0, nq)] if nq < _FEW * threads else cut_queries(nq, threads)
    return run([partial(ask, model, xq[part]) for part in parts], threads)


def search(
    held: Rows, model: Model, prepared: list[Asked], k: int, allowed: Filter, threads: int, margin: float | None = None
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query, of all or of those whose heads promise enough with this ``margin``.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    found : ndarray of shape (nq, k), int64
        Ids, best first, ties by lowest id; -1 where there are fewer than k rows.
    """
    nq = sum(asked.nq for asked in prepared)
    if not nq or not len(held):
        return np.full((nq, k), -np.inf, np.float32), np.full((nq, k), -1)
    where, ids = where_of(model), held.ids.stored
    by_rows = threads > 1 and nq < _FEW * threads and len(held) >= 2 * _ROWS
    tasks = [
        Sought(held, where, asked, part, allowed, ids)
        for asked in prepared
        for part in ([slice(0, asked.nq)] if by_rows or len(prepared) > 1 else cut_queries(nq, threads))
    ]
    inside, outside = (threads, 1) if by_rows else (1, threads)  # threads that share rows, and queries
    parts = run([partial(_best, task, model, k, inside, margin) for task in tasks], outside)
    return joined([keys for keys, _ in parts]), joined([found for _, found in parts])


def _best(sought: Sought, model: Model, k: int, threads: int, margin: float | None) -> tuple[FloatMatrix, IdArray]:
    """``search`` for the queries of one task."""
    if margin is None or model.head is None:
        return _ranked(sought, k, threads)
    _, chosen = _ranked(sought.by_heads(model, margin)._replace(ids=_NUMBERS), k, threads)
    return _finish(sought, k, chosen, threads)


class Sought(NamedTuple):
    """What is scanned, and for which queries."""

    held: Rows
    where: Where  # columns that count
    asked: Asked
    part: slice  # of its queries
    allowed: Filter
    ids: IdArray  # (ntotal,), or empty where rows go by their numbers
    margin: float = 0.0  # in what other columns may add, see ``scan``

    @property
    def nq(self) -> int:
        """How many queries."""
        return int(self.part.stop - self.part.start)

    def of(self, first: int, last: int) -> Sought:
        """For some of the queries alone."""
        return self._replace(part=slice(self.part.start + first, self.part.start + last))

    def by_heads(self, model: Model, margin: float) -> Sought:
        """By what the heads of codes promise with this margin."""
        return self._replace(where=where_of(model, by_heads=True), margin=margin)

    def for_kernel(self) -> tuple[Any, ...]:
        """What the scan takes after the rows."""
        begin, end = self.part.start, self.part.stop
        return (*map(tuple, self.where), *self.asked, begin, end, self.margin, self.allowed, self.ids)


class Best(NamedTuple):
    """Room for the best rows of each query: keys and ids (nq, room) as ``kernels/topk.py`` keeps them, and how many."""

    keys: FloatMatrix
    found: IdArray
    counts: IdArray

    @classmethod
    def room(cls, nq: int, k: int) -> Best:
        """Room for k, with nothing in it."""
        shape = nq, k if k <= kernels.topk.HEAP_MOST else k + k // 4
        return cls(np.empty(shape, np.float32), np.empty(shape, np.int64), np.empty(nq, np.int64))

    def ranked(self, k: int) -> tuple[FloatMatrix, IdArray]:
        """Keys and ids (nq, k), once they are ranked in place."""
        return np.ascontiguousarray(self.keys[:, :k]), np.ascontiguousarray(self.found[:, :k])


def _ranked(sought: Sought, k: int, threads: int) -> tuple[FloatMatrix, IdArray]:
    """The k best rows, as ``search`` returns them.

    Thresholds rise as the k best are found, and before they are high, many rows pass in vain: for large k more than all
    others. So a sample of the rows tells keys that very likely k rows reach. Where they do, nothing is missed.
    """
    nothing = np.full(sought.nq, -np.inf, np.float32)
    stride = len(sought.held) // _SAMPLE
    if k < _MANY or stride < _SPARSE:
        return _scan(sought, k, threads, nothing)
    usual = k / stride  # of the k best rows, in the sample
    few = int(usual + 3.3 * usual**0.5 + 3)
    layout, levels, near, rest = sought.where
    apart = sought._replace(where=(layout._replace(ahead=stride * layout.ahead), levels, near, rest))
    likely = _scan(apart, few, threads, nothing, stride)[0][:, -1]
    keys, found = _scan(sought, k, threads, likely.copy())
    for first, last in _runs(keys[:, -1] < likely):
        keys[first:last], found[first:last] = _scan(sought.of(first, last), k, threads, nothing[first:last])
    return keys, found


def _runs(mask: npt.NDArray[np.bool_]) -> IdArray:
    """Where those of a mask (n,) that follow each other begin and end, (runs, 2)."""
    changes = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return changes.reshape(-1, 2)


def _scan(
    sought: Sought, k: int, threads: int, shared: npt.NDArray[np.float32], stride: int = 1
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of every ``stride``-th block, or those of them whose keys reach ``shared`` (nq,)."""
    scan, held, nq, what = kernels.scan_kernel(), sought.held, sought.nq, sought.for_kernel()

    def offer(pieces: list[tuple[Piece, int, int]], best: Best, ranked: int) -> None:
        final = len(pieces) - 1
        for i, (piece, first, stop) in enumerate(pieces):
            scan(
                *piece.flat, first, stop, piece.row0, *what, *best, k, shared, -np.inf, stride, int(i == 0),
                ranked if i == final else 0,
            )  # fmt: skip

    everything, best = [(piece, 0, piece.rows) for piece in held], Best.room(nq, k)
    if threads == 1 or len(held) // stride < 2 * _ROWS:
        offer(everything, best, 1)
        return best.ranked(k)
    shares = _cut_rows(everything, len(held), threads)
    parts = [best] + [Best.room(nq, k) for _ in shares[1:]]
    run([partial(offer, *task, 0) for task in zip(shares, parts, strict=True)], threads)
    for more in parts[1:]:
        kernels.topk.merge(*best, k, *more)
    kernels.topk.rank(*best, k)
    return best.ranked(k)


def _finish(sought: Sought, k: int, rows: IdArray, threads: int) -> tuple[FloatMatrix, IdArray]:
    """The k best by exact keys among the rows (nq, n) of each query, which are sorted in place."""
    finish, best, begin = kernels.finish_kernel(), Best.room(sought.nq, k), sought.part.start
    layout, levels, *_ = map(tuple, sought.where)
    pieces = list(sought.held)

    def rank(part: slice) -> None:
        rows[part].sort(axis=1)
        mine = [each[part] for each in best]
        for i, piece in enumerate(pieces):
            finish(
                *piece.flat, piece.row0, piece.rows, layout, levels, *sought.asked, begin + part.start,
                begin + part.stop, sought.ids, rows[part], *mine, k, int(i == 0), int(i == len(pieces) - 1),
            )  # fmt: skip

    run([partial(rank, part) for part in cut_queries(len(rows), threads)], threads)
    return best.ranked(k)


def range_search(
    held: Rows,
    model: Model,
    prepared: list[Asked],
    radius: float,
    allowed: Filter,
    threads: int,
    margin: float | None = None,
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all rows whose key is above ``radius``, in row order, of each query.

    With a ``margin``, of those alone whose heads promise as much.
    """
    where, ids = where_of(model), held.ids.stored
    singles = [Sought(held, where, asked, slice(q, q + 1), allowed, ids) for asked in prepared for q in range(asked.nq)]
    if margin is not None and model.head is not None:
        singles = [single.by_heads(model, margin) for single in singles]
    return run([partial(_above, single, radius) for single in singles], threads)


def _above(sought: Sought, radius: float) -> tuple[npt.NDArray[np.float32], IdArray]:
    """``range_search`` of one query: the scan stops when its buffer is full and goes on with an empty one."""
    scan, what = kernels.scan_kernel(), sought.for_kernel()
    keys, found, room = [], [], Best.room(1, _RANGE_ROOM)
    shared = np.full(1, -np.inf, np.float32)
    for piece in sought.held:
        first, flat = 0, piece.flat
        while first * BLOCK < piece.rows:
            room.counts[0] = 0
            first = scan(*flat, first, piece.rows, piece.row0, *what, *room, 1, shared, radius, 1, 0, 0)
            keys.append(room.keys[0, : room.counts[0]].copy())
            found.append(room.found[0, : room.counts[0]].copy())
    return np.concatenate([*keys, np.empty(0, np.float32)]), np.concatenate([*found, np.empty(0, np.int64)])


def cut_queries(nq: int, threads: int) -> list[slice]:
    """Deal queries out in tasks, as many as threads at least, and few enough each for the cache."""
    size = -(-nq // threads)
    if size >= _FEW:
        size = min(_QUERIES, -(-size // _TILE) * _TILE)
    return [slice(q, min(q + size, nq)) for q in range(0, nq, size or 1)]


def _cut_rows(pieces: list[tuple[Piece, int, int]], ntotal: int, threads: int) -> list[list[tuple[Piece, int, int]]]:
    """Deal rows out in ``threads`` shares of whole blocks, as equal as blocks allow."""
    share = -(-max(-(-ntotal // threads), _ROWS) // BLOCK) * BLOCK
    shares: list[list[tuple[Piece, int, int]]] = [[]]
    room = share
    for piece, _, rows in pieces:
        start = 0
        while start < rows:
            if not room:
                shares.append([])
                room = share
            stop = min(rows, start + room)
            shares[-1].append((piece, start // BLOCK, stop))
            room -= stop - start
            start = stop
    return shares
