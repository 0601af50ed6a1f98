"""kernels/pairs.py beside its twins: the same bits, pair for pair."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.kernels import pairs


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("count", "d"), [(0, 5), (1, 1), (7, 3), (200, 48), (33, 257)])
def test_keys_of_pairs(rng, squared, count, d):
    xq, x = rng.standard_normal((11, d)).astype(np.float32), rng.standard_normal((17, d)).astype(np.float32)
    queries, rows = rng.integers(11, size=count), rng.integers(17, size=count)
    keys = np.full(count, np.nan, np.float32)

    pairs.keys_of_pairs(xq, x, queries, rows, squared, keys)

    np.testing.assert_array_equal(keys, naive.pair_keys(xq[queries], x[rows], squared))


def test_the_distance_of_equal_vectors_is_nothing(rng):
    x = rng.standard_normal((3, 40)).astype(np.float32)
    keys = np.full(3, np.nan, np.float32)

    pairs.keys_of_pairs(x, x, np.arange(3), np.arange(3), True, keys)

    assert (keys == 0).all()


@pytest.mark.parametrize(("number", "lengths"), [(0, "own"), (1, "unit"), (2, "first")])
def test_refine_rows(rng, number, lengths):
    x_hat, rest = (rng.standard_normal((50, 48)).astype(np.float32) for _ in range(2))
    x_hat[3] = 0
    rest[4] = -x_hat[4]
    out = np.full((50, 48), np.nan, np.float32)

    pairs.refine_rows(x_hat, rest, number, out)

    np.testing.assert_array_equal(out, naive.refine_rows(x_hat, rest, lengths))
    wanted = {"own": x_hat + rest, "unit": np.eye(48)[:1] * (x_hat != 0).any(axis=1)[:, None], "first": x_hat}[lengths]
    wanted_lengths = np.linalg.norm(wanted, axis=1)
    wanted_lengths[4] = 0  # nothing has no direction
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), wanted_lengths, rtol=1e-6)
