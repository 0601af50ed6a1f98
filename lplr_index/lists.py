"""Rows that lie list by list, for an index that looks at some of its lists only.

Rows keep their numbers, in the order they were added; where they lie is another order. Added rows wait in that order
until the next search, which then sorts them into a run of their own. A run takes in those before it that are not twice
as long, so that there are few runs and a row is moved a few times in the life of an index, however rows come and go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.blocks import BLOCK, Blocks, BlockStore, Form
from lplr_index.coarse import list_bytes, list_numbers, number_bytes
from lplr_index.errors import InputError
from lplr_index.ids import IdMap
from lplr_index.rows import Rows

MOST_ROWS = 2**32 - 1  # that four bytes number
_MOVED = 1 << 16  # rows moved at a time

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Run:
    """Rows in consecutive numbers, sorted by list, and within a list by number.

    Attributes
    ----------
    blocks : Blocks
        Their codes, in ceil(rows / 32) of them, without tails.
    form : Form
        What the bytes of a row are.
    starts : ndarray of shape (nlist + 1,), int64
        Where each list starts, and how many rows there are.
    rows : ndarray of shape (rows,), uint32
        The number of each row.
    """

    blocks: Blocks
    form: Form
    starts: IdArray
    rows: Numbers

    @property
    def lists(self) -> IdArray:
        """The list (rows,) of each row, as they lie."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @cached_property
    def first(self) -> int:
        """The lowest of the numbers."""
        return int(self.rows.min()) if len(self.rows) else 0

    @cached_property
    def places(self) -> Numbers:
        """Where the rows lie, in the order of their numbers."""
        places = np.empty(len(self.rows), np.uint32)
        places[self.rows - np.uint32(self.first)] = np.arange(len(self.rows), dtype=np.uint32)
        return places

    def codes(self, places: npt.NDArray[np.integer]) -> ByteMatrix:
        """The codes (n, code_size) of the rows that lie at places (n,)."""
        return self.blocks.read(places.astype(np.int64), self.form)


class _State(NamedTuple):
    """Everything at one time: it is replaced as a whole, so that searches on other threads see one or the other."""

    runs: tuple[Run, ...]
    store: BlockStore  # rows that wait
    lists: tuple[IdArray, ...]  # theirs


class Lists(Rows):
    """Codes of ``code_size`` bytes under ids, in ``nlist`` lists.

    What ``append`` takes and ``codes`` give has the number of the list before the code, as in ``listmodel.py``.

    Parameters
    ----------
    form : Form
        What the bytes of a row are, the list aside.
    nlist : int
        How many lists.
    """

    def __init__(self, form: Form, nlist: int) -> None:
        super().__init__(BlockStore(form), IdMap())
        self.form, self.nlist = form, nlist
        self.reach = np.tile(np.array([0, np.inf], np.float32), (nlist, 1))
        self._state = _State((), self.store, ())

    @classmethod
    def of_blocks(cls, store: BlockStore, lists: IdArray, reach: npt.NDArray[np.float32], ids: IdMap) -> Lists:
        """Rows that are there, list by list; ``lists`` (n,) and ids are in the order of their numbers.

        ``reach`` is (nlist, 2), as ``widen`` makes it.
        """
        held = cls(store.form, len(reach))
        held.reach, held.ids = reach, ids
        for piece in store:
            rows = np.argsort(lists, kind="stable").astype(np.uint32)
            run = Run(piece.blocks, store.form, _starts(lists, held.nlist), rows)
            held._state = held._state._replace(runs=(run,))
        return held

    @property
    def runs(self) -> tuple[Run, ...]:
        """All rows, sorted; those that waited are sorted now."""
        state = self._state
        if state.store.ntotal:
            state = self._state = _State(self._arranged(state), BlockStore(self.form), ())
        return state.runs

    @property
    def lists(self) -> IdArray:
        """The list (ntotal,) of each row, in the order of their numbers."""
        lists = np.empty(len(self), np.int64)
        for run in self.runs:
            lists[run.rows] = run.lists
        return lists

    def whole(self) -> Run:
        """All rows as one run, as a file holds them; they lie so from now on."""
        runs = self.runs
        if len(runs) != 1:
            runs = (self._merged([_Source.of_run(run) for run in runs]),)
            self._state = _State(runs, BlockStore(self.form), ())
        return runs[0]

    def append(self, codes: ByteMatrix, ids: IdArray | None) -> None:
        """Add codes (n, number_bytes + code_size) under ids (n,) of the user's own, or under the next ones where None.

        Raises
        ------
        InputError
            If an id is out of range, given twice or already held, or there are more rows than four bytes number;
            nothing is added then.
        """
        if len(self) + len(codes) > MOST_ROWS:
            raise InputError(f"expected at most {MOST_ROWS} rows in lists, got {len(self) + len(codes)}")
        if ids is not None:
            self.ids.check_new(ids)
        numbers = self.ids.fresh(len(codes)) if ids is None else ids
        width, state = number_bytes(self.nlist), self._state
        state.store.append(np.ascontiguousarray(codes[:, width:]))
        self._state = state._replace(lists=(*state.lists, list_numbers(codes[:, :width])))
        self.ids.extend(numbers, own=ids is not None)

    def widen(self, lists: IdArray, far: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]) -> None:
        """Let lists (n,) reach rows so ``far`` (n,) from their centroids, of stored ``norms`` (n,)."""
        np.maximum.at(self.reach[:, 0], lists, np.nextafter(far.astype(np.float32), np.float32(np.inf)))
        np.minimum.at(self.reach[:, 1], lists, np.nextafter(norms.astype(np.float32), np.float32(-np.inf)))

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Keep the rows of the mask (ntotal,)."""
        numbers = np.cumsum(mask) - 1
        sources = []
        for run in self.runs:
            there = mask[run.rows]
            sources.append(_Source(run, np.flatnonzero(there), run.lists[there], numbers[run.rows[there]]))
        runs = tuple(self._merged([source]) for source in sources if len(source.places))
        self._state = _State(runs, BlockStore(self.form), ())
        self.ids.keep(mask)

    def codes_at(self, rows: IdArray) -> ByteMatrix:
        """The codes (n, number_bytes + code_size) of rows by their number (n,), which must be in range."""
        width = number_bytes(self.nlist)
        out = np.empty((len(rows), width + self.form.code_size), np.uint8)
        for run in self.runs:
            here = np.flatnonzero((rows >= run.first) & (rows < run.first + len(run.rows)))
            if len(here):
                places = run.places[rows[here] - run.first]
                lists = np.searchsorted(run.starts, places, side="right") - 1
                out[here, :width] = list_bytes(lists, self.nlist)
                out[here, width:] = run.codes(places)
        return out

    def _arranged(self, state: _State) -> tuple[Run, ...]:
        """The runs with those rows sorted in that waited."""
        runs, count = list(state.runs), state.store.ntotal
        sources = [
            _Source(state.store, np.arange(count), np.concatenate(state.lists), np.arange(len(self) - count, len(self)))
        ]
        while runs and len(runs[-1].rows) < 2 * count:
            sources.insert(0, _Source.of_run(runs.pop()))
            count += len(sources[0].rows)
        return (*runs, self._merged(sources))

    def _merged(self, sources: list[_Source]) -> Run:
        """One run of the rows of several sources."""
        lists, rows = (
            np.concatenate([getattr(each, name) for each in sources] or [np.empty(0, np.int64)])
            for name in ("lists", "rows")
        )
        order = np.lexsort((rows, lists))
        whose = np.repeat(np.arange(len(sources)), [len(each.rows) for each in sources])[order]
        places = np.concatenate([each.places for each in sources] or [np.empty(0, np.int64)])[order]
        blocks = Blocks.room(-(-len(order) // BLOCK), self.form)
        for start in range(0, len(order), _MOVED):
            part = slice(start, start + _MOVED)
            codes = np.empty((len(order[part]), self.form.code_size), np.uint8)
            for number, source in enumerate(sources):
                here = np.flatnonzero(whose[part] == number)
                codes[here] = source.codes(places[part][here])
            blocks.write(codes, start, self.form)
        return Run(blocks, self.form, _starts(lists, self.nlist), rows[order].astype(np.uint32))


class _Source(NamedTuple):
    """Rows that go into a run: what holds them, where there, and their lists and numbers, (n,) each."""

    held: Run | BlockStore
    places: IdArray
    lists: IdArray
    rows: IdArray

    @classmethod
    def of_run(cls, run: Run) -> _Source:
        """All of a run."""
        return cls(run, np.arange(len(run.rows)), run.lists, run.rows.astype(np.int64))

    def codes(self, places: IdArray) -> ByteMatrix:
        """The codes (n, code_size) of rows at places (n,)."""
        return self.held.codes(places) if isinstance(self.held, Run) else self.held.rows(places)


def _starts(lists: IdArray, nlist: int) -> IdArray:
    """Where each list starts, (nlist + 1,), of rows with such lists (n,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(lists, minlength=nlist), dtype=np.int64)])
