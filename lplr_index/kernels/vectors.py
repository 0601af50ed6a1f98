"""LLVM vectors for the bounds of ``bounds.py``: 32 bytes at a time, whatever the registers of the instruction set.

LLVM splits or joins vectors as registers need it. The one operation that it does not know, the byte shuffle that looks
up 16 table entries at once, is spelled here for each instruction set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils

from lplr_index.kernels.layout import LINE

PORTABLE, SSSE3, NEON, AVX2, AVX512 = range(5)  # instruction sets; PORTABLE is plain numba


class Shuffle(NamedTuple):
    """An instruction that looks up bytes: its name in LLVM, and the bytes of its registers."""

    name: str
    width: int


SHUFFLES = {
    SSSE3: Shuffle("llvm.x86.ssse3.pshuf.b.128", 16),
    NEON: Shuffle("llvm.aarch64.neon.tbl1.v16i8", 16),
    AVX2: Shuffle("llvm.x86.avx2.pshuf.b", 32),
    AVX512: Shuffle("llvm.x86.avx512.pshuf.b.512", 64),
}


def numbers(bits: int, count: int) -> Any:
    """The type of a vector of integers."""
    return ir.VectorType(ir.IntType(bits), count)


class Vectors:
    """Emits operations on vectors for one instruction set."""

    def __init__(self, builder: Any, simd: int) -> None:
        self.builder, self.shuffle = builder, SHUFFLES[simd]
        self.step = max(32, self.shuffle.width)  # bytes of codes that are looked up together

    def align_stack(self) -> None:
        """Let registers that spill lie in one cache line each.

        LLVM takes the stack as it comes. It may begin at four places in a line, at one of which scans take half as long
        again, and a process keeps its place.
        """
        attributes = self.builder.function.attributes
        attributes.alignstack = LINE
        attributes.add("nounwind")  # which is so, and without any such attribute llvmlite forgets the other

    def const(self, kind: Any, value: float) -> Any:
        """A vector of equal constants."""
        return ir.Constant(kind, [value] * kind.count)

    def load(self, pointer: Any, offset: Any, kind: Any) -> Any:
        """A vector from anywhere in memory."""
        value = self.builder.load(self.builder.bitcast(self.builder.gep(pointer, [offset]), kind.as_pointer()))
        value.align = 1
        return value

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        """A vector to anywhere in memory."""
        address = self.builder.bitcast(self.builder.gep(pointer, [offset]), value.type.as_pointer())
        self.builder.store(value, address).align = 1

    def pick(self, value: Any, lanes: Any, other: Any = None) -> Any:
        """The lanes of a vector, or of two, in this order."""
        mask = ir.Constant(numbers(32, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(value, other or ir.Constant(value.type, ir.Undefined), mask)

    def splat(self, scalar: Any, kind: Any) -> Any:
        """A vector of one scalar."""
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        return self.pick(one, [0] * kind.count)

    def halves(self, value: Any) -> list[Any]:
        """A vector in pieces of 32 bytes."""
        count = 256 // value.type.element.width
        if value.type.count == count:
            return [value]
        return [self.pick(value, range(at, at + count)) for at in range(0, value.type.count, count)]

    def add(self, x: Any, y: Any) -> Any:
        """Unsigned sums that stop at the largest number."""
        kind = f"v{x.type.count}i{x.type.element.width}"
        signature = ir.FunctionType(x.type, [x.type, x.type])
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.uadd.sat.{kind}"), [x, y]
        )

    def look_up(self, table: Any, index: Any) -> Any:
        """The bytes of each 16 of a table that each 16 of an index, of numbers below 16, select."""
        width, count = self.shuffle.width, table.type.count
        if width > count:  # the last columns of a block, fewer than a large register holds
            return Vectors(self.builder, AVX2).look_up(table, index)
        kind = ir.FunctionType(numbers(8, width), [numbers(8, width)] * 2)
        shuffle = cgutils.get_or_insert_function(self.builder.module, kind, self.shuffle.name)
        if width == count:
            return self.builder.call(shuffle, [table, index])
        low, high = (
            self.builder.call(shuffle, [self.pick(part, range(at, at + width)) for part in (table, index)])
            for at in (0, width)
        )
        return self.pick(low, range(count), high)

    def split_nibbles(self, codes: Any) -> tuple[Any, Any]:
        """The low and the high half of every byte."""
        low, words = self.const(codes.type, 15), numbers(16, codes.type.count // 2)
        high = self.builder.lshr(self.builder.bitcast(codes, words), self.const(words, 4))
        return self.builder.and_(codes, low), self.builder.and_(self.builder.bitcast(high, codes.type), low)

    def prefetch(self, pointer: Any, offset: Any) -> None:
        """Ask for the memory there."""
        prefetch(self.builder, self.builder.gep(pointer, [offset]))


def prefetch(builder: Any, pointer: Any) -> None:
    """Ask for the cache line of a byte, which is wanted soon."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, keep, data = (ir.Constant(number, v) for v in (0, 3, 1))
    builder.call(fetch, [pointer, read, keep, data])
