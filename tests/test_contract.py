"""contract.py: what follows from the rest of an index is the same for every kind of index."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import filled, queries
from lplr_index import IndexLPLR
from lplr_index.contract import Index
from lplr_index.metric import METRIC_INNER_PRODUCT, METRIC_L2


def test_a_kind_of_index_says_everything_that_the_rest_follows_from():
    class Nameless(Index):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nameless()
    assert issubclass(IndexLPLR, Index)


@pytest.mark.parametrize(
    ("metric", "number"), [("cosine", METRIC_INNER_PRODUCT), ("ip", METRIC_INNER_PRODUCT), ("l2", METRIC_L2)]
)
def test_what_follows_from_dimension_rows_and_metric(metric, number):
    index = filled(metric, n=70)

    assert index.metric_type == number
    assert index.sa_code_size() == index.code_size
    assert index.bits == 8 * index.code_size / index.d
    assert len(index) == index.ntotal == 70


def test_what_follows_from_search_and_reconstruction():
    index = filled(n=7)
    expected, I = index.search(queries(), 9)

    np.testing.assert_array_equal(index.assign(queries(), 9), I)
    D, found, x_hat = index.search_and_reconstruct(queries(), 9, filter=np.arange(7) < 5)

    assert (found[:, :5] >= 0).all()
    assert (found[:, 5:] == -1).all()
    assert (D[:, 5:] == expected[0, -1]).all()
    assert np.isnan(x_hat[:, 5:]).all()
    for ids, rows in zip(found[:, :5], x_hat[:, :5], strict=True):
        np.testing.assert_array_equal([index.reconstruct(i) for i in ids.tolist()], rows)
