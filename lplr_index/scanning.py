"""Steps three and four of a search: scan the packed rows, keep the k best.

Work is cut by rows for few queries and by queries for many; each part ranks exactly, and parts are merged by
(score, id), so the result is the same however it was cut.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.blocks import BLOCK, Piece
from lplr_index.codecs.base import split_tables
from lplr_index.memory import aligned
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.threads import run

if TYPE_CHECKING:
    from lplr_index.kernels.layout import Layout, Levels, Queries, Segments
    from lplr_index.kernels.tables import Keys

    Where = tuple[Layout, Levels, Segments]

Filter = npt.NDArray[np.uint32]

_FEW = 16  # queries a thread should have before queries, not rows, are cut
_QUERIES = 64  # queries of a task: their tables stay in the cache
_ROWS = 1 << 14  # fewer rows are not worth a task of their own
_AHEAD = 1 << 14  # bytes: the hardware does not look beyond a page, and alone takes 2.8 times the time
_SAMPLE = 1 << 13  # rows that tell thresholds in advance,
_MANY, _SPARSE = 64, 8  # to searches for so many neighbours at least, if of so many blocks one is looked at, at most
_RANGE_ROOM = 1 << 12  # results of a range search before its buffer grows
_known: WeakKeyDictionary[Model, dict[int, Where]] = WeakKeyDictionary()
_keys: WeakKeyDictionary[Model, Keys] = WeakKeyDictionary()


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
    gain_at = {0: -1, 4: BLOCK // 2 * (codec.nibbles - 1), 8: form.singles_at + BLOCK * codec.stages}
    norm_at = {0: -1, 8: form.norms_at - BLOCK, 16: form.norms_at}  # of one byte, the last that is read by itself
    return kernels.layout.Layout(
        nibbles=codec.nibbles,
        stages=codec.stages,
        block_bytes=BLOCK * form.code_size,
        ahead=blocks_ahead(BLOCK * form.code_size, _AHEAD),
        gain_bits=gain.bits,
        gain_at=gain_at[gain.bits],
        gain_least=gain.least,
        gain_step=gain.step,
        norm_bits=model.norm.bits,
        norm_at=norm_at[model.norm.bits],
    )


def blocks_ahead(block_bytes: int, nbytes: int) -> int:
    """How far whole blocks of ``block_bytes`` reach that are more than ``nbytes``."""
    return block_bytes * (1 + nbytes // block_bytes)


def segments(model: Model, columns: int) -> Segments:
    """The first ``columns`` of a model's rows in runs of equal steps, none longer than 16-bit sums allow."""
    group, phase = kernels.layout.GROUP, kernels.layout.PHASE
    shifts = model.codec.shifts[: -(-columns // group)].astype(np.int64)
    breaks = np.flatnonzero(np.diff(shifts)) + 1
    ends = np.union1d(breaks * group, np.append(np.arange(phase, columns, phase), columns))
    steps = np.append(shifts[(ends - 1) // group], 0)
    return kernels.layout.Segments(ends.astype(np.int64), -np.diff(steps))


def levels(model: Model) -> Levels:
    """The values by code that rows share."""
    parts = model.codec.parts
    tells = np.logical_or.reduceat(np.append(parts.exact.any(axis=1), False), parts.starts[:-1])
    alone = 16 * np.flatnonzero(tells & (np.diff(parts.starts) > 0))
    return kernels.layout.Levels(alone, *split_tables(model.codec), model.norm.values)


def where_of(model: Model, columns: int) -> Where:
    """What the scan of the first ``columns`` has to know of a model, found once: it would be a tenth of a search."""
    known = _known.setdefault(model, {})
    if columns not in known:
        known[columns] = layout(model), levels(model), segments(model, columns)
    return known[columns]


def keys_of(model: Model) -> Keys:
    """What makes keys of the scores of a model's rows, found once."""
    if model not in _keys:
        _keys[model] = kernels.tables.Keys(
            mu=model.mu.astype(np.float32),
            norms=model.norm.bits > 0,
            unit=float(model.norm.unit),
            gain=float(model.gain.most),
        )
    return _keys[model]


def prepare(model: Model, xq: FloatMatrix) -> Queries:
    """Tables of queries xq (nq, d) for the scan: project, then let the codec's parts tell what its bits are worth."""
    codec, nq = model.codec, len(xq)
    y = model.project(xq)
    stages = codec.centroid_products(y)
    queries = kernels.layout.Queries(
        deficits=aligned((nq, codec.nibbles * 16)),
        seconds=np.empty((nq, 0), np.uint8),
        stage_deficits=np.empty(stages.shape, np.uint8),
        stage_least=np.empty((nq, codec.stages, kernels.layout.LEASTS), np.uint8),
        stage_doublings=np.empty(nq, np.int64),
        limits=np.empty((nq, 32), np.uint8),
        affine=np.empty((nq, 3), np.float32),
        slack=np.empty(nq),
        exact=np.empty((nq, 16 * codec.nibbles), np.float32),
        stages=stages,
        split=np.empty((nq, len(codec.parts.split)), np.float32),
        base=np.empty(nq),
        norm=np.empty(nq),
        length=np.empty(nq),
    )
    kernels.tables.ready(xq, y, codec.parts, keys_of(model), queries)
    return queries


def search(
    held: Rows, model: Model, queries: Queries, k: int, allowed: Filter, threads: int, shortlist: int | None = None
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query, of all or of a ``shortlist`` of those that look best by the head of their codes.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    found : ndarray of shape (nq, k), int64
        Ids, best first, ties by lowest id; -1 where there are fewer than k rows.
    """
    whole = where_of(model, model.codec.nibbles)
    if shortlist is None or max(shortlist, k) >= len(held) or model.head == model.codec.nibbles:
        return _ranked(held, whole, queries, k, (allowed, held.ids.stored), threads)
    size, rows = max(shortlist, k), (allowed, np.empty(0, np.int64))  # by their numbers
    _, chosen = _ranked(held, where_of(model, model.head), _estimated(queries, model), size, rows, threads)
    return _finish(held, whole, queries, k, chosen, threads).ranked(k)


class Best(NamedTuple):
    """The best rows of each query so far: keys and ids (nq, room), as ``kernels/topk.py`` keeps them, and how many."""

    keys: FloatMatrix
    found: IdArray
    counts: IdArray

    @classmethod
    def none(cls, nq: int, k: int) -> Best:
        """Nothing but k entries that are worse than any row."""
        shape = (nq, k if k <= kernels.topk.HEAP_MOST else k + k // 4)
        best = cls(np.empty(shape, np.float32), np.empty(shape, np.int64), np.empty(nq, np.int64))
        best.keys.fill(-np.inf)
        best.found.fill(kernels.topk.NOBODY)
        best.counts.fill(k)
        return best

    def of(self, part: slice) -> Best:
        """Those of some queries."""
        return Best(self.keys[part], self.found[part], self.counts[part])

    def ranked(self, k: int) -> tuple[FloatMatrix, IdArray]:
        """Keys and ids (nq, k), best first, -inf and -1 where there are fewer."""
        keys, found = np.empty((len(self.keys), k), np.float32), np.empty((len(self.keys), k), np.int64)
        kernels.topk.rank(self.keys, self.found, self.counts, k, keys, found)
        return keys, found


def _ranked(
    held: Rows, where: Where, queries: Queries, k: int, rows: tuple[Filter, IdArray], threads: int
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows, as ``search`` returns them, of those that a filter allows; ``rows`` = (filter, ids).

    Thresholds rise as the k best are found, and before they are high, many rows pass in vain: for large k more than all
    others. So a sample of the rows tells keys that very likely k rows reach. Where they do, nothing is missed.
    """
    nothing = np.full(len(queries.base), -np.inf, np.float32)
    stride = len(held) // _SAMPLE
    if k < _MANY or stride < _SPARSE:
        return _scan(held, where, queries, k, rows, threads, nothing).ranked(k)
    usual = k / stride  # of the k best rows, in the sample
    few = int(usual + 3.3 * usual**0.5 + 3)
    apart = (where[0]._replace(ahead=stride * where[0].ahead), *where[1:])
    likely = _scan(held, apart, queries, few, rows, threads, nothing, stride).ranked(few)[0][:, -1]
    keys, found = _scan(held, where, queries, k, rows, threads, likely.copy()).ranked(k)
    missed = np.flatnonzero(keys[:, -1] < likely)
    if len(missed):
        some = some_queries(queries, missed)
        keys[missed], found[missed] = _scan(held, where, some, k, rows, threads, nothing[missed]).ranked(k)
    return keys, found


def _scan(
    held: Rows, where: Where, queries: Queries, k: int, rows: tuple[Filter, IdArray], threads: int,
    shared: npt.NDArray[np.float32], stride: int = 1,
) -> Best:  # fmt: skip
    """The k best rows of every ``stride``-th block, in no order, or those of them whose keys reach ``shared`` (nq,)."""
    scan, nq = kernels.scan_kernel(), len(queries.base)
    best = Best.none(nq, k)

    def rank(part: slice, pieces: list[tuple[Piece, int, int]], mine: Best) -> None:
        some = some_queries(queries, part)
        scratch = kernels.scan.new_scratch()
        for piece, first, stop in pieces:
            flat = piece.blocks.reshape(-1)
            scan(flat, first, stop, piece.row0, *where, some, *rows, *mine, k, shared[part], -np.inf, stride, scratch)

    everything = [(piece, 0, piece.rows) for piece in held]
    if threads > 1 and nq < _FEW * threads and len(held) // stride >= 2 * _ROWS:
        shares = _cut_rows(everything, len(held), threads)
        parts = [best] + [Best.none(nq, k) for _ in shares[1:]]
        run([partial(rank, slice(0, nq), *task) for task in zip(shares, parts, strict=True)], threads)
        for more in parts[1:]:
            kernels.topk.merge(*best, k, *more)
    else:
        cuts = cut_queries(nq, threads)
        run([partial(rank, part, everything, best.of(part)) for part in cuts], threads)
    return best


def _estimated(queries: Queries, model: Model) -> Queries:
    """Queries that bound by the head of codes as if the other nibbles added what they do on average."""
    eights = queries.deficits[:, 16 * model.head :].astype(np.float32)
    tails = (eights * 2.0 ** np.repeat(model.codec.shifts, 128)[16 * model.head :][: eights.shape[1]]).sum(axis=1) / 16
    affine = queries.affine.copy()
    affine[:, 1] += affine[:, 0] * tails
    return queries._replace(affine=affine)


def _finish(held: Rows, where: Where, queries: Queries, k: int, rows: IdArray, threads: int) -> Best:
    """The k best by exact keys among the rows (nq, n) of each query, which are sorted in place."""
    finish, best, ids = kernels.finish_kernel(), Best.none(len(queries.base), k), held.ids.stored

    def rank(part: slice) -> None:
        rows[part].sort(axis=1)
        some = some_queries(queries, part)
        for piece in held:
            finish(
                piece.blocks.reshape(-1), piece.row0, piece.rows, *where[:2], some, ids, rows[part], *best.of(part), k
            )

    run([partial(rank, part) for part in cut_queries(len(rows), threads)], threads)
    return best


def range_search(
    held: Rows, model: Model, queries: Queries, radius: float, allowed: Filter, threads: int
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all rows whose key is above ``radius``, in row order, of each query."""
    where = where_of(model, model.codec.nibbles)
    single = [some_queries(queries, slice(q, q + 1)) for q in range(len(queries.base))]
    return run([partial(_range_of_one, held, where, query, radius, allowed) for query in single], threads)


def _range_of_one(
    held: Rows, where: Where, query: Queries, radius: float, allowed: Filter
) -> tuple[npt.NDArray[np.float32], IdArray]:
    """``range_search`` of one query: the scan stops when its buffer is full and goes on with an empty one."""
    scan, ids = kernels.scan_kernel(), held.ids.stored
    keys, found = [], []
    room = Best(np.empty((1, _RANGE_ROOM), np.float32), np.empty((1, _RANGE_ROOM), np.int64), np.zeros(1, np.int64))
    shared, scratch = np.full(1, -np.inf, np.float32), kernels.scan.new_scratch()
    for piece in held:
        first, flat = 0, piece.blocks.reshape(-1)
        while first * BLOCK < piece.rows:
            room.counts[0] = 0
            first = scan(
                flat, first, piece.rows, piece.row0, *where, query, allowed, ids, *room, 1, shared, radius, 1, scratch
            )
            keys.append(room.keys[0, : room.counts[0]].copy())
            found.append(room.found[0, : room.counts[0]].copy())
    return np.concatenate([*keys, np.empty(0, np.float32)]), np.concatenate([*found, np.empty(0, np.int64)])


def some_queries(queries: Queries, part: slice | IdArray) -> Queries:
    """A part of the queries, a slice or their numbers (some,), with thresholds of its own."""
    chosen = type(queries)(*(np.ascontiguousarray(a[part]) for a in queries))
    return chosen._replace(affine=chosen.affine.copy(), limits=chosen.limits.copy())


def cut_queries(nq: int, threads: int) -> list[slice]:
    """Deal queries out in tasks, as many as threads at least, and few enough each for the cache."""
    size = min(_QUERIES, -(-nq // threads)) if nq else 1
    return [slice(q, min(q + size, nq)) for q in range(0, nq, size)]


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
