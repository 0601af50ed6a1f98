"""Searching a store: the four steps, over the rows as they are at the moment of the call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import (
    FloatMatrix,
    IdArray,
    as_array,
    as_ids,
    as_integer,
    as_number,
    as_rows,
    row_chunks,
    warn_of_zeros,
)
from lplr_index.contract import Index
from lplr_index.errors import InputError, UnknownIdError
from lplr_index.store import searching
from lplr_index.store.contents import View
from lplr_index.store.keys import as_names
from lplr_index.threads import as_threads

_QUERIES = 1 << 10  # queries prepared at a time, as in IndexLPLR


class Searchable(Index):
    """What a store answers."""

    __slots__ = ("_nprobe",)

    _nprobe: int

    @property
    @abstractmethod
    def ids(self) -> str:
        """The kind of ids: ``"int"`` or ``"str"``."""

    @property
    @abstractmethod
    def nlist(self) -> int:
        """Lists that rows are dealt out to; 0 where a search looks at all rows."""

    @property
    def nprobe(self) -> int:
        """Lists that a search looks at, where it does not say; all where there are fewer.

        Raises
        ------
        InputError
            If the store has no lists.
        """
        self._check_lists("nprobe")
        return self._nprobe

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self._check_lists("nprobe")
        self._nprobe = as_integer(value, "nprobe", least=1)

    @abstractmethod
    def _view(self) -> View:
        """All rows as they are now."""

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        nprobe: int | None = None,
        filter: Any = None,
        threads: int | None = None,
    ) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """The k nearest rows of each query.

        Parameters
        ----------
        x : array_like of shape (nq, d)
            Queries.
        k : int
            Neighbours wanted.
        nprobe : int, optional
            Lists to look at, of a store that has lists; the store's own where None.
        filter : array_like of shape (n,), integer, or list of str, or faiss.IDSelector, optional
            Ids of rows that may be returned, or, of a store with integers, a selector of them.
        threads : int, optional
            Threads to use; all where None. The result does not depend on it.

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
        FormatError
            One of its subclasses, of a store that another process writes, if a new file of it is missing or damaged.
        """
        k, threads, nprobe = as_integer(k, "k", least=1), as_threads(threads), self._probes(nprobe)
        view = self._view()
        wanted = self._wanted(view, filter)
        D, I = [], []
        for xq in self._query_batches(x):  # 1. the door
            keys, numbers = searching.search(view, xq, k, wanted, nprobe, threads)  # 2. projection, 3. scan, 4. top-k
            D.append(self._distances(keys))
            I.append(numbers)
        return np.concatenate(D), self._as_ids(view, np.concatenate(I))

    def range_search(
        self,
        x: npt.ArrayLike,
        radius: float,
        *,
        nprobe: int | None = None,
        filter: Any = None,
        threads: int | None = None,
    ) -> tuple[IdArray, npt.NDArray[np.float32], npt.NDArray[Any]]:
        """All rows more similar than ``radius``, or at a smaller squared distance, of each query, or of its lists.

        Returns
        -------
        lims : ndarray of shape (nq + 1,), int64
            The results of query i are ``lims[i]:lims[i + 1]`` of D and I.
        D : ndarray of shape (lims[-1],), float32
            Similarities or squared distances.
        I : ndarray of shape (lims[-1],), int64, or object
            Ids: integers in ascending order, strings in the order they came.

        Raises
        ------
        InputError, FormatError
            As ``search``.
        """
        radius, threads, nprobe = as_number(radius, "radius"), as_threads(threads), self._probes(nprobe)
        view = self._view()
        wanted, key = self._wanted(view, filter), -radius if self.metric == "l2" else radius
        parts = []
        for xq in self._query_batches(x):
            parts += searching.range_search(view, xq, key, wanted, nprobe, threads)
        lims, D, I = self._ranges(parts)
        return lims, D, self._as_ids(view, I)

    def search_and_reconstruct(
        self, x: npt.ArrayLike, k: int, **options: Any
    ) -> tuple[FloatMatrix, npt.NDArray[Any], npt.NDArray[np.float32]]:
        """``search`` and the vectors (nq, k, d) of what it found; NaN where a result is missing."""
        D, I = self.search(x, k, **options)
        x_hat = np.full((*I.shape, self.d), np.nan, np.float32)
        there = np.array([each is not None for each in I.flat]).reshape(I.shape) if self.ids == "str" else I >= 0
        x_hat[there] = self.reconstruct_batch(I[there])
        return D, I, x_hat

    def reconstruct(self, key: int | str) -> npt.NDArray[np.float32]:
        """The vector (d,) of the row with this id; raises as ``reconstruct_batch``."""
        x_hat: npt.NDArray[np.float32] = self.reconstruct_batch([key])[0]
        return x_hat

    def reconstruct_batch(self, key: Any) -> FloatMatrix:
        """Reconstructions (n, d) of rows by id (n,); before training the rows, of length one under cosine.

        Raises
        ------
        UnknownIdError
            If one of them is not held.
        """
        view = self._view()
        ids = as_names(key) if self.ids == "str" else as_ids(key)
        numbers = ids if isinstance(ids, np.ndarray) else searching.numbers_of(view, ids)
        x_hat, known = searching.vectors_of(view, numbers)
        if not known.all():
            unknown = ids[int(np.argmin(known))]
            raise UnknownIdError(
                f"expected ids that the store holds, got {unknown if self.ids == 'int' else repr(unknown)}"
            )
        return x_hat.reshape(len(ids), self.d)

    def _probes(self, nprobe: int | None) -> int:
        """How many lists to look at, 0 where there are none."""
        if nprobe is None:
            return self._nprobe if self.nlist else 0
        self._check_lists("nprobe")
        return as_integer(nprobe, "nprobe", least=1)

    def _check_lists(self, name: str) -> None:
        if not self.nlist:
            raise InputError(
                f"expected {name} only of a store with lists, which one made with nlist has, got it of {self}"
            )

    def _wanted(self, view: View, filter: Any) -> Any:
        """Numbers of the rows that a filter lets pass, a selector of them, or None for all."""
        if filter is None:
            return None
        if self.ids == "str":
            numbers = searching.numbers_of(view, as_names(filter, name="filter ids"))
            return numbers[numbers >= 0]
        if hasattr(filter, "is_member"):
            return filter
        wanted = as_array(filter, name="filter")
        if wanted.dtype == np.bool_:
            raise InputError("expected ids as filter, got a mask, which needs rows that stay where they are")
        return as_ids(wanted, name="filter ids")

    def _query_batches(self, x: npt.ArrayLike) -> Iterator[FloatMatrix]:
        zeros, n, cosine = np.empty(0, np.int64), 0, self.metric == "cosine"
        for start, chunk in row_chunks(x, _QUERIES):
            rows, more = as_rows(chunk, self.d, cosine=cosine, first_row=start)
            zeros, n = np.concatenate([zeros, more]), n + len(rows)
            yield rows
        warn_of_zeros(zeros, n)

    def _as_ids(self, view: View, numbers: IdArray) -> npt.NDArray[Any]:
        """Numbers (n,) or (nq, k) as the ids the store was made with."""
        return searching.names_of(view, numbers) if self.ids == "str" else numbers
