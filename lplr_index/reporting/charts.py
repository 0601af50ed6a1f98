"""The charts of a report, as Vega-Lite specifications that ``page.js`` draws.

Colours are names of CSS variables, which the page sets for light, dark and paper. Every chart of families has a
parameter ``hidden``, the list of the families not to be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lplr_index.evaluation.contenders import EXACT, OURS
from lplr_index.evaluation.measure import Report
from lplr_index.evaluation.plot import STYLES, UNKNOWN
from lplr_index.evaluation.recommendation import AUTO
from lplr_index.evaluation.sweep import SweepResult

Spec = dict[str, Any]

SHAPES = {
    "o": "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z",
    ".": "M.7 0A.7 .7 0 1 1 -.7 0A.7 .7 0 1 1 .7 0Z",
    "s": "M-.9 -.9H.9V.9H-.9Z",
    "D": "M0 -1.2L1.2 0L0 1.2L-1.2 0Z",
    "^": "M0 -1.1L1.1 .9H-1.1Z",
    "v": "M0 1.1L1.1 -.9H-1.1Z",
    "<": "M-1.1 0L.9 -1.1V1.1Z",
    ">": "M1.1 0L-.9 -1.1V1.1Z",
    "P": "M-.4 -1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "X": "M-1.1 -.6L-.6 -1.1L0 -.5L.6 -1.1L1.1 -.6L.5 0L1.1 .6L.6 1.1L0 .5L-.6 1.1L-1.1 .6L-.5 0Z",
    "p": "M0 -1.1L1.05 -.34L.65 .89H-.65L-1.05 -.34Z",
}
"""Outlines of matplotlib's markers, a bit more than two units wide."""

DASHES = {"-": [1, 0], "--": [6, 3], "-.": [7, 3, 2, 3], ":": [2, 3]}

_SPARE_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of families without a style of their own
_SPARE_MARKERS = ("^", "v", "D", "P", "X", "s", "p")  # as many as are prime to the colours: 35 pairs before one repeats
_GREY = "#6A6A6A"  # of exact search, seen on white and on black
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name: nothing is fetched from there
_TICKS = [digit * 10.0**power for power in range(-4, 9) for digit in (1, 3)]  # of a logarithmic axis
_SPECTRUM_POINTS = 128
_DIGITS = 6
_HEIGHT = 300


@dataclass(frozen=True)
class Series:
    """How a family is drawn.

    Attributes
    ----------
    family : str
        Its name.
    colour, outline : str
        Hexadecimal, and the path of its marker.
    dashes : list of int
        Lengths of strokes and gaps.
    width : float
        Of its line, in pixels.
    """

    family: str
    colour: str
    outline: str
    dashes: list[int]
    width: float


def series_of(results: Sequence[SweepResult]) -> list[Series]:
    """Return the families of some sweeps, those of the plot first and drawn as there.

    Parameters
    ----------
    results : sequence of SweepResult
        Which share a page, and so the look of a family.
    """
    present = dict.fromkeys(report.family for result in results for report in result.reports)
    spare = [family for family in present if family not in STYLES and family != EXACT]
    found = [family for family in STYLES if family in present] + spare + [EXACT] * (EXACT in present)
    series = []
    for family in found:
        style = STYLES.get(family, UNKNOWN._replace(colour=_GREY))
        if family in spare:
            at = spare.index(family)
            style = style._replace(
                colour=_SPARE_COLOURS[at % len(_SPARE_COLOURS)],
                marker=_SPARE_MARKERS[at % len(_SPARE_MARKERS)],
                dashes="--",
            )
        series.append(Series(family, style.colour, SHAPES[style.marker], DASHES[style.dashes], style.width))
    return series


def charts_of(result: SweepResult, series: Sequence[Series]) -> dict[str, Spec]:
    """Return the charts of a sweep by name: recall, votes, speed, building, hidden, and spectrum where it was measured.

    Parameters
    ----------
    result : SweepResult
        With at least one report.
    series : sequence of Series
        Of ``series_of``; its order is that of the variables ``--series-0``, ``--series-1`` and so on.
    """
    c, exact = result.conditions, exact_accuracy(result)
    data = [_datum(each) for each in sorted(result.reports, key=lambda each: each.bits_per_coordinate)]
    lossy = [each for each in data if each["family"] != EXACT]
    recall = _axis(f"recall@{c.k}", ".2f")
    found = [
        _lines("recall", f"recall@{c.k} against bits per coordinate", lossy, series, _BITS, ("recall", recall), c.k),
        _lines("votes", "accuracy of the vote against bits per coordinate", lossy, series, _BITS, _votes(exact), c.k),
        _lines(
            "speed",
            f"queries a second against recall@{c.k}",
            data,
            series,
            ("recall", recall),
            ("speed", _log("queries a second")),
            c.k,
        ),
        _lines("building", "seconds to build against bits", lossy, series, _BITS, ("build_s", _log("seconds")), c.k),
        _lines("hidden", "bytes beside rows against bits", lossy, series, _BITS, ("hidden_kB", _log("kB")), c.k),
    ]
    charts = {name: spec for name, spec in found if spec["data"]["values"]}
    if exact is not None:
        charts["votes"]["layer"].append(_rule(exact))
    if result.spectrum:
        charts["spectrum"] = _spectrum(result.spectrum)
    return charts


def exact_accuracy(result: SweepResult) -> float | None:
    """Return what the vote of exact neighbours is worth, None without labels."""
    return next((each.exact_accuracy for each in result.reports if each.exact_accuracy is not None), None)


def hidden_bytes(report: Report) -> float:
    """Return the bytes of an index that do not grow with its rows: codebooks, rotations, headers."""
    return report.file_bytes - report.n * report.bytes_per_vector


def build_seconds(report: Report) -> float | None:
    """Return the seconds of training and adding, None for an index that came built."""
    times = [each for each in (report.train_s, report.add_s) if each is not None]
    return sum(times) if times else None


def _datum(report: Report) -> Spec:
    values = {
        "family": report.family,
        "name": report.name,
        "said": f"{report.name}: {report.bits_per_coordinate:.2f} bits, recall {report.recall_at_k:.3f}",
        "bits": report.bits_per_coordinate,
        "nbytes": report.bytes_per_vector,
        "recall": report.recall_at_k,
        "recall1": report.recall_at_1,
        "accuracy": report.accuracy,
        "speed": 1 / report.search_s if report.search_s > 0 else None,
        "train_s": report.train_s,
        "add_s": report.add_s,
        "build_s": build_seconds(report),
        "hidden_kB": hidden_bytes(report) / 1000,
    }
    return {name: float(f"{each:.{_DIGITS}g}") if isinstance(each, float) else each for name, each in values.items()}


def _axis(title: str, text: str) -> Spec:
    return {"title": title, "scale": {"zero": False, "nice": True}, "axis": {"format": text}}


def _log(title: str) -> Spec:
    return {"title": title, "scale": {"type": "log"}, "axis": {"format": ",~g", "values": _TICKS}}


_BITS: tuple[str, Spec] = (
    "bits",
    {"title": "bits per coordinate, as saved", "scale": {"type": "log", "base": 2}, "axis": {"format": "~g"}},
)


def _votes(exact: float | None) -> tuple[str, Spec]:
    if exact is None:
        return "recall1", _axis("recall@1", ".2f")
    return "accuracy", _axis("accuracy of 3 neighbours' vote", ".2f")


def _tooltip(k: int) -> list[Spec]:
    fields = [
        ("name", "index", None),
        ("bits", "bits per coordinate", ".2f"),
        ("nbytes", "bytes a vector", ",.1f"),
        ("recall", f"recall@{k}", ".3f"),
        ("recall1", "recall@1", ".3f"),
        ("accuracy", "accuracy of the vote", ".3f"),
        ("speed", "queries a second", ",.0f"),
        ("train_s", "training, s", ",.2f"),
        ("add_s", "adding, s", ",.2f"),
        ("hidden_kB", "beside rows, kB", ",.1f"),
    ]
    return [
        {"field": field, "title": title} | ({"format": text, "type": "quantitative"} if text else {"type": "nominal"})
        for field, title, text in fields
    ]


def _lines(
    name: str,
    description: str,
    data: list[Spec],
    series: Sequence[Series],
    x: tuple[str, Spec],
    y: tuple[str, Spec],
    k: int,
) -> tuple[str, Spec]:
    """Return a chart of a line a family, with the points that were measured."""
    fields = (x[0], y[0])
    logarithmic = [field for field, axis in (x, y) if axis["scale"].get("type") == "log"]
    values = [
        each
        for each in data
        if all(each[field] is not None for field in fields) and all(each[field] > 0 for field in logarithmic)
    ]
    families = [each.family for each in series]

    def scale(values: list[Any]) -> Spec:
        return {
            "field": "family",
            "type": "nominal",
            "legend": None,
            "sort": families,
            "scale": {"domain": families, "range": values},
        }

    colours = scale([f"var(--series-{i})" for i in range(len(series))])
    encoding = {
        "x": {"field": x[0], "type": "quantitative", **x[1]},
        "y": {"field": y[0], "type": "quantitative", **y[1]},
        "color": colours,
        "order": {"field": "bits", "type": "quantitative"},
    }
    line = {
        "mark": {"type": "line", "tooltip": None, "aria": False},
        "encoding": {
            "strokeDash": scale([each.dashes for each in series]),
            "strokeWidth": scale([each.width for each in series]),
        },
    }
    point = {
        "mark": {"type": "point", "filled": True, "stroke": "var(--paper)", "strokeWidth": 0.8},
        "encoding": {
            "shape": scale([each.outline for each in series]),
            "size": scale([130 if each.family == AUTO else 70 for each in series]),
            "opacity": {"value": 1},
            "description": {"field": "said", "type": "nominal"},
            "tooltip": [each for each in _tooltip(k) if any(one[each["field"]] is not None for one in values)],
        },
    }
    # Ours is drawn last, on top of what it is compared with.
    layers = [
        {**part, "transform": [{"filter": {"field": "family", ("equal" if ours else "oneOf"): chosen}}]}
        for ours, chosen in ((False, [each for each in families if each != AUTO]), (True, AUTO))
        for part in (line, point)
    ]
    shown = {"filter": "indexof(hidden, datum.family) < 0"}
    return name, {**_frame(description, values), "transform": [shown], "encoding": encoding, "layer": layers}


def _rule(accuracy: float) -> Spec:
    return {
        "data": {"values": [{"accuracy": accuracy, "name": "exact search"}]},
        "transform": [],
        "mark": {"type": "rule", "strokeDash": [6, 4], "stroke": "var(--ink)", "strokeWidth": 1.2},
        "encoding": {
            "x": None,
            "color": None,
            "order": None,
            "y": {"field": "accuracy", "type": "quantitative"},
            "tooltip": [
                {"field": "name", "title": "index", "type": "nominal"},
                {"field": "accuracy", "title": "accuracy of the vote", "type": "quantitative", "format": ".3f"},
            ],
        },
    }


def _spectrum(shares: Sequence[float]) -> Spec:
    """Return the chart of how much of the spread the first directions hold."""
    d = len(shares)
    counts = sorted({0, *(math.ceil(d * i / _SPECTRUM_POINTS) for i in range(1, _SPECTRUM_POINTS + 1))})
    held = [(count, round(min(1.0, sum(shares[:count])), _DIGITS)) for count in counts]
    values = [{"count": count, "held": share, "even": round(count / d, _DIGITS)} for count, share in held]
    x = {"field": "count", "type": "quantitative", "title": "directions, strongest first", "axis": {"format": ",.0f"}}
    x["scale"] = {"nice": False}
    held_axis = {"field": "held", "type": "quantitative", "title": "share of the spread", "axis": {"format": ".0%"}}
    held_axis["scale"] = {"domain": [0, 1]}
    tooltip = [
        {"field": "count", "title": "first directions", "type": "quantitative", "format": ",.0f"},
        {"field": "held", "title": "hold", "type": "quantitative", "format": ".1%"},
        {"field": "even", "title": "without structure", "type": "quantitative", "format": ".1%"},
    ]
    area = {"type": "area", "color": "var(--auto)", "fillOpacity": 0.25, "line": {"color": "var(--auto)"}}
    even = {"type": "line", "strokeDash": [6, 4], "stroke": "var(--ink)", "strokeWidth": 1.2, "aria": False}
    seen = {"type": "point", "opacity": 0, "size": 400, "aria": False}
    return {
        **_frame("share of the spread held by the first directions", values),
        "layer": [
            {"mark": area, "encoding": {"x": x, "y": held_axis}},
            {"mark": even, "encoding": {"x": x, "y": {"field": "even", "type": "quantitative"}}},
            {"mark": seen, "encoding": {"x": x, "y": held_axis, "tooltip": tooltip}},
        ],
    }


def _frame(description: str, values: list[Spec]) -> Spec:
    """Return what all charts have in common."""
    ink = {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "titleFontWeight": "normal"}
    lines = {"domainColor": "var(--faint)", "tickColor": "var(--faint)", "gridColor": "var(--grid)"}
    return {
        "$schema": _SCHEMA,
        "description": description,
        "data": {"values": values},
        "params": [{"name": "hidden", "value": []}],
        "width": "container",
        "height": _HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": None,
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {**ink, **lines, "labelFontSize": 12, "titleFontSize": 13, "titlePadding": 14},
            "axisX": {"grid": False, "labelOverlap": True},
        },
    }


def is_ours(family: str) -> bool:
    """Tell our families from those of others."""
    return family.startswith(OURS)
