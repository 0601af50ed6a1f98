"""Steps three and four of a search: scan the packed rows, keep the k best.

Work is cut by rows for few queries and by queries for many; each part ranks exactly, and parts are merged by
(score, id), so the result is the same however it was cut.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.blocks import BLOCK, Piece
from lplr_index.kernels import scan_kernel
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.threads import run

if TYPE_CHECKING:
    from lplr_index.kernels.bounds import Layout, Queries

Filter = npt.NDArray[np.uint32]

_FEW = 16  # queries a thread should have before queries, not rows, are cut
_QUERIES = 64  # queries of a task: their tables stay in the cache
_ROWS = 1 << 14  # fewer rows are not worth a task of their own
_RANGE_ROOM = 1 << 12  # results of a range search before its buffer grows
_ROUNDING = 4e-6  # float32 error of a bound relative to its parts: some twenty roundings, generously


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
    from lplr_index.kernels import bounds as kernel

    form, codec, gain = model.form, model.codec, model.gain
    gain_at = {0: -1, 4: BLOCK // 2 * (codec.nibbles - 1), 8: form.singles_at + BLOCK * codec.stages}
    return kernel.Layout(
        nibbles=codec.nibbles,
        stages=codec.stages,
        block_bytes=BLOCK * form.code_size,
        gain_bits=gain.bits,
        gain_at=gain_at[gain.bits],
        gain_least=gain.least,
        gain_step=gain.step,
        norm_at=form.norms_at if model.norm_unit else -1,
        norm_unit=model.norm_unit,
        heavy=codec.heavy,
        split_fields=codec.split_fields,
        split_levels=codec.split_levels,
        halves=_halves(),
    )


def prepare(model: Model, xq: FloatMatrix) -> Queries:
    """Tables of queries xq (nq, d) for the scan: project, then let the codec tell what its bits are worth."""
    from lplr_index.kernels import bounds as kernel

    tables = model.codec.query_tables(model.project(xq))
    offset = model.offsets(xq)
    factor = 2.0 if model.norm_unit else 1.0
    lengths = np.zeros(len(xq))
    if model.norm_unit:
        lengths = np.square(xq, dtype=np.float64).sum(axis=1) + model.norm_unit
    affine = np.empty((len(xq), 3), np.float32)
    affine[:, 0] = factor * tables.scale
    affine[:, 1] = factor * (tables.base + offset)
    affine[:, 2] = -np.inf
    largest = factor * (tables.size + np.abs(offset)) * model.gain.most
    # A norm's own float32 rounding is relative to the norm, which a near row bounds by the query and the score.
    slack = _ROUNDING * 2 * (largest + lengths + model.norm_unit)
    return kernel.Queries(
        tables.bounds, tables.stage_bounds, affine, slack, tables.exact, tables.stages, tables.split, offset, lengths
    )


def search(
    held: Rows, model: Model, queries: Queries, k: int, allowed: Filter, threads: int
) -> tuple[FloatMatrix, IdArray]:
    """The k best rows of each query.

    Returns
    -------
    keys : ndarray of shape (nq, k), float32
        Scores, or negated squared distances; -inf where there are fewer than k rows.
    found : ndarray of shape (nq, k), int64
        Ids, best first, ties by lowest id; -1 where there are fewer than k rows.
    """
    from lplr_index.kernels import scan as kernel

    scan, where, ids, nq = scan_kernel(), layout(model), held.ids.stored, len(queries.base)
    keys = np.full((nq, k), -np.inf, np.float32)
    found = np.full((nq, k), np.iinfo(np.int64).max, np.int64)

    def rank(part: slice, pieces: list[tuple[Piece, int, int]], heap: tuple[FloatMatrix, IdArray]) -> None:
        mine = _some(queries, part)
        for piece, first, rows in pieces:
            flat = piece.blocks.reshape(-1)
            scan(flat, first, rows, piece.row0, where, mine, allowed, ids, *heap, -np.inf)

    everything = [(piece, 0, piece.rows) for piece in held]
    if threads > 1 and nq < _FEW * threads and len(held) >= 2 * _ROWS:
        shares = _cut_rows(everything, len(held), threads)
        heaps = [(keys, found)] + [(keys.copy(), found.copy()) for _ in shares[1:]]
        run([partial(rank, slice(0, nq), *task) for task in zip(shares, heaps, strict=True)], threads)
        for more in heaps[1:]:
            kernel.merge_heaps(keys, found, *more)
    else:
        size = min(_QUERIES, -(-nq // threads)) if nq else 1
        parts = [slice(q, min(q + size, nq)) for q in range(0, nq, size)]
        run([partial(rank, part, everything, (keys[part], found[part])) for part in parts], threads)
    kernel.sort_heaps(keys, found)
    found[found == np.iinfo(np.int64).max] = -1
    return keys, found


def range_search(
    held: Rows, model: Model, queries: Queries, radius: float, allowed: Filter, threads: int
) -> list[tuple[npt.NDArray[np.float32], IdArray]]:
    """The keys (n,) and ids (n,) of all rows whose key is above ``radius``, in row order, of each query."""
    where = layout(model)
    single = [_some(queries, slice(q, q + 1)) for q in range(len(queries.base))]
    return run([partial(_range_of_one, held, where, query, radius, allowed) for query in single], threads)


def _range_of_one(
    held: Rows, where: Layout, query: Queries, radius: float, allowed: Filter
) -> tuple[npt.NDArray[np.float32], IdArray]:
    """``range_search`` of one query: the scan stops when its buffer is full and goes on with an empty one."""
    scan, ids = scan_kernel(), held.ids.stored
    query.affine[0, 2] = np.float32(radius + query.norm[0] - query.slack[0] - 1e-6 * abs(radius))
    keys, found = [], []
    room_keys, room_ids = np.empty((1, _RANGE_ROOM), np.float32), np.empty((1, _RANGE_ROOM), np.int64)
    for piece in held:
        first, flat = 0, piece.blocks.reshape(-1)
        while first * BLOCK < piece.rows:
            first, count = scan(
                flat, first, piece.rows, piece.row0, where, query, allowed, ids, room_keys, room_ids, radius
            )
            keys.append(room_keys[0, :count].copy())
            found.append(room_ids[0, :count].copy())
    return np.concatenate([*keys, np.empty(0, np.float32)]), np.concatenate([*found, np.empty(0, np.int64)])


def _some(queries: Queries, part: slice) -> Queries:
    """A part of the queries, with thresholds of its own."""
    chosen = type(queries)(*(np.ascontiguousarray(a[part]) for a in queries))
    return chosen._replace(affine=chosen.affine.copy())


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


@cache
def _halves() -> npt.NDArray[np.float32]:
    """The value of every float16, by its bits."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
