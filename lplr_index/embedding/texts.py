"""Texts of a user's own: tables (CSV, TSV, JSONL, Parquet), a text a line, or a folder of text files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lplr_index.embedding.items import Item, Source
from lplr_index.errors import VectorFileError
from lplr_index.extras import require
from lplr_index.vectors.base import reading
from lplr_index.vectors.sources import natural_order

FILES = (".txt", ".md")
"""What counts as a text in a folder."""

LONGEST_CELL = 1 << 30
"""Characters. Python's csv refuses more than 131,072 unless told otherwise; books are longer."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what."""

    text: str
    label: str | None
    id: str | None


def open_texts(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
) -> Source:
    """Find the texts in a table, a file of lines or a folder, and look at all of them once.

    Parameters
    ----------
    path : str or os.PathLike
        A table (.csv .tsv .jsonl .ndjson .parquet), a .txt file with a text a line, or a folder with .txt and .md
        files, one text each, at any depth.
    column : str, optional
        The column of a table that holds the texts; needed unless there is no other.
    label_column : str, optional
        The column of a table that holds classes. In a folder, files in subfolders have the first subfolder's name.
    id_column : str, optional
        The column of a table by which a row is known; rows are counted from 0 where None.

    Returns
    -------
    Source
        Its items are in the order of the file, or of the names in the folder. Empty texts are among them.

    Raises
    ------
    VectorFileError
        If there is no such file or column, a row has no label, or the file cannot be read;
        rows are named, counted from 0.
    MissingDependencyError
        If .parquet is to be read and pyarrow is not installed.
    """
    file = Path(path)
    asked = (column, label_column, id_column)
    with reading(file):
        if not file.exists():
            raise VectorFileError(f"no such file: {path}")
        if file.is_dir() or file.suffix.lower() == ".txt":
            if any(asked):
                raise VectorFileError(f"expected a table for a column, got {path}, which has none")
            return _folder(file) if file.is_dir() else _lines(file)
        if file.suffix.lower() not in TABLES:
            raise VectorFileError(
                f"expected {path} to be a folder or to end in one of .txt {' '.join(TABLES)}, "
                f"got {file.suffix or 'no suffix'}"
            )
    return _table(file, TABLES[file.suffix.lower()], *asked)


def _table(
    file: Path, records: Callable[[Path], Iterator[Record]], text: str | None, label: str | None, id_: str | None
) -> Source:
    with reading(file):
        first = next(records(file), None)
    if first is None:
        raise VectorFileError(f"expected at least one row in {file}, got none")
    columns = Columns(choose_column(file, first, text, (label, id_)), label, id_)
    for name in (label, id_):
        if name is not None:
            choose_column(file, first, name, ())

    def items() -> Iterator[Item]:
        with reading(file):
            for row, record in enumerate(records(file)):
                yield _item(file, row, record, columns)

    facts = {"kind": file.suffix.lower().lstrip("."), "name": file.name, "column": columns.text}
    return Source(facts, sum(1 for _ in items()), items, is_labelled=label is not None, has_texts=True)


def choose_column(path: Path, record: Record, wanted: str | None, others: Sequence[str | None]) -> str:
    """Return the name of the wanted column, or of the only one that is not among ``others``.

    Raises
    ------
    VectorFileError
        If the table has no such column, or several to choose from.
    """
    free = [name for name in record if name not in others]
    if wanted is None and len(free) == 1:
        return free[0]
    if wanted is None or wanted not in record:
        got = "no column" if wanted is None else repr(wanted)
        raise VectorFileError(f"expected one of the columns of {path} ({', '.join(record)}), got {got}")
    return wanted


def _item(file: Path, row: int, record: Record, columns: Columns) -> Item:
    def cell(name: str) -> Any:
        if name not in record:
            raise VectorFileError(
                f"expected a column {name} in row {row} of {file}, got {', '.join(record) or 'nothing'}"
            )
        return record[name]

    text = cell(columns.text)
    if text is not None and not isinstance(text, str):
        raise VectorFileError(f"expected text in column {columns.text} of row {row} of {file}, got {text!r}")
    label = None if columns.label is None else one_line(cell(columns.label))
    if label == "":
        raise VectorFileError(f"expected a label in column {columns.label} of row {row} of {file}, got none")
    id_ = str(row) if columns.id is None else one_line(cell(columns.id))
    return Item(id_, text or "", label)


def one_line(value: Any) -> str:
    """Return a value as text without line breaks and with single spaces; nothing for None."""
    return "" if value is None else " ".join(str(value).split())


# --- tables, a record at a time --------------------------------------------------------------------------------------


def _separated(delimiter: str) -> Callable[[Path], Iterator[Record]]:
    """Return the reader of tables whose cells are separated by ``delimiter`` and whose first line names the columns."""

    def records(file: Path) -> Iterator[Record]:
        csv.field_size_limit(LONGEST_CELL)
        # utf-8-sig: Excel puts a mark before the first column's name.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter, strict=True)
            names = next(rows, [])
            if len(set(names)) < len(names):
                raise VectorFileError(f"expected columns of different names in {file}, got {', '.join(names)}")
            for row, cells in enumerate(each for each in rows if each):
                if len(cells) != len(names):
                    raise VectorFileError(f"expected {len(names)} cells in row {row} of {file}, got {len(cells)}")
                yield dict(zip(names, cells, strict=True))

    return records


def _json_lines(file: Path) -> Iterator[Record]:
    with file.open(encoding="utf-8-sig") as stream:
        for row, line in enumerate(each for each in stream if each.strip()):
            record = json.loads(line)
            if not isinstance(record, dict):
                raise VectorFileError(f"expected an object in row {row} of {file}, got {line.strip()[:40]}")
            yield record


def _parquet(file: Path) -> Iterator[Record]:
    parquet = require("pyarrow.parquet", "files")
    with parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(1024):
            yield from batch.to_pylist()


TABLES: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}


# --- lines and folders -----------------------------------------------------------------------------------------------


def _lines(file: Path) -> Source:
    def items() -> Iterator[Item]:
        with reading(file), file.open(encoding="utf-8-sig") as stream:
            for row, line in enumerate(stream):
                yield Item(str(row), line.rstrip("\n"))

    return _some(file, Source({"kind": "lines", "name": file.name}, sum(1 for _ in items()), items, has_texts=True))


def _folder(folder: Path) -> Source:
    files, labels, remarks = labelled_files(folder, FILES)

    def items() -> Iterator[Item]:
        for file, label in zip(files, labels, strict=True):
            with reading(file):
                text = file.read_text("utf-8-sig")
            yield Item(file.relative_to(folder).as_posix(), text, label)

    facts = {"kind": "folder", "name": folder.resolve().name}
    return Source(facts, len(files), items, is_labelled=labels[0] is not None, has_texts=True, remarks=remarks)


def _some(path: Path, source: Source) -> Source:
    if not source.count:
        raise VectorFileError(f"expected at least one text in {path}, got none")
    return source


def labelled_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[str | None], tuple[str, ...]]:
    """Return the files below a folder that have one of the suffixes, their labels, and remarks on what was left alone.

    Hidden files and folders are passed over. The label is the name of the first folder on the way to a file; there are
    labels only if every file lies in such a folder.

    Raises
    ------
    VectorFileError
        If there is no such file.
    """
    present = [file for file in folder.rglob("*") if file.is_file()]
    present = [file for file in present if not any(part[0] == "." for part in file.relative_to(folder).parts)]
    files = sorted((file for file in present if file.suffix.lower() in suffixes), key=natural_order)
    if not files:
        raise VectorFileError(f"expected files in {folder} that end in one of {' '.join(suffixes)}, got none")
    remarks = []
    if others := len(present) - len(files):
        remarks.append(f"{others} files in {folder} end in none of {' '.join(suffixes)} and are left alone")
    labels: list[str | None] = [None] * len(files)
    inner = [file.relative_to(folder).parts for file in files]
    direct = sum(len(parts) == 1 for parts in inner)
    if not direct:
        labels = [one_line(parts[0]) for parts in inner]
    elif direct < len(files):
        remarks.append(f"no labels: {direct} files lie in {folder} itself and not in a folder named after their class")
    return files, labels, tuple(remarks)
