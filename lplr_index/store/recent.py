"""Rows that are in the journal and in no segment yet: a few thousand, in memory, packed as in a segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store.arrangement import Arrangement, grown
from lplr_index.store.journal import Change
from lplr_index.store.keys import Names, Numbers
from lplr_index.store.part import Part


class Recent:
    """Rows in the order they came, of which some are dead again.

    Parameters
    ----------
    arrangement : Arrangement
        Of the store.
    strings : bool
        The kind of ids of the store.
    """

    def __init__(self, arrangement: Arrangement[Any], *, strings: bool) -> None:
        self.n = self.dead = 0
        self._numbers, self._alive = np.empty(0, np.int64), np.empty(0, np.bool_)
        self._rows = arrangement.growing()
        self._names: list[str] | None = [] if strings else None
        self._row_of: dict[int, int] = {}
        self._row_of_name: dict[str, int] = {}

    def append(self, change: Change) -> None:
        """Add the rows of a change, whose numbers no row has that lives."""
        start, stop = self.n, self.n + len(change.numbers)
        self._numbers, self._alive = grown(self._numbers, stop), grown(self._alive, stop)
        self._numbers[start:stop], self._alive[start:stop] = change.numbers, True
        self._rows.append(change.data)
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
        numbers, alive = self._numbers[: self.n].copy(), self._alive[: self.n]
        names = None if self._names is None else ListedNames(self._names, self.n)
        known = Numbers(self.n, 0, numbers, ascending=bool((np.diff(numbers) > 0).all()))
        rows = self._rows.view(numbers)
        return Part(known, names, pack_filter(rows.by_place(alive)) if self.dead else no_filter(), rows)

    def settled(self) -> tuple[IdArray, npt.NDArray[Any], Names | None]:
        """Numbers (n,), codes (n, code_size) or vectors (n, d), and names of the rows that live, by their numbers."""
        rows = np.flatnonzero(self._alive[: self.n])
        rows = rows[np.argsort(self._numbers[rows], kind="stable")]
        names = None if self._names is None else Names.of_list([self._names[row] for row in rows.tolist()])
        return self._numbers[rows], self._rows.data(rows), names


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
