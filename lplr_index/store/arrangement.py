"""What rows of a store are and where they lie: all in which stores differ, before and after training, flat or in lists.

Everything else of a store goes by rows in the order of their numbers, and asks ``Arranged.places`` where these lie.
Bits of rows that live, and filters, are in the order in which rows lie, as a scan takes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray
from lplr_index.blocks import BLOCK, BlockStore, Form
from lplr_index.container import Parts
from lplr_index.scanning import Filter
from lplr_index.store.keys import Numbers

NOWHERE = np.uint32(2**32 - 1)  # what a row that dies becomes in a merge

Section = tuple[str, str, tuple[int, ...], Parts]
"""Name, dtype, shape and parts of a section of a file; the parts are gone through twice."""

Mask = npt.NDArray[np.bool_]
Scored = tuple[npt.NDArray[np.float32], IdArray]
"""Keys (n,) and numbers (n,)."""


class Arranged(ABC):
    """The rows of a part, where they lie.

    Attributes
    ----------
    n : int
        Rows, the dead among them.
    """

    n: int

    @abstractmethod
    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """Rows (size,) as a journal has them: codes (size, width) or vectors (size, width)."""

    @abstractmethod
    def vectors(self, rows: IdArray) -> FloatMatrix:
        """What a search compares of rows (size,): reconstructions, or the rows themselves, (size, d)."""

    def places(self, rows: IdArray) -> IdArray:
        """Where rows (size,) lie; -1, which is no row, lies at -1."""
        return rows

    def rows_at(self, places: IdArray) -> IdArray:
        """The rows that lie at places (size,)."""
        return places

    def by_place(self, mask: Mask) -> Mask:
        """A mask over rows (n,) in the order in which they lie."""
        return mask

    def by_row(self, mask: Mask) -> Mask:
        """A mask (n,) in the order in which rows lie, over rows."""
        return mask


R = TypeVar("R", bound=Arranged)
R_co = TypeVar("R_co", bound=Arranged, covariant=True)


class Growing(ABC):
    """Rows in memory, to which others are added."""

    @abstractmethod
    def append(self, data: npt.NDArray[Any]) -> None:
        """Add rows (n, width) as a journal has them."""

    @abstractmethod
    def view(self, numbers: IdArray) -> Arranged:
        """The rows there are now, whose numbers (n,) may come in any order; what is added later does not show."""

    @abstractmethod
    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """Rows (size, width) by row (size,)."""


class Asked(ABC, Generic[R]):
    """Queries made ready once for all parts of a store."""

    @abstractmethod
    def best(
        self, rows: R, numbers: Numbers, k: int, allowed: Filter, threads: int, worst: npt.NDArray[np.float32]
    ) -> tuple[FloatMatrix, IdArray]:
        """The k best rows of a part, (nq, k), as ``searching.search`` gives them.

        Rows whose key is below ``worst`` (nq,) may be left out: the k best of other parts are better.
        """

    @abstractmethod
    def above(self, rows: R, numbers: Numbers, radius: float, allowed: Filter, threads: int) -> list[Scored]:
        """Keys and numbers (size,) of all rows of a part whose key is above ``radius``, of each query, in any order.

        ``allowed`` is (blocks,), as for ``best``.
        """


class Merge(Protocol[R_co]):
    """Rows of parts that become those of one, in the order of their numbers."""

    n: int

    @property
    def arranged(self) -> Sequence[R_co]:
        """The rows of the parts."""

    def pieces(self, look: Callable[[R_co, IdArray], npt.NDArray[Any]]) -> Parts:
        """What ``look`` gives of some rows (size,) of a part, of all rows in the order of their numbers."""

    def targets(self) -> list[npt.NDArray[np.uint32]]:
        """Which row each row (n,) of each part becomes, or ``NOWHERE``."""


class Arrangement(ABC, Generic[R]):
    """Of a whole store, which has one at a time.

    Attributes
    ----------
    dtype, width : str, int
        Rows in a journal are so many numbers of that dtype.
    digest : str or None
        Of the training.
    version : int
        Format of the file of a segment.
    dtypes : dict of str to str
        The dtype of each section of rows in the file of a segment.
    """

    dtype: str
    width: int
    digest: str | None
    version: int
    dtypes: dict[str, str]

    @abstractmethod
    def shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        """The shape of each of these sections for n rows."""

    @abstractmethod
    def read(self, arrays: dict[str, npt.NDArray[Any]], n: int, *, whole: bool) -> R:
        """The n rows in the sections of a segment, of shapes such as (n, d); ``whole`` where all may be looked at.

        Raises
        ------
        HeaderError
            If the sections do not fit.
        """

    @abstractmethod
    def growing(self) -> Growing:
        """No rows yet."""

    @abstractmethod
    def sections(self, data: npt.NDArray[Any]) -> list[Section]:
        """The sections of rows (n, width) in the order of their numbers."""

    @abstractmethod
    def merged(self, merge: Merge[R]) -> list[Section]:
        """The sections of the rows of a merge."""

    def section(self, name: str, n: int, parts: Parts) -> Section:
        """A section for n rows, whose parts are such as (size, d)."""
        return name, self.dtypes[name], self.shapes(n)[name], parts

    @abstractmethod
    def asked(self, xq: FloatMatrix, nprobe: int, threads: int) -> Asked[R]:
        """Queries xq (nq, d), which have passed the door; they look at ``nprobe`` lists where there are lists."""


def numbered(numbers: Numbers, found: IdArray) -> IdArray:
    """Rows that a scan found, (n,) or (nq, k), as numbers; -1 stays."""
    return np.where(found >= 0, numbers.of(np.maximum(found, 0)), -1)


def grown(array: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """An array (n, ...) with room for n rows: itself, or a larger copy. Views of the smaller one stay as they are."""
    if n <= len(array):
        return array
    larger = np.empty((max(n, len(array) + len(array) // 2), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


class Pieces:
    """What ``make`` makes piece by piece, as often as it is gone through."""

    def __init__(self, make: Callable[[], Iterator[npt.NDArray[Any]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return self._make()


class Woven:
    """Codes in pieces as what blocks have in a section, in pieces, of which only the last may end inside a block."""

    _ROWS = 1 << 13  # that are woven at a time

    def __init__(self, codes: Parts, form: Form, name: str) -> None:
        self._codes, self._form, self._name = codes, form, name

    def __iter__(self) -> Iterator[ByteMatrix]:
        left = np.empty((0, self._form.code_size), np.uint8)
        for piece in self._codes:
            for start in range(0, len(piece), self._ROWS):
                codes = np.concatenate([left, piece[start : start + self._ROWS]])
                whole = len(codes) // BLOCK * BLOCK
                left = codes[whole:]
                yield from self._blocks(codes[:whole])
        yield from self._blocks(left)

    def _blocks(self, codes: ByteMatrix) -> Iterator[ByteMatrix]:
        store = BlockStore(self._form)
        store.append(np.ascontiguousarray(codes))
        return (each.section(self._name) for each in store.whole())
