"""One thing a row: ids, filters and labels, from ``.npy`` or from text with one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import reading


def read_numbers(path: str) -> npt.NDArray[Any]:
    """Return integers, or booleans from .npy, of shape (n,).

    Raises
    ------
    VectorFileError
        If the file holds something else.
    """
    values = read_list(path)
    if values.dtype.kind == "U":
        with reading(Path(path)):
            values = np.array([int(each) for each in values], np.int64)
    if values.dtype.kind not in "iub":
        raise VectorFileError(f"expected integers in {path}, got dtype {values.dtype}")
    return values


def read_list(path: str) -> npt.NDArray[Any]:
    """Return what a file holds, of shape (n,): any numbers or strings from .npy, the lines of any other file.

    Raises
    ------
    VectorFileError
        If the file cannot be read, or is an array of another shape.
    """
    file = Path(path)
    with reading(file):
        if not file.exists():
            raise VectorFileError(f"no such file: {path}")
        values = _from_npy(file) if file.suffix.lower() == ".npy" else _from_text(file)
    if values.ndim != 1:
        raise VectorFileError(f"expected one value a row in {path}, got shape {values.shape}")
    return values


def _from_npy(file: Path) -> npt.NDArray[Any]:
    try:
        # Mapped first: a header that lies about its length then allocates nothing.
        return np.array(np.load(file, mmap_mode="r", allow_pickle=False))
    except ValueError as err:
        if "Python objects" not in str(err):
            raise
        raise VectorFileError(f"expected numbers or strings in {file}, got Python objects") from err


def _from_text(file: Path) -> npt.NDArray[Any]:
    try:
        # Spreadsheets on Windows put a mark before the first line, which is no part of it.
        return np.array(file.read_text("utf-8-sig").splitlines(), np.str_)
    except UnicodeDecodeError as err:
        raise VectorFileError(f"expected {file} to be .npy, or text in UTF-8 with one value a line, got {err}") from err
