"""kernels/settling.py: rows are offered by exact keys or what they promise; the threshold follows the worst kept."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import filled, queries
from lplr_index import scanning
from lplr_index.asking import ask
from lplr_index.kernels import settling, topk
from lplr_index.kernels.scoring import least_bound

Q, ROW0, K = 1, 0, 5


def settled(index, own_ids, radius, settle):
    """Return what ``settle`` finds of all rows, for one of three queries, and what was scanned."""
    model = index.model
    heads, tails = (np.concatenate(each) for each in zip(*(piece.flat for piece in index.rows), strict=True))
    asked = ask(model, queries(3)).queries
    ids = np.arange(1000, 1000 + index.ntotal) if own_ids else np.empty(0, np.int64)
    scanned = settling.Scanned(heads, tails, ROW0, ids, scanning.layout(model), scanning.levels(model), asked)
    kept = scanning.Best.room(3, K)
    topk.empty(*kept, K)
    if radius > -np.inf:
        room = np.zeros((3, index.ntotal))
        kept = scanning.Best(room.astype(np.float32), room.astype(np.int64), np.zeros(3, np.int64))
    settle(np.arange(index.ntotal), scanned, settling.Kept(*kept, K, radius), np.empty(index.ntotal, np.float32))
    return kept, scanned


@pytest.mark.parametrize("own_ids", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_the_best_by_exact_keys_are_kept_and_raise_the_threshold(metric, own_ids):
    index = filled(metric, n=90)

    kept, scanned = settled(
        index, own_ids, -np.inf, lambda rows, *rest: settling.settle(rows, Q, *rest)
    )  # fmt: skip

    twin = naive.exact_key(naive.rows_of(index), scanned.layout, scanned.levels, scanned.queries, Q)
    keys, found = naive.best(twin, np.arange(90) + 1000 * own_ids, K)
    topk.rank(*kept, K)
    ranked_keys, ranked = kept.ranked(K)
    np.testing.assert_array_equal(ranked_keys[Q], keys)
    np.testing.assert_array_equal(ranked[Q], found)
    assert (ranked[[0, 2]] == -1).all()
    assert scanned.queries.affine[Q, 2] == np.float32(least_bound(float(keys[-1]), scanned.queries, Q))
    assert (scanned.queries.affine[[0, 2], 2] == -np.inf).all()


def test_all_above_a_radius_are_kept_in_order():
    index = filled("cosine", n=90)
    every = naive.exact_key(
        naive.rows_of(index), scanning.layout(index.model), scanning.levels(index.model),
        ask(index.model, queries(3)).queries, Q,
    )  # fmt: skip
    radius = float(np.sort(every)[-20])

    kept, scanned = settled(index, False, radius, lambda rows, *rest: settling.settle(rows, Q, *rest))

    assert kept.counts.tolist() == [0, 19, 0]
    np.testing.assert_array_equal(kept.found[Q, :19], np.flatnonzero(every > radius))
    np.testing.assert_array_equal(kept.keys[Q, :19], every[every > radius])
    assert scanned.queries.affine[Q, 2] == -np.inf  # who scans has set it by the radius


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_no_row_counts_for_more_than_it_promises(metric):
    index, deficits = filled(metric, "tails-0-4", n=90), np.arange(0, 9000, 100, dtype=np.uint16)[::-1].copy()

    kept, scanned = settled(
        index, False, -np.inf,
        lambda rows, *rest: settling.settle_as_promised(rows, deficits, Q, *rest),
    )  # fmt: skip

    expected, found = naive.best(np.minimum(*promised(index, scanned, deficits)), np.arange(90), K)
    topk.rank(*kept, K)
    ranked_keys, ranked = kept.ranked(K)
    np.testing.assert_array_equal(ranked_keys[Q], expected)
    np.testing.assert_array_equal(ranked[Q], found)
    assert scanned.queries.affine[Q, 2] == np.float32(least_bound(float(expected[-1]), scanned.queries, Q))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_above_a_radius_are_rows_that_promise_as_much(metric):
    index, deficits = filled(metric, "tails-0-4", n=90), np.arange(0, 9000, 100, dtype=np.uint16)[::-1].copy()
    exact, promises = promised(index, settled(index, False, 0.0, lambda *_: None)[1], deficits)
    radius = float(np.median(np.minimum(exact, promises)))

    kept, _ = settled(
        index, False, radius,
        lambda rows, *rest: settling.settle_as_promised(rows, deficits, Q, *rest),
    )  # fmt: skip

    inside = np.flatnonzero(np.minimum(exact, promises) > radius)
    assert 0 < len(inside) < (exact > radius).sum()
    np.testing.assert_array_equal(kept.found[Q, : kept.counts[Q]], inside)
    np.testing.assert_array_equal(kept.keys[Q, : kept.counts[Q]], exact[inside])


def promised(index, scanned, deficits):
    """Return the exact keys of all rows, and what deficits say that they are at most, both (n,) float32."""
    codes, (a, c, _) = naive.rows_of(index), scanned.queries.affine[Q]
    bound = (deficits.astype(np.float32) * a + c) * naive.gains(codes, scanned.layout, np.float32)
    norms = naive._norms(codes, scanned.layout, scanned.levels.norms)
    bound = bound if norms is None else bound - norms
    exact = naive.exact_key(codes, scanned.layout, scanned.levels, scanned.queries, Q)
    return exact, (bound.astype(float) - scanned.queries.norm[Q]).astype(np.float32)
