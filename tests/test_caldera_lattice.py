"""caldera/lattice.py and its kernel: the codebook is what it should be, and the nearest point is the nearest of all."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.caldera import lattice
from lplr_index.caldera.lattice import LatticeQuantizer
from lplr_index.errors import InputError
from lplr_index.kernels import lattice as kernel

CODES = np.arange(1 << 16, dtype=np.uint16)
LLOYD_MAX = {2: 0.1175, 3: 0.03454, 4: 0.009497}  # mean squared error of the best scalar levels for a unit Gaussian


def gaussian(n, m, seed=0):
    return np.random.default_rng(seed).standard_normal((n, m)).astype(np.float32)


def test_patterns_are_the_short_ones():
    squares = np.square(lattice.patterns()).sum(axis=1)

    assert len(np.unique(lattice.patterns(), axis=0)) == 256
    assert (squares <= 10).sum() == 227  # all there are: 1 + 8 + 28 + 56 + 70 of 1/2 and 3/2, 8 + 56 with one 5/2
    assert (squares == 12).sum() == 29


def test_every_code_is_a_point_of_its_own():
    found, expected = lattice.points(CODES), naive.e8_points(lattice.patterns())

    assert len(np.unique(found, axis=0)) == 1 << 16
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(expected, axis=0))


def test_points_are_those_of_a_lattice():
    """The difference of two points without the shift is in D8: whole numbers with an even sum."""
    shift = np.where(CODES[:, None] >> 15, -0.25, 0.25)
    unshifted = lattice.points(CODES) - shift
    difference = unshifted - unshifted[::-1]

    np.testing.assert_array_equal(difference, np.rint(difference))
    assert (difference.sum(axis=1) % 2 == 0).all()


def test_short_points_are_zero_roots_and_some_longer_ones():
    squares, counts = np.unique(np.square(lattice.short_points()).sum(axis=1), return_counts=True)

    assert dict(zip(squares, counts, strict=True)) == {0: 1, 2: 240, 4: 15}
    assert len(np.unique(lattice.short_points(), axis=0)) == 256
    np.testing.assert_array_equal(lattice.short_points() @ lattice.short_points()[1:17].T % 1, 0)


@pytest.mark.parametrize("spread", [0.2, 1.0, 3.0])
def test_nearest_is_the_nearest_of_all(spread):
    x = spread * gaussian(60, 8)
    every = naive.e8_points(lattice.patterns())
    expected = np.array([np.square(row - every).sum(axis=1).min() for row in x.astype(float)])

    found = np.square(x - lattice.points(lattice.nearest(x))).sum(axis=1)

    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_points_are_nearest_to_themselves():
    np.testing.assert_array_equal(lattice.nearest(lattice.points(CODES)), CODES)
    np.testing.assert_array_equal(lattice.nearest_short(lattice.short_points()), np.arange(256))


def test_of_equal_ones_the_first_is_nearest():
    table, out = np.array([np.ones(8), np.zeros(8), np.ones(8)], np.float32), np.empty(2, np.uint8)

    kernel.nearest_of(np.array([np.ones(8), np.full(8, 0.5)], np.float32), table, out)

    np.testing.assert_array_equal(out, [0, 0])


@pytest.mark.parametrize(("nbits", "published"), [(2, 0.09), (3, 0.03), (4, 0.0088)])
def test_error_on_gaussian_numbers_is_below_that_of_the_best_scalar(nbits, published):
    x = gaussian(4000, 64)

    quantizer = LatticeQuantizer.train(x, nbits)
    error = float(np.square(x - quantizer.decode(quantizer.encode(x))).mean())

    assert error == pytest.approx(published, rel=0.03)
    assert error < 0.93 * LLOYD_MAX[nbits]


@pytest.mark.parametrize("nbits", lattice.LATTICE_NBITS)
@pytest.mark.parametrize("m", [1, 7, 8, 19])
@pytest.mark.parametrize("per", ["matrix", "column"])
def test_any_width_and_any_part(nbits, m, per):
    x = gaussian(11, m) * np.arange(1, m + 1, dtype=np.float32)
    quantizer = LatticeQuantizer.train(x, nbits, per)

    codes = quantizer.encode(x)
    decoded = quantizer.decode(codes)

    assert codes.shape == (11, nbits * -(-m // 8))
    assert (decoded.shape, decoded.dtype) == (x.shape, np.float32)
    assert quantizer.nbytes == (4 * m if per == "column" else 4)
    np.testing.assert_array_equal(quantizer.decode(quantizer.unpack(quantizer.pack(codes), m)), decoded)
    for first in range(0, m, 8):
        part = quantizer.encode(np.ascontiguousarray(x[:, first : first + 8]), first)
        np.testing.assert_array_equal(part, codes[:, first * nbits // 8 :][:, :nbits])
        np.testing.assert_array_equal(quantizer.decode(part, first), decoded[:, first : first + 8])


def test_scales_are_those_of_the_columns():
    x = gaussian(500, 8) * np.array([0, 1e-6, 1, 1, 1, 1, 1, 1e6], np.float32)

    quantizer = LatticeQuantizer.train(x, 2, "column")
    decoded = quantizer.decode(quantizer.encode(x))

    assert (decoded[:, 0] == 0).all()
    np.testing.assert_allclose(
        np.square(decoded - x)[:, 1:].mean(axis=0), 0.1 * np.square(x)[:, 1:].mean(axis=0), rtol=0.3
    )


@pytest.mark.parametrize(("nbits", "per"), [(1, "matrix"), (5, "matrix"), (2, "row"), (2, "block")])
def test_bad_arguments(nbits, per):
    with pytest.raises(InputError, match="expected"):
        LatticeQuantizer.train(gaussian(3, 8), nbits, per)
