"""Ids of rows: numbers that ascend within a segment, and the names beside them where the user's ids are strings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.errors import ChecksumError, InputError

LONGEST = 1 << 16  # bytes of a string id


class Numbers:
    """The numbers of rows, by which ties are broken: a run without gaps costs nothing, others eight bytes a row.

    Parameters
    ----------
    n : int
        Rows.
    first : int
        The number of the first row, where they run on without gaps.
    stored : ndarray of shape (n,), int64, optional
        The numbers, where they do not.
    ascending : bool
        Whether those are in order, as they are in every segment.
    """

    def __init__(self, n: int, first: int = 0, stored: IdArray | None = None, *, ascending: bool = True) -> None:
        self.n, self.first, self.stored, self.ascending = n, first, stored, ascending
        self._order: npt.NDArray[np.intp] | None = None

    def of(self, rows: IdArray) -> IdArray:
        """The numbers (size,) of rows (size,)."""
        return rows + self.first if self.stored is None else self.stored[rows].astype(np.int64, copy=False)

    def part(self, start: int, stop: int) -> IdArray:
        """The numbers of a run of rows, of shape (stop - start,)."""
        if self.stored is None:
            return np.arange(self.first + start, self.first + stop, dtype=np.int64)
        return self.stored[start:stop].astype(np.int64, copy=False)

    def find(self, numbers: IdArray) -> IdArray:
        """The row (size,) of each of these numbers (size,), the last of several, -1 where there is none."""
        if self.stored is None:
            inside = (numbers >= self.first) & (numbers - self.first < self.n)
            return np.where(inside, numbers - self.first, -1)
        if not self.n:
            return np.full(len(numbers), -1, np.int64)
        if not self.ascending and self._order is None:
            self._order = np.argsort(self.stored, kind="stable")
        place = np.maximum(np.searchsorted(self.stored, numbers, side="right", sorter=self._order) - 1, 0)
        rows = place if self._order is None else self._order[place]
        return np.where(self.stored[rows] == numbers, rows, -1)

    def before(self, number: int) -> int:
        """How many rows, which must ascend, have lower numbers."""
        if self.stored is None:
            return min(max(number - self.first, 0), self.n)
        return int(np.searchsorted(self.stored, number))


class Names:
    """The names of rows, packed, and an index of them by hash.

    Parameters
    ----------
    text : ndarray of shape (bytes,), uint8
        All names in UTF-8, one after the other.
    ends : ndarray of shape (n,), int64
        Where each of them ends.
    hashes : ndarray of shape (n,), uint64
        ``hash_of`` of the names, ascending.
    order : ndarray of shape (n,), uint32
        The row that each of the hashes is of.
    """

    def __init__(
        self, text: ByteMatrix, ends: IdArray, hashes: npt.NDArray[np.uint64], order: npt.NDArray[np.uint32]
    ) -> None:
        self.text, self.ends, self.hashes, self.order = text, ends, hashes, order

    @classmethod
    def of_list(cls, names: Sequence[str]) -> Names:
        """Pack names."""
        encoded = [name.encode() for name in names]
        text = np.frombuffer(b"".join(encoded), np.uint8)
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        hashes = np.fromiter(map(hash_of, names), np.uint64, len(encoded))
        return cls(text, ends, *sorted_hashes(hashes))

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The sections of a file."""
        return {"text": self.text, "ends": self.ends, "hashes": self.hashes, "order": self.order}

    def of(self, rows: IdArray) -> list[str]:
        """The names of rows (size,).

        Raises
        ------
        ChecksumError
            If what lies there is no name.
        """
        lengths, text = self.gather(rows)
        data, names, start = text.tobytes(), [], 0
        try:
            for length in lengths.tolist():
                names.append(data[start : start + length].decode())
                start += length
        except UnicodeDecodeError as err:
            raise ChecksumError(f"expected names of rows in UTF-8, got other bytes: they were changed: {err}") from err
        return names

    def gather(self, rows: IdArray) -> tuple[IdArray, ByteMatrix]:
        """The lengths (size,) of the names of rows (size,), and their bytes, of shape (sum of lengths,)."""
        stops = self.ends[rows].astype(np.int64)
        starts = np.where(rows > 0, self.ends[np.maximum(rows - 1, 0)], 0).astype(np.int64)
        lengths = stops - starts
        if ((starts < 0) | (lengths < 0) | (lengths > LONGEST) | (stops > len(self.text))).any():
            raise ChecksumError("expected names of rows one after the other, got other places: they were changed")
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return lengths, self.text[np.repeat(starts, lengths) + within]

    def find(self, names: Sequence[str]) -> IdArray:
        """The row (size,) of each of these names (size,), the last of several, -1 where there is none.

        Raises
        ------
        ChecksumError
            If the index of names is damaged.
        """
        n = len(self.order)
        wanted = np.fromiter(map(hash_of, names), np.uint64, len(names))
        first, last = (np.searchsorted(self.hashes, wanted, side=side) for side in ("left", "right"))
        found = np.full(len(names), -1, np.int64)
        for i in np.flatnonzero(first < last).tolist():
            rows = self.order[first[i] : last[i]].astype(np.int64)
            if rows.max() >= n:
                raise ChecksumError(f"expected rows below {n} in the index of names, got others: they were changed")
            same = [row for row, name in zip(rows.tolist(), self.of(rows), strict=True) if name == names[i]]
            found[i] = max(same, default=-1)
        return found

    def row_hashes(self) -> npt.NDArray[np.uint64]:
        """The hash of each row, (n,)."""
        hashes = np.empty(len(self.order), np.uint64)
        hashes[self.order] = self.hashes
        return hashes


def hash_of(name: str) -> int:
    """64 bits that tell a name from others, the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def sorted_hashes(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """The hashes (n,) of rows in order, and the row of each, (n,)."""
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order.astype(np.uint32)


def as_names(ids: Any, n: int | None = None, *, name: str = "ids") -> list[str]:
    """Return ``ids`` as a list of ``n`` strings.

    Raises
    ------
    InputError
        If they are no sequence of strings, too long to be kept, not to be written in UTF-8, or not ``n``.
    """
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        raise InputError(f"expected {name} to be a list of strings, got {type(ids).__name__}")
    names = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    for each in names:
        if not isinstance(each, str):
            raise InputError(f"expected {name} to be strings, as the store was made with, got {each!r}")
        try:
            size = len(each.encode())
        except UnicodeEncodeError as err:
            raise InputError(f"expected {name} that UTF-8 can write, got {each!r}") from err
        if size > LONGEST:
            raise InputError(f"expected {name} of at most {LONGEST} bytes, got one of {size}")
    if n is not None and len(names) != n:
        raise InputError(f"expected {n} {name}, got {len(names)}")
    return names


def check_distinct(names: Sequence[str]) -> None:
    """Raise InputError if one of the names is given twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"expected distinct ids, got {name!r} twice")
        seen.add(name)
