"""Gains: how far a row's reconstruction is stretched towards the length of the row, in 4 or 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.errors import InputError

BITS = (0, 4, 8)
_HEADROOM = 1.5  # of 8 bits: largest gain that can be stored, relative to the largest usual one
_MARGIN = 0.05  # of 4 bits: room on either side of the usual gains, relative to their range
_FLAT = 1e-3  # least range of 4 bits, relative to the largest usual gain
_USUAL = (0.001, 0.999)  # quantiles between which gains are usual
_LEAST = 1e-300  # of what is divided by


@dataclass(frozen=True)
class Gain:
    """What the codes of gains mean: 0 is a gain of 0, and c >= 1 is ``least + step * c``.

    The gain of a row x for its reconstruction x_hat is ``usual * (ratio / usual) ** power``, ratio = |x| / |x_hat|.
    Gains are never negative, because a scan multiplies upper bounds by them.

    Attributes
    ----------
    bits : int
        Bits of a code: 8, 4, or 0 where rows have no gain.
    least, step : float
        See above; of 8 bits, gains are multiples of ``step``: ``least`` is 0.
    power : float
        1 gives reconstructions the length of their rows, less a part of that.
    usual : float
        The ratio that ``power`` leaves as it is.
    """

    bits: int = 0
    least: float = 0.0
    step: float = 0.0
    power: float = 1.0
    usual: float = 1.0

    @classmethod
    def fit(cls, lengths: npt.NDArray[np.float64], norms: npt.NDArray[np.float64], bits: int, power: float) -> Gain:
        """Choose levels for gains like those of a sample.

        Parameters
        ----------
        lengths : ndarray of shape (n,)
            |x| of the sample.
        norms : ndarray of shape (n,)
            |x_hat|.
        bits : int
            4 or 8.
        power : float
            As in the class.
        """
        ratio = np.divide(lengths, norms, out=np.ones_like(lengths), where=norms > 0)
        usual = 1.0 if power == 1 else max(float(np.median(ratio)), _LEAST)
        gains = cls(power=power, usual=usual).wanted(ratio)
        most = max(float(np.quantile(gains, _USUAL[1])), _LEAST)
        if bits == 8:
            return cls(bits, 0.0, _HEADROOM * most / 255, power, usual)
        least = float(np.quantile(gains, _USUAL[0]))
        room = _MARGIN * max(most - least, _FLAT * most)
        first = max(least - room, 0.0)
        step = (most + room - first) / ((1 << bits) - 2)
        return cls(bits, first - step, step, power, usual)

    @property
    def is_multiple(self) -> bool:
        """Whether gains are multiples of ``step`` that stretch to full length, if there are any."""
        return self.bits in (0, 8) and self.power == 1

    @property
    def most(self) -> float:
        """The largest gain there is; 1 where rows have none."""
        return self.least + self.step * ((1 << self.bits) - 1) if self.bits else 1.0

    def check(self) -> None:
        """Raise InputError unless codes stand for finite gains >= 0, for gains that come from a file."""
        numbers = (self.least, self.step, self.power, self.usual)
        fine = self.bits in BITS and all(map(np.isfinite, numbers)) and self.power >= 0 and self.usual > 0
        steps = self.step > 0 and self.least + self.step >= 0 if self.bits else self.step == 0
        fine = fine and (self.bits == 4 or self.least == 0)
        if not (fine and steps):
            raise InputError(f"expected finite gains >= 0 in {', '.join(map(str, BITS))} bits, got {self}")

    def wanted(self, ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The gains (n,) for ratios |x| / |x_hat| (n,), before they are rounded."""
        return ratio if self.power == 1 else self.usual * (ratio / self.usual) ** self.power

    def encode(self, lengths: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Codes (n,) of the nearest gains for |x| (n,) and |x_hat| (n,); zero for rows of length zero alone."""
        ratio = np.divide(lengths, norms, out=np.full(len(lengths), np.inf), where=norms > 0)
        codes = np.rint((self.wanted(ratio) - self.least) / self.step)
        return np.where(lengths > 0, np.clip(codes, 1, (1 << self.bits) - 1), 0).astype(np.uint8)

    def decode(self, codes: npt.NDArray[np.uint8], dtype: type[np.floating[Any]] = np.float64) -> npt.NDArray[Any]:
        """Gains (n,) of codes (n,), computed in ``dtype``."""
        gains = dtype(self.least) + dtype(self.step) * codes.astype(dtype)
        return np.where(codes > 0, gains, dtype(0))


NO_GAIN = Gain()
"""Of rows that have none."""
