"""What a scan needs to know of a query: a table of 16 partial scores for each nibble, and the same rounded to bytes.

A column of L adds a number to a row's score that its nibbles select; ``Parts`` says which. The bounds want *deficits*,
how far an entry falls short of the best one of its table, in whole steps of ``scale``. All of a table is worked on at
once, in float32; sums over its entries are added up in pairs, in the same order on every machine.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WORDS = 16  # entries of a nibble's table
GROUP = 8  # columns of equal steps, whose every other deficit is added up within a byte, as in layout.py
PARTS = 64.0  # of a step, that a second digit counts, as in layout.py
_SPREADS = 0.5  # above the mean, up to which sums of four deficits fit into a byte: more rounds all, less stops many
_STAGES_MOST = 65535 / 2  # of the deficits of all stages, in steps, so that most of them leave room for others
ROUNDING = 4e-6  # float32 error of a bound relative to its parts: some twenty roundings, generously
_LESS = 1 - 1e-6  # so that a product that is rounded up does not pass the next whole number

_NUMBER = ir.IntType(32)
_FLOATS = ir.VectorType(ir.FloatType(), WORDS)


class Parts(NamedTuple):
    """What nibbles add to the columns of L; those of nibble c are parts ``starts[c]`` to ``starts[c + 1]``."""

    starts: Any  # (nibbles + 1,) int64
    columns: Any  # (parts,) int64: of L
    exact: Any  # (parts, 16) float32: by the nibble's value; zeros in columns whose code spans nibbles
    up: Any  # (parts, 16) float32: what bounds the exact ones where y >= 0, or (0, 16) where no code spans nibbles
    down: Any  # (parts, 16) float32: where y < 0
    split: Any  # (splits,) int64: the columns whose code spans nibbles
    shifts: Any  # (eights of nibbles,) int64: how much coarser deficits are than a step, as a power of two


class Keys(NamedTuple):
    """What makes keys of the scores of a model's rows."""

    mu: Any  # (d,) float32: the mean
    norms: bool  # whether keys are minus squared distances, of norms that are stored
    unit: float  # the usual squared norm, which those are counted from
    gain: float  # the largest


def _lanes(b: Any, value: Any) -> Any:
    """A vector of one scalar."""
    one = b.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(_NUMBER, 0))
    return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(_NUMBER, WORDS), [0] * WORDS))


def _reduce(b: Any, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """One scalar of a vector: both halves, then their halves, and so on."""
    count = WORDS
    while count > 1:
        count //= 2
        low, high = (
            b.shuffle_vector(value, value, ir.Constant(ir.VectorType(_NUMBER, count), list(range(at, at + count))))
            for at in (0, count)
        )
        value = combine(low, high)
    return b.extract_element(value, ir.Constant(_NUMBER, 0))


def _choose(b: Any, relation: str) -> Callable[[Any, Any], Any]:
    """Of two, the one that has this relation to the other."""
    return lambda x, z: b.select(b.fcmp_ordered(relation, x, z), x, z)


def _pointer(context: Any, b: Any, kind: Any, array: Any, at: Any, of: Any) -> Any:
    """Where the numbers of a C-contiguous array are, from the ``at``-th on, as a pointer to ``of``."""
    start = b.gep(context.make_array(kind)(context, b, array).data, [at])
    return b.bitcast(start, of.as_pointer())


def _load(b: Any, pointer: Any) -> Any:
    value = b.load(pointer)
    value.align = 4
    return value


@intrinsic
def _weigh(
    typingctx: Any, y: Any, row: Any, columns: Any, above: Any, below: Any, first: Any, last: Any, out: Any, at: Any
) -> Any:  # fmt: skip
    """``out[at : at + 16]`` = the sum of parts ``first`` to ``last``, y[row + their column] times their 16 numbers.

    These are ``above`` where y >= 0, and else ``below``.
    """

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        y, columns = (context.make_array(kinds[i])(context, b, args[i]).data for i in (0, 2))
        total = cgutils.alloca_once_value(b, ir.Constant(_FLOATS, [0.0] * WORDS))
        with cgutils.for_range(b, b.sub(args[6], args[5])) as loop:
            part = b.add(args[5], loop.index)
            weight = b.load(b.gep(y, [b.add(args[1], b.load(b.gep(columns, [part])))]))
            start = b.mul(part, ir.Constant(part.type, WORDS))
            up, down = (_pointer(context, b, kinds[i], args[i], start, _FLOATS) for i in (3, 4))
            is_up = b.fcmp_ordered(">=", weight, ir.Constant(weight.type, 0.0))
            more = b.fmul(_lanes(b, weight), _load(b, b.select(is_up, up, down)))
            b.store(b.fadd(b.load(total), more), total)
        b.store(b.load(total), _pointer(context, b, kinds[7], args[7], args[8], _FLOATS)).align = 4
        return context.get_dummy_value()

    whole = types.intp
    return types.void(y, whole, columns, above, below, whole, whole, out, whole), generate


@intrinsic
def _measure(typingctx: Any, table: Any, at: Any) -> Any:
    """The largest and the least of ``table[at : at + 16]``, and the mean and the mean square of how far they lie below.

    The latter two as parts of the way from the largest to the least.
    """

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        value = _load(b, _pointer(context, b, signature.args[0], args[0], args[1], _FLOATS))
        most, least = _reduce(b, value, _choose(b, ">")), _reduce(b, value, _choose(b, "<"))
        one, zero = ir.Constant(most.type, 1.0), ir.Constant(most.type, 0.0)
        reach = b.fsub(most, least)
        is_some = b.fcmp_ordered(">", reach, zero)
        per = b.select(is_some, b.fdiv(one, b.select(is_some, reach, one)), zero)
        below = b.fmul(b.fsub(_lanes(b, most), value), _lanes(b, per))
        share = ir.Constant(most.type, 1 / WORDS)
        mean, square = (b.fmul(_reduce(b, each, b.fadd), share) for each in (below, b.fmul(below, below)))
        return context.make_tuple(b, signature.return_type, [most, least, mean, square])

    return types.UniTuple(types.float32, 4)(table, types.intp), generate


def _raise_some(b: Any, steps: Any, down: Any) -> tuple[Any, Any]:
    """Round a table's ``steps``, which are ``down`` if rounded down, some up; none is too high by more than ``raised``.

    Entries that lose a part f or more to rounding down are rounded up instead; all then tell 1 - f more than they may,
    which the bound makes good. If n of the 16 lose less than f, 16 f - n less is lost in all. The f by which most is
    saved is that of an entry, or 1, which rounds none up. Returns the new steps and ``raised``.
    """
    lost = b.fsub(steps, b.sitofp(down, _FLOATS))
    one, less = ir.Constant(_FLOATS, [1.0] * WORDS), ir.Constant(_FLOATS, [0.0] * WORDS)
    for lane in range(WORDS):
        each = b.shuffle_vector(lost, lost, ir.Constant(ir.VectorType(_NUMBER, WORDS), [lane] * WORDS))
        is_less = b.fcmp_ordered("<", each, lost)
        less = b.fadd(less, b.select(is_less, one, ir.Constant(_FLOATS, [0.0] * WORDS)))
    saved = b.fsub(b.fmul(lost, ir.Constant(_FLOATS, [float(WORDS)] * WORDS)), less)
    most = _reduce(b, saved, _choose(b, ">"))
    first = _reduce(b, b.select(b.fcmp_ordered("==", saved, _lanes(b, most)), lost, one), _choose(b, "<"))
    whole = ir.Constant(most.type, 1.0)
    first = b.select(b.fcmp_ordered(">", most, ir.Constant(most.type, 0.0)), first, whole)
    up = b.zext(b.fcmp_ordered(">=", lost, _lanes(b, first)), down.type)
    return b.add(down, up), b.fsub(whole, first)


@intrinsic
def _round(
    typingctx: Any, table: Any, at: Any, most: Any, per: Any, digits: Any, out: Any, seconds: Any, to: Any
) -> Any:  # fmt: skip
    """``out[to : to + 16]`` = how many steps ``table[at : at + 16]`` fall short of ``most``, ``per`` to one, up to 255.

    If ``digits`` is 2, rounded down. Otherwise some are rounded up, and what is returned is by how much of a step
    ``out`` may be too high. With as much more, ``seconds`` receives what ``out`` lacks, in parts of a step.
    """

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds, whole = signature.args, ir.VectorType(_NUMBER, WORDS)
        short = ir.VectorType(ir.IntType(8), WORDS)

        def store(values: Any, which: int) -> None:
            into = _pointer(context, b, kinds[which], args[which], args[7], short)
            b.store(b.trunc(values, short), into).align = 1

        value = _load(b, _pointer(context, b, kinds[0], args[0], args[1], _FLOATS))
        steps = b.fmul(b.fsub(_lanes(b, args[2]), value), _lanes(b, args[3]))
        limit = ir.Constant(_FLOATS, [255.0] * WORDS)
        steps = b.select(b.fcmp_ordered("<", steps, limit), steps, limit)
        down = b.fptosi(steps, whole)
        rounded, raised = (cgutils.alloca_once_value(b, each) for each in (down, ir.Constant(_FLOATS.element, 0.0)))
        with b.if_then(b.icmp_signed("!=", args[4], ir.Constant(args[4].type, 2))):
            for value, into in zip(_raise_some(b, steps, down), (rounded, raised), strict=True):
                b.store(value, into)
        store(b.load(rounded), 5)
        lacks = b.fadd(b.fsub(steps, b.sitofp(b.load(rounded), _FLOATS)), _lanes(b, b.load(raised)))
        store(b.fptosi(b.fmul(lacks, ir.Constant(_FLOATS, [PARTS] * WORDS)), whole), 6)
        return b.load(raised)

    whole = types.intp
    number = types.float32
    return number(table, whole, number, number, whole, out, seconds, whole), generate


@njit(nogil=True)
def _step(upper: Any, at: int, shifts: Any, digits: int, measured: Any) -> float:
    """The smallest step in which the deficits of ``upper[at:]`` do not stop at a byte; see ``_rounded``.

    Of one digit, the usual ones, and of two, all of them. ``measured`` (nibbles + 6, 4) receives the largest entry of
    each nibble's table, the least, and the mean and the variance of the deficits.
    """
    nibbles, step = measured.shape[0] - GROUP + 2, 0.0
    for c in range(nibbles):
        most, least, mean, square = _measure(upper, at + WORDS * c)
        reach = np.float64(most) - np.float64(least)
        measured[c, 0], measured[c, 1] = most, least
        measured[c, 2] = reach * mean
        measured[c, 3] = reach * reach * max(np.float64(square) - np.float64(mean) * np.float64(mean), 0.0)
    for c in range(nibbles):
        if c % GROUP < 2:
            if digits == 2:
                most = 0.0
                for other in range(c, c + GROUP, 2):
                    most += measured[other, 0] - measured[other, 1]
                step = max(step, most / (255 << shifts[c // GROUP]))
                continue
            usual = measured[c, 2] + measured[c + 2, 2] + measured[c + 4, 2] + measured[c + 6, 2]
            variance = measured[c, 3] + measured[c + 2, 3] + measured[c + 4, 3] + measured[c + 6, 3]
            step = max(step, (usual + _SPREADS * np.sqrt(variance)) / (255 << shifts[c // GROUP]))
    return step


@njit(nogil=True)
def _rounded(
    upper: Any, at: int, stages: Any, q: int, shifts: Any, digits: int, deficits: Any, seconds: Any,
    stage_deficits: Any, doublings: Any,
) -> Any:  # fmt: skip
    """Round the tables of query q to deficits; returns scale, base and size.

    Entries add up to base - scale * (nibbles << shifts + stages << doublings) at most. The scan adds the bytes of
    columns c, c + 2, c + 4 and c + 6 of each eight before it widens them, and these sums stop at 255 as bytes do. The
    smaller the scale, the less is lost to rounding, and the more rows have sums that stop: it is the smallest for which
    usual sums, up to ``_SPREADS`` standard deviations above their mean, do not. With a second digit little is lost, and
    no sum of bytes stops, so that bounds tell how low a score can be, too. ``doublings`` says how much coarser the
    steps of the stages are, so that they do not stop. The size is the sum of the largest magnitudes, which rounding
    errors are relative to.
    """
    nibbles, count = deficits.shape[1] // WORDS, stages.shape[1]
    measured, best_stage = np.zeros((nibbles + GROUP - 2, 4)), np.empty(count)
    scale = _step(upper, at, shifts, digits, measured)
    base = size = reach = 0.0
    for c in range(nibbles):
        base += measured[c, 0]
        size += max(-measured[c, 1], measured[c, 0])
    for s in range(count):
        best_stage[s], least = stages[q, s].max(), np.float64(stages[q, s].min())
        reach = max(reach, best_stage[s] - least)
        base += best_stage[s]
        size += max(-least, best_stage[s])
    scale = max(scale, reach * count / _STAGES_MOST)
    per = _LESS / scale if scale > 0 else 0.0
    for c in range(nibbles):
        coarser = 1 << shifts[c // GROUP]
        mine, to = np.float32(per / coarser), q * deficits.shape[1] + WORDS * c
        raised = _round(upper, at + WORDS * c, np.float32(measured[c, 0]), mine, digits, deficits, seconds, to)
        base += np.float64(raised) * scale * coarser
    doublings[q] = 0
    while reach * per > 255 << doublings[q]:
        doublings[q] += 1
    mine = per / (1 << doublings[q])
    for s in range(count):
        for v in range(stages.shape[2]):
            stage_deficits[q, s, v] = np.uint8(min(255.0, (best_stage[s] - np.float64(stages[q, s, v])) * mine))
    return scale, base, size


@njit(nogil=True)
def _make(
    q: int, y: Any, stages: Any, parts: Parts, digits: int, exact: Any, deficits: Any, seconds: Any,
    stage_deficits: Any, doublings: Any,
) -> Any:  # fmt: skip
    """Make the tables of query q; returns scale, base and size."""
    width, row = deficits.shape[1], q * y.shape[1]
    starts, columns, own, up, down = parts.starts, parts.columns, parts.exact, parts.up, parts.down
    for c in range(width // WORDS):
        _weigh(y, row, columns, own, own, starts[c], starts[c + 1], exact, q * width + WORDS * c)
    if up.shape[0] == 0:
        return _rounded(exact, q * width, stages, q, parts.shifts, digits, deficits, seconds, stage_deficits, doublings)
    upper = np.empty(width, np.float32)
    for c in range(width // WORDS):
        _weigh(y, row, columns, up, down, starts[c], starts[c + 1], upper, WORDS * c)
    return _rounded(upper, 0, stages, q, parts.shifts, digits, deficits, seconds, stage_deficits, doublings)


@njit(nogil=True, cache=True)
def tables(
    y: Any, stages: Any, parts: Parts, digits: int, exact: Any, deficits: Any, seconds: Any, stage_deficits: Any,
    doublings: Any, scale: Any, base: Any, size: Any,
) -> None:  # fmt: skip
    """Make the tables of projected queries y (nq, m) float32, as ``QueryTables`` of codecs/base.py describes them."""
    for q in range(y.shape[0]):
        scale[q], base[q], size[q] = _make(
            q, y, stages, parts, digits, exact, deficits, seconds, stage_deficits, doublings
        )


@njit(nogil=True)
def _least_of_groups(q: int, stage_deficits: Any, stage_least: Any) -> None:
    """Fill ``stage_least`` (nq, stages, groups) with the least of groups of deficits (nq, stages, 256), for query q."""
    size = 256 // stage_least.shape[2]
    for s in range(stage_least.shape[1]):
        for group in range(stage_least.shape[2]):
            least = stage_deficits[q, s, size * group]
            for v in range(size * group + 1, size * group + size):
                least = min(least, stage_deficits[q, s, v])
            stage_least[q, s, group] = least


@njit(nogil=True)
def _make_ready(q: int, xq: Any, y: Any, parts: Parts, keys: Keys, digits: int, queries: Any) -> None:
    """Fill ``queries``, ``Queries`` of layout.py whose ``stages`` are there, for query q.

    ``xq`` (nq, d) float32 are the queries, ``y`` (nq, m) float32 their projections.
    """
    offset = length = 0.0
    for j in range(xq.shape[1]):
        offset += np.float64(xq[q, j]) * np.float64(keys.mu[j])
        length += np.float64(xq[q, j]) * np.float64(xq[q, j])
    scale, base, size = _make(
        q, y, queries.stages, parts, digits, queries.exact, queries.deficits, queries.seconds,
        queries.stage_deficits, queries.stage_doublings,
    )  # fmt: skip
    _least_of_groups(q, queries.stage_deficits, queries.stage_least)
    factor = 2.0 if keys.norms else 1.0
    norm = length + keys.unit if keys.norms else 0.0
    queries.affine[q, 0] = -factor * scale
    queries.affine[q, 1] = factor * (base + offset)
    queries.affine[q, 2] = -np.inf
    # A norm's own float32 rounding is relative to the norm, which a near row bounds by the query and the score.
    queries.slack[q] = 2 * ROUNDING * (factor * (size + abs(offset)) * keys.gain + norm + keys.unit)
    queries.base[q], queries.norm[q], queries.length[q] = offset, norm, np.sqrt(length)
    queries.promises[q] = 0
    for s in range(parts.split.shape[0]):
        queries.split[q, s] = y[q, parts.split[s]]
    for code in range(queries.limits.shape[1]):
        queries.limits[q, code] = 255


@njit(nogil=True)
def make_all_ready(xq: Any, y: Any, parts: Parts, keys: Keys, digits: int, queries: Any) -> None:
    """Fill ``queries``, of which ``stages`` are there, for xq (nq, d) and y (nq, m), both float32.

    Their bounds sum ``digits``, one or two, of each deficit.
    """
    for q in range(xq.shape[0]):
        _make_ready(q, xq, y, parts, keys, digits, queries)
