"""What a second stage makes of a first one's candidates: better vectors, and scores of these."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_rows
from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.originals import Originals, spread_rows
from lplr_index.residuals import Residuals
from lplr_index.threads import run

_APART = 1.1  # squared error of codes against their own vectors is never as many times the least,
_NOTHING = 1e-6  # nor is it as much above it, relative to the vectors, which float16 may have rounded
_PAIRS = 1 << 12  # candidates of a task: their float32 vectors take some ten MB
_LEAST_PAIRS = 32  # fewer are not worth a task of their own


def refined_vectors(base: IndexLPLR, refine: Residuals | Originals, ids: IdArray) -> FloatMatrix:
    """The second stage's vectors (n, d) of rows by id (n,), of length one under cosine.

    Raises
    ------
    UnknownIdError
        If the base does not hold one of them.
    VectorFileError
        If the originals cannot be read.
    """
    return _vectors(base, refine, _numbers(base, refine, ids))


def refined_keys(
    base: IndexLPLR, refine: Residuals | Originals, x: npt.NDArray[Any], queries: IdArray, ids: IdArray, threads: int
) -> npt.NDArray[np.float32]:
    """The keys (pairs,) of queries ``x[queries]`` and rows ``ids``: similarity, or minus the squared distance.

    Parameters
    ----------
    base : IndexLPLR
        The first stage, which holds the rows.
    refine : Residuals or Originals
        The second stage.
    x : ndarray of shape (nq, d)
        Queries, as they came.
    queries : ndarray of shape (pairs,)
        Row numbers of x, ascending.
    ids : ndarray of shape (pairs,)
        Of rows that the base holds.
    threads : int
        Threads to use; the keys do not depend on it.
    """
    from lplr_index.kernels import pairs as kernel

    numbers = _numbers(base, refine, ids)
    keys = np.empty(len(ids), np.float32)
    size = min(_PAIRS, max(_LEAST_PAIRS, -(-len(ids) // threads)))

    def rank(start: int) -> None:
        part = slice(start, start + size)
        first, last = int(queries[part][0]), int(queries[part][-1])
        xq, _ = as_rows(x[first : last + 1], base.d, cosine=base.metric == "cosine")
        distinct, place = np.unique(numbers[part], return_inverse=True)
        vectors = _vectors(base, refine, distinct)
        kernel.keys_of_pairs(xq, vectors, queries[part] - first, place.reshape(-1), base.metric == "l2", keys[part])

    run([partial(rank, start) for start in range(0, len(ids), size)], threads)
    return keys


def check_originals(
    base: IndexLPLR, originals: Originals, ids: IdArray, codes_of: Callable[[IdArray], ByteMatrix]
) -> None:
    """Raise InputError unless ids are rows of the originals, and some of them have codes like those of these rows.

    Parameters
    ----------
    base : IndexLPLR
        Trained, if there are ids.
    originals : Originals
        The vectors.
    ids : ndarray of shape (n,)
        All of them are compared with the number of rows, and 256 of them with the vectors.
    codes_of : callable of arrays of shape (some,) and shape (some, code_size)
        From places in ``ids`` to codes of the base.
    """
    originals.check_ids(ids)
    if not len(ids):
        return
    some = spread_rows(len(ids))
    x, _ = as_rows(originals.rows(ids[some]), base.d, cosine=base.metric == "cosine")
    codes = (np.ascontiguousarray(codes_of(some)), base.model.encode(x))
    error, least = (np.square(x - base.model.decode(each)).sum(axis=1) for each in codes)
    if error.sum() > _APART * least.sum() + _NOTHING * np.square(x).sum():
        worst = int(ids[some][np.argmax(error - least)])
        raise InputError(f"expected the row with id {worst} to be row {worst} of {originals}, got another vector")


def _numbers(base: IndexLPLR, refine: Residuals | Originals, ids: IdArray) -> IdArray:
    """What the second stage knows rows (n,) by: their place among the rows, or among the originals."""
    rows = base.rows.ids.rows_of(ids)
    return ids if isinstance(refine, Originals) else rows


def _vectors(base: IndexLPLR, refine: Residuals | Originals, numbers: IdArray) -> FloatMatrix:
    """The second stage's vectors (n, d) of rows by their numbers (n,)."""
    if isinstance(refine, Originals):
        return as_rows(refine.rows(numbers), base.d, cosine=base.metric == "cosine")[0]
    return refine.rows(numbers, base.model.decode(base.rows.codes_at(numbers)))
