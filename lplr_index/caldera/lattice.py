"""The quantizer on the E8 lattice: eight numbers share a code of 16, 24 or 32 bits.

The codebook E8P of Tseng et al., QuIP# (ICML 2024), has 65536 points in eight dimensions, for 2 bits a number. A point
is a *pattern* of magnitudes with signs, all eight coordinates shifted by +1/4 or by -1/4:

======  ======  ===============================================================================================
bits    field   meaning
======  ======  ===============================================================================================
0-7     which   pattern: eight halves of odd numbers, one of the 227 with squared norm up to 10 or of 29 with 12
8-14    signs   bit j set: coordinate j is negative; the sign of the eighth makes the sum of all an even number
15      shift   set: -1/4, else +1/4
======  ======  ===============================================================================================

Without the shift these are points of D8 + 1/2, one half of E8, the densest lattice of eight dimensions.
Codes of 3 and 4 bits add a second stage, which codes what the first one left: one of the 256 shortest points of E8
(8 bits for eight numbers), or E8P once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.quantizers import check_nbits, check_scale

WIDTH = 8
LATTICE_NBITS = (2, 3, 4)

# Distance of neighbouring halves by stage, in standard deviations of what is coded: least squares for Gaussian numbers.
_STEPS = {2: (0.97,), 3: (1.02, 0.5), 4: (1.04, 0.28)}

_SHIFT = 0.25
_LEAST_NORM = 10.0  # squared: patterns up to it are all in, of the next longer ones some

Magnitudes = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


@cache
def patterns() -> Magnitudes:
    """Return the 256 patterns (256, 8), shortest first."""
    found = [each for each in product((0.5, 1.5, 2.5), repeat=WIDTH) if sum(a * a for a in each) <= _LEAST_NORM]
    found.sort(key=lambda each: sum(a * a for a in each))
    missing = 256 - len(found)
    longer = [tuple(0.5 if j in small else 1.5 for j in range(WIDTH)) for small in combinations(range(WIDTH), 3)]
    # Spread evenly over the 56 patterns with five 3/2, so that no coordinate is favoured much.
    found += [longer[i * len(longer) // missing] for i in range(missing)]
    return np.array(found, dtype=np.float32)


@cache
def short_points() -> Magnitudes:
    """Return 256 short points (256, 8) of E8: zero, its 240 roots of squared norm 2 and 15 of squared norm 4."""
    whole = [np.zeros(WIDTH)]
    for i, j in combinations(range(WIDTH), 2):
        for a, b in product((1.0, -1.0), repeat=2):
            root = np.zeros(WIDTH)
            root[[i, j]] = a, b
            whole.append(root)
    halves = [np.array(each) for each in product((0.5, -0.5), repeat=WIDTH) if sum(each) % 2 == 0]
    longer = [sign * 2.0 * np.eye(WIDTH)[j] for j in range(WIDTH) for sign in (1.0, -1.0)]
    return np.array([*whole, *halves, *longer[:15]], dtype=np.float32)


@cache
def _tables() -> tuple[Magnitudes, Magnitudes, Magnitudes, ByteArray]:
    """Return what the kernel calls shapes, longest, alone and number_of."""
    table = patterns()
    complete = np.square(table).sum(axis=1) <= _LEAST_NORM
    shapes = np.unique(-np.sort(-table[complete], axis=1), axis=0)
    alone = table[~complete]
    number_of = np.zeros(3**WIDTH, dtype=np.uint8)
    number_of[(table - 0.5).astype(np.intp) @ 3 ** np.arange(WIDTH)] = np.arange(len(table))
    return shapes, -np.sort(-alone[0]), alone, number_of


def nearest(x: FloatMatrix) -> npt.NDArray[np.uint16]:
    """Return the codes (n,) of the points of E8P nearest to the rows of ``x`` (n, 8), float32 in C order."""
    from lplr_index.kernels import lattice as kernel

    out = np.empty(len(x), dtype=np.uint16)
    kernel.nearest(x, *_tables(), out)
    return out


def points(codes: npt.NDArray[np.uint16]) -> FloatMatrix:
    """Return the points (n, 8) of E8P that ``codes`` (n,) stand for."""
    out: FloatMatrix = patterns()[codes & 255]
    negative = (codes[:, None] >> np.arange(8, 16, dtype=np.uint16)) & 1 == 1
    shift = np.where(negative[:, -1:], np.float32(-_SHIFT), np.float32(_SHIFT))
    odd = out.sum(axis=1) % 2 == 1
    negative[:, -1] = (negative[:, :-1].sum(axis=1) % 2 == 1) != odd
    return np.asarray(np.where(negative, -out, out) + shift, dtype=np.float32)


def nearest_short(x: FloatMatrix) -> ByteArray:
    """Return the numbers (n,) of the ``short_points`` nearest to the rows of ``x`` (n, 8), float32 in C order."""
    from lplr_index.kernels import lattice as kernel

    out = np.empty(len(x), dtype=np.uint8)
    kernel.nearest_of(x, short_points(), out)
    return out


@dataclass(frozen=True, eq=False)
class LatticeQuantizer:
    """Points of E8P for eight columns at a time; with 3 and 4 bits the sum of two scaled points.

    Attributes
    ----------
    nbits : int
        2, 3 or 4.
    columns : int
        Columns of the matrix, m: the last code may stand for fewer than eight.
    scale : ndarray of shape () or (m,), float32
        Root mean square of the matrix or of each of its m columns.
    """

    nbits: int
    columns: int
    scale: npt.NDArray[np.float32]

    @classmethod
    def train(cls, A: FloatMatrix, nbits: int, per: str = "matrix") -> LatticeQuantizer:
        """Return the quantizer for values as large as those of ``A`` (n, m), n >= 1.

        Parameters
        ----------
        A : ndarray of shape (n, m), float32
        nbits : int
            2, 3 or 4.
        per : {"matrix", "column"}
            What has a scale of its own.

        Raises
        ------
        InputError
            If ``nbits`` or ``per`` is none of the above.
        """
        check_nbits(nbits, "nbits", among=LATTICE_NBITS)
        axis = 0 if check_scale(per, "per") == "column" else None
        mean = np.square(A, dtype=np.float64).mean(axis=axis)
        return cls(nbits, A.shape[1], np.asarray(np.sqrt(mean), dtype=np.float32))

    @property
    def width(self) -> int:
        """Columns that share a code."""
        return WIDTH

    @property
    def nbytes(self) -> int:
        """Bytes of the scales."""
        return self.scale.nbytes

    def encode(self, A: FloatMatrix, first: int = 0) -> ByteMatrix:
        """Return the codes of ``A`` (n, m), nbits bytes for eight columns; the last group is filled with zeros.

        ``first`` is the number of the first column where A is a part of a wider matrix, a multiple of eight.
        """
        n, m = A.shape
        scale = self._scale(first, m)
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        groups = -(-m // WIDTH)
        filled = np.zeros((n, groups * WIDTH), dtype=np.float32)
        filled[:, :m] = A * inverse
        left: FloatMatrix = filled.reshape(-1, WIDTH)
        step, *further = _STEPS[self.nbits]
        codes = nearest((left / np.float32(step)).astype(np.float32))
        out = np.empty((len(left), self.nbits), dtype=np.uint8)
        out[:, :2] = _as_bytes(codes)
        if further:
            left -= points(codes) * np.float32(step)
            left /= np.float32(further[0])
            if self.nbits == 3:
                out[:, 2] = nearest_short(left)
            else:
                out[:, 2:] = _as_bytes(nearest(left))
        return out.reshape(n, groups * self.nbits)

    def decode(self, codes: ByteMatrix, first: int = 0) -> FloatMatrix:
        """Return what ``codes`` (n, nbits * groups) stand for, (n, m), float32; ``first`` as for ``encode``."""
        groups = codes.reshape(-1, self.nbits)
        step, *further = _STEPS[self.nbits]
        out = points(_as_words(groups[:, :2])) * np.float32(step)
        if further:
            second = short_points()[groups[:, 2]] if self.nbits == 3 else points(_as_words(groups[:, 2:]))
            out += second * np.float32(further[0])
        m = min(WIDTH * codes.shape[1] // self.nbits, self.columns - first)
        return out.reshape(len(codes), -1)[:, :m] * self._scale(first, m)

    def pack(self, codes: ByteMatrix) -> ByteMatrix:
        """Return ``codes`` (n, bytes per row): they are bytes as they are."""
        return codes

    def unpack(self, packed: ByteMatrix, m: int) -> ByteMatrix:
        """Return the codes of ``m`` columns, which ``packed`` (n, bytes per row) are."""
        return packed[:, : self.nbits * -(-m // WIDTH)]

    def _scale(self, first: int, m: int) -> npt.NDArray[np.float32]:
        return self.scale[first : first + m] if self.scale.ndim else self.scale


def _as_bytes(codes: npt.NDArray[np.uint16]) -> ByteMatrix:
    return codes.astype("<u2")[:, None].view(np.uint8)


def _as_words(pairs: ByteMatrix) -> npt.NDArray[np.uint16]:
    return np.ascontiguousarray(pairs).view("<u2")[:, 0]
