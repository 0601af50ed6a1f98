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
from numba.extending import intrinsic

WORDS = 16  # of a nibble

_FLOATS = ir.VectorType(ir.FloatType(), WORDS)
_NUMBERS = ir.VectorType(ir.IntType(32), WORDS)
_BYTES = ir.VectorType(ir.IntType(8), WORDS)


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
def _advance(typingctx: Any, cost: Any, base: Any, gram: Any, at: Any, back: Any, step: Any) -> Any:
    """One step of Viterbi: cost = base + min over p of (cost[p] + gram[at + 16 p : ...]); the best p go to ``back``.

    Of predecessors that cost the same the lowest is taken.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state = _spot(context, builder, signature.args[0], args[0], ir.Constant(ir.IntType(64), 0), _FLOATS)
        before = _load(builder, state)
        best = came = None
        for p in range(WORDS):
            number = ir.Constant(ir.IntType(64), WORDS * p)
            spot = _spot(context, builder, signature.args[2], args[2], builder.add(args[3], number), _FLOATS)
            lane = ir.Constant(_NUMBERS, [p] * WORDS)
            here = builder.shuffle_vector(before, ir.Constant(_FLOATS, ir.Undefined), lane)
            total = builder.fadd(here, _load(builder, spot))
            if best is None:
                best, came = total, lane
                continue
            better = builder.fcmp_ordered("<", total, best)
            best, came = builder.select(better, total, best), builder.select(better, lane, came)
        start = _spot(context, builder, signature.args[1], args[1], ir.Constant(ir.IntType(64), 0), _FLOATS)
        builder.store(builder.fadd(best, _load(builder, start)), state).align = 4
        into = _spot(context, builder, signature.args[4], args[4], builder.mul(args[5], number.type(WORDS)), _BYTES)
        builder.store(builder.trunc(came, _BYTES), into).align = 1
        return context.get_dummy_value()

    return types.void(cost, base, gram, types.intp, back, types.intp), generate


@njit(nogil=True, cache=True)
def encode(y: Any, starts: Any, book: Any, squares: Any, gram: Any, nibbles: Any) -> None:
    """The nibbles (n, steps) uint8 of least squared error for the rows of ``y`` (n, m) float32.

    Step t has the columns ``starts[t]`` to ``starts[t + 1]``; ``book`` (m * 2 * 16,) float32 is flat: the entries of
    column j for its own nibble, then those for the nibble before. ``squares`` (steps * 16,) float32 holds the squared
    length of all that a nibble adds, ``gram`` (steps * 16 * 16,) float32 twice the product of what a nibble adds to its
    own columns with what the nibble before adds there; both flat.
    """
    steps = starts.shape[0] - 1
    cost, base, back = np.empty(16, np.float32), np.empty(16, np.float32), np.empty(steps * 16, np.uint8)
    for i in range(y.shape[0]):
        cost[:] = 0
        for t in range(steps):
            base[:] = squares[16 * t : 16 * t + 16]
            for j in range(starts[t], starts[t + 1]):
                _multiply_add(base, 0, book, 32 * j, np.float32(-2) * y[i, j])
            if t + 1 < steps:
                for j in range(starts[t + 1], starts[t + 2]):
                    _multiply_add(base, 0, book, 32 * j + 16, np.float32(-2) * y[i, j])
            _advance(cost, base, gram, 256 * t, back, t)
        state = 0
        for v in range(1, 16):
            if cost[v] < cost[state]:
                state = v
        for t in range(steps - 1, -1, -1):
            nibbles[i, t] = state
            state = int(back[16 * t + state])


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


@njit(nogil=True, cache=True)
def nearest(dots: Any, squares: Any, cost: Any, words: Any) -> None:
    """For each row the words of least squared distance: ``words`` (n, k) int64, nearest first, ``cost`` (n, k) float64.

    ``dots`` (n, count) float32 are the products of rows with the words, ``squares`` (count,) float32 their squared
    lengths. The cost leaves out |y|^2. Ties go to the lower word.
    """
    n, k = words.shape
    for i in range(n):
        held = 0
        for w in range(squares.shape[0]):
            value = np.float64(squares[w]) - 2.0 * np.float64(dots[i, w])
            if held < k or value < cost[i, held - 1]:
                if held < k:
                    held += 1
                at = held - 1
                while at > 0 and cost[i, at - 1] > value:
                    cost[i, at], words[i, at] = cost[i, at - 1], words[i, at - 1]
                    at -= 1
                cost[i, at], words[i, at] = value, w


@njit(nogil=True, cache=True)
def add_rows(y: Any, words: Any, sums: Any) -> None:
    """``sums[words[i, 0]]`` += each row i of ``y`` (n, m) float32, for words (n, 1) and sums (words, m) float64."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            sums[words[i, 0], j] += y[i, j]
