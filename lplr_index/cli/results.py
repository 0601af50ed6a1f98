"""Files of search results: distances D and ids I of the neighbours of each query, in the format a suffix tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.arrow import list_column
from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError
from lplr_index.extras import require


@dataclass(frozen=True)
class ResultFormat:
    """How results are written, the module of the extra ``files`` it takes, and the ids it holds."""

    write: Callable[[BinaryIO, FloatMatrix, npt.NDArray[Any]], object]
    module: str = ""
    largest_id: int = np.iinfo(np.int64).max
    strings: bool = True


def check_results(path: str, largest_id: int, *, strings: bool = False) -> None:
    """Find out before the search whether its results can be written in the format of ``path``.

    Raises
    ------
    InputError
        If the suffix stands for no format, or for one that ids up to ``largest_id``, or strings, do not fit.
    MissingDependencyError
        If the format needs a package that is not installed.
    """
    format_ = _format_of(path)
    if format_.module:
        require(format_.module, "files")
    if largest_id > format_.largest_id:
        raise InputError(f"expected ids up to {format_.largest_id} for {path}, got {largest_id}")
    if strings and not format_.strings:
        known = " ".join(suffix for suffix, each in FORMATS.items() if each.strings)
        raise InputError(f"expected a file that ends in one of {known} for ids that are strings, got {path}")


def write_results(path: str, D: FloatMatrix, I: npt.NDArray[Any]) -> None:
    """Write distances D (nq, k) and ids I (nq, k), integers or strings, to a file.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    with atomic_write(path) as stream:
        _format_of(path).write(stream, D, I)


def _format_of(path: str) -> ResultFormat:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"expected results in a file that ends in one of {' '.join(FORMATS)}, got {path}")
    return FORMATS[suffix]


def _npz(stream: BinaryIO, D: FloatMatrix, I: npt.NDArray[Any]) -> None:
    """Write both, under their names."""
    np.savez(stream, D=D, I=I)


def _npy(stream: BinaryIO, _D: FloatMatrix, I: npt.NDArray[Any]) -> None:
    """Write the ids."""
    np.save(stream, I)


def _ibin(stream: BinaryIO, D: FloatMatrix, I: IdArray) -> None:
    """Write both as big-ann-benchmarks does: nq and k as uint32, all ids as int32, all distances as float32."""
    stream.write(np.array(I.shape, "<u4").tobytes())
    stream.write(I.astype("<i4").tobytes())
    stream.write(D.astype("<f4").tobytes())


def _hdf5(stream: BinaryIO, D: FloatMatrix, I: IdArray) -> None:
    """Write both under the names that ann-benchmarks gives them."""
    with require("h5py", "files").File(stream, "w") as file:
        file["neighbors"], file["distances"] = I, D


def _parquet(stream: BinaryIO, D: FloatMatrix, I: npt.NDArray[Any]) -> None:
    """Write a row a query: the lists ``ids`` and ``distances``."""
    arrow, parquet = require("pyarrow", "files"), require("pyarrow.parquet", "files")
    parquet.write_table(arrow.table({"ids": list_column(I), "distances": list_column(D)}), stream)


FORMATS = {
    ".npz": ResultFormat(_npz),
    ".npy": ResultFormat(_npy),
    ".ibin": ResultFormat(_ibin, largest_id=np.iinfo(np.int32).max, strings=False),
    ".hdf5": ResultFormat(_hdf5, module="h5py", strings=False),
    ".h5": ResultFormat(_hdf5, module="h5py", strings=False),
    ".parquet": ResultFormat(_parquet, module="pyarrow"),
}
