"""benchmarks/ivf.py: its tables say what was measured, and so does docs/ivf.md."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("faiss")
ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def ivf(scripts):
    return importlib.import_module("ivf")


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def points(ivf):
    """Return two systems: ours reaches the target with a second look, the other does and is half as fast."""
    ours, theirs = "lplr 48", "faiss RaBitQ fast scan 1 bit"
    return [
        *(ivf.Point(ours, False, nprobe, 10, 0.6) for nprobe in ivf.PROBES),
        *(ivf.Point(theirs, False, nprobe, 10, 0.5) for nprobe in ivf.PROBES),
        ivf.Point(ours, True, 4, 30, 0.91, 1e-4, 4e-4),
        ivf.Point(ours, True, 8, 20, 0.92, 2e-4, 5e-4),
        ivf.Point(theirs, True, 8, 70, 0.9, 2e-4, 2e-4),
    ]


def test_the_fastest_setting_that_finds_enough_counts(ivf):
    assert cells(ivf.speeds(points(ivf))) == [
        ["lplr 48", "48", "yes", "4, 30", "10,000 (1.00)", "2,500 (1.00)"],
        ["faiss RaBitQ fast scan 1 bit", "56", "yes", "8, 70", "5,000 (2.00)", "5,000 (0.50)"],
        ["lplr 48", "48", "no", "not reached (0.600)", "-", "-"],
        ["faiss RaBitQ fast scan 1 bit", "56", "no", "not reached (0.500)", "-", "-"],
    ]
    assert cells(ivf.recalls(points(ivf)))[1] == [
        "faiss RaBitQ fast scan 1 bit",
        "56",
        *["0.500"] * len(ivf.PROBES),
    ]


def test_a_second_look_ranks_by_the_vectors(ivf, rng):
    x, xq = rng.standard_normal((100, 32)).astype(np.float32), rng.standard_normal((3, 32)).astype(np.float32)
    candidates = np.stack([rng.permutation(100)[:20] for _ in range(3)])
    candidates[0, 5:] = -1
    found = np.empty((3, 4), np.int64)

    ivf._rerank(x, xq, candidates, found)

    for q in range(3):
        there = candidates[q][candidates[q] >= 0]
        assert found[q].tolist() == there[np.argsort(-(x[there] @ xq[q]))][:4].tolist()


def test_the_page_is_what_the_results_say(ivf):
    told = json.loads((ROOT / "benchmarks" / "results" / "ivf.json").read_text("utf-8"))
    page = (ROOT / "docs" / "ivf.md").read_text("utf-8")
    for part, text in ivf.tables(told).items():
        said = re.search(rf"<!-- {part} -->\n(.*?)\n<!-- /{part} -->", page, re.DOTALL)
        assert said is not None
        assert said[1] == text


def test_the_page_says_what_codes_and_lists_came_to(scripts):
    script, pages = importlib.import_module("ivf_codes"), importlib.import_module("pages")
    page = script.PAGE.read_text("utf-8")

    found = json.loads(script.RESULTS.read_text("utf-8"))
    assert pages.fill(page, script.parts(found), "ivf.md") == page, (
        "run `python benchmarks/ivf_codes.py --again --write`"
    )
    assert {each["bytes"] for each in found if "code" in each} == {48, 96}


def test_codes_and_lists_are_measured(scripts, tmp_path, monkeypatch):
    script = importlib.import_module("ivf_codes")
    monkeypatch.setattr(script, "HALF", 600)
    monkeypatch.setattr(script, "LISTS", 8)
    monkeypatch.setattr(script, "BITS", (1.0,))

    found = script.work(tmp_path)

    assert [each["code"] for each in found if "code" in each] == ["the row itself", "its residual"]
    assert all(0.5 < each["recall10"] < 1 for each in found if "code" in each)
    shares = {(each["lists"], each["nprobe"]): each["share"] for each in found if "lists" in each}
    assert shares["by angle", 8] == 1
    assert shares["by angle", 2] < shares["by angle", 4] < 1
