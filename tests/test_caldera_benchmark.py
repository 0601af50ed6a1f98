"""docs/factorization.md says of Q + L R what was measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark(scripts):
    return importlib.import_module("caldera")


@pytest.fixture(scope="module")
def entries(benchmark):
    return json.loads(benchmark.RESULTS.read_text("utf-8"))


def test_the_page_is_what_the_results_say(benchmark, entries):
    pages = importlib.import_module("pages")
    page = benchmark.PAGE.read_text("utf-8")

    assert pages.fill(page, benchmark.sections(entries), benchmark.PAGE.name) == page


def test_bits_are_those_of_the_budget(benchmark, entries):
    """But for scales and for what fills the last byte of a row; naive codes have whole bits, the next lower."""
    for each in entries:
        if each["budget"] is not None:
            budget = each["budget"] + (benchmark.BLOCK_SCALES if each["method"] == "lq-lora" else 0)
            least = np.floor(budget) if each["method"] == "nq" else 0.95 * budget
            assert least <= each["bits"] < 1.05 * budget, each


def test_everyone_was_measured(benchmark, entries):
    problems = list(benchmark.problems())
    names = [(problem.name, name) for problem in problems for name, _ in benchmark.contenders(problem)]

    assert [(each["matrix"], each["method"]) for each in entries] == names


def test_kinds_of_queries_do_not_overlap(benchmark):
    for problem in benchmark.problems():
        rows = [set(map(bytes, part)) for part in (problem.calibration, problem.held_out, problem.others)]
        assert len(set.union(*rows)) >= sum(map(len, rows)) - 3  # a post may be there twice


def test_a_line_has_what_is_asked(benchmark):
    rng = np.random.default_rng(0)
    A, *queries = (rng.standard_normal((n, 16)).astype(np.float32) for n in (50, 20, 20, 20))

    line = benchmark.measure(benchmark.Problem("small", A, *queries), "Q", {"method": "caldera", "rank": 0})

    assert line["error"] == pytest.approx(0.31, abs=0.03)
    assert 0.5 < line["recall10"] <= 1
    assert line["budget"] is None
