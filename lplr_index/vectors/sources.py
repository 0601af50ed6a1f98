"""From a path to its vectors: a file, a folder of files, or a pattern that several files match."""

from __future__ import annotations

import glob
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_ids
from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import VectorFile, reading
from lplr_index.vectors.formats import FORMATS, format_of


def open_vectors(path: str | os.PathLike[str], *, key: str | None = None) -> VectorFile:
    """Open the matrix of vectors in a file, in a folder, or in the files that match a pattern.

    The suffix tells the format: .npy .npz .fvecs .ivecs .bvecs .fbin .ibin .u8bin .i8bin .hdf5 .h5 .parquet
    .safetensors. Headers are checked against the size of the file; numbers are checked as they are read.

    Files of a folder (those with one of the suffixes, not those of folders inside it) or of a pattern are one matrix,
    in the order of their names, where ``part_2`` comes before ``part_10``. They must have one suffix and one width.

    Parameters
    ----------
    path : str or os.PathLike
        A file, a folder, or a pattern such as ``embeddings/part_*.npy``; ``**`` in it stands for any folders.
    key : str, optional
        Which matrix of a file that holds several: the array of .npz, the dataset of .hdf5 (``train`` where None),
        the column of .parquet, the tensor of .safetensors. Needed only where there is a choice.

    Returns
    -------
    VectorFile
        Open; close it, or use it in a ``with`` block.

    Raises
    ------
    VectorFileError
        If there is no such file, or it is not a matrix of at least one row and one column of real numbers.
    MissingDependencyError
        If .hdf5 or .parquet is to be read and the package for it is not installed.
    """
    try:
        name = os.fspath(path)
        present = Path(name).exists()
    except (TypeError, ValueError, OSError) as err:
        raise VectorFileError(f"expected the path of a file, got {path!r}: {err}") from err
    with reading(Path(name)):
        if not present and not glob.has_magic(name):
            raise VectorFileError(f"no such file: {name}")
        files = _matches(name) if not present else _inside(Path(name)) if Path(name).is_dir() else [Path(name)]
    if len(files) == 1:
        return _open(files[0], key)
    return Shards(Path(name), files, key)


class Shards(VectorFile):
    """Several files of one width as one matrix; one of them is open at a time, however many there are."""

    def __init__(self, path: Path, files: list[Path], key: str | None) -> None:
        counts, dtypes, widths = [], [], []
        for file in files:
            with _open(file, key) as shard:
                counts.append(shard.n)
                dtypes.append(shard.dtype)
                widths.append(shard.d)
            if widths[-1] != widths[0]:
                raise VectorFileError(f"expected {widths[0]} columns in {file}, as in {files[0]}, got {widths[-1]}")
        super().__init__(path, sum(counts), widths[0], np.result_type(*dtypes), self._close_shard)
        self._files, self._key = files, key
        self._starts = np.cumsum([0, *counts])
        self._shard: VectorFile | None = None
        self._number = -1

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        pieces = []
        while start < stop:
            number = self._number_of(start)
            first, end = int(self._starts[number]), min(stop, int(self._starts[number + 1]))
            pieces.append(self._open_shard(number).read(start - first, end - first))
            start = end
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    def take(self, rows: IdArray) -> FloatMatrix:
        """As ``VectorFile.take``; each file finds its rows, of shape (size,) in all, in the way that suits it."""
        self._check_numbers(rows := as_ids(rows, name="rows"))
        out = np.empty((len(rows), self.d), np.float32)
        cuts = np.searchsorted(rows, self._starts)
        for number, (first, last) in enumerate(itertools.pairwise(cuts)):
            if first < last:
                out[first:last] = self._open_shard(number).take(rows[first:last] - self._starts[number])
        return out

    def _number_of(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1

    def _open_shard(self, number: int) -> VectorFile:
        if self._shard is None or number != self._number:
            self._close_shard()
            shard = _open(self._files[number], self._key)
            if (shard.n, shard.d) != (count := int(self._starts[number + 1] - self._starts[number]), self.d):
                shard.close()
                raise VectorFileError(f"expected {count} rows in {shard.path}, as before, got {shard.n}")
            self._shard, self._number = shard, number
        return self._shard

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


def _open(file: Path, key: str | None) -> VectorFile:
    """Open one file."""
    try:
        format_ = format_of(file)
    except VectorFileError as err:
        raise VectorFileError(f"{err}; numpy.save makes an .npy of any array") from err
    if key is not None and not format_.has_keys:
        raise VectorFileError(f"expected no key for {file}, which holds one matrix only, got {key!r}")
    with reading(file):
        if not file.is_file():
            raise VectorFileError(f"expected {file} to be a regular file")
        return format_.open(file, key)


def _inside(folder: Path) -> list[Path]:
    """Return the files of ``folder`` that have one of the suffixes and are not hidden."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in FORMATS and file.name[0] != "."]
    return _in_order(folder, [file for file in files if file.is_file()])


def _matches(pattern: str) -> list[Path]:
    """Return the files that match ``pattern``, whatever their suffixes: they were asked for."""
    # Path.glob starts at a folder and wants a relative pattern; a user's pattern may be either.
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    return _in_order(Path(pattern), [file for file in map(Path, names) if file.is_file()])


def _in_order(path: Path, files: list[Path]) -> list[Path]:
    if not files:
        raise VectorFileError(f"no such file: {path} holds or matches no file of vectors ({' '.join(FORMATS)})")
    files = sorted(files, key=natural_order)
    for file in files:
        # A folder with the same vectors in two formats is likelier than one matrix in two.
        if file.suffix.lower() != files[0].suffix.lower():
            raise VectorFileError(
                f"expected files of one suffix in {path}, got {file} and {files[0]}: choose by a pattern such as *.npy"
            )
    return files


def natural_order(path: Path) -> tuple[list[list[tuple[int, str]]], str]:
    """Return a key that sorts digits in names as numbers: ``part_2`` before ``part_10``."""
    return [[_piece(each) for each in re.split(r"([0-9]+)", part)] for part in path.parts], str(path)


def _piece(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (0, text)
