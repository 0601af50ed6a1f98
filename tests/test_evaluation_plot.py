"""The picture of a sweep: two files that can be opened and that show every family."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lplr_index.errors import InputError, MissingDependencyError, WriteError
from lplr_index.evaluation import plot
from lplr_index.evaluation.plot import save_plot
from sweeps import a_report, a_sweep

FAMILIES = ["LPLR auto", "LPLR lplr", "faiss PQ", "faiss RaBitQ", "somebody else's"]


@pytest.fixture
def a_wide_sweep():
    pytest.importorskip("matplotlib")
    reports = [
        a_report(family, bits, recall_at_k=0.5 + 0.05 * bits, accuracy=0.7 + 0.01 * i)
        for i, family in enumerate(FAMILIES)
        for bits in (4, 0.5, 1, 2)
    ]
    return a_sweep(*reports, a_report("exact float32", 32, recall_at_k=1.0))


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn."""
    drawn = []
    draw = plot._draw
    monkeypatch.setattr(plot, "_draw", lambda *args: drawn.append(draw(*args)) or drawn[-1])
    return drawn


def test_both_files_can_be_opened_and_are_not_blank(a_wide_sweep, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    png, svg = save_plot(a_wide_sweep, tmp_path / "accuracy.v1")
    pixels = image.imread(png)

    assert (png, svg) == (tmp_path / "accuracy.v1.png", tmp_path / "accuracy.v1.svg")
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 1000
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
    assert png.stat().st_size > 20000
    assert ET.parse(svg).getroot().tag.endswith("svg")


def test_every_family_is_a_line_from_few_bits_to_many(a_wide_sweep, figures, tmp_path):
    save_plot(a_wide_sweep, tmp_path / "plot")
    left, right = figures[0].axes
    lines = {line.get_label(): line for line in left.lines}

    assert sorted(lines) == sorted(FAMILIES)
    for line in lines.values():
        assert list(line.get_xdata()) == [0.5, 1, 2, 4]
        np.testing.assert_allclose(line.get_ydata(), [0.525, 0.55, 0.6, 0.7])
    assert len({(line.get_color(), line.get_marker()) for line in lines.values()}) == len(FAMILIES)
    assert left.get_title(loc="left") == "recall@10"
    assert "vote" in right.get_title(loc="left")
    assert [text.get_text() for text in left.get_xticklabels()] == ["0.5", "1", "2", "4"]
    assert left.get_xscale() == "log"


def test_exact_accuracy_is_a_dashed_line(a_wide_sweep, figures, tmp_path):
    save_plot(a_wide_sweep, tmp_path / "plot")
    _, right = figures[0].axes
    exact = next(line for line in right.lines if "exact" in str(line.get_label()))
    legend = [text.get_text() for text in figures[0].legends[0].get_texts()]

    assert set(exact.get_ydata()) == {0.746}
    assert exact.is_dashed()
    assert set(legend) == {*FAMILIES, "exact search: 0.746"}


def test_without_labels_recall_at_1_takes_the_place_of_accuracy(figures, tmp_path):
    pytest.importorskip("matplotlib")
    nothing = dict.fromkeys(("accuracy", "weighted_f1", "exact_accuracy", "exact_weighted_f1"))
    save_plot(a_sweep(a_report(**nothing)), tmp_path / "plot")
    _, right = figures[0].axes

    assert right.get_title(loc="left") == "recall@1"
    assert list(right.lines[0].get_ydata()) == [0.75]


def test_the_same_sweep_gives_the_same_files(a_wide_sweep, tmp_path):
    first, second = save_plot(a_wide_sweep, tmp_path / "one"), save_plot(a_wide_sweep, tmp_path / "two")

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_settings_of_others_stay_as_they_were(a_wide_sweep, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    save_plot(a_wide_sweep, tmp_path / "plot")

    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("reports", [[], [a_report("exact float32", 32)]])
def test_nothing_to_draw_is_said(reports, tmp_path):
    pytest.importorskip("matplotlib")

    with pytest.raises(InputError, match="at least one compressed index"):
        save_plot(a_sweep(*reports), tmp_path / "plot")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_an_error_says_so(a_wide_sweep, tmp_path):
    with pytest.raises(WriteError, match="no folder"):
        save_plot(a_wide_sweep, tmp_path / "none" / "plot")


def test_a_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[eval\]"'):
        save_plot(a_sweep(a_report()), tmp_path / "plot")
