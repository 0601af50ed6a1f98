"""A store's rows in one process: segments, which of their rows live, and what is in the journal alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.errors import FormatError, HeaderError
from lplr_index.model import Model
from lplr_index.scanning import Filter, no_filter
from lplr_index.store.arrangement import Arrangement
from lplr_index.store.folder import naming, read_model_of
from lplr_index.store.journal import Change, Shape
from lplr_index.store.listed import arrangement_of
from lplr_index.store.living import count, killed
from lplr_index.store.manifest import Entry, Manifest
from lplr_index.store.part import Part
from lplr_index.store.recent import Recent
from lplr_index.store.segments import Segment, map_file, read_live, read_segment


@dataclass(frozen=True)
class Held:
    """A segment, its entry in the manifest, and which of its rows live by now; empty bits where all do."""

    entry: Entry
    segment: Segment
    live: Filter

    @property
    def alive(self) -> int:
        """Rows that live."""
        return count(self.live, self.segment.n)

    @property
    def part(self) -> Part:
        """The rows as a search sees them."""
        return Part(self.segment.numbers, self.segment.names, self.live, self.segment.rows)


@dataclass(frozen=True)
class View:
    """All rows at one moment; what happens later does not change it.

    Attributes
    ----------
    arrangement : Arrangement
        Of the store.
    parts : tuple of Part
        The rows.
    """

    arrangement: Arrangement[Any]
    parts: tuple[Part, ...]


class Contents:
    """What a manifest and its journal say, in memory: small, because segments stay in their files.

    Parameters
    ----------
    manifest : Manifest
        What counts.
    model : Model or None
        What segments share.
    held : list of Held
        The segments.
    """

    def __init__(self, manifest: Manifest, model: Model | None, held: list[Held]) -> None:
        self.manifest, self.model, self.held = manifest, model, held
        self.arrangement = arrangement_of(manifest.settings, model)
        self.next_id = manifest.next_id
        self.recent = self.none_recent()
        self._settled = sum(each.alive for each in held)
        self._view: View | None = None

    def none_recent(self) -> Recent:
        """No rows yet."""
        return Recent(self.arrangement, strings=self.strings)

    @property
    def strings(self) -> bool:
        """Whether ids are strings."""
        return self.manifest.ids == "str"

    @property
    def shape(self) -> Shape:
        """What records of the journal hold of a row."""
        return Shape(self.arrangement.dtype, self.arrangement.width, self.strings)

    @property
    def alive(self) -> int:
        """Rows that live."""
        return self._settled + self.recent.n - self.recent.dead

    def view(self) -> View:
        """The rows as they are now."""
        if self._view is None:
            parts = [each.part for each in self.held] + ([self.recent.part()] if self.recent.n else [])
            self._view = View(self.arrangement, tuple(parts))
        return self._view

    def apply(self, change: Change) -> None:
        """Do what a record of the journal says. That some rows are dead already is no error: a merge may be ahead."""
        if len(change.killed):
            self.kill(change.killed)
        if len(change.numbers):
            self.recent.append(change)
            self.next_id = max(self.next_id, int(change.numbers.max()) + 1)
        self._view = None

    def replay(self, changes: list[Change]) -> None:
        """Do what the journal says, record after record, as far as it can be.

        Raises
        ------
        HeaderError
            If a record adds a row that is there.
        """
        for change in changes:
            if len(change.killed):
                self.kill(change.killed)
            if len(change.numbers) and change.numbers.min() < self.next_id and self.holds(change.numbers).any():
                raise HeaderError("expected new rows in the journal, got one that is there")
            self.apply(replace(change, killed=change.killed[:0]))

    def kill(self, numbers: IdArray) -> None:
        """Let go of the rows with these numbers (size,), wherever they are."""
        self.recent.kill(numbers)
        self.held, gone = without(self.held, numbers)
        self._settled -= gone
        self._view = None

    def holds(self, numbers: IdArray) -> npt.NDArray[np.bool_]:
        """Which of these numbers (size,) rows have that live."""
        held = self.recent.holds(numbers)
        for each in self.held:
            held |= each.part.find(numbers) >= 0
        return held

    def numbers_of(self, names: list[str]) -> IdArray:
        """The number (size,) of the row that lives under each of these names (size,), -1 where there is none."""
        numbers = self.recent.numbers_of(names)
        for each in self.held:
            rows = each.part.find_names(names)
            known = rows >= 0
            numbers[known] = each.segment.numbers.of(rows[known])
        return numbers

    def settle(self, manifest: Manifest, model: Model | None, held: list[Held], *, fresh: bool) -> None:
        """Take what was published: other segments with the same rows; ``fresh`` where the journal holds none."""
        if model is not self.model:
            self.arrangement = arrangement_of(manifest.settings, model)
        self.manifest, self.model, self.held = manifest, model, held
        self.recent = self.none_recent() if fresh else self.recent
        self._settled = sum(each.alive for each in held)
        self._view = None


def without(held: list[Held], numbers: IdArray) -> tuple[list[Held], int]:
    """The segments without the rows of these numbers (size,), and how many of them lived."""
    left, gone = [], 0
    for each in held:
        rows = each.part.find(numbers)
        rows = np.unique(rows[rows >= 0])
        gone += len(rows)
        places = each.segment.rows.places(rows)
        left.append(replace(each, live=killed(each.live, each.segment.n, places)) if len(rows) else each)
    return left, gone


def load(
    folder: Path, manifest: Manifest, known: Contents | None, *, skip_damaged: bool = False
) -> tuple[Contents, list[str]]:
    """Open what a manifest names, but for the journal.

    Parameters
    ----------
    folder : Path
        The store.
    manifest : Manifest
        What counts.
    known : Contents or None
        What was open until now, and is not opened again.
    skip_damaged : bool
        Whether segments that are missing or damaged are left out.

    Returns
    -------
    contents : Contents
        What was opened.
    skipped : list of str
        What is wrong with each segment that was left out.

    Raises
    ------
    FormatError
        One of its subclasses, naming the file that is missing or damaged.
    """
    before = {each.entry.file: each.segment for each in known.held} if known else {}
    same = known is not None and known.manifest.digest == manifest.digest
    model = known.model if known and same else read_model_of(folder, manifest)
    arrangement = arrangement_of(manifest.settings, model)
    held, skipped = [], []
    for entry in manifest.segments:
        try:
            segment = before.get(entry.file) or open_segment(folder, manifest, arrangement, entry)
            held.append(Held(entry, segment, open_live(folder, entry)))
        except FormatError as err:
            if not skip_damaged:
                raise
            skipped.append(str(err))
    return Contents(manifest, model, held), skipped


def open_segment(
    folder: Path, manifest: Manifest, arrangement: Arrangement[Any], entry: Entry, *, whole: bool = False
) -> Segment:
    """Open a segment of a store; ``whole`` reads every byte of it. Raises FormatError, naming the file."""
    with naming(folder, entry.file.name):
        data = map_file(folder, entry.file)
        segment = read_segment(data, arrangement, strings=manifest.ids == "str", whole=whole)
        if segment.n != entry.rows:
            raise HeaderError(f"expected {entry.rows} rows, as the manifest says, got {segment.n}")
    return segment


def open_live(folder: Path, entry: Entry) -> Filter:
    """Read which rows of a segment live, bits of shape (blocks,). Raises FormatError, naming the file."""
    if entry.live is None:
        return no_filter()
    with naming(folder, entry.live.name):
        live = read_live(map_file(folder, entry.live), entry.rows)
        if entry.rows - count(live, entry.rows) != entry.dead:
            raise HeaderError(f"expected bits of {entry.dead} dead rows, got others")
    return live
