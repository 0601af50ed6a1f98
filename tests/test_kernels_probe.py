"""kernels/probe.py beside its definition: candidates by rounded products in a few directions, then the nearest."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index import kernels
from lplr_index.coarse import Coarse
from lplr_index.metric import METRICS
from lplr_index.products import Product
from lplr_index.projection import round_to_bytes

NLIST, D, M = 90, 23, 5


@pytest.fixture
def coarse(rng):
    centroids = (rng.standard_normal((NLIST, D)) * 0.8 ** np.arange(D)).astype(np.float32)
    basis, _ = np.linalg.qr(rng.standard_normal((D, M)))
    return lambda metric: Coarse(centroids, metric, basis.astype(np.float32))


def probed(coarse, x, nprobe, candidates, products=None):
    lists = np.full((len(x), nprobe), -1)
    found = np.full((len(x), nprobe), np.nan, np.float32) if products is None else products
    kernels.probe_kernel()(x, coarse.forms[coarse.metric], candidates, lists, found)
    return lists, found


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("candidates", [0, NLIST])
@pytest.mark.parametrize("n", [0, 1, 66])
def test_of_all_candidates_the_nearest_are_found(rng, coarse, metric, candidates, n):
    x = rng.standard_normal((n, D)).astype(np.float32)

    lists, products = probed(coarse(metric), x, 7, candidates)

    centroids = coarse(metric).centroids
    np.testing.assert_array_equal(lists, naive.nearest_lists(centroids, x, metric, 7))
    np.testing.assert_allclose(products, np.take_along_axis(x @ centroids.T, lists, axis=1), atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_are_those_of_the_largest_rounded_products(rng, coarse, metric):
    x, one = rng.standard_normal((40, D)).astype(np.float32), coarse(metric)
    turn = Product(one.basis)
    turned = turn(one.centroids)
    (codes, steps), (asked, asked_steps) = round_to_bytes(turned), round_to_bytes(turn(x))
    products = (asked.astype(float) * asked_steps) @ (codes.astype(float) * steps).T
    squares = np.square(turned.astype(float)).sum(axis=1)
    values = {"cosine": products / np.sqrt(squares), "ip": products, "l2": products - squares / 2}[metric]
    candidates = np.argsort(-values, axis=1, kind="stable")[:, :9]

    lists, _ = probed(one, x, 4, 9)

    for q in range(40):
        among = naive.nearest_lists(one.centroids[candidates[q]], x[q : q + 1], metric, 4)[0]
        assert lists[q].tolist() == candidates[q][among].tolist()


def test_lists_and_products_do_not_depend_on_company(rng, coarse):
    x, one = rng.standard_normal((130, D)).astype(np.float32), coarse("cosine")

    together = probed(one, x, 5, 20)
    alone = [probed(one, x[q : q + 1], 5, 20) for q in range(130)]

    for which in (0, 1):
        np.testing.assert_array_equal(together[which], np.concatenate([each[which] for each in alone]))


def test_products_may_be_left_out(rng, coarse):
    x, one = rng.standard_normal((3, D)).astype(np.float32), coarse("l2")

    lists, _ = probed(one, x, 5, 20, products=np.empty((3, 0), np.float32))

    np.testing.assert_array_equal(lists, probed(one, x, 5, 20)[0])
