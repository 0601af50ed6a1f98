"""kernels/lengths.py: rows divided by their lengths, and what is told of rows that have none."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.kernels import lengths


@pytest.mark.parametrize("d", [1, 3, 4, 7, 48])
def test_rows_divided_by_their_lengths(rng, d):
    x = rng.standard_normal((20, d)).astype(np.float32)
    unit, norms = np.empty_like(x), np.empty(20)

    assert lengths.divide(x, unit, norms)

    exact = np.linalg.norm(x.astype(float), axis=1)
    np.testing.assert_allclose(norms, exact, rtol=1e-14)
    np.testing.assert_array_equal(unit, (x / norms[:, None]).astype(np.float32))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_lengths_that_do_not_divide_are_told(rng, value):
    x = rng.standard_normal((3, 5)).astype(np.float32)
    x[1] = 0
    x[1, 2] = value
    unit, norms = np.empty_like(x), np.empty(3)

    assert not lengths.divide(x, unit, norms)

    assert norms[1] == abs(value) or np.isnan(value)
    if value == 0:
        assert not unit[1].any()
