"""k-means of any number of centroids in few dimensions: what a group of columns is quantized with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.linalg import row_blocks

ROUNDS = 20
_APART = np.float32(1 / 1024)  # of an empty centroid from the crowded one that it moves to, relative to the spread


def k_means(x: FloatMatrix, count: int, rng: np.random.Generator) -> FloatMatrix:
    """Return the centroids that Lloyd's iteration finds from random rows.

    Parameters
    ----------
    x : ndarray of shape (n, w), float32
        At least ``count`` rows.
    count : int
    rng : Generator

    Returns
    -------
    ndarray of shape (count, w), float32

    Notes
    -----
    A centroid that loses all its rows moves beside one of those that have most, as in faiss.
    """
    words = x[np.sort(rng.choice(len(x), count, replace=False))]
    spread = x.std(axis=0)
    for _ in range(ROUNDS):
        chosen = nearest(x, words)
        counts = np.bincount(chosen, minlength=count)
        filled = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[filled])[:-1]])
        ordered = x[np.argsort(chosen, kind="stable")]
        sums = np.add.reduceat(ordered, starts, axis=0, dtype=np.float64)
        moved = words.copy()
        moved[filled] = sums / counts[filled, None]
        crowded = np.argsort(-counts, kind="stable")
        for rank, empty in enumerate(np.flatnonzero(counts == 0)):
            moved[empty] = moved[crowded[rank % len(filled)]] + spread * _APART
        if np.array_equal(moved, words):
            break
        words = moved
    return words


def nearest(x: FloatMatrix, words: FloatMatrix) -> npt.NDArray[np.uint16]:
    """Return the number (n,) of the nearest of ``words`` (count, w) for each row of ``x`` (n, w)."""
    halves = np.square(words, dtype=np.float64).sum(axis=1).astype(np.float32) / 2
    chosen = np.empty(len(x), np.uint16)
    for rows in row_blocks(len(x), len(words)):
        scores = x[rows] @ words.T
        scores -= halves
        chosen[rows] = scores.argmax(axis=1)
    return chosen
