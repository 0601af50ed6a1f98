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

A stage's byte selects one of 256 centroids. Its bounds are whole numbers of any size, looked up one by one.

numba's cache does not see edits of this file when only ``scan.py`` uses it: ``STAMP`` takes them there.
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

BLOCK = 32  # rows of one block
GROUP = 8  # columns whose bounds add up within a byte, every other one, before they are widened
PHASE = 512  # columns whose bounds add up within 16 bits
DIGIT_BITS = 6  # of the low digit of a heavy column
PREFETCH = 4096  # bytes ahead; the hardware prefetcher stops at page ends (without it 2.8 times slower from memory)
PORTABLE, AVX2, AVX512 = 0, 32, 64  # instruction sets, by bytes of a register
_SHUFFLES = {AVX2: "llvm.x86.avx2.pshuf.b", AVX512: "llvm.x86.avx512.pshuf.b.512"}
STAMP = int.from_bytes(hashlib.sha256(Path(__file__).read_bytes()).digest()[:7], "little")


class Layout(NamedTuple):
    """Where things lie in a block, and how row scalars are read. Offsets in bytes; -1 where there is none."""

    nibbles: int
    stages: int  # runs of 32 bytes after the columns
    block_bytes: int
    gain_bits: int  # 0 where there is none
    gain_at: int  # of 8 bits, the run of them; of 4 bits, their column
    gain_least: float  # code 0 is a gain of 0, and c >= 1 is least + step * c
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


class _Emit:
    """LLVM vectors of ``width`` bytes: the few operations the bound needs."""

    def __init__(self, builder: Any, width: int) -> None:
        self.builder, self.width, self.lanes = builder, width, width // 16
        self.bytes = ir.VectorType(ir.IntType(8), width)
        self.words = ir.VectorType(ir.IntType(16), width // 2)

    def const(self, kind: Any, value: float) -> Any:
        return ir.Constant(kind, [value] * kind.count)

    def load(self, pointer: Any, offset: Any, kind: Any) -> Any:
        value = self.builder.load(self.builder.bitcast(self.builder.gep(pointer, [offset]), kind.as_pointer()))
        value.align = 1
        return value

    def load_columns(self, pointer: Any, offset: Any, width: int) -> Any:
        """``width`` bytes, the rest of the register zero."""
        kind = ir.VectorType(ir.IntType(8), width)
        value = self.load(pointer, offset, kind)
        return value if width == self.width else self.pick(value, range(self.width), self.const(kind, 0))

    def pick(self, value: Any, lanes: Any, other: Any = None) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(value, other or ir.Constant(value.type, ir.Undefined), mask)

    def splat(self, scalar: Any, kind: Any) -> Any:
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        return self.pick(one, [0] * kind.count)

    def look_up(self, table: Any, index: Any) -> Any:
        kind = ir.FunctionType(self.bytes, [self.bytes, self.bytes])
        shuffle = cgutils.get_or_insert_function(self.builder.module, kind, _SHUFFLES[self.width])
        return self.builder.call(shuffle, [table, index])

    def prefetch(self, pointer: Any, offset: Any) -> None:
        void, byte, number = ir.VoidType(), ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(void, [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(number, v) for v in (0, 3, 1))
        self.builder.call(fetch, [self.builder.gep(pointer, [offset]), read, keep, data])

    def split_nibbles(self, codes: Any) -> tuple[Any, Any]:
        low = self.const(self.bytes, 15)
        high = self.builder.lshr(self.builder.bitcast(codes, self.words), self.const(self.words, 4))
        return self.builder.and_(codes, low), self.builder.and_(self.builder.bitcast(high, self.bytes), low)

    def fold(self, words: Any) -> Any:
        """Add the 128-bit lanes of a vector of 16-bit sums: eight sums remain."""
        while words.type.count > 8:
            half = words.type.count // 2
            words = self.builder.add(self.pick(words, range(half)), self.pick(words, range(half, 2 * half)))
        return words


class _Bounds:
    """Emits the body of ``block_bounds`` for one register width and one number of queries."""

    def __init__(self, builder: Any, width: int, queries: int, pointers: dict[str, Any]) -> None:
        self.b, self.width, self.queries, self.at = builder, width, queries, pointers
        self.emit = _Emit(builder, width)
        self.sums32 = ir.VectorType(ir.IntType(32), 8)
        words = self.emit.words
        self.words = [[cgutils.alloca_once(builder, words) for _ in range(4)] for _ in range(queries)]
        self.total = [[cgutils.alloca_once(builder, self.sums32) for _ in range(4)] for _ in range(queries)]
        for q, stores in enumerate(self.total):
            for eighth, store in enumerate(stores):
                builder.store(self.emit.const(self.sums32, 0), store)
                with builder.if_then(builder.icmp_signed(">", pointers["stages"], self.int64(0))):
                    begun = builder.load(self.into(q, eighth))
                    begun.align = 4
                    builder.store(begun, store)

    def int64(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def into(self, q: int, eighth: int) -> Any:
        """Where the sums of eight rows go."""
        start = self.b.gep(self.at["sums"], [self.int64(BLOCK * q + 8 * eighth)])
        return self.b.bitcast(start, self.sums32.as_pointer())

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
        for bits, codes in ((8, self.bytes_of_gains), (4, self.nibbles_of_gains)):
            with b.if_then(b.icmp_signed("==", self.at["gain_bits"], self.int64(bits))):
                raw = codes(eighth)
                steps = b.fmul(b.uitofp(raw, floats), self.emit.splat(self.at["gain_step"], floats))
                gains = b.fadd(self.emit.splat(self.at["gain_least"], floats), steps)
                zero = b.icmp_unsigned("==", raw, self.emit.const(raw.type, 0))
                b.store(b.select(zero, self.emit.const(floats, 0.0), gains), out)
        return b.load(out)

    def bytes_of_gains(self, eighth: int) -> Any:
        """The codes of gains of eight rows, where they have 8 bits."""
        offset = self.b.add(self.at["gain_at"], self.int64(8 * eighth))
        return self.emit.load(self.at["codes"], offset, ir.VectorType(ir.IntType(8), 8))

    def nibbles_of_gains(self, eighth: int) -> Any:
        """The codes of gains of eight rows, where they have 4 bits: of even or odd bytes, the low or high halves."""
        words = self.emit.load(self.at["codes"], self.at["gain_at"], ir.VectorType(ir.IntType(16), 8))
        shift = (0, 8, 4, 12)[eighth]
        return self.b.and_(self.b.lshr(words, self.emit.const(words.type, shift)), self.emit.const(words.type, 15))

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
                b.store(sums, self.into(q, eighth)).align = 4
                bound = b.fsub(b.fmul(b.fadd(b.fmul(b.sitofp(sums, floats), a), c), gains), norms)
                hits = b.zext(b.bitcast(b.fcmp_ordered(">=", bound, threshold), ir.IntType(8)), number)
                masks[q] = b.or_(masks[q], b.shl(hits, ir.Constant(number, 8 * eighth)))
        for q, mask in enumerate(masks):
            b.store(mask, b.gep(self.at["masks"], [self.int64(q)]))


@intrinsic(prefer_literal=True)
def _vector_bounds(
    typingctx: Any,
    width: Any,
    tile: Any,
    blocks: Any,
    at: Any,
    layout: Any,
    queries: Any,
    q: Any,
    sums: Any,
    masks: Any,
) -> Any:
    """``block_bounds`` with byte shuffles of the given register width."""
    arguments = (width, tile, blocks, types.intp, layout, queries, types.intp, sums, masks)

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
        pointers = {
            "codes": builder.gep(data(blocks, args[2]), [args[3]]),
            "stride": stride,
            "tables": builder.gep(data(*field(5, "bounds")), [start]),
            "affine": builder.gep(data(*field(5, "affine")), [builder.mul(args[6], ir.Constant(args[6].type, 3))]),
            "nibbles": nibbles,
            "heavy": heavy,
            "stages": field(4, "stages")[1],
            "gain_bits": field(4, "gain_bits")[1],
            "gain_at": field(4, "gain_at")[1],
            "norm_at": field(4, "norm_at")[1],
            "gain_least": builder.fptrunc(field(4, "gain_least")[1], real),
            "gain_step": builder.fptrunc(field(4, "gain_step")[1], real),
            "norm_unit": builder.fptrunc(field(4, "norm_unit")[1], real),
            "sums": data(sums, args[7]),
            "masks": data(masks, args[8]),
        }
        body = _Bounds(builder, width.literal_value, tile.literal_value, pointers)
        body.digits()
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
def _add_stages(tile: int, blocks: Any, at: int, layout: Layout, queries: Queries, q: int, sums: Any) -> None:
    """Start the sums of a block with the bounds of its stages."""
    sums[: tile * BLOCK] = 0
    for s in range(layout.stages):
        words = at + 16 * layout.nibbles + BLOCK * s
        for t in range(tile):
            for r in range(BLOCK):
                sums[t * BLOCK + r] += queries.stage_bounds[q + t, s, blocks[words + r]]


def block_bounds(
    simd: int,
    stamp: int,
    tile: int,
    blocks: Any,
    at: int,
    layout: Layout,
    queries: Queries,
    q: int,
    sums: Any,
    masks: Any,
) -> None:
    """Bound the 32 rows of the block at byte ``at`` for ``tile`` queries from ``q`` on.

    ``sums`` (TILE * 32,) int32 receives the integer sums and ``masks`` (TILE,) uint32 the rows that may matter.
    ``stamp`` is STAMP, passed by the caller from its closure so that it becomes part of the caller's cache key.
    Integers and floats are the same at every ``simd``: sums are exact, and the float part is not contracted.
    Compiled code only: the overload below stands in for this function there.
    """


@overload(block_bounds, prefer_literal=True)
def _block_bounds(
    simd: Any, stamp: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any, sums: Any, masks: Any
) -> Any:
    if simd.literal_value != PORTABLE:

        def vector(
            simd: Any,
            stamp: Any,
            tile: Any,
            blocks: Any,
            at: Any,
            layout: Any,
            queries: Any,
            q: Any,
            sums: Any,
            masks: Any,
        ) -> None:
            if layout.stages:
                _add_stages(tile, blocks, at, layout, queries, q, sums)
            _vector_bounds(simd, tile, blocks, at, layout, queries, q, sums, masks)

        return vector

    def portable(
        simd: Any, stamp: Any, tile: Any, blocks: Any, at: Any, layout: Any, queries: Any, q: Any, sums: Any, masks: Any
    ) -> None:
        _add_stages(tile, blocks, at, layout, queries, q, sums)
        for t in range(tile):
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
                if layout.gain_bits:
                    code = gain_at(blocks, at, r, layout)
                    gain = np.float32(layout.gain_least) + np.float32(layout.gain_step) * np.float32(code)
                    bound *= gain if code else np.float32(0)
                if layout.norm_at >= 0:
                    bound -= half_at(blocks, at + layout.norm_at + 2 * r, layout) * np.float32(layout.norm_unit)
                if bound >= queries.affine[q + t, 2]:
                    mask |= np.uint32(1) << np.uint32(r)
            masks[t] = mask

    return portable
