"""The low-rank part: L R closest to a matrix in the norm of H, both factors quantized.

The error of L R in place of A is |(L R - A) H^(1/2)|, H (d, d) positive definite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.linalg import least_squares, singular_pairs
from lplr_index.quantizers import RowQuantizer

Float64Array = npt.NDArray[np.float64]
Trainer = Callable[[FloatMatrix], RowQuantizer]


@dataclass(frozen=True, eq=False)
class Weight:
    """H with its root and the inverse of that.

    Attributes
    ----------
    second_moment : ndarray of shape (d, d), float64
        H.
    root, inverse_root : ndarray of shape (d, d), float64
        Symmetric.
    """

    second_moment: Float64Array
    root: Float64Array
    inverse_root: Float64Array

    @classmethod
    def of(cls, second_moment: Float64Array) -> Weight:
        """Return the weight for H (d, d), symmetric and positive definite."""
        values, vectors = np.linalg.eigh(second_moment)
        roots = np.sqrt(values)
        return cls(second_moment, (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T)

    def squared(self, errors: Float64Array) -> float:
        """Return the squared norm |E H^(1/2)|^2 of ``errors`` (n, d)."""
        return max(float(np.vdot(errors @ self.second_moment, errors)), 0.0)


@dataclass(frozen=True, eq=False)
class CodedMatrix:
    """A matrix in codes, and what they stand for.

    Attributes
    ----------
    quantizer : RowQuantizer
    codes : ndarray of shape (n, codes per row)
        Not packed.
    values : ndarray of shape (n, m), float64
    """

    quantizer: RowQuantizer
    codes: npt.NDArray[Any]
    values: Float64Array

    @classmethod
    def of(cls, values: Float64Array, train: Trainer) -> CodedMatrix:
        """Return ``values`` (n, m) in the codes of a quantizer trained on them."""
        narrow = values.astype(np.float32)
        quantizer = train(narrow)
        codes = quantizer.encode(narrow)
        return cls(quantizer, codes, quantizer.decode(codes).astype(np.float64))

    def packed(self) -> ByteMatrix:
        """Return the codes as bytes, (n, bytes per row)."""
        return self.quantizer.pack(self.codes)


@dataclass(frozen=True, eq=False)
class Factors:
    """Both factors in codes.

    Attributes
    ----------
    left : CodedMatrix
        L (n, rank).
    right : CodedMatrix
        R^T (d, rank).
    """

    left: CodedMatrix
    right: CodedMatrix

    def product(self) -> Float64Array:
        """Return L R (n, d)."""
        return self.left.values @ self.right.values.T


def best_of_rank(A: Float64Array, weight: Weight, rank: int) -> tuple[Float64Array, Float64Array]:
    """Return the L (n, rank) and R (rank, d) of least weighted error, not quantized (rank-constrained regression).

    With U S V^T the truncated singular value decomposition of A H^(1/2), L = U sqrt(S) and R = sqrt(S) V^T H^(-1/2): S
    is shared out between them so that both fit in narrow float types if A does.
    """
    weighted = A @ weight.root
    values, vectors = singular_pairs(weighted, rank)
    roots = np.sqrt(values)
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
    return weighted @ vectors * inverse, (vectors * roots).T @ weight.inverse_root


def quantized_factors(
    A: Float64Array, weight: Weight, rank: int, train_left: Trainer, train_right: Trainer, *, turns: int
) -> Factors:
    """Return quantized factors: from the best of their rank, each solved for against the other as it was rounded.

    Parameters
    ----------
    A : ndarray of shape (n, d), float64
    weight : Weight
    rank : int
        From 1 to min(n, d).
    train_left, train_right : callable
        Make a quantizer for L (n, rank) and for R^T (d, rank).
    turns : int
        Solutions for both, at least 1; the best of them in the weighted norm is returned.
    """
    weighted = A @ weight.second_moment
    _, R = best_of_rank(A, weight, rank)
    found: list[Factors] = []
    least = np.inf
    for _ in range(turns):
        left = CodedMatrix.of(_solved_for_left(weighted, R, weight), train_left)
        # H drops out of the equations for R: every row of R H is the solution for a column of A H.
        right = CodedMatrix.of(least_squares(left.values, A).T, train_right)
        L, R = left.values, right.values.T
        # |(L R - A) H^(1/2)|^2 less the constant part.
        inner = (L.T @ L) * (R @ weight.second_moment @ R.T)
        error = float(inner.sum() - 2.0 * np.vdot(L, weighted @ R.T))
        if not found or error < least:
            found, least = [Factors(left, right)], error
    return found[0]


def _solved_for_left(weighted: Float64Array, R: Float64Array, weight: Weight) -> Float64Array:
    """Return A H R^T (R H R^T)^-1 (n, rank), the L of least weighted error, for A H (n, d)."""
    inner = R @ weight.second_moment @ R.T
    lengths = np.sqrt(np.diag(inner))
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    solution: Float64Array = (
        weighted @ (R.T * inverse) @ np.linalg.pinv(inner * inverse[:, None] * inverse, hermitian=True)
    )
    return solution * inverse
