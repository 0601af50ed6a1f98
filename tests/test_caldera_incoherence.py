"""caldera/incoherence.py: exactly orthogonal for any number of coordinates, and it spreads what stands out."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.caldera.incoherence import HadamardRotation
from lplr_index.errors import InputError

SIZES = [1, 2, 3, 5, 8, 12, 37, 64, 100, 127]


@pytest.mark.parametrize("size", SIZES)
def test_it_is_orthogonal(size):
    rotation = HadamardRotation.random(size, np.random.default_rng(0))

    matrix = rotation.apply(np.eye(size))

    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-14)
    np.testing.assert_allclose(rotation.undo(np.eye(size)), matrix.T, atol=1e-14)
    assert rotation.nbytes == (1 if size & (size - 1) == 0 else 2) * -(-size // 8)


@pytest.mark.parametrize("size", [64, 100, 127])
def test_no_coordinate_keeps_much(size):
    matrix = HadamardRotation.random(size, np.random.default_rng(0)).apply(np.eye(size))

    assert np.abs(matrix).max() < 4 / np.sqrt(size)


def test_seeds_and_what_was_given():
    x = np.random.default_rng(1).standard_normal((20, 3))
    kept = x.copy()
    rotations = [HadamardRotation.random(20, np.random.default_rng(seed)) for seed in (0, 0, 1)]

    same, again, other = (each.apply(x) for each in rotations)

    np.testing.assert_array_equal(same, again)
    assert not np.allclose(same, other)
    np.testing.assert_array_equal(x, kept)
    assert rotations[0].apply(x[:, :0]).shape == (20, 0)


@pytest.mark.parametrize("size", [0, -1, 2.0])
def test_bad_sizes(size):
    with pytest.raises(InputError, match="expected size to be an integer >= 1"):
        HadamardRotation.random(size, np.random.default_rng(0))
