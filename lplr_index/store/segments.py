"""One file of rows, written once and mapped: the layout of FORMAT.md, and a second one of bits, the rows that live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.atomic import atomic_write
from lplr_index.blocks import BLOCK
from lplr_index.container import Buffer, Parts, fitting_together, mapped, natural, pack, stated, unpack
from lplr_index.errors import ChecksumError, HeaderError
from lplr_index.ids import LARGEST
from lplr_index.scanning import Filter
from lplr_index.store.arrangement import Arranged, Arrangement, Section
from lplr_index.store.flat import Flat, Vectors
from lplr_index.store.keys import Names, Numbers
from lplr_index.store.listed import Listed

DTYPES = {"ids": "<i8", "text": "|u1", "ends": "<i8", "hashes": "<u8", "order": "<u4"}
DTYPES |= Vectors.dtypes | Flat.dtypes | Listed.dtypes
_GROWING = frozenset(DTYPES) - {"list_starts", "list_reach"}  # with the rows: read when needed, checked by verify
_NAMES = ("text", "ends", "hashes", "order")
VERSION = 3  # of a file around what is no row: FORMAT.md


@dataclass(frozen=True)
class Stamp:
    """By what the manifest knows a file again: its length, and the checksum of its header, which has all the others."""

    name: str
    nbytes: int
    crc32: int


@dataclass(frozen=True)
class Segment:
    """The rows of one file.

    Attributes
    ----------
    numbers : Numbers
        Their numbers, ascending.
    names : Names or None
        Their names, where the ids of the store are strings.
    rows : Arranged
        The rows, mapped.
    """

    numbers: Numbers
    names: Names | None
    rows: Arranged

    @property
    def n(self) -> int:
        """Rows, the dead among them."""
        return self.numbers.n


def write_file(
    folder: Path, name: str, header: dict[str, Any], sections: Iterable[Section], version: int = VERSION
) -> Stamp:
    """Write one file of a store, of arrays of any shape such as (n, d), whole or not at all.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    crc32, nbytes = 0, 0
    with atomic_write(folder / name) as stream:
        for part in pack(header, sections, version):
            crc32 = crc32 if nbytes else int.from_bytes(part[16:20], "little")
            nbytes += len(part)
            stream.write(part)
    return Stamp(name, nbytes, crc32)


def map_file(folder: Path, stamp: Stamp) -> Buffer:
    """The bytes (n,) of a file of a store.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ChecksumError
        If it is another file than the one that was written.
    """
    with (folder / stamp.name).open("rb") as stream:
        data = mapped(stream)
    if len(data) != stamp.nbytes or int.from_bytes(data[16:20].tobytes(), "little") != stamp.crc32:
        raise ChecksumError(f"expected {stamp.nbytes} bytes as they were written, got {len(data)} or others")
    return data


def write_segment(folder: Path, name: str, arrangement: Arrangement[Any], what: Contained) -> Stamp:
    """Write a segment of rows that are arranged so."""
    header = {"segment": {"rows": what.n, "first": what.first, "training": arrangement.digest}}
    return write_file(folder, name, header, what.sections(), arrangement.version)


class Contained:
    """What a segment is made of: at least one row, in the order of their numbers.

    Parameters
    ----------
    n, first, last : int
        How many rows, and the numbers of the first and of the last of them.
    ids : iterable of ndarray of shape (size,)
        Their numbers, in pieces; gone through twice, and not at all where they have no gaps.
    rows : list of Section
        The sections of the rows themselves.
    names : Names or None
        All names.
    """

    def __init__(self, n: int, first: int, last: int, ids: Parts, rows: list[Section], names: Names | None) -> None:
        self.n, self.first = n, first
        self._dense = last - first + 1 == n
        self._ids, self._rows, self._names = ids, rows, names

    def sections(self) -> Iterator[Section]:
        """Every section."""
        if not self._dense:
            yield "ids", DTYPES["ids"], (self.n,), self._ids
        yield from self._rows
        if self._names is not None:
            for name, array in self._names.arrays.items():
                yield name, DTYPES[name], array.shape, [np.ascontiguousarray(array, DTYPES[name])]


def read_segment(data: Buffer, arrangement: Arrangement[Any], *, strings: bool, whole: bool) -> Segment:
    """The rows in the bytes (n,) of a file.

    Parameters
    ----------
    data : ndarray of shape (n,)
        The bytes.
    arrangement : Arrangement
        Of the store.
    strings : bool
        The kind of ids of the store.
    whole : bool
        Whether every byte is read and compared, or only what does not grow with the rows.

    Raises
    ------
    FormatError
        One of its subclasses, if it is not a whole, unchanged segment of such a store.
    """
    header, arrays = unpack(data, DTYPES, frozenset() if whole else _GROWING)
    said = stated(header, "segment", dict)
    digest = said.get("training")
    if digest != arrangement.digest:
        raise HeaderError(f"expected codes of the training {arrangement.digest}, got {digest!r}")
    n, first = natural(said.get("rows")), natural(said.get("first"))
    with fitting_together():
        expected = {*arrangement.dtypes, *(_NAMES if strings else ())}
        if set(arrays) - {"ids"} != expected or not n:
            raise HeaderError(f"expected rows in {', '.join(sorted(expected))}, got {n} in {', '.join(sorted(arrays))}")
        if not 0 <= first <= LARGEST + 1 - n:
            raise HeaderError(f"expected ids up to {LARGEST}, got {n} from {first} on")
        shapes = dict.fromkeys(("ids", "ends", "hashes", "order"), (n,)) | arrangement.shapes(n)
        for name, array in arrays.items():
            if array.shape != shapes.get(name, (array.size,)):
                raise HeaderError(f"expected {name} of shape {shapes.get(name)}, got {array.shape}")
        numbers = Numbers(n, first, arrays.get("ids"))
        names = Names(*(arrays[name] for name in _NAMES)) if strings else None
        if whole:
            _check_ids(numbers, names)
        return Segment(numbers, names, arrangement.read(arrays, n, whole=whole))


def _check_ids(numbers: Numbers, names: Names | None) -> None:
    """Raise FormatError unless numbers ascend from the first that the header states, and all names can be read."""
    stored = numbers.stored
    if stored is not None and (stored[0] != numbers.first or (np.diff(stored) <= 0).any() or stored[-1] > LARGEST):
        raise HeaderError(f"expected ids that ascend from {numbers.first} to {LARGEST} at most, got others")
    if names is None:
        return
    if not np.array_equal(np.sort(names.order), np.arange(numbers.n)) or names.ends[-1] != len(names.text):
        raise HeaderError("expected an index of all names, got another")
    again = Names.of_list(names.of(np.arange(numbers.n)))
    if not np.array_equal(again.hashes, names.hashes) or not np.array_equal(again.order, names.order):
        raise HeaderError("expected an index of names that follows from them, got another")


# Rows that live


def write_live(folder: Path, name: str, live: Filter) -> Stamp:
    """Write which rows of a segment live: bits of shape (blocks,)."""
    sections: list[Section] = [("live", "<u4", live.shape, [np.ascontiguousarray(live, "<u4")])]
    return write_file(folder, name, {"live": len(live)}, sections)


def read_live(data: Buffer, n: int) -> Filter:
    """The filter in the bytes (size,) of a file, of a segment of n rows.

    Raises
    ------
    FormatError
        One of its subclasses, if it is another or damaged.
    """
    _, arrays = unpack(data, {"live": "<u4"})
    with fitting_together():
        live = arrays["live"].astype(np.uint32)
        if live.shape != (-(-n // BLOCK),) or (n % BLOCK and int(live[-1]) >> n % BLOCK):
            raise HeaderError(f"expected bits of {n} rows, got shape {live.shape} or more bits")
    return live
