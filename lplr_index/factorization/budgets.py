"""The paper's budget: what rank a number of bits per entry pays for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lplr_index.arrays import as_integer
from lplr_index.errors import InputError
from lplr_index.quantizers import check_nbits


def rank_for_budget(n: int, d: int, nbits: int, nbits_R: int, bits: float, *, ratio: float = 1.0) -> int:
    """Return the largest rank whose codes fit in ``ratio * bits`` bits per entry of an n x d matrix.

    A component costs n codes of ``nbits`` in L and d codes of ``nbits_R`` in R, so the rank is
    floor(ratio * n * d * bits / (n * nbits + d * nbits_R)), but at most min(n, d).

    Parameters
    ----------
    n, d : int
        Shape of the matrix.
    nbits, nbits_R : int
        Bits per entry of L and of R: 1 to 8, 16 or 32.
    bits : float
        Bits per entry of the matrix, the paper's B_nq.
    ratio : float
        The part of the budget that may be used, the paper's compression ratio with respect to naive quantization.

    Raises
    ------
    InputError
        If an argument is out of range, or the budget does not pay for rank 1.

    Examples
    --------
    >>> rank_for_budget(1000, 1000, 4, 8, bits=1)
    83
    """
    as_integer(n, "n", least=1)
    as_integer(d, "d", least=1)
    check_nbits(nbits, "nbits")
    check_nbits(nbits_R, "nbits_R")
    cost = n * nbits + d * nbits_R
    rank = math.floor(as_positive(ratio, "ratio") * n * d * as_positive(bits, "bits") / cost)
    if rank == 0:
        least = cost / (n * d)
        raise InputError(f"expected a budget of at least {least:.3g} bits per entry, for rank 1, got {ratio * bits:g}")
    return min(rank, n, d)


def bits_with_q(n: int, d: int, rank: int, *, nbits_Q: int = 2, nbits: int = 4, nbits_R: int = 4) -> float:
    """Return the bits per entry of an n x d matrix that the codes of Q + L R take.

    That is B_Q + rank (n B + d B') / (n d), without scales and the bits that fill the last bytes, as published.

    Parameters
    ----------
    n, d, rank : int
        Shape of the matrix, and columns of L.
    nbits_Q, nbits, nbits_R : int
        Bits per entry of Q, L and R.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> bits_with_q(4096, 4096, 64)
    2.125
    """
    as_integer(n, "n", least=1)
    as_integer(d, "d", least=1)
    widths = [check_nbits(each, name) for each, name in ((nbits_Q, "nbits_Q"), (nbits, "nbits"), (nbits_R, "nbits_R"))]
    return widths[0] + as_integer(rank, "rank") * (n * widths[1] + d * widths[2]) / (n * d)


def as_rank(shape: tuple[int, int], rank: Any, bits: Any, nbits: int, nbits_R: int) -> int:
    """Return the rank of an n x d matrix: the given one, or what the budget ``bits`` pays for.

    Raises
    ------
    InputError
        If both are given or neither, or one is out of range.
    """
    check_one_of_both(rank, bits)
    if rank is not None:
        return as_integer(rank, "rank", least=1, most=min(shape))
    return rank_for_budget(*shape, nbits, nbits_R, bits)


def check_one_of_both(rank: Any, bits: Any) -> None:
    """Raise InputError unless either is None and the other is not."""
    if (rank is None) == (bits is None):
        raise InputError(f"expected either rank or bits, got rank={rank!r} and bits={bits!r}")


def as_positive(value: Any, name: str) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    InputError
        If it is not a finite number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"expected {name} to be a number above 0, got {value!r}")
    if not 0 < value < math.inf:
        raise InputError(f"expected {name} to be a number above 0, got {value}")
    return float(value)
