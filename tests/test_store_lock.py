"""One writer at a time; a dead one holds nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from lplr_index.errors import LockedError, UnsupportedError, WriteError
from lplr_index.store.lock import WriterLock

HOLDER = """
    import sys, time
    from pathlib import Path
    from lplr_index.store.lock import WriterLock
    lock = WriterLock(Path(sys.argv[1]))
    print("locked", flush=True)
    time.sleep(600)
"""


def test_the_second_writer_learns_who_was_first(tmp_path):
    lock = WriterLock(tmp_path / "lock")
    said = json.loads((tmp_path / "lock").read_text())
    assert said["pid"] == os.getpid()
    with pytest.raises(LockedError) as caught:
        WriterLock(tmp_path / "lock")
    assert str(caught.value) == (
        f"expected to be the only writer of {tmp_path}, got one already: process {os.getpid()} since {said['since']}"
    )
    lock.release()
    WriterLock(tmp_path / "lock").release()


def test_a_writer_that_is_killed_leaves_no_lock(tmp_path):
    code = "\n".join(line.strip() for line in HOLDER.splitlines())
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LockedError, match=f"process {holder.pid} since"):
            WriterLock(tmp_path / "lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    WriterLock(tmp_path / "lock").release()


def test_a_lock_that_nobody_keeps_is_given_back(tmp_path):
    WriterLock(tmp_path / "lock")
    WriterLock(tmp_path / "lock")


def test_one_who_does_not_say_who_it_is(tmp_path):
    lock = WriterLock(tmp_path / "lock")
    for text in ("", "{", "[]", '{"pid": "x", "since": 1}', "\xff" * 2000):
        (tmp_path / "lock").write_text(text, "latin-1")
        with pytest.raises(LockedError, match="got one already: another process"):
            WriterLock(tmp_path / "lock")
    lock.release()


def test_where_there_can_be_no_lock(tmp_path, monkeypatch):
    with pytest.raises(WriteError, match=r"cannot write .*: No such file or directory"):
        WriterLock(tmp_path / "nowhere" / "lock")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(UnsupportedError, match="read_only=True opens one to search"):
        WriterLock(tmp_path / "lock")
