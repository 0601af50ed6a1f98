"""Centroid bytes: the beam search that chooses them, and the sums that they are trained from.

A row's squared error after stages 1..t with words w_1..w_t is |y|^2 + sum over s of (|c_s|^2 - 2 <y, c_s>) + sum over
pairs s < u of 2 <c_s, c_u>: products of the row with all centroids and tables of the centroids' own products are all
that a search needs, so that residuals are never formed.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


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
    values, found = np.empty(256, np.float32), np.zeros(room, np.uint8)
    for i in range(n):
        held = 1
        best[0] = 0
        for t in range(stages):
            old_paths[:held] = paths[:held]
            so_far[:held] = best[:held]
            wanted = width if t + 1 < stages else keep
            old, held = held, 0
            for b in range(old):
                for w in range(256):
                    values[w] = so_far[b] + (squares[t, w] - np.float32(2) * dots[i, t, w])
                for s in range(t):
                    row = cross[s, t, old_paths[b, s]]
                    for w in range(256):
                        values[w] += row[w]
                for w in range(256):
                    value = values[w]
                    if held < wanted or value < best[held - 1]:
                        if held < wanted:
                            held += 1
                        at = held - 1
                        while at > 0 and best[at - 1] > value:
                            best[at], parents[at], found[at] = best[at - 1], parents[at - 1], found[at - 1]
                            at -= 1
                        best[at], parents[at], found[at] = value, b, w
            for c in range(held):
                paths[c, :t] = old_paths[parents[c], :t]
                paths[c, t] = found[c]
        for c in range(keep):
            cost[i, c] = best[c]
            words[i, c] = paths[c]


@njit(nogil=True, cache=True)
def add_rows(y: Any, words: Any, sums: Any) -> None:
    """``sums[words[i]]`` += each row i of ``y`` (n, m) float32, for words (n,) and sums (words, m) float64."""
    for i in range(y.shape[0]):
        into = sums[words[i]]
        for j in range(y.shape[1]):
            into[j] += y[i, j]
