"""The file around an index: a header in JSON and arrays, each under a checksum and in its place. See FORMAT.md."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.errors import (
    ChecksumError,
    FormatError,
    HeaderError,
    LPLRError,
    NotAnIndexError,
    TruncatedError,
    VersionError,
)

MAGIC = b"\x89LPLR\r\n\x1a"  # as PNG's: a transfer that touches line ends or the eighth bit shows at once
VERSIONS = (1, 2, 3, 4, 5)
_PREFIX = struct.Struct("<8sIIII")  # magic, version, header bytes, header CRC-32, CRC-32 of the 20 bytes before
_ALIGN = 64
_PAGE = 4096  # where sections start, so that a header's length does not change with the digits of its numbers
_HEADER_MOST = 1 << 24
_MOST_AXES = 3
_CHUNK = 1 << 24  # bytes checksummed or written at a time

Buffer = npt.NDArray[np.uint8]
Parts = Iterable[npt.NDArray[Any]]
"""What makes up one array, one after the other; gone through twice, for the checksum and for the bytes."""


@dataclass(frozen=True)
class Section:
    """One array of a file: where it lies and what its bytes add up to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    crc32: int


def pack(
    header: dict[str, Any], arrays: Iterable[tuple[str, str, tuple[int, ...], Parts]], version: int
) -> Iterator[bytes]:
    """The bytes of a file of a version, in pieces, of a header and arrays: name, dtype, shape as (n, d), parts."""
    listed = list(arrays)
    sections, offset = [], 0
    for name, dtype, shape, parts in listed:
        crc, nbytes = 0, 0
        for chunk in _chunks(parts):
            crc, nbytes = zlib.crc32(chunk, crc), nbytes + len(chunk)
        sections.append(Section(name, dtype, tuple(shape), offset, nbytes, crc))
        offset += nbytes + -nbytes % _ALIGN
    table = {"sections": [asdict(section) for section in sections]}
    text = json.dumps(header | table, separators=(",", ":")).encode()
    text += b" " * (-(_PREFIX.size + len(text)) % _PAGE)
    prefix = struct.pack("<8sIII", MAGIC, version, len(text), zlib.crc32(text))
    yield prefix + struct.pack("<I", zlib.crc32(prefix)) + text
    for (_, _, _, parts), section in zip(listed, sections, strict=True):
        yield from _chunks(parts)
        yield bytes(-section.nbytes % _ALIGN)


def version_of(path: str | os.PathLike[str]) -> int:
    """The format version of an index file that is known to be whole."""
    with Path(path).open("rb") as stream:
        return int(_PREFIX.unpack(stream.read(_PREFIX.size))[1])


def unpack(
    data: Buffer, dtypes: Mapping[str, str], unchecked: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The header and the arrays of a file, which stay in its bytes.

    Parameters
    ----------
    data : ndarray of shape (n,)
        The bytes, uint8.
    dtypes : mapping
        The dtype of every array there may be, by name.
    unchecked : frozenset of str
        Arrays whose checksum is not compared.

    Raises
    ------
    FormatError
        One of its subclasses, if a length or a checksum is wrong.
    """
    header, body = _header(data)
    sections = _sections(header, len(data) - body, dtypes)
    return header, {s.name: _array(data[body:], s, check=s.name not in unchecked) for s in sections}


def mapped(stream: BinaryIO) -> Buffer:
    """The bytes (n,) of an open file, mapped read-only; they stay when the file is closed or unlinked."""
    size = os.fstat(stream.fileno()).st_size
    if not size:
        return np.empty(0, np.uint8)
    return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


@contextlib.contextmanager
def fitting_together() -> Iterator[None]:
    """Turn what a checked part of a file raises when it does not fit the others into a HeaderError."""
    try:
        yield
    except FormatError:
        raise
    except (LPLRError, TypeError, ValueError, KeyError, OverflowError) as err:
        raise HeaderError(f"expected a header whose parts fit together, got one that does not: {err}") from err


def stated(holder: dict[str, Any], key: str, kind: Any) -> Any:
    """The value of a key, of the type or types ``kind``; raises HeaderError if there is none such."""
    value = holder.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise HeaderError(f"expected {key!r} to be of type {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


def natural(value: Any) -> int:
    """``value`` as a whole number from 0 to 2**63 - 1; raises HeaderError if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise HeaderError(f"expected a whole number from 0 to 2**63 - 1, got {value!r}")
    return value


def _header(data: Buffer) -> tuple[dict[str, Any], int]:
    """The header, and where the sections start."""
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
        raise NotAnIndexError(f"expected an index file, which starts with {MAGIC!r}, got {bytes(data[:8])!r}")
    if len(data) < _PREFIX.size:
        raise TruncatedError(f"expected at least {_PREFIX.size} bytes, got {len(data)}")
    _, version, length, crc, own = _PREFIX.unpack(data[: _PREFIX.size].tobytes())
    if zlib.crc32(data[: _PREFIX.size - 4].tobytes()) != own:
        raise ChecksumError("expected the first bytes to match their checksum, got others: they were changed")
    if version not in VERSIONS:
        raise VersionError(
            f"expected format version 1 to {VERSIONS[-1]}, got {version}: a newer release wrote this file"
        )
    if length > _HEADER_MOST:
        raise HeaderError(f"expected a header of at most {_HEADER_MOST} bytes, got {length}")
    end = _PREFIX.size + length
    if len(data) < end:
        raise TruncatedError(f"expected a header of {length} bytes, got {len(data) - _PREFIX.size}")
    text = data[_PREFIX.size : end].tobytes()
    if zlib.crc32(text) != crc:
        raise ChecksumError("expected the header to match its checksum, got another: it was changed")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise HeaderError(f"expected a header in JSON, got {err}") from err
    if not isinstance(header, dict):
        raise HeaderError(f"expected a header that is a JSON object, got {type(header).__name__}")
    return header, end


def _sections(header: dict[str, Any], room: int, dtypes: Mapping[str, str]) -> list[Section]:
    """The table of sections, checked against the bytes that follow it: no holes, no overlaps, nothing left over."""
    sections: list[Section] = []
    offset = 0
    for entry in stated(header, "sections", list):
        if not isinstance(entry, dict):
            raise HeaderError(f"expected a section to be a JSON object, got {type(entry).__name__}")
        name, dtype = stated(entry, "name", str), stated(entry, "dtype", str)
        shape = tuple(natural(n) for n in stated(entry, "shape", list))
        section = Section(name, dtype, shape, *(natural(entry.get(key)) for key in ("offset", "nbytes", "crc32")))
        if dtypes.get(name) != dtype or name in {s.name for s in sections}:
            raise HeaderError(f"expected each of the known sections once with its dtype, got {name!r} as {dtype!r}")
        if len(shape) > _MOST_AXES:
            raise HeaderError(f"expected at most {_MOST_AXES} axes in section {name}, got {len(shape)}")
        size = np.dtype(dtype).itemsize
        for n in shape:
            size *= n
        if size != section.nbytes or section.offset != offset:
            raise HeaderError(
                f"expected {size} bytes at {offset} in section {name}, got {section.nbytes} at {section.offset}"
            )
        sections.append(section)
        offset += size + -size % _ALIGN
    if room < offset:
        raise TruncatedError(f"expected {offset} bytes after the header, got {room}")
    if room > offset:
        raise HeaderError(f"expected {offset} bytes after the header, got {room}: something was appended")
    return sections


def _array(body: Buffer, section: Section, *, check: bool) -> npt.NDArray[Any]:
    """A section as an array over the file's own bytes."""
    end = section.offset + section.nbytes
    raw = body[section.offset : end]
    if check:
        crc = 0
        for start in range(0, len(raw), _CHUNK):
            crc = zlib.crc32(raw[start : start + _CHUNK].data, crc)
        if crc != section.crc32:
            raise ChecksumError(
                f"expected section {section.name} to match its checksum, got other bytes: it was changed"
            )
    if body[end : end + -section.nbytes % _ALIGN].any():
        raise ChecksumError(f"expected zeros after section {section.name}, got other bytes: they were changed")
    return raw.view(section.dtype).reshape(section.shape)


def _chunks(parts: Iterable[npt.NDArray[Any]]) -> Iterator[bytes]:
    for part in parts:
        flat = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        for start in range(0, len(flat), _CHUNK):
            yield flat[start : start + _CHUNK].tobytes()
