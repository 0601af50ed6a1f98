"""``lplr-index advise``: a recommendation from a sample, and the command that follows it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from commands import run
from lplr_index import read_index, write_vectors
from lplr_index.cli import advise
from lplr_index.evaluation.rehearsal import Rehearsal
from lplr_index.vectors.base import draw_rows


@pytest.fixture
def folder(vectors, tmp_path, monkeypatch):
    """Give the current folder, with 1500 rows in x.npy and 50 queries in q.npy."""
    monkeypatch.chdir(tmp_path)
    write_vectors("x.npy", vectors.xt)
    write_vectors("q.npy", vectors.xq)
    return tmp_path


def test_a_recall_takes_bits(folder, capsys):
    done = run(capsys, "advise", "x.npy", "--queries", "q.npy", "--recall", 0.8, "--json")

    assert (done.status, done.err) == (0, "")
    advice, tried = done.document["advice"], done.document["tried"]
    assert (done.document["rows"], done.document["d"], done.document["queries"]) == (1500, 48, 50)
    below = [each for each in tried if each["recall"] < 0.8]
    above = [each for each in tried if each["recall"] >= 0.8]
    assert max(each["nbytes"] for each in below) < advice["bytes"] <= min(each["nbytes"] for each in above)
    assert advice["row_compression"] == pytest.approx(4 * 48 / advice["bytes"])


def test_the_command_that_is_advised_builds_what_was_said(folder, capsys):
    advice = run(capsys, "advise", "x.npy", "--recall", 0.7, "--metric", "l2", "--seed", 3, "--json").document["advice"]
    words = shlex.split(advice["command"])

    assert words[:6] == ["lplr-index", "build", "x.npy", "-o", "x.lplr", "--bits"]
    assert words[7:] == ["--metric", "l2", "--seed", "3"]
    assert run(capsys, *words[1:]).status == 0
    index = read_index("x.lplr")
    assert (index.code_size, index.metric, index.settings.seed) == (advice["bytes"], "l2", 3)
    assert Path("x.lplr").stat().st_size == pytest.approx(advice["file_bytes"], rel=0.15)


def test_bytes_give_a_recall(folder, vectors, capsys):
    document = run(capsys, "advise", "x.npy", "--queries", "q.npy", "--bytes", 12, "-k", 5, "--json").document

    expected = Rehearsal(vectors.xt, vectors.xq, n=1500, k=5).at(2.0)
    assert document["advice"]["bytes"] == 12
    assert document["advice"]["recall"] == pytest.approx(expected.recall, abs=0.05)
    assert [each["nbytes"] for each in document["tried"]] == [12]


def test_words_say_the_same(folder, capsys):
    arguments = ["advise", "x.npy", "--queries", "q.npy"]
    advice = run(capsys, *arguments, "--recall", 0.8, "--json").document["advice"]
    said = run(capsys, *arguments, "--recall", 0.8).out
    other = run(capsys, *arguments, "--bytes", 12).out

    assert f" bits a coordinate, {advice['bytes']} bytes a row, " in said.splitlines()[0]
    assert said.splitlines()[0].startswith("Take ")
    assert said.splitlines()[0].endswith("for 0.8 recall@10.")
    assert f"build     {advice['command']}" in said
    assert "50 queries among 750 rows, 750 others trained on." in said
    assert other.startswith("Expect 0.")
    assert "recall@10 of 2 bits a coordinate, 12 bytes a row, 16 times smaller." in other


def test_what_is_out_of_reach_is_said(folder, capsys, monkeypatch):
    monkeypatch.setattr(Rehearsal, "at", lambda self, bits: AT_MOST(self.d, bits))
    done = run(capsys, "advise", "x.npy", "--recall", 0.999)

    assert done.status == 0
    assert done.out.startswith("No size reaches 0.999 recall@10: ")
    assert run(capsys, "advise", "x.npy", "--recall", 0.999, "--json").document["advice"] is None


def AT_MOST(d, bits):  # noqa: N802 - stands for a measurement
    from lplr_index.evaluation.rehearsal import Expectation

    return Expectation(bits, int(bits * d / 8), 0.9, 0.9, 0.01, 1000)


def test_rows_of_a_large_file_are_a_seeded_choice(folder, vectors, capsys, monkeypatch):
    monkeypatch.setattr(advise, "sample_size", lambda _d: 600)
    document = run(capsys, "advise", "x.npy", "--queries", "q.npy", "--bytes", 12, "--seed", 2, "--json").document

    drawn = vectors.xt[draw_rows(1500, 600, 2)]
    queries = vectors.xq[draw_rows(50, 50, 2)]
    assert document["trained_rows"] + document["indexed_rows"] == 600
    assert document["advice"]["recall"] == Rehearsal(drawn, queries, n=1500, seed=2).at(2.0).recall


def test_rows_of_length_zero_are_named_once(folder, vectors, capsys):
    x = np.array(vectors.xt)
    x[[17, 18]] = 0
    np.save("zeros.npy", x)

    done = run(capsys, "advise", "zeros.npy", "--bytes", 12, "--json")

    assert done.status == 0
    assert done.err.startswith("warning: 2 vectors in zeros.npy have length zero, row 17 first")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.npy"], "one of the arguments --recall --bytes is required"),
        (["x.npy", "--recall", "0.9", "--bytes", "9"], "not allowed with argument"),
        (["x.npy", "--recall", "95"], "expected --recall above 0 and below 1, got 95"),
        (["x.npy", "--bytes", "0"], "expected --bytes from 1 to 48, 8 bits a coordinate, got 0"),
        (["x.npy", "--bytes", "49"], "expected --bytes from 1 to 48, 8 bits a coordinate, got 49"),
        (["x.npy", "--bytes", "2", "--metric", "l2"], "expected at least 0.5 bits"),
        (["x.npy", "--bytes", "9", "-k", "0"], "expected k to be an integer >= 1, got 0"),
        (["x.npy", "--bytes", "9", "--query-key", "a"], "expected --queries with --query-key, got none"),
        (["x.npy", "--bytes", "9", "--queries", "narrow.npy"], "expected narrow.npy to have 48 columns, as x.npy has"),
        (["two.npy", "--bytes", "9"], "expected at least 3 rows"),
        (["nowhere.npy", "--bytes", "9"], "nowhere.npy"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(folder, vectors, capsys, arguments, said):
    np.save("narrow.npy", vectors.xq[:, :7])
    np.save("two.npy", vectors.xq[:2])

    assert said in run(capsys, "advise", *arguments).complaint
