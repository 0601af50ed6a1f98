"""The model of an index in lists: a code for what a list's centroid leaves of a row, A ~ C[list] + 1 mu^T + L R.

A row's bytes are the number of its list, low byte first, then what they are in ``model.py``. Its reconstruction is
g (c + mu + l R), with c the centroid.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray
from lplr_index.coarse import Coarse, list_bytes, list_numbers, number_bytes
from lplr_index.errors import InputError
from lplr_index.model import Model


@dataclass(frozen=True, eq=False)
class ListModel(Model):
    """A trained factorization of what centroids leave.

    Attributes
    ----------
    coarse : Coarse
        The lists.
    """

    coarse: Coarse = field(kw_only=True)

    @property
    def number_bytes(self) -> int:
        """Bytes of the number of a list, before the others of a row."""
        return number_bytes(self.coarse.nlist)

    @property
    def nbytes(self) -> int:
        """Bytes of what does not grow with the rows."""
        basis = self.coarse.basis
        return super().nbytes + self.coarse.centroids.nbytes + (0 if basis is None else basis.nbytes)

    def _digest(self) -> str:
        hashed = hashlib.sha256(super()._digest().encode())
        hashed.update(repr((self.coarse.centroids.shape, self.coarse.metric)).encode())
        for a in (self.coarse.centroids, self.coarse.basis):
            hashed.update(b"-" if a is None else np.ascontiguousarray(a).tobytes())
        return hashed.hexdigest()

    def check(self) -> None:
        """Raise InputError unless the parts fit together, for models that come from a file."""
        super().check()
        self.coarse.check(self.d)

    def lists_of(self, codes: ByteMatrix) -> IdArray:
        """The lists (n,) in rows' bytes (n, number_bytes + code_size).

        Raises
        ------
        InputError
            If one of them is not there.
        """
        lists = list_numbers(codes[:, : self.number_bytes])
        if lists.max(initial=0) >= self.coarse.nlist:
            raise InputError(f"expected codes of rows in {self.coarse.nlist} lists, got list {lists.max()}")
        return lists

    def plain_codes(self, x: FloatMatrix) -> ByteMatrix:
        """The codes (n, bytes) of rows x (n, d), the number of the list first, without their scalars."""
        lists = self.coarse.assign(x)
        return np.concatenate(
            [list_bytes(lists, self.coarse.nlist), super().plain_codes(x - self.coarse.centroids[lists])], axis=1
        )

    def plain_lengths(self, codes: ByteMatrix) -> npt.NDArray[np.float64]:
        """The lengths (n,) of what codes (n, bytes) without scalars stand for."""
        return np.asarray(np.sqrt(np.square(self.plain(codes), dtype=np.float64).sum(axis=1)))

    def plain(self, codes: ByteMatrix) -> FloatMatrix:
        """What rows' bytes (n, number_bytes + code_size) stand for without gains, (n, d)."""
        rest: FloatMatrix = super().plain(codes[:, self.number_bytes :])
        return rest + self.coarse.centroids[self.lists_of(codes)]

    def reach(self, codes: ByteMatrix) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How far rows (n,) are from their centroids, and what is stored of their norms, (n,), zeros where nothing is.

        Of rows' bytes (n, number_bytes + code_size).
        """
        rest = np.subtract(self.decode(codes), self.coarse.centroids[self.lists_of(codes)], dtype=np.float64)
        norms = np.zeros(len(codes))
        if self.norm.bits:
            width = self.norm.bits // 8
            norms = self.norm.values[np.ascontiguousarray(codes[:, -width:]).view(f"<u{width}")[:, 0]].astype(float)
        return np.sqrt(np.square(rest).sum(axis=1)), norms

    @property
    def _gain_byte(self) -> int:
        """The byte of the gain; of one of 4 bits, its high nibble."""
        return self.number_bytes + super()._gain_byte
