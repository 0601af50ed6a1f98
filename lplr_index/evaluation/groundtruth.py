"""Exact nearest neighbours in NumPy, by blocks: what every index is compared with.

A float32 matrix product finds the rows that can be among the k best; those alone are scored again in float64,
each row by itself, so that equal rows get equal scores whatever BLAS does. Scores that are equal as float32 are a tie,
and ties go to the lowest id. The result depends on neither block sizes nor threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer, as_vectors, unit_rows
from lplr_index.errors import InputError
from lplr_index.metric import is_similarity, metric_type, parse_metric, worst_distance

_BLOCK_ROWS = 1 << 13
_BLOCK_QUERIES = 1 << 8
_RESCORED_ENTRIES = 1 << 21  # 16 MiB in float64
_UNIT_ROUNDOFF = 2.0**-24  # of float32


class GroundTruth(NamedTuple):
    """The k nearest rows of each query, best first, by exact search.

    Attributes
    ----------
    D : ndarray of shape (nq, k), float32
        Similarities, or squared distances; padded with the float32 extreme where there are fewer than k rows.
    I : ndarray of shape (nq, k), int64
        Row numbers; -1 where there are fewer than k rows.
    """

    D: FloatMatrix
    I: IdArray


@np.errstate(over="ignore", invalid="ignore")  # products of huge numbers overflow to infinities, which tie
def exact_knn(xq: Any, xb: Any, k: int, *, metric: str | int = "cosine") -> GroundTruth:
    """Return the k nearest rows of ``xb`` for each query by exhaustive search.

    Beside the queries, memory is bounded by a few blocks of 8192 rows: ``xb`` may be a memory map of any size.

    Parameters
    ----------
    xq : array_like of shape (nq, d)
        Queries.
    xb : array_like of shape (n, d)
        Rows; read block by block.
    k : int
        Neighbours wanted.
    metric : {"cosine", "ip", "l2"} or int
        Cosine divides rows and queries by their lengths first; L2 is the squared distance.

    Returns
    -------
    GroundTruth
        D and I of shape (nq, k).

    Raises
    ------
    InputError
        If the matrices differ in width, hold anything but finite numbers, or k is not positive.
    """
    name, k = parse_metric(metric), as_integer(k, "k", least=1)
    queries = _prepare(xq, None, "xq", name)
    keys = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), -1, dtype=np.int64)
    for first in range(0, _length(xb), _BLOCK_ROWS):
        rows = _prepare(xb[first : first + _BLOCK_ROWS], queries.shape[1], "xb", name, first)
        for start in range(0, len(queries), _BLOCK_QUERIES):
            part = slice(start, start + _BLOCK_QUERIES)
            keys[part], ids[part] = _merge_block(queries[part], rows, first, keys[part], ids[part], name)
    return GroundTruth(_as_distances(keys, ids, name), ids)


@np.errstate(over="ignore")
def score_ids(xq: Any, xb: Any, I: npt.ArrayLike, *, metric: str | int = "cosine") -> FloatMatrix:
    """Return the exact scores of rows that a search returned, computed as ``exact_knn`` does.

    Parameters
    ----------
    xq : array_like of shape (nq, d)
        Queries.
    xb : array_like of shape (n, d)
        Rows.
    I : array_like of shape (nq, k)
        Row numbers; -1 for none.
    metric : {"cosine", "ip", "l2"} or int
        As for ``exact_knn``.

    Returns
    -------
    ndarray of shape (nq, k), float32
        Similarities or squared distances; the float32 extreme on the bad side for -1.

    Raises
    ------
    InputError
        If an id is not a row number, or the shapes do not fit.
    """
    name = parse_metric(metric)
    queries = _prepare(xq, None, "xq", name)
    ids = np.asarray(I, dtype=np.int64)
    if ids.ndim != 2 or len(ids) != len(queries):
        raise InputError(f"expected ids of shape ({len(queries)}, k), got shape {ids.shape}")
    if ids.size and not -1 <= ids.min() <= ids.max() < _length(xb):
        raise InputError(f"expected ids from -1 to {_length(xb) - 1}, got {ids.min()} to {ids.max()}")
    keys = np.full(ids.shape, -np.inf, dtype=np.float32)
    for part in _pair_blocks(len(queries) * ids.shape[1], queries.shape[1]):
        flat = ids.reshape(-1)[part]
        present = np.flatnonzero(flat >= 0) + part.start
        wanted = ids.reshape(-1)[present]
        unique, where = np.unique(wanted, return_inverse=True)
        rows = _prepare(xb[unique], queries.shape[1], "xb", name)
        keys.reshape(-1)[present] = _pair_keys(queries, rows, present // ids.shape[1], where, name)
    return _as_distances(keys, ids, name)


def _length(xb: Any) -> int:
    shape = getattr(xb, "shape", None)
    if shape is None or len(shape) != 2:
        raise InputError(f"expected xb to be a matrix of shape (n, d), got {type(xb).__name__} of shape {shape}")
    return int(shape[0])


def _prepare(x: Any, d: int | None, name: str, metric: str, first_row: int = 0) -> FloatMatrix:
    rows = as_vectors(x, d, name=name, first_row=first_row)
    return unit_rows(rows)[0] if metric == "cosine" else rows


def _as_distances(keys: FloatMatrix, ids: IdArray, metric: str) -> FloatMatrix:
    """Keys are larger where better; faiss wants distances, and its own padding."""
    number = metric_type(metric)
    D = keys if is_similarity(number) else -keys
    return np.where(ids >= 0, D, worst_distance(number))


def _merge_block(
    queries: FloatMatrix, rows: FloatMatrix, first: int, keys: FloatMatrix, ids: IdArray, metric: str
) -> tuple[FloatMatrix, IdArray]:
    """Return the k best of what is known, keys and ids (nq, k), and of a block of rows that starts at ``first``."""
    k = keys.shape[1]
    rough, doubt = _rough_keys(queries, rows, metric)
    least = keys[:, -1]
    if len(rows) >= k:
        least = np.maximum(least, np.partition(rough, len(rows) - k, axis=1)[:, len(rows) - k])
    # Both the row and the one that set the bar may be off by `doubt`. A key that overflowed is no number: look at it.
    q, r = np.nonzero(~(rough < (least - 2 * doubt)[:, None]))
    found = np.empty(len(q), dtype=np.float32)
    for part in _pair_blocks(len(q), rows.shape[1]):
        found[part] = _pair_keys(queries, rows, q[part], r[part], metric)

    all_q = np.concatenate([np.repeat(np.arange(len(queries)), k), q])
    all_keys = np.concatenate([keys.reshape(-1), found])
    all_ids = np.concatenate([ids.reshape(-1), r + first])
    last_if_none = np.where(all_ids < 0, np.iinfo(np.int64).max, all_ids)
    order = np.lexsort((last_if_none, -all_keys, all_q))
    starts = np.searchsorted(all_q[order], np.arange(len(queries)))
    best = order[starts[:, None] + np.arange(k)]
    return all_keys[best], all_ids[best]


def _rough_keys(queries: FloatMatrix, rows: FloatMatrix, metric: str) -> tuple[FloatMatrix, npt.NDArray[np.float32]]:
    """Return float32 keys (nq, n), larger being better, and what each query's may be off by, (nq,)."""
    products = queries @ rows.T
    # A sum of d products is off by at most d roundings of |q| |x|; the few more are those of the lines below.
    roundings = (rows.shape[1] + 8) * _UNIT_ROUNDOFF
    lengths = np.sqrt(np.square(queries, dtype=np.float64).sum(axis=1))
    squares = np.square(rows, dtype=np.float64).sum(axis=1)
    longest = np.sqrt(squares.max(initial=0.0))
    if metric == "l2":
        keys = 2 * products - squares.astype(np.float32) - np.square(lengths).astype(np.float32)[:, None]
        return keys, (roundings * np.square(lengths + longest)).astype(np.float32)
    return products, (roundings * lengths * longest).astype(np.float32)


def _pair_keys(
    queries: FloatMatrix, rows: FloatMatrix, q: npt.NDArray[np.intp], r: npt.NDArray[np.intp], metric: str
) -> npt.NDArray[np.float32]:
    """Return the keys (pairs,) of queries ``q`` (pairs,) and rows ``r`` (pairs,), larger being better."""
    left, right = queries[q].astype(np.float64), rows[r].astype(np.float64)
    # A sum over the contiguous axis adds each pair in the same order whatever the batch.
    products = -np.square(left - right) if metric == "l2" else left * right
    keys: npt.NDArray[np.float32] = products.sum(axis=1).astype(np.float32)
    return keys


def _pair_blocks(pairs: int, d: int) -> Iterator[slice]:
    step = max(1, _RESCORED_ENTRIES // d)
    for start in range(0, pairs, step):
        yield slice(start, min(start + step, pairs))
