"""HDF5 as ann-benchmarks uses it: the base vectors in the dataset ``train``, the queries in ``test``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.errors import VectorFileError
from lplr_index.extras import require
from lplr_index.vectors.base import DEFLATE_RATIO, VectorFile, choose_key, closed_on_error
from lplr_index.vectors.sink import Write

DEFAULT_KEY = "train"


class Hdf5Matrix(VectorFile):
    """A dataset of two dimensions, contiguous or in chunks."""

    def __init__(self, path: Path, file: Any, dataset: Any) -> None:
        n, d = dataset.shape
        super().__init__(path, n, d, dataset.dtype, file.close)
        self._dataset = dataset
        if dataset.chunks:
            # A chunk is read and decompressed as a whole, however few of its rows are wanted.
            self._gap_rows = max(self._gap_rows, dataset.chunks[0])

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = self._dataset[start:stop]
        return rows


def open_hdf5(path: Path, key: str | None) -> VectorFile:
    """Open the dataset ``key``, by default ``train``; a dataset in a group is ``group/name``."""
    h5py = require("h5py", "files")
    file = h5py.File(path, "r")
    with closed_on_error(file):
        names: list[str] = []
        file.visititems(lambda name, each: names.append(name) if isinstance(each, h5py.Dataset) else None)
        dataset = file[choose_key(path, key, names, default=DEFAULT_KEY)]
        if len(dataset.shape or ()) != 2:
            raise VectorFileError(f"expected a dataset of shape (n, d) in {path}, got shape {dataset.shape}")
        matrix = Hdf5Matrix(path, file, dataset)
        _check_storage(path, dataset)
        return matrix


def _check_storage(path: Path, dataset: Any) -> None:
    """Refuse a dataset whose numbers are not in this file: HDF5 makes up those that were never written."""
    if dataset.is_virtual or dataset.external:
        raise VectorFileError(f"expected the dataset {dataset.name} to lie in {path} itself, got links to other files")
    size = path.stat().st_size
    nbytes = dataset.size * dataset.dtype.itemsize
    if dataset.chunks:
        grid = [-(-length // edge) for length, edge in zip(dataset.shape, dataset.chunks, strict=True)]
        stored = dataset.id.get_num_chunks() == grid[0] * grid[1]
        ratio = DEFLATE_RATIO if dataset.id.get_create_plist().get_nfilters() else 1
        chunk_bytes = dataset.chunks[0] * dataset.chunks[1] * dataset.dtype.itemsize
        stored = stored and max(nbytes, chunk_bytes) <= ratio * size
    else:
        stored = dataset.id.get_storage_size() == nbytes and (dataset.id.get_offset() or 0) + nbytes <= size
    if not stored:
        raise VectorFileError(f"expected {path} to hold all {nbytes} bytes of {dataset.name}, got fewer")


@contextlib.contextmanager
def hdf5_sink(stream: BinaryIO, n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write HDF5: one contiguous dataset, ``train``."""
    h5py = require("h5py", "files")
    with h5py.File(stream, "w") as file:
        dataset = file.create_dataset(DEFAULT_KEY, (n, d), dtype)
        start = 0

        def write(rows: npt.NDArray[Any]) -> None:
            nonlocal start
            dataset[start : start + len(rows)] = rows
            start += len(rows)

        yield write
