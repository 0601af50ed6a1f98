"""Books of the trellis code: trained by turns of Viterbi and least squares, as k-means is by turns of its two steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.codecs import Chain
from lplr_index.linalg import column_energies, single_threaded
from lplr_index.threads import by_rows

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)  # columns of a group

_SHAPE_ROWS, _SHAPE_STEPS, _SHAPE_ROUNDS = 1500, 40, 40  # what a shape is trained on
_OWN, _BEFORE = 0.75, 0.6  # spread of a shape's random start: own entries, entries by the nibble before
_PRIOR = 4.0  # rows that the old book counts for: holds words in place that few rows use


class Shape(NamedTuple):
    """How columns of unit variance are coded in groups of one size.

    Attributes
    ----------
    book : ndarray of shape (size, 2, 16), float64
        A book for any such group.
    distortion : float
        Mean squared error of a column.
    """

    book: npt.NDArray[np.float64]
    distortion: float


def measure_shapes(y: FloatMatrix, seed: int) -> dict[int, Shape]:
    """Train one book for all groups of a size and measure what it leaves of the variance, for each of ``SIZES``.

    Parameters
    ----------
    y : ndarray of shape (n, m), float32
        Coefficients, columns by falling energy; each is scaled to unit variance here.
    seed : int
        Of the random starts.

    Notes
    -----
    All groups share a book, so a few rows train it well: it is the start of every group's own book, and its measured
    distortion is what bits are allocated by. Sizes for which there are fewer than two groups are left out.
    """
    rows = y[:_SHAPE_ROWS]
    spread = np.sqrt(column_energies(rows))
    unit = np.ascontiguousarray(rows[:, spread > 0] / spread[spread > 0], np.float32)
    shapes = {}
    with single_threaded():
        for size in SIZES:
            steps = min(_SHAPE_STEPS, unit.shape[1] // size)
            if steps > 1 or size == 1:
                shapes[size] = _measure_shape(np.ascontiguousarray(unit[:, : steps * size]), size, seed)
    return shapes


def _measure_shape(y: FloatMatrix, size: int, seed: int) -> Shape:
    """One shape from columns of unit variance, whose number is a multiple of ``size``."""
    steps = y.shape[1] // size
    rng = np.random.default_rng([seed, size])
    kept = np.sqrt(1 - 2.0 ** (-8 / size))  # spread of a reconstruction at this rate
    book = rng.standard_normal((size, 2, 16)) * kept * np.array([_OWN, _BEFORE])[:, None]
    sizes = np.full(steps, size, np.uint16)
    error = 1.0
    for turn in range(_SHAPE_ROUNDS + 1):
        chain = Chain(sizes, _first_alone(np.tile(book, (steps, 1, 1)), size))
        nibbles = by_rows(chain.encode, y)
        if turn == _SHAPE_ROUNDS:
            error = float(np.square(y - chain.decode(nibbles), dtype=np.float64).mean())
            break
        pairs, sums = _tally(chain, y, nibbles)
        shared = sums.reshape(steps, size, 2, 16)[1:].sum(axis=0) if steps > 1 else sums
        book = _solve(pairs[1:].sum(axis=0)[None] if steps > 1 else pairs, shared, book, np.zeros(size, np.int64))
    return Shape(book, error)


def train_chain(
    y: FloatMatrix, sizes: npt.NDArray[np.uint16], shapes: dict[int, Shape], rounds: int, window: int = 8
) -> Chain:
    """Train the books of all groups.

    Parameters
    ----------
    y : ndarray of shape (n, columns), float32
        Coefficients of the chain's columns.
    sizes : ndarray of shape (steps,), uint16
        Columns of each group.
    shapes : dict of int to Shape
        A start for each size.
    rounds : int
        Turns of encoding and fitting.
    window : int
        8, or 4 for levels that do not look back.
    """
    if not len(sizes):
        return Chain(sizes, np.zeros((0, 2, 16), np.float32))
    spread = np.sqrt(column_energies(y))
    book = np.concatenate([shapes[int(size)].book for size in sizes]) * spread[:, None, None]
    group = np.repeat(np.arange(len(sizes)), sizes)
    alone = len(book) if window == 4 else int(sizes[0])
    with single_threaded():
        for _ in range(rounds):
            chain = Chain(sizes, _first_alone(book, alone))
            pairs, sums = _tally(chain, y, by_rows(chain.encode, y))
            book = _solve(pairs, sums, book, group, coupled=window == 8)
    return Chain(sizes, _first_alone(book, alone))


def _first_alone(book: npt.NDArray[np.float64], columns: int) -> npt.NDArray[np.float32]:
    """The book in float32, with nothing before the first columns."""
    out = book.astype(np.float32)
    out[:columns, 1] = 0
    return out


def _tally(
    chain: Chain, y: FloatMatrix, nibbles: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How often pairs of nibbles meet, (steps, 16, 16), and sums of columns by nibble, (columns, 2, 16)."""
    from lplr_index.kernels import trellis as kernel

    pairs, sums = np.zeros((chain.steps, 16, 16)), np.zeros((len(chain.book), 2, 16))
    kernel.tally(y, chain.starts, nibbles, pairs, sums)
    return pairs, sums


def _solve(
    pairs: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    book: npt.NDArray[np.float64],
    group: npt.NDArray[np.int64],
    *,
    coupled: bool = True,
) -> npt.NDArray[np.float64]:
    """The book of least squared error for given nibbles.

    Parameters
    ----------
    pairs : ndarray of shape (groups, 16, 16)
        How often the nibble before and the own one have which values.
    sums : ndarray of shape (columns, 2, 16)
        Sums of each column by its own nibble and by the one before.
    book : ndarray of shape (columns, 2, 16)
        The old one: a small ridge keeps entries there that rows say little about.
    group : ndarray of shape (columns,)
        The group of each column.
    coupled : bool
        Whether levels add up from both; or the own entries are fitted alone.
    """
    normal = np.zeros((len(pairs), 32, 32))
    own, before = np.arange(16), np.arange(16, 32)
    normal[:, own, own] = pairs.sum(axis=1)
    normal[:, before, before] = pairs.sum(axis=2)
    if coupled:
        normal[:, 16:, :16] = pairs
        normal[:, :16, 16:] = pairs.transpose(0, 2, 1)
    old = book.reshape(len(book), 32)
    missing = sums.reshape(len(book), 32) - (normal[group] @ old[:, :, None])[:, :, 0]
    every = np.arange(32)
    normal[:, every, every] += _PRIOR
    step = np.linalg.solve(normal[group], missing[:, :, None])[:, :, 0]
    return (old + step).reshape(book.shape)
