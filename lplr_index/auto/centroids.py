"""Centroids of a residual quantizer, trained for the beam search that will choose among them."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, some_rows
from lplr_index.basis import energy_basis
from lplr_index.codecs import Centroids
from lplr_index.codecs.centroids import CENTROIDS
from lplr_index.linalg import column_energies, single_threaded
from lplr_index.products import Product
from lplr_index.threads import available, by_rows, run

_CHOICES = 2  # of the stages before, for each row, that a stage is trained on
_STEPS, _ROUNDS = 10, 5  # of k-means: widths, and turns at each
_LAST = 4  # steps that see all rows
_FEW = 16384  # rows that the steps before them see
_MOST = 65536  # rows of a stage, each choice counted
_CHANCE = 2.0  # what chance makes of a mean, relative to rows drawn blindly: they are drawn to be near it
_PRIOR = 30.0  # rows that the old centroid counts for in a refit
_COLUMNS, _TOGETHER = 64, 4096  # columns, or rows, of a task
_LEAST = 1e-300  # of what is divided by


def grow_stages(y: FloatMatrix, stages: int, seed: int, start: Centroids | None = None) -> Centroids:
    """Centroids for rows y (n, m), one stage after the other.

    Parameters
    ----------
    y : ndarray of shape (n, m), float32
        Rows should be several times 256; where there are fewer than 256, words stay unused.
    stages : int
        How many.
    seed : int
        Of starts and of the rows that are used.
    start : Centroids, optional
        What this function found before for fewer stages of the same rows.

    Notes
    -----
    A stage is trained on what the best few choices of the stages before it leave of each row, not on the best alone:
    then it offers corrections for all of them, and the beam search finds sums that one choice after the other would
    miss (Liu, Lu & Hua 2015 train residual quantizers like this, and so does faiss).
    """
    found = Centroids(np.zeros((0, CENTROIDS, y.shape[1]), np.float32)) if start is None else start
    for stage in range(found.stages, stages):
        rng = np.random.default_rng([seed, stage])
        rest = by_rows(partial(_left_by_choices, found), some_rows(y, _MOST // (_CHOICES if stage else 1), rng))
        words = k_means(rest.reshape(-1, y.shape[1]), rng)
        del rest  # as large as the sample
        found = Centroids(np.concatenate([found.table, words[None]]))
    return Centroids(found.table[:stages])


def _left_by_choices(centroids: Centroids, y: FloatMatrix) -> FloatMatrix:
    """What the best few choices of centroids leave of rows y (n, m), (n, choices, m)."""
    words = centroids.choices(y, _CHOICES)
    sums = centroids.decode(words.reshape(len(y) * words.shape[1], centroids.stages))
    rest = sums.reshape(*words.shape[:2], y.shape[1])
    return np.subtract(y[:, None], rest, out=rest)


def k_means(y: FloatMatrix, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """256 centroids (256, m) float32 for rows y (n, m), which are overwritten: Lloyd's iteration from random rows.

    Notes
    -----
    The first turns see only the directions of most energy, and each step more of them (as faiss trains residual
    quantizers): what stages leave is nearly Gaussian, where a start in all directions at once ends in a poor optimum.
    A centroid that loses all its rows moves beside one of those that have most, as in faiss. In the end centroids
    shrink by what chance gave them, see ``_shrunk``.
    """
    _, basis = energy_basis(y, y.shape[1], 0)
    product, m = Product(basis), basis.shape[1]

    def turn(start: int) -> None:
        y[start : start + _TOGETHER] = product(y[start : start + _TOGETHER])

    run([partial(turn, start) for start in range(0, len(y), _TOGETHER)], available())
    order = rng.permutation(len(y))
    few, words = y[np.sort(order[:_FEW])], np.zeros((CENTROIDS, m), np.float32)
    words[: len(order)] = y[order[:CENTROIDS]]
    for step in range(1, _STEPS + 1):
        width = int(np.ceil(m ** (step / _STEPS)))
        seen = (y if step > _STEPS - _LAST else few)[:, :width]
        for _ in range(_ROUNDS):
            sums, counts = _sums(seen, _nearest(seen, words[:, :width]))
            words[:, :width] = sums / np.maximum(counts, 1)[:, None]
            crowded = np.argsort(-counts, kind="stable")
            for rank, empty in enumerate(np.flatnonzero(counts == 0)):
                words[empty] = words[crowded[rank % CENTROIDS]] * np.float32(1 + 1 / 1024)
    with single_threaded():
        turned: FloatMatrix = _shrunk(y, words) @ basis.T
    return turned


def _nearest(y: FloatMatrix, words: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The nearest word (n,) of each row of y (n, m)."""
    halves = np.square(words, dtype=np.float64).sum(axis=1).astype(np.float32) / 2

    def find(part: FloatMatrix) -> npt.NDArray[np.int64]:
        scores = part @ words.T
        scores -= halves
        best: npt.NDArray[np.int64] = scores.argmax(axis=1)
        return best

    with single_threaded():
        return by_rows(find, y)


def _shrunk(y: FloatMatrix, words: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centroids (256, m) nearer to zero by what chance alone makes of means of so few rows of y (n, m).

    Empirical Bayes: a column whose centroids differ by no more than means of random rows would, says nothing.
    """
    chosen = _nearest(y, words)
    counts = np.bincount(chosen, minlength=CENTROIDS)[:, None]
    noise = np.zeros(y.shape[1])
    for start in range(0, len(y), _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        noise += _CHANCE * column_energies(y[rows] - words[chosen[rows]]) * (len(y[rows]) / len(y))
    spread = (counts * np.square(words, dtype=np.float64)).sum(axis=0) / len(y)
    signal = np.maximum(spread - noise * CENTROIDS / len(y), 0)
    shrink = signal / np.maximum(signal + noise / np.maximum(counts, 1), _LEAST)
    shrunk: FloatMatrix = (words * shrink).astype(np.float32)
    return shrunk


def _sums(y: FloatMatrix, words: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """For each word, the sum (256, m) and the number (256,) of the rows of y (n, m) that have it, by words (n,)."""
    from lplr_index.kernels import centroids as kernel

    def add(columns: slice) -> npt.NDArray[np.float64]:
        sums = np.zeros((CENTROIDS, len(range(y.shape[1])[columns])))
        kernel.add_rows(y[:, columns], words, sums)
        return sums

    parts = run([partial(add, slice(at, at + _COLUMNS)) for at in range(0, y.shape[1], _COLUMNS)], available())
    return np.concatenate(parts, axis=1), np.bincount(words, minlength=CENTROIDS)


def refit_stages(y: FloatMatrix, old: Centroids) -> Centroids:
    """The centroids of least squared error for rows y (n, m) and the words that a search finds for them.

    The least squares of LPLR's last step, with L the rows' one-hot words and R all centroids; a small ridge keeps
    centroids there that few rows use.
    """
    if old.stages < 2:
        return old
    stages, count, m = old.table.shape
    words = by_rows(old.encode, y)
    wide = words.astype(np.int64)
    together = np.zeros((stages, count, stages, count))
    for s in range(stages):
        for u in range(stages):
            pairs = np.bincount(wide[:, s] * count + wide[:, u], minlength=count * count)
            together[s, :, u] = pairs.reshape(count, count)
    square = together.reshape(stages * count, stages * count)
    sums = np.concatenate([_sums(y, np.ascontiguousarray(chosen))[0] for chosen in words.T])
    table = old.table.reshape(stages * count, m).astype(np.float64)
    with single_threaded():
        table += np.linalg.solve(square + _PRIOR * np.eye(len(square)), sums - square @ table)
    return Centroids(table.astype(np.float32).reshape(old.table.shape))
