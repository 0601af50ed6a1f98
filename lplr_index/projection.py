"""The projection of queries, y = R q, in 8-bit integers, as LRAMM multiplies low-rank factors.

Gu: LRAMM -- Low precision approximates GEMM via RSVD (arXiv 2405.16917). R and q are rounded to int8, each row by its
largest entry, and their products are summed in int32; only the sums are scaled back.
Searches project in float32: docs/search.md has what this would save and cost, as measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix

SignedBytes = npt.NDArray[np.int8]


def round_to_bytes(x: FloatMatrix) -> tuple[SignedBytes, FloatMatrix]:
    """Round rows x (n, d) to codes (n, d) int8 and steps (n, 1) float32, whose products they are.

    The largest entry of a row is 127 steps from zero, so no entry is off by more than half of a step;
    a row of zeros has the step zero.
    """
    codes, steps = np.empty(x.shape, np.int8), np.empty(len(x))
    kernels.projection.round_to_bytes(np.ascontiguousarray(x), codes, steps)
    return codes, steps[:, None].astype(np.float32)


class IntegerProjection:
    """y = R q by int8 products.

    Parameters
    ----------
    R : ndarray of shape (m, d), float32
        The right factor; it takes a quarter of its bytes here.

    Attributes
    ----------
    codes : ndarray of shape (m, d), int8
        Entries of R.
    steps : ndarray of shape (m, 1), float32
        What a code's unit is worth, by row of R.
    """

    def __init__(self, R: FloatMatrix) -> None:
        self.codes, self.steps = round_to_bytes(R)
        self._panels = kernels.projection.byte_panels(self.codes)

    def __call__(self, xq: FloatMatrix) -> FloatMatrix:
        """Return y (nq, m) float32 of queries xq (nq, d) float32, which are rounded to int8 here."""
        codes, steps = round_to_bytes(xq)
        return self.sums(codes).astype(np.float32) * steps * self.steps.T

    def sums(self, codes: SignedBytes) -> npt.NDArray[np.int32]:
        """Return the integers (nq, m) int32 that codes (nq, d) int8 of queries and those of R add up to."""
        out = np.empty((len(codes), len(self.codes)), np.int32)
        kernels.projection.multiply_bytes(codes, self._panels, out)
        return out
