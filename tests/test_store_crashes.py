"""A writer that is killed at any moment leaves a whole store with everything it acknowledged: benchmarks/crashes.py."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lplr_index import open_store

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "crashes.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


STORES = ["int", "str", *(["lists"] if importlib.util.find_spec("faiss") else [])]


def crash(folder, kills, seed):
    """Kill a writer so many times; return what happened, for integers, for strings and in lists."""
    command = [sys.executable, SCRIPT, "--kills", f"{kills}", "--seed", f"{seed}", "--folder", folder]
    command += ["--stores", *STORES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(counts, kills):
    assert [(each["ids"], each["lists"]) for each in counts] == [("int", 0), ("str", 0), ("int", 4)][: len(STORES)]
    assert sum(each["kills"] for each in counts) == kills
    assert sum(each["operations"] for each in counts) > kills / 2  # acknowledged, and found afterwards
    assert sum(each["under_way"] for each in counts) > kills / 8  # and as many were cut off


def test_nothing_acknowledged_is_lost(tmp_path):
    check(crash(tmp_path, 12 * len(STORES), 1), 12 * len(STORES))


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_however_often(tmp_path):
    check(crash(tmp_path, 80 * len(STORES), 2), 80 * len(STORES))


def test_a_loss_is_seen(tmp_path, scripts):
    """Of what the script itself would say, were a row gone, another in its place, or a file damaged."""
    import crashes

    index = crashes.IndexLPLR(crashes.D, 8.0, "ip", "nq")
    index.train(crashes.sample())
    held = {3: 1, 9: 1}
    with open_store(tmp_path / "s", crashes.D, 8.0, "ip", method="nq") as store:
        store.train(crashes.sample())
        store.add(crashes.vectors(held), list(held))
    assert crashes.found(tmp_path / "s", "int", [{}, held], index) == held
    for other in ({3: 1}, {3: 1, 9: 2}, {3: 1, 9: 1, 4: 1}):
        with pytest.raises(SystemExit, match="expected one of"):
            crashes.found(tmp_path / "s", "int", [other], index)
    text = b'["begin", "delete", [[3, 0]]]\n["done"]\n["begin", "add", [[5, 7]]]\n["do'
    assert crashes.heard(text, held) == ({9: 1}, ("add", {5: 7}))
