"""Squared norms of rows, which L2 needs: |q - x|^2 = |q|^2 + |x|^2 - 2 <q, x>, with x the reconstruction.

They are stored in one byte, as lengths: 208 in equal steps over the usual lengths, 16 from zero to them, and 32 beyond
them, each a quarter longer than the one before, so that a row far away is never taken for a near one. Equal steps of
the length, because that is how scores err: by |q| |x| e where the direction is off by e, as a squared norm errs by
2 |x| e where the length is. Where lengths differ little, all from zero to half as long again count as usual: finer
steps would tell nothing, and embeddings are often of length one, until one comes that is not.
Older files store them in two bytes, as float16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix
from lplr_index.errors import InputError

BITS = (0, 8, 16)
"""How many bits a stored norm can have."""

_SHORT, _USUAL, _LONG = 16, 208, 32  # codes of lengths below, among and beyond the usual ones
_GROWTH = 1.25
_QUANTILES = (0.001, 0.999)  # of the lengths of a sample, between which they are usual
_MARGIN = 0.1  # of their range, for rows that are not of the sample
_NARROW, _REACH = 0.5, 1.5  # a range less than this part of the largest length: up to so many times that all is usual
_LEAST = 1e-300  # of what is divided by
_HALF_MOST = 65504.0  # largest float16


@dataclass(frozen=True)
class Norm:
    """What the codes of norms mean.

    Attributes
    ----------
    bits : int
        Bits of a code: 8, 16 as in older files, or 0 where rows have no norm.
    unit : float
        The usual squared norm, which ``values`` are counted from: so float32 is as precise as it can be for usual rows.
    least, most : float
        The usual lengths, of 8 bits. Of 16 bits a squared norm is ``unit`` times one plus a float16, and both are 0.
    """

    bits: int = 0
    unit: float = 0.0
    least: float = 0.0
    most: float = 0.0

    @classmethod
    def fit(cls, lengths: npt.NDArray[np.float64], bits: int) -> Norm:
        """Choose what codes of ``bits`` bits mean for reconstructions like those of a sample, of ``lengths`` (n,)."""
        unit = max(float(np.mean(lengths**2)), _LEAST)
        if bits != 8:
            return cls(bits, unit) if bits else NO_NORM
        least, most = (float(length) for length in np.quantile(lengths, _QUANTILES))
        most = max(most, _LEAST)
        if most - least < _NARROW * most:
            return cls(bits, unit, 0.0, _REACH * most)
        room = _MARGIN * (most - least)
        return cls(bits, unit, max(least - room, 0.0), most + room)

    def check(self) -> None:
        """Raise InputError unless codes stand for finite lengths, for norms that come from a file."""
        numbers = (self.unit, self.least, self.most)
        fine = self.bits in BITS and all(map(np.isfinite, numbers)) and (self.unit > 0) == (self.bits > 0)
        if not (fine and 0 <= self.least <= self.most and (self.most > 0) == (self.bits == 8)):
            raise InputError(f"expected finite norms >= 0 in {', '.join(map(str, BITS))} bits, got {self}")

    def encode(self, lengths: npt.NDArray[np.float64]) -> ByteMatrix:
        """The bytes (n, bits / 8) of the nearest norms for reconstructions of ``lengths`` (n,)."""
        if self.bits == 16:
            halves = np.minimum(lengths**2 / self.unit - 1, _HALF_MOST).astype("<f2")
            return halves[:, None].view(np.uint8)
        middles = (self._lengths[1:] + self._lengths[:-1]) / 2
        return np.searchsorted(middles, lengths).astype(np.uint8)[:, None]

    def rounded(self, lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The squared norms (n,) that are stored for reconstructions of ``lengths`` (n,)."""
        codes = self.encode(lengths).view(f"<u{self.bits // 8}")[:, 0]
        norms: npt.NDArray[np.float64] = self.unit + self.values[codes].astype(np.float64)
        return norms

    @cached_property
    def values(self) -> npt.NDArray[np.float32]:
        """By code, (2^bits,) float32: the squared norm less ``unit``; (0,) where rows have none."""
        with np.errstate(over="ignore", invalid="ignore"):  # some float16 are no numbers
            if self.bits == 8:
                return (self._lengths**2 - self.unit).astype(np.float32)
            halves = np.arange(1 << 16 if self.bits else 0, dtype="<u2").view("<f2")
            return (halves.astype(np.float64) * self.unit).astype(np.float32)

    @property
    def _lengths(self) -> npt.NDArray[np.float64]:
        """By code of 8 bits, (256,); they never fall."""
        short = self.least / _SHORT * np.arange(_SHORT)
        usual = self.least + (self.most - self.least) / (_USUAL - 1) * np.arange(_USUAL)
        return np.concatenate([short, usual, self.most * _GROWTH ** np.arange(1, _LONG + 1)])


NO_NORM = Norm()
"""Of rows that have none."""
