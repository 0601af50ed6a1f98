"""A sweep as text, CSV and JSON: nobody is left out, and nothing is lost."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys

import pytest

from lplr_index.errors import InputError, WriteError
from lplr_index.evaluation.table import best_at_bytes, read_json, render, write_csv, write_json
from sweeps import a_report, a_sweep

ANSI = "\x1b["


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
