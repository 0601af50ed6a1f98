"""Bound the scores of 32 packed rows at once: byte look-ups, summed in integers, the same on every instruction set.

A row is a string of nibbles. For a query each nibble has a table of 16 partial scores, so a row's score is a sum of
look-ups. Here the tables hold *deficits*: how far an entry falls short of the best one of its table, rounded down to
one byte. A row whose deficits add up to more than the threshold allows cannot matter. Sums stop at the largest number,
of a byte and then of 16 bits, which makes a deficit smaller, never larger. One byte shuffle looks up 16 rows.

The deficits of a stage's centroids have 16 bits and are looked up row by row, for all queries that share a reading of
the block at once.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lplr_index.kernels import vectors
from lplr_index.kernels.layout import BLOCK, GROUP, SECONDS, Layout, Levels, Queries, Segments, place
from lplr_index.kernels.portable import portable_bounds
from lplr_index.kernels.thresholds import Thresholds

_BYTES, _WORDS = vectors.numbers(8, 32), vectors.numbers(16, 16)


class _Bounds:
    """Emits the body of ``block_bounds`` for one instruction set, one number of queries, and one or two digits.

    ``tables`` are summed side by side: those of the first digit of each query, then that of the second if there is one.
    """

    def __init__(self, builder: Any, simd: int, queries: int, digits: int, pointers: dict[str, Any]) -> None:
        self.b, self.queries, self.digits, self.at = builder, queries, digits, pointers
        self.emit = vectors.Vectors(builder, simd)
        strides = [builder.mul(pointers["stride"], self.int64(q)) for q in range(queries)]
        self.tables = [(pointers["tables"], stride) for stride in strides]
        if digits == 2:
            self.tables.append((pointers["seconds"], self.int64(0)))
        self.words = [[cgutils.alloca_once(builder, _WORDS) for _ in range(4)] for _ in self.tables]
        self.total = [[cgutils.alloca_once(builder, _WORDS) for _ in range(2)] for _ in self.tables]

    def int64(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def stages(self) -> list[list[Any]]:
        """The deficits of the stages of 32 rows, for each query; of several, ``stages_of_all`` has looked them up."""
        if self.queries == 1:
            return [self.stages_of_one()]
        return [list(both) for both in zip(self.sixteen_rows(0), self.sixteen_rows(16), strict=True)]

    def stages_of_one(self) -> list[Any]:
        """Look them up with byte shuffles: sixteen, of which the bits of the high nibble choose one."""
        b, sums = self.b, [cgutils.alloca_once_value(self.b, self.emit.const(_WORDS, 0)) for _ in range(2)]
        zeros, tables = self.emit.const(_BYTES, 0), self.at["one_stage_tables"]
        with cgutils.for_range(b, self.at["stages"]) as loop:
            run = b.mul(b.add(self.at["nibbles"], b.add(loop.index, loop.index)), self.int64(16))
            self.emit.prefetch(self.at["codes"], b.add(run, self.at["ahead"]))
            codes = self.emit.load(self.at["codes"], run, _BYTES)
            low, found = b.and_(codes, self.emit.const(_BYTES, 15)), []
            for high in range(16):
                start = b.add(b.mul(loop.index, self.int64(256)), self.int64(16 * high))
                table = self.emit.load(tables, start, vectors.numbers(8, 16))
                found.append(self.emit.look_up(self.emit.pick(table, (*range(16), *range(16))), low))
            for bit in range(4, 8):  # of the code, where a select looks for it: in the highest
                moved = b.bitcast(b.shl(b.bitcast(codes, _WORDS), self.emit.const(_WORDS, 7 - bit)), _BYTES)
                is_set = b.icmp_signed("<", moved, zeros)
                found = [b.select(is_set, odd, even) for even, odd in zip(found[::2], found[1::2], strict=True)]
            for half, store in enumerate(sums):
                rows = [*range(8 * half, 8 * half + 8), *range(16 + 8 * half, 24 + 8 * half)]
                lanes = [row + zero for row in rows for zero in (0, 32)]
                words = b.bitcast(self.emit.pick(found[0], lanes, zeros), _WORDS)
                b.store(b.add(b.load(store), words), store)
        doublings = self.emit.splat(b.trunc(self.at["stage_doublings"], ir.IntType(16)), _WORDS)
        return [b.shl(b.load(store), doublings) for store in sums]

    def stages_of_all(self) -> None:
        """Look them up row by row, up to four at a time, into where the sums will be: (rows, queries)."""
        b = self.b
        for start in range(0, BLOCK * self.queries, 16):
            self.emit.store(self.emit.const(_WORDS, 0), self.at["sums"], self.int64(start))
        count = self.at["stages"]
        with cgutils.for_range(b, b.sdiv(count, self.int64(4))) as loop:
            self.some_stages(b.mul(loop.index, self.int64(4)), 4)
        for some in (2, 1):
            done = b.sub(count, b.and_(count, self.int64(2 * some - 1)))
            with b.if_then(b.icmp_signed("!=", b.and_(count, self.int64(some)), self.int64(0))):
                self.some_stages(done, some)

    def some_stages(self, first: Any, count: int) -> None:
        """Add the deficits of ``count`` stages from ``first`` on; those of all queries are one number."""
        b, long = self.b, ir.IntType(64)
        entry = ir.IntType(16 * self.queries)
        found = b.bitcast(self.at["sums"], entry.as_pointer())
        runs, tables = [], []
        for stage in range(count):
            number = b.add(first, self.int64(stage))
            runs.append(b.mul(b.add(self.at["nibbles"], b.add(number, number)), self.int64(16)))
            start = b.gep(self.at["stage_tables"], [b.mul(number, self.int64(256 * self.queries))])
            tables.append(b.bitcast(start, entry.as_pointer()))
            self.emit.prefetch(self.at["codes"], b.add(runs[-1], self.at["ahead"]))
        for eight in range(0, BLOCK, 8):
            codes = [self.emit.load(self.at["codes"], b.add(run, self.int64(eight)), long) for run in runs]
            for row in range(8):
                into = b.gep(found, [self.int64(place.py_func(eight + row))])
                sums = b.load(into)
                for stage, table in enumerate(tables):
                    sums = b.add(sums, b.load(b.gep(table, [b.and_(codes[stage], self.int64(255))])))
                    codes[stage] = b.lshr(codes[stage], self.int64(8))
                b.store(sums, into)

    def sixteen_rows(self, first: int) -> list[Any]:
        """What stages add for 16 rows, from place ``first`` on, for each query."""
        pairs = []
        for row in range(first, first + 16, 2):
            two = self.emit.load(self.at["sums"], self.int64(4 * row), vectors.numbers(16, 8))
            pairs.append(self.b.bitcast(self.emit.pick(two, (0, 4, 1, 5, 2, 6, 3, 7)), vectors.numbers(32, 4)))
        return [self.b.bitcast(column, _WORDS) for column in self.emit.columns(pairs)]

    def columns(self, first: Any, last: Any) -> None:
        """Add up the columns ``first`` to ``last`` in 16 bits."""
        b = self.b
        groups = b.sdiv(b.sub(last, first), self.int64(GROUP))
        with cgutils.for_range(b, groups) as loop:
            self.group(b.add(first, b.mul(loop.index, self.int64(GROUP))), GROUP)
        for count in (4, 2):  # what is left is an even number
            done = b.sub(last, b.and_(b.sub(last, first), self.int64(2 * count - 1)))
            with b.if_then(b.icmp_signed("!=", b.and_(b.sub(last, first), self.int64(count)), self.int64(0))):
                self.group(done, count)

    def group(self, column: Any, count: int) -> None:
        """Look up ``count`` columns in every table, add them as bytes, and widen once."""
        b = self.b
        sums: list[Any] = [None] * len(self.tables)
        for line in range(0, 16 * count, 64):
            ahead = b.add(self.at["ahead"], b.mul(b.add(column, self.int64(line // 16)), self.int64(16)))
            self.emit.prefetch(self.at["codes"], ahead)
        done = 0
        while done < count:
            kind = vectors.numbers(8, min(self.emit.step, 16 * (count - done)))
            offset = b.mul(b.add(column, self.int64(done)), self.int64(16))
            halves = self.emit.split_nibbles(self.emit.load(self.at["codes"], offset, kind))
            for t, (pointer, start) in enumerate(self.tables):
                table = self.emit.load(pointer, b.add(offset, start), kind)
                found = [self.emit.look_up(table, half) for half in halves]
                sums[t] = found if sums[t] is None else list(map(self.emit.add, sums[t], found))
            done += kind.count // 16
        self.widen(sums)

    def widen(self, sums: list[Any]) -> None:
        """Add bytes to 16-bit sums: odd bytes by a shift; even ones with the odd still above them, taken off later."""
        b, eight = self.b, self.emit.const(_WORDS, 8)
        for words, found in zip(self.words, sums, strict=True):
            for half, value in enumerate(found):
                pairs = b.bitcast(functools.reduce(self.emit.add, self.emit.halves(value)), _WORDS)
                even, odd = words[2 * half], words[2 * half + 1]
                b.store(b.add(b.load(even), pairs), even)
                b.store(b.add(b.load(odd), b.lshr(pairs, eight)), odd)

    def phase(self, first: Any, last: Any) -> None:
        """Sum columns in 16 bits, two of them side by side, then add both to the sums."""
        b, eight = self.b, self.emit.const(_WORDS, 8)
        for words in self.words:
            for store in words:
                b.store(self.emit.const(_WORDS, 0), store)
        self.columns(first, last)
        for words, totals in zip(self.words, self.total, strict=True):
            low, low_odd, high, high_odd = (b.load(store) for store in words)
            odd = low_odd, high_odd
            even = tuple(b.sub(x, b.shl(y, eight)) for x, y in zip((low, high), odd, strict=True))
            for store, (rows, later) in zip(totals, (even, odd), strict=True):
                sides = [self.emit.pick(rows, (*range(at, at + 8), *range(16 + at, 24 + at)), later) for at in (0, 8)]
                b.store(self.emit.add(b.load(store), b.add(*sides)), store)

    def segments(self) -> None:
        """Sum the columns, segment by segment: what was summed so far is doubled as often as steps become finer."""
        b, first = self.b, cgutils.alloca_once_value(self.b, self.int64(0))
        for stores in self.total:
            for store in stores:
                b.store(self.emit.const(_WORDS, 0), store)
        with cgutils.for_range(b, self.at["segments"]) as loop:
            last = b.load(b.gep(self.at["ends"], [loop.index]))
            self.phase(b.load(first), last)
            b.store(last, first)
            if self.digits == 2:
                self.carry()
            with cgutils.for_range(b, b.load(b.gep(self.at["doublings"], [loop.index]))):
                for store in itertools.chain(*self.total):
                    sums = b.load(store)
                    b.store(self.emit.add(sums, sums), store)
        if self.digits == 2:
            self.carry()

    def carry(self) -> None:
        """Move whole steps from the sums of the second digit to those of the first."""
        b, six, rest = self.b, self.emit.const(_WORDS, SECONDS), self.emit.const(_WORDS, (1 << SECONDS) - 1)
        for store, small in zip(*self.total, strict=True):
            parts = b.load(small)
            b.store(self.emit.add(b.load(store), b.lshr(parts, six)), store)
            b.store(b.and_(parts, rest), small)

    def compare(self, staged: list[list[Any]]) -> Any:
        """Store the sums and, per query, the bit mask of rows that may reach the threshold; whether any may."""
        b = self.b
        sums = [
            [self.emit.add(b.load(store), more) for store, more in zip(stores, both, strict=True)]
            for stores, both in zip(self.total[: self.queries], staged, strict=True)
        ]
        for q, halves in enumerate(sums):
            for half, value in enumerate(halves):
                self.emit.store(value, self.at["sums"], self.int64(BLOCK * q + 16 * half))
        return Thresholds(self.emit, self.at).masks(sums)


@intrinsic(prefer_literal=True)
def _vector_bounds(
    typingctx: Any, simd: Any, tile: Any, digits: Any, blocks: Any, at: Any, layout: Any, levels: Any, segments: Any,
    queries: Any, q: Any, stage_tables: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """``block_bounds`` with the byte shuffles of an instruction set."""
    number, real = types.intp, ir.FloatType()
    arguments = (
        simd, tile, digits, blocks, number, layout, levels, segments, queries, number, stage_tables, sums, masks
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def start(kind: Any, value: Any, first: Any) -> Any:
            return builder.gep(context.make_array(kind)(context, builder, value).data, [first])

        def field(which: int, name: str) -> Any:
            kind = signature.args[which]
            position = kind.fields.index(name)
            return kind.types[position], builder.extract_value(args[which], position)

        def part(which: int, name: str, first: Any) -> Any:
            kind, value = field(which, name)
            return start(kind, value, first)

        def times(value: Any, factor: int) -> Any:
            return builder.mul(value, ir.Constant(value.type, factor))

        def is_not(value: Any, other: int) -> Any:
            return builder.icmp_signed("!=", value, ir.Constant(value.type, other))

        nibbles, stages, gain_bits, gain_at, norm_bits = (
            field(5, name)[1] for name in ("nibbles", "stages", "gain_bits", "gain_at", "norm_bits")
        )
        query, zero = args[9], ir.Constant(args[4].type, 0)
        plain = builder.not_(builder.or_(builder.icmp_signed("==", gain_bits, ir.Constant(gain_bits.type, 8)),
                                         is_not(norm_bits, 0)))  # fmt: skip
        stride = times(nibbles, 16)
        codes, ends = start(blocks, args[3], args[4]), field(7, "ends")
        pointers = {
            "codes": codes,
            "nibbles": nibbles,
            "segments": builder.extract_value(context.make_array(ends[0])(context, builder, ends[1]).shape, 0),
            "ends": part(7, "ends", zero),
            "doublings": part(7, "doublings", zero),
            "stages": stages,
            "stride": stride,
            "tables": part(8, "deficits", builder.mul(query, stride)),
            "seconds": part(8, "seconds", builder.mul(query, stride)),
            "stage_tables": start(stage_tables, args[10], builder.mul(query, times(stages, 256))),
            "one_stage_tables": part(8, "stage_deficits", builder.mul(query, times(stages, 256))),
            "stage_doublings": builder.load(part(8, "stage_doublings", query)),
            "limits": part(8, "limits", times(query, 32)),
            "affine": part(8, "affine", times(query, 3)),
            "plain": builder.zext(plain, ir.IntType(64)),
            "ahead": field(5, "ahead")[1],
            "gains_at": builder.select(is_not(gain_bits, 0), gain_at, zero),
            "gain_bits": gain_bits,
            "norm_bits": norm_bits,
            "norm_at": field(5, "norm_at")[1],
            "norms": part(6, "norms", zero),
            "gain_least": builder.fptrunc(field(5, "gain_least")[1], real),
            "gain_step": builder.fptrunc(field(5, "gain_step")[1], real),
            "sums": start(sums, args[11], zero),
            "masks": start(masks, args[12], zero),
        }
        body = _Bounds(builder, simd.literal_value, tile.literal_value, digits.literal_value, pointers)
        if tile.literal_value > 1:
            body.stages_of_all()
        body.segments()
        return body.compare(body.stages())

    return types.uint32(*arguments), generate


def block_bounds(
    simd: int, tile: int, digits: int, blocks: Any, at: int, layout: Layout, levels: Levels, segments: Segments,
    queries: Queries, q: int, stage_tables: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """Bound the 32 rows of the block at byte ``at`` by its stages and ``segments``, for ``tile`` queries from ``q`` on.

    ``stage_tables`` are what ``tile_stages`` makes of the deficits of stages.
    ``digits``, one or two, say how many of the deficits are summed: with the second, of one query only, rounding loses
    less than one step in all.
    ``sums`` (TILE * 32,) uint16 receives the deficits, each row's at its ``place``, and ``masks`` (TILE,) uint32 the
    rows that may matter; what is returned has the bits of all of them.
    Integers and floats are the same at every ``simd``: sums are exact, and the float part is not contracted.
    Compiled code only: the overload below stands in for this function there. It is inlined, because passing all of
    this took a quarter of the time.
    """


@overload(block_bounds, prefer_literal=True, inline="always")
def _block_bounds(
    simd: Any, tile: Any, digits: Any, blocks: Any, at: Any, layout: Any, levels: Any, segments: Any, queries: Any,
    q: Any, stage_tables: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    if simd.literal_value != vectors.PORTABLE:

        def vector(
            simd: Any, tile: Any, digits: Any, blocks: Any, at: Any, layout: Any, levels: Any, segments: Any,
            queries: Any, q: Any, stage_tables: Any, sums: Any, masks: Any,
        ) -> Any:  # fmt: skip
            return _vector_bounds(
                simd, tile, digits, blocks, at, layout, levels, segments, queries, q, stage_tables, sums, masks
            )

        return vector

    def portable(
        simd: Any, tile: Any, digits: Any, blocks: Any, at: Any, layout: Any, levels: Any, segments: Any,
        queries: Any, q: Any, stage_tables: Any, sums: Any, masks: Any,
    ) -> Any:  # fmt: skip
        return portable_bounds(
            tile, digits, blocks, at, layout, levels, segments, queries, q, stage_tables, sums, masks
        )

    return portable
