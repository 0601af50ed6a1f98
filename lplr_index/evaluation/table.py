"""A sweep as a table for people and as files for programs.

Rows are in the order of what they cost, whoever they belong to, and nobody is left out. A star marks a number that no
row of at most as many bytes beats.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.evaluation.breakdown import SEARCH, Breakdown
from lplr_index.evaluation.contenders import OURS, Skip
from lplr_index.evaluation.measure import TIMED_QUERIES, Report
from lplr_index.evaluation.sweep import Conditions, SweepResult
from lplr_index.extras import require

_EQUAL_BYTES = 1.005  # rows this close cost the same
_NEW_GROUP = 1.25  # a row that costs this much more than the one above starts a new group
_STARRED = ("recall_at_1", "recall_at_k", "accuracy", "weighted_f1")
_FORMAT = "lplr_index sweep"
_VERSION = 1


def best_at_bytes(reports: Sequence[Report], measure: str) -> list[bool]:
    """Return for each report whether none of at most its bytes per vector has a larger ``measure``.

    Parameters
    ----------
    reports : sequence of Report
        Compared with each other; bytes within half a percent count as equal.
    measure : str
        The name of an attribute of which more is better; a report where it is None is not best.
    """
    values = [(each.bytes_per_vector, getattr(each, measure)) for each in reports]
    return [
        mine is not None
        and not any(other is not None and other > mine and size <= limit * _EQUAL_BYTES for size, other in values)
        for limit, mine in values
    ]


def render(result: SweepResult, *, colour: bool = False) -> str:
    """Return the table and what is to be known about it, as text that ends with a line break.

    rich draws it where installed; otherwise it is plain aligned text with the same content.

    Parameters
    ----------
    result : SweepResult
        What to show.
    colour : bool
        Whether to use the terminal's colours; with rich only.
    """
    reports = sorted(result.reports, key=lambda each: (round(each.bytes_per_vector, 1), -each.recall_at_k))
    header = _header(result.conditions)
    rows = _cells(reports)
    breaks = {
        i for i in range(1, len(reports)) if reports[i].bytes_per_vector >= _NEW_GROUP * reports[i - 1].bytes_per_vector
    }
    lines = [_drawn(header, rows, breaks, colour=colour), *_footer(result, reports)]
    if result.breakdowns:
        lines += ["", render_breakdowns(result.breakdowns, colour=colour).rstrip("\n")]
    return "\n".join(lines) + "\n"


def render_breakdown(found: Breakdown, *, colour: bool = False) -> str:
    """Return the stages of one index as a table with what is to be known about it, ending with a line break.

    Parameters
    ----------
    found : Breakdown
        What to show.
    colour : bool
        As for ``render``.
    """
    header = ["stage", "changes %", "cross %", "error %", f"recall@{found.k}"]
    rows = [
        [each.name, *(_percent(value) for value in (each.change, each.cross, each.error)), _number(each.recall, 4)]
        for each in found.stages
    ]
    return "\n".join([_drawn(header, rows, set(), colour=colour), "", *_about_stages([found])]) + "\n"


def render_breakdowns(found: Sequence[Breakdown], *, colour: bool = False) -> str:
    """Return the stages of several indexes as one table with what is to be known about it, ending with a line break.

    Parameters
    ----------
    found : sequence of Breakdown
        What to show, at least one; all of the same stages.
    colour : bool
        As for ``render``.
    """
    names = [each.name for each in found[0].stages]
    done = names.index(SEARCH) + 1
    changes = [f"{name} %" for name in names]
    changes.insert(done, "error %")
    header = ["index", "bits", *changes, *(f"@{found[0].k} {name}" for name in names)]
    ordered = sorted(found, key=lambda each: each.requested_bits or 0)
    rows = []
    for each in ordered:
        cells = [_percent(stage.change) for stage in each.stages]
        cells.insert(done, _percent(each.error))
        cells += [_number(stage.recall, 3) for stage in each.stages]
        rows.append([each.name, "-" if each.requested_bits is None else f"{each.requested_bits:g}", *cells])
    breaks = {i for i in range(1, len(rows)) if ordered[i].requested_bits != ordered[i - 1].requested_bits}
    return "\n".join([_drawn(header, rows, breaks, colour=colour), "", *_about_stages(found)]) + "\n"


def write_csv(result: SweepResult, path: str | os.PathLike[str]) -> None:
    """Write one line a report; the conditions of the sweep stand in every line.

    Raises
    ------
    WriteError
        If the file cannot be written; nothing half-written stays behind.
    """
    shared = dataclasses.asdict(result.conditions)
    machine = {f"machine_{key}": value for key, value in shared.pop("machine").items()}
    lines = [dataclasses.asdict(report) | shared | machine for report in result.reports]
    fields = [field.name for field in dataclasses.fields(Report)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*fields, *(name for name in [*shared, *machine] if name not in fields)])
    writer.writeheader()
    writer.writerows(lines)
    _write_text(path, text.getvalue())


def write_json(result: SweepResult, path: str | os.PathLike[str]) -> None:
    """Write everything; ``read_json`` reads it back.

    Raises
    ------
    WriteError
        If the file cannot be written; nothing half-written stays behind.
    """
    content = {"format": _FORMAT, "version": _VERSION} | dataclasses.asdict(result)
    _write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> SweepResult:
    """Return the sweep that ``write_json`` wrote.

    Raises
    ------
    InputError
        If the file cannot be read, or is not such a file.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise InputError(f"expected {_FORMAT} version {_VERSION} in {path}, got another format")
        spectrum = content.get("spectrum")
        return SweepResult(
            Conditions(**content["conditions"]),
            tuple(Report(**each) for each in content["reports"]),
            tuple(Skip(**each) for each in content["skipped"]),
            spectrum if spectrum is None else tuple(map(float, spectrum)),
            tuple(Breakdown.of(each) for each in content.get("breakdowns", ())),
        )
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror or err}") from err
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        if isinstance(err, InputError):
            raise
        raise InputError(f"expected a sweep as write_json writes it in {path}, got {err!r}") from err


def _write_text(path: str | os.PathLike[str], text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))


def _header(conditions: Conditions) -> list[str]:
    k = conditions.k
    return [
        "index",
        "bytes",
        "bits",
        "recall@1",
        f"recall@{k}",
        "overlap",
        "3-NN",
        "F1",
        "error",
        "train s",
        "add s",
        "us/query",
        "file kB",
    ]


def _cells(reports: Sequence[Report]) -> list[list[str]]:
    stars = {name: best_at_bytes(reports, name) for name in _STARRED}
    rows = []
    for i, each in enumerate(reports):
        shares = {
            name: _number(getattr(each, name), 3) + ("*" if stars.get(name, [False] * len(reports))[i] else " ")
            for name in (*_STARRED, "overlap", "frobenius_error")
        }
        rows.append(
            [
                each.name,
                _number(each.bytes_per_vector, 1),
                _number(each.bits_per_coordinate, 2),
                shares["recall_at_1"],
                shares["recall_at_k"],
                shares["overlap"],
                shares["accuracy"],
                shares["weighted_f1"],
                shares["frobenius_error"],
                _number(each.train_s, 2),
                _number(each.add_s, 2),
                _number(each.search_s * 1e6, 0),
                _number(each.file_bytes / 1000, 0),
            ]
        )
    return rows


def _percent(value: float) -> str:
    return f"{round(100 * value, 4) + 0.0:.4f}"  # a zero without a sign


def _about_stages(found: Sequence[Breakdown]) -> list[str]:
    first = found[0]
    return [
        f"{first.n} rows, {first.nq} queries. Mean squares in % of the variance of a query's exact scores:",
        f"what a stage changes, and the error after it, to which cross terms belong; @{first.k}: the recall after it.",
        "rank: rows projected to the span of R; L bits: a row's bytes, its gain and norm too; search: what it returns;",
        "R int8, query int8: what projecting queries in 8-bit integers, which no search does, would add.",
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _drawn(header: list[str], rows: list[list[str]], breaks: set[int], *, colour: bool) -> str:
    try:
        return _with_rich(header, rows, breaks, colour=colour)
    except MissingDependencyError:
        return _plain(header, rows, breaks)


def _plain(header: list[str], rows: list[list[str]], breaks: set[int]) -> str:
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *rest = (
            f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    out = [line(header), rule]
    for i, row in enumerate(rows):
        out += [rule] if i in breaks else []
        out.append(line(row))
    return "\n".join(out)


def _with_rich(header: list[str], rows: list[list[str]], breaks: set[int], *, colour: bool) -> str:
    tables, box, console = (require(f"rich.{name}", "cli") for name in ("table", "box", "console"))
    table = tables.Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column, name in enumerate(header):
        table.add_column(name, justify="left" if column == 0 else "right", no_wrap=True)
    for i, row in enumerate(rows):
        ours = row[0].startswith(OURS)
        table.add_row(*row, style="bold" if ours else "", end_section=i + 1 in breaks)
    text = io.StringIO()
    width = sum(max(len(line[column]) for line in [header, *rows]) + 3 for column in range(len(header)))
    console.Console(file=text, width=width, force_terminal=colour, no_color=not colour, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")


def _footer(result: SweepResult, reports: Sequence[Report]) -> list[str]:
    c = result.conditions
    trained = f"{c.nt} others trained on" if c.disjoint else "all of them trained on"
    data = f"{c.data}: " if c.data else ""
    threads = "1 thread" if c.threads == 1 else f"{c.threads} threads"
    lines = [
        "",
        f"{data}{c.n} rows indexed, {trained}, {c.nq} queries, d = {c.d}, {c.metric}, seed {c.seed}.",
        f"Times: {threads}; a query's is the median of {c.repeat} calls with up to {TIMED_QUERIES} queries each.",
        "bytes, bits: what a row adds to the saved file, and that a coordinate; file: all of it.",
        "overlap: intersection over union with the exact neighbours; 3-NN, F1: accuracy and weighted F1 of their vote;",
        "error: relative Frobenius error of the rows given back. * nothing of at most as many bytes is better.",
    ]
    exact = next((each for each in reports if each.exact_accuracy is not None), None)
    if exact:
        lines.append(f"Exact search: 3-NN {exact.exact_accuracy:.3f}, F1 {exact.exact_weighted_f1:.3f}.")
    lines.append(", ".join(f"{key} {value}" for key, value in c.machine.items()) + ".")
    notes: dict[str, list[str]] = {}
    for each in reports:
        if each.notes:
            notes.setdefault(each.notes, []).append(each.name)
    lines += [f"{', '.join(dict.fromkeys(names))}: {note}." for note, names in notes.items()]
    for skip in result.skipped:
        at = "" if skip.requested_bits is None else f" at {skip.requested_bits:g} bits"
        lines.append(f"Not shown: {skip.name}{at}: {skip.reason}.")
    return lines
