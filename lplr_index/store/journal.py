"""What was done last: records appended to one file, each forced to the disk before its call returns.

A record that the file ends in the midst of was never acknowledged, and is as if it had not been. Anything else that is
not as it was written is damage, and has a name.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.atomic import atomic_write
from lplr_index.errors import ChecksumError, HeaderError, NotAnIndexError, TruncatedError, VersionError, WriteError
from lplr_index.ids import LARGEST

MAGIC = b"\x89LPLJ\r\n\x1a"
VERSION = 1
HEAD = MAGIC + VERSION.to_bytes(8, "little")
_PREFIX = struct.Struct("<III")  # bytes of the payload, its CRC-32, CRC-32 of the eight bytes before
_COUNTS = struct.Struct("<IIQ")  # rows killed, rows added, bytes of their names
_END = b"\xa5"  # never zero, which is what a disk that lost its power may leave at the end of a file
MOST_BYTES = 1 << 30  # of a record; what is larger becomes a segment at once


@dataclass(frozen=True)
class Change:
    """What one call does: first rows are killed, then rows are added.

    Attributes
    ----------
    killed : ndarray of shape (k,), int64
        Numbers of rows to kill, of which some may be dead already.
    numbers : ndarray of shape (n,), int64
        Numbers of the rows to add.
    names : list of str or None
        Their names, where ids are strings.
    data : ndarray of shape (n, code_size), uint8, or (n, d), float32
        Their codes, or, before training, the rows.
    """

    killed: IdArray
    numbers: IdArray
    names: list[str] | None
    data: npt.NDArray[Any]


@dataclass(frozen=True)
class Shape:
    """What the data of a journal's records are: rows of ``width`` numbers of a dtype, with names or without."""

    dtype: str
    width: int
    strings: bool


def pack_change(change: Change, shape: Shape) -> bytes:
    """The record of a change."""
    encoded = [name.encode() for name in change.names or ()]
    lengths = np.array([len(each) for each in encoded], "<u4")
    text = b"".join(encoded)
    parts = [
        _COUNTS.pack(len(change.killed), len(change.numbers), len(text)),
        change.killed.astype("<i8").tobytes(),
        change.numbers.astype("<i8").tobytes(),
        lengths.tobytes(),
        text,
        np.ascontiguousarray(change.data, shape.dtype).tobytes(),
    ]
    payload = b"".join(parts)
    prefix = struct.pack("<II", len(payload), zlib.crc32(payload))
    return b"".join([prefix, struct.pack("<I", zlib.crc32(prefix)), payload, _END])


def parse_changes(data: bytes, shape: Shape, *, head: bool) -> tuple[list[Change], int]:
    """The changes in a journal's bytes, of which the first are its ``head`` or not, and where the last whole one ends.

    Raises
    ------
    FormatError
        One of its subclasses, if it is no journal, or what is in it was changed.
    """
    raw, start = memoryview(data), 0
    if head:
        _check_head(data[: len(HEAD)])
        start = len(HEAD)
    changes = []
    while (payload := _payload(raw, start)) is not None:
        changes.append(_change(payload, shape))
        start += _PREFIX.size + len(payload) + len(_END)
    return changes, start


def _check_head(head: bytes) -> None:
    if head[: len(MAGIC)] != MAGIC:
        raise NotAnIndexError(f"expected a journal, which starts with {MAGIC!r}, got {head[: len(MAGIC)]!r}")
    if len(head) < len(HEAD):
        raise TruncatedError(f"expected at least {len(HEAD)} bytes, got {len(head)}")
    if head != HEAD:
        version = int.from_bytes(head[len(MAGIC) :], "little")
        raise VersionError(f"expected a journal of version {VERSION}, got {version}: a newer release wrote this file")


def _payload(raw: memoryview, start: int) -> memoryview | None:
    """The payload of the record at a place, None where the file ends before the record does."""
    if len(raw) - start < _PREFIX.size:
        return None
    length, crc, own = _PREFIX.unpack(raw[start : start + _PREFIX.size])
    if zlib.crc32(raw[start : start + _PREFIX.size - 4]) != own:
        if not any(raw[start:]):
            return None  # room that the file system had given, and the power went
        raise ChecksumError(f"expected a record at byte {start} of the journal, got other bytes: they were changed")
    if length > MOST_BYTES:
        raise HeaderError(f"expected a record of at most {MOST_BYTES} bytes, got {length}")
    body, end = start + _PREFIX.size, start + _PREFIX.size + length
    if len(raw) <= end or raw[end] == 0:
        return None
    if zlib.crc32(raw[body:end]) != crc or raw[end : end + 1] != _END:
        raise ChecksumError(f"expected the record at byte {start} of the journal to match its checksum, got another")
    return raw[body:end]


def _change(payload: memoryview, shape: Shape) -> Change:
    """The change of a record whose checksum is right."""
    if len(payload) < _COUNTS.size:
        raise HeaderError(f"expected a record of {_COUNTS.size} bytes at least, got {len(payload)}")
    killed, added, text = _COUNTS.unpack(payload[: _COUNTS.size])
    dtype = np.dtype(shape.dtype)
    named = 4 * added + text if shape.strings else 0
    if len(payload) != _COUNTS.size + 8 * (killed + added) + named + added * shape.width * dtype.itemsize:
        raise HeaderError(f"expected a record of {killed} and {added} rows, got {len(payload)} bytes")
    at = _COUNTS.size
    numbers = np.frombuffer(payload, "<i8", killed + added, at).astype(np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= LARGEST:
        raise HeaderError(f"expected numbers of rows from 0 to {LARGEST}, got others")
    if added > 1 and len(np.unique(numbers[killed:])) != added:
        raise HeaderError("expected distinct numbers of rows in a record, got one twice")
    at += 8 * (killed + added)
    names = None
    if shape.strings:
        names = _names(np.frombuffer(payload, "<u4", added, at), bytes(payload[at + 4 * added : at + named]))
        at += named
    data = np.frombuffer(payload, dtype, added * shape.width, at).reshape(added, shape.width)
    return Change(numbers[:killed], numbers[killed:], names, data.astype(dtype.newbyteorder("=")))


def _names(lengths: npt.NDArray[np.uint32], text: bytes) -> list[str]:
    ends = [0, *np.cumsum(lengths, dtype=np.int64).tolist()]
    if ends[-1] != len(text):
        raise HeaderError(f"expected names of {ends[-1]} bytes, got {len(text)}")
    try:
        return [text[start:end].decode() for start, end in pairwise(ends)]
    except UnicodeDecodeError as err:
        raise HeaderError(f"expected names in UTF-8, got others: {err}") from err


class Journal:
    """The journal that is being written.

    Several threads may wait for the disk at once: one call to it serves all whose records are written by then.

    Parameters
    ----------
    path : Path
        The file, which must be there.
    end : int
        Where its last whole record ends; what lies behind is cut off.

    Raises
    ------
    WriteError
        If it cannot be opened, or cut.
    """

    def __init__(self, path: Path, end: int) -> None:
        self.path, self.end = path, end
        self._failed: str | None = None
        self._synced = end
        self._sync = threading.Lock()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_APPEND)
            if os.fstat(self._handle).st_size != end:
                os.ftruncate(self._handle, end)
                os.fsync(self._handle)
        except OSError as err:
            raise WriteError(f"cannot write {path}: {err.strerror or err}") from err
        self._close = weakref.finalize(self, os.close, self._handle)

    def append(self, record: bytes) -> int:
        """Write a record, and return where it ends, for ``sync``.

        Raises
        ------
        WriteError
            If the disk refuses it; the journal is as it was then.
        """
        self._check()
        try:
            written = 0
            while written < len(record):
                written += os.write(self._handle, memoryview(record)[written:])
        except OSError as err:
            try:
                os.ftruncate(self._handle, self.end)
            except OSError as worse:
                self._failed = f"{worse.strerror or worse}, after {err.strerror or err}"
            raise WriteError(f"cannot write {self.path}: {err.strerror or err}") from err
        self.end += len(record)
        return self.end

    def sync(self, end: int) -> None:
        """Wait until everything before ``end`` is on the disk.

        Raises
        ------
        WriteError
            If the disk fails. What it holds then is unknown until the store is opened again: nothing more is written.
        """
        with self._sync:
            if self._synced >= end:
                return
            self._check()
            target = self.end
            try:
                _force(self._handle)
            except OSError as err:
                self._failed = err.strerror or str(err)
                raise WriteError(f"cannot write {self.path}: {self._failed}") from err
            self._synced = target

    def retire(self) -> None:
        """Close the file: everything it holds is in segments by now, or nothing more is to be written."""
        with self._sync:
            self._synced = self.end
            self._failed = self._failed or "it is closed"
            self._close()

    def abandon(self) -> None:
        """Close the file of a process that was forked while it wrote; the parent has its own."""
        self._failed = "another process writes it"
        self._close()

    def _check(self) -> None:
        if self._failed is not None:
            raise WriteError(f"cannot write {self.path}: {self._failed}; open the store again")


def _force(handle: int) -> None:
    """Wait until a file's bytes are on the disk, and its length, but for other facts about it."""
    getattr(os, "fdatasync", os.fsync)(handle)


def new_journal(path: Path) -> None:
    """Make a journal without records; raises WriteError if that cannot be done."""
    with atomic_write(path) as stream:
        stream.write(HEAD)


def read_from(path: Path, start: int) -> bytes:
    """The bytes of a journal from a place on; raises FileNotFoundError where there is none."""
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read()
