"""The order in which things come to count: whatever fails, and wherever, the store is as it was or as it should be."""

from __future__ import annotations

import errno
import os
import resource
import signal

import numpy as np
import pytest

from indexes import queries, rows
from lplr_index import atomic, open_store
from lplr_index.errors import InputError, WriteError
from lplr_index.store import journal, merging
from stores import assert_same_results, small, twin, written, written_twin


class Failing:
    """Let the n-th step that touches the disk fail."""

    def __init__(self, patch):
        self.left = None
        self.steps = 0
        for module, name in [
            (atomic.os, "fsync"),
            (journal.os, "write"),
            (journal, "_force"),
            (atomic.Path, "replace"),
        ]:
            patch.setattr(module, name, self.wrapped(getattr(module, name)))

    def wrapped(self, function):
        def step(*args, **kwargs):
            self.steps += 1
            if self.left is not None:
                if self.left == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self.left -= 1
            return function(*args, **kwargs)

        return step


def operations():
    """Return changes, each of a store and of an index."""
    x = rows(400)
    return {
        "add": (lambda s: s.add(x[330:340]), lambda i: i.add(x[330:340])),
        "add many": (lambda s: s.add(x[330:]), lambda i: i.add(x[330:])),
        "upsert": (lambda s: s.upsert(x[:5], range(5)), lambda i: again(i, x[:5], range(5))),
        "upsert many": (lambda s: s.upsert(x[:90], range(90)), lambda i: again(i, x[:90], range(90))),
        "delete": (lambda s: s.delete(range(0, 330, 2)), lambda i: i.remove_ids(np.arange(0, 330, 2))),
        "compact": (lambda s: s.compact(), lambda _: None),
        "fill": (lambda s: [s.add(x[330:360]) for _ in range(3)], lambda i: [i.add(x[330:360]) for _ in range(3)]),
    }


def again(index, x, ids):
    index.remove_ids(np.array(ids))
    index.add_with_ids(x, ids)


@pytest.mark.parametrize("name", ["add", "add many", "upsert", "upsert many", "delete", "compact"])
def test_a_step_that_fails_changes_nothing(tmp_path, monkeypatch, short_journals, name):
    """One step after the other fails: the store is as it was, goes on, and is whole when it is opened again."""
    change, same = operations()[name]
    for step in range(100):
        index, path = written_twin(), written(tmp_path / f"{step}")
        with pytest.MonkeyPatch.context() as patch, open_store(path, background=False) as store:
            fails = Failing(patch)
            fails.left = step
            failed = why(change, store)
            fails.left = None
            stopped = "open the store again" in why(lambda s: s._writer._ledger.journal._check(), store)
            assert "No space left on device" in failed or not failed
            store.search(queries(), 3)
            if not stopped:
                if failed:
                    assert_same_results(store, index)
                    change(store)
                same(index)
                assert_same_results(store, index)
                assert store.verify() == []
        with open_store(path, background=False) as store:
            if stopped and (store.ntotal != index.ntotal or name == "upsert"):
                same(index)  # the disk failed when it was forced: what was changed may be there or not
            assert_same_results(store, index)
            assert store.verify() == []
        if not failed:
            assert step > 1
            return
    raise AssertionError("it never succeeded")


def why(change, store):
    """Return why a change was refused, nothing if it was not."""
    try:
        change(store)
    except WriteError as err:
        return str(err)
    return ""


def test_a_disk_that_is_full(tmp_path, short_journals):
    """A real limit on the size of files; what was acknowledged stays, and goes on when there is room."""
    index = written_twin()
    path = written(tmp_path / "s")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with open_store(path, background=False) as store:
            added = 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
            while not (refused := why(lambda s: s.add(rows(7)), store)):
                index.add(rows(7))
                added += 1
            assert "File too large" in refused
            assert_same_results(store, index)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            store.add(rows(7))
            index.add(rows(7))
            assert_same_results(store, index)
        assert added > 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with open_store(path) as store:
        assert_same_results(store, index)
        assert store.verify() == []


def test_a_merge_that_fails_is_told_and_tried_again(tmp_path, monkeypatch, short_journals):
    index = twin()
    with small(tmp_path / "s", background=False) as store:
        with pytest.MonkeyPatch.context() as patch:

            def full(*_args, **_kwargs):
                raise WriteError("cannot write x: No space left on device")

            for _ in range(merging.FAN):
                if store.info()["segments"] == merging.FAN - 1:
                    patch.setattr(merging, "merged", full)
                store.add(rows(70))
                index.add(rows(70))
            assert store.info()["merge_error"] == "cannot write x: No space left on device"
            assert store.info()["segments"] == merging.FAN
            store.add(rows(5))
            index.add(rows(5))
        assert_same_results(store, index)
        store.add(rows(70))
        index.add(rows(70))
        assert store.info()["merge_error"] is None
        assert store.info()["segments"] < merging.FAN
        assert_same_results(store, index)
        store.compact()
        assert_same_results(store, index)


def test_what_does_not_count_is_swept(tmp_path):
    path = written(tmp_path / "s")
    before = {each.name for each in path.iterdir()}
    for name in ("segment-00000999", "live-00000999", "journal-00000999", ".0123456789abcdef.tmp"):
        (path / name).write_bytes(b"left by one who died")
    (path / "notes.txt").write_text("not ours")
    with open_store(path, read_only=True) as store:
        assert store.ntotal == 325
    assert (path / "segment-00000999").exists()
    open_store(path).close()
    assert {each.name for each in path.iterdir()} == before | {"notes.txt", "lock"}


def test_a_store_that_was_begun_is_begun_again(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "journal-00000001").write_bytes(b"left")
    (tmp_path / "s" / "lock").write_bytes(b"")
    with open_store(tmp_path / "s", 48) as store:
        assert store.add(rows(2)).tolist() == [0, 1]
    (tmp_path / "s" / "manifest").unlink()
    (tmp_path / "s" / "letter").write_bytes(b"")
    with pytest.raises(InputError, match="which holds letter"):
        open_store(tmp_path / "s", 48)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_may_not_be_written(tmp_path):
    path = written(tmp_path / "s")
    path.chmod(0o555)
    with pytest.raises(WriteError, match="cannot write"):
        open_store(path)
    with open_store(path, read_only=True) as store:
        assert_same_results(store, written_twin())


def test_a_folder_that_cannot_be_locked(tmp_path, monkeypatch):
    """As one of a file system that may only be read, whoever the user is."""
    path = written(tmp_path / "s")
    opened = os.open

    def refuse(name, flags, *mode):
        if flags & os.O_CREAT and str(name).endswith("lock"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WriteError, match=r"cannot write .*lock: Read-only file system"):
        open_store(path)
    with open_store(path, read_only=True) as store:
        assert_same_results(store, written_twin())
