"""kernels/centroids.py: the beam search against a plain one, and sums by word."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.kernels import centroids


def plain_search(dots, squares, cross, width, keep):
    """Return what ``search`` finds, by sorting all of a stage's candidates; float32 sums in the same order."""
    n, stages, _ = dots.shape
    costs, words = np.empty((n, keep), np.float32), np.empty((n, keep, stages), np.uint8)
    for i in range(n):
        held = [(np.float32(0), ())]
        for t in range(stages):
            every = []
            for cost, path in held:
                values = cost + (squares[t] - np.float32(2) * dots[i, t])
                for s, word in enumerate(path):
                    values = values + cross[s, t, word]
                every += [(value, (*path, w)) for w, value in enumerate(values)]
            every.sort(key=lambda one: one[0])  # stable: the better choice so far, then the lower word, stays first
            held = every[: width if t + 1 < stages else keep]
        costs[i], words[i] = [cost for cost, _ in held], [path for _, path in held]
    return costs, words


@pytest.mark.parametrize("keep", [1, 4])
@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("ties", [False, True])
def test_the_beam_is_the_best_of_all_that_follow_it(rng, keep, width, stages, ties):
    dots = rng.standard_normal((25, stages, 256)).astype(np.float32)
    squares = rng.random((stages, 256)).astype(np.float32)
    cross = rng.standard_normal((stages, stages, 256, 256)).astype(np.float32)
    if ties:
        dots, squares, cross = np.rint(dots), np.rint(squares), np.rint(cross / 2)
    cost, words = np.empty((25, keep), np.float32), np.empty((25, keep, stages), np.uint8)

    centroids.search(dots, squares, cross, width, cost, words)

    expected_cost, expected = plain_search(dots, squares, cross, width, keep)
    np.testing.assert_array_equal(words, expected)
    np.testing.assert_array_equal(cost, expected_cost)


def test_rows_are_added_to_their_words(rng):
    y, words = rng.standard_normal((90, 5)).astype(np.float32), rng.integers(0, 7, 90)
    sums = np.ones((8, 5))

    centroids.add_rows(y, words, sums)

    expected = np.stack([1 + y[words == w].sum(axis=0, dtype=float) for w in range(8)])
    np.testing.assert_allclose(sums, expected, atol=1e-12)
