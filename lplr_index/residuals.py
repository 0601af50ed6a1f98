"""What a first code leaves over, coded by a second: A ~ 1 mu^T + L R + Q.

Q is learned and packed as L R is: a second model, of the residuals of the training sample, a few more bits a row.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_number
from lplr_index.auto import Recipe
from lplr_index.blocks import BlockStore, Form
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.model import Model
from lplr_index.settings import MOST_BITS
from lplr_index.training import train_auto

LENGTHS = ("own", "unit", "first")  # as kernels/pairs.py counts them
# Lengths are known without a second gain, and residuals have no neighbours of their own to choose by.
_RECIPE = Recipe(power=1.0, stages=0, gain_bits=0)
_PROBE = 1 << 14  # training rows that decide whose lengths are right


class Residuals:
    """A second code for every row, of the residual that the first one leaves.

    Attributes
    ----------
    code_size : int
        Bytes a row costs in addition.
    model : Model or None
        What training learned; its rows are code alone, without scalars.
    lengths : {"own", "unit", "first"}
        How long a refined reconstruction is. The sum of two codes falls short of its row, by more or less from row to
        row. Under cosine it gets length one, and under L2 that of the first reconstruction, which has a gain, if that
        is closer to the truth than its own. Inner products rank better by the sum as it is.
    store : BlockStore
        The codes, row for row those of the first index.
    """

    kind: ClassVar[str] = "residuals"

    def __init__(self, code_size: int, model: Model | None = None, lengths: str = "own") -> None:
        self.code_size = code_size
        self.model = model
        self.lengths = lengths
        self.store = BlockStore(model.form if model else Form())

    @classmethod
    def of_bits(cls, d: int, bits: Any) -> Residuals:
        """Untrained residuals of ``bits`` bits a coordinate.

        Raises
        ------
        InputError
            If that is less than a byte a row, or more than 8 bits a coordinate.
        """
        number = as_number(bits, "refine_bits")
        size = int(number * d / 8 + 1e-9) if 0 < number <= MOST_BITS else 0
        if not size:
            raise InputError(f"expected refine_bits from {8 / d:.4g}, one byte a row, to {MOST_BITS:g}, got {number:g}")
        return cls(size)

    def __repr__(self) -> str:
        return f"residuals in {self.code_size} bytes"

    def check(self, d: int) -> None:
        """Raise InputError unless the parts fit together, for those that come from a file."""
        if self.lengths not in LENGTHS:
            raise InputError(f"expected lengths to be one of {', '.join(LENGTHS)}, got {self.lengths!r}")
        if self.model is None:
            return
        if (self.model.d, self.model.code_size) != (d, self.code_size) or self.model.gain.bits or self.model.norm.bits:
            raise InputError(f"expected residuals of {self.code_size} bytes without scalars for d = {d}, got others")

    def train(self, x: FloatMatrix, x_hat: FloatMatrix, metric: str, seed: int) -> None:
        """Learn from a sample of rows x (n, d) and their first reconstructions x_hat (n, d)."""
        self.model = train_auto(x - x_hat, self.code_size, l2=False, seed=seed, recipe=_RECIPE)
        self.lengths = {"cosine": "unit", "ip": "own"}.get(metric) or self._closer(x[:_PROBE], x_hat[:_PROBE])
        self.reset()

    def encode(self, x: FloatMatrix, x_hat: FloatMatrix) -> ByteMatrix:
        """The codes (n, code_size) of rows x (n, d), for first reconstructions x_hat (n, d)."""
        return self._trained.encode(x - x_hat)

    def decode(self, codes: ByteMatrix, x_hat: FloatMatrix) -> FloatMatrix:
        """Refined reconstructions (n, d) of codes (n, code_size), for first ones x_hat (n, d)."""
        from lplr_index.kernels import pairs as kernel

        out = np.empty_like(x_hat)
        kernel.refine_rows(x_hat, self._trained.decode(codes), LENGTHS.index(self.lengths), out)
        return out

    def append(self, codes: ByteMatrix) -> None:
        """Add the codes (n, code_size) of the next rows."""
        self.store.append(codes)

    def rows(self, rows: IdArray, x_hat: FloatMatrix) -> FloatMatrix:
        """Refined reconstructions (n, d) of rows by number (n,), for first ones x_hat (n, d)."""
        return self.decode(self.store.rows(rows), x_hat)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Keep the rows of the mask (ntotal,)."""
        self.store = self.store.keep(mask)

    def reset(self) -> None:
        """Remove all rows; the training stays."""
        self.store = BlockStore(self.model.form if self.model else Form())

    @property
    def _trained(self) -> Model:
        if self.model is None:
            raise NotTrainedError("expected a trained index, got residuals that need train(x) first")
        return self.model

    def _closer(self, x: FloatMatrix, x_hat: FloatMatrix) -> str:
        """Whose lengths are closer to those of x (n, d): the first reconstructions' or those of the sums."""
        sums = x_hat + self._trained.decode(self.encode(x, x_hat))
        first, own = (float(np.square(_lengths(a) - _lengths(x)).sum()) for a in (x_hat, sums))
        return "first" if first <= own else "own"


def _lengths(x: FloatMatrix) -> npt.NDArray[np.float64]:
    """|x| of each row of x (n, d), (n,)."""
    return np.asarray(np.sqrt(np.square(x, dtype=np.float64).sum(axis=1)))
