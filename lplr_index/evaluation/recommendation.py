"""How many bytes a recall costs, read off measured points, for us and for the best of the others.

Nothing is promised that was not measured around it. A line is followed from few bytes to many up to the first point
that reaches the recall; the answer lies between that point and the one before, which does not reach it, on a straight
line over the logarithm of bytes. Curves of recall bend downwards there, so the line asks for rather too many bytes.
Indexes that come in sizes of their own are not interpolated: there the first point that reaches it is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lplr_index.evaluation.contenders import EXACT, OURS
from lplr_index.evaluation.measure import Report
from lplr_index.evaluation.sweep import SweepResult

TARGETS = (0.8, 0.9, 0.95, 0.99)
"""The recalls that a report has recommendations for."""

AUTO = f"{OURS}auto"
"""The family that is recommended."""

_FLOAT_BYTES = 4
_CLOSE = 1e-9


@dataclass(frozen=True)
class Point:
    """What a size finds.

    Attributes
    ----------
    name : str
        Of the index.
    nbytes : float
        A row costs.
    recall : float
        Measured, or expected of it.
    """

    name: str
    nbytes: float
    recall: float


@dataclass(frozen=True)
class Need:
    """What a recall costs.

    Attributes
    ----------
    name : str
        The index, or the family where the size is between two that were measured.
    nbytes : int
        A row, rounded up.
    source : str
        ``"measured"``; ``"between"`` two measured sizes; or ``"smallest"``, the least size that was measured, where
        fewer bytes might do as well.
    """

    name: str
    nbytes: int
    source: str


@dataclass(frozen=True)
class Advice:
    """What a recall costs with us and with others.

    Attributes
    ----------
    target : float
        The recall.
    ours : Need or None
        None where no size that was measured reaches it.
    most : Point or None
        The best that was measured of ours; None where nothing was.
    peer : Need or None
        The cheapest of the others that reaches it.
    """

    target: float
    ours: Need | None
    most: Point | None
    peer: Need | None


def need(points: Sequence[Point], target: float, *, family: str, any_size: bool) -> Need | None:
    """Return the bytes at which points of one family reach a recall, None where they do not.

    Parameters
    ----------
    points : sequence of Point
        In any order; of several of one size the best counts.
    target : float
        The recall.
    family : str
        What the answer is called where it is between two points.
    any_size : bool
        Whether there are indexes of sizes between those of the points.
    """
    best: dict[float, Point] = {}
    for each in points:
        if each.nbytes not in best or each.recall > best[each.nbytes].recall:
            best[each.nbytes] = each
    line = [best[nbytes] for nbytes in sorted(best)]
    at = next((i for i, each in enumerate(line) if each.recall >= target), None)
    if at is None:
        return None
    above = line[at]
    if at == 0 and any_size and above.recall > target:
        return Need(above.name, _whole(above.nbytes), "smallest")
    if at == 0 or not any_size or above.recall == target:
        return Need(above.name, _whole(above.nbytes), "measured")
    below = line[at - 1]
    part = (target - below.recall) / (above.recall - below.recall)
    nbytes = _whole(below.nbytes * (above.nbytes / below.nbytes) ** part)
    if nbytes >= above.nbytes:
        return Need(above.name, _whole(above.nbytes), "measured")
    return Need(family, nbytes, "between")


def recommend(result: SweepResult, targets: Sequence[float] = TARGETS) -> list[Advice]:
    """Return what each recall@k costs, by the reports of a sweep.

    Parameters
    ----------
    result : SweepResult
        With reports on our ``auto``, and on others.
    targets : sequence of float
        Recalls.
    """
    families: dict[str, list[Report]] = {}
    for each in result.reports:
        if each.family != EXACT:
            families.setdefault(each.family, []).append(each)
    mine = [_point(each) for each in families.get(AUTO, [])]
    most = max(mine, key=lambda one: (one.recall, -one.nbytes), default=None)
    return [
        Advice(target, need(mine, target, family=AUTO, any_size=True), most, _best_peer(families, target))
        for target in targets
    ]


def _best_peer(families: dict[str, list[Report]], target: float) -> Need | None:
    """Return the cheapest way to the recall that is not ours; of equals, the first family measured."""
    found = []
    for family, reports in families.items():
        if not family.startswith(OURS):
            any_size = all(each.requested_bits is not None for each in reports)
            found.append(need([_point(each) for each in reports], target, family=family, any_size=any_size))
    return min((each for each in found if each), key=lambda one: one.nbytes, default=None)


def describe_ours(advice: Advice, d: int, k: int) -> str:
    """Say in a plain sentence what a recall costs with us.

    Parameters
    ----------
    advice : Advice
        Of ``recommend``.
    d : int
        Dimension.
    k : int
        Neighbours.
    """
    wanted = f"{advice.target:g} recall@{k}"
    if advice.most is None:
        return f"For {wanted} there is no recommendation: {AUTO} was not measured."
    if advice.ours is None:
        most = advice.most
        return (
            f"For {wanted} no size that was measured is enough: {bits_of(_whole(most.nbytes), d)} bits, "
            f"{_whole(most.nbytes)} bytes a vector, find {most.recall:.3f}."
        )
    nbytes = advice.ours.nbytes
    smallest = " or fewer, as the smallest size measured finds more" if advice.ours.source == "smallest" else ""
    return (
        f"For {wanted} take {bits_of(nbytes, d)} bits{smallest}: {nbytes} bytes a vector, "
        f"{times_smaller(nbytes, d)} times smaller."
    )


def describe_peer(advice: Advice) -> str:
    """Say in a plain sentence what it costs with the best of the others.

    Parameters
    ----------
    advice : Advice
        Of ``recommend``.
    """
    ours, peer = advice.ours, advice.peer
    if peer is None:
        return "No peer that was measured reaches it."
    at_most = " at most" if peer.source == "smallest" else ""
    said = f"The best peer, {peer.name}, takes{at_most} {peer.nbytes} bytes"
    if ours is None:
        return f"{said}."
    if peer.nbytes == ours.nbytes:
        return f"{said}, as many."
    if peer.nbytes < ours.nbytes:
        return f"{said}, which is fewer: ours takes {ours.nbytes / peer.nbytes:.2f} times as many."
    return f"{said}, {peer.nbytes / ours.nbytes:.2f} times as many."


def bits_of(nbytes: int, d: int) -> str:
    """Return bits a coordinate, in as few digits as ask ``IndexLPLR(d, bits)`` for just so many bytes.

    Parameters
    ----------
    nbytes : int
        Bytes of a row.
    d : int
        Dimension.
    """
    for digits in range(1, 8):
        bits = math.ceil(8 * nbytes / d * 10**digits - _CLOSE) / 10**digits
        if int(bits * d / 8 + _CLOSE) == nbytes:
            return f"{bits:.{digits}f}".rstrip("0").rstrip(".")
    return repr(8 * nbytes / d)


def times_smaller(nbytes: float, d: int) -> str:
    """Return how many times smaller than float32 a row of so many bytes is, in about two digits.

    Parameters
    ----------
    nbytes : float
        Bytes of a row.
    d : int
        Dimension.
    """
    times = _FLOAT_BYTES * d / nbytes
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


def _point(report: Report) -> Point:
    return Point(report.name, report.bytes_per_vector, report.recall_at_k)


def _whole(nbytes: float) -> int:
    return math.ceil(nbytes - _CLOSE)
