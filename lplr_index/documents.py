"""Documents in a folder: text and metadata in SQLite, vectors in a store beside them; what the guests have in common.

The table of documents is what counts. A document has a key, under which the store holds its vector, and no key is ever
used twice. Keys whose vectors are not those of a document, or not yet, stand in the table ``stale`` until the vectors
are gone: whatever interrupts a change, each document is there as it was before or as it is afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_integer, as_vectors
from lplr_index.errors import FormatError, InputError, MissingFileError, WriteError
from lplr_index.metric import parse_metric
from lplr_index.settings import small_row_bits
from lplr_index.store import Store, open_store
from lplr_index.store.folder import is_store

BITS = 2.0
"""Bits a coordinate of a new folder: beside the text, the bytes of a vector are few."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, key INTEGER UNIQUE NOT NULL, content TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS stale (key INTEGER PRIMARY KEY AUTOINCREMENT);
"""
_WAIT_S = 30.0  # for another process to finish its change

Accept = Callable[["Record"], bool]


class Record(NamedTuple):
    """A document, as it is kept.

    Attributes
    ----------
    id : str
        Its name.
    key : int
        Of its vector.
    content : str
        The text, or whatever else the guest makes the document of.
    metadata : dict
        What filters look at, as far as JSON can hold it.
    """

    id: str
    key: int
    content: str
    metadata: dict[str, Any]


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
        self._lock = threading.Lock()  # of the connection to SQLite, for a statement or a transaction
        self._writing = threading.Lock()  # for a change, which may have to wait for training; searches go on meanwhile
        self._store: Store | None = None
        self.path = _folder(path, make=not read_only)
        if path is None:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._file = self.path / "documents.sqlite"
        if read_only and not self._file.exists():
            raise MissingFileError(f"expected documents in {self.path}, got no {self._file.name} there")
        mode = "ro" if read_only else "rwc"
        with self._errors():
            uri = f"{self._file.absolute().as_uri()}?mode={mode}"
            self._sql = sqlite3.connect(uri, uri=True, timeout=_WAIT_S, check_same_thread=False)
            weakref.finalize(self, self._sql.close)  # who forgets to is warned by Python 3.13
            if not read_only:
                self._sql.executescript(_SCHEMA)
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
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

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
        last = {_as_id(each): row for row, each in enumerate(ids)}
        packed = [(each, contents[row], _as_json(metadatas[row])) for each, row in last.items()]
        with self._writing:
            store = self._made(rows.shape[1])
            keys = self._new_keys(len(packed))
            store.upsert(rows[list(last.values())], np.array(keys))
            with self._change():
                self._to_stale("id IN (SELECT value FROM json_each(?))", json.dumps(list(last)))
                self._sql.executemany(
                    "INSERT INTO documents (id, key, content, metadata) VALUES (?, ?, ?, ?)",
                    [(each, key, *rest) for (each, *rest), key in zip(packed, keys, strict=True)],
                )
                self._sql.execute("DELETE FROM stale WHERE key BETWEEN ? AND ?", (keys[0], keys[-1]))
            self._sweep()

    def remove(self, ids: Sequence[str]) -> None:
        """Remove documents by id; ids that are not there are passed over."""
        with self._writing:
            with self._change():
                self._to_stale("id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)))
            self._sweep()

    def clear(self) -> None:
        """Remove all documents; what was learnt from their vectors stays."""
        with self._writing:
            with self._change():
                self._to_stale("TRUE")
            self._sweep()

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The documents that have these ids, in the order of the ids."""
        found = self._records("id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)))
        named = {each.id: each for each in found}
        return [named[each] for each in ids if each in named]

    def select(
        self,
        equal: Mapping[str, Any] | None = None,
        accept: Accept | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Record]:
        """The documents whose metadata are ``equal`` to these, key by key, and that a function accepts.

        They come in the order they were added, or of ``ids``, where these say which to look at.
        """
        wanted = dict(equal or {})
        if ids is not None:
            found = self.get(ids)
        else:
            known = {key: value for key, value in wanted.items() if _sql_compares(key, value)}
            where = " AND ".join(["json_extract(metadata, ?) IS ?"] * len(known)) or "TRUE"
            found = self._records(where, *(part for key, value in known.items() for part in (f'$."{key}"', value)))
        return [
            each
            for each in found
            if all(each.metadata.get(key) == value for key, value in wanted.items()) and (not accept or accept(each))
        ]

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
            records = {each.key: each for each in self._records(_BY_KEY, json.dumps(found))}
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
        self._sql.close()
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

    def _new_keys(self, n: int) -> list[int]:
        """Keys that were never used, all of them stale as long as nothing else is said."""
        with self._change():
            self._sql.executemany("INSERT INTO stale DEFAULT VALUES", [()] * n)
            last = self._sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'stale'").fetchone()[0]
        return list(range(last - n + 1, last + 1))

    def _to_stale(self, where: str, *values: Any) -> None:
        """Remove documents, and remember that their vectors are to go."""
        self._sql.execute(f"INSERT INTO stale SELECT key FROM documents WHERE {where}", values)  # noqa: S608
        self._sql.execute(f"DELETE FROM documents WHERE {where}", values)  # noqa: S608

    def _sweep(self) -> None:
        """Delete the vectors of stale keys."""
        keys = [key for (key,) in self._rows("SELECT key FROM stale")]
        if not keys:
            return
        if self._store is not None:
            self._store.delete(keys)
        with self._change():
            self._sql.execute("DELETE FROM stale WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(keys),))

    def _records(self, where: str, *values: Any) -> list[Record]:
        found = self._rows(f"SELECT id, key, content, metadata FROM documents WHERE {where} ORDER BY key", *values)  # noqa: S608
        return [Record(name, key, content, json.loads(metadata)) for name, key, content, metadata in found]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock, self._errors():
            return self._sql.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction: all of what is in the block, or nothing."""
        with self._lock, self._errors(), self._sql:
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as err:
            raise InputError(f"expected text that UTF-8 can hold, got {err.object!r}") from err
        except sqlite3.OperationalError as err:
            raise WriteError(f"cannot use {self._file}: {err}") from err
        except sqlite3.ProgrammingError as err:
            raise InputError(f"expected an open folder of documents, got one that was closed: {err}") from err
        except sqlite3.DatabaseError as err:
            raise FormatError(f"{self._file}: {err}") from err


_BY_KEY = "key IN (SELECT value FROM json_each(?))"


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


def _as_id(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InputError(f"expected ids that are strings, got {name!r}")
    return name


def _as_json(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as err:
        raise InputError(f"expected metadata that JSON can hold, got some that it cannot: {err}") from err


def _sql_compares(key: str, value: Any) -> bool:
    """Tell whether SQLite can look for a value; what it finds is compared again, as Python does it."""
    if not isinstance(value, str | int | float | None) or (isinstance(value, int) and abs(value) >= 1 << 63):
        return False
    text = f"{key}{value}"
    return not set('"\\') & set(key) and text == text.encode(errors="ignore").decode()
