"""What another package says of itself to stand beside ours, and what an index of it does to be measured."""

from __future__ import annotations

import importlib.util
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.errors import InputError, UnsupportedError
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.metric import metric_type

_BLOCK_ROWS = 64  # blocks of rows and alignments of sections divide it, in the files of everyone here


@dataclass(frozen=True)
class Peer:
    """A package whose indexes compete.

    Attributes
    ----------
    name : str
        What a user calls it, on the command line too.
    package : str
        What pip calls it.
    module : str
        What must be there to import.
    install : str
        What pip is to install.
    indexes : str
        What is not shown without it.
    offers : callable
        Yields what it can build of what is wanted, and what it cannot; imports nothing but its own package.
    """

    name: str
    package: str
    module: str
    install: str
    indexes: str
    offers: Callable[[Wanted], Iterator[Contender | Skip]]

    def contenders(self, wanted: Wanted) -> Iterator[Contender | Skip]:
        """Yield what competes, or the one remark that the package is missing."""
        if is_installed(self.module):
            yield from self.offers(wanted)
        else:
            yield not_installed(self.indexes, self.install)


def is_installed(module: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None


def not_installed(indexes: str, install: str) -> Skip:
    """Return what is said of indexes whose package is missing."""
    return Skip(indexes, None, f"not installed: pip install {install}")


class PeerIndex(ABC):
    """An index of another package under faiss's names, as far as ``measure`` asks for them.

    A new kind of index needs this class alone: ``evaluate`` takes whatever is derived from it. Methods that have a
    parameter ``threads`` are told how many to use.

    Attributes
    ----------
    d : int
        Dimension.
    metric_type : int
        faiss's number of the metric; under cosine, rows and queries come with length one.
    is_trained : bool
        Whether rows can be added.
    ntotal : int
        Rows it holds.
    """

    def __init__(self, d: int, metric: str) -> None:
        self.d = d
        self.metric_type = metric_type(metric)
        self.is_trained = False
        self.ntotal = 0

    @abstractmethod
    def train(self, x: FloatMatrix) -> None:
        """Learn from rows ``x`` of shape (nt, d), float32, and become ``is_trained``."""

    @abstractmethod
    def add(self, x: FloatMatrix) -> None:
        """Add rows ``x`` of shape (n, d), float32, whose ids count on from ``ntotal``."""

    @abstractmethod
    def search(self, x: FloatMatrix, k: int) -> tuple[FloatMatrix, IdArray]:
        """Return the package's own scores (nq, k) and ids (nq, k), best first, -1 where there is none, of x (nq, d)."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write everything that is needed to search to a file."""

    @abstractmethod
    def emptied(self) -> Self:
        """Return an index of the same training that holds no rows."""

    def reconstruct_n(self, i0: int, n: int) -> FloatMatrix:
        """Return rows ``i0`` to ``i0 + n`` as (n, d), if the package can.

        Raises
        ------
        UnsupportedError
            If it cannot.
        """
        raise UnsupportedError(f"expected an index that gives rows back, got {type(self).__name__} for {i0} and {n}")

    def saved_bytes(self) -> int:
        """Return the size of the file that ``save`` writes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            self.save(path)
            return path.stat().st_size

    def row_bytes(self, xb: FloatMatrix) -> float:
        """Return by how much a row makes the file grow.

        Parameters
        ----------
        xb : ndarray of shape (ntotal, d), float32
            The rows it holds; some are added to an emptied one.
        """
        few = rows_apart(len(xb))
        smaller = self.emptied()
        if few:
            smaller.add(xb[:few])
        return (self.saved_bytes() - smaller.saved_bytes()) / (len(xb) - few)

    def _first_rows(self, x: FloatMatrix) -> None:
        """Count the rows of an index that takes them once.

        Raises
        ------
        InputError
            If it has rows.
        """
        if self.ntotal:
            raise InputError(f"expected rows to be added once, got {len(x)} for an index of {self.ntotal}")
        self.ntotal = len(x)


def rows_apart(n: int) -> int:
    """Return how many of n rows to save once more, so that the others fill whole blocks; none of less than two."""
    return _BLOCK_ROWS + n % _BLOCK_ROWS if n >= 2 * _BLOCK_ROWS else 0


def as_ids(I: Any) -> IdArray:
    """Return ids (nq, k) of any integer type as int64."""
    return np.asarray(I).astype(np.int64)
