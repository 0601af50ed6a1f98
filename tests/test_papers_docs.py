"""docs/papers.md says what the results of the benchmarks say, of every method, with commands that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from lplr_index.factorization import METHODS

pytest.importorskip("rich")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script(scripts):
    return importlib.import_module("papers")


@pytest.fixture(scope="module")
def rows(script):
    return list(script.rows())


def test_the_page_is_what_the_results_say(script):
    pages = importlib.import_module("pages")
    page = script.PAGE.read_text("utf-8")

    assert pages.fill(page, script.parts(), script.PAGE.name) == page, "run `python benchmarks/papers.py --write`"


def test_every_method_has_a_row(rows):
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row.names)}

    assert set(METHODS) <= named


def test_every_command_is_a_script_that_says_what_it_does(rows):
    for row in rows:
        scripts = re.findall(r"`benchmarks/(\w+\.py)`", row.command)
        assert len(scripts) == 1, row.system
        for name in scripts:
            text = (BENCHMARKS / name).read_text("utf-8")
            assert f"python benchmarks/{name}" in text.split('"""')[1], name


def test_what_is_seen_is_said_in_every_row(rows):
    for row in rows:
        assert all(row), row.system
        assert re.match(r"yes|no\b|not |in |ahead |bits |LPLR|the error|JPEG", row.seen), row.seen


def test_shares_are_said_in_words(script):
    assert [script._share(won, 4) for won in (0, 3, 4)] == ["no", "in 3 of 4", "yes"]
