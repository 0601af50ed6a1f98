"""docs/search.md says of factorizations as codes for search what was measured."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from lplr_index.evaluation import Task
from lplr_index.factorization import factorize

pytest.importorskip("rich")


@pytest.fixture(scope="module")
def benchmark(scripts):
    return importlib.import_module("search_codes")


@pytest.fixture(scope="module")
def entries(benchmark):
    return json.loads(benchmark.RESULTS.read_text("utf-8"))


def test_the_page_is_what_the_results_say(benchmark, entries):
    pages = importlib.import_module("pages")
    page = benchmark.PAGE.read_text("utf-8")

    assert pages.fill(page, benchmark.sections(entries), benchmark.PAGE.name) == page


def test_everyone_was_measured_at_the_bytes_asked_for(benchmark, entries):
    names = [(nbytes, name) for nbytes in benchmark.BYTES for name, _ in benchmark.ours(nbytes)]
    names += [(nbytes, name) for nbytes in benchmark.BYTES for name, _ in benchmark.others(nbytes, 5000, 384)]

    assert [(each["budget"], each["method"]) for each in entries] == names
    for each in entries:
        assert 0.98 * each["budget"] < each["bytes"] < 1.01 * each["budget"], each


def test_auto_finds_most_of_all_at_either_size(benchmark, entries):
    """The claim of the page and of the error that IndexLPLR raises."""
    for nbytes in benchmark.BYTES:
        here = {each["method"]: each for each in entries if each["budget"] == nbytes}
        auto = here["auto"]["recall10"]
        assert all(auto > each["recall10"] for name, each in here.items() if not name.startswith("auto"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "lsvd", "rank": 8, "nbits": 4}, 4),
        ({"method": "nq", "nbits": 2}, 4),
        ({"method": "caldera", "rank": 8, "turns": 1, "incoherence": False}, 8),
        ({"method": "caldera", "rank": 8, "turns": 1}, 8 + 1 / 8),  # and a sign of the rotation
        ({"method": "lq-lora", "nbits_Q": 2, "rank": 2, "turns": 1}, 4 + 2 + 4),  # and a scale
    ],
)
def test_bytes_are_those_that_grow_with_rows(benchmark, rng, options, expected):
    sizes = {
        n: benchmark.growing_bytes(factorize(rng.standard_normal((n, 16)).astype(np.float32), **options), n)
        for n in (200, 400)
    }

    assert (sizes[400] - sizes[200]) / 200 == pytest.approx(expected, abs=0.15)


def test_a_line_has_what_is_asked(benchmark, vectors):
    task = Task.prepare(vectors.xt, vectors.xb, vectors.xq, metric="cosine")

    exact = benchmark.line("exact", task, 3 * task.xb, 4.0, encodes=True)
    index = benchmark.measure_index("auto", {"same": True}, 12, task)
    factors = benchmark.measure_factors("lsvd", {"method": "lsvd", "rank": 24, "nbits": 4}, task, task.xq)

    assert exact["recall10"] == exact["recall10_at_length_one"] == 1
    assert (index["bytes"], factors["bytes"]) == (12, 12)
    assert 0.3 < factors["recall10"] < index["recall10"] < 1
    assert (index["encodes"], factors["encodes"]) == (True, True)
    q = benchmark.measure_factors("Q", {"method": "caldera", "rank": 0}, task, task.xq)
    assert not q["encodes"]
    assert benchmark.measure_factors("new", {"method": "unheard of"}, task, task.xq) is None
