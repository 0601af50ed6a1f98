"""Bound the scores of 32 packed rows at once: byte look-ups, summed in integers, the same on every instruction set.

A row is a string of nibbles. For a query each nibble has a table of 16 partial scores, so a row's score is a sum of
look-ups. Here the tables hold upper bounds of one byte, and one byte shuffle looks up 16 rows. The first, heaviest
nibbles have bounds of two digits to the base 64: their columns are read twice, once for the low digits together with
all other columns, once for the high ones.

One block, ``nibbles`` columns of 16 bytes, then the stages, each a byte a row, and the row scalars::

    column 0            column 1            ...   stage 0      ...   gains        norms
    16 bytes            16 bytes                  32 x uint8         32 x uint8   32 x float16
    byte j: low nibble = row ORDER[j], high nibble = row ORDER[j] + 16

``ORDER`` = 0 8 1 9 2 10 ... lets even bytes hold rows 0-7 and odd bytes rows 8-15, so that 16-bit sums come out in
order. Gains of four bits are the last column, whose tables are zeros.

A stage's byte selects one of 256 centroids. Its bounds are whole numbers of any size, looked up row by row, for all
queries that share a reading of the block at once.

numba's cache does not see edits of this file and of ``vectors.py`` where only ``scan.py`` uses them: ``STAMP`` takes
them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lplr_index.kernels import vectors

BLOCK = 32  # rows of one block
GROUP = 8  # columns whose bounds add up within a byte, every other one, before they are widened
PHASE = 512  # columns whose bounds add up within 16 bits
DIGIT_BITS = 6  # of the low digit of a heavy column
PREFETCH = 4096  # bytes ahead; the hardware prefetcher stops at page ends (without it 2.8 times slower from memory)
PORTABLE = 0  # instead of the bytes of a register
_SOURCES = (Path(__file__), Path(vectors.__file__))
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


class Layout(NamedTuple):
    """Where things lie in a block, and how row scalars are read. Offsets in bytes; -1 where there is none."""

    nibbles: int
    stages: int  # runs of 32 bytes after the columns
    block_bytes: int
    gain_bits: int  # 0 where there is none
    gain_at: int  # of 8 bits, the run of them; of 4 bits, their column
    gain_least: float  # code 0 is a gain of 0, and c >= 1 is least + step * c; of 8 bits, least is 0
    gain_step: float
    norm_at: int
    norm_unit: float
    heavy: int
    split_fields: Any  # (fields, 5) int32: split column, nibble, shift in it, mask, shift in the code
    split_levels: Any  # (splits, 256) float32: the levels of those columns, by code
    halves: Any  # (65536,) float32: the value of every float16


class Queries(NamedTuple):
    """Queries made ready for the scan; nq of them."""

    bounds: Any  # (nq, (nibbles + heavy) * 16) uint8: low digits of all columns, high digits of the heavy ones
    stage_bounds: Any  # (nq, stages, 256) int32: in the same steps
    affine: Any  # (nq, 3) float32: bound = a * sum + c, and the threshold it has to reach
    slack: Any  # (nq,) float64: what float32 rounding of a bound may lose
    exact: Any  # (nq, nibbles, 16) float32
    stages: Any  # (nq, stages, 256) float32
    split: Any  # (nq, splits) float32: y in the columns whose code spans several nibbles
    base: Any  # (nq,) float64: <q, mu>
    norm: Any  # (nq,) float64: under L2, |q|^2 and one norm_unit, which stored norms are counted from; else 0


class _Bounds:
    """Emits the body of ``block_bounds`` for one register width and one number of queries."""

    def __init__(self, builder: Any, width: int, queries: int, pointers: dict[str, Any]) -> None:
        self.b, self.width, self.queries, self.at = builder, width, queries, pointers
        self.emit = vectors.Vectors(builder, width)
        self.sums32 = ir.VectorType(ir.IntType(32), 8)
        words = self.emit.words
        self.words = [[cgutils.alloca_once(builder, words) for _ in range(4)] for _ in range(queries)]
        self.total = [[cgutils.alloca_once(builder, self.sums32) for _ in range(4)] for _ in range(queries)]
        for stores in self.total:
            for store in stores:
                builder.store(self.emit.const(self.sums32, 0), store)

    def int64(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def stages(self) -> None:
        """Add the bounds of the stages to the sums."""
        b = self.b
        with cgutils.for_range(b, self.at["stages"]) as loop:
            codes = b.mul(b.add(self.at["nibbles"], b.add(loop.index, loop.index)), self.int64(16))
            tables = b.gep(self.at["stage_tables"], [b.mul(loop.index, self.int64(256 * self.queries))])
            for eighth in range(4):
                rows = [self.centroid(tables, b.add(codes, self.int64(8 * eighth + r))) for r in range(8)]
                found = self.emit.columns(rows) if self.queries > 1 else [self.emit.gather(rows, self.sums32)]
                for stores, more in zip(self.total, found, strict=True):
                    b.store(b.add(b.load(stores[eighth]), more), stores[eighth])

    def centroid(self, tables: Any, offset: Any) -> Any:
        """The bounds of the centroid that the byte at ``offset`` selects, for every query; a scalar for one query."""
        b = self.b
        code = b.zext(b.load(b.gep(self.at["codes"], [offset])), ir.IntType(64))
        entry = b.mul(code, self.int64(self.queries))
        if self.queries == 1:
            return b.load(b.gep(tables, [entry]))
        return self.emit.load(tables, entry, ir.VectorType(ir.IntType(32), self.queries))

    def step(self, tables: Any, column: Any, width: int, sums: list[Any]) -> None:
        """Look up the nibbles of ``width`` / 16 columns for every query and add the results as bytes."""
        b, offset = self.b, self.b.mul(column, self.int64(16))
        low, high = self.emit.split_nibbles(self.emit.load_columns(self.at["codes"], offset, width))
        self.emit.prefetch(self.at["codes"], b.add(offset, self.int64(PREFETCH)))
        for q in range(self.queries):
            start = b.add(offset, b.mul(self.at["stride"], self.int64(q)))
            table = self.emit.load_columns(tables, start, width)
            found = (self.emit.look_up(table, low), self.emit.look_up(table, high))
            sums[q] = found if sums[q] is None else tuple(b.add(x, y) for x, y in zip(sums[q], found, strict=True))

    def widen(self, sums: list[Any]) -> None:
        """Add bytes to 16-bit sums: odd bytes by a shift; even ones with the odd still above them, taken off later."""
        b, eight = self.b, self.emit.const(self.emit.words, 8)
        for words, found in zip(self.words, sums, strict=True):
            for half, value in enumerate(found):
                pairs = b.bitcast(value, self.emit.words)
                even, odd = words[2 * half], words[2 * half + 1]
                b.store(b.add(b.load(even), pairs), even)
                b.store(b.add(b.load(odd), b.lshr(pairs, eight)), odd)

    def columns(self, tables: Any, first: Any, last: Any) -> None:
        """Add up the columns ``first`` to ``last`` in 16 bits; ``tables`` are those of column 0."""
        b = self.b
        groups = b.sdiv(b.sub(last, first), self.int64(GROUP))
        with cgutils.for_range(b, groups) as loop:
            self.group(tables, b.add(first, b.mul(loop.index, self.int64(GROUP))), GROUP)
        for count in (4, 2):  # what is left is an even number
            done = b.sub(last, b.and_(b.sub(last, first), self.int64(2 * count - 1)))
            with b.if_then(b.icmp_signed("!=", b.and_(b.sub(last, first), self.int64(count)), self.int64(0))):
                self.group(tables, done, count)

    def group(self, tables: Any, column: Any, count: int) -> None:
        """Look up ``count`` columns, add them as bytes, and widen once."""
        sums: list[Any] = [None] * self.queries
        for c in range(0, count, self.emit.lanes):
            width = min(self.width, 16 * (count - c))
            self.step(tables, self.b.add(column, self.int64(c)), width, sums)
        self.widen(sums)

    def phase(self, tables: Any, first: Any, last: Any, shift: int) -> None:
        """Sum columns in 16 bits, then add the sums, shifted, to those in 32."""
        b, eight = self.b, self.emit.const(self.emit.words, 8)
        for words in self.words:
            for store in words:
                b.store(self.emit.const(self.emit.words, 0), store)
        self.columns(tables, first, last)
        for words, totals in zip(self.words, self.total, strict=True):
            for half in range(2):
                odd = b.load(words[2 * half + 1])
                even = b.sub(b.load(words[2 * half]), b.shl(odd, eight))
                for store, value in zip(totals[2 * half :], (even, odd), strict=False):
                    sums = b.shl(b.zext(self.emit.fold(value), self.sums32), self.emit.const(self.sums32, shift))
                    b.store(b.add(b.load(store), sums), store)

    def digits(self) -> None:
        """Sum the low digits of all columns, PHASE at a time, then the high digits of the heavy ones."""
        b, low = self.b, self.at["tables"]
        high = b.gep(low, [b.mul(self.at["nibbles"], self.int64(16))])
        for tables, columns, shift in ((low, self.at["nibbles"], 0), (high, self.at["heavy"], DIGIT_BITS)):
            runs = b.sdiv(b.add(columns, self.int64(PHASE - 1)), self.int64(PHASE))
            with cgutils.for_range(b, runs) as loop:
                first = b.mul(loop.index, self.int64(PHASE))
                last = b.add(first, self.int64(PHASE))
                self.phase(tables, first, b.select(b.icmp_signed("<", last, columns), last, columns), shift)

    def gains(self, eighth: int) -> Any:
        """The gains of eight rows as floats, one where the layout has none."""
        b, floats = self.b, ir.VectorType(ir.FloatType(), 8)
        out = cgutils.alloca_once(b, floats)
        b.store(self.emit.const(floats, 1.0), out)
        with b.if_then(b.icmp_signed("==", self.at["gain_bits"], self.int64(8))):
            offset = b.add(self.at["gain_at"], self.int64(8 * eighth))
            raw = self.emit.load(self.at["codes"], offset, ir.VectorType(ir.IntType(8), 8))
            b.store(b.fmul(b.uitofp(raw, floats), self.emit.splat(self.at["gain_step"], floats)), out)
        with b.if_then(b.icmp_signed("==", self.at["gain_bits"], self.int64(4))):
            # Rows of one eighth are in the even or in the odd bytes of the column, in the low halves or in the high.
            words = self.emit.load(self.at["codes"], self.at["gain_at"], ir.VectorType(ir.IntType(16), 8))
            shift = self.emit.const(words.type, (0, 8, 4, 12)[eighth])
            raw = b.and_(b.lshr(words, shift), self.emit.const(words.type, 15))
            steps = b.fmul(b.uitofp(raw, floats), self.emit.splat(self.at["gain_step"], floats))
            gains = b.fadd(self.emit.splat(self.at["gain_least"], floats), steps)
            zero = b.icmp_unsigned("==", raw, self.emit.const(raw.type, 0))
            b.store(b.select(zero, self.emit.const(floats, 0.0), gains), out)
        return b.load(out)

    def norms(self, eighth: int) -> Any:
        """The squared norms of eight rows as floats, zero where the layout has none."""
        b, floats = self.b, ir.VectorType(ir.FloatType(), 8)
        out = cgutils.alloca_once(b, floats)
        b.store(self.emit.const(floats, 0.0), out)
        with b.if_then(b.icmp_signed(">=", self.at["norm_at"], self.int64(0))):
            offset = b.add(self.at["norm_at"], self.int64(16 * eighth))
            raw = self.emit.load(self.at["codes"], offset, ir.VectorType(ir.HalfType(), 8))
            b.store(b.fmul(b.fpext(raw, floats), self.emit.splat(self.at["norm_unit"], floats)), out)
        return b.load(out)

    def compare(self) -> None:
        """Turn sums into bounds and store, per query, the bit mask of rows that reach the threshold."""
        b, floats = self.b, ir.VectorType(ir.FloatType(), 8)
        number = ir.IntType(32)
        masks = [ir.Constant(number, 0)] * self.queries
        for eighth in range(4):
            gains, norms = self.gains(eighth), self.norms(eighth)
            for q in range(self.queries):
                a, c, threshold = (
                    self.emit.splat(b.load(b.gep(self.at["affine"], [self.int64(3 * q + i)])), floats) for i in range(3)
                )
                sums = b.load(self.total[q][eighth])
                into = b.bitcast(b.gep(self.at["sums"], [self.int64(BLOCK * q + 8 * eighth)]), sums.type.as_pointer())
                b.store(sums, into).align = 4
                bound = b.fsub(b.fmul(b.fadd(b.fmul(b.sitofp(sums, floats), a), c), gains), norms)
                hits = b.zext(b.bitcast(b.fcmp_ordered(">=", bound, threshold), ir.IntType(8)), number)
                masks[q] = b.or_(masks[q], b.shl(hits, ir.Constant(number, 8 * eighth)))
        for q, mask in enumerate(masks):
            b.store(mask, b.gep(self.at["masks"], [self.int64(q)]))


@intrinsic(prefer_literal=True)
def _vector_bounds(
    typingctx: Any, width: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any, stage_tables: Any,
    sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """``block_bounds`` with byte shuffles of the given register width."""
    arguments = (width, tile, blocks, types.intp, layout, queries, types.intp, stage_tables, sums, masks)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def data(kind: Any, value: Any) -> Any:
            return context.make_array(kind)(context, builder, value).data

        def field(which: int, name: str) -> Any:
            kind = signature.args[which]
            position = kind.fields.index(name)
            return kind.types[position], builder.extract_value(args[which], position)

        real = ir.FloatType()
        nibbles, heavy = field(4, "nibbles")[1], field(4, "heavy")[1]
        stride = builder.mul(builder.add(nibbles, heavy), ir.Constant(nibbles.type, 16))
        start = builder.mul(args[6], stride)
        stages = field(4, "stages")[1]
        stage_start = builder.mul(args[6], builder.mul(stages, ir.Constant(stages.type, 256)))
        pointers = {
            "codes": builder.gep(data(blocks, args[2]), [args[3]]),
            "stride": stride,
            "tables": builder.gep(data(*field(5, "bounds")), [start]),
            "affine": builder.gep(data(*field(5, "affine")), [builder.mul(args[6], ir.Constant(args[6].type, 3))]),
            "nibbles": nibbles,
            "heavy": heavy,
            "stages": stages,
            "stage_tables": builder.gep(data(stage_tables, args[7]), [stage_start]),
            "gain_bits": field(4, "gain_bits")[1],
            "gain_at": field(4, "gain_at")[1],
            "norm_at": field(4, "norm_at")[1],
            "gain_least": builder.fptrunc(field(4, "gain_least")[1], real),
            "gain_step": builder.fptrunc(field(4, "gain_step")[1], real),
            "norm_unit": builder.fptrunc(field(4, "norm_unit")[1], real),
            "sums": data(sums, args[8]),
            "masks": data(masks, args[9]),
        }
        body = _Bounds(builder, width.literal_value, tile.literal_value, pointers)
        body.digits()
        body.stages()
        body.compare()
        return context.get_dummy_value()

    return types.void(*arguments), generate


@njit(nogil=True)
def half_at(blocks: Any, at: int, layout: Layout) -> Any:
    """The float16 at byte ``at``, little-endian."""
    return layout.halves[np.int64(blocks[at]) | np.int64(blocks[at + 1]) << 8]


@njit(nogil=True)
def gain_at(blocks: Any, at: int, row: int, layout: Layout) -> Any:
    """The code of the gain of a row of the block at byte ``at``."""
    if layout.gain_bits == 4:
        return (blocks[at + layout.gain_at + 2 * (row & 7) + ((row >> 3) & 1)] >> (4 * (row >> 4))) & 15
    return np.int64(blocks[at + layout.gain_at + row])


@njit(nogil=True)
def tile_stages(stage_bounds: Any, tile: int) -> Any:
    """The bounds of stages (nq, stages, 256) as ``block_bounds`` reads them, in one row.

    Of each ``tile`` queries those of an entry lie side by side: (stages, 256, tile). What is left over of the queries
    follows one by one. So a query's tables, or its tile's, start at entry q * stages * 256.
    """
    nq, stages, words = stage_bounds.shape
    out = np.empty(nq * stages * words, np.int32)
    for q in range(nq):
        side = tile if q // tile * tile + tile <= nq else 1
        first = (q // side * side) * stages * words + q % side
        for s in range(stages):
            for w in range(words):
                out[first + (s * words + w) * side] = stage_bounds[q, s, w]
    return out


@njit(nogil=True)
def _portable_bounds(
    tile: int, blocks: Any, at: int, layout: Layout, queries: Queries, q: int, stage_tables: Any, sums: Any, masks: Any
) -> None:
    """``block_bounds`` without vectors."""
    for t in range(tile):
        for r in range(BLOCK):
            sums[t * BLOCK + r] = 0
        for s in range(layout.stages):
            first, codes = (q * layout.stages + s * tile) * 256 + t, at + 16 * layout.nibbles + BLOCK * s
            for r in range(BLOCK):
                sums[t * BLOCK + r] += stage_tables[first + tile * np.int64(blocks[codes + r])]
        for table in range(layout.nibbles + layout.heavy):
            column, shift = table, 0
            if table >= layout.nibbles:
                column, shift = table - layout.nibbles, DIGIT_BITS
            for j in range(16):
                r = (j >> 1) + 8 * (j & 1)
                code = blocks[at + 16 * column + j]
                sums[t * BLOCK + r] += np.int32(queries.bounds[q + t, 16 * table + (code & 15)]) << shift
                sums[t * BLOCK + r + 16] += np.int32(queries.bounds[q + t, 16 * table + (code >> 4)]) << shift
        mask = np.uint32(0)
        for r in range(BLOCK):
            bound = np.float32(sums[t * BLOCK + r]) * queries.affine[q + t, 0] + queries.affine[q + t, 1]
            if layout.gain_bits == 8:
                bound *= np.float32(blocks[at + layout.gain_at + r]) * np.float32(layout.gain_step)
            elif layout.gain_bits == 4:
                code = gain_at(blocks, at, r, layout)
                gain = np.float32(layout.gain_least) + np.float32(code) * np.float32(layout.gain_step)
                bound *= gain if code else np.float32(0)
            if layout.norm_at >= 0:
                bound -= half_at(blocks, at + layout.norm_at + 2 * r, layout) * np.float32(layout.norm_unit)
            if bound >= queries.affine[q + t, 2]:
                mask |= np.uint32(1) << np.uint32(r)
        masks[t] = mask


def block_bounds(
    simd: int, stamp: int, tile: int, blocks: Any, at: int, layout: Layout, queries: Queries, q: int, stage_tables: Any,
    sums: Any, masks: Any,
) -> None:  # fmt: skip
    """Bound the 32 rows of the block at byte ``at`` for ``tile`` queries from ``q`` on.

    ``stage_tables`` are what ``tile_stages`` makes of the bounds of stages.
    ``sums`` (TILE * 32,) int32 receives the integer sums and ``masks`` (TILE,) uint32 the rows that may matter.
    ``stamp`` is STAMP, passed by the caller from its closure so that it becomes part of the caller's cache key.
    Integers and floats are the same at every ``simd``: sums are exact, and the float part is not contracted.
    Compiled code only: the overload below stands in for this function there. It is inlined, because passing all of
    this took a quarter of the time.
    """


@overload(block_bounds, prefer_literal=True, inline="always")
def _block_bounds(
    simd: Any, stamp: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any, stage_tables: Any,
    sums: Any, masks: Any,
) -> Any:  # fmt: skip
    if simd.literal_value != PORTABLE:

        def vector(
            simd: Any, stamp: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any,
            stage_tables: Any, sums: Any, masks: Any,
        ) -> None:  # fmt: skip
            _vector_bounds(simd, tile, blocks, at, layout, queries, q, stage_tables, sums, masks)

        return vector

    def portable(
        simd: Any, stamp: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any, stage_tables: Any,
        sums: Any, masks: Any,
    ) -> None:  # fmt: skip
        _portable_bounds(tile, blocks, at, layout, queries, q, stage_tables, sums, masks)

    return portable
