"""What every format answers to: a matrix of vectors in a file, read a few rows at a time.

A format gives the shape, the dtype and ``_rows``, which reads a range of rows as they are stored. The rest follows:
checked float32 chunks, chosen rows, and a seeded sample that is the same whatever format holds the matrix.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_ids, as_integer, as_vectors
from lplr_index.errors import InputError, LPLRError, VectorFileError

CHUNK_BYTES = 24 << 20
"""Size of a default chunk, as float32: less than 32 MB, from which on glibc gives no memory out that it has at hand."""

GAP_BYTES = 64 << 10
"""Rows that are this close to each other in the file are read in one go: skipping costs as much as reading."""

DEFLATE_RATIO = 1032
"""The most that zlib can compress; a container that claims more than this lies about what it holds."""


class VectorFile(ABC):
    """A matrix of ``n`` vectors of ``d`` dimensions in a file; close it, or use it in a ``with`` block.

    Reading takes the memory of a few chunks, however large the file. An object serves one thread at a time.
    """

    def __init__(self, path: Path, n: int, d: int, dtype: np.dtype[Any], release: Callable[[], object]) -> None:
        if n < 1 or d < 1:
            raise VectorFileError(f"expected at least one row and one column in {path}, got shape ({n}, {d})")
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise VectorFileError(f"expected float or integer numbers in {path}, got dtype {dtype}")
        self._path, self._n, self._d, self._dtype = path, int(n), int(d), dtype
        self._release = release
        self._closed = False
        # Wanted rows further apart than this are read one by one. A format with a costlier way to skip sets its own.
        self._gap_rows = max(1, GAP_BYTES // (self._d * dtype.itemsize))

    @property
    def path(self) -> Path:
        """The file, folder or pattern that was opened."""
        return self._path

    @property
    def n(self) -> int:
        """Number of rows."""
        return self._n

    @property
    def d(self) -> int:
        """Number of columns."""
        return self._d

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers in the file; float32 for bfloat16, which NumPy lacks and float32 holds exactly."""
        return self._dtype

    @abstractmethod
    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read rows ``start`` to ``stop``, at least one, as they are stored: any dtype and layout, shape (rows, d)."""

    def read(self, start: int, stop: int) -> FloatMatrix:
        """Return rows ``start`` to ``stop`` as C-contiguous float32 of shape (stop - start, d), all finite.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop <= n.

        Raises
        ------
        InputError
            If the range lies outside of the file.
        VectorFileError
            If the file cannot be read there, holds a NaN, an infinity or a number too large for float32
            (the message names its row), or is closed.
        """
        stop = as_integer(stop, "stop", least=0, most=self._n)
        start = as_integer(start, "start", least=0, most=stop)
        if self._closed:
            raise VectorFileError(f"expected {self._path} to be open, got a closed file")
        if start == stop:
            return np.empty((0, self._d), np.float32)
        with reading(self._path):
            return as_vectors(self._rows(start, stop), self._d, name=str(self._path), first_row=start)

    def chunks(self, rows: int | None = None) -> Iterator[tuple[int, FloatMatrix]]:
        """Yield the whole matrix in order, as pairs of the number of the first row and float32 rows (at most rows, d).

        Parameters
        ----------
        rows : int, optional
            Rows in a chunk; about 24 MB of float32 where None.

        Raises
        ------
        InputError, VectorFileError
            As ``read`` does.
        """
        rows = self._chunk_rows if rows is None else as_integer(rows, "rows", least=1)
        for start in range(0, self._n, rows):
            yield start, self.read(start, min(start + rows, self._n))

    def sample(self, size: int, seed: int) -> FloatMatrix:
        """Return ``size`` rows drawn from the whole file without replacement, in the order of the file.

        The rows depend on n, ``size`` and ``seed`` only: every format of the same matrix gives the same sample.
        What lies between them is read only where reading is cheaper than skipping.

        Parameters
        ----------
        size : int
            1 <= size <= n.
        seed : int
            At least 0.

        Returns
        -------
        ndarray of shape (size, d)
            C-contiguous float32.

        Raises
        ------
        InputError, VectorFileError
            If ``size`` or ``seed`` lies outside, and as ``read`` does.
        """
        size = as_integer(size, "size", least=1, most=self._n)
        return self.take(draw_rows(self._n, size, as_integer(seed, "seed")))

    def take(self, rows: IdArray) -> FloatMatrix:
        """Return the rows of these numbers.

        Parameters
        ----------
        rows : ndarray of shape (size,)
            int64, strictly increasing, from 0 to n - 1.

        Returns
        -------
        ndarray of shape (size, d)
            C-contiguous float32.

        Raises
        ------
        InputError, VectorFileError
            If ``rows`` are not such numbers, and as ``read`` does.
        """
        self._check_numbers(rows := as_ids(rows, name="rows"))
        out = np.empty((len(rows), self._d), np.float32)
        for first, last in _windows(rows, self._gap_rows, self._chunk_rows):
            start = int(rows[first])
            out[first:last] = self.read(start, int(rows[last - 1]) + 1)[rows[first:last] - start]
        return out

    def _check_numbers(self, rows: IdArray) -> None:
        if len(rows) and (rows[0] < 0 or rows[-1] >= self._n or np.any(np.diff(rows) <= 0)):
            raise InputError(f"expected increasing row numbers from 0 to {self._n - 1}, got others")

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path}: {self._n} rows of {self._d} {self._dtype}>"

    @property
    def _chunk_rows(self) -> int:
        return chunk_rows(self._d)


class Closeable(Protocol):
    """A file, archive or reader of any library."""

    def close(self) -> object:
        """Give back what it holds."""


def chunk_rows(d: int) -> int:
    """Return how many rows of ``d`` float32 numbers make a default chunk, at least one."""
    return max(1, CHUNK_BYTES // (4 * d))


def draw_rows(n: int, size: int, seed: int) -> IdArray:
    """Return ``size`` of the row numbers 0 to ``n`` - 1, each set of them equally likely, as int64 (size,), sorted.

    Memory follows ``size`` and not ``n``, which NumPy's ``choice`` does not promise.
    """
    if size > n // 2:
        return np.setdiff1d(np.arange(n), draw_rows(n, n - size, seed), assume_unique=True)
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(n, size=size))
    while len(rows) < size:
        rows = np.union1d(rows, rng.integers(n, size=size))
    # Which of the numbers drawn are dropped owes nothing to their size.
    return np.sort(rng.permutation(rows)[:size])


def _windows(rows: IdArray, gap: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut sorted row numbers (size,) into runs without gaps over ``gap``, none of which spans more than ``most`` rows.

    Yields the position of the first number of each run and one past its last.
    """
    breaks = np.flatnonzero(np.diff(rows) > gap) + 1
    first = 0
    for end in [*breaks.tolist(), len(rows)]:
        while first < end:
            last = first + int(np.searchsorted(rows[first:end], rows[first] + most))
            yield first, last
            first = last


def choose_key(path: Path, key: str | None, names: Iterable[str], *, default: str | None = None) -> str:
    """Return the matrix to read from a file of several: ``key``, else the default, else the only one there is.

    Raises
    ------
    VectorFileError
        If that is none of ``names``, which the message lists.
    """
    known = list(names)
    if key is not None and key in known:
        return key
    if key is None and default in known:
        return str(default)
    if key is None and len(known) == 1:
        return known[0]
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "") if known else "none"
    wanted = "a key" if key is None else f"the key {key!r}"
    raise VectorFileError(f"expected {wanted} to be one of the matrices in {path}, which holds: {listed}")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into a VectorFileError about ``path``; other errors of ours pass through.

    Files are read by half a dozen libraries, each of which has its own idea of what to raise on damaged bytes.
    """
    try:
        yield
    except InputError as err:  # from the door: what came is the file's fault
        raise VectorFileError(str(err)) from err
    except LPLRError:
        raise
    except Exception as err:
        raise VectorFileError(f"cannot read {path}: {first_line(err)}") from err


def first_line(err: Exception) -> str:
    """Return the first line of an error of others, or its class where it says nothing."""
    return (str(err).strip() or type(err).__name__).splitlines()[0]


@contextlib.contextmanager
def closed_on_error(resource: Closeable) -> Iterator[None]:
    """Close ``resource`` if the block, which is about to hand it to its owner, raises."""
    try:
        yield
    except BaseException:
        resource.close()
        raise
