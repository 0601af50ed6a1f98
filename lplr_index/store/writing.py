"""The writer: rows come and go one call at a time, and small segments become large ones behind its back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_array, as_ids, as_rows, as_vectors, some_rows, warn_of_zeros
from lplr_index.errors import FormatError, InputError, LPLRError, WriteError
from lplr_index.ids import IdMap
from lplr_index.store import merging
from lplr_index.store.contents import Contents, Held, View, open_segment, without
from lplr_index.store.folder import index_of, write_model
from lplr_index.store.following import Follower
from lplr_index.store.journal import Change, Journal
from lplr_index.store.keys import Names, as_names, check_distinct
from lplr_index.store.ledger import Ledger
from lplr_index.store.listed import arrangement_of
from lplr_index.store.living import died
from lplr_index.store.manifest import Manifest
from lplr_index.store.part import Part
from lplr_index.store.segments import Contained
from lplr_index.store.snapshots import take
from lplr_index.training import TRAIN_ROWS

LIST_ROWS = 16  # that training wants for each list, of a store that trains itself
_JOURNAL_BYTES = 1 << 26  # of a journal, before it becomes segments


class Writer:
    """A store that this process writes.

    Parameters
    ----------
    folder : Path
        The store.
    fresh : Manifest or None
        What a new one starts with; None where there must be one already.
    train_rows : int or None
        Rows at which it is trained by itself, if that is at least ``LIST_ROWS`` for each list, or all that count.
    background : bool
        Whether segments are merged by a thread, or in the call that makes a merge due.

    Attributes
    ----------
    settings : Settings
        Of the store's index, which never change.
    ids : str
        The kind of ids, ``"int"`` or ``"str"``.
    nlist : int
        Lists; 0 of a flat store.
    skipped : list of str
        Empty: a damaged store is not written.
    merge_error : LPLRError or None
        Why the last merge was given up: nothing is lost by that, and the next one is tried when it is due.
    """

    def __init__(self, folder: Path, fresh: Manifest | None, train_rows: int | None, *, background: bool) -> None:
        self.folder = folder
        self.skipped: list[str] = []
        self.merge_error: LPLRError | None = None
        self._ledger = Ledger(folder, fresh)
        manifest = self._ledger.contents.manifest
        self.settings, self.ids = manifest.settings, manifest.ids
        self.nlist = manifest.nlist
        wanted = min(LIST_ROWS * self.nlist, TRAIN_ROWS)
        self._train_rows = None if train_rows is None else max(train_rows, wanted)
        self._background = background
        self._merging, self._closed, self._gave_up_at = threading.Lock(), False, -1
        self._thread: threading.Thread | None = None

    def view(self) -> View:
        """All rows as they are now."""
        return self._ledger.view()

    def now(self) -> Contents:
        """What is there now."""
        return self._ledger.contents

    def snapshot(self, target: Path) -> None:
        """Write a copy of the store as it is now; raises WriteError if that cannot be done."""
        with self._ledger.writing:
            take(self.folder, self._ledger.contents, self._ledger.journal.end, target)

    # Rows that come and go

    def put(self, x: Any, ids: Any, *, replacing: bool, threads: int | None) -> IdArray | list[str]:
        """Add rows x (n, d) under ids (n,), in the place of those that have them if ``replacing``; returns the ids."""
        with self._ledger.writing:
            contents, rows = self._ledger.contents, as_array(x)
            names, numbers, killed = self._told(ids, len(rows) if rows.ndim else 0, replacing=replacing)
            if contents.model is None and self._train_rows is not None:
                self._train_if_due(rows)
            journal, end = self._write(Change(killed, numbers, names, self._packed(rows, threads)))
        journal.sync(end)
        self._merge_if_due()
        return numbers if names is None else names

    def delete(self, ids: Any) -> int:
        """Remove rows by id (n,), of which some may not be held; returns how many were."""
        with self._ledger.writing:
            contents = self._ledger.contents
            if contents.strings:
                numbers = contents.numbers_of(as_names(ids))
            else:
                numbers = as_ids(ids)
                numbers = numbers[contents.holds(numbers)]
            numbers = np.unique(numbers[numbers >= 0])
            nothing = np.empty((0, contents.shape.width), contents.shape.dtype)
            journal, end = self._write(Change(numbers, numbers[:0], [] if contents.strings else None, nothing))
        journal.sync(end)
        self._merge_if_due()
        return len(numbers)

    # Training

    def train(self, x: Any, queries: Any) -> None:
        """Learn the code from x (n, d), or from the rows there are where None, and pack the rows."""
        with self._ledger.writing:
            if self._ledger.contents.model is not None:
                raise InputError("expected a store without training, got one that has it: another needs another store")
            self._train(x, queries)
        self._merge_if_due()

    def _train_if_due(self, x: npt.NDArray[Any]) -> None:
        """Train on what there is and what comes, if that is enough by now."""
        contents, d = self._ledger.contents, self.settings.d
        if self._train_rows is None or contents.alive + len(x) < self._train_rows:
            return
        held = self._raw_rows()[1]
        self._train(np.concatenate([held, as_vectors(some_rows(x, TRAIN_ROWS, self.settings.seed), d)]), None)

    def _train(self, x: Any, queries: Any) -> None:
        numbers, vectors, names = self._raw_rows()
        index = index_of(self.settings, self.nlist, None)
        index.train(vectors if x is None else x, queries)
        file = write_model(self.folder, index)
        made: list[str] = []
        held = []
        try:
            if len(numbers):
                arrangement, span = arrangement_of(self.settings, index.model), (int(numbers[0]), int(numbers[-1]))
                rows = arrangement.sections(index.sa_encode(vectors))
                what = Contained(len(numbers), *span, [numbers], rows, names)
                held = [self._ledger.write(what, arrangement, made)]
            self._ledger.adopt(held, index.model, file)
        except BaseException:
            self._ledger.discard([*made, file.name])
            raise

    def _raw_rows(self) -> tuple[IdArray, FloatMatrix, Names | None]:
        """Numbers (n,), vectors (n, d) and names of all rows, none of which is packed."""
        self._ledger.flush()
        inputs = self._checked(self._ledger.contents.held)
        if not inputs:
            nothing = Names.of_list([]) if self._ledger.contents.strings else None
            return np.empty(0, np.int64), np.empty((0, self.settings.d), np.float32), nothing
        return merging.gathered(inputs)

    # Merging

    def compact(self) -> None:
        """Make one segment of all, without the dead."""
        with self._merging:
            with self._ledger.writing:
                self._ledger.flush()
                held = list(self._ledger.contents.held)
            if len(held) > 1 or any(each.alive < each.segment.n for each in held):
                self._merge(held)

    def _merge_if_due(self) -> None:
        if not self._due():
            return
        if not self._background:
            self._merge_all_due()
        elif self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._merge_all_due, name="lplr_index store", daemon=True)
            self._thread.start()

    def _merge_all_due(self) -> None:
        """Merge until nothing is due; what goes wrong is kept for those who ask, and tried again after a flush."""
        try:
            while not self._closed:
                with self._merging:
                    held = self._due()
                    if not held:
                        return
                    self._merge(held)
                    self.merge_error = None
        except (FormatError, WriteError) as err:
            self.merge_error = err
            self._gave_up_at = self._ledger.contents.manifest.generation

    def _due(self) -> list[Held]:
        contents = self._ledger.contents
        held = list(contents.held)
        if contents.manifest.generation == self._gave_up_at:
            return []
        return [held[i] for i in merging.due([each.alive for each in held], [each.segment.n for each in held])]

    def _merge(self, held: list[Held]) -> None:
        """Write segments anew as one, while rows come and go, and put it in their place."""
        contents = self._ledger.contents
        arrangement = contents.arrangement
        what = merging.merged(self._checked(held), arrangement)
        made: list[str] = []
        try:
            come = [self._ledger.write(what, arrangement, made)] if what else []
            with self._ledger.writing:
                now = {each.entry.file: each for each in contents.held}
                if any(each.entry.file not in now for each in held):  # training has packed them meanwhile
                    self._ledger.discard(made)
                    return
                for each in held:
                    places = died(each.live, now[each.entry.file].live, each.segment.n)
                    come, _ = without(come, each.segment.numbers.of(each.segment.rows.rows_at(places)))
                self._ledger.replace(held, come)
        except BaseException:
            self._ledger.discard(made)
            raise

    def _checked(self, held: list[Held]) -> list[Part]:
        """Segments, every byte of which was compared with its checksum: damage is not to be copied under a new one."""
        contents = self._ledger.contents
        manifest, arrangement = contents.manifest, contents.arrangement
        opened = [open_segment(self.folder, manifest, arrangement, each.entry, whole=True) for each in held]
        return [replace(each, segment=segment).part for each, segment in zip(held, opened, strict=True)]

    # The end

    def close(self) -> None:
        """Wait for a merge that is going on, and let others write."""
        self._closed = True
        if self._thread is not None:
            self._thread.join()
        with self._ledger.writing:
            self._ledger.close()

    def forked(self) -> Follower:
        """In a forked child: the parent goes on writing, and the child follows."""
        self._ledger.abandon()
        return Follower(self.folder, known=self._ledger.contents.manifest)

    # What a call needs

    def _told(self, ids: Any, n: int, *, replacing: bool) -> tuple[list[str] | None, IdArray, IdArray]:
        """Names (or None) and numbers (n,) of rows to add, and the numbers of those that they replace."""
        contents = self._ledger.contents
        counter = IdMap(0, None, contents.next_id)
        if contents.strings:
            if ids is None:
                raise InputError("expected ids, as the store was made for strings, got none")
            names = as_names(ids, n)
            check_distinct(names)
            held = contents.numbers_of(names)
            if (held >= 0).any() and not replacing:
                again = names[int(np.argmax(held >= 0))]
                raise InputError(f"expected new ids, got {again!r}, which the store already holds")
            return names, counter.fresh(n), held[held >= 0]
        if ids is None:
            return None, counter.fresh(n), np.empty(0, np.int64)
        numbers = as_ids(ids, n)
        IdMap().check_new(numbers)
        known = numbers[contents.holds(numbers)] if n and numbers.min() < contents.next_id else numbers[:0]
        if len(known) and not replacing:
            raise InputError(f"expected new ids, got {int(known[0])}, which the store already holds")
        return None, numbers, known

    def _packed(self, x: npt.NDArray[Any], threads: int | None) -> npt.NDArray[Any]:
        """Codes (n, width) of rows (n, d), or the rows themselves before training."""
        settings = self.settings
        if (model := self._ledger.contents.model) is not None:
            return index_of(settings, self.nlist, model).sa_encode(x, threads=threads)
        rows = as_vectors(x, settings.d)
        warn_of_zeros(as_rows(rows, settings.d, cosine=settings.metric == "cosine")[1], len(rows))
        return rows

    def _write(self, change: Change) -> tuple[Journal, int]:
        """Write a change to the journal or, of many rows, to a segment; return what to wait for, and up to where."""
        ledger, n = self._ledger, len(change.numbers)
        if not n and not len(change.killed):
            return ledger.journal, 0
        if n >= merging.FLUSH_ROWS or max(change.data.nbytes, change.killed.nbytes) > _JOURNAL_BYTES:
            ledger.write_through(change)
            return ledger.journal, 0
        long = max(ledger.contents.recent.n + n, ledger.records) > merging.FLUSH_ROWS
        if long or ledger.journal.end > _JOURNAL_BYTES:
            ledger.flush()
        return ledger.append(change)
