"""auto/shrinkage.py: rows to train on, where a sample does not say in which directions others will lie."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import low_rank_vectors
from lplr_index import IndexLPLR
from lplr_index.auto.shrinkage import chance_of, with_unseen_directions


def centred(n, d, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5) @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (x - x.mean(axis=0)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(12, 30), (40, 30)])
def test_chance_is_the_scatter_of_moments_over_their_squares(n, d):
    """By its definition, a pair of columns at a time."""
    A = centred(n, d)
    x = A.astype(float)
    scatter = squares = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                products = x[:, i] * x[:, j]
                scatter += np.square(products - products.mean()).mean() / n
                squares += products.mean() ** 2

    assert chance_of(A) == pytest.approx(scatter / squares, rel=1e-4)
    assert 0 < chance_of(A) < 1


def test_more_rows_leave_less_to_chance():
    found = [chance_of(centred(n, 64)) for n in (8, 32, 128, 1024)]

    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1
    assert found[0] > 0.5


def test_rows_have_the_spread_that_was_estimated():
    A = centred(20, 48)
    chance = chance_of(A)

    rows = with_unseen_directions(A, 0)

    assert rows.dtype == np.float32
    assert 4 * 48 <= len(rows) < 4 * 48 + 20
    many = np.concatenate([with_unseen_directions(A, seed) for seed in range(200)]).astype(float)
    moments, sample = many.T @ many / len(many), A.T.astype(float) @ A / len(A)
    wanted = (1 - chance) * sample + chance * np.diag(sample.diagonal())
    assert np.abs(moments - wanted).max() < 0.05 * np.abs(wanted).max()
    assert np.linalg.matrix_rank(A) == 19
    assert np.linalg.matrix_rank(rows) == 48


def test_enough_rows_are_left_alone():
    A = centred(128, 64)

    assert with_unseen_directions(A, 0) is A
    assert with_unseen_directions(A[:127], 0) is not A


def test_the_same_seed_the_same_rows():
    A = centred(20, 48)

    np.testing.assert_array_equal(with_unseen_directions(A, 3), with_unseen_directions(A, 3))
    assert (with_unseen_directions(A, 3) != with_unseen_directions(A, 4)).any()


@pytest.mark.parametrize("A", [np.zeros((1, 8)), np.zeros((5, 8)), np.eye(1, 8), np.eye(3, 8) - np.eye(3, 8).mean(0)])
def test_odd_samples(A):
    rows = with_unseen_directions(A.astype(np.float32), 0)

    assert np.isfinite(rows).all()
    assert not rows[:, ~A.any(axis=0)].any()  # columns that are the same in all rows stay so


def test_memory_is_bounded():
    rows = with_unseen_directions(np.float32([[1], [-1]]) * np.ones((1, 1 << 16), np.float32), 0)

    assert rows.size <= 1 << 26


@pytest.mark.parametrize("bits", [2.0, 6.0])
def test_rows_unlike_the_few_that_were_trained_on_are_found(bits):
    """Of fewer rows than columns, codes would reach no further than their span, however many bits they have."""
    x = low_rank_vectors(1260, 96)
    index = IndexLPLR(96, bits, "ip")
    index.train(x[:60])
    index.add(x[60:1060])

    _, found = index.search(x[1060:], 10)

    truth = np.argsort(-(x[1060:] @ x[60:1060].T), axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    assert recall > (0.81 if bits == 2 else 0.88)
