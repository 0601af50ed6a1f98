"""benchmarks/speed.py: its tables say what was measured, and so does the README; its limits are what they claim."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lplr_index.kernels import simd_level

pytest.importorskip("rich")
pytest.importorskip("faiss")
ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def speed(scripts):
    return importlib.import_module("speed")


@pytest.fixture(scope="module")
def peaks(scripts):
    return importlib.import_module("peaks")


@pytest.fixture(scope="module")
def systems(scripts):
    return importlib.import_module("systems")


@pytest.fixture
def measured(speed):
    """Two calls of two of ours of one size, a peer of that size, and one that finds more in more bytes."""
    names = ("lplr 48", "lplr 48, short", "faiss PQ fast scan 48", "turbovec 4 bits")
    libraries = ("lplr", "lplr", "faiss PQ fast scan", "turbovec")
    sizes, recalls, ms = (48, 48, 48, 192), (0.85, 0.82, 0.75, 0.94), (4.0, 2.0, 3.0, 12.0)
    options = ({}, {"margin": 9}, {}, {})
    systems = [speed.System(*each) for each in zip(names, libraries, sizes, options, strict=True)]
    facts = {
        one.index: {"bytes_per_row": one.nbytes + 0.03, "train_s": 2.0 * i, "add_s": 4.0 * i, "threads": 1}
        for i, one in enumerate(systems, 1)
    }
    calls = [speed.Call(1, 1, 10), speed.Call(1, 100, 10)]
    times = [
        speed.Time(name, call, one * call.nq / 1000) for call in calls for name, one in zip(names, ms, strict=True)
    ]
    limits = [speed.Peak(1, 48_000, 24e6, 96e6, 18e6)]
    found = {name: speed.Recall(share, share / 2) for name, share in zip(names, recalls, strict=True)}
    return speed.Measured(1000, systems, [], facts, found, times, limits, (0.80, 0.90, 0.95))


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_rates_and_ratios(speed, measured):
    assert cells(speed.rates(measured))[0] == ["lplr 48", "48", "0.850", "0.425", "250", "250"]
    assert cells(speed.ratios(measured)) == [
        ["lplr 48", "faiss PQ fast scan 48 (48)", "0.75", "0.75"],
        ["lplr 48", "turbovec 4 bits (192)", "3.00", "3.00"],
        ["lplr 48, short", "faiss PQ fast scan 48 (48)", "1.50", "1.50"],
        ["lplr 48, short", "turbovec 4 bits (192)", "6.00", "6.00"],
    ]


def test_at_equal_recall_the_smallest_counts_and_no_margin_that_misses_rows(speed, measured):
    assert cells(speed.equal_recall(measured)) == [
        ["0.80", "lplr", "48", "250 (1.00)", "250 (1.00)"],
        ["0.80", "faiss PQ fast scan", "not reached", "-", "-"],
        ["0.80", "turbovec", "192", "83 (3.00)", "83 (3.00)"],
        ["0.90", "lplr", "not reached", "-", "-"],
        ["0.90", "faiss PQ fast scan", "not reached", "-", "-"],
        ["0.90", "turbovec", "192", "83", "83"],
        *(["0.95", name, "not reached", "-", "-"] for name in ("lplr", "faiss PQ fast scan", "turbovec")),
    ]


def test_at_equal_recall_a_margin_counts_that_misses_few_rows(speed, measured):
    whole = measured.recalls["lplr 48"]
    recalls = measured.recalls | {"lplr 48, short": speed.Recall(0.82, whole.rows - 0.005)}

    first, *_, third = cells(speed.equal_recall(measured._replace(recalls=recalls)))[:3]

    assert first == ["0.80", "lplr", "48", "500 (1.00)", "500 (1.00)"]
    assert third == ["0.80", "turbovec", "192", "83 (6.00)", "83 (6.00)"]


def test_building_is_told_once_for_systems_that_share_an_index(speed, measured):
    assert [line[0] for line in cells(speed.building(measured))] == [
        "lplr 48",
        "faiss PQ fast scan 48",
        "turbovec 4 bits",
    ]
    assert cells(speed.building(measured))[2][1:] == ["192", "8.0", "16.0", "62", "2.00", "2.00"]


def test_limits(speed, measured):
    line = cells(speed.limits(measured))[0]

    assert line[:2] == ["lplr 48", "1 at once, k=10, 1 thread"]
    assert line[4] == f"{18e6 / 24e6:.2f}" == "0.75"
    assert line[6] == f"{48_000 / 4e-3 / 24e6:.2f}" == "0.50"
    assert line[9] == f"{2 * 48_000 / 4e-3 / 96e6:.2f}" == "0.25"


def test_the_smallest_index_that_reaches_a_recall(systems, tmp_path, rng):
    x = rng.standard_normal((460, 32)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    posts = systems.Posts(x[:200], x[200:400], x[400:])

    found = systems.find_smallest(tmp_path, "lplr", posts, [0.8, 0.9, 1.1], 1)

    assert len(found) == 2
    for one, target in zip(found, (0.8, 0.9), strict=False):
        smaller = systems.of_size("lplr", one.nbytes - 2, 32)
        reached = [systems.recall_of_posts(tmp_path, each, posts, 1) for each in (smaller, one)]
        assert reached[0] < target <= reached[1]


def test_names_tell_bytes_or_bits(systems):
    assert systems.of_size("lplr", 40, 384).name == "lplr 40"
    assert systems.of_size("turbovec", 144, 384).name == "turbovec 3 bits"
    assert systems.of_size("faiss RaBitQ fast scan", 48, 384).name == "faiss RaBitQ fast scan 1 bit"


def test_plain_nibbles_are_searched(peaks):
    assert peaks.nibbles_per_second(192 * 640, 1) > 0


def test_a_plain_read_reads_everything(peaks, rng):
    words = rng.integers(0, 1 << 63, 1001).astype(np.uint64)

    assert peaks.read(words) == np.bitwise_xor.reduce(words)


@pytest.mark.skipif(simd_level() not in ("avx2", "avx512"), reason="these shuffles are of AVX2 and AVX-512")
@pytest.mark.parametrize("rounds", [0, 1, 5, 259])
def test_the_shuffles_are_really_done(peaks, rounds):
    width, name = peaks.SHUFFLES[simd_level()]
    starts = np.tile(np.arange(width, dtype=np.uint8), (peaks.CHAINS + 1, 1))
    starts[np.arange(peaks.CHAINS + 1), np.arange(peaks.CHAINS + 1)] = rounds % 256
    *chains, table = starts
    lanes = np.arange(width) // 16 * 16
    for _ in range(rounds):
        chains = [np.where(chain < 128, table[lanes + chain % 16], 0).astype(np.uint8) for chain in chains]

    assert peaks.make_shuffle(width, name)(rounds) == np.bitwise_xor.reduce(chains)[0]


def test_the_readme_is_what_the_results_say():
    said = re.search(r"<!-- speed -->\n(.*)<!-- /speed -->", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert said is not None
    results = json.loads((ROOT / "benchmarks" / "results" / "speed.json").read_text("utf-8"))
    seconds = {
        (one["system"], one["nq"]): one["seconds"]
        for one in results["times"]
        if (one["threads"], one["k"]) == (1, min(each["k"] for each in results["times"]))
    }
    rows = [line for line in cells(said[1]) if len(line) == 4]
    assert rows
    for queries, mine, theirs, ratio in rows:
        nq = int(queries.replace(",", ""))
        ours, peer = seconds["lplr 48", nq], seconds["faiss PQ fast scan 48", nq]
        assert mine == f"{nq / ours:,.0f} queries/s"
        assert theirs == f"{nq / peer:,.0f} queries/s"
        assert ratio == f"{peer / ours:.2f}"
