"""A file written by atomic_write is there as a whole or not at all."""

import os
import stat
import sys
from pathlib import Path

import pytest

from lplr_index.atomic import atomic_folder, atomic_write, check_new, check_writable
from lplr_index.errors import InputError, LPLRError, WriteError


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_whole_and_nothing_else_stays(tmp_path):
    with atomic_write(tmp_path / "a.bin") as stream:
        stream.write(b"one")
        assert not (tmp_path / "a.bin").exists()
        stream.seek(0)
        assert stream.read() == b"one"
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    assert names(tmp_path) == ["a.bin"]


def test_the_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace

    def fsync(handle):
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        return sync(handle)

    def rename(source, target, **options):
        calls.append("rename")
        return replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    with atomic_write(tmp_path / "a.bin") as stream:
        stream.write(b"x")
    assert calls == (["file", "rename", "folder"] if hasattr(os, "O_DIRECTORY") else ["file", "rename"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit, InputError])
def test_what_the_block_raises_passes_through_and_the_old_file_stays(tmp_path, error):
    (tmp_path / "a.bin").write_bytes(b"old")

    def write_half():
        with atomic_write(tmp_path / "a.bin") as stream:
            stream.write(b"half of the new")
            raise error

    with pytest.raises(error):
        write_half()
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_disk_that_refuses_is_a_write_error(tmp_path):
    message = r"^cannot write .*a\.bin: No space left on device$"
    with pytest.raises(WriteError, match=message) as caught, atomic_write(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert isinstance(caught.value, LPLRError)
    assert isinstance(caught.value, OSError)
    assert names(tmp_path) == []


def test_a_full_device_is_a_write_error(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        with pytest.raises(WriteError, match="cannot write"), atomic_write(tmp_path / "a.bin") as stream:
            stream.write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == []


def test_a_missing_folder_and_a_file_for_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "absent" / "a.bin", tmp_path / "file" / "a.bin"):
        with pytest.raises(WriteError, match="there is no folder"), atomic_write(path):
            pytest.fail("the block ran")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="the folder nobody can write into is Linux's")
def test_a_folder_that_takes_no_files_is_a_write_error():
    with pytest.raises(WriteError, match=r"^cannot write /proc/self/a\.bin: "), atomic_write("/proc/self/a.bin"):
        pytest.fail("the block ran")


def test_a_folder_or_device_is_never_replaced(tmp_path):
    for path in (tmp_path, os.devnull):
        with pytest.raises(WriteError, match="not a regular file"), atomic_write(path):
            pytest.fail("the block ran")


@pytest.mark.parametrize("path", ["a\0b", 3, None])
def test_what_is_no_path_is_a_write_error(path):
    with pytest.raises(WriteError, match="cannot write"), atomic_write(path):
        pytest.fail("the block ran")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_unwritable_folder_is_a_write_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="Permission denied"), atomic_write(tmp_path / "a.bin"):
            pytest.fail("the block ran")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are not Windows's")
def test_permissions_are_the_users_default_and_those_of_a_replaced_file_are_kept(tmp_path):
    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "a.bin"):
        pass
    assert mode("a.bin") == mode("plain")
    (tmp_path / "a.bin").chmod(0o640)
    with atomic_write(tmp_path / "a.bin"):
        pass
    assert mode("a.bin") == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "real")
    with atomic_write(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "real").read_bytes() == b"new"
    assert names(tmp_path / "folder") == ["real"]


def test_whether_a_file_can_be_written_is_known_before_and_leaves_no_trace(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    check_writable(tmp_path / "a.bin")
    check_writable(tmp_path / "b.bin")
    for path in (tmp_path, tmp_path / "absent" / "a.bin", tmp_path / "a.bin" / "b", "a\0b"):
        with pytest.raises(WriteError, match="cannot write"):
            check_writable(path)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="the folder nobody can write into is Linux's")
def test_a_folder_that_takes_no_files_is_known_before():
    with pytest.raises(WriteError, match=r"^cannot write /proc/self/a\.bin: "):
        check_writable("/proc/self/a.bin")


def test_the_longest_name_a_file_may_have(tmp_path):
    with atomic_write(tmp_path / ("n" * 255)) as stream:
        stream.write(b"x")
    assert names(tmp_path) == ["n" * 255]


def test_a_folder_appears_whole_and_nothing_else_stays(tmp_path):
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "a").write_bytes(b"one")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_of_a_folder_whose_block_raises_nothing_stays(tmp_path, error):
    def write_half():
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "a").write_bytes(b"one")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(tmp_path) == []


@pytest.mark.parametrize("taken", ["file", "empty", "broken link"])
def test_a_name_that_is_taken_stays_what_it_is(tmp_path, taken):
    path = tmp_path / "folder"
    if taken == "file":
        path.write_bytes(b"old")
    elif taken == "empty":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")

    for attempt in (check_new, lambda path: atomic_folder(path).__enter__()):
        with pytest.raises(WriteError, match="a name that is free for a folder, got one that is taken"):
            attempt(path)
    assert names(tmp_path) == ["folder"]


def test_a_name_that_is_taken_meanwhile_stays_what_it_is(tmp_path):
    def write():
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "a").write_bytes(b"one")
            (tmp_path / "folder").mkdir()

    with pytest.raises(WriteError, match="taken"):
        write()
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == []


def test_a_folder_in_no_folder_is_refused(tmp_path):
    with pytest.raises(WriteError, match="there is no folder"):
        check_new(tmp_path / "no" / "folder")
    check_new(tmp_path / "folder")
    assert names(tmp_path) == []
