"""The vectors an index was made of, left where they are: read row by row when a few of them are asked for."""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_array, as_integer, as_vectors
from lplr_index.errors import ChecksumError, InputError, UnsupportedError
from lplr_index.vectors import VectorFile, open_vectors
from lplr_index.vectors.base import chunk_rows, reading

_SAMPLED = 256  # rows that are looked at in place of all


@dataclass(frozen=True)
class Fingerprint:
    """By what a file of vectors is known again.

    Attributes
    ----------
    path : str
        Where it was, absolute.
    key : str or None
        Which matrix of it.
    n, d : int
        Rows and columns.
    sample_crc32, crc32 : int
        CRC-32 of 256 rows spread over the matrix, and of all of them, as little-endian float32.
    """

    path: str
    key: str | None
    n: int
    d: int
    sample_crc32: int
    crc32: int

    def check(self) -> None:
        """Raise InputError unless every field is what it should be, for one that comes from a file."""
        if not isinstance(self.path, str) or "\0" in self.path or not (self.key is None or isinstance(self.key, str)):
            raise InputError(f"expected a path and a key or none, got {self.path!r} and {self.key!r}")
        for name in ("n", "d"):
            as_integer(getattr(self, name), name, least=1)
        for name in ("sample_crc32", "crc32"):
            as_integer(getattr(self, name), name, most=2**32 - 1)


class Originals:
    """A matrix of vectors in a file, or in an array that the user holds; rows are read when they are asked for.

    A ``.npy`` file is mapped. Files of other formats are read, one row or a run of rows at a time, which is quick where
    rows lie side by side uncompressed (.fvecs .fbin .hdf5 .safetensors and their like), and slow in .npz and .parquet.
    A forked child opens the file anew, because parent and child would move each other's place in it.

    Parameters
    ----------
    source : str, os.PathLike or array_like of shape (n, d)
        What ``open_vectors`` opens, or an array, which is neither copied nor converted as a whole.
    key : str, optional
        Which matrix of a file that holds several.

    Raises
    ------
    InputError
        If an array is not a matrix of real numbers.
    VectorFileError
        If a file cannot be opened.
    """

    kind: ClassVar[str] = "originals"
    code_size: ClassVar[int] = 0

    def __init__(self, source: Any, key: str | None = None) -> None:
        self.key = key
        self.path: str | None = None
        self._matrix: npt.NDArray[Any] | None = None
        self._file: VectorFile | None = None
        self._lock = threading.Lock()
        if isinstance(source, (str, os.PathLike)):
            self.path = os.path.abspath(source)  # noqa: PTH100 - a pattern is no path
            self._open(self.path)
        else:
            matrix = as_array(source, name="originals")
            self.d = as_vectors(matrix[:1] if matrix.ndim else matrix, name="originals").shape[1]
            self.n, self._matrix = len(matrix), matrix
        _live.add(self)

    def __repr__(self) -> str:
        return f"originals in {self.path}" if self.path else f"originals in an array of {self.n} rows"

    def rows(self, rows: IdArray) -> FloatMatrix:
        """The vectors (size, d) float32 of these rows (size,), in any order.

        Raises
        ------
        InputError, VectorFileError
            If they cannot be read or are not finite; the message names the row.
        """
        if self._matrix is not None:
            return self._gather(self._matrix, rows)
        distinct, where = np.unique(rows, return_inverse=True)
        with self._lock:
            return self._opened.take(distinct)[where.reshape(-1)]

    def check_ids(self, ids: IdArray) -> None:
        """Raise InputError unless all ids (n,) are row numbers."""
        outside = ids[(ids < 0) | (ids >= self.n)]
        if len(outside):
            raise InputError(f"expected ids from 0 to {self.n - 1}, row numbers of {self}, got {int(outside[0])}")

    def fingerprint(self) -> Fingerprint:
        """Read the whole matrix once and say by what it is known again.

        Raises
        ------
        UnsupportedError
            If the vectors are an array, of which a file can say nothing.
        """
        if self.path is None:
            raise UnsupportedError(
                "expected original vectors in a file, whose path an index file can hold, got an array in memory"
            )
        return Fingerprint(self.path, self.key, self.n, self.d, self._sample_crc32(), self._crc32())

    def check(self, expected: Fingerprint, *, whole: bool) -> None:
        """Raise ChecksumError unless these are the vectors that were meant, by a few rows of them or by all."""
        if (self.n, self.d) != (expected.n, expected.d):
            raise ChecksumError(
                f"expected {expected.n} rows of {expected.d} in {self.path or 'the originals'}, as when the index was "
                f"written, got {self.n} of {self.d}: they were changed"
            )
        if self._sample_crc32() != expected.sample_crc32 or (whole and self._crc32() != expected.crc32):
            raise ChecksumError(
                f"expected {self.path or 'the originals'} to hold the vectors it held when the index was written, "
                "got others: they were changed"
            )

    def close(self) -> None:
        """Let go of the file, which the next read opens again."""
        self._lock = threading.Lock()  # the old one may be held by a thread that a fork has left behind
        self._file = None

    @property
    def _opened(self) -> VectorFile:
        if self._file is None:
            self._file = open_vectors(self.path or "", key=self.key)
            weakref.finalize(self, self._file.close)
        return self._file

    def _open(self, path: str) -> None:
        """See what is there, and map it if it is a single ``.npy`` file."""
        self.n, self.d = self._opened.n, self._opened.d
        if Path(path).suffix.lower() == ".npy" and Path(path).is_file():
            self._opened.close()
            with reading(Path(path)):
                self._matrix = np.load(path, mmap_mode="r", allow_pickle=False)

    def _gather(self, matrix: npt.NDArray[Any], rows: IdArray) -> FloatMatrix:
        name = self.path or "originals"
        try:
            return as_vectors(matrix[rows], self.d, name=name)
        except InputError:
            for row in rows.tolist():  # the message is about its place in the matrix
                as_vectors(matrix[row : row + 1], self.d, name=name, first_row=row)
            raise

    def _sample_crc32(self) -> int:
        return _crc32(self.rows(spread_rows(self.n)))

    def _crc32(self) -> int:
        crc, size = 0, chunk_rows(self.d)
        for start in range(0, self.n, size):
            crc = _crc32(self.rows(np.arange(start, min(start + size, self.n))), crc)
        return crc


def spread_rows(n: int, most: int = _SAMPLED) -> IdArray:
    """Some row numbers (at most ``most``,) of n, evenly spread: 256 tell whether two matrices are the same."""
    size = min(n, most)
    return np.arange(size, dtype=np.int64) * (n - 1) // max(size - 1, 1)


def _crc32(rows: FloatMatrix, crc: int = 0) -> int:
    """CRC-32 of rows (n, d), going on from ``crc``."""
    return zlib.crc32(np.ascontiguousarray(rows, "<f4").data, crc)


_live: weakref.WeakSet[Originals] = weakref.WeakSet()


def _forget() -> None:
    """A forked child shares its parent's open files, and their places in them, until it opens its own."""
    for originals in list(_live):
        originals.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
