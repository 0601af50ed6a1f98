"""kernels/portable.py: sums of deficits that stop where their numbers end; test_kernels_bounds.py compares the rest."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.kernels import layout, portable


@pytest.mark.parametrize("nibbles", [2, 6, 8, 22, 1024, 2054])
@pytest.mark.parametrize("most", [3, 63, 255])
def test_sums_of_columns(rng, nibbles, most):
    table, codes = rng.integers(0, most + 1, (nibbles, 16)), rng.integers(0, 256, (32, nibbles // 2)).astype(np.uint8)
    block = naive.weave(codes, 0, nibbles, 0, np.zeros((1, 16 * nibbles), np.uint8))
    shifts = np.repeat([1, 0], [1, -(-nibbles // 8)])[: -(-nibbles // 8)]
    ends = np.unique([min(8, nibbles), *range(layout.PHASE, nibbles, layout.PHASE), nibbles])
    segments = layout.Segments(ends, -np.diff(np.append(shifts[(ends - 1) // 8], 0)))
    sums = np.full(32, -1)

    portable._sum_of_columns(block.reshape(-1), 0, segments, table.reshape(-1).astype(np.uint8), sums)

    np.testing.assert_array_equal(sums, naive.column_sums(table, naive.nibble(codes, np.arange(nibbles)), shifts))
