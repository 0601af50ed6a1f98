"""The ids of rows: counted from zero and free of charge, until the user brings or removes some."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.errors import InputError, UnknownIdError

LARGEST = 2**63 - 2  # the last int64 marks an empty place in a heap


class IdMap:
    """Row number to user id and back.

    While ids are 0, 1, 2, ... nothing is stored; otherwise eight bytes a row.
    Ids are unique, never change, and are never handed out a second time.

    Attributes
    ----------
    ntotal : int
        Rows.
    next_id : int
        The id that ``extend`` hands out next: one above the largest ever held.
    """

    def __init__(self, ntotal: int = 0, ids: IdArray | None = None, next_id: int | None = None) -> None:
        self.ntotal = ntotal
        self._parts = None if ids is None else [ids]  # joined when asked for, so that adding does not copy
        self._order: npt.NDArray[np.intp] | None = None
        largest = ntotal - 1 if ids is None else int(ids.max(initial=-1))
        self.next_id = max(largest + 1, next_id or 0)

    @property
    def stored(self) -> IdArray:
        """The ids (ntotal,) where they are stored, an empty array where they are row numbers."""
        if self._parts is None:
            return np.empty(0, np.int64)
        if len(self._parts) != 1:
            self._parts = [np.concatenate([*self._parts, np.empty(0, np.int64)])]
        return self._parts[0]

    def all(self) -> IdArray:
        """The id of every row, (ntotal,) int64."""
        return np.arange(self.ntotal, dtype=np.int64) if self._parts is None else self.stored

    def fresh(self, n: int) -> IdArray:
        """The ids (n,) that rows without ids of their own will get.

        Raises
        ------
        InputError
            If there are none left.
        """
        if self.next_id + n > LARGEST + 1:
            raise InputError(f"expected ids up to {LARGEST}, got {n} rows to count on from {self.next_id}")
        return np.arange(self.next_id, self.next_id + n, dtype=np.int64)

    def check_new(self, ids: IdArray) -> None:
        """Raise InputError unless all ``ids`` (n,) are in range, distinct and not yet held."""
        if not len(ids):
            return
        wrong = ids[(ids < 0) | (ids > LARGEST)]
        if len(wrong):
            raise InputError(f"expected ids from 0 to {LARGEST} (-1 marks a missing result), got {int(wrong[0])}")
        if ids[0] >= self.next_id and (np.diff(ids) > 0).all():
            return  # the common case, ascending ids, needs no look at what is held
        ordered = np.sort(ids)
        twice = ordered[1:][np.diff(ordered) == 0]
        if len(twice):
            raise InputError(f"expected distinct ids, got {int(twice[0])} twice")
        held = self._find(ids) >= 0
        if held.any():
            raise InputError(f"expected new ids, got {int(ids[held][0])}, which the index already holds")

    def extend(self, ids: IdArray, *, own: bool) -> None:
        """Append ids (n,) of the user's ``own`` that ``check_new`` has passed, or that ``fresh`` gave."""
        n = len(ids)
        if self._parts is None and (own or (n and ids[0] != self.ntotal)):
            self._parts = [self.all()]
        if self._parts is not None:
            self._parts.append(ids.copy())
        self.ntotal += n
        self._order = None
        self.next_id = max(self.next_id, int(ids.max(initial=-1)) + 1)

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Keep the rows of the mask (ntotal,); their ids stay what they are."""
        kept = self.all()[rows]
        self._parts, self.ntotal = [kept], len(kept)
        self._order = None

    def rows_of(self, ids: IdArray) -> IdArray:
        """The row (n,) of each id (n,).

        Raises
        ------
        UnknownIdError
            If one of them is not held.
        """
        rows = self._find(ids)
        if (rows < 0).any():
            raise UnknownIdError(f"expected ids that the index holds, got {int(ids[rows < 0][0])}")
        return rows

    def mask_of(self, ids: IdArray) -> npt.NDArray[np.bool_]:
        """Which rows (ntotal,) have one of these ids; ids that are not held are passed over."""
        mask = np.zeros(self.ntotal, np.bool_)
        rows = self._find(ids)
        mask[rows[rows >= 0]] = True
        return mask

    def _find(self, ids: IdArray) -> IdArray:
        """The row (n,) of each id (n,), -1 where there is none."""
        if self._parts is None:
            return np.where((ids >= 0) & (ids < self.ntotal), ids, -1)
        if not self.ntotal:
            return np.full(len(ids), -1, np.int64)
        held = self.stored
        if self._order is None:
            self._order = np.argsort(held, kind="stable")
        place = np.searchsorted(held, ids, sorter=self._order)
        rows = self._order[np.minimum(place, self.ntotal - 1)]
        return np.where(held[rows] == ids, rows, -1)
