"""What is to be expected of many rows, from few: measured as by one index of all, and followed on a straight line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lplr_index import IndexLPLR
from lplr_index.errors import InputError
from lplr_index.evaluation import evaluate, exact_knn, recall_at_k, rehearsal, score_ids
from lplr_index.evaluation.rehearsal import Expectation, Rehearsal, find_size, follow, sample_size

K = 5


@pytest.fixture(scope="module")
def sample(make_vectors):
    """Give 1800 rows and 100 queries of 32 dimensions."""
    x = make_vectors(1900, 32)
    return x[:1800], x[1800:]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_parts_put_together_find_what_one_index_finds(sample, metric):
    one = Rehearsal(*sample, n=900, metric=metric, k=K)
    found = one.at(2.0)
    base = np.concatenate(one._parts)
    index = one._index(2.0)
    index.add(base)
    scoring = "l2" if metric == "l2" else "ip"
    truth = exact_knn(one._queries, base, K, metric=scoring)
    I = index.search(one._queries, K)[1]
    scores = score_ids(one._queries, base, I, metric=scoring)

    assert (one.trained, one.indexed, one.asked, len(one._parts)) == (900, 900, 100, 8)
    assert found.sampled == pytest.approx(recall_at_k(I, scores, truth, K, similarity=metric != "l2"), abs=0.003)
    assert found.recall == pytest.approx(found.sampled)  # there are no more rows
    assert found.nbytes == index.code_size == 8


def test_more_rows_are_harder(sample):
    few, many = (Rehearsal(*sample, n=n, k=K).at(1.0) for n in (900, 900_000))

    assert few.sampled == many.sampled
    assert many.recall < few.recall - 0.02
    assert many.spread > few.spread > 0


def test_what_is_expected_of_many_rows_is_about_what_they_give(make_vectors):
    x = make_vectors(13_000, 32)
    queries, rows = x[:400], x[400:]
    drawn = rows[np.random.default_rng(1).permutation(len(rows))[:3000]]

    expected = Rehearsal(drawn, queries, n=len(rows)).at(1.0)
    real = evaluate(IndexLPLR(32, 1.0), rows[:1500], rows, queries, metric="cosine", repeat=1)

    assert expected.sampled - real.recall_at_k > 0.05
    assert expected.recall == pytest.approx(real.recall_at_k, abs=0.04)


def test_rows_are_held_out_where_there_are_no_queries(sample):
    one = Rehearsal(sample[0], n=10_000, k=K)

    assert (one.asked, one.trained, one.indexed) == (180, 810, 810)
    assert one.at(1.0) == Rehearsal(sample[0], n=10_000, k=K).at(1.0)
    assert one.at(1.0) != Rehearsal(sample[0], n=10_000, k=K, seed=1).at(1.0)


def test_few_rows_are_one_part(sample):
    one = Rehearsal(sample[0][:30], n=10_000, k=K)

    assert len(one._parts) == 1
    assert one.at(4.0).recall == one.at(4.0).sampled


def test_what_cannot_be_rehearsed_is_named(sample):
    with pytest.raises(InputError, match="at least 3 rows"):
        Rehearsal(sample[0][:2], n=2)
    with pytest.raises(InputError, match=r"xq .* 32"):
        Rehearsal(sample[0], sample[1][:, :7], n=2)
    with pytest.raises(InputError, match="expected bits"):
        Rehearsal(*sample, n=2).at(9.0)


def test_a_sample_is_bounded_in_rows_and_in_bytes():
    assert sample_size(384) == 8192 + 32_768 + 512
    assert sample_size(4096) * 4096 * 4 < 2**28


def test_lines_are_followed_from_their_ends():
    x = np.array([3.0, 4, 5])

    np.testing.assert_allclose(follow(x, np.array([[0.9, 0.8, 0.7], [0.5, 0.5, 0.5]]), 7.0), [0.5, 0.5])
    np.testing.assert_allclose(follow(np.array([3.0]), np.array([[0.9]]), 7.0), [0.9])


class Curve:
    """A rehearsal whose outcome is a formula."""

    d, metric = 384, "cosine"

    def __init__(self, recall):
        self._recall = recall
        self.asked = []

    def at(self, bits):
        nbytes = int(bits * self.d / 8 + 1e-9)
        self.asked.append(nbytes)
        recall = self._recall(nbytes)
        return Expectation(bits, nbytes, recall, recall, 0.0, 1000)


def tell_nobody(_done, _bits):
    pass


def smooth(nbytes):
    return 1 - 0.5 * math.exp(-nbytes / 60)


@pytest.mark.parametrize("target", [0.55, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_the_size_is_found_in_a_few_tries(target):
    curve, told = Curve(smooth), []
    need, tried = find_size(curve, target, lambda done, _bits: told.append(done))

    right = -60 * math.log((1 - target) / 0.5)
    assert right <= need.nbytes <= 1.1 * right + 1
    assert [each.nbytes for each in tried] == sorted(curve.asked)
    assert told == list(range(len(tried)))
    assert len(tried) <= 5


def test_what_no_size_reaches_is_said():
    need, tried = find_size(Curve(lambda _nbytes: 0.5), 0.9, tell_nobody)

    assert need is None
    assert [each.nbytes for each in tried] == [48, 96, 192, 384]


def test_what_every_size_reaches_takes_the_smallest():
    need, tried = find_size(Curve(lambda _nbytes: 0.99), 0.9, tell_nobody)

    assert (need.nbytes, need.source) == (6, "smallest")
    assert [each.nbytes for each in tried] == [6, 12, 24, 48]


def test_the_first_try_may_be_the_largest_there_is():
    curve = Curve(lambda _nbytes: 0.99)
    curve.d = 2
    need, _ = find_size(curve, 0.9, tell_nobody)

    assert need.nbytes == 2
    assert rehearsal.QUERIES == 512
