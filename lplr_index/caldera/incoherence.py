"""Random rotations that make the entries of a matrix alike, so that one scale fits them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import as_integer
from lplr_index.sketches import walsh_hadamard

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HadamardRotation:
    """Random signs and a Hadamard transform, of any number of coordinates, exactly orthogonal.

    Where ``size`` is no power of two, the largest power below it is transformed twice: first coordinates from the first
    on, then, with other signs, those up to the last. More than half of all coordinates are in both.

    Attributes
    ----------
    size : int
        Coordinates.
    signs : ndarray of shape (passes, ceil(size / 8)), uint8
        A bit for each coordinate and pass, set where its sign changes; the first is the lowest bit.
    """

    size: int
    signs: npt.NDArray[np.uint8]

    @classmethod
    def random(cls, size: int, rng: np.random.Generator) -> HadamardRotation:
        """Return a rotation of ``size`` coordinates with signs drawn from ``rng``.

        Raises
        ------
        InputError
            If ``size`` is not an integer of at least 1.
        """
        passes = 2 if as_integer(size, "size", least=1) & (size - 1) else 1
        return cls(size, np.packbits(rng.integers(0, 2, (passes, size), np.uint8), axis=1, bitorder="little"))

    @property
    def nbytes(self) -> int:
        """Bytes of the signs."""
        return self.signs.nbytes

    def apply(self, x: npt.NDArray[np.floating]) -> Float64Array:
        """Return the columns of ``x`` (size, m) rotated, in float64."""
        out = np.array(x, dtype=np.float64)
        for signs, where in self._passes():
            out *= signs
            out[where] = self._transformed(out[where])
        return out

    def undo(self, x: npt.NDArray[np.floating]) -> Float64Array:
        """Return the columns of ``x`` (size, m) rotated back, in float64."""
        out = np.array(x, dtype=np.float64)
        for signs, where in self._passes()[::-1]:
            out[where] = self._transformed(out[where])
            out *= signs
        return out

    @property
    def _order(self) -> int:
        return 1 << (self.size.bit_length() - 1)

    def _passes(self) -> list[tuple[Float64Array, slice]]:
        """Return the signs (size, 1) of each pass and the rows it transforms."""
        bits = np.unpackbits(self.signs, axis=1, count=self.size, bitorder="little")
        places = [slice(0, self._order), slice(self.size - self._order, self.size)]
        return [(1.0 - 2.0 * row[:, None], where) for row, where in zip(bits, places, strict=False)]

    def _transformed(self, x: Float64Array) -> Float64Array:
        out: Float64Array = walsh_hadamard(x) / np.sqrt(self._order) if x.size else x
        return out
