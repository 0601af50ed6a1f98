"""Index files, as FORMAT.md describes them: one file, checksummed, mapped into memory, written whole or not at all."""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.atomic import atomic_write
from lplr_index.blocks import BLOCK, BlockStore
from lplr_index.codecs import ScalarCodec
from lplr_index.errors import (
    ChecksumError,
    FormatError,
    HeaderError,
    InputError,
    LPLRError,
    NotAnIndexError,
    TruncatedError,
    VersionError,
)
from lplr_index.ids import IdMap
from lplr_index.index import IndexLPLR
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.settings import Settings

MAGIC = b"\x89LPLR\r\n\x1a"  # as PNG's: a transfer that touches line ends or the eighth bit shows at once
VERSION = 1
_PREFIX = struct.Struct("<8sIIII")  # magic, version, header bytes, header CRC-32, CRC-32 of the 20 bytes before
_ALIGN = 64
_PAGE = 4096  # where sections start, so that a header's length does not change with the digits of its numbers
_HEADER_MOST = 1 << 24
_MOST_AXES = 2
_CHUNK = 1 << 24  # bytes checksummed or written at a time
_DTYPES = {"mu": "<f4", "R": "<f4", "R_half": "<f2", "R_index": "|u1", "R_values": "<f4", "encoder": "<f4"}
_DTYPES |= {"bits": "|u1", "levels": "<f4", "fields": "<i4", "ids": "<i8", "blocks": "|u1"}

Buffer = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Section:
    """One array of a file: where it lies and what its bytes add up to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    crc32: int


def write_index(index: IndexLPLR, path: str | os.PathLike[str]) -> None:
    """Write an index to a file, which is either there as a whole afterwards or as it was before.

    Raises
    ------
    InputError
        If ``index`` is not an IndexLPLR.
    WriteError
        If the file cannot be written.
    """
    with atomic_write(path) as stream:
        for part in _parts(index):
            stream.write(part)


def serialize_index(index: IndexLPLR) -> Buffer:
    """The bytes (n,) uint8 that ``write_index`` would write.

    Raises
    ------
    InputError
        If ``index`` is not an IndexLPLR.
    """
    return np.frombuffer(b"".join(_parts(index)), np.uint8).copy()


def read_index(path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> IndexLPLR:
    """Read an index.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    mmap : bool
        Leave the codes in the file, mapped read-only: memory is used for what is searched, and shared by processes.
        Rows may still be added; they are held in memory.
    verify : bool
        Compare the checksum of the codes too, which reads them once. Everything else is always checked.

    Raises
    ------
    FormatError
        One of its subclasses, if the file is not a whole, unchanged index.
    FileNotFoundError, PermissionError
        As ``open`` raises them.
    """
    with Path(path).open("rb") as stream:
        return _read(_map(stream) if mmap else np.frombuffer(stream.read(), np.uint8).copy(), str(path), verify=verify)


def deserialize_index(data: npt.ArrayLike | bytes) -> IndexLPLR:
    """The index of which these are the bytes, (n,) uint8 or bytes.

    Raises
    ------
    FormatError
        One of its subclasses, if they are not a whole, unchanged index.
    """
    raw = np.frombuffer(data, np.uint8) if isinstance(data, (bytes, bytearray, memoryview)) else np.asarray(data)
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise InputError(f"expected bytes or a one-dimensional uint8 array, got {raw.dtype} of shape {raw.shape}")
    return _read(raw.copy(), "data", verify=True)


def verify_index(path: str | os.PathLike[str]) -> IndexLPLR:
    """Read every byte of an index file and check it; returns the index.

    Raises
    ------
    FormatError
        One of its subclasses, if the file is not a whole, unchanged index.
    """
    return read_index(path, mmap=True, verify=True)


# Writing


def _arrays(index: IndexLPLR) -> Iterator[tuple[str, tuple[int, ...], list[npt.NDArray[Any]]]]:
    """Name, shape and parts of every section, in file order."""
    if not index.is_trained:
        return
    named = _model_arrays(index.model)
    if len(index.rows.ids.stored):
        named["ids"] = index.rows.ids.stored
    for name, array in named.items():
        yield name, array.shape, [np.ascontiguousarray(array, dtype=_DTYPES[name])]
    blocks = -(-index.ntotal // BLOCK)
    yield "blocks", (blocks, BLOCK * index.code_size), list(index.rows.store.whole())


def _model_arrays(model: Model) -> dict[str, npt.NDArray[Any]]:
    """The sections of a model."""
    named: dict[str, npt.NDArray[Any] | None] = {"mu": model.mu}
    if model.R is not None:
        named |= _compact(model.R)
    named |= {"encoder": model.encoder, "bits": model.codec.bits, "levels": model.codec.levels}
    named |= {"fields": model.codec.fields}
    return {name: array for name, array in named.items() if array is not None}


def _model_numbers(model: Model | None) -> dict[str, int | float]:
    """What a header says of a model."""
    return {
        "nibbles": model.codec.nibbles if model else 0,
        "heavy": model.codec.heavy if model else 0,
        "gain_step": model.gain_step if model else 0.0,
        "norm_unit": model.norm_unit if model else 0.0,
    }


def _compact(R: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """R in the fewest bytes that keep every bit: float16 if it fits, one byte an entry if it has few values."""
    with np.errstate(over="ignore"):
        half = R.astype("<f2")
    if np.array_equal(half.astype(np.float32), R):
        return {"R_half": half}
    values, where = np.unique(R, return_inverse=True)
    if len(values) <= 256:
        return {"R_index": where.reshape(R.shape).astype(np.uint8), "R_values": values}
    return {"R": R}


def _parts(index: IndexLPLR) -> Iterator[bytes]:
    """The bytes of a file, in pieces."""
    if not isinstance(index, IndexLPLR):
        raise InputError(f"expected an IndexLPLR to write, got {type(index).__name__}")
    arrays = list(_arrays(index))
    sections, offset = [], 0
    for name, shape, parts in arrays:
        crc, nbytes = 0, 0
        for chunk in _chunks(parts):
            crc, nbytes = zlib.crc32(chunk, crc), nbytes + len(chunk)
        sections.append(Section(name, _DTYPES[name], tuple(shape), offset, nbytes, crc))
        offset += nbytes + -nbytes % _ALIGN
    header = {
        "settings": asdict(index.settings),
        "trained": index.is_trained,
        "ntotal": index.ntotal,
        "next_id": index.rows.ids.next_id,
        **_model_numbers(index.model if index.is_trained else None),
        "sections": [asdict(section) for section in sections],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(_PREFIX.size + len(text)) % _PAGE)
    prefix = struct.pack("<8sIII", MAGIC, VERSION, len(text), zlib.crc32(text))
    yield prefix + struct.pack("<I", zlib.crc32(prefix)) + text
    for (_, _, parts), section in zip(arrays, sections, strict=True):
        yield from _chunks(parts)
        yield bytes(-section.nbytes % _ALIGN)


def _chunks(parts: Iterable[npt.NDArray[Any]]) -> Iterator[bytes]:
    for part in parts:
        flat = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        for start in range(0, len(flat), _CHUNK):
            yield flat[start : start + _CHUNK].tobytes()


# Reading


def _map(stream: BinaryIO) -> Buffer:
    size = os.fstat(stream.fileno()).st_size
    if not size:
        return np.empty(0, np.uint8)
    return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _read(data: Buffer, path: str, *, verify: bool) -> IndexLPLR:
    try:
        header, body = _header(data)
        sections = _sections(header, len(data) - body)
        arrays = {s.name: _array(data[body:], s, check=verify or s.name != "blocks") for s in sections}
        return _index(header, arrays)
    except FormatError as err:
        err.args = (f"{path}: {err}",)
        raise


def _header(data: Buffer) -> tuple[dict[str, Any], int]:
    """The header, and where the sections start."""
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
        raise NotAnIndexError(f"expected an index file, which starts with {MAGIC!r}, got {bytes(data[:8])!r}")
    if len(data) < _PREFIX.size:
        raise TruncatedError(f"expected at least {_PREFIX.size} bytes, got {len(data)}")
    _, version, length, crc, own = _PREFIX.unpack(data[: _PREFIX.size].tobytes())
    if zlib.crc32(data[: _PREFIX.size - 4].tobytes()) != own:
        raise ChecksumError("expected the first bytes to match their checksum, got others: they were changed")
    if version != VERSION:
        raise VersionError(f"expected format version {VERSION}, got {version}: a newer release wrote this file")
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


def _sections(header: dict[str, Any], room: int) -> list[Section]:
    """The table of sections, checked against the bytes that follow it: no holes, no overlaps, nothing left over."""
    sections: list[Section] = []
    offset = 0
    for entry in _of(header, "sections", list):
        if not isinstance(entry, dict):
            raise HeaderError(f"expected a section to be a JSON object, got {type(entry).__name__}")
        name, dtype = _of(entry, "name", str), _of(entry, "dtype", str)
        shape = tuple(_natural(n) for n in _of(entry, "shape", list))
        section = Section(name, dtype, shape, *(_natural(entry.get(key)) for key in ("offset", "nbytes", "crc32")))
        if _DTYPES.get(name) != dtype or name in {s.name for s in sections}:
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


def _index(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> IndexLPLR:
    """Put an index together, and see that its parts fit."""
    stated = _of(header, "settings", dict)
    if set(stated) != {field.name for field in fields(Settings)}:
        raise HeaderError(
            f"expected the settings {', '.join(f.name for f in fields(Settings))}, got {', '.join(stated)}"
        )
    try:
        settings = Settings(**stated)
        settings.check()
        model = rows = None
        if _of(header, "trained", bool):
            model = _model(header, arrays)
            ntotal, next_id = _natural(header.get("ntotal")), _natural(header.get("next_id"))
            blocks, ids = arrays["blocks"], arrays.get("ids")
            if model.d != settings.d or model.code_size != settings.code_size:
                raise HeaderError(f"expected rows of {settings.code_size} bytes for d = {settings.d}, got others")
            if blocks.shape != (-(-ntotal // BLOCK), BLOCK * settings.code_size):
                raise HeaderError(f"expected blocks for {ntotal} rows, got shape {blocks.shape}")
            if ids is not None and (ids.shape != (ntotal,) or (ids < 0).any() or len(np.unique(ids)) != ntotal):
                raise HeaderError(f"expected {ntotal} distinct ids, got others")
            store = BlockStore.of_blocks(blocks, ntotal, model.codec.nibbles)
            rows = Rows(store, IdMap(ntotal, None if ids is None else ids.astype(np.int64), next_id))
        elif arrays:
            raise HeaderError(f"expected no sections in an untrained index, got {', '.join(arrays)}")
    except (LPLRError, TypeError, ValueError, KeyError, OverflowError) as err:
        if isinstance(err, FormatError):
            raise
        raise HeaderError(f"expected a header whose parts fit together, got one that does not: {err}") from err
    return IndexLPLR.restored(settings, model, rows)


def _model(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Model:
    """The model; its arrays are copied, so that they stay when the file goes."""
    held = {
        name: np.array(a, dtype=np.dtype(a.dtype).newbyteorder("=")) for name, a in arrays.items() if name != "blocks"
    }
    R = held.get("R")
    if "R_half" in held:
        R = held["R_half"].astype(np.float32)
    elif "R_index" in held:
        values, where = held["R_values"], held["R_index"]
        if values.ndim != 1 or where.max(initial=0) >= len(values):
            raise HeaderError(
                f"expected R_index below {len(values)}, the number of R_values, got {where.max(initial=0)}"
            )
        R = np.ascontiguousarray(values[where])
    codec = ScalarCodec(
        held["bits"], held["levels"], held["fields"], *(_natural(header.get(key)) for key in ("nibbles", "heavy"))
    )
    codec.check()
    steps = [float(_of(header, key, (int, float))) for key in ("gain_step", "norm_unit")]
    model = Model(held["mu"], R, held.get("encoder"), codec, *steps)
    model.check()
    return model


def _of(holder: dict[str, Any], key: str, kind: Any) -> Any:
    value = holder.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise HeaderError(f"expected {key!r} to be of type {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise HeaderError(f"expected a whole number from 0 to 2**63 - 1, got {value!r}")
    return value
