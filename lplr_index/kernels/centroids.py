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
    typingctx: Any, values: Any, at: Any, start: Any, own: Any, cross: Any, rows: Any, count: Any, limit: Any
) -> Any:
    """Whether any of 16 costs is below a limit: values[at : at + 16] = start + own[at : at + 16] + parts of ``cross``.

    Of ``cross``, flat, count entries of ``rows`` say where the rows of 256 begin that count; they are added in order.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args

        def load(number: int, place: Any) -> Any:
            value = builder.load(_sixteen(context, builder, kinds[number], args[number], place))
            value.align = 4
            return value

        total = cgutils.alloca_once_value(builder, builder.fadd(_splat(builder, args[2]), load(3, args[1])))
        starts = context.make_array(kinds[5])(context, builder, args[5]).data
        with cgutils.for_range(builder, args[6]) as loop:
            row = builder.add(builder.load(builder.gep(starts, [loop.index])), args[1])
            builder.store(builder.fadd(builder.load(total), load(4, row)), total)
        found = builder.load(total)
        builder.store(found, _sixteen(context, builder, kinds[0], args[0], args[1])).align = 4
        mask = builder.bitcast(builder.fcmp_ordered("<", found, _splat(builder, args[7])), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(LANES), 0))

    whole, number = types.intp, types.float32
    return types.boolean(values, whole, number, own, cross, rows, whole, number), generate


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
    best, so_far, parents = np.zeros(room, np.float32), np.zeros(room, np.float32), np.zeros(room, np.int64)
    own, values, found = np.empty(WORDS, np.float32), np.empty(WORDS, np.float32), np.zeros(room, np.uint8)
    flat, rows = cross.reshape(-1), np.zeros(stages, np.int64)
    for i in range(n):
        held = 1
        best[0] = 0
        for t in range(stages):
            for c in range(held):  # loops: a slice costs more than what it copies
                so_far[c] = best[c]
                for s in range(t):
                    old_paths[c, s] = paths[c, s]
            wanted = width if t + 1 < stages else keep
            old, held = held, 0
            limit = np.float32(np.inf)  # of what is worth a look: the last place, once all places are taken
            for w in range(WORDS):
                own[w] = squares[t, w] - np.float32(2) * dots[i, t, w]
            for b in range(old):
                for s in range(t):
                    rows[s] = ((s * stages + t) * WORDS + np.int64(old_paths[b, s])) * WORDS
                for block in range(0, WORDS, LANES):
                    if not _add_up(values, block, so_far[b], own, flat, rows, t, limit) and held == wanted:
                        continue
                    for w in range(block, block + LANES):
                        value = values[w]
                        if held < wanted or value < limit:
                            if held < wanted:
                                held += 1
                            at = held - 1
                            while at > 0 and best[at - 1] > value:
                                best[at], parents[at], found[at] = best[at - 1], parents[at - 1], found[at - 1]
                                at -= 1
                            best[at], parents[at], found[at] = value, b, w
                            if held == wanted:
                                limit = best[held - 1]
            for c in range(held):
                for s in range(t):
                    paths[c, s] = old_paths[parents[c], s]
                paths[c, t] = found[c]
        for c in range(keep):
            cost[i, c] = best[c]
            for s in range(stages):
                words[i, c, s] = paths[c, s]


@njit(nogil=True, cache=True)
def add_rows(y: Any, words: Any, sums: Any) -> None:
    """``sums[words[i]]`` += each row i of ``y`` (n, m) float32, for words (n,) and sums (words, m) float64."""
    for i in range(y.shape[0]):
        into = sums[words[i]]
        for j in range(y.shape[1]):
            into[j] += y[i, j]
