"""faiss's quantizers, at its own sizes or at as many bytes as are asked for.

Its scalar quantizers, RaBitQ, TurboQuant and EDEN come in sizes of their own and are shown at those. Its product and
additive quantizers get as many codes as the budget has bytes; where a product quantizer's number of codes does not
divide the dimension, zeros are spread evenly between the coordinates, so that every code covers about as many.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from lplr_index.evaluation.offers import EXACT, Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer
from lplr_index.extras import require
from lplr_index.metric import metric_type

_RABITQ_QUERY_BITS = 8
_DEFAULT_ITERATIONS = 25  # of faiss's k-means
_FEWER_ITERATIONS = 5
_DEFAULT_ROUNDS = 50  # of faiss's OPQ, each with 4 iterations of k-means, after 40
_FEWEST_ROUNDS, _MOST_ROUNDS, _ROUNDS_TIMES_CODES = 2, 8, 240
_FEWER_LSQ_ITERATIONS, _FEWER_LSQ_SEARCHES = 5, 4
_FIXED_BITS = (1, 2, 3, 4)  # of RaBitQ, TurboQuant and EDEN


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    faiss, d, metric = require("faiss", "eval"), wanted.d, metric_type(wanted.metric)
    recipes = _Recipes(faiss, d, metric, thorough=wanted.thorough, seed=wanted.seed)
    for budget in wanted.bits:
        size = int(budget * d / 8)
        yield from _product_quantizers(recipes, budget, size, wanted.nt)
        if wanted.additive_codes:
            yield from _additive_quantizers(recipes, budget, size, wanted.nt, wanted.additive_codes)
    if not wanted.additive_codes:
        yield Skip("faiss RQ and LSQ", None, "left out, for they train for minutes or hours")
    for nbits in (4, 8):
        yield Contender("faiss SQ", f"faiss SQ{nbits}", "", None, partial(recipes.scalar, nbits))
    for nbits in _FIXED_BITS:
        note = f"random rotation, queries in {_RABITQ_QUERY_BITS} bits"
        if nbits > 1:
            note += "; faiss gives rows back from their first bits only, hence the error"
        yield Contender("faiss RaBitQ", f"faiss RaBitQ-{nbits}", note, None, partial(recipes.rabitq, nbits))
    yield from _rotated_scalar_quantizers(recipes, wanted.metric)
    yield Contender(EXACT, "faiss Flat", "", None, partial(faiss.IndexFlat, d, metric))


def _product_quantizers(recipes: _Recipes, budget: float, size: int, nt: int) -> Iterator[Contender | Skip]:
    """Yield the three product quantizers of ``size`` bytes a row."""
    offers = [
        ("faiss PQ", f"faiss PQ{size}", 256, size, recipes.pq),
        ("faiss OPQ+PQ", f"faiss OPQ{size}+PQ{size}", 256, size, recipes.opq),
        ("faiss PQ fast scan", f"faiss PQ{2 * size}x4fs", 16, 2 * size, recipes.fast_scan),
    ]
    for family, name, centroids, codes, build in offers:
        if not 0 < codes <= recipes.d:
            yield Skip(
                name, budget, f"expected 1 to {recipes.d} codes a row, one or more coordinates each, got {codes}"
            )
        elif nt < centroids:
            yield Skip(name, budget, f"expected at least {centroids} training rows, one for each centroid, got {nt}")
        elif build == recipes.opq and nt < recipes.padded(codes):  # faiss would write past its memory and abort
            yield Skip(
                name, budget, f"expected at least {recipes.padded(codes)} training rows, one for each column, got {nt}"
            )
        else:
            note = recipes.opq_note(codes) if build == recipes.opq else recipes.pq_note
            yield Contender(family, name, note, budget, partial(build, codes))


def _additive_quantizers(recipes: _Recipes, budget: float, size: int, nt: int, most: int) -> Iterator[Contender | Skip]:
    """Yield the two additive quantizers of ``size`` bytes a row."""
    offers = [
        ("faiss RQ", f"faiss RQ{size}x8", "", recipes.residual),
        ("faiss LSQ", f"faiss LSQ{size}x8", recipes.lsq_note, recipes.local_search),
    ]
    for family, name, note, build in offers:
        if not 0 < size <= most:
            yield Skip(name, budget, f"expected 1 to {most} codes a row, got {size}")
        elif nt < 256:
            yield Skip(name, budget, f"expected at least 256 training rows, one for each centroid, got {nt}")
        else:
            yield Contender(family, name, note, budget, partial(build, size))


def _rotated_scalar_quantizers(recipes: _Recipes, metric: str) -> Iterator[Contender | Skip]:
    """Yield TurboQuant, without its inner-product form, which finds less than the plain one, and EDEN."""
    offers = [("faiss TurboQuant", "faiss SQtqmse", recipes.turboquant), ("faiss EDEN", "faiss EDEN", recipes.eden)]
    for family, name, build in offers:
        if metric != "cosine" and build == recipes.turboquant:
            yield Skip(name, None, f"expected metric cosine, for it keeps no lengths, got {metric}")
        elif not recipes.has_eden:
            yield Skip(name, None, "expected a faiss that has it, as 1.15.1 does, got an older one")
        else:
            for nbits in _FIXED_BITS:
                yield Contender(family, f"{name}{nbits}", "random rotation", None, partial(build, nbits))


class _Recipes:
    """How each faiss index is made, training settings included."""

    def __init__(self, faiss: Any, d: int, metric_number: int, *, thorough: bool, seed: int) -> None:
        self.d = d
        self._faiss = faiss
        self._metric = metric_number
        self._thorough = thorough
        self._seed = seed

    @property
    def pq_note(self) -> str:
        return "" if self._thorough else f"{_FEWER_ITERATIONS} k-means iterations (faiss: {_DEFAULT_ITERATIONS})"

    def opq_note(self, codes: int) -> str:
        if self._thorough:
            return ""
        return f"{self._rounds(codes)} rotation rounds (faiss: {_DEFAULT_ROUNDS}), {self.pq_note}"

    @property
    def lsq_note(self) -> str:
        if self._thorough:
            return ""
        own = self._faiss.LocalSearchQuantizer()
        return (
            f"{_FEWER_LSQ_ITERATIONS} training iterations (faiss: {own.train_iters}) "
            f"of {_FEWER_LSQ_SEARCHES} searches (faiss: {own.train_ils_iters})"
        )

    @property
    def has_eden(self) -> bool:
        """Whether this faiss has EDEN and TurboQuant, which came together."""
        return hasattr(self._faiss, "IndexEDEN")

    def pq(self, codes: int) -> Any:
        """One byte a code."""
        width = self.padded(codes)
        index = self._faiss.IndexPQ(width, codes, 8, self._metric)
        self._set_clustering(index.pq)
        return index if width == self.d else self._faiss.IndexPreTransform(self._padding(width), index)

    def fast_scan(self, codes: int) -> Any:
        """Four bits a code, in faiss's layout for shuffles."""
        width = self.padded(codes)
        index = self._faiss.IndexPQFastScan(width, codes, 4, self._metric)
        self._set_clustering(index.pq)
        return index if width == self.d else self._faiss.IndexPreTransform(self._padding(width), index)

    def opq(self, codes: int) -> Any:
        """One byte a code after a learned rotation, which pads by itself."""
        width = self.padded(codes)
        index = self._faiss.IndexPQ(width, codes, 8, self._metric)
        self._set_clustering(index.pq)
        rotation = self._faiss.OPQMatrix(self.d, codes, width)
        trial = self._faiss.ProductQuantizer(width, codes, 8)
        self._set_clustering(trial)
        rotation.pq = trial
        self._faiss.add_to_referenced_objects(rotation, trial)  # C++ does not own it
        if not self._thorough:
            rotation.niter = self._rounds(codes)
            rotation.niter_pq_0, rotation.niter_pq = 2, 1
        return self._faiss.IndexPreTransform(rotation, index)

    def scalar(self, nbits: int) -> Any:
        """A uniform grid per coordinate."""
        kind = {4: self._faiss.ScalarQuantizer.QT_4bit, 8: self._faiss.ScalarQuantizer.QT_8bit}[nbits]
        return self._faiss.IndexScalarQuantizer(self.d, kind, self._metric)

    def rabitq(self, nbits: int) -> Any:
        """RaBitQ after a random rotation, without which its bounds do not hold."""
        index = self._faiss.IndexRaBitQ(self.d, self._metric, nbits)
        index.qb = _RABITQ_QUERY_BITS
        return self._rotated(index)

    def turboquant(self, nbits: int) -> Any:
        """Levels for a coordinate of a random unit vector, which a random rotation makes of any."""
        kind = getattr(self._faiss.ScalarQuantizer, f"QT_{nbits}bit_tqmse")
        return self._rotated(self._faiss.IndexScalarQuantizer(self.d, kind, self._metric))

    def eden(self, nbits: int) -> Any:
        """The same levels, and a scale a row."""
        return self._rotated(self._faiss.index_factory(self.d, f"EDEN{nbits}", self._metric))

    def residual(self, codes: int) -> Any:
        """One byte a code, each a whole vector, found by beam search."""
        index = self._faiss.IndexResidualQuantizer(self.d, codes, 8, self._metric)
        index.rq.cp.seed += self._seed
        index.rq.cp.min_points_per_centroid = 1  # as for product quantizers
        return index

    def local_search(self, codes: int) -> Any:
        """The same kind of code, found by iterated local search."""
        index = self._faiss.IndexLocalSearchQuantizer(self.d, codes, 8, self._metric)
        index.lsq.random_seed += self._seed
        if not self._thorough:
            index.lsq.train_iters, index.lsq.train_ils_iters = _FEWER_LSQ_ITERATIONS, _FEWER_LSQ_SEARCHES
        return index

    def _rotated(self, index: Any) -> Any:
        rotation = self._faiss.RandomRotationMatrix(self.d, self.d)
        rotation.init(self._seed)
        return self._faiss.IndexPreTransform(rotation, index)

    def padded(self, codes: int) -> int:
        """Return the next multiple of ``codes`` from d on: faiss wants codes of equally many coordinates."""
        return -(-self.d // codes) * codes

    def _padding(self, width: int) -> Any:
        uniformly = True
        return self._faiss.RemapDimensionsTransform(self.d, width, uniformly)

    def _set_clustering(self, pq: Any) -> None:
        pq.cp.min_points_per_centroid = 1  # faiss warns below 39; the budget of training rows is what it is
        pq.cp.seed += self._seed
        if not self._thorough:
            pq.cp.niter = _FEWER_ITERATIONS

    @staticmethod
    def _rounds(codes: int) -> int:
        """Return more rounds for fewer codes, where they are cheaper and gain more."""
        return min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, _ROUNDS_TIMES_CODES // codes))


PEER = Peer(
    "faiss",
    "faiss-cpu",
    "faiss",
    '"lplr_index[eval]"',
    "faiss PQ, OPQ+PQ, PQ fast scan, RQ, LSQ, SQ, RaBitQ, TurboQuant, EDEN and exact search",
    _offers,
)
