"""Quantizers of single numbers for what looks like Gaussian noise: equal steps, and the NormalFloat of QLoRA."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lplr_index import bits
from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.errors import InputError
from lplr_index.quantizers import UNIFORM_NBITS, check_nbits

GRIDS = ("uniform", "normalfloat")
SHARES = ("matrix", "column", "block")
BLOCK = 64
"""Columns of a row that share a scale, as in QLoRA."""

_QUANTILES = 1 << 14  # that stand for the normal distribution where a step is looked for


def grid_nbits(kind: str) -> tuple[int, ...]:
    """Return the bits of a number that a grid can have: NormalFloat, which has a zero, at least 2."""
    return UNIFORM_NBITS[kind == "normalfloat" :]


@cache
def levels_of(kind: str, nbits: int) -> npt.NDArray[np.float32]:
    """Return the 2 ** nbits rising levels, float32.

    Of "uniform" in standard deviations, symmetric, with the step of least squared error for Gaussian numbers; of
    "normalfloat" in parts of the largest magnitude: quantiles of the normal distribution from -1 to 1, zero among them.

    Raises
    ------
    InputError
        If ``kind`` or ``nbits`` is unknown; NormalFloat has at least 2 bits.
    """
    if kind not in GRIDS:
        raise InputError(f"expected a grid among {', '.join(GRIDS)}, got {kind!r}")
    check_nbits(nbits, "nbits", among=grid_nbits(kind))
    return _even_levels(nbits) if kind == "uniform" else _normal_levels(nbits)


def _even_levels(nbits: int) -> npt.NDArray[np.float32]:
    normal = NormalDist()
    numbers = np.array([normal.inv_cdf((i + 0.5) / _QUANTILES) for i in range(_QUANTILES // 2, _QUANTILES)])
    half = 1 << (nbits - 1)

    def error(step: float) -> float:
        codes = np.clip(np.floor(numbers / step), 0, half - 1)
        return float(np.square(numbers - (codes + 0.5) * step).mean())

    low, high = 0.0, 8.0 / (1 << nbits) + 0.5
    while high - low > 1e-6:  # the error has one minimum, so thirds close in on it
        third = (high - low) / 3
        if error(low + third) < error(high - third):
            high -= third
        else:
            low += third
    return ((np.arange(2 * half) - half + 0.5) * low).astype(np.float32)


def _normal_levels(nbits: int) -> npt.NDArray[np.float32]:
    """Half of the levels at most zero, half above: Dettmers et al., QLoRA (NeurIPS 2023)."""
    normal = NormalDist()
    half = 1 << (nbits - 1)
    # Midway between the outermost quantiles of the halves of 2 * half - 1 and of 2 * half levels.
    end = 1.0 - (0.5 / (2 * half - 1) + 0.25 / half) / 2
    above = [normal.inv_cdf(each) for each in np.linspace(0.5, end, half + 1)[1:]]
    below = [-normal.inv_cdf(each) for each in np.linspace(end, 0.5, half)[:-1]]
    return (np.array([*below, 0.0, *above]) / normal.inv_cdf(end)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class GridQuantizer:
    """The nearest of fixed levels times a scale.

    Attributes
    ----------
    kind : {"uniform", "normalfloat"}
        Which levels, see ``levels_of``.
    nbits : int
        1 to 8; at least 2 for "normalfloat".
    scale : ndarray of shape () or (m,) in float32, or (n, ceil(m / 64)) in float16
        Root mean square ("uniform") or largest magnitude ("normalfloat") of the whole matrix, of each column, or of
        each block of 64 columns of a row.
    """

    kind: str
    nbits: int
    scale: npt.NDArray[np.floating]

    @classmethod
    def train(cls, A: FloatMatrix, kind: str, nbits: int, per: str = "matrix") -> GridQuantizer:
        """Return the quantizer for values as large as those of ``A`` (n, m), n >= 1.

        Parameters
        ----------
        A : ndarray of shape (n, m), float32
        kind : {"uniform", "normalfloat"}
        nbits : int
            1 to 8; at least 2 for "normalfloat".
        per : {"matrix", "column", "block"}
            What has a scale of its own.

        Raises
        ------
        InputError
            If an argument is none of the above, or a scale does not fit in float16 where ``per`` is "block".
        """
        levels_of(kind, nbits)
        if per not in SHARES:
            raise InputError(f"expected per to be one of {', '.join(SHARES)}, got {per!r}")
        if per == "block":
            n, m = A.shape
            parts = np.pad(A, ((0, 0), (0, -m % BLOCK)), constant_values=np.nan).reshape(n, -1, BLOCK)
            scale = cls._size(parts.astype(np.float64), kind, axis=2)
            largest = float(np.finfo(np.float16).max)
            if not scale.max() <= largest:
                raise InputError(f"expected magnitudes up to {largest:g} in blocks, got {scale.max():g}")
            return cls(kind, nbits, scale.astype(np.float16))
        scale = cls._size(A.astype(np.float64), kind, axis=0 if per == "column" else None)
        return cls(kind, nbits, np.asarray(scale, dtype=np.float32))

    @staticmethod
    def _size(values: npt.NDArray[np.float64], kind: str, axis: int | None) -> npt.NDArray[np.float64]:
        """Return what is 1 for the levels; not a number is what fills the last block."""
        if kind == "normalfloat":
            return np.asarray(np.nanmax(np.abs(values), axis=axis))
        return np.asarray(np.sqrt(np.nanmean(np.square(values), axis=axis)))

    @property
    def width(self) -> int:
        """Columns that share a code."""
        return 1

    @property
    def nbytes(self) -> int:
        """Bytes of the scales."""
        return self.scale.nbytes

    def encode(self, A: FloatMatrix, first: int = 0) -> ByteMatrix:
        """Return the code of the level nearest to each entry of ``A`` (n, m), uint8.

        ``first`` is the number of the first column where A is a part of a wider matrix.
        """
        levels, scale = levels_of(self.kind, self.nbits), self._scale(first, A.shape[1])
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        return np.searchsorted((levels[1:] + levels[:-1]) / 2, A * inverse).astype(np.uint8)

    def decode(self, codes: ByteMatrix, first: int = 0) -> FloatMatrix:
        """Return what ``codes`` (n, m) stand for, float32; ``first`` as for ``encode``."""
        out: FloatMatrix = levels_of(self.kind, self.nbits)[codes] * self._scale(first, codes.shape[1])
        return out

    def pack(self, codes: ByteMatrix) -> ByteMatrix:
        """Return codes (n, m) as bit strings (n, bytes per row); the layout of ``bits.pack``."""
        return bits.pack(codes, self.nbits)

    def unpack(self, packed: ByteMatrix, m: int) -> ByteMatrix:
        """Return the codes (n, m) that ``pack`` made ``packed`` (n, bytes per row) of."""
        return bits.unpack(packed, m, self.nbits)

    def _scale(self, first: int, m: int) -> npt.NDArray[np.float32]:
        scale = self.scale.astype(np.float32)
        if scale.ndim == 2:
            return scale[:, np.arange(first, first + m) // BLOCK]
        return scale[first : first + m] if scale.ndim else scale
