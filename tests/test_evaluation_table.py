"""A sweep as text, CSV and JSON: nobody is left out, and nothing is lost."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
import sys

import pytest

from lplr_index.errors import InputError, WriteError
from lplr_index.evaluation.breakdown import Breakdown, Stage
from lplr_index.evaluation.table import best_at_bytes, read_json, render, render_breakdown, write_csv, write_json
from sweeps import a_report, a_sweep

ANSI = "\x1b["
STAGES = ("rank", "L bits", "search", "R int8", "query int8")


@pytest.fixture
def a_small_sweep():
    return a_sweep(
        a_report("LPLR auto", 1, recall_at_k=0.8),
        a_report("faiss PQ", 1, recall_at_k=0.7, accuracy=0.75),
        a_report("faiss RaBitQ", 1.17, recall_at_k=0.72, requested_bits=None, notes="random rotation"),
        a_report("LPLR auto", 4, recall_at_k=0.95),
        a_report("faiss SQ", 4, recall_at_k=0.97, frobenius_error=None, notes="no rows back"),
    )


@pytest.fixture(params=["rich", "plain"])
def drawn_by(request, monkeypatch):
    if request.param == "rich":
        pytest.importorskip("rich")
    else:
        for name in ("rich", "rich.table", "rich.box", "rich.console"):
            monkeypatch.setitem(sys.modules, name, None)
    return request.param


# Stars


def test_a_star_is_for_what_nothing_as_small_beats():
    reports = [
        a_report(bits=1, recall_at_k=0.7),
        a_report(bits=1, recall_at_k=0.8),
        a_report(bits=2, recall_at_k=0.75),  # larger and worse
        a_report(bits=4, recall_at_k=0.9),
        a_report(bits=8, recall_at_k=0.9),  # larger and no better, but nothing beats it
    ]

    assert best_at_bytes(reports, "recall_at_k") == [False, True, False, True, True]


@pytest.mark.parametrize(("other", "expected"), [(1.003, False), (1.02, True), (0.5, False)])
def test_half_a_percent_of_bytes_is_no_excuse(other, expected):
    reports = [a_report(bits=1, recall_at_k=0.7), a_report(bits=other, recall_at_k=0.8)]

    assert best_at_bytes(reports, "recall_at_k")[0] is expected


def test_what_was_not_measured_wins_nothing():
    assert best_at_bytes([a_report(accuracy=None), a_report(accuracy=0.1)], "accuracy") == [False, True]


# The table


def test_everyone_is_in_the_table_by_size_then_recall(a_small_sweep, drawn_by):
    names = [line.strip() for line in render(a_small_sweep).splitlines()]
    rows = [name for line in names for name in re.findall(r"^((?:LPLR|faiss) \w+ [\d.]+)  ", line)]

    assert rows == ["LPLR auto 1", "faiss PQ 1", "faiss RaBitQ 1.17", "faiss SQ 4", "LPLR auto 4"]


def test_numbers_stand_in_their_rows(a_small_sweep, drawn_by):
    lines = {re.split(r"\s{2,}", line.strip())[0]: line.split() for line in render(a_small_sweep).splitlines()}

    assert " ".join(lines["index"]) == (
        "index bytes bits recall@1 recall@10 overlap 3-NN F1 error train s add s us/query file kB"
    )
    assert " ".join(lines["faiss PQ 1"]) == (
        "faiss PQ 1 48.0 1.00 0.750* 0.700 0.700 0.750* 0.739* 0.430 0.50 0.10 85 412"
    )
    assert lines["faiss SQ 4"][3:][7] == "-"


def test_what_a_reader_must_know_stands_below(a_small_sweep, drawn_by):
    text = render(a_small_sweep)

    for words in (
        "posts, 20 groups: 5000 rows indexed, 4999 others trained on, 2000 queries, d = 384, cosine, seed 7",
        "1 thread",
        "3-NN 0.746, F1 0.745",
        "An Abacus",
        "numpy 2.0",
        "faiss RaBitQ 1.17: random rotation.",
        "Not shown: LPLR nq at 0.5 bits: expected at least 1 bit, got 0.5.",
    ):
        assert words in text
    assert text.endswith(".\n")
    assert "all of them trained on" in render(a_sweep(a_report(), disjoint=False))


def test_colours_are_for_terminals(a_small_sweep):
    pytest.importorskip("rich")

    assert ANSI not in render(a_small_sweep)
    assert ANSI in render(a_small_sweep, colour=True)


# Files


def test_json_comes_back_as_it_was(a_small_sweep, tmp_path):
    write_json(a_small_sweep, tmp_path / "sweep.json")

    assert read_json(tmp_path / "sweep.json") == a_small_sweep


def test_a_file_from_before_the_spectrum_is_read(a_small_sweep, tmp_path):
    path = tmp_path / "sweep.json"
    write_json(dataclasses.replace(a_small_sweep, spectrum=(0.75, 0.25)), path)
    assert read_json(path).spectrum == (0.75, 0.25)

    content = json.loads(path.read_text("utf-8"))
    del content["spectrum"]
    path.write_text(json.dumps(content), "utf-8")

    assert read_json(path) == a_small_sweep


def test_csv_holds_every_number_and_what_it_was_measured_on(a_small_sweep, tmp_path):
    write_csv(a_small_sweep, tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))

    assert len(lines) == 5
    for line, report in zip(lines, a_small_sweep.reports, strict=True):
        for name, value in dataclasses.asdict(report).items():
            assert line[name] == ("" if value is None else str(value))
        assert line["data"] == "posts, 20 groups"
        assert (line["seed"], line["disjoint"]) == ("7", "True")
        assert (line["machine_processor"], line["machine_numpy"]) == ("An Abacus", "2.0")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": "lplr_index sweep"}',
        '{"format": "another", "version": 1}',
        '{"format": "lplr_index sweep", "version": 1, "conditions": {}, "reports": [], "skipped": []}',
    ],
)
def test_a_file_that_is_no_sweep_is_named(content, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(content, "utf-8")

    with pytest.raises(InputError, match=r"expected .*sweep.*other\.json"):
        read_json(path)


def test_a_newer_file_is_refused(a_small_sweep, tmp_path):
    path = tmp_path / "sweep.json"
    write_json(a_small_sweep, path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"version": 2}), "utf-8")

    with pytest.raises(InputError, match="version 1"):
        read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_json(tmp_path / "nowhere.json")


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_where_nothing_can_be_written_an_error_says_so(a_small_sweep, tmp_path, write):
    with pytest.raises(WriteError, match="no folder"):
        write(a_small_sweep, tmp_path / "none" / "sweep")


# Where errors come from


def a_breakdown(name, bits, *changes, recall=0.9):
    """Return stages of these changes, without cross terms."""
    errors = itertools.accumulate(changes)
    stages = [
        Stage(stage, change, 0.0, error, recall) for stage, change, error in zip(STAGES, changes, errors, strict=False)
    ]
    return Breakdown(name, bits, 5000, 256, 10, tuple(stages))


def test_stages_of_one_index_are_lines(drawn_by):
    cross = Stage("query int8", 0.125, -0.00000001, 0.25, 0.61234)
    found = a_breakdown("mine", None, 0.0625, 0.5)
    text = render_breakdown(dataclasses.replace(found, stages=(*found.stages, cross)))

    lines = [line.split() for line in text.splitlines()]
    assert ["stage", "changes", "%", "cross", "%", "error", "%", "recall@10"] in lines
    assert ["rank", "6.2500", "0.0000", "6.2500", "0.9000"] in lines
    assert ["L", "bits", "50.0000", "0.0000", "56.2500", "0.9000"] in lines
    assert ["query", "int8", "12.5000", "0.0000", "25.0000", "0.6123"] in lines
    assert "5000 rows, 256 queries." in text


def test_stages_of_several_indexes_are_columns_below_the_table(a_small_sweep, drawn_by):
    some = (
        a_breakdown("LPLR auto", 4, 0.01, 0.02, 0.0, 0.03, 0.04),
        a_breakdown("LPLR nq", 1, 0.0, 0.5, 0.0, 0.125, 0.25, recall=0.5),
    )

    text = render(dataclasses.replace(a_small_sweep, breakdowns=some))

    whole, below = text.split("index ")[1:]
    assert whole.strip() == render(a_small_sweep).split("index ")[1].strip()
    lines = [line.split() for line in below.splitlines()]
    assert lines[0][:6] == ["bits", "rank", "%", "L", "bits", "%"]
    nq = "LPLR nq 1 0.0000 50.0000 0.0000 50.0000 12.5000 25.0000 0.500 0.500 0.500 0.500 0.500"
    auto = "LPLR auto 4 1.0000 2.0000 0.0000 3.0000 3.0000 4.0000 0.900 0.900 0.900 0.900 0.900"
    drawn = [" ".join(line) for line in lines if line[:1] == ["LPLR"]]
    assert drawn == [nq, auto]


def test_breakdowns_are_read_back(a_small_sweep, tmp_path):
    some = (a_breakdown("LPLR auto", 4, 0.01, 0.02, 0.0, 0.03, 0.04),)
    result = dataclasses.replace(a_small_sweep, breakdowns=some)

    write_json(result, tmp_path / "some.json")
    write_csv(result, tmp_path / "some.csv")
    write_csv(a_small_sweep, tmp_path / "none.csv")

    assert read_json(tmp_path / "some.json") == result
    assert (tmp_path / "some.csv").read_bytes() == (tmp_path / "none.csv").read_bytes()
    content = json.loads((tmp_path / "some.json").read_text("utf-8"))
    del content["breakdowns"]  # as files from before have it
    (tmp_path / "old.json").write_text(json.dumps(content), "utf-8")
    assert read_json(tmp_path / "old.json") == a_small_sweep
