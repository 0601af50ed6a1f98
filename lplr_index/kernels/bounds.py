"""Bound the scores of 32 packed rows at once: byte look-ups, summed in integers, the same on every instruction set.

A row is a string of nibbles. For a query each nibble has a table of 16 partial scores, so a row's score is a sum of
look-ups. Here the tables hold *deficits*: how far an entry falls short of the best one of its table, in one byte, and
rounded so that no score is higher than they say. A row whose deficits add up to more than the threshold allows cannot
matter. Sums stop at the largest number, of a byte and then of 16 bits, which makes a deficit smaller, never larger. One
byte shuffle looks up 16 rows.

Stages add at least what the best of some of their centroids would: with that most rows are out of reach already, and
only of the others it is looked up what they really add (``stages.py``).
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
from lplr_index.kernels.layout import BLOCK, GROUP, LEASTS, SECONDS, Layout, Levels, Queries, Segments
from lplr_index.kernels.portable import portable_bounds, portable_rest
from lplr_index.kernels.stages import Stages
from lplr_index.kernels.thresholds import Thresholds

_WORDS = vectors.numbers(16, 16)


class _Bounds:
    """Emits the body of ``block_bounds`` for one instruction set, one number of queries, and one or two digits.

    ``tables`` are summed side by side: those of the first digit of each query, then that of the second if there is one.
    """

    def __init__(self, builder: Any, simd: int, queries: int, digits: int, pointers: dict[str, Any]) -> None:
        self.b, self.queries, self.digits, self.at = builder, queries, digits, pointers
        self.codes, self.ahead = pointers["codes"], pointers.get("ahead")  # of what is summed
        self.emit = vectors.Vectors(builder, simd)
        strides = [builder.mul(pointers["stride"], self.int64(q)) for q in range(queries)]
        self.tables = [(pointers["tables"], stride) for stride in strides]
        if digits == 2:
            self.tables.append((pointers["seconds"], self.int64(0)))
        self.words = [[cgutils.alloca_once(builder, _WORDS) for _ in range(4)] for _ in self.tables]
        self.total = [[cgutils.alloca_once(builder, _WORDS) for _ in range(2)] for _ in self.tables]

    def int64(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

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
        for line in range(0, 16 * count, 64) if self.ahead is not None else ():
            ahead = b.add(self.ahead, b.mul(b.add(column, self.int64(line // 16)), self.int64(16)))
            self.emit.prefetch(self.codes, ahead)
        done = 0
        while done < count:
            kind = vectors.numbers(8, min(self.emit.step, 16 * (count - done)))
            offset = b.mul(b.add(column, self.int64(done)), self.int64(16))
            halves = self.emit.split_nibbles(self.emit.load(self.codes, offset, kind))
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

    def fold(self) -> None:
        """Move what columns added up to, two of them side by side, to the sums; they begin again with nothing."""
        b, eight = self.b, self.emit.const(_WORDS, 8)
        for words, totals in zip(self.words, self.total, strict=True):
            low, low_odd, high, high_odd = (b.load(store) for store in words)
            odd = low_odd, high_odd
            even = tuple(b.sub(x, b.shl(y, eight)) for x, y in zip((low, high), odd, strict=True))
            for store, (rows, later) in zip(totals, (even, odd), strict=True):
                sides = [self.emit.pick(rows, (*range(at, at + 8), *range(16 + at, 24 + at)), later) for at in (0, 8)]
                b.store(self.emit.add(b.load(store), b.add(*sides)), store)
            for store in words:
                b.store(self.emit.const(_WORDS, 0), store)
        if self.digits == 2:
            self.carry()

    def segments(self) -> None:
        """Sum the columns, segment by segment: what was summed so far is doubled as often as steps become finer.

        As long as nothing was folded, there is nothing but the columns' own sums to double.
        """
        b = self.b
        first, folded = (cgutils.alloca_once_value(b, each) for each in (self.at["first"], self.int64(0)))
        for store in itertools.chain(*self.words, *self.total):
            b.store(self.emit.const(_WORDS, 0), store)
        with cgutils.for_range(b, self.at["segments"]) as loop:
            last, folds, doublings = (b.load(b.gep(self.at[name], [loop.index])) for name in Segments._fields)
            if "tails" in self.at:  # segments lie in one of both
                is_near = b.icmp_signed("<", b.load(first), self.at["head"])
                self.codes = b.select(is_near, self.at["codes"], self.at["tails"])
                self.ahead = b.select(is_near, self.at["ahead"], self.at["tail_ahead"])
            self.columns(b.load(first), last)
            b.store(last, first)
            with b.if_then(b.icmp_signed("!=", folds, self.int64(0))):
                self.fold()
                b.store(folds, folded)
            with cgutils.for_range(b, doublings):
                for store in itertools.chain(*self.words):
                    sums = b.load(store)
                    b.store(b.add(sums, sums), store)
                with b.if_then(b.icmp_signed("!=", b.load(folded), self.int64(0))):
                    for store in itertools.chain(*self.total):
                        sums = b.load(store)
                        b.store(self.emit.add(sums, sums), store)

    def carry(self) -> None:
        """Move whole steps from the sums of the second digit to those of the first."""
        b, six, rest = self.b, self.emit.const(_WORDS, SECONDS), self.emit.const(_WORDS, (1 << SECONDS) - 1)
        for store, small in zip(*self.total, strict=True):
            parts = b.load(small)
            b.store(self.emit.add(b.load(store), b.lshr(parts, six)), store)
            b.store(b.and_(parts, rest), small)

    def compare(self) -> Any:
        """Store each query's sums and the bit mask of rows that may reach the threshold; return what is in any mask."""
        b, stages, thresholds = self.b, Stages(self.emit, self.at), Thresholds(self.emit, self.at)
        columns = []
        for q in range(self.queries):
            promise = b.trunc(b.load(b.gep(self.at["promises"], [self.int64(q)])), ir.IntType(16))
            columns.append(self.sums(q, self.emit.splat(promise, _WORDS)))
        least = zip(columns, stages.least(self.queries), strict=True)
        some = thresholds.masks(self.int64(0), [list(map(self.emit.add, *both)) for both in least])
        every, none = cgutils.alloca_once_value(b, some), ir.Constant(some.type, 0)
        has_stages = b.icmp_signed("!=", self.at["stages"], self.int64(0))
        with b.if_then(b.and_(has_stages, b.icmp_signed("!=", some, none)), likely=False):
            b.store(none, every)
            with cgutils.for_range(b, self.int64(self.queries)) as loop:
                mask = b.load(b.gep(self.at["masks"], [loop.index]))
                with b.if_then(b.icmp_signed("!=", mask, none)):
                    mask = self.add_stages(loop.index, stages, thresholds)
                    b.store(b.or_(b.load(every), mask), every)
        return b.load(every)

    def sums(self, q: int, more: Any) -> list[Any]:
        """Store the sums of the ``q``-th query, of columns and ``more``, and return them, in two halves."""
        halves = [self.emit.add(self.b.load(store), more) for store in self.total[q]]
        for half, value in enumerate(halves):
            self.emit.store(value, self.at["sums"], self.int64(BLOCK * q + 16 * half))
        return halves

    def add_stages(self, q: Any, stages: Stages, thresholds: Thresholds) -> Any:
        """Add to the stored sums of query ``q`` what stages really add; return its mask, which is stored too."""
        places = [self.b.add(self.b.mul(q, self.int64(BLOCK)), self.int64(at)) for at in (0, 16)]
        columns = [self.emit.load(self.at["sums"], place, _WORDS) for place in places]
        sums = list(map(self.emit.add, columns, stages.all(q)))
        for place, half in zip(places, sums, strict=True):
            self.emit.store(half, self.at["sums"], place)
        return thresholds.masks(q, [sums])


class _Handed:
    """What an intrinsic was handed: where entries of arrays are, its own or those of a named tuple."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args

    def array(self, which: int, first: Any) -> Any:
        """A pointer to entry ``first`` of an array."""
        return self._start(self.kinds[which], self.args[which], first)

    def field(self, which: int, name: str) -> Any:
        """A field of a tuple."""
        return self.builder.extract_value(self.args[which], self.kinds[which].fields.index(name))

    def part(self, which: int, name: str, first: Any) -> Any:
        """A pointer to entry ``first`` of an array in a tuple."""
        return self._start(self._kind(which, name), self.field(which, name), first)

    def length(self, which: int, name: str, axis: int) -> Any:
        """How long an array in a tuple is."""
        array = self.context.make_array(self._kind(which, name))(self.context, self.builder, self.field(which, name))
        return self.builder.extract_value(array.shape, axis)

    def _kind(self, which: int, name: str) -> Any:
        kind = self.kinds[which]
        return kind.types[kind.fields.index(name)]

    def _start(self, kind: Any, value: Any, first: Any) -> Any:
        return self.builder.gep(self.context.make_array(kind)(self.context, self.builder, value).data, [first])


@intrinsic(prefer_literal=True)
def _vector_bounds(
    typingctx: Any, simd: Any, tile: Any, digits: Any, heads: Any, tails: Any, block: Any, layout: Any, levels: Any,
    segments: Any, queries: Any, q: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """``block_bounds`` with the byte shuffles of an instruction set."""
    number, real = types.intp, ir.FloatType()
    arguments = (
        simd, tile, digits, heads, tails, number, layout, levels, segments, queries, number, sums, masks
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        handed = _Handed(context, builder, signature, args)
        field, part = handed.field, handed.part

        def times(value: Any, factor: int) -> Any:
            return builder.mul(value, ir.Constant(value.type, factor))

        def is_not(value: Any, other: int) -> Any:
            return builder.icmp_signed("!=", value, ir.Constant(value.type, other))

        nibbles, stages, gain_bits, gain_at, norm_bits = (
            field(6, name) for name in ("nibbles", "stages", "gain_bits", "gain_at", "norm_bits")
        )
        query, zero = args[10], ir.Constant(args[5].type, 0)
        plain = builder.not_(builder.or_(builder.icmp_signed("==", gain_bits, ir.Constant(gain_bits.type, 8)),
                                         is_not(norm_bits, 0)))  # fmt: skip
        stride = times(nibbles, 16)
        head = field(6, "head")
        strides = [builder.mul(args[5], field(6, name)) for name in ("head_bytes", "tail_bytes")]
        strides[1] = builder.sub(strides[1], times(head, 16))  # so that columns count on
        aheads = [builder.mul(field(6, "ahead"), field(6, name)) for name in ("head_bytes", "tail_bytes")]
        pointers = {
            "codes": handed.array(3, strides[0]),
            "tails": handed.array(4, strides[1]),
            "first": zero,
            "head": head,
            "segments": handed.length(8, "ends", 0),
            **{name: part(8, name, zero) for name in Segments._fields},
            "stages": stages,
            "stride": stride,
            "tables": part(9, "deficits", builder.mul(query, stride)),
            "seconds": part(9, "seconds", builder.mul(query, stride)),
            "stage_deficits": part(9, "stage_deficits", builder.mul(query, times(stages, 256))),
            "stage_least": part(9, "stage_least", builder.mul(query, times(stages, LEASTS))),
            "stage_doublings": part(9, "stage_doublings", query),
            "promises": part(9, "promises", query),
            "limits": part(9, "limits", times(query, 32)),
            "affine": part(9, "affine", times(query, 3)),
            "plain": builder.zext(plain, ir.IntType(64)),
            "ahead": aheads[0],
            "tail_ahead": aheads[1],
            "gains_at": builder.select(is_not(gain_bits, 0), gain_at, zero),
            "gain_bits": gain_bits,
            "norm_bits": norm_bits,
            "norm_at": field(6, "norm_at"),
            "norms": part(7, "norms", zero),
            "gain_least": builder.fptrunc(field(6, "gain_least"), real),
            "gain_step": builder.fptrunc(field(6, "gain_step"), real),
            "sums": handed.array(11, zero),
            "masks": handed.array(12, zero),
        }
        body = _Bounds(builder, simd.literal_value, tile.literal_value, digits.literal_value, pointers)
        body.emit.align_stack()
        body.segments()
        return body.compare()

    return types.uint32(*arguments), generate


def block_bounds(
    simd: int, tile: int, digits: int, heads: Any, tails: Any, block: int, layout: Layout, levels: Levels,
    segments: Segments, queries: Queries, q: int, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    """Bound the 32 rows of a block by its stages and ``segments``, for ``tile`` queries from ``q`` on.

    ``heads`` (bytes,) and ``tails`` (bytes,) uint8 are those of all blocks; none of the segments lies in both.

    ``digits``, one or two, say how many of the deficits are summed: with the second, of one query only, rounding loses
    less than one step in all.
    ``masks`` (TILE,) uint32 receives the rows that may matter, and ``sums`` (TILE * 32,) uint16 their deficits, each at
    its ``place``; what is returned has the bits of all masks.
    Integers and floats are the same at every ``simd``: sums are exact, and the float part is not contracted.
    Compiled code only: the overload below stands in for this function there. It is inlined, because passing all of
    this took a quarter of the time.
    """


@overload(block_bounds, prefer_literal=True, inline="always")
def _block_bounds(
    simd: Any, tile: Any, digits: Any, heads: Any, tails: Any, block: Any, layout: Any, levels: Any, segments: Any,
    queries: Any, q: Any, sums: Any, masks: Any,
) -> Any:  # fmt: skip
    if simd.literal_value != vectors.PORTABLE:

        def vector(
            simd: Any, tile: Any, digits: Any, heads: Any, tails: Any, block: Any, layout: Any, levels: Any,
            segments: Any, queries: Any, q: Any, sums: Any, masks: Any,
        ) -> Any:  # fmt: skip
            return _vector_bounds(
                simd, tile, digits, heads, tails, block, layout, levels, segments, queries, q, sums, masks
            )  # fmt: skip

        return vector

    def portable(
        simd: Any, tile: Any, digits: Any, heads: Any, tails: Any, block: Any, layout: Any, levels: Any, segments: Any,
        queries: Any, q: Any, sums: Any, masks: Any,
    ) -> Any:  # fmt: skip
        return portable_bounds(tile, digits, heads, tails, block, layout, levels, segments, queries, q, sums, masks)

    return portable


@intrinsic(prefer_literal=True)
def _vector_rest(
    typingctx: Any, simd: Any, tails: Any, at: Any, first: Any, segments: Any, queries: Any, q: Any, sums: Any
) -> Any:  # fmt: skip
    """``rest_sums`` with the byte shuffles of an instruction set, of columns that begin at byte ``at`` less theirs."""
    number = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        handed = _Handed(context, builder, signature, args)
        zero, stride = ir.Constant(args[2].type, 0), handed.length(5, "deficits", 1)
        pointers = {
            "codes": handed.array(1, args[2]),
            "first": args[3],
            "segments": handed.length(4, "ends", 0),
            **{name: handed.part(4, name, zero) for name in Segments._fields},
            "stride": stride,
            "tables": handed.part(5, "deficits", builder.mul(args[6], stride)),
            "sums": handed.array(7, zero),
        }
        body = _Bounds(builder, simd.literal_value, 1, 1, pointers)
        body.segments()
        body.sums(0, body.emit.const(_WORDS, 0))
        return context.get_dummy_value()

    return types.void(simd, tails, number, number, segments, queries, number, sums), generate


def rest_sums(
    simd: int, tails: Any, block: int, layout: Layout, segments: Segments, queries: Queries, q: int, sums: Any
) -> None:  # fmt: skip
    """The ``sums`` (32,) uint16 of deficits of a block's tail, which ``segments`` cover, for query q.

    Each is at its ``place``; compiled code only, as ``block_bounds``.
    """


@overload(rest_sums, prefer_literal=True, jit_options={"nogil": True, "_nrt": False})
def _rest_sums(
    simd: Any, tails: Any, block: Any, layout: Any, segments: Any, queries: Any, q: Any, sums: Any
) -> Any:  # fmt: skip
    level = simd.literal_value

    def vector(
        simd: Any, tails: Any, block: Any, layout: Any, segments: Any, queries: Any, q: Any, sums: Any
    ) -> None:  # fmt: skip
        at = block * layout.tail_bytes - 16 * layout.head
        _vector_rest(level, tails, at, layout.head, segments, queries, q, sums)

    def portable(
        simd: Any, tails: Any, block: Any, layout: Any, segments: Any, queries: Any, q: Any, sums: Any
    ) -> None:  # fmt: skip
        portable_rest(tails, block, layout, segments, queries, q, sums)

    return portable if level == vectors.PORTABLE else vector
