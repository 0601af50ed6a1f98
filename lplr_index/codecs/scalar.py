"""Each column of L by itself: uniform levels as in the paper, or Lloyd-Max levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lplr_index.allocation import pack_fields
from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.codecs.base import QueryTables, Shares, coarser_steps, query_tables, usual_query
from lplr_index.errors import InputError

if TYPE_CHECKING:
    from lplr_index.kernels.tables import Parts

_TINY = 1e-30
_VECTOR = 16  # floats that kernels compare at once


@dataclass(frozen=True, eq=False)
class ScalarCodec:
    """Each column of L by itself, on its own sorted levels.

    Attributes
    ----------
    bits : ndarray of shape (m,), uint8
        Bits of each column, 1 to 8.
    levels : ndarray of shape (sum of 2**bits,), float32
        The levels of column 0, of column 1, ..., each sorted.
    fields : ndarray of shape (fields, 5), int32
        Where the bits of each code lie: column, nibble, shift in the nibble, mask, shift in the code.
    nibbles : int
        Nibbles of a row's code, an even number.
    """

    bits: npt.NDArray[np.uint8]
    levels: npt.NDArray[np.float32]
    fields: npt.NDArray[np.int32]
    nibbles: int

    @classmethod
    def build(
        cls,
        levels: list[npt.NDArray[np.float32]],
        spread: npt.NDArray[np.float64],
        nbytes: int | None = None,
        *,
        spare: bool = False,
    ) -> ScalarCodec:
        """Lay out codes for given levels.

        Parameters
        ----------
        levels : list of m ndarrays of shape (2**bits,), float32
            Sorted levels of each column, 2 to 256 of them.
        spread : ndarray of shape (m,)
            Typical magnitude of a query in each column; nibbles are ordered by what they add to a score.
        nbytes : int, optional
            Bytes a code must have; as few as possible where None.
        spare : bool
            Leave the last nibble free.

        Raises
        ------
        InputError
            If the levels need more bytes.
        """
        bits = np.array([len(column).bit_length() - 1 for column in levels], np.uint8)
        fields = pack_fields(bits)
        used = int(fields[:, 1].max()) + 1
        least = used + spare
        nibbles = least + least % 2 if nbytes is None else 2 * nbytes
        if least > nibbles:
            raise InputError(f"expected codes of at most {nibbles} nibbles, got {least}")
        flat = np.concatenate(levels).astype(np.float32)
        weight = cls(bits, flat, fields, nibbles).weight(spread)
        order = np.argsort(-weight, kind="stable")
        place = np.empty(used, np.int32)
        place[order] = np.arange(used)
        fields[:, 1] = place[fields[:, 1]]
        return cls(bits, flat, fields, nibbles)

    @property
    def m(self) -> int:
        """Columns of L."""
        return len(self.bits)

    @property
    def column_bits(self) -> npt.NDArray[np.float64]:
        """Bits of each column."""
        return self.bits.astype(np.float64)

    @property
    def stages(self) -> int:
        """Centroid bytes: none."""
        return 0

    @cached_property
    def used(self) -> int:
        """Nibbles that codes lie in; those after them are free."""
        return int(self.fields[:, 1].max()) + 1

    def uses(self, nibble: int) -> bool:
        """Whether a nibble is part of the code."""
        return bool((self.fields[:, 1] == nibble).any())

    def freed(self, nibble: int) -> ScalarCodec:
        """The same code, in which this nibble is free instead of the last."""
        fields = self.fields.copy()
        fields[:, 1] += fields[:, 1] >= nibble
        return replace(self, fields=fields)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Bits, levels and fields."""
        return {"bits": self.bits, "levels": self.levels, "fields": self.fields}

    def weight(self, spread: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What each nibble usually adds to a score, (used,), for usual magnitudes (m,) of y."""
        weight = np.zeros(self.used)
        np.add.at(weight, self.fields[:, 1], np.ptp(self._values[1], axis=1) * spread[self.fields[:, 0]])
        return weight

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each column's levels start in ``levels``, and their number, (m + 1,)."""
        return np.concatenate([[0], np.cumsum(1 << self.bits.astype(np.int64))])

    @cached_property
    def edges(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Midpoints between the levels of each column, and where each column's start, (m + 1,).

        Those of a column are padded with infinity to vectors of 16.
        """
        starts = np.concatenate([[0], np.cumsum(np.maximum(1 << self.bits.astype(np.int64), _VECTOR))])
        edges = np.full(starts[-1], np.inf, np.float32)
        for j, start in enumerate(starts[:-1].tolist()):
            level = self._column(j)
            edges[start : start + len(level) - 1] = (level[1:] + level[:-1]) / np.float32(2)
        return edges, starts

    @cached_property
    def split_fields(self) -> npt.NDArray[np.int32]:
        """The fields of columns that have several, the column counted among the split ones."""
        split = self._split_columns
        several = self.fields[np.isin(self.fields[:, 0], split)].copy()
        several[:, 0] = np.searchsorted(split, several[:, 0])
        return np.ascontiguousarray(several)

    @cached_property
    def split_levels(self) -> npt.NDArray[np.float32]:
        """The levels of the columns that have several fields, by code, (splits, 256)."""
        out = np.zeros((len(self._split_columns), 256), np.float32)
        for s, j in enumerate(self._split_columns.tolist()):
            out[s, : len(self._column(j))] = self._column(j)
        return out

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """Codes (n, nibbles / 2) of the nearest levels of y (n, m) float32, C-contiguous."""
        from lplr_index.kernels import codes as kernel

        edges, starts = self.edges
        out = np.empty((len(y), self.nibbles // 2), np.uint8)
        kernel.encode(y, edges, starts, self.fields, out)
        return out

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Rows of L (n, m) float32 of codes (n, nibbles / 2) uint8."""
        from lplr_index.kernels import codes as kernel

        L = np.empty((len(codes), self.m), np.float32)
        kernel.decode(codes, self.levels, self.starts, self.fields, L)
        return L

    def column_codes(self, codes: ByteMatrix) -> ByteMatrix:
        """The number of each column's level, (n, m) uint8, of codes (n, nibbles / 2)."""
        from lplr_index.kernels import codes as kernel

        numbers = np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], np.diff(self.starts))
        out = np.empty((len(codes), self.m), np.float32)
        kernel.decode(codes, numbers.astype(np.float32), self.starts, self.fields, out)
        return out.astype(np.uint8)

    def query_tables(self, y: FloatMatrix) -> QueryTables:
        """Tables for projected queries y (nq, m) float32, C-contiguous."""
        return query_tables(y, self.centroid_products(y), self.nibbles, self.parts)

    def centroid_products(self, y: FloatMatrix) -> npt.NDArray[np.float32]:
        """Nothing, (nq, 0, 256), for y (nq, m)."""
        return np.empty((len(y), 0, 256), np.float32)

    @property
    def centroid_form(self) -> None:
        """There are no centroids."""

    @cached_property
    def shifts(self) -> npt.NDArray[np.uint8]:
        """How much coarser deficits are than a step, for each eight nibbles."""
        usual = usual_query(self)
        return coarser_steps(self.shares.upper(usual, self.nibbles), self.centroid_products(usual))

    @cached_property
    def parts(self) -> Parts:
        """What nibbles add to the columns of L, for the kernel that makes tables of it."""
        return self.shares.parts(self.nibbles, self.shifts)

    @cached_property
    def shares(self) -> Shares:
        """The same, in the order of columns."""
        column, nibble, shift, mask, _ = self.fields.T.astype(np.int64)
        values = (np.arange(16) >> shift[:, None]) & mask[:, None]
        exact, up, down = (np.take_along_axis(each, values, axis=1) for each in self._values)
        return Shares(nibble, column, exact, up, down, self._split_columns)

    def check(self) -> None:
        """Raise InputError unless the parts fit together, for codecs that come from a file."""
        flat = self.bits.ndim == self.levels.ndim == 1 and self.fields.ndim == 2 and self.fields.shape[1] == 5
        if not (flat and self.m and self._lies_inside() and self._spells_every_code()):
            raise InputError("expected a codec whose columns, levels and fields fit together, got one that is not")

    def _lies_inside(self) -> bool:
        """Whether every number is in the range that its place allows."""
        column, nibble, shift, mask, code_shift = self.fields.T.astype(np.int64)
        return bool(
            ((self.bits >= 1) & (self.bits <= 8)).all()
            and ((column >= 0) & (column < self.m)).all()
            and ((nibble >= 0) & (nibble < self.nibbles)).all()
            and np.isin(mask, [1, 3, 7, 15]).all()
            and ((shift >= 0) & (shift < 4) & (code_shift >= 0) & (code_shift < 8)).all()
            and ((mask << shift) <= 15).all()
            and self.nibbles % 2 == 0
        )

    def _spells_every_code(self) -> bool:
        """Whether fields, by column, spell each column's bits once, and levels are finite and as many as codes."""
        column, mask, code_shift = self.fields[:, [0, 3, 4]].T.astype(np.int64)
        return bool(
            (np.diff(column) >= 0).all()
            and np.array_equal(np.bincount(column, mask << code_shift, self.m), (1 << self.bits.astype(int)) - 1)
            and len(self.levels) == self.starts[-1]
            and np.isfinite(self.levels).all()
        )

    def _column(self, j: int) -> npt.NDArray[np.float32]:
        """The levels of one column."""
        return self.levels[self.starts[j] : self.starts[j + 1]]

    @cached_property
    def _split_columns(self) -> npt.NDArray[np.int64]:
        """Columns whose code spans several nibbles."""
        columns, counts = np.unique(self.fields[:, 0], return_counts=True)
        return columns[counts > 1].astype(np.int64)

    @cached_property
    def _values(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What each field value adds to its column of l: exactly, and at most and at least where columns are split.

        A code in one nibble adds its level. Of a code in several, the lower fields add their mean effect, and the top
        field the most (least) that can remain over all codes it begins: so the sum bounds the level from above (below).
        Where levels lie close together rows are frequent (in Lloyd-Max codebooks as the inverse square of the gap), so
        the mean is weighted to make the bound close there.
        """
        exact = np.zeros((len(self.fields), 16), np.float32)
        up, down = exact.copy(), exact.copy()
        split = set(self._split_columns.tolist())
        for j in range(self.m):
            rows = np.flatnonzero(self.fields[:, 0] == j)
            level = self._column(j).astype(np.float64)
            if j not in split:
                exact[rows[0], : len(level)] = up[rows[0], : len(level)] = down[rows[0], : len(level)] = level
                continue
            code = np.arange(len(level))
            top = code >> self.fields[rows[0], 4]
            middle = np.array([level[top == v].mean() for v in range(self.fields[rows[0], 3] + 1)])[top]
            often = 1 / np.maximum(np.gradient(level), 1e-9 * max(np.ptp(level), _TINY)) ** 2
            rest = level.copy()
            for f in rows[1:]:
                part = (code >> self.fields[f, 4]) & self.fields[f, 3]
                sums = np.bincount(part, often * (level - middle)) / np.bincount(part, often)
                effect = sums.astype(np.float32)
                up[f, : len(effect)] = down[f, : len(effect)] = effect
                rest -= effect[part]
            for v in range(self.fields[rows[0], 3] + 1):
                up[rows[0], v] = np.nextafter(np.float32(rest[top == v].max()), np.float32(np.inf))
                down[rows[0], v] = np.nextafter(np.float32(rest[top == v].min()), np.float32(-np.inf))
        return exact, up, down
