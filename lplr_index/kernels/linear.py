"""The matrix product of rows and a small matrix, each output summed in the same order whatever the batch.

BLAS is about twice as fast but rounds differently with the number of rows and threads, so the same vector would get
another code, or another score, when it comes in other company. Here every output is one running sum over d,
multiplied and added without contraction: the same bits on every machine.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 16  # columns of a panel: one vector of LLVM, which splits it to what the CPU has
ROWS = 4  # rows that share one reading of a panel


@intrinsic
def _panel_product(typingctx: Any, x: Any, row: Any, panel: Any, start: Any, depth: Any, out: Any) -> Any:
    """``out`` (ROWS * WIDTH,) = ROWS rows of ``x`` (n, d) from ``row`` on, times the panel (d, WIDTH) at ``start``.

    From its row ``depth`` on the panel is zero.
    """
    floats = ir.VectorType(ir.FloatType(), WIDTH)

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        matrix = context.make_array(x)(context, b, args[0])
        d = cgutils.unpack_tuple(b, matrix.shape)[1]
        rows = [b.gep(matrix.data, [b.mul(b.add(args[1], ir.Constant(d.type, r)), d)]) for r in range(ROWS)]
        panels = b.gep(context.make_array(panel)(context, b, args[2]).data, [args[3]])
        sums = [cgutils.alloca_once(b, floats) for _ in range(ROWS)]
        for store in sums:
            b.store(ir.Constant(floats, [0.0] * WIDTH), store)
        none = ir.Constant(floats, ir.Undefined)
        first = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        with cgutils.for_range(b, args[4]) as loop:
            place = b.gep(panels, [b.mul(loop.index, ir.Constant(d.type, WIDTH))])
            weights = b.load(b.bitcast(place, floats.as_pointer()))
            weights.align = 4
            for store, values in zip(sums, rows, strict=True):
                value = b.insert_element(none, b.load(b.gep(values, [loop.index])), ir.Constant(ir.IntType(32), 0))
                product = b.fmul(b.shuffle_vector(value, none, first), weights)
                b.store(b.fadd(b.load(store), product), store)
        into = context.make_array(out)(context, b, args[5]).data
        for r, store in enumerate(sums):
            place = b.bitcast(b.gep(into, [ir.Constant(d.type, r * WIDTH)]), floats.as_pointer())
            b.store(b.load(store), place).align = 4
        return context.get_dummy_value()

    return types.void(x, types.intp, panel, types.intp, types.intp, out), generate


def panels(matrix: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Lay a matrix (d, m) out as panels of WIDTH columns, (ceil(m / WIDTH), d, WIDTH), the last padded with zeros."""
    d, m = matrix.shape
    count = -(-m // WIDTH)
    padded = np.zeros((d, count * WIDTH), np.float32)
    padded[:, :m] = matrix
    return np.ascontiguousarray(padded.reshape(d, count, WIDTH).transpose(1, 0, 2))


def depths(packed: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of each panel up to its last that is not zero, (panels,): products with triangular matrices skip half."""
    some: np.ndarray[Any, np.dtype[np.bool_]] = np.any(packed, axis=2)
    return np.where(some.any(axis=1), packed.shape[1] - some[:, ::-1].argmax(axis=1), 0)


@njit(nogil=True, cache=True)
def multiply(x: Any, packed: Any, deep: Any, m: int, out: Any) -> None:
    """``out`` (n, m) = ``x`` (n, d) times the matrix behind ``packed = panels(matrix)``; all float32, C-contiguous.

    ``deep`` (panels,) int64 is ``depths(packed)``.
    """
    n, d = x.shape
    flat = packed.reshape(-1)
    tile = np.empty(ROWS * WIDTH, np.float32)
    spare = np.zeros((ROWS, d), np.float32)
    for row in range(0, n, ROWS):
        some = min(ROWS, n - row)
        if some < ROWS:
            for r in range(some):
                for j in range(d):  # a loop: numba spends seconds on what copies a slice
                    spare[r, j] = x[row + r, j]
        for p in range(packed.shape[0]):
            if some < ROWS:
                _panel_product(spare, 0, flat, p * d * WIDTH, deep[p], tile)
            else:
                _panel_product(x, row, flat, p * d * WIDTH, deep[p], tile)
            width = min(WIDTH, m - p * WIDTH)
            for r in range(some):
                for c in range(width):
                    out[row + r, p * WIDTH + c] = tile[r * WIDTH + c]
