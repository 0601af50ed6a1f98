"""kernels/portable.py: sums of deficits that stop where their numbers end; test_kernels_bounds.py compares the rest."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from bounding import make_layout
from lplr_index.kernels import layout, portable


@pytest.mark.parametrize("nibbles", [2, 6, 8, 22, 1024, 2054])
@pytest.mark.parametrize("most", [3, 63, 255])
@pytest.mark.parametrize("digits", [1, 2])
def test_sums_of_columns(rng, nibbles, most, digits):
    table, codes = rng.integers(0, most + 1, (nibbles, 16)), rng.integers(0, 256, (32, nibbles // 2)).astype(np.uint8)
    block = naive.weave(codes, 0, nibbles, 0, np.zeros((1, 16 * nibbles), np.uint8))
    shifts = np.repeat([1, 0], [1, -(-nibbles // 8)])[: -(-nibbles // 8)]
    ends = np.unique([min(8, nibbles), *range(layout.PHASE, nibbles, layout.PHASE), nibbles])
    segments = layout.Segments(ends, np.ones_like(ends), -np.diff(np.append(shifts[(ends - 1) // 8], 0)))
    seconds = rng.integers(0, 64, (nibbles, 16))
    tables = [np.stack([np.zeros(16 * nibbles), each.reshape(-1)]).astype(np.uint8) for each in (table, seconds)]

    form, flat = make_layout(nibbles), block.reshape(-1)
    sums = [portable._deficit(digits, flat, flat, 0, row, form, 0, segments, *tables, 1) for row in range(32)]

    values = naive.nibble(codes, np.arange(nibbles))
    if digits == 1:
        expected = naive.column_sums(table, values, shifts)
    else:
        expected = naive.fine_sums(table, seconds, values, shifts)
    np.testing.assert_array_equal(sums, expected)
