"""``Store``: an index that grows on disk."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from lplr_index.arrays import IdArray
from lplr_index.coarse import number_bytes
from lplr_index.errors import FormatError, InputError, UnsupportedError
from lplr_index.ivf import NPROBE
from lplr_index.metric import parse_metric
from lplr_index.settings import Settings
from lplr_index.store.contents import Contents, View
from lplr_index.store.following import Follower
from lplr_index.store.listed import PLACE_BYTES
from lplr_index.store.reading import Searchable
from lplr_index.store.verifying import verify
from lplr_index.store.writing import Writer
from lplr_index.threads import as_threads


class Store(Searchable):
    """Nearest neighbours over rows in a folder, which come and go while it is searched; see ``open_store``.

    What was added or deleted is on the disk when the call returns, and the next search sees it. Searches rank as one
    ``IndexLPLR`` of the same training and rows would, bit for bit, or, of a store with lists, one ``IndexIVFLPLR``: how
    rows are cut into segments changes nothing.
    Methods may be called by many threads at once. A child of ``fork`` may search what its parent writes.

    Parameters
    ----------
    source : Follower or Writer
        What the rows come from.

    Notes
    -----
    Ids are integers or strings, as the store was made with, and never handed out a second time. Ties go to the lowest
    integer id; of strings, to the one that came first, a row that was replaced counting from then.
    """

    __slots__ = ("__weakref__", "_source")

    def __init__(self, source: Follower | Writer) -> None:
        self._source: Follower | Writer | None = source
        self._nprobe = NPROBE
        _live.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._source is None:
            return "Store(closed)"
        lists = f", nlist={self.nlist}" if self.nlist else ""
        return f"Store({str(self._source.folder)!r}, d={self.d}, ntotal={self.ntotal}, metric={self.metric!r}{lists})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._open.folder

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return self._settings.d

    @property
    def ntotal(self) -> int:
        """Rows held, the dead not counted."""
        return self._now.alive

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._settings.metric

    @property
    def ids(self) -> str:
        """The kind of ids: ``"int"`` or ``"str"``."""
        return self._open.ids

    @property
    def nlist(self) -> int:
        """Lists that rows are dealt out to; 0 of a store where a search looks at all rows."""
        return self._open.nlist

    @property
    def code_size(self) -> int:
        """Bytes of the code of a row."""
        return self._settings.code_size

    @property
    def is_trained(self) -> bool:
        """Whether rows are packed; before, they are kept as float32."""
        return self._now.model is not None

    # Rows that come and go

    def add(self, x: npt.ArrayLike, ids: Any = None, *, threads: int | None = None) -> IdArray | list[str]:
        """Add rows, all of them or none.

        Parameters
        ----------
        x : array_like of shape (n, d)
            The rows.
        ids : array_like of shape (n,) or list of str, optional
            Their ids. Integers count on from the largest so far where None.
        threads : int, optional
            Threads to use; all where None.

        Returns
        -------
        ids : ndarray of shape (n,), int64, or list of str
            Their ids.

        Raises
        ------
        InputError
            If an argument has another shape or range, or an id is given twice or already held.
        WriteError
            If the disk refuses the rows; the store is as it was then.
        """
        return self._writer.put(x, ids, replacing=False, threads=as_threads(threads))

    def upsert(self, x: npt.ArrayLike, ids: Any, *, threads: int | None = None) -> IdArray | list[str]:
        """Add rows x (n, d) under ids (n,), in the place of rows that have them; otherwise as ``add``."""
        if ids is None:
            raise InputError("expected ids to upsert, got none")
        return self._writer.put(x, ids, replacing=True, threads=as_threads(threads))

    def delete(self, ids: Any) -> int:
        """Delete rows by id (n,); returns how many there were. Ids that are not held are passed over.

        Raises
        ------
        InputError
            If ids are not of the store's kind.
        WriteError
            If the disk refuses that; the store is as it was then.
        """
        return self._writer.delete(ids)

    def train(self, x: npt.ArrayLike | None = None, queries: npt.ArrayLike | None = None) -> None:
        """Learn the code of rows, and pack those there are; once.

        Parameters
        ----------
        x : array_like of shape (n, d), optional
            The sample to learn from; the rows held where None.
        queries : array_like of shape (nq, d), optional
            As for ``IndexLPLR.train``, of a store without lists.

        Raises
        ------
        InputError
            If there is nothing to learn from, or the store is trained already.
        MissingDependencyError
            If lists are to be made and faiss is not installed.
        WriteError
            If the disk refuses the packed rows; the store is as it was then.
        """
        self._writer.train(x, queries)

    def compact(self) -> None:
        """Make one segment of all, without deleted rows; rows may come and go meanwhile.

        Raises
        ------
        FormatError
            One of its subclasses, if a segment is damaged: the message names it.
        WriteError
            If the disk refuses it; the store is as it was then.
        """
        self._writer.compact()

    # The whole of it

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Copy the store, as it is at this moment, to a folder that is not there yet.

        Segments are linked and not copied where the file system can do that, and take no room as long as both stores
        hold them.

        Raises
        ------
        WriteError
            If that cannot be written, or is there.
        """
        self._open.snapshot(Path(path))

    def verify(self) -> list[FormatError]:
        """Read every byte of the store and compare it; returns what is wrong, an error for each file, best none."""
        return verify(self.path)

    def info(self) -> dict[str, Any]:
        """What there is to know, ready for JSON: rows, files, bytes, and what went wrong in the background."""
        source, contents = self._open, self._now
        manifest, recent = contents.manifest, contents.recent
        files = [each.entry.file.nbytes for each in contents.held]
        lives = [each.entry.live.nbytes for each in contents.held if each.entry.live]
        dead = sum(each.segment.n - each.alive for each in contents.held) + recent.dead
        return {
            "path": str(source.folder),
            "rows": contents.alive,
            "deleted_rows": dead,
            "raw_rows": 0 if contents.model else contents.alive,
            "journal_rows": recent.n,
            "segments": len(files),
            "next_id": contents.next_id,
            "generation": manifest.generation,
            "ids": manifest.ids,
            "d": self.d,
            "metric": self.metric,
            "method": self._settings.method,
            "trained": contents.model is not None,
            "bits": self.bits,
            "code_bytes": self.code_size,
            "lists": self.nlist,
            "nprobe": min(self.nprobe, self.nlist) if self.nlist else 0,
            "list_bytes": number_bytes(self.nlist) + PLACE_BYTES if self.nlist else 0,
            "segment_bytes": sum(files) + sum(lives),
            "model_bytes": manifest.model.nbytes if manifest.model else 0,
            "seed": self._settings.seed,
            "training": manifest.digest,
            "skipped": list(source.skipped),
            "merge_error": str(source.merge_error) if source.merge_error else None,
        }

    def close(self) -> None:
        """Let go of the store, which may be written by others then; a closed store answers nothing any more."""
        if self._source is not None:
            self._open.close()
            self._source = None

    def check(
        self,
        d: int | None,
        bits: float | None,
        metric: str | int | None,
        ids: str | None,
        method: str | None,
        seed: int | None,
        nlist: int | None = None,
    ) -> None:
        """Raise InputError unless the store is what ``open_store`` was asked for, as far as anything was asked."""
        held = self._settings
        wanted = {
            "d": (d, held.d),
            "metric": (None if metric is None else parse_metric(metric), held.metric),
            "ids": (ids, self.ids),
            "method": (method, held.method),
            "seed": (seed, held.seed),
        }
        for name, (asked, there) in wanted.items():
            if asked is not None and asked != there:
                raise InputError(f"expected {name} = {there!r}, which {self.path} was made with, got {asked!r}")
        if nlist is not None and nlist != self.nlist:
            there = f"nlist = {self.nlist}" if self.nlist else "no nlist"
            raise InputError(f"expected {there}, as {self.path} was made, got {nlist!r}")
        rest = held.metric, held.method, None, None, 8, held.seed
        if bits is not None and Settings.of(held.d, bits, *rest) != held:
            raise InputError(f"expected {self.bits:g} bits, which {self.path} was made with, got {bits:g}")

    def abandon(self) -> None:
        """In a forked child: leave the writing to the parent, and follow it."""
        if self._source is not None:
            self._source = self._source.forked()

    @property
    def _open(self) -> Follower | Writer:
        if self._source is None:
            raise InputError("expected an open store, got one that was closed")
        return self._source

    @property
    def _writer(self) -> Writer:
        source = self._open
        if not isinstance(source, Writer):
            raise UnsupportedError(
                f"expected a store that this process opened to write, got one to read only: {source.folder}"
            )
        return source

    @property
    def _now(self) -> Contents:
        return self._open.now()

    @property
    def _settings(self) -> Settings:
        return self._open.settings

    def _view(self) -> View:
        return self._open.view()


_live: weakref.WeakSet[Store] = weakref.WeakSet()


def _forget() -> None:
    """A forked child writes no store of its parent's."""
    for store in list(_live):
        store.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
