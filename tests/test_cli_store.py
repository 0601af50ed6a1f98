"""``info``, ``verify`` and ``search`` take the folder of a store where they take an index file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import run
from indexes import queries
from lplr_index import open_store, write_vectors
from lplr_index.store import is_store
from stores import flip, names, written, written_twin


@pytest.fixture(params=["int", "str"])
def kind(request, tmp_path, monkeypatch):
    """Give a kind of ids, of a store named s in the current folder, beside queries q.npy."""
    monkeypatch.chdir(tmp_path)
    written(Path("s"), request.param)
    write_vectors("q.npy", queries())
    return request.param


def test_info(kind, capsys):
    facts = run(capsys, "info", "s", "--json").document
    text = run(capsys, "info", "s").out
    with open_store("s", read_only=True) as store:
        assert facts == store.info()
    assert f"325, and {facts['deleted_rows']} deleted ones" in text
    assert f"ids           {'integers' if kind == 'int' else 'strings'}" in text
    assert facts["training"] in text
    assert "damaged       no segment" in text


def test_a_store_with_lists(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(Path("s"), nlist=12)
    write_vectors("q.npy", queries())
    table = run(capsys, "info", "s").out
    assert "lists         12, of which a search looks at 12" in table
    assert "code bytes    12 a row, and 5 for its list and its place there" in table
    assert run(capsys, "info", "s", "--json").document["lists"] == 12
    size = sum(each.stat().st_size for each in Path("s").iterdir())
    assert run(capsys, "verify", "s").out == f"s: whole and unchanged, 325 rows in 12 lists and {size:,} bytes\n"
    assert run(capsys, "verify", "s", "--json").document["lists"] == 12
    for nprobe in (1, 3, 12):
        document = run(capsys, "search", "s", "q.npy", "-k", "4", "--nprobe", nprobe, "--json").document
        assert document["I"] == written_twin(12).search(queries(), 4, nprobe=nprobe)[1].tolist()
    refused = run(capsys, "search", "s", "q.npy", "--nprobe", 0).complaint
    assert refused.startswith("expected nprobe to be an integer >= 1, got 0")
    written(Path("flat"))
    refused = run(capsys, "search", "flat", "q.npy", "--nprobe", 3).complaint
    assert refused == "expected --nprobe only for an index in lists, which flat is not"
    assert "lists         none" in run(capsys, "info", "flat").out


def test_info_of_what_is_not_trained(tmp_path, capsys):
    open_store(tmp_path / "s", 48).close()
    assert "auto, not trained: rows are float32" in run(capsys, "info", tmp_path / "s").out


def test_verify(kind, capsys):
    size = sum(each.stat().st_size for each in Path("s").iterdir())
    assert run(capsys, "verify", "s").out == f"s: whole and unchanged, 325 rows in {size:,} bytes\n"
    segments = sorted(Path("s").glob("segment-*"))
    flip(segments[0], -40)
    complaint = run(capsys, "verify", "s").complaint
    assert complaint.startswith(f"{segments[0]}: expected section")
    flip(segments[1], -40)
    assert run(capsys, "verify", "s").complaint.endswith("; 1 more of its files are damaged")
    segments[0].unlink()
    assert run(capsys, "info", "s").status == 0
    assert f"damaged       {segments[0]}: expected a file" in run(capsys, "info", "s").out
    assert run(capsys, "search", "s", "q.npy").complaint == (
        f"{segments[0]}: expected a file, which the manifest names, got none"
    )


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet"])
def test_search(kind, capsys, suffix):
    expected = written_twin().search(queries(), 4)
    assert run(capsys, "search", "s", "q.npy", "-k", "4", "-o", f"o{suffix}").status == 0
    if suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table("o.parquet")
        D, I = np.array(table["distances"].to_pylist(), np.float32), table["ids"].to_pylist()
    else:
        loaded = np.load(f"o{suffix}")
        D, I = (loaded["D"], loaded["I"].tolist()) if suffix == ".npz" else (expected[0], loaded.tolist())
    np.testing.assert_array_equal(D, expected[0])
    assert [names(row, kind) for row in expected[1].tolist()] == I


def test_search_on_the_terminal_and_in_json(kind, capsys):
    expected = written_twin().search(queries(), 4)
    document = run(capsys, "search", "s", "q.npy", "-k", "4", "--json").document
    assert document["I"] == [names(row, kind) for row in expected[1].tolist()]
    first = names(expected[1][0, :1].tolist(), kind)[0]
    assert f"0: {first} ({expected[0][0, 0]:.4f})" in run(capsys, "search", "s", "q.npy", "-k", "4").out


def test_search_among_some_ids(kind, capsys):
    Path("some.txt").write_text("\n".join(map(str, names([5, 17, 3, 200], kind))))
    done = run(capsys, "search", "s", "q.npy", "-k", "4", "--filter-ids", "some.txt", "-o", "o.npz")
    assert done.status == 0
    I = np.load("o.npz")["I"]
    missing = "" if kind == "str" else -1
    assert {*I.reshape(-1).tolist()} == {*names([5, 17, 200], kind), missing}


def test_what_a_search_of_a_store_does_not_take(kind, capsys):
    refused = run(capsys, "search", "s", "q.npy", "--margin", "4").complaint
    assert refused == "expected --margin only for an index without segments, which s has"
    refused = run(capsys, "search", "s", "q.npy", "--k-factor", "2").complaint
    assert refused == "expected --k-factor only for an index with a second stage, which s lacks"
    done = run(capsys, "search", "s", "q.npy", "-o", "o.ibin")
    if kind == "str":
        assert done.complaint == (
            "expected a file that ends in one of .npz .npy .parquet for ids that are strings, got o.ibin"
        )
    else:
        assert done.status == 0
    assert is_store("s")
    assert not is_store("q.npy")
