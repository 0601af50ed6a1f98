"""How well a search found what exact search finds, and what that costs the task behind it.

Every measure is a share between 0 and 1, except the Frobenius error, which is 0 at best.
Ids are row numbers, -1 where a search returned fewer than k; a row returned twice counts once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer, as_vectors
from lplr_index.errors import InputError
from lplr_index.evaluation.groundtruth import GroundTruth

LabelArray = npt.NDArray[np.int64]

TIE_TOLERANCE = 1e-6
"""Scores closer than this fraction of the query's largest count as equal: a few roundings of float32."""

_RECONSTRUCTED_ROWS = 1 << 13


def recall_at_k(I: IdArray, scores: FloatMatrix, truth: GroundTruth, k: int, *, similarity: bool) -> float:
    """Return the share of the k nearest rows that a search returned among its first k.

    A returned row counts if its true score is no worse than that of the k-th exact neighbour, within
    ``TIE_TOLERANCE``. So of several rows tied at the k-th place any will do, and equal rows stand for each other.

    Parameters
    ----------
    I : ndarray of shape (nq, >= k), int64
        The rows returned, best first.
    scores : ndarray of shape (nq, >= k), float32
        Their *true* scores, as ``score_ids`` gives them, not those the index reported.
    truth : GroundTruth
        The exact neighbours, at least k of them.
    k : int
        How many to look at. Where the collection holds fewer rows, all of them are wanted.
    similarity : bool
        Whether larger scores are better.

    Returns
    -------
    float
        The mean over queries; 1.0 where nothing was to be found.

    Raises
    ------
    InputError
        If one of the arrays has fewer than k columns.
    """
    ids, exact = _first(I, k), _first(truth.I, k)
    sign = 1.0 if similarity else -1.0
    keys = sign * scores[:, :k].astype(np.float64)
    wanted = (exact >= 0).sum(axis=1)
    exact_keys = sign * truth.D[:, :k].astype(np.float64)
    exact_keys[exact < 0] = np.nan
    if not wanted.any():
        return 1.0
    last = exact_keys[np.arange(len(ids)), np.maximum(wanted - 1, 0)]
    slack = TIE_TOLERANCE * np.abs(np.where(exact >= 0, exact_keys, 0.0)).max(axis=1)
    hits = ((_without_repeats(ids) >= 0) & (keys >= (last - slack)[:, None])).sum(axis=1)
    return float((hits[wanted > 0] / wanted[wanted > 0]).mean())


def neighbour_overlap(I: IdArray, exact_I: IdArray, k: int) -> float:
    """Return the mean over queries of |found & exact| / |found | exact|, over the first k ids of both.

    Unlike ``recall_at_k`` it looks at ids only: which of several tied rows came makes a difference.

    Parameters
    ----------
    I : ndarray of shape (nq, >= k), int64
        The rows returned.
    exact_I : ndarray of shape (nq, >= k), int64
        The exact neighbours.
    k : int
        How many to look at.

    Raises
    ------
    InputError
        If one of the arrays has fewer than k columns.
    """
    found, exact = _without_repeats(_first(I, k)), _without_repeats(_first(exact_I, k))
    both = np.sort(np.concatenate([found, exact], axis=1), axis=1)
    # Each set holds an id once, so an id next to itself is one that both hold.
    shared = ((both[:, 1:] == both[:, :-1]) & (both[:, 1:] >= 0)).sum(axis=1)
    union = (both >= 0).sum(axis=1) - shared
    return float(np.divide(shared, union, out=np.ones(len(both)), where=union > 0).mean()) if len(both) else 1.0


def knn_vote(I: IdArray, labels: LabelArray, votes: int = 3) -> LabelArray:
    """Return the label that most of the nearest ``votes`` rows carry; among equals, that of the nearest.

    Parameters
    ----------
    I : ndarray of shape (nq, >= votes), int64
        The rows returned, best first; -1 does not vote.
    labels : ndarray of shape (n,), int64
        The label of each row, from zero.
    votes : int
        How many vote.

    Returns
    -------
    ndarray of shape (nq,), int64
        The winning labels; -1 where nobody voted.

    Raises
    ------
    InputError
        If ``I`` has fewer than ``votes`` columns.
    """
    ids = _first(I, votes)
    cast = np.where(ids >= 0, labels[ids], -1)
    support = (cast[:, :, None] == cast[:, None, :]).sum(axis=2)
    support[cast < 0] = 0
    # argmax returns the first of equals, and the first is the nearest.
    winners: LabelArray = cast[np.arange(len(ids)), support.argmax(axis=1)]
    return winners


def accuracy(actual: LabelArray, predicted: LabelArray) -> float:
    """Return the share of predicted labels (nq,) that are the actual ones (nq,)."""
    return float((actual == predicted).mean())


def weighted_f1(actual: LabelArray, predicted: LabelArray) -> float:
    """Return the F1 score of each class, averaged by how often the class occurs in ``actual``.

    A class that is never predicted scores zero.

    Parameters
    ----------
    actual : ndarray of shape (nq,), int64
        The labels the queries have.
    predicted : ndarray of shape (nq,), int64
        The labels the vote gave them.
    """
    classes, support = np.unique(actual, return_counts=True)
    hits = np.array([((actual == label) & (predicted == label)).sum() for label in classes])
    guesses = np.array([(predicted == label).sum() for label in classes])
    return float((2 * hits / (support + guesses) * support).sum() / support.sum())


def relative_frobenius_error(index: Any, xb: Any) -> float:
    """Return |A' - A| / |A| over the rows an index holds, A' being what it reconstructs.

    Parameters
    ----------
    index : faiss-like index
        Asked for ``reconstruct_n(i0, n)`` in blocks of 8192 rows.
    xb : array_like of shape (ntotal, d)
        The rows as they were added, in that order; of unit length where the index is one for cosine.

    Raises
    ------
    InputError
        If ``xb`` does not have the shape of what the index holds.
    """
    if getattr(xb, "shape", None) != (index.ntotal, index.d):
        raise InputError(
            f"expected xb of shape ({index.ntotal}, {index.d}), as the index holds, got {getattr(xb, 'shape', None)}"
        )
    error = energy = 0.0
    for start in range(0, len(xb), _RECONSTRUCTED_ROWS):
        rows = as_vectors(xb[start : start + _RECONSTRUCTED_ROWS], name="xb", first_row=start).astype(np.float64)
        error += float(np.square(index.reconstruct_n(start, len(rows)) - rows).sum())
        energy += float(np.square(rows).sum())
    return float(np.sqrt(error / energy)) if energy else float(np.sqrt(error))


def _first(I: IdArray, k: int) -> IdArray:
    k = as_integer(k, "k", least=1)
    if I.ndim != 2 or I.shape[1] < k:
        raise InputError(f"expected ids of shape (nq, k) with k >= {k}, got shape {I.shape}")
    return I[:, :k]


def _without_repeats(ids: IdArray) -> IdArray:
    """Return ids (nq, k) with -1 in place of every id that stands further left already."""
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    repeat = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(repeat, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
    return np.where(repeat, -1, ids)
