"""docs/layers.md says what benchmarks/layers.py measured, and its claims are what was measured."""

from __future__ import annotations

import importlib
import re
from statistics import median

import pytest

pytestmark = pytest.mark.usefixtures("scripts")

WRITE = "run `python benchmarks/layers.py --write`"


@pytest.fixture(scope="module")
def tables(scripts):
    return importlib.import_module("layer_tables")


@pytest.fixture(scope="module")
def measured(tables):
    return tables.Measured.read()


def small(tables, **more):
    """Two matrices of a network, the second of them depthwise, compressed in two ways."""
    about = {
        "network": "efficientnet",
        "way": tables.MATRICES,
        "bits": 0,
        "parameters": 1000,
        "names": ["a.weight", "b.weight"],
        "shapes": [[10, 20], [10, 9]],
        "calibrated": [True, False],
    }
    nq = {"bytes": [108, 30], "errors": [0.5, 0.2], "activations": [0.6, None], "reasons": {}}
    lplr = {"bytes": [100, None], "errors": [0.4, None], "activations": [0.3, None], "reasons": {"b.weight": "no 7"}}
    base = {"network": "efficientnet", "bits": 4}
    return tables.Measured([about, {**base, "way": "NQ", **nq, **more}, {**base, "way": "LPLR 4/4", **lplr}])


def test_the_page_is_what_the_results_say(tables, measured):
    page = tables.PAGE.read_text("utf-8")

    assert importlib.import_module("pages").fill(page, tables.sections(measured), tables.PAGE.name) == page, WRITE


def test_the_pictures_are_there_and_small(tables):
    names = re.findall(r"\((images/[^)]+)\)", tables.PAGE.read_text("utf-8"))

    assert len(names) == 2
    for name in names:
        assert 10_000 < (tables.PAGE.parent / name).stat().st_size < 400_000


def test_tables_tell_errors_wins_and_bits(tables):
    few = small(tables)

    assert few.wins("efficientnet", "LPLR 4/4", 4) == (1, 1)
    assert few.layers("efficientnet") == [0]
    assert few.spent("efficientnet", "NQ", 4) == 8 * 108 / 200
    assert "| NQ | - | - | - | 0.500, 4.32 |" in tables._by_bits(few, "efficientnet", "errors")
    assert "| LPLR 4/4 | - | - | - | **0.400**, 4.00 |" in tables._by_bits(few, "efficientnet", "errors")
    assert "| LPLR 4/4 | - | - | - | 1 of 1 |" in tables._wins(few)
    assert "| EfficientNet-Lite0 | LPLR 4/4 | 1 at 4 bits | no 7 |" in tables._left(few)


def test_a_loss_against_nq_is_no_win(tables):
    assert "| LPLR 4/4 | - | - | - | 0 of 1 |" in tables._wins(small(tables, errors=[0.3, 0.1]))


def test_every_list_is_about_every_matrix(measured):
    for network, about in measured.about.items():
        for way in measured.ways(network):
            for bits in (1, 2, 3, 4, 8):
                entry = measured.of(network, way, bits)
                if entry:
                    for kind in ("bytes", "errors", "activations"):
                        assert len(entry[kind]) == len(about["names"])
                    missing = {name for name, each in zip(about["names"], entry["bytes"], strict=True) if each is None}
                    assert set(entry["reasons"]) == missing


def test_bytes_are_within_the_budget(measured):
    """But for the ranges of rows."""
    for network, about in measured.about.items():
        for way in measured.ways(network):
            for bits in (1, 2, 3, 4):
                nbytes = measured.errors(network, way, bits, "bytes")
                for (n, d), each in zip(about["shapes"], nbytes, strict=True):
                    if each is not None and way != "NQ by row":
                        assert each <= 1.05 * bits * n * d / 8


def test_the_summary_holds(tables, measured):
    """For those numbers of bits at which a network was measured by Q alone, and by others to compare it with."""
    text = " ".join(tables.PAGE.read_text("utf-8").split())
    compared = 0

    assert "Q alone, two to four bits of the E8 lattice after a random rotation, has the lowest errors here" in text
    assert "calibrated with the inputs of the layers, it has the lowest errors on other inputs" in text
    assert "CALDERA in full, has higher errors than Q alone at equal bytes" in text
    assert "low rank alone loses a quarter of them or more even at four bits" in text
    for network in measured.about:
        for bits in (2, 3, 4):
            plain, seen = (medians(tables, measured, network, bits, kind) for kind in ("errors", "activations"))
            if "Q alone" in plain:
                compared += 1
                assert min(plain, key=plain.get) == "Q alone"
                assert plain.get("CALDERA", 1) > plain["Q alone"]
            if f"Q alone{tables.CALIBRATED}" in seen:
                assert min(seen, key=seen.get) == f"Q alone{tables.CALIBRATED}"
            low_rank = [error for way, error in plain.items() if way.startswith(("LPLR", "LSVD", "DSVD"))]
            assert min(low_rank, default=1) > 0.25
    assert compared >= 2


def medians(tables, measured, network, bits, kind):
    """Return the medians over the layers of those ways that the page compares."""
    most = tables.MOST * len(measured.layers(network))
    found = {way: measured.of_layers(network, way, bits, kind) for way in measured.ways(network)}
    return {way: median(errors) for way, errors in found.items() if len(errors) >= most}


def test_what_was_not_measured_is_said(tables):
    said = tables._missing(small(tables)).splitlines()

    assert said[0].startswith("These were not measured")
    assert any(line.startswith("* EfficientNet-Lite0, 4 bits: LPLR 8/8;") and "NQ;" not in line for line in said)
