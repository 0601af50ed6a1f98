"""The trellis code: Viterbi encoding, decoding, and the sums that codebooks are trained from.

A row is a chain of nibbles. Nibble t has its own columns of L, and a column's level is the sum of two entries of its
book: one chosen by its own nibble, one by the nibble before. So a step has 16 states and 16 x 16 transitions, whatever
number of columns it codes, and what a column says about a row is still one look-up a nibble.

One step costs a few instructions on vectors of 16 floats, which LLVM lowers to what the machine has; without
contraction and reassociation the results are the same everywhere.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WORDS = 16  # of a nibble

_FLOATS = ir.VectorType(ir.FloatType(), WORDS)
_NUMBERS = ir.VectorType(ir.IntType(32), WORDS)


def _spot(context: Any, builder: Any, kind: Any, array: Any, at: Any, vector: Any) -> Any:
    """The address of 16 entries of an array from entry ``at`` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _load(builder: Any, spot: Any, align: int = 4) -> Any:
    value = builder.load(spot)
    value.align = align
    return value


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(_NUMBERS, [0] * WORDS))


@intrinsic
def _multiply_add(typingctx: Any, total: Any, at: Any, book: Any, entry: Any, factor: Any) -> Any:
    """total[at : at + 16] += factor * book[entry : entry + 16], of flat float32 arrays."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into = _spot(context, builder, signature.args[0], args[0], args[1], _FLOATS)
        words = _load(builder, _spot(context, builder, signature.args[2], args[2], args[3], _FLOATS))
        more = builder.fmul(words, _splat(builder, args[4], _FLOATS))
        builder.store(builder.fadd(_load(builder, into), more), into).align = 4
        return context.get_dummy_value()

    return types.void(total, types.intp, book, types.intp, types.float32), generate


@intrinsic
def _copy(typingctx: Any, into: Any, at: Any, source: Any, entry: Any) -> Any:
    """into[at : at + 16] = source[entry : entry + 16]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = _load(builder, _spot(context, builder, signature.args[2], args[2], args[3], _FLOATS))
        builder.store(words, _spot(context, builder, signature.args[0], args[0], args[1], _FLOATS)).align = 4
        return context.get_dummy_value()

    return types.void(into, types.intp, source, types.intp), generate


@intrinsic
def _weigh(
    typingctx: Any, one: Any, other: Any, at: Any, book: Any, entry: Any, y: Any, a: Any, b: Any, columns: Any
) -> Any:
    """What columns of two rows add to 16 costs: one[at : at + 16] -= 2 * y[a + j] * book[entry + 32 j : ...], all j.

    The other row's are ``other`` and y[b + j]. Sums stay in registers, and both rows share the loads of the book.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        spots = [_spot(context, builder, kinds[row], args[row], args[2], _FLOATS) for row in (0, 1)]
        sums = [cgutils.alloca_once_value(builder, _load(builder, spot)) for spot in spots]
        numbers = context.make_array(kinds[5])(context, builder, args[5]).data
        with cgutils.for_range(builder, args[8]) as loop:
            place = builder.add(args[4], builder.mul(loop.index, ir.Constant(args[4].type, 2 * WORDS)))
            words = _load(builder, _spot(context, builder, kinds[3], args[3], place, _FLOATS))
            for total, start in zip(sums, args[6:8], strict=True):
                value = builder.load(builder.gep(numbers, [builder.add(start, loop.index)]))
                factor = builder.fmul(value, ir.Constant(ir.FloatType(), -2.0))
                more = builder.fmul(words, _splat(builder, factor, _FLOATS))
                builder.store(builder.fadd(builder.load(total), more), total)
        for total, spot in zip(sums, spots, strict=True):
            builder.store(builder.load(total), spot).align = 4
        return context.get_dummy_value()

    whole = types.intp
    return types.void(one, other, whole, book, whole, y, whole, whole, whole), generate


@intrinsic
def _advance(typingctx: Any, costs: Any, at: Any, gram: Any, entry: Any) -> Any:
    """One step of Viterbi, from costs[at - 32 : at - 16] to costs[at : at + 16], the step's own costs so far.

    For all v, costs[at + 16 + v] = min over p of (costs[at - 32 + p] + gram[entry + 16 p + v]), and costs[at + v] grows
    by that.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def spot(offset: int) -> Any:
            place = builder.add(args[1], ir.Constant(args[1].type, offset))
            return _spot(context, builder, signature.args[0], args[0], place, _FLOATS)

        before = _load(builder, spot(-2 * WORDS))
        least: list[Any] = [None] * 4  # minima of every fourth: one chain of 16 would wait for each
        for p in range(WORDS):
            number = builder.add(args[3], ir.Constant(args[3].type, WORDS * p))
            row = _load(builder, _spot(context, builder, signature.args[2], args[2], number, _FLOATS))
            lane = ir.Constant(_NUMBERS, [p] * WORDS)
            total = builder.fadd(builder.shuffle_vector(before, ir.Constant(_FLOATS, ir.Undefined), lane), row)
            least[p % 4] = total if p < 4 else _least(builder, total, least[p % 4])
        best = _least(builder, _least(builder, least[0], least[1]), _least(builder, least[2], least[3]))
        builder.store(best, spot(WORDS)).align = 4
        builder.store(builder.fadd(_load(builder, spot(0)), best), spot(0)).align = 4
        return context.get_dummy_value()

    return types.void(costs, types.intp, gram, types.intp), generate


@intrinsic
def _came_from(typingctx: Any, costs: Any, at: Any, state: Any, column: Any, entry: Any) -> Any:
    """The lowest p that gave the minimum of ``state`` in the step at ``at``; column[entry : entry + 16] is its gram."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.sub(args[1], ir.Constant(args[1].type, 2 * WORDS))
        before = _load(builder, _spot(context, builder, signature.args[0], args[0], start, _FLOATS))
        there = _load(builder, _spot(context, builder, signature.args[3], args[3], args[4], _FLOATS))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.add(builder.add(args[1], args[2]), ir.Constant(args[1].type, WORDS))
        least = _splat(builder, builder.load(builder.gep(data, [place])), _FLOATS)
        mask = builder.bitcast(builder.fcmp_ordered("==", builder.fadd(before, there), least), ir.IntType(WORDS))
        return builder.zext(builder.cttz(mask, ir.Constant(ir.IntType(1), 0)), ir.IntType(64))

    return types.intp(costs, types.intp, types.intp, column, types.intp), generate


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@njit(nogil=True, cache=True)
def encode(y: Any, starts: Any, book: Any, squares: Any, gram: Any, columns: Any, nibbles: Any, error: Any) -> None:
    """The nibbles (n, steps) uint8 of least squared error for the rows of ``y`` (n, m) float32.

    Step t has the columns ``starts[t]`` to ``starts[t + 1]``; ``book`` (m * 2 * 16,) float32 is flat: the entries of
    column j for its own nibble, then those for the nibble before. ``squares`` (steps * 16,) float32 holds the squared
    length of all that a nibble adds, ``gram`` (steps * 16 * 16,) float32 twice the product of what a nibble adds to its
    own columns with what the nibble before, which counts first, adds there; ``columns`` the same, the own nibble first;
    all flat. ``error`` (n,) float32 is the squared error less |y|^2.

    Of nibbles before that cost the same the lowest is taken.
    """
    n, m, steps, flat = y.shape[0], y.shape[1], starts.shape[0] - 1, y.reshape(-1)
    costs = np.empty((2, steps * 32), np.float32)
    one, other = costs[0], costs[1]
    for first in range(0, n if steps else 0, 2):  # two rows at a time: while one waits for a sum, the other goes on
        second = min(first + 1, n - 1)
        for t in range(steps):
            _copy(one, 32 * t, squares, 16 * t)
            _copy(other, 32 * t, squares, 16 * t)
            size, at = starts[t + 1] - starts[t], starts[t]
            _weigh(one, other, 32 * t, book, 32 * at, flat, first * m + at, second * m + at, size)
            if t + 1 < steps:
                size, at = starts[t + 2] - starts[t + 1], starts[t + 1]
                _weigh(one, other, 32 * t, book, 32 * at + 16, flat, first * m + at, second * m + at, size)
            if t:
                _advance(one, 32 * t, gram, 256 * t)
                _advance(other, 32 * t, gram, 256 * t)
        a, b = np.argmin(one[32 * steps - 32 : 32 * steps - 16]), np.argmin(other[32 * steps - 32 : 32 * steps - 16])
        error[first], error[second] = one[32 * steps - 32 + a], other[32 * steps - 32 + b]
        nibbles[first, steps - 1], nibbles[second, steps - 1] = a, b
        for t in range(steps - 1, 0, -1):
            a = _came_from(one, 32 * t, a, columns, 256 * t + 16 * a)
            b = _came_from(other, 32 * t, b, columns, 256 * t + 16 * b)
            nibbles[first, t - 1], nibbles[second, t - 1] = a, b


@njit(nogil=True, cache=True)
def decode(nibbles: Any, starts: Any, book: Any, L: Any) -> None:
    """Levels L (n, m) float32 of ``nibbles`` (n, steps) uint8; the others as in ``encode``."""
    for i in range(nibbles.shape[0]):
        for t in range(starts.shape[0] - 1):
            own = np.int64(nibbles[i, t])
            before = np.int64(nibbles[i, t - 1]) if t else 0
            for j in range(starts[t], starts[t + 1]):
                L[i, j] = book[32 * j + own] + book[32 * j + 16 + before]


@njit(nogil=True, cache=True)
def tally(y: Any, starts: Any, nibbles: Any, pairs: Any, sums: Any) -> None:
    """Add up what a least-squares fit of the book needs, over the rows of ``y`` (n, m) float32.

    ``pairs`` (steps, 16, 16) float64 += how often the nibble before and the own one have which values;
    ``sums`` (m, 2, 16) float64 += the entries of a column by its own nibble, and by the one before.
    """
    for i in range(y.shape[0]):
        before = 0
        for t in range(starts.shape[0] - 1):
            own = int(nibbles[i, t])
            pairs[t, before, own] += 1
            for j in range(starts[t], starts[t + 1]):
                sums[j, 0, own] += y[i, j]
                sums[j, 1, before] += y[i, j]
            before = own


@njit(nogil=True, cache=True)
def tables(y: Any, starts: Any, book: Any, out: Any) -> None:
    """``out`` (nq, steps, 16) float32: what each nibble adds to <y, l>, for y (nq, m) float32."""
    steps = starts.shape[0] - 1
    for q in range(y.shape[0]):
        total = np.zeros(steps * 16, np.float32)
        for t in range(steps):
            for j in range(starts[t], starts[t + 1]):
                _multiply_add(total, 16 * t, book, 32 * j, y[q, j])
                if t:
                    _multiply_add(total, 16 * (t - 1), book, 32 * j + 16, y[q, j])
        for t in range(steps):
            out[q, t, :] = total[16 * t : 16 * t + 16]
