"""Training rows that are fewer than their columns: what they leave unsaid is filled in.

n rows span n - 1 directions, and rows to come lie partly outside of those: codes that know only these could never reach
them, whatever their bits. The spread that rows to come have is estimated by shrinkage: the second moments of the sample
are drawn towards a matrix of their diagonal, as far as their own scatter says that the rest is chance (Ledoit & Wolf
2004; with this target Schaefer & Strimmer 2005). Training then sees rows of that spread: each row several times, drawn
towards the mean, with noise added.
"""

from __future__ import annotations

import numpy as np

from lplr_index.arrays import FloatMatrix
from lplr_index.linalg import column_energies, gram, single_threaded

_FEW = 2  # rows a column, from which a sample is taken as it is: it then spans all directions, and chance costs little
_ROWS, _ENTRIES = 4, 1 << 25  # a column, that are drawn, and how many numbers at most
_MOST = 4096  # rows and columns, of which a matrix of second moments is made


def with_unseen_directions(A: FloatMatrix, seed: int) -> FloatMatrix:
    """Rows to train on: A itself, or where it has few rows many of the spread of rows to come.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
        Centred rows.
    seed : int
        Of the noise.

    Returns
    -------
    ndarray of shape (rows, d), float32
        Some 4 d rows, fewer where that were too many numbers.
    """
    n, d = A.shape
    if n >= _FEW * d or min(n, d) > _MOST:
        return A
    chance, rng = chance_of(A), np.random.default_rng(seed)
    spread, drawn = (np.float32(np.sqrt(part)) for part in (chance, 1 - chance))
    noise = spread * np.sqrt(column_energies(A)).astype(np.float32)
    times = -(-min(_ROWS * d, max(n, _ENTRIES // d)) // n)
    return np.concatenate([drawn * A + noise * rng.standard_normal(A.shape, np.float32) for _ in range(times)])


def chance_of(A: FloatMatrix) -> float:
    """How much of the second moments between different columns of centred rows A (n, d) is chance, 0 to 1.

    Notes
    -----
    That is the sum of their variances over the sum of their squares. The squares of S = A^T A / n sum up to those of
    A A^T / n; and the squares of all products a_i a_j of a row to |a|^4.
    """
    n, d = A.shape
    squares = np.square(A)
    with single_threaded():
        inner = gram(A if d <= n else np.ascontiguousarray(A.T))
    variances, lengths = squares.mean(axis=0, dtype=np.float64), squares.sum(axis=1, dtype=np.float64)
    moments = np.square(inner / n).sum() - np.square(variances).sum()
    fourth = np.square(lengths).mean() - np.square(squares, dtype=np.float64).sum() / n
    return float(np.clip((fourth - moments) / n / moments, 0, 1)) if moments > 0 else 0.0
