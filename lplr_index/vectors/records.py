"""The two families of nearest-neighbour benchmarks, both little-endian.

``.fvecs .ivecs .bvecs`` (TEXMEX): every row is its d as int32, then d numbers.
``.fbin .ibin .u8bin .i8bin`` (big-ann-benchmarks): n and d as uint32, then n rows of d numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lplr_index.arrays import as_integer
from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import VectorFile, closed_on_error
from lplr_index.vectors.raw import PrefixedRows, RowMajor, prefixed_row
from lplr_index.vectors.sink import Write


def open_vecs(path: Path, dtype: np.dtype[Any]) -> VectorFile:
    """Open a file of the ``.fvecs`` family, whose numbers are of ``dtype``."""
    size = path.stat().st_size
    stream = path.open("rb", buffering=0)
    with closed_on_error(stream):
        d = int.from_bytes(stream.read(4), "little", signed=True) if size >= 4 else 0
        row_bytes = 4 + d * dtype.itemsize
        if d < 1 or size < row_bytes:
            raise VectorFileError(f"expected {path} to begin with a number of columns that fits it, got {d}")
        whole = size // row_bytes
        matrix = PrefixedRows(path, stream, whole * row_bytes, offset=0, shape=(whole, d), dtype=dtype)
        if size % row_bytes:
            # Either rows differ, which reading them all tells by number, or the last one is cut.
            for _ in matrix.chunks():
                pass
            raise VectorFileError(
                f"expected rows of {row_bytes} bytes in {path}, got {size % row_bytes} after the last"
            )
        return matrix


def open_bin(path: Path, dtype: np.dtype[Any]) -> VectorFile:
    """Open a file of the ``.fbin`` family, whose numbers are of ``dtype``."""
    size = path.stat().st_size
    if size < 8:
        raise VectorFileError(f"expected {path} to begin with 8 bytes of n and d, got {size}")
    stream = path.open("rb", buffering=0)
    with closed_on_error(stream):
        n, d = np.frombuffer(stream.read(8), "<u4").tolist()
        return RowMajor(path, stream, size, offset=8, shape=(n, d), dtype=dtype)


@contextlib.contextmanager
def vecs_sink(stream: BinaryIO, _n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write the ``.fvecs`` family, which leaves n to the size of the file."""
    row = prefixed_row(as_integer(d, "d", most=2**31 - 1), dtype)

    def write(rows: np.ndarray[Any, Any]) -> None:
        records = np.empty(len(rows), row)
        records["d"], records["values"] = d, rows
        stream.write(records.view(np.uint8).data)

    yield write


@contextlib.contextmanager
def bin_sink(stream: BinaryIO, n: int, d: int, _dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write the ``.fbin`` family, which leaves the dtype to the suffix."""
    most = 2**32 - 1
    header = np.array([as_integer(n, "n", most=most), as_integer(d, "d", most=most)], "<u4")
    stream.write(header.data)
    yield lambda rows: stream.write(rows.data)
