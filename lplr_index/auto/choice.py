"""Which recipe: decided by recall on rows of the training sample that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.auto.metrics import Metrics
from lplr_index.auto.recipe import Fit, Recipe, fit
from lplr_index.auto.shrinkage import with_unseen_directions
from lplr_index.basis import right_inverse
from lplr_index.norms import Norm
from lplr_index.products import Product
from lplr_index.threads import available, by_rows, run

_FEWEST = 1024  # rows to choose by; with fewer the plain recipe is taken
_FIT_ROWS, _BASE_ROWS, _QUERY_ROWS = 16384, 16384, 2048  # at most, of a trial
_ROWS_OF_A_CENTROID = 8  # fewer training rows than this times 256 carry no centroids
_NEIGHBOURS = 20  # of a query: recall of twice the usual ten tells recipes apart with fewer queries
_TOGETHER = 32  # queries whose scores are in memory at a time
_POWERS = (1.3, 1.65, 2.0)
_STAGES = (1, 2)  # with which the power is chosen, because more take long
_MORE_STAGES, _MOST_STAGES = 4, 8
_PAID = 0.01  # recall that more stages must have gained before most are tried: seldom, and they take longest
_SHARES = (0.1, 0.25, 0.5)  # of the metric, that queries may have
_GAIN_POWERS = (0.5, 0.75, 1.0)
_CLEAR = 0.002  # recall by which what is not usual must be better: less is noise
_HIDDEN = 0.01  # of the neighbours missed, that a centroid byte may miss more of: trials have fewer rows to learn from
_LEAST = 1e-30  # of what is divided by
_AWAY = 0.005  # recall that rows may lose as queries where the user's queries gain

PLAIN = Recipe(power=1.65, stages=0)
"""What is taken where rows are too few to choose by."""


@dataclass(frozen=True)
class Trial:
    """Recall of a recipe.

    Attributes
    ----------
    recipe : Recipe
        With the best of the gain powers.
    recall : float
        Of held-out rows as queries.
    asked : float
        Of the user's queries; the same where there are none.
    """

    recipe: Recipe
    recall: float
    asked: float


class HeldOut:
    """A sample cut into rows to fit and rows to find, some of which are queries too, that do not find themselves.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample.
    queries : ndarray of shape (nq, d), float32, or None
        The user's.
    nbytes : int
        Bytes of a row, scalars included.
    l2 : bool
        Whether neighbours are those of least distance, and rows store norms, or of largest inner product.
    seed : int
        Of the cut and of training.
    """

    def __init__(self, x: FloatMatrix, queries: FloatMatrix | None, nbytes: int, *, l2: bool, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(x))
        base, sample, _ = np.split(order, np.cumsum([min(_BASE_ROWS, len(x) // 4), _FIT_ROWS]))
        self._base, rows = np.ascontiguousarray(x[base]), np.ascontiguousarray(x[sample])
        self._mu = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._rows = len(rows)
        self._A = with_unseen_directions(rows - self._mu, seed)
        self._lengths = np.sqrt(np.square(self._base, dtype=np.float64).sum(axis=1))
        self._nbytes, self._l2, self._seed = nbytes, l2, seed
        known, self._queries = None, [self._base[:_QUERY_ROWS]]
        if queries is not None:
            known, asked = queries[::2], queries[1::2][:_QUERY_ROWS]
            self._queries.append(np.ascontiguousarray(asked))
        self._metrics = Metrics(self._A, known, nbytes, seed)
        self._fits: dict[tuple[float, float], Fit] = {}  # by what makes the metric
        self._exact = self._found(self._base, [np.ones(len(self._base))], [self._lengths**2])[0]

    @property
    def most_stages(self) -> int:
        """Stages that a row has bytes for beside one of the chain, if there are rows enough to train centroids on."""
        return self._nbytes - self._norm_bytes(PLAIN) - 1 if self._rows >= 256 * _ROWS_OF_A_CENTROID else 0

    def trial(self, recipe: Recipe) -> Trial:
        """Fit by a recipe and measure it, with the best of the gain powers for rows as queries."""
        return max(self.trials(recipe), key=lambda one: one.recall)

    def trials(self, recipe: Recipe) -> list[Trial]:
        """Fit by a recipe and measure it, with each of the gain powers."""
        metric = recipe.power, recipe.query_share
        before = self._fits.get(metric, next(iter(self._fits.values()), None))
        nbytes = self._nbytes - self._norm_bytes(recipe)
        found = self._fits[metric] = fit(self._A, self._metrics(recipe), recipe, nbytes, self._seed, before)
        hats, lengths = self._reconstruct(found)
        powers = _GAIN_POWERS if recipe.gain_bits else (0.0,)
        gains = [(self._lengths / np.maximum(lengths, _LEAST)) ** power for power in powers]
        stored = [Norm.fit(lengths * gain, recipe.norm_bits).rounded(lengths * gain) for gain in gains]
        trials = []
        for power, each in zip(powers, self._found(hats, gains, stored), strict=True):
            recalls = [_recall(*pair) for pair in zip(self._exact, each, strict=True)]
            trials.append(Trial(replace(recipe, gain_power=power), recalls[0], recalls[-1]))
        return trials

    def _reconstruct(self, found: Fit) -> tuple[FloatMatrix, npt.NDArray[np.float64]]:
        """Reconstructions of the rows to find, without gains, and their lengths."""
        encoding = Product(right_inverse(found.R) if found.encoder is None else found.encoder)
        decoding = Product(found.R)

        def reconstruct(rows: FloatMatrix) -> FloatMatrix:
            codes = found.codec.encode(encoding(rows - self._mu))
            hats: FloatMatrix = self._mu + decoding(found.codec.decode(codes))
            return hats

        hats = by_rows(reconstruct, self._base)
        return hats, np.sqrt(np.square(hats, dtype=np.float64).sum(axis=1))

    def _norm_bytes(self, recipe: Recipe) -> int:
        """Bytes of a row's norm."""
        return recipe.norm_bits // 8 if self._l2 else 0

    def _found(
        self, rows: FloatMatrix, gains: list[npt.NDArray[np.float64]], norms: list[npt.NDArray[np.float64]]
    ) -> list[list[npt.NDArray[np.int64]]]:
        """For each of the gains and norms, the numbers (nq, 20) of the best rows for each set of queries, unordered."""
        table, most = Product(np.ascontiguousarray(rows.T)), min(_NEIGHBOURS, len(rows))
        factors = [gain.astype(np.float32) for gain in gains]
        offsets = [norm.astype(np.float32) / 2 if self._l2 else np.float32(0) for norm in norms]

        def best(xq: FloatMatrix, first: int | None) -> npt.NDArray[np.int64]:
            scores, found = table(xq), np.empty((len(xq), len(gains), most), np.int64)
            for number, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
                ranked = offset - scores * factor
                if first is not None:
                    np.fill_diagonal(ranked[:, first:], np.inf)
                found[:, number] = np.argpartition(ranked, most - 1, axis=1)[:, :most]
            return found

        every = []
        for number, xq in enumerate(self._queries):
            starts = range(0, len(xq), _TOGETHER)
            tasks = [partial(best, xq[at : at + _TOGETHER], None if number else at) for at in starts]
            every.append(np.concatenate(run(tasks, available())))
        return [[found[:, number] for found in every] for number in range(len(gains))]


def choose(x: FloatMatrix, queries: FloatMatrix | None, nbytes: int, *, l2: bool, seed: int) -> Recipe:
    """The recipe of best recall on held-out rows of the sample x (n, d).

    One choice after the other: centroid bytes, then the power of the metric, then under L2 the bytes of norms. With
    queries (nq, d) of the user's own, then how much of the metric is theirs, by their recall, which must cost rows as
    queries next to nothing.
    """
    if len(x) < _FEWEST:
        return PLAIN
    held = HeldOut(x, queries, nbytes, l2=l2, seed=seed)
    best = _with_stages(held, held.trial(PLAIN), _STAGES)
    best = _with_power(held, best, _POWERS)
    if best.recipe.stages == max(_STAGES):
        best = _with_many_stages(held, best)
    if l2:
        best = max([best, held.trial(replace(best.recipe, norm_bits=8))], key=lambda one: one.recall)
    return best.recipe if queries is None else _with_queries(held, best).recipe


def _with_stages(held: HeldOut, best: Trial, stages: Sequence[int]) -> Trial:
    """The best trial with so many centroid bytes, or the one given."""
    for count in stages:
        if count <= held.most_stages:
            more = held.trial(replace(best.recipe, stages=count))
            if more.recall >= best.recall - _HIDDEN * (1 - best.recall) * (count - best.recipe.stages):
                best = more
    return best


def _with_many_stages(held: HeldOut, few: Trial) -> Trial:
    """The best trial with more centroid bytes, or the one given.

    What centroids take, weighs less in what is left: with four of them the next lower power is tried as well, and the
    most, which take longest, are tried with it alone.
    """
    more = _with_stages(held, few, [_MORE_STAGES])
    if more is few:
        return few
    more = _with_power(held, more, [_lower(more.recipe.power)])
    most = min(held.most_stages, _MOST_STAGES)
    if more.recall < few.recall + _PAID or most <= _MORE_STAGES:
        return more
    return _clearly_best(more, [held.trial(replace(more.recipe, stages=most, power=_lower(more.recipe.power)))])


def _lower(power: float) -> float:
    """The next lower power, or this one if it is the lowest."""
    return max((each for each in _POWERS if each < power), default=power)


def _with_power(held: HeldOut, best: Trial, powers: Sequence[float]) -> Trial:
    """The best trial with one of the powers, or the one given unless that is clearly worse."""
    others = [replace(best.recipe, power=power) for power in powers if power != best.recipe.power]
    return _clearly_best(best, [held.trial(recipe) for recipe in others])


def _clearly_best(usual: Trial, others: Sequence[Trial]) -> Trial:
    """The best of the trials, where others than the usual one must be clearly better."""
    return max([usual, *others], key=lambda one: one.recall - (one is not usual) * _CLEAR)


def _with_queries(held: HeldOut, best: Trial) -> Trial:
    """The best trial for the user's queries with a metric that is in part theirs, unless rows as queries lose by it."""
    powers = sorted({best.recipe.power, PLAIN.power})
    recipes = [replace(best.recipe, query_share=share, power=power) for share in _SHARES for power in powers]
    shared = [trial for recipe in recipes for trial in held.trials(recipe)]
    return max([best, *(one for one in shared if one.recall >= best.recall - _AWAY)], key=lambda one: one.asked)


def _recall(exact: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> float:
    """The part of the exact neighbours (nq, k) that is found (nq, k)."""
    return float((exact[:, :, None] == found[:, None, :]).any(axis=2).mean())
