"""One file of rows, written once and mapped: the layout of FORMAT.md, and a second one of bits, the rows that live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_rows
from lplr_index.atomic import atomic_write
from lplr_index.blocks import BLOCK, BlockStore, Form
from lplr_index.container import Buffer, Parts, fitting_together, mapped, natural, pack, stated, unpack
from lplr_index.errors import ChecksumError, HeaderError
from lplr_index.ids import LARGEST, IdMap
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.scanning import Filter, pack_filter
from lplr_index.store.keys import Names, Numbers

DTYPES = {"ids": "<i8", "blocks": "|u1", "vectors": "<f4", "text": "|u1", "ends": "<i8", "hashes": "<u8"}
DTYPES |= {"order": "<u4"}
_GROWING = frozenset(DTYPES)  # all that grows with the rows: read when it is needed, and checked by verify
_NAMES = ("text", "ends", "hashes", "order")
_VERSION = 3  # of the file around: FORMAT.md
_WEAVE = 1 << 13  # rows that are woven into blocks at a time

Arrays = Iterable[tuple[str, str, tuple[int, ...], Parts]]


@dataclass(frozen=True)
class Stamp:
    """By what the manifest knows a file again: its length, and the checksum of its header, which has all the others."""

    name: str
    nbytes: int
    crc32: int


class Segment:
    """The rows of one file: packed codes, or vectors as they came, where nothing was trained yet.

    Attributes
    ----------
    n : int
        Rows, the dead among them.
    numbers : Numbers
        Their numbers, ascending.
    names : Names or None
        Their names, where the ids of the store are strings.
    rows : Rows or None
        The codes, mapped.
    vectors : ndarray of shape (n, d), float32, or None
        The vectors, mapped.
    """

    def __init__(
        self, numbers: Numbers, names: Names | None, rows: Rows | None, vectors: FloatMatrix | None, *, cosine: bool
    ) -> None:
        self.n, self.numbers, self.names, self.rows, self.vectors = numbers.n, numbers, names, rows, vectors
        self._cosine = cosine

    @cached_property
    def door(self) -> FloatMatrix:
        """The vectors (n, d) as a search compares them, of length one under cosine; in memory once they are asked for.

        Raises
        ------
        InputError
            If they are no vectors, which ``verify`` would have found.
        """
        vectors = np.empty((0, 1), np.float32) if self.vectors is None else self.vectors
        return np.array(as_rows(vectors, vectors.shape[1], cosine=self._cosine, name="rows of a segment")[0])

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """The codes (size, code_size) or vectors (size, d) of rows (size,)."""
        if self.rows is not None:
            return self.rows.store.rows(rows)
        return np.empty((0, 0), np.float32) if self.vectors is None else self.vectors[rows]


def write_file(folder: Path, name: str, header: dict[str, Any], arrays: Arrays) -> Stamp:
    """Write one file of a store, of arrays of any shape such as (n, d), whole or not at all.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    crc32, nbytes = 0, 0
    with atomic_write(folder / name) as stream:
        for part in pack(header, arrays, _VERSION):
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


def write_segment(folder: Path, name: str, digest: str | None, what: Contained) -> Stamp:
    """Write a segment; ``digest`` is of the model that made its codes."""
    header = {"segment": {"rows": what.n, "first": what.first, "training": digest}}
    return write_file(folder, name, header, what.sections())


class Contained:
    """What a segment is made of: at least one row, in the order of their numbers.

    Parameters
    ----------
    n, first, last : int
        How many rows, and the numbers of the first and of the last of them.
    ids : iterable of ndarray of shape (size,)
        Their numbers, in pieces; gone through twice, as all the others are, and not at all where they have no gaps.
    data : iterable of ndarray of shape (size, code_size) or (size, d)
        Codes or vectors, in pieces.
    form : Form or None
        What the bytes of codes are; None for vectors.
    width : int
        Bytes of a code, or columns of a vector.
    names : Names or None
        All names.
    """

    def __init__(
        self,
        n: int,
        first: int,
        last: int,
        ids: Parts,
        data: Parts,
        form: Form | None,
        width: int,
        names: Names | None,
    ) -> None:
        self.n, self.first = n, first
        self._dense = last - first + 1 == n
        self._ids, self._data, self._form, self._width, self._names = ids, data, form, width, names

    def sections(self) -> Iterator[tuple[str, str, tuple[int, ...], Parts]]:
        """Name, dtype, shape and parts of every section."""
        if not self._dense:
            yield "ids", DTYPES["ids"], (self.n,), self._ids
        if self._form is None:
            yield "vectors", DTYPES["vectors"], (self.n, self._width), self._data
        else:
            shape = (-(-self.n // BLOCK), BLOCK * self._form.code_size)
            yield "blocks", DTYPES["blocks"], shape, _Woven(self._data, self._form)
        if self._names is not None:
            for name, array in self._names.arrays.items():
                yield name, DTYPES[name], array.shape, [np.ascontiguousarray(array, DTYPES[name])]


class _Woven:
    """Codes in pieces as blocks in pieces, of which only the last may end inside a block."""

    def __init__(self, codes: Parts, form: Form) -> None:
        self._codes, self._form = codes, form

    def __iter__(self) -> Iterator[ByteMatrix]:
        left = np.empty((0, self._form.code_size), np.uint8)
        for piece in self._codes:
            for start in range(0, len(piece), _WEAVE):
                codes = np.concatenate([left, piece[start : start + _WEAVE]])
                whole = len(codes) // BLOCK * BLOCK
                left = codes[whole:]
                yield from self._blocks(codes[:whole])
        yield from self._blocks(left)

    def _blocks(self, codes: ByteMatrix) -> Iterator[ByteMatrix]:
        store = BlockStore(self._form)
        store.append(np.ascontiguousarray(codes))
        yield from store.whole()


def read_segment(data: Buffer, model: Model | None, d: int, *, cosine: bool, strings: bool, whole: bool) -> Segment:
    """The rows in the bytes (n,) of a file.

    Parameters
    ----------
    data : ndarray of shape (n,)
        The bytes.
    model : Model or None
        What its codes were made with.
    d : int
        Columns of its vectors, where there is no model.
    cosine, strings : bool
        Of the store: the metric, and the kind of ids.
    whole : bool
        Whether every byte is read and compared, or the header alone.

    Raises
    ------
    FormatError
        One of its subclasses, if it is not a whole, unchanged segment of such a store.
    """
    header, arrays = unpack(data, DTYPES, frozenset() if whole else _GROWING)
    said = stated(header, "segment", dict)
    digest = said.get("training")
    if digest != (model.digest if model else None):
        raise HeaderError(f"expected codes of the training {model.digest if model else None}, got {digest!r}")
    n, first = natural(said.get("rows")), natural(said.get("first"))
    with fitting_together():
        expected = {"blocks" if model else "vectors"} | set(_NAMES if strings else ())
        if set(arrays) - {"ids"} != expected or not n:
            raise HeaderError(f"expected rows in {', '.join(sorted(expected))}, got {n} in {', '.join(sorted(arrays))}")
        if not 0 <= first <= LARGEST + 1 - n:
            raise HeaderError(f"expected ids up to {LARGEST}, got {n} from {first} on")
        shapes = {"ids": (n,), "ends": (n,), "hashes": (n,), "order": (n,), "vectors": (n, d)}
        if model is not None:
            shapes["blocks"] = (-(-n // BLOCK), BLOCK * model.code_size)
        for name, array in arrays.items():
            if array.shape != shapes.get(name, (array.size,)):
                raise HeaderError(f"expected {name} of shape {shapes.get(name)}, got {array.shape}")
        numbers = Numbers(n, first, arrays.get("ids"))
        names = Names(*(arrays[name] for name in _NAMES)) if strings else None
        if whole:
            _check_ids(numbers, names)
        rows = None
        if model is not None:
            rows = Rows(BlockStore.of_blocks(arrays["blocks"], n, model.form), IdMap(n))
        return Segment(numbers, names, rows, arrays.get("vectors"), cosine=cosine)


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


def all_live(n: int) -> Filter:
    """The filter that lets n rows pass, and none behind them."""
    return pack_filter(np.ones(n, np.bool_))


def bits(live: Filter, start: int, stop: int) -> npt.NDArray[np.bool_]:
    """Whether each of a run of rows lives, (stop - start,)."""
    if not len(live):
        return np.ones(stop - start, np.bool_)
    first = start // BLOCK
    words = np.ascontiguousarray(live[first : -(-stop // BLOCK)], "<u4")
    unpacked = np.unpackbits(words.view(np.uint8), bitorder="little")
    return unpacked[start - first * BLOCK : stop - first * BLOCK].astype(np.bool_)


def lives(live: Filter, rows: IdArray) -> npt.NDArray[np.bool_]:
    """Whether each of these rows (size,) lives; -1, which is no row, does not."""
    if not len(live):
        return rows >= 0
    known = np.maximum(rows, 0)
    bit = (live[known // BLOCK] >> (known % BLOCK).astype(np.uint32)) & np.uint32(1)
    return np.asarray((rows >= 0) & (bit > 0))


def killed(live: Filter, n: int, rows: IdArray) -> Filter:
    """The filter of n rows without these rows (size,)."""
    left = all_live(n) if not len(live) else live.copy()
    np.bitwise_and.at(left, rows // BLOCK, ~np.left_shift(np.uint32(1), (rows % BLOCK).astype(np.uint32)))
    return left


def died(before: Filter, after: Filter, n: int) -> IdArray:
    """The rows (size,) of n that lived before and do not live after."""
    if not len(after):
        return np.empty(0, np.int64)
    changed = (before if len(before) else all_live(n)) & ~after
    words = np.flatnonzero(changed)
    row, bit = np.nonzero((changed[words, None] >> np.arange(BLOCK, dtype=np.uint32)) & np.uint32(1))
    return words[row] * BLOCK + bit


def count(live: Filter, n: int) -> int:
    """How many of n rows live, by bits of shape (blocks,)."""
    return int.from_bytes(live.tobytes(), "little").bit_count() if len(live) else n


def write_live(folder: Path, name: str, live: Filter) -> Stamp:
    """Write which rows of a segment live: bits of shape (blocks,)."""
    arrays: Arrays = [("live", "<u4", live.shape, [np.ascontiguousarray(live, "<u4")])]
    return write_file(folder, name, {"live": len(live)}, arrays)


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
