"""The trellis code: Viterbi encoding, decoding, and the sums that codebooks are trained from.

A row is a chain of nibbles. Nibble t has its own columns of L, and a column's level is the sum of two entries of its
book: one chosen by its own nibble, one by the nibble before. So a step has 16 states and 16 x 16 transitions, whatever
number of columns it codes, and what a column says about a row is still one look-up a nibble.

One step costs a few instructions on vectors of floats, which LLVM lowers to what the machine has, for four rows side by
side; nothing is contracted or reassociated where that could round differently: results are the same everywhere.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WORDS = 16  # of a nibble
HALF = 8  # of them: a vector that AVX2 has registers for
ROWS = 4  # that share the loads of books; while one waits for a sum, the others go on
STEP = 2 * ROWS * 2 * WORDS  # costs of a step: two times four rows, each with its nibbles' and those before

_FLOATS = ir.VectorType(ir.FloatType(), WORDS)
_HALF = ir.VectorType(ir.FloatType(), HALF)


def _spot(context: Any, builder: Any, kind: Any, array: Any, at: Any, vector: Any) -> Any:
    """The address of 16 entries of an array from entry ``at`` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _load(builder: Any, spot: Any, align: int = 4) -> Any:
    value = builder.load(spot)
    value.align = align
    return value


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)


@intrinsic
def _weigh(
    typingctx: Any, costs: Any, at: Any, squares: Any, state: Any, book: Any, y: Any, first: Any, own: Any, after: Any
) -> Any:
    """What a step's nibble costs by itself, for four rows: the 16 entries of costs from at + 32 r on, for row r.

    They are squares[state : state + 16] and, of columns j from ``first`` on, y[4 j + r] * book[32 j : 32 j + 16] of the
    ``own`` ones, then y[4 j + r] * book[32 j + 16 : 32 j + 32] of those ``after`` them, which look back at this nibble.
    Sums stay in registers, and all rows share the loads of the book.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, whole = signature.args, args[1].type
        start = _load(builder, _spot(context, builder, kinds[2], args[2], args[3], _FLOATS))
        sums = [cgutils.alloca_once_value(builder, start) for _ in range(ROWS)]
        numbers = context.make_array(kinds[5])(context, builder, args[5]).data
        places = (args[6], args[7], 0), (builder.add(args[6], args[7]), args[8], WORDS)
        for begin, count, offset in places:
            with cgutils.for_range(builder, count) as loop:
                j = builder.add(begin, loop.index)
                entry = builder.add(builder.mul(j, ir.Constant(whole, 2 * WORDS)), ir.Constant(whole, offset))
                words = _load(builder, _spot(context, builder, kinds[4], args[4], entry, _FLOATS))
                for row, total in enumerate(sums):
                    place = builder.add(builder.mul(j, ir.Constant(whole, ROWS)), ir.Constant(whole, row))
                    value = builder.load(builder.gep(numbers, [place]))
                    more = builder.fmul(words, _splat(builder, value, _FLOATS))
                    builder.store(builder.fadd(builder.load(total), more), total)
        for row, total in enumerate(sums):
            place = builder.add(args[1], ir.Constant(whole, 2 * WORDS * row))
            spot = _spot(context, builder, kinds[0], args[0], place, _FLOATS)
            builder.store(builder.load(total), spot).align = 4
        return context.get_dummy_value()

    whole = types.intp
    return types.void(costs, whole, squares, whole, book, y, whole, whole, whole), generate


@intrinsic
def _advance(typingctx: Any, costs: Any, at: Any, gram: Any, entry: Any) -> Any:
    """One step of Viterbi for four rows, whose costs of a step lie 32 apart, those of the step before 256 earlier.

    For all v, costs[at + 16 + v] = min over p of (costs[at - 256 + p] + 2 gram[entry + 16 p + v]), and costs[at + v],
    the step's own costs so far, grows by that; so for at + 32 etc. Doubling is exact, so a fused multiply-add gives the
    same bits; where a CPU's adders take the minima too, its multipliers would idle.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        table = context.make_array(signature.args[2])(context, builder, args[2]).data
        fused = "+fma" in context.codegen().magic_tuple()[2].split(",")
        kind = ir.FunctionType(_HALF, [_HALF] * 3)
        multiply_add = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v8f32") if fused else None
        two = ir.Constant(_HALF, [2.0] * HALF)

        def spot(row: int, offset: int) -> Any:
            return builder.gep(data, [builder.add(args[1], ir.Constant(args[1].type, 2 * WORDS * row + offset))])

        def half(pointer: Any) -> Any:
            return builder.bitcast(pointer, _HALF.as_pointer())

        least: dict[tuple[int, int], Any] = {}
        for p in range(WORDS):
            there = []
            for start in range(0, WORDS, HALF):
                number = builder.add(args[3], ir.Constant(args[3].type, WORDS * p + start))
                there.append(_load(builder, half(builder.gep(table, [number]))))
            for row in range(ROWS):
                before = _splat(builder, builder.load(spot(row, p - STEP)), _HALF)
                for part, product in enumerate(there):
                    if fused:
                        total = builder.call(multiply_add, [product, two, before])
                    else:
                        total = builder.fadd(before, builder.fmul(product, two))
                    least[row, part] = _least(builder, total, least[row, part]) if p else total
        for (row, part), best in least.items():
            builder.store(best, half(spot(row, WORDS + HALF * part))).align = 4
            own = half(spot(row, HALF * part))
            builder.store(builder.fadd(_load(builder, own), best), own).align = 4
        return context.get_dummy_value()

    return types.void(costs, types.intp, gram, types.intp), generate


@intrinsic
def _came_from(typingctx: Any, costs: Any, at: Any, state: Any, column: Any, entry: Any) -> Any:
    """The lowest p that gave the minimum of ``state`` in the step at ``at``; column[entry : entry + 16] is its gram."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.sub(args[1], ir.Constant(args[1].type, STEP))
        before = _load(builder, _spot(context, builder, signature.args[0], args[0], start, _FLOATS))
        there = _load(builder, _spot(context, builder, signature.args[3], args[3], args[4], _FLOATS))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.add(builder.add(args[1], args[2]), ir.Constant(args[1].type, WORDS))
        least = _splat(builder, builder.load(builder.gep(data, [place])), _FLOATS)
        same, mask = (
            builder.fcmp_ordered("==", builder.fadd(before, there), least),
            ir.Constant(ir.IntType(64), 1 << 15),
        )
        for start in range(0, WORDS, HALF):  # in halves, which have masks of their own: every row waits for these
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), HALF), list(range(start, start + HALF)))
            half = builder.bitcast(builder.shuffle_vector(same, same, lanes), ir.IntType(HALF))
            part = builder.shl(builder.zext(half, ir.IntType(64)), ir.Constant(ir.IntType(64), start))
            mask = builder.or_(mask, part)
        return builder.cttz(mask, ir.Constant(ir.IntType(1), 0))

    return types.intp(costs, types.intp, types.intp, column, types.intp), generate


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@intrinsic
def _below(typingctx: Any, edges: Any, at: Any, value: Any) -> Any:
    """How many of edges[at : at + 16] are below a value."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        some = _load(builder, _spot(context, builder, signature.args[0], args[0], args[1], _FLOATS))
        mask = builder.bitcast(builder.fcmp_ordered("<", some, _splat(builder, args[2], _FLOATS)), ir.IntType(WORDS))
        return builder.zext(builder.ctpop(mask), ir.IntType(64))

    return types.intp(edges, types.intp, types.float32), generate


@intrinsic
def _lengths(typingctx: Any, y: Any, vectors: Any, error: Any) -> Any:
    """Squared lengths of four rows whose values of a column lie side by side, of 16 floats each: error[0 : 4]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        doubles, whole = ir.VectorType(ir.DoubleType(), WORDS), args[1].type
        total = cgutils.alloca_once_value(builder, ir.Constant(doubles, [0.0] * WORDS))
        with cgutils.for_range(builder, args[1]) as loop:
            place = builder.mul(loop.index, ir.Constant(whole, WORDS))
            some = _load(builder, _spot(context, builder, signature.args[0], args[0], place, _FLOATS))
            wide = builder.fpext(some, doubles)
            builder.store(builder.fadd(builder.load(total), builder.fmul(wide, wide)), total)
        sums, data = builder.load(total), context.make_array(signature.args[2])(context, builder, args[2]).data
        for row in range(ROWS):
            parts = [builder.extract_element(sums, ir.Constant(ir.IntType(32), i)) for i in range(row, WORDS, ROWS)]
            builder.store(reduce(builder.fadd, parts), builder.gep(data, [ir.Constant(whole, row)]))
        return context.get_dummy_value()

    return types.void(y, types.intp, error), generate


@njit(nogil=True)
def _there(y: Any, chain: Any, costs: Any, side: Any, ends: Any, error: Any) -> None:
    """Viterbi's way there for four rows: ``ends`` (4,) int64 are the last nibbles, ``error`` (4,) grows by the change.

    ``y`` (4 * columns,) float32 holds -2 times the rows, the four values of a column side by side; ``chain`` as in
    ``encode``. ``costs`` (steps * 8 * 32,) float32 become, of every step and row, what each nibble costs, then how much
    of that comes before it; of eight rows these are those of one ``side``, 0 or 4. Errors are squared, float64.
    """
    starts, book, squares, gram, _ = chain
    steps = starts.shape[0] - 1
    for t in range(steps):
        at, after = STEP * t + 32 * side, starts[min(t + 2, steps)] - starts[t + 1]
        _weigh(costs, at, squares, 16 * t, book, y, starts[t], starts[t + 1] - starts[t], after)
        if t:
            _advance(costs, at, gram, 256 * t)
    for r in range(ROWS if steps else 0):
        at = STEP * (steps - 1) + 32 * (side + r)
        ends[r] = np.argmin(costs[at : at + 16])
        error[r] += np.float64(costs[at + ends[r]])


@njit(nogil=True)
def _back(columns: Any, costs: Any, ends: Any, paths: Any) -> None:
    """Viterbi's way back for eight rows: their nibbles ``paths`` (8, steps) uint8, from ``ends`` (8,) on.

    Each step waits for the load that the one before it asks for, so many rows go side by side.
    """
    for t in range(paths.shape[1] - 1, -1, -1):
        for r in range(2 * ROWS):
            state = ends[r]
            paths[r, t] = state
            if t:
                ends[r] = _came_from(costs, STEP * t + 32 * r, state, columns, 256 * t + 16 * state)


@njit(nogil=True)
def _leave(y: Any, centroids: Any, words: Any, first: Any, left: Any, rest: Any) -> None:
    """What centroids leave of four rows: ``rest`` (4 * columns,), the values of a column side by side.

    The rows are those of ``encode`` from ``first`` on, each as often as it has ``words``; ``left`` (4 * m,) is scratch.
    """
    m, tries, stages = y.shape[1], words.shape[1], words.shape[2]
    for r in range(ROWS):
        i, start = min(first + r // tries, y.shape[0] - 1), r * m
        for j in range(m):
            left[start + j] = 0
        for s in range(stages):
            at = (256 * s + np.int64(words[i, r % tries, s])) * m
            for j in range(m):
                left[start + j] += centroids[at + j]
        for j in range(m):
            left[start + j] = y[i, j] - left[start + j]
    for j in range(m):
        for r in range(ROWS):
            rest[ROWS * j + r] = left[m * r + j]


@njit(nogil=True)
def _round(rest: Any, scalar: Any, numbers: Any, error: Any) -> None:
    """``numbers`` (4, columns) of the nearest levels of scalar columns; ``error`` (4,) becomes that of the levels."""
    edges, edge_starts, levels, level_starts, _ = scalar
    for j in range(level_starts.shape[0] - 1):
        for r in range(ROWS):
            value, number = rest[ROWS * j + r], 0
            for at in range(edge_starts[j], edge_starts[j + 1], WORDS):
                number += _below(edges, at, value)
            gap = np.float64(value - levels[level_starts[j] + number])
            numbers[r, j] = number
            error[r] += gap * gap - np.float64(value) * np.float64(value)


@njit(nogil=True)
def _pack(numbers: Any, scalar: Any, path: Any, places: Any, words: Any, code: Any) -> None:
    """A row's ``code`` (bytes,) uint8 of scalar ``numbers`` (columns,), nibbles (steps,) and words (stages,)."""
    fields, half = scalar[4], code.shape[0] - words.shape[0]
    for b in range(half):
        code[b] = 0
    for t in range(places.shape[0]):
        code[places[t] >> 1] |= path[t] << (4 * (places[t] & 1))
    for f in range(fields.shape[0]):
        part = (numbers[fields[f, 0]] >> fields[f, 4]) & fields[f, 3]
        code[fields[f, 1] >> 1] |= np.uint8(part << (fields[f, 2] + 4 * (fields[f, 1] & 1)))
    for s in range(words.shape[0]):
        code[half + s] = words[s]


@njit(nogil=True, cache=True)
def encode(y: Any, table: Any, words: Any, scalar: Any, chain: Any, places: Any, codes: Any) -> None:
    """``codes`` (n, bytes) uint8 of least squared error for the rows of ``y`` (n, m) float32, C-contiguous.

    ``table`` (stages, 256, m) float32 are centroids, ``words`` (n, tries, stages) uint8 some choices of them for each
    row, one or four: the one whose code is best is taken, the first of equals.

    ``scalar`` is what the codes of the first columns are: their sorted midpoints between levels, float32, those of a
    column padded with infinity to vectors of 16, and where each column's start, (columns + 1,); their levels, and where
    each column's start; fields (fields, 5) int32: column, nibble, shift in the nibble, mask, shift in the code.

    ``chain`` is the code of the columns after them. Step t has the columns ``starts[t]`` to ``starts[t + 1]``; ``book``
    (columns * 2 * 16,) float32 is flat: the entries of a column for its own nibble, then those for the nibble before.
    ``squares`` (steps * 16,) float32 holds the squared length of all that a nibble adds, ``gram`` (steps * 16 * 16,)
    float32 the product of what a nibble adds to its own columns with what the nibble before, which counts first, adds
    there; ``columns`` twice that, the own nibble first; all flat. Of nibbles before that cost the same the lowest is
    taken. ``places`` (steps,) int32 says which nibble of the code each step's is.
    """
    n, m = y.shape
    tries, steps = words.shape[1], places.shape[0]
    first, columns, vectors = scalar[1].shape[0] - 1, chain[0][steps], (m + 3) // 4
    centroids, costs = table.reshape(-1), np.empty(STEP * steps, np.float32)
    left, rest = np.empty(ROWS * m, np.float32), np.zeros(WORDS * vectors, np.float32)
    chained = np.empty(ROWS * columns, np.float32)
    numbers, paths = np.empty((2 * ROWS, first), np.uint8), np.empty((2 * ROWS, steps), np.uint8)
    error, ends = np.empty(2 * ROWS), np.zeros(2 * ROWS, np.int64)
    for start in range(0, n, 2 * ROWS // tries):
        for side in range(0, 2 * ROWS, ROWS):
            errors = error[side : side + ROWS]
            _leave(y, centroids, words, start + side // tries, left, rest)
            _lengths(rest, vectors, errors)
            _round(rest, scalar, numbers[side : side + ROWS], errors)
            for k in range(ROWS * columns):
                chained[k] = np.float32(-2) * rest[ROWS * first + k]
            _there(chained, chain, costs, side, ends[side : side + ROWS], errors)
        _back(chain[4], costs, ends, paths)
        for i in range(start, min(start + 2 * ROWS // tries, n)):
            begin = (i - start) * tries
            best = begin
            for r in range(begin + 1, begin + tries):
                if error[r] < error[best]:
                    best = r
            _pack(numbers[best], scalar, paths[best], places, words[i, best - begin], codes[i])


@njit(nogil=True, cache=True)
def decode(codes: Any, table: Any, scalar: Any, chain: Any, places: Any, L: Any) -> None:
    """Rows of L (n, m) float32 of ``codes`` (n, bytes) uint8; the others as in ``encode``."""
    _, _, levels, level_starts, fields = scalar
    starts, book = chain[0], chain[1]
    stages, m = table.shape[0], L.shape[1]
    first, half = level_starts.shape[0] - 1, codes.shape[1] - stages
    centroids, numbers = table.reshape(-1), np.empty(first, np.int64)
    for i in range(codes.shape[0]):
        for j in range(m):
            L[i, j] = 0
        for s in range(stages):
            at = (256 * s + np.int64(codes[i, half + s])) * m
            for j in range(m):
                L[i, j] += centroids[at + j]
        numbers[:] = 0
        for f in range(fields.shape[0]):
            nibble = (codes[i, fields[f, 1] >> 1] >> (4 * (fields[f, 1] & 1))) & 15
            numbers[fields[f, 0]] |= ((nibble >> fields[f, 2]) & fields[f, 3]) << fields[f, 4]
        for j in range(first):
            L[i, j] += levels[level_starts[j] + numbers[j]]
        before = np.int64(0)
        for t in range(places.shape[0]):
            own = np.int64((codes[i, places[t] >> 1] >> (4 * (places[t] & 1))) & 15)
            for j in range(starts[t], starts[t + 1]):
                L[i, first + j] += book[32 * j + own] + book[32 * j + 16 + before]
            before = own


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
