"""Centroids of a residual quantizer, trained for the beam search that will choose among them."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.codecs.trellis import CENTROIDS, gather, nearest_centroids
from lplr_index.linalg import single_threaded
from lplr_index.products import Product
from lplr_index.threads import available, run

_CHOICES = 3  # of the stages before, for each row, that a stage is trained on
_ROUNDS = 8  # of k-means
_WORK = 4e10  # multiplications of a stage, which limit its rows
_REFITS = 1  # of all stages together
_CHUNK = 4096  # rows of a task
_PRIOR = 2.0  # rows that the old centroid counts for in a refit


def train_stages(y: FloatMatrix, stages: int, seed: int) -> npt.NDArray[np.float32]:
    """Centroids (stages, 256, m) float32 for rows y (n, m).

    Rows should be several times 256; where there are fewer than 256, words stay unused.

    Notes
    -----
    A stage is trained on what the best few choices of the stages before it leave of each row, not on the best alone:
    then it offers corrections for all of them, and the beam search finds sums that one choice after the other would
    miss (Liu, Lu & Hua 2015 train residual quantizers like this, and so does faiss). In the end all stages are refitted
    together by least squares to the words that the search chooses.
    """
    found = np.zeros((0, CENTROIDS, y.shape[1]), np.float32)
    if not stages:
        return found
    most = int(_WORK / (_ROUNDS * CENTROIDS * y.shape[1]))
    rows = _some(y, most, np.random.default_rng(seed))
    for stage in range(stages):
        rng = np.random.default_rng([seed, stage])
        part = _some(rows, most // _CHOICES, rng) if stage else rows
        words = nearest_centroids(part, found, _CHOICES)
        choices = words.shape[1]
        rest = np.repeat(part, choices, axis=0) - gather(found, words.reshape(len(part) * choices, stage))
        found = np.concatenate([found, k_means(rest, rng)[None]])
    for _ in range(_REFITS if stages > 1 else 0):
        found = _refit(rows, nearest_centroids(rows, found)[:, 0], found)
    return found


def k_means(y: FloatMatrix, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """256 centroids (256, m) float32 for rows y (n, m): Lloyd's iteration from rows chosen at random.

    A centroid that loses all its rows moves beside one of those that have most, as in faiss.
    """
    from lplr_index.kernels import trellis as kernel

    words = np.zeros((CENTROIDS, y.shape[1]), np.float32)
    start = rng.permutation(len(y))[:CENTROIDS]
    words[: len(start)] = y[start]
    for _ in range(_ROUNDS):
        found = _nearest(y, words)
        sums = np.zeros((CENTROIDS, y.shape[1]))
        kernel.add_rows(y, found, sums)
        counts = np.bincount(found[:, 0], minlength=CENTROIDS)
        words = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        crowded = np.argsort(-counts, kind="stable")
        for rank, empty in enumerate(np.flatnonzero(counts == 0)):
            words[empty] = words[crowded[rank % CENTROIDS]] * np.float32(1 + 1 / 1024)
    return words


def _nearest(y: FloatMatrix, words: FloatMatrix) -> npt.NDArray[np.int64]:
    """The nearest word (n, 1) of each row of y (n, m)."""
    from lplr_index.kernels import trellis as kernel

    squares = np.square(words, dtype=np.float64).sum(axis=1).astype(np.float32)
    product = Product(np.ascontiguousarray(words.T))
    found = np.empty((len(y), 1), np.int64)

    def find(rows: slice) -> None:
        kernel.nearest(product(y[rows]), squares, np.empty((len(y[rows]), 1)), found[rows])

    run([partial(find, slice(at, at + _CHUNK)) for at in range(0, len(y), _CHUNK)], available())
    return found


def _refit(y: FloatMatrix, words: npt.NDArray[np.int64], centroids: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The centroids of least squared error for rows y (n, m) and the words (n, stages) that they have.

    The least squares of LPLR's last step, with L the rows' one-hot words and R all centroids; a small ridge keeps
    centroids there that few rows use.
    """
    from lplr_index.kernels import trellis as kernel

    stages, count, m = centroids.shape
    normal, sums = np.zeros((stages, count, stages, count)), np.zeros((stages, count, m))
    for s in range(stages):
        kernel.add_rows(y, np.ascontiguousarray(words[:, s : s + 1]), sums[s])
        for u in range(stages):
            together = np.bincount(words[:, s] * count + words[:, u], minlength=count * count)
            normal[s, :, u] = together.reshape(count, count)
    old = centroids.reshape(stages * count, m).astype(np.float64)
    square = normal.reshape(stages * count, stages * count)
    with single_threaded():
        step = np.linalg.solve(square + _PRIOR * np.eye(len(square)), sums.reshape(old.shape) - square @ old)
    return (old + step).astype(np.float32).reshape(centroids.shape)


def _some(y: FloatMatrix, most: int, rng: np.random.Generator) -> FloatMatrix:
    """At most ``most`` rows of y (n, m), chosen at random."""
    return y if len(y) <= most else np.ascontiguousarray(y[rng.choice(len(y), most, replace=False)])
