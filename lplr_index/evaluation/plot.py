"""A sweep as a picture: what is found, and what the vote is worth, against bits per coordinate."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError
from lplr_index.evaluation.contenders import EXACT, OURS
from lplr_index.evaluation.measure import Report
from lplr_index.evaluation.sweep import SweepResult
from lplr_index.extras import require

_INK, _FAINT = "#222222", "#888888"
_SETTINGS = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.hashsalt": "lplr_index",  # the same sweep gives the same file
}


class Style(NamedTuple):
    """Colours are those of Okabe and Ito, which people with any colour vision tell apart; markers differ too."""

    colour: str
    marker: str
    dashes: str = "-"
    width: float = 1.4


STYLES = {
    f"{OURS}auto": Style("#D55E00", "o", width=2.8),
    f"{OURS}lplr": Style("#777777", "v", "--"),
    f"{OURS}lsvd": Style("#777777", "^", "-."),
    f"{OURS}dsvd": Style("#AAAAAA", "<", ":"),
    f"{OURS}nq": Style("#AAAAAA", ">", "--"),
    "faiss PQ": Style("#56B4E9", "s"),
    "faiss OPQ+PQ": Style("#0072B2", "D"),
    "faiss PQ fast scan": Style("#CC79A7", "X"),
    "faiss SQ": Style("#E69F00", "P"),
    "faiss RaBitQ": Style("#009E73", "p"),
    "faiss TurboQuant": Style("#0072B2", "^", "--"),
    "faiss EDEN": Style("#009E73", "v", "--"),
    "turbovec": Style("#CC79A7", "D", "-."),
    "rabitqlib": Style("#009E73", "X", "-."),
    "usearch": Style("#E69F00", "s", "-."),
    "sentence-transformers by faiss": Style("#56B4E9", "P", ":"),
    "sentence-transformers by usearch": Style("#56B4E9", "p", ":"),
    "lorann-16c": Style("#CC79A7", "<", ":"),
    "lorann-64c": Style("#CC79A7", ">", ":"),
}
UNKNOWN = Style("#000000", ".")


def save_plot(result: SweepResult, stem: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Draw two panels side by side and write them as PNG and SVG.

    Left is recall@k; right is the accuracy of the vote of the three nearest rows, with exact search as a dashed line,
    or recall@1 where there are no labels. A line is a family of indexes, its points are the budgets.

    Parameters
    ----------
    result : SweepResult
        What to draw.
    stem : str or os.PathLike
        The path of the files, to which ``.png`` and ``.svg`` are appended.

    Returns
    -------
    tuple of Path
        The PNG and the SVG.

    Raises
    ------
    InputError
        If the sweep has no reports to draw.
    MissingDependencyError
        If matplotlib is not installed.
    WriteError
        If a file cannot be written.
    """
    matplotlib, figures = require("matplotlib", "eval"), require("matplotlib.figure", "eval")
    families = _families(result.reports)
    if not families:
        raise InputError("expected a sweep with at least one compressed index to draw, got none")
    paths = []
    with matplotlib.rc_context(_SETTINGS):
        figure = _draw(figures.Figure(figsize=(11, 5.6), dpi=150, layout="constrained"), result, families)
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            picture = io.BytesIO()
            figure.savefig(picture, format=suffix[1:], metadata=metadata)
            path = Path(f"{os.fspath(stem)}{suffix}")
            with atomic_write(path) as stream:
                stream.write(picture.getvalue())
            paths.append(path)
    return paths[0], paths[1]


def _families(reports: Sequence[Report]) -> dict[str, list[Report]]:
    """Return the reports by family, known families in the order of their styles, each from few bits to many."""
    found: dict[str, list[Report]] = {family: [] for family in STYLES}
    for each in reports:
        if each.family != EXACT:
            found.setdefault(each.family, []).append(each)
    return {
        family: sorted(members, key=lambda each: each.bits_per_coordinate)
        for family, members in found.items()
        if members
    }


def _draw(figure: Any, result: SweepResult, families: dict[str, list[Report]]) -> Any:
    c = result.conditions
    left, right = figure.subplots(1, 2)
    _panel(left, families, "recall_at_k", f"recall@{c.k}")
    exact = next((each.exact_accuracy for each in result.reports if each.exact_accuracy is not None), None)
    if exact is None:
        _panel(right, families, "recall_at_1", "recall@1")
    else:
        _panel(right, families, "accuracy", "accuracy of the 3 nearest neighbours' vote")
        right.axhline(
            exact, color=_INK, linestyle=(0, (6, 4)), linewidth=1, zorder=1, label=f"exact search: {exact:.3f}"
        )
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)
    name = f"{c.data}: " if c.data else ""
    figure.suptitle(f"{name}{c.n:,} rows indexed, {c.nq:,} queries, d = {c.d}, {c.metric}", fontsize=11, color=_INK)
    return figure


def _panel(axes: Any, families: dict[str, list[Report]], measure: str, title: str) -> None:
    for family, members in families.items():
        points = [(each.bits_per_coordinate, getattr(each, measure)) for each in members]
        style = STYLES.get(family, UNKNOWN)
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=family,
            color=style.colour,
            marker=style.marker,
            linestyle=style.dashes,
            linewidth=style.width,
            markersize=5 + style.width,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3 if family.startswith(OURS) else 2,
        )
    sizes = [each.bits_per_coordinate for members in families.values() for each in members]
    ticks = [2.0**power for power in range(math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes))) + 1)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("bits per coordinate, as saved")
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
