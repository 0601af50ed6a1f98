"""What a search goes through: rows of one segment, or of none yet, and which of them live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.scanning import Filter
from lplr_index.store.arrangement import Arranged
from lplr_index.store.keys import Numbers
from lplr_index.store.living import bits, count, lives


class NamesOfRows(Protocol):
    """Names by row, and rows by name."""

    def of(self, rows: IdArray) -> list[str]:
        """The names of rows (size,)."""

    def find(self, names: list[str]) -> IdArray:
        """The row (size,) of each name (size,), -1 where there is none."""


@dataclass(frozen=True)
class Part:
    """Some of the rows of a store, as they were at one moment.

    Attributes
    ----------
    numbers : Numbers
        Their numbers.
    names : NamesOfRows or None
        Their names, where ids are strings.
    live : ndarray of shape (blocks,), uint32
        Bits of the rows that live, in the order in which rows lie; empty where all do.
    rows : Arranged
        The rows themselves.
    """

    numbers: Numbers
    names: NamesOfRows | None
    live: Filter
    rows: Arranged

    @property
    def n(self) -> int:
        """Rows, the dead among them."""
        return self.numbers.n

    @property
    def alive(self) -> int:
        """Rows that live."""
        return count(self.live, self.n)

    def living(self) -> npt.NDArray[np.bool_]:
        """Which rows (n,) live."""
        return self.rows.by_row(bits(self.live, 0, self.n)) if len(self.live) else np.ones(self.n, np.bool_)

    def among(self, rows: IdArray) -> npt.NDArray[np.bool_]:
        """Which of these rows (size,) live; -1, which is no row, does not."""
        return lives(self.live, self.rows.places(rows)) if len(self.live) else rows >= 0

    def find(self, numbers: IdArray) -> IdArray:
        """The row (size,) that lives under each of these numbers (size,), -1 where there is none."""
        rows = self.numbers.find(numbers)
        return np.where(self.among(rows), rows, -1)

    def find_names(self, names: list[str]) -> IdArray:
        """The row (size,) that lives under each of these names (size,), -1 where there is none."""
        rows = np.full(len(names), -1) if self.names is None else self.names.find(names)
        return np.where(self.among(rows), rows, -1)
