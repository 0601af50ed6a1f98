"""The charts of a report: every family is in them, told apart, and Vega-Lite takes them."""

from __future__ import annotations

import pytest

from lplr_index.evaluation.plot import STYLES
from lplr_index.reporting.charts import DASHES, SHAPES, build_seconds, charts_of, hidden_bytes, series_of
from sweeps import a_report, a_sweep

FAMILIES = ["LPLR auto", "LPLR lplr", "faiss PQ", "faiss RaBitQ", "somebody else's", "yet another's"]


@pytest.fixture
def result():
    reports = [
        a_report(family, bits, recall_at_k=0.5 + 0.1 * bits, file_bytes=1_000_000)
        for family in FAMILIES
        for bits in (2, 0.5, 1)
    ]
    return a_sweep(*reports, a_report("exact float32", 32, recall_at_k=1.0))


def values(chart):
    return chart["data"]["values"]


def test_every_family_has_a_look_of_its_own(result):
    series = series_of([result, a_sweep(*(a_report(f"new {i}") for i in range(15)))])
    looks = {(each.colour, each.outline, tuple(each.dashes)) for each in series}

    assert [each.family for each in series[:6]] == FAMILIES
    assert series[-1].family == "exact float32"
    assert len(looks) == len(series) == 22


def test_known_families_look_as_in_the_plot():
    series = series_of([a_sweep(*(a_report(family) for family in STYLES))])

    for each, (family, style) in zip(series, STYLES.items(), strict=True):
        assert (each.family, each.colour, each.width) == (family, style.colour, style.width)
        assert (each.outline, each.dashes) == (SHAPES[style.marker], DASHES[style.dashes])


def test_all_methods_are_in_all_charts_from_few_bits_to_many(result):
    charts = charts_of(result, series_of([result]))

    assert list(charts) == ["recall", "votes", "speed", "building", "hidden"]
    for name, chart in charts.items():
        assert {each["family"] for each in values(chart)} == {
            *FAMILIES,
            *(["exact float32"] if name == "speed" else []),
        }
        bits = [each["bits"] for each in values(chart) if each["family"] == "LPLR auto"]
        assert bits == [0.5, 1, 2]
        assert {"name": "hidden", "value": []} in chart["params"]


def test_numbers_are_those_of_the_reports():
    report = a_report(bits=1, n=5000, file_bytes=412_096, train_s=0.5, add_s=0.25, search_s=1e-4, recall_at_k=1 / 3)
    charts = charts_of(a_sweep(report), series_of([a_sweep(report)]))
    (datum,) = values(charts["speed"])

    assert datum["recall"] == pytest.approx(1 / 3, abs=1e-6)
    assert datum["speed"] == pytest.approx(10_000)
    assert datum["build_s"] == build_seconds(report) == 0.75
    assert 1000 * datum["hidden_kB"] == hidden_bytes(report) == 412_096 - 5000 * 48


def test_what_was_not_measured_is_not_drawn():
    bare = a_report(accuracy=None, exact_accuracy=None, train_s=None, add_s=None, search_s=0.0, file_bytes=0)
    charts = charts_of(a_sweep(bare), series_of([a_sweep(bare)]))

    assert list(charts) == ["recall", "votes"]
    assert charts["votes"]["encoding"]["y"]["field"] == "recall1"
    assert build_seconds(bare) is None


def test_exact_search_is_a_line_in_the_chart_of_votes(result):
    rule = charts_of(result, series_of([result]))["votes"]["layer"][-1]

    assert values(rule) == [{"accuracy": 0.746, "name": "exact search"}]


def test_the_spectrum_is_drawn_as_what_the_first_directions_hold(result):
    spectral = a_sweep(a_report())
    shares = (0.4, 0.3, 0.2, 0.1)
    chart = charts_of(type(spectral)(spectral.conditions, spectral.reports, (), shares), series_of([spectral]))[
        "spectrum"
    ]

    assert [(each["count"], each["held"]) for each in values(chart)] == [(0, 0), (1, 0.4), (2, 0.7), (3, 0.9), (4, 1.0)]


def test_vega_lite_takes_them(result):
    compiler = pytest.importorskip("vl_convert")
    spectral = type(result)(result.conditions, result.reports, (), (0.75, 0.25))

    for chart in charts_of(spectral, series_of([spectral])).values():
        assert compiler.vegalite_to_vega(chart, vl_version="6.1")["marks"]
