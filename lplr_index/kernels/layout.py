"""What lies where in a block of 32 packed rows, what queries are made of, and how single bytes of a block are read.

A block lies in two places. Its head has the first columns, of 16 bytes each, the stages, each a byte a row, and the row
scalars; its tail has the other columns, if there are any. Heads of all blocks follow each other, and so do tails::

    column 0            column 1            ...   stage 0      ...   gains        norms
    16 bytes            16 bytes                  32 x uint8         32 x uint8   32 x uint8, in older files uint16
    byte j: low nibble = row ORDER[j], high nibble = row ORDER[j] + 16

``ORDER`` = 0 8 1 9 2 10 ... lets even bytes hold rows 0-7 and odd bytes rows 8-15, so that 16-bit sums come out in
order. Gains of four bits are the head's last column, whose tables are zeros. A stage's byte selects one of 256
centroids.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

BLOCK = 32  # rows of one block
GROUP = 8  # columns whose deficits add up within a byte, every other one, before they are widened
WORDS_MOST = 32736  # that sums of even columns, and of odd ones, may come to: 16 bits hold both and 63 parts of a step
PHASE = 1016  # columns of a segment at most: 126 eights, a four and a two, at 255 each, come to less
MOST = 65535  # of 16 bits
LINE = 64  # bytes of a cache line
SPARED = 2  # low bits of a stage's code that bounds do without at first
LEASTS = 256 >> SPARED  # groups of its deficits that have the others in common, of each of which the least is known
SECONDS = 6  # bits of the second digit of a deficit: four of them add up within a byte


class Layout(NamedTuple):
    """Where things lie in a block, and how row scalars are read. Offsets in bytes of its head; -1 where there is none.

    Numbers alone, so that it costs nothing to hand over.
    """

    nibbles: int
    head: int  # columns in the head
    stages: int  # runs of 32 bytes after the columns
    head_bytes: int
    tail_bytes: int
    ahead: int  # from a block to the one to ask memory for
    gain_bits: int  # 0 where there is none
    gain_at: int  # of 8 bits, the run of them; of 4 bits, their column
    gain_least: float  # code 0 is a gain of 0, and c >= 1 is least + step * c; of 8 bits, least is 0
    gain_step: float
    norm_bits: int  # 0 where there is none
    norm_at: int


class Levels(NamedTuple):
    """Values by code, that rows share."""

    alone: Any  # (n,) int64: where columns begin that tell something by themselves, 16 times their numbers
    places: Any  # (splits, 5) int32: of a column whose code spans nibbles, two of them, a third, shift and mask in it
    split: Any  # (splits, 256 or more) float32: the levels of those columns, by these nibbles, the first one lowest
    norms: Any  # (2^norm_bits,) float32: squared norms less the usual one, by code


class Segments(NamedTuple):
    """Columns that are summed, in runs whose deficits are in equal steps, coarse ones first."""

    ends: Any  # (segments,) int64: the column after each
    folds: Any  # (segments,) int64: whether sums are moved on after each, as 16 bits might not hold more
    doublings: Any  # (segments,) int64: of the sum, after that


class Queries(NamedTuple):
    """Queries made ready for the scan; nq of them."""

    deficits: Any  # (nq, nibbles * 16) uint8, in the steps of their segment
    seconds: Any  # (nq, nibbles * 16) uint8: their second digits, in parts of a step
    stage_deficits: Any  # (nq, stages, 256) uint8
    stage_least: Any  # (nq, stages, LEASTS) uint8: the least of each group of them
    stage_doublings: Any  # (nq,) int64: of their sum, in the smallest steps
    promises: Any  # (nq,) int64: deficits that columns which are not summed at first are taken to have
    limits: Any  # (nq, 32) uint8: by gain of four bits the largest deficit that may matter, low bytes, then high ones
    affine: Any  # (nq, 3) float32: bound = a * deficit + c, and the threshold it has to reach
    slack: Any  # (nq,) float64: what float32 rounding of a bound may lose
    exact: Any  # (nq, nibbles * 16) float32
    stages: Any  # (nq, stages, 256) float32
    split: Any  # (nq, splits) float32: y in the columns whose code spans several nibbles
    base: Any  # (nq,) float64: <q, mu>
    norm: Any  # (nq,) float64: under L2, |q|^2 and the usual squared norm, which stored ones are counted from; else 0
    length: Any  # (nq,) float64: |q|


class Shape(NamedTuple):
    """How many queries are made ready together, and what for: it says where everything lies in their room."""

    nq: int
    digits: int  # of deficits that bounds sum, one, some of them rounded up, or two
    nibbles: int
    stages: int
    splits: int  # columns whose code spans nibbles
    nprobe: int  # lists that each looks at, 0 where there are none


@register_jitable
def ends(shape: Shape) -> Any:
    """Where each part of a room (bytes,) ends, each starting at a cache line."""
    entries, words = 16 * shape.nibbles, 256 * shape.stages
    sizes = (
        entries, entries, words, LEASTS * shape.stages, 8, 8, 32, 12, 8, 4 * entries, 4 * words,
        4 * shape.splits, 8, 8, 8, 8 * shape.nprobe, 4 * shape.nprobe,
    )  # fmt: skip
    out = np.zeros(len(sizes) + 1, np.int64)
    for i in range(len(sizes)):
        out[i + 1] = (out[i] + shape.nq * sizes[i] + LINE - 1) // LINE * LINE
    return out


@register_jitable
def carve(room: Any, shape: Shape) -> Any:
    """The queries, their lists (nq, nprobe) int64 and the products with these (nq, nprobe) float32 in a room (bytes,).

    It is as large as ``ends`` says and a cache line more, so that they can start at one: NumPy's start anywhere.
    To hand over one array instead of all of these takes a tenth of a short search off.
    """
    n, at = shape.nq, ends(shape) + -np.int64(room.ctypes.data) % LINE
    entries, stages = 16 * shape.nibbles, shape.stages
    queries = Queries(
        room[at[0] : at[0] + n * entries].reshape((n, entries)),
        room[at[1] : at[1] + n * entries].reshape((n, entries)),
        room[at[2] : at[2] + n * 256 * stages].reshape((n, stages, 256)),
        room[at[3] : at[3] + n * LEASTS * stages].reshape((n, stages, LEASTS)),
        room[at[4] : at[4] + 8 * n].view(np.int64),
        room[at[5] : at[5] + 8 * n].view(np.int64),
        room[at[6] : at[6] + 32 * n].reshape((n, 32)),
        room[at[7] : at[7] + 12 * n].view(np.float32).reshape((n, 3)),
        room[at[8] : at[8] + 8 * n].view(np.float64),
        room[at[9] : at[9] + 4 * n * entries].view(np.float32).reshape((n, entries)),
        room[at[10] : at[10] + 4 * n * 256 * stages].view(np.float32).reshape((n, stages, 256)),
        room[at[11] : at[11] + 4 * n * shape.splits].view(np.float32).reshape((n, shape.splits)),
        room[at[12] : at[12] + 8 * n].view(np.float64),
        room[at[13] : at[13] + 8 * n].view(np.float64),
        room[at[14] : at[14] + 8 * n].view(np.float64),
    )
    lists = room[at[15] : at[15] + 8 * n * shape.nprobe].view(np.int64).reshape((n, shape.nprobe))
    products = room[at[16] : at[16] + 4 * n * shape.nprobe].view(np.float32).reshape((n, shape.nprobe))
    return queries, lists, products


@njit(nogil=True, _nrt=False)
def place(row: int) -> int:
    """Where a row's sum is among 32: even bytes of both halves of a column come before odd ones."""
    return 16 * ((row >> 3) & 1) + 8 * (row >> 4) + (row & 7)


@njit(nogil=True, _nrt=False)
def norm_of(heads: Any, at: int, row: int, layout: Layout, norms: Any) -> Any:
    """The squared norm of a row of the head at byte ``at``, of those that codes stand for; two bytes low one first."""
    if layout.norm_bits == 8:
        return norms[np.int64(heads[at + layout.norm_at + row])]
    place = at + layout.norm_at + 2 * row
    return norms[np.int64(heads[place]) | np.int64(heads[place + 1]) << 8]


@njit(nogil=True, _nrt=False)
def gain_at(heads: Any, at: int, row: int, layout: Layout) -> Any:
    """The code of the gain of a row of the head at byte ``at``."""
    if layout.gain_bits == 4:
        return np.int64((heads[at + layout.gain_at + 2 * (row & 7) + ((row >> 3) & 1)] >> (4 * (row >> 4))) & 15)
    return np.int64(heads[at + layout.gain_at + row])


@njit(nogil=True, _nrt=False)
def bound_of(deficit: Any, heads: Any, at: int, row: int, layout: Layout, norms: Any, affine: Any, q: int) -> Any:
    """The float32 bound of a row with this sum of deficits, in the roundings of the vectors of ``bounds.py``."""
    bound = np.float32(deficit) * affine[q, 0] + affine[q, 1]
    if layout.gain_bits == 8:
        bound *= np.float32(gain_at(heads, at, row, layout)) * np.float32(layout.gain_step)
    elif layout.gain_bits == 4:
        code = gain_at(heads, at, row, layout)
        gain = np.float32(layout.gain_least) + np.float32(code) * np.float32(layout.gain_step)
        bound *= gain if code else np.float32(0)
    if layout.norm_bits:
        bound -= norm_of(heads, at, row, layout, norms)
    return bound


@njit(nogil=True, _nrt=False)
def passes(deficit: Any, heads: Any, at: int, row: int, layout: Layout, norms: Any, queries: Queries, q: int) -> Any:
    """Whether a row with this sum of deficits may reach the threshold of query q."""
    if layout.gain_bits == 8 or layout.norm_bits:
        return bound_of(deficit, heads, at, row, layout, norms, queries.affine, q) >= queries.affine[q, 2]
    code = gain_at(heads, at, row, layout) if layout.gain_bits else 0
    return deficit <= (np.int64(queries.limits[q, 16 + code]) << 8 | np.int64(queries.limits[q, code]))
