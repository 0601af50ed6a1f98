"""The writer: many rows at once, merges behind its back, a folder that two processes want."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest

from indexes import rows
from lplr_index import open_store
from lplr_index.errors import ChecksumError, LockedError, WriteError
from lplr_index.store import merging, opening, reading, store, writing
from stores import LISTS, assert_same_results, flip, plain_lists, small, twin, written, written_twin


def test_small_rows_are_in_the_journal_and_many_in_a_segment(tmp_path, short_journals):
    with small(tmp_path / "s", background=False) as held:
        held.add(rows(10))
        assert held.info()["journal_rows"] == 10
        assert held.info()["segments"] == 0
        held.add(rows(100))
        assert held.info()["journal_rows"] == 0
        assert held.info()["segments"] == 2  # the ten, and the hundred
        held.upsert(rows(100), range(100))
        assert held.info()["rows"] == 110
        assert held.verify() == []


def test_many_small_records_make_a_new_journal(tmp_path, short_journals):
    with small(tmp_path / "s", background=False) as held:
        held.add(rows(200))
        before = held.info()["generation"]
        for i in range(70):
            held.delete([i])
        assert held.info()["generation"] > before
        assert held.ntotal == 130
    with open_store(tmp_path / "s") as held:
        assert held.ntotal == 130
        assert held.verify() == []


@pytest.mark.parametrize("nlist", LISTS)
def test_rows_die_while_they_are_merged(tmp_path, monkeypatch, short_journals, nlist):
    """Between a merge's look at the rows and its end some are deleted, replaced and added."""
    index = twin(nlist=nlist)
    merged, done = merging.merged, threading.Event()
    with small(tmp_path / "s", nlist=nlist) as held:
        held.add(rows(300))
        index.add(rows(300))
        held.add(rows(100)[:50])
        index.add(rows(100)[:50])

        def late(*args):
            what = merged(*args)
            if not done.is_set():
                done.set()
                held.delete(range(0, 300, 3))
                index.remove_ids(np.arange(0, 300, 3))
                held.upsert(rows(400)[300:310], range(1, 30, 3))
                index.remove_ids(np.arange(1, 30, 3))
                index.add_with_ids(rows(400)[300:310], np.arange(1, 30, 3))
                held.add(rows(400)[300:390])
                index.add(rows(400)[300:390])
            return what

        monkeypatch.setattr(merging, "merged", late)
        held.compact()
        assert done.is_set()
        assert_same_results(held, index)
        assert held.verify() == []
    with open_store(tmp_path / "s") as held:
        assert_same_results(held, index)


def test_training_while_raw_rows_are_merged(tmp_path, monkeypatch, short_journals):
    merged = merging.merged
    with small(tmp_path / "s", trains=False) as held:
        for start in (0, 100, 200):
            held.add(rows(300)[start : start + 100])

        def late(*args):
            what = merged(*args)
            monkeypatch.setattr(merging, "merged", merged)
            held.train(rows(3000)[1000:2000])
            return what

        monkeypatch.setattr(merging, "merged", late)
        held.compact()
        assert held.is_trained
        assert held.ntotal == 300
        assert held.verify() == []
        assert len(list((tmp_path / "s").glob("segment-*"))) == held.info()["segments"] == 1


def test_damage_is_not_merged_away(tmp_path):
    path = written(tmp_path / "s")
    damaged = min(path.glob("segment-*"))
    flip(damaged, -70)
    with open_store(path) as held:
        before = held.search(rows(3), 20)
        with pytest.raises(ChecksumError, match=f"{damaged}: expected section tails to match its checksum"):
            held.compact()
        for one, other in zip(held.search(rows(3), 20), before, strict=True):
            np.testing.assert_array_equal(one, other)
        held.add(rows(1))
        assert len(held.verify()) == 1


def test_a_merge_in_the_background(tmp_path, short_journals):
    index = twin()
    with small(tmp_path / "s") as held:
        for start in range(0, 700, 70):
            held.add(rows(700)[start : start + 70])
            index.add(rows(700)[start : start + 70])
            assert_same_results(held, index)
        held._writer._thread.join()
        assert held.info()["merge_error"] is None
        assert held.info()["segments"] < 10
    with open_store(tmp_path / "s") as held:
        assert_same_results(held, index)


def test_who_comes_second_waits_for_nothing(tmp_path):
    with open_store(written(tmp_path / "s")):
        with pytest.raises(LockedError):
            open_store(tmp_path / "s")
        with open_store(tmp_path / "s", read_only=True) as reader:
            assert_same_results(reader, written_twin())


def test_a_closed_journal_takes_nothing(tmp_path):
    held = open_store(written(tmp_path / "s"))
    writer = held._writer
    held.close()
    with pytest.raises(WriteError, match="open the store again"):
        writer.put(rows(1), None, replacing=False, threads=1)


def test_a_large_delete_needs_no_journal(tmp_path, monkeypatch, short_journals):
    monkeypatch.setattr(writing, "_JOURNAL_BYTES", 2000)
    index = twin()
    with small(tmp_path / "s") as held:
        held.add(rows(400))
        index.add(rows(400))
        assert held.delete(range(0, 600, 1)[:390]) == 390
        index.remove_ids(np.arange(390))
        assert held.info()["journal_rows"] == 0
        assert_same_results(held, index)
        assert held.add(rows(1)).tolist() == [400]
        assert held.verify() == []


@pytest.mark.parametrize("how", [{"method": "nq"}, {"nlist": 4}])
def test_opening_maps_instead_of_loading(tmp_path, how):
    """Codes are read by whoever searches; memory is that of a few headers."""
    x = np.zeros((500_000, 16), np.float32)
    x[:, 0] = np.arange(500_000) % 250
    with open_store(tmp_path / "s", 16, 8.0, "ip", train_rows=None, **how) as held, plain_lists():
        held.train(np.random.default_rng(0).standard_normal((100, 16)).astype(np.float32))
        held.add(x)
        held.delete([7])
        held.add(x[:3])
    assert sum(each.stat().st_size for each in (tmp_path / "s").iterdir()) > 8_000_000
    for read_only in (True, False):
        tracemalloc.start()
        held = open_store(tmp_path / "s", read_only=read_only)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held.ntotal == 500_002
        assert most < 2_000_000
        held.close()


@pytest.mark.parametrize(("how", "row_bytes"), [({"method": "nq"}, 0), ({"nlist": 100}, 4)])
def test_merging_takes_little_memory(tmp_path, how, row_bytes):
    rng = np.random.default_rng(0)
    x = np.zeros((500_000, 16), np.float32) if "method" in how else rng.standard_normal((500_000, 16), np.float32)
    with open_store(tmp_path / "s", 16, 8.0, "ip", train_rows=None, **how) as held, plain_lists():
        held.train(rng.standard_normal((100, 16)).astype(np.float32))
        for first in (0, 1, 2):
            held.add(x, np.arange(500_000) * 3 + first)
        del x
        tracemalloc.start()
        held.compact()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held.info()["segments"] == 1
        assert held.info()["segment_bytes"] > 1_500_000 * 16
        assert most < 25_000_000 + row_bytes * 1_500_000


def test_the_parts_are_there():
    assert opening.open_store is open_store
    assert issubclass(store.Store, reading.Searchable)
    assert writing.Writer.__name__ == "Writer"
