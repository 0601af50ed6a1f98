"""What is measured of a search, against scikit-learn and against definitions written as loops over sets."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.evaluation.groundtruth import GroundTruth, exact_knn, score_ids
from lplr_index.evaluation.metrics import (
    TIE_TOLERANCE,
    accuracy,
    knn_vote,
    neighbour_overlap,
    recall_at_k,
    relative_frobenius_error,
    weighted_f1,
)


def truth_of(D, I):
    return GroundTruth(np.array(D, np.float32), np.array(I, np.int64))


def recall(ids, scores, truth, k, *, similarity=True):
    return recall_at_k(np.array(ids), np.array(scores, np.float32), truth, k, similarity=similarity)


def random_ids(rng, nq, k, n):
    """Return ids with gaps and repeats."""
    return rng.integers(-1, n, (nq, k))


# Recall

TRUTH = truth_of([[0.9, 0.8, 0.7]], [[4, 2, 6]])


@pytest.mark.parametrize(
    ("ids", "scores", "k", "expected"),
    [
        ([[4, 2, 6]], [[0.9, 0.8, 0.7]], 3, 1.0),
        ([[6, 4, 2]], [[0.7, 0.9, 0.8]], 3, 1.0),  # the order does not matter
        ([[6, 4, 2]], [[0.7, 0.9, 0.8]], 1, 0.0),  # but what is first does
        ([[4, 1, 6]], [[0.9, 0.1, 0.7]], 3, 2 / 3),
        ([[1, 3, 5]], [[0.1, 0.2, 0.3]], 3, 0.0),
        ([[4, -1, -1]], [[0.9, -3e38, -3e38]], 3, 1 / 3),
        ([[4, 4, 4]], [[0.9, 0.9, 0.9]], 3, 1 / 3),  # a row found three times is one row
    ],
)
def test_recall_counts_the_nearest_rows_that_were_returned(ids, scores, k, expected):
    assert recall(ids, scores, TRUTH, k) == pytest.approx(expected)


def test_a_row_tied_with_the_last_neighbour_is_as_good():
    assert recall([[4, 2, 9]], [[0.9, 0.8, 0.7]], TRUTH, 3) == 1.0


@pytest.mark.parametrize(("steps", "expected"), [(0.5, 1.0), (4, 2 / 3)])
def test_a_tie_is_a_matter_of_rounding_and_no_more(steps, expected):
    almost = 0.7 - steps * TIE_TOLERANCE * 0.9

    assert recall([[4, 2, 9]], [[0.9, 0.8, almost]], TRUTH, 3) == pytest.approx(expected)


def test_recall_of_distances_counts_the_smallest():
    truth = truth_of([[0.0, 1.0]], [[3, 5]])

    assert recall([[5, 3]], [[1.0, 0.0]], truth, 2, similarity=False) == 1.0
    assert recall([[5, 8]], [[1.0, 1.5]], truth, 2, similarity=False) == 0.5


def test_where_there_are_fewer_rows_than_k_all_are_wanted():
    truth = truth_of([[0.9, 0.8, -3e38]], [[1, 0, -1]])

    assert recall([[0, 1, -1]], [[0.8, 0.9, -3e38]], truth, 3) == 1.0
    assert recall([[0, -1, -1]], [[0.8, -3e38, -3e38]], truth, 3) == 0.5


def test_recall_of_a_random_search_is_the_share_of_ids_in_common(rng):
    xq, xb = rng.standard_normal((30, 8)), rng.standard_normal((60, 8))
    truth = exact_knn(xq, xb, 5, metric="ip")
    found = np.array([rng.permutation(60)[:5] for _ in xq])
    expected = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, truth.I, strict=True)])

    assert 0 < expected < 1
    assert recall_at_k(found, score_ids(xq, xb, found, metric="ip"), truth, 5, similarity=True) == pytest.approx(
        expected
    )


def test_recall_wants_k_columns():
    with pytest.raises(InputError, match="k >= 4"):
        recall([[4, 2, 6]], [[0.9, 0.8, 0.7]], TRUTH, 4)


# Overlap


def test_overlap_is_intersection_over_union(rng):
    found, exact = random_ids(rng, 200, 6, 9), random_ids(rng, 200, 6, 9)
    pairs = [(set(a) - {-1}, set(b) - {-1}) for a, b in zip(found[:, :5], exact[:, :5], strict=True)]
    expected = np.mean([len(a & b) / len(a | b) for a, b in pairs])

    assert 0 < expected < 1
    assert neighbour_overlap(found, exact, 5) == pytest.approx(expected)


@pytest.mark.parametrize(("found", "expected"), [([[1, 2]], 1.0), ([[2, 1]], 1.0), ([[1, 3]], 1 / 3), ([[3, 4]], 0.0)])
def test_overlap_of_two(found, expected):
    assert neighbour_overlap(np.array(found), np.array([[1, 2]]), 2) == pytest.approx(expected)


# Votes


def test_the_majority_wins_and_among_equals_the_nearest(rng):
    ids, labels = random_ids(rng, 500, 5, 40), rng.integers(0, 4, 40)

    def winner(row):
        voters = [labels[i] for i in row if i >= 0]
        return max(Counter(voters).items(), key=lambda each: (each[1], -voters.index(each[0])))[0] if voters else -1

    assert knn_vote(ids, labels, 3).tolist() == [winner(row[:3]) for row in ids]
    assert knn_vote(ids, labels, 5).tolist() == [winner(row) for row in ids]


@pytest.mark.parametrize(
    ("row", "expected"),
    [([0, 1, 2], 7), ([2, 1, 0], 5), ([0, 3, 4], 5), ([-1, 3, -1], 5), ([-1, -1, -1], -1), ([1, 0, -1], 6)],
)
def test_votes_one_by_one(row, expected):
    assert knn_vote(np.array([row]), np.array([7, 6, 5, 5, 5])).tolist() == [expected]


def test_two_classes_vote_as_in_scikit_learn(rng):
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, xq, labels = rng.standard_normal((200, 4)), rng.standard_normal((100, 4)), rng.integers(0, 2, 200)
    model = neighbors.KNeighborsClassifier(3, algorithm="brute").fit(x, labels)

    assert knn_vote(exact_knn(xq, x, 3, metric="l2").I, labels).tolist() == model.predict(xq).tolist()


@pytest.mark.parametrize("guess", ["random", "right", "wrong", "one class", "nothing"])
def test_accuracy_and_f1_are_those_of_scikit_learn(rng, guess):
    oracle = pytest.importorskip("sklearn.metrics")
    actual = rng.choice(6, 300, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    predicted = {
        "random": rng.integers(0, 8, 300),  # 6 and 7 do not occur
        "right": actual,
        "wrong": (actual + 1) % 6,
        "one class": np.zeros(300, int),
        "nothing": np.full(300, -1),
    }[guess]
    expected = oracle.f1_score(actual, predicted, labels=np.unique(actual), average="weighted", zero_division=0)

    assert accuracy(actual, predicted) == pytest.approx(oracle.accuracy_score(actual, predicted))
    assert weighted_f1(actual, predicted) == pytest.approx(expected)


# Rows back


def index_that_gives_back(rows):
    return SimpleNamespace(ntotal=len(rows), d=rows.shape[1], reconstruct_n=lambda start, n: rows[start : start + n])


def test_the_frobenius_error_is_that_of_all_rows(rng):
    x = rng.standard_normal((20000, 3)).astype(np.float32)
    noisy = x + rng.standard_normal(x.shape).astype(np.float32)
    expected = np.linalg.norm(noisy - x) / np.linalg.norm(x)

    assert relative_frobenius_error(index_that_gives_back(noisy), x) == pytest.approx(expected, rel=1e-5)
    assert relative_frobenius_error(index_that_gives_back(x), x) == 0.0


def test_of_a_zero_matrix_the_error_is_absolute():
    zeros, ones = np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32)

    assert relative_frobenius_error(index_that_gives_back(zeros), zeros) == 0.0
    assert relative_frobenius_error(index_that_gives_back(ones), zeros) == 2.0


def test_rows_that_the_index_does_not_hold_are_refused():
    with pytest.raises(InputError, match=r"expected xb of shape \(4, 1\).*got \(3, 1\)"):
        relative_frobenius_error(index_that_gives_back(np.zeros((4, 1))), np.zeros((3, 1)))
