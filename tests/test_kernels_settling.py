"""kernels/settling.py: rows are offered by exact keys or by estimates, and the threshold follows the worst kept."""

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
    blocks = np.concatenate([piece.blocks.reshape(-1) for piece in index.rows])
    asked = ask(model, queries(3)).queries
    ids = np.arange(1000, 1000 + index.ntotal) if own_ids else np.empty(0, np.int64)
    scanned = settling.Scanned(blocks, ROW0, ids, scanning.layout(model), scanning.levels(model), asked)
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


def test_estimates_are_what_deficits_tell():
    index, deficits = filled("cosine", n=90), np.arange(90, dtype=np.uint16)[::-1].copy()

    kept, scanned = settled(
        index, False, -np.inf,
        lambda rows, *rest: settling.settle_by_estimates(rows, deficits, Q, *rest),
    )  # fmt: skip

    a, c, _ = scanned.queries.affine[Q]
    keys = (deficits.astype(np.float32) * a + c) * naive.gains(naive.rows_of(index), scanned.layout, np.float32)
    expected, found = naive.best(keys, np.arange(90), K)
    topk.rank(*kept, K)
    ranked_keys, ranked = kept.ranked(K)
    np.testing.assert_array_equal(ranked_keys[Q], expected)
    np.testing.assert_array_equal(ranked[Q], found)
    assert scanned.queries.affine[Q, 2] == expected[-1]
