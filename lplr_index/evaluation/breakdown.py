"""Where the error of scores comes from: the rank, the bits of a row, and the arithmetic of a query, one after another.

A score passes through stages, each of which takes something away from what the stage before had:

==============  =====================================================================================================
rank            rows are projected, exactly, to what R spans; nothing is lost where R is the identity (``nq``)
L bits          a row is what its bytes say: the code of its coordinates, its gain and, under L2, its norm
search          the score is the one that a search returns
R int8          y = R q with the entries of R rounded to int8, as LRAMM multiplies (``lplr_index.projection``)
query int8      the query rounded to int8 too: y is a sum of integer products
==============  =====================================================================================================

So "search" ends what an index does to scores, and the two stages after it are what an int8 projection would add.
Searches rank by the reconstruction, and the bytes of their tables serve to throw rows away alone (docs/search.md):
at "search" only roundings of float32 are to be seen.

R is the one of the index. That of the published methods has been rounded to ``nbits_R`` bits before L is projected on
it, so what that costs the span is part of "rank".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_array, as_ids, as_integer, as_rows
from lplr_index.errors import InputError
from lplr_index.evaluation.groundtruth import GroundTruth
from lplr_index.evaluation.metrics import recall_at_k
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.metric import is_similarity
from lplr_index.model import Model
from lplr_index.originals import spread_rows
from lplr_index.projection import IntegerProjection, round_to_bytes

MOST_ROWS = 20_000
"""Rows that are looked at, of more an even spread."""

MOST_QUERIES = 256
"""Queries that are asked, of more an even spread."""

SEARCH = "search"
"""The stage that ends what an index does."""

_OWN_SHARE = 0.6  # of rows that are more like their own reconstruction than another's: .5 by chance, .75 in one column
_FEW = 64  # rows that share is not asked of
_SAME = 1e-24  # of the mean square of scores: a variance that is rounding
_NO_LIMIT = float(np.finfo(np.float32).max)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """What a stage does to scores, in mean squares, relative to the variance of exact scores.

    Both are taken over the rows that a query is asked among, about their mean: an error that is the same for all rows
    of a query moves none of them before another. Under L2 scores are squared distances, otherwise similarities.

    Attributes
    ----------
    name : str
        See the table of this module.
    change : float
        Mean square of what the stage changes.
    cross : float
        Twice the mean product of that with the error before it: negative where a stage repairs, as a gain does.
    error : float
        Mean square of the error after it: that of the stage before, plus ``change`` and ``cross``.
    recall : float
        Share of the k nearest rows that the scores after it rank among the first k.
    """

    name: str
    change: float
    cross: float
    error: float
    recall: float


@dataclass(frozen=True)
class Breakdown:
    """The stages of an index, on some of its rows and some queries.

    Attributes
    ----------
    name : str
        The index.
    requested_bits : float or None
        Bits per coordinate that were asked for, where somebody did.
    n, nq, k : int
        Rows and queries looked at, neighbours wanted among these rows.
    stages : tuple of Stage
        In their order.
    """

    name: str
    requested_bits: float | None
    n: int
    nq: int
    k: int
    stages: tuple[Stage, ...]

    @property
    def error(self) -> float:
        """The error of what a search returns."""
        return next(stage.error for stage in self.stages if stage.name == SEARCH)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Breakdown:
        """Return the breakdown that ``dataclasses.asdict`` made ``content`` of."""
        return cls(**{**content, "stages": tuple(Stage(**each) for each in content["stages"])})


def break_down(
    index: IndexLPLR,
    x: npt.ArrayLike,
    xq: npt.ArrayLike,
    *,
    k: int = 10,
    rows: npt.ArrayLike | None = None,
    name: str = "",
    requested_bits: float | None = None,
    threads: int | None = None,
) -> Breakdown:
    """Measure where the error of an index's scores comes from, and which neighbours each part of it costs.

    Parameters
    ----------
    index : IndexLPLR
        Of any method and metric.
    x : array_like of shape (n, d)
        The vectors that rows of the index were made of.
    xq : array_like of shape (nq, d)
        Queries; at most ``MOST_QUERIES`` are asked.
    k : int
        Neighbours, at most n.
    rows : array_like of shape (n,), integer, optional
        Which rows of the index, in the order it holds them, ``x`` are, ascending; where None all of them, of which at
        most ``MOST_ROWS`` are looked at.
    name : str
        Passed on.
    requested_bits : float, optional
        Passed on.
    threads : int, optional
        Threads for the search; all where None.

    Raises
    ------
    InputError
        If the index is in lists, shapes do not fit, ``x`` are other vectors than those of the index, or all scores of
        each query are the same.
    NotTrainedError
        If the index is not trained.

    Notes
    -----
    Memory is three matrices (nq, n) and two (n, d) of float64.
    """
    if isinstance(index, IndexIVFLPLR):
        raise InputError("expected an index without lists, whose errors can be told apart, got one in lists")
    _ = index.model  # or NotTrainedError
    held, vectors = _chosen(index, x, rows)
    asked = as_rows(xq, index.d, cosine=index.metric == "cosine", name="queries")[0]
    queries = asked[spread_rows(len(asked), MOST_QUERIES)]
    k = min(as_integer(k, "k", least=1), len(held))
    exact = _keys(_products(queries, vectors), queries, index.metric, _squares(vectors))
    unit = _mean_square(exact)
    if not unit > _SAME * float(np.square(exact).mean()):
        raise InputError("expected queries whose scores differ from row to row, got rows that are all the same to them")
    best = _first(exact, k)
    truth = GroundTruth(_at(exact, best), best)
    stages, before = [], np.zeros_like(exact)
    for stage, scores in _staged(index, held, vectors, queries, threads):
        found = _first(scores, k)
        recall = recall_at_k(found, _at(exact, found), truth, k, similarity=True)
        after = _centred(scores - exact)
        change = after - before
        cross = 2 * float((before * change).mean())
        stages.append(Stage(stage, _mean_square(change) / unit, cross / unit, _mean_square(after) / unit, recall))
        before = after
    return Breakdown(name, requested_bits, len(held), len(queries), k, tuple(stages))


def _chosen(index: IndexLPLR, x: Any, rows: Any) -> tuple[IdArray, FloatMatrix]:
    """Return the numbers (n,) of some rows that the index holds, and the vectors (n, d) they were made of."""
    x = as_array(x)
    if not x.ndim:
        raise InputError(f"expected x of shape (n, {index.d}), got shape {x.shape}")
    if rows is None:
        if len(x) != index.ntotal:
            raise InputError(f"expected the {index.ntotal} vectors that the index was made of, got {len(x)}")
        held = spread_rows(index.ntotal, MOST_ROWS)
        x = x[held]
    else:
        held = as_ids(rows, len(x), name="rows")
        if len(held) and (held[0] < 0 or held[-1] >= index.ntotal or (np.diff(held) <= 0).any()):
            raise InputError(f"expected ascending numbers of the {index.ntotal} rows of the index, got others")
    if len(held) < 2:
        raise InputError(f"expected at least two rows to compare, got {len(held)}")
    vectors = as_rows(x, index.d, cosine=index.metric == "cosine")[0]
    _check_rows(vectors, index.model.decode(index.rows.store.rows(held)))
    return held, vectors


def _check_rows(vectors: FloatMatrix, hats: FloatMatrix) -> None:
    """Raise InputError where vectors (n, d) have as much in common with reconstructions of other rows as with theirs.

    They need not have the same codes: they may have been rounded since.
    """
    some = spread_rows(len(vectors))
    centred = vectors[some] - vectors[some].mean(axis=0)
    alike = (centred * (hats[some] - hats[np.roll(some, 1)])).sum(axis=1) >= 0
    if len(some) >= _FEW and alike.mean() < _OWN_SHARE:
        raise InputError(
            "expected the vectors that the index was made of, in the order of its rows, got others: "
            f"{alike.mean():.0%} of those looked at are more like what the index has of them than of another row"
        )


def _staged(
    index: IndexLPLR, held: IdArray, x: FloatMatrix, xq: FloatMatrix, threads: int | None
) -> Iterator[tuple[str, Scores]]:
    """Yield each stage and the scores (nq, n) after it of rows ``held`` (n,), larger being better."""
    model, codes = index.model, index.rows.store.rows(held)
    spanned = x if model.R is None else _spanned(x, model)
    yield "rank", _keys(_products(xq, spanned), xq, index.metric, _squares(spanned))
    norms = model.stored_norms(codes) if model.norm.bits else np.zeros(len(held))
    yield "L bits", _keys(_products(xq, model.decode(codes)), xq, index.metric, norms)
    yield SEARCH, _returned(index, held, xq, threads)
    L = model.coordinates(codes)
    gains = model.gain.decode(model.gain_codes(codes)) if model.gain.bits else np.ones(len(held))
    for name, y in zip(("R int8", "query int8"), _in_integers(model.R, xq), strict=True):
        products = (_products(y, L) + model.offsets(xq)[:, None]) * gains
        yield name, _keys(products, xq, index.metric, norms)


def _spanned(x: FloatMatrix, model: Model) -> Scores:
    """Return rows x (n, d) with the best coordinates for R that there are in place of codes."""
    R, mu = np.asarray(model.R, np.float64), model.mu.astype(np.float64)
    spanned: Scores = mu + (x - mu) @ np.linalg.pinv(R) @ R
    return spanned


def _in_integers(R: FloatMatrix | None, xq: FloatMatrix) -> tuple[Scores, Scores]:
    """Return y = R q (nq, m) with R in int8, and with the query too; None is the identity, and loses nothing."""
    if R is None:
        codes, steps = round_to_bytes(xq)
        return xq.astype(np.float64), np.multiply(codes, steps, dtype=np.float64)
    projection = IntegerProjection(R)
    return _products(xq, projection.codes * projection.steps), projection(xq).astype(np.float64)


def _returned(index: IndexLPLR, held: IdArray, xq: FloatMatrix, threads: int | None) -> Scores:
    """Return the scores (nq, n) that a range search without a limit gives for rows ``held`` (n,)."""
    mask = np.zeros(index.ntotal, np.bool_)
    mask[held] = True
    sign = 1.0 if is_similarity(index.metric_type) else -1.0
    _, D, _ = index.range_search(xq, -sign * _NO_LIMIT, filter=mask, threads=threads)
    scores: Scores = sign * D.reshape(len(xq), len(held)).astype(np.float64)
    return scores


def _products(xq: npt.NDArray[Any], x: npt.NDArray[Any]) -> Scores:
    """Return <q, x> (nq, n) in float64."""
    products: Scores = xq.astype(np.float64) @ x.astype(np.float64).T
    return products


def _squares(x: npt.NDArray[Any]) -> Scores:
    """Return |x|^2 (n,) in float64."""
    return np.asarray(np.square(x, dtype=np.float64).sum(axis=1))


def _keys(products: Scores, xq: FloatMatrix, metric: str, squares: Scores) -> Scores:
    """Return what rows are ranked by, (nq, n): <q, x>, or under L2 minus the squared distance, which is at least 0."""
    if metric != "l2":
        return products
    return -np.maximum(_squares(xq)[:, None] + squares - 2 * products, 0.0)


def _first(scores: Scores, k: int) -> IdArray:
    """Return the k best rows (nq, k), best first, ties by lowest number."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _at(scores: Scores, rows: IdArray) -> FloatMatrix:
    """Return the scores (nq, k) of chosen rows (nq, k), in the precision of the ground truth."""
    taken: FloatMatrix = scores[np.arange(len(rows))[:, None], rows].astype(np.float32)
    return taken


def _centred(errors: Scores) -> Scores:
    """Return errors (nq, n) less the mean of each query's."""
    centred: Scores = errors - errors.mean(axis=1, keepdims=True)
    return centred


def _mean_square(errors: Scores) -> float:
    """Return the mean square of errors (nq, n) about the mean of each query's."""
    return float(np.square(_centred(errors)).mean())
