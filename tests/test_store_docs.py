"""docs/store.md and docs/reliability.md keep their word: the example runs, the figures are those that were measured."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from lplr_index import open_store

ROOT = Path(__file__).parents[1]


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "store.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    code = [line for line in block.splitlines() if line]
    assert len(code) <= 13  # ten lines beside the imports
    names = {}
    exec(compile(block, "store.md", "exec"), names)

    assert {*names["I"].reshape(-1).tolist()} == {"post 1", "post 7", None}
    for path, rows in (("posts", 1499), ("posts-monday", 1499)):
        with open_store(path) as store:
            assert store.ntotal == rows
            assert store.verify() == []


@pytest.mark.usefixtures("scripts")
def test_the_figures_are_measured():
    pages, reliability = importlib.import_module("pages"), importlib.import_module("reliability")
    text = reliability.PAGE.read_text("utf-8")

    assert pages.fill(text, reliability.parts(), "reliability.md") == text, "run benchmarks/reliability.py --write"


@pytest.mark.usefixtures("scripts")
def test_what_was_measured_was_without_fault():
    reliability = importlib.import_module("reliability")

    assert sum(each["kills"] for each in reliability.result("crashes")) >= 2000
    assert reliability.result("soak")["wrong"] == []
    assert reliability.result("soak")["seconds"] >= 180
    assert reliability.result("store_rates")["same"]
