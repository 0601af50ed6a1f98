"""Quantizers of single numbers: a value becomes a code of ``nbits`` bits, a code a value again.

Two kinds with the same methods: ``UniformQuantizer`` (1 to 8 bits, equal steps from the smallest to the largest value)
and ``CastQuantizer`` (16 and 32 bits, a float type). ``train_quantizer`` picks by ``nbits``.
Matrices here are float32, finite and two-dimensional: they have passed ``arrays.as_vectors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lplr_index import bits
from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.errors import InputError

UNIFORM_NBITS = (1, 2, 3, 4, 5, 6, 7, 8)
CAST_NBITS = (16, 32)
SCALES = ("matrix", "column")

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class UniformQuantizer:
    """2 ** nbits equally spaced levels, the first ``vmin``; rounding to the nearest, clipped at both ends.

    Attributes
    ----------
    nbits : int
        1 to 8.
    vmin, step : ndarray of shape () or (m,), float32
        Value of code 0 and distance of two levels, for the whole matrix or for each of its m columns.
    """

    nbits: int
    vmin: npt.NDArray[np.float32]
    step: npt.NDArray[np.float32]

    @classmethod
    def train(cls, A: FloatMatrix, nbits: int, per: str = "matrix") -> UniformQuantizer:
        """Return the quantizer whose levels run from the minimum to the maximum of ``A`` (n, m), n >= 1.

        Both ends are levels, so 1 bit means exactly these two values (to float32 rounding).

        Parameters
        ----------
        A : ndarray of shape (n, m), float32
        nbits : int
            1 to 8.
        per : {"matrix", "column"}
            What has a range of its own.

        Raises
        ------
        InputError
            If ``nbits`` or ``per`` is none of the above, or a range does not fit in float32.
        """
        check_nbits(nbits, "nbits", among=UNIFORM_NBITS)
        axis = 0 if check_scale(per, "per") == "column" else None
        vmin, vmax = A.min(axis=axis), A.max(axis=axis)
        with np.errstate(invalid="ignore"):  # of two infinities, where a product overflowed
            spread = vmax.astype(np.float64) - vmin
        if not np.all(spread <= _FLOAT32_MAX):
            low, high = float(np.min(vmin)), float(np.max(vmax))
            raise InputError(f"expected values whose range fits in float32, got {low:g} to {high:g}")
        step = spread / (2**nbits - 1)
        return cls(nbits, np.asarray(vmin, dtype=np.float32), np.asarray(step, dtype=np.float32))

    @property
    def levels(self) -> int:
        """The number of values a code can stand for."""
        return 1 << self.nbits

    @property
    def nbytes(self) -> int:
        """Bytes of the ranges."""
        return self.vmin.nbytes + self.step.nbytes

    def encode(self, A: FloatMatrix) -> ByteMatrix:
        """Return the code of the level nearest to each entry of ``A`` (n, m), uint8; of two as near the even one."""
        step = self.step.astype(np.float64)
        per_step = np.divide(1.0, step, out=np.zeros_like(step), where=step > 0)
        # In float64: the difference of two float32 is exact enough that only true ties are ties.
        position = np.subtract(A, self.vmin, dtype=np.float64)
        position *= per_step
        np.rint(position, out=position)
        return np.clip(position, 0, self.levels - 1, out=position).astype(np.uint8)

    def decode(self, codes: ByteMatrix) -> FloatMatrix:
        """Return the levels that ``codes`` (n, m) stand for, float32."""
        out = codes.astype(np.float32)
        out *= self.step
        out += self.vmin
        return out

    def pack(self, codes: ByteMatrix) -> ByteMatrix:
        """Return codes (n, m) as bit strings (n, bytes per row); the layout of ``bits.pack``."""
        return bits.pack(codes, self.nbits)

    def unpack(self, packed: ByteMatrix, m: int) -> ByteMatrix:
        """Return the codes (n, m) that ``pack`` made ``packed`` (n, bytes per row) of."""
        return bits.unpack(packed, m, self.nbits)


@dataclass(frozen=True, eq=False)
class CastQuantizer:
    """float16 or float32 as the code: the paper's 16 and 32 bits.

    Attributes
    ----------
    nbits : int
        16 or 32.
    """

    nbits: int

    @classmethod
    def train(cls, A: FloatMatrix, nbits: int) -> CastQuantizer:
        """Return the quantizer, after a look at whether ``A`` (n, m) fits.

        Raises
        ------
        InputError
            If ``nbits`` is not 16 or 32, or ``A`` holds a value beyond that float type.
        """
        check_nbits(nbits, "nbits", among=CAST_NBITS)
        out = cls(nbits)
        largest = max(abs(float(A.min())), abs(float(A.max())))
        if not largest <= out._largest:
            raise InputError(f"expected values within +-{out._largest:g} for {nbits} bits, got {largest:g}")
        return out

    @property
    def nbytes(self) -> int:
        """Bytes of the ranges: there are none."""
        return 0

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(f"<f{self.nbits // 8}")

    @property
    def _largest(self) -> float:
        return float(np.finfo(self._dtype).max)

    def encode(self, A: FloatMatrix) -> npt.NDArray[Any]:
        """Return ``A`` (n, m) in the float type, clipped to its largest finite value."""
        return np.clip(A, -self._largest, self._largest).astype(self._dtype)

    def decode(self, codes: npt.NDArray[Any]) -> FloatMatrix:
        """Return ``codes`` (n, m) as float32."""
        return codes.astype(np.float32)

    def pack(self, codes: npt.NDArray[Any]) -> ByteMatrix:
        """Return the little-endian bytes of ``codes`` (n, m), nbits / 8 each."""
        return np.ascontiguousarray(codes, dtype=self._dtype).view(np.uint8)

    def unpack(self, packed: ByteMatrix, m: int) -> npt.NDArray[Any]:
        """Return the codes (n, m) that ``pack`` made ``packed`` (n, bytes per row) of."""
        return np.ascontiguousarray(packed).view(self._dtype).reshape(len(packed), m)


Quantizer = UniformQuantizer | CastQuantizer


class RowQuantizer(Protocol):
    """What every quantizer does, these two and those of ``lplr_index.caldera``; a row is coded by itself."""

    @property
    def nbits(self) -> int:
        """Bits of a number."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is known beside the codes."""

    def encode(self, A: FloatMatrix) -> npt.NDArray[Any]:
        """Return the codes of ``A`` (n, m)."""

    def decode(self, codes: npt.NDArray[Any]) -> FloatMatrix:
        """Return what ``codes`` of n rows stand for, (n, m), float32."""

    def pack(self, codes: npt.NDArray[Any]) -> ByteMatrix:
        """Return the codes of n rows as bytes, (n, bytes per row)."""

    def unpack(self, packed: ByteMatrix, m: int) -> npt.NDArray[Any]:
        """Return the codes of n rows and m columns that ``pack`` made ``packed`` (n, bytes per row) of."""


def train_quantizer(A: FloatMatrix, nbits: int, per: str = "matrix") -> Quantizer:
    """Return the quantizer of ``nbits`` bits (1 to 8, 16 or 32) for the values of ``A`` (n, m), n >= 1.

    Parameters
    ----------
    A : ndarray of shape (n, m), float32
    nbits : int
        1 to 8, 16 or 32.
    per : {"matrix", "column"}
        What has a range of its own; without meaning at 16 and 32 bits.

    Raises
    ------
    InputError
        If ``nbits`` or ``per`` is none of the above, or ``A`` has a range that the quantizer cannot hold.
    """
    check_nbits(nbits, "nbits")
    check_scale(per, "per")
    return CastQuantizer.train(A, nbits) if nbits in CAST_NBITS else UniformQuantizer.train(A, nbits, per)


def check_nbits(nbits: Any, name: str, *, among: tuple[int, ...] = UNIFORM_NBITS + CAST_NBITS) -> int:
    """Return ``nbits`` as an int if it is one of ``among``, else raise InputError."""
    if isinstance(nbits, bool) or not isinstance(nbits, (int, np.integer)) or nbits not in among:
        raise InputError(f"expected {name} to be one of {', '.join(map(str, among))}, got {nbits!r}")
    return int(nbits)


def check_scale(scale: Any, name: str) -> str:
    """Return ``scale`` if it is "matrix" or "column", else raise InputError."""
    if not isinstance(scale, str) or scale not in SCALES:
        raise InputError(f"expected {name} to be 'matrix' or 'column', got {scale!r}")
    return scale
