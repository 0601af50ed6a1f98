"""Books of the trellis code: trained by turns of Viterbi and least squares, as k-means is by turns of its two steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.codecs import Chain
from lplr_index.linalg import column_energies, single_threaded
from lplr_index.threads import by_rows

_ALONE = 10  # turns of the first group by itself: it has nothing before it, so its start fits badly
_PRIOR = 4.0  # rows that the old book counts for: holds words in place that few rows use


def train_chain(
    y: FloatMatrix, sizes: npt.NDArray[np.uint16], start: npt.NDArray[np.float64], rounds: int, window: int = 8
) -> Chain:
    """Train the books of all groups.

    Parameters
    ----------
    y : ndarray of shape (n, columns), float32
        Coefficients of the chain's columns.
    sizes : ndarray of shape (steps,), uint16
        Columns of each group.
    start : ndarray of shape (columns, 2, 16), float64
        Books for columns of unit variance.
    rounds : int
        Turns of encoding and fitting.
    window : int
        8, or 4 for levels that do not look back.
    """
    if not len(sizes):
        return Chain(sizes, np.zeros((0, 2, 16), np.float32))
    spread = np.sqrt(column_energies(y))
    book = start * spread[:, None, None]
    group = np.repeat(np.arange(len(sizes)), sizes)
    alone = len(book) if window == 4 else int(sizes[0])
    with single_threaded():
        for turn in range(-_ALONE, rounds):
            groups = 1 if turn < 0 else len(sizes)
            columns = int(sizes[:groups].sum())
            chain = Chain(sizes[:groups], first_alone(book[:columns], alone))
            part = np.ascontiguousarray(y[:, :columns])
            pairs, sums = tally(chain, part, by_rows(chain.encode, part))
            book[:columns] = solve_books(pairs, sums, book[:columns], group[:columns], coupled=window == 8)
    return Chain(sizes, first_alone(book, alone))


def first_alone(book: npt.NDArray[np.float64], columns: int) -> npt.NDArray[np.float32]:
    """The book (columns, 2, 16) in float32, with nothing before the first so many columns."""
    out = book.astype(np.float32)
    out[:columns, 1] = 0
    return out


def tally(
    chain: Chain, y: FloatMatrix, nibbles: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How often pairs of nibbles meet, (steps, 16, 16), and sums of columns by nibble, (columns, 2, 16)."""
    from lplr_index.kernels import trellis as kernel

    pairs, sums = np.zeros((chain.steps, 16, 16)), np.zeros((len(chain.book), 2, 16))
    kernel.tally(y, chain.starts, nibbles, pairs, sums)
    return pairs, sums


def solve_books(
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
