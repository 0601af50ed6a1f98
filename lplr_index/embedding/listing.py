"""What each row of the vectors is: the files beside them, which make a hit something to look at."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lplr_index.atomic import atomic_write, check_writable
from lplr_index.embedding.items import Item, Source
from lplr_index.embedding.texts import one_line

EXCERPT = 200
"""Characters of a text that are repeated in the list of items."""


@dataclass(frozen=True)
class Names:
    """The files that an embedding leaves, those of a split of a data set beginning with its name.

    Attributes
    ----------
    vectors, labels, items, manifest : Path
        ``vectors.npy``, ``labels.txt``, ``items.csv`` and ``manifest.json``; ``train.npy``, ``train_labels.txt``, ...
    parts : Path
        The folder of unfinished parts.
    """

    vectors: Path
    labels: Path
    items: Path
    manifest: Path
    parts: Path

    @classmethod
    def of(cls, folder: Path, split: str = "") -> Names:
        """Return the names for a folder."""
        prefix = f"{split}_" if split else ""
        return cls(
            folder / f"{split or 'vectors'}.npy",
            *(folder / f"{prefix}{name}" for name in ("labels.txt", "items.csv", "manifest.json", "parts")),
        )

    def check_writable(self) -> None:
        """Find out before the work whether the files can be written.

        Raises
        ------
        WriteError
            If not.
        """
        for file in (self.vectors, self.labels, self.items, self.manifest):
            check_writable(file)


def write_items(path: Path, source: Source, left_out: Collection[int]) -> None:
    """Write a table of the items that became vectors: row, id, the label and the start of the text where there is one.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    texts = source.has_texts
    head = ["row", "id", *["label"] * source.is_labelled, *["text"] * texts]

    def cells(row: int, item: Item) -> list[object]:
        more = [item.label] if source.is_labelled else []
        return [row, item.id, *more, *([one_line(item.content)[:EXCERPT]] if texts else [])]

    _write_lines(path, source, left_out, lambda row, item: _csv_line(cells(row, item)), first=_csv_line(head))


def write_labels(path: Path, source: Source, left_out: Collection[int]) -> None:
    """Write the labels of the items that became vectors, one a line, as ``lplr-index evaluate --labels`` reads them.

    Raises
    ------
    WriteError
        If they cannot be written.
    """
    _write_lines(path, source, left_out, lambda _row, item: f"{item.label}\n")


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_lines(
    path: Path, source: Source, left_out: Collection[int], line: Callable[[int, Item], str], *, first: str = ""
) -> None:
    with atomic_write(path) as stream:
        stream.write(first.encode())
        for row, item in enumerate(_present(source, left_out)):
            stream.write(line(row, item).encode("utf-8", "backslashreplace"))


def _present(source: Source, left_out: Collection[int]) -> Iterator[Item]:
    return (item for number, item in enumerate(source.items()) if number not in left_out)


def _csv_line(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
