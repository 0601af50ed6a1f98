"""docs/quality.md says what was measured."""

from __future__ import annotations

import importlib
import json
import re

import pytest

pytest.importorskip("rich")


pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def plots(scripts):
    return importlib.import_module("quality_plots")


@pytest.fixture(scope="module")
def pages(scripts):
    return importlib.import_module("pages")


@pytest.fixture(scope="module")
def parts(plots):
    return plots.sections(plots.Measured())


def test_the_page_is_what_the_results_say(pages, plots, parts):
    page = plots.PAGE.read_text("utf-8")

    assert pages.fill(page, parts, plots.PAGE.name) == page, "run `python benchmarks/quality_plots.py --write`"


def test_leads_are_those_of_the_entries(plots, parts):
    """Found here once more, without the benchmark's own functions."""
    entries = [each for each in json.loads(plots.MEASURED.read_text("utf-8")) if "skipped" not in each]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in parts["leads"].splitlines()[2:]]
    assert len(lines) > 10
    for name, bits, nbytes, auto, _, lead, *_ in lines:
        here = [each for each in entries if each["set"] == name]
        ours = next(each for each in here if (each["method"], each["bits"]) == ("LPLR auto", float(bits)))
        most = 1.25 * 1.005 * int(nbytes)
        peers = [e["recall10"] for e in here if e["group"] == "peers" and e["bytes_per_row"] <= most]
        assert f"{ours['recall10']:.3f}" == auto.strip("*")
        assert f"{100 * (ours['recall10'] - max(peers)):+.1f}" == lead


def test_every_budget_behind_its_peer_is_named(parts):
    behind = {
        (cells[0].strip(), cells[1].strip())
        for cells in (line.strip("|").split("|") for line in parts["leads"].splitlines()[2:])
        if float(cells[5]) <= -0.1
    }
    said = {
        (name.strip(), bits)
        for bits, names in re.findall(
            r"^\* ([\d.]+) bits?, .*Behind the peer on (.*)\.$", parts["misses"], re.MULTILINE
        )
        for name in names.split(",")
    }

    assert behind <= said


def test_a_page_without_the_place_is_refused(pages):
    with pytest.raises(SystemExit, match=r"one place for leads in quality\.md, got 0"):
        pages.fill("no markers", {"leads": "| a |"}, "quality.md")


def test_the_pictures_are_there(plots):
    drawn = re.findall(r"\(images/([^)]+)\)", plots.PAGE.read_text("utf-8"))

    assert drawn
    assert all((plots.IMAGES / name).stat().st_size > 10_000 for name in drawn)


def test_ablations_are_told_once_they_are_measured(plots):
    measured = plots.Measured()
    about = {"group": "ablations", "bits": 1.0}
    of = {"no gain": 0.5, "usual": 0.625}
    measured.by_set = {"newsgroups": []}
    assert not plots._ablations(measured)

    measured.by_set = {"newsgroups": [about | {"method": method, "recall10": recall} for method, recall in of.items()]}
    lines = plots._ablations(measured).splitlines()

    assert lines[-4] == "| variant | newsgroups, 1 bit |"
    assert lines[-2:] == ["| the usual recipe: recall@10 | 0.625 |", "| no gain | -12.5 |"]
