"""What counts, and the one order in which that changes.

New files reach the disk, then the manifest that names them, and then files that it no longer names are removed. Whoever
dies in between leaves a whole manifest, old or new, and files that the next writer sweeps.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.errors import InputError
from lplr_index.model import Model
from lplr_index.scanning import no_filter
from lplr_index.store.arrangement import Arrangement
from lplr_index.store.contents import Held, View, load, open_segment, without
from lplr_index.store.folder import LOCK, file_name, is_store, parsed, publish, read_manifest, remove, strangers, sweep
from lplr_index.store.following import read_journal
from lplr_index.store.journal import HEAD, Change, Journal, new_journal, pack_change
from lplr_index.store.keys import Names
from lplr_index.store.lock import WriterLock
from lplr_index.store.manifest import Entry, Manifest
from lplr_index.store.segments import Contained, Stamp, write_live, write_segment


class Ledger:
    """A store that this process writes, opened or made.

    Whoever changes anything holds ``writing``.

    Parameters
    ----------
    folder : Path
        The store.
    fresh : Manifest or None
        What a new one starts with; None where there must be one already.

    Raises
    ------
    LockedError
        If there is a writer already.
    InputError
        If a new store is to be made in a folder that holds something else.
    WriteError
        If the folder cannot be written.
    FormatError
        One of its subclasses, naming the file that is missing or damaged.
    """

    def __init__(self, folder: Path, fresh: Manifest | None) -> None:
        self.folder = folder
        self.writing, self._state = threading.Lock(), threading.Lock()
        self._lock = WriterLock(folder / LOCK)
        try:
            if not is_store(folder) and fresh is not None:
                self._make(fresh)
            manifest = parsed(folder, read_manifest(folder))
            self.contents, _ = load(folder, manifest, None)
            end = read_journal(folder, self.contents, 0)
            sweep(folder, manifest)
            self.journal = Journal(folder / manifest.journal, end)
        except BaseException:
            self._lock.release()
            raise
        self._serial, self.records = manifest.serial, 0

    def view(self) -> View:
        """All rows as they are now."""
        with self._state:
            return self.contents.view()

    def append(self, change: Change) -> tuple[Journal, int]:
        """Write a change to the journal, and let searches see it; it is durable once the journal is synced to there.

        Raises
        ------
        WriteError
            If the disk refuses it; nothing has changed then.
        """
        end = self.journal.append(pack_change(change, self.contents.shape))
        self.records += 1
        with self._state:
            self.contents.apply(change)
        return self.journal, end

    def flush(self) -> None:
        """Make segments of what the journal alone holds, and begin another journal.

        Raises
        ------
        WriteError
            If the disk refuses that; nothing has changed then.
        """
        if self.journal.end == len(HEAD):
            return
        contents = self.contents
        with self._new_files() as made:
            held = [self._counted(each, made) for each in contents.held if each.alive]
            numbers, data, names = contents.recent.settled()
            if len(numbers):
                held.append(self._whole(numbers, data, names, made))
            journal = self._named("journal", made)
            new_journal(self.folder / journal)
            opened = Journal(self.folder / journal, len(HEAD))
            self._publish(held, contents.model, contents.manifest.model, opened)

    def write_through(self, change: Change) -> None:
        """Kill or add many rows at once, which become a segment without a stay in the journal.

        Raises
        ------
        WriteError
            If the disk refuses that; nothing has changed then.
        """
        self.flush()
        contents, before = self.contents, self.contents.next_id
        order = np.argsort(change.numbers, kind="stable")
        numbers, data = change.numbers[order], change.data[order]
        names = None if change.names is None else Names.of_list([change.names[i] for i in order.tolist()])
        try:
            with self._new_files() as made:
                held = [self._counted(each, made) for each in without(contents.held, change.killed)[0] if each.alive]
                if len(numbers):
                    held.append(self._whole(numbers, data, names, made))
                    contents.next_id = max(before, int(numbers[-1]) + 1)
                self._publish(held, contents.model, contents.manifest.model, None)
        except BaseException:
            contents.next_id = before
            raise

    def replace(self, gone: list[Held], come: list[Held]) -> None:
        """Put segments in the place of others that hold the same rows, of which they may know more deaths.

        Raises
        ------
        WriteError
            If the disk refuses that; nothing has changed then.
        """
        out = {each.entry.file for each in gone}
        with self._new_files() as made:
            held = [each for each in self.contents.held if each.entry.file not in out]
            held += [self._counted(each, made) for each in come if each.alive]
            self._publish(held, self.contents.model, self.contents.manifest.model, None)

    def adopt(self, held: list[Held], model: Model, file: Stamp) -> None:
        """Put segments of codes in the place of all that is there, none of it in the journal alone."""
        self._publish(held, model, file, None)

    def write(self, what: Contained, arrangement: Arrangement[Any], made: list[str]) -> Held:
        """Write a segment, which does not count yet; its name is added to ``made``."""
        stamp = write_segment(self.folder, self._named("segment", made), arrangement, what)
        entry = Entry(stamp, what.n)
        segment = open_segment(self.folder, self.contents.manifest, arrangement, entry)
        return Held(entry, segment, no_filter())

    def _whole(self, numbers: IdArray, data: npt.NDArray[Any], names: Names | None, made: list[str]) -> Held:
        """Write a segment of rows in memory, by ascending numbers."""
        arrangement, span = self.contents.arrangement, (int(numbers[0]), int(numbers[-1]))
        what = Contained(len(numbers), *span, [numbers], arrangement.sections(data), names)
        return self.write(what, arrangement, made)

    @contextlib.contextmanager
    def _new_files(self) -> Iterator[list[str]]:
        """Yield a list for names of new files, which are removed if the block raises."""
        made: list[str] = []
        try:
            yield made
        except BaseException:
            self.discard(made)
            raise

    def discard(self, made: list[str]) -> None:
        """Remove files that will not count."""
        for name in made:
            remove(self.folder, name)

    def close(self) -> None:
        """Let others write; what was acknowledged is on the disk."""
        self.journal.retire()
        self._lock.release()

    def abandon(self) -> None:
        """In a forked child: close its copies of what is the parent's."""
        self.journal.abandon()
        self._lock.release()

    def _make(self, fresh: Manifest) -> None:
        if other := strangers(self.folder):
            raise InputError(f"expected a new or an empty folder for a store, got {self.folder}, which holds {other}")
        sweep(self.folder, None)
        new_journal(self.folder / fresh.journal)
        publish(self.folder, fresh)

    def _named(self, kind: str, made: list[str]) -> str:
        with self._state:
            self._serial += 1
            made.append(file_name(kind, self._serial))
            return made[-1]

    def _counted(self, held: Held, made: list[str]) -> Held:
        """A segment whose entry knows which rows live."""
        dead = held.segment.n - held.alive
        if dead == held.entry.dead:
            return held
        stamp = write_live(self.folder, self._named("live", made), held.live)
        return replace(held, entry=replace(held.entry, live=stamp, dead=dead))

    def _publish(self, held: list[Held], model: Model | None, file: Stamp | None, journal: Journal | None) -> None:
        before = self.contents.manifest
        manifest = replace(
            before,
            generation=before.generation + 1,
            digest=model.digest if model else None,
            model=file,
            journal=journal.path.name if journal else before.journal,
            segments=tuple(each.entry for each in held),
            next_id=self.contents.next_id,
            serial=self._serial,
        )
        publish(self.folder, manifest)
        fresh = journal is not None or model is not self.contents.model
        with self._state:
            self.contents.settle(manifest, model, held, fresh=fresh)
        if journal is not None:
            self.journal.retire()
            self.journal, self.records = journal, 0
        for name in before.names - manifest.names:
            remove(self.folder, name)
