"""What the index asks of a code for rows of L, ``Codec``, and how codecs make bounds of their tables.

``scalar`` codes every column by itself. Codecs are trained in ``training.py`` and written by ``storage.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix

_SCORED = 0.02  # of the time of a scan: rows that are scored exactly where bounds are exact
_SPREADS = 6.0  # how fast rows thin out near the best, in spreads; queries with uneven y round twice as coarsely
_TINY = 1e-30


class QueryTables(NamedTuple):
    """What <y, l> is made of, for nq projected queries: a table of 16 entries a nibble, one of 256 a stage.

    Attributes
    ----------
    exact : ndarray of shape (nq, nibbles, 16), float32
        Partial scores; with ``stages`` and ``split`` they add up to <y, l>.
    split : ndarray of shape (nq, splits), float32
        The entries of y for columns whose code spans several nibbles; they score by their ``split_levels``.
    stages : ndarray of shape (nq, stages, 256), float32
        Partial scores of the centroids of each stage.
    bounds : ndarray of shape (nq, (nibbles + heavy) * 16), uint8
        Upper bounds: <y, l> <= base + scale * (low digits + 64 * high digits of the first ``heavy`` nibbles + those of
        the stages).
    stage_bounds : ndarray of shape (nq, stages, 256), int32
        Of the stages.
    scale, base : ndarray of shape (nq,), float64
        See ``bounds``.
    size : ndarray of shape (nq,), float64
        Sum of the largest magnitudes of the tables: what rounding errors are relative to.
    """

    exact: npt.NDArray[np.float32]
    split: npt.NDArray[np.float32]
    stages: npt.NDArray[np.float32]
    bounds: npt.NDArray[np.uint8]
    stage_bounds: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float64]
    base: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]


class Codec(Protocol):
    """A code for rows of L (n, m), decoded by looking up nibbles and bytes.

    A row's code is ``nibbles`` / 2 bytes, low nibble first, then one byte for each of the ``stages``.
    """

    @property
    def m(self) -> int:
        """Columns of L."""

    @property
    def column_bits(self) -> npt.NDArray[np.float64]:
        """Bits (m,) of each column of L, those of the stages aside."""

    @property
    def nibbles(self) -> int:
        """Nibbles of a row's code, an even number."""

    @property
    def stages(self) -> int:
        """Bytes of a row's code that select one of 256 centroids each."""

    @property
    def spare(self) -> bool:
        """Whether the last nibble is free for a gain: encoded as zero, worth nothing whatever it is."""

    @property
    def heavy(self) -> int:
        """Leading nibbles whose bounds have two digits: a multiple of eight, or all."""

    @property
    def split_fields(self) -> npt.NDArray[np.int32]:
        """Where codes lie that span several nibbles, (fields, 5): split, nibble, shift, mask, shift in the code."""

    @property
    def split_levels(self) -> npt.NDArray[np.float32]:
        """The levels of those columns by code, (splits, 256); zeros where there are fewer codes."""

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What it has learned, under the names that files give it."""

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """Codes (n, nibbles / 2 + stages) uint8 of the rows of y (n, m) float32, C-contiguous."""

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Rows of L (n, m) float32 of codes (n, nibbles / 2 + stages) uint8, C-contiguous."""

    def query_tables(self, y: FloatMatrix) -> QueryTables:
        """Tables for projected queries y (nq, m) float32, C-contiguous."""

    def check(self) -> None:
        """Raise InputError unless the parts fit together, for codecs that come from a file."""


def bound_tables(
    exact: npt.NDArray[np.float32],
    upper: npt.NDArray[np.float32],
    split: npt.NDArray[np.float32],
    stages: npt.NDArray[np.float32],
    heavy: int,
) -> QueryTables:
    """Round tables up to integers and put all of them together.

    Parameters
    ----------
    exact : ndarray of shape (nq, nibbles, 16), float32
        Partial scores, as in ``QueryTables``.
    upper : ndarray of shape (nq, nibbles, 16), float32
        What bounds the parts of ``exact`` and ``split`` together, by nibble; ``exact`` itself where nothing is split.
    split : ndarray of shape (nq, splits), float32
        As in ``QueryTables``.
    stages : ndarray of shape (nq, stages, 256), float32
        As in ``QueryTables``.
    heavy : int
        Leading nibbles that get two digits.
    """
    from lplr_index.kernels import codes as kernel

    nq, nibbles, _ = exact.shape
    bounds, stage_bounds = np.empty((nq, (nibbles + heavy) * 16), np.uint8), np.empty(stages.shape, np.int32)
    scale, base, size = np.empty(nq), np.empty(nq), np.empty(nq)
    kernel.quantize_tables(upper, stages, heavy, bounds, stage_bounds, scale, base, size)
    return QueryTables(exact, split, stages, bounds, stage_bounds, scale, base, size)


def heavy_nibbles(weight: npt.NDArray[np.float64]) -> int:
    """How many leading nibbles want bounds of two digits, for the typical range (nibbles,) of each, by falling weight.

    Bounds are rounded up in steps of one size for all nibbles, on average by half a step each. The step has to fit the
    range of the heavy nibbles into two digits and those of the others, four at a time, into one byte. A heavy nibble
    is one more look-up for every row; a coarse step lets rows pass that have to be scored for nothing, and their number
    grows exponentially with the rounding relative to the spread of scores, as the tail of a distribution does.
    """
    nibbles = len(weight)
    padded = np.concatenate([weight, np.zeros(-nibbles % 8 + 8)])
    fours = padded.reshape(-1, 4, 2).sum(axis=1).max(axis=1)  # of columns c, c + 2, c + 4, c + 6 of each eight
    spread = max(float(np.sqrt(np.square(weight / 4).sum())), _TINY)
    heavy = np.minimum(8 * np.arange(1, len(fours)), nibbles)
    steps = np.array([max(fours[eights:].max() / 251, weight[0] / (64 * 62)) for eights in range(1, len(fours))])
    scored = _SCORED * np.exp(np.minimum(_SPREADS * nibbles * steps / 2 / spread, 100.0))
    return int(heavy[np.argmin(heavy / nibbles + scored)])
