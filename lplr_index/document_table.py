"""Texts and metadata of documents in SQLite: the table that says what a folder of documents holds.

A document has a key, under which a store beside the table holds its vector, and no key is ever used twice. Keys whose
vectors are not those of a document, or not yet, stand in the table ``stale`` until the vectors are gone.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lplr_index.errors import FormatError, InputError, WriteError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, key INTEGER UNIQUE NOT NULL, content TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS stale (key INTEGER PRIMARY KEY AUTOINCREMENT);
"""
_BY_ID = "id IN (SELECT value FROM json_each(?))"
_BY_KEY = "key IN (SELECT value FROM json_each(?))"
_WAIT_S = 30.0  # for another process to finish its change

Accept = Callable[["Record"], bool]
Row = tuple[str, str, str]
"""Id, content and metadata, as JSON, of a document."""


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


class DocumentTable:
    """The documents of a file; an object serves any number of threads, one statement or transaction at a time.

    Parameters
    ----------
    file : Path
        The file, made if it is missing.
    read_only : bool
        Leave it as it is; then it must be there.

    Raises
    ------
    FormatError
        If it is no such file.
    WriteError
        If it cannot be made.
    """

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        self._file, self._lock = file, threading.Lock()
        with self._errors():
            uri = f"{file.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            self._sql = sqlite3.connect(uri, uri=True, timeout=_WAIT_S, check_same_thread=False)
            weakref.finalize(self, self._sql.close)  # who forgets to is warned by Python 3.13
            if not read_only:
                self._sql.executescript(_SCHEMA)

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def new_keys(self, n: int) -> list[int]:
        """Keys that were never used, one after the other, all of them stale until documents have them."""
        with self._change():
            self._sql.executemany("INSERT INTO stale DEFAULT VALUES", [()] * n)
            last = self._sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'stale'").fetchone()[0]
        return list(range(last - n + 1, last + 1))

    def put(self, keys: Sequence[int], rows: Sequence[Row]) -> None:
        """Add documents under keys of ``new_keys``, in the place of those that have their ids: all of them, or none."""
        with self._change():
            self._retire(_BY_ID, json.dumps([name for name, *_ in rows]))
            self._sql.executemany(
                "INSERT INTO documents (id, key, content, metadata) VALUES (?, ?, ?, ?)",
                [(name, key, *rest) for key, (name, *rest) in zip(keys, rows, strict=True)],
            )
            self._sql.execute(f"DELETE FROM stale WHERE {_BY_KEY}", (json.dumps(list(keys)),))

    def remove(self, ids: Sequence[str] | None = None) -> None:
        """Remove documents by id, those that are not there passed over, or all; their keys become stale."""
        with self._change():
            self._retire("TRUE") if ids is None else self._retire(_BY_ID, json.dumps(list(ids)))

    def stale(self) -> list[int]:
        """Keys whose vectors are to go."""
        return [key for (key,) in self._rows("SELECT key FROM stale")]

    def forget(self, keys: Sequence[int]) -> None:
        """Take note that the vectors of stale keys are gone."""
        with self._change():
            self._sql.execute(f"DELETE FROM stale WHERE {_BY_KEY}", (json.dumps(list(keys)),))

    def of_keys(self, keys: Sequence[int]) -> dict[int, Record]:
        """The documents that have these keys, by key."""
        return {each.key: each for each in self._records(_BY_KEY, json.dumps(list(keys)))}

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The documents that have these ids, in the order of the ids."""
        named = {each.id: each for each in self._records(_BY_ID, json.dumps(list(ids)))}
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

    def close(self) -> None:
        """Let go of the file."""
        self._sql.close()

    def _retire(self, where: str, *values: Any) -> None:
        """Remove documents, and remember that their vectors are to go."""
        self._sql.execute(f"INSERT INTO stale SELECT key FROM documents WHERE {where}", values)
        self._sql.execute(f"DELETE FROM documents WHERE {where}", values)

    def _records(self, where: str, *values: Any) -> list[Record]:
        found = self._rows(f"SELECT id, key, content, metadata FROM documents WHERE {where} ORDER BY key", *values)
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


def as_row(name: Any, content: str, metadata: Mapping[str, Any]) -> Row:
    """A document as the table takes it.

    Raises
    ------
    InputError
        If its name is no string, or metadata are more than JSON can hold.
    """
    if not isinstance(name, str) or not name:
        raise InputError(f"expected ids that are strings, got {name!r}")
    try:
        return name, content, json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as err:
        raise InputError(f"expected metadata that JSON can hold, got some that it cannot: {err}") from err


def _sql_compares(key: str, value: Any) -> bool:
    """Tell whether SQLite can look for a value; what it finds is compared again, as Python does it."""
    if not isinstance(value, str | int | float | None) or (isinstance(value, int) and abs(value) >= 1 << 63):
        return False
    text = f"{key}{value}"
    return not set('"\\') & set(key) and text == text.encode(errors="ignore").decode()
