"""What a factorization is made of: two factors in packed codes, and what can be asked of them."""

# ruff: noqa: N802 -- L and R are the names of the paper

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from lplr_index.approximations import Approximation
from lplr_index.arrays import ByteMatrix, FloatMatrix, as_vectors
from lplr_index.errors import UnsupportedError
from lplr_index.integers import encode_rows
from lplr_index.linalg import project, row_blocks, single_threaded
from lplr_index.quantizers import RowQuantizer


@dataclass(frozen=True, eq=False)
class Factorization(Approximation):
    """A matrix A (n, d) as alpha * L R + beta, the entries of L and R in packed codes.

    Made by ``factorize``.

    Attributes
    ----------
    method : str
        "lplr", "lsvd", "dsvd" or "nq".
    shape : tuple of int
        (n, d).
    rank : int
        Columns of L; d for "nq".
    seed : int
        What ``factorize`` was given.
    codes_L : ndarray of shape (n, bytes per row), uint8
        The rows of L, packed as ``quantizer_L.pack`` does (the layout of ``lplr_index.bits``).
    codes_R : ndarray of shape (d, bytes per row), uint8, or None
        The *columns* of R, packed likewise: both factors have one column per component. None for "nq".
    quantizer_L, quantizer_R : RowQuantizer
        What the codes stand for; ``quantizer_R`` is None for "nq".
    stored_encoder : ndarray of shape (d, rank), float32, or None
        ``encoder``; None for "nq".
    alpha, beta : float
        Scale and shift of the product; 1 and 0 unless ``normalize_and_shift`` was asked for.
    """

    method: str
    shape: tuple[int, int]
    rank: int
    seed: int
    codes_L: ByteMatrix
    quantizer_L: RowQuantizer
    codes_R: ByteMatrix | None = None
    quantizer_R: RowQuantizer | None = None
    stored_encoder: FloatMatrix | None = None
    alpha: float = 1.0
    beta: float = 0.0

    @property
    def L(self) -> FloatMatrix:
        """The first factor (n, rank), decoded."""
        return self._rows_of_L(slice(None))

    @property
    def R(self) -> FloatMatrix:
        """The second factor (rank, d), decoded; the identity for "nq"."""
        if self.codes_R is None or self.quantizer_R is None:
            return np.eye(self.rank, dtype=np.float32)
        columns = self.quantizer_R.decode(self.quantizer_R.unpack(self.codes_R, self.rank))
        return np.ascontiguousarray(columns.T)

    @property
    def encoder(self) -> FloatMatrix:
        """The matrix E (d, rank) that was quantized as L = Q(A E); the identity for "nq"."""
        return np.eye(self.rank, dtype=np.float32) if self.stored_encoder is None else self.stored_encoder

    @property
    def nbytes(self) -> int:
        """Bytes that ``reconstruct`` needs: packed codes, ranges of the quantizers, and alpha and beta if not 1 and 0.

        Shapes and names are not counted, nor is the encoder, which serves only to encode further rows.
        """
        total = self.codes_L.nbytes + self.quantizer_L.nbytes
        if self.codes_R is not None and self.quantizer_R is not None:
            total += self.codes_R.nbytes + self.quantizer_R.nbytes
        return total + (0 if (self.alpha, self.beta) == (1.0, 0.0) else 2 * np.dtype(np.float32).itemsize)

    def encode(self, x: Any) -> ByteMatrix:
        """Return the packed codes of rows that were not in A, with the encoder and quantizer of L as they are.

        Parameters
        ----------
        x : array_like of shape (nx, d)

        Returns
        -------
        ndarray of shape (nx, bytes per row), uint8
            Laid out like ``codes_L``.

        Raises
        ------
        InputError
            If ``x`` is not a finite matrix of d columns.
        """
        x = as_vectors(x, self.shape[1])
        with single_threaded():
            return packed_codes(x if self.stored_encoder is None else project(x, self.stored_encoder), self.quantizer_L)

    def normalized_and_shifted(self, A: Any) -> Self:
        """Return the same codes with the alpha and beta for which alpha * L R + beta is closest to ``A``.

        Parameters
        ----------
        A : array_like of shape (n, d)

        Raises
        ------
        InputError
            If ``A`` is not a finite matrix of that shape.
        """
        A = self._same_shape(A)
        multiply, sums = self._multiplier(), np.zeros(4)
        for rows in row_blocks(*self.shape):
            exact, product = A[rows].astype(np.float64), multiply(rows).astype(np.float64)
            sums += exact.sum(), product.sum(), (exact * product).sum(), np.square(product).sum()
        mean_A, mean, mixed, square = sums / A.size
        variance = square - mean * mean
        # Where the product is constant but for rounding every alpha does as well as any other.
        alpha = float(np.float32((mixed - mean_A * mean) / variance)) if variance > 1e-12 * square else 1.0
        return replace(self, alpha=alpha, beta=float(np.float32(mean_A - alpha * mean)))

    def _rows_of_L(self, rows: Any) -> FloatMatrix:
        return self.quantizer_L.decode(self.quantizer_L.unpack(self.codes_L[rows], self.rank))

    def _decoder(self) -> Callable[[Any], FloatMatrix]:
        multiply = self._multiplier()
        return lambda rows: self._shifted(multiply(rows))

    def _multiplier(self) -> Callable[[Any], FloatMatrix]:
        """Return a function from rows to their product, neither scaled nor shifted."""
        if self.codes_R is None:
            return self._rows_of_L
        R = self.R
        return lambda rows: self._rows_of_L(rows) @ R

    def _shifted(self, product: FloatMatrix) -> FloatMatrix:
        if (self.alpha, self.beta) == (1.0, 0.0):
            return product
        return np.float32(self.alpha) * product + np.float32(self.beta)


@dataclass(frozen=True, eq=False)
class IntegerFactorization(Factorization):
    """A matrix A (n, d) as alpha * L R + beta, with integers in L and R.

    Made by ``factorize`` with the method "qmf". It answers what a ``Factorization`` does, but has no encoder: further
    rows are coded by coordinate descent.
    """

    @property
    def encoder(self) -> FloatMatrix:
        """There is none: UnsupportedError."""
        raise UnsupportedError(f"expected a method that rounds a product of A for an encoder, got {self.method!r}")

    def encode(self, x: Any) -> ByteMatrix:
        """Return the packed codes (nx, bytes per row) uint8 of rows ``x`` (nx, d), with R as it is."""
        x = as_vectors(x, self.shape[1])
        with single_threaded():
            return packed_codes(encode_rows(x, self.R, self.beta, self.alpha, self.quantizer_L.nbits), self.quantizer_L)


_BY_ROWS = "expected a method that codes rows one by one where further rows are to be coded, got '{}'"


class Rotation(Protocol):
    """An orthogonal map of ``size`` coordinates; ``caldera.incoherence`` has it."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is known about the map."""

    def undo(self, x: FloatMatrix) -> npt.NDArray[np.float64]:
        """Return the columns of ``x`` (size, m) rotated back."""


@dataclass(frozen=True, eq=False, kw_only=True)
class QPlusLR(Factorization):
    """A matrix A (n, d) as alpha * (Q + L R) + beta, all three in packed codes.

    Made by ``factorize`` with the methods "caldera" and "lq-lora"; it answers what a ``Factorization`` does, but for
    codes of further rows: rows of A were mixed before they were coded.

    Attributes
    ----------
    codes_Q : ndarray of shape (n, bytes per row), uint8
        The rows of Q, packed as ``quantizer_Q.pack`` does.
    quantizer_Q : RowQuantizer
        What the codes stand for.
    rotations : tuple of Rotation
        Of the rows and of the columns, in that order, where Q, L and R are coded in rotated coordinates; else empty.
    errors : tuple of float
        What each alternation left, relative to A in the norm that was minimised; the best is what is held.
    """

    codes_Q: ByteMatrix
    quantizer_Q: RowQuantizer
    rotations: tuple[Rotation, ...] = ()
    errors: tuple[float, ...] = ()

    @property
    def Q(self) -> FloatMatrix:
        """The part of full rank (n, d), decoded."""
        coded = self.quantizer_Q.decode(self.quantizer_Q.unpack(self.codes_Q, self.shape[1]))
        return self._rows_back(self._columns_back(coded))

    @property
    def L(self) -> FloatMatrix:
        """The first factor (n, rank), decoded."""
        return self._rows_back(super().L)

    @property
    def R(self) -> FloatMatrix:
        """The second factor (rank, d), decoded."""
        return self._columns_back(super().R)

    @property
    def encoder(self) -> FloatMatrix:
        """There is none: UnsupportedError."""
        raise UnsupportedError(_BY_ROWS.format(self.method))

    @property
    def nbytes(self) -> int:
        """Bytes that ``reconstruct`` needs: those of L and R, codes and scales of Q, and signs of the rotations."""
        return (
            super().nbytes
            + self.codes_Q.nbytes
            + self.quantizer_Q.nbytes
            + sum(rotation.nbytes for rotation in self.rotations)
        )

    def encode(self, x: Any) -> ByteMatrix:  # noqa: ARG002 -- as above
        """Raise UnsupportedError, whatever ``x`` (nx, d) is: rows are not coded one by one."""
        raise UnsupportedError(_BY_ROWS.format(self.method))

    def _multiplier(self) -> Callable[[Any], FloatMatrix]:
        whole: FloatMatrix = self.Q + self.L @ self.R  # as rows are rotated, a part of them takes as long
        return lambda rows: whole[rows]

    def _rows_back(self, x: FloatMatrix) -> FloatMatrix:
        return self.rotations[0].undo(x).astype(np.float32) if self.rotations else x

    def _columns_back(self, x: FloatMatrix) -> FloatMatrix:
        return np.ascontiguousarray(self.rotations[1].undo(x.T).T, dtype=np.float32) if self.rotations else x


def packed_codes(values: FloatMatrix, quantizer: RowQuantizer) -> ByteMatrix:
    """Return the packed codes of ``values`` (n, m), made in blocks of rows."""
    return np.concatenate(
        [quantizer.pack(quantizer.encode(values[rows])) for rows in row_blocks(*values.shape)]
        or [quantizer.pack(quantizer.encode(values))]
    )
