"""How the spread of a collection is shared out among directions, and what that says about compressing it.

A collection whose spread is the same in all directions has nothing to save on; one with a few strong directions has.
How much, rate-distortion theory tells of Gaussian vectors of the same spectrum (reverse water-filling; Cover & Thomas,
chapter 10): no code of theirs does with fewer bits, however long its words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lplr_index.arrays import FloatMatrix
from lplr_index.linalg import gram, single_threaded

_DIGITS = 6  # kept of a share: more differ between machines
_LEAST = 1e-10  # of the largest share: what is below is rounding
_LOST = 0.1  # of the spread, at which bits are compared
_WORDS = ((0.9, "hardly"), (0.75, "somewhat"), (0.55, "well"), (0.0, "very well"))  # by bits of those for a flat one


def spectrum(x: FloatMatrix) -> tuple[float, ...]:
    """Return the share of each principal direction in the spread of rows about their mean, as ``auto`` centres them.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        Rows; of unit length under cosine.

    Returns
    -------
    tuple of float
        d shares, not increasing, that sum to one; none where all rows are the same.
    """
    centred = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    n, d = centred.shape
    with single_threaded():
        energies = np.linalg.eigvalsh(gram(centred if d <= n else np.ascontiguousarray(centred.T)))[::-1]
    energies = np.where(energies > _LEAST * max(float(energies[0]), 0.0), energies, 0.0)
    if not energies.any():
        return ()
    shares = [float(f"{share:.{_DIGITS}g}") for share in energies / energies.sum()]
    return (*shares, *[0.0] * (d - len(shares)))


def effective_directions(shares: Sequence[float]) -> float:
    """Return how many equally strong directions would be as concentrated: one over the sum of squared shares."""
    return 1 / sum(share * share for share in shares)


def first_share(shares: Sequence[float], part: float) -> float:
    """Return how much of the spread is in the first ``part`` of the directions, rounded up to whole ones."""
    return min(1.0, sum(shares[: math.ceil(part * len(shares))]))


def least_bits(shares: Sequence[float], lost: float) -> float:
    """Return the bits a coordinate that Gaussian vectors need at the least, if ``lost`` of their spread may be lost.

    Parameters
    ----------
    shares : sequence of float
        Not increasing, with the sum one.
    lost : float
        Above 0; from 1 on nothing is needed.
    """
    left = 1.0  # in the directions from the one looked at on, which are given up
    bits = 0.0
    logs = 0.0
    for count, share in enumerate(shares, 1):
        left -= share
        logs += math.log2(share) if share > 0 else 0.0
        level = (lost - left) / count
        if 0 < level <= share:
            bits = (logs - count * math.log2(level)) / 2
    return bits / len(shares)


def describe_spectrum(shares: Sequence[float]) -> str:
    """Say in plain sentences how compressible a collection with these shares is."""
    if not shares:
        return "All rows are the same: there is nothing to tell apart."
    d, bits, flat = len(shares), least_bits(shares, _LOST), math.log2(1 / _LOST) / 2
    word = next(word for least, word in _WORDS if bits >= least * flat)
    tenth = math.ceil(d / 10)
    return (
        f"These vectors compress {word}. "
        f"The first {tenth} of {d} directions, a tenth, hold {first_share(shares, 0.1):.0%} of the spread; "
        f"all together are worth {effective_directions(shares):.0f} equally strong ones. "
        f"To keep {1 - _LOST:.0%} of the spread, Gaussian vectors like these need {bits:.2f} bits a coordinate at the "
        f"least; without any structure it would be {flat:.2f}."
    )
