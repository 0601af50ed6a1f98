"""kernels/topk.py: the k best of a stream, in a heap and in a reservoir, whatever its order; few distinct keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.kernels import topk

NOBODY = np.iinfo(np.int64).max


def none(nq, k, room):
    return np.full((nq, room), -np.inf, np.float32), np.full((nq, room), NOBODY), np.full(nq, k)


def offered(stream, k, room):
    """Return the entries after all of ``stream`` = keys, ids (nq, n) were offered one by one."""
    entries = none(len(stream[0]), k, room)
    for q, (keys, ids) in enumerate(zip(*stream, strict=True)):
        for key, number in zip(keys, ids, strict=True):
            before = entries[0][q, 0], entries[1][q, 0]
            risen = topk.offer(*entries, q, k, key, number)
            assert risen or before == (entries[0][q, 0], entries[1][q, 0])
    return entries


def ranked(entries, k):
    topk.rank(*entries, k)
    return [each[:, :k] for each in entries[:2]]


def twin(keys, ids, k):
    """Return the k best of each row, best first."""
    rows = [
        naive.best(np.append(a, [-np.inf] * k), np.append(b, [NOBODY] * k), k) for a, b in zip(keys, ids, strict=True)
    ]
    found = np.array([row[1] for row in rows])
    return np.array([row[0] for row in rows], np.float32), np.where(found == NOBODY, -1, found)


def assert_same(results, expected):
    for actual, each in zip(results, expected, strict=True):
        np.testing.assert_array_equal(actual, each)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 60), st.integers(0, 13), st.integers(1, 40))
def test_the_best_of_two_streams_and_of_both(seed, k, n, more, distinct):
    """Room for k entries is a heap, for more a reservoir."""
    rng = np.random.default_rng(seed)
    stream = rng.integers(0, distinct, (2, n)).astype(np.float32), rng.permutation(2 * n).reshape(2, n)
    both = none(1, k, k + more)

    entries = offered(stream, k, k + more)
    for q in range(2):
        topk.merge(*both, k, *(each[q : q + 1] for each in entries))

    assert_same(ranked(entries, k), twin(*stream, k))
    assert_same(ranked(both, k), twin(*(each.reshape(1, -1) for each in stream), k))


@pytest.mark.parametrize("order", ["rising", "falling", "equal", "random"])
@pytest.mark.parametrize("room", [100, 101, 150, 200, 1000])
def test_long_streams_of_any_order(rng, order, room):
    keys = {
        "rising": np.arange(5000),
        "falling": -np.arange(5000),
        "equal": np.zeros(5000),
        "random": rng.standard_normal(5000),
    }[order].astype(np.float32)[None]
    ids = rng.permutation(5000)[None]

    assert_same(ranked(offered((keys, ids), 100, room), 100), twin(keys, ids, 100))


@pytest.mark.parametrize("room", [5, 10])
def test_the_worst_of_the_best_stands_in_front(rng, room):
    """It is what a key has to beat; in a reservoir, when the room was last full."""
    keys, ids = rng.standard_normal((1, 300)).astype(np.float32), np.arange(300)[None]

    entries = offered((keys, ids), 5, room)

    seen = keys[0] if room == 5 else entries[0][0, :5]
    assert entries[0][0, 0] == np.sort(seen)[-5]


def test_minus_infinity_is_a_key_like_others():
    stream = np.full((1, 3), -np.inf, np.float32), np.array([[7, 3, 5]])

    assert ranked(offered(stream, 2, 2), 2)[1].tolist() == [[3, 5]]


@given(st.integers(0, 2**32 - 1), st.integers(0, 600), st.integers(1, 70), st.sampled_from([2, 20, 10**6]))
def test_the_best_of_a_few_by_counting(seed, n, k, distinct):
    """Also of more than are counted, of fewer than are wanted, and of equal ones, the last that fits among them."""
    rng = np.random.default_rng(seed)
    keys, ids = rng.integers(0, distinct, n).astype(np.float32), rng.permutation(n)
    room = np.full(topk.room_of(n), 9e9, np.float32)
    room[:n] = keys
    best = np.empty(k, np.float32), np.empty(k, np.int64)

    topk.sort_best(room, ids.copy(), n, *best)

    expected = naive.best(np.append(keys, [-np.inf] * k), np.append(ids, [NOBODY] * k), k)
    assert_same(best, expected)
    if n:
        room[:n], k = keys, min(k, n)
        room[: n // 3] = keys[: n // 3] = -np.inf
        assert topk.kth_largest(room, n, k) == np.sort(keys)[-k]


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 40), st.integers(1, 60), st.booleans())
def test_the_best_columns(seed, n, k, distinct, named):
    """More runs than are wanted, fewer, and runs that are not whole; of equal columns the lower one comes first."""
    rng, k = np.random.default_rng(seed), min(k, n)
    scores = rng.integers(0, distinct, (3, n)).astype(np.float32)
    columns = np.stack([rng.permutation(n + 50)[:n] for _ in range(3)]) if named else np.empty((0, 0), np.int64)
    scales, offsets = rng.integers(1, 3, n + 50).astype(np.float32), rng.integers(0, 4, n + 50).astype(np.float32)
    best = np.full((3, k), -7)

    topk.best_of(scores, np.array([1.0, 0.5, 2.0]), scales, offsets, columns, best)

    which = columns if named else np.tile(np.arange(n), (3, 1))
    values = scores * [[1], [0.5], [2]] * scales[which] - offsets[which]
    for q in range(3):
        assert best[q].tolist() == which[q, np.lexsort((which[q], -values[q]))[:k]].tolist()
