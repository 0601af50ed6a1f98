"""hera/means.py: k-means of any number of centroids."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.hera.means import k_means, nearest


def squared(x, words):
    return np.square(x - words[nearest(x, words)], dtype=np.float64).sum()


def test_clusters_are_found():
    rng = np.random.default_rng(0)
    middles = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    x = np.concatenate([middle + rng.normal(0, 0.1, (200, 2)).astype(np.float32) for middle in middles])

    best = min((k_means(x, 3, np.random.default_rng(seed)) for seed in range(5)), key=lambda words: squared(x, words))

    np.testing.assert_allclose(sorted(best.tolist()), sorted(middles.tolist()), atol=0.05)


def test_nearest_is_nearest():
    rng = np.random.default_rng(1)
    x, words = (rng.standard_normal((n, 5)).astype(np.float32) for n in (300, 17))

    distances = np.square(x[:, None] - words[None], dtype=np.float64).sum(axis=2)

    np.testing.assert_array_equal(nearest(x, words), distances.argmin(axis=1))


def test_more_rounds_do_not_hurt_and_all_centroids_are_used():
    x = np.random.default_rng(2).standard_normal((500, 3)).astype(np.float32)

    words = k_means(x, 40, np.random.default_rng(0))

    first = x[np.sort(np.random.default_rng(0).choice(500, 40, replace=False))]
    assert squared(x, words) < 0.9 * squared(x, first)
    assert len(set(nearest(x, words).tolist())) == 40


@pytest.mark.parametrize("count", [1, 2, 60])
def test_equal_rows_are_no_trouble(count):
    x = np.full((60, 2), 3.0, np.float32)

    words = k_means(x, count, np.random.default_rng(0))

    assert squared(x, words) == 0.0
    assert words.shape == (count, 2)


def test_same_seed_same_bytes():
    x = np.random.default_rng(3).standard_normal((400, 4)).astype(np.float32)

    first, second = (k_means(x, 16, np.random.default_rng(5)) for _ in range(2))

    assert first.tobytes() == second.tobytes()
