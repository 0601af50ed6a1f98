"""Rounding with feedback: what is rounded later makes up for the errors of what was rounded before.

The error e of a row costs e H e^T. With H = M D M^T, where M is unit lower triangular and D positive, both by blocks of
columns, that is (e M) D (e M)^T. Block k of e M is the error of block k plus a combination of the errors of later
blocks. So columns are rounded from the last block to the first, each after that combination is taken off, and e M is
left with nothing but the rounding itself. This is LDLQ of QuIP (Chee et al., NeurIPS 2023), with blocks as in QuIP#
(Tseng et al., ICML 2024).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix

Float64Array = npt.NDArray[np.float64]


class BlockQuantizer(Protocol):
    """A quantizer that codes some columns at a time."""

    @property
    def width(self) -> int:
        """Columns that share a code."""

    def encode(self, A: FloatMatrix, first: int = 0) -> ByteMatrix:
        """Return the codes of ``A`` (n, m), the columns of a wider matrix from ``first`` on."""

    def decode(self, codes: ByteMatrix, first: int = 0) -> FloatMatrix:
        """Return what ``codes`` stand for, (n, m)."""


def feedback_of(second_moment: Float64Array, width: int) -> Float64Array:
    """Return M (d, d), unit lower triangular by blocks of ``width`` columns, for H (d, d) = M D M^T.

    H must be positive definite.
    """
    out = np.linalg.cholesky(second_moment).astype(np.float64)
    for start in range(0, len(out), width):
        block = slice(start, start + width)
        out[:, block] = np.linalg.solve(out[block, block].T, out[:, block].T).T
    return out


def round_with_feedback(
    A: Float64Array, feedback: Float64Array, quantizer: BlockQuantizer
) -> tuple[ByteMatrix, Float64Array]:
    """Round the columns of A from the last to the first.

    Parameters
    ----------
    A : ndarray of shape (n, d), float64
    feedback : ndarray of shape (d, d), float64
        What ``feedback_of`` returns for the width of the quantizer.
    quantizer : BlockQuantizer

    Returns
    -------
    codes : ndarray of shape (n, codes per row), uint8
    values : ndarray of shape (n, d), float64
        What they stand for.
    """
    d = A.shape[1]
    errors, values, parts = np.zeros_like(A), np.empty_like(A), []
    for start in reversed(range(0, d, quantizer.width)):
        stop = min(start + quantizer.width, d)
        wanted = A[:, start:stop] - errors[:, stop:] @ feedback[stop:, start:stop]
        codes = quantizer.encode(wanted.astype(np.float32), start)
        values[:, start:stop] = quantizer.decode(codes, start)
        errors[:, start:stop] = values[:, start:stop] - A[:, start:stop]
        parts.append(codes)
    return np.concatenate(parts[::-1], axis=1), values
