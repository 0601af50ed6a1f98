"""Rows of lists that may matter, and wait to be scored: what their bounds tell while they do.

With a second digit a bound is hardly too high, and so tells how low a score can be, too: k rows with high bounds are k
rows that others must reach, before one of them is scored. So hardly more than k rows of a query are.

numba's cache does not see edits of the files that this one uses: ``STAMP`` of lists.py takes them there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lplr_index.kernels.layout import BLOCK, MOST, Layout, Levels, Queries, Segments, gain_at, norm_of
from lplr_index.kernels.scoring import exact_keys, least_bound
from lplr_index.kernels.topk import kth_largest, offer, reached_by, room_of, sort_best

_ROUNDED_OFF = 0.0162  # of a step, that two digits lose: a 64th, and what float32 does


class Waiting(NamedTuple):
    """Rows that wait, as many as there is room for."""

    rows: Any  # (room,) int64: of the blocks
    deficits: Any  # (room,) uint16
    products: Any  # (room,) float64: of the query with the centroids of their lists
    bounds: Any  # (room,) float32


class Packed(NamedTuple):
    """The rows of a run, as ``layout.py`` describes them; all columns lie in the heads."""

    blocks: Any  # (bytes,) uint8
    layout: Layout
    levels: Levels
    segments: Segments


class Results(NamedTuple):
    """What is found, in a heap of k keys, or, with a finite ``radius``, all above it."""

    numbers: Any  # (rows of the run,) integer: of the row that lies at a place
    ids: Any  # (rows,) int64 by number, or empty where numbers are the ids
    keys: Any  # (nq, k or room) float32
    found: Any  # (nq, k or room) int64
    counts: Any  # (1,) int64, where there is a radius
    k: int
    radius: float


@njit(nogil=True)
def _bound_all(
    rows: Any, deficits: Any, products: Any, bounds: Any, blocks: Any, layout: Layout, norms: Any, scale: Any,
    base: float,
) -> Any:  # fmt: skip
    """The ``bounds`` (n,) of rows, as ``layout.bound_of`` has them, of lists whose products are added to ``base``.

    Returns whether none of the sums of deficits has stopped, so that bounds are no higher than ``_lost`` says.
    Many at a time: numba counts references whenever an array is taken from a tuple or handed to a function.
    """
    factor, gains, largest = 2.0 if layout.norm_bits else 1.0, np.zeros(16, np.float32), np.uint16(0)
    for code in range(1, 16):
        gains[code] = np.float32(layout.gain_least) + np.float32(code) * np.float32(layout.gain_step)
    for i in range(rows.shape[0]):
        row, at = rows[i] % BLOCK, rows[i] // BLOCK * layout.head_bytes
        bound = np.float32(deficits[i]) * scale + np.float32(base + factor * products[i])
        if layout.gain_bits == 8:
            bound *= np.float32(gain_at(blocks, at, row, layout)) * np.float32(layout.gain_step)
        elif layout.gain_bits == 4:
            spot = np.uint64(at + layout.gain_at + 2 * (row & 7) + ((row >> 3) & 1))
            bound *= gains[np.uint64((blocks[spot] >> np.uint8(4 * (row >> 4))) & 15)]
        if layout.norm_bits:
            bound -= norm_of(blocks, at, row, layout, norms)
        bounds[i], largest = bound, max(largest, deficits[i])
    return largest < MOST


@njit(nogil=True)
def _highest(bounds: Any, k: int) -> Any:
    """A number that k of the ``bounds`` (n,) reach, and few others."""
    n = bounds.shape[0]
    scratch = np.empty(room_of(n), np.float32)
    if n >= 8 * k:
        return reached_by(bounds, k, scratch)
    scratch[:n] = bounds
    return kth_largest(scratch, n, k)


@njit(nogil=True)
def _keep(waiting: Waiting, holds: int, least: float) -> Any:
    """Move those of the first ``holds`` rows that reach ``least`` to the front, and say how many there are.

    Their deficits stay behind: who has a bound needs them no more.
    """
    rows, _, products, bounds = waiting
    count = np.int64(0)
    for i in range(holds):
        rows[count], products[count], bounds[count] = rows[i], products[i], bounds[i]
        count += np.int64(bounds[i] >= least)
    return count


@njit(nogil=True)
def _set_apart(waiting: Waiting, holds: int, least: float) -> Any:
    """Move those of the first ``holds`` rows that reach ``least`` behind the others, and say where they begin."""
    rows, _, products, bounds = waiting
    first = np.int64(0)
    for i in range(holds):
        if bounds[i] < least:
            rows[first], rows[i] = rows[i], rows[first]
            products[first], products[i] = products[i], products[first]
            bounds[first], bounds[i] = bounds[i], bounds[first]
            first += 1
    return first


@njit(nogil=True)
def _lost(layout: Layout, segments: Segments, queries: Queries, q: int) -> Any:
    """How much more than its bound says a row can fall short, so that its bound tells how low it can be, too.

    Of each nibble, what the second digit rounds off; a step that sums of second digits lose, and one a stage; times the
    largest gain.
    """
    steps, columns, weight = 1.0, 0, 1.0
    for s in range(segments.ends.shape[0]):
        weight *= 2.0 ** segments.doublings[s]
    for s in range(segments.ends.shape[0]):
        steps += _ROUNDED_OFF * weight * (segments.ends[s] - columns)
        columns, weight = segments.ends[s], weight / 2.0 ** segments.doublings[s]
    steps += layout.stages * 2.0 ** queries.stage_doublings[q]
    gain = 1.0
    if layout.gain_bits == 8:
        gain = 255 * layout.gain_step
    elif layout.gain_bits == 4:
        gain = layout.gain_least + 15 * layout.gain_step
    return -np.float64(queries.affine[q, 0]) * steps * gain


@njit(nogil=True)
def _exact(
    waiting: Waiting, first: int, last: int, packed: Packed, queries: Queries, q: int, results: Results, keys: Any,
    ids: Any,
) -> None:  # fmt: skip
    """The keys and ids (last - first,) of rows ``first`` to ``last``."""
    rows, more = waiting.rows[first:last], waiting.products[first:last]
    exact_keys(rows, packed.blocks, packed.blocks, packed.layout, packed.levels, queries, q, more, keys)
    numbers, own = results.numbers, results.ids
    for i in range(last - first):
        number = np.int64(numbers[rows[i]])
        ids[i] = own[number] if own.shape[0] else number


@njit(nogil=True)
def score(waiting: Waiting, first: int, last: int, packed: Packed, queries: Queries, q: int, results: Results) -> Any:
    """Score rows ``first`` to ``last`` and offer them; returns the key that is beaten by all results."""
    keys, ids = np.empty(last - first, np.float32), np.empty(last - first, np.int64)
    _exact(waiting, first, last, packed, queries, q, results, keys, ids)
    best, found, counts, radius = results.keys, results.found, results.counts, results.radius
    for i in range(last - first):
        if radius == -np.inf:
            offer(best, found, counts, q, results.k, keys[i], ids[i])
        elif keys[i] > radius:
            best[q, counts[q]], found[q, counts[q]] = keys[i], ids[i]
            counts[q] += 1
    return radius if radius > -np.inf else np.float64(best[q, 0])


@njit(nogil=True)
def tighten(
    waiting: Waiting, known: int, holds: int, packed: Packed, queries: Queries, q: int, base: float, results: Results,
    worst: float,
) -> Any:  # fmt: skip
    """Bound the rows that wait, and drop those that k others surely beat; returns how many are left, and a key.

    The first ``known`` of ``holds`` rows have bounds. Nothing matters whose key is below ``worst``, which rises to what
    k of the rows reach by their bounds, less what these may be too high. Where that is not known, because sums stopped
    or codes span nibbles, the k best by bounds are scored, until there are k best.
    """
    layout, bounds, k = packed.layout, waiting.bounds, results.k
    sure = _bound_all(
        waiting.rows[known:holds], waiting.deficits[known:holds], waiting.products[known:holds], bounds[known:holds],
        packed.blocks, layout, packed.levels.norms, queries.affine[q, 0], base,
    ) and packed.levels.places.shape[0] == 0  # fmt: skip
    if results.radius == -np.inf and holds >= k and (sure or results.keys[q, 0] == -np.inf):
        high = np.float64(_highest(bounds[:holds], k))
        if sure:
            low = high - _lost(layout, packed.segments, queries, q) - queries.norm[q] - 2 * queries.slack[q]
            low -= 1e-6 * abs(high)
            worst = max(worst, min(low, 0.0) if layout.norm_bits else low)  # distances below zero are zero
        else:
            first = _set_apart(waiting, holds, high)
            worst = max(worst, score(waiting, first, holds, packed, queries, q, results))
            holds = first
    return _keep(waiting, holds, least_bound(worst, queries, q)), worst


@njit(nogil=True)
def make_room(
    waiting: Waiting, known: int, holds: int, packed: Packed, queries: Queries, q: int, base: float, results: Results,
    worst: float,
) -> Any:  # fmt: skip
    """``tighten``, and score all rows if more than half of them are left."""
    left, worst = tighten(waiting, known, holds, packed, queries, q, base, results, worst)
    if 2 * left <= holds:
        return left, worst
    return np.int64(0), max(worst, score(waiting, 0, left, packed, queries, q, results))


@njit(nogil=True)
def rank(
    waiting: Waiting, holds: int, packed: Packed, queries: Queries, q: int, results: Results, ranked: int
) -> None:  # fmt: skip
    """Score the rows that wait, and leave the best of them and of the heap.

    Best first, where they are to be ``ranked``, and else as a heap: entries in order, the worst in front, are one.
    """
    keys, found = results.keys[q], results.found[q]
    k, count = keys.shape[0], holds
    scores, ids = np.empty(room_of(holds + k), np.float32), np.empty(holds + k, np.int64)
    _exact(waiting, 0, holds, packed, queries, q, results, scores, ids)
    for i in range(k):
        if keys[i] > -np.inf:
            scores[count], ids[count] = keys[i], found[i]
            count += 1
    sort_best(scores, ids, count, keys, found)
    if not ranked:
        keys[:], found[:] = keys[::-1].copy(), found[::-1].copy()
