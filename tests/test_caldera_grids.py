"""caldera/grids.py: published levels, scales of every kind, and rounding to the nearest."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.caldera.grids import GRIDS, GridQuantizer, grid_nbits, levels_of
from lplr_index.errors import InputError

# Max (1960): the step of the best equal steps for a unit Gaussian, and the squared error that it leaves.
BEST_STEPS = {1: (1.596, 0.3634), 2: (0.9957, 0.1188), 3: (0.5860, 0.03744), 4: (0.3352, 0.01154)}
# QLoRA's table NF4, to four digits.
NF4 = [-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626]
NF4 += [0.7230, 1.0]


def gaussian(n, m, seed=0):
    return np.random.default_rng(seed).standard_normal((n, m)).astype(np.float32)


@pytest.mark.parametrize("nbits", BEST_STEPS)
def test_equal_steps_are_the_published_ones(nbits):
    step, error = BEST_STEPS[nbits]
    levels, x = levels_of("uniform", nbits), gaussian(2000, 50)

    np.testing.assert_allclose(np.diff(levels), step, rtol=2e-3)
    np.testing.assert_allclose(levels, -levels[::-1], rtol=1e-6)
    quantizer = GridQuantizer.train(x, "uniform", nbits)
    assert np.square(x - quantizer.decode(quantizer.encode(x))).mean() == pytest.approx(error, rel=0.02)


def test_normal_floats_are_the_published_ones():
    np.testing.assert_allclose(levels_of("normalfloat", 4), NF4, atol=6e-5)


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("per", ["matrix", "column", "block"])
def test_codes_are_the_nearest_levels(kind, per):
    x = gaussian(9, 150) * np.linspace(0.1, 3, 150, dtype=np.float32)
    for nbits in grid_nbits(kind):
        quantizer = GridQuantizer.train(x, kind, nbits, per)
        every = quantizer.decode(np.zeros((9, 150), np.uint8))[..., None] / levels_of(kind, nbits)[0]
        every = every * levels_of(kind, nbits)

        decoded = quantizer.decode(quantizer.encode(x))

        np.testing.assert_allclose(np.abs(x - decoded), np.abs(x[..., None] - every).min(axis=-1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("per", "shape"), [("matrix", ()), ("column", (70,)), ("block", (5, 2))])
@pytest.mark.parametrize("kind", GRIDS)
def test_scales_are_what_the_levels_are_multiplied_with(kind, per, shape):
    x = gaussian(5, 70)
    blocks = [x[:, :64], x[:, 64:]]
    size = (lambda a, **k: np.abs(a).max(**k)) if kind == "normalfloat" else (lambda a, **k: np.sqrt((a**2).mean(**k)))
    expected = {
        "matrix": lambda: size(x),
        "column": lambda: size(x, axis=0),
        "block": lambda: np.stack([size(each, axis=1) for each in blocks], axis=1),
    }[per]()

    quantizer = GridQuantizer.train(x, kind, 4, per)

    np.testing.assert_allclose(quantizer.scale, expected, rtol=1e-3)
    assert quantizer.scale.shape == shape
    assert quantizer.nbytes == quantizer.scale.size * (2 if per == "block" else 4)


@pytest.mark.parametrize("per", ["matrix", "column", "block"])
def test_columns_can_be_coded_one_by_one(per):
    x = gaussian(6, 130)
    quantizer = GridQuantizer.train(x, "normalfloat", 3, per)
    codes = quantizer.encode(x)

    for j in (0, 63, 64, 129):
        np.testing.assert_array_equal(quantizer.encode(x[:, j : j + 1], j), codes[:, j : j + 1])
        np.testing.assert_array_equal(quantizer.decode(codes[:, j : j + 1], j), quantizer.decode(codes)[:, j : j + 1])
    np.testing.assert_array_equal(quantizer.unpack(quantizer.pack(codes), 130), codes)


def test_zeros_stay_zeros():
    quantizer = GridQuantizer.train(np.zeros((4, 5), np.float32), "uniform", 2)

    assert (quantizer.decode(quantizer.encode(np.zeros((4, 5), np.float32))) == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nf", 4), "expected a grid among uniform, normalfloat, got 'nf'"),
        (("normalfloat", 1), "expected nbits to be one of 2, 3"),
        (("uniform", 9), "expected nbits to be one of 1, 2"),
        (("uniform", 2, "row"), "expected per to be one of matrix, column, block, got 'row'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        GridQuantizer.train(gaussian(3, 3), *arguments)


def test_scales_that_float16_cannot_hold():
    with pytest.raises(InputError, match="expected magnitudes up to 65504 in blocks, got 1e"):
        GridQuantizer.train(np.full((2, 3), 1e6, np.float32), "normalfloat", 4, "block")
