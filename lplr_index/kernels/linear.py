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
SIDE = 2  # panels that a row without company passes over at once
TOGETHER = 64  # rows that pass over a panel while it is in the cache

_FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
_HALVES = ir.VectorType(ir.HalfType(), WIDTH)


@intrinsic(prefer_literal=True)
def _panel_product(
    typingctx: Any, rows: Any, panels: Any, x: Any, row: Any, packed: Any, start: Any, depth: Any, unit: Any, out: Any,
    at: Any, stride: Any,
) -> Any:  # fmt: skip
    """``rows`` rows of ``x`` (n, d) from ``row`` on, times ``panels`` panels (d, WIDTH) from ``start`` on, in units.

    From their row ``depth`` on these panels are zero. Results go to ``out``, WIDTH a panel from ``at`` on, and each row
    ``stride`` on.
    """
    in_halves, has_unit = packed.dtype == types.uint16, not isinstance(unit, types.NoneType)
    stored = _HALVES if in_halves else _FLOATS

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, _, _, row, _, start, depth, unit, _, at, stride = args
        matrix = context.make_array(x)(context, b, args[2])
        d = cgutils.unpack_tuple(b, matrix.shape)[1]

        def splat(value: Any) -> Any:
            one = b.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))

        def line(number: int, first: Any, step: Any) -> Any:
            return b.add(first, b.mul(ir.Constant(d.type, number), step))

        one, width = ir.Constant(d.type, 1), ir.Constant(d.type, WIDTH)
        values = [b.gep(matrix.data, [b.mul(line(r, row, one), d)]) for r in range(rows.literal_value)]
        weights_at = [
            b.gep(context.make_array(packed)(context, b, args[4]).data, [line(p, start, b.mul(d, width))])
            for p in range(panels.literal_value)
        ]
        sums = [[cgutils.alloca_once_value(b, ir.Constant(_FLOATS, [0.0] * WIDTH)) for _ in weights_at] for _ in values]
        units = splat(unit) if has_unit else None
        with cgutils.for_range(b, depth) as loop:
            factors = [splat(b.load(b.gep(of_row, [loop.index]))) for of_row in values]
            for p, panel in enumerate(weights_at):
                weights = b.load(b.bitcast(b.gep(panel, [b.mul(loop.index, width)]), stored.as_pointer()))
                weights.align = packed.dtype.bitwidth // 8
                if in_halves:
                    weights = b.fpext(weights, _FLOATS)
                if has_unit:
                    weights = b.fmul(weights, units)
                for stores, factor in zip(sums, factors, strict=True):
                    b.store(b.fadd(b.load(stores[p]), b.fmul(factor, weights)), stores[p])
        into = context.make_array(out)(context, b, args[8]).data
        for r, stores in enumerate(sums):
            for p, store in enumerate(stores):
                place = b.bitcast(b.gep(into, [line(p, line(r, at, stride), width)]), _FLOATS.as_pointer())
                b.store(b.load(store), place).align = 4
        return context.get_dummy_value()

    number = types.intp
    return (
        types.void(rows, panels, x, number, packed, number, number, unit, out, number, number),
        generate,
    )


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


@intrinsic
def _dot(typingctx: Any, x: Any, i: Any, matrix: Any, row: Any, count: Any, sums: Any) -> Any:
    """``sums[:WIDTH]`` = WIDTH running sums of the products of two rows' first ``count`` numbers, a multiple of it."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        starts = []
        for which in (0, 2):
            array = context.make_array(signature.args[which])(context, b, args[which])
            depth = cgutils.unpack_tuple(b, array.shape)[1]
            starts.append(b.gep(array.data, [b.mul(args[which + 1], depth)]))
        total = cgutils.alloca_once_value(b, ir.Constant(_FLOATS, [0.0] * WIDTH))
        with cgutils.for_range(b, b.sdiv(args[4], ir.Constant(args[4].type, WIDTH))) as loop:
            at = b.mul(loop.index, ir.Constant(loop.index.type, WIDTH))
            pair = []
            for start in starts:
                value = b.load(b.bitcast(b.gep(start, [at]), _FLOATS.as_pointer()))
                value.align = 4
                pair.append(value)
            b.store(b.fadd(b.load(total), b.fmul(*pair)), total)
        into = context.make_array(signature.args[5])(context, b, args[5]).data
        b.store(b.load(total), b.bitcast(into, _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    number = types.intp
    return types.void(x, number, matrix, number, number, sums), generate


@njit(nogil=True)
def _copy_tile(tile: Any, out: Any, first: int, last: int, column: int) -> None:
    """Copy the last panel's columns, fewer than WIDTH, of rows ``first`` to ``last`` to where they belong."""
    for row in range(first, last):
        for c in range(column, out.shape[1]):
            out[row, c] = tile[(row - first) * WIDTH + c - column]


@njit(nogil=True, cache=True)
def multiply(x: Any, packed: Any, deep: Any, unit: Any, m: int, out: Any) -> None:
    """``out`` (n, m) = ``x`` (n, d) times the matrix behind ``packed = panels(matrix)``; all float32, C-contiguous.

    ``deep`` (panels,) int64 is ``depths(packed)``; ``packed`` may be ``halved``, ``unit`` being float32 or None.
    A panel stays in the cache while ``TOGETHER`` rows pass over it.
    """
    d, whole, count = x.shape[1], m // WIDTH, packed.shape[0]
    flat, results, tile = packed.reshape(-1), out.reshape(-1), np.empty(ROWS * WIDTH, np.float32)
    for first in range(0, x.shape[0], TOGETHER):
        last = min(first + TOGETHER, x.shape[0])
        fours = first + (last - first) // ROWS * ROWS
        for p in range(count):
            start, column = p * d * WIDTH, p * WIDTH
            for row in range(first, fours, ROWS):
                if p < whole:
                    _panel_product(ROWS, 1, x, row, flat, start, deep[p], unit, results, row * m + column, m)
                else:
                    _panel_product(ROWS, 1, x, row, flat, start, deep[p], unit, tile, 0, WIDTH)
                    _copy_tile(tile, out, row, row + ROWS, column)
        for row in range(fours, last):
            p = 0
            while p < count:
                start, column = p * d * WIDTH, p * WIDTH
                if p + SIDE <= whole:  # sums of one panel would wait for each other
                    depth = max(deep[p], deep[p + 1])
                    _panel_product(1, SIDE, x, row, flat, start, depth, unit, results, row * m + column, m)
                    p += SIDE
                    continue
                if p < whole:
                    _panel_product(1, 1, x, row, flat, start, deep[p], unit, results, row * m + column, m)
                else:
                    _panel_product(1, 1, x, row, flat, start, deep[p], unit, tile, 0, WIDTH)
                    _copy_tile(tile, out, row, row + 1, column)
                p += 1


@njit(nogil=True)
def some_products(x: Any, matrix: Any, chosen: Any, out: Any) -> None:
    """``out`` (n, some) = the products of rows x (n, d) with those rows of the matrix (m, d) that are ``chosen``.

    Float32, C-contiguous; ``chosen`` (n, some) int64. Each is WIDTH running sums, added one after the other.
    """
    n, d = x.shape
    whole, sums = d // WIDTH * WIDTH, np.empty(WIDTH, np.float32)
    for i in range(n):
        for p in range(chosen.shape[1]):
            row = chosen[i, p]
            _dot(x, i, matrix, row, whole, sums)
            total = np.float32(0)
            for j in range(WIDTH):
                total += sums[j]
            for j in range(whole, d):
                total += x[i, j] * matrix[row, j]
            out[i, p] = total
