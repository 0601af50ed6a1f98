"""What can be asked of any compressed matrix, however it was made: its size, its rows, how far off it is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_ids, as_vectors
from lplr_index.errors import InputError
from lplr_index.linalg import gram, row_blocks


class Approximation(ABC):
    """A matrix A (n, d) in fewer bytes; what ``factorize`` returns derives from this class.

    Attributes
    ----------
    method : str
        The name that ``factorize`` was given.
    shape : tuple of int
        (n, d).
    """

    method: str
    shape: tuple[int, int]

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that ``reconstruct`` needs."""

    @property
    def bits_per_entry(self) -> float:
        """Bits of ``nbytes`` per entry of A."""
        return 8.0 * self.nbytes / (self.shape[0] * self.shape[1])

    def reconstruct(self, rows: Any = None) -> FloatMatrix:
        """Return the approximation of A, or of some of its rows.

        Parameters
        ----------
        rows : array_like of shape (k,), int, optional
            Row numbers from 0 to n - 1, in any order, repetitions allowed; all rows where None.

        Returns
        -------
        ndarray of shape (n, d) or (k, d), float32

        Raises
        ------
        InputError
            If ``rows`` is not a list of such numbers.
        """
        if rows is None:
            return self._decoder()(slice(None))
        wanted = as_ids(rows, name="rows")
        outside = (wanted < 0) | (wanted >= self.shape[0])
        if outside.any():
            raise InputError(f"expected rows from 0 to {self.shape[0] - 1}, got {wanted[outside][0]}")
        return self._decoder()(wanted)

    def relative_error(self, A: Any, queries: Any = None) -> float:
        """Return |A - approximation| / |A| in the Frobenius norm, or that of the inner products with queries.

        Where the denominator is zero it is 0 if the numerator is zero as well, and infinity otherwise.

        Parameters
        ----------
        A : array_like of shape (n, d)
        queries : array_like of shape (s, d), optional
            With X for these, the error is |(A - approximation) X^T| / |A X^T|.

        Raises
        ------
        InputError
            If ``A`` is not a finite matrix of that shape, or ``queries`` not one of d columns.
        """
        A = self._same_shape(A)
        second_moment = None if queries is None else gram(as_vectors(queries, self.shape[1], name="queries"))
        decode = self._decoder()
        wrong = total = 0.0
        for rows in row_blocks(*self.shape):
            exact = A[rows].astype(np.float64)
            error = exact - decode(rows)
            total += float(np.vdot(exact, exact if second_moment is None else exact @ second_moment))
            wrong += float(np.vdot(error, error if second_moment is None else error @ second_moment))
        if total == 0.0:
            return math.inf if wrong else 0.0
        return math.sqrt(wrong / total)

    @abstractmethod
    def _decoder(self) -> Callable[[Any], FloatMatrix]:
        """Return a function from rows, a slice or numbers (k,), to what they are decoded to, (k, d)."""

    def _same_shape(self, A: Any) -> FloatMatrix:
        same = as_vectors(A, self.shape[1], name="A")
        if len(same) != self.shape[0]:
            raise InputError(f"expected A of shape {self.shape}, got {same.shape}")
        return same
