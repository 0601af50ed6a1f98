"""The matrix product of rows and a small matrix, each output summed in the same order whatever the batch.

BLAS is about twice as fast but rounds differently with the number of rows and threads, so the same vector would get
another code, or another score, when it comes in other company. Here every output is one running sum over d,
multiplied and added without contraction: the same bits on every machine.

A single row is bound by reading the matrix. One of float16 numbers, or of multiples of a unit by such, is kept in two
bytes a number and is read as the same float32 numbers that it stands for, so that the results are the same too.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

WIDTH = 16  # columns of a panel: one vector of LLVM, which splits it to what the CPU has
ROWS = 4  # rows that share one reading of a panel

_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_HALVES = ir.VectorType(ir.HalfType(), WIDTH)


@intrinsic(prefer_literal=True)
def _panel_product(
    typingctx: Any, rows: Any, x: Any, row: Any, panel: Any, start: Any, depth: Any, unit: Any, out: Any, at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    """``rows`` rows of ``x`` (n, d) from ``row`` on, times the panel (d, WIDTH) at ``start``, in multiples of ``unit``.

    From its row ``depth`` on the panel is zero. Results go to ``out``, WIDTH from ``at`` on and each row ``stride`` on.
    """
    in_halves, has_unit = panel.dtype == types.uint16, not isinstance(unit, types.NoneType)
    stored = _HALVES if in_halves else _FLOATS

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, row, _, start, depth, unit, _, at, stride = args
        matrix = context.make_array(x)(context, b, args[1])
        d = cgutils.unpack_tuple(b, matrix.shape)[1]

        def splat(value: Any) -> Any:
            one = b.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))

        def line(number: int, first: Any, step: Any) -> Any:
            return b.add(first, b.mul(ir.Constant(d.type, number), step))

        values = [
            b.gep(matrix.data, [b.mul(line(r, row, ir.Constant(d.type, 1)), d)]) for r in range(rows.literal_value)
        ]
        panels = b.gep(context.make_array(panel)(context, b, args[3]).data, [start])
        sums = [cgutils.alloca_once_value(b, ir.Constant(_FLOATS, [0.0] * WIDTH)) for _ in values]
        units = splat(unit) if has_unit else None
        with cgutils.for_range(b, depth) as loop:
            place = b.gep(panels, [b.mul(loop.index, ir.Constant(d.type, WIDTH))])
            weights = b.load(b.bitcast(place, stored.as_pointer()))
            weights.align = panel.dtype.bitwidth // 8
            if in_halves:
                weights = b.fpext(weights, _FLOATS)
            if has_unit:
                weights = b.fmul(weights, units)
            for store, of_row in zip(sums, values, strict=True):
                product = b.fmul(splat(b.load(b.gep(of_row, [loop.index]))), weights)
                b.store(b.fadd(b.load(store), product), store)
        into = context.make_array(out)(context, b, args[7]).data
        for r, store in enumerate(sums):
            b.store(b.load(store), b.bitcast(b.gep(into, [line(r, at, stride)]), _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    number = types.intp
    return types.void(rows, x, number, panel, number, number, unit, out, number, number), generate


@cache
def reads_halves() -> bool:
    """Whether the CPU turns float16 into float32 by itself; for another, LLVM would call a function that is not there.

    ``NUMBA_CPU_NAME`` makes code for another CPU, of which nothing is known here.
    """
    features = binding.get_host_cpu_features()
    return config.CPU_NAME is None and bool(features.get("f16c") or features.get("neon"))


def panels(matrix: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Lay a matrix (d, m) out as panels of WIDTH columns, (ceil(m / WIDTH), d, WIDTH), the last padded with zeros."""
    d, m = matrix.shape
    count = -(-m // WIDTH)
    padded = np.zeros((d, count * WIDTH), np.float32)
    padded[:, :m] = matrix
    return np.ascontiguousarray(padded.reshape(d, count, WIDTH).transpose(1, 0, 2))


def halved(packed: np.ndarray[Any, np.dtype[np.float32]], unit: float | None) -> np.ndarray[Any, np.dtype[Any]]:
    """The panels ``packed`` (panels, d, WIDTH) in units as float16, uint16 for numba, where that loses nothing."""
    if not reads_halves():
        return packed
    with np.errstate(over="ignore"):
        halves = (packed if unit is None else packed / np.float32(unit)).astype(np.float16)
    again = halves.astype(np.float32) if unit is None else halves.astype(np.float32) * np.float32(unit)
    return halves.view(np.uint16) if np.array_equal(again, packed) else packed


def depths(packed: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of each panel up to its last that is not zero, (panels,): products with triangular matrices skip half."""
    some: np.ndarray[Any, np.dtype[np.bool_]] = np.any(packed, axis=2)
    return np.where(some.any(axis=1), packed.shape[1] - some[:, ::-1].argmax(axis=1), 0)


@njit(nogil=True, cache=True)
def multiply(x: Any, packed: Any, deep: Any, unit: Any, m: int, out: Any) -> None:
    """``out`` (n, m) = ``x`` (n, d) times the matrix behind ``packed = panels(matrix)``; all float32, C-contiguous.

    ``deep`` (panels,) int64 is ``depths(packed)``; ``packed`` may be ``halved``, ``unit`` being float32 or None.
    """
    n, d = x.shape
    flat, results = packed.reshape(-1), out.reshape(-1)
    tile = np.empty(ROWS * WIDTH, np.float32)
    together = n // ROWS * ROWS
    for row in range(0, together, ROWS):
        for p in range(packed.shape[0]):
            column, start = p * WIDTH, p * d * WIDTH
            if column + WIDTH <= m:
                _panel_product(ROWS, x, row, flat, start, deep[p], unit, results, row * m + column, m)
            else:
                _panel_product(ROWS, x, row, flat, start, deep[p], unit, tile, 0, WIDTH)
                for r in range(ROWS):
                    for c in range(m - column):
                        out[row + r, column + c] = tile[r * WIDTH + c]
    for row in range(together, n):
        for p in range(packed.shape[0]):
            column, start = p * WIDTH, p * d * WIDTH
            if column + WIDTH <= m:
                _panel_product(1, x, row, flat, start, deep[p], unit, results, row * m + column, m)
            else:
                _panel_product(1, x, row, flat, start, deep[p], unit, tile, 0, WIDTH)
                for c in range(m - column):
                    out[row, column + c] = tile[c]


@njit(nogil=True, cache=True)
def some_products(x: Any, matrix: Any, chosen: Any, out: Any) -> None:
    """``out`` (n, some) = the products of rows x (n, d) with those rows of the matrix (m, d) that are ``chosen``.

    Float32, C-contiguous; ``chosen`` (n, some) int64. Each is WIDTH running sums, added one after the other.
    """
    n, d = x.shape
    whole = d // WIDTH * WIDTH
    sums = np.empty(WIDTH, np.float32)
    for i in range(n):
        for p in range(chosen.shape[1]):
            row = chosen[i, p]
            sums[:] = np.float32(0)
            for start in range(0, whole, WIDTH):
                for j in range(WIDTH):
                    sums[j] += x[i, start + j] * matrix[row, start + j]
            total = np.float32(0)
            for j in range(WIDTH):
                total += sums[j]
            for j in range(whole, d):
                total += x[i, j] * matrix[row, j]
            out[i, p] = total
