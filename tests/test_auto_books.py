"""auto/books.py: books fit their rows better turn after turn."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto.books import train_chain
from lplr_index.auto.shapes import gaussian_books

SPREAD = np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.4])
GROUPS = np.array([1, 1, 2, 4], np.uint16)


@pytest.fixture(scope="module")
def gaussian():
    rng = np.random.default_rng(3)
    return (rng.standard_normal((3000, 8)) * SPREAD).astype(np.float32)


@pytest.fixture(scope="module")
def start():
    return np.concatenate([gaussian_books()[int(size),] for size in GROUPS])


def error(chain, y):
    return np.square(y - chain.decode(chain.encode(y)), dtype=float).sum(axis=1).mean()


def test_error_falls_over_rounds(gaussian, start):
    errors = [error(train_chain(gaussian, GROUPS, start, rounds), gaussian) for rounds in (0, 1, 2, 5)]

    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 0.98 * errors[0]


def test_books_serve_rows_to_come(gaussian, start):
    chain = train_chain(gaussian[:2000], GROUPS, start, 6)

    assert error(chain, gaussian[2000:]) < 1.15 * error(chain, gaussian[:2000])


def test_books_follow_data_that_is_not_gaussian(rng):
    """Columns that depend on each other are worth a vector code of their own."""
    angle = rng.uniform(0, 2 * np.pi, 3000)
    y = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    chain = train_chain(y, np.array([2], np.uint16), gaussian_books()[2,], 20)

    assert error(chain, y) < 0.04  # sixteen points on a circle leave 0.013, a Gaussian code of four bits 0.12
    assert not chain.book[:, 1].any()


def test_a_window_of_four_looks_back_nowhere(gaussian, start):
    wide, narrow = (train_chain(gaussian, GROUPS, start, 6, window) for window in (8, 4))

    assert not narrow.book[:, 1].any()
    assert not wide.book[:1, 1].any()
    assert wide.book[1:, 1].any(axis=1).all()
    assert error(wide, gaussian) < error(narrow, gaussian)


def test_columns_of_nothing(start):
    y = np.zeros((100, 8), np.float32)

    chain = train_chain(y, GROUPS, start, 3)

    assert not chain.book.any()
    assert train_chain(y[:, :0], GROUPS[:0], start[:0], 3).steps == 0


def test_the_same_each_time(gaussian, start):
    first, second = (train_chain(gaussian, GROUPS, start, 2).book for _ in range(2))
    np.testing.assert_array_equal(first, second)
