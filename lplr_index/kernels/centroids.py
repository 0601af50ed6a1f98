"""Centroid bytes: the beam search that chooses them, and the sums that they are trained from.

A row's squared error after stages 1..t with words w_1..w_t is |y|^2 + sum over s of (|c_s|^2 - 2 <y, c_s>) + sum over
pairs s < u of 2 <c_s, c_u>: products of the row with all centroids and tables of the centroids' own products are all
that a search needs, so that residuals are never formed.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WORDS = 256  # of a stage
LANES = 16  # that are compared at once

_FLOATS = ir.VectorType(ir.FloatType(), LANES)


def _sixteen(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of 16 entries of a flat float32 array from entry ``at`` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _FLOATS.as_pointer())


def _splat(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), lanes)


@intrinsic
def _add_up(
    typingctx: Any, values: Any, at: Any, start: Any, own: Any, cross: Any, rows: Any, count: Any, lows: Any
) -> Any:
    """The costs of all words after one choice: values[at + w] = start + own[w] + parts of ``cross``, for 256 words w.

    Of ``cross``, flat, count entries of ``rows`` say where the rows of 256 begin that count; they are added in order.
    ``lows`` (16,) become the least costs of every sixteenth word, if lower than they were.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args

        def spot(number: int, place: Any) -> Any:
            return _sixteen(context, builder, kinds[number], args[number], place)

        def load(number: int, place: Any) -> Any:
            value = builder.load(spot(number, place))
            value.align = 4
            return value

        first = ir.Constant(args[1].type, 0)
        starts = context.make_array(kinds[5])(context, builder, args[5]).data
        least, total = cgutils.alloca_once_value(builder, load(7, first)), cgutils.alloca_once(builder, _FLOATS)
        with cgutils.for_range(builder, ir.Constant(args[1].type, WORDS // LANES)) as block:
            words = builder.mul(block.index, ir.Constant(args[1].type, LANES))
            builder.store(builder.fadd(_splat(builder, args[2]), load(3, words)), total)
            with cgutils.for_range(builder, args[6]) as loop:
                row = builder.add(builder.load(builder.gep(starts, [loop.index])), words)
                builder.store(builder.fadd(builder.load(total), load(4, row)), total)
            found = builder.load(total)
            builder.store(found, spot(0, builder.add(args[1], words))).align = 4
            lowest = builder.load(least)
            builder.store(builder.select(builder.fcmp_ordered("<", found, lowest), found, lowest), least)
        builder.store(builder.load(least), spot(7, first)).align = 4
        return context.get_dummy_value()

    whole, number = types.intp, types.float32
    return types.void(values, whole, number, own, cross, rows, whole, lows), generate


@intrinsic
def _up_to(typingctx: Any, values: Any, at: Any, limit: Any) -> Any:
    """Which of values[at : at + 64] are not above a limit, a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole, mask = ir.IntType(64), ir.Constant(ir.IntType(64), 0)
        for part in range(0, 64, LANES):
            place = builder.add(args[1], ir.Constant(args[1].type, part))
            found = builder.load(_sixteen(context, builder, signature.args[0], args[0], place))
            found.align = 4
            some = builder.bitcast(builder.fcmp_unordered("<=", found, _splat(builder, args[2])), ir.IntType(LANES))
            mask = builder.or_(mask, builder.shl(builder.zext(some, whole), ir.Constant(whole, part)))
        return mask

    return types.int64(values, types.intp, types.float32), generate


@intrinsic
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The number of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@njit(nogil=True)
def _limit(lows: Any, wanted: Any, least: Any) -> Any:
    """What at least ``wanted`` costs do not exceed: the so-manieth of ``lows``. ``least`` (wanted,) is scratch."""
    for c in range(wanted):
        least[c] = np.inf
    for lane in range(LANES):
        low = lows[lane]
        for c in range(wanted):
            least[c], low = min(least[c], low), max(least[c], low)
    return least[wanted - 1]


@njit(nogil=True)
def _key(bits: Any, choice: Any) -> Any:
    """A number that grows as a cost of these ``bits`` does, and among equal costs with the number of the choice."""
    ordered = np.int64(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    return (ordered << 32) | np.int64(choice)


@njit(nogil=True, cache=True)
def search(dots: Any, squares: Any, cross: Any, width: Any, cost: Any, words: Any) -> None:
    """For each row, sums of centroids of small squared error: ``words`` (n, keep, stages) uint8, nearest first.

    ``dots`` (n, stages, 256) float32 are the products of rows with centroids, ``squares`` (stages, 256) float32 their
    squared lengths, ``cross`` (stages, stages, 256, 256) float32 twice their products, of which [s, t] is read for
    s < t. Of every stage but the last, ``width`` choices go on. ``cost`` (n, keep) float32 is the squared error
    without |y|^2. Of equal costs the choice better so far, then the lower word, comes first.
    """
    n, keep, stages = words.shape
    room = max(width, keep)
    paths, old_paths = np.zeros((room, stages), np.uint8), np.zeros((room, stages), np.uint8)
    so_far, least, keys = np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.int64)
    own, values, lows = np.empty(WORDS, np.float32), np.empty(room * WORDS, np.float32), np.empty(LANES, np.float32)
    flat, rows, bits = cross.reshape(-1), np.zeros(stages, np.int64), values.view(np.int32)
    for i in range(n):
        held = 1
        so_far[0] = 0
        for t in range(stages):
            for w in range(WORDS):
                own[w] = squares[t, w] - np.float32(2) * dots[i, t, w]
            for lane in range(LANES):
                lows[lane] = np.inf
            for b in range(held):
                for s in range(t):  # loops: a slice costs more than what it copies
                    old_paths[b, s] = paths[b, s]
                    rows[s] = ((s * stages + t) * WORDS + np.int64(paths[b, s])) * WORDS
                _add_up(values, b * WORDS, so_far[b], own, flat, rows, t, lows)
            old, held = held, width if t + 1 < stages else keep
            limit = _limit(lows, held, least)  # few costs are not above it: these alone are put in order
            for c in range(held):
                keys[c] = np.iinfo(np.int64).max
            for block in range(0, old * WORDS, 64):
                mask = _up_to(values, block, limit)
                while mask:
                    choice = block + _lowest_bit(mask)
                    mask &= mask - 1
                    key = _key(bits[choice], choice)
                    for c in range(held):  # without a branch: where a key belongs cannot be foretold
                        keys[c], key = min(keys[c], key), max(keys[c], key)
            for c in range(held):
                choice = keys[c] & 0xFFFFFFFF
                so_far[c] = values[choice]
                for s in range(t):
                    paths[c, s] = old_paths[choice // WORDS, s]
                paths[c, t] = choice % WORDS
        for c in range(keep):
            cost[i, c] = so_far[c]
            for s in range(stages):
                words[i, c, s] = paths[c, s]


@njit(nogil=True, cache=True)
def add_rows(y: Any, words: Any, sums: Any) -> None:
    """``sums[words[i]]`` += each row i of ``y`` (n, m) float32, for words (n,) and sums (words, m) float64."""
    for i in range(y.shape[0]):
        into = sums[words[i]]
        for j in range(y.shape[1]):
            into[j] += y[i, j]
