"""LLVM vectors of 32 bytes (AVX2) or 64 (AVX-512): the few operations that the bound of ``bounds.py`` needs."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

AVX2, AVX512 = 32, 64  # instruction sets, by bytes of a register
_SHUFFLES = {AVX2: "llvm.x86.avx2.pshuf.b", AVX512: "llvm.x86.avx512.pshuf.b.512"}


class Vectors:
    """Emits operations on vectors of ``width`` bytes."""

    def __init__(self, builder: Any, width: int) -> None:
        self.builder, self.width, self.lanes = builder, width, width // 16
        self.bytes = ir.VectorType(ir.IntType(8), width)
        self.words = ir.VectorType(ir.IntType(16), width // 2)

    def const(self, kind: Any, value: float) -> Any:
        """A vector of equal constants."""
        return ir.Constant(kind, [value] * kind.count)

    def load(self, pointer: Any, offset: Any, kind: Any) -> Any:
        """A vector from anywhere in memory."""
        value = self.builder.load(self.builder.bitcast(self.builder.gep(pointer, [offset]), kind.as_pointer()))
        value.align = 1
        return value

    def gather(self, scalars: list[Any], kind: Any) -> Any:
        """A vector of scalars."""
        out = ir.Constant(kind, ir.Undefined)
        for lane, scalar in enumerate(scalars):
            out = self.builder.insert_element(out, scalar, ir.Constant(ir.IntType(32), lane))
        return out

    def load_columns(self, pointer: Any, offset: Any, width: int) -> Any:
        """``width`` bytes, the rest of the register zero."""
        kind = ir.VectorType(ir.IntType(8), width)
        value = self.load(pointer, offset, kind)
        return value if width == self.width else self.pick(value, range(self.width), self.const(kind, 0))

    def pick(self, value: Any, lanes: Any, other: Any = None) -> Any:
        """The lanes of a vector, or of two, in this order."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(value, other or ir.Constant(value.type, ir.Undefined), mask)

    def splat(self, scalar: Any, kind: Any) -> Any:
        """A vector of one scalar."""
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        return self.pick(one, [0] * kind.count)

    def look_up(self, table: Any, index: Any) -> Any:
        """The bytes of each 16 of a table that each 16 of an index select."""
        kind = ir.FunctionType(self.bytes, [self.bytes, self.bytes])
        shuffle = cgutils.get_or_insert_function(self.builder.module, kind, _SHUFFLES[self.width])
        return self.builder.call(shuffle, [table, index])

    def prefetch(self, pointer: Any, offset: Any) -> None:
        """Ask for the memory there."""
        void, byte, number = ir.VoidType(), ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(void, [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(number, v) for v in (0, 3, 1))
        self.builder.call(fetch, [self.builder.gep(pointer, [offset]), read, keep, data])

    def split_nibbles(self, codes: Any) -> tuple[Any, Any]:
        """The low and the high half of every byte."""
        low = self.const(self.bytes, 15)
        high = self.builder.lshr(self.builder.bitcast(codes, self.words), self.const(self.words, 4))
        return self.builder.and_(codes, low), self.builder.and_(self.builder.bitcast(high, self.bytes), low)

    def fold(self, words: Any) -> Any:
        """Add the 128-bit lanes of a vector of 16-bit sums: eight sums remain."""
        while words.type.count > 8:
            half = words.type.count // 2
            words = self.builder.add(self.pick(words, range(half)), self.pick(words, range(half, 2 * half)))
        return words

    def columns(self, rows: list[Any]) -> list[Any]:
        """Turn eight vectors of four 32-bit numbers into four of eight: a matrix on its side."""
        pairs = [self.pick(rows[r], range(8), rows[r + 4]) for r in range(4)]
        low, high = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
        halves = [self.pick(pairs[r], lanes, pairs[r + 1]) for lanes in (low, high) for r in (0, 2)]
        low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
        return [self.pick(halves[h], lanes, halves[h + 1]) for h in (0, 2) for lanes in (low, high)]
