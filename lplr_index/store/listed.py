"""Rows that lie list by list, as those of ``IndexIVFLPLR`` do, of which a search looks at the nearest lists.

Of each row four bytes say which one lies at its place, and one to three in which list it is, by which its place is
found: both stay in the file, so that opening it costs what lists do, and nothing for a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import asking, kernels, probing
from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray
from lplr_index.blocks import Blocks
from lplr_index.coarse import list_bytes, list_numbers
from lplr_index.container import Parts
from lplr_index.errors import ChecksumError, HeaderError
from lplr_index.ivf import append_rows
from lplr_index.listmodel import ListModel
from lplr_index.lists import MOST_ROWS, Lists, Run
from lplr_index.model import Model
from lplr_index.scanning import Filter, cut_queries
from lplr_index.settings import Settings
from lplr_index.store.arrangement import (
    NOWHERE,
    Arranged,
    Arrangement,
    Asked,
    Growing,
    Mask,
    Merge,
    Pieces,
    Scored,
    Section,
    Woven,
    numbered,
)
from lplr_index.store.flat import Flat, Vectors
from lplr_index.store.keys import Numbers
from lplr_index.threads import run

PLACE_BYTES = 4  # of a row in a file, besides its list: which one lies at a place
_STEP = 1 << 15  # rows that are merged at a time, or the longest list
_CHANGED = "they were changed"


def arrangement_of(settings: Settings, model: Model | None) -> Arrangement[Any]:
    """How rows of a store with these settings lie, before training (None) or with this model."""
    if model is None:
        return Vectors(settings.d, cosine=settings.metric == "cosine", squared=settings.metric == "l2")
    return Listed(model) if isinstance(model, ListModel) else Flat(model)


class Listed(Arrangement["ListedRows"]):
    """Codes of a model with lists."""

    version, dtype = 4, "|u1"
    dtypes = {  # noqa: RUF012 - as the class says of it
        "list_numbers": "|u1",
        "list_starts": "<i8",
        "list_reach": "<f4",
        "list_rows": "<u4",
        "blocks": "|u1",
    }

    def __init__(self, model: ListModel) -> None:
        self.model, self.nlist = model, model.coarse.nlist
        self.width, self.digest = model.number_bytes + model.code_size, model.digest

    def shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the sections of n rows, such as (n, number_bytes)."""
        return {
            "list_numbers": (n, self.model.number_bytes),
            "list_starts": (self.nlist + 1,),
            "list_reach": (self.nlist, 2),
            "list_rows": (n,),
            **self.model.form.shapes(n),
        }

    def read(self, arrays: dict[str, npt.NDArray[Any]], n: int, *, whole: bool) -> ListedRows:
        """As ``Arrangement.read``, of arrays such as (n, d)."""
        starts, reach = np.array(arrays["list_starts"], np.int64), np.array(arrays["list_reach"], np.float32)
        if starts[0] or starts[-1] != n or (np.diff(starts) < 0).any() or np.isnan(reach).any() or n > MOST_ROWS:
            raise HeaderError(f"expected {self.nlist} lists of {n} rows and how far these reach, got others")
        rows = Run(Blocks.of_sections(arrays), self.model.form, starts, arrays["list_rows"])
        held = ListedRows(self.model, rows, arrays["list_numbers"], reach)
        if whole:
            held.check()
        return held

    def growing(self) -> Growing:
        """No rows yet."""
        return _GrowingLists(self.model)

    def sections(self, data: npt.NDArray[Any]) -> list[Section]:
        """The sections of rows (n, width), in memory once more."""
        held = Lists(self.model.form, self.nlist)
        append_rows(held, self.model, data, None)
        one, numbers = held.whole(), data[:, : self.model.number_bytes]
        return self._sections(len(data), [numbers], one.starts, held.reach, [one.rows], [one.blocks.heads])

    def merged(self, merge: Merge[ListedRows]) -> list[Section]:
        """The sections of the rows of a merge; four bytes a row are in memory."""
        coming = _Coming(merge.arranged, merge.targets())
        far, norms = (np.stack([each.reach[:, column] for each in merge.arranged]) for column in (0, 1))
        reach = np.stack([far.max(axis=0), norms.min(axis=0)], axis=1)
        lists = merge.pieces(lambda rows, some: rows.lists[some])
        woven = Woven(Pieces(coming.codes), self.model.form, "blocks")
        return self._sections(merge.n, lists, coming.starts(), reach, Pieces(coming.rows), woven)

    def asked(self, xq: FloatMatrix, nprobe: int, threads: int) -> Asked[ListedRows]:
        """Queries xq (nq, d), their lists, and tables."""
        return _AskedLists(self.model, xq, min(nprobe, self.nlist), threads)

    def _sections(
        self, n: int, lists: Parts, starts: IdArray, reach: FloatMatrix, rows: Parts, blocks: Parts
    ) -> list[Section]:
        parts = {
            "list_numbers": lists,
            "list_starts": [starts.astype("<i8")],
            "list_reach": [reach.astype("<f4")],
            "list_rows": rows,
            "blocks": blocks,
        }
        return [self.section(name, n, each) for name, each in parts.items()]


class ListedRows(Arranged):
    """A run of rows; a scan tells ``numbers`` (n,) of the rows where these are given, and else rows.

    Attributes
    ----------
    run : Run
        The rows, list by list.
    lists : ndarray of shape (n, number_bytes), uint8
        The list of each row.
    reach : ndarray of shape (nlist, 2), float32
        As ``Lists.reach``.
    ids : ndarray of shape (n,) or (0,), int64
        What a scan tells of each row; where there are none, the row.
    """

    def __init__(
        self, model: ListModel, one: Run, lists: ByteMatrix, reach: FloatMatrix, numbers: IdArray | None = None
    ) -> None:
        self.n, self.run, self.lists, self.reach, self._model = len(one.rows), one, lists, reach, model
        self.tells_numbers = numbers is not None
        self.ids: IdArray = probing.NO_IDS if numbers is None else numbers

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """The bytes (size, width) of rows (size,), the number of the list first."""
        return np.concatenate([self.lists[rows], self.run.codes(self.places(rows))], axis=1)

    def vectors(self, rows: IdArray) -> FloatMatrix:
        """The reconstructions (size, d) of rows (size,)."""
        return self._model.decode(self.data(rows))

    def places(self, rows: IdArray) -> IdArray:
        """Where rows (size,) lie, found in their lists; -1 stays.

        Raises
        ------
        ChecksumError
            If one of them is not there.
        """
        known = rows >= 0
        wanted = rows[known]
        lists, starts = list_numbers(np.ascontiguousarray(self.lists[wanted])), self.run.starts
        if lists.max(initial=0) >= len(starts) - 1:
            raise ChecksumError(f"expected rows in {len(starts) - 1} lists, got list {lists.max()}: {_CHANGED}")
        low, high = starts[lists], starts[lists + 1]
        while (open_ := low < high).any():
            middle = (low + high) // 2
            less = open_ & (self.run.rows[np.minimum(middle, self.n - 1)] < wanted)
            low, high = np.where(less, middle + 1, low), np.where(open_ & ~less, middle, high)
        if (self.run.rows[np.minimum(low, self.n - 1)] != wanted).any():
            raise ChecksumError(f"expected every row in its list, got others: {_CHANGED}")
        places = np.full(len(rows), -1)
        places[known] = low
        return places

    def rows_at(self, places: IdArray) -> IdArray:
        """The rows that lie at places (size,)."""
        return self.checked(self.run.rows[places].astype(np.int64))

    def by_place(self, mask: Mask) -> Mask:
        """A mask over rows (n,) in the order in which they lie."""
        turned: Mask = mask[self.checked(self.run.rows)]
        return turned

    def by_row(self, mask: Mask) -> Mask:
        """A mask (n,) in the order in which rows lie, over rows."""
        turned = np.empty_like(mask)
        turned[self.checked(self.run.rows)] = mask
        return turned

    def check(self) -> None:
        """Raise HeaderError unless every row lies in its list, and rows ascend there: then none is there twice."""
        starts = self.run.starts
        for first, last in _cuts(starts):
            rows = self.run.rows[starts[first] : starts[last]].astype(np.int64)
            lists = np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))
            ascend = (np.diff(rows) > 0) | (np.diff(lists) > 0)
            if rows.max(initial=0) >= self.n or not ascend.all() or (list_numbers(self.lists[rows]) != lists).any():
                raise HeaderError("expected rows list by list, and by number within a list, got another order")

    def checked(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows of any shape such as (nq, k) as they are, if there are such; raises ChecksumError if not."""
        if rows.max(initial=0) >= self.n:
            raise ChecksumError(f"expected rows below {self.n} in lists, got {rows.max()}: {_CHANGED}")
        return rows


class _GrowingLists(Growing):
    def __init__(self, model: ListModel) -> None:
        self._model, self._held = model, Lists(model.form, model.coarse.nlist)

    def append(self, data: npt.NDArray[Any]) -> None:
        append_rows(self._held, self._model, data, None)

    def view(self, numbers: IdArray) -> Arranged:
        one = self._held.whole()
        lists = list_bytes(self._held.lists, self._held.nlist)
        return ListedRows(self._model, one, lists, self._held.reach.copy(), numbers)

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        return self._held.codes_at(rows)


class _Coming:
    """Rows of several runs that become one, list by list, a few lists at a time; the dead become ``NOWHERE``."""

    def __init__(self, inputs: Sequence[ListedRows], targets: list[npt.NDArray[np.uint32]]) -> None:
        self._inputs, self._targets = inputs, targets

    def __iter__(self) -> Iterator[tuple[IdArray, npt.NDArray[np.uint32], list[IdArray], npt.NDArray[np.intp]]]:
        """Yield lists and rows (n,), the places (some,) of these in each run, and in which order (n,) they follow."""
        for first, last in _cuts(np.sum([each.run.starts for each in self._inputs], axis=0)):
            lists, rows, places = [], [], []
            for each, targets in zip(self._inputs, self._targets, strict=True):
                start, stop = each.run.starts[first], each.run.starts[last]
                becomes = targets[each.run.rows[start:stop]]
                alive = np.flatnonzero(becomes != NOWHERE)
                sizes = np.diff(each.run.starts[first : last + 1])
                lists.append(np.repeat(np.arange(first, last), sizes)[alive])
                rows.append(becomes[alive])
                places.append(start + alive)
            whose, which = np.concatenate(lists), np.concatenate(rows)
            yield whose, which, places, np.lexsort((which, whose))

    def starts(self) -> IdArray:
        """Where each list starts, (nlist + 1,)."""
        counts = np.zeros(len(self._inputs[0].run.starts), np.int64)
        for lists, _, _, _ in self:
            counts[1:] += np.bincount(lists, minlength=len(counts) - 1)
        return np.cumsum(counts)

    def rows(self) -> Iterator[npt.NDArray[Any]]:
        """Which row lies at each place, in pieces."""
        return (rows[order] for _, rows, _, order in self)

    def codes(self) -> Iterator[npt.NDArray[Any]]:
        """The codes at each place, in pieces."""
        for _, _, places, order in self:
            parts = [each.run.codes(some) for each, some in zip(self._inputs, places, strict=True)]
            yield np.concatenate(parts)[order]


def _cuts(starts: IdArray) -> Iterator[tuple[int, int]]:
    """Lists from and to, of those that start at ``starts`` (nlist + 1,): of ``_STEP`` rows together, or single ones."""
    first, nlist = 0, len(starts) - 1
    while first < nlist:
        last = int(np.searchsorted(starts, starts[first] + _STEP, side="right")) - 1
        last = min(max(last, first + 1), nlist)
        yield first, last
        first = last


class _AskedLists(Asked[ListedRows]):
    """Queries in tasks, each with its lists and tables."""

    def __init__(self, model: ListModel, xq: FloatMatrix, nprobe: int, threads: int) -> None:
        self._model, self._xq, self._nprobe, self._threads = model, xq, nprobe, threads

    def best(
        self, rows: ListedRows, numbers: Numbers, k: int, allowed: Filter, threads: int, worst: npt.NDArray[np.float32]
    ) -> tuple[FloatMatrix, IdArray]:
        # As if there were k rows already, behind any that can matter: lists and rows that cannot are passed over.
        keys = np.repeat(np.nextafter(worst, np.float32(-np.inf))[:, None], k, axis=1)
        found = np.full(keys.shape, kernels.topk.NOBODY)

        def rank(part: slice, asked: asking.Asked) -> None:
            what = rows.run, self._model, asked, rows.reach, allowed, rows.run.rows, rows.ids
            probing.scan_run(*what, keys[part], found[part], fresh=False, ranked=True)

        run([partial(rank, *task) for task in self._tasks], threads)
        keys[found < 0] = -np.inf
        return keys, found if rows.tells_numbers else numbered(numbers, rows.checked(found))

    def above(self, rows: ListedRows, numbers: Numbers, radius: float, allowed: Filter, threads: int) -> list[Scored]:
        def find(asked: asking.Asked) -> Scored:
            how = rows.reach, allowed, rows.run.rows, radius
            keys, found = probing.range_of_run(rows.run, self._model, asked, *how)
            return keys, rows.ids[found] if rows.tells_numbers else numbered(numbers, rows.checked(found))

        return run([partial(find, each) for each in self._singles], threads)

    @cached_property
    def _tasks(self) -> list[tuple[slice, asking.Asked]]:
        """Some queries at a time."""
        cuts = cut_queries(len(self._xq), self._threads)
        return list(zip(cuts, self._ready(cuts), strict=True))

    @cached_property
    def _singles(self) -> list[asking.Asked]:
        """Each query by itself."""
        return self._ready([slice(q, q + 1) for q in range(len(self._xq))])

    def _ready(self, cuts: list[slice]) -> list[asking.Asked]:
        model, nprobe = self._model, self._nprobe
        return run([partial(probing.ready, model, self._xq[part], nprobe) for part in cuts], self._threads)
