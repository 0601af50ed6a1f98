"""An index of the vectors in a file, however large: trained on a sample, filled chunk by chunk."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_ids, as_integer
from lplr_index.errors import InputError, ZeroVectorWarning
from lplr_index.ids import IdMap
from lplr_index.refine import AnyIndex
from lplr_index.threads import as_threads
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import VectorFile

Progress = Callable[[str, int, int], object]
"""Told what is being done, how many rows of it are done, and of how many; of 0 where nobody knows."""


Look = Callable[[Sequence[int] | IdArray, FloatMatrix], None]


def build_index(
    source: VectorFile,
    index: AnyIndex,
    *,
    ids: npt.ArrayLike | None = None,
    train_rows: int = TRAIN_ROWS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Train an index, unless it is trained, and add all rows of a file to it.

    The index is the same as if the whole matrix had been added at once after ``train(source.sample(...))``.
    Memory is that of the packed rows, of eight bytes a row where ``ids`` are given, and of training on the sample or
    encoding one chunk (some 24 MB of float32 and a few copies of it), whichever is more.

    Parameters
    ----------
    source : VectorFile
        Open.
    index : IndexLPLR or IndexRefineLPLR
        Of the dimension of the file. Rows it holds stay.
    ids : array_like of shape (n,), optional
        Ids of the rows; counted on from the largest where None.
    train_rows : int
        Rows to train on, drawn with the seed of the index from the whole file; all rows of a file that has fewer.
        From 1 to ``TRAIN_ROWS``.
    threads : int, optional
        Threads to use; all where None. The index does not depend on it.
    progress : callable, optional
        Called with ``"sampling"``, ``"training"`` or ``"adding"``, the rows done and their total.

    Raises
    ------
    InputError
        If dimensions, ids, ``train_rows`` or ``threads`` are wrong; nothing has been read then.
    VectorFileError
        If the file cannot be read or holds NaN or infinity, which the message names by file and row;
        rows before it may have been added.
    """
    numbers = check_rows(source, index, ids)
    size = min(source.n, as_integer(train_rows, "train_rows", least=1, most=TRAIN_ROWS))
    threads, report = as_threads(threads), progress or _ignore
    with naming_zero_rows(source, cosine=index.metric == "cosine") as look:
        if not index.is_trained:
            report("sampling", 0, 0)
            sample = [source.sample(size, index.settings.seed)]
            report("training", 0, 0)
            index.train(sample.pop())  # which lets go of it once it has its own
        report("adding", 0, source.n)
        for start, rows in source.chunks():
            stop = start + len(rows)
            look(range(start, stop), rows)
            if numbers is None:
                index.add(rows, threads=threads)
            else:
                index.add_with_ids(rows, numbers[start:stop], threads=threads)
            report("adding", stop, source.n)


@dataclass(frozen=True)
class ZeroRows:
    """Rows of length zero among some rows of a file: those of two parts add up, in any order.

    Attributes
    ----------
    count : int
        How many.
    first : int
        The smallest of their row numbers; of no meaning where there are none.
    """

    count: int = 0
    first: int = -1

    @classmethod
    def among(cls, numbers: Sequence[int] | IdArray, rows: FloatMatrix) -> ZeroRows:
        """Those among rows (rows, d), which have these numbers (rows,)."""
        zeros = np.flatnonzero(~rows.any(axis=1))
        return cls(len(zeros), int(numbers[zeros[0]])) if len(zeros) else cls()

    def __add__(self, other: ZeroRows) -> ZeroRows:
        if not (self.count and other.count):
            return self if self.count else other
        return ZeroRows(self.count + other.count, min(self.first, other.first))

    def warn(self, path: Path, *, stacklevel: int) -> None:
        """Give a ZeroVectorWarning that counts them and names the first, unless there are none."""
        if self.count:
            warnings.warn(
                f"{self.count} vectors in {path} have length zero, row {self.first} first; "
                "under cosine they score 0 with everything",
                ZeroVectorWarning,
                stacklevel=stacklevel + 1,
            )


@contextlib.contextmanager
def silent_about_zeros() -> Iterator[None]:
    """Let calls inside give no ZeroVectorWarning: who sees all rows gives one for all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroVectorWarning)
        yield


@contextlib.contextmanager
def naming_zero_rows(source: VectorFile, *, cosine: bool) -> Iterator[Look]:
    """Yield a function to show the rows (rows, d) of a file to, after their numbers in the file.

    Under cosine a single ZeroVectorWarning names the first row of length zero when the block ends,
    instead of one warning for every call inside that gets such rows.
    """
    found = ZeroRows()

    def look(numbers: Sequence[int] | IdArray, rows: FloatMatrix) -> None:
        nonlocal found
        if cosine:
            found += ZeroRows.among(numbers, rows)

    with silent_about_zeros():
        yield look
    found.warn(source.path, stacklevel=4)


def check_rows(source: VectorFile, index: AnyIndex, ids: Any) -> IdArray | None:
    """Return the ids (n,) to be given, or None, after everything has been looked at that can be before reading.

    Raises
    ------
    InputError
        If dimensions or ids are wrong.
    """
    if source.d != index.d:
        raise InputError(f"expected {source.path} to have {index.d} columns, as the index has, got {source.d}")
    if ids is None:
        return None
    numbers = as_ids(ids, source.n)
    IdMap().check_new(numbers)
    return numbers


def _ignore(_stage: str, _done: int, _total: int) -> None:
    """Stand in for a progress that nobody wants to know."""
