"""The journal: what was written is read, what was cut off is as if it had not been, and all else has a name."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from damage import mutants
from lplr_index.errors import ChecksumError, FormatError, NotAnIndexError, TruncatedError, VersionError, WriteError
from lplr_index.store import journal
from lplr_index.store.journal import HEAD, Change, Journal, Shape, new_journal, pack_change, parse_changes, read_from

CODES = Shape("|u1", 12, strings=False)
NAMED = Shape("|u1", 12, strings=True)
VECTORS = Shape("<f4", 5, strings=False)


def changes(shape, count=6):
    """Return changes of all kinds."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        added, killed = (0, 3) if i % 3 == 2 else (int(rng.integers(1, 5)), 2 * (i % 2))
        data = rng.integers(0, 250, (added, shape.width)).astype(shape.dtype)
        names = [f"ø {i} {j}" * j for j in range(added)] if shape.strings else None
        made.append(Change(rng.integers(0, 99, killed), 100 * i + np.arange(added), names, data))
    return made


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one.killed, other.killed)
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.data, other.data)
        assert one.names == other.names
        assert one.data.dtype == other.data.dtype


@pytest.mark.parametrize("shape", [CODES, NAMED, VECTORS])
def test_changes_come_back(shape):
    made = changes(shape)
    data = HEAD + b"".join(pack_change(each, shape) for each in made)

    found, end = parse_changes(data, shape, head=True)
    assert_same(found, made)
    assert end == len(data)
    first = len(HEAD) + len(pack_change(made[0], shape))
    found, end = parse_changes(data[first:], shape, head=False)
    assert_same(found, made[1:])
    assert end == len(data) - first


@pytest.mark.parametrize("shape", [CODES, NAMED])
def test_a_record_that_was_cut_off_was_never_there(shape):
    made = changes(shape)
    records = [pack_change(each, shape) for each in made]
    data = HEAD + b"".join(records)
    ends = np.cumsum([len(HEAD), *map(len, records)]).tolist()
    for size in range(len(HEAD), len(data)):
        whole = sum(end <= size for end in ends) - 1
        for tail in (b"", bytes(30)):  # as some file systems leave it when the power goes
            if tail and data[size - 1] != 0xA5:
                continue
            found, end = parse_changes(data[:size] + tail, shape, head=True)
            assert len(found) == whole
            assert end == ends[whole]


def test_zeros_at_the_end_of_a_record_were_never_written():
    record = pack_change(changes(CODES)[0], CODES)
    for size in range(12, len(record)):
        assert parse_changes(record[:size] + bytes(len(record) - size), CODES, head=False) == ([], 0)


@pytest.mark.parametrize("shape", [CODES, NAMED, VECTORS])
def test_a_flipped_bit_has_a_name(shape):
    data = HEAD + b"".join(pack_change(each, shape) for each in changes(shape))
    for at in range(len(data)):
        for bit in range(8):
            copy = bytearray(data)
            copy[at] ^= 1 << bit
            with pytest.raises(FormatError):
                parse_changes(bytes(copy), shape, head=True)


def test_what_is_no_journal():
    with pytest.raises(NotAnIndexError, match="expected a journal, which starts with"):
        parse_changes(b"something else", CODES, head=True)
    with pytest.raises(NotAnIndexError):
        parse_changes(b"", CODES, head=True)
    with pytest.raises(TruncatedError):
        parse_changes(HEAD[:-1], CODES, head=True)
    with pytest.raises(VersionError, match="expected a journal of version 1, got 2"):
        parse_changes(HEAD[:8] + (2).to_bytes(8, "little"), CODES, head=True)


def fuzz(count):
    for shape in (CODES, NAMED, VECTORS):
        made = changes(shape)
        data = HEAD + b"".join(pack_change(each, shape) for each in made)
        for copy in mutants(data, shape.width, count):
            for other in (shape, CODES):
                try:
                    found, end = parse_changes(copy, other, head=True)
                except FormatError:
                    continue
                assert end <= len(copy)
                if other is shape and copy[: len(HEAD)] == HEAD:
                    assert len(found) <= 2 * len(made)


def test_mutants_raise_nothing_untyped():
    fuzz(700)


@pytest.mark.slow
def test_many_mutants_raise_nothing_untyped():
    fuzz(10_000)


# Writing


def test_it_is_written_and_read_while_it_grows(tmp_path):
    new_journal(tmp_path / "j")
    out = Journal(tmp_path / "j", len(HEAD))
    made, seen = changes(CODES), len(HEAD)
    for each in made:
        out.sync(out.append(pack_change(each, CODES)))
        found, length = parse_changes(read_from(tmp_path / "j", seen), CODES, head=False)
        assert_same(found, [each])
        seen += length
    out.retire()
    assert_same(parse_changes((tmp_path / "j").read_bytes(), CODES, head=True)[0], made)
    with pytest.raises(WriteError, match="it is closed; open the store again"):
        out.append(b"x")
    out.sync(seen)  # which was done before


def test_what_was_cut_off_is_removed(tmp_path):
    new_journal(tmp_path / "j")
    record = pack_change(changes(CODES)[0], CODES)
    with (tmp_path / "j").open("ab") as stream:
        stream.write(record + record[:-1])
    out = Journal(tmp_path / "j", len(HEAD) + len(record))
    assert (tmp_path / "j").read_bytes() == HEAD + record
    out.append(record)
    assert (tmp_path / "j").read_bytes() == HEAD + record + record


def test_a_full_disk_leaves_no_half_record(tmp_path, monkeypatch):
    new_journal(tmp_path / "j")
    out, record = Journal(tmp_path / "j", len(HEAD)), pack_change(changes(CODES)[0], CODES)
    write = os.write
    room = [10, 0]

    def full(handle, data):
        if not (some := room.pop(0) if room else 0):
            raise OSError(28, "No space left on device")
        return write(handle, bytes(data)[:some])

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(WriteError, match=r"cannot write .*: No space left on device"):
        out.append(record)
    assert (tmp_path / "j").read_bytes() == HEAD
    monkeypatch.undo()
    out.sync(out.append(record))
    assert (tmp_path / "j").read_bytes() == HEAD + record


def test_a_disk_that_fails_stops_the_writing(tmp_path, monkeypatch):
    new_journal(tmp_path / "j")
    out, record = Journal(tmp_path / "j", len(HEAD)), pack_change(changes(CODES)[0], CODES)
    end = out.append(record)

    def fails(_handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal, "_force", fails)
    with pytest.raises(WriteError, match="Input/output error"):
        out.sync(end)
    monkeypatch.undo()
    for again in (lambda: out.sync(end), lambda: out.append(record)):
        with pytest.raises(WriteError, match="Input/output error; open the store again"):
            again()


def test_one_wait_for_the_disk_serves_all_who_wrote(tmp_path, monkeypatch):
    new_journal(tmp_path / "j")
    out, record = Journal(tmp_path / "j", len(HEAD)), pack_change(changes(CODES)[0], CODES)
    began, goes_on, forced = threading.Event(), threading.Event(), []

    def slow(_handle):
        forced.append(out.end)
        began.set()
        goes_on.wait(10)

    monkeypatch.setattr(journal, "_force", slow)
    first = threading.Thread(target=out.sync, args=(out.append(record),))
    first.start()
    began.wait(10)
    rest = [threading.Thread(target=out.sync, args=(out.append(record),)) for _ in range(5)]
    for each in rest:
        each.start()
    goes_on.set()
    for each in [first, *rest]:
        each.join()
    assert forced == [len(HEAD) + len(record), len(HEAD) + 6 * len(record)]


def test_a_missing_journal(tmp_path):
    with pytest.raises(WriteError, match="cannot write"):
        Journal(tmp_path / "j", 0)
    with pytest.raises(FileNotFoundError):
        read_from(tmp_path / "j", 0)


def test_a_checksum_is_said_where_it_is_wrong():
    record = bytearray(pack_change(changes(CODES)[0], CODES))
    record[20] ^= 1
    with pytest.raises(ChecksumError, match="expected the record at byte 16 of the journal to match its checksum"):
        parse_changes(HEAD + bytes(record), CODES, head=True)
