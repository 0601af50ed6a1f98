"""Element swapping: each pair of adjacent columns as its smaller and its larger number, and a bit for which was which.

One layer takes columns 2j and 2j + 1 of every row, puts the smaller number to the left half and the larger one to the
right half, and keeps one indicator bit a pair. The next layer does the same within each half. A column that has no
partner, the last one of an odd width, stays as it is at the end of the left half, so that any width will do without
padding; where 2**layers divides d, a layer has exactly d / 2 pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix

Bits = npt.NDArray[np.bool_]
_Blocks = list[tuple[int, int]]  # first column and the one after the last


def most_layers(d: int) -> int:
    """Return how many layers d columns can have before a half has no pair."""
    return d.bit_length() - 1


def pair_count(d: int, layers: int) -> int:
    """Return the pairs of all layers: indicator bits a row."""
    return sum((stop - start) // 2 for blocks in _tree(d, layers) for start, stop in blocks)


def swap(x: FloatMatrix, layers: int) -> tuple[FloatMatrix, Bits]:
    """Swap the entries of every row by themselves.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        Without NaN. Equal numbers are not swapped, so that even the sign of a zero comes back.
    layers : int
        0 to ``most_layers(d)``; none changes nothing.

    Returns
    -------
    swapped : ndarray of shape (n, d), float32
    indicators : ndarray of shape (n, pair_count(d, layers)), bool
        True where the number of the second column was the smaller one.
    """
    indicators = np.empty((len(x), pair_count(x.shape[1], layers)), np.bool_)
    at = 0
    for blocks in _tree(x.shape[1], layers):
        out = np.empty_like(x)
        for start, stop in blocks:
            pairs = (stop - start) // 2
            middle = stop - pairs
            first, second = x[:, start : start + 2 * pairs : 2], x[:, start + 1 : start + 2 * pairs : 2]
            crossed = np.less(second, first, out=indicators[:, at : at + pairs])
            out[:, start : start + pairs] = np.where(crossed, second, first)
            out[:, middle:stop] = np.where(crossed, first, second)
            out[:, start + pairs : middle] = x[:, start + 2 * pairs : stop]
            at += pairs
        x = out
    return x, indicators


def unswap(x: FloatMatrix, indicators: Bits, layers: int) -> FloatMatrix:
    """Undo ``swap``; of other numbers than came out of it, put each where its indicators say.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
    indicators : ndarray of shape (n, pair_count(d, layers)), bool
    layers : int

    Returns
    -------
    ndarray of shape (n, d), float32
    """
    stop_at = indicators.shape[1]
    for blocks in reversed(_tree(x.shape[1], layers)):
        out = np.empty_like(x)
        at = stop_at - sum((stop - start) // 2 for start, stop in blocks)
        stop_at = at
        for start, stop in blocks:
            pairs = (stop - start) // 2
            middle = stop - pairs
            low, high, crossed = x[:, start : start + pairs], x[:, middle:stop], indicators[:, at : at + pairs]
            out[:, start : start + 2 * pairs : 2] = np.where(crossed, high, low)
            out[:, start + 1 : start + 2 * pairs : 2] = np.where(crossed, low, high)
            out[:, start + 2 * pairs : stop] = x[:, start + pairs : middle]
            at += pairs
        x = out
    return x


def _tree(d: int, layers: int) -> list[_Blocks]:
    """Return the blocks of columns that each layer works on."""
    blocks, tree = [(0, d)], []
    for _ in range(layers):
        tree.append(blocks)
        blocks = [
            half
            for start, stop in blocks
            for half in ((start, stop - (stop - start) // 2), (stop - (stop - start) // 2, stop))
        ]
    return tree
