"""Rows of length one.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def divide(x: Any, out: Any, lengths: Any) -> bool:
    """Write rows x (n, d) float32, divided by their L2 norms, to ``out`` (n, d) float32, and the norms to (n,) float64.

    Rows of zeros stay zeros. Returns whether there are none, and none whose length is not finite. Sums are float64, of
    every fourth number: additions that do not wait for each other. Each row is handled by itself, so the result does
    not depend on the batch.
    """
    d, all_fine = x.shape[1], True
    for i in range(x.shape[0]):
        a = b = c = e = 0.0
        for j in range(0, d & ~3, 4):
            a += np.float64(x[i, j]) * np.float64(x[i, j])
            b += np.float64(x[i, j + 1]) * np.float64(x[i, j + 1])
            c += np.float64(x[i, j + 2]) * np.float64(x[i, j + 2])
            e += np.float64(x[i, j + 3]) * np.float64(x[i, j + 3])
        for j in range(d & ~3, d):
            a += np.float64(x[i, j]) * np.float64(x[i, j])
        length = np.sqrt((a + b) + (c + e))
        lengths[i] = length
        all_fine &= 0 < length < np.inf  # NaN is neither
        by = length if length > 0 else 1.0
        for j in range(d):
            out[i, j] = np.float32(np.float64(x[i, j]) / by)
    return all_fine
