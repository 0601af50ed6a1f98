"""Vectors into files of any of the formats, a chunk at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import as_integer, as_vectors
from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError
from lplr_index.vectors.formats import format_of


def write_vectors(path: str | os.PathLike[str], x: npt.ArrayLike) -> None:
    """Write a matrix to a file in the format that its suffix tells.

    Formats that hold one dtype get it: see ``write_chunks``. The others keep the dtype of ``x``.

    Parameters
    ----------
    path : str or os.PathLike
        The file to create or replace.
    x : ndarray of shape (n, d)
        Floating point or integer, finite.

    Raises
    ------
    InputError, VectorFileError, WriteError, MissingDependencyError
        As ``write_chunks`` does.
    """
    fixed = format_of(Path(path)).dtype
    checked = as_vectors(x)
    n, d = checked.shape
    dtype = x.dtype if isinstance(x, np.ndarray) else checked.dtype
    write_chunks(path, [x], n, d, dtype if fixed is None else fixed)


def write_chunks(
    path: str | os.PathLike[str],
    chunks: Iterable[npt.ArrayLike],
    n: int,
    d: int,
    dtype: npt.DTypeLike | None = None,
) -> None:
    """Write a matrix that comes in pieces to a file in the format that its suffix tells.

    The file appears when it is complete. Memory is that of a chunk and its copy.
    Floating point numbers are rounded to the dtype of the file; integers must fit it exactly.

    Parameters
    ----------
    path : str or os.PathLike
        The file to create or replace.
    chunks : iterable of ndarray of shape (rows, d)
        The matrix from its first row to its last, floating point or integer, finite.
    n, d : int
        The shape of the whole matrix.
    dtype : dtype, optional
        What the file holds: float32 where None, or what the format always holds
        (float32 for .fvecs .fbin, int32 for .ivecs .ibin, uint8 for .bvecs .u8bin, int8 for .i8bin).

    Raises
    ------
    InputError
        If the chunks are not n rows of d such numbers, or the format or dtype does not hold them.
    VectorFileError
        If the suffix is that of no format.
    WriteError
        If the file cannot be written.
    MissingDependencyError
        If .hdf5 or .parquet is to be written and the package for it is not installed.
    """
    format_ = format_of(Path(path))
    n, d = as_integer(n, "n", least=1), as_integer(d, "d", least=1)
    kind = _file_dtype(path, format_.dtype, dtype)
    row = 0
    with atomic_write(path) as stream, format_.sink(stream, n, d, kind) as write:
        for chunk in chunks:
            rows = _fit(chunk, d, kind, first_row=row)
            row += len(rows)
            if row > n:
                raise InputError(f"expected {n} rows for {path}, got at least {row}")
            write(rows)
        if row < n:
            raise InputError(f"expected {n} rows for {path}, got {row}")


def _file_dtype(
    path: str | os.PathLike[str], fixed: np.dtype[Any] | None, wanted: npt.DTypeLike | None
) -> np.dtype[Any]:
    """Return the little-endian dtype of the file."""
    if wanted is None:
        return np.dtype("<f4") if fixed is None else fixed
    try:
        dtype = np.dtype(wanted).newbyteorder("<")
    except TypeError as err:
        raise InputError(f"expected dtype to be a float or integer type, got {wanted!r}") from err
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise InputError(f"expected dtype to be a float or integer type, got {dtype}")
    if fixed is not None and dtype != fixed:
        raise InputError(f"expected dtype {fixed} for {path}, got {dtype}")
    return dtype


def _fit(chunk: npt.ArrayLike, d: int, dtype: np.dtype[Any], *, first_row: int) -> npt.NDArray[Any]:
    """Return ``chunk`` (rows, d) in C order as ``dtype``, or say which number does not fit."""
    checked = as_vectors(chunk, d, name="x", first_row=first_row)
    chunk = chunk if isinstance(chunk, np.ndarray) else checked
    with np.errstate(over="ignore", invalid="ignore"):
        out = chunk.astype(dtype, order="C", copy=False)
    fits = np.isfinite(out) if dtype.kind == "f" else out == chunk
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        raise InputError(
            f"expected x to fit {dtype}, got {chunk[row, column]} in row {first_row + row}, column {column}"
        )
    return out
