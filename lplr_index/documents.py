"""Documents in a folder: a table of texts and metadata, and a store of their vectors; what the guests have in common.

The table is what counts. A vector is written under a key that was never used, then one transaction makes the document
point to it: whatever interrupts a change, each document is there as it was before or as it is afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_integer, as_vectors
from lplr_index.document_table import Accept, DocumentTable, Record, as_row
from lplr_index.errors import InputError, MissingFileError, WriteError
from lplr_index.metric import parse_metric
from lplr_index.settings import small_row_bits
from lplr_index.store import Store, open_store
from lplr_index.store.folder import is_store

BITS = 2.0
"""Bits a coordinate of a new folder: beside the text, the bytes of a vector are few."""


class Documents:
    """A folder of documents, each with a vector; every change is on the disk when it returns.

    Vectors are kept as they are and searched exactly until there are ``train_rows`` of them; then a code is learnt from
    them and all are packed. One process writes at a time, any number may read.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder, made if it is missing. Where None, a temporary one, which goes when this object does.
    bits : float, optional
        Bits a coordinate of a packed vector; of a new folder 2 where None.
    metric : {"cosine", "ip", "l2"} or int, optional
        Similarity; of a new folder cosine where None.
    train_rows : int, optional
        Vectors at which they are packed; what ``open_store`` says where None.
    read_only : bool
        Only search; another process may write meanwhile.

    Raises
    ------
    InputError
        If an argument is out of range, or is not what the folder was made with.
    LockedError
        If another process writes to it.
    FormatError
        If a file is damaged.
    WriteError
        If the folder cannot be made or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        bits: float | None = None,
        metric: str | int | None = None,
        train_rows: int | None = None,
        read_only: bool = False,
    ) -> None:
        self._bits, self._metric = bits, None if metric is None else parse_metric(metric)
        self._options: dict[str, Any] = {} if train_rows is None else {"train_rows": train_rows}
        self._options |= {"read_only": True} if read_only else {}
        self._writing = threading.Lock()  # for a change, which may have to wait for training; searches go on meanwhile
        self._store: Store | None = None
        self.path = _folder(path, make=not read_only)
        if path is None:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        file = self.path / "documents.sqlite"
        if read_only and not file.exists():
            raise MissingFileError(f"expected documents in {self.path}, got no {file.name} there")
        self._table = DocumentTable(file, read_only=read_only)
        try:
            self._open()
            if not read_only:
                self._sweep()
        except BaseException:
            self.close()
            raise

    @property
    def vectors(self) -> Store | None:
        """The store of the vectors; None before there are some."""
        if self._store is None and self._options.get("read_only"):
            self._open()  # another process may have made it
        return self._store

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._store.metric if self._store else self._metric or "cosine"

    def __len__(self) -> int:
        return len(self._table)

    def put(
        self,
        ids: Sequence[str],
        contents: Sequence[str],
        metadatas: Sequence[Mapping[str, Any]],
        vectors: npt.ArrayLike,
    ) -> None:
        """Add documents, in the place of those that have their ids; of one id given twice the last counts.

        Parameters
        ----------
        ids, contents : sequence of str
            Names and texts.
        metadatas : sequence of dict
            What filters look at.
        vectors : array_like of shape (n, d)
            The vectors.

        Raises
        ------
        InputError
            If there are not as many of each, an id is no string, metadata are more than JSON can hold, or the vectors
            have another width than those there are.
        LockedError, WriteError
            As ``open_store`` and ``upsert`` of the store raise them.
        """
        if not ids:
            return
        rows = as_vectors(vectors, name="vectors")
        lengths = [len(each) for each in (ids, contents, metadatas, rows)]
        if len(set(lengths)) > 1:
            raise InputError(f"expected as many ids, texts, metadata and vectors, got {lengths}")
        packed = [as_row(*parts) for parts in zip(ids, contents, metadatas, strict=True)]
        last = {name: row for row, (name, *_) in enumerate(packed)}
        with self._writing:
            store = self._made(rows.shape[1])
            keys = self._table.new_keys(len(last))
            store.upsert(rows[list(last.values())], np.array(keys))
            self._table.put(keys, [packed[row] for row in last.values()])
            self._sweep()

    def remove(self, ids: Sequence[str]) -> None:
        """Remove documents by id; ids that are not there are passed over."""
        with self._writing:
            self._table.remove(ids)
            self._sweep()

    def clear(self) -> None:
        """Remove all documents; what was learnt from their vectors stays."""
        with self._writing:
            self._table.remove()
            self._sweep()

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The documents that have these ids, in the order of the ids."""
        return self._table.get(ids)

    def select(
        self,
        equal: Mapping[str, Any] | None = None,
        accept: Accept | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Record]:
        """The documents whose metadata are ``equal`` to these, key by key, and that a function accepts.

        They come in the order they were added, or of ``ids``, where these say which to look at.
        """
        return self._table.select(equal, accept, ids)

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        equal: Mapping[str, Any] | None = None,
        accept: Accept | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[tuple[Record, float]]:
        """The k documents whose vectors are nearest to a query, with their scores, nearest first.

        Parameters
        ----------
        x : array_like of shape (d,)
            The query.
        k : int
            Documents wanted.
        equal, accept, ids
            Those that may be found, as for ``select``.

        Returns
        -------
        list of (Record, float)
            Scores are similarities, or under L2 squared distances.

        Raises
        ------
        InputError
            If an argument has another shape or range.
        """
        k, store = as_integer(k, "k", least=1), self.vectors
        if store is None:
            return []
        keys = None
        if equal or accept or ids is not None:
            keys = [each.key for each in self.select(equal, accept, ids)]
            if not keys:
                return []
        query, passed = np.asarray(x)[None], 0
        while True:  # once, unless there are vectors whose documents are on their way in or out
            D, I = store.search(query, k + passed, filter=keys)
            there = I[0] != -1
            found: list[int] = I[0][there].tolist()
            records = self._table.of_keys(found)
            hits = [(records[key], score) for key, score in zip(found, D[0].tolist(), strict=False) if key in records]
            if len(hits) >= k or len(found) < k + passed:
                return hits[:k]
            passed += len(found) - len(records)

    def vectors_of(self, records: Sequence[Record]) -> FloatMatrix:
        """What is kept of the vectors (n, d) of documents; raises UnknownIdError if one is gone."""
        store = self.vectors
        if store is None or not records:
            return np.empty((0, 1), np.float32)
        return store.reconstruct_batch([each.key for each in records])

    def close(self) -> None:
        """Let go of the folder, which another process may write to then."""
        self._table.close()
        if self._store is not None:
            self._store.close()

    # Inside

    def _open(self) -> None:
        """Open the store, if it is there."""
        folder = self.path / "vectors"
        if not is_store(folder):
            return
        self._store = open_store(folder, ids="int", metric=self._metric, **self._options)
        if self._bits is not None:
            self._store.check(None, max(self._bits, small_row_bits(self._store.d)), None, None, None, None)

    def _made(self, d: int) -> Store:
        """The store, made if it is not there."""
        if self._store is None:
            bits = max(BITS if self._bits is None else self._bits, small_row_bits(d))
            self._store = open_store(self.path / "vectors", d, bits, self._metric, ids="int", **self._options)
        return self._store

    def _sweep(self) -> None:
        """Delete the vectors of stale keys."""
        keys = self._table.stale()
        if not keys:
            return
        if self._store is not None:
            self._store.delete(keys)
        self._table.forget(keys)


def _folder(path: str | os.PathLike[str] | None, *, make: bool) -> Path:
    if path is None:
        return Path(tempfile.mkdtemp(prefix="lplr-"))
    folder = Path(path)
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise WriteError(f"cannot make the folder {path}: {err.strerror or err}") from err
    return folder
