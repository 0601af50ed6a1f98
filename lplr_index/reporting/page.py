"""The page: one file that needs nothing but itself, on paper as on a screen.

Names come from files and command lines, so nothing of them is trusted. Jinja2 escapes them; and the page forbids itself
by a content security policy to run any script but its own two, or to fetch anything from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError
from lplr_index.evaluation.contenders import EXACT
from lplr_index.evaluation.measure import TIMED_QUERIES, Report
from lplr_index.evaluation.recommendation import AUTO, bits_of, describe_ours, describe_peer, recommend
from lplr_index.evaluation.spectrum import describe_spectrum
from lplr_index.evaluation.sweep import SweepResult
from lplr_index.evaluation.table import best_at_bytes
from lplr_index.extras import require
from lplr_index.reporting.charts import (
    Series,
    build_seconds,
    charts_of,
    exact_accuracy,
    hidden_bytes,
    is_ours,
    series_of,
)

EXTRA = "report"
"""The extra that brings what pages are made with."""

_VEGA_LITE = "6.1"
_DARKER, _LIGHTER = 0.18, 0.3  # by which colours are mixed with black on white paper, and with white on a dark screen
_STARRED = ("recall_at_1", "recall_at_k", "accuracy", "weighted_f1")


def write_page(results: Sequence[SweepResult], path: str | os.PathLike[str]) -> None:
    """Write ``render_page`` to a file.

    Parameters
    ----------
    results : sequence of SweepResult
        A section each.
    path : str or os.PathLike
        The file.

    Raises
    ------
    InputError
        If there are no results, or one has no reports.
    MissingDependencyError
        If Jinja2 or vl-convert is not installed.
    WriteError
        If the file cannot be written; nothing half-written stays behind.
    """
    text = render_page(results)
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))


def render_page(results: Sequence[SweepResult]) -> str:
    """Return a page of HTML that shows some sweeps.

    Parameters
    ----------
    results : sequence of SweepResult
        A section each.

    Raises
    ------
    InputError
        If there are no results, or one has no reports.
    MissingDependencyError
        If Jinja2 or vl-convert is not installed.
    """
    check_installed()
    if not results:
        raise InputError("expected at least one sweep to show, got none")
    for result in results:
        if not any(each.family != EXACT for each in result.reports):
            name = result.conditions.data or "without a name"
            raise InputError(f"expected a sweep with at least one compressed index to show, got {name} with none")
    series = series_of(results)
    scripts = [_library(), _read("page.js")]
    sections = [_section(f"s{number}", result, series) for number, result in enumerate(results)]
    charts = {f"{each['id']}-{name}": spec for each in sections for name, spec in each["charts"].items()}
    jinja2 = require("jinja2", EXTRA)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text: str = environment.from_string(_read("page.html.jinja")).render(
        title=" and ".join(dict.fromkeys(each["title"] for each in sections)),
        sections=sections,
        series=series,
        colours=[(_mixed(each.colour, 0, _DARKER), _mixed(each.colour, 255, _LIGHTER)) for each in series],
        charts=charts,
        style=_read("page.css"),
        scripts=scripts,
        hashes=[_hash(each) for each in scripts],
        auto=AUTO,
        auto_at=next((i for i, each in enumerate(series) if each.family == AUTO), None),
    )
    return text


def check_installed() -> None:
    """Find out before the work whether pages can be made.

    Raises
    ------
    MissingDependencyError
        If Jinja2 or vl-convert is not installed.
    """
    require("jinja2", EXTRA)
    require("vl_convert", EXTRA)


@lru_cache(maxsize=1)
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    bundle: str = require("vl_convert", EXTRA).javascript_bundle(vl_version=_VEGA_LITE)
    # The end of a script element is found before the script is looked at.
    return bundle.replace("</script", r"<\/script").replace("<!--", r"\x3c!--")


def _read(name: str) -> str:
    return files("lplr_index.reporting").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _mixed(colour: str, other: int, part: float) -> str:
    """Return a colour with a part of black (0) or white (255) in it."""
    channels = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(channel * (1 - part) + other * part):02X}" for channel in channels)


def _section(number: str, result: SweepResult, series: Sequence[Series]) -> dict[str, Any]:
    """Return what the template shows of a sweep."""
    c = result.conditions
    families = {each.family for each in result.reports}
    advice = recommend(result)
    return {
        "id": number,
        "title": c.data or "A collection without a name",
        "conditions": c,
        "charts": charts_of(result, series),
        "present": [(i, each) for i, each in enumerate(series) if each.family in families],
        "has_labels": exact_accuracy(result) is not None,
        "exact_accuracy": exact_accuracy(result),
        "advice": [
            {"target": each.target, "ours": describe_ours(each, c.d, c.k), "peer": describe_peer(each)}
            | ({} if each.ours is None else {"bits": bits_of(each.ours.nbytes, c.d)})
            for each in advice
        ],
        "spectrum": None if result.spectrum is None else describe_spectrum(result.spectrum),
        "rows": _rows(result),
        "notes": _notes(result.reports),
        "skipped": result.skipped,
        "timed": min(TIMED_QUERIES, c.nq),
    }


def _rows(result: SweepResult) -> list[dict[str, Any]]:
    """Return the cells of the table, in the order of what a row costs, with stars as the terminal's table has them."""
    reports = sorted(result.reports, key=lambda each: (round(each.bytes_per_vector, 1), -each.recall_at_k))
    stars = {name: best_at_bytes(reports, name) for name in _STARRED}
    rows = []
    for i, each in enumerate(reports):
        cells = [
            (_number(each.bytes_per_vector, 1), False),
            (_number(each.bits_per_coordinate, 2), False),
            *((_number(getattr(each, name), 3), stars[name][i]) for name in _STARRED),
            (_number(each.overlap, 3), False),
            (_number(each.frobenius_error, 3), False),
            (_number(each.train_s, 2), False),
            (_number(each.add_s, 2), False),
            (_number(build_seconds(each), 2), False),
            (_number(each.search_s * 1e6, 0), False),
            (_number(hidden_bytes(each) / 1000, 1), False),
            (_number(each.file_bytes / 1000, 0), False),
        ]
        rows.append({"name": each.name, "ours": is_ours(each.family), "auto": each.family == AUTO, "cells": cells})
    return rows


def _notes(reports: Sequence[Report]) -> list[tuple[str, str]]:
    """Return settings that a reader should know of, each after the names it holds for."""
    names: dict[str, dict[str, None]] = {}
    for each in reports:
        if each.notes:
            names.setdefault(each.notes, {})[each.name] = None
    return [(", ".join(found), note) for note, found in names.items()]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
