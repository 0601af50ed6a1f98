"""Integer factors: A ~ w0 + w1 L R with bounded integers in L and R, refined one column after the other (QMF).

arXiv 2408.12691. The grid is frozen, only integers move: given everything else, the best integer for an entry of L is
the nearest one to a quotient, clamped, and the entries of a column do not depend on each other. So every update is
exact and the error never rises; neither does it where w0 and w1 are fitted again, by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.linalg import project, row_blocks, singular_pairs

SWEEPS = 10
_CLIPS = (1.5, 1.0, 0.7, 0.5, 0.35, 0.25)  # ends of the grids that are tried, relative to the largest entry of a factor
_FLAT = 1e-12  # variance of a product, relative to its square, below which it is constant but for rounding

Float64Array = npt.NDArray[np.float64]


def span(nbits: int) -> tuple[int, int]:
    """Return the smallest and the largest integer of ``nbits`` bits: -16 and 15 for 5, as published."""
    return -(1 << (nbits - 1)), (1 << (nbits - 1)) - 1


@dataclass(frozen=True, eq=False)
class IntegerFactors:
    """w0 + w1 * L R for a matrix (n, d).

    Attributes
    ----------
    L, R : ndarray of shape (n, rank) and (rank, d), float64
        Integers.
    shift, scale : float
        w0 and w1.
    errors : tuple of float
        Squared Frobenius error at the start and after each update of a factor and each fit of w0 and w1.
    """

    L: Float64Array
    R: Float64Array
    shift: float
    scale: float
    errors: tuple[float, ...]


def integer_factors(A: FloatMatrix, rank: int, nbits: int, nbits_R: int, sweeps: int = SWEEPS) -> IntegerFactors:
    """Return integer factors of ``A``: a rounded singular value decomposition, then coordinate descent.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
    rank : int
    nbits, nbits_R : int
        Bits of the integers of L and of R, 1 to 8.
    sweeps : int
        Times that both factors are gone through.

    Notes
    -----
    The start shares out each singular value evenly to both factors. Of a few grids, which cut off more or less of the
    factors' largest entries, the one whose rounded factors are closest to A is kept.
    """
    sums = _Sums(A)
    mean = np.float32(sums.total / A.size)
    values, vectors = singular_pairs(A - mean, rank)
    roots = np.sqrt(values)
    left = project(A - mean, np.divide(vectors, roots, out=np.zeros_like(vectors), where=roots > 0)).astype(np.float64)
    right = vectors * roots
    starts = [(_rounded(left, nbits, clip), _rounded(right, nbits_R, clip)) for clip in _CLIPS]
    fits = [sums.fit(L, columns, _times(A, columns)) for L, columns in starts]
    best = int(np.argmin([error for *_, error in fits]))
    (L, columns), (shift, scale, error) = starts[best], fits[best]
    errors = [error]
    for _ in range(sweeps):
        if scale == 0.0:  # a product that is no help: nothing to refine
            break
        descend(L, (_times(A, columns) - shift * columns.sum(axis=0)) / scale, columns.T @ columns, nbits)
        product = _times(A, columns)
        errors.append(sums.error(L, columns, product, shift, scale))
        descend(columns, (_transposed_times(A, L) - shift * L.sum(axis=0)) / scale, L.T @ L, nbits_R)
        product = _times(A, columns)
        errors.append(sums.error(L, columns, product, shift, scale))
        shift, scale, error = sums.fit(L, columns, product)
        errors.append(error)
    return IntegerFactors(L, np.ascontiguousarray(columns.T), shift, scale, tuple(errors))


def descend(x: Float64Array, target: Float64Array, gram: Float64Array, nbits: int) -> None:
    """Replace every column of ``x``, one after the other, by the integers of least squared error given the others.

    Parameters
    ----------
    x : ndarray of shape (n, rank), float64
        Integers, overwritten.
    target : ndarray of shape (n, rank), float64
        The matrix that is approximated by ``x @ y.T``, times ``y``.
    gram : ndarray of shape (rank, rank), float64
        ``y.T @ y``.
    nbits : int
        Bits of an integer.
    """
    low, high = span(nbits)
    for j in np.flatnonzero(np.diag(gram) > 0):
        missing = target[:, j] - x @ gram[:, j]
        x[:, j] = np.clip(np.rint(x[:, j] + missing / gram[j, j]), low, high)


def encode_rows(x: FloatMatrix, R: FloatMatrix, shift: float, scale: float, nbits: int) -> FloatMatrix:
    """Return integers (n, rank) for rows ``x`` (n, d) that were not in A, by descent with R (rank, d) as it is."""
    columns = R.T.astype(np.float64)
    L = np.zeros((len(x), len(R)))
    if scale != 0.0:
        target, gram = (_times(x, columns) - shift * columns.sum(axis=0)) / scale, columns.T @ columns
        for _ in range(SWEEPS):
            descend(L, target, gram, nbits)
    return L.astype(np.float32)


class _Sums:
    """What the error of w0 + w1 L R needs to know of A (n, d) beside its products with the factors."""

    def __init__(self, A: FloatMatrix) -> None:
        self.size = A.size
        self.total = float(A.sum(dtype=np.float64))
        self.square = sum(float(np.square(A[rows], dtype=np.float64).sum()) for rows in row_blocks(*A.shape))

    def fit(self, L: Float64Array, columns: Float64Array, product: Float64Array) -> tuple[float, float, float]:
        """Return the w0 and w1 of least squared error, and that error; ``product`` is A times ``columns``, R^T."""
        total, mixed, square = _moments(L, columns, product)
        variance = square - total * total / self.size
        scale = (mixed - self.total * total / self.size) / variance if variance > _FLAT * square else 0.0
        shift = (self.total - scale * total) / self.size
        return shift, scale, self.error(L, columns, product, shift, scale)

    def error(self, L: Float64Array, columns: Float64Array, product: Float64Array, shift: float, scale: float) -> float:
        """Return the squared error of w0 + w1 L R."""
        total, mixed, square = _moments(L, columns, product)
        exact = self.square + scale * scale * square + self.size * shift * shift
        return exact - 2 * (scale * mixed + shift * self.total - shift * scale * total)


def _moments(L: Float64Array, columns: Float64Array, product: Float64Array) -> tuple[float, float, float]:
    """Return the sum of L R, its inner product with A, and its squared norm."""
    total = float(L.sum(axis=0) @ columns.sum(axis=0))
    return total, float((L * product).sum()), float(((L.T @ L) * (columns.T @ columns)).sum())


def _rounded(x: Float64Array, nbits: int, clip: float) -> Float64Array:
    low, high = span(nbits)
    largest = float(np.abs(x).max())
    scaled = x * ((high + 0.5) / (clip * largest)) if largest > 0 else x
    integers: Float64Array = np.clip(np.rint(scaled), low, high) + 0.0  # without negative zeros
    return integers


def _times(A: FloatMatrix, x: Float64Array) -> Float64Array:
    out = np.empty((len(A), x.shape[1]))
    for rows in row_blocks(*A.shape):
        out[rows] = A[rows].astype(np.float64) @ x
    return out


def _transposed_times(A: FloatMatrix, x: Float64Array) -> Float64Array:
    out = np.zeros((A.shape[1], x.shape[1]))
    for rows in row_blocks(*A.shape):
        out += A[rows].astype(np.float64).T @ x[rows]
    return out
