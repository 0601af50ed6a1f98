"""auto/books.py: books fit their rows better turn after turn, and better than scalar codes of the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto.books import SIZES, measure_shapes, train_chain
from lplr_index.lloyd import lloyd_max

SPREAD = np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.4])
GROUPS = np.array([1, 1, 2, 4], np.uint16)


@pytest.fixture(scope="module")
def gaussian():
    rng = np.random.default_rng(3)
    return (rng.standard_normal((3000, 8)) * SPREAD).astype(np.float32)


@pytest.fixture(scope="module")
def shapes(gaussian):
    return measure_shapes(gaussian, 0)


def error(chain, y):
    return np.square(y - chain.decode(chain.encode(y)), dtype=float).sum(axis=1).mean()


def test_shapes_are_measured_where_there_are_two_groups(shapes):
    assert list(shapes) == [size for size in SIZES if size <= 4]
    for size, shape in shapes.items():
        assert shape.book.shape == (size, 2, 16)
    assert (np.diff([shape.distortion for shape in shapes.values()]) > 0).all()


def test_a_window_of_eight_beats_a_scalar_code(rng):
    """Of four bits a column, and comes nearer to the rate-distortion bound with each column that shares them."""
    y = rng.standard_normal((1500, 32)).astype(np.float32)
    values = y.reshape(-1)
    scalar = np.square(values[:, None] - lloyd_max(values, 4)).min(axis=1).mean()

    shapes = measure_shapes(y, 0)

    assert shapes[1].distortion < 0.85 * scalar
    excess = [shape.distortion * 2.0 ** (8 / size) for size, shape in shapes.items()]
    assert (np.diff(excess) < 0).all()
    assert 1 < excess[-1] < 1.15


def test_one_column_alone():
    y = np.random.default_rng(0).standard_normal((2000, 1)).astype(np.float32)

    shapes = measure_shapes(y, 0)

    assert list(shapes) == [1]
    assert 0.008 < shapes[1].distortion < 0.012  # it has no nibble before


def test_error_falls_over_rounds(gaussian, shapes):
    errors = [error(train_chain(gaussian, GROUPS, shapes, rounds), gaussian) for rounds in (0, 1, 2, 5)]

    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 0.98 * errors[0]


def test_books_serve_rows_to_come(gaussian, shapes):
    chain = train_chain(gaussian[:2000], GROUPS, shapes, 6)

    assert error(chain, gaussian[2000:]) < 1.15 * error(chain, gaussian[:2000])


def test_books_follow_data_that_is_not_gaussian(rng, shapes):
    """Columns that depend on each other are worth a vector code of their own."""
    angle = rng.uniform(0, 2 * np.pi, 3000)
    y = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    chain = train_chain(y, np.array([2], np.uint16), shapes, 20)

    assert error(chain, y) < 0.04  # sixteen points on a circle leave 0.013, a Gaussian code of four bits 0.12
    assert not chain.book[:, 1].any()


def test_a_window_of_four_looks_back_nowhere(gaussian, shapes):
    wide, narrow = (train_chain(gaussian, GROUPS, shapes, 6, window) for window in (8, 4))

    assert not narrow.book[:, 1].any()
    assert not wide.book[:1, 1].any()
    assert wide.book[1:, 1].any(axis=1).all()
    assert error(wide, gaussian) < error(narrow, gaussian)


def test_columns_of_nothing(shapes):
    y = np.zeros((100, 8), np.float32)

    chain = train_chain(y, GROUPS, shapes, 3)

    assert not chain.book.any()
    assert train_chain(y[:, :0], GROUPS[:0], shapes, 3).steps == 0


def test_the_same_each_time(gaussian, shapes):
    again = measure_shapes(gaussian, 0)

    for size, shape in shapes.items():
        np.testing.assert_array_equal(again[size].book, shape.book)
    first, second = (train_chain(gaussian, GROUPS, shapes, 2).book for _ in range(2))
    np.testing.assert_array_equal(first, second)
