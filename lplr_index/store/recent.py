"""Rows that are in the journal and in no segment yet: a few thousand, in memory, packed as in a segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray, as_rows
from lplr_index.blocks import BlockStore
from lplr_index.ids import IdMap
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store.journal import Change
from lplr_index.store.keys import Names, Numbers
from lplr_index.store.part import Part


class Recent:
    """Rows in the order they came, of which some are dead again.

    Parameters
    ----------
    model : Model or None
        What their codes were made with; before training they are vectors.
    d : int
        Columns of vectors.
    cosine, strings : bool
        Of the store: the metric, and the kind of ids.
    """

    def __init__(self, model: Model | None, d: int, *, cosine: bool, strings: bool) -> None:
        self.n = self.dead = 0
        self._d, self._cosine = d, cosine
        self._numbers, self._alive = np.empty(0, np.int64), np.empty(0, np.bool_)
        self._vectors = self._door = np.empty((0, d), np.float32)
        self._store = BlockStore(model.form) if model else None
        self._names: list[str] | None = [] if strings else None
        self._row_of: dict[int, int] = {}
        self._row_of_name: dict[str, int] = {}

    def append(self, change: Change) -> None:
        """Add the rows of a change, whose numbers no row has that lives."""
        start, stop = self.n, self.n + len(change.numbers)
        self._numbers, self._alive = _grown(self._numbers, stop), _grown(self._alive, stop)
        self._numbers[start:stop], self._alive[start:stop] = change.numbers, True
        if self._store is not None:
            self._store.append(np.ascontiguousarray(change.data))
        else:
            self._vectors = _grown(self._vectors, stop)
            self._vectors[start:stop] = change.data
            if self._cosine:
                self._door = _grown(self._door, stop)
                self._door[start:stop] = as_rows(change.data, self._d, cosine=True)[0]
        self._row_of.update(zip(change.numbers.tolist(), range(start, stop), strict=True))
        if self._names is not None:
            self._names += change.names or []
            self._row_of_name.update(zip(change.names or [], range(start, stop), strict=True))
        self.n = stop

    def kill(self, numbers: IdArray) -> None:
        """Let go of the rows with these numbers (size,), of which some may not be here."""
        for number in numbers.tolist():
            row = self._row_of.pop(number, -1)
            if row >= 0:
                self._alive[row] = False
                self.dead += 1
                if self._names is not None and self._row_of_name.get(self._names[row]) == row:
                    del self._row_of_name[self._names[row]]

    def holds(self, numbers: IdArray) -> npt.NDArray[np.bool_]:
        """Which of these numbers (size,) rows have that live."""
        return np.fromiter((number in self._row_of for number in numbers.tolist()), np.bool_, len(numbers))

    def numbers_of(self, names: list[str]) -> IdArray:
        """The number (size,) of the row that lives under each of these names (size,), -1 where there is none."""
        rows = np.fromiter((self._row_of_name.get(name, -1) for name in names), np.int64, len(names))
        return np.where(rows >= 0, self._numbers[rows] if self.n else -1, -1)

    def part(self) -> Part:
        """The rows as a search sees them; what comes later does not change it."""
        numbers = self._numbers[: self.n].copy()
        live = pack_filter(self._alive[: self.n]) if self.dead else no_filter()
        names = None if self._names is None else ListedNames(self._names, self.n)
        known = Numbers(self.n, 0, numbers, ascending=bool((np.diff(numbers) > 0).all()))
        if self._store is None:
            vectors = self._door if self._cosine else self._vectors
            return Part(known, names, live, None, vectors[: self.n])
        return Part(known, names, live, Rows(self._store.view(), IdMap(self.n, numbers)), None)

    def settled(self) -> tuple[IdArray, npt.NDArray[Any], Names | None]:
        """Numbers (n,), codes (n, code_size) or vectors (n, d), and names of the rows that live, by their numbers."""
        rows = np.flatnonzero(self._alive[: self.n])
        rows = rows[np.argsort(self._numbers[rows], kind="stable")]
        data: npt.NDArray[Any] = self._vectors[rows] if self._store is None else self._store.rows(rows)
        names = None if self._names is None else Names.of_list([self._names[row] for row in rows.tolist()])
        return self._numbers[rows], data, names


class ListedNames:
    """The names of the first n rows of a list, which may grow meanwhile."""

    def __init__(self, names: list[str], n: int) -> None:
        self._names, self._n = names, n

    def of(self, rows: IdArray) -> list[str]:
        """The names of rows (size,)."""
        return [self._names[row] for row in rows.tolist()]

    def find(self, names: list[str]) -> IdArray:
        """The last row (size,) under each of these names (size,), -1 where there is none."""
        rows = {name: row for row, name in enumerate(self._names[: self._n])}
        return np.fromiter((rows.get(name, -1) for name in names), np.int64, len(names))


def _grown(array: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """An array with room for n rows: itself, or a larger copy. Views of the smaller one stay as they are."""
    if n <= len(array):
        return array
    larger = np.empty((max(n, len(array) + len(array) // 2), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
