"""The coarse partition: nearest centroids, and the same ones whatever else is asked."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import naive
from lplr_index.coarse import Coarse, list_bytes, list_numbers, number_bytes
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.metric import METRICS


@pytest.fixture
def x(rng):
    return rng.standard_normal((300, 20)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nprobe", [1, 5, 40, 50])
def test_the_nearest_lists_come_first(x, metric, nprobe):
    coarse = Coarse(x[:50].copy(), metric)
    queries = x[100:] / np.linalg.norm(x[100:], axis=1, keepdims=True) if metric == "cosine" else x[100:]

    lists, products = coarse.probe(queries, nprobe)

    np.testing.assert_array_equal(lists, naive.nearest_lists(coarse.centroids, queries, metric, nprobe))
    exact = np.take_along_axis(queries.astype(float) @ coarse.centroids.T.astype(float), lists, axis=1)
    np.testing.assert_allclose(products, exact, atol=1e-4)
    for q in (0, 199):
        np.testing.assert_array_equal(coarse.probe(queries[q : q + 1], nprobe)[0][0], lists[q])


def test_rows_go_to_the_nearest_and_of_equal_ones_to_the_lowest(x):
    coarse = Coarse(np.concatenate([x[:10], x[:10], x[10:30]]), "ip")

    lists = coarse.assign(x[50:])

    assert lists.tolist() == naive.nearest_lists(coarse.centroids, x[50:], "l2", 1)[:, 0].tolist()
    assert not ((lists >= 10) & (lists < 20)).any()


def test_what_is_left_leaves_a_row_out_of_its_own_mean(x):
    lists = np.arange(300) % 37
    lists[lists == 36] = 35
    lists[0] = 36  # alone
    points = x + 50 * np.random.default_rng(1).standard_normal((37, 20)).astype(np.float32)[lists]
    means = np.stack([points[lists == number].mean(axis=0) for number in range(37)])
    coarse = Coarse(means.astype(np.float32), "l2")

    left = coarse.left(points)

    for i in (1, 2, 35, 299):
        others = (lists == lists[i]) & (np.arange(300) != i)
        np.testing.assert_allclose(left[i], points[i] - points[others].mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(left[0], 0, atol=1e-4)


def test_k_means_does_not_depend_on_threads(x, monkeypatch):
    faiss = pytest.importorskip("faiss")
    found = []
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        found.append(Coarse.train(x, 16, "l2", 5))
        assert faiss.omp_get_max_threads() == threads

    np.testing.assert_array_equal(found[0].centroids, found[1].centroids)
    error = np.square(x - found[0].centroids[found[0].assign(x)]).sum()
    assert error < 0.9 * np.square(x - x.mean(axis=0)).sum()
    assert not np.array_equal(Coarse.train(x, 16, "l2", 6).centroids, found[0].centroids)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"expected the package faiss, which pip install .*\[ivf\]"):
        Coarse.train(x, 16, "l2", 5)


@pytest.mark.parametrize(("nlist", "size"), [(1, 1), (2, 1), (256, 1), (257, 2), (65536, 2), (65537, 3), (1 << 24, 3)])
def test_numbers_of_lists_as_bytes(nlist, size):
    lists = np.array([0, nlist // 2, nlist - 1])

    given = list_bytes(lists, nlist)

    assert given.shape == (3, size) == (3, number_bytes(nlist))
    assert [int.from_bytes(row.tobytes(), "little") for row in given] == lists.tolist()
    assert list_numbers(given).tolist() == lists.tolist()


@pytest.mark.parametrize("centroids", [np.zeros((3, 4)), np.zeros(5), np.zeros((0, 5)), np.full((2, 5), np.nan)])
def test_centroids_of_a_file_are_checked(centroids):
    with pytest.raises(InputError, match=r"expected .*centroids of lists"):
        Coarse(centroids.astype(np.float32), "l2").check(5)
