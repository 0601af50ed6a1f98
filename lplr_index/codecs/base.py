"""What the index asks of a code for rows of L: ``Codec``.

``scalar`` codes every column by itself. Codecs are trained in ``training.py`` and written by ``storage.py``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix


class QueryTables(NamedTuple):
    """What <y, l> is made of, for nq projected queries: one table of 16 entries a nibble.

    Attributes
    ----------
    exact : ndarray of shape (nq, nibbles, 16), float32
        Partial scores; with ``split`` they add up to <y, l>.
    split : ndarray of shape (nq, splits), float32
        The entries of y for columns whose code spans several nibbles; they score by their ``split_levels``.
    bounds : ndarray of shape (nq, (nibbles + heavy) * 16), uint8
        Upper bounds: <y, l> <= base + scale * (low digits + 64 * high digits of the first ``heavy`` nibbles).
    scale, base : ndarray of shape (nq,), float64
        See ``bounds``.
    size : ndarray of shape (nq,), float64
        Sum of the largest magnitudes of the tables: what rounding errors are relative to.
    """

    exact: npt.NDArray[np.float32]
    split: npt.NDArray[np.float32]
    bounds: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float64]
    base: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]


class Codec(Protocol):
    """A code for rows of L (n, m): ``nbytes`` bytes a row, decoded by looking up nibbles."""

    @property
    def m(self) -> int:
        """Columns of L."""

    @property
    def nibbles(self) -> int:
        """Nibbles of a row's code, an even number."""

    @property
    def heavy(self) -> int:
        """Leading nibbles whose bounds have two digits: a multiple of eight, or all."""

    @property
    def split_fields(self) -> npt.NDArray[np.int32]:
        """Where codes lie that span several nibbles, (fields, 5): split, nibble, shift, mask, shift in the code."""

    @property
    def split_levels(self) -> npt.NDArray[np.float32]:
        """The levels of those columns by code, (splits, 256); zeros where there are fewer codes."""

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """Codes (n, nibbles / 2) of the rows of y (n, m)."""

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Rows of L (n, m) of codes (n, nibbles / 2)."""

    def query_tables(self, y: FloatMatrix) -> QueryTables:
        """Tables for projected queries y (nq, m)."""
