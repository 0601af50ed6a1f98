"""What to expect of an index of many rows, from a sample of them, in seconds.

A model is learned from some rows of the sample and others are indexed; recall is measured against exact search. Among
more rows it would be lower, because the nearest of more rows are closer together. It falls by about the same with
every doubling, so the rows indexed are cut into parts, recall is measured in each part, in pairs of them, and so on up
to all, and the straight line through these, over the logarithm of the rows, is followed to the rows there are.

What is cheaper here than in a real build makes an index that finds rather less: fewer rows to train on, and a recipe
that is good for most collections instead of one chosen for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer, as_vectors, unit_rows
from lplr_index.auto import Recipe
from lplr_index.errors import InputError
from lplr_index.evaluation.groundtruth import GroundTruth, exact_knn, score_ids
from lplr_index.evaluation.metrics import recall_at_k
from lplr_index.evaluation.recommendation import AUTO, Need, Point, need
from lplr_index.index import IndexLPLR
from lplr_index.metric import is_similarity, metric_type, parse_metric
from lplr_index.storage import serialize_index
from lplr_index.training import train_auto

QUERIES = 512
"""How many queries are asked at most."""

_TRAIN_ROWS, _FEWEST_TRAIN_ROWS, _TRAIN_ENTRIES = 8192, 3072, 1 << 22
_BASE_ROWS, _BASE_ENTRIES = 1 << 15, 1 << 24
_MOST_PARTS = 8
_PART_NEIGHBOURS = 20  # times k rows are in a part at the least
_BATCHES = 16  # of queries, whose scatter is the spread
_STAGES = 2  # centroid bytes, where rows to train on are enough for them
_ROWS_OF_STAGES = 2048
_LEAST_CODE = 2  # bytes of a code beside its centroids
_NORM = 1  # byte, under L2
_FIRST_BITS, _LEAST_BITS, _MOST_BITS = 1.0, 0.125, 8.0
_REFINEMENTS = 1
_NEAR = 1.04  # sizes closer than this are not looked between

Tell = Callable[[int, float], object]


@dataclass(frozen=True)
class Expectation:
    """What a size finds.

    Attributes
    ----------
    bits : float
        A coordinate.
    nbytes : int
        A row.
    sampled : float
        Recall@k among the rows of the sample that were indexed.
    recall : float
        Expected among all rows.
    spread : float
        The standard error of that, as far as it comes from having asked few queries.
    fixed_bytes : int
        Of the index file that do not grow with rows.
    """

    bits: float
    nbytes: int
    sampled: float
    recall: float
    spread: float
    fixed_bytes: int


def sample_size(d: int) -> int:
    """Return how many rows of ``d`` coordinates a rehearsal makes use of, queries included."""
    return _train_rows(d) + _base_rows(d) + QUERIES


class Rehearsal:
    """A sample, cut into rows to train on, rows to index and queries.

    Parameters
    ----------
    x : array_like of shape (rows, d)
        The sample.
    xq : array_like of shape (nq, d), optional
        Queries; where None some rows of the sample are held out.
    n : int
        Rows there are, of which x is a sample.
    metric : {"cosine", "ip", "l2"} or int
        As for ``IndexLPLR``.
    k : int
        Neighbours.
    seed : int
        Of the cut and of training.

    Raises
    ------
    InputError
        If there are too few rows, or an argument is wrong.
    """

    def __init__(
        self, x: Any, xq: Any = None, *, n: int, metric: str | int = "cosine", k: int = 10, seed: int = 0
    ) -> None:
        self.metric, self.k, self._seed = parse_metric(metric), as_integer(k, "k", least=1), as_integer(seed, "seed")
        rows = self._prepared(x, None, "x")
        self.d = rows.shape[1]
        rows = rows[np.random.default_rng(seed).permutation(len(rows))]
        held = 0 if xq is not None else max(1, min(QUERIES, len(rows) // 10))
        self._queries = rows[:held] if xq is None else self._prepared(xq, self.d, "xq")[:QUERIES]
        rest = rows[held:]
        if len(rest) < 2 or not len(self._queries):
            raise InputError(f"expected at least 3 rows, queries among them, got {len(rows)}")
        cut = min(_train_rows(self.d), len(rest) // 2)
        self._train = np.ascontiguousarray(rest[:cut])
        base = rest[cut : cut + _base_rows(self.d)]
        self.n, self.indexed = max(as_integer(n, "n", least=1), len(base)), len(base)
        count = _MOST_PARTS
        while count > 1 and len(base) < count * _PART_NEIGHBOURS * self.k:
            count //= 2
        self._parts = [np.ascontiguousarray(part) for part in np.array_split(base, count)]
        self._scoring = "ip" if self.metric == "cosine" else self.metric  # rows have been divided by their lengths
        self._truths = [exact_knn(self._queries, part, self.k, metric=self._scoring) for part in self._parts]

    @property
    def trained(self) -> int:
        """Rows trained on."""
        return len(self._train)

    @property
    def asked(self) -> int:
        """Queries asked."""
        return len(self._queries)

    def at(self, bits: float) -> Expectation:
        """Train an index of so many bits a coordinate, fill it, and say what to expect.

        Raises
        ------
        InputError
            If ``IndexLPLR`` takes no such bits.
        """
        empty = self._index(bits)
        index, fixed_bytes = empty, len(serialize_index(empty))
        found = []
        for part, truth in zip(self._parts, self._truths, strict=True):
            index = IndexLPLR.restored(empty.settings, empty.model, None)
            index.add(part)
            D, I = index.search(self._queries, min(self.k, len(part)))
            found.append((D, I, score_ids(self._queries, part, I, metric=self._scoring), truth))
        sizes, recalls = self._levels(found)
        expected = np.clip(follow(np.log2(sizes), recalls, math.log2(self.n)), 0, 1)
        spread = float(expected.std(ddof=1) / math.sqrt(len(expected))) if len(expected) > 1 else 0.0
        return Expectation(
            bits, empty.code_size, float(recalls[:, -1].mean()), float(expected.mean()), spread, fixed_bytes
        )

    def _index(self, bits: float) -> IndexLPLR:
        """An index that is trained, without choosing a recipe, which is what takes long."""
        settings = IndexLPLR(self.d, bits, self.metric, seed=self._seed).settings
        l2, nbytes = self.metric == "l2", settings.code_size
        stages = max(0, min(_STAGES, nbytes - _NORM * l2 - _LEAST_CODE)) if self.trained >= _ROWS_OF_STAGES else 0
        recipe = Recipe(stages=stages, norm_bits=8 * _NORM)
        model = train_auto(self._train, nbytes, l2=l2, seed=self._seed, recipe=recipe)
        return IndexLPLR.restored(settings, model, None)

    def _levels(self, parts: list[_Found]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Rows (levels,) and recalls (batches, levels) in parts, in pairs of them, and so on up to all."""
        sizes, recalls = [], []
        similarity = is_similarity(metric_type(self._scoring))
        batches = np.array_split(np.arange(self.asked), min(_BATCHES, self.asked))
        while True:
            of_parts = [[_recall(part, batch, self.k, similarity=similarity) for batch in batches] for part in parts]
            recalls.append(np.mean(of_parts, axis=0))
            sizes.append(self.indexed / len(parts))
            if len(parts) == 1:
                return np.array(sizes), np.array(recalls).T
            parts = [
                _merged(left, right, self.k, self.indexed, similarity=similarity)
                for left, right in zip(parts[::2], parts[1::2], strict=True)
            ]

    def _prepared(self, x: Any, d: int | None, name: str) -> FloatMatrix:
        rows = as_vectors(x, d, name=name)
        return unit_rows(rows)[0] if self.metric == "cosine" else rows


_Found = tuple[FloatMatrix, IdArray, FloatMatrix, GroundTruth]  # D and I (nq, k) of a search, their true scores, truth


def find_size(rehearsal: Rehearsal, target: float, tell: Tell) -> tuple[Need | None, list[Expectation]]:
    """Return the bytes at which a recall is to be expected, and what was tried: doubling or halving, then between.

    Parameters
    ----------
    rehearsal : Rehearsal
        The sample.
    target : float
        The recall@k that is wanted among all rows.
    tell : callable
        Told the number of sizes tried, and the bits of the next.

    Returns
    -------
    need : Need or None
        None if 8 bits are not enough.
    tried : list of Expectation
        By bytes.
    """
    tried: dict[int, Expectation] = {}

    def reaches(bits: float) -> bool:
        tell(len(tried), bits)
        one = rehearsal.at(bits)
        tried[one.nbytes] = one
        return one.recall >= target

    least_bytes = 2 * _LEAST_CODE + (2 if rehearsal.metric == "l2" else 0)  # under L2 two are its norm
    fewest = min(_MOST_BITS, max(_LEAST_BITS, 8 * least_bytes / rehearsal.d))
    bits = min(_MOST_BITS, max(_FIRST_BITS, fewest))
    if reaches(bits):
        while bits > fewest and reaches(bits := max(bits / 2, fewest)):
            pass
    else:
        while bits < _MOST_BITS and not reaches(bits := min(2 * bits, _MOST_BITS)):
            pass
    for _ in range(_REFINEMENTS):
        found = _need(tried, target)
        near = found is None or any(1 / _NEAR < found.nbytes / nbytes < _NEAR for nbytes in tried)
        if found is None or near:
            break
        reaches(8 * found.nbytes / rehearsal.d)
    return _need(tried, target), [tried[nbytes] for nbytes in sorted(tried)]


def _need(tried: dict[int, Expectation], target: float) -> Need | None:
    points = [Point(AUTO, each.nbytes, each.recall) for each in tried.values()]
    return need(points, target, family=AUTO, any_size=True)


def follow(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], to: float) -> npt.NDArray[np.float64]:
    """Return where lines end up that leave the last of their points with the slope of all.

    Parameters
    ----------
    x : ndarray of shape (points,), float64
        Ascending.
    y : ndarray of shape (lines, points), float64
        A line each.
    to : float
        Where to.

    Returns
    -------
    ndarray of shape (lines,), float64
    """
    centred = x - x.mean()
    squares = float(centred @ centred)
    slopes = y @ centred / squares if squares else np.zeros(len(y))
    ends: npt.NDArray[np.float64] = y[:, -1] + slopes * (to - x[-1])
    return ends


def _recall(found: _Found, queries: npt.NDArray[np.intp], k: int, *, similarity: bool) -> float:
    _, I, scores, truth = found
    some = GroundTruth(truth.D[queries], truth.I[queries])
    return recall_at_k(I[queries], scores[queries], some, min(k, I.shape[1]), similarity=similarity)


def _merged(left: _Found, right: _Found, k: int, rows: int, *, similarity: bool) -> _Found:
    """What a search of the rows of both would have found: the best of what was found in each."""
    D = np.concatenate([left[0], right[0]], axis=1)
    I = np.concatenate([left[1], right[1] + rows], axis=1)  # below 0 only where a part has no k rows: there is one part
    scores = np.concatenate([left[2], right[2]], axis=1)
    exact_D = np.concatenate([left[3].D, right[3].D], axis=1)
    exact_I = np.concatenate([left[3].I, right[3].I + rows], axis=1)
    sign = -1 if similarity else 1
    order = np.argsort(sign * D, axis=1, kind="stable")[:, :k]
    exact_order = np.argsort(sign * exact_D, axis=1, kind="stable")[:, :k]
    truth = GroundTruth(
        np.take_along_axis(exact_D, exact_order, axis=1), np.take_along_axis(exact_I, exact_order, axis=1)
    )
    return (
        np.take_along_axis(D, order, axis=1),
        np.take_along_axis(I, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        truth,
    )


def _train_rows(d: int) -> int:
    return min(_TRAIN_ROWS, max(_FEWEST_TRAIN_ROWS, _TRAIN_ENTRIES // d))


def _base_rows(d: int) -> int:
    return min(_BASE_ROWS, max(_FEWEST_TRAIN_ROWS, _BASE_ENTRIES // d))
