"""codecs/centroids.py: centroid bytes find sums near a row, and their products are those of the sums."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.codecs import Centroids


def make(rng, stages, m=6):
    """Return stages of centroids, each half as long as the one before, and 100 rows."""
    table = rng.standard_normal((stages, 256, m)) * 0.5 ** np.arange(stages)[:, None, None]
    return Centroids(table.astype(np.float32)), rng.standard_normal((100, m)).astype(np.float32)


@pytest.mark.parametrize("stages", [0, 1, 2, 3])
def test_choices_are_near_and_better_than_greedy_ones(rng, stages):
    centroids, y = make(rng, stages)
    greedy, rest = np.zeros((100, stages), int), y.copy()
    for stage, table in enumerate(centroids.table):
        greedy[:, stage] = np.square(rest[:, None] - table).sum(axis=2).argmin(axis=1)
        rest -= table[greedy[:, stage]]

    choices = centroids.choices(y, 5)

    assert (choices.shape, choices.dtype) == ((100, 5 if stages else 1, stages), np.uint8)
    np.testing.assert_array_equal(centroids.encode(y), choices[:, 0])
    errors = [np.square(y - centroids.decode(choices[:, c])).sum(axis=1) for c in range(choices.shape[1])]
    assert (np.diff(errors, axis=0) > -1e-5).all()
    np.testing.assert_array_equal(centroids.left(y), y - centroids.decode(choices[:, 0]))
    if stages < 2:
        np.testing.assert_array_equal(choices[:, 0], greedy)
    else:
        assert errors[0].sum() < np.square(rest).sum()


@pytest.mark.parametrize("stages", [1, 3])
def test_a_row_has_the_same_words_in_any_batch(rng, stages):
    centroids, _ = make(rng, stages)
    y = rng.standard_normal((1100, 6)).astype(np.float32)

    whole = centroids.choices(y, 3)

    np.testing.assert_array_equal(
        np.concatenate([centroids.choices(y[i : i + 7], 3) for i in range(0, 1100, 7)]), whole
    )


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_products_add_up_to_those_of_the_sums(rng, stages):
    centroids, y = make(rng, stages)
    words = rng.integers(0, 256, (100, stages))

    products = centroids.products(y)

    assert products.shape == (100, stages, 256)
    found = np.take_along_axis(products, words[:, :, None], 2).sum(axis=(1, 2))
    np.testing.assert_allclose(found, (y * centroids.decode(words)).sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stages", [0, 2])
def test_no_rows(rng, stages):
    centroids, y = make(rng, stages)

    assert centroids.encode(y[:0]).shape == (0, stages)
    assert centroids.decode(np.zeros((0, stages), np.uint8)).shape == (0, 6)
