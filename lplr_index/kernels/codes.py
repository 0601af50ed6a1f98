"""Rows to codes and back: nearest level of each column, fields packed into nibbles, rows woven into blocks of 32.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 32  # rows of one block, as in scan.py
_SPREADS = 0.5  # above the mean, up to which sums of four deficits fit into a byte: more rounds all, less stops many
_STAGES_MOST = 65535 / 2  # of the deficits of all stages, in steps, so that most of them leave room for others


@njit(nogil=True, cache=True)
def encode(y: Any, edges: Any, starts: Any, fields: Any, codes: Any) -> None:
    """Code each entry of ``y`` (n, m) float32 by its nearest level, packed into ``codes`` (n, bytes) uint8.

    ``edges[starts[j]:starts[j + 1]]`` are the sorted midpoints between the levels of column j; a value on a midpoint
    takes the lower level. ``fields`` (fields, 5) int32: column, nibble, shift in the nibble, mask, shift in the code.
    """
    n, m = y.shape
    row = np.empty(m, np.int64)
    codes[:, :] = 0
    for i in range(n):
        for j in range(m):
            value, low, high = y[i, j], starts[j], starts[j + 1]
            while low < high:
                middle = (low + high) >> 1
                if edges[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            row[j] = low - starts[j]
        for f in range(fields.shape[0]):
            part = (row[fields[f, 0]] >> fields[f, 4]) & fields[f, 3]
            codes[i, fields[f, 1] >> 1] |= np.uint8(part << (fields[f, 2] + 4 * (fields[f, 1] & 1)))


@njit(nogil=True, cache=True)
def decode(codes: Any, levels: Any, starts: Any, fields: Any, L: Any) -> None:
    """Turn ``codes`` (n, bytes) uint8 into levels L (n, m) float32, column j's from ``levels[starts[j]]`` on."""
    n, m = L.shape
    row = np.empty(m, np.int64)
    for i in range(n):
        row[:] = 0
        for f in range(fields.shape[0]):
            nibble = (codes[i, fields[f, 1] >> 1] >> (4 * (fields[f, 1] & 1))) & 15
            row[fields[f, 0]] |= ((nibble >> fields[f, 2]) & fields[f, 3]) << fields[f, 4]
        for j in range(m):
            L[i, j] = levels[starts[j] + row[j]]


@njit(nogil=True, cache=True)
def weave(rows: Any, first: int, nibbles: int, singles: int, blocks: Any) -> None:
    """Write ``rows`` (n, code_size) uint8 into ``blocks`` (blocks, 32 * code_size) from row ``first`` on.

    The first ``nibbles`` / 2 bytes of a row are nibbles, low one first. Each of the next ``singles`` bytes goes to a
    run of 32; of those that are left, two and two go side by side to a run of 64. See bounds.py for the picture.
    """
    size = rows.shape[1]
    half = nibbles >> 1
    paired = half + singles
    for i in range(rows.shape[0]):
        block = blocks[(first + i) // BLOCK]
        r = (first + i) % BLOCK
        spot, high = 2 * (r & 7) + ((r >> 3) & 1), 4 * (r >> 4)
        keep = np.uint8(0xF0 >> high)
        for c in range(half):
            low = np.uint8(rows[i, c] & 15) << high
            upper = np.uint8(rows[i, c] >> 4) << high
            block[32 * c + spot] = np.uint8((block[32 * c + spot] & keep) | low)
            block[32 * c + 16 + spot] = np.uint8((block[32 * c + 16 + spot] & keep) | upper)
        for c in range(half, paired):
            block[BLOCK * c + r] = rows[i, c]
        for c in range(paired, size, 2):
            block[BLOCK * c + 2 * r] = rows[i, c]
            block[BLOCK * c + 2 * r + 1] = rows[i, c + 1]


@njit(nogil=True, cache=True)
def unweave(blocks: Any, which: Any, nibbles: int, singles: int, rows: Any) -> None:
    """Read rows ``which`` (n,) int64 of ``blocks`` (blocks, 32 * code_size) into ``rows`` (n, code_size) uint8."""
    size = rows.shape[1]
    half = nibbles >> 1
    paired = half + singles
    for i in range(which.shape[0]):
        block = blocks[which[i] // BLOCK]
        r = which[i] % BLOCK
        spot, high = 2 * (r & 7) + ((r >> 3) & 1), 4 * (r >> 4)
        for c in range(half):
            low = (block[32 * c + spot] >> high) & 15
            upper = (block[32 * c + 16 + spot] >> high) & 15
            rows[i, c] = np.uint8(low | (upper << 4))
        for c in range(half, paired):
            rows[i, c] = block[BLOCK * c + r]
        for c in range(paired, size, 2):
            rows[i, c] = block[BLOCK * c + 2 * r]
            rows[i, c + 1] = block[BLOCK * c + 2 * r + 1]


@njit(nogil=True, cache=True)
def row_norms(L: Any, turned: Any, shift: Any, base: float, norms: Any) -> None:
    """``norms`` (n,) float64 = |mu + l R| of each row.

    From L (n, m), ``turned`` = L T (n, m), with any T of l T l^T = l R R^T l^T, ``shift`` = 2 R mu (m,) and ``base`` =
    |mu|^2.
    """
    for i in range(L.shape[0]):
        total = base
        for j in range(L.shape[1]):
            total += np.float64(L[i, j]) * (np.float64(turned[i, j]) + shift[j])
        norms[i] = np.sqrt(max(total, 0.0))


@njit(nogil=True, cache=True)
def tables(y: Any, fields: Any, up: Any, down: Any, out: Any) -> None:
    """``out`` (nq, nibbles, 16) float32: what each nibble value adds to <y, l>, for y (nq, m) float32.

    ``up`` (fields, 16) float32 is what a field's value adds to its column of l where y >= 0, ``down`` where y < 0.
    """
    out[:, :, :] = 0
    for q in range(y.shape[0]):
        for f in range(fields.shape[0]):
            weight = y[q, fields[f, 0]]
            values = up[f] if weight >= 0 else down[f]
            for v in range(16):
                out[q, fields[f, 1], v] += weight * values[(v >> fields[f, 2]) & fields[f, 3]]


@njit(nogil=True, cache=True)
def quantize_tables(
    upper: Any, stages: Any, shifts: Any, out: Any, stage_out: Any, doublings: Any, scale: Any, base: Any, size: Any
) -> None:
    """Round tables to deficits: entries add up to base - scale * (nibbles << shifts + stages << doublings) at most.

    The tables are ``upper`` (nq, nibbles, 16) and ``stages`` (nq, stages, 256), float32. A deficit is how far an entry
    falls short of the largest of its table, rounded down: ``out`` (nq, nibbles * 16) and ``stage_out``
    (nq, stages, 256) uint8 stop at 255. ``shifts`` (eights of nibbles,) uint8 make coarser steps of ``scale`` for
    nibbles that weigh much; ``doublings`` (nq,) int64 receives how much coarser those of the stages are, so that they
    do not stop. The scan adds the bytes of columns c, c + 2, c + 4 and c + 6 of each eight before it widens them, and
    these sums stop at 255 too. The smaller ``scale``, the less is lost to rounding, and the more rows have sums that
    stop: it is the smallest for which usual sums, up to ``_SPREADS`` standard deviations above their mean, do not.
    ``size`` is the sum of the largest magnitudes, which rounding errors are relative to. ``scale``, ``base``, ``size``:
    (nq,) float64.
    """
    nq, nibbles, _ = upper.shape
    mean, variance = np.zeros(nibbles + 6), np.zeros(nibbles + 6)
    best, best_stage = np.empty(nibbles), np.empty(stages.shape[1])
    for q in range(nq):
        base[q] = size[q] = step = 0.0
        for c in range(nibbles):
            best[c], least = upper[q, c].max(), np.float64(upper[q, c].min())
            total = squares = 0.0
            for v in range(16):
                below = best[c] - np.float64(upper[q, c, v])
                total += below
                squares += below * below
            mean[c] = total / 16
            variance[c] = max(squares / 16 - mean[c] * mean[c], 0.0)
            base[q] += best[c]
            size[q] += max(-least, best[c])
        for c in range(nibbles):
            if c % 8 < 2:
                usual = mean[c] + mean[c + 2] + mean[c + 4] + mean[c + 6]
                spread = np.sqrt(variance[c] + variance[c + 2] + variance[c + 4] + variance[c + 6])
                step = max(step, (usual + _SPREADS * spread) / (255 << shifts[c // 8]))
        reach = 0.0
        for s in range(stages.shape[1]):
            best_stage[s], least = stages[q, s].max(), np.float64(stages[q, s].min())
            reach = max(reach, best_stage[s] - least)
            base[q] += best_stage[s]
            size[q] += max(-least, best_stage[s])
        step = max(step, reach * stages.shape[1] / _STAGES_MOST)
        scale[q] = step
        per = 1 / step if step > 0 else 0.0
        per *= 1 - 1e-12  # so that a product rounded up does not pass the next whole number
        for c in range(nibbles):
            mine = per / (1 << shifts[c // 8])
            for v in range(16):
                out[q, 16 * c + v] = np.uint8(min(255.0, (best[c] - np.float64(upper[q, c, v])) * mine))
        doublings[q] = 0
        while reach * per > 255 << doublings[q]:
            doublings[q] += 1
        mine = per / (1 << doublings[q])
        for s in range(stages.shape[1]):
            for v in range(256):
                stage_out[q, s, v] = np.uint8(min(255.0, (best_stage[s] - np.float64(stages[q, s, v])) * mine))
