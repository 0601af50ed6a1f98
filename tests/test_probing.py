"""Searching in lists: which lists, and bounds that hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import in_lists, queries
from lplr_index import probing
from lplr_index.asking import ask
from lplr_index.metric import METRICS


@pytest.mark.parametrize("metric", METRICS)
def test_queries_are_made_ready(metric):
    index = in_lists(metric, 50)
    xq = queries()

    ready, lists, products = probing.ready(index.model, xq, 4).parts

    np.testing.assert_array_equal(lists, naive.nearest_lists(index.model.coarse.centroids, xq, index.metric, 4))
    assert ready.seconds.shape == ready.deficits.shape
    for one, other in zip(ready[4:], ask(index.model, xq).queries[4:], strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(ready.exact, ask(index.model, xq).queries.exact)
    assert all(part.ctypes.data % 64 == 0 for part in (*ready, lists, products) if part.size)
    exact = np.take_along_axis(xq.astype(float) @ index.model.coarse.centroids.T, lists, axis=1)
    np.testing.assert_allclose(products, exact, atol=1e-5)


def test_rows_go_by_their_ids_and_by_their_numbers():
    index = in_lists()
    index.add_with_ids(np.asarray(queries(20)), 100 - np.arange(20))
    mask = np.arange(20) % 2 == 0

    keys, found = probing.search(index.rows, index.model, queries(3), 20, 12, mask, 1)
    assert set(found[0].tolist()) == {-1, *(100 - np.flatnonzero(mask))}
    assert np.isneginf(keys[:, 10:]).all()
    for _, ids in probing.range_search(index.rows, index.model, queries(3), -9.0, 12, mask, 1):
        assert ids.tolist() == (100 - np.flatnonzero(mask)).tolist()
