"""docs/search.md says of errors and of the int8 projection what was measured."""

from __future__ import annotations

import importlib
import itertools
import json
import time

import numpy as np
import pytest

from lplr_index.evaluation import Task
from lplr_index.settings import METHODS

pytest.importorskip("rich")


@pytest.fixture(scope="module")
def benchmark(scripts):
    return importlib.import_module("lramm")


@pytest.fixture(scope="module")
def results(benchmark):
    return json.loads(benchmark.RESULTS.read_text("utf-8"))


def test_the_page_is_what_the_results_say(benchmark, results):
    pages = importlib.import_module("pages")
    page = benchmark.PAGE.read_text("utf-8")

    assert pages.fill(page, benchmark.sections(results), benchmark.PAGE.name) == page


def test_every_method_was_taken_apart(results):
    found = [(each["method"], each["bits"]) for each in results["breakdowns"]]

    assert found == [(method, bits) for method in METHODS for bits in (1.0, 4.0)]
    for each in results["breakdowns"]:
        before = 0.0
        for stage in each["stages"]:
            assert stage["error"] == pytest.approx(before + stage["change"] + stage["cross"], abs=1e-12)
            before = stage["error"]


def test_searches_are_exact_and_integers_cost_little(results):
    """The claims of the page: a search adds nothing but roundings, and integers hardly any recall."""
    for each in results["breakdowns"]:
        stages = {stage["name"]: stage for stage in each["stages"]}
        assert stages["search"]["change"] < 1e-11
        assert stages["search"]["recall"] - stages["query int8"]["recall"] < 0.005
    for each in results["found"]:
        assert each["recall10"] - each["recall10_int8"] < 0.005
        assert each["int8_bytes"] < 0.26 * each["float32_bytes"]


def test_whole_searches_are_no_faster(results):
    """The claim of the page; figures are those that were measured when it was written."""
    for each in results["times"]:
        assert each["search with int8"] > 0.99 * each["search"]
        if each["rows"].endswith("384"):
            assert 0.015 < each["float32"] / each["search"] < 0.085


@pytest.fixture(scope="module")
def small(benchmark, make_vectors):
    x = make_vectors(1300, 24)
    task = Task.prepare(x[:600], x[600:1200], x[1200:], metric="cosine")
    return benchmark.collection("small", task, benchmark.trained(task))


def test_the_twin_searches_the_same_rows_with_rounded_products(benchmark, small):
    assert len(small.index) == len(small.twin) == 600
    assert len(benchmark.collection("twice", small.task, benchmark.trained(small.task), copies=2).twin) == 1200
    y, rounded = (each.model.project(small.task.xq) for each in (small.index, small.twin))
    assert 0 < np.abs(y - rounded).max() < 0.05 * np.abs(y).max()
    D, D_int8 = (each.search(small.task.xq, 5)[0] for each in (small.index, small.twin))
    assert 0 < np.abs(D - D_int8).max() < 0.02


def test_calls_take_turns_and_the_first_does_not_count(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "REPEATS", 3)
    lasts = [3, 8, 2, 6, 4, 7]
    clock = itertools.accumulate([0, 0, *(step for last in lasts for step in (0, last))])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    made = []

    times = benchmark.in_turns([lambda: made.append("a"), lambda: made.append("b")])

    assert made == ["a", "b"] * 4
    assert times == [2e6, 6e6]


def test_a_line_has_what_is_asked(benchmark, small, monkeypatch):
    monkeypatch.setattr(benchmark, "REPEATS", 1)

    times, found = benchmark.timed(small, 3), benchmark.found(small)

    assert all(times[name] > 0 for name in ("float32", "BLAS", "int8", "search", "search with int8"))
    assert found["float32_bytes"] == 4 * small.index.model.R.size
    assert found["int8_bytes"] == small.index.model.R.size + 4 * len(small.index.model.R)
    assert 0.3 < found["recall10"] <= 1
