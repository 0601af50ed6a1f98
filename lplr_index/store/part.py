"""What a search goes through: rows of one segment, or of none yet, and which of them live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.rows import Rows
from lplr_index.scanning import Filter
from lplr_index.store.keys import Numbers


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
        Bits of the rows that live; empty where all do.
    codes : Rows or None
        Their codes. Where they have ids, a scan tells numbers, and else row numbers.
    vectors : ndarray of shape (n, d), float32, or None
        The vectors themselves, of length one under cosine, where nothing was trained yet.
    """

    numbers: Numbers
    names: NamesOfRows | None
    live: Filter
    codes: Rows | None
    vectors: FloatMatrix | None

    @property
    def n(self) -> int:
        """Rows, the dead among them."""
        return self.numbers.n
