"""lloyd.py: levels of least mean squared error."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.lloyd import lloyd_max

# Mean squared error of the Lloyd-Max quantizer of a unit Gaussian, by bits (Max 1960; 6 bits and up by Panter-Dite).
DISTORTION = (1.0, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499, 0.000664, 0.000166, 0.0000415)


def distortion(values, levels):
    return np.square(values[:, None] - levels[None]).min(axis=1).mean()


@pytest.mark.parametrize("nbits", range(1, 9))
def test_a_gaussian_is_coded_as_well_as_can_be(rng, nbits):
    """Max's table, to what a sample of this size and a hundred rounds reach."""
    values = rng.standard_normal(100_000).astype(np.float32)

    levels = lloyd_max(values, nbits)

    assert (len(levels), levels.dtype) == (1 << nbits, np.float32)
    assert (np.diff(levels) > 0).all()
    relative = distortion(values.astype(float), levels) / values.var(dtype=float)
    assert relative == pytest.approx(DISTORTION[nbits], rel=0.03 if nbits < 6 else 0.1)


@pytest.mark.parametrize("nbits", [3, 4, 6])
def test_a_uniform_column_is_coded_as_well_as_can_be(rng, nbits):
    values = rng.uniform(-1, 1, 50_000).astype(np.float32)

    assert distortion(values.astype(float), lloyd_max(values, nbits)) < 1.1 / 3 / 4**nbits


@pytest.mark.parametrize("draw", ["laplace", "uniform", "exponential"])
@pytest.mark.parametrize("nbits", [1, 2, 3])
def test_every_level_is_the_mean_of_what_it_stands_for(rng, draw, nbits):
    values = getattr(rng, draw)(size=20_000).astype(np.float32)

    levels = lloyd_max(values, nbits)

    nearest = np.abs(values[:, None] - levels[None]).argmin(axis=1)
    means = [values[nearest == code].mean(dtype=float) for code in range(1 << nbits)]
    np.testing.assert_allclose(levels, means, atol=2e-3 * np.std(values))


@pytest.mark.parametrize(("scale", "shift"), [(1e-20, 0), (1e20, 0), (-3, 0), (0.01, 100)])
def test_levels_move_with_the_values(rng, scale, shift):
    values = rng.standard_normal(3000)

    moved = lloyd_max((scale * values + shift).astype(np.float32), 3)

    expected = np.sort(scale * lloyd_max(values.astype(np.float32), 3) + shift)
    np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-2 * abs(scale))


def test_one_bit_beats_every_other_cut():
    values = np.sort(np.random.default_rng(3).standard_normal(500)).astype(np.float32)
    cuts = [distortion(values, np.array([values[:i].mean(), values[i:].mean()])) for i in range(1, 500)]

    assert distortion(values, lloyd_max(values, 1)) <= min(cuts) * 1.001


@pytest.mark.parametrize("values", [[3.0], [3.0] * 9, [0.0] * 5, [-1.0, 1.0], [1e-38, 0.0], [0.0] * 99 + [1e6]])
@pytest.mark.parametrize("nbits", [1, 4, 8])
def test_columns_of_few_values(values, nbits):
    """All of them are levels where there are as many, and nothing is infinite."""
    values = np.array(values, np.float32)

    levels = lloyd_max(values, nbits)

    assert np.isfinite(levels).all()
    assert (np.diff(levels) >= 0).all()
    assert distortion(values.astype(float), levels) <= 1e-9 * max(1.0, np.square(values, dtype=float).max())


def test_the_order_of_values_does_not_matter(rng):
    values = rng.standard_normal(1000).astype(np.float32)

    np.testing.assert_array_equal(lloyd_max(values, 4), lloyd_max(values[::-1].copy(), 4))
