"""evaluation/task.py: what every index is measured on, prepared once."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.evaluation.task import VOTES, Task


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).standard_normal((60, 5)) * 3


@pytest.mark.parametrize(("metric", "scoring"), [("cosine", "ip"), ("ip", "ip"), ("l2", "l2"), (1, "l2")])
def test_vectors_are_prepared_once_and_searched_exactly(rows, metric, scoring):
    task = Task.prepare(rows[:20], rows[20:50], rows[50:], metric=metric, k=4)

    for mine, given in zip((task.xt, task.xb, task.xq), np.split(rows, [20, 50]), strict=True):
        lengths = np.linalg.norm(given, axis=1, keepdims=True) if metric == "cosine" else 1
        np.testing.assert_allclose(mine, given / lengths, rtol=1e-6)
        assert mine.dtype == np.float32
    products = task.xq.astype(float) @ task.xb.T.astype(float)
    far = np.square(task.xq[:, None].astype(float) - task.xb[None]).sum(axis=2)
    order = np.argsort(-products if scoring == "ip" else far, axis=1)
    np.testing.assert_array_equal(task.truth.I[:, :4], order[:, :4])
    assert task.scoring == scoring


def test_there_are_enough_neighbours_to_vote(rows):
    task = Task.prepare(None, rows[20:50], rows[50:], metric="l2", k=1)

    assert task.truth.I.shape == (10, VOTES)
    assert task.xt.shape == (0, 5)


def test_words_are_labels_and_the_same_word_is_the_same_number(rows):
    words, asked = np.array(["b", "a", "c"] * 10), np.array(["c", "b"] * 5)

    task = Task.prepare(None, rows[20:50], rows[50:], metric="l2", labels=words, query_labels=asked)

    assert task.labels.tolist() == [1, 0, 2] * 10
    assert task.query_labels.tolist() == [2, 1] * 5


def test_the_majority_of_three_votes(rows):
    labels, asked = [7] * 20 + [8] * 10, [7, 7, 8, 8, 8, 8, 8, 8, 8, 8]
    task = Task.prepare(None, rows[20:50], rows[50:], metric="l2", labels=labels, query_labels=asked)
    I = np.tile([0, 20, 1], (10, 1))  # two sevens and an eight

    assert task.vote(I) == (0.2, pytest.approx(0.2 * 2 * 0.2 / 1.2))
    assert Task.prepare(None, rows[:9], rows[9:], metric="l2").vote(I) == (None, None)
