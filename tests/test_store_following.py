"""Readers lock nothing and see what was written, whatever is merged away under them."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from damage import mutants
from indexes import queries, rows
from lplr_index import open_store
from lplr_index.errors import ChecksumError, FormatError, HeaderError, MissingFileError, TruncatedError
from lplr_index.store import following
from lplr_index.store.following import Follower
from lplr_index.store.journal import Change, pack_change
from stores import LISTS, assert_same_results, file_of, flip, plain_lists, small, written, written_twin

NOTHING = np.empty(0, np.int64)
READER = """
import sys, numpy as np
from lplr_index import open_store
xq = np.load(sys.argv[2])
reader = open_store(sys.argv[1], read_only=True)
for line in sys.stdin:
    D, I = reader.search(xq, 5, threads=1)
    print(reader.ntotal, I[0].tolist(), flush=True)
"""


@pytest.mark.parametrize("nlist", LISTS)
def test_a_reader_sees_every_change(tmp_path, short_journals, nlist):
    with small(tmp_path / "s", trains=False, background=False, nlist=nlist) as store, plain_lists():
        reader = open_store(tmp_path / "s", read_only=True)
        store.add(rows(50))
        assert reader.ntotal == 50
        assert not reader.is_trained
        store.train(rows(3000)[1000:2000])
        assert reader.is_trained
        index = store._writer.now().model
        assert reader._source.now().model.digest == index.digest
        for start in range(50, 400, 17):
            store.add(rows(417)[start : start + 17])
            for one, other in zip(reader.search(queries(), 9), store.search(queries(), 9), strict=True):
                np.testing.assert_array_equal(one, other)
        store.delete(range(100))
        store.upsert(rows(5), range(90, 95))
        store.compact()
        for one, other in zip(reader.search(queries(), 9), store.search(queries(), 9), strict=True):
            np.testing.assert_array_equal(one, other)
        assert reader.ntotal == store.ntotal


@pytest.mark.parametrize("nlist", LISTS)
def test_a_reader_in_another_process(tmp_path, nlist):
    np.save(tmp_path / "q.npy", rows(1))
    with small(tmp_path / "s", nlist=nlist) as store:
        command = [sys.executable, "-c", READER, tmp_path / "s", tmp_path / "q.npy"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:

            def ask():
                reader.stdin.write("\n")
                reader.stdin.flush()
                return reader.stdout.readline().strip()

            assert ask() == "0 [-1, -1, -1, -1, -1]"
            store.add(np.repeat(rows(1), 3, axis=0), [8, 2, 4])
            assert ask() == "3 [2, 4, 8, -1, -1]"
            store.compact()
            store.delete([4])
            assert ask() == "2 [2, 8, -1, -1, -1]"
            reader.stdin.close()


@pytest.mark.parametrize("nlist", LISTS)
def test_readers_follow_while_segments_are_merged_away(tmp_path, short_journals, nlist):
    """A reader opens and searches all the time while files come and go; each result is one of a whole store."""
    stop, wrong, seen = threading.Event(), [], []

    def read():
        try:
            while not stop.is_set():
                with open_store(tmp_path / "s", read_only=True) as reader:
                    for _ in range(3):
                        I = reader.search(rows(1), 3000, threads=1)[1][0]
                        found = sorted(I[I >= 0].tolist())
                        seen.append(len(found))
                        if found != list(range(len(found))):
                            wrong.append(found)
        except Exception as err:  # noqa: BLE001 - of a thread, for the test to see
            wrong.append(repr(err))

    with small(tmp_path / "s", nlist=nlist) as store:
        readers = [threading.Thread(target=read) for _ in range(2)]
        for each in readers:
            each.start()
        for start in range(0, 1500, 30):
            store.add(rows(1500)[start : start + 30])
            if start % 300 == 0:
                store.compact()
        stop.set()
        for each in readers:
            each.join()
    assert wrong == []
    assert seen == sorted(seen) or len(set(seen)) > 3


def test_a_merge_between_manifest_and_files(tmp_path, monkeypatch):
    """The manifest that was read names files that are gone when they are opened: the next one is read."""
    path, index = written(tmp_path / "s"), written_twin()
    load = following.load
    with open_store(path) as store:

        def late(*args, **kwargs):
            monkeypatch.setattr(following, "load", load)
            store.compact()
            return load(*args, **kwargs)

        monkeypatch.setattr(following, "load", late)
        with open_store(path, read_only=True) as reader:
            assert_same_results(reader, index)
        monkeypatch.setattr(following, "load", late)
        store.add(rows(1))
        index.add(rows(1))
        store._writer._ledger.flush()
        with open_store(path, read_only=True, skip_damaged=True) as reader:
            assert_same_results(reader, index)
            assert reader.info()["skipped"] == []


def test_a_reader_keeps_what_it_has_mapped(tmp_path):
    path, index = written(tmp_path / "s"), written_twin()
    reader = open_store(path, read_only=True)
    for each in path.glob("segment-*"):
        each.unlink()
    assert_same_results(reader, index)
    with pytest.raises(MissingFileError, match="expected a file, which the manifest names, got none"):
        open_store(path, read_only=True)


# Damage


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("way", ["gone", "flipped"])
def test_one_damaged_segment_is_named_and_the_others_are_searched(tmp_path, nlist, way):
    path, index = written(tmp_path / "s", nlist=nlist), written_twin(nlist)
    if nlist:
        index.nprobe = nlist
    segments = sorted(path.glob("segment-*"))
    damaged = segments[1]
    if way == "gone":
        damaged.unlink()
    else:
        flip(damaged, 100)  # its header: what lies behind is for verify to find
    for read_only in (True, False):
        with pytest.raises(FormatError, match=rf"{damaged}: expected"):
            open_store(path, read_only=read_only)
    with open_store(path, read_only=True, skip_damaged=True) as store:
        (skipped,) = store.info()["skipped"]
        assert str(damaged) in skipped
        (wrong,) = store.verify()
        assert str(damaged) in str(wrong)
        whole = index.search(queries(), 700)[1]
        _, I = store.search(queries(), 700)
        assert 0 < store.ntotal < index.ntotal
        for ours, theirs in zip(I, whole, strict=True):
            assert ours[ours >= 0].tolist() == [i for i in theirs.tolist() if i in set(ours.tolist()) and i >= 0]
        store.snapshot(tmp_path / "left")
        before = store.search(queries(), 20)
    with open_store(tmp_path / "left") as store:
        assert store.verify() == []
        for one, other in zip(store.search(queries(), 20), before, strict=True):
            np.testing.assert_array_equal(one, other)
        store.add(rows(1))


@pytest.mark.parametrize("kind", ["manifest", "model", "live", "journal"])
def test_other_damaged_files_are_named(tmp_path, kind):
    path = written(tmp_path / "s")
    damaged = path / "manifest" if kind == "manifest" else file_of(path, kind)
    flip(damaged, 40)
    for read_only in (True, False):
        with pytest.raises(ChecksumError, match=f"{damaged}: expected"):
            open_store(path, read_only=read_only)
    damaged.write_bytes(b"")
    with pytest.raises(FormatError, match=f"{damaged}: expected"):
        open_store(path, read_only=True)
    damaged.unlink()
    with pytest.raises(FormatError):
        open_store(path, read_only=True)


def test_a_reader_goes_on_when_damage_is_repaired(tmp_path):
    path, index = written(tmp_path / "s"), written_twin()
    reader = open_store(path, read_only=True)
    manifest = (path / "manifest").read_bytes()
    (path / "manifest").write_bytes(manifest[:-1])
    with pytest.raises(TruncatedError):
        reader.search(queries(), 3)
    (path / "manifest").write_bytes(manifest)
    assert_same_results(reader, index)
    journal = file_of(path, "journal")
    whole = journal.read_bytes()
    record = whole[16:]
    flipped = bytearray(record)
    flipped[60] ^= 1
    journal.write_bytes(whole + bytes(flipped))
    with pytest.raises(ChecksumError):
        reader.search(queries(), 3)
    journal.write_bytes(whole)
    assert_same_results(reader, index)


def test_a_journal_with_rows_in_lists_that_are_not_there(tmp_path):
    """Under checksums that are right, as no store of ours writes it."""
    path = written(tmp_path / "s", nlist=12)
    with open_store(path, read_only=True) as store:
        shape = store._source.now().shape
    row = Change(NOTHING, np.array([5000]), None, np.full((1, shape.width), 12, np.uint8))
    with file_of(path, "journal").open("ab") as stream:
        stream.write(pack_change(row, shape))
    with pytest.raises(HeaderError, match=r"journal-\d+: .* expected codes of rows in 12 lists, got list 12"):
        open_store(path, read_only=True)


@pytest.mark.parametrize(("kind", "nlist"), [("str", None), ("int", 12)])
def test_a_whole_store_of_mutants(tmp_path, kind, nlist):
    """One file of a store is damaged: it is opened, or a typed error says why not."""
    path = written(tmp_path / "s", kind, nlist)
    for each in sorted(path.iterdir()):
        data = each.read_bytes()
        for i, copy in enumerate(mutants(data, 3, 25)):
            each.unlink(missing_ok=True)  # never written over: it may be mapped
            each.write_bytes(copy)
            try:
                with open_store(path, read_only=True, skip_damaged=i % 2 == 0) as store:
                    store.search(queries(), 3, threads=1)
                    store.verify()
            except FormatError:
                pass
        each.unlink(missing_ok=True)
        each.write_bytes(data)
    assert Follower(path).now().alive == 325
