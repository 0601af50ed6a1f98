"""NumPy's own files: ``.npy`` and, as a zip archive of these, ``.npz``. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import DEFLATE_RATIO, VectorFile, choose_key, closed_on_error
from lplr_index.vectors.raw import ColumnMajor, RowMajor, Stream
from lplr_index.vectors.sink import DEFAULT_NAME, Write

HEADER_BYTES = 16 << 10
"""No header is longer: NumPy itself refuses to parse more than 10,000 characters."""


def open_npy(path: Path) -> VectorFile:
    """Open a ``.npy`` file, in C or Fortran order and of either byte order."""
    stream = path.open("rb", buffering=0)
    with closed_on_error(stream):
        return _matrix(path, stream, path.stat().st_size)


def open_npz(path: Path, key: str | None) -> VectorFile:
    """Open the array ``key`` of a ``.npz`` archive, stored or compressed.

    It is decompressed as it is read, so going forward is cheap, and going back starts anew.
    An archived array in Fortran order costs a pass over the array for every chunk.
    """
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if _is_npy(info)}
        member = members[choose_key(path, key, members)]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise VectorFileError(f"expected {path} to be stored or deflated, got method {member.compress_type}")
        ratio = 1 if member.compress_type == zipfile.ZIP_STORED else DEFLATE_RATIO
        if member.file_size > ratio * path.stat().st_size:
            raise VectorFileError(f"{path} cannot hold the {member.file_size} bytes that it announces")
        # The member keeps the archive's file open until it is closed itself.
        stream = archive.open(member)
    with closed_on_error(stream):
        # zipfile declares IO[bytes], which lacks readinto, and returns a ZipExtFile.
        return _matrix(path, cast("io.BufferedIOBase", stream), member.file_size)


def _is_npy(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _matrix(path: Path, stream: Stream, size: int) -> VectorFile:
    """Return the matrix in a stream of ``size`` bytes in the npy format."""
    # The header is cut out first: parsing it from the file would reserve as many bytes as it claims to have.
    header = io.BytesIO(stream.read(HEADER_BYTES) or b"")
    try:
        shape, fortran, dtype = _parse_header(header)
    except Exception as err:
        # NumPy lets errors of Python's own parser through, whose messages tell a user nothing.
        raise VectorFileError(f"expected an npy header (version 1 or 2) in {path}, got a damaged or other one") from err
    if len(shape) != 2:
        raise VectorFileError(f"expected an array of shape (n, d) in {path}, got shape {shape}")
    layout = ColumnMajor if fortran else RowMajor
    return layout(path, stream, size, offset=header.tell(), shape=shape, dtype=dtype)


def _parse_header(header: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and dtype; leave the stream where the numbers begin."""
    # Version 3 is for structured arrays, whose field names may lie beyond Latin-1.
    parse = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with warnings.catch_warnings():  # about headers that Python 2 wrote, which are fine
        warnings.simplefilter("ignore")
        return parse[np.lib.format.read_magic(header)](header)


@contextlib.contextmanager
def npy_sink(stream: BinaryIO, n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write ``.npy``."""
    _write_header(stream, n, d, dtype)
    yield lambda rows: stream.write(rows.data)


@contextlib.contextmanager
def npz_sink(stream: BinaryIO, n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write ``.npz``: one array, not compressed, as numbers of embeddings hardly compress."""
    info = zipfile.ZipInfo(f"{DEFAULT_NAME}.npy")  # dated 1980 and not today: same numbers, same bytes
    with zipfile.ZipFile(stream, "w") as archive, archive.open(info, "w", force_zip64=True) as member:
        _write_header(member, n, d, dtype)
        yield lambda rows: member.write(rows.data)


def _write_header(stream: Any, n: int, d: int, dtype: np.dtype[Any]) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype.str, "fortran_order": False, "shape": (n, d)})
