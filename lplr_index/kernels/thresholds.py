"""Which of 32 rows may reach the threshold, by their sums of deficits, gains and norms, for every query of a block."""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from lplr_index.kernels import vectors

_WORDS, _FLOATS = vectors.numbers(16, 16), ir.VectorType(ir.FloatType(), 8)


class Thresholds:
    """Emits the comparison of sums with thresholds, in one instruction set; ``pointers`` are those of ``bounds.py``."""

    def __init__(self, emit: vectors.Vectors, pointers: dict[str, Any]) -> None:
        self.b, self.emit, self.at = emit.builder, emit, pointers

    def int64(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(ir.IntType(64), value)

    def masks(self, first: Any, sums: list[list[Any]]) -> Any:
        """Store the bit masks of queries from ``first`` on; return what is in any. ``sums`` are in two halves each."""
        b = self.b
        with b.if_else(b.icmp_signed("!=", self.at["plain"], self.int64(0))) as (plain, other):
            with plain:
                self.compare_with_limits(first, sums)
            with other:
                self.compare_as_floats(first, sums)
        masks = [b.load(self.mask(first, q)) for q in range(len(sums))]
        return functools.reduce(b.or_, masks)

    def mask(self, first: Any, q: int) -> Any:
        """Where the mask of the ``q``-th query from ``first`` on is."""
        return self.b.gep(self.at["masks"], [self.b.add(first, self.int64(q))])

    def compare_with_limits(self, first: Any, sums: list[list[Any]]) -> None:
        """Where a row has a gain of four bits at most: the gain selects the limit."""
        b, sixteen, twice = self.b, vectors.numbers(8, 16), (*range(16), *range(16))
        codes = self.emit.load(self.at["codes"], self.at["gains_at"], sixteen)
        low, high = self.emit.split_nibbles(codes)
        index = self.emit.pick(low, range(32), high)
        eight, least = self.emit.const(_WORDS, 8), self.emit.const(_WORDS, 255)
        for q, deficits in enumerate(sums):
            found = []
            for at in (0, 16):
                place = b.add(b.mul(first, self.int64(32)), self.int64(32 * q + at))
                table = self.emit.load(self.at["limits"], place, sixteen)
                found.append(b.bitcast(self.emit.look_up(self.emit.pick(table, twice), index), _WORDS))
            even = b.or_(b.and_(found[0], least), b.shl(found[1], eight))
            odd = b.or_(b.lshr(found[0], eight), b.and_(found[1], b.shl(least, eight)))
            fine = [b.icmp_unsigned("<=", x, limit) for x, limit in zip(deficits, (even, odd), strict=True)]
            order = (*range(8), *range(16, 24), *range(8, 16), *range(24, 32))
            mask = b.bitcast(self.emit.pick(fine[0], order, fine[1]), ir.IntType(32))
            b.store(mask, self.mask(first, q))

    def compare_as_floats(self, first: Any, sums: list[list[Any]]) -> None:
        """Where rows have larger gains, or norms."""
        b, number = self.b, ir.IntType(32)
        masks = [ir.Constant(number, 0)] * len(sums)
        for eighth in range(4):
            gains, norms = self.gains(eighth), self.norms(eighth)
            for q, halves in enumerate(sums):
                places = [b.add(b.mul(first, self.int64(3)), self.int64(3 * q + i)) for i in range(3)]
                a, c, threshold = (
                    self.emit.splat(b.load(b.gep(self.at["affine"], [place])), _FLOATS) for place in places
                )
                start = 8 * (eighth // 2)
                part = self.emit.pick(halves[eighth % 2], range(start, start + 8))
                deficits = b.uitofp(b.zext(part, vectors.numbers(32, 8)), _FLOATS)
                bound = b.fsub(b.fmul(b.fadd(b.fmul(deficits, a), c), gains), norms)
                hits = b.zext(b.bitcast(b.fcmp_ordered(">=", bound, threshold), ir.IntType(8)), number)
                masks[q] = b.or_(masks[q], b.shl(hits, ir.Constant(number, 8 * eighth)))
        for q, mask in enumerate(masks):
            b.store(mask, self.mask(first, q))

    def gains(self, eighth: int) -> Any:
        """The gains of eight rows as floats, one where the layout has none."""
        b = self.b
        out = cgutils.alloca_once(b, _FLOATS)
        b.store(self.emit.const(_FLOATS, 1.0), out)
        with b.if_then(b.icmp_signed("==", self.at["gain_bits"], self.int64(8))):
            offset = b.add(self.at["gains_at"], self.int64(8 * eighth))
            raw = self.emit.load(self.at["codes"], offset, vectors.numbers(8, 8))
            b.store(b.fmul(b.uitofp(raw, _FLOATS), self.emit.splat(self.at["gain_step"], _FLOATS)), out)
        with b.if_then(b.icmp_signed("==", self.at["gain_bits"], self.int64(4))):
            # Rows of one eighth are in the even or in the odd bytes of the column, in the low halves or in the high.
            words = self.emit.load(self.at["codes"], self.at["gains_at"], vectors.numbers(16, 8))
            shift = self.emit.const(words.type, (0, 8, 4, 12)[eighth])
            raw = b.and_(b.lshr(words, shift), self.emit.const(words.type, 15))
            steps = b.fmul(b.uitofp(raw, _FLOATS), self.emit.splat(self.at["gain_step"], _FLOATS))
            gains = b.fadd(self.emit.splat(self.at["gain_least"], _FLOATS), steps)
            zero = b.icmp_unsigned("==", raw, self.emit.const(raw.type, 0))
            b.store(b.select(zero, self.emit.const(_FLOATS, 0.0), gains), out)
        return b.load(out)

    def norms(self, eighth: int) -> Any:
        """The squared norms of eight rows as floats, zero where the layout has none."""
        b = self.b
        out = cgutils.alloca_once(b, _FLOATS)
        b.store(self.emit.const(_FLOATS, 0.0), out)
        for bits in (8, 16):
            with b.if_then(b.icmp_signed("==", self.at["norm_bits"], self.int64(bits))):
                offset = b.add(self.at["norm_at"], self.int64(bits * eighth))
                codes = self.emit.load(self.at["codes"], offset, vectors.numbers(bits, 8))
                found = ir.Constant(_FLOATS, ir.Undefined)
                for lane in range(8):
                    place = ir.Constant(ir.IntType(32), lane)
                    code = b.zext(b.extract_element(codes, place), ir.IntType(64))
                    found = b.insert_element(found, b.load(b.gep(self.at["norms"], [code])), place)
                b.store(found, out)
        return b.load(out)
