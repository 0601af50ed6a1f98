"""Centroid bytes of a row: a residual quantizer, each stage's byte selects one of 256 centroids, and they add up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.products import Product, ProductForm

CENTROIDS = 256  # of a stage
_BEAM = 8  # choices that are followed from stage to stage
_TOLD = 0.99  # of the energy of centroids: in these columns they are told apart, the others hardly change a choice
_TOGETHER = 128  # rows whose products with the centroids are in the cache at a time


@dataclass(frozen=True, eq=False)
class Centroids:
    """The stages of a residual quantizer.

    Attributes
    ----------
    table : ndarray of shape (stages, 256, m), float32
        The centroids of each stage; there may be no stages.
    unit : float
        What they are float16 multiples of, if they are.
    """

    table: npt.NDArray[np.float32]
    unit: float = 1.0

    @property
    def stages(self) -> int:
        """Bytes of a row."""
        return len(self.table)

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """The words (n, stages) uint8 of the sum of centroids nearest to y (n, m), as far as a beam search finds it."""
        return self.choices(y, 1)[:, 0]

    def choices(self, y: FloatMatrix, keep: int) -> npt.NDArray[np.uint8]:
        """The words (n, keep, stages) uint8 of the sums near each row of y (n, m) float32, nearest first.

        Near by the columns in which centroids differ most. Of each stage the 8 sums of least squared error go on to the
        next. Without stages there is one, empty, choice.
        """
        from lplr_index.kernels import centroids as kernel

        words = np.zeros((len(y), keep if self.stages else 1, self.stages), np.uint8)
        for start in range(0, len(y) if self.stages else 0, _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            dots = self._told_product(y[rows, self._told]).reshape(-1, self.stages, CENTROIDS)
            kernel.search(dots, self._squares, self._cross, _BEAM, np.empty((len(dots), keep), np.float32), words[rows])
        return words

    def decode(self, words: npt.NDArray[np.integer]) -> FloatMatrix:
        """The sums (n, m) float32 of the centroids that words (n, stages) select."""
        total = np.zeros((len(words), self.table.shape[2]), np.float32)
        for centroids, chosen in zip(self.table, words.T, strict=True):
            total += centroids[chosen]
        return total

    def left(self, y: FloatMatrix) -> FloatMatrix:
        """What the nearest centroids leave of y (n, m) float32."""
        return y - self.decode(self.encode(y))

    def products(self, y: FloatMatrix) -> npt.NDArray[np.float32]:
        """The products (n, stages, 256) float32 of rows y (n, m) float32 with all centroids."""
        return self._product(y).reshape(len(y), self.stages, CENTROIDS)

    @property
    def form(self) -> ProductForm:
        """What a kernel needs for those products."""
        return self._product.form

    @cached_property
    def _product(self) -> Product:
        return Product(np.ascontiguousarray(self.table.reshape(-1, self.table.shape[2]).T), self.unit)

    @cached_property
    def _told(self) -> npt.NDArray[np.int64]:
        """The columns of most energy that suffice to tell centroids apart, ascending."""
        energies = np.square(self.table, dtype=np.float64).sum(axis=(0, 1))
        order = np.argsort(-energies, kind="stable")
        enough = int(np.searchsorted(np.cumsum(energies[order]), _TOLD * energies.sum())) + 1
        return np.sort(order[:enough])

    @cached_property
    def _told_table(self) -> npt.NDArray[np.float32]:
        """All centroids in those columns, (stages * 256, columns)."""
        return np.ascontiguousarray(self.table[:, :, self._told].reshape(self.stages * CENTROIDS, -1))

    @cached_property
    def _told_product(self) -> Product:
        return Product(np.ascontiguousarray(self._told_table.T))

    @cached_property
    def _squares(self) -> npt.NDArray[np.float32]:
        """Squared lengths (stages, 256) in those columns."""
        squares: npt.NDArray[np.float64] = np.square(self._told_table, dtype=np.float64).sum(axis=1)
        return squares.astype(np.float32).reshape(self.stages, CENTROIDS)

    @cached_property
    def _cross(self) -> npt.NDArray[np.float32]:
        """Twice the products of centroids of two stages in those columns, (stages, stages, 256, 256)."""
        cross = 2 * self._told_product(self._told_table).reshape(self.stages, CENTROIDS, self.stages, CENTROIDS)
        return np.ascontiguousarray(cross.transpose(0, 2, 1, 3))
