"""What the stages of a block add to the deficits of its rows: first the least that it can be, then, seldom, all of it.

A stage's byte selects one of 256 centroids, whose deficits are sixteen look-ups for 32 rows. The least deficit of each
four of them, which the high six bits of the byte select, is four; and if no row can matter with these, it was enough.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from lplr_index.kernels import vectors
from lplr_index.kernels.layout import BLOCK, LEASTS, SPARED

_BYTES, _WORDS = vectors.numbers(8, 32), vectors.numbers(16, 16)


class Stages:
    """Emits the look-ups, in one instruction set; ``pointers`` are those of ``bounds.py``."""

    def __init__(self, emit: vectors.Vectors, pointers: dict[str, Any]) -> None:
        self.b, self.emit, self.at = emit.builder, emit, pointers

    def int64(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(ir.IntType(64), value)

    def start(self, stage: Any) -> Any:
        """Where a stage's 32 codes are in the block."""
        return self.b.mul(self.b.add(self.at["head"], self.b.add(stage, stage)), self.int64(BLOCK // 2))

    def least(self, queries: int) -> list[list[Any]]:
        """What stages add at least, for each query: sums of bytes, which stop at 255; in two halves, see ``place``."""
        b = self.b
        sums = [cgutils.alloca_once_value(b, self.emit.const(_BYTES, 0)) for _ in range(queries)]
        with cgutils.for_range(b, self.at["stages"]) as loop:
            start = self.start(loop.index)
            self.emit.prefetch(self.at["codes"], b.add(start, self.at["ahead"]))
            codes = self.emit.load(self.at["codes"], start, _BYTES)
            groups = b.bitcast(b.lshr(b.bitcast(codes, _WORDS), self.emit.const(_WORDS, SPARED)), _BYTES)
            groups = b.and_(groups, self.emit.const(_BYTES, 15))
            for q, store in enumerate(sums):
                found = self.look_up("stage_least", self.int64(q), loop.index, LEASTS // 16, groups)
                b.store(self.emit.add(b.load(store), self.choose(codes, 4 + SPARED, found)), store)
        return [self.widened(b.load(store), self.int64(q)) for q, store in enumerate(sums)]

    def all(self, q: Any) -> list[Any]:
        """What stages add for query ``q``, which is less than a byte holds of each, but not of all together."""
        b, sums = self.b, [cgutils.alloca_once_value(self.b, self.emit.const(_WORDS, 0)) for _ in range(2)]
        with cgutils.for_range(b, self.at["stages"]) as loop:
            codes = self.emit.load(self.at["codes"], self.start(loop.index), _BYTES)
            low = b.and_(codes, self.emit.const(_BYTES, 15))
            found = self.choose(codes, 4, self.look_up("stage_deficits", q, loop.index, 16, low))
            for store, words in zip(sums, self.widened(found, q), strict=True):
                b.store(b.add(b.load(store), words), store)
        return [b.load(store) for store in sums]

    def look_up(self, tables: str, q: Any, stage: Any, parts: int, index: Any) -> list[Any]:
        """What ``index`` (32 numbers below 16) selects of each part, 16 entries, of a query's table of a stage."""
        b, found = self.b, []
        start = b.mul(b.add(b.mul(q, self.at["stages"]), stage), self.int64(16 * parts))
        for part in range(parts):
            table = self.emit.load(self.at[tables], b.add(start, self.int64(16 * part)), vectors.numbers(8, 16))
            found.append(self.emit.look_up(self.emit.pick(table, (*range(16), *range(16))), index))
        return found

    def choose(self, codes: Any, first: int, found: list[Any]) -> Any:
        """Of what was found in parts, that of the part which the bits of the code from ``first`` on number."""
        b = self.b
        for bit in range(first, 8):  # where a select looks for it: in the highest
            moved = b.bitcast(b.shl(b.bitcast(codes, _WORDS), self.emit.const(_WORDS, 7 - bit)), _BYTES)
            is_set = b.icmp_signed("<", moved, self.emit.const(_BYTES, 0))
            found = [b.select(is_set, odd, even) for even, odd in zip(found[::2], found[1::2], strict=True)]
        return found[0]

    def widened(self, found: Any, q: Any) -> list[Any]:
        """Bytes of 32 rows as 16-bit numbers in the smallest steps of query ``q``, in two halves."""
        b, halves = self.b, []
        doublings = b.trunc(b.load(b.gep(self.at["stage_doublings"], [q])), ir.IntType(16))
        for half in range(2):
            rows = [*range(8 * half, 8 * half + 8), *range(16 + 8 * half, 24 + 8 * half)]
            lanes = [row + zero for row in rows for zero in (0, 32)]
            words = b.bitcast(self.emit.pick(found, lanes, self.emit.const(_BYTES, 0)), _WORDS)
            halves.append(b.shl(words, self.emit.splat(doublings, _WORDS)))
        return halves
