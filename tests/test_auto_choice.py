"""auto/choice.py: recall on held-out rows decides, and queries only where there are some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import low_rank_vectors
from lplr_index import IndexLPLR
from lplr_index.auto import choose
from lplr_index.auto.choice import PLAIN, HeldOut
from lplr_index.errors import InputError


def clusters(n, d=32, seed=0):
    """Return rows around 200 centres: a byte that names the centre is worth more than any other."""
    rng = np.random.default_rng(seed)
    centres = 3 * np.random.default_rng(1).standard_normal((200, d))
    return (centres[rng.integers(200, size=n)] + 0.6 * rng.standard_normal((n, d))).astype(np.float32)


def recall(index, x, xq, k=10):
    """Return the part of the true k nearest, by inner product, that a search finds."""
    truth = np.argsort(-(xq @ x.T), axis=1)[:, :k]
    _, found = index.search(xq, k)
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(truth.tolist(), found.tolist(), strict=True)])


def test_clusters_get_centroids():
    recipe = choose(clusters(3500), None, 6, l2=True, seed=0)

    assert recipe.stages >= 1


def test_clusters_within_clusters_get_nearly_all_bytes_for_them():
    words = np.random.default_rng(1).standard_normal((8, 64, 96)) * 0.5 ** np.arange(8)[:, None, None]
    chosen = np.random.default_rng(0).integers(64, size=(3500, 8))
    x = words[np.arange(8), chosen].sum(axis=1).astype(np.float32)

    assert choose(x, None, 8, l2=False, seed=0).stages == 7
    assert choose(x, None, 12, l2=False, seed=0).stages == 8


def test_gaussian_rows_that_have_bits_enough_get_none():
    x = np.random.default_rng(0).standard_normal((3500, 8)).astype(np.float32)

    assert choose(x, None, 4, l2=False, seed=0).stages == 0


@pytest.mark.parametrize(("spread", "bits"), [(0.0, 8), (1.0, 16)])
def test_norms_get_a_second_byte_where_lengths_differ_much(spread, bits):
    """Where lengths differ much, bytes of the code cannot make up for norms that are known in few steps."""
    x = low_rank_vectors(3000, 32)
    x *= np.random.default_rng(0).lognormal(sigma=spread, size=(len(x), 1)) / np.linalg.norm(x, axis=1, keepdims=True)

    assert choose(x, None, 24, l2=True, seed=0).norm_bits == bits


@pytest.mark.parametrize("n", [1, 50, 1023])
def test_few_rows_get_the_plain_recipe(n):
    assert choose(low_rank_vectors(n, 8), None, 4, l2=False, seed=0) == PLAIN


def test_the_same_each_time():
    x = low_rank_vectors(1100, 16)

    assert choose(x, None, 4, l2=True, seed=3) == choose(x, None, 4, l2=True, seed=3)


def test_without_queries_nothing_is_theirs():
    x = low_rank_vectors(1200, 16)

    assert choose(x, None, 4, l2=False, seed=0).query_share == 0


def test_a_trial_measures_recall_of_rows_that_were_not_fitted():
    x = low_rank_vectors(1500, 16)

    small, large = (HeldOut(x, None, nbytes, l2=False, seed=0).trial(PLAIN) for nbytes in (2, 12))

    assert 0.05 < small.recall < large.recall <= 1
    assert small.asked == small.recall


def out_of_distribution(n, d=32, seed=0):
    """Return rows whose energy falls from column to column, queries that have theirs in columns of the middle."""
    rng = np.random.default_rng(seed)
    middle = np.where((np.arange(d) >= 12) & (np.arange(d) < 20), 1.0, 0.2)
    x = (rng.standard_normal((n, d)) * 0.9 ** np.arange(d)).astype(np.float32)
    return x, (rng.standard_normal((600, d)) * middle).astype(np.float32)


def test_a_metric_of_queries_finds_more_of_their_neighbours():
    x, xq = out_of_distribution(3000)
    held = HeldOut(x, xq, 8, l2=False, seed=0)

    plain, asked = (max(trial.asked for trial in held.trials(replace(PLAIN, query_share=part))) for part in (0.0, 0.25))

    assert asked > plain + 0.03


def test_queries_like_the_rows_do_no_harm():
    x = low_rank_vectors(3400, 32)
    found = {}
    for name, queries in (("plain", None), ("asked", x[3000:3200])):
        index = IndexLPLR(32, 1.0, "ip")
        index.train(x[:3000], queries)
        index.add(x[:3000])
        found[name] = recall(index, x[:3000], x[3200:])

    assert found["asked"] > found["plain"] - 0.02


@pytest.mark.parametrize("method", ["lplr", "lsvd", "dsvd", "nq"])
def test_published_methods_know_no_queries(method):
    with pytest.raises(InputError, match=f"expected queries for auto alone, got them for {method}"):
        IndexLPLR(8, 4.0, method=method).train(low_rank_vectors(50, 8), low_rank_vectors(5, 8))


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones((1, 8)), "expected at least two queries, of shape \\(nq, 8\\), got shape \\(1, 8\\)"),
        (np.ones((0, 8)), "expected at least two queries, of shape \\(nq, 8\\), got shape \\(0, 8\\)"),
        (np.ones((5, 7)), "expected queries with 8 columns, got 7"),
        (np.ones(8), "expected at least two queries, of shape \\(nq, 8\\), got shape \\(8,\\)"),
        (np.full((5, 8), np.nan), "got nan in row 0, column 0 of queries"),
        ([[1, 2], [3]], "expected queries to be an array of numbers, got rows of different lengths"),
    ],
)
def test_bad_queries(queries, message):
    with pytest.raises(InputError, match=message):
        IndexLPLR(8, 4.0).train(low_rank_vectors(50, 8), queries)
