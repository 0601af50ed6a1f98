"""What the index asks of a code for rows of L, ``Codec``, and how codecs make bounds of their tables.

``scalar`` codes every column by itself. Codecs are trained in ``training.py`` and written by ``storage.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray
from lplr_index.memory import aligned

if TYPE_CHECKING:
    from lplr_index.kernels.tables import Parts
    from lplr_index.products import ProductForm

_ANY_ROWS = 256
_SHIFT_MOST = 6
_CHANGE = 0.5  # of the time of eight look-ups, that a change of steps takes
_SCORED = 0.02  # of the time of a scan: rows that are scored exactly where bounds are exact
_SPREADS = 6.0  # how fast rows thin out near the best, in spreads
_ABOVE = 0.5  # in spreads of a sum of four, as far as it fits into a byte: _SPREADS of kernels/tables.py
_LOST = 0.4  # of a step to rounding, on average
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
    deficits : ndarray of shape (nq, nibbles * 16), uint8
        Upper bounds: <y, l> <= base - scale * (deficits of the nibbles, shifted and summed as kernels/bounds.py does,
        and of the stages, doubled).
    stage_deficits : ndarray of shape (nq, stages, 256), uint8
        Of the stages.
    stage_doublings : ndarray of shape (nq,), int64
        How often their sum has to be doubled.
    scale, base : ndarray of shape (nq,), float64
        See ``deficits``.
    size : ndarray of shape (nq,), float64
        Sum of the largest magnitudes of the tables: what rounding errors are relative to.
    """

    exact: npt.NDArray[np.float32]
    split: npt.NDArray[np.float32]
    stages: npt.NDArray[np.float32]
    deficits: npt.NDArray[np.uint8]
    stage_deficits: npt.NDArray[np.uint8]
    stage_doublings: IdArray
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

    def uses(self, nibble: int) -> bool:
        """Whether a nibble is part of the code; another is encoded as zero, and worth nothing whatever it is."""

    def freed(self, nibble: int) -> Self:
        """The same code, in which this nibble is free instead of the last."""

    @property
    def shifts(self) -> npt.NDArray[np.uint8]:
        """How much coarser deficits are than a step, as a power of two, for each eight nibbles; they never rise."""

    @property
    def parts(self) -> Parts:
        """What nibbles add to the columns of L, for the kernel that makes tables of it."""

    def centroid_products(self, y: FloatMatrix) -> npt.NDArray[np.float32]:
        """What the centroids of stages add to <y, l>, (nq, stages, 256) float32, for y (nq, m) float32."""

    @property
    def centroid_form(self) -> ProductForm | None:
        """What a kernel needs to do so, ``Product.form``; None where there are no stages."""

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


class Shares(NamedTuple):
    """What the nibbles of a code add to the columns of L, in any order.

    Attributes
    ----------
    nibbles, columns : ndarray of shape (n,), int64
        Which nibble adds to which column.
    exact : ndarray of shape (n, 16), float32
        How much, by the nibble's value; zeros in columns whose code spans several nibbles.
    up, down : ndarray of shape (n, 16), float32
        What adds up to at least, and at most, the level of the column; ``exact`` itself in other columns.
    split : ndarray of shape (splits,), int64
        The columns whose code spans several nibbles.
    """

    nibbles: IdArray
    columns: IdArray
    exact: npt.NDArray[np.float32]
    up: npt.NDArray[np.float32]
    down: npt.NDArray[np.float32]
    split: IdArray

    def and_those_of(self, other: Shares) -> Shares:
        """Both."""
        return Shares(*(np.concatenate([getattr(each, name) for each in (self, other)]) for name in self._fields))

    def parts(self, nibbles: int, shifts: npt.NDArray[np.uint8]) -> Parts:
        """The same by nibble, of which there are so many, with ``shifts`` (ceil(nibbles / 8),), for the kernel."""
        from lplr_index.kernels import tables as kernel

        order = np.argsort(self.nibbles, kind="stable")
        starts = np.searchsorted(self.nibbles[order], np.arange(nibbles + 1)).astype(np.int64)
        bounds = order if len(self.split) else order[:0]
        return kernel.Parts(
            starts,
            self.columns[order],
            self.exact[order],
            self.up[bounds],
            self.down[bounds],
            self.split,
            shifts.astype(np.int64),
        )

    def upper(self, y: FloatMatrix, nibbles: int) -> npt.NDArray[np.float32]:
        """The tables (nibbles, 16) that bound scores of one query y (1, m) without negative entries."""
        out = np.zeros((nibbles, 16), np.float32)
        np.add.at(out, self.nibbles, y[0, self.columns, None] * self.up)
        return out


def query_tables(y: FloatMatrix, stages: npt.NDArray[np.float32], nibbles: int, parts: Parts) -> QueryTables:
    """Tables of projected queries y (nq, m), C-contiguous, of ``stages`` (nq, stages, 256), both float32, and parts."""
    from lplr_index.kernels import tables as kernel

    nq = len(y)
    out = QueryTables(
        exact=np.empty((nq, nibbles, 16), np.float32),
        split=np.ascontiguousarray(y[:, parts.split]),
        stages=stages,
        deficits=aligned((nq, nibbles * 16)),
        stage_deficits=np.empty(stages.shape, np.uint8),
        stage_doublings=np.empty(nq, np.int64),
        scale=np.empty(nq),
        base=np.empty(nq),
        size=np.empty(nq),
    )
    kernel.tables(y, stages, parts, 1, out.exact, out.deficits, np.empty(out.deficits.shape, np.uint8), *out[4:])
    return out


def split_tables(codec: Codec) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Columns whose code spans nibbles as the scan reads them, ``Levels`` of kernels/layout.py.

    Returns
    -------
    places : ndarray of shape (splits, 5), int32
        Two nibbles of each, a third, and the shift and the mask of its bits, all of them zero where there is none.
    levels : ndarray of shape (splits, 256 times the codes of the largest mask), float32
        The level for the two nibbles, the first one in the low bits, and for the bits of the third above them.
    """
    fields, levels = codec.split_fields.astype(np.int64), codec.split_levels
    places = np.zeros((len(levels), 5), np.int32)
    third = [fields[fields[:, 0] == s][2:] for s in range(len(levels))]
    raw = np.arange(256 * (1 + max((int(each[0, 3]) for each in third if len(each)), default=0)))
    out = np.zeros((len(levels), len(raw)), np.float32)
    for s, more in enumerate(third):
        (_, low, *at_low), (_, high, *at_high) = fields[fields[:, 0] == s][:2].tolist()
        places[s, :2] = low, high
        code = _piece(raw & 15, *at_low) | _piece(raw >> 4 & 15, *at_high)
        if len(more):
            places[s, 2:] = more[0, 1:4]
            code |= _piece(raw >> 8, 0, *more[0, 3:])
        out[s] = levels[s, code]
    return places, out


def _piece(nibble: IdArray, shift: int, mask: int, code_shift: int) -> IdArray:
    """What a field of nibbles adds to a code."""
    return ((nibble >> shift) & mask) << code_shift


def usual_query(codec: Codec) -> FloatMatrix:
    """A query (1, m) as large in each column as rows of any codes are: queries are often like rows."""
    codes = np.random.default_rng(0).integers(0, 256, (_ANY_ROWS, codec.nibbles // 2 + codec.stages), dtype=np.uint8)
    usual: FloatMatrix = codec.decode(codes).std(axis=0, keepdims=True)
    return usual


def coarser_steps(upper: npt.NDArray[np.float32], stages: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Shifts (ceil(nibbles / 8),) for tables like those of one query, (nibbles, 16) and (1, stages, 256).

    Of each deficit two fifths of a step are lost to rounding, and rows pass that have to be scored for nothing: their
    number grows exponentially with the rounding relative to the spread of scores, as the tail of a distribution does.
    Steps are as small as the eight nibbles of the largest deficits allow, unless those have coarser ones; each change
    of step takes the time of some look-ups.
    """
    padded = np.zeros((-(-len(upper) // 8) * 8, 16))
    padded[: len(upper)] = upper
    mean, variance = (each.reshape(-1, 4, 2).sum(axis=1) for each in (padded.max(1) - padded.mean(1), padded.var(1)))
    need = (mean + _ABOVE * np.sqrt(variance)).max(axis=1)
    spread = max(float(np.sqrt(variance.sum() + stages[0].var(axis=1, dtype=np.float64).sum())), _TINY)
    best, least = np.zeros(len(need), np.uint8), np.inf
    for unit in np.unique(need[need > 0]):
        wanted = np.clip(np.ceil(np.log2(np.maximum(need, _TINY) / unit)), 0, _SHIFT_MOST).astype(np.uint8)
        shifts = np.maximum.accumulate(wanted[::-1])[::-1]
        lost = 8 * _LOST * float((need / 2.0**shifts).max()) / 255 * float((2.0**shifts).sum())
        time = _CHANGE * np.count_nonzero(np.diff(shifts)) / len(shifts)
        time += _SCORED * np.exp(min(_SPREADS * lost / spread, 100.0))
        if time < least:
            best, least = shifts, time
    return best
