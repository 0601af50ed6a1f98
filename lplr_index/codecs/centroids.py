"""Centroid bytes of a row: a residual quantizer, each stage's byte selects one of 256 centroids, and they add up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.products import Product

CENTROIDS = 256  # of a stage
_BEAM = 8  # choices that are followed from stage to stage
_TOGETHER = 512  # rows whose products with the centroids are in memory at a time


@dataclass(frozen=True, eq=False)
class Centroids:
    """The stages of a residual quantizer.

    Attributes
    ----------
    table : ndarray of shape (stages, 256, m), float32
        The centroids of each stage; there may be no stages.
    """

    table: npt.NDArray[np.float32]

    @property
    def stages(self) -> int:
        """Bytes of a row."""
        return len(self.table)

    def encode(self, y: FloatMatrix) -> ByteMatrix:
        """The words (n, stages) uint8 of the sum of centroids nearest to y (n, m), as far as a beam search finds it."""
        return self.choices(y, 1)[:, 0]

    def choices(self, y: FloatMatrix, keep: int) -> npt.NDArray[np.uint8]:
        """The words (n, keep, stages) uint8 of the sums near each row of y (n, m) float32, nearest first.

        Of each stage the 8 sums of least squared error go on to the next. Without stages there is one, empty, choice.
        """
        from lplr_index.kernels import centroids as kernel

        words = np.zeros((len(y), keep if self.stages else 1, self.stages), np.uint8)
        for start in range(0, len(y) if self.stages else 0, _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            dots = self.products(y[rows])
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

    @cached_property
    def _product(self) -> Product:
        return Product(np.ascontiguousarray(self.table.reshape(-1, self.table.shape[2]).T))

    @cached_property
    def _squares(self) -> npt.NDArray[np.float32]:
        """Squared lengths (stages, 256)."""
        squares: npt.NDArray[np.float64] = np.square(self.table, dtype=np.float64).sum(axis=2)
        return squares.astype(np.float32)

    @cached_property
    def _cross(self) -> npt.NDArray[np.float32]:
        """Twice the products of centroids of two stages, (stages, stages, 256, 256)."""
        flat = self.table.reshape(-1, self.table.shape[2])
        cross = 2 * self._product(flat).reshape(self.stages, CENTROIDS, self.stages, CENTROIDS)
        return np.ascontiguousarray(cross.transpose(0, 2, 1, 3))
