"""The trellis code of ``auto``: centroid bytes, then a chain of nibbles in which neighbours share columns.

A row l of L is coded as  l = c_1 + ... + c_stages + e:  each stage's byte selects one of 256 centroids, as in a
residual quantizer, and e is coded in nibbles. The columns of largest energy may have scalar codes of their own. The
others form groups, nibble t's group of one to many columns; a column's level is the sum of two entries of its book,
one selected by its own nibble and one by the nibble before. So a column is quantized with a window of eight bits
although a scan looks up one table a nibble: trellis-coded quantization (Marcellin & Fischer 1990) of vectors, with
additive windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.codecs.base import QueryTables, Shares, coarser_steps, query_tables, usual_query
from lplr_index.codecs.centroids import CENTROIDS, Centroids
from lplr_index.codecs.scalar import ScalarCodec
from lplr_index.errors import InputError

if TYPE_CHECKING:
    from lplr_index.kernels.tables import Parts
    from lplr_index.products import ProductForm

_TRIES = 4  # choices of centroids for which nibbles are found

NO_SCALARS = (
    np.zeros(0, np.float32),
    np.zeros(1, np.int64),
    np.zeros(0, np.float32),
    np.zeros(1, np.int64),
    np.zeros((0, 5), np.int32),
)
"""Of a code without scalar columns, what kernels take."""

Half = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Chain:
    """Groups of columns, a nibble each, whose levels depend on the nibble and on the one before.

    Attributes
    ----------
    sizes : ndarray of shape (steps,), uint16
        Columns of each nibble's group; a nibble without any counts in the next group alone.
    book : ndarray of shape (columns, 2, 16), float32
        What a column's level adds up from: an entry by its own nibble and one by the nibble before (zeros for the
        first group).
    """

    sizes: npt.NDArray[np.uint16]
    book: npt.NDArray[np.float32]

    @property
    def steps(self) -> int:
        """Nibbles."""
        return len(self.sizes)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first column of each group, and the number of all columns, (steps + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """The nibbles (n, steps) uint8 of least squared error for rows y (n, columns) float32, C-contiguous."""
        from lplr_index.kernels import trellis as kernel

        nibbles, alone = np.empty((len(y), self.steps), np.uint8), np.zeros((len(y), 1, 0), np.uint8)
        kernel.encode(y, self._no_centroids, alone, NO_SCALARS, self.kernel_form, self._bytes, nibbles)
        return nibbles

    def decode(self, nibbles: ByteMatrix) -> FloatMatrix:
        """Levels (n, columns) float32 of nibbles (n, steps) uint8, C-contiguous."""
        from lplr_index.kernels import trellis as kernel

        L = np.empty((len(nibbles), len(self.book)), np.float32)
        kernel.decode(nibbles, self._no_centroids, NO_SCALARS, self.kernel_form, self._bytes, L)
        return L

    @property
    def shares(self) -> Shares:
        """What nibbles add to the columns: first by themselves, then in the group after."""
        group, columns = np.repeat(np.arange(self.steps), self.sizes), np.arange(len(self.book))
        later = group > 0
        nibbles = np.concatenate([group, group[later] - 1])
        exact = np.concatenate([self.book[:, 0], self.book[later, 1]])
        return Shares(nibbles, np.concatenate([columns, columns[later]]), exact, exact, exact, columns[:0])

    def weight(self, spread: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """How far apart the entries of each nibble's table usually lie, (steps,), for usual |y| (columns,)."""
        reach = np.ptp(self.book, axis=2) * spread[:, None]  # (columns, 2)
        own, later = self._by_group(reach).T
        weight: npt.NDArray[np.float64] = np.sqrt(own**2 + np.append(later[1:], np.zeros(min(self.steps, 1))) ** 2)
        return weight

    def _by_group(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sums over the columns of each group, (steps, ...), of values (columns, ...)."""
        sums, some = np.zeros((self.steps, *values.shape[1:])), self.sizes > 0
        if some.any():
            sums[some] = np.add.reduceat(values, self.starts[:-1][some], axis=0)
        return sums

    @cached_property
    def _flat(self) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(self.book, np.float32).reshape(-1)

    @cached_property
    def kernel_form(self) -> tuple[npt.NDArray[Any], ...]:
        """What kernels take: starts, book, squared lengths of what nibbles add, and the products with what is before.

        The products come in both orders, the second time doubled.
        """
        book = self.book.astype(np.float64)
        lengths = self._by_group(np.square(book))
        squares = lengths[:, 0]
        squares[:-1] += lengths[1:, 1]
        rows = self._by_group(book[:, 1, :, None] * book[:, 0, None, :]).astype(np.float32)
        columns = np.ascontiguousarray(2 * rows.transpose(0, 2, 1))
        return self.starts, self._flat, squares.astype(np.float32).reshape(-1), rows.reshape(-1), columns.reshape(-1)

    @cached_property
    def _bytes(self) -> npt.NDArray[np.int32]:
        """The nibbles' places (steps,) where each has a byte of its own."""
        return 2 * np.arange(self.steps, dtype=np.int32)

    @cached_property
    def _no_centroids(self) -> npt.NDArray[np.float32]:
        return np.zeros((0, CENTROIDS, len(self.book)), np.float32)


@dataclass(frozen=True, eq=False)
class TrellisCodec:
    """Centroid bytes, scalar codes, and a chain of nibbles.

    Columns of L come in the order: those with scalar codes, those of the chain, those that centroids alone reach.
    Numbers are held as float16 times ``unit``.

    Attributes
    ----------
    centroids : ndarray of shape (stages, 256, m), float16
        The centroids of each stage.
    scalar : ScalarCodec or None
        The code of the first columns.
    sizes : ndarray of shape (steps,), uint16
        Columns of each nibble's group.
    book : ndarray of shape (columns of the chain, 2, 16), float16
        See ``Chain``.
    places : ndarray of shape (nibbles of the scalar code + steps,), int32
        Which nibble of a row each of them is.
    unit : ndarray of shape (1,), float32
        What the numbers of ``centroids`` and ``book`` are multiples of.
    nibbles : int
        Nibbles of a row, an even number.
    """

    centroids: Half
    scalar: ScalarCodec | None
    sizes: npt.NDArray[np.uint16]
    book: Half
    places: npt.NDArray[np.int32]
    unit: npt.NDArray[np.float32]
    nibbles: int

    @classmethod
    def build(
        cls,
        *,
        centroids: FloatMatrix,
        scalar: ScalarCodec | None,
        chain: Chain,
        spread: npt.NDArray[np.float64],
        nbytes: int,
        spare: bool,
    ) -> TrellisCodec:
        """Lay out the parts in rows of ``nbytes`` bytes.

        Parameters
        ----------
        centroids : ndarray of shape (stages, 256, m), float32
            Of each stage.
        scalar : ScalarCodec or None
            The code of the first columns.
        chain : Chain
            The code of the columns after them.
        spread : ndarray of shape (m,)
            Typical magnitude of a query in each column; nibbles are ordered by what they add to a score.
        nbytes : int
            Bytes of a row, centroid bytes and the spare nibble included.
        spare : bool
            Whether the last nibble is left to the gain.

        Raises
        ------
        InputError
            If the parts need more bytes.
        """
        first = scalar.m if scalar else 0
        nibbles = 2 * (nbytes - len(centroids))
        weight = chain.weight(spread[first : first + len(chain.book)])
        if scalar:
            weight = np.concatenate([scalar.weight(spread[:first]), weight])
        if len(weight) + spare > nibbles:
            raise InputError(f"expected codes of at most {nibbles} nibbles, got {len(weight) + spare}")
        order = np.argsort(-weight, kind="stable")
        places = np.empty(len(weight), np.int32)
        places[order] = np.arange(len(weight), dtype=np.int32)
        largest = max(float(np.abs(part).max(initial=0.0)) for part in (centroids, chain.book))
        unit = np.array([largest if largest > 0 else 1.0], np.float32)
        halves, book = ((part / unit).astype(np.float16) for part in (centroids, chain.book))
        return cls(halves, scalar, chain.sizes, book, places, unit, nibbles)

    @property
    def m(self) -> int:
        """Columns of L."""
        return int(self.centroids.shape[2])

    @property
    def stages(self) -> int:
        """Centroid bytes of a row."""
        return len(self.centroids)

    @property
    def column_bits(self) -> npt.NDArray[np.float64]:
        """Bits of each column, centroids aside: a group shares its nibble, and nibbles without columns before it."""
        bits = np.zeros(self.m)
        if self.scalar is not None:
            bits[: self._first] = self.scalar.bits
        some = np.flatnonzero(self.sizes)
        shared = 4 * np.diff(some, prepend=-1) / self.sizes[some]
        bits[self._first : self._first + len(self.book)] = np.repeat(shared, self.sizes[some])
        return bits

    def uses(self, nibble: int) -> bool:
        """Whether a nibble is part of the code."""
        return bool((self.places == nibble).any())

    def freed(self, nibble: int) -> TrellisCodec:
        """The same code, in which this nibble is free instead of the last."""
        return replace(self, places=self.places + (self.places >= nibble))

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Its own arrays and those of the scalar code."""
        own: dict[str, npt.NDArray[Any]] = {"centroids": self.centroids, "sizes": self.sizes}
        own |= {"book": self.book, "places": self.places, "unit": self.unit}
        return own | (self.scalar.arrays if self.scalar is not None else {})

    @property
    def split_fields(self) -> npt.NDArray[np.int32]:
        """Fields of scalar codes that span several nibbles, (fields, 5)."""
        if self.scalar is None:
            return np.empty((0, 5), np.int32)
        fields = self.scalar.split_fields.copy()
        fields[:, 1] = self.places[fields[:, 1]]
        return fields

    @property
    def split_levels(self) -> npt.NDArray[np.float32]:
        """Their levels by code, (splits, 256)."""
        return np.zeros((0, 256), np.float32) if self.scalar is None else self.scalar.split_levels

    @cached_property
    def chain(self) -> Chain:
        """The chain of nibbles, in float32."""
        return Chain(self.sizes, self.book.astype(np.float32) * self.unit)

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """Codes (n, nibbles / 2 + stages) uint8 of rows y (n, m) float32, C-contiguous.

        The nibbles are found for each of a few good choices of centroids, and the best of these codes is taken.
        """
        from lplr_index.kernels import trellis as kernel

        choices = self._centroids.choices(y, _TRIES)
        codes = np.empty((len(y), self.nibbles // 2 + self.stages), np.uint8)
        kernel.encode(y, self._centroids.table, choices, *self._kernel_form, codes)
        return codes

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Rows of L (n, m) float32 of codes (n, nibbles / 2 + stages) uint8, C-contiguous."""
        from lplr_index.kernels import trellis as kernel

        L = np.empty((len(codes), self.m), np.float32)
        kernel.decode(codes, self._centroids.table, *self._kernel_form, L)
        return L

    def query_tables(self, y: FloatMatrix) -> QueryTables:
        """Tables for projected queries y (nq, m) float32, C-contiguous."""
        return query_tables(y, self.centroid_products(y), self.nibbles, self.parts)

    def centroid_products(self, y: FloatMatrix) -> npt.NDArray[np.float32]:
        """What the centroids of stages add to <y, l>, (nq, stages, 256) float32, for y (nq, m) float32."""
        return self._centroids.products(y) if self.stages else np.empty((len(y), 0, CENTROIDS), np.float32)

    @property
    def centroid_form(self) -> ProductForm | None:
        """What a kernel needs for those products; None where there are no stages."""
        return self._centroids.form if self.stages else None

    @cached_property
    def shifts(self) -> npt.NDArray[np.uint8]:
        """How much coarser deficits are than a step, for each eight nibbles."""
        usual = usual_query(self)
        return coarser_steps(self._shares.upper(usual, self.nibbles), self.centroid_products(usual))

    @cached_property
    def parts(self) -> Parts:
        """What nibbles add to the columns of L, for the kernel that makes tables of it."""
        return self._shares.parts(self.nibbles, self.shifts)

    @cached_property
    def _shares(self) -> Shares:
        """The same: of the scalar code, then of the chain."""
        chain = self.chain.shares
        chain = chain._replace(nibbles=chain.nibbles + self._scalar_nibbles, columns=chain.columns + self._first)
        if self.scalar is not None:
            chain = self.scalar.shares.and_those_of(chain)
        return chain._replace(nibbles=self.places[chain.nibbles].astype(np.int64))

    def check(self) -> None:
        """Raise InputError unless the parts fit together, for codecs that come from a file."""
        if not (self._shapes_fit() and self._numbers_fit()):
            raise InputError("expected a trellis codec whose parts fit together, got one that is not")
        if self.scalar is not None:
            self.scalar.check()

    def _shapes_fit(self) -> bool:
        """Whether arrays have the dimensions and sizes that each other ask for."""
        if not (self.centroids.ndim == self.book.ndim == 3 and self.sizes.ndim == self.places.ndim == 1):
            return False
        columns = self._first + len(self.book)
        return bool(
            self.centroids.shape[1] == CENTROIDS
            and 1 <= columns <= self.m
            and (self.stages or columns == self.m)
            and self.book.shape[1:] == (2, 16)
            and self.unit.shape == (1,)
            and int(self.sizes.astype(np.int64).sum()) == len(self.book)
            and not (len(self.sizes) and self.sizes[-1] == 0)
            and len(self.places) == self._scalar_nibbles + len(self.sizes)
            and len(self.places) <= self.nibbles
            and self.nibbles % 2 == 0
        )

    def _numbers_fit(self) -> bool:
        """Whether every number is in the range that its place allows."""
        return bool(
            np.isfinite(self.centroids).all()
            and np.isfinite(self.book).all()
            and not (len(self.sizes) and self.book[: self.sizes[0], 1].any())
            and np.isfinite(self.unit).all()
            and (self.unit > 0).all()
            and len(np.unique(self.places)) == len(self.places)
            and (self.places >= 0).all()
            and (self.places < self.nibbles).all()
        )

    @property
    def _first(self) -> int:
        """Columns before the chain's."""
        return self.scalar.m if self.scalar is not None else 0

    @property
    def _scalar_nibbles(self) -> int:
        """Nibbles that scalar codes use."""
        return self.scalar.used if self.scalar is not None else 0

    @cached_property
    def _centroids(self) -> Centroids:
        """The centroids in float32."""
        return Centroids(self.centroids.astype(np.float32) * self.unit, float(self.unit[0]))

    @cached_property
    def _kernel_form(self) -> tuple[tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...], npt.NDArray[np.int32]]:
        """What kernels take: scalar codes with fields in this code's nibbles, the chain, the places of its nibbles."""
        places = np.ascontiguousarray(self.places[self._scalar_nibbles :])
        if self.scalar is None:
            return NO_SCALARS, self.chain.kernel_form, places
        fields = self.scalar.fields.copy()
        fields[:, 1] = self.places[fields[:, 1]]
        return (*self.scalar.edges, self.scalar.levels, self.scalar.starts, fields), self.chain.kernel_form, places
