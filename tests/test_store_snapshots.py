"""A snapshot is a store of its own, of one moment, and shares its segments with the first."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from indexes import queries, rows
from lplr_index import open_store
from lplr_index.errors import WriteError
from lplr_index.store import snapshots
from stores import assert_same_results, small, written, written_twin


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(("links", "nlist"), [(True, None), (False, None), (True, 12)])
def test_it_goes_its_own_way(tmp_path, monkeypatch, read_only, links, nlist):
    path, index = written(tmp_path / "s", nlist=nlist), written_twin(nlist)
    if not links:

        def refuse(*_):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
    with open_store(path, read_only=read_only) as store:
        store.snapshot(tmp_path / "t")
        if not read_only:
            store.delete(range(100))
            store.compact()
    with open_store(tmp_path / "t") as copy:
        assert copy.verify() == []
        assert_same_results(copy, index)
        copy.add(rows(9))
        copy.compact()
    with open_store(path) as store:
        assert store.verify() == []
    if links and read_only:
        shared = {each.name for each in path.glob("segment-*")}
        assert shared
        assert all((path / name).stat().st_nlink == 1 for name in shared)  # the copy was compacted since
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s", "t"]


def test_links_take_no_room(tmp_path):
    path = written(tmp_path / "s")
    with open_store(path) as store:
        store.snapshot(tmp_path / "t")
    for each in path.glob("*-*"):
        assert (tmp_path / "t" / each.name).samefile(each) == (not each.name.startswith("journal"))


def test_where_it_cannot_be_written(tmp_path, monkeypatch):
    path = written(tmp_path / "s")
    with open_store(path) as store:
        with pytest.raises(WriteError, match=r"cannot write .*: expected a name that is free for a folder"):
            store.snapshot(path)
        with pytest.raises(WriteError, match=r"cannot write .*: there is no folder"):
            store.snapshot(tmp_path / "no" / "where")

        def full(*_args, **_kwargs):
            raise WriteError("cannot write x: No space left on device")

        monkeypatch.setattr(snapshots, "publish", full)
        with pytest.raises(WriteError, match="No space left"):
            store.snapshot(tmp_path / "t")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["s"]
        assert store.add(rows(1)).tolist() == [330]


def test_snapshots_while_it_is_written(tmp_path, short_journals):
    done = threading.Event()

    def write(store):
        for start in range(0, 900, 30):
            store.add(rows(900)[start : start + 30])
        done.set()

    with small(tmp_path / "s") as store:
        writer = threading.Thread(target=write, args=(store,))
        writer.start()
        with open_store(tmp_path / "s", read_only=True) as reader:
            for number in range(20):
                (store, reader)[number % 2].snapshot(tmp_path / f"{number}")
                if done.is_set() and number > 3:
                    break
        writer.join()
        assert store.ntotal == 900
    for path in tmp_path.glob("[0-9]*"):
        with open_store(path, read_only=True) as copy:
            assert copy.verify() == []
            assert copy.ntotal % 30 == 0
            I = copy.search(queries(), 900)[1]
            np.testing.assert_array_equal(np.sort(I[0][I[0] >= 0]), np.arange(copy.ntotal))
