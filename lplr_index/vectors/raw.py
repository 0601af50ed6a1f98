"""Matrices whose bytes lie in a stream as they are in memory: the ground that four formats stand on.

Rows are fetched by seeking and reading, not through a memory map: what was read does not stay in the process,
and a file that shrinks while it is read gives an error where a map would end the interpreter.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import GAP_BYTES, VectorFile

Stream = io.RawIOBase | io.BufferedIOBase


class _RawMatrix(VectorFile):
    """What rows and columns share: a matrix that fills a stream from ``offset`` to its end at ``size`` bytes."""

    def __init__(
        self, path: Path, stream: Stream, size: int, *, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        super().__init__(path, *shape, dtype, stream.close)
        self._stream, self._offset = stream, offset
        expected = offset + self.n * self._row_bytes
        if size != expected:
            raise VectorFileError(
                f"expected {path} to hold {expected} bytes for {self.n} rows of {self.d} {dtype}, got {size}"
            )

    @property
    def _row_bytes(self) -> int:
        return self.d * self._dtype.itemsize

    def _fill(self, out: npt.NDArray[Any], offset: int) -> None:
        """Fill the contiguous ``out`` (any shape) with the bytes that start at ``offset`` of the matrix."""
        left = out.reshape(-1).view(np.uint8).data
        self._stream.seek(self._offset + offset)
        while left:
            count = self._stream.readinto(left)
            if not count:
                raise VectorFileError(f"{self.path} ends {len(left)} bytes too early: it was cut while it was read")
            left = left[count:]


class RowMajor(_RawMatrix):
    """Row after row, as C keeps a matrix."""

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        out = np.empty((stop - start, self.d), self._dtype)
        self._fill(out, start * self._row_bytes)
        return out


class ColumnMajor(_RawMatrix):
    """Column after column, as Fortran keeps a matrix: a range of rows is one short read in every column."""

    def __init__(
        self, path: Path, stream: Stream, size: int, *, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        super().__init__(path, stream, size, offset=offset, shape=shape, dtype=dtype)
        self._gap_rows = GAP_BYTES // dtype.itemsize

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        out = np.empty((self.d, stop - start), self._dtype)
        if stop - start == self.n:  # all columns whole: they follow each other in the file
            self._fill(out, 0)
        else:
            for column in range(self.d):
                self._fill(out[column], (column * self.n + start) * self._dtype.itemsize)
        return out.T


class PrefixedRows(_RawMatrix):
    """Row after row, each with its own number of columns before it, as a little-endian int32."""

    @property
    def _row_bytes(self) -> int:
        return 4 + super()._row_bytes

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        rows = np.empty(stop - start, prefixed_row(self.d, self._dtype))
        self._fill(rows, start * self._row_bytes)
        wrong = rows["d"] != self.d
        if wrong.any():
            row = int(np.argmax(wrong))
            raise VectorFileError(
                f"expected rows of {self.d} columns in {self.path}, got {rows['d'][row]} in row {start + row}"
            )
        values: npt.NDArray[Any] = rows["values"]
        return values


def prefixed_row(d: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of one row of ``PrefixedRows``."""
    return np.dtype([("d", "<i4"), ("values", dtype, (d,))])
