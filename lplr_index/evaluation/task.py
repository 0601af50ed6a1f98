"""What every index is measured on: the same vectors, prepared once, and what exact search makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, IdArray, as_integer, as_vectors, unit_rows
from lplr_index.errors import InputError
from lplr_index.evaluation.groundtruth import GroundTruth, exact_knn
from lplr_index.evaluation.metrics import LabelArray, accuracy, knn_vote, weighted_f1
from lplr_index.metric import parse_metric

VOTES = 3
"""How many neighbours vote on a query's label."""


@dataclass(frozen=True, eq=False)
class Task:
    """What every index is measured on: vectors as an index gets them, and what exact search makes of them.

    Attributes
    ----------
    xt, xb, xq : ndarray of shape (n, d), float32
        Training rows, rows to index, queries; of unit length under cosine.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    k : int
        Neighbours.
    truth : GroundTruth
        At least k and at least ``VOTES`` exact neighbours of each query.
    labels, query_labels : ndarray of shape (n,) and (nq,), int64, or None
        Numbers from zero, the same for the same label.
    """

    xt: FloatMatrix
    xb: FloatMatrix
    xq: FloatMatrix
    metric: str
    k: int
    truth: GroundTruth
    labels: LabelArray | None
    query_labels: LabelArray | None

    @classmethod
    def prepare(
        cls,
        xt: Any,
        xb: Any,
        xq: Any,
        *,
        metric: str | int,
        k: int = 10,
        labels: Any = None,
        query_labels: Any = None,
    ) -> Task:
        """Check and normalise vectors and labels, and search exactly.

        Parameters
        ----------
        xt : array_like of shape (nt, d) or None
            Training rows; None for indexes that come trained.
        xb : array_like of shape (n, d)
            Rows to index.
        xq : array_like of shape (nq, d)
            Queries.
        metric : {"cosine", "ip", "l2"} or int
            Under cosine all vectors are divided by their lengths.
        k : int
            Neighbours.
        labels, query_labels : array_like of shape (n,) and (nq,), optional
            Labels of rows and queries, numbers or strings; both or neither.

        Raises
        ------
        InputError
            If the shapes do not fit, or there are no rows or queries.
        """
        name, k = parse_metric(metric), as_integer(k, "k", least=1)
        base = _rows(xb, None, "xb", name)
        d = base.shape[1]
        sample = base[:0] if xt is None else _rows(xt, d, "xt", name)
        queries = _rows(xq, d, "xq", name)
        row_labels, own_labels = _as_labels(labels, query_labels, len(base), len(queries))
        truth = exact_knn(queries, base, max(k, VOTES), metric=_scoring(name))
        return cls(sample, base, queries, name, k, truth, row_labels, own_labels)

    @property
    def scoring(self) -> str:
        """The metric for vectors that are normalised already: doing so twice would move their last bits."""
        return _scoring(self.metric)

    def vote(self, I: IdArray) -> tuple[float, float] | tuple[None, None]:
        """Return accuracy and weighted F1 of the vote of neighbours ``I`` (nq, >= 3); None without labels."""
        if self.labels is None or self.query_labels is None:
            return None, None
        predicted = knn_vote(I, self.labels, VOTES)
        return accuracy(self.query_labels, predicted), weighted_f1(self.query_labels, predicted)


def _rows(x: Any, d: int | None, name: str, metric: str) -> FloatMatrix:
    rows = as_vectors(x, d, name=name)
    if not len(rows):
        raise InputError(f"expected {name} with at least one row, got shape {rows.shape}")
    return unit_rows(rows)[0] if metric == "cosine" else rows


def _as_labels(labels: Any, query_labels: Any, n: int, nq: int) -> tuple[LabelArray | None, LabelArray | None]:
    if labels is None and query_labels is None:
        return None, None
    if labels is None or query_labels is None:
        raise InputError("expected labels of both rows and queries, or of neither, got one of them")
    rows, queries = np.asarray(labels), np.asarray(query_labels)
    if rows.shape != (n,) or queries.shape != (nq,):
        raise InputError(f"expected {n} labels and {nq} query labels, got shapes {rows.shape} and {queries.shape}")
    numbers = np.unique(np.concatenate([rows, queries]), return_inverse=True)[1].astype(np.int64)
    return numbers[:n], numbers[n:]


def _scoring(metric: str) -> str:
    return "ip" if metric == "cosine" else metric
