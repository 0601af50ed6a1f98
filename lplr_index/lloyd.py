"""Lloyd-Max codebooks: the levels of least mean squared error for a sample of one column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 100
_STEPS = 512  # of the sample's distribution function, from which the start is made


def lloyd_max(values: npt.NDArray[np.float32], nbits: int) -> npt.NDArray[np.float32]:
    """Return the 2**nbits sorted levels, float32, that Lloyd's iteration finds for ``values`` (n,).

    Notes
    -----
    Cells of sorted data are ranges, so with prefix sums one iteration costs a binary search per level.
    It stops when no level moves by more than a millionth of the spread. A cell that is empty keeps its level.
    """
    ordered = np.sort(values.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    spread = float(ordered[-1] - ordered[0])
    levels = _start(ordered, 1 << nbits)
    for _ in range(_ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2), [len(ordered)]])
        counts = np.diff(cuts)
        means = np.diff(sums[cuts]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, levels)
        done = np.abs(moved - levels).max() <= 1e-6 * spread
        levels = np.sort(moved)
        if done:
            break
    return levels.astype(np.float32)


def _start(ordered: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Levels as dense as the cube root of the density of the sample, which is best at high rate (Panter & Dite 1951).

    Between two quantiles of equal probability the density is the inverse of their gap, so levels share out the gaps
    to the power 2/3.
    """
    steps = min(_STEPS, len(ordered))
    quantiles = np.quantile(ordered, np.linspace(0, 1, steps + 1))
    share = np.concatenate([[0.0], np.cumsum(np.diff(quantiles) ** (2 / 3))])
    middles: npt.NDArray[np.float64] = np.interp((np.arange(count) + 0.5) / count * share[-1], share, quantiles)
    return middles
