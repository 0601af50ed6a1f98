"""From items to vectors in a file: part by part, so that an interruption costs one part and no more."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.building import Progress
from lplr_index.embedding.items import Encoder, Item, Source, content_digest, package_versions
from lplr_index.embedding.listing import Names, file_digest, write_items, write_labels
from lplr_index.embedding.parts import Part, Parts, write_document
from lplr_index.errors import InputError, VectorFileError

PART_ITEMS = 256
"""Items of a part, unless the encoder takes more at once: what an interruption costs at most."""

DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class Embedded:
    """What an embedding has left.

    Attributes
    ----------
    files : Names
        Where.
    n, d : int
        Shape of the vectors.
    kept : int
        Rows that were there from an earlier run.
    damaged : int
        Parts of an earlier run that did not match their checksum and were made again.
    left_out : tuple of (str, str)
        The ids of the items that could not be embedded, and why.
    is_labelled : bool
        There is a file of labels.
    """

    files: Names
    n: int
    d: int
    kept: int
    damaged: int
    left_out: tuple[tuple[str, str], ...]
    is_labelled: bool


def embed(
    source: Source,
    encoder: Encoder,
    folder: str | os.PathLike[str],
    *,
    split: str = "",
    dtype: str = "float16",
    renew: bool = False,
    part_items: int | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Embed all items of a source into files of a folder, or those that are not there yet.

    ``vectors.npy`` holds a row for every item that could be embedded, in their order, ``items.csv`` says which item
    each row is, ``labels.txt`` has their labels, ``manifest.json`` the model, versions, checksums and what was left
    out. Each appears whole or not at all. After an interruption, call it again: parts that are finished are compared
    with their checksums and kept, also those whose items are still the same after the input has changed.

    Parameters
    ----------
    source : Source
        What to embed.
    encoder : Encoder
        With what.
    folder : str or os.PathLike
        Where the files go. It must exist.
    split : str
        Names the files ``train.npy``, ``train_items.csv`` and so on, for a folder that holds several splits.
    dtype : {"float16", "float32"}
        Of the vectors in the file.
    renew : bool
        Remove what is there first.
    part_items : int, optional
        Items of a part; 256, or as many as the encoder takes at once, where None.
    progress : callable, optional
        Called with ``"embedding"``, the items done and their number.

    Returns
    -------
    Embedded
        What is in the folder now.

    Raises
    ------
    InputError
        If the folder holds vectors of another model or other settings and ``renew`` is not set, no item can be
        embedded, or a vector is not finite or too large for the dtype; the message names the item.
    VectorFileError
        If the source cannot be read, or has changed meanwhile.
    WriteError
        If a file cannot be written.
    """
    if dtype not in DTYPES:
        raise InputError(f"expected dtype to be one of {', '.join(DTYPES)}, got {dtype!r}")
    files = Names.of(Path(folder), split)
    files.check_writable()
    part_items = (
        max(PART_ITEMS, encoder.stride) if part_items is None else as_integer(part_items, "part_items", least=1)
    )
    settings = {"dtype": dtype, "part_items": part_items, **encoder.identity}
    store = Parts(files.parts, files.vectors, files.manifest, np.dtype(dtype), settings, renew=renew)
    work = _Work(source, encoder, store, np.dtype(dtype), progress or _ignore)
    work.run(part_items, json.dumps(settings, sort_keys=True).encode())
    if not any(part.rows for part in work.parts):
        whys = "; ".join(itertools.islice((f"{id_}: {why}" for id_, why in work.left_out.values()), 1))
        raise InputError(f"expected at least one item that can be embedded, got none ({whys or 'there is none'})")
    n, d = store.finish(work.parts)
    write_items(files.items, source, work.left_out)
    if source.is_labelled:
        write_labels(files.labels, source, work.left_out)
    else:
        files.labels.unlink(missing_ok=True)
    write_document(files.manifest, work.manifest(files, settings, n, d))
    store.clear()
    left_out = tuple(work.left_out.values())
    return Embedded(files, n, d, work.kept, store.damaged, left_out, source.is_labelled)


class _Work:
    """One walk through a source, and what is known of it afterwards."""

    def __init__(
        self, source: Source, encoder: Encoder, store: Parts, dtype: np.dtype[Any], progress: Progress
    ) -> None:
        self._source, self._encoder, self._store = source, encoder, store
        self._dtype, self._progress = dtype, progress
        self._inputs = hashlib.sha256()
        self.parts: list[Part] = []
        self.left_out: dict[int, tuple[str, str]] = {}  # by the number of the item
        self.kept = 0

    def run(self, part_items: int, settings: bytes) -> None:
        """Find or make every part."""
        done, total = 0, self._source.count
        self._progress("embedding", 0, total)
        for items in _chunks(self._source, part_items):
            digests = b"".join(content_digest(item.content) for item in items)
            self._inputs.update(digests)
            key = hashlib.sha256(settings + digests).hexdigest()
            part = self._store.find(key)
            if part is None:
                part = self._store.save(key, *self._encode(items, done))
            else:
                self.kept += part.rows
            self.parts.append(part)
            self.left_out.update((done + place, (items[place].id, why)) for place, why in part.left_out)
            done += len(items)
            self._progress("embedding", done, total)

    def _encode(self, items: Sequence[Item], done: int) -> tuple[FloatMatrix, list[tuple[int, str]]]:
        """Return the vectors (rows, d) of a part's items, and the places of those that have none, and why."""
        rows: list[FloatMatrix] = []
        left_out: list[tuple[int, str]] = []
        for start in range(0, len(items), self._encoder.stride):
            usable, prepared = [], []
            for place, item in enumerate(items[start : start + self._encoder.stride], start):
                try:
                    prepared.append(self._encoder.prepare(item.content))
                    usable.append(item)
                except InputError as err:
                    left_out.append((place, str(err)))
            if prepared:
                rows.append(self._checked(self._encoder.encode(prepared), usable))
            self._progress("embedding", min(done + start + self._encoder.stride, done + len(items)), self._source.count)
        return np.concatenate(rows) if rows else np.empty((0, 0), np.float32), left_out

    def _checked(self, x: FloatMatrix, items: Sequence[Item]) -> FloatMatrix:
        """Return the vectors (n, d) of items, or say of which item one does not fit the file."""
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(x.astype(self._dtype)).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"expected vectors of finite numbers that fit {self._dtype}, "
                f"got up to {np.abs(x[row]).max()} in that of {items[row].id}"
            )
        return x

    def manifest(self, files: Names, settings: Mapping[str, Any], n: int, d: int) -> dict[str, Any]:
        """Return what the manifest says."""
        written = [files.vectors, files.items, *[files.labels] * self._source.is_labelled]
        return {
            "n": n,
            "d": d,
            "input": {**self._source.facts, "items": self._source.count, "sha256": self._inputs.hexdigest()},
            "settings": settings,
            "versions": {
                "python": platform.python_version(),
                **package_versions("lplr_index"),
                **self._encoder.versions,
            },
            "files": {file.name: file_digest(file) for file in written},
            "left_out": [{"id": id_, "why": why} for id_, why in self.left_out.values()],
            "parts": [asdict(part) for part in self.parts],
        }


def _chunks(source: Source, size: int) -> Iterator[list[Item]]:
    items = source.items()
    count = 0
    while chunk := list(itertools.islice(items, size)):
        count += len(chunk)
        yield chunk
    if count != source.count:
        raise VectorFileError(f"expected {source.count} items in {source.facts['name']}, as before, got {count}")


def _ignore(_stage: str, _done: int, _total: int) -> None:
    """Stand in for a progress that nobody wants to know."""
