"""Dense linear algebra that is the same on every thread count and needs no float64 copy of a large matrix.

Everything here reads a float32 matrix in blocks of rows, adds up products in float64 and finishes on a small
symmetric matrix. That squares the condition number, in a precision that has twice the digits of the input:
singular values come out to about 1e-8 of the largest one, finer than float32 stores the matrix itself.
What lies below ``RESOLUTION`` of the largest is the rounding of the input and counts as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from lplr_index.arrays import FloatMatrix

Float64Array = npt.NDArray[np.float64]

RESOLUTION = 4.0 * float(np.finfo(np.float32).eps)
"""Singular values below this fraction of the largest count as zero."""

_BLOCK_ENTRIES = 1 << 19  # 4 MiB in float64


def single_threaded() -> AbstractContextManager[object]:
    """Return a context in which BLAS and LAPACK use one thread.

    Their results differ in the last bits between thread counts (eigh and qr among them), and a code next to a
    rounding boundary would differ with them. The limit holds for the whole process while the context is open.
    """
    limit: AbstractContextManager[object] = _blas().limit(limits=1)
    return limit


@cache
def _blas() -> ThreadpoolController:
    """The BLAS of NumPy, which is there before this: to look for it among all libraries takes 2 ms, every time."""
    return ThreadpoolController().select(user_api="blas")


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows of ``width`` numbers in blocks of at most 4 MiB of float64."""
    rows = max(1, _BLOCK_ENTRIES // max(1, width))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def project(A: FloatMatrix, encoder: npt.NDArray[np.floating]) -> FloatMatrix:
    """Return ``A @ encoder`` (n, rank) in float32.

    The products are added in float64 and rounded once, so that a row gets the same numbers in any batch but for
    a rounding boundary that two float64 sums straddle, about once in 1e8 entries.
    """
    wide = encoder.astype(np.float64)
    out = np.empty((len(A), wide.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore"):  # an overflow becomes an infinity, which no quantizer accepts
        for rows in row_blocks(len(A), A.shape[1]):
            out[rows] = A[rows].astype(np.float64) @ wide
    return out


def column_energies(A: npt.NDArray[np.floating]) -> Float64Array:
    """Return the mean squares (d,) of the columns of A (n, d), in float64."""
    sums: Float64Array = np.einsum("ij,ij->j", A, A, dtype=np.float64)
    return sums / max(len(A), 1)


def gram(A: npt.NDArray[np.floating]) -> Float64Array:
    """Return A^T A (d, d) in float64."""
    total = np.zeros((A.shape[1], A.shape[1]))
    for rows in row_blocks(*A.shape):
        block = A[rows].astype(np.float64)
        total += block.T @ block
    return total


def apply_gram(A: FloatMatrix, x: Float64Array) -> Float64Array:
    """Return A^T (A x) for ``x`` of shape (d, m) in one pass over A."""
    total = np.zeros_like(x)
    for rows in row_blocks(*A.shape):
        block = A[rows].astype(np.float64)
        total += block.T @ (block @ x)
    return total


def singular_pairs(A: npt.NDArray[np.floating], rank: int) -> tuple[Float64Array, Float64Array]:
    """Return the ``rank`` largest singular values of A and their right singular vectors.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32 or float64
    rank : int
        At most min(n, d).

    Returns
    -------
    values : ndarray of shape (rank,), float64
        In descending order; zero where below ``RESOLUTION`` of the first.
    vectors : ndarray of shape (d, rank), float64
        Orthonormal columns, each with its largest entry positive; zero where the value is.
    """
    n, d = A.shape
    squares, vectors = np.linalg.eigh(gram(A) if d <= n else gram(A.T))
    squares, vectors = squares[::-1][:rank], vectors[:, ::-1][:, :rank]
    present = squares > RESOLUTION**2 * max(float(squares[0]), 0.0)
    values = np.sqrt(np.where(present, squares, 0.0))
    if d > n:  # these are left singular vectors, and v = A^T u / sigma
        vectors = _transposed_product(A, vectors / np.where(present, values, 1.0))
    # LAPACK is free to choose the signs, but a range from the minimum to the maximum depends on them.
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(rank)])
    return values, np.where(present, vectors * signs, 0.0)


def least_squares(L: npt.NDArray[np.floating], A: npt.NDArray[np.floating]) -> Float64Array:
    """Return the R (rank, d) that minimises the Frobenius norm of L R - A.

    Columns of L are brought to length one first, so that their scales do not matter;
    directions below ``RESOLUTION`` are left out, so an L that lacks full rank is no special case.

    Parameters
    ----------
    L : ndarray of shape (n, rank), float32 or float64
    A : ndarray of shape (n, d), float32 or float64
    """
    inner = gram(L)
    lengths = np.sqrt(np.diag(inner))
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    squares, vectors = np.linalg.eigh(inner * inverse[:, None] * inverse)
    present = squares > RESOLUTION**2 * max(float(squares[-1]), 0.0)
    whitening = vectors[:, present] / np.sqrt(squares[present])
    basis = inverse[:, None] * whitening  # L basis has orthonormal columns
    out: Float64Array = basis @ (basis.T @ _transposed_product(L, A))
    return out


def orthonormalise(x: Float64Array) -> Float64Array:
    """Return an orthonormal basis of the columns of ``x`` (d, m), m <= d, with the signs of a unique QR."""
    basis, triangle = np.linalg.qr(x)
    basis[:, np.diag(triangle) < 0] *= -1.0
    return basis


def _transposed_product(L: npt.NDArray[np.floating], A: npt.NDArray[np.floating]) -> Float64Array:
    """Return L^T A in float64."""
    total = np.zeros((L.shape[1], A.shape[1]))
    for rows in row_blocks(len(L), L.shape[1] + A.shape[1]):
        total += L[rows].astype(np.float64).T @ A[rows].astype(np.float64)
    return total
