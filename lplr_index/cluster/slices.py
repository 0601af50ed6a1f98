"""How rows are shared out: a file is cut into slices, and segments are dealt out to workers in runs.

Nothing here knows of machines, and no result depends on where the cuts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from lplr_index.arrays import as_integer
from lplr_index.errors import VectorFileError
from lplr_index.vectors import VectorFile, open_vectors

SLICE_ROWS = 1 << 20
"""Rows of a slice where nobody says: some seconds of work, so that little is lost with a worker."""


@dataclass(frozen=True)
class Slice:
    """Rows ``start`` to ``stop`` of a matrix."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Source:
    """What a worker has to know of a matrix of vectors to read a slice of it: it opens the files by itself.

    Attributes
    ----------
    path : str
        The file, folder or pattern; on all machines the same.
    key : str or None
        Which matrix, for a file that holds several.
    n, d : int
        Rows and columns, counted from the headers of the files.
    """

    path: str
    key: str | None
    n: int
    d: int

    @classmethod
    def of(cls, file: VectorFile, key: str | None) -> Source:
        """How to open a file again that is open here."""
        return cls(str(file.path.absolute()), key, file.n, file.d)

    def open(self) -> VectorFile:
        """Open it on this machine.

        Raises
        ------
        VectorFileError
            If there are other rows than there were, or none.
        """
        file = open_vectors(self.path, key=self.key)
        if (file.n, file.d) != (self.n, self.d):
            file.close()
            raise VectorFileError(
                f"expected all machines to see {self.path} of shape ({self.n}, {self.d}), got ({file.n}, {file.d})"
            )
        return file


def cut(n: int, rows: int = SLICE_ROWS) -> list[Slice]:
    """Cut n rows into slices of ``rows``; the last is what is left.

    Raises
    ------
    InputError
        If ``rows`` is not a positive integer.
    """
    size = as_integer(rows, "rows of a slice", least=1)
    return [Slice(start, min(start + size, n)) for start in range(0, n, size)]


def deal(sizes: Sequence[int], workers: int) -> list[Slice]:
    """Deal out things of some sizes in runs, at most one a worker and none empty, so that runs are about as large.

    Returns
    -------
    list of Slice
        The first of each run, and one past its last.
    """
    runs, start, total = [], 0, sum(sizes)
    ends = [0, *accumulate(sizes)]
    for worker in range(min(workers, len(sizes))):
        left = min(workers, len(sizes)) - worker - 1  # of whom each must have one
        stop = start + 1
        while stop < len(sizes) - left and (not left or ends[stop] + sizes[stop] / 2 <= total * (worker + 1) / workers):
            stop += 1
        runs.append(Slice(start, stop))
        start = stop
    return runs
