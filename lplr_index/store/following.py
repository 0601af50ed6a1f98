"""A reader: it looks at the manifest and at the end of the journal before each search, and locks nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from lplr_index.container import fitting_together
from lplr_index.errors import FormatError, MissingFileError
from lplr_index.store.contents import Contents, View, load
from lplr_index.store.folder import naming, parsed, read_manifest
from lplr_index.store.journal import parse_changes, read_from
from lplr_index.store.manifest import Manifest
from lplr_index.store.snapshots import take

_TRIES = 100  # manifests that may be replaced while one of them is being opened


class Follower:
    """A store that another process, or none, writes.

    Parameters
    ----------
    folder : Path
        The store.
    skip_damaged : bool
        Whether segments that are missing or damaged are left out.
    known : Manifest or None
        One of this store, where it need not be opened before it is asked something.

    Attributes
    ----------
    settings : Settings
        Of the store's index, which never change.
    ids : str
        The kind of ids, ``"int"`` or ``"str"``.
    nlist : int
        Lists; 0 of a flat store.
    skipped : list of str
        What is wrong with each segment that was left out.
    merge_error : None
        A reader merges nothing.

    Raises
    ------
    FormatError
        One of its subclasses, naming the file that is missing or damaged.
    FileNotFoundError
        If there is no folder.
    """

    def __init__(self, folder: Path, *, skip_damaged: bool = False, known: Manifest | None = None) -> None:
        self.folder, self._skip_damaged = folder, skip_damaged
        self.merge_error = None
        self._lock = threading.Lock()
        self._seen = b""
        self.end = 0
        self._contents: Contents | None = None
        self.skipped: list[str] = []
        manifest = known or self._follow().manifest
        self.settings, self.ids, self.nlist = manifest.settings, manifest.ids, manifest.nlist

    def view(self) -> View:
        """All rows as they are now; raises as the class does."""
        with self._lock:
            return self._follow().view()

    def now(self) -> Contents:
        """What is there now."""
        with self._lock:
            return self._follow()

    def snapshot(self, target: Path) -> None:
        """Write a copy of the store as it is now; raises WriteError if that cannot be done."""
        left = _TRIES
        while True:
            left -= 1
            with self._lock:
                contents = self._follow()
                try:
                    take(self.folder, contents, self.end, target)
                except MissingFileError:
                    if left and read_manifest(self.folder) != self._seen:
                        continue  # a merge has removed what was to be linked
                    raise
                return

    def _follow(self) -> Contents:
        """Look whether anything has changed, open what is new, and return what is there."""
        left = _TRIES
        while True:
            left -= 1
            data = read_manifest(self.folder)
            try:
                contents = self._contents
                if contents is None or data != self._seen:
                    manifest = parsed(self.folder, data)
                    contents, self.skipped = load(self.folder, manifest, contents, skip_damaged=self._skip_damaged)
                    self._contents, self.end, self._seen = contents, 0, data
                self.end = read_journal(self.folder, contents, self.end)
            except FormatError:
                self._seen = b""  # what the journal says may have been done in part
                if not left or read_manifest(self.folder) == data:
                    raise
                continue  # a merge has removed what the manifest named, and there is another manifest by now
            if not self.skipped or read_manifest(self.folder) == data or not left:
                return contents
            self._seen = b""

    def close(self) -> None:
        """Let go: nothing is held that others would wait for."""

    def forked(self) -> Follower:
        """What follows the store in a forked child, where a lock of this one may be held for ever."""
        known = self._contents.manifest if self._contents else None
        return Follower(self.folder, skip_damaged=self._skip_damaged, known=known)


def read_journal(folder: Path, contents: Contents, start: int) -> int:
    """Do what the journal says from a place on, and return where its last whole record ends.

    Raises
    ------
    FormatError
        One of its subclasses, naming the file, if it is missing or damaged.
    """
    name = contents.manifest.journal
    with naming(folder, name):
        data = read_from(folder / name, start)
        if start and not data:
            return start
        changes, length = parse_changes(data, contents.shape, head=start == 0)
        with fitting_together():
            contents.replay(changes)
    return start + length
