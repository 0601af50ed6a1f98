"""Lloyd-Max codebooks: the levels of least mean squared error for a sample of one column."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

_ROUNDS = 100


def lloyd_max(values: npt.NDArray[np.float32], nbits: int) -> npt.NDArray[np.float32]:
    """Return the 2**nbits sorted levels, float32, that Lloyd's iteration finds for ``values`` (n,).

    Notes
    -----
    Cells of sorted data are ranges, so with prefix sums one iteration costs a binary search per level.
    It starts from the quantiles that are best for a Gaussian at high rate (density to the power 1/3, Panter & Dite
    1951) and stops when no level moves by more than a millionth of the spread. A cell that is empty keeps its level.
    """
    ordered = np.sort(values.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    spread = float(ordered[-1] - ordered[0])
    levels: npt.NDArray[np.float64] = ordered.mean() + ordered.std() * _gaussian_start(nbits)
    for _ in range(_ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2), [len(ordered)]])
        counts = np.diff(cuts)
        means = np.diff(sums[cuts]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, levels)
        done = np.abs(moved - levels).max() <= 1e-6 * spread
        levels = np.sort(moved)
        if done:
            break
    return np.asarray(levels, np.float32)


@cache
def _gaussian_start(nbits: int) -> npt.NDArray[np.float64]:
    """Quantiles of a Gaussian of variance three at the middles of 2**nbits equal parts."""
    from statistics import NormalDist

    count = 1 << nbits
    return np.array([NormalDist(0, 3**0.5).inv_cdf((i + 0.5) / count) for i in range(count)])
