"""``semantic_search`` with the signature and the results of sentence-transformers' own, over packed rows.

Tensors are read through numpy: this module needs neither torch nor sentence-transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_array, as_integer, some_rows
from lplr_index.contract import Index
from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.refine import IndexRefineLPLR

FUNCTIONS = {"cos_sim": "cosine", "pytorch_cos_sim": "cosine", "dot_score": "ip", "euclidean_sim": "l2"}
"""The metric of each of sentence-transformers' score functions."""

NAMES = {**FUNCTIONS, "cosine": "cosine", "dot": "ip", "euclidean": "l2"}
"""The metric of a score by name: of its function, or as their ``SimilarityFunction`` spells it."""

_TRAINING = 1 << 12  # rows that an index learns from which lives as long as one call

Hits = list[dict[str, Any]]


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: Any = None,
    *,
    bits: float = 1.0,
    filter: Any = None,
    threads: int | None = None,
) -> list[Hits]:
    """The rows of a corpus that are nearest to each query: ``sentence_transformers.util.semantic_search``.

    Parameters
    ----------
    query_embeddings : array_like of shape (nq, d) or (d,)
        Queries, or one: an array, a tensor on any device, or a list of either.
    corpus_embeddings : IndexLPLR, IndexRefineLPLR, Store, or array_like of shape (n, d)
        What is searched. Of an array an index is made for this one call, and what it finds is ranked and scored by the
        array itself. Making it takes far longer than searching it: a corpus that is searched again wants an index.
    query_chunk_size : int
        Queries taken at a time. The results do not depend on it.
    corpus_chunk_size : int
        Known for the sake of the signature: no scores of a whole corpus are held.
    top_k : int
        Results wanted of each query.
    score_function : callable or str, optional
        sentence-transformers' ``cos_sim``, ``dot_score`` or ``euclidean_sim``, or the name of one. Where None, the
        metric of the index; cosine for an array. An index answers by its own metric only.
    bits : float
        Bits a coordinate of the index that is made of an array.
    filter : array_like of shape (n,), optional
        Rows that may be returned, as ``search`` of the index takes it.
    threads : int, optional
        Threads to use; all where None.

    Returns
    -------
    list of list of dict
        For each query its results, best first: ``{"corpus_id": int, "score": float}``. The id is the row number in an
        array, and the id in an index, which is a string where a store has such. The score is a similarity, or for
        ``euclidean_sim`` a distance with a minus. There are fewer than top_k where the corpus has fewer rows. Ties go
        to the lowest id.

    Raises
    ------
    InputError
        If an argument has another shape or range, or the index has another metric than the score asked for.
    """
    top_k = as_integer(top_k, "top_k", least=1)
    step = as_integer(query_chunk_size, "query_chunk_size", least=1)
    as_integer(corpus_chunk_size, "corpus_chunk_size", least=1)
    queries = _numbers(query_embeddings, "query_embeddings")
    queries = queries[None] if queries.ndim == 1 and len(queries) else queries
    index = _corpus(corpus_embeddings, _metric(score_function), bits)
    if index is None:
        return [[] for _ in queries]
    asked = {"filter": filter, "threads": threads}
    options = {name: value for name, value in asked.items() if value is not None}
    found: list[Hits] = []
    for start in range(0, max(len(queries), 1), step):
        D, I = index.search(queries[start : start + step], top_k, **options)
        found += _hits(-np.sqrt(np.maximum(D, 0)) if index.metric == "l2" else D, I)
    return found


def _corpus(corpus: Any, metric: str | None, bits: float) -> Index | None:
    """The index to search; None where the corpus is an array without rows."""
    if isinstance(corpus, Index):
        if metric not in {None, corpus.metric}:
            raise InputError(f"expected the score of the index, whose metric is {corpus.metric}, got that of {metric}")
        return corpus
    rows = _numbers(corpus, "corpus_embeddings")
    if rows.ndim != 2:
        raise InputError(f"expected an index or corpus_embeddings of shape (n, d), got shape {rows.shape}")
    if not len(rows):
        return None
    index = IndexLPLR(rows.shape[1], bits, metric or "cosine")
    index.train(some_rows(rows, _TRAINING, 0))
    index.add(rows)
    return IndexRefineLPLR(index, originals=rows)


def _metric(score: Any) -> str | None:
    """The metric of a score function, which is known by its name."""
    if score is None:
        return None
    known = FUNCTIONS if callable(score) else NAMES
    name = getattr(score, "__name__", "") if callable(score) else getattr(score, "value", score)
    if not (isinstance(name, str) and name in known):
        raise InputError(f"expected score_function to be cos_sim, dot_score or euclidean_sim, got {score!r}")
    return known[name]


def _numbers(x: Any, name: str) -> npt.NDArray[Any]:
    """What was given as an array; tensors come from their device and out of their graph."""
    if isinstance(x, (list, tuple)):
        return as_array([_off_device(each) for each in x], name=name)
    return as_array(_off_device(x), name=name)


def _off_device(x: Any) -> Any:
    if not callable(getattr(x, "detach", None)):
        return x
    x = x.detach().cpu()
    return x.float() if str(x.dtype) == "torch.bfloat16" else x  # which numpy lacks


def _hits(scores: FloatMatrix, ids: Any) -> list[Hits]:
    """Results as dictionaries of scores (nq, k) and ids (nq, k), those that are missing left out."""
    return [
        [{"corpus_id": one, "score": score} for one, score in zip(*pair, strict=True) if one not in {-1, None}]
        for pair in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
