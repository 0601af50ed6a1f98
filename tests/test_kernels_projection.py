"""kernels/projection.py beside its twin: the same integers."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.kernels import projection
from lplr_index.settings import MOST_DIMENSIONS


def products(q, R):
    out = np.full((len(q), len(R)), -1, np.int32)
    projection.multiply_bytes(q, projection.byte_panels(R), out)
    return out


@pytest.mark.parametrize("nq", [0, 1, 3, 16, 17, 40])
@pytest.mark.parametrize(("m", "d"), [(1, 1), (5, 17), (16, 64), (33, 100)])
def test_multiply_bytes(rng, nq, m, d):
    q, R = (rng.integers(-127, 128, (rows, d)).astype(np.int8) for rows in (nq, m))

    np.testing.assert_array_equal(products(q, R), naive.multiply_bytes(q, R))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_fit(sign):
    ends = np.full((1, MOST_DIMENSIONS), 127, np.int8)

    assert products(sign * ends, ends).item() == sign * 127 * 127 * MOST_DIMENSIONS
