"""One index, measured: what it finds, what it costs, and how long it takes.

All are asked the same things by the same names, ``train, add, search, reconstruct_n, ntotal, d, is_trained,
metric_type``. Indexes of this package and of faiss answer to them, and a ``PeerIndex`` for any other; what an index is
is looked at once, for who saves it.
"""

from __future__ import annotations

import inspect
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from lplr_index import storage
from lplr_index.arrays import FloatMatrix, IdArray, as_integer
from lplr_index.errors import InputError, LPLRError, UnsupportedError
from lplr_index.evaluation.groundtruth import score_ids
from lplr_index.evaluation.metrics import neighbour_overlap, recall_at_k, relative_frobenius_error
from lplr_index.evaluation.peers.base import PeerIndex, rows_apart
from lplr_index.evaluation.task import Task
from lplr_index.extras import require
from lplr_index.metric import is_similarity, metric_type
from lplr_index.threads import as_threads

TIMED_QUERIES = 256
"""How many queries a search is timed with at most."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured of one index; None where there was nothing to measure.

    Attributes
    ----------
    name, family, notes : str
        The index, the line of a plot it belongs to, and settings a reader should know of.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    d, n, nt, nq, k : int
        Dimension, rows indexed, training rows (0 where the index came trained), queries, neighbours.
    requested_bits : float or None
        Bits per coordinate that were asked for; None for an index that exists in one size only.
    bytes_per_vector, bits_per_coordinate : float
        By how much the saved index grows with a row, and 8 / d times that.
    file_bytes : int
        The saved index, with everything that does not grow with the rows.
    recall_at_1, recall_at_k, overlap : float
        See ``recall_at_k`` and ``neighbour_overlap``.
    accuracy, weighted_f1 : float or None
        Of the vote of the three nearest rows on the label of each query.
    exact_accuracy, exact_weighted_f1 : float or None
        The same for exact search over the vectors themselves.
    frobenius_error : float or None
        See ``relative_frobenius_error``; None for an index that cannot give rows back.
    train_s, add_s : float or None
        Seconds; None where the index came built.
    search_s : float
        Seconds a query, up to ``TIMED_QUERIES`` queries in one call: the median of ``repeat`` calls after one with
        all queries that does not count.
    threads, repeat : int
        Threads used throughout, and calls timed.
    """

    name: str
    family: str
    notes: str
    metric: str
    d: int
    n: int
    nt: int
    nq: int
    k: int
    requested_bits: float | None
    bytes_per_vector: float
    bits_per_coordinate: float
    file_bytes: int
    recall_at_1: float
    recall_at_k: float
    overlap: float
    accuracy: float | None
    weighted_f1: float | None
    exact_accuracy: float | None
    exact_weighted_f1: float | None
    frobenius_error: float | None
    train_s: float | None
    add_s: float | None
    search_s: float
    threads: int
    repeat: int


def evaluate(
    index: Any,
    xt: Any,
    xb: Any,
    xq: Any,
    *,
    metric: str | int,
    k: int = 10,
    labels: Any = None,
    query_labels: Any = None,
    threads: int | None = 1,
    repeat: int = 5,
    name: str = "",
) -> Report:
    """Train, fill, search and save an index, and report on it.

    Parameters
    ----------
    index : faiss-like index
        Of this package, of faiss, or a ``PeerIndex``. Empty; or holding the rows of ``xb`` in that order, under ids
        that count from zero: then it is taken as it is.
    xt : array_like of shape (nt, d) or None
        Training rows; None for an index that is trained.
    xb : array_like of shape (n, d)
        Rows to index.
    xq : array_like of shape (nq, d)
        Queries.
    metric : {"cosine", "ip", "l2"} or int
        Under cosine all vectors are divided by their lengths, and a faiss index is one for inner products.
    k : int
        Neighbours.
    labels, query_labels : array_like of shape (n,) and (nq,), optional
        For accuracy and F1 of the vote of the three nearest rows.
    threads : int, optional
        Threads for everything timed, set back afterwards; all where None.
    repeat : int
        How many searches to take the median time of.
    name : str
        What the report calls it; the name of the class where empty.

    Raises
    ------
    InputError
        If shapes, metric or the state of the index do not fit.
    UnsupportedError
        If the index is neither ours nor faiss's nor a ``PeerIndex``.
    """
    task = Task.prepare(xt, xb, xq, metric=metric, k=k, labels=labels, query_labels=query_labels)
    return measure(index, task, name=name or type(index).__name__, threads=threads, repeat=repeat)


def measure(
    index: Any,
    task: Task,
    *,
    name: str,
    family: str = "",
    notes: str = "",
    requested_bits: float | None = None,
    threads: int | None = 1,
    repeat: int = 5,
) -> Report:
    """Do what ``evaluate`` does, on a task that several indexes share.

    Parameters
    ----------
    index : faiss-like index
        As for ``evaluate``.
    task : Task
        Vectors, labels and exact neighbours.
    name, family, notes : str
        Passed on to the report.
    requested_bits : float, optional
        Passed on to the report.
    threads : int, optional
        As for ``evaluate``.
    repeat : int
        As for ``evaluate``.

    Raises
    ------
    InputError
        If shapes, metric or the state of the index do not fit.
    UnsupportedError
        If the index is neither ours nor faiss's nor a ``PeerIndex``.
    """
    threads, repeat = as_threads(threads), as_integer(repeat, "repeat", least=1)
    _check(index, task)
    with threadpool_limits(threads):
        train_s, add_s = _build(index, task, threads)
        I, search_s = _timed_search(index, task, threads, repeat)
        file_bytes, bytes_per_vector = saved_bytes(index, task.xb)
        error = _frobenius_error(index, task.xb)
    scoring = task.scoring
    scores = score_ids(task.xq, task.xb, I, metric=scoring)
    similarity = is_similarity(metric_type(task.metric))
    share, f1 = task.vote(I)
    exact_share, exact_f1 = task.vote(task.truth.I)
    return Report(
        name=name,
        family=family or name,
        notes=notes,
        metric=task.metric,
        d=index.d,
        n=len(task.xb),
        nt=len(task.xt),
        nq=len(task.xq),
        k=task.k,
        requested_bits=requested_bits,
        bytes_per_vector=bytes_per_vector,
        bits_per_coordinate=8 * bytes_per_vector / index.d,
        file_bytes=file_bytes,
        recall_at_1=recall_at_k(I, scores, task.truth, 1, similarity=similarity),
        recall_at_k=recall_at_k(I, scores, task.truth, task.k, similarity=similarity),
        overlap=neighbour_overlap(I, task.truth.I, task.k),
        accuracy=share,
        weighted_f1=f1,
        exact_accuracy=exact_share,
        exact_weighted_f1=exact_f1,
        frobenius_error=error,
        train_s=train_s,
        add_s=add_s,
        search_s=search_s,
        threads=threads,
        repeat=repeat,
    )


def saved_bytes(index: Any, xb: FloatMatrix) -> tuple[int, float]:
    """Return the size of the saved index, and by how much a row makes it grow.

    The growth is the difference to the same training saved with fewer rows, as many fewer as fill whole blocks:
    so neither what is saved once nor a last block that is not full counts as the cost of a row.
    With less than two blocks of rows it is the difference to no rows.

    Parameters
    ----------
    index : faiss-like index
        Left as it is: rows are taken from a copy.
    xb : ndarray of shape (ntotal, d), float32
        The rows it holds; some are added to the copy again.

    Raises
    ------
    UnsupportedError
        If the index is neither ours nor faiss's nor a ``PeerIndex``.
    """
    if isinstance(index, PeerIndex):
        return index.saved_bytes(), index.row_bytes(xb)
    library = _library(index)
    saved = library.serialize_index(index)
    copy = library.deserialize_index(saved)
    copy.reset()
    few = rows_apart(len(xb))
    if few:
        copy.add(xb[:few])
    grown = len(saved) - len(library.serialize_index(copy))
    return len(saved), grown / (len(xb) - few)


def _library(index: Any) -> Any:
    """Return the module that can save the index."""
    homes = {cls.__module__.partition(".")[0] for cls in type(index).__mro__}
    if "faiss" in homes:
        return require("faiss", "eval")
    if __name__.partition(".")[0] in homes:
        return storage
    raise UnsupportedError(
        f"expected an index of lplr_index or faiss, or a PeerIndex, which can be saved, got {index!r}"
    )


def _check(index: Any, task: Task) -> None:
    if index.d != task.xb.shape[1]:
        raise InputError(f"expected an index of dimension {task.xb.shape[1]}, got one of {index.d}")
    if index.metric_type != metric_type(task.metric):
        raise InputError(
            f"expected an index of metric_type {metric_type(task.metric)} for {task.metric}, got {index.metric_type}"
        )
    if index.ntotal not in (0, len(task.xb)):
        raise InputError(f"expected an index with no rows or the {len(task.xb)} of xb, got {index.ntotal}")
    if not index.is_trained and not len(task.xt):
        raise InputError("expected training rows for an index that is not trained, got none")


def _build(index: Any, task: Task, threads: int) -> tuple[float | None, float | None]:
    if index.ntotal:
        return None, None
    start = time.perf_counter()
    if not index.is_trained:
        _with_threads(index.train, threads)(task.xt)
    trained = time.perf_counter()
    _with_threads(index.add, threads)(task.xb)
    return trained - start, time.perf_counter() - trained


def _timed_search(index: Any, task: Task, threads: int, repeat: int) -> tuple[IdArray, float]:
    search = _with_threads(index.search, threads)
    k = task.truth.I.shape[1]
    I = search(task.xq, k)[1]  # the call that does not count: it compiles and warms caches
    timed, times = task.xq[:TIMED_QUERIES], []
    for _ in range(repeat):
        start = time.perf_counter()
        search(timed, k)
        times.append(time.perf_counter() - start)
    return I, statistics.median(times) / len(timed)


def _with_threads(method: Callable[..., Any], threads: int) -> Callable[..., Any]:
    """Pass ``threads`` to a method that takes it; others' take what ``threadpool_limits`` leaves to OpenMP."""
    if "threads" not in inspect.signature(method).parameters:
        return method
    return lambda *args: method(*args, threads=threads)


def _frobenius_error(index: Any, xb: FloatMatrix) -> float | None:
    try:
        error = relative_frobenius_error(index, xb)
    except (LPLRError, RuntimeError):  # RuntimeError is how faiss says that an index cannot
        return None
    return error if math.isfinite(error) else None
