"""Where the bits go: the exact optimum over how columns share a row's nibbles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Option(NamedTuple):
    """A way to code a few columns that follow each other.

    Attributes
    ----------
    columns, nibbles : int
        How many columns, and nibbles for them together.
    bits : int
        Bits of each column's scalar code; 0 where the columns are the chain's.
    distortion : float
        The part of a column's variance that is left as squared error.
    pattern : tuple of int
        Columns of each nibble, of the chain.
    """

    columns: int
    nibbles: int
    bits: int
    distortion: float
    pattern: tuple[int, ...] = ()

    @classmethod
    def chained(cls, pattern: tuple[int, ...], distortion: float) -> Option:
        """Columns of the chain."""
        return cls(sum(pattern), len(pattern), 0, distortion, pattern)


class Shares(NamedTuple):
    """Who gets which bits; column numbers are those of the energies asked with.

    Attributes
    ----------
    scalar : ndarray of shape (scalar columns,), int64
        Columns with scalar codes.
    bits : ndarray of shape (scalar columns,), uint8
        Their bits.
    chained : ndarray of shape (columns of the chain,), int64
        Columns of the chain, in order.
    patterns : list of tuple of int
        The columns of its nibbles, one pattern after the other.
    """

    scalar: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint8]
    chained: npt.NDArray[np.int64]
    patterns: list[tuple[int, ...]]

    @property
    def sizes(self) -> npt.NDArray[np.uint16]:
        """Columns of each group of the chain, (steps,)."""
        return np.array([size for pattern in self.patterns for size in pattern], np.uint16)


def share_nibbles(energies: npt.NDArray[np.float64], options: list[Option], nibbles: int) -> Shares:
    """Cut columns into consecutive options of least total distortion that take at most ``nibbles`` nibbles.

    At least one column is coded, even if none has any energy.

    Parameters
    ----------
    energies : ndarray of shape (m,)
        Variance of each column, not increasing. Columns at the end may stay without a code.
    options : list of Option
        What there is to choose from.
    nibbles : int
        The budget.

    Notes
    -----
    Dynamic programme over (columns coded, nibbles spent), exact for the given distortions: m * nibbles * options steps.
    """
    m = len(energies)
    ends = np.concatenate([[0.0], np.cumsum(energies)])
    least = np.full((m + 1, nibbles + 1), np.inf)  # distortion of the coded columns, less their variance
    least[0] = 0.0
    choice = np.zeros((m + 1, nibbles + 1), np.uint8)
    for i in range(m):
        for number, option in enumerate(options):
            stop = i + option.columns
            if stop > m or option.nibbles > nibbles:
                continue
            saved = (1 - option.distortion) * (ends[stop] - ends[i])
            reached = least[i, : nibbles + 1 - option.nibbles] - saved
            target = least[stop, option.nibbles :]
            better = reached < target
            target[better] = reached[better]
            choice[stop, option.nibbles :][better] = number
    at, left = 1 + int(least[1:, nibbles].argmin()), nibbles
    chosen: list[Option] = []
    while at:
        chosen.append(options[choice[at, left]])
        at, left = at - chosen[-1].columns, left - chosen[-1].nibbles
    return _assemble(chosen[::-1])


def _assemble(chosen: list[Option]) -> Shares:
    """Sort columns by kind, each kind in order."""
    scalar: list[int] = []
    bits: list[int] = []
    chained: list[int] = []
    patterns: list[tuple[int, ...]] = []
    column = 0
    for option in chosen:
        mine = range(column, column + option.columns)
        column += option.columns
        if option.bits:
            scalar += mine
            bits += [option.bits] * option.columns
        else:
            chained += mine
            patterns.append(option.pattern)
    return Shares(np.array(scalar, np.int64), np.array(bits, np.uint8), np.array(chained, np.int64), patterns)
