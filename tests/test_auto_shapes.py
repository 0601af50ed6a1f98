"""auto/shapes.py: patterns come nearer to the rate-distortion bound than scalar codes do, on whatever columns."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto.shapes import LARGEST, PATTERNS, fit_once, gaussian_books, measure_shapes
from lplr_index.lloyd import lloyd_max


def bits_of(pattern):
    return 4 * len(pattern) / sum(pattern)


@pytest.fixture(scope="module")
def gaussian():
    return np.random.default_rng(7).standard_normal((1500, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def shapes(gaussian):
    return measure_shapes(gaussian)


def test_every_pattern_has_a_book():
    books = gaussian_books()

    assert tuple(books) == PATTERNS
    assert max(size for pattern in PATTERNS for size in pattern) == LARGEST
    for pattern, book in books.items():
        assert book.shape == (sum(pattern), 2, 16)
        assert pattern[-1] > 0
        assert np.isfinite(book).all()


def test_shapes_are_measured_where_a_pattern_fits_twice():
    y = np.random.default_rng(3).standard_normal((1100, 8)).astype(np.float32)

    shapes = measure_shapes(y)

    assert list(shapes) == [pattern for pattern in PATTERNS if sum(pattern) <= 4]
    for pattern, shape in shapes.items():
        assert shape.pattern == pattern
        assert shape.book.shape == (sum(pattern), 2, 16)


def test_fewer_bits_leave_more(shapes):
    assert list(shapes) == list(PATTERNS)
    assert (np.diff([bits_of(pattern) for pattern in shapes]) < 0).all()
    assert (np.diff([shape.distortion for shape in shapes.values()]) > 0).all()


def test_no_pattern_is_beyond_the_bound_or_far_from_it(shapes):
    for pattern, shape in shapes.items():
        excess = 10 * np.log10(shape.distortion * 4 ** bits_of(pattern))
        assert 0 < excess < (2.4 if bits_of(pattern) <= 4 else 6)


@pytest.mark.parametrize(("pattern", "nbits"), [((0, 1, 1, 1, 1), 5), ((1,), 4), ((1, 1, 2), 3)])
def test_patterns_beat_scalar_codes_of_the_same_bits(gaussian, shapes, pattern, nbits):
    values = gaussian.reshape(-1)[: 1 << 15]
    scalar = np.square(values[:, None] - lloyd_max(values, nbits)).min(axis=1).mean()

    assert bits_of(pattern) == nbits
    assert shapes[pattern].distortion < 0.95 * scalar


def test_a_pattern_is_better_than_its_parts(shapes):
    """The nibbles of (1, 1, 2) share out their bits; two columns of four bits and two of two leave more."""
    apart = (shapes[1,].distortion + shapes[2,].distortion) / 2

    assert shapes[1, 1, 2].distortion < 0.6 * apart


def test_books_are_a_good_start(gaussian):
    """Eight turns on other Gaussian columns find next to nothing."""
    for pattern, shape in measure_shapes(gaussian[:, :64]).items():
        repeats = min(-(-48 // len(pattern)), 64 // sum(pattern))
        y = np.ascontiguousarray(gaussian[:, : repeats * sum(pattern)] / gaussian.std(axis=0)[: repeats * sum(pattern)])
        assert fit_once(y, pattern, gaussian_books()[pattern])[1].mean() < 1.06 * shape.distortion


def test_books_adapt_to_columns_that_are_not_gaussian(rng):
    y = rng.choice([-1.0, 1.0], (1500, 48)).astype(np.float32)

    assert measure_shapes(y)[4,].distortion < 0.1  # a Gaussian code of one bit leaves 0.3


def test_one_column_alone():
    y = np.random.default_rng(0).standard_normal((2000, 1)).astype(np.float32)

    shapes = measure_shapes(y)

    assert list(shapes) == [(1,)]
    assert 0.008 < shapes[1,].distortion < 0.015  # it has no nibble before


def test_the_same_each_time(gaussian, shapes):
    again = measure_shapes(gaussian)

    for pattern, shape in shapes.items():
        np.testing.assert_array_equal(again[pattern].book, shape.book)
        assert again[pattern].distortion == shape.distortion
