"""Parquet with a column of lists, as Hugging Face datasets, LanceDB and the dumps of embedding services come.

Rows are decoded in batches and in order. Going forward is cheap; going back starts its row group anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.arrow import is_vector, list_column, list_lengths, list_matrix, numpy_dtype
from lplr_index.errors import VectorFileError
from lplr_index.extras import require
from lplr_index.vectors.base import CHUNK_BYTES, VectorFile, choose_key, chunk_rows, closed_on_error, first_line
from lplr_index.vectors.sink import DEFAULT_NAME, Write

BUFFER_BYTES = 1 << 20
"""Read ahead of the decoder in large files; otherwise pyarrow reads the column of a whole row group."""

BATCHES = 8
"""Batches in a default chunk. The decoder holds one and a half while the chunk grows."""


class ParquetMatrix(VectorFile):
    """A column of lists of ``d`` numbers each."""

    def __init__(self, path: Path, file: Any, column: str, d: int, dtype: np.dtype[Any]) -> None:
        # Of the metadata only this is looked at: asking for that of a column ends the interpreter where it is damaged
        # (pyarrow 26 lets a C++ exception through).
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._group_starts = np.cumsum([0, *groups])
        super().__init__(path, int(self._group_starts[-1]), d, dtype, file.close)
        self._file, self._column = file, column
        # The batch at hand, the number of its first row, and the batches after it.
        self._batch: Any = ()
        self._row = 0
        self._batches: Iterator[Any] = iter(())
        self._start_at(0)

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        group = int(np.searchsorted(self._group_starts, start, side="right")) - 1
        if start < self._row or self._group_starts[group] > self._row + len(self._batch):
            self._start_at(group)
        pieces = []
        while start < stop:
            skipped = start - self._row
            if skipped < len(self._batch):
                piece = self._batch[skipped : skipped + stop - start]
                pieces.append(list_matrix(piece, self.d, str(self.path), start))
                start += len(piece)
            else:
                self._row, self._batch = self._row + len(self._batch), ()
                self._batch = self._next_batch()
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]

    def _start_at(self, group: int) -> None:
        self._row, self._batch = int(self._group_starts[group]), ()
        self._batches = self._file.iter_batches(
            max(1, self._chunk_rows // BATCHES),
            row_groups=range(group, self._file.num_row_groups),
            columns=[self._column],
            use_threads=False,
        )

    def _next_batch(self) -> Any:
        try:
            batch = next(self._batches, None)
        except Exception as err:  # pyarrow counts from the start of the batch, if it counts at all
            raise VectorFileError(
                f"cannot decode the batch from row {self._row} on of {self.path}: {first_line(err)}"
            ) from err
        if batch is None:
            raise VectorFileError(f"expected {self.n} rows in {self.path}, got {self._row}")
        return batch.column(0)


def open_parquet(path: Path, key: str | None) -> VectorFile:
    """Open the column ``key``, which holds lists of numbers, of fixed size or not."""
    parquet = require("pyarrow.parquet", "files")
    # Behind a buffer, pyarrow reserves whatever a damaged page claims to need, up to 2 GB: small files do without.
    buffer = BUFFER_BYTES if path.stat().st_size > CHUNK_BYTES else 0
    file = parquet.ParquetFile(path, buffer_size=buffer, pre_buffer=False)
    with closed_on_error(file):
        columns = {field.name: field.type for field in file.schema_arrow if is_vector(field.type)}
        if not columns:
            raise VectorFileError(
                f"expected a column of {path} to have a list of numbers in each row, "
                f"got {len(file.schema_arrow)} columns of other things"
            )
        column = choose_key(path, key, columns)
        # The schema may announce a size; what is believed is the first row.
        first = next((each.column(0) for each in file.iter_batches(1, columns=[column]) if len(each)), None)
        d = int(list_lengths(first)[0]) if first is not None else 0
        if d < 1:
            got = {-1: "null", 0: "an empty list"}[d] if first is not None else "no row"
            raise VectorFileError(f"expected a list of numbers in row 0 of {path}, got {got}")
        return ParquetMatrix(path, file, column, d, numpy_dtype(columns[column].value_type))


@contextlib.contextmanager
def parquet_sink(stream: BinaryIO, _n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write Parquet: one column of lists of fixed size, a default chunk in every row group, not compressed."""
    arrow = require("pyarrow", "files")
    parquet = require("pyarrow.parquet", "files")
    kind = arrow.from_numpy_dtype(dtype)
    schema = arrow.schema([(DEFAULT_NAME, arrow.list_(kind, d))])
    with parquet.ParquetWriter(stream, schema, compression="none", use_dictionary=False) as writer:

        def write(rows: npt.NDArray[Any]) -> None:
            writer.write_table(arrow.table([list_column(rows)], schema=schema), row_group_size=chunk_rows(d))

        yield write
