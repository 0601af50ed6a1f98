"""Products of rows and columns of signed bytes, summed in 32-bit integers.

Columns lie side by side, sixteen of them, and of each two numbers: instruction sets multiply pairs of 16 bits and add
both products at once.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

MOST = 127  # levels on either side of zero
WIDTH = 16  # columns of a panel
ROWS = 4  # rows that share one reading of a panel
TOGETHER = 64  # rows that pass over a panel while it is in the cache

_SUMS = ir.VectorType(ir.IntType(32), WIDTH)
_PAIRS = ir.VectorType(ir.IntType(16), 2 * WIDTH)
_BYTES = ir.VectorType(ir.IntType(8), 2 * WIDTH)
_WIDE = ir.VectorType(ir.IntType(32), 2 * WIDTH)


@intrinsic(prefer_literal=True)
def _panel_sums(
    typingctx: Any, rows: Any, q: Any, row: Any, packed: Any, start: Any, out: Any, at: Any, stride: Any
) -> Any:  # fmt: skip
    """``rows`` rows of ``q`` (n, d) int16 from ``row`` on, times the panel at ``start``, an even number of lines long.

    Results go to ``out``, WIDTH from ``at`` on and each row ``stride`` on.
    """

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, row, _, start, _, at, stride = args
        number = ir.IntType(32)
        matrix = context.make_array(signature.args[1])(context, b, args[1])
        d = cgutils.unpack_tuple(b, matrix.shape)[1]
        into, panel = (context.make_array(signature.args[i])(context, b, args[i]).data for i in (5, 3))

        def lanes(first: int) -> Any:
            return ir.Constant(ir.VectorType(number, WIDTH), list(range(first, 2 * WIDTH, 2)))

        counted = [ir.Constant(d.type, r) for r in range(rows.literal_value)]
        pairs_at = [b.bitcast(b.gep(matrix.data, [b.mul(b.add(row, r), d)]), number.as_pointer()) for r in counted]
        sums = [cgutils.alloca_once_value(b, ir.Constant(_SUMS, [0] * WIDTH)) for _ in counted]
        with cgutils.for_range(b, b.lshr(d, ir.Constant(d.type, 1))) as loop:
            place = b.gep(panel, [b.add(start, b.mul(loop.index, ir.Constant(d.type, 2 * WIDTH)))])
            codes = b.load(b.bitcast(place, _BYTES.as_pointer()))
            codes.align = 1
            wide = b.sext(codes, _WIDE)
            for store, pairs in zip(sums, pairs_at, strict=True):
                pair = b.load(b.gep(pairs, [loop.index]))
                pair.align = 2
                one = b.insert_element(ir.Constant(_SUMS, ir.Undefined), pair, ir.Constant(number, 0))
                every = b.shuffle_vector(one, one, ir.Constant(ir.VectorType(number, WIDTH), [0] * WIDTH))
                products = b.mul(wide, b.sext(b.bitcast(every, _PAIRS), _WIDE))
                both = [b.shuffle_vector(products, products, lanes(first)) for first in (0, 1)]
                b.store(b.add(b.load(store), b.add(*both)), store)
        for r, store in zip(counted, sums, strict=True):
            spot = b.gep(into, [b.add(at, b.mul(r, stride))])
            b.store(b.load(store), b.bitcast(spot, _SUMS.as_pointer())).align = 4
        return context.get_dummy_value()

    number = types.intp
    return types.void(rows, q, number, packed, number, out, number, number), generate


@njit(nogil=True, cache=True)
def round_to_bytes(x: Any, codes: Any, steps: Any) -> None:
    """Round rows x (n, d) float32 to ``codes`` (n, d) int8 and ``steps`` (n,) float64, a 127th of the largest entry."""
    for i in range(x.shape[0]):
        most = np.float32(0)
        for j in range(x.shape[1]):
            most = max(most, abs(x[i, j]))
        steps[i] = np.float64(most) / MOST
        for j in range(x.shape[1]):
            codes[i, j] = np.int8(np.rint(np.float64(x[i, j]) / steps[i])) if steps[i] > 0 else np.int8(0)


def byte_panels(R: np.ndarray[Any, np.dtype[np.int8]]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Lay rows R (m, d) out as panels of WIDTH of them, (ceil(m / WIDTH), ceil(d / 2), WIDTH, 2), padded with zeros."""
    m, d = R.shape
    padded = np.zeros((-(-m // WIDTH) * WIDTH, d + d % 2), np.int8)
    padded[:m, :d] = R
    return np.ascontiguousarray(padded.reshape(-1, WIDTH, padded.shape[1] // 2, 2).transpose(0, 2, 1, 3))


@njit(nogil=True, cache=True)
def multiply_bytes(q: Any, packed: Any, out: Any) -> None:
    """``out`` (nq, m) int32 = ``q`` (nq, d) int8 times the rows (m, d) behind ``packed = byte_panels(R)``.

    A sum of d products of numbers up to 127 fits as long as d is at most 2^31 / 127^2, some 133,000.
    """
    nq, m, lines = out.shape[0], out.shape[1], 2 * packed.shape[1]
    wide, tile = np.zeros((nq, lines), np.int16), np.empty(ROWS * WIDTH, np.int32)
    wide[:, : q.shape[1]] = q
    flat, results = packed.reshape(-1), out.reshape(-1)
    for first in range(0, nq, TOGETHER):
        last = min(first + TOGETHER, nq)
        for p in range(packed.shape[0]):
            start, column, row = p * lines * WIDTH, p * WIDTH, first
            whole = column + WIDTH <= m
            while row < last:
                count = ROWS if row + ROWS <= last else 1
                if whole and count == ROWS:
                    _panel_sums(ROWS, wide, row, flat, start, results, row * m + column, m)
                elif whole:
                    _panel_sums(1, wide, row, flat, start, results, row * m + column, m)
                else:
                    for r in range(count):
                        _panel_sums(1, wide, row + r, flat, start, tile, 0, WIDTH)
                        out[row + r, column:] = tile[: m - column]
                row += count
