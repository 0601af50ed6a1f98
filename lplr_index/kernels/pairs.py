"""The few rows that a first look has left: their refined reconstructions, and similarities of chosen pairs.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def keys_of_pairs(xq: Any, x: Any, queries: Any, rows: Any, squared: bool, keys: Any) -> None:  # noqa: FBT001
    """``keys`` (pairs,) float32: <q, x>, or minus |q - x|^2 where ``squared``; larger is better.

    Pair p is ``xq[queries[p]]`` and ``x[rows[p]]``, of (nq, d) and (n, d) float32. Each sum runs over d in order and
    in float64, so a key depends on its two vectors alone.
    """
    for p in range(len(keys)):
        q, i = queries[p], rows[p]
        total = 0.0
        if squared:
            for j in range(xq.shape[1]):
                step = np.float64(xq[q, j]) - np.float64(x[i, j])
                total += step * step
            keys[p] = -np.float32(total)
        else:
            for j in range(xq.shape[1]):
                total += np.float64(xq[q, j]) * np.float64(x[i, j])
            keys[p] = np.float32(total)


@njit(nogil=True, cache=True)
def refine_rows(x_hat: Any, rest: Any, lengths: int, out: Any) -> None:
    """``out`` = x_hat + rest, all (n, d) float32, as long as ``lengths`` says: 0 as it is, 1 one, 2 as x_hat is.

    A row of x_hat of length zero gives zeros where lengths are set.
    """
    n, d = x_hat.shape
    for i in range(n):
        first = total = 0.0
        for j in range(d):
            value = x_hat[i, j] + rest[i, j]
            out[i, j] = value
            first += np.float64(x_hat[i, j]) * np.float64(x_hat[i, j])
            total += np.float64(value) * np.float64(value)
        if lengths == 0:
            continue
        wanted = np.sqrt(first) if lengths == 2 else np.float64(first > 0)
        scale = wanted / np.sqrt(total) if total > 0 else 0.0
        for j in range(d):
            out[i, j] = np.float32(out[i, j] * scale)
