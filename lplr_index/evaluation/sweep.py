"""Every method at every budget, on one collection: who finds what for how many bits.

Codebooks are trained on one random half of the rows and the other half is indexed, because a large codebook remembers
the rows it was trained on: what it makes of those says little about rows it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from lplr_index.arrays import IdArray, as_integer
from lplr_index.errors import InputError, LPLRError
from lplr_index.evaluation.breakdown import Breakdown, break_down
from lplr_index.evaluation.contenders import OURS, Contender, Skip, chosen_peers, contenders
from lplr_index.evaluation.machine import describe_machine
from lplr_index.evaluation.measure import Report, measure
from lplr_index.evaluation.spectrum import spectrum
from lplr_index.evaluation.task import Task
from lplr_index.settings import METHODS
from lplr_index.threads import as_threads

_HELD_OUT_SHARE, _MOST_HELD_OUT = 10, 1000  # one row in ten, at most a thousand
_WARM_UP_ROWS = 512
_ADDITIVE_CODES = 16  # more train for many minutes each

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Conditions:
    """What all reports of a sweep share.

    Attributes
    ----------
    data : str
        What the caller calls the collection.
    n, nt, nq, d, k : int
        Rows indexed, training rows, queries, dimension, neighbours.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    seed : int
        Of the split and of everything trained.
    disjoint : bool
        Whether the training rows are other rows than those indexed.
    threads, repeat : int
        Threads used throughout, and searches timed.
    machine : dict of str
        Processor and versions.
    """

    data: str
    n: int
    nt: int
    nq: int
    d: int
    k: int
    metric: str
    seed: int
    disjoint: bool
    threads: int
    repeat: int
    machine: dict[str, str]


@dataclass(frozen=True)
class SweepResult:
    """Reports on all who competed, and the names of those who could not.

    Attributes
    ----------
    conditions : Conditions
        What the reports share.
    reports : tuple of Report
        In the order they were measured.
    skipped : tuple of Skip
        Who is not shown, and why.
    spectrum : tuple of float or None
        See ``spectrum``, of the training rows; None in files from before it was measured.
    breakdowns : tuple of Breakdown
        Of ours, in the order of their reports; none where they were not asked for.
    """

    conditions: Conditions
    reports: tuple[Report, ...]
    skipped: tuple[Skip, ...]
    spectrum: tuple[float, ...] | None = None
    breakdowns: tuple[Breakdown, ...] = ()


class Split(NamedTuple):
    """Which rows do what.

    Attributes
    ----------
    train, base, queries : ndarray of shape (nt,), (n,) and (nq,), int64
        Row numbers, ascending.
    """

    train: IdArray
    base: IdArray
    queries: IdArray


def split_rows(n: int, *, seed: int = 0, disjoint: bool = True, hold_out: bool = False) -> Split:
    """Return a seeded random split of ``n`` rows.

    Parameters
    ----------
    n : int
        Rows there are.
    seed : int
        Of the split.
    disjoint : bool
        Whether one half is trained on and the other indexed; otherwise all rows are both.
    hold_out : bool
        Whether a tenth of the rows, at most a thousand, are set aside as queries first.

    Raises
    ------
    InputError
        If there are not enough rows for each part to have one.
    """
    order = np.random.default_rng(seed).permutation(as_integer(n, "n"))
    held = max(1, min(n // _HELD_OUT_SHARE, _MOST_HELD_OUT)) if hold_out else 0
    rest = order[held:]
    if len(rest) < 1 + disjoint:
        raise InputError(f"expected at least {1 + disjoint + hold_out} rows to split, got {n}")
    half = len(rest) // 2
    train, base = (rest[:half], rest[half:]) if disjoint else (rest, rest)
    return Split(np.sort(train), np.sort(base), np.sort(order[:held]))


def sweep(
    x: Any,
    xq: Any = None,
    *,
    bits: Sequence[float] = (0.5, 1, 2, 4),
    metric: str | int = "cosine",
    k: int = 10,
    labels: Any = None,
    query_labels: Any = None,
    methods: Sequence[str] = METHODS,
    peers: bool | Sequence[str] = True,
    disjoint: bool = True,
    thorough: bool = False,
    breakdown: bool = False,
    seed: int = 0,
    threads: int | None = 1,
    repeat: int = 3,
    data: str = "",
    progress: Progress | None = None,
) -> SweepResult:
    """Measure our methods and other packages' indexes at several budgets.

    Parameters
    ----------
    x : array_like of shape (n, d)
        Rows; one half is trained on and the other indexed.
    xq : array_like of shape (nq, d), optional
        Queries that are not among the rows; where None, a tenth of the rows is held out, at most a thousand.
    bits : sequence of float
        Bits per coordinate a row may cost.
    metric : {"cosine", "ip", "l2"} or int
        Under cosine all vectors are divided by their lengths.
    k : int
        Neighbours.
    labels, query_labels : array_like of shape (n,) and (nq,), optional
        For the vote of the three nearest rows; ``labels`` are enough where ``xq`` is None.
    methods : sequence of str
        Which of ours.
    peers : bool or sequence of str
        Whether to measure all other packages' that are installed beside ours, or those of which packages.
    disjoint : bool
        Whether other rows are indexed than trained on; otherwise all rows are both.
    thorough : bool
        Train faiss's product quantizers for as long as faiss does by default, and also its additive quantizers of up
        to 16 codes a row.
    breakdown : bool
        Whether to take the errors of ours apart, see ``break_down``.
    seed : int
        Of the split and of everything trained.
    threads : int, optional
        Threads for everything, set back afterwards; all where None.
    repeat : int
        How many searches to take the median time of.
    data : str
        What the results call the collection.
    progress : callable, optional
        Called with the number of indexes done, of all, and the name of the next; at the end with an empty name.

    Raises
    ------
    InputError
        If an argument has another shape or range.

    Notes
    -----
    What numba compiles is compiled before the clock starts, by a build on a few rows.
    """
    threads = as_threads(threads)
    task = _task(x, xq, metric, k, labels, query_labels, seed, disjoint=disjoint)
    todo, skipped = contenders(
        task.xb.shape[1],
        bits,
        metric=task.metric,
        nt=len(task.xt),
        methods=methods,
        peers=peers,
        thorough=thorough,
        additive_codes=_ADDITIVE_CODES if thorough else 0,
        seed=seed,
    )
    reports: list[Report] = []
    breakdowns: list[Breakdown] = []
    tell = progress or _silently
    for done, contender in enumerate(todo):
        tell(done, len(todo), contender.name)
        try:
            report, apart = _run(contender, task, threads, repeat, breakdown=breakdown)
            reports.append(report)
            breakdowns += apart
        except _refusals(contender) as err:  # the data do not suit it: another may do better, and the reader is told
            skipped.append(Skip(contender.name, contender.requested_bits, str(err)))
    tell(len(todo), len(todo), "")
    conditions = Conditions(
        data=data,
        n=len(task.xb),
        nt=len(task.xt),
        nq=len(task.xq),
        d=task.xb.shape[1],
        k=task.k,
        metric=task.metric,
        seed=seed,
        disjoint=disjoint,
        threads=threads,
        repeat=repeat,
        machine=describe_machine(*(peer.package for peer in chosen_peers(peers))),
    )
    return SweepResult(conditions, tuple(reports), tuple(skipped), spectrum(task.xt), tuple(breakdowns))


def _silently(_done: int, _total: int, _name: str) -> None:
    """Tell nobody."""


def _task(
    x: Any, xq: Any, metric: str | int, k: int, labels: Any, query_labels: Any, seed: int, *, disjoint: bool
) -> Task:
    rows = np.asarray(x)
    if rows.ndim != 2:
        raise InputError(f"expected x of shape (n, d), got shape {rows.shape}")
    split = split_rows(len(rows), seed=seed, disjoint=disjoint, hold_out=xq is None)
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(rows),):
            raise InputError(f"expected {len(rows)} labels, got shape {labels.shape}")
        query_labels = labels[split.queries] if xq is None else query_labels
        labels = labels[split.base]
    queries = rows[split.queries] if xq is None else xq
    return Task.prepare(
        rows[split.train], rows[split.base], queries, metric=metric, k=k, labels=labels, query_labels=query_labels
    )


def _is_ours(contender: Contender) -> bool:
    return contender.family.startswith(OURS)


def _refusals(contender: Contender) -> tuple[type[Exception], ...]:
    """Return how an index says no: ours by errors of its own, each other library in its way."""
    if _is_ours(contender):
        return (LPLRError,)
    return (LPLRError, RuntimeError, ValueError, TypeError, AssertionError)


def _run(
    contender: Contender, task: Task, threads: int, repeat: int, *, breakdown: bool
) -> tuple[Report, list[Breakdown]]:
    """Measure, and take the errors apart where that is wanted and it is one of ours."""
    if _is_ours(contender):
        trial = contender.build()
        trial.train(task.xt[:_WARM_UP_ROWS])
        trial.add(task.xb[:_WARM_UP_ROWS])
        trial.search(task.xq[:1], task.k)
    index, name, bits = contender.build(), contender.name, contender.requested_bits
    report = measure(
        index,
        task,
        name=name,
        family=contender.family,
        notes=contender.notes,
        requested_bits=bits,
        threads=threads,
        repeat=repeat,
    )
    if not (breakdown and _is_ours(contender)):
        return report, []
    with threadpool_limits(threads):
        apart = break_down(index, task.xb, task.xq, k=task.k, name=name, requested_bits=bits, threads=threads)
    return report, [apart]
