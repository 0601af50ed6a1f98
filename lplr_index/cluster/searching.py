"""Search of a store by workers that hold its segments: each answers for its rows, and the answers are merged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer
from lplr_index.cluster.machines import Machines
from lplr_index.cluster.slices import Slice, deal
from lplr_index.errors import UnsupportedError
from lplr_index.ivf import NPROBE
from lplr_index.store import open_store, searching
from lplr_index.store.contents import View, load, open_segment
from lplr_index.store.following import Follower, read_journal
from lplr_index.store.manifest import Manifest
from lplr_index.store.reading import Searchable
from lplr_index.threads import as_threads


class Part:
    """Some segments in the hands of one worker, read when they are first asked: again, by whoever replaces it.

    Parameters
    ----------
    folder : str
        Where the store is, for the worker too.
    manifest : Manifest
        What counts in it.
    run : Slice
        Which segments are held.
    threads : int
        Threads of a search.
    """

    def __init__(self, folder: str, manifest: Manifest, run: Slice, threads: int) -> None:
        self._folder, self._manifest, self._run, self.threads = Path(folder), manifest, run, threads
        self._view: View | None = None

    def view(self) -> View:
        """The rows, every byte of which was compared with its checksum once.

        Raises
        ------
        FormatError
            One of its subclasses, naming the file that is missing or damaged.
        """
        if self._view is None:
            entries = self._manifest.segments[self._run.start : self._run.stop]
            contents, _ = load(self._folder, replace(self._manifest, segments=entries), None)
            for entry in entries:
                open_segment(self._folder, self._manifest, contents.arrangement, entry, whole=True)
            # What the journal kills is dead here too; what it adds is searched by the one who asks.
            read_journal(self._folder, contents, 0)
            self._view = View(contents.arrangement, tuple(each.part for each in contents.held))
        return self._view


def open_part(part: Part, _shared: None) -> int:
    """Have a part read; returns its rows, the dead among them."""
    return sum(each.n for each in part.view().parts)


def search_part(part: Part, shared: tuple[FloatMatrix, int, Any, int]) -> tuple[FloatMatrix, IdArray]:
    """Keys and numbers (nq, k) of the k best rows of a part.

    Parameters
    ----------
    part : Part
        The rows.
    shared : tuple of ndarray of shape (nq, d), int, ndarray of shape (n,) or None, and int
        The queries, which have passed the door, k, the numbers of rows that may be returned, and lists to look at.
    """
    xq, k, wanted, nprobe = shared
    return searching.search(part.view(), xq, k, wanted, nprobe, part.threads)


class ClusterStore(Searchable):
    """A store as it is when it is opened, searched by the workers of a cluster that hold its segments.

    Results are those of the store in one process, and of one ``IndexLPLR`` over the same rows, bit by bit. It is for a
    store that nobody writes meanwhile, or a snapshot: a merge would remove files that a lost worker's successor wants.
    Each worker keeps a processor of the cluster for itself, until this object is let go of.

    Parameters
    ----------
    path : str or os.PathLike
        The folder of the store, which every machine can read.
    machines : Machines
        Whose workers are to hold it.
    threads : int
        Threads of each worker, of which there is one for every processor.

    Raises
    ------
    FormatError
        One of its subclasses, naming the file that is missing or damaged.
    """

    __slots__ = ("_contents", "_folder", "_held", "_runs", "_threads")

    def __init__(self, path: str | os.PathLike[str], machines: Machines, *, threads: int = 1) -> None:
        self._folder, self._threads = Path(path).absolute(), as_threads(threads)
        self._contents, self._nprobe = Follower(self._folder).now(), NPROBE
        manifest = self._contents.manifest
        self._runs = deal([entry.rows for entry in manifest.segments], machines.workers)
        self._held = machines.hold(Part, [(str(self._folder), manifest, run, self._threads) for run in self._runs])
        for _ in self._held.ask(open_part, None, self._calls):
            pass

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return self._contents.manifest.settings.d

    @property
    def ntotal(self) -> int:
        """Rows held, the dead not counted."""
        return self._contents.alive

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._contents.manifest.settings.metric

    @property
    def code_size(self) -> int:
        """Bytes of the code of a row."""
        return self._contents.manifest.settings.code_size

    @property
    def nlist(self) -> int:
        """Lists that rows are dealt out to; 0 of a store where a search looks at all rows."""
        return self._contents.manifest.nlist

    @property
    def ids(self) -> str:
        """The kind of ids: ``"int"`` or ``"str"``."""
        return self._contents.manifest.ids

    @property
    def workers(self) -> int:
        """How many workers hold a part."""
        return len(self._runs)

    def info(self) -> dict[str, Any]:
        """What there is to know, ready for JSON: as ``Store.info``, and how many workers hold it."""
        with open_store(self._folder, read_only=True) as store:
            return store.info() | {"workers": self.workers}

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        nprobe: int | None = None,
        filter: Any = None,
        threads: int | None = None,
    ) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """The k nearest rows of each query, as ``Store.search`` gives them.

        Parameters
        ----------
        x : array_like of shape (nq, d)
            Queries.
        k : int
            Neighbours wanted.
        nprobe : int, optional
            Lists to look at, of a store that has lists; the store's own where None.
        filter : array_like of shape (n,), integer, or list of str, optional
            Ids of rows that may be returned.
        threads : int, optional
            Threads of this process, which searches what is in the journal alone; those of a worker where None.

        Returns
        -------
        D : ndarray of shape (nq, k), float32
            Similarities, largest first, or squared distances, smallest first; padded with the float32 extreme.
        I : ndarray of shape (nq, k), int64, or object
            Ids; -1, or None of strings, where there are fewer than k rows.

        Raises
        ------
        InputError
            If an argument has another shape or range.
        UnsupportedError
            If the filter is one of faiss's selectors, which cannot be sent.
        FormatError
            If a worker that replaces another finds a file changed.
        ClusterError
            If workers failed more often than they are replaced.
        """
        k, threads = as_integer(k, "k", least=1), self._threads if threads is None else as_threads(threads)
        nprobe = self._probes(nprobe)
        if hasattr(filter, "is_member"):
            raise UnsupportedError("expected ids as filter of a search on a cluster, got a selector")
        view = self._view()
        wanted = self._wanted(view, filter)
        recent = self._contents.recent
        here = View(view.arrangement, (recent.part(),) if recent.n else ())
        D, I = [], []
        for xq in self._query_batches(x):
            keys, numbers = searching.search(here, xq, k, wanted, nprobe, threads)
            for _, (more, found) in self._held.ask(search_part, (xq, k, wanted, nprobe), self._calls):
                keys, numbers = searching.merged(keys, numbers, more, found, k)
            D.append(self._distances(keys))
            I.append(numbers)
        return np.concatenate(D), self._as_ids(view, np.concatenate(I))

    @property
    def _calls(self) -> list[tuple[()]]:
        return [()] * len(self._runs)

    def _view(self) -> View:
        return self._contents.view()
