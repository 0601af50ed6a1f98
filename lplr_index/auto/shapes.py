"""How columns of unit variance can be coded: patterns of groups, and what each leaves of the variance.

A pattern says how many columns consecutive nibbles of the chain have of their own. Because a nibble also counts in the
group after it, patterns of unequal groups give all of their columns an even rate between the sizes: (1, 1, 2) is a code
of three bits for each of four columns, and (0, 1, 1, 1, 1), whose first nibble has no column of its own, one of five.
"""

from __future__ import annotations

from functools import lru_cache, partial
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.auto.books import first_alone, solve_books, tally
from lplr_index.codecs import Chain
from lplr_index.linalg import column_energies, single_threaded
from lplr_index.threads import available, run

Pattern = tuple[int, ...]
FloatArray = npt.NDArray[np.float64]

PATTERNS: tuple[Pattern, ...] = (
    *((0, 1, 1, 1), (0, 1, 1, 1, 1), (0, 1, 1, 1, 1, 1, 1)),
    *((1,), (1, 1, 1, 1, 2), (1, 1, 2), (1, 2), (1, 2, 2)),
    *((2,), (2, 2, 3), (2, 3), (2, 3, 3)),
    *((3,), (3, 4), (4,), (5,), (6,), (8,), (10,), (12,), (16,), (24,), (32,)),
)
"""Columns of the nibbles of each pattern, by falling bits a column."""

LARGEST = max(map(max, PATTERNS))
"""Columns of the largest group."""

_ROWS, _STEPS, _ROUNDS = 1500, 48, 8  # what a shape is measured on


class Shape(NamedTuple):
    """How columns of unit variance are coded by one pattern.

    Attributes
    ----------
    pattern : tuple of int
        Columns of each nibble.
    book : ndarray of shape (columns, 2, 16), float64
        A book for any such groups.
    distortion : float
        Mean squared error of a column.
    """

    pattern: Pattern
    book: npt.NDArray[np.float64]
    distortion: float


@lru_cache(maxsize=1)
def gaussian_books() -> dict[Pattern, npt.NDArray[np.float64]]:
    """The best books that are known for Gaussian columns, (columns, 2, 16) each: ``benchmarks/gaussian_books.py``."""
    with files("lplr_index.auto").joinpath("gaussian_books.npy").open("rb") as stream:
        books = np.load(stream, allow_pickle=False).astype(np.float64)
    ends = np.cumsum([sum(pattern) for pattern in PATTERNS])
    return dict(zip(PATTERNS, np.split(books, ends[:-1]), strict=True))


def measure_shapes(y: FloatMatrix) -> dict[Pattern, Shape]:
    """Fit the book of each of ``PATTERNS`` to rows and measure what it leaves of the variance.

    Parameters
    ----------
    y : ndarray of shape (n, m), float32
        Coefficients, columns by falling energy; each is scaled to unit variance here.

    Notes
    -----
    All repetitions of a pattern share a book, so a few rows train it well: it is the start of every group's own book,
    and its measured distortion is what bits are allocated by. That counts the first group, which has nothing before it,
    and the last, which nothing follows: so it is with the few groups of a short row. Patterns that do not fit twice
    into the columns are left out, but for that of single columns.
    """
    rows = y[:_ROWS]
    spread = np.sqrt(column_energies(rows))
    unit = np.ascontiguousarray(rows[:, spread > 0] / spread[spread > 0], np.float32)
    tasks = []
    for pattern, book in gaussian_books().items():
        repeats = min(-(-_STEPS // len(pattern)), unit.shape[1] // sum(pattern))
        if repeats > 1 or pattern == (1,):
            part = np.ascontiguousarray(unit[:, : max(repeats, 1) * sum(pattern)])
            tasks.append(partial(fit_shape, part, pattern, book, _ROUNDS))
    with single_threaded():
        return {shape.pattern: shape for shape in run(tasks, available())}


def fit_shape(y: FloatMatrix, pattern: Pattern, book: npt.NDArray[np.float64], rounds: int) -> Shape:
    """A shape for rows whose columns repeat a pattern.

    Parameters
    ----------
    y : ndarray of shape (n, repeats * sum(pattern)), float32
        Columns of unit variance.
    pattern : tuple of int
        Columns of each nibble.
    book : ndarray of shape (sum(pattern), 2, 16), float64
        The start.
    rounds : int
        Turns of encoding and fitting.
    """
    for _ in range(rounds):
        book = fit_once(y, pattern, book)[0]
    return Shape(pattern, book, float(fit_once(y, pattern, book)[1].mean()))


def fit_once(y: FloatMatrix, pattern: Pattern, book: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The better book (columns, 2, 16) after one turn, and what the one before left of each column of y (n, m).

    The first group has nothing before it, so the book is fitted without the first repetition, unless there is no other.
    """
    columns = sum(pattern)
    repeats = y.shape[1] // columns
    sizes = np.tile(np.array(pattern, np.uint16), repeats)
    chain = Chain(sizes, first_alone(np.tile(book, (repeats, 1, 1)), pattern[0]))
    nibbles = chain.encode(y)
    left: FloatArray = np.square(y - chain.decode(nibbles), dtype=np.float64).mean(axis=0)
    pairs, sums = tally(chain, y, nibbles)
    late = slice(1 if repeats > 1 else 0, None)
    pairs = pairs.reshape(repeats, len(pattern), 16, 16)[late].sum(axis=0)
    sums = sums.reshape(repeats, columns, 2, 16)[late].sum(axis=0)
    return solve_books(pairs, sums, book, np.repeat(np.arange(len(pattern)), pattern)), left
