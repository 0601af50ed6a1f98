"""docs/scale.md says what was measured, its sums are right, and its example runs."""

from __future__ import annotations

import importlib
import json
import re

import numpy as np
import pytest

from lplr_index import write_vectors
from lplr_index.cluster.machines import Here
from lplr_index.cluster.slices import SLICE_ROWS

pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def scale(scripts):
    return importlib.import_module("scale")


@pytest.fixture(scope="module")
def measured(scale):
    return json.loads(scale.MEASURED.read_text("utf-8"))


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_page_is_what_the_results_say(scale, measured):
    pages = importlib.import_module("pages")
    page = scale.PAGE.read_text("utf-8")

    assert pages.fill(page, scale.sections(measured), scale.PAGE.name) == page, (
        "run `benchmarks/scale.py --rows 0 --write`"
    )


def test_the_largest_run_found_what_one_process_finds(measured):
    run = measured["run"]

    assert run["same_training"]
    assert run["same_codes"]
    assert run["same_answers"]
    assert run["rows"] >= 500_000
    assert run["workers"] >= 2


def test_bytes_are_those_of_the_budget(scale, measured):
    """Found here once more: a row at b bits costs floor(48 b) bytes, and what else there is is next to nothing."""
    for line, n in zip(cells(scale.sections(measured)["bytes"]), scale.SIZES, strict=True):
        assert float(line[1].replace(",", "")) == pytest.approx(1536 * n / 1e9, rel=0.01)
        for bits, cell in zip(scale.BITS, line[3:-1], strict=True):
            assert float(cell.replace(",", "")) == pytest.approx(int(48 * bits) * n / 1e9, rel=0.02)
        assert int(line[-1].replace(",", "")) == int(np.ceil(n / SLICE_ROWS))


def test_hours_and_machines_follow_from_the_rates(scale, measured):
    """Found here once more, for round rates."""
    one = {"bits": 1, "row_bytes": 48, "fixed_bytes": 0, "train_s": 3600, "encode_rows_s": 50_000, "scan_rows_s": 10**9}
    known = measured | {"rates": {"bits": [one], "read_rows_s": 50_000, "merges_s": 1.0}}
    parts = scale.sections(known | {"rates": known["rates"] | {"bits": [one, one, one, one]}})

    row = cells(parts["hours"])[0]
    assert row[0] == "10^8"
    assert float(row[2]) == pytest.approx(10**8 / 25_000 / 3600, rel=0.05)  # 1.1 hours, and one of training
    assert row[3] == "1.1 h"  # an hour of training, and a sixteenth of that
    row = cells(parts["search"])[4]
    assert row[:3] == ["10^9", "1", "2"]  # 48 GB in 2 times 48 GB, headers among them
    assert float(row[3]) == 32
    assert row[4] == "7"  # 100 queries of 10^9 rows, 16 * 10^9 rows a second each


def test_the_example_runs(scale, vectors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_vectors("vectors.npy", vectors.xb)
    (block,) = re.findall(r"```python\n(.*?)```", scale.PAGE.read_text("utf-8"), flags=re.DOTALL)

    class Machines(Here):
        def __init__(self, _address):
            super().__init__(2)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("lplr_index.cluster.on_ray.RayMachines", Machines)
    names = {}
    exec(compile(block, "scale.md", "exec"), names)

    assert names["I"][:, 0].tolist() == [0, 1, 2, 3, 4]
