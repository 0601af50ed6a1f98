"""Products of rows and columns of signed bytes, summed in 32-bit integers.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

QUERIES = 16  # that share one reading of a row of R; with R's row they stay in the cache


@njit(nogil=True, cache=True)
def multiply_bytes(q: Any, R: Any, out: Any) -> None:
    """``out`` (nq, m) int32 = ``q`` (nq, d) times the transpose of ``R`` (m, d), both int8; all C-contiguous.

    A sum of d products of numbers up to 127 fits as long as d is at most 2^31 / 127^2, some 133,000.
    """
    nq, d = q.shape
    for first in range(0, nq, QUERIES):
        for j in range(R.shape[0]):
            for i in range(first, min(first + QUERIES, nq)):
                total = np.int32(0)
                for c in range(d):
                    total += np.int32(q[i, c]) * np.int32(R[j, c])
                out[i, j] = total
