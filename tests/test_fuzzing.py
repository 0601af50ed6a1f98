"""Whatever a file holds, a reader reads it or raises an error of this package; see fuzzing.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fuzzing
from lplr_index.errors import InputError, VectorFileError
from lplr_index.evaluation import read_json

SCRIPT = Path(fuzzing.__file__)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="inputs are timed by signals")


def fuzzed(*arguments):
    """Run the script, and return what it says of each reader."""
    run = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"{said[-1:]} and then: {run.stderr}"
    return said


def test_damaged_files_are_read_or_refused():
    said = fuzzed("--inputs", "60", "--seed", "1")

    assert [each["reader"] for each in said] == list(fuzzing.READERS)
    assert {each["reader"]: each["errors"] for each in said if each["errors"]} == {}
    assert sum(each.get("refused", 0) for each in said) > 0.5 * sum(each["inputs"] for each in said)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_files_are_read_or_refused():
    each = -(-100_000 // len(fuzzing.READERS))

    said = fuzzed("--inputs", str(each), "--seed", "2")

    assert sum(each["inputs"] for each in said) >= 100_000
    assert {each["reader"]: each["errors"] for each in said if each["errors"]} == {}


def test_what_is_raised_by_others_is_seen(tmp_path, monkeypatch):
    def careless(path):
        if path.read_bytes() != b"[1]":
            raise KeyError(path)

    monkeypatch.setitem(fuzzing.READERS, "careless", ("x.json", lambda path: path.write_bytes(b"[1]"), careless))

    said = fuzzing.fuzz("careless", 20, 0, tmp_path)

    assert said["untyped"] >= 15
    assert next(iter(said["errors"])).startswith("KeyError: ")


def test_accidents_repeat_with_their_seed():
    whole = bytes(range(256)) * 4
    rngs = [np.random.default_rng(seed) for seed in (0, 0, 1)]
    first, again, other = ([fuzzing.damaged(whole, rng) for _ in range(50)] for rng in rngs)

    assert first == again != other
    assert sum(each != whole for each in first) >= 45


# What fuzzing has found.


def test_brackets_by_the_thousand(tmp_path):
    file = tmp_path / "x.json"
    file.write_bytes(b"[" * 100_000)

    assert fuzzing.read_document(file) == {}
    with pytest.raises(InputError, match="expected a sweep as write_json writes it"):
        read_json(file)
    file = file.rename(tmp_path / "x.jsonl")
    with pytest.raises(VectorFileError, match="recursion"):
        fuzzing.read_texts(file)
