"""Rows to codes and back: nearest level of each column, fields packed into nibbles, rows woven into blocks of 32.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 32  # rows of one block, as in scan.py


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
def weave(rows: Any, first: int, head: int, nibbles: int, singles: int, heads: Any, tails: Any) -> None:
    """Write ``rows`` (n, code_size) uint8 into blocks from row ``first`` on.

    The first ``nibbles`` / 2 bytes of a row are nibbles, low one first: ``head`` of them, an even number, go to
    ``heads`` (blocks, head_bytes), the others to ``tails`` (blocks, tail_bytes). Each of the next ``singles`` bytes
    goes to a run of 32 in ``heads``; of those that are left, two and two go side by side to a run of 64. See layout.py
    for the picture.
    """
    size = rows.shape[1]
    half, near = nibbles >> 1, head >> 1
    paired = half + singles
    for i in range(rows.shape[0]):
        block, tail = heads[(first + i) // BLOCK], tails[(first + i) // BLOCK]
        r = (first + i) % BLOCK
        spot, high = 2 * (r & 7) + ((r >> 3) & 1), 4 * (r >> 4)
        keep = np.uint8(0xF0 >> high)
        for c in range(half):
            columns, at = (block, 32 * c) if c < near else (tail, 32 * (c - near))
            low = np.uint8(rows[i, c] & 15) << high
            upper = np.uint8(rows[i, c] >> 4) << high
            columns[at + spot] = np.uint8((columns[at + spot] & keep) | low)
            columns[at + 16 + spot] = np.uint8((columns[at + 16 + spot] & keep) | upper)
        for c in range(half, paired):
            block[BLOCK * (c - half + near) + r] = rows[i, c]
        for c in range(paired, size, 2):
            block[BLOCK * (c - half + near) + 2 * r] = rows[i, c]
            block[BLOCK * (c - half + near) + 2 * r + 1] = rows[i, c + 1]


@njit(nogil=True, cache=True)
def unweave(heads: Any, tails: Any, which: Any, head: int, nibbles: int, singles: int, rows: Any) -> None:
    """Read rows ``which`` (n,) int64 of blocks, as ``weave`` writes them, into ``rows`` (n, code_size) uint8."""
    size = rows.shape[1]
    half, near = nibbles >> 1, head >> 1
    paired = half + singles
    for i in range(which.shape[0]):
        block, tail = heads[which[i] // BLOCK], tails[which[i] // BLOCK]
        r = which[i] % BLOCK
        spot, high = 2 * (r & 7) + ((r >> 3) & 1), 4 * (r >> 4)
        for c in range(half):
            columns, at = (block, 32 * c) if c < near else (tail, 32 * (c - near))
            low = (columns[at + spot] >> high) & 15
            upper = (columns[at + 16 + spot] >> high) & 15
            rows[i, c] = np.uint8(low | (upper << 4))
        for c in range(half, paired):
            rows[i, c] = block[BLOCK * (c - half + near) + r]
        for c in range(paired, size, 2):
            rows[i, c] = block[BLOCK * (c - half + near) + 2 * r]
            rows[i, c + 1] = block[BLOCK * (c - half + near) + 2 * r + 1]


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
