"""metric.py: names, numbers, and which way is better."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index import METRIC_INNER_PRODUCT, METRIC_L2
from lplr_index.errors import InputError
from lplr_index.metric import METRICS, is_similarity, metric_type, parse_metric, worst_distance


def test_names_stand_for_themselves_and_numbers_for_names():
    assert [parse_metric(name) for name in METRICS] == ["cosine", "ip", "l2"]
    assert [parse_metric(number) for number in (0, 1, np.int64(1), METRIC_L2)] == ["ip", "l2", "l2", "l2"]
    assert [metric_type(name) for name in METRICS] == [0, 0, 1]


def test_numbers_are_those_of_faiss():
    faiss = pytest.importorskip("faiss")

    assert (METRIC_INNER_PRODUCT, METRIC_L2) == (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2)
    assert [is_similarity(number) for number in (0, 1)] == [faiss.is_similarity_metric(number) for number in (0, 1)]


def test_the_worst_distance_is_the_one_of_faiss():
    faiss = pytest.importorskip("faiss")
    for number in (0, 1):
        D, _ = faiss.IndexFlat(4, number).search(np.zeros((1, 4), np.float32), 1)
        assert worst_distance(number) == D[0, 0]
        assert worst_distance(number).dtype == np.float32


@pytest.mark.parametrize("wrong", ["L2", "", "dot", 2, -1, True, None, 0.5, ("ip",), ["ip"], np.array([0, 1]), {}])
def test_what_is_no_metric(wrong):
    with pytest.raises(InputError, match=r"expected metric 'cosine', 'ip' or 'l2' .*, got"):
        parse_metric(wrong)
