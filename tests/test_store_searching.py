"""store/searching.py: the best of several answers, against a sort of everything, in any order and grouping."""

from __future__ import annotations

import functools
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.store.searching import merged


def brute(rows, k):
    """Sort rows by key and number, and pad."""
    best = sorted(rows, key=lambda row: (-row[0], row[1]))[:k]
    best += [(-np.inf, -1)] * (k - len(best))
    return np.array([[key for key, _ in best]], np.float32), np.array([[number for _, number in best]], np.int64)


# Few values, so that ties are the rule.
KEYS = st.sampled_from([-1.5, -0.25, 0.0, 0.25, 1.0, float(np.finfo(np.float32).max), float(np.finfo(np.float32).min)])
PARTS = st.lists(st.lists(KEYS, max_size=6), min_size=1, max_size=5)


@given(PARTS, st.integers(1, 12), st.randoms(use_true_random=False))
def test_it_is_the_sort_of_all_rows_in_whatever_order_the_answers_come(keys, k, shuffle):
    numbers = list(range(sum(map(len, keys))))
    shuffle.shuffle(numbers)
    parts = [[(key, numbers.pop()) for key in part] for part in keys]
    expected = brute([row for part in parts for row in part], k)

    for _ in range(3):
        answers = [brute(part, k) for part in parts]
        shuffle.shuffle(answers)
        found = grouped(answers, k, shuffle)

        assert np.array_equal(found[1], expected[1])
        assert np.array_equal(found[0], expected[0])


def grouped(answers, k, shuffle: random.Random):
    """Merge neighbours at random places until one is left."""
    while len(answers) > 1:
        at = shuffle.randrange(len(answers) - 1)
        answers[at : at + 2] = [merged(*answers[at], *answers[at + 1], k)]
    return answers[0]


def test_ties_go_to_the_lowest_number_across_answers():
    one = (np.array([[2, 1, 1]], np.float32), np.array([[9, 4, 6]]))
    other = (np.array([[1, 1]], np.float32), np.array([[3, 5]]))

    keys, numbers = merged(*one, *other, 4)

    assert numbers.tolist() == [[9, 3, 4, 5]]
    assert keys.tolist() == [[2, 1, 1, 1]]


def test_every_query_is_merged_by_itself(rng):
    answers = []
    for first in (0, 100, 200):
        keys = -rng.integers(0, 5, (7, 20)).astype(np.float32)
        order = np.lexsort((np.tile(np.arange(20), (7, 1)), -keys), axis=1)
        answers.append((np.take_along_axis(keys, order, 1), order + first))

    keys, numbers = functools.reduce(lambda a, b: merged(*a, *b, 10), answers)

    for query in range(7):
        rows = sorted((-key, i) for more, found in answers for key, i in zip(more[query], found[query], strict=True))[
            :10
        ]
        assert list(zip((-keys[query]).tolist(), numbers[query].tolist(), strict=True)) == rows
